"""`splitmirror`: the command for people and schedulers. A subcommand is imported when it is asked for.

Each module has ``SUMMARY``, ``add_arguments(parser)`` and ``run(arguments) -> int``.
"""

from __future__ import annotations

import sys

from splitmirror import streams

TYPE_CHECKING = False  # checkers know the name; typing and collections.abc would take longer than all the rest
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

COMMANDS: Mapping[str, str] = {
    "check": "touch every host, application and array of a policy for real; change nothing",
    "plan": "print what a run would do, and what its copy would be",
    "establish": "bring a policy's mirrors into sync ahead of the backup",
    "status": "what happened, what is held now, the last good copy, what to do",
    "recover": "bring to rest what an ended run left",
    "pin": "keep a copy: nobody may establish over it",
    "unpin": "let a pinned copy go",
    "history": "runs, newest first",
    "show": "one run: its phases, times and freeze windows",
    "install-guard": "install the guard on a data server",
    "init": "ask, and write a commented policy",
    "schema": "print the JSON Schema of policy files",
    "demo": "the main job on this machine, with nothing but Python",
    "help": "exit codes and other pages",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code is its own (see ``splitmirror help exit-codes``)."""
    streams.ensure()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from splitmirror import __version__

        sys.stdout.write(f"splitmirror {__version__}\n")
        return 0
    from splitmirror.admin import frame

    return frame.run(arguments)


def load_command(name: str) -> object:
    """The module of one subcommand."""
    from importlib import import_module

    return import_module(f"splitmirror.admin.{name.replace('-', '_')}")


def parser_for(name: str) -> argparse.ArgumentParser:
    """The parser of one subcommand, for its own --help."""
    from splitmirror.admin import frame

    return frame.parser(name)


if __name__ == "__main__":
    sys.exit(main())
