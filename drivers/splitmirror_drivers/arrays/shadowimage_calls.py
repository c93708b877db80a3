"""Running RAID Manager's commands: the instance and local copy named each time, a busy array asked again.

Without HORCC_MRCF a command would address remote copy, so no command is made anywhere but here.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass

from splitmirror_drivers.arrays.shadowimage_codes import BUSY, CODES, DAEMON, name_of
from splitmirror_drivers.arrays.shadowimage_options import Group, Options, ldev
from splitmirror_drivers.arrays.shadowimage_parse import Row, Seen, pair_up, parse_display
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, PolicyFault, Refused, UnknownAnswer

COMMAND_SECONDS = 60.0


def wait(seconds: float) -> None:
    """Let time pass between two looks."""
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class Calls:
    """One instance's commands on its host."""

    name: str
    options: Options
    host: Host
    pause: Callable[[float], None] = wait

    def group(self, name: str) -> Group:
        """The policy's group. Raises PolicyFault naming those it has."""
        if name not in self.options.groups:
            raise PolicyFault(
                f"array {self.name} has no group {name!r}", hint=f"its groups are: {', '.join(self.options.groups)}"
            )
        return self.options.groups[name]

    def command(self, tool: str, group: str, *words: str) -> Command:
        """One command line for one group, with everything that says whom it is for."""
        program = f"{self.options.tools.rstrip('/')}/{tool}" if self.options.tools else tool
        environment = {"LC_ALL": "C", "HORCMINST": str(self.options.instance), "HORCC_MRCF": "1"}
        return Command((program, "-g", group, *words), environment=environment)

    def line(self, tool: str, group: str, *words: str) -> str:
        """The same as a line that can be pasted."""
        command = self.command(tool, group, *words)
        said = [f"{key}={value}" for key, value in command.environment.items() if key != "LC_ALL"]
        return f"{' '.join(said)} {shlex.join(command.argv)}"

    def once(self, deadline: Deadline, tool: str, group: str, *words: str) -> Completed:
        """Run one command, whatever its code says."""
        return self.host.run(self.command(tool, group, *words), deadline.sooner(COMMAND_SECONDS))

    def run(self, deadline: Deadline, tool: str, group: str, *words: str) -> Completed:
        """Run one that may be repeated: while the array is busy again, for ``busy-limit``. Raises CommandFailed."""
        limit, pause = deadline.sooner(self.options.busy_limit), float(self.options.busy_pause)
        while True:
            done = self.once(deadline, tool, group, *words)
            if done.exit_code == 0:
                return done
            if done.exit_code not in BUSY or limit.left() <= pause:
                raise self.failed(f"{tool} of {self.name}/{group}", done)
            self.pause(pause)

    def failed(self, what: str, done: Completed) -> CommandFailed:
        """The fault for a code that says that nothing was done."""
        hint = ""
        if done.exit_code in DAEMON:
            number = self.options.instance
            hint = (
                f"look at the instances on both hosts: `HORCMINST={number} horcmgr -check` (exit code 1: it runs); "
                f"`horcmstart.sh {number}` starts one. EX_ENORMT means the partner's"
            )
        elif done.exit_code == CODES["EX_ENOGRP"]:
            hint = f"horcm{self.options.instance}.conf has no such group, or was changed after the instance was started"
        elif done.exit_code == CODES["EX_ENAUTH"]:
            hint = "log in to the array: raidcom -login"
        elif done.exit_code in BUSY:
            hint = "the array was busy or locked all the time; who holds the resource lock: raidcom get resource"
        return CommandFailed(
            f"{what} failed: {name_of(done.exit_code)}",
            detail=done.tail(),
            hint=hint,
            retryable=done.exit_code in BUSY,
        )

    def pairs(self, group: str, deadline: Deadline) -> tuple[Seen, ...]:
        """Every pair of `group`, both sides. Raises Refused when they are not those of the policy."""
        what, flags = f"{self.name}/{group}", "-fcxe" if self.options.consistency_group else "-fcx"
        self.group(group)
        done = self.run(deadline, "pairdisplay", group, flags, "-CLI")
        rows = parse_display(done.stdout, group)
        self._require_members(what, group, rows, done)
        seen = pair_up(
            rows,
            what,
            sees_primary=self.options.sees == "p-vol",
            is_thin=self.options.product == "thin-image",
        )
        self._require_primaries(what, group, seen)
        return seen

    def _require_members(self, what: str, group: str, rows: tuple[Row, ...], done: Completed) -> None:
        of, found = self.group(group), list(dict.fromkeys(row.pair for row in rows))
        if len(found) == of.count and (not of.names or set(found) == set(of.names)):
            return
        wanted = ", ".join(of.names) or f"{of.count} pairs"
        raise Refused(
            f"{what} has {', '.join(found) or 'no pairs'}, and the policy says {wanted}",
            detail=done.tail(),
            hint="look at what was added or removed there; then mend `pairs` and the devices of the policy",
        )

    def _require_primaries(self, what: str, group: str, seen: tuple[Seen, ...]) -> None:
        for pair in seen:
            if self.options.serial and pair.primary.serial.lstrip("0") != self.options.serial.lstrip("0"):
                raise Refused(
                    f"{what}: {pair.name} is on the array {pair.primary.serial}, and the policy says {self.options.serial}",
                    hint="`instance`, or its horcm file, is not what the policy was written for; nothing was sent",
                )
            wanted = self.group(group).primaries.get(pair.name)
            if wanted is not None and wanted != ldev(pair.primary.ldev):
                raise Refused(
                    f"{what}: the P-VOL of {pair.name} would be {pair.primary.ldev}, and the policy says {wanted:04x}",
                    hint="`sees` or the horcm files are not what the policy was written for; nothing was sent",
                )

    def require_one_moment(self, group: str, seen: tuple[Seen, ...]) -> None:
        """With ``consistency-group``: all pairs are in one. Raises Refused for what the display does not show."""
        if not self.options.consistency_group:
            return
        groups = {pair.name: pair.primary.group_id for pair in seen}
        if len(set(groups.values())) == 1 and all(groups.values()):
            return
        raise Refused(
            f"{self.name}/{group} is to be one consistency group, and it is not shown to be one",
            detail=", ".join(f"{name}: CTG {number or '-'}" for name, number in groups.items()),
            hint="pairs get their consistency group when they are made (paircreate -m grp); "
            "or set consistency-group = false, and every filesystem on it must be frozen",
        )

    def unknown(self, what: str, done: Completed) -> UnknownAnswer:
        """The fault for a command that may have done something."""
        return UnknownAnswer(f"{what}: {name_of(done.exit_code)}", detail=done.tail())
