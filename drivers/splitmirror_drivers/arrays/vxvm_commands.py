"""The commands that attach, break off and reattach, in either way of taking snapshots.

What restores a volume from its snapshot is named here too, for a person: nothing runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from splitmirror_drivers.arrays.vxvm_options import Group
from splitmirror_drivers.contracts.array import Move

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Commands:
    """Those of instant snapshots (``vxsnap``), or of traditional ones (``vxassist``)."""

    method: Literal["vxsnap", "vxassist"]

    def attach(self, of: Group, volume: str) -> Words:
        """A new mirror, in the background: everything is copied."""
        disks = of.disks.get(volume, ())
        alloc = (f"alloc={','.join(disks)}",) if disks else ()
        if self.method == "vxsnap":
            return ("vxsnap", "-b", "-g", of.disk_group, "addmir", volume, "nmirror=1", *alloc)
        return ("vxassist", "-b", "-g", of.disk_group, "snapstart", volume, *alloc)

    def reattach(self, of: Group, volume: str) -> Words:
        """A snapshot becomes a mirror again, in the background: with FastResync only what changed is copied."""
        name = of.snapshot(volume)
        if self.method == "vxsnap":
            return ("vxsnap", "-b", "-g", of.disk_group, "reattach", name, f"source={volume}", "nmirror=1")
        return ("vxassist", "-b", "-g", of.disk_group, "snapback", name)

    def make(self, of: Group) -> Words:
        """The snapshots of all volumes, in one command."""
        if self.method == "vxsnap":
            tuples = [f"source={volume}/newvol={of.snapshot(volume)}/nmirror=1" for volume in of.volumes]
            return ("vxsnap", "-g", of.disk_group, "make", *tuples)
        return ("vxassist", "-g", of.disk_group, "-o", f"name=%v{of.suffix}", "snapshot", *of.volumes)

    def restore(self, of: Group, volume: str) -> Words:
        """What a person runs to put a copy back."""
        name = of.snapshot(volume)
        if self.method == "vxsnap":
            return ("vxsnap", "-g", of.disk_group, "restore", volume, f"source={name}")
        return ("vxassist", "-g", of.disk_group, "-o", "resyncfromreplica", "snapback", name)

    def of_move(self, move: Move, of: Group) -> Sequence[Words]:
        """What a move runs, where the group is as it usually is then."""
        away = of.copy_disk_group
        if move is Move.ESTABLISH:
            return [self.attach(of, volume) for volume in of.volumes]
        if move is Move.REATTACH:
            return [self.reattach(of, volume) for volume in of.volumes]
        if move is Move.SPLIT:
            return [self.make(of)]
        if move is Move.EXPOSE and away:
            return [("vxdg", "split", of.disk_group, away, *of.snapshots), ("vxdg", "deport", away)]
        if move is Move.UNEXPOSE and away:
            return [("vxdg", "import", away), ("vxdg", "join", away, of.disk_group)]
        return []
