"""One disk group of a copy on one host: found, imported, its volumes started; and the reverse. Each step may be repeated.

Three ways. SPLIT_OFF: the array has split the snapshots off into this disk group, it is ours by name. IMPORTED: a bit copy of
all disks of a disk group, which is given a name and an id of this run's own. OWN: such a copy under the original's name, with
nothing changed but what any import writes; never beside its original. The copy's disks are known by what the array exposed; a
disk group of that name on other disks is somebody else's. Import locks are cleared on the copy's own disks, by their names
(``vxdisk clearimport``), since the lock on a copy is the copy of a lock; ``-C`` and ``-f`` are never used. Sources: Veritas
Volume Manager Administrator's Guides 4.1 p. 169 (import locks), 5.0 p. 167, 5.0.1 p. 201, 5.1 SP1 p. 228 (cloned disks).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, Refused
from splitmirror_drivers.presentation.seen import LOOK_SECONDS, POLL_SECONDS, refuse_users, users
from splitmirror_drivers.presentation.vxvm_found import Found, found_by_name, found_on, labelled, told
from splitmirror_drivers.presentation.vxvm_tools import DEVICES, ENABLED, VxvmTools

SPLIT_OFF, IMPORTED, OWN = "split-off", "imported", "own"
ANSWERS: Mapping[str, str] = {
    "-n": "the copy's disk group gets a name of this run's own; only where the array repairs writes to the copy",
    "-o useclonedev=on": "these disks are a copy, VxVM sees it, and it is the copy that is meant; no original is imported by it",
    "-o updateid": "the copy's disk group gets an id of its own, beside its name; only where -n is given",
    "clearimport": "the lock on the copy's disks is the copy of the original's; it is cleared on these disks, by name, and no other",
}
"""What is passed to be told apart from the original: none makes the volume manager do what it refused to do to a disk."""


@dataclass(frozen=True, slots=True)
class CopyOfGroup:
    """The disk group `original` on what the array `exposed`; `name`: what it is called while it is imported."""

    vxvm: VxvmTools
    original: str
    name: str
    way: str
    exposed: tuple[str, ...]

    @property
    def _what(self) -> str:
        return f"the copy of {self.original} on {self.vxvm.host.name}"

    def device(self, volume: str) -> str:
        """The block device of one of its volumes."""
        return f"{DEVICES}/{self.name}/{volume}"

    # -- identify --

    def find(self, deadline: Deadline) -> Found:
        """One look at all disks."""
        names = (self.name, self.original)
        if self.way == SPLIT_OFF:
            return found_by_name(self.vxvm, names, deadline)
        return found_on(self.vxvm, names, self.exposed, deadline)

    def volume(self, wanted: str, deadline: Deadline) -> str:
        """The volume that is meant; the only one where none is named. Raises Refused."""
        data = self.vxvm.records(self.name, deadline).data
        if self.way == SPLIT_OFF and not self._is_alone(data):
            raise Refused(
                f"the disk group {self.name} on {self.vxvm.host.name} is not the copy's alone",
                detail=f"it has {', '.join(data)}; the array shows {', '.join(self._shown)}",
                hint="snapshots that stay in their original's disk group are presented without disk-group",
            )
        meant = [name for name in data if wanted in ("", name)]
        if len(meant) != 1:
            raise Refused(
                f"the disk group {self.original} of the copy has {'no volume ' + wanted if wanted else 'several volumes'}",
                detail=f"it has: {', '.join(data)}",
                hint='say volume = "…" in that present entry',
            )
        return meant[0]

    def _is_alone(self, data: Sequence[str]) -> bool:
        """Whether a disk group that was split off holds the copy and nothing else: no other is ever deported."""
        return sorted(data) == self._shown

    @property
    def _shown(self) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self.exposed)

    # -- bring up --

    def bring_up(self, wanted: str, deadline: Deadline) -> str:
        """Import the group and start the volume that is meant; its device. Nothing is done twice."""
        found = self.find(deadline)
        if not self._is_up(found):
            found = self._await(deadline)
            if self.way == SPLIT_OFF:
                found = labelled(self.vxvm, found, deadline)
            self._refuse_others(found, deadline)
            self._clear_locks(found, deadline)
            self._import(found, deadline)
        volume = self.volume(wanted, deadline)
        self.vxvm.start(self.name, [volume], deadline)
        return self.device(volume)

    def _is_up(self, found: Found) -> bool:
        return found.is_here and found.group == self.name

    def _await(self, deadline: Deadline) -> Found:
        """Have VxVM look for disks until the copy's are there. Raises DeadlinePassed."""
        end = deadline.sooner(deadline.left() / 2)
        while True:
            self.vxvm.act(("vxdisk", "scandisks"), deadline, "looking for disks")
            found = self.find(deadline)
            if found.mine:
                return found
            if end.left() <= POLL_SECONDS + LOOK_SECONDS:
                raise DeadlinePassed(
                    f"no disk of the disk group {self.original} was found for {', '.join(self.exposed)} on "
                    f"{self.vxvm.host.name}",
                    hint="vxdisk -o alldgs list there: does it see the copy's disks, and which disk group is on them?",
                )
            time.sleep(POLL_SECONDS)

    def _refuse_others(self, found: Found, deadline: Deadline) -> None:
        """Whatever could be taken for the copy, or the copy for it. Raises Refused."""
        if found.is_here:
            raise Refused(
                f"{self._what} is imported as {found.group} already",
                hint=f"look at it; when nobody needs it: vxdg deport {found.group}",
            )
        ids = {found.labels[device].group_id for device in found.devices}
        if len(ids) != 1 or len({disk.group for disk in found.mine}) != 1:
            raise Refused(f"the disks of {self._what} are not of one disk group", detail=told(found))
        if self.way == SPLIT_OFF:
            return
        clones = {disk.is_clone for disk in found.mine}
        alike = [disk for disk in found.others if not found.mine[0].is_clone or disk.is_clone]
        if len(clones) != 1 or alike:
            raise Refused(
                f"VxVM cannot tell {self._what} from other disks that carry {found.group}",
                detail=told(found),
                hint="hide those disks from that host; releases before 5.0 cannot tell a copy from its original at all",
            )
        if self.way == OWN:
            self._refuse_twin(found, ids.pop(), deadline)

    def _refuse_twin(self, found: Found, group_id: str, deadline: Deadline) -> None:
        imported = self.vxvm.groups(deadline)
        twins = [name for name, number in imported.items() if name == found.group or number == group_id]
        if twins:
            raise Refused(
                f"the disk group {twins[0]} is imported on {self.vxvm.host.name}, and the copy has its name or id",
                detail=told(found),
                hint="present the copy on another host. It gets a name of its own only where the array repairs what is "
                "written to a copy",
            )

    def _clear_locks(self, found: Found, deadline: Deadline) -> None:
        """Of a bit copy, those that it has from its original; of what the array split off none: there it is in use."""
        owners = {found.labels[device].owner for device in found.devices} - {""}
        if not owners or owners == {self.vxvm.name(deadline)}:
            return
        if self.way == SPLIT_OFF:
            raise InUse(
                f"{', '.join(sorted(owners))} has the disk group {self.name} imported",
                detail=told(found),
                hint=f"deport it there: vxdg deport {self.name}",
            )
        argv = ("vxdisk", "clearimport", *found.devices)
        self.vxvm.act(argv, deadline, f"clearing the locks that {self._what} has from its original")

    def _import(self, found: Found, deadline: Deadline) -> None:
        argv = ["vxdg"]
        is_new = found.group != self.name
        is_clone = self.way != SPLIT_OFF and found.mine[0].is_clone
        argv += ["-n", self.name] if is_new else []
        argv += ["-o", "useclonedev=on"] if is_clone else []
        argv += ["-o", "updateid"] if is_clone and is_new else []
        hint = "the copy may lack some disks of the group: then expose all of them"
        self.vxvm.act((*argv, "import", found.group), deadline, f"importing {self._what}", hint)
        devices = self.vxvm.records(self.name, deadline).devices
        if devices != frozenset(found.devices):
            self.vxvm.act(("vxdg", "deport", self.name), deadline, f"deporting {self.name}")
            raise Refused(
                f"{self._what} came up on other disks, and was deported again",
                detail=f"on {', '.join(sorted(devices))}; the copy's are {', '.join(found.devices)}",
                hint="hide the other disks from that host",
            )

    # -- while it is up --

    def started(self, found: Found, deadline: Deadline) -> tuple[str, ...]:
        """Its volumes that are started, where it is imported here."""
        if not self._is_up(found):
            return ()
        records = self.vxvm.records(self.name, deadline)
        return tuple(name for name in records.data if records.volumes[name].kernel == ENABLED)

    def users(self, path: str, deadline: Deadline) -> tuple[User, ...]:
        """Who has anything below `path`, a started volume or a device of the copy open."""
        started = self.started(self.find(deadline), deadline)
        raw = () if self.way == SPLIT_OFF else self.exposed
        return users(self.vxvm.host, deadline, path, *(self.device(name) for name in started), *raw)

    def require_shown(self, wanted: str, deadline: Deadline) -> str:
        """The device of the volume that is meant, when it is up on the copy's disks and no others. Raises Refused."""
        found = self.find(deadline)
        if not self._is_up(found) or self.vxvm.records(self.name, deadline).devices != frozenset(found.devices):
            raise Refused(f"{self._what} is not imported as {self.name}", detail=told(found))
        volume = self.volume(wanted, deadline)
        if volume not in self.started(found, deadline):
            raise Refused(f"the volume {volume} of {self._what} is not started")
        return self.device(volume)

    # -- take down --

    def take_down(self, wanted: str, deadline: Deadline) -> None:
        """Its mount is gone: stop the volume; the last one of the group has the group deported. Raises InUse."""
        found = self.find(deadline)
        if not self._is_up(found):
            return
        if self.way == SPLIT_OFF and not self._is_alone(self.vxvm.records(self.name, deadline).data):
            return
        started = self.started(found, deadline)
        mine = [name for name in started if name == wanted or (not wanted and len(started) == 1)]
        self._stop(mine, deadline)
        if rest := [name for name in started if name not in mine]:
            using = users(self.vxvm.host, deadline, *(self.device(name) for name in rest))
            if any(user.pid == 0 for user in using):  # another mount of this copy, which has it deported when it goes
                return
            refuse_users(self._what, using)
            self._stop(rest, deadline)
        self.vxvm.act(("vxdg", "deport", self.name), deadline, f"deporting {self.name}")

    def _stop(self, names: Sequence[str], deadline: Deadline) -> None:
        if not names:
            return
        argv = ("vxvol", "-g", self.name, "stop", *names)
        try:
            self.vxvm.act(argv, deadline, f"stopping {', '.join(names)} of {self.name}")
        except CommandFailed as fault:
            hint = "no program is seen to use it; something in the kernel (an export, a mount elsewhere) may"
            raise InUse(f"{self._what} is in use", detail=fault.detail, hint=hint) from fault
