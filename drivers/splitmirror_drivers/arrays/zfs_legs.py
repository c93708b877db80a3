"""The disks that leave a pool: where each stands, from ``zpool status``, and which pool is on those that are out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.zfs_calls import Calls
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation.zfs_words import (
    ONLINE,
    Importable,
    Leaf,
    Status,
    parse_importable,
    parse_status,
    rows,
)

S = PairState
BROKEN = frozenset({"DEGRADED", "FAULTED", "OFFLINE", "REMOVED", "UNAVAIL", "SUSPENDED"})
AT_REST = (
    "none requested",
    "scrub repaired ",
    "scrub in progress since ",
    "scrub paused since ",
    "scrub canceled on ",
    "resilvered ",
)
"""How the scan line begins while nothing is resilvered. A canceled resilver is not among them: what it left is not known."""
RUNNING = re.compile(r"resilver (?:\(\S+\) )?in progress since ")
_ERRORS = re.compile(r" with (\d+) errors on ")
_DONE = re.compile(r"(\d+(?:\.\d+)?)% done")


@dataclass(frozen=True, slots=True)
class Leg:
    """One disk that leaves, and the one that stays beside it. `pool`: what is on it when it is out ("" for nothing)."""

    kept: str
    disk: str
    state: PairState
    word: str
    pool: str = ""


class Legs:
    """Asks, and compares with the policy."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def pairs(self, group: str, deadline: Deadline) -> tuple[Leg, ...]:
        """Every leg. Raises Refused when the pool is not made of the disks of the policy."""
        status = self.calls.status(deadline)
        legs = self.calls.group(group).legs
        self._compare(group, status, legs)
        inside = {leaf.name: leaf for leaf in status.leaves}
        out = [disk for disk in legs.values() if disk not in inside]
        pools = self.pools_on(out, deadline) if out else {}
        scan = _scan(status)
        return tuple(
            _inside(kept, inside[kept], inside[disk], scan)
            if disk in inside
            else _outside(kept, inside[kept], disk, pools)
            for kept, disk in legs.items()
        )

    def pools_on(self, disks: Sequence[str], deadline: Deadline) -> dict[str, str]:
        """``NAME STATE`` of the pool on each of these disks; a pool that is imported here is ``NAME imported``."""
        found: dict[str, str] = {}
        for disk in disks:
            pools = self.importable([disk], deadline)
            if len(pools) > 1:
                raise UnknownAnswer(f"{self.calls.name}: {len(pools)} pools are on {disk}")
            if pools:
                found[disk] = f"{pools[0].name} {pools[0].state}"
        for name in self.imported(deadline):
            if name != self.calls.options.pool:
                status = self.status_of(name, deadline)
                found.update({leaf.name: f"{name} imported" for leaf in status.leaves if leaf.name in disks})
        return found

    def importable(self, disks: Sequence[str], deadline: Deadline) -> tuple[Importable, ...]:
        """The pools on these disks that are not imported here; that there are none is an exit code too."""
        words = [word for disk in disks for word in ("-d", disk)]
        done = self.calls.run(deadline, "zpool", "import", *words)
        if done.exit_code != 0 and not done.stdout.strip():
            return ()
        return parse_importable(done.require(f"{self.calls.name}: looking for a pool on {', '.join(disks)}").stdout)

    def imported(self, deadline: Deadline) -> tuple[str, ...]:
        """The names of the pools that are imported here."""
        said = self.calls.act(deadline, "listing the pools", "zpool", "list", "-H", "-o", "name")
        return tuple(row[0] for row in rows(said, 1, "zpool list"))

    def status_of(self, name: str, deadline: Deadline) -> Status:
        """What another pool is made of."""
        return parse_status(self.calls.act(deadline, f"asking about {name}", "zpool", "status", "-P", name))

    def fraction(self, deadline: Deadline) -> float | None:
        """How far a resilver says that it is, to be shown."""
        pool = self.calls.options.pool
        said = self.calls.act(deadline, f"asking about {pool}", "zpool", "status", "-P", pool)
        match = _DONE.search(said)
        return min(float(match[1]), 100.0) / 100 if match else None

    def _compare(self, group: str, status: Status, legs: dict[str, str]) -> None:
        """Each data vdev has one disk of the policy that stays, and each such disk is in one."""
        where = f"{self.calls.name}/{group}"
        tops = {top: {leaf.name for leaf in leaves} for top, leaves in status.tops.items()}
        if len(tops) != len(legs):
            raise Refused(
                f"{where}: the pool has {len(tops)} vdevs ({', '.join(tops)}) and the policy {len(legs)} legs",
                hint="was a vdev added? name a leg for each, or nothing of it would be in the copy",
            )
        for kept, leg in legs.items():
            holding = [names for names in tops.values() if kept in names]
            if not holding:
                raise Refused(f"{where}: {kept} is not a disk of the pool", detail=_disks(status), hint=PATHS_HINT)
            if any(leg in names for names in tops.values()) and leg not in holding[0]:
                raise Refused(f"{where}: {leg} is not in the same mirror as {kept}", detail=_disks(status))
        for top, names in tops.items():
            if len(names & set(legs)) != 1:
                raise Refused(
                    f"{where}: {top} holds {len(names & set(legs))} disks that stay, not one", hint=PATHS_HINT
                )


PATHS_HINT = "write the disks as zpool status -P prints them"


def _disks(status: Status) -> str:
    return "\n".join(f"{leaf.top}: {leaf.name} {leaf.state} {leaf.note}".rstrip() for leaf in status.leaves)


def _scan(status: Status) -> PairState:
    """What the scan line allows for a leg that is in the pool."""
    if RUNNING.match(status.scan):
        return S.ATTACHING
    if status.scan and not status.scan.startswith(AT_REST):
        return S.UNKNOWN
    errors = _ERRORS.search(status.scan)
    return S.BROKEN if errors and status.scan.startswith("resilvered") and int(errors[1]) else S.SYNCED


def _inside(kept: str, at: Leaf, leg: Leaf, scan: PairState) -> Leg:
    """A leg that is in the pool: in sync when both disks work, nothing stands behind it and nothing is resilvered."""
    word = f"{leg.state} {leg.note}".strip()
    worst = at if at.state != ONLINE else leg
    if worst.state != ONLINE:
        state = S.BROKEN if worst.state in BROKEN else S.UNKNOWN
        return Leg(kept, leg.name, state, f"{worst.name} {worst.state}")
    if "resilver" in leg.note:
        return Leg(kept, leg.name, S.ATTACHING, word)
    return Leg(kept, leg.name, scan, word if scan is S.SYNCED else f"{word}, scan")


def _outside(kept: str, at: Leaf, disk: str, pools: dict[str, str]) -> Leg:
    if at.state != ONLINE:
        return Leg(kept, disk, S.BROKEN if at.state in BROKEN else S.UNKNOWN, f"{kept} {at.state}")
    if disk not in pools:
        return Leg(kept, disk, S.UNPAIRED, "not in the pool")
    name, word = pools[disk].split(" ", 1)
    state = S.SPLIT_UNTRACKED if word in (ONLINE, "imported") else S.BROKEN if word in BROKEN else S.UNKNOWN
    return Leg(kept, disk, state, pools[disk], name)
