"""What ``lvs`` reports: rows, attributes, and what a mirrored volume or a snapshot is by them.

Attributes by place (lvs(8)): 1 type, 2 permissions, 5 state, 9 health. A raid1 volume has images ``LV_rimage_N``, hidden
(in brackets) while they mirror and shown while one is split off; their first letter says ``i`` in sync or ``I`` out of
sync. ``sync_percent`` is only shown: it reads 100.00 at once after a merge and while a leg is away (recorded: lvm2 2.03.16,
Linux 6.1). A volume of several segments has a row for each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from splitmirror_drivers.arrays.mirror_proof import Note, parse
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import UnknownAnswer

FIELDS = (
    "vg_name,lv_name,lv_attr,lv_layout,raid_sync_action,raid_mismatch_count,sync_percent,lv_tags,devices,lv_path,"
    "lv_dm_path,origin,pool_lv"
)
TAG = "splitmirror."
COPYING = frozenset({"recover", "resync"})
COMPARING = frozenset({"check", "repair"})
_ATTRIBUTES = re.compile(r"[-A-Za-z]{10}")
_IMAGE = re.compile(r"(.+)_rimage_(\d+)")
_DEVICE = re.compile(r"(.+)\(\d+\)")
_ACTIVE, _INACTIVE, _MISMATCHES, _HEALTHY = "a", "-", "m", "-m"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``lvs``, with the names that it has there."""

    vg_name: str
    lv_name: str
    lv_attr: str
    lv_layout: str = ""
    raid_sync_action: str = ""
    raid_mismatch_count: str = ""
    sync_percent: str = ""
    lv_tags: str = ""
    devices: str = ""
    lv_path: str = ""
    lv_dm_path: str = ""
    origin: str = ""
    pool_lv: str = ""


class _Section(msgspec.Struct, frozen=True):
    lv: tuple[Row, ...]


class _Report(msgspec.Struct, frozen=True):
    report: tuple[_Section, ...]


class _Disk(msgspec.Struct, frozen=True):
    pv_name: str


class _Disks(msgspec.Struct, frozen=True):
    pv: tuple[_Disk, ...]


class _DiskReport(msgspec.Struct, frozen=True):
    report: tuple[_Disks, ...]


@dataclass(frozen=True, slots=True)
class Lv:
    """One volume, or part of one. `name` without brackets; `attr` its ten letters, or what stood there."""

    vg: str
    name: str
    is_hidden: bool
    attr: str
    layout: frozenset[str]
    action: str
    mismatches: str
    percent: str
    tags: tuple[str, ...]
    disks: frozenset[str]
    path: str
    dm_path: str
    origin: str
    pool: str

    @property
    def volume(self) -> str:
        """VG/LV."""
        return f"{self.vg}/{self.name}"

    @property
    def is_readable(self) -> bool:
        """Whether its attributes are ten letters, as they have to be."""
        return bool(_ATTRIBUTES.fullmatch(self.attr))

    @property
    def is_active(self) -> bool:
        """Whether it has a live device."""
        return self.is_readable and self.attr[4] == _ACTIVE

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is said of its health but, perhaps, that a check found legs to differ."""
        return self.attr[8] in _HEALTHY

    @property
    def is_differing(self) -> bool:
        """Whether the last check found legs to differ."""
        return self.attr[8] == _MISMATCHES or self.mismatches not in ("", "0")

    @property
    def note(self) -> Note:
        """What is noted on it about its legs."""
        ours = [tag.removeprefix(TAG) for tag in self.tags if tag.startswith(TAG)]
        notes = [note for note in map(parse, ours) if note != Note()]
        return next((note for note in notes if note.is_pending), notes[0] if notes else Note())


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A volume with its images. `leg` is the one that is split off."""

    lv: Lv
    images: tuple[Lv, ...]

    @property
    def leg(self) -> Lv | None:
        """The image that is shown, because it is split off."""
        return next((image for image in self.images if not image.is_hidden), None)

    @property
    def word(self) -> str:
        """LVM's own words for it: attributes and action, those of the leg, and what else matters."""
        words = [self.lv.attr, self.lv.action]
        if self.leg is not None:
            words.append(f"{self.leg.name} {self.leg.attr}")
        if self.lv.is_readable and self.lv.is_differing:
            words.append(f"{self.lv.mismatches or 'some'} sectors differ")
        if self.images and self.lv.note.is_pending:
            words.append("legs to be compared")
        return " ".join(filter(None, words)) or "nothing"

    def state(self) -> PairState:
        """By attributes and action alone; SYNCED is before what is noted about its legs is looked at."""
        lv = self.lv
        if not all(each.is_readable for each in (lv, *self.images)) or lv.attr[0] not in "-orR":
            return PairState.UNKNOWN
        if "raid1" not in lv.layout:
            return PairState.UNPAIRED if lv.layout == {"linear"} else PairState.UNKNOWN
        if lv.attr[0] == "R" or not lv.is_active or not lv.is_healthy or len(self.images) < 2:
            return PairState.BROKEN
        if self.leg is not None:
            return self._split(self.leg)
        return self._attached()

    def _split(self, leg: Lv) -> PairState:
        others = [image for image in self.images if image is not leg]
        if (
            leg.attr[0] != "I"
            or leg.attr[4] not in (_ACTIVE, _INACTIVE)
            or any(image.attr[0] != "i" for image in others)
        ):
            return PairState.UNKNOWN
        return PairState.SPLIT if self.lv.action in ("idle", *COMPARING) else PairState.UNKNOWN

    def _attached(self) -> PairState:
        if self.lv.action in COPYING | COMPARING:
            return PairState.ATTACHING
        if self.lv.action != "idle" or any(image.attr[0] not in "iI" for image in self.images):
            return PairState.UNKNOWN
        in_sync = all(image.attr[0] == "i" and image.is_healthy for image in self.images)
        return PairState.SYNCED if in_sync else PairState.ATTACHING


def parse_rows(text: str) -> tuple[Lv, ...]:
    """``lvs -a --reportformat json``. Raises UnknownAnswer."""
    try:
        report = msgspec.json.decode(text, type=_Report)
    except (msgspec.DecodeError, msgspec.ValidationError) as fault:
        raise UnknownAnswer("lvs gave no report that can be read", detail=text[-2000:]) from fault
    found: dict[tuple[str, str], Lv] = {}
    for row in (row for section in report.report for row in section.lv):
        one = _lv(row)
        before = found.get((one.vg, one.name))
        found[one.vg, one.name] = one if before is None else replace(one, disks=one.disks | before.disks)
    return tuple(found.values())


def parse_disks(text: str) -> frozenset[str]:
    """``pvs --reportformat json -o pv_name``. Raises UnknownAnswer."""
    try:
        report = msgspec.json.decode(text, type=_DiskReport)
    except (msgspec.DecodeError, msgspec.ValidationError) as fault:
        raise UnknownAnswer("pvs gave no report that can be read", detail=text[-2000:]) from fault
    return frozenset(disk.pv_name for section in report.report for disk in section.pv)


def mirrored(rows: Sequence[Lv], volume: str) -> Mirrored | None:
    """A volume with its images, by VG/LV; None where the report has no such volume."""
    lv = next((row for row in rows if row.volume == volume and not row.is_hidden), None)
    if lv is None:
        return None
    images = [row for row in rows if row.vg == lv.vg and (match := _IMAGE.fullmatch(row.name)) and match[1] == lv.name]
    return Mirrored(lv, tuple(sorted(images, key=lambda row: int(row.name.rpartition("_")[2]))))


def _lv(row: Row) -> Lv:
    name = row.lv_name
    is_hidden = name.startswith("[") and name.endswith("]")
    disks = [match[1] for each in row.devices.split(",") if (match := _DEVICE.fullmatch(each))]
    return Lv(
        vg=row.vg_name,
        name=name[1:-1] if is_hidden else name,
        is_hidden=is_hidden,
        attr=row.lv_attr,
        layout=frozenset(filter(None, row.lv_layout.split(","))),
        action=row.raid_sync_action,
        mismatches=row.raid_mismatch_count,
        percent=row.sync_percent,
        tags=tuple(filter(None, row.lv_tags.split(","))),
        disks=frozenset(disks),
        path=row.lv_path,
        dm_path=row.lv_dm_path,
        origin=row.origin,
        pool=row.pool_lv,
    )
