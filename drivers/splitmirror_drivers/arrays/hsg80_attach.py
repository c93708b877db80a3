"""Attaching the third disk of each mirrorset of a unit: no automatic sparing, one place more, the disk into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from splitmirror_drivers.arrays.hsg80_change import Change, done_if, make, one
from splitmirror_drivers.arrays.hsg80_console import Console
from splitmirror_drivers.arrays.hsg80_look import View
from splitmirror_drivers.arrays.hsg80_options import Unit
from splitmirror_drivers.arrays.hsg80_parse import Storageset, parse_storageset
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused


@dataclass(frozen=True)
class Attach:
    """The attaching of one unit's disks, from how it was seen. Goes on from wherever an earlier one ended."""

    console: Console
    view: View

    @staticmethod
    def lines(unit: Unit) -> tuple[str, ...]:
        """Every line, for a plan, when no other third mirror is in the mirrorsets."""
        places = unit.members + 1
        return tuple(
            line
            for name, mirror in unit.mirrorsets.items()
            for line in (f"SET {name} NOPOLICY", f"SET {name} MEMBERSHIP={places}", f"SET {name} REPLACE={mirror.disk}")
        )

    def run(self, deadline: Deadline) -> None:
        """Everything is looked at before the first line is sent."""
        todo = [name for name, mirror in self.view.unit.mirrorsets.items() if not self._is_inside(name, mirror.disk)]
        for name in todo:
            self._require_attachable(name)
        for name in todo:
            self._attach(name, deadline)

    def _is_inside(self, name: str, disk: str) -> bool:
        return disk in self.view.mirrorsets[name].uses

    def _require_attachable(self, name: str) -> None:
        mirror, seen = self.view.unit.mirrorsets[name], self.view.mirrorsets[name]
        if user := self.view.disks[mirror.disk].used_by:
            raise Refused(
                f"{self.console.name}: {mirror.disk} is still shown as a copy, in {user}",
                hint=f"withdraw the copy first; its unit is {self.view.unit.copy_unit}",
            )
        places = self.view.places_of(name)
        if seen.membership not in (places - 1, places):
            raise Refused(
                f"{self.console.name}: {name} has places for {seen.membership} members, and with {mirror.disk} it is to have "
                f"{places}",
                hint="look at who changed it; then mend `members` in the policy",
            )

    def _attach(self, name: str, deadline: Deadline) -> None:
        """NOPOLICY is proven before a place is made, since a spare would be put into it otherwise."""
        disk, places = self.view.unit.mirrorsets[name].disk, self.view.places_of(name)
        seen = self.view.mirrorsets[name]
        if not seen.is_nopolicy:
            seen = self._set(name, "NOPOLICY", lambda one: one.is_nopolicy, deadline)
        if seen.membership < places:
            seen = self._set(name, f"MEMBERSHIP={places}", lambda one: one.membership == places, deadline)
        if seen.present >= places:
            raise Refused(
                f"{self.console.name}: {name} has {', '.join(seen.uses)}, and no place for {disk}",
                hint="somebody, or automatic sparing, has added a member; look at who it was",
            )
        self._set(name, f"REPLACE={disk}", lambda one: disk in one.uses, deadline)

    def _set(self, name: str, switch: str, is_done: Callable[[Storageset], bool], deadline: Deadline) -> Storageset:
        ignore = self.console.options.ignore
        change = Change(
            f"SET {name} {switch}",
            (f"SHOW {name}",),
            one(lambda rows: parse_storageset(rows, name, "mirrorset", ignore)),
            lambda seen: done_if(is_done(seen)),
        )
        return make(self.console, change, deadline)
