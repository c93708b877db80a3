"""Scripted faults of the simulator: what goes wrong, written in the policy as ``VERB:KIND`` or ``VERB:KIND=VALUE``."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed
from splitmirror_drivers.kit.units import Duration

VERBS = ("query", "establish", "split", "settle", "expose", "unexpose", "discard")
KINDS = {
    "hang": "no answer, and nothing done",
    "hang-after": "done, and no answer",
    "slow": "after that time (=3s)",
    "fail": "refused, nothing done",
    "fail-once": "refused the first time it is asked",
    "unknown-word": "query: the first pair says a word that nobody knows",
    "broken": "query: the first pair is broken",
    "unsynced": "query: the first pair is still copying",
}
SAID = {"unknown-word": PairState.UNKNOWN, "broken": PairState.BROKEN, "unsynced": PairState.ATTACHING}
"""What the first pair is instead of its own state."""

_FAULT = re.compile(r"([a-z]+):([a-z-]+)(?:=(.+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault."""

    verb: str
    kind: str
    value: str = ""

    @property
    def text(self) -> str:
        """As it is written in the policy."""
        return f"{self.verb}:{self.kind}" + (f"={self.value}" if self.value else "")


def parse_fault(text: str) -> Fault:
    """A fault from text. ValueError names what there is."""
    found = _FAULT.fullmatch(text)
    if not found or found[1] not in VERBS or found[2] not in KINDS:
        raise ValueError(f"faults: {text!r} is not VERB:KIND with one of {', '.join(VERBS)} and {', '.join(KINDS)}")
    fault = Fault(found[1], found[2], found[3] or "")
    if fault.kind == "slow":
        Duration.parse(fault.value)
    elif fault.value or (fault.kind in SAID and fault.verb != "query"):
        raise ValueError(f"faults: {text!r}: {KINDS[fault.kind]}")
    return fault


def before(faults: Sequence[Fault], verb: str, deadline: Deadline) -> None:
    """What happens before `verb` is done: it is slow, hangs until the deadline, or fails."""
    for fault in faults:
        if fault.verb != verb:
            continue
        if fault.kind == "slow":
            _stay(Duration.parse(fault.value), deadline, verb)
        elif fault.kind == "hang":
            _stay(float("inf"), deadline, verb)
        elif fault.kind == "fail":
            raise CommandFailed(f"the simulator was told to fail at {verb} ({fault.text})")


def after(faults: Sequence[Fault], verb: str, deadline: Deadline) -> None:
    """What happens when `verb` is done: no answer comes."""
    if Fault(verb, "hang-after") in faults:
        _stay(float("inf"), deadline, verb)


def _stay(seconds: float, deadline: Deadline, verb: str) -> None:
    left = deadline.left()
    threading.Event().wait(min(seconds, left))
    if seconds >= left:
        raise DeadlinePassed(f"the simulator gave no answer to {verb} in {left:.1f} s, as it was told")
