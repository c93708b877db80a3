"""The copy of one unit as a unit of its own: put together exactly as its original is, and taken apart again.

Each step is found done by who uses what: a disk is used by its mirrorset, that by the stripeset, that by the unit. So both ways
can be gone again from wherever a crash left them. What is used by anything else is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from splitmirror_drivers.arrays.hsg80_change import Change, done_if, make, one
from splitmirror_drivers.arrays.hsg80_console import Console, Rows
from splitmirror_drivers.arrays.hsg80_options import Unit
from splitmirror_drivers.arrays.hsg80_parse import Disk, Storageset, parse_disk, parse_storageset
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer


@dataclass(frozen=True)
class Copy:
    """The copy of `unit`. `expose` and `unexpose` raise Refused, CommandFailed, UnknownAnswer."""

    console: Console
    unit: Unit

    @property
    def top(self) -> str:
        """What the copy's unit is made of."""
        return self.unit.copy_stripeset or self.unit.copies[0]

    def expose_lines(self) -> tuple[str, ...]:
        """Every line, for a plan."""
        unit = self.unit
        stripe = (f"ADD STRIPESET {unit.copy_stripeset} {' '.join(unit.copies)}",) if unit.copy_stripeset else ()
        mirrors = tuple(f"ADD MIRRORSET {one.copy} {one.disk}" for one in unit.mirrorsets.values())
        return (*mirrors, *stripe, *self._unit_lines())

    def expose_undo(self) -> tuple[str, ...]:
        """What takes each of `expose_lines` back; nothing does that for the one that initializes."""
        unit = self.unit
        made = (*unit.copies, *filter(None, [unit.copy_stripeset]))
        return (*(f"DELETE {name}" for name in made), "", f"DELETE {unit.copy_unit}")

    def unexpose_lines(self) -> tuple[str, ...]:
        """Every line, for a plan."""
        names = (self.unit.copy_unit, self.unit.copy_stripeset, *self.unit.copies)
        return tuple(f"DELETE {name}" for name in names if name)

    def expose(self, deadline: Deadline) -> None:
        """Mirrorsets of the single disks, the stripeset over them, the unit."""
        for mirror in self.unit.mirrorsets.values():
            if not self._disk_is_in_copy(mirror.disk, mirror.copy, deadline):
                self._until_disk(f"ADD MIRRORSET {mirror.copy} {mirror.disk}", mirror.disk, mirror.copy, deadline)
        if self.unit.copy_stripeset:
            self._stripe(deadline)
        if self._used_by(self.top, deadline) != self.unit.copy_unit:
            initialize, add = self._unit_lines()
            self._initialize(initialize, deadline)
            self._until_used(add, self.top, self.unit.copy_unit, deadline)

    def unexpose(self, deadline: Deadline) -> None:
        """The same in reverse; what is not there is not looked for."""
        inside = [
            mirror
            for mirror in self.unit.mirrorsets.values()
            if self._disk_is_in_copy(mirror.disk, mirror.copy, deadline)
        ]
        if not inside:
            return
        self._take_off(inside[0].copy, deadline)
        for mirror in inside:
            self._used_by(mirror.copy, deadline)
            self._until_disk(f"DELETE {mirror.copy}", mirror.disk, "", deadline)

    # -- steps --

    def _unit_lines(self) -> tuple[str, str]:
        add = " ".join((f"ADD UNIT {self.unit.copy_unit} {self.top}", *self.unit.copy_switches))
        return f"INITIALIZE {self.top} NODESTROY", add

    def _initialize(self, line: str, deadline: Deadline) -> None:
        """Nothing shows that it was done; a container that is not initialized is refused as a unit.

        Without its last word the line would empty the copy, so it must have been shown whole.
        """
        told, _ = self.console.tell(line, (f"SHOW {self.top}",), one(self._parser(self.top)), deadline)
        if not told.is_framed:
            raise UnknownAnswer(
                f"{self.console.name}: whether {line!r} arrived whole is unknown, and without its last word it empties the copy",
                detail=told.said,
                hint="do not use this copy",
            )

    def _stripe(self, deadline: Deadline) -> None:
        names, stripeset = self.unit.copies, self.unit.copy_stripeset
        users = {self._used_by(name, deadline) for name in names}
        if users == {""}:
            self._until_used(f"ADD STRIPESET {stripeset} {' '.join(names)}", names[-1], stripeset, deadline)
        elif users != {stripeset}:
            raise self._foreign(
                f"{', '.join(names)} are used by {', '.join(sorted(user or 'nothing' for user in users))}"
            )
        self._used_by(stripeset, deadline)

    def _take_off(self, copy: str, deadline: Deadline) -> None:
        """The unit and the stripeset above the copy's mirrorsets."""
        user = self._used_by(copy, deadline)
        if not user:
            return
        if user == self.unit.copy_stripeset and self._used_by(user, deadline):
            self._until_used(f"DELETE {self.unit.copy_unit}", user, "", deadline)
        self._until_used(f"DELETE {user}", copy, "", deadline)

    def _until_disk(self, line: str, disk: str, user: str, deadline: Deadline) -> None:
        def parse(rows: Rows) -> Disk:
            return parse_disk(rows, disk, self.console.options.ignore)

        change = Change(line, (f"SHOW {disk}",), one(parse), lambda seen: done_if(seen.used_by == user))
        make(self.console, change, deadline)

    def _until_used(self, line: str, name: str, user: str, deadline: Deadline) -> None:
        change = Change(line, (f"SHOW {name}",), one(self._parser(name)), lambda seen: done_if(seen.used_by == user))
        make(self.console, change, deadline)

    # -- looking --

    def _disk_is_in_copy(self, disk: str, copy: str, deadline: Deadline) -> bool:
        seen = self.console.read(
            (f"SHOW {disk}",), one(lambda rows: parse_disk(rows, disk, self.console.options.ignore)), deadline
        )
        if seen.used_by not in ("", copy):
            raise self._foreign(f"{disk} is used by {seen.used_by}")
        return bool(seen.used_by)

    def _used_by(self, name: str, deadline: Deadline) -> str:
        """Who uses a storageset of the copy, when it is made of what it should be and its user is ours."""
        seen = self.console.read((f"SHOW {name}",), one(self._parser(name)), deadline)
        made_of = {one.copy: (one.disk,) for one in self.unit.mirrorsets.values()}.get(name, self.unit.copies)
        if seen.uses != made_of:
            raise self._foreign(f"{name} is made of {', '.join(seen.uses)}")
        above = self.unit.copy_unit if name == self.top else self.unit.copy_stripeset
        if seen.used_by not in ("", above):
            raise self._foreign(f"{name} is used by {seen.used_by}")
        return seen.used_by

    def _parser(self, name: str) -> Callable[[Rows], Storageset]:
        kind = "stripeset" if name == self.unit.copy_stripeset else "mirrorset"
        return lambda rows: parse_storageset(rows, name, kind, self.console.options.ignore)

    def _foreign(self, found: str) -> Refused:
        return Refused(
            f"{self.console.name}: {found}: that is not the copy of the policy, and it is left alone",
            hint=f"look with SHOW; the copy's unit is {self.unit.copy_unit}",
        )
