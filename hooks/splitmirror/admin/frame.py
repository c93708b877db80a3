"""The frame of every subcommand: parser, policy office, errors told to people, exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

from splitmirror import admin, exits
from splitmirror.office import Office
from splitmirror_drivers.kit.errors import Fault, UsageFault


class Command(Protocol):
    """What a module of ``splitmirror.admin`` is."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommand's own arguments (``--config`` is there already)."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def command(name: str) -> Command:
    """The module of one subcommand."""
    return cast("Command", admin.load_command(name))


def overview() -> str:
    """What `splitmirror` alone prints."""
    width = max(len(name) for name in admin.COMMANDS)
    lines = [f"  {name:<{width}}  {summary}" for name, summary in admin.COMMANDS.items()]
    return "\n".join(
        ["usage: splitmirror COMMAND [ARGUMENTS]", "", *lines, "", "splitmirror COMMAND --help says more of each."]
    )


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of one subcommand."""
    module = command(name)
    made = argparse.ArgumentParser(prog=f"splitmirror {name}", description=module.SUMMARY)
    made.add_argument("--config", default="", metavar="FILE", help="policy file (else SPLITMIRROR_CONFIG, /etc/…)")
    module.add_arguments(made)
    return made


def run(arguments: Sequence[str]) -> int:
    """Dispatch; every Fault becomes what a person reads, on standard error, and its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(overview() + "\n")
        return 0
    name = arguments[0]
    try:
        if name not in admin.COMMANDS:
            raise UsageFault(f"there is no command {name!r}", hint="`splitmirror --help` lists them" + nearest(name))
        module = command(name)
        return module.run(parser(name).parse_args(arguments[1:]))
    except Fault as fault:
        sys.stderr.write(f"splitmirror {name}: {fault.full()}\n")
        return exits.exit_code(fault)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write(f"splitmirror {name}: given up\n")
        return 1
    except Exception:  # noqa: BLE001 - the top of a command
        sys.stderr.write(f"splitmirror {name}: internal error; please report this\n{traceback.format_exc()}")
        return 2


def nearest(name: str) -> str:
    """A guess at what was meant."""
    from difflib import get_close_matches

    close = get_close_matches(name, admin.COMMANDS, 1)
    return f"; did you mean {close[0]}?" if close else ""


@contextmanager
def office(arguments: argparse.Namespace) -> Iterator[Office]:
    """This installation, opened for one command."""
    made = Office(arguments.config, os.environ)
    try:
        yield made
    finally:
        made.close()


def write_json(data: object) -> None:
    """One JSON document on standard output."""
    import json

    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def texts(value: object) -> list[str]:
    """A JSON list as texts."""
    return [str(one) for one in value] if isinstance(value, list) else []


def table(value: object) -> dict[str, object]:
    """A JSON object."""
    return dict(value) if isinstance(value, dict) else {}
