"""The policy table of a `shadowimage` array, checked when it is read."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, Traits
from splitmirror_drivers.kit.errors import PolicyFault
from splitmirror_drivers.kit.units import Duration

FASTEST = 15
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LDEV = re.compile(r"(?:[0-9A-Fa-f]{2}:)?[0-9A-Fa-f]{1,2}:[0-9A-Fa-f]{2}|[0-9A-Fa-f]{1,6}")
_WWN = re.compile(r"wwn:[0-9a-f]+")
SOURCE = (
    "HP XP RAID Manager User's Guide, pairsplit, pairevtwait; HP P9000 RAID Manager User Guide T1610-96059 pp. 144-146; "
    "HP XP24000 Business Copy User's Guide T5213-96001 p. 19 (at-time split)"
)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One device group of the horcm files.

    `pairs`: how many it has, or their names, or for each name the LDEV of its P-VOL (``"01:10"``). `devices`: for each
    name how `source_host` sees the P-VOL, a path or ``wwn:…``. `copy_devices`: for each name the path of the S-VOL.
    """

    pairs: int | tuple[str, ...] | dict[str, str]
    devices: dict[str, str] = {}
    copy_devices: dict[str, str] = {}
    source_host: str = ""

    @property
    def count(self) -> int:
        """How many pairs it has."""
        return self.pairs if isinstance(self.pairs, int) else len(self.pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, where the policy says them."""
        return () if isinstance(self.pairs, int) else tuple(self.pairs)

    @property
    def primaries(self) -> dict[str, int]:
        """The LDEV number of each P-VOL by its pair's name, where the policy says them."""
        return {name: ldev(text) for name, text in self.pairs.items()} if isinstance(self.pairs, dict) else {}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One instance of RAID Manager and what it is asked for. `copy_host`: who sees the S-VOLs, when it is not this host.

    `serial`: the array's number as the display has it, compared with every P-VOL's; empty: whichever the instance reaches.
    """

    instance: int
    sees: Literal["p-vol", "s-vol"]
    groups: dict[str, Group]
    product: Literal["shadowimage", "thin-image"] = "shadowimage"
    consistency_group: bool = False
    copy_pace: int | None = None
    copy_host: str = ""
    serial: str = ""
    tools: str = ""
    busy_pause: Duration = Duration(1.0)
    busy_limit: Duration = Duration(30.0)

    def traits(self) -> Traits:
        """What this array is. With a consistency group the moment is that at which the array received the request."""
        return Traits(
            family=Family.MIRROR,
            fixed_by=FixedBy.ACCEPT if self.consistency_group else FixedBy.COMPLETE,
            atomic=Atomic.GROUP if self.consistency_group else Atomic.NOTHING,
            needs_sync=True,
            tracks_changes=True,
            tracks_copy_writes=True,
            keeps_copies=False,
            allows_freeze=True,
            source=SOURCE,
        )

    def check(self, name: str) -> None:
        """Raise PolicyFault for what cannot be meant."""
        if self.instance < 0:
            raise PolicyFault(f"{name}: instance is the number of the horcm file, 0 or more")
        if self.copy_pace is not None and not 1 <= self.copy_pace <= FASTEST:
            raise PolicyFault(f"{name}: copy-pace is 1 to {FASTEST}, not {self.copy_pace}")
        if self.copy_pace is not None and self.product == "thin-image":
            raise PolicyFault(f"{name}: copy-pace means nothing for thin-image, which copies nothing ahead")
        if self.serial and not self.serial.isdigit():
            raise PolicyFault(f"{name}: serial is the array's number, not {self.serial!r}")
        if self.tools and not self.tools.startswith("/"):
            raise PolicyFault(f"{name}: tools is the folder of RAID Manager's programs, not {self.tools!r}")
        if not self.groups:
            raise PolicyFault(f"{name} has no groups")
        for group, of in self.groups.items():
            _check_group(f"{name}/{group}", group, of)
        self._check_apart(name)

    def _check_apart(self, name: str) -> None:
        """Two groups are two copies: neither is seen where the other one is."""
        taken: dict[str, str] = {}
        for group, of in self.groups.items():
            if twice := [path for path in of.copy_devices.values() if path in taken]:
                raise PolicyFault(f"{name}: {twice[0]} is the copy device of two groups, {taken[twice[0]]} and {group}")
            taken |= dict.fromkeys(of.copy_devices.values(), group)


def _check_group(what: str, group: str, of: Group) -> None:
    if not _NAME.fullmatch(group):
        raise PolicyFault(f"{what}: {group!r} is not the name of a device group")
    if of.count < 1:
        raise PolicyFault(f"{what}: it needs a pair at least")
    if len(set(of.names)) != len(of.names):
        raise PolicyFault(f"{what}: a pair is named twice")
    if isinstance(of.pairs, dict):
        for pair, text in of.pairs.items():
            if not _LDEV.fullmatch(text):
                raise PolicyFault(f"{what}: {text!r} of {pair} is not an LDEV", hint='write for example "01:10"')
    for key, table in (("devices", of.devices), ("copy-devices", of.copy_devices)):
        strange = sorted(set(table) - set(of.names)) if of.names else []
        if strange:
            raise PolicyFault(f"{what}: {key} names {strange[0]}, which pairs does not")
        if table and len(table) != of.count:
            raise PolicyFault(f"{what}: {key} has {len(table)} entries for {of.count} pairs")
        if len(set(table.values())) != len(table):
            raise PolicyFault(f"{what}: {key} has one device twice")
    _check_places(what, of)


def _check_places(what: str, of: Group) -> None:
    for device in of.devices.values():
        if not (device.startswith("/") or _WWN.fullmatch(device)):
            raise PolicyFault(f"{what}: {device!r} is neither a path nor a wwn:", hint="a wwn is written wwn:6006…")
        if device.startswith("/") and not of.source_host:
            raise PolicyFault(f"{what}: {device} needs source-host, the data server that has it by that path")
    for device in of.copy_devices.values():
        if not device.startswith("/"):
            raise PolicyFault(f"{what}: {device!r} is not a path")
    if of.devices and not of.primaries:
        raise PolicyFault(
            f"{what}: devices needs the LDEV of each P-VOL: a name alone may come to mean another volume",
            hint='pairs = { NAME = "01:10", … }',
        )


def ldev(text: str) -> int:
    """The number of an LDEV, in hexadecimal digits with or without colons."""
    return int(text.replace(":", ""), 16)
