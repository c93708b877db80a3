"""The policy table of an `lvm` array."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.arrays.mirror_proof import Policy
from splitmirror_drivers.kit.errors import PolicyFault

Method = Literal["split-mirror", "thin-snapshot", "snapshot"]
_NAME = r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*"
VOLUME = re.compile(rf"{_NAME}/{_NAME}")
LEG = re.compile(rf"/[^\s]+|@{_NAME}")
SIZE = re.compile(r"\d+(\.\d+)?[bskmgtBSKMGT]?|\d+%(ORIGIN|VG|FREE)")
COPY = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The `volumes`, as VG/LV. `leg`: the disk, or the tag of the disks, whose legs are split off; `size`: of a thick snapshot."""

    volumes: tuple[str, ...]
    leg: str = ""
    size: str = ""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups by name.

    `method`: how a copy is made. `copy_host`: another host that sees the legs' disks, where the copy is shown.
    `verify_after_merge`: when the legs are compared before a merged one counts as in sync.
    """

    method: Method
    groups: dict[str, Group]
    copy_host: str = ""
    verify_after_merge: Policy = "after-crash"


def check(name: str, options: Options) -> None:
    """Raises PolicyFault for what can be seen to be wrong without asking a host."""
    if options.method != "split-mirror" and options.copy_host:
        raise PolicyFault(f"{name}: copy-host needs a split mirror; a snapshot is on its volume's own host")
    for group, table in options.groups.items():
        where = f"{name}/{group}"
        if not table.volumes:
            raise PolicyFault(f"{where}: volumes names no volume")
        if wrong := [volume for volume in table.volumes if not VOLUME.fullmatch(volume)]:
            raise PolicyFault(f"{where}: {wrong[0]!r} is not a volume as VG/LV")
        if len(set(table.volumes)) < len(table.volumes):
            raise PolicyFault(f"{where}: volumes names one volume twice")
        if table.leg and (options.method != "split-mirror" or not LEG.fullmatch(table.leg)):
            raise PolicyFault(f"{where}: leg = {table.leg!r} is the disk of a split mirror, a path or @tag")
        if bool(table.size) != (options.method == "snapshot"):
            raise PolicyFault(f'{where}: size is needed for method = "snapshot", and for no other')
        if table.size and not SIZE.fullmatch(table.size):
            raise PolicyFault(
                f"{where}: size = {table.size!r} is not a size as lvcreate takes it", hint='"20G", "15%ORIGIN"'
            )
