"""The copy mounted read-only: a filesystem on one block device, or a folder tree bound to a second place.

A device is write-protected before its filesystem is looked at. ext2/3/4 and btrfs then prove by themselves that they were
frozen over the split: their journal is clean, so the kernel mounts them without a write; else it refuses. (``noload``
alone would not do: an ext4 mounted ``ro,noload`` still cleans up its orphans, and writes.) An XFS keeps a log to be
replayed even when frozen, so it gets ``norecovery``, and that only after a freeze; and always ``nouuid``, since a copy
has its original's. Without a freeze the journal must be replayed, which writes to the copy. Sources: mount(8), ext4(5),
xfs(5), btrfs(5); kernel fs/ext4/super.c (ext4_freeze, ext4_orphan_cleanup); tried on kernel 6.18.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.seen import (
    MADE,
    MADE_PROTECTED,
    Mounted,
    Seen,
    act,
    holders,
    look,
    refuse_users,
    users,
)

TOKEN = ".splitmirror-run"  # noqa: S105 - it names a run and opens nothing
"""Written by the filesystem application before it freezes: the run's name, at the top of the filesystem."""
SAFE = ("ro", "nosuid", "nodev")
CHECKS = {
    "ext2": ("e2fsck", "-f", "-n"),
    "ext3": ("e2fsck", "-f", "-n"),
    "ext4": ("e2fsck", "-f", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
    "xfs": None,
}
"""The filesystems that are mounted, with what checks them without a write (to xfs_repair -n a log is damage)."""
FORBIDDEN = frozenset({"rw", "remount", "bind", "rbind", "move", "loop", "defaults", "suid", "dev", "user", "users"})
NOT_YOURS = frozenset({"owner", "group", "noload", "norecovery", "nologreplay"})
FIRST_LOOK_SECONDS = 30.0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How it is mounted. `filesystem`: what must be on the device ("" for any that is known); `fsck`: check it first.

    `device`: which of the copy's devices, by its path or the last part of it, when there are several.
    """

    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False
    device: str = ""


class Mount:
    """One copy mounted at one path of one Linux host."""

    driver = "mount"
    writes_to_copy = True
    """To a device whose filesystem was not frozen over the split; never to a tree, never after a freeze."""

    def __init__(self, path: str, options: Options, host: Host) -> None:
        self.path, self.options, self.host = look_at.require_absolute(path), options, host
        host.families((look_at.FAMILY,))

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Mount:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        for option in options.options:
            if (
                not re.fullmatch(r"[\w.:=/@+-]+", option)
                or option in FORBIDDEN | NOT_YOURS
                or option.startswith("rescue=")
            ):
                raise PolicyFault(f"{path}: {option!r} is not a mount option that may be set here")
        if options.filesystem and options.filesystem not in CHECKS:
            raise PolicyFault(f"{path}: filesystem = {options.filesystem!r} is not one of {', '.join(sorted(CHECKS))}")
        if options.fsck and CHECKS.get(options.filesystem) is None:
            raise PolicyFault(
                f"{path}: fsck = true needs a filesystem that can be checked without a write",
                hint='set filesystem = "ext4" or "btrfs"; an XFS cannot be checked before its log is replayed',
            )
        return cls(path, options, host)

    def check(self, deadline: Deadline) -> None:
        """Root, the folder above, nothing at the path. Raises Refused."""
        seen = look(self.host, deadline, self.path, look_at.parent_of(self.path))
        look_at.require_room(seen, self.path, self.host)
        if top := seen.top_at(self.path):
            raise Refused(
                f"{top.source} is mounted at {self.path} on {self.host.name}", hint=f"umount {self.path} after a look"
            )
        self._require_free(seen)

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:  # noqa: ARG002
        """`journal`: whether the copy's is known to be clean, or is replayed; `token`: what a frozen copy must carry."""
        if exposed.host not in ("", self.host.name):
            raise Refused(
                f"the copy is exposed on {exposed.host}, not on {self.host.name} where {self.path} is",
                hint=f'set host = "{exposed.host}" in that present entry',
            )
        exposed = self._chosen(exposed)
        if exposed.kind == "tree":
            return Presented(self.driver, self.path, exposed, {"run": run})
        frozen = {"journal": "clean", "token": run} if is_frozen else {"journal": "replay"}
        return Presented(self.driver, self.path, exposed, {"run": run, **frozen})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait for it, flush stale buffers, protect, look, mount. Where it is mounted already nothing is done."""
        if intent.exposed.kind == "tree":
            self._bind(intent, deadline)
            return
        device = intent.exposed.paths[0]
        first = deadline.sooner(max(FIRST_LOOK_SECONDS, deadline.left() / 2))
        seen = look_at.await_devices(self.host, first, self.path, (device,))
        look_at.require_room(seen, self.path, self.host)
        if self._standing(seen, intent) is not None:
            return
        self._require_free(seen)
        refuse_users(f"the copy {device}", holders(self.host, deadline, seen, device))
        self._run(deadline, "flushing the buffers of the copy", "blockdev", "--flushbufs", device)
        self._make_point(seen, deadline, protect=self._must_protect(intent, deadline))
        if intent.data["journal"] == "clean":
            self._run(deadline, "protecting the copy", "blockdev", "--setro", device)
        self._mount_device(intent, self._identify(device, deadline), deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """This device or tree is what is seen at the path, read-only, and carries the run's token. Raises Refused."""
        seen = look(self.host, deadline, self.path, *intent.exposed.paths)
        mount = self._standing(seen, intent)
        if mount is None:
            raise Refused(f"nothing is mounted at {self.path} on {self.host.name}")
        if lacking := [option for option in SAFE if option not in mount.options]:
            raise Refused(f"{self.path} on {self.host.name} is mounted without {', '.join(lacking)}")
        if intent.exposed.kind == "device" and "ro" not in mount.super_options:
            raise Refused(f"the filesystem at {self.path} on {self.host.name} can be written to")
        if wanted := intent.data.get("token"):
            self._require_token(wanted, deadline)

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has anything below the path, or the device or tree itself, open."""
        return users(self.host, deadline, intent.path, *intent.exposed.paths)

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Unmount, see that nobody holds it, undo the protection, remove the mount point."""
        seen = look(self.host, deadline, self.path, *intent.exposed.paths)
        mount = self._standing(seen, intent)
        if mount is not None:
            refuse_users(f"the copy at {self.path}", self.users(intent, deadline))
            hint = "no program is seen to use it; an NFS export or another mount below may hold it"
            self._run(deadline, f"unmounting {self.path}", "umount", self.path, hint=hint)
            seen = look(self.host, deadline, self.path, *intent.exposed.paths)
            if self._standing(seen, intent) is not None:
                raise Refused(f"{self.path} on {self.host.name} is still mounted after umount")
        place = seen.places.get(self.path)
        if place is None:
            return
        self._require_free(seen)
        left = users(self.host, deadline, *intent.exposed.paths)
        if intent.exposed.kind == "tree":  # who reads the tree at its own place is none of our business here
            left = tuple(user for user in left if user.pid == 0)
        refuse_users(f"the copy that was at {self.path}", left)
        device = intent.exposed.paths[0]
        if place.mode.startswith(MADE_PROTECTED) and device in seen.places:
            self._run(deadline, "ending the protection of the copy", "blockdev", "--setrw", device)
        self._run(deadline, f"removing {self.path}", "rmdir", self.path)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What present will do."""
        what = exposed.paths[0] if exposed and exposed.paths else "the copy"
        options = ",".join((*self.options.options, *SAFE))
        return (Action(self.host.name, f"mount -o {options} {what} {self.path}", 120.0, f"umount {self.path}"),)

    # -- identify --

    def _chosen(self, exposed: Exposed) -> Exposed:
        """The one device that is mounted. Raises Refused where that is not clear."""
        wanted = self.options.device
        paths = [path for path in exposed.paths if not wanted or wanted in (path, path.rpartition("/")[2])]
        if len(paths) != 1:
            raise Refused(
                f"{len(exposed.paths)} devices are exposed, and {self.path} can mount one",
                detail="\n".join(exposed.paths),
                hint='say device = "…" in that present entry, or volume-group = "…" where they carry one',
            )
        return replace(exposed, paths=tuple(paths))

    def _standing(self, seen: Seen, intent: Presented) -> Mounted | None:
        """Our own mount at the path; None where nothing is mounted. Raises Refused for anything else that is there."""
        mount = seen.top_at(self.path)
        if mount is None:
            return None
        place = seen.places.get(intent.exposed.paths[0])
        if place is not None and intent.exposed.kind == "device" and mount.device == place.numbers:
            return mount
        if (
            place is not None
            and intent.exposed.kind == "tree"
            and (mount.numbers, mount.root) == seen.root_of(place.real)
        ):
            return mount
        raise Refused(
            f"{mount.source} is mounted at {self.path} on {self.host.name}, and is not {intent.exposed.paths[0]}",
            hint=f"look at it; when nobody needs it: umount {self.path}",
        )

    def _require_free(self, seen: Seen) -> None:
        place = seen.places.get(self.path)
        if place is not None and not place.is_made_by(seen.uid):
            raise Refused(
                f"{self.path} on {self.host.name} is there and is not an empty mount point of ours",
                hint=f"remove it (rmdir {self.path}): it is made when a copy is presented, and exists only as long",
            )

    def _identify(self, device: str, deadline: Deadline) -> str:
        """The filesystem on the device, read from it and not from any cache. Raises Refused for what cannot be mounted."""
        done = self.host.run(Command(("blkid", "-p", "-o", "export", device)), deadline)
        if done.exit_code not in (0, 2, 8):
            raise UnknownAnswer(f"blkid cannot say what is on {device}", detail=done.tail())
        found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        kind = found.get("TYPE", "nothing that is known")
        if done.exit_code != 0 or kind not in CHECKS:
            raise Refused(f"{device} on {self.host.name} carries {kind}, which is not mounted here", detail=done.tail())
        if self.options.filesystem not in ("", kind):
            raise Refused(f"{device} on {self.host.name} carries {kind}, not {self.options.filesystem}")
        return kind

    def _must_protect(self, intent: Presented, deadline: Deadline) -> bool:
        """Whether the device has to be write-protected by us. Raises Refused where it is, and has to be written to."""
        device = intent.exposed.paths[0]
        done = self._run(deadline, f"asking whether {device} is protected", "blockdev", "--getro", device)
        if done not in ("0", "1"):
            raise UnknownAnswer(f"blockdev cannot say whether {device} is protected", detail=done)
        if done == "1" and intent.data["journal"] == "replay":
            raise Refused(
                f"{device} is write-protected, and its filesystem was not frozen: its journal cannot be replayed",
                hint='let the filesystems be frozen over the split (freeze-filesystems = "auto")',
            )
        return done == "0" and intent.data["journal"] == "clean"

    # -- act --

    def _run(self, deadline: Deadline, what: str, *argv: str, hint: str = "") -> str:
        return act(self.host, argv, deadline, f"{what} on {self.host.name}", hint).stdout.strip()

    def _make_point(self, seen: Seen, deadline: Deadline, *, protect: bool) -> None:
        """The mount point, whose mode says before the act that the device is to be writable again afterwards."""
        place, mode = seen.places.get(self.path), MADE_PROTECTED if protect else MADE
        octal = "0500" if protect else "0700"
        if place is None:
            self._run(deadline, f"making {self.path}", "mkdir", "-m", octal, self.path)
        elif protect and not place.mode.startswith(mode):
            self._run(deadline, f"making {self.path}", "chmod", octal, self.path)

    def _mount_device(self, intent: Presented, kind: str, deadline: Deadline) -> None:
        device, is_clean = intent.exposed.paths[0], intent.data["journal"] == "clean"
        options = [*self.options.options, *SAFE]
        if kind == "xfs":
            options += ["nouuid", "norecovery"] if is_clean else ["nouuid"]
        hint = "it needs its journal replayed, so it was not frozen over the split" if is_clean else ""
        argv = ("mount", "-i", "-t", kind, "-o", ",".join(options), device, self.path)
        if checker := CHECKS[kind] if self.options.fsck else None:
            if not is_clean:
                self._run(deadline, "replaying the journal of the copy", *argv)
                self._run(deadline, f"unmounting {self.path}", "umount", self.path)
            self._fsck(checker, device, deadline)
        if kind == "btrfs":
            self._forget(device, deadline)
        self._run(deadline, f"mounting {device} at {self.path}", *argv, hint=hint)

    def _forget(self, device: str, deadline: Deadline) -> None:
        """Have the kernel drop what it knows of the device: a btrfs that was on it before, of several devices, is in the way.

        That it knows nothing, which is the usual, is exit code 1; whether it helped is what the mount says.
        """
        self.host.run(Command(("btrfs", "device", "scan", "--forget", device)), deadline)

    def _fsck(self, checker: tuple[str, ...], device: str, deadline: Deadline) -> None:
        done = self.host.run(Command((*checker, device)), deadline)
        if done.exit_code != 0:
            raise Refused(
                f"the filesystem on {device} is not in order",
                detail=done.tail(),
                hint="check the original as well. An ext filesystem frozen with files that were deleted while open is "
                "never in order without a write: where an application keeps such files, leave fsck out",
            )

    def _bind(self, intent: Presented, deadline: Deadline) -> None:
        tree = intent.exposed.paths[0]
        seen = look(self.host, deadline, self.path, look_at.parent_of(self.path), tree)
        look_at.require_room(seen, self.path, self.host)
        if tree not in seen.places or not seen.places[tree].mode.startswith("d"):
            raise Refused(f"{tree} on {self.host.name} is not a folder")
        mount = self._standing(seen, intent)
        if mount is None:
            self._require_free(seen)
            self._make_point(seen, deadline, protect=False)
            self._run(deadline, f"binding {tree} to {self.path}", "mount", "--bind", tree, self.path)
        if mount is None or not set(SAFE) <= mount.options:
            options = ",".join(("remount", "bind", *self.options.options, *SAFE))
            self._run(deadline, f"making {self.path} read-only", "mount", "-o", options, self.path)

    # -- assert --

    def _require_token(self, wanted: str, deadline: Deadline) -> None:
        path = f"{self.path}/{TOKEN}"
        hint = "the array shows another copy, or its filesystem was not frozen by this run"
        try:
            found = self.host.fetch(path, 1024, deadline).decode(errors="replace").strip()
        except CommandFailed as fault:
            raise Refused(f"{path} is missing: this is not tonight's copy", detail=fault.full(), hint=hint) from fault
        if found != wanted:
            raise Refused(f"{path} names {found!r}, not {wanted}: this is not tonight's copy", hint=hint)
