"""What a policy says of the simulator."""

from __future__ import annotations

from typing import Literal

import msgspec

from splitmirror_drivers.arrays.simulator_faults import parse_fault
from splitmirror_drivers.contracts.array import Atomic
from splitmirror_drivers.kit.units import Duration, Size

ATOMIC = {"nothing": Atomic.NOTHING, "pair": Atomic.PAIR, "group": Atomic.GROUP, "groups": Atomic.GROUPS}


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One pretend group."""

    pairs: int = 1
    size: Size = Size(2**30)
    """Bytes of all its pairs: what a full copy takes."""
    changed: Size = Size(2**26)
    """Bytes that an incremental copy takes."""
    rate: Size = Size(2**28)
    """Bytes copied in a second."""
    begins: Literal["unpaired", "split", "synced"] = "unpaired"
    """Its state before anybody asked anything of it; family mirror only."""
    devices: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """What it pretends to mirror, for coverage; empty: its `tree`, else made-up names."""
    tree: str = ""
    """A directory that is copied at the split, so that something can be presented."""

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.rate < 1:
            raise ValueError("pairs and rate are at least 1")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What the simulator pretends to be."""

    family: Literal["mirror", "point-in-time"] = "mirror"
    fixed_by: Literal["accept", "complete"] = "complete"
    atomic: Literal["nothing", "pair", "group", "groups"] = "group"
    tracks_changes: bool = True
    tracks_copy_writes: bool = True
    allows_freeze: bool = True
    settles: Duration = Duration(0)
    """How long after the split a copy may not be read yet."""
    faults: tuple[str, ...] = ()
    """What goes wrong: ``split:hang``, ``query:unknown-word``, ``establish:fail``, ``split:slow=3s`` …"""
    groups: dict[str, Group]

    def __post_init__(self) -> None:
        for text in self.faults:
            parse_fault(text)
