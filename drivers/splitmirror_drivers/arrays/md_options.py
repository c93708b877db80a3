"""The policy table of an `md` array."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.arrays.mirror_proof import Policy
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation.seen import require_absolute

Show = Literal["loop", "disk"]
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")


class PairOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One `array`, and the `leg` that is taken out of it: block devices of the array's host.

    `copy_leg`: the leg as the copy host names it (default: the same).
    """

    array: str
    leg: str
    copy_leg: str = ""


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The arrays of a group."""

    pairs: tuple[PairOptions, ...]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups by name.

    `copy_host`: another host that sees the legs, where the copy is shown. `show`: as a read-only loop device over the
    leg's data, or the leg's disk itself. `verify_after_merge`: when the legs are compared before one that came back
    counts as in sync. `notes`: a folder on the array's host where that is written down.
    """

    groups: dict[str, Group]
    copy_host: str = ""
    show: Show = "loop"
    verify_after_merge: Policy = "after-crash"
    notes: str = "/var/lib/splitmirror/md"
    proc: str = "/proc"
    sys: str = "/sys"


def check(name: str, options: Options) -> None:
    """Raises PolicyFault for what can be seen to be wrong without asking a host."""
    for path in (options.notes, options.proc, options.sys):
        _require_path(name, path)
    for group, table in options.groups.items():
        where = f"{name}/{group}"
        if not table.pairs:
            raise PolicyFault(f"{where}: pairs names no array")
        devices = [device for pair in table.pairs for device in (pair.array, pair.leg)]
        for device in (*devices, *(pair.copy_leg for pair in table.pairs if pair.copy_leg)):
            _require_path(where, device)
        if len(set(devices)) < len(devices):
            raise PolicyFault(f"{where}: one device is named twice")
        if any(pair.copy_leg for pair in table.pairs) and not options.copy_host:
            raise PolicyFault(f"{where}: copy-leg needs a copy-host")
    paths = [pair.array for table in options.groups.values() for pair in table.pairs]
    if len(set(paths)) < len(paths):
        raise PolicyFault(f"{name}: an array is in two groups")


def _require_path(where: str, path: str) -> None:
    try:
        require_absolute(path)
    except Refused as fault:
        raise PolicyFault(f"{where}: {fault}") from fault
