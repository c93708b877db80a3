"""ZFS as an array: snapshots of filesystems and volumes of one pool, or a whole pool whose mirrors are split.

Sources: zfs-snapshot(8), zfs-clone(8), zfs-hold(8), zfs-destroy(8), zpool-split(8), zpool-attach(8), zpool-status(8),
zpool-import(8) of OpenZFS 2.x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitmirror_drivers.arrays.zfs_options import POOL_SPLIT, Group, Options
from splitmirror_drivers.arrays.zfs_snapshots import ZfsSnapshots
from splitmirror_drivers.arrays.zfs_split import ZfsPool
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array

__all__ = ["Group", "Options", "from_options"]

ANSWERS: Mapping[str, str] = {}
"""Flags that only answer a prompt or rename a copy: none, as these commands ask nothing."""


def from_options(name: str, options: Options, host: Any, context: Context) -> Array:
    """The catalogue's constructor. Raises PolicyFault."""
    options.check(name)
    if options.method == POOL_SPLIT:
        return ZfsPool(name, options, host, context)
    return ZfsSnapshots(name, options, host)
