"""The policy table of a `zfs` array, checked when it is read; what each method is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, Traits
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation import seen as look_at

_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_DATASET = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_.:-]+)*")
SNAPSHOT, POOL_SPLIT = "snapshot", "pool-split"


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One filesystem, or some volumes; of a pool that is split, the disks that leave it.

    `dataset`: a filesystem, by its full name; `mountpoint`: where it is mounted, when its property says ``legacy``.
    `volumes`: zvols, by their full names; `show`: as a writable clone, or the snapshot itself (snapdev=visible).
    `legs`: for each mirror of the pool a disk that stays and the one that leaves, as ``zpool status -P`` prints them;
    `copy_devices`: under which path `copy-host` sees one that leaves, where that is another.
    """

    dataset: str = ""
    mountpoint: str = ""
    volumes: tuple[str, ...] = ()
    show: Literal["clone", "snapshot"] = "clone"
    legs: dict[str, str] = {}
    copy_devices: dict[str, str] = {}

    @property
    def datasets(self) -> tuple[str, ...]:
        """What a snapshot of the group is taken of."""
        return (self.dataset,) if self.dataset else self.volumes


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One pool. `clones`: the dataset below which copies are shown; `mountpoint`: the folder where filesystems are.

    `devices`: the folder of volumes' devices; `copy_host`: who sees the disks that leave; `tools`: the folder of the
    programs, where they are not on PATH.
    """

    pool: str
    groups: dict[str, Group]
    method: Literal["snapshot", "pool-split"] = "snapshot"
    clones: str = ""
    mountpoint: str = ""
    devices: str = "/dev/zvol"
    copy_host: str = ""
    tools: str = ""

    def check(self, name: str) -> None:
        """Raises PolicyFault."""
        problem = next(self._problems(), None)
        if problem:
            where, what, hint = problem
            raise PolicyFault(f"{name}{where}: {what}", hint=hint)
        for path in (self.devices, *filter(None, (self.mountpoint, *(one.mountpoint for one in self.groups.values())))):
            try:
                look_at.require_absolute(path)
            except Refused as fault:
                raise PolicyFault(f"{name}: {fault}") from fault

    def _problems(self) -> Iterator[tuple[str, str, str]]:
        if not _POOL.fullmatch(self.pool):
            yield "", f"{self.pool!r} is not the name of a pool", ""
        if not self.groups:
            yield "", "has no groups", "name at least one group"
        if self.method == POOL_SPLIT:
            yield from self._problems_of_split()
        else:
            yield from self._problems_of_snapshots()

    def _problems_of_split(self) -> Iterator[tuple[str, str, str]]:
        if len(self.groups) != 1:
            yield "", "a pool is split as a whole, so it has one group", ""
        if self.clones or self.mountpoint:
            yield "", "clones and mountpoint belong to snapshots", ""
        for name, group in self.groups.items():
            if not group.legs or group.datasets or group.mountpoint:
                yield (
                    f"/{name}",
                    "of a pool that is split wants legs alone",
                    'legs = { "DISK THAT STAYS" = "DISK THAT LEAVES" }',
                )
            both = [*group.legs, *group.legs.values()]
            if len(set(both)) != len(both) or not all(disk.startswith("/") for disk in both):
                yield f"/{name}", "legs want absolute paths, each once", "write them as zpool status -P prints them"
            if strange := set(group.copy_devices) - set(group.legs.values()):
                yield f"/{name}", f"copy-devices names {min(strange)}, which is no disk that leaves", ""

    def _problems_of_snapshots(self) -> Iterator[tuple[str, str, str]]:
        if self.copy_host:
            yield "", "snapshots are seen on their own host: copy-host belongs to pool-split", ""
        for name, group in self.groups.items():
            where = f"/{name}"
            if bool(group.dataset) == bool(group.volumes) or group.legs or group.copy_devices:
                yield where, "wants a dataset (one filesystem), or volumes", ""
            for dataset in group.datasets:
                if not _DATASET.fullmatch(dataset) or not look_at.is_under(dataset, self.pool):
                    yield where, f"{dataset!r} is not a dataset of {self.pool}", f'write its full name, "{self.pool}/…"'
            if len(set(group.datasets)) != len(group.datasets):
                yield where, "names a volume twice", ""
            if group.dataset and group.show == "snapshot":
                yield where, "a filesystem is shown as a clone", "take show out"
            if group.mountpoint and not group.dataset:
                yield where, "mountpoint belongs to a filesystem", ""
        yield from self._problems_of_clones()

    def _problems_of_clones(self) -> Iterator[tuple[str, str, str]]:
        shown = [one for group in self.groups.values() if group.show == "clone" for one in group.datasets]
        if shown and (not _DATASET.fullmatch(self.clones) or not look_at.is_under(self.clones, self.pool)):
            yield "", "does not say where clones are made", f'clones = "{self.pool}/copies", a dataset for nothing else'
        if inside := [one for one in shown if self.clones and look_at.is_under(self.clones, one)]:
            yield (
                "",
                f"clones would lie inside {inside[0]}, and be part of its copies' names",
                "give them a dataset of their own",
            )
        leaves = [leaf_of(one) for one in shown]
        if len(set(leaves)) != len(leaves):
            yield "", "two datasets would have one name as clones", ""
        if not self.mountpoint and any(group.dataset for group in self.groups.values()):
            yield "", "does not say where clones of filesystems are mounted", "mountpoint = a folder for nothing else"

    def traits(self) -> Traits:
        """What the method is."""
        return self._split_traits() if self.method == POOL_SPLIT else self._snapshot_traits()

    def _snapshot_traits(self) -> Traits:
        of_volumes = all(group.volumes for group in self.groups.values())
        are_writable = all(group.show == "clone" for group in self.groups.values())
        return Traits(
            family=Family.POINT,
            fixed_by=FixedBy.COMPLETE,
            atomic=Atomic.GROUPS,
            needs_sync=False,
            tracks_changes=False,
            tracks_copy_writes=of_volumes and are_writable,
            keeps_copies=True,
            allows_freeze=of_volumes,
            source="zfs-snapshot(8): snapshots named in one command are atomic; zfs-clone(8): a clone takes the writes, the "
            "snapshot stays; ZFS has no FIFREEZE",
        )

    def _split_traits(self) -> Traits:
        return Traits(
            family=Family.MIRROR,
            fixed_by=FixedBy.COMPLETE,
            atomic=Atomic.GROUP,
            needs_sync=True,
            tracks_changes=False,
            tracks_copy_writes=True,
            keeps_copies=False,
            allows_freeze=False,
            source="zpool-split(8); OpenZFS module/zfs/spa.c spa_vdev_split_mirror (refused while a resilver is needed, logs "
            "reset); zpool-attach(8): every attach is a full resilver, which repairs whatever was written to the copy",
        )


def leaf_of(dataset: str) -> str:
    """What a dataset is called below `clones`: its name in the pool."""
    return dataset.partition("/")[2].replace("/", ".") or dataset
