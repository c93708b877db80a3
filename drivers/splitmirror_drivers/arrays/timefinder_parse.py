"""What SYMCLI prints: the tables of ``symmir query`` and ``symclone query``, and the XML of the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from splitmirror_drivers.arrays.timefinder_options import device_number
from splitmirror_drivers.kit.errors import UnknownAnswer

NOTHING = "N/A"
_RULE = re.compile(r"-[- ]*")
_DEVICE = r"(?P<{0}>[0-9A-Fa-f]{{3,8}}|N/A)(?: ?\(M\))?"
_SID = re.compile(r"^.*Symmetrix ID\s*:\s*(\d+)\s*$", re.MULTILINE)
_COUNT = r"(?:\d+|-|N/A)"
_MIRROR = re.compile(
    rf"(?P<logical>\S+)\s+{_DEVICE.format('primary')}\s+{_COUNT}\s+"
    rf"\S+\s+{_DEVICE.format('copy')}(?P<mark>\s*\*)?\s+(?P<tracks>{_COUNT})\s+(?P<word>\w+)(?:\s+\d+)?"
)
_CLONE = re.compile(
    rf"(?P<logical>\S+)\s+{_DEVICE.format('primary')}\s+(?P<tracks>{_COUNT})\s+{_COUNT}\s+"
    rf"\S+\s+{_DEVICE.format('copy')}(?P<mark>\s*\*)?\s+{_COUNT}\s+\S+\s+(?P<word>\w+)(?:\s+(?:\d+|-|N/A))?"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One pair: device numbers, the state word, and the tracks that are still to be copied ("" unknown).

    `is_marked`: whether a star stands behind the copy, which says that it is associated with the group.
    """

    primary: str
    copy: str
    word: str
    tracks: str = ""
    is_marked: bool = False

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.primary}/{self.copy}" if self.copy else self.primary


def mirror_rows(text: str) -> tuple[Row, ...]:
    """``symmir query``. Raises UnknownAnswer."""
    return _rows(text, _MIRROR, "symmir")


def clone_rows(text: str) -> tuple[Row, ...]:
    """``symclone query``. Raises UnknownAnswer."""
    return _rows(text, _CLONE, "symclone")


def _rows(text: str, pattern: re.Pattern[str], tool: str) -> tuple[Row, ...]:
    """Every line of the table's body is a pair, or the answer is not understood: a pair is never left out quietly."""
    rows = []
    for line in _body(text):
        match = pattern.fullmatch(line)
        if match is None:
            raise UnknownAnswer(f"{tool} lists a pair in words that are not known: {line}", detail=text)
        primary, copy = (match[side] if match[side] != NOTHING else "" for side in ("primary", "copy"))
        tracks = match["tracks"]
        left = tracks if tracks.isdigit() else ""
        rows.append(Row(primary.upper(), copy.upper(), match["word"], left, bool(match["mark"])))
    named = {row.primary.lstrip("0") for row in rows}
    if not rows or any(not row.primary for row in rows) or len(named) != len(rows):
        raise UnknownAnswer(f"{tool} does not name each pair once", detail=text)
    return tuple(rows)


def arrays_named(text: str) -> tuple[str, ...]:
    """The numbers of the arrays that the head of a table names; none where it names none."""
    return tuple(_SID.findall(text))


def _body(text: str) -> Iterator[str]:
    """Lines between the second rule of a table, below its column heads, and its total."""
    rules, is_inside = 0, False
    for raw in text.splitlines():
        line = raw.strip()
        if _RULE.fullmatch(line):
            rules += 1
            is_inside = rules % 2 == 0
        elif line.startswith("Total"):
            is_inside = False
        elif is_inside and line:
            yield line


def number_of(text: str) -> str:
    """A device number as it is compared: ``1A4`` of ``001A4``. Raises UnknownAnswer for what is none."""
    try:
        return f"{device_number(text):X}"
    except ValueError as exc:
        raise UnknownAnswer(f"SYMCLI names a device in words that are not known: {exc}") from exc


# ---- XML ----


def elements(text: str, path: str, what: str) -> list[dict[str, str]]:
    """The elements at `path`, each as its leaves by tag; a leaf deeper down as ``outer/inner``. Raises UnknownAnswer."""
    try:
        tree = ET.fromstring(text)  # noqa: S314 - what a program of this host's own says
    except ET.ParseError as exc:
        raise UnknownAnswer(f"{what} is no XML: {exc}", detail=text) from exc
    return [dict(_leaves(element, "")) for element in tree.iterfind(path)]


def _leaves(element: ET.Element, above: str) -> Iterator[tuple[str, str]]:
    for part in element:
        name = f"{above}{part.tag}"
        yield name, (part.text or "").strip()
        yield from _leaves(part, f"{name}/")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One device's snapshot in ``symsnapvx list``; `link` is Yes, No, or with ``-linked`` the device that shows it."""

    source: str
    name: str
    generations: str
    link: str
    restore: str
    failed: str
    is_defining: bool


def snapshots(text: str) -> tuple[Snapshot, ...]:
    """``symsnapvx list -output xml_e`` of a storage group. Raises UnknownAnswer for an entry without its fields."""
    if not elements(text, "SG", "symsnapvx list"):
        raise UnknownAnswer("symsnapvx does not list the snapshots of a storage group", detail=text)
    found = []
    for fields in elements(text, "SG/Snapvx/Snapshot", "symsnapvx list"):
        needed = [fields.get(key, "") for key in ("source", "snapshot_name", "link")]
        if not all(needed):
            raise UnknownAnswer("symsnapvx lists a snapshot without its source, name or link", detail=text)
        rest = [fields.get(key, "") for key in ("num_generations", "restore", "failed")]
        is_defining = fields.get("bgdefinprog", "No") != "No"
        found.append(Snapshot(needed[0], needed[1], rest[0], needed[2], rest[1], rest[2], is_defining))
    return tuple(found)
