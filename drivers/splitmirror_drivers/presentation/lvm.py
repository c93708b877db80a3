"""The volume group of a copy brought up beside its original, and a filesystem of it mounted read-only.

Where the array repairs what is written to the copy (`may_write`), the copy's labels get a name and uuids of this run's own
(vgimportclone), so that it may stand beside its original. Where it does not, the copy is write-protected and brought up
under its own name with nothing written; that is refused while the host sees a twin: the same names or uuids on other
devices, which LVM would take for one another. After it is taken down the labels stay as they are: the next establish puts
the original's back. Several mounts may share one volume group. Sources: lvm(8), vgimportclone(8), lvm.conf(5); tried with
lvm2 2.03.16 on kernel 6.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.lvm_group import CopyOfGroup
from splitmirror_drivers.presentation.lvm_nodes import Node, nodes, tops
from splitmirror_drivers.presentation.mount import FIRST_LOOK_SECONDS, Mount
from splitmirror_drivers.presentation.mount import Options as MountOptions
from splitmirror_drivers.presentation.seen import users

IMPORTED, PROTECTED = "imported", "protected"
_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
_GROUP_LETTERS, _RUN_LETTERS, _KEY_LETTERS = 24, 48, 8
"""How much of each goes into the name of an imported group: a node's name has 127 letters at most."""
INACTIVE = "not-active"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`volume_group`: its name on the original; `volume`: which of its volumes ("" for the only one); the rest as a mount's."""

    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False
    volume_group: str
    volume: str = ""


class Lvm:
    """One volume of a copy's volume group mounted at one path of one Linux host."""

    driver = "lvm"
    writes_to_copy = True
    """To a filesystem that was not frozen over the split; labels only where the array repairs that."""

    def __init__(self, path: str, options: Options, host: Host, mount: Mount) -> None:
        self.path, self.options, self.host, self.mount = path, options, host, mount

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Lvm:
        """The catalogue's constructor. Raises PolicyFault."""
        for key, name in (("volume-group", options.volume_group), ("volume", options.volume)):
            if not (_NAME.fullmatch(name) and name.strip(".")) and (name or key == "volume-group"):
                raise PolicyFault(f"{path}: {key} = {name!r} is not a name that LVM allows")
        mounted = MountOptions(options=options.options, filesystem=options.filesystem, fsck=options.fsck)
        return cls(path, options, host, Mount.from_options(path, mounted, host, context))

    def check(self, deadline: Deadline) -> None:
        """What a mount needs, and a host with LVM. Raises Refused."""
        self.mount.check(deadline)
        nodes(self.host, deadline)
        look_at.act(self.host, ("lvm", "version"), deadline, f"asking for the LVM of {self.host.name}", "install lvm2")

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:
        """As a mount's; and under which name the group comes up, and where the host notes what was done."""
        if exposed.kind != "device" or not exposed.paths:
            raise Refused(f"the copy for {self.path} has no devices, so no volume group {self.options.volume_group}")
        inner = self.mount.intend(replace(exposed, paths=exposed.paths[:1]), run, is_frozen=is_frozen)
        group, mark = self.options.volume_group, _digest(exposed.paths)
        name = f"{group[:_GROUP_LETTERS]}_{run[:_RUN_LETTERS]}_{mark}".replace("-", "_") if may_write else group
        way = IMPORTED if may_write else PROTECTED
        data = {"group": group, "volume": self.options.volume, "name": name, "way": way, "key": f"{group}-{mark}"}
        return Presented(self.driver, self.path, exposed, {**inner.data, **data})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait for the devices, bring the group up, mount the volume. What is done already is not done twice."""
        first = deadline.sooner(max(FIRST_LOOK_SECONDS, deadline.left() / 2))
        seen = look_at.await_devices(self.host, first, self.path, intent.exposed.paths)
        look_at.require_room(seen, self.path, self.host)
        device = _copy(intent, self.host).bring_up(self.path, intent.data["volume"], deadline)
        self.mount.present(_inner(intent, device), deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """As a mount; and the volume stands on this copy's devices and no others. Raises Refused."""
        copy = _copy(intent, self.host)
        _, below, every = copy.look(deadline)
        node = _shown(intent, copy.ours(every, below))
        if node is None:
            raise Refused(f"the volume group {copy.original} of the copy is not up on {self.host.name}")
        copy.require_right(every, node, below)
        self.mount.verify(_inner(intent, node.path), deadline)

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has anything below the path, the volume or the devices under it open; nodes of ours only when none is mounted."""
        copy = _copy(intent, self.host)
        seen, below, every = copy.look(deadline, intent.path)
        ours, top = copy.ours(every, below), seen.top_at(intent.path)
        shown = [node for node in ours if top is not None and top.device == node.numbers]
        paths = (intent.path, *(node.path for node in shown), *copy.carriers(below, deadline))
        own = {node.name for node in ours} if shown else set()
        return tuple(user for user in users(self.host, deadline, *paths) if user.pid or user.name not in own)

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Unmount; the last mount of the group takes it down and ends its protection. Raises InUse, naming who."""
        copy = _copy(intent, self.host)
        looked = copy.look(deadline)
        _, below, every = looked
        node = _shown(intent, copy.ours(every, below))
        device = node.path if node else f"{copy.marks.folder}/{INACTIVE}"
        self.mount.withdraw(_inner(intent, device), deadline)
        copy.take_down(self.path, looked, deadline)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What present will do."""
        group, devices = self.options.volume_group, " ".join(exposed.paths) if exposed else "the copy's devices"
        what = (
            f"bring up {group} on {devices}, imported under a name of this run's own where the array repairs writes to "
            f"the copy, else write-protected; mount {self.options.volume or 'its volume'} read-only at {self.path}"
        )
        return (Action(self.host.name, what, 120.0, f"umount {self.path}; vgchange -an {group}"),)


def _copy(intent: Presented, host: Host) -> CopyOfGroup:
    data = intent.data
    may_write = data["way"] == IMPORTED
    return CopyOfGroup(host, data["group"], data["name"], intent.exposed.paths, data["key"], may_write)


def _inner(intent: Presented, device: str) -> Presented:
    """The mount of one volume."""
    exposed = replace(intent.exposed, paths=(device,))
    return Presented(Mount.driver, intent.path, exposed, intent.data)


def _shown(intent: Presented, ours: Sequence[Node]) -> Node | None:
    """The node of the volume that is meant; None where it is not up."""
    group, volume = intent.data["name"], intent.data["volume"]
    meant = [node for node in tops(ours) if volume in ("", node.volume_of(group))]
    return meant[0] if len(meant) == 1 else None


def _digest(paths: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(paths)).encode(), digest_size=_KEY_LETTERS // 2).hexdigest()
