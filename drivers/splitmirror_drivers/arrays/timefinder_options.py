"""What a policy says of TimeFinder, checked while the policy is read."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.kit.units import Duration

_WWN = re.compile(r"wwn:[0-9a-f]+")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One group of the array: a device group of the policy's own name unless something else is named."""

    pairs: int | dict[str, str]
    """How many pairs it has, or each of them: the standard's device number and the copy's. Anything else is refused."""
    device_group: str = ""
    composite_group: str = ""
    pair_file: str = ""
    """A file of pairs of device numbers, on the host that runs SYMCLI."""
    storage_group: str = ""
    target_group: str = ""
    """SnapVX: the storage group of the devices on which a snapshot is shown."""
    devices: dict[str, str] = {}
    """Standards by device number: the path on `source-host`, or ``wwn:…``; for coverage."""
    source_host: str = ""
    copy_devices: dict[str, str] = {}
    """Copies by device number: the path on the host that reads them."""

    def __post_init__(self) -> None:
        if self.pairs == 0 or self.pairs == {} or (isinstance(self.pairs, int) and self.pairs < 0):
            raise ValueError("pairs: a group has at least one pair")
        ways = [self.device_group, self.composite_group, self.pair_file, self.storage_group]
        if len([way for way in ways if way]) > 1:
            raise ValueError("a group is one of: device-group, composite-group, pair-file, storage-group")
        if self.pair_file and not self.pair_file.startswith("/"):
            raise ValueError(f"pair-file: {self.pair_file!r} is not a full path")
        for table in (list(self.named), list(self.named.values()), list(self.devices), list(self.copy_devices)):
            numbers = [device_number(text) for text in table]
            if len(set(numbers)) != len(numbers):
                raise ValueError(f"a device is named twice: {', '.join(table)}")
        for paths in (list(self.devices.values()), list(self.copy_devices.values())):
            if len(set(paths)) != len(paths):
                raise ValueError(f"a place is named twice: {', '.join(paths)}")
        for device in self.devices.values():
            if device.startswith("/") and not self.source_host:
                raise ValueError(f"devices: {device} is a path: say on which host, by source-host")
            if not (device.startswith("/") or _WWN.fullmatch(device)):
                raise ValueError(f"devices: {device!r} is neither a path nor wwn:… (in small letters, without 0x)")
        for path in self.copy_devices.values():
            if not path.startswith("/"):
                raise ValueError(f"copy-devices: {path!r} is not a path")

    @property
    def named(self) -> dict[str, str]:
        """Its pairs, where the policy names them."""
        return self.pairs if isinstance(self.pairs, dict) else {}

    @property
    def count(self) -> int:
        """How many pairs it has."""
        return self.pairs if isinstance(self.pairs, int) else len(self.pairs)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A Symmetrix, VMAX or PowerMax by SYMCLI."""

    groups: dict[str, Group]
    product: Literal["mirror", "clone", "snapvx"] = "mirror"
    path: str = "/usr/symcli/bin"
    """The folder of the programs; empty: they are on PATH."""
    command: Literal["auto", "symmir", "symbcv"] = "auto"
    """Mirror: the program that establishes and splits; auto looks for ``symmir``, and then for ``symbcv``."""
    consistent: bool = False
    """Mirror, clone: ask for a consistent split, one moment for the group."""
    instant: bool = False
    """Mirror: ask for an instant split, whose background goes on after the command."""
    precopy: bool = True
    """Clone: copy in the background before it is activated."""
    read_while_copying: bool = False
    """Clone: the copy may be read while its background copy runs."""
    device_ids: Literal["policy", "array"] = "policy"
    """Where the standards' ids come from that coverage compares: `devices`, or the WWNs that ``symdev`` lists."""
    sid: str = ""
    connect: str = ""
    """The SYMAPI server's name as SYMCLI knows it; empty: the array is reached from that host itself."""
    copy_host: str = ""
    """The host that reads the copies; empty: the one that runs SYMCLI."""
    busy_exit_codes: tuple[int, ...] = (2,)
    """Codes after which nothing was done since something was locked: tried again while there is time."""
    busy_pause: Duration = Duration(1)

    def __post_init__(self) -> None:
        if self.path and not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} is not a full path")
        if 0 in self.busy_exit_codes:
            raise ValueError("busy-exit-codes: 0 is done")
        if self.command == "symbcv" and (self.consistent or self.instant):
            raise ValueError("symbcv knows no consistent and no instant split")
        if not self.sid and (self.product != "mirror" or self.device_ids == "array"):
            raise ValueError("sid: the array's number is needed here")
        for name, group in self.groups.items():
            self._check(name, group)
        self._check_apart()

    def _check_apart(self) -> None:
        """Two groups are two mirrors: neither the same one under two names, nor two with the same copy."""
        taken: dict[object, str] = {}
        for name, group in self.groups.items():
            for what, shown in self._makes(name, group):
                if what in taken:
                    raise ValueError(f"groups {taken[what]} and {name}: the same {shown}")
            taken |= {what: name for what, _ in self._makes(name, group)}

    def _makes(self, name: str, group: Group) -> list[tuple[object, str]]:
        """What no other group may have, each with how it is told. Snapshots of several may be shown in one place."""
        if self.product == "snapvx":
            return [(("group", group.storage_group or name), "storage-group")]
        key = next((key for key in ("pair_file", "composite_group") if getattr(group, key)), "device_group")
        chosen = getattr(group, key) or name
        copies = [*group.named.values(), *group.copy_devices]
        return [
            ((key, chosen), f"{key.replace('_', '-')} {chosen}"),
            *((("copy", device_number(copy)), f"copy {copy}") for copy in copies),
            *((("path", path), f"copy-devices {path}") for path in group.copy_devices.values()),
        ]

    def _check(self, name: str, group: Group) -> None:
        strangers = [group.storage_group, group.target_group]
        if self.product == "snapvx":
            strangers = [group.device_group, group.composite_group, group.pair_file]
        if any(strangers):
            raise ValueError(f"{name}: {self.product} does not work on {next(filter(None, strangers))}")
        if group.pair_file and not self.sid:
            raise ValueError(f"{name}: a pair-file needs sid, the array's number")
        if self.product == "clone" and not group.named:
            raise ValueError(f"{name}: a clone's pairs are named, source and target, by their device numbers")
        if group.target_group and len(group.copy_devices) != group.count:
            raise ValueError(f"{name}: copy-devices names the devices of {group.target_group}, one for each pair")


def device_number(text: str) -> int:
    """The number of ``01A4`` and of ``001A4``, which are one device. ValueError for anything else."""
    try:
        return int(text, 16)
    except ValueError:
        raise ValueError(f"{text!r} is not a device number") from None
