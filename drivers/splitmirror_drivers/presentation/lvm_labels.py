"""What LVM's labels on a copy's devices say, and the LVM commands that act on them: each sees these devices only.

Whatever the host's own configuration lets LVM see, ``--config`` replaces: filter and global filter list exactly the copy's
devices, the devices file, hints and the metadata daemon are left out, no backup of the metadata is written. Reads go with
``--readonly``: no lock is taken, nothing is repaired. Sources: lvm(8), lvm.conf(5), vgimportclone(8); tried with lvm2
2.03.16: a global filter of the host is overridden, nothing is added to its devices file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

COMMAND_SECONDS = 60.0
LOST = "[unknown]"
PLAIN = frozenset({"linear", "striped"})
"""Segment types whose activation writes nothing."""
_ORDINARY, _MOVING = "-", "p"
"""First letters of lv_attr: an ordinary volume, and one that pvmove is at work on."""
_PATH = re.compile(r"/dev/[\w/.:@+=,-]+")


@dataclass(frozen=True, slots=True)
class Label:
    """One physical volume, and the volume group that its metadata names."""

    device: str
    uuid: str
    group: str
    group_uuid: str


@dataclass(frozen=True, slots=True)
class Volume:
    """One logical volume. `kind`: the first letter of lv_attr; `is_inner`: one that LVM keeps to itself."""

    name: str
    kind: str
    segments: frozenset[str]
    is_inner: bool

    @property
    def is_plain(self) -> bool:
        """Whether it can be activated without a write."""
        return self.kind == _ORDINARY and self.segments <= PLAIN


@dataclass(frozen=True, slots=True)
class Group:
    """One complete volume group on the devices of a copy."""

    name: str
    uuid: str
    labels: tuple[Label, ...]

    @property
    def devices(self) -> tuple[str, ...]:
        """Its physical volumes."""
        return tuple(sorted(label.device for label in self.labels))


def configuration(devices: Sequence[str], read_only: str = "") -> str:
    """The configuration under which LVM sees `devices` only; with `read_only`, a volume group's name, it writes nothing."""
    listed = ",".join([*_patterns("a", devices), '"r|.*|"'])
    locked, activated = "", ""
    if read_only:
        locked, activated = " metadata_read_only=1", f' read_only_volume_list=["{read_only}"]'
    return (
        f"devices {{ filter=[{listed}] global_filter=[{listed}] use_devicesfile=0 obtain_device_list_from_udev=0"
        ' hints="none" } '
        f"global {{ use_lvmetad=0 use_lvmpolld=0{locked} }} "
        f"activation {{ monitoring=0{activated} }} backup {{ backup=0 archive=0 }}"
    )


def run(host: Host, argv: Sequence[str], deadline: Deadline) -> Completed:
    """One LVM command."""
    environment = {"LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
    return host.run(Command(tuple(argv), environment=environment), deadline.sooner(COMMAND_SECONDS))


def labels(host: Host, devices: Sequence[str], deadline: Deadline) -> tuple[Label, ...]:
    """The physical volumes among `devices`; one that its group misses has `LOST` as its device."""
    return _listed(host, ("--config", configuration(devices)), deadline)


def visible(host: Host, deadline: Deadline) -> tuple[Label, ...]:
    """The physical volumes that the host's LVM sees by itself, a second one with the same label too where it says so."""
    return _listed(host, ("--all",), deadline)


def visible_without(host: Host, devices: Sequence[str], deadline: Deadline) -> tuple[Label, ...]:
    """The same without `devices`: an older LVM keeps quiet about the second of two that have one label."""
    rejected = ",".join(_patterns("r", devices))
    return _listed(host, ("--all", "--config", f"devices {{ filter=[{rejected}] }}"), deadline)


def _patterns(word: str, devices: Sequence[str]) -> list[str]:
    """Filter patterns that fit exactly these devices."""
    if wrong := [device for device in devices if not _PATH.fullmatch(device)]:
        raise Refused(f"{wrong[0]} is not a path that LVM can be given")
    names = [re.sub(r"[.+]", lambda match: f"[{match[0]}]", device) for device in devices]
    return [f'"{word}|^{name}$|"' for name in names]


def group_on(found: Sequence[Label], names: Sequence[str], host: Host) -> Group:
    """The one complete volume group of `found` that has one of `names`. Raises Refused where that is not so."""
    mine = [label for label in found if label.group in names]
    if not mine:
        carried = ", ".join(sorted({label.group for label in found if label.group})) or "no volume group"
        raise Refused(
            f"no device of the copy on {host.name} carries the volume group {names[0]}: they carry {carried}",
            hint="is it the right copy? Where its partition table has changed: blockdev --rereadpt",
        )
    if len({(label.group, label.group_uuid) for label in mine}) != 1:
        raise Refused(
            f"the devices of the copy on {host.name} carry several volume groups {names[0]}",
            detail="\n".join(f"{label.device} {label.group} {label.group_uuid}" for label in mine),
            hint="an import that was cut off leaves that: establish the copy again; or two copies are exposed at once",
        )
    if missing := [label.uuid for label in mine if label.device == LOST]:
        raise Refused(
            f"the copy on {host.name} lacks {len(missing)} of {len(mine)} physical volumes of {names[0]}",
            detail="\n".join(missing),
            hint="the array's group must hold every disk of the volume group",
        )
    return Group(mine[0].group, mine[0].group_uuid, tuple(mine))


def volumes(host: Host, group: Group, deadline: Deadline) -> tuple[Volume, ...]:
    """The logical volumes of a group, its inner ones too."""
    argv = ("lvs", "--readonly", "--config", configuration(group.devices), "--all", "--noheadings")
    done = run(host, (*argv, "--separator", "|", "-o", "lv_name,lv_attr,segtype", group.name), deadline)
    return parse_volumes(done.require(f"listing the volumes of {group.name} on {host.name}").stdout)


def parse_volumes(text: str) -> tuple[Volume, ...]:
    """``lvs -o lv_name,lv_attr,segtype``: a line for every segment."""
    found: dict[str, Volume] = {}
    for line in filter(str.strip, text.splitlines()):
        fields = line.strip().split("|")
        if len(fields) != 3 or not all(fields):
            raise UnknownAnswer("a line of lvs cannot be read", detail=line)
        name, before = fields[0].strip("[]"), found.get(fields[0].strip("[]"))
        segments = frozenset({fields[2]}) | (before.segments if before else frozenset())
        found[name] = Volume(name, fields[1][0], segments, fields[0].startswith("["))
    return tuple(found.values())


def chosen(found: Sequence[Volume], wanted: str, group: str) -> Volume:
    """The volume `wanted`, or the only one. Raises Refused where that is not clear."""
    outer = [volume for volume in found if not volume.is_inner]
    fitting = [volume for volume in outer if wanted in ("", volume.name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(volume.name for volume in outer) or "no volume"
    what = f"has no volume {wanted}" if wanted else "has not just one volume"
    raise Refused(f"the volume group {group} {what}: it has {names}", hint='say volume = "…" in that present entry')


def refuse_writing(found: Sequence[Volume], volume: Volume, group: str) -> None:
    """Refuse what cannot be activated without a write to the copy."""
    moving = [one.name for one in found if one.kind == _MOVING]
    if volume.is_plain and not moving:
        return
    what = f"a pvmove is under way in {group}" if moving else f"{group}/{volume.name} is {_kind(volume)}"
    raise Refused(
        f"{what}: it cannot be activated without writing to the copy, and the array does not repair that",
        hint="only linear and striped volumes can be shown from such an array",
    )


def _kind(volume: Volume) -> str:
    return f"no plain volume ({'+'.join(sorted(volume.segments))}, kind {volume.kind})"


def _listed(host: Host, how: Sequence[str], deadline: Deadline) -> tuple[Label, ...]:
    argv = ("pvs", "--readonly", *how, "--noheadings", "--separator", "|", "-o", "pv_name,pv_uuid,vg_name,vg_uuid")
    return parse_labels(run(host, argv, deadline).require(f"reading the LVM labels on {host.name}").stdout)


def parse_labels(text: str) -> tuple[Label, ...]:
    """Lines of ``pvs``; a device without a label (``--all`` lists it) is left out."""
    rows = [line.strip().split("|") for line in text.splitlines() if line.strip()]
    for row in rows:
        if len(row) != 4 or not row[0] or (row[2] and not row[3]):
            raise UnknownAnswer("a line of pvs cannot be read", detail="|".join(row))
    return tuple(Label(*row) for row in rows if row[1])
