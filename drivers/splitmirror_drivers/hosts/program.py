"""The guard program as text: its parts and the verb families that are needed, in one file with version and checksum.

Inline, a host gets the families that its run needs; installed, it gets all of them, so that one file serves every
policy. Header lines (``key value``, ended by ``go``) carry everything that is not a word of the command line.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from splitmirror_drivers.contracts.host import Charge, Hold, Verb
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.errors import PolicyFault

VERSION = "1"
"""Of the wire protocol and the header; the checksum tells one text from another."""

_PARTS = (
    "guard.sh",
    "guard_kit.sh",
    "guard_record.sh",
    "guard_hand.sh",
    "guard_ear.sh",
    "guard_watcher.sh",
    "guard_host.sh",
    "guard_devices.sh",
)
_BUILT_IN = "host"


@dataclass(frozen=True, slots=True)
class Program:
    """One guard program. `families` are those it holds beside the built-in ``host``."""

    text: str
    checksum: str
    families: tuple[str, ...]


def compose(
    families: Sequence[str], folders: Sequence[str] = (), *, state: str = "", installed: bool = False
) -> Program:
    """The program with `families`; `folders` are searched for a family before the package. Raises PolicyFault.

    `state` fixes the guard's folder in the text, `installed` locks it to verbs; neither changes the checksum.
    """
    wanted = tuple(sorted(set(families) - {_BUILT_IN}))
    body = "\n".join([*map(_part, _PARTS), *(_family(name, tuple(folders)) for name in wanted)])
    checksum = hashlib.sha256(body.encode()).hexdigest()
    head = [
        "#!/bin/sh",
        f"# splitmirror guard {VERSION} sha256 {checksum}",
        f"sm_version={VERSION} sm_checksum={checksum}",
    ]
    head.append(f"sm_state={_single_quoted(state)} sm_installed={'yes' if installed else ''}")
    return Program("\n".join([*head, body, 'sm_main "$@"', ""]), checksum, wanted)


def installed(folders: Sequence[str] = (), *, state: str = "") -> Program:
    """The program as `install-guard` puts it on a data server: every family, locked to verbs."""
    return compose(all_families(*folders), folders, state=state, installed=True)


@cache
def all_families(*folders: str) -> tuple[str, ...]:
    """The names of every verb family of this installation (those of plug-in `folders` too)."""
    places: list[Traversable] = [_applications(), *map(Path, folders)]
    return tuple(
        sorted({p.name[:-3] for place in places if place.is_dir() for p in place.iterdir() if p.name.endswith(".sh")})
    )


def charge_header(charge: Charge, state: str, shell: str) -> str:
    """What a guard reads before it starts: its run, leases, and the stack from the bottom up."""
    lines = [*_common(state, shell), f"run {charge.run}", f"owner {charge.owner}"]
    lines.append(f"beat {_whole(charge.beat_missed_seconds)}")
    lines.append(f"blocking {_whole(charge.blocking_lease_seconds)}")
    lines.append(f"lasting {_whole(charge.lasting_lease_seconds)}")
    for hold in charge.holds:
        lines += _hold_lines(hold)
    return _ended(lines)


def verb_header(verb: Verb, seconds: float, state: str, shell: str) -> str:
    """What one call reads: the verb, how long it may take, its account, secret and arguments."""
    lines = [*_common(state, shell), f"verb {verb.name}", f"seconds {_whole(seconds)}", f"user {verb.user}"]
    if verb.secret is not None:
        lines.append(f"secret {verb.secret.reveal()}")
    return _ended([*lines, *(f"arg {argument}" for argument in verb.arguments)])


def run_header(command: Command, state: str, shell: str) -> str:
    """What one command reads: arguments, environment (secret or not) and the text for its standard input."""
    lines = [*_common(state, shell), *(f"arg {argument}" for argument in command.argv)]
    environment: Mapping[str, str] = {**command.environment, **command.secret_environment}
    lines += [f"env {name}={value}" for name, value in environment.items()]
    *whole, tail = command.stdin.split("\n")
    return _ended([*lines, *(f"stdin {line}" for line in whole), f"tail {tail}"])


def fetch_header(path: str, limit_bytes: int, state: str, shell: str) -> str:
    """What one fetch reads."""
    return _ended([*_common(state, shell), f"path {path}", f"limit {limit_bytes}"])


def _common(state: str, shell: str) -> Iterator[str]:
    if state:
        yield f"state {state}"
    yield f"shell {shell}"


def _hold_lines(hold: Hold) -> Iterator[str]:
    times = f"{_whole(hold.enter_seconds)} {_whole(hold.leave_seconds)}"
    survives = "yes" if hold.survives_restart else "no"
    yield f"hold {hold.name} {hold.family} {hold.blocks.value} {hold.ends_with.value} {times} {survives}"
    yield f"user {hold.user}"
    if hold.secret is not None:
        yield f"secret {hold.secret.reveal()}"
    if hold.claim:
        yield f"claim {claim_word(hold.claim)}"
    for argument in hold.arguments:
        yield f"arg {argument}"


def claim_word(claim: str) -> str:
    """A claim as the name of a folder: what is not a letter, digit or one of ``_-`` becomes ``%XX``; long ones are cut by hash."""
    word = "".join(
        c if c.isascii() and (c.isalnum() or c in "_-") else "".join(f"%{b:02X}" for b in c.encode()) for c in claim
    )
    if len(word) > 150:
        word = word[:80] + "%" + hashlib.sha256(claim.encode()).hexdigest()[:32]
    return "%" + word if word.startswith("-") else word


def _ended(lines: Sequence[str]) -> str:
    for line in lines:
        if "\n" in line or "\0" in line:
            raise PolicyFault(f"a line break or zero byte in what is sent to the guard as {line.split(' ')[0]!r}")
    return "\n".join([*lines, "go", ""])


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _applications() -> Traversable:
    return files("splitmirror_drivers.applications")


@cache
def _part(name: str) -> str:
    return files("splitmirror_drivers.hosts").joinpath(name).read_text(encoding="utf-8")


@cache
def _family(name: str, folders: tuple[str, ...]) -> str:
    for place in (*map(Path, folders), _applications()):
        path = place.joinpath(f"{name}.sh")
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise PolicyFault(
        f"there is no verb family {name}", hint=f"a family is a file {name}.sh beside its application driver"
    )
