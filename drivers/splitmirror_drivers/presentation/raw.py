"""The copy's block devices under a stable name: a link at the path, or a folder of links when there are several.

For backups that read devices themselves (raw database files, whole images). Nothing is mounted and nothing is written;
the link exists only while the copy is presented. A link is made by one call that fails when its name is taken: ln(1).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.seen import Seen, act, holders, look, refuse_users, users


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A present entry's other keys; none of them means anything for a raw device."""

    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False


class Raw:
    """One copy's devices linked at one path of one host."""

    driver = "raw"
    writes_to_copy = False

    def __init__(self, path: str, host: Host) -> None:
        self.path, self.host = look_at.require_absolute(path), host
        host.families((look_at.FAMILY,))

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Raw:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        if options.options or options.filesystem or options.fsck:
            raise PolicyFault(f"{path}: options, filesystem and fsck belong to a mount, not to a raw device")
        return cls(path, host)

    def check(self, deadline: Deadline) -> None:
        """Root, the folder above, nothing at the path. Raises Refused."""
        seen = look(self.host, deadline, self.path, look_at.parent_of(self.path))
        look_at.require_room(seen, self.path, self.host)
        if self.path in seen.places:
            raise self._taken()

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:  # noqa: ARG002
        """Which link leads to which device. Raises Refused for a tree, or for devices whose names are the same."""
        if exposed.host not in ("", self.host.name):
            raise Refused(f"the copy is exposed on {exposed.host}, not on {self.host.name} where {self.path} is")
        if exposed.kind != "device" or not exposed.paths:
            raise Refused(
                f"the copy for {self.path} is no block device", hint="present a tree with mount = or directory ="
            )
        links = [self.path]
        if len(exposed.paths) > 1:
            links = [f"{self.path}/{PurePosixPath(device).name}" for device in exposed.paths]
        if len(set(links)) != len(exposed.paths):
            raise Refused(f"two devices of the copy would have one name below {self.path}")
        return Presented(self.driver, self.path, exposed, {"run": run, **dict(zip(links, exposed.paths, strict=True))})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait for the devices, flush stale buffers, make the links. Safe to repeat."""
        devices, links = intent.exposed.paths, self._links(intent)
        seen = look_at.await_devices(self.host, deadline, self.path, devices)
        look_at.require_room(seen, self.path, self.host)
        refuse_users("the copy", holders(self.host, deadline, seen, *devices))
        for device in devices:
            self._act(deadline, f"flushing the buffers of {device}", "blockdev", "--flushbufs", device)
        place = seen.places.get(self.path)
        if len(links) > 1 and place is None:
            self._act(deadline, f"making {self.path}", "mkdir", "-m", "0700", self.path)
        elif len(links) > 1 and place is not None and not place.mode.startswith(look_at.MADE):
            raise self._taken()
        seen = look(self.host, deadline, self.path, *links)
        for link, device in links.items():
            if not self._is_linked(seen, link, device, deadline):
                self._act(deadline, f"linking {link}", "ln", "-s", "-T", device, link)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """Every link leads to its device, and that is a block device. Raises Refused."""
        links = self._links(intent)
        seen = look(self.host, deadline, *links, *links.values())
        for link, device in links.items():
            if not self._is_linked(seen, link, device, deadline):
                raise Refused(f"{link} on {self.host.name} is missing")
            if not seen.places[link].numbers:
                raise Refused(f"{device} on {self.host.name} is not a block device any more")

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has a device open, mounted or held."""
        return users(self.host, deadline, *intent.exposed.paths)

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Remove the links, when nobody has a device open; flush what was read, so that nothing stale is left."""
        links = self._links(intent)
        seen = look(self.host, deadline, self.path, *links, *intent.exposed.paths)
        place = seen.places.get(self.path)
        if place is None:
            return
        if len(links) > 1 and not place.mode.startswith(look_at.MADE):
            raise self._taken()
        standing = [link for link, device in links.items() if self._is_linked(seen, link, device, deadline)]
        refuse_users(f"the copy at {self.path}", self.users(intent, deadline))
        for link in standing:
            self._act(deadline, f"removing {link}", "rm", "--", link)
        for device in intent.exposed.paths:
            if device in seen.places and seen.places[device].numbers:
                self._act(deadline, f"flushing the buffers of {device}", "blockdev", "--flushbufs", device)
        if len(links) > 1:
            if not look(self.host, deadline, self.path).places[self.path].is_empty:
                raise self._taken()
            self._act(deadline, f"removing {self.path}", "rmdir", self.path)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What present will do."""
        what = " ".join(exposed.paths) if exposed else "the copy's device"
        return (Action(self.host.name, f"ln -s {what} {self.path}", 30.0, f"rm {self.path}"),)

    def _links(self, intent: Presented) -> dict[str, str]:
        return {link: device for link, device in intent.data.items() if link.startswith("/")}

    def _is_linked(self, seen: Seen, link: str, device: str, deadline: Deadline) -> bool:
        """Whether the link is there and leads to the device. Raises Refused for anything else that is there."""
        place = seen.places.get(link)
        if place is None:
            return False
        if place.mode.startswith("l") and self._act(deadline, f"reading {link}", "readlink", link) == device:
            return True
        raise self._taken(link)

    def _taken(self, path: str = "") -> Refused:
        return Refused(
            f"{path or self.path} on {self.host.name} is there and is not of our making",
            hint="remove it after a look: it is made when a copy is presented, and exists only as long",
        )

    def _act(self, deadline: Deadline, what: str, *argv: str, hint: str = "") -> str:
        return act(self.host, argv, deadline, f"{what} on {self.host.name}", hint).stdout.rstrip("\n")
