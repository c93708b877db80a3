"""A hook's arguments, read by rules and not by a parser of the product's own: what is unknown is kept, never refused.

Products append arguments of their own, and later releases others. Only what is nearly one of ours is taken for a
mistake: ``--polcy`` must not be ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.errors import UsageFault
from splitmirror_drivers.kit.units import Duration

VALUES = frozenset(
    [
        "--policy",
        "--client",
        "--schedule",
        "--job",
        "--job-name",
        "--level",
        "--stream",
        "--streams",
        "--status",
        "--config",
        "--limit",
        "--product",
        "--result-file",
    ]
)
FLAGS = frozenset({"--restarted"})
NEARLY = 0.8


@dataclass(frozen=True, slots=True)
class Arguments:
    """Options that are ours by name, what stands alone, how often ``-v``, and what nobody here knows."""

    options: Mapping[str, str]
    words: tuple[str, ...]
    verbosity: int = 0
    unknown: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, otherwise: str = "") -> str:
        """The value of an option."""
        return self.options.get(name, otherwise)

    def count(self, name: str, otherwise: int = 0) -> int:
        """A whole number of 0 or more; UsageFault names the option."""
        given = self.options.get(name)
        if given is None:
            return otherwise
        if not (given.isascii() and given.isdigit()):
            raise UsageFault(f"{name} {given!r} is not a whole number", hint=f"write for example {name} 2")
        return int(given)

    def seconds(self, name: str, otherwise: float = 0.0) -> float:
        """A duration: ``300`` (seconds) or ``5m``; UsageFault names the option."""
        given = self.options.get(name)
        if given is None:
            return otherwise
        if given.isascii() and given.isdigit():
            return float(given)
        try:
            return float(Duration.parse(given))
        except ValueError as exc:
            raise UsageFault(f"{name}: {exc}") from exc


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """The arguments behind the program's name. A later option beats an earlier one of the same name."""
    options: dict[str, str] = {}
    unknown: dict[str, str] = {}
    words: list[str] = []
    verbosity = 0
    rest = list(argv[1:])
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in VALUES:
            if not equals and (not rest or rest[0].partition("=")[0] in VALUES | FLAGS):
                raise UsageFault(f"{name} wants a value", hint=f'write {name} VALUE, or {name} "" for none')
            options[name] = value if equals else rest.pop(0)
        elif argument in FLAGS:
            options[argument] = "yes"
        elif len(argument) > 1 and not argument.strip("-v") and argument[0] == "-" and argument[1] == "v":
            verbosity += argument.count("v")
        elif argument.startswith("--") and len(argument) > 2:
            _require_not_mistyped(name)
            unknown[name] = value
        else:
            words.append(argument)
    return Arguments(options, tuple(words), verbosity, unknown)


def explicit_product(argv: Sequence[str]) -> str:
    """What ``--product`` says, "" when it is not given or wants its value; never fails."""
    for index, argument in enumerate(argv[1:], 1):
        if argument.startswith("--product="):
            return argument.partition("=")[2]
        if argument == "--product" and index + 1 < len(argv):
            return argv[index + 1]
    return ""


def streams_of(arguments: Arguments) -> tuple[int, int]:
    """``--stream`` and ``--streams``, which must fit each other."""
    stream, streams = arguments.count("--stream"), arguments.count("--streams")
    if streams and stream > streams:
        raise UsageFault(f"--stream {stream} is more than --streams {streams}", hint="streams are counted from 1")
    return stream, streams


def status_of_code(code: str) -> BackupStatus:
    """An exit code of a backup: 0 is good, everything else, also what is no number, is not."""
    try:
        return BackupStatus.GOOD if int(code) == 0 else BackupStatus.FAILED
    except ValueError:
        return BackupStatus.FAILED


def _require_not_mistyped(name: str) -> None:
    if near := get_close_matches(name, sorted(VALUES | FLAGS), 1, NEARLY):
        raise UsageFault(f"there is no option {name}", hint=f"did you mean {near[0]}?")
