"""An array: pairs in groups, brought into sync, split at one moment, exposed to a host and attached again.

Drivers only translate. The engine refuses illegal moves (``splitmirror.moves``), retries, takes locks and keeps the
journal; a driver holds no state of its own between calls and may be asked again after a crash at any point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from splitmirror_drivers.kit.deadline import Deadline


class Family(Enum):
    """MIRROR must be in sync before it is broken off; POINT takes its point in time by the split command itself."""

    MIRROR = "mirror"
    POINT = "point-in-time"


class FixedBy(Enum):
    """What fixes the copy's point in time: that the array accepted the split, or that it completed it."""

    ACCEPT = "accept"
    COMPLETE = "complete"


class Atomic(Enum):
    """Over what one split is one moment."""

    NOTHING = "nothing"
    PAIR = "pair"
    GROUP = "group"
    GROUPS = "several groups in one command"


class PairState(Enum):
    """The common states; the vendor's own word is kept beside it."""

    UNPAIRED = "unpaired"
    ATTACHING = "attaching"
    SYNCED = "synced"
    PREPARED = "prepared"
    SPLITTING = "splitting"
    SPLIT = "split"
    SPLIT_UNTRACKED = "split-untracked"
    RESTORING = "restoring"
    BROKEN = "broken"
    MIXED = "mixed"
    UNKNOWN = "unknown"


class Mode(Enum):
    """How to establish: only what changed, or everything."""

    INCREMENTAL = "incremental"
    FULL = "full"


class Move(Enum):
    """What the engine may ask of an array."""

    ESTABLISH = "establish"
    SPLIT = "split"
    SETTLE = "settle"
    EXPOSE = "expose"
    UNEXPOSE = "unexpose"
    REATTACH = "reattach"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Traits:
    """What an array family is, with the source of each claim in `source`.

    `needs_sync`: establish copies data and must end in SYNCED. `tracks_changes`: a later establish is incremental.
    `tracks_copy_writes`: writes to the copy are repaired by the next establish. `keeps_copies`: several copies of one
    group may stand at once. `allows_freeze`: the primary's filesystem may be frozen while it splits. `limit_seconds`:
    the array's own limit between accepting and fixing, 0 for none. `quiesces`: what the split itself brings to rest and
    lets go again (VSS writers, by name); the split fails where one of them did not take part.
    """

    family: Family
    fixed_by: FixedBy
    atomic: Atomic
    needs_sync: bool
    tracks_changes: bool
    tracks_copy_writes: bool
    keeps_copies: bool
    allows_freeze: bool
    source: str
    limit_seconds: float = 0.0
    quiesces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """One primary and its copy. `word` is the array's own state word; ids are the array's or host's device ids or paths."""

    name: str
    state: PairState
    word: str
    primary: str = ""
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One thing a group mirrors, for coverage: a ``device`` (id as hosts know it) or a ``path`` (a directory tree).

    `host` is the name of the host whose path or device this is; "" when the id is world-wide.
    """

    kind: str
    id: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far establish or settle is. `fraction` 0..1 or None; never used to decide: only `is_done` is."""

    is_done: bool
    fraction: float | None = None
    remaining: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a split made: enough, without anything else, to settle, expose, discard and name the copy later.

    `is_again` marks a split that was found already done. `data` is journalled (text only).
    """

    array: str
    group: str
    copy: str
    is_again: bool = False
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exposed:
    """Where a copy can be seen on its host: block ``device`` paths, or one ``tree`` (a directory)."""

    kind: str
    paths: tuple[str, ...]
    host: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a move will do, for `plan`: the same object that the run executes prints itself here.

    `what` is a command line that can be pasted, or a sentence for work done in this process; `undo` what takes it back.
    """

    host: str
    what: str
    deadline_seconds: float
    undo: str = ""


class Array(Protocol):
    """One array (or the host-based mirror of one host). `name` is its name in the policy file."""

    name: str
    traits: Traits

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every pair of `group` with its state. A word no table lists gives UNKNOWN, never a guess.

        Family POINT answers PREPARED when the next split may be taken, and one SPLIT pair for each copy that stands
        (``Pair.copy`` is that copy's name).
        """

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """What `group` mirrors."""

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Start to bring `group` into sync; returns when the array has accepted. Safe to call when it already runs."""

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """How far `establish` is; done only when every pair's state word says so."""

    def split_estimate(self, group: str) -> float | None:
        """Seconds its split will take, where it copies meanwhile and can say; None for one that is done at once."""

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Before anything is held: open what the split of `groups` will need, see that `copy` is free; nothing changes.

        Only speed depends on it: a split that nobody stood by for is as right. Raises Refused, a HostFault.
        """

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """Break `groups` off at one moment as far as ``traits.atomic`` goes; `copy` is the name the engine chose.

        Returns when the LAST pair's point in time is fixed. Raises NotSynchronised (nothing changed), CommandFailed
        (refused, nothing changed), DeadlinePassed or UnknownAnswer (state unknown: ask `query`).
        """

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Whether the copy may be read yet."""

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Make the copy visible. Safe to repeat."""

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Take the visibility back. Safe to repeat. Raises InUse, naming who."""

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Family POINT: delete this copy. Safe to repeat. Family MIRROR never gets this."""

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """What `move` would do to `group`; changes nothing, asks nothing."""

    def restore_note(self, receipt: Receipt) -> str:
        """For the recovery card: the array's own restore commands, for a person; never run by us."""
