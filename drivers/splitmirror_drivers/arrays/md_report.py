"""What the kernel and ``mdadm`` say of an md array: /proc/mdstat, files below /sys, superblocks.

A member's flags in /proc/mdstat: (F) failed, (S) spare, (R) replacement, (W) write-mostly, (J) journal. ``[2/1] [U_]``: two
legs wanted, one works, in the order of their places. What runs is said by ``sync_action``: idle, recover, resync, check,
repair. Percentages are only shown (md(4), mdadm(8); recorded: mdadm 4.2, Linux 6.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import UnknownAnswer

FILES = ("array_state", "sync_action", "mismatch_cnt", "component_size")
"""Below /sys/block/mdN/md; one line each."""
RUNNING = frozenset({"clean", "active", "active-idle", "write-pending", "read-auto"})
COPYING = frozenset({"recover", "resync"})
COMPARING = frozenset({"check", "repair"})
_HEAD = re.compile(
    r"(\S+) : (active|inactive)(?: \(([a-z-]+)\))?(?: (raid\d+|linear|multipath))?((?: \S+\[\d+\](?:\([A-Z]\))*)*)"
)
_MEMBER = re.compile(r"(\S+?)\[\d+\]((?:\([A-Z]\))*)")
_LEGS = re.compile(r"\[(\d+)/(\d+)\] \[([U_]+)\]")
_PERCENT = re.compile(r"= *([\d.]+)%")
_OFFSET = re.compile(r"^ *Data Offset : (\d+) sectors$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One array in /proc/mdstat. `legs`: a U or _ for each place."""

    name: str
    is_active: bool
    mode: str
    level: str
    members: Mapping[str, str]
    legs: str = ""
    has_bitmap: bool = False
    percent: str = ""


@dataclass(frozen=True, slots=True)
class Md:
    """One array with what /sys says of it. `leg`: the kernel's name of the member that is taken out."""

    entry: Entry | None
    leg: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def action(self) -> str:
        """What runs."""
        return self.files.get("sync_action", "")

    @property
    def mismatches(self) -> int | None:
        """How many sectors the last check found to differ."""
        text = self.files.get("mismatch_cnt", "")
        return int(text) if text.isdigit() else None

    @property
    def word(self) -> str:
        """The kernel's own words."""
        if self.entry is None:
            return "not running"
        flags = self.entry.members.get(self.leg)
        leg = f"{self.leg} is out" if flags is None else f"{self.leg}{flags}"
        words = [self.files.get("array_state", ""), f"[{self.entry.legs}]", self.action, leg]
        if self.mismatches:
            words.append(f"{self.mismatches} sectors differ")
        return " ".join(filter(None, words))

    @property
    def is_leg_out(self) -> bool:
        """Whether the leg is no member."""
        return self.entry is not None and self.leg not in self.entry.members

    @property
    def is_leg_failed(self) -> bool:
        """Whether the leg is marked as failed, and not taken out yet."""
        return self.entry is not None and "F" in self.entry.members.get(self.leg, "")

    @property
    def is_whole(self) -> bool:
        """Whether every leg is in, in sync and at rest."""
        return self.state() is PairState.SYNCED

    def state(self) -> PairState:
        """By what the kernel says, for a leg that is in; a leg that is out is SPLIT here, whatever its superblock says."""
        if self.entry is None:
            return PairState.BROKEN
        state = self.files.get("array_state", "")
        if not self.entry.is_active or state in ("broken", "inactive"):
            return PairState.BROKEN
        if state not in RUNNING or self.entry.level != "raid1" or self.action not in {"idle"} | COPYING | COMPARING:
            return PairState.UNKNOWN
        if any(set(flags) & set("FSRJ") for flags in self.entry.members.values()):
            return PairState.BROKEN
        return self._out() if self.is_leg_out else self._within()

    def _out(self) -> PairState:
        missing = (self.entry.legs if self.entry else "").count("_")
        return PairState.SPLIT if missing == 1 and self.action not in COPYING else PairState.BROKEN

    def _within(self) -> PairState:
        legs = self.entry.legs if self.entry else ""
        if self.action in COPYING | COMPARING or "_" in legs:
            return PairState.ATTACHING
        return PairState.SYNCED if len(legs) > 1 and set(legs) == {"U"} else PairState.UNKNOWN


def parse_mdstat(text: str) -> dict[str, Entry]:
    """/proc/mdstat by the arrays' names. Raises UnknownAnswer for an array's first line that cannot be read."""
    found: dict[str, Entry] = {}
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        is_head = line and not line.startswith((" ", "Personalities", "unused devices", "read_ahead"))
        if is_head or not line.strip():
            if block:
                entry = _entry(block)
                found[entry.name] = entry
            block = [line] if is_head else []
        elif block:
            block.append(line)
    return found


def parse_files(text: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """FILES of each of `names`, a line each, as one ``cat`` prints them. Raises UnknownAnswer for another number of lines."""
    lines = text.splitlines()
    if len(lines) != len(names) * len(FILES):
        raise UnknownAnswer("the files below /sys/block have not one line each", detail=text)
    values = iter(lines)
    return {name: {file: next(values).strip() for file in FILES} for name in names}


def parse_export(text: str) -> dict[str, str]:
    """``mdadm --export``: its variables."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def uuid_of(export: Mapping[str, str]) -> str:
    """An array's id without separators; "" where there is none."""
    return re.sub(r"[^0-9a-f]", "", export.get("MD_UUID", "").lower())


def parse_offset(text: str) -> int:
    """Where the data begins on a leg, in sectors: ``mdadm --examine``. Superblocks at the end have no such line."""
    match = _OFFSET.search(text)
    return int(match[1]) if match else 0


def _entry(block: Sequence[str]) -> Entry:
    head = _HEAD.fullmatch(block[0].rstrip())
    if head is None:
        raise UnknownAnswer("/proc/mdstat has a line that cannot be read", detail="\n".join(block))
    rest = "\n".join(block[1:])
    legs, percent = _LEGS.search(rest), _PERCENT.search(rest)
    return Entry(
        name=head[1],
        is_active=head[2] == "active",
        mode=head[3] or "",
        level=head[4] or "",
        members={match[1]: match[2] for match in _MEMBER.finditer(head[5] or "")},
        legs=legs[3] if legs else "",
        has_bitmap="bitmap:" in rest,
        percent=percent[1] if percent else "",
    )
