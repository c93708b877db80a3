"""A Windows host that runs diskshadow scripts from a folder of ours: writing a script, running it, what files are there.

Only ``diskshadow -s FILE`` is documented, so each script is a file, of ASCII lines that end with CR LF (of a line that ends
with LF alone diskshadow loses the last character, as public captures show). What writes, lists and removes files is
configurable, since a host here has no such commands of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from splitmirror_drivers.arrays.diskshadow_options import Options
from splitmirror_drivers.arrays.diskshadow_words import BANNER, Said, parse_said
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer

COMMAND_SECONDS = 60.0
SCRIPT, METADATA = ".dsh", ".cab"
LOOK = "look"
FETCH_BYTES = 64 * 1024
POLL_SECONDS = 0.5
PLAIN_PATHS = {"MSYS_NO_PATHCONV": "1"}
"""Where the host's shell is Git's or MSYS2's: ``/c`` is an option, and no path to be put right."""


class Session:
    """The folder, and diskshadow beside it. Each script is a session of its own."""

    def __init__(self, host: Host, options: Options) -> None:
        self.host, self.options = host, options

    def path(self, name: str) -> str:
        """Where a file of ours is."""
        return f"{self.options.folder}{'/' if self.options.folder.startswith('/') else chr(92)}{name}"

    # -- scripts --

    def run(self, name: str, lines: Sequence[str], deadline: Deadline) -> tuple[Said, ...]:
        """Write a script and run it."""
        self.write(f"{name}{SCRIPT}", script(lines), deadline)
        return self.start(name, lines, deadline.sooner(COMMAND_SECONDS))

    def start(self, name: str, lines: Sequence[str], deadline: Deadline) -> tuple[Said, ...]:
        """Run a script that is there: what each command printed, as far as it came. Nobody vouches for its exit code.

        It has all the time to `deadline`, since writers may need a minute and more.
        """
        argv = (self.options.diskshadow, "-s", self.path(f"{name}{SCRIPT}"))
        done = self.host.run(self._command(argv), deadline)
        if BANNER not in done.stdout and done.exit_code != 0:
            raise CommandFailed(f"diskshadow cannot be run on {self.host.name}", detail=done.tail())
        said = tuple(one for one in parse_said(done.stdout) if not one.command.startswith("#"))
        commands = [line for line in lines if not line.startswith("#")]
        if [one.command for one in said] != commands[: len(said)]:
            raise UnknownAnswer(
                f"diskshadow on {self.host.name} did not do what it was told",
                detail=done.stdout[-2000:],
                hint=f"is anybody else writing to {self.options.folder}?",
            )
        return said

    def ask(self, lines: Sequence[str], deadline: Deadline) -> tuple[Said, ...]:
        """Run a script that only looks, to its end. Raises UnknownAnswer when it ended before."""
        said = self.run(LOOK, lines, deadline)
        if len(said) != len(lines):
            last = said[-1].text if said else ""
            raise UnknownAnswer(f"diskshadow on {self.host.name} stopped after {len(said)} commands", detail=last)
        return said

    # -- files --

    def write(self, name: str, text: str, deadline: Deadline) -> None:
        """Put a file of ours in place."""
        argv = self._filled(self.options.files.write, self.path(name))
        self._call(argv, deadline, text).require(f"writing {self.path(name)} on {self.host.name}")

    def names(self, deadline: Deadline) -> frozenset[str]:
        """Files in our folder: one must be seen, so that an empty answer is never taken for an empty folder."""
        sign = f"{LOOK}{SCRIPT}"
        found = self.names_in(self.options.folder, deadline)
        if sign not in found:
            self.write(sign, "", deadline)
            found = self.names_in(self.options.folder, deadline)
        if sign not in found:
            raise UnknownAnswer(
                f"{self.host.name} cannot say what is in {self.options.folder}", detail=", ".join(sorted(found))
            )
        return found

    def names_in(self, folder: str, deadline: Deadline) -> frozenset[str]:
        """What is listed in a folder; nothing where there is none."""
        done = self._call(self._filled(self.options.files.list, folder=folder), deadline)
        return frozenset(line.strip() for line in done.stdout.splitlines() if line.strip())

    def read(self, name: str, deadline: Deadline) -> str:
        """The text of a file of ours."""
        return self.host.fetch(self.path(name), FETCH_BYTES, deadline).decode("ascii", errors="replace")

    def remove(self, names: Sequence[str], deadline: Deadline) -> None:
        """Remove files of ours; one that is not there is no matter, one that stays is."""
        for name in sorted(set(names) & self.names(deadline)):
            self._call(self._filled(self.options.files.remove, self.path(name)), deadline)
        if left := sorted(set(names) & self.names(deadline)):
            raise CommandFailed(f"{self.path(left[0])} on {self.host.name} cannot be removed")

    def make_folder(self, folder: str, deadline: Deadline) -> None:
        """Make a folder for a copy, unless it is there; what is in the way diskshadow says itself."""
        if not self._is_there(folder, deadline):
            argv = self._filled(self.options.files.make, folder=folder)
            self._call(argv, deadline).require(f"making {folder} on {self.host.name}")

    def unmake_folder(self, folder: str, deadline: Deadline) -> None:
        """Remove an empty folder, if it is there."""
        if self._is_there(folder, deadline):
            argv = self._filled(self.options.files.unmake, folder=folder)
            self._call(argv, deadline).require(f"removing {folder} on {self.host.name}")

    def _is_there(self, folder: str, deadline: Deadline) -> bool:
        above, _, name = folder.rpartition("\\")
        listed = self.names_in(above if "\\" in above else f"{above}\\", deadline)
        return name.lower() in {one.lower() for one in listed}

    def _filled(self, argv: Sequence[str], path: str = "", folder: str = "") -> tuple[str, ...]:
        folder = folder or self.options.folder
        return tuple(word.replace("{path}", path).replace("{folder}", folder) for word in argv)

    def _call(self, argv: Sequence[str], deadline: Deadline, given: str = "") -> Completed:
        return self.host.run(self._command(argv, given), deadline.sooner(COMMAND_SECONDS))

    def _command(self, argv: Sequence[str], given: str = "") -> Command:
        return Command(tuple(argv), stdin=given, environment=PLAIN_PATHS)


def script(lines: Sequence[str]) -> str:
    """A script's text. Raises Refused for what diskshadow could misread."""
    if wrong := [line for line in lines if not line.isascii() or not line.isprintable()]:
        raise Refused(f"{wrong[0]!r} cannot go into a script of diskshadow")
    return "".join(f"{line}\r\n" for line in lines)


def pause(deadline: Deadline) -> None:
    """Wait before asking again, when there is time for it."""
    time.sleep(min(POLL_SECONDS, deadline.left()))
