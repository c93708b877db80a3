"""What ``zfs`` and ``zpool`` print, read into values. The array of ZFS pools reads with this too.

Sources: zpool-status(8), zpool-import(8), zfs-list(8); OpenZFS cmd/zpool/zpool_main.c (print_status_config,
print_scan_scrub_resilver_status, show_import).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import UnknownAnswer

ABSENT = ("-", "")
"""What stands for a property that a dataset does not have."""
ONLINE = "ONLINE"
_FIELD = re.compile(r"\s*([a-z]+): ?(.*)")
_LEAF = re.compile(r"(?P<name>\S+)(?:\s+(?P<state>[A-Z]+|\S+)(?:\s+\S+\s+\S+\s+\S+)?\s*(?P<note>.*))?")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One disk of a pool: its path as given, its state word, what stands behind it, and the top-level vdev it is in."""

    name: str
    state: str
    note: str
    top: str


@dataclass(frozen=True, slots=True)
class Status:
    """``zpool status -P`` of one pool. `scan`: the first line of what it says of scrubs and resilvers."""

    pool: str
    state: str
    scan: str
    leaves: tuple[Leaf, ...]

    @property
    def tops(self) -> dict[str, tuple[Leaf, ...]]:
        """The data vdevs at the top, each with its disks."""
        found: dict[str, tuple[Leaf, ...]] = {}
        for leaf in self.leaves:
            found[leaf.top] = (*found.get(leaf.top, ()), leaf)
        return found


@dataclass(frozen=True, slots=True)
class Importable:
    """One pool that ``zpool import`` finds on devices. `guid` is its number."""

    name: str
    guid: str
    state: str


def rows(text: str, fields: int, what: str) -> list[tuple[str, ...]]:
    """Lines of ``-H`` output, split at tabs. Raises UnknownAnswer for a line of another number of fields."""
    found = [tuple(line.split("\t")) for line in text.splitlines()]
    if any(len(row) != fields for row in found):
        raise UnknownAnswer(f"{what} printed a line that has not {fields} fields", detail=text)
    return found


def parse_status(text: str) -> Status:
    """``zpool status -P POOL``. Raises UnknownAnswer where it has no pool, state, scan or disks."""
    fields: dict[str, str] = {}
    config: list[str] = []
    for line in text.splitlines():
        if line.startswith("\t") and "config" in fields and "errors" not in fields:
            config.append(line[1:].expandtabs())
        elif (match := _FIELD.fullmatch(line)) and not line.startswith("\t"):
            fields.setdefault(match[1], match[2].strip())
    pool, state = fields.get("pool", ""), fields.get("state", "")
    leaves = _leaves(config, pool)
    if not (pool and state and leaves):
        raise UnknownAnswer("zpool status does not say what the pool is made of", detail=text)
    return Status(pool, state, fields.get("scan", ""), leaves)


def _leaves(config: list[str], pool: str) -> tuple[Leaf, ...]:
    """Disks below the pool's own line; what stands under another heading (logs, cache, spares) holds no data of a copy."""
    found: list[Leaf] = []
    top, is_data = "", False
    lines = [line for line in config if line.strip()]
    for number, line in enumerate(lines):
        depth = (len(line) - len(line.lstrip())) // 2
        match = _LEAF.fullmatch(line.strip())
        if match is None:
            raise UnknownAnswer("zpool status lists a disk in words that are not known", detail=line)
        if depth == 0:
            is_data = match["name"] == pool
            continue
        if depth == 1:
            top = match["name"]
        below = lines[number + 1] if number + 1 < len(lines) else ""
        has_more = (len(below) - len(below.lstrip())) // 2 > depth
        if is_data and not has_more:
            found.append(Leaf(match["name"], match["state"] or "", (match["note"] or "").strip(), top))
    return tuple(found)


def parse_importable(text: str) -> tuple[Importable, ...]:
    """``zpool import -d …`` without a pool: every pool it found. Raises UnknownAnswer for one without number or state."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        match = None if line.startswith("\t") else _FIELD.fullmatch(line)
        if match is None:
            continue
        if match[1] == "pool":
            found.append({})
        if found:
            found[-1].setdefault(match[1], match[2].strip())
    pools = tuple(Importable(one.get("pool", ""), one.get("id", ""), one.get("state", "")) for one in found)
    if any(not (one.name and one.guid.isdigit() and one.state) for one in pools) or (text.strip() and not pools):
        raise UnknownAnswer("zpool import lists a pool in words that are not known", detail=text)
    return pools
