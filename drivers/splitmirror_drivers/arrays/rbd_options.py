"""The policy table of an `rbd` array, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, Traits
from splitmirror_drivers.kit.errors import PolicyFault, Refused
from splitmirror_drivers.presentation import seen as look_at

_SPEC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_POOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WWN = re.compile(r"wwn:[0-9a-f]+")
SOURCE = (
    "rbd(8) of Ceph 16.2 and later; Ceph documentation, Snapshots and Snapshot layering: a snapshot is of one image; that a "
    "group's is one moment over its images is not said of images that the kernel maps"
)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Images (``POOL/IMAGE``), which are snapped one after another; or an rbd `group` and the images that it must have.

    `show`: the snapshots themselves, which are read-only, or writable clones. `devices`: for an image the path, or
    ``wwn:…``, by which `source_host` sees it.
    """

    images: tuple[str, ...]
    group: str = ""
    show: Literal["snapshot", "clone"] = "snapshot"
    devices: dict[str, str] = {}
    source_host: str = ""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One cluster, as the host's own configuration and keyring name it.

    `id`, `cluster`: as rbd's options. `consistent_groups`: you vouch that the snapshot of an rbd group is one moment over
    its images. `clones`: the pool where clones are made ("": the image's own). `copy_host`: who maps copies, when it is
    not this host. `devices`: the folder where mapped images appear by their names; `rbd`: the program.
    """

    groups: dict[str, Group]
    id: str = ""
    cluster: str = ""
    consistent_groups: bool = False
    clones: str = ""
    copy_host: str = ""
    devices: str = "/dev/rbd"
    rbd: str = "rbd"

    def check(self, name: str) -> None:
        """Raises PolicyFault."""
        problem = next(self._problems(), None)
        if problem:
            where, what, hint = problem
            raise PolicyFault(f"{name}{where}: {what}", hint=hint)
        try:
            look_at.require_absolute(self.devices)
        except Refused as fault:
            raise PolicyFault(f"{name}: {fault}") from fault

    def _problems(self) -> Iterator[tuple[str, str, str]]:
        if not self.groups:
            yield "", "has no groups", "name at least one group"
        for key, value in (("clones", self.clones), ("id", self.id), ("cluster", self.cluster)):
            if value and not _POOL.fullmatch(value):
                yield "", f"{key} = {value!r} is no name", ""
        for name, group in self.groups.items():
            for what, hint in _problems_of(group):
                yield f"/{name}", what, hint

    def traits(self) -> Traits:
        """What a snapshot is, for the least of the groups."""
        groups = self.groups.values()
        if all(len(group.images) == 1 for group in groups):
            atomic = Atomic.PAIR
        elif self.consistent_groups and all(group.group or len(group.images) == 1 for group in groups):
            atomic = Atomic.GROUP
        else:
            atomic = Atomic.NOTHING
        return Traits(
            family=Family.POINT,
            fixed_by=FixedBy.COMPLETE,
            atomic=atomic,
            needs_sync=False,
            tracks_changes=False,
            tracks_copy_writes=all(group.show == "clone" for group in groups),
            keeps_copies=True,
            allows_freeze=True,
            source=SOURCE,
        )


def _problems_of(group: Group) -> Iterator[tuple[str, str]]:
    if not group.images:
        yield "has no images", 'images = ["POOL/IMAGE"]; of an rbd group as well, so that they can be compared'
    if len(set(group.images)) != len(group.images):
        yield "names an image twice", ""
    for spec in filter(None, (*group.images, group.group)):
        if not _SPEC.fullmatch(spec):
            yield f"{spec!r} is not POOL/NAME", "namespaces are not supported"
    if group.group and group.show != "clone":
        yield "a group's snapshot cannot be mapped, only cloned", 'show = "clone"; Ceph 19 or later'
    for image, device in group.devices.items():
        if image not in group.images:
            yield f"devices names {image}, which is no image of it", ""
        if not device.startswith("/") and not _WWN.fullmatch(device):
            yield f"{device!r} is neither a path nor wwn:…", ""
        if device.startswith("/") and not group.source_host:
            yield f"nothing says whose path {device} is", 'source-host = "…"'
