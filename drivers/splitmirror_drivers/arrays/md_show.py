"""How a leg that is out of its array is shown: a read-only loop device over its data, or the disk itself.

The superblock makes the whole disk an array's member to everybody who looks, wherever it lies, so that only a loop device
over the data alone can be mounted. Its size is the array's, its beginning what the superblock says (``mdadm --examine``).
Tried with mdadm 4.2, util-linux 2.38, Linux 6.1, metadata 1.0 and 1.2. md takes a leg back though a loop device is open
over it, so that is asked before.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from splitmirror_drivers.arrays import md_report as report
from splitmirror_drivers.arrays.md_calls import Calls
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

SECTOR, KIB = 512, 1024
AT_THE_END = ("1.0", "0.90")
"""Superblocks behind the data: only then the data begins where the disk begins."""


class _Loop(msgspec.Struct, frozen=True, rename="kebab"):
    name: str
    offset: int
    sizelimit: int
    ro: bool | int | str

    @property
    def is_read_only(self) -> bool:
        return self.ro in (True, 1, "1")


class _Loops(msgspec.Struct, frozen=True):
    loopdevices: tuple[_Loop, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """Shows the legs on one host."""

    calls: Calls

    def show(self, leg: str, uuid: str, size_kib: int, deadline: Deadline) -> str:
        """The block device with the copy's data. Safe to repeat. Raises Refused for a disk that is not this leg."""
        if report.uuid_of(self.calls.leg(leg, deadline)) != uuid:
            raise Refused(
                f"{self.calls.name}: {leg} on {self.calls.host.name} is not a leg of that array",
                hint="name the leg as that host sees it: copy-leg",
            )
        self.calls.protect(leg, deadline)
        # md wrote to the disk past its buffers, which may hold an older copy
        self.calls.require(("blockdev", "--flushbufs", leg), deadline, f"flushing the buffers of {leg}")
        if self.calls.options.show == "disk":
            return leg
        offset, size = self.calls.offset(leg, deadline) * SECTOR, size_kib * KIB
        for loop in self._loops(leg, deadline):
            if loop.is_read_only and (loop.offset, loop.sizelimit) == (offset, size):
                return loop.name
        bounds = ("--offset", str(offset), "--sizelimit", str(size))
        argv = ("losetup", "--read-only", *bounds, "--find", "--show", leg)
        return self.calls.require(argv, deadline, f"showing {leg}").stdout.strip()

    def hide(self, leg: str, deadline: Deadline) -> None:
        """Take every read-only loop device over a leg away, and see that nobody uses the leg. Raises InUse. Safe to repeat."""
        for loop in self._loops(leg, deadline) if self.calls.options.show == "loop" else ():
            if loop.is_read_only:
                what = f"{self.calls.name}: the copy on {loop.name}"
                look_at.refuse_users(what, look_at.users(self.calls.host, deadline, loop.name))
                self.calls.require(("losetup", "--detach", loop.name), deadline, f"detaching {loop.name}")
        self.calls.refuse_users(leg, deadline)

    def _loops(self, leg: str, deadline: Deadline) -> tuple[_Loop, ...]:
        argv = ("losetup", "--json", "--output", "NAME,OFFSET,SIZELIMIT,RO", "--associated", leg)
        done = self.calls.require(argv, deadline, f"asking for loop devices over {leg}")
        if not done.stdout.strip():
            return ()
        try:
            return msgspec.json.decode(done.stdout, type=_Loops).loopdevices
        except (msgspec.DecodeError, msgspec.ValidationError) as fault:
            raise UnknownAnswer("losetup gave no answer that can be read", detail=done.tail()) from fault
