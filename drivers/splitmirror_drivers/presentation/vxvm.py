"""A volume of a copy's VERITAS disk group mounted read-only: import, start, mount; unmount, stop, deport.

The disk group is one that the array has split off for us, or a bit copy of another one's disks (see vxvm_group). Filesystems
are mounted as in `mount`, and VxFS beside: its intent log is replayed first (``fsck -t vxfs``) where the copy may be written
to, since a VxFS whose log was not replayed is not mounted; after a freeze, where nothing may be written, it is mounted as it
is or not at all. Sources: Veritas Storage Foundation Advanced Features Administrator's Guide 5.1 SP1, FlashSnap guide 5.0.1
pp. 24-25 (off-host backup); fsck_vxfs(1M), mount_vxfs(1M).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.mount import FIRST_LOOK_SECONDS, SAFE, Mount
from splitmirror_drivers.presentation.mount import Options as MountOptions
from splitmirror_drivers.presentation.vxvm_group import IMPORTED, OWN, SPLIT_OFF, CopyOfGroup
from splitmirror_drivers.presentation.vxvm_tools import DEVICES, NAME, VxvmTools

VXFS = "vxfs"
NOT_STARTED = "not-started"
_GROUP_LETTERS, _MARK_BYTES = 18, 5
"""How much of the original's name and of a mark goes into the name of an imported group: 31 letters at most."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`disk_group`: its name on the copy; `volume`: which of its volumes ("" for the only one); the rest as a mount's."""

    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False
    disk_group: str
    volume: str = ""


class VolumeMount(Mount):
    """A mount that knows VxFS as well."""

    def __init__(self, path: str, options: MountOptions, host: Host, filesystem: str) -> None:
        super().__init__(path, options, host)
        self.filesystem = filesystem

    def _identify(self, device: str, deadline: Deadline) -> str:
        if self.filesystem not in ("", VXFS):
            return super()._identify(device, deadline)
        done = self.host.run(Command(("blkid", "-p", "-o", "export", device)), deadline)
        if done.exit_code == 0 and f"TYPE={VXFS}" in done.stdout.splitlines():
            return VXFS
        if self.filesystem == VXFS:
            raise Refused(f"{device} on {self.host.name} does not carry {VXFS}", detail=done.tail())
        return super()._identify(device, deadline)

    def _mount_device(self, intent: Presented, kind: str, deadline: Deadline) -> None:
        if kind != VXFS:
            super()._mount_device(intent, kind, deadline)
            return
        device, options = intent.exposed.paths[0], ",".join((*self.options.options, *SAFE))
        hint = f'say filesystem = "{VXFS}" in that present entry: then its log is replayed where the copy may be written to'
        if intent.data["journal"] == "replay":
            self._run(deadline, f"replaying the log of {device}", "fsck", "-t", VXFS, device)
            hint = "its log was replayed; fsck -o full may say more"
        argv = ("mount", "-t", VXFS, "-o", options, device, self.path)
        self._run(deadline, f"mounting {device} at {self.path}", *argv, hint=hint)


class Vxvm:
    """One volume of a copy's disk group mounted at one path of one Linux host."""

    driver = "vxvm"
    writes_to_copy = True
    """To a filesystem that was not frozen over the split; and an import writes to the labels of its disks."""

    def __init__(self, path: str, options: Options, host: Host, mount: VolumeMount) -> None:
        self.path, self.options, self.host, self.mount = path, options, host, mount

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Vxvm:
        """The catalogue's constructor. Raises PolicyFault."""
        for key, name in (("disk-group", options.disk_group), ("volume", options.volume)):
            if not NAME.fullmatch(name) and (name or key == "disk-group"):
                raise PolicyFault(f"{path}: {key} = {name!r} is not a name that VxVM allows")
        known = "" if options.filesystem == VXFS else options.filesystem
        mounted = MountOptions(options=options.options, filesystem=known, fsck=options.fsck)
        Mount.from_options(path, mounted, host, context)  # for its checks
        return cls(path, options, host, VolumeMount(path, mounted, host, options.filesystem))

    def check(self, deadline: Deadline) -> None:
        """What a mount needs, and a host with VxVM. Raises Refused, CommandFailed."""
        self.mount.check(deadline)
        VxvmTools(self.host).groups(deadline)

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:
        """As a mount's; and in which way the group comes up, under which name. Raises Refused."""
        if exposed.kind != "device" or not exposed.paths:
            raise Refused(f"the copy for {self.path} has no devices, so no disk group {self.options.disk_group}")
        inner = self.mount.intend(replace(exposed, paths=exposed.paths[:1]), run, is_frozen=is_frozen)
        group, volume, way, name = self.options.disk_group, self.options.volume, OWN, self.options.disk_group
        below = [path for path in exposed.paths if path.startswith(f"{DEVICES}/")]
        if below:
            way, volume = SPLIT_OFF, self._split_off(exposed)
        elif may_write:
            way, name = IMPORTED, f"{group[:_GROUP_LETTERS]}_{_mark(run, exposed)}"
        data = {**inner.data, "group": group, "volume": volume, "name": name, "way": way}
        if may_write and self.options.filesystem == VXFS:
            data["journal"] = "replay"
        return Presented(self.driver, self.path, exposed, data)

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait for the disks, import the group, start and mount the volume. What is done already is not done twice."""
        first = deadline.sooner(max(FIRST_LOOK_SECONDS, deadline.left() / 2))
        devices = () if intent.data["way"] == SPLIT_OFF else intent.exposed.paths
        seen = look_at.await_devices(self.host, first, self.path, devices)
        look_at.require_room(seen, self.path, self.host)
        device = _copy(intent, self.host).bring_up(intent.data["volume"], deadline)
        self.mount.present(_inner(intent, device), deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """As a mount; and the volume is up on this copy's disks and no others. Raises Refused."""
        device = _copy(intent, self.host).require_shown(intent.data["volume"], deadline)
        self.mount.verify(_inner(intent, device), deadline)

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has anything below the path, a volume of the copy or its devices open."""
        return _copy(intent, self.host).users(intent.path, deadline)

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Unmount and stop; the last mount of the group has it deported. Raises InUse, naming who."""
        copy = _copy(intent, self.host)
        started = copy.started(copy.find(deadline), deadline)
        meant = [name for name in started if intent.data["volume"] in ("", name)]
        device = copy.device(meant[0]) if len(meant) == 1 else f"{DEVICES}/{copy.name}/{NOT_STARTED}"
        self.mount.withdraw(_inner(intent, device), deadline)
        copy.take_down(intent.data["volume"], deadline)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What present will do."""
        group = self.options.disk_group
        what = (
            f"import the disk group {group} of {' '.join(exposed.paths) if exposed else 'the copy'} (under a name of this "
            f"run's own, where it is a bit copy and the array repairs writes to it), start "
            f"{self.options.volume or 'its volume'}, mount it read-only at {self.path}"
        )
        return (Action(self.host.name, what, 120.0, f"umount {self.path}; vxdg deport {group}"),)

    def _split_off(self, exposed: Exposed) -> str:
        """The volume that is meant of those that the array has split off. Raises Refused."""
        group, wanted = self.options.disk_group, self.options.volume
        found = {path.removeprefix(f"{DEVICES}/") for path in exposed.paths}
        names = sorted(path.removeprefix(f"{group}/") for path in found if path.startswith(f"{group}/"))
        if len(names) != len(found):
            raise Refused(
                f"the array shows {', '.join(exposed.paths)}, and {self.path} is to present the disk group {group}",
                hint="disk-group is the array's copy-disk-group",
            )
        meant = [name for name in names if wanted in ("", name)]
        if len(meant) != 1:
            raise Refused(
                f"the copy has the volumes {', '.join(names)}, and {self.path} can mount one",
                hint='say volume = "…" in that present entry, by the name of the snapshot',
            )
        return meant[0]


def _copy(intent: Presented, host: Host) -> CopyOfGroup:
    data = intent.data
    return CopyOfGroup(VxvmTools(host), data["group"], data["name"], data["way"], intent.exposed.paths)


def _inner(intent: Presented, device: str) -> Presented:
    """The mount of one volume."""
    return Presented(Mount.driver, intent.path, replace(intent.exposed, paths=(device,)), intent.data)


def _mark(run: str, exposed: Exposed) -> str:
    said = "\n".join((run, *sorted(exposed.paths)))
    return hashlib.blake2b(said.encode(), digest_size=_MARK_BYTES).hexdigest()
