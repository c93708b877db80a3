"""What VERITAS Volume Manager's programs print, read for the array and the presentation alike.

Records are read by their types and state words. Names that are longer than their columns may run into the next one: a
line with too few words, or without a state where one belongs, is an error and never read by guess. Sources: VERITAS
Volume Manager Administrator's Guides 3.5 to 5.1 SP1; vxprint(1M), vxdisk(1M), vxdg(1M), vxdctl(1M).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import UnknownAnswer

LOOK_SECONDS, MOVE_SECONDS = 30.0, 120.0
DEVICES = "/dev/vx/dsk"
"""Where the block devices of volumes are, below their disk group's name."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}")
"""Names of volumes and disk groups have 31 letters at most."""
ENABLED, DISABLED, DETACHED = "ENABLED", "DISABLED", "DETACHED"
KERNEL_STATES = frozenset({ENABLED, DISABLED, DETACHED})
LOG_USE = "gen"
"""The usage type of the volumes that hold maps of changes; those with data are ``fsgen``."""
CLONE_FLAGS = frozenset({"udid_mismatch", "clone_disk"})
_FIELDS = {"dm": 3, "v": 9, "pl": 9, "dc": 4, "sp": 4}
"""Words that a line of each type has at least."""
_DEPORTED = re.compile(r"\((.+)\)")
_ID = re.compile(r"name=(\S*) id=(\S*)")
_PATH = re.compile(r"(\S+)\s+.*\bstate=\S+.*")


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume: its state in the kernel, its state, and its usage type."""

    name: str
    kernel: str
    state: str
    use: str


@dataclass(frozen=True, slots=True)
class Plex:
    """One side of a volume."""

    name: str
    volume: str
    kernel: str
    state: str


@dataclass(frozen=True, slots=True)
class Snap:
    """A snap object: that the volume `of` and another one (by its name; "-" where it is not seen) track each other."""

    name: str
    other: str
    of: str


@dataclass(frozen=True, slots=True)
class Records:
    """One imported disk group. `devices`: what its disks are called as devices."""

    volumes: Mapping[str, Volume]
    plexes: tuple[Plex, ...]
    snaps: tuple[Snap, ...]
    tracked: frozenset[str]
    """Volumes with a map of changes (DCO)."""
    devices: frozenset[str]

    @property
    def data(self) -> tuple[str, ...]:
        """The volumes that hold data, by name."""
        logs = {f"{name}_dcl" for name in self.tracked}
        return tuple(name for name, one in self.volumes.items() if not (one.use == LOG_USE and name in logs))


@dataclass(frozen=True, slots=True)
class Disk:
    """One line of ``vxdisk -o alldgs list``. `group`: its disk group, or "" for none; `words`: its status."""

    device: str
    group: str
    is_imported: bool
    words: frozenset[str]

    @property
    def is_clone(self) -> bool:
        """Whether VxVM itself sees that this is the copy of another disk."""
        return bool(self.words & CLONE_FLAGS)


@dataclass(frozen=True, slots=True)
class Label:
    """What is written on one disk: its group, who has that imported (a host, a cluster, "" for none), and the disk's paths."""

    group: str
    group_id: str
    owner: str
    paths: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class VxvmTools:
    """The programs on one host; `folder`: where they are, "" for those on PATH."""

    host: Host
    folder: str = ""

    def run(self, argv: Sequence[str], deadline: Deadline, seconds: float = LOOK_SECONDS) -> Completed:
        """One command to its end."""
        program = f"{self.folder}/{argv[0]}" if self.folder else argv[0]
        command = Command((program, *argv[1:]), environment={"LC_ALL": "C"})
        return self.host.run(command, deadline.sooner(seconds))

    def act(self, argv: Sequence[str], deadline: Deadline, what: str, hint: str = "") -> None:
        """One command that must succeed."""
        self.run(argv, deadline, MOVE_SECONDS).require(f"{what} on {self.host.name}", hint)

    def records(self, group: str, deadline: Deadline) -> Records:
        """Everything in a disk group that is imported here."""
        done = self.run(("vxprint", "-g", group, "-ht"), deadline)
        what = f"asking for the disk group {group} on {self.host.name}"
        hint = f"is it imported there? vxdg list; vxdisk -o alldgs list | grep {group}"
        return parse_records(done.require(what, hint).stdout)

    def disks(self, deadline: Deadline) -> tuple[Disk, ...]:
        """Every disk that is seen here, those of deported disk groups as well."""
        done = self.run(("vxdisk", "-o", "alldgs", "list"), deadline)
        return parse_disks(done.require(f"listing the disks of {self.host.name}").stdout)

    def label(self, device: str, deadline: Deadline) -> Label:
        """What is written on a disk."""
        done = self.run(("vxdisk", "list", device), deadline)
        return parse_label(done.require(f"asking about the disk {device} of {self.host.name}").stdout, device)

    def groups(self, deadline: Deadline) -> Mapping[str, str]:
        """The id of each disk group that is imported here, by its name."""
        done = self.run(("vxdg", "list"), deadline)
        return parse_groups(done.require(f"listing the disk groups of {self.host.name}").stdout)

    def name(self, deadline: Deadline) -> str:
        """What this host calls itself in import locks."""
        done = self.run(("vxdctl", "list"), deadline).require(f"asking for the VxVM host id of {self.host.name}")
        return parse_name(done.stdout)

    def start(self, group: str, names: Sequence[str], deadline: Deadline) -> None:
        """Start those of these volumes that are not started."""
        volumes = self.records(group, deadline).volumes
        if down := [name for name in names if volumes[name].kernel == DISABLED]:
            self.act(("vxvol", "-g", group, "start", *down), deadline, f"starting {', '.join(down)} of {group}")


def parse_records(text: str) -> Records:
    """``vxprint -ht``. Raises UnknownAnswer for a line that cannot be read."""
    rows: dict[str, list[list[str]]] = {kind: [] for kind in _FIELDS}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] not in rows:
            continue
        if len(words) < _FIELDS[words[0]] or (words[0] in ("v", "pl") and words[3] not in KERNEL_STATES):
            raise UnknownAnswer(
                "a line of vxprint cannot be read", detail=line, hint="a name may be longer than its column: shorten it"
            )
        rows[words[0]].append(words)
    dcos = {name: volume for _, name, volume, *_ in rows["dc"]}
    return Records(
        volumes={row[1]: Volume(row[1], row[3], row[4], row[8]) for row in rows["v"]},
        plexes=tuple(Plex(*row[1:5]) for row in rows["pl"]),
        snaps=tuple(Snap(name, other, dcos.get(dco, "")) for _, name, other, dco, *_ in rows["sp"]),
        tracked=frozenset(dcos.values()),
        devices=frozenset(row[2] for row in rows["dm"]),
    )


def parse_disks(text: str) -> tuple[Disk, ...]:
    """``vxdisk -o alldgs list``: a disk group in brackets is not imported here."""
    header, *lines = text.splitlines() or [""]
    if header.split()[:4] != ["DEVICE", "TYPE", "DISK", "GROUP"]:
        raise UnknownAnswer("the list of disks has another heading", detail=header)
    found = []
    for words in (line.split() for line in lines if line.strip()):
        if len(words) < 5:
            raise UnknownAnswer("a line of the list of disks cannot be read", detail=" ".join(words))
        away = _DEPORTED.fullmatch(words[3])
        group = away[1] if away else "" if words[3] == "-" else words[3]
        found.append(Disk(words[0], group, not away and bool(group), frozenset(words[4:])))
    return tuple(found)


def parse_label(text: str, device: str) -> Label:
    """``vxdisk list DEVICE``. Raises UnknownAnswer where it does not say which disk group that disk is of."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    match = _ID.fullmatch(values.get("group", ""))
    owner = values.get("hostid", values.get("clusterid"))  # a cluster's disks name the cluster
    if match is None or owner is None:
        raise UnknownAnswer(f"vxdisk does not say what {device} is part of", detail=text)
    below = text.partition("Multipathing information")[2].splitlines()
    paths = {found[1] for line in below if (found := _PATH.fullmatch(line.strip()))}
    paths |= {value for word in values.get("pubpaths", "").split() for value in [word.partition("=")[2]] if value}
    return Label(match[1], match[2], owner, frozenset({device, *paths}))


def parse_groups(text: str) -> Mapping[str, str]:
    """``vxdg list``."""
    rows = [line.split() for line in text.splitlines()]
    if not rows or rows[0] != ["NAME", "STATE", "ID"] or any(len(row) != 3 for row in rows):
        raise UnknownAnswer("the list of disk groups cannot be read", detail=text)
    return {name: number for name, _, number in rows[1:]}


def parse_name(text: str) -> str:
    """``vxdctl list``: the host id."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "hostid" and value.strip():
            return value.strip()
    raise UnknownAnswer("vxdctl does not say what this host is called", detail=text)


def of_group(disks: Sequence[Disk], group: str) -> tuple[Disk, ...]:
    """The disks that carry a disk group, imported or not."""
    return tuple(disk for disk in disks if disk.group == group)
