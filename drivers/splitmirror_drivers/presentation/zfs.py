"""A ZFS pool on the copy's devices: imported read-only under the run's own name, one of its filesystems at the path.

The pool is looked for on the copy's devices alone, imported by its number and without mounting anything, below a folder
of its own; the filesystem is mounted there and bound to the path. Withdraw goes back in that order and exports the pool.
Nothing is forced: a pool with the same number that is imported already (the original, on its own host) and one that
another host still has are refused. A read-only import does not replay the intent log: what was only in it is not seen
(zpoolprops(7), readonly). A pool that was split off, or exported, has nothing there. Sources: zpool-import(8),
zpool-export(8), zfs-mount(8), zpoolprops(7); OpenZFS cmd/zpool/zpool_main.c.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, PolicyFault, Refused
from splitmirror_drivers.presentation import mount as mounting
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.seen import Seen, look, refuse_users
from splitmirror_drivers.presentation.zfs_identify import Identify
from splitmirror_drivers.presentation.zfs_tools import Tools, take_argv

ANSWERS: Mapping[str, str] = {}
"""Flags that only answer a prompt or rename a copy: none. The new name of a pool that is imported is no flag."""
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_VOLUME = re.compile(r"[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*")
NOWHERE = ("none", "legacy", "-", "")
"""Mount points that are no path."""
LONGEST_NAME = 200
PRESENT_SECONDS = 120.0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`pool`: the pool's name on the data server; `volume`: which of its filesystems, without or with the pool's name.

    `options`: of the mount. `filesystem` can only be ``zfs``, and `fsck` does not exist for it.
    """

    pool: str
    volume: str = ""
    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False


class Zfs:
    """One filesystem of one copied pool at one path of one Linux host."""

    driver = "zfs"
    writes_to_copy = False

    def __init__(self, path: str, options: Options, host: Host) -> None:
        self.path, self.options, self.host = look_at.require_absolute(path), options, host
        self.tools = Tools(host)
        self.identify = Identify(self.tools, options.pool)
        self.tree = mounting.Mount(path, mounting.Options(options=options.options), host)

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Zfs:
        """The catalogue's constructor. Raises PolicyFault."""
        if not _POOL.fullmatch(options.pool):
            raise PolicyFault(f"{path}: {options.pool!r} is not the name of a pool")
        if options.volume and not _VOLUME.fullmatch(options.volume):
            raise PolicyFault(f"{path}: {options.volume!r} is not the name of a filesystem in a pool")
        if options.filesystem not in ("", "zfs") or options.fsck:
            raise PolicyFault(
                f"{path}: what is in a pool is ZFS, which has no fsck", hint="leave filesystem and fsck out"
            )
        mounting.Mount.from_options(path, mounting.Options(options=options.options), host, context)
        return cls(path, options, host)

    def check(self, deadline: Deadline) -> None:
        """What a mount needs, the programs, and nothing in the way of the folder that the pool is imported below."""
        self.tree.check(deadline)
        root = _root(self.path)
        place = look(self.host, deadline, root).places.get(root)
        if place is not None and not place.is_empty:
            raise Refused(
                f"{root} on {self.host.name} is there and is not empty",
                hint=f"a pool is imported below it while a copy is presented: look, then zpool export it, or rmdir {root}",
            )
        self.tools.imported(deadline)

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:  # noqa: ARG002
        """Under which name the pool is imported, and below which folder."""
        if exposed.host not in ("", self.host.name):
            raise Refused(
                f"the copy is exposed on {exposed.host}, not on {self.host.name} where {self.path} is",
                hint=f'set host = "{exposed.host}" in that present entry',
            )
        if exposed.kind != "device" or not exposed.paths:
            raise Refused(
                f"the copy for {self.path} is no pool on disks", hint="present a tree with mount =, without pool ="
            )
        name = f"{self.options.pool}-{run}"
        if len(name) > LONGEST_NAME or not _POOL.fullmatch(name):
            raise Refused(f"{name!r} cannot be the name of a pool")
        return Presented(self.driver, self.path, exposed, {"run": run, "pool": name, "root": _root(self.path)})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait for the devices, find the one pool on them, import it, mount the filesystem, bind it. Safe to repeat."""
        name = intent.data["pool"]
        if name not in self.tools.imported(deadline):
            seen = self._await(intent, deadline)
            look_at.require_room(seen, self.path, self.host)
            self._require_free(seen)
            devices = intent.exposed.paths
            refuse_users("the copy", look_at.holders(self.host, deadline, seen, *devices))
            for device in devices:
                if seen.places[device].numbers:
                    self.tools.act(("blockdev", "--flushbufs", device), deadline, f"flushing the buffers of {device}")
            guid = self.identify.pool_on(intent, deadline).guid
            self.tools.take(guid, name, intent.data["root"], devices, deadline)
        self.identify.require_ours(intent, deadline)
        dataset, point, is_mounted = self._filesystem(name, deadline)
        if not is_mounted:
            self.tools.act(("zfs", "mount", dataset), deadline, f"mounting {dataset}")
        self.tree.present(self._bound(intent, point), deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """The pool is on the copy's devices alone and read-only, and its filesystem is what is seen at the path."""
        if intent.data["pool"] not in self.tools.imported(deadline):
            raise Refused(f"the pool {intent.data['pool']} is not imported on {self.host.name}")
        self.identify.require_ours(intent, deadline)
        dataset, point, is_mounted = self._filesystem(intent.data["pool"], deadline)
        if not is_mounted:
            raise Refused(f"{dataset} is not mounted on {self.host.name}")
        self.tree.verify(self._bound(intent, point), deadline)

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has anything of the copy open, below the path or anywhere in the pool."""
        if intent.data["pool"] not in self.tools.imported(deadline):
            return self.tree.users(self._bound(intent, ""), deadline)
        _, point, _ = self._filesystem(intent.data["pool"], deadline)
        return (
            *self.tree.users(self._bound(intent, point), deadline),
            *self.identify.other_mounts(intent, point, deadline),
        )

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Unbind, unmount, export, remove the folders; nothing is forced. Raises InUse, naming who."""
        name, root = intent.data["pool"], intent.data["root"]
        point = ""
        if name in self.tools.imported(deadline):
            dataset, point, is_mounted = self._known(name, deadline)
            refuse_users(f"the copy at {self.path}", self.identify.other_mounts(intent, point, deadline))
            self.tree.withdraw(self._bound(intent, point), deadline)
            if is_mounted:
                self.tools.act(("zfs", "unmount", dataset), deadline, f"unmounting {dataset}")
            hint = "somebody uses something of it; it is never forced"
            self.tools.act(("zpool", "export", name), deadline, f"exporting {name}", hint)
            if name in self.tools.imported(deadline):
                raise Refused(f"{name} is still imported on {self.host.name} after it was exported")
        else:
            self.tree.withdraw(self._bound(intent, ""), deadline)
        if root in look(self.host, deadline, root).places:
            self._remove_folders(root, deadline)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What present will do."""
        name = f"{self.options.pool}-RUN"
        dataset = f"{name}/{self.options.volume}".rstrip("/")
        devices = exposed.paths if exposed else ("DEVICE",)
        take = Command(take_argv("ID", name, _root(self.path), devices)).line()
        line = f"{take} && zfs mount {dataset} && mount --bind MOUNTED {self.path}"
        undo = f"umount {self.path} && zfs unmount {dataset} && zpool export {name}"
        return (Action(self.host.name, line, PRESENT_SECONDS, undo),)

    # -- identify --

    def _await(self, intent: Presented, deadline: Deadline) -> Seen:
        """Look until every device is there; one may be a file, on which a pool can lie as well."""
        root = intent.data["root"]
        while True:
            seen = look(self.host, deadline, self.path, look_at.parent_of(self.path), root, *intent.exposed.paths)
            missing = [device for device in intent.exposed.paths if device not in seen.places]
            if not missing:
                return seen
            if deadline.left() <= look_at.POLL_SECONDS + look_at.LOOK_SECONDS:
                raise DeadlinePassed(
                    f"{missing[0]} did not appear on {self.host.name}",
                    hint="is the copy exposed to that host? a rescan may be due",
                )
            time.sleep(look_at.POLL_SECONDS)

    def _require_free(self, seen: Seen) -> None:
        place = seen.places.get(self.path)
        if seen.top_at(self.path) is not None or (place is not None and not place.is_made_by(seen.uid)):
            raise Refused(
                f"{self.path} on {self.host.name} is there and is not an empty mount point of ours",
                hint=f"remove it after a look (rmdir {self.path}): it exists only while a copy is presented",
            )

    def _filesystem(self, name: str, deadline: Deadline) -> tuple[str, str, bool]:
        """Which filesystem is shown, where it is mounted or will be, and whether it is. Raises Refused."""
        dataset, point, is_mounted = self._known(name, deadline)
        if not dataset:
            found = self.tools.filesystems(name, deadline)
            names = [one for one, (where, _, may) in found.items() if where not in NOWHERE and may != "off"]
            what = self.options.volume or "the one filesystem"
            raise Refused(
                f"{what} of {self.options.pool} cannot be told: {len(names)} of its filesystems can be mounted",
                detail="\n".join(names),
                hint='say volume = "…" in that present entry; one with mountpoint=none or legacy cannot be shown',
            )
        return dataset, point, is_mounted

    def _known(self, name: str, deadline: Deadline) -> tuple[str, str, bool]:
        """The same, with "" for a filesystem that cannot be told."""
        found = self.tools.filesystems(name, deadline)
        wanted = self.options.volume.removeprefix(f"{self.options.pool}/")
        if wanted == self.options.pool:
            wanted = name
        elif wanted:
            wanted = f"{name}/{wanted}"
        chosen = [
            (dataset, point, is_mounted == "yes")
            for dataset, (point, is_mounted, may) in found.items()
            if point not in NOWHERE and may != "off" and wanted in ("", dataset)
        ]
        return chosen[0] if len(chosen) == 1 else ("", "", False)

    def _bound(self, intent: Presented, point: str) -> Presented:
        """What the bind of the mounted filesystem to the path is, for the part that does it."""
        tree = point or f"{intent.data['root']}/none"
        return Presented("mount", self.path, Exposed("tree", (tree,), self.host.name), {"run": intent.data["run"]})

    def _remove_folders(self, root: str, deadline: Deadline) -> None:
        """The mount points that the import made, while they are empty."""
        argv = ("find", root, "-xdev", "-depth", "-type", "d", "-empty", "-delete")
        self.tools.act(argv, deadline, f"removing {root}")
        if root in look(self.host, deadline, root).places:
            raise Refused(
                f"{root} on {self.host.name} is not empty, though nothing is imported there", hint="look at it"
            )


def _root(path: str) -> str:
    """The folder that the pool is imported below, beside the path."""
    return str(PurePosixPath(path).with_name(f".{PurePosixPath(path).name}.pool"))
