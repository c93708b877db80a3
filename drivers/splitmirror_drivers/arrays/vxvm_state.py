"""In which state each volume's copy is, from the records of its disk group and the list of all disks.

A copy is in one of three places: as a mirror on its volume (a snapshot plex), as a snapshot volume beside it, or in the
disk group that was split off. In two of them at once is nothing that this driver makes. Words of plexes: VERITAS Volume
Manager Administrator's Guide 5.0 pp. 326-353, "plex states"; snap objects stand for persistent FastResync (guide 4.1
p. 317): where a volume and its snapshot do not have them on each other, the next attach copies everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from splitmirror_drivers.arrays.vxvm_options import Group
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused
from splitmirror_drivers.presentation.vxvm_tools import DETACHED, ENABLED, Disk, Plex, Records, VxvmTools, of_group

MIRROR_WORDS = {
    "SNAPATT": PairState.ATTACHING,
    "SNAPTMP": PairState.ATTACHING,
    "SNAPDONE": PairState.SYNCED,
}
REGULAR_WORDS = frozenset({"ACTIVE", "CLEAN", "LOG"})
"""Of plexes that are no snapshot's; and of volumes that may be read when they are started."""
BROKEN_WORDS = frozenset({"NODEVICE", "REMOVED", "IOFAIL", "STALE", "OFFLINE", "RECOVER"})
NONE = "no snapshot plex"
ON = "on"
"""What ``vxprint`` says of a volume whose FastResync is on."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One volume's copy. `is_home`: it is a volume in the original's disk group; `is_tracked`: with persistent FastResync."""

    volume: str
    snapshot: str
    state: PairState
    word: str
    is_home: bool = False
    is_tracked: bool = False

    def pair(self, of: Group) -> Pair:
        """What `query` answers for it."""
        state = self.state
        if state is PairState.SPLIT and not self.is_tracked:
            state = PairState.SPLIT_UNTRACKED
        group = of.disk_group if self.is_home or not of.copy_disk_group else of.copy_disk_group
        return Pair(self.volume, state, self.word, f"{of.disk_group}/{self.volume}", f"{group}/{self.snapshot}")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a group. `away`: the disks of the disk group that was split off; only asked where it may be."""

    records: Records
    copies: tuple[Copy, ...]
    away: tuple[Disk, ...]

    @property
    def home(self) -> tuple[Copy, ...]:
        """Copies that are snapshot volumes in the original's disk group."""
        return tuple(copy for copy in self.copies if copy.is_home)


def look(vxvm: VxvmTools, what: str, of: Group, deadline: Deadline) -> Look:
    """Every volume of a group with its copy; `what` names array and group. Raises Refused when a volume is missing."""
    records = vxvm.records(of.disk_group, deadline)
    if missing := [volume for volume in of.volumes if volume not in records.volumes]:
        raise Refused(
            f"{what}: the disk group {of.disk_group} has no volume {', '.join(missing)}",
            detail=f"it has: {', '.join(records.data)}",
            hint="put the policy right, or find out what became of it",
        )
    here = [_here(records, of, volume) for volume in of.volumes]
    away: tuple[Disk, ...] = ()
    if of.copy_disk_group and not all(here):
        away = of_group(vxvm.disks(deadline), of.copy_disk_group)
    found = [_one(copies, records, of, volume, away) for volume, copies in zip(of.volumes, here, strict=True)]
    if any(copy.state is PairState.SPLIT and copy.is_tracked for copy in found):
        found = _asked(found, _fastresync(vxvm, of, deadline))
    return Look(records, tuple(found), away)


def _here(records: Records, of: Group, volume: str) -> list[Copy]:
    """What there is of a volume's copy in its own disk group. A plex that failed may be the volume's own: not counted."""
    plexes = [plex for plex in records.plexes if plex.volume == volume]
    found = [_mirror(of, volume, plex) for plex in plexes if plex.state not in REGULAR_WORDS | BROKEN_WORDS]
    if of.snapshot(volume) in records.volumes:
        found.append(_snapshot(records, of, volume))
    return found


def _mirror(of: Group, volume: str, plex: Plex) -> Copy:
    state = MIRROR_WORDS.get(plex.state, PairState.UNKNOWN)
    if plex.kernel != ENABLED and state is not PairState.UNKNOWN:
        state = PairState.BROKEN
    return Copy(volume, of.snapshot(volume), state, _told(plex))


def _told(plex: Plex) -> str:
    return plex.state if plex.kernel == ENABLED else f"{plex.kernel} {plex.state}"


def _snapshot(records: Records, of: Group, volume: str) -> Copy:
    name = of.snapshot(volume)
    one = records.volumes[name]
    plexes = [plex for plex in records.plexes if plex.volume == name]
    words = [one.state, *(plex.state for plex in plexes)]
    odd = [word for word in words if word not in REGULAR_WORDS]
    state, word = PairState.SPLIT, f"{one.kernel} {one.state}"
    if any(word in BROKEN_WORDS for word in odd) or one.kernel == DETACHED or not plexes:
        state = PairState.BROKEN
    elif odd:
        state = PairState.UNKNOWN
    if odd:
        word = f"{one.kernel} {' '.join(odd)}"
    links = {(snap.of, snap.other) for snap in records.snaps}
    return Copy(volume, name, state, word, is_home=True, is_tracked={(volume, name), (name, volume)} <= links)


def _one(here: Sequence[Copy], records: Records, of: Group, volume: str, away: Sequence[Disk]) -> Copy:
    """The volume's copy, of all that was found. What is in two places is MIXED."""
    if len(here) > 1:
        return Copy(volume, of.snapshot(volume), PairState.MIXED, " + ".join(copy.word for copy in here))
    if here:
        return here[0]
    name = of.snapshot(volume)
    linked = any(snap.of == volume and _is_of(snap.name, snap.other, name) for snap in records.snaps)
    where = f"in {of.copy_disk_group}" + ("" if all(disk.is_imported for disk in away) else ", deported")
    if away and (linked or volume not in records.tracked):
        return Copy(volume, name, PairState.SPLIT, where, is_tracked=linked)
    if linked:
        return Copy(volume, name, PairState.UNKNOWN, f"{name} is in no disk group that is seen")
    failed = [plex for plex in records.plexes if plex.volume == volume and plex.state in BROKEN_WORDS]
    if failed:
        return Copy(volume, name, PairState.BROKEN, _told(failed[0]))
    return Copy(volume, name, PairState.UNPAIRED, NONE)


def _is_of(snap: str, other: str, name: str) -> bool:
    """Whether a snap object leads to that volume, also when the volume is out of sight: it is called after it."""
    return other == name or (other == "-" and re.fullmatch(re.escape(name) + r"_snp\d*", snap) is not None)


def _fastresync(vxvm: VxvmTools, of: Group, deadline: Deadline) -> Mapping[str, str]:
    """Whether FastResync is on for each volume; empty where this release of ``vxprint`` cannot say, and snap objects decide."""
    argv = ("vxprint", "-g", of.disk_group, "-F%name %fastresync", *of.volumes)
    done = vxvm.run(argv, deadline)
    if done.exit_code != 0:
        return {}
    words = [line.split() for line in done.stdout.splitlines()]
    return {row[0]: row[1] for row in words if len(row) == 2}


def _asked(found: Sequence[Copy], said: Mapping[str, str]) -> list[Copy]:
    """The same copies; those whose volume has FastResync off, or says anything but on, are not tracked."""
    if not said:
        return list(found)
    return [replace(one, is_tracked=one.is_tracked and said.get(one.volume) == ON) for one in found]
