"""Running SYMCLI: its environment, and waiting for a lock that somebody else has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from splitmirror_drivers.arrays.timefinder_options import Group, Options
from splitmirror_drivers.arrays.timefinder_parse import arrays_named
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused

LOOK_SECONDS = 60.0
MOVE_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
"""Between two looks at something that is not there yet: doubled from the first to the longest."""

SYMSNAPVX = "symsnapvx"
SIGNALLED = 128
"""From here on an exit code tells of a signal, where a shell stands between: nobody knows what was done by then."""
NO_PROMPT = "-noprompt"
XML = ("-output", "xml_e")


def wait(seconds: float) -> None:
    """Let time pass between two looks."""
    threading.Event().wait(seconds)


def refused(done: Completed) -> bool:
    """Whether a command failed and ended by itself."""
    return 0 < done.exit_code < SIGNALLED


@dataclass(frozen=True)
class Symcli:
    """The programs on their host."""

    name: str
    options: Options
    host: Host
    pause: Callable[[float], None] = wait

    def group(self, name: str) -> Group:
        """The policy's group. Raises Refused naming those it has."""
        if name not in self.options.groups:
            raise Refused(f"{self.name} has no group {name}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[name]

    def selection(self, name: str) -> tuple[str, ...]:
        """How the programs are told which pairs are meant."""
        of = self.group(name)
        if of.pair_file:
            return ("-sid", self.options.sid, "-f", of.pair_file)
        if of.composite_group:
            return ("-cg", of.composite_group)
        return ("-g", of.device_group or name)

    def require_array(self, group: str, text: str) -> None:
        """Raise Refused when a group's table is headed by another array than the policy's `sid`, which may be cut short."""
        sid = self.options.sid
        others = [one for one in arrays_named(text) if not (one.endswith(sid) or sid.endswith(one))]
        if sid and others:
            raise Refused(
                f"{self.name}/{group} is a group of the array {others[0]}, and the policy says {sid}",
                hint="look whose group that is with symdg show; then mend sid, or the group's name",
            )

    def program(self, tool: str) -> str:
        """Where `tool` is."""
        return f"{self.options.path.rstrip('/')}/{tool}" if self.options.path else tool

    def environment(self) -> dict[str, str]:
        """Wait for the database and a gatekeeper instead of failing, and for a split's background."""
        known = {"SYMCLI_SID": self.options.sid, "SYMCLI_CONNECT": self.options.connect}
        return {
            "LC_ALL": "C",
            "SYMCLI_WAIT_ON_DB": "1",
            "SYMCLI_WAIT_ON_GK": "1",
            "SYMAPI_WAIT_FOR_BCV_BG_SPLIT": "TRUE",
            **{key: value for key, value in known.items() if value},
        }

    def command(self, tool: str, *words: str) -> Command:
        """One command line."""
        return Command((self.program(tool), *words), environment=self.environment())

    def look(self, tool: str, *words: str, deadline: Deadline) -> Completed:
        """Run what changes nothing."""
        return self._run(self.command(tool, *words), deadline.sooner(LOOK_SECONDS))

    def move(self, tool: str, *words: str, deadline: Deadline) -> Completed:
        """Run what changes something."""
        return self._run(self.command(tool, *words), deadline.sooner(MOVE_SECONDS))

    def has(self, tool: str, deadline: Deadline) -> bool:
        """Whether a program is there, by the file system's word."""
        if not self.options.path:
            raise Refused(
                f"{self.name}: nothing says where the programs are, so it cannot be asked which are there",
                hint='set path, or command = "symmir" or "symbcv"',
            )
        done = self.host.run(Command(("test", "-x", self.program(tool))), deadline.sooner(LOOK_SECONDS))
        return done.exit_code == 0

    def _run(self, command: Command, deadline: Deadline) -> Completed:
        """Run it; while its code says that something was locked, again, as long as there is time.

        It is not begun again with less time left than it may need: one that is cut off leaves an unknown outcome.
        """
        while True:
            done = self.host.run(command, deadline)
            if done.exit_code not in self.options.busy_exit_codes:
                return done
            if deadline.left() <= float(self.options.busy_pause) + 2 * done.seconds:
                raise CommandFailed(
                    f"{self.name}: SYMCLI's database was locked for all the time there was; nothing was done",
                    detail=done.tail(),
                    retryable=True,
                )
            self.pause(float(self.options.busy_pause))
