"""When a host-based mirror may be called in sync after its leg was away: by the word of its kernel, or by a check.

What changed while a leg is away is kept in a bitmap. Trials with killed kernels lost such bitmaps: the leg came back, the
array said "in sync", and a check found thousands of sectors that differ (Linux 6.1, dm-raid). So, where the machine was
restarted while a leg was away, both legs are compared before the group is called in sync. What is known is noted beside
the array, in words that survive a restart:

  whole=BOOT      both legs were in sync while the machine ran as BOOT
  split=BOOT      a leg is split off, and both were in sync while the machine ran as BOOT
  verify          the legs have to be compared, once the leg is attached and has been brought up to date
  checking=BOOT   the comparison was started while the machine ran as BOOT
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from splitmirror_drivers.contracts.array import Mode, PairState

Policy = Literal["always", "after-crash", "never"]
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Kind(Enum):
    """What a note says."""

    NONE = ""
    WHOLE = "whole"
    SPLIT = "split"
    DUE = "verify"
    CHECKING = "checking"


class Step(Enum):
    """What is to be done next for an array that says in sync and is at rest."""

    NOTHING = "nothing"
    COMPARE = "compare"
    CALL_WHOLE = "note that it is whole"


@dataclass(frozen=True, slots=True)
class Note:
    """What is noted beside an array. `boot` is the boot id it was written under, "" for ``verify``."""

    kind: Kind = Kind.NONE
    boot: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}={self.boot}" if self.boot else self.kind.value

    @property
    def is_pending(self) -> bool:
        """Whether the legs have to be compared before anybody calls them equal."""
        return self.kind in (Kind.DUE, Kind.CHECKING)

    @property
    def needs_boot(self) -> bool:
        """Whether what it means depends on which start of the machine this is."""
        return self.kind in (Kind.CHECKING, Kind.SPLIT)


def parse(text: str) -> Note:
    """A note as it was written; anything else is none, after which the legs are compared."""
    word, _, boot = text.strip().partition("=")
    known = {kind.value: kind for kind in Kind}
    return Note(known.get(word, Kind.NONE), boot)


def is_needed(policy: Policy, mode: Mode, note: Note, boot: str) -> bool:
    """Whether a leg that is about to be attached again has to be compared afterwards."""
    if policy == "never":
        return False
    if note.is_pending or mode is Mode.FULL or policy == "always":
        return True
    return not (note.kind in (Kind.WHOLE, Kind.SPLIT) and note.boot == boot)


def state(policy: Policy, note: Note, boot: str, mismatches: int) -> PairState:
    """What an array is called that says in sync and is at rest. A count from before a comparison that is due says nothing."""
    if policy == "never":
        return PairState.SYNCED
    if note.kind is Kind.DUE or (note.needs_boot and note.boot != boot):
        return PairState.ATTACHING
    return PairState.BROKEN if mismatches else PairState.SYNCED


def step(policy: Policy, note: Note, boot: str, mismatches: int) -> Step:
    """What to do about an array that says in sync and is at rest."""
    called = state(policy, note, boot, mismatches)
    if called is PairState.ATTACHING:
        return Step.COMPARE
    is_new = note != Note(Kind.WHOLE, boot)
    return Step.CALL_WHOLE if called is PairState.SYNCED and is_new and policy != "never" else Step.NOTHING
