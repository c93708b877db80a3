"""One volume group of a copy on one host: found, brought up, taken down. Each step may be repeated after a crash."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation import lvm_labels as lvm
from splitmirror_drivers.presentation import lvm_twins
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.lvm_labels import Group
from splitmirror_drivers.presentation.lvm_marks import Marks, mount_note, other_mounts, protected, protection_note
from splitmirror_drivers.presentation.lvm_nodes import Node, is_only_on, name_of, nodes, standing_on, tops
from splitmirror_drivers.presentation.seen import Seen, act, look, refuse_users, users

HIDE = (
    "hide the copy's disks from that host's own LVM (global_filter, or leave them out of its devices file), "
    "so that it brings none of them up by itself"
)
PARTITION = "part"


@dataclass(frozen=True, slots=True)
class Below:
    """One device of the copy, or one partition of it."""

    path: str
    numbers: str


Look = tuple[Seen, tuple[Below, ...], tuple[Node, ...]]
"""What is there: places, the copy's devices and partitions, every node."""


@dataclass(frozen=True, slots=True)
class CopyOfGroup:
    """The volume group `original` on the `exposed` devices. `name`: what it is called while it is up.

    `may_write`: it gets that name, and uuids, of its own; else `name` is the original's, and nothing is written.
    """

    host: Host
    original: str
    name: str
    exposed: tuple[str, ...]
    key: str
    may_write: bool

    @property
    def marks(self) -> Marks:
        """The notes about it on the host."""
        return Marks(self.host, self.key)

    # -- identify --

    def look(self, deadline: Deadline, *paths: str) -> Look:
        """One look: `paths`, the notes and the copy's devices; the devices and partitions that are there; all nodes."""
        seen = look(self.host, deadline, *paths, self.marks.folder, *self.exposed)
        return seen, self._below(seen, deadline), nodes(self.host, deadline)

    def ours(self, every: Sequence[Node], below: Sequence[Below]) -> tuple[Node, ...]:
        """The nodes of this group that stand on this copy, whoever made them."""
        return tuple(node for node in standing_on(every, _numbers(below)) if node.is_of(self.name))

    def carriers(self, below: Sequence[Below], deadline: Deadline) -> tuple[str, ...]:
        """Which of these devices carry the group; all of them where none says so."""
        found = lvm.labels(self.host, [one.path for one in below], deadline) if below else ()
        mine = [label.device for label in found if label.group in self._names and label.device != lvm.LOST]
        return tuple(mine) or tuple(one.path for one in below)

    def require_right(self, every: Sequence[Node], node: Node, below: Sequence[Below]) -> None:
        """Refuse a volume that shows anything but this copy, or that can be written to where nothing may."""
        if not is_only_on(every, node, _numbers(below)):
            raise Refused(f"{node.path} on {self.host.name} does not stand on the devices of the copy alone")
        if not (self.may_write or node.is_read_only):
            raise Refused(f"{node.path} on {self.host.name} can be written to")

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.original,) if self.name == self.original else (self.original, self.name)

    def _below(self, seen: Seen, deadline: Deadline) -> tuple[Below, ...]:
        there = [path for path in self.exposed if path in seen.places]
        if not there:
            return ()
        argv = ("lsblk", "--noheadings", "--raw", "--paths", "--output", "NAME,TYPE,MAJ:MIN", *there)
        numbers = {seen.places[path].numbers for path in there}
        rows = [line.split(" ") for line in self._run(deadline, "listing the devices of the copy", *argv).splitlines()]
        if any(len(row) != 3 for row in rows):
            raise UnknownAnswer("a line of lsblk cannot be read", detail="\n".join(" ".join(row) for row in rows))
        found = {number: name for name, kind, number in rows if kind == PARTITION or number in numbers}
        return tuple(Below(name, number) for number, name in found.items())

    # -- bring up --

    def bring_up(self, path: str, volume: str, deadline: Deadline) -> str:
        """Make `volume` of the group visible for the mount at `path`; its device. Nothing is done twice."""
        seen, below, every = self.look(deadline)
        self._flush([one.path for one in below], deadline)
        group = self._read(below, deadline, self._names)
        mine = [one for one in below if one.path in group.devices]
        notes = self.marks.names(seen, deadline)
        if not self._is_up(every, mine, notes):
            self._refuse_holders(seen, every, mine, deadline)
            lvm_twins.refuse_nodes(self.host, every, group, self.name, _numbers(below))
            if not self.may_write:
                lvm_twins.refuse_labels(self.host, group, _numbers(below), deadline)
        self.marks.make(mount_note(path), deadline=deadline)
        if not self.may_write:
            self._protect(mine, notes, deadline)
        elif group.name != self.name:
            group = self._import(group, below, deadline)
        found = lvm.volumes(self.host, group, deadline)
        one = lvm.chosen(found, volume, self.original)
        if not self.may_write:
            lvm.refuse_writing(found, one, self.original)
        return self._activate(group, one.name, mine, deadline).path

    def _read(self, below: Sequence[Below], deadline: Deadline, names: Sequence[str]) -> Group:
        return lvm.group_on(lvm.labels(self.host, [one.path for one in below], deadline), names, self.host)

    def _is_up(self, every: Sequence[Node], mine: Sequence[Below], notes: Collection[str]) -> bool:
        """Whether nothing but what we brought up stands on the devices, and something does."""
        standing = standing_on(every, _numbers(mine))
        is_noted = self.may_write or bool(other_mounts(notes, ""))
        return bool(standing) and is_noted and all(node.is_of(self.name) for node in standing)

    def _refuse_holders(self, seen: Seen, every: Sequence[Node], mine: Sequence[Below], deadline: Deadline) -> None:
        standing = standing_on(every, _numbers(mine))
        held = [User(0, node.name, f"the copy of {self.original}") for node in standing]
        refuse_users(f"the copy of {self.original}", held, f"take it down (vgchange -an) after a look; and {HIDE}")
        paths = [one.path for one in mine]
        if not set(paths) <= seen.places.keys():
            seen = look(self.host, deadline, *paths)
        refuse_users(f"the copy of {self.original}", look_at.holders(self.host, deadline, seen, *paths))

    def _import(self, group: Group, below: Sequence[Below], deadline: Deadline) -> Group:
        argv = ("vgimportclone", "--config", lvm.configuration(group.devices), "--basevgname", self.name)
        done = lvm.run(self.host, (*argv, *group.devices), deadline)
        done.require(f"giving the copy of {self.original} a name of its own on {self.host.name}")
        return self._read(below, deadline, (self.name,))

    def _protect(self, mine: Sequence[Below], notes: Collection[str], deadline: Deadline) -> None:
        """Write-protect the devices; what was writable before is noted first."""
        fresh = [one for one in mine if protection_note(one.numbers) not in notes]
        if fresh:
            what = f"asking whether the copy of {self.original} is protected"
            words = self._run(deadline, what, "blockdev", "--getro", *(one.path for one in fresh)).split()
            if len(words) != len(fresh) or not set(words) <= {"0", "1"}:
                raise UnknownAnswer(f"blockdev cannot say whether {fresh[0].path} is protected", detail=str(words))
            writable = [protection_note(one.numbers) for one, word in zip(fresh, words, strict=True) if word == "0"]
            if writable:
                self.marks.make(*writable, deadline=deadline)
        what = f"protecting the copy of {self.original}"
        self._run(deadline, what, "blockdev", "--setro", *(one.path for one in mine))

    def _activate(self, group: Group, volume: str, mine: Sequence[Below], deadline: Deadline) -> Node:
        node = self._node(name_of(group.name, volume), mine, deadline)
        if node is None:
            argv = ("lvchange", "--config", self._configuration(group.devices), "-ay", "--poll", "n")
            done = lvm.run(self.host, (*argv, f"{group.name}/{volume}"), deadline)
            done.require(f"activating {group.name}/{volume} of the copy on {self.host.name}")
            node = self._node(name_of(group.name, volume), mine, deadline)
        if node is None:
            raise UnknownAnswer(f"{group.name}/{volume} was activated on {self.host.name} and is not there")
        return node

    def _node(self, name: str, mine: Sequence[Below], deadline: Deadline) -> Node | None:
        """A node by its name, when it is there. Raises Refused when it is not this copy's."""
        every = nodes(self.host, deadline)
        node = next((one for one in every if one.name == name), None)
        if node is not None:
            self.require_right(every, node, mine)
        return node

    def _configuration(self, devices: Sequence[str]) -> str:
        return lvm.configuration(devices, "" if self.may_write else self.original)

    # -- take down --

    def take_down(self, path: str, looked: Look, deadline: Deadline) -> None:
        """The mount at `path` is gone: the last one takes the group down and ends its protection. Raises InUse.

        `looked`: a look from before it went, which changed nothing of the group.
        """
        seen, below, every = looked
        notes = self.marks.names(seen, deadline)
        mine = [node for node in every if node.is_of(self.name)] if self.may_write else self.ours(every, below)
        if mount_note(path) not in notes and not (self.may_write and mine and not notes):
            return
        if other_mounts(notes, path):
            self.marks.remove([mount_note(path)], deadline)
            return
        if mine:
            self._deactivate(mine, below, deadline)
        if writable := [one.path for one in below if one.numbers in protected(notes)]:
            self._run(deadline, "ending the protection of the copy", "blockdev", "--setrw", *writable)
        self._flush([one.path for one in below], deadline)
        if notes:
            self.marks.remove(notes, deadline, all_of_it=True)

    def _deactivate(self, mine: Sequence[Node], below: Sequence[Below], deadline: Deadline) -> None:
        what = f"the copy of {self.original} on {self.host.name}"
        upper = tops(mine)
        refuse_users(what, users(self.host, deadline, *(node.path for node in upper)))
        argv: tuple[str, ...] = ("vgchange", "-an", self.name)
        if not self.may_write:  # by name, since a twin may have other volumes up
            argv = ("lvchange", "-an", *(f"{self.name}/{node.volume_of(self.name)}" for node in upper))
        argv = (argv[0], "--config", self._configuration([one.path for one in below]), *argv[1:])
        hint = f"look at it (dmsetup info -c); when nobody needs it: dmsetup remove {upper[0].name}"
        lvm.run(self.host, argv, deadline).require(f"taking down {what}", hint)
        names = {node.name for node in mine}
        left = [node for node in nodes(self.host, deadline) if node.name in names]
        refuse_users(what, [User(0, node.name, what) for node in left], hint)

    def _flush(self, devices: Sequence[str], deadline: Deadline) -> None:
        if devices:
            self._run(deadline, "flushing the buffers of the copy", "blockdev", "--flushbufs", *devices)

    def _run(self, deadline: Deadline, what: str, *argv: str) -> str:
        return act(self.host, argv, deadline, f"{what} on {self.host.name}").stdout


def _numbers(devices: Sequence[Below]) -> frozenset[str]:
    return frozenset(one.numbers for one in devices)
