"""Linux LVM as an array: raid1 legs that are split off with their changes tracked, or thin or thick snapshots.

Which it is, `method` says; what a copy can be follows from it. See `lvm_mirror` and `lvm_snapshots`.
"""

from __future__ import annotations

from typing import Any

from splitmirror_drivers.arrays import lvm_options
from splitmirror_drivers.arrays.lvm_calls import ANSWERS
from splitmirror_drivers.arrays.lvm_mirror import LvmMirror
from splitmirror_drivers.arrays.lvm_options import Group, Options
from splitmirror_drivers.arrays.lvm_snapshots import LvmSnapshots
from splitmirror_drivers.catalogue import Context

__all__ = ["ANSWERS", "Group", "LvmMirror", "LvmSnapshots", "Options", "from_options"]


def from_options(name: str, options: Options, host: Any, context: Context) -> LvmMirror | LvmSnapshots:
    """The catalogue's constructor. Raises PolicyFault."""
    lvm_options.check(name, options)
    if options.method != "split-mirror":
        return LvmSnapshots(name, options, host)
    copy_host = context.host(options.copy_host) if options.copy_host else None
    return LvmMirror(name, options, host, copy_host)
