"""Snapshots that were made here: how they are named, found again, and what state they are in.

A snapshot is ours when it is called as its volume and its copy are, carries the copy's name as a tag, and is one of that
volume (``origin``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.lvm_calls import Calls, copy_name, group_of, short
from splitmirror_drivers.arrays.lvm_options import Group, Options
from splitmirror_drivers.arrays.lvm_report import TAG, Lv
from splitmirror_drivers.contracts.array import PairState, Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

COPY_TAG = f"{TAG}copy="
_INVALID = frozenset("IS")
"""State letter of a thick snapshot that ran full (S: and is suspended)."""
_ACTIVE, _INACTIVE = "a", "-"
_ORIGINS, _MERGING = frozenset("-orRVCmM"), "O"
"""Type letters of a volume that snapshots are made of, and of one that a snapshot is being merged into."""
_LONGEST_NAME = 126


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of one array's groups. `array`: its name."""

    array: str
    options: Options
    calls: Calls

    @property
    def is_thin(self) -> bool:
        """Whether snapshots are thin."""
        return self.options.method == "thin-snapshot"

    def group(self, group: str) -> Group:
        """A group's table. Raises Refused."""
        return group_of(self.array, self.options, group)

    def name_of(self, volume: str, copy: str) -> str:
        """VG/LV of a copy. Raises Refused for a name that LVM does not take."""
        name = f"{short(volume)}.{copy_name(copy)}"
        if len(name) > _LONGEST_NAME:
            raise Refused(f"{self.array}: {name} is too long for the name of a volume")
        return f"{volume.partition('/')[0]}/{name}"

    def command(self, table: Group, volume: str, copy: str) -> tuple[str, ...]:
        """What makes the copy of one volume."""
        snapshot = self.name_of(volume, copy)
        size = () if self.is_thin else ("-l" if "%" in table.size else "-L", table.size)
        name = ("-n", short(snapshot), "--addtag", f"{COPY_TAG}{copy}")
        return ("lvcreate", "-y", "-s", *name, *size, volume)

    def volume(self, group: str, volume: str, rows: Sequence[Lv]) -> Lv:
        """A volume of the policy. Raises Refused when it is not there, or not of the kind."""
        lv = next((row for row in rows if row.volume == volume and not row.is_hidden), None)
        if lv is None:
            raise Refused(
                f"{self.array}/{group}: {volume} is not on {self.calls.host.name}, and the policy names it",
                hint="correct the policy, or find out who removed or renamed the volume",
            )
        if self.is_thin and not lv.pool:
            raise Refused(f"{self.array}/{group}: {volume} is no thin volume", hint='use method = "snapshot"')
        return lv

    def standing(self, receipt: Receipt, deadline: Deadline) -> list[Lv]:
        """The snapshots of this copy that are there, or what is left of one that failed half-way (it has no origin).

        Raises Refused for a volume of that name that is not ours.
        """
        table = self.group(receipt.group)
        rows = self.calls.rows(table.volumes, deadline)
        found = []
        for volume in table.volumes:
            name = self.name_of(volume, receipt.copy)
            lv = next((row for row in rows if row.volume == name), None)
            if lv is None:
                continue
            if lv.origin not in ("", short(volume)) or f"{COPY_TAG}{receipt.copy}" not in lv.tags:
                raise Refused(
                    f"{name} is not a snapshot of {volume} that was made here",
                    detail=f"{lv.attr} of {lv.origin or 'nothing'}, tags: {', '.join(lv.tags) or 'none'}",
                    hint="look at it; when nobody needs it: lvremove",
                )
            found.append(lv)
        return found

    def all_of(self, receipt: Receipt, deadline: Deadline) -> list[Lv]:
        """All snapshots of a copy, each of them valid. Raises UnknownAnswer."""
        found = self.standing(receipt, deadline)
        wanted = self.group(receipt.group).volumes
        words = ", ".join(f"{snapshot.volume} {snapshot.attr}" for snapshot in found) or "none"
        if len(found) < len(wanted):
            raise UnknownAnswer(f"{self.array}/{receipt.group}: the copy {receipt.copy} is not there: {words}")
        if any(copy_state(snapshot) is not PairState.SPLIT for snapshot in found):
            raise UnknownAnswer(
                f"{self.array}/{receipt.group}: the copy {receipt.copy} cannot be read: {words}",
                hint="a snapshot that ran full is lost: give it more room (size), then run again",
            )
        return found


def volume_state(lv: Lv) -> PairState:
    """Whether a snapshot can be made of a volume."""
    if not lv.is_readable or lv.attr[0] not in _ORIGINS | {_MERGING}:
        return PairState.UNKNOWN
    if lv.attr[0] == _MERGING:
        return PairState.RESTORING
    return PairState.PREPARED if lv.is_active and lv.is_healthy else PairState.BROKEN


def of_volume(lv: Lv, rows: Sequence[Lv]) -> dict[str, Lv]:
    """Snapshots of a volume that were made here, by the name of their copy."""
    found = {}
    for row in rows:
        names = [tag.removeprefix(COPY_TAG) for tag in row.tags if tag.startswith(COPY_TAG)]
        if row.vg == lv.vg and row.origin == lv.name and names and row.name == f"{lv.name}.{names[0]}":
            found[names[0]] = row
    return found


def copy_state(snapshot: Lv) -> PairState:
    """By its attributes."""
    if not snapshot.is_readable or snapshot.attr[0] not in "sSVo":
        return PairState.UNKNOWN
    if snapshot.attr[0] == "S":
        return PairState.RESTORING
    if snapshot.attr[4] in _INVALID or not snapshot.is_healthy:
        return PairState.BROKEN
    return PairState.SPLIT if snapshot.attr[4] in (_ACTIVE, _INACTIVE) else PairState.UNKNOWN
