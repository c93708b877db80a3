"""What a policy says of an HSG80: how its console is reached, and which disk is the third mirror of which mirrorset."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.kit.units import Duration

NAME = re.compile(r"[A-Z][A-Z0-9_.-]{0,31}")
"""Names of containers go into command lines, so nothing else gets there."""
UNIT = re.compile(r"D\d{1,4}")
SWITCHES = ("ENABLE_ACCESS_PATH=", "DISABLE_ACCESS_PATH=", "WRITE_PROTECT", "NOWRITE_PROTECT")
"""Switches of ADD UNIT that a policy may give: who sees the copy, and whether it may be written."""
_WWN = re.compile(r"wwn:[0-9a-f]+")
_SWITCH = re.compile(r"[A-Z_]+(=[A-Za-z0-9_,.:-]+)?")
LINE, LINES = "{line}", "{lines}"
"""Places in `console` for the lines, where the program takes them as arguments."""


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The third mirror of one mirrorset: its `disk`, and the name of the mirrorset that shows it as a `copy`."""

    disk: str
    copy: str


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One unit of the controller: what it is made of, and what its copy is made of."""

    mirrorsets: dict[str, Mirror]
    """By name, in the order in which the stripeset uses them."""
    stripeset: str = ""
    """The stripeset over them; empty: the unit is its one mirrorset."""
    members: int = 2
    """How many disks each mirrorset has without the third mirror."""
    copy_unit: str
    copy_stripeset: str = ""
    copy_switches: tuple[str, ...] = ()
    """Switches of ADD UNIT for the copy."""
    devices: tuple[str, ...] = ()
    """The unit as the data server knows it (a /dev path or a wwn: id); empty: its LUN ID, where SHOW names one."""
    copy_devices: tuple[str, ...] = ()
    """The copy's unit as its host knows it."""

    def __post_init__(self) -> None:
        if not self.mirrorsets:
            raise ValueError("mirrorsets: a unit has at least one")
        if bool(self.stripeset) != bool(self.copy_stripeset):
            raise ValueError("stripeset, copy-stripeset: a copy is put together exactly as its original is")
        if not self.stripeset and len(self.mirrorsets) > 1:
            raise ValueError("stripeset: several mirrorsets are one unit by a stripeset")
        if self.members < 1:
            raise ValueError("members: a mirrorset has at least one disk of its own")
        for switch in self.copy_switches:
            if not (_SWITCH.fullmatch(switch) and switch.startswith(SWITCHES)):
                raise ValueError(f"copy-switches: {switch!r} is none of {', '.join(SWITCHES)}")
        if not UNIT.fullmatch(self.copy_unit):
            raise ValueError(f"copy-unit: {self.copy_unit!r} is not a unit: D and a number")
        for device in self.devices:
            if not (device.startswith("/") or _WWN.fullmatch(device)):
                raise ValueError(f"devices: {device!r} is neither a path nor wwn:… (in small letters, without 0x)")
        for path in self.copy_devices:
            if not path.startswith("/"):
                raise ValueError(f"copy-devices: {path!r} is not a path")
        for name in self.containers():
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a disk or storageset (in capitals, as SHOW prints it)")

    def containers(self) -> list[str]:
        """Every disk and storageset of this unit and its copy."""
        of_mirrors = [name for key, one in self.mirrorsets.items() for name in (key, one.disk, one.copy)]
        return of_mirrors + [name for name in (self.stripeset, self.copy_stripeset) if name]

    @property
    def disks(self) -> tuple[str, ...]:
        """The third mirrors, in the stripe's order."""
        return tuple(one.disk for one in self.mirrorsets.values())

    @property
    def copies(self) -> tuple[str, ...]:
        """The mirrorsets of the copy, in the stripe's order."""
        return tuple(one.copy for one in self.mirrorsets.values())


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The units that one copy is made of."""

    units: dict[str, Unit]
    source_host: str = ""
    """The host whose /dev paths the `devices` of its units are."""

    def __post_init__(self) -> None:
        if not self.units:
            raise ValueError("units: a group has at least one")
        for name in self.units:
            if not UNIT.fullmatch(name):
                raise ValueError(f"units: {name!r} is not a unit: D and a number")
        paths = [device for unit in self.units.values() for device in unit.devices if device.startswith("/")]
        if paths and not self.source_host:
            raise ValueError(f"devices: {paths[0]} is a path: say on which host, by source-host")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One controller (pair), reached by a program on the array's host."""

    console: tuple[str, ...]
    """The program and its arguments. Lines go to its standard input, or where ``{lines}`` or ``{line}`` stand."""
    shows: Literal["echo", "prompts", "replies"] = "echo"
    """What it prints: prompts and the lines as typed; prompts alone; or nothing but the reply to one line."""
    prompts: tuple[str, ...] = ("CLI>", "HSG80>")
    line_end: Literal["lf", "cr", "crlf"] = "lf"
    type_ahead: bool = True
    """Whether several lines may be sent at once; else each has a session of its own."""
    farewell: str = ""
    """A last line that ends the session, where one is needed."""
    goodbye: tuple[str, ...] = ()
    """Whole lines (patterns) that the program prints when it ends."""
    ignore: tuple[str, ...] = ()
    """Whole lines (patterns) of SHOW that say nothing of members, users or states."""
    line_wait: Duration = Duration(30)
    """How long to try again while the line is taken."""
    command_deadline: Duration = Duration(60)
    """How long one session may take at most."""
    copy_host: str = ""
    """The host that sees the copies; empty: the array's host."""
    groups: dict[str, Group]

    def __post_init__(self) -> None:
        if not self.console or not self.console[0].strip() or LINE in self.console[0]:
            raise ValueError("console: its first word is a program")
        if not self.prompts or any(not prompt.strip() for prompt in self.prompts):
            raise ValueError("prompts: at least one, and none of them empty")
        if self.shows == "replies" and self.farewell:
            raise ValueError('farewell: a program that shows "replies" ends by itself')
        for pattern in (*self.goodbye, *self.ignore):
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"{pattern!r} is no regular expression: {exc}") from exc
        self._check_names()

    def thirds(self) -> frozenset[str]:
        """Every disk that is somebody's third mirror: none of them counts as a mirrorset's own."""
        return frozenset(disk for group in self.groups.values() for unit in group.units.values() for disk in unit.disks)

    def _check_names(self) -> None:
        """One disk or storageset has one place; two groups may be made of the same originals, not of the same copies."""
        taken: dict[str, str] = {}
        for key, group in self.groups.items():
            originals: set[str] = set()
            for name, unit in group.units.items():
                own = [name, *unit.mirrorsets, *filter(None, [unit.stripeset])]
                of_copy = [unit.copy_unit, *unit.disks, *unit.copies, *filter(None, [unit.copy_stripeset])]
                of_copy += unit.copy_devices
                twice = originals.intersection(own) or {one for one in of_copy if one in taken or one in own}
                if twice or len(set(of_copy)) < len(of_copy):
                    what = min(twice or [one for one in of_copy if of_copy.count(one) > 1])
                    raise ValueError(f"groups.{key}.units.{name}: {what} is named twice")
                originals.update(own)
                taken.update(dict.fromkeys(of_copy, key))
        all_originals = {
            one
            for group in self.groups.values()
            for name, unit in group.units.items()
            for one in (name, *unit.mirrorsets)
        }
        if both := all_originals & set(taken):
            raise ValueError(f"groups: {min(both)} is an original and a copy")
