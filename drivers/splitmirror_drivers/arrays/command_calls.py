"""Running a `command` array's command lines: placeholders filled, busy tried again, codes and lines read by the policy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from splitmirror_drivers.arrays.command_options import Group, Options
from splitmirror_drivers.arrays.command_words import Line, Reading, fill, parse_lines
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, PolicyFault, Refused

COPIES = frozenset({PairState.SPLIT, PairState.SPLIT_UNTRACKED, PairState.SPLITTING})
"""States of a copy that was taken: in family point-in-time these are not the pairs that the policy counts."""


def wait(seconds: float) -> None:
    """Let time pass between two looks."""
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class Calls:
    """One array's commands on its host. `secrets`: environment variables with their values, never shown."""

    name: str
    options: Options
    host: Host
    secrets: Mapping[str, str] = field(repr=False)
    pause: Callable[[float], None]
    reading: Reading

    def group(self, name: str) -> Group:
        """The policy's group. Raises PolicyFault naming those it has."""
        if name not in self.options.groups:
            known = ", ".join(sorted(self.options.groups)) or "none"
            raise PolicyFault(f"array {self.name} has no group {name!r}", hint=f"its groups are: {known}")
        return self.options.groups[name]

    def pairs(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """The pairs of ``lines``."""
        return tuple(line.pair for line in self.lines(group, deadline))

    def lines(self, group: str, deadline: Deadline) -> tuple[Line, ...]:
        """What a query says of `group`. Raises CommandFailed, UnknownAnswer; Refused for another number of pairs."""
        what, pairs = f"{self.name}/{group}", self.group(group).pairs
        done = self.run("query", (group,), "", self.sooner("query", deadline))
        self.require("query", done, f"query of {what}")
        lines = tuple(line for line in parse_lines(done.stdout, self.reading, what) if line.group in ("", group))
        if self.options.always_prepared:
            ready = (Line(Pair(f"{group}-{n}", PairState.PREPARED, "prepared"), "", "") for n in range(1, pairs + 1))
            return (*ready, *lines)
        is_mirror = self.options.family == "mirror"
        count = sum(1 for line in lines if is_mirror or line.pair.state not in COPIES)
        if count != pairs:
            raise Refused(
                f"{what} has {count} pairs, and the policy says {pairs}",
                detail=done.tail(),
                hint="look at what was added or removed there; then mend `pairs` and the devices of the policy",
            )
        return lines

    def command(self, verb: str, groups: Sequence[str], copy: str) -> Command:
        """The command line of `verb`."""
        devices: list[str] = []
        copies: list[str] = []
        for name in groups:
            of = self.group(name)
            devices += of.devices
            copies += fill(of.copy_devices, {"group": [name], "copy": [copy]})
        values = {"group": groups, "groups": groups, "copy": [copy], "device": devices, "copy-device": copies}
        argv = fill(self.options.commands.given()[verb], values)
        return Command(argv, environment=self.options.environment, secret_environment=self.secrets)

    def run(self, verb: str, groups: Sequence[str], copy: str, deadline: Deadline) -> Completed:
        """Run one command; while its code says that the array is locked, again, as long as there is time."""
        command, pause = self.command(verb, groups, copy), float(self.options.busy_pause)
        while True:
            done = self.host.run(command, deadline)
            if done.exit_code not in self.options.busy_exit_codes:
                return done
            if deadline.left() <= pause:
                raise CommandFailed(
                    f"{self.name} was locked for all the time there was for {verb}; nothing was done",
                    detail=done.tail(),
                    retryable=True,
                )
            self.pause(pause)

    def require(self, verb: str, done: Completed, what: str) -> None:
        """CommandFailed unless the code is one of those that the policy accepts for `verb`."""
        if done.exit_code not in getattr(self.options.exit_codes, verb.replace("-", "_")):
            raise CommandFailed(f"{what} failed", detail=done.tail())

    def seconds(self, verb: str) -> float:
        """How long `verb` may take."""
        return float(getattr(self.options.deadlines, verb.replace("-", "_")))

    def sooner(self, verb: str, deadline: Deadline) -> Deadline:
        """The earlier of `deadline` and the policy's own for `verb`."""
        return deadline.sooner(self.seconds(verb))
