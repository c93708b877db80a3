"""What the controller says of a group: every mirrorset with its third mirror, as pairs with the common states.

A disk that is in its mirrorset is attaching or in sync; one that is unused, or in the mirrorset that shows it as a copy, is
split off. The controller keeps no record of splits, so a disk that never was attached looks the same as one that was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.hsg80_console import Console, Rows
from splitmirror_drivers.arrays.hsg80_options import Options, Unit
from splitmirror_drivers.arrays.hsg80_parse import (
    COPYING,
    NORMAL,
    NORMALIZING,
    Disk,
    Member,
    Storageset,
    parse_disk,
    parse_storageset,
)
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused

SPLIT = PairState.SPLIT_UNTRACKED
KNOWN = (NORMAL, NORMALIZING, COPYING)


@dataclass(frozen=True, slots=True)
class View:
    """One unit as it was shown. `stripeset` is None where the unit is its one mirrorset.

    `thirds`: every disk of the policy that is a third mirror, of this group or another one.
    """

    name: str
    unit: Unit
    thirds: frozenset[str]
    stripeset: Storageset | None
    mirrorsets: Mapping[str, Storageset]
    disks: Mapping[str, Disk]

    def pairs(self) -> tuple[Pair, ...]:
        """One pair for each mirrorset, named by it."""
        return tuple(self._pair(name) for name in self.unit.mirrorsets)

    def percents(self) -> tuple[int, ...]:
        """What each third mirror shows of its copying, 100 when it is in sync; -1 where nothing is shown."""
        found = []
        for name, mirror in self.unit.mirrorsets.items():
            member = self.mirrorsets[name].member(mirror.disk)
            found.append(-1 if member is None else 100 if member.word == NORMAL else member.percent)
        return tuple(found)

    def _pair(self, name: str) -> Pair:
        mirror, of = self.unit.mirrorsets[name], self.mirrorsets[name]
        member = of.member(mirror.disk)
        if mirror.disk in of.uses:
            state, word = self._inside(of, mirror.disk, member)
        else:
            state, word = self._outside(of, mirror.copy, self.disks[mirror.disk])
        return Pair(f"{self.name}/{name}", state, word, self.name, mirror.disk)

    def own_of(self, name: str) -> list[Member]:
        """The members that a mirrorset has without any third mirror."""
        return [one for one in self.mirrorsets[name].members if one.name not in self.thirds]

    def places_of(self, name: str) -> int:
        """How many places a mirrorset has once this third mirror is in it."""
        mirror = self.unit.mirrorsets[name]
        others = [disk for disk in self.mirrorsets[name].uses if disk in self.thirds and disk != mirror.disk]
        return self.unit.members + len(others) + 1

    def _inside(self, of: Storageset, disk: str, member: Member | None) -> tuple[PairState, str]:
        if member is None:
            return PairState.UNKNOWN, of.state or "no state"
        word = member.word if member.percent < 0 else f"{member.word} {member.percent}%"
        others = [one.word for one in self.own_of(of.name)]
        if strange := [one.word for one in of.members if one.word not in KNOWN]:
            return PairState.UNKNOWN, word if member.word in strange else f"{word}, and another member is {strange[0]}"
        if self.disks[disk].used_by != of.name:
            return PairState.UNKNOWN, f"{word}, and the disk says {self.disks[disk].used_by or 'unused'}"
        if len(others) != self.unit.members or NORMAL not in others:
            return PairState.BROKEN, f"{word}, {others.count(NORMAL)} of {self.unit.members} other members NORMAL"
        return (PairState.SYNCED if member.word == NORMAL else PairState.ATTACHING), word

    def _outside(self, of: Storageset, copy: str, disk: Disk) -> tuple[PairState, str]:
        if strange := [one.word for one in of.members if one.word not in KNOWN]:
            return PairState.UNKNOWN, f"a member is {strange[0]}"
        own = self.own_of(of.name)
        if len(own) != self.unit.members or NORMAL not in {one.word for one in own}:
            return PairState.BROKEN, f"outside, {len(own)} of {self.unit.members} members in {of.name} ({of.state})"
        if disk.used_by in ("", copy):
            return SPLIT, f"in {copy}" if disk.used_by else "unused"
        return PairState.BROKEN, f"in {disk.used_by}"


def lines_of(unit: Unit) -> list[str]:
    """The SHOW lines of a view."""
    names = [*([unit.stripeset] if unit.stripeset else []), *unit.mirrorsets, *unit.disks]
    return [f"SHOW {name}" for name in names]


def view_of(name: str, unit: Unit, replies: Sequence[Rows], options: Options) -> View:
    """A view out of the replies to `lines_of`. Raises UnknownAnswer."""
    left, ignore = list(replies), options.ignore
    stripeset = parse_storageset(left.pop(0), unit.stripeset, "stripeset", ignore) if unit.stripeset else None
    mirrorsets = {key: parse_storageset(left.pop(0), key, "mirrorset", ignore) for key in unit.mirrorsets}
    disks = {key: parse_disk(left.pop(0), key, ignore) for key in unit.disks}
    return View(name, unit, options.thirds(), stripeset, mirrorsets, disks)


def look(console: Console, units: Mapping[str, Unit], deadline: Deadline) -> tuple[View, ...]:
    """Every unit, in one session where that may be. Raises Refused when a unit is not made of what the policy says."""
    lines = [line for unit in units.values() for line in lines_of(unit)]

    def parse(replies: Sequence[Rows]) -> tuple[View, ...]:
        views, at = [], 0
        for name, unit in units.items():
            end = at + len(lines_of(unit))
            views.append(view_of(name, unit, replies[at:end], console.options))
            at = end
        return tuple(views)

    views = console.read(lines, parse, deadline)
    for view in views:
        _require_made_of(console.name, view)
    return views


def _require_made_of(array: str, view: View) -> None:
    """Drift: what was added to the unit and not to the policy, or the other way round."""
    above = view.name
    if view.stripeset is not None:
        above = view.stripeset.name
        if view.stripeset.uses != tuple(view.unit.mirrorsets):
            raise _drift(array, view, f"{above} uses {', '.join(view.stripeset.uses)}")
        if view.stripeset.used_by != view.name:
            raise _drift(array, view, f"{above} is used by {_who(view.stripeset.used_by)}")
    for one in view.mirrorsets.values():
        if one.used_by != above:
            raise _drift(array, view, f"{one.name} is used by {_who(one.used_by)}")


def _who(used_by: str) -> str:
    return used_by or "nothing"


def _drift(array: str, view: View, found: str) -> Refused:
    made_of = ", ".join(view.unit.mirrorsets)
    within = f"{view.unit.stripeset} of {made_of}" if view.unit.stripeset else made_of
    return Refused(
        f"{array}: {found}, and the policy says that {view.name} is {within}",
        hint="look at what was changed there; then mend the unit in the policy",
    )


def pairs_of(views: Sequence[View]) -> tuple[Pair, ...]:
    """All pairs of these units."""
    return tuple(pair for view in views for pair in view.pairs())


def words(pairs: Sequence[Pair]) -> str:
    """Each pair with the controller's own word."""
    return ", ".join(f"{pair.name}: {pair.copy} {pair.word}" for pair in pairs)
