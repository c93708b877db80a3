"""How a copy in a cluster is seen: its snapshots or their clones, mapped on the host that reads them.

A mapped snapshot is read-only (rbd(8), device map). A clone takes the writes of a journal's replay and goes with them. The
device is named by what it shows, below /dev/rbd, and not by its number, which another night has something else.
"""

from __future__ import annotations

from splitmirror_drivers.arrays.rbd_calls import (
    COMMAND_SECONDS,
    REMOVE_SECONDS,
    Calls,
    Mapping,
    Snapshot,
    of_group,
    snap_name,
)
from splitmirror_drivers.contracts.array import Action
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

GROUP_HINT = "the clone of a group's snapshot needs Ceph 19 or later, and rbd_default_clone_format = 2 where older clients are allowed"


class Shown:
    """The mapped snapshots and clones of one array."""

    def __init__(self, calls: Calls) -> None:
        self.calls, self.options, self.host = calls, calls.options, calls.copy_host

    def clone(self, image: str, copy: str) -> str:
        """The clone of an image's snapshot."""
        pool, name = image.split("/", 1)
        return f"{self.options.clones or pool}/{snap_name(copy)}.{name}"

    def spec(self, group: str, image: str, copy: str) -> str:
        """What is mapped of an image."""
        is_clone = self.calls.group(group).show == "clone"
        return self.clone(image, copy) if is_clone else f"{image}@{snap_name(copy)}"

    def show(self, group: str, image: str, snapshot: Snapshot, copy: str, deadline: Deadline) -> str:
        """The device of an image's copy, made and mapped when it is not."""
        spec = self.spec(group, image, copy)
        if self.calls.group(group).show == "clone":
            self._make_clone(group, image, snapshot, copy, deadline)
        if not self._mapped(spec, deadline):
            read_only = ("--read-only",) if "@" in spec else ()
            self.calls.act(deadline, f"mapping {spec}", "device", "map", *read_only, spec, host=self.host)
        return f"{self.options.devices}/{spec}"

    def hide(self, group: str, image: str, copy: str, deadline: Deadline) -> None:
        """Unmap and remove, when nobody uses it. Raises InUse, naming who. Safe to repeat."""
        spec = self.spec(group, image, copy)
        for mapping in self._mapped(spec, deadline):
            found = look_at.users(self.host, deadline, mapping.device)
            look_at.refuse_users(f"the copy {spec} at {mapping.device}", found)
            hint = "somebody uses it who was not seen; it is never forced"
            what = f"unmapping {mapping.device}"
            self.calls.act(deadline, what, "device", "unmap", mapping.device, host=self.host, hint=hint)
        if left := self._mapped(spec, deadline):
            raise UnknownAnswer(f"{spec} is still mapped at {left[0].device} on {self.host.name}")
        if self.calls.group(group).show == "clone":
            self._remove_clone(group, image, copy, deadline)

    def actions(self, group: str, copy: str) -> tuple[Action, ...]:
        """What showing a copy runs."""
        found = []
        for image in self.calls.group(group).images:
            spec = self.spec(group, image, copy)
            if self.calls.group(group).show == "clone":
                source = self._source_words(group, image, copy, "ID")
                undo = self.calls.line("rm", spec)
                found.append(
                    Action(self.calls.host.name, self.calls.line("clone", *source, spec), COMMAND_SECONDS, undo)
                )
            lines = self.calls.line("device", "map", spec), self.calls.line("device", "unmap", spec)
            found.append(Action(self.host.name, lines[0], COMMAND_SECONDS, lines[1]))
        return tuple(found)

    # -- inside --

    def _mapped(self, spec: str, deadline: Deadline) -> tuple[Mapping, ...]:
        image, _, snap = spec.partition("@")
        wanted = (*image.split("/", 1), snap or "-")
        found = self.calls.mappings(self.host, deadline)
        return tuple(one for one in found if (one.pool, one.name, one.snap or "-") == wanted)

    def _source_words(self, group: str, image: str, copy: str, number: str) -> tuple[str, ...]:
        if self.calls.group(group).group:
            return ("--snap-id", number, image)
        return (f"{image}@{snap_name(copy)}",)

    def _make_clone(self, group: str, image: str, snapshot: Snapshot, copy: str, deadline: Deadline) -> None:
        clone = self.clone(image, copy)
        if self._standing(group, image, copy, deadline):
            return
        if not self.calls.group(group).group and not snapshot.is_protected:
            self.calls.act(
                deadline, f"protecting {image}@{snapshot.name}", "snap", "protect", f"{image}@{snapshot.name}"
            )
        source = self._source_words(group, image, copy, str(snapshot.id))
        hint = GROUP_HINT if self.calls.group(group).group else ""
        self.calls.act(deadline, f"cloning {image}", "clone", *source, clone, hint=hint)

    def _standing(self, group: str, image: str, copy: str, deadline: Deadline) -> bool:
        """Whether the clone is there. Raises Refused for an image of that name that is another one."""
        clone = self.clone(image, copy)
        pool, name = clone.split("/", 1)
        if name not in self.calls.images(pool, deadline):
            return False
        parent = self.calls.info(clone, deadline).parent
        wanted = self._parent_snapshot(group, image, copy, deadline)
        if parent is None or f"{parent.pool}/{parent.image}" != image or parent.snapshot not in wanted:
            raise Refused(
                f"{clone} is there and is not a clone of the copy {copy} of {image}",
                detail=f"{parent}",
                hint="look at it; it is neither used nor removed",
            )
        return True

    def _parent_snapshot(self, group: str, image: str, copy: str, deadline: Deadline) -> tuple[str, ...]:
        """By which names a clone calls the snapshot that it is of."""
        of = self.calls.group(group).group
        if not of:
            return (snap_name(copy),)
        part = of_group(self.calls.snapshots(image, deadline), of, snap_name(copy))
        return (part.name, snap_name(copy)) if part else (snap_name(copy),)

    def _remove_clone(self, group: str, image: str, copy: str, deadline: Deadline) -> None:
        clone = self.clone(image, copy)
        if self._standing(group, image, copy, deadline):
            done = self.calls.run(deadline, "rm", "--no-progress", clone, seconds=REMOVE_SECONDS)
            hint = f"who has it open elsewhere: {self.calls.line('status', clone)}"
            done.require(f"{self.calls.name}: removing {clone}", hint)
        snapshot = f"{image}@{snap_name(copy)}"
        if self.calls.group(group).group:
            return
        protected = [
            one for one in self.calls.snapshots(image, deadline) if one.name == snap_name(copy) and one.is_protected
        ]
        if protected and not self.calls.children(snapshot, deadline):
            self.calls.act(deadline, f"ending the protection of {snapshot}", "snap", "unprotect", snapshot)
