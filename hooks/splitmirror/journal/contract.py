"""The journal: what runs did and meant to do, durably; who claims what; what is pinned.

Events are appended and never changed. An *intent* stands before each act with all that its undo needs; an *outcome*
after it. ``append`` is one commit: everything in it is on disk when it returns, or none of it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Kind(Enum):
    """What an event says."""

    STARTED = "started"
    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    FACT = "fact"
    NOTE = "note"
    STATUS = "status"


class Status(Enum):
    """Where a run stands; the newest STATUS event says it."""

    WORKING = "working"
    """Pre is at work (or died at work: its lock is free then)."""
    READY = "ready"
    """The copy is there for the backup; post has not come yet."""
    CLOSING = "closing"
    """Post is at work."""
    GOOD = "good"
    """Closed; its copy was good. What the product said of the backup after it is in the event."""
    FAILED = "failed"
    """Closed: it failed, and everything is at rest."""
    STUCK = "stuck"
    """It failed, and something is left that `recover` or a person must end."""


OPEN_STATUSES = frozenset({Status.WORKING, Status.READY, Status.CLOSING, Status.STUCK})


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's history. `data` holds text, numbers, booleans, lists and mappings of these: JSON.

    `act` names the kind of act ("split", "present", …) and, with `key`, which one, so that intent, done and undone of
    one act find each other. `at` is UTC seconds since the epoch, for people; nothing is decided by it.
    """

    kind: Kind
    act: str
    key: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    at: float = 0.0


ESTABLISH = "establish"
"""The product name under which `splitmirror establish` begins its runs: they make no copy, and no backup joins them."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's identity; `number` grows, `run_id` is its name everywhere (``erp-20261124-010000-42``)."""

    run_id: str
    number: int
    policy: str
    client: str
    schedule: str
    product: str
    job: str
    streams: int
    began_at: float
    status: Status


@dataclass(frozen=True, slots=True)
class Claim:
    """Who may touch a resource (``mirror:symm/erp_a``, ``application:erp``): a run, for a purpose, by a process."""

    resource: str
    run_id: str
    purpose: str
    process: int
    boot_id: str
    since: float


@dataclass(frozen=True, slots=True)
class Pin:
    """A copy that nobody may establish over."""

    array: str
    group: str
    reason: str
    who: str
    since: float


class Journal(Protocol):
    """Safe for several processes of this host at once. Every method raises JournalFault with cause and cure."""

    def begin(
        self, *, policy: str, client: str, schedule: str, product: str, job: str, streams: int, now: float
    ) -> RunRecord:
        """A new run in status WORKING."""

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        """Durable when it returns; one commit."""

    def events(self, run_id: str) -> tuple[Event, ...]:
        """All events of a run, oldest first."""

    def history(self, act: str, key: str = "") -> tuple[tuple[str, Event], ...]:
        """Every event of one act (of one key, or of any) with its run's id, newest first, of all runs ever."""

    def run(self, run_id: str) -> RunRecord:
        """One run; JournalFault names the nearest when there is none."""

    def runs(self, policy: str = "", limit: int = 50) -> tuple[RunRecord, ...]:
        """Newest first."""

    def open_runs(self, policy: str = "") -> tuple[RunRecord, ...]:
        """Runs whose status is in OPEN_STATUSES, newest first."""

    def claim(
        self, run_id: str, resources: Sequence[str], purpose: str, *, process: int, boot_id: str, now: float
    ) -> None:
        """Take all of `resources` for `run_id` in one commit, or none: raises ForeignHold naming the claimant. Repeatable."""

    def unclaim(self, run_id: str, resources: Sequence[str] = ()) -> None:
        """Give `resources` back (all of the run's when empty). Safe to repeat."""

    def claims(self) -> tuple[Claim, ...]:
        """All claims."""

    def pin(self, array: str, group: str, reason: str, who: str, now: float) -> None:
        """Pin a group's copy. Raises Refused when it is pinned already."""

    def unpin(self, array: str, group: str) -> None:
        """Raises Refused when it is not pinned."""

    def pins(self) -> tuple[Pin, ...]:
        """All pins."""

    def check(self) -> None:
        """Prove that a commit would be durable now: writable, ours, whole, room on the disk. Raises JournalFault."""

    def close(self) -> None:
        """Give the files back. Safe to call twice."""
