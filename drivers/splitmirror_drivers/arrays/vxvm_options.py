"""The policy table of a `vxvm` array, checked when it is read."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, Traits
from splitmirror_drivers.kit.errors import PolicyFault
from splitmirror_drivers.presentation.vxvm_tools import NAME

MOST_LETTERS = 31
_SUFFIX = re.compile(r"[A-Za-z0-9_.-]+")
SOURCE = (
    "VERITAS Volume Manager Administrator's Guides 4.1, 5.0, 5.0.1, 5.1 SP1, volume snapshots, FastResync; FlashSnap guide "
    "5.0.1. Snapshots of several volumes in one command: no source says that they are of one moment, so each counts alone"
)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Some `volumes` of one `disk_group`; each snapshot is called as its volume and the `suffix`.

    `copy_disk_group`: the disk group that the snapshots are split off into, so that another host can import it ("": they
    stay where they are). `disks`: on which disks the mirror of a volume is made, by its name.
    """

    disk_group: str
    volumes: tuple[str, ...]
    suffix: str = "_copy"
    copy_disk_group: str = ""
    disks: dict[str, tuple[str, ...]] = {}

    def snapshot(self, volume: str) -> str:
        """What the snapshot of a volume is called."""
        return f"{volume}{self.suffix}"

    @property
    def snapshots(self) -> tuple[str, ...]:
        """All snapshots, in the order of their volumes."""
        return tuple(self.snapshot(volume) for volume in self.volumes)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`method`: instant snapshots, or the traditional ones of ``vxassist``. `copy_host`: who imports the copy's disk group.

    `tracks_changes`: volumes have persistent FastResync, which is asked of each all the same. `allows_freeze`: the
    filesystems may be frozen while the snapshots are made. `tools`: the folder of VxVM's programs.
    """

    groups: dict[str, Group]
    method: Literal["vxsnap", "vxassist"] = "vxsnap"
    copy_host: str = ""
    tracks_changes: bool = True
    allows_freeze: bool = False
    tools: str = ""
    busy_exit_codes: tuple[int, ...] = (10, 13)

    def traits(self) -> Traits:
        """What this array is."""
        return Traits(
            family=Family.MIRROR,
            fixed_by=FixedBy.COMPLETE,
            atomic=Atomic.PAIR,
            needs_sync=True,
            tracks_changes=self.tracks_changes,
            tracks_copy_writes=True,
            keeps_copies=False,
            allows_freeze=self.allows_freeze,
            source=SOURCE,
        )

    def check(self, name: str) -> None:
        """Raise PolicyFault for what cannot be meant."""
        if self.tools and not self.tools.startswith("/"):
            raise PolicyFault(f"{name}: tools is the folder of VxVM's programs, not {self.tools!r}")
        if 0 in self.busy_exit_codes:
            raise PolicyFault(f"{name}: busy-exit-codes are codes of a command that failed, and 0 is none")
        if not self.groups:
            raise PolicyFault(f"{name} has no groups")
        for group, of in self.groups.items():
            _check_group(f"{name}/{group}", of)
        self._check_together(name)

    def _check_together(self, name: str) -> None:
        """What only shows when the groups are looked at side by side."""
        volumes = [(of.disk_group, volume) for of in self.groups.values() for volume in of.volumes]
        if twice := next((one for one in volumes if volumes.count(one) > 1), None):
            raise PolicyFault(
                f"{name}: the volume {twice[1]} of {twice[0]} is named twice",
                hint="a volume has one mirror here; its mirrors cannot be told apart",
            )
        away = [of.copy_disk_group for of in self.groups.values() if of.copy_disk_group]
        if len(set(away)) != len(away) or set(away) & {of.disk_group for of in self.groups.values()}:
            raise PolicyFault(f"{name}: each copy-disk-group needs a name of its own")
        if self.copy_host and len(away) != len(self.groups):
            raise PolicyFault(f"{name}: copy-host needs a copy-disk-group in each group: another host imports that")


def _check_group(what: str, of: Group) -> None:
    if not of.volumes:
        raise PolicyFault(f"{what}: it needs a volume at least")
    for name in (of.disk_group, *of.volumes, *filter(None, (of.copy_disk_group,))):
        if not NAME.fullmatch(name):
            raise PolicyFault(f"{what}: {name!r} is not a name that VxVM allows")
    if not _SUFFIX.fullmatch(of.suffix):
        raise PolicyFault(f"{what}: suffix = {of.suffix!r} cannot end a volume's name")
    if long := [name for name in of.snapshots if len(name) > MOST_LETTERS]:
        raise PolicyFault(f"{what}: {long[0]} has more than {MOST_LETTERS} letters", hint="give a shorter suffix")
    if both := set(of.snapshots) & set(of.volumes):
        raise PolicyFault(f"{what}: {min(both)} would be a volume and a snapshot")
    if strange := sorted(set(of.disks) - set(of.volumes)):
        raise PolicyFault(f"{what}: disks names {strange[0]}, which volumes does not")
    if bad := [disk for disks in of.disks.values() for disk in disks if not NAME.fullmatch(disk)]:
        raise PolicyFault(f"{what}: {bad[0]!r} is not the name of a disk")
