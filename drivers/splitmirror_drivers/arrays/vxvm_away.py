"""A group's snapshots on their way to another host and back: split off, deported; imported, joined.

Each step looks first where they are, so that it goes on wherever a crash has left them: all of them in their volumes'
disk group, or all of them in the disk group that was split off, imported here or not. Whatever is elsewhere, or beside
something that is not ours, is refused. An import lock of another host is never cleared: it is imported there. Sources:
VERITAS Volume Manager Administrator's Guide 4.1 p. 159 (volumes are stopped after a split or join; none may be open), p.
169 (import locks); FlashSnap guide 5.0.1 pp. 24-25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.vxvm_options import Group
from splitmirror_drivers.arrays.vxvm_state import Look, look
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse, Refused, UnknownAnswer
from splitmirror_drivers.presentation.vxvm_tools import ENABLED, Disk, VxvmTools, of_group


@dataclass(frozen=True, slots=True)
class Traveller:
    """The snapshots of one group; `what` names array and group."""

    vxvm: VxvmTools
    what: str
    of: Group

    @property
    def _away(self) -> str:
        return self.of.copy_disk_group

    @property
    def _host(self) -> str:
        return self.vxvm.host.name

    def send(self, deadline: Deadline) -> None:
        """Into a disk group of their own, which is then deported. Safe to repeat."""
        disks = of_group(self.vxvm.disks(deadline), self._away)
        seen = self._split(deadline)
        if seen.home:
            if disks:
                raise Refused(
                    f"{self.what}: there is a disk group {self._away} already, and the snapshots are not in it",
                    detail=f"on {self._host}: {', '.join(disk.device for disk in disks)}",
                    hint="find out what it is; then give copy-disk-group another name, or remove it",
                )
            argv = ("vxdg", "split", self.of.disk_group, self._away, *self.of.snapshots)
            hint = "each snapshot needs disks that carry nothing else, and nobody may have it open"
            self.vxvm.act(argv, deadline, f"splitting {self._away} off from {self.of.disk_group}", hint)
            disks = of_group(self.vxvm.disks(deadline), self._away)
        if _is_here(disks):
            self._require_ours(deadline)
            self.stop(self._away, deadline)
            self.vxvm.act(("vxdg", "deport", self._away), deadline, f"deporting {self._away}")
            disks = of_group(self.vxvm.disks(deadline), self._away)
        if not disks or _is_here(disks):
            state = "still imported" if disks else "not there"
            raise UnknownAnswer(
                f"{self.what}: the disk group {self._away} is {state} after it was split off and deported"
            )

    def bring(self, deadline: Deadline) -> None:
        """Back to their volumes' disk group. Raises InUse while another host has them imported. Safe to repeat."""
        seen = look(self.vxvm, self.what, self.of, deadline)
        if seen.home:
            self._require_together(seen)
            return
        disks = seen.away or of_group(self.vxvm.disks(deadline), self._away)
        if not disks:
            return
        if not _is_here(disks):
            self._refuse_owner(disks, deadline)
            self.vxvm.act(("vxdg", "import", self._away), deadline, f"importing {self._away}")
        self._require_ours(deadline)
        self.stop(self._away, deadline)
        argv = ("vxdg", "join", self._away, self.of.disk_group)
        self.vxvm.act(argv, deadline, f"joining {self._away} to {self.of.disk_group}")
        if len(look(self.vxvm, self.what, self.of, deadline).home) != len(self.of.volumes):
            raise UnknownAnswer(f"{self.what}: the snapshots are not in {self.of.disk_group} after the join")

    def stop(self, group: str, deadline: Deadline) -> None:
        """Stop the snapshots that are started. Raises InUse where ``vxvol`` refuses: it does while one is open."""
        volumes = self.vxvm.records(group, deadline).volumes
        up = [name for name in self.of.snapshots if name in volumes and volumes[name].kernel == ENABLED]
        if not up:
            return
        try:
            self.vxvm.act(("vxvol", "-g", group, "stop", *up), deadline, f"stopping {', '.join(up)} of {group}")
        except CommandFailed as fault:
            raise InUse(
                f"{self.what}: the copy is in use on {self._host}",
                detail=fault.detail,
                hint=f"unmount or close the volumes of {group} there, then try again",
            ) from fault

    def _split(self, deadline: Deadline) -> Look:
        """The group, when every copy of it was split and all are in one place. Raises Refused."""
        seen = look(self.vxvm, self.what, self.of, deadline)
        if any(copy.state is not PairState.SPLIT for copy in seen.copies):
            words = ", ".join(f"{copy.volume}: {copy.word}" for copy in seen.copies)
            raise Refused(f"{self.what} is not split, so there is no copy to show", detail=words)
        if seen.home:
            self._require_together(seen)
        return seen

    def _require_together(self, seen: Look) -> None:
        """No snapshot is elsewhere, when some are here."""
        if any(copy.state is PairState.SPLIT and not copy.is_home for copy in seen.copies):
            raise Refused(
                f"{self.what}: only some of the snapshots are in {self.of.disk_group}",
                detail=", ".join(f"{copy.volume}: {copy.word}" for copy in seen.copies),
                hint="look at both disk groups with vxprint -ht, and put them together by hand (vxdg join)",
            )

    def _require_ours(self, deadline: Deadline) -> None:
        """The disk group that is imported here holds the snapshots and nothing else. Raises Refused."""
        data = self.vxvm.records(self._away, deadline).data
        if sorted(data) != sorted(self.of.snapshots):
            raise Refused(
                f"{self.what}: the disk group {self._away} on {self._host} does not hold the snapshots and nothing else",
                detail=f"it holds {', '.join(data) or 'nothing'}; expected: {', '.join(self.of.snapshots)}",
                hint="look at it with vxprint -ht; it is left alone",
            )

    def _refuse_owner(self, disks: Sequence[Disk], deadline: Deadline) -> None:
        for disk in disks:
            label = self.vxvm.label(disk.device, deadline)
            if label.owner:
                raise InUse(
                    f"{self.what}: {label.owner} has the copy's disk group {self._away} imported",
                    detail=f"the import lock on {disk.device}, seen from {self._host}",
                    hint=f"unmount and `vxdg deport {self._away}` there. Where that host died with it imported: see that it "
                    f"is down, then `vxdg -C import {self._away}` and `vxdg deport {self._away}` by hand",
                )


def _is_here(disks: Sequence[Disk]) -> bool:
    return any(disk.is_imported for disk in disks)
