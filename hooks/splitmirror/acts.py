"""What a run has done that must be taken back some day, and how: the same undo serves a failing run and `recover`.

Everything an undo needs is in the act's data, written to the journal before the act. An undo never starts a copy,
never forces, and may be repeated.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from splitmirror import moves
from splitmirror.job import Job
from splitmirror.journal.contract import Event, Kind
from splitmirror.locks import mirror_locked
from splitmirror_drivers.contracts.array import Array, Family, PairState, Receipt
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.contracts.presentation import Presentation, Presented
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import HoldFault, Refused

T = TypeVar("T")

UNSETTLED = frozenset({PairState.SPLITTING, PairState.BROKEN, PairState.UNKNOWN, PairState.RESTORING})
"""States in which a group is not left: something is still under way, or nobody can vouch for it."""

RESTING_CODES = frozenset({"0", "3"})
"""Exit codes of a rescue after which nothing is held: was held and is no more, or was not held."""
LOCK_SECONDS = 30.0
"""How long an undo waits for an array command that its dead hook has left running."""
LOOK_APART_SECONDS = 5.0
"""Between the two looks at a group whose split's outcome nobody knows: a split that was queued may come late."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a run: its name (a key of ``UNDO``), which one, and everything that taking it back needs.

    `is_done`: the outcome is in the journal too; else nobody knows whether it came to be.
    """

    name: str
    key: str
    data: Mapping[str, object]
    is_done: bool = False

    @property
    def mirror(self) -> str:
        """The mirror whose copy this act exposed, presented or split off; "" for any other act."""
        return self.key if self.name in ("split", "expose") else str(self.data.get("mirror", ""))

    def event(self, kind: Kind, **more: object) -> Event:
        """This act as a journal event."""
        return Event(kind, self.name, self.key, {**self.data, **more} if kind is Kind.INTENT else more)

    def value(self, name: str, kind: type[T]) -> T:
        """One value of the data as a typed object."""
        return msgspec.convert(self.data[name], kind)


def plain(thing: object) -> object:
    """A contract's value object as JSON data."""
    return msgspec.to_builtins(thing)


def standing(events: tuple[Event, ...]) -> list[Act]:
    """The acts of a run that were intended and not yet taken back, in the order they were intended."""
    acts: dict[tuple[str, str], Act] = {}
    for event in events:
        which = (event.act, event.key)
        if event.kind is Kind.INTENT and event.act in UNDO:
            acts[which] = Act(event.act, event.key, event.data)
        elif event.kind is Kind.DONE and which in acts:
            acts[which] = replace(acts[which], is_done=True)
        elif event.kind is Kind.UNDONE:
            acts.pop(which, None)
    return list(acts.values())


def in_undo_order(standing: Sequence[Act]) -> list[Act]:
    """Holds first, since somebody may be waiting for them; then everything else, newest first."""
    newest_first = list(reversed(standing))
    return [act for act in newest_first if act.name == "hold"] + [act for act in newest_first if act.name != "hold"]


def discards(act: Act, job: Job) -> bool:
    """Whether the undo of `act` deletes a copy."""
    return act.name == "split" and array_of(act.value("receipt", Receipt), job).traits.family is Family.POINT


def array_of(receipt: Receipt, job: Job) -> Array:
    """The array a receipt belongs to; Refused when the policy no longer has it."""
    if receipt.array not in job.arrays:
        raise Refused(
            f"the policy {job.name} no longer has the array {receipt.array}",
            hint=f"put it back into the policy, or bring {receipt.array}/{receipt.group} to rest by hand",
        )
    return job.arrays[receipt.array]


def undo(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    """Take one act back. Raises a Fault that says what is left and what a person can do."""
    UNDO[act.name](act, job, run_id, deadline)


def find_presentation(job: Job, intent: Presented) -> Presentation:
    """The policy's presentation at the intent's path; Refused when the policy no longer has it."""
    for placed in job.presented:
        if placed.presentation.path == intent.path and placed.presentation.driver == intent.driver:
            return placed.presentation
    raise Refused(
        f"the policy {job.name} no longer presents anything at {intent.path}",
        hint=f"put that entry back into the policy, or withdraw {intent.path} by hand",
    )


def _rescue(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    host = _host_of(act, job, run_id)
    host.families(sorted({"filesystem", *(f for app in job.applications if app.host is host for f in app.families)}))
    host.connect(deadline)
    answer = host.call(Verb("host.rescue", (run_id,)), deadline)
    rows = [line.split("\t") for line in answer.lines("rescued")]
    left = [row[0] for row in rows if len(row) < 2 or row[1] not in RESTING_CODES]
    if answer.exit_code != 0 or left:
        raise HoldFault(
            f"{act.key}: {', '.join(left) or 'some hold'} could not be ended",
            detail=answer.said,
            hint=f"look at {act.key} at once: writes may be waiting there; then run `splitmirror recover {run_id}`",
        )


def _host_of(act: Act, job: Job, run_id: str) -> Host:
    if act.key not in job.hosts:
        raise Refused(
            f"the policy {job.name} no longer names the data server {act.key}, where this run may hold something",
            hint=f"put it back into the policy, then run `splitmirror recover {run_id}`",
        )
    return job.hosts[act.key]


@contextmanager
def _alone_at(act: Act, job: Job, deadline: Deadline) -> Iterator[None]:
    """With the mirror's lock, which is free only when the hook that split it and its array commands are gone."""
    with mirror_locked(job.state_folder, act.key, job.carried, deadline.sooner(LOCK_SECONDS)):
        yield


def _leave_or_discard(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    """A mirror that was split rests split; a point-in-time copy of a failed run is discarded.

    A split of unknown outcome quarantines its group: nothing is sent to it until it was seen at rest twice.
    """
    receipt = act.value("receipt", Receipt)
    array = array_of(receipt, job)
    with _alone_at(act, job, deadline):
        _require_rest(act, array, receipt, deadline)
        if not act.is_done:
            before = _states(array, receipt, deadline)
            threading.Event().wait(min(LOOK_APART_SECONDS, deadline.left()))
            if _states(array, receipt, deadline) != before:
                raise _not_at_rest(act, "its state changed while it was looked at")
            _require_rest(act, array, receipt, deadline)
        if array.traits.family is Family.POINT:
            array.unexpose(receipt, deadline)
            array.discard(receipt, deadline)


def _states(array: Array, receipt: Receipt, deadline: Deadline) -> list[tuple[str, PairState, str]]:
    return sorted(
        ((pair.name, pair.state, pair.copy) for pair in array.query(receipt.group, deadline)),
        key=lambda seen: (seen[0], seen[2]),
    )


def _require_rest(act: Act, array: Array, receipt: Receipt, deadline: Deadline) -> None:
    pairs = array.query(receipt.group, deadline)
    if not pairs or any(pair.state in UNSETTLED for pair in pairs):
        raise _not_at_rest(act, moves.words(pairs))


def _not_at_rest(act: Act, seen: str) -> Refused:
    return Refused(
        f"{act.key} is not at rest after the split",
        detail=seen,
        hint="nothing more is sent to it; ask again with `splitmirror status`, then `splitmirror recover`",
    )


def _unexpose(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    receipt = act.value("receipt", Receipt)
    array = array_of(receipt, job)
    with _alone_at(act, job, deadline):
        array.unexpose(receipt, deadline)


def _withdraw(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    intent = act.value("intent", Presented)
    presentation = find_presentation(job, intent)
    presentation.host.connect(deadline)
    presentation.withdraw(intent, deadline)


def _remove_card(act: Act, job: Job, run_id: str, deadline: Deadline) -> None:
    """Only the folder that this run made, never through a link or over a mount."""
    folder = Path(str(act.data["path"]))
    if folder.is_symlink() or folder.is_mount():
        raise Refused(f"{folder} is not the folder this run made", hint="remove it by hand after a look")
    if folder.is_dir():
        shutil.rmtree(folder)


Undo = Callable[[Act, Job, str, Deadline], None]
UNDO: Mapping[str, Undo] = {
    "hold": _rescue,
    "split": _leave_or_discard,
    "expose": _unexpose,
    "present": _withdraw,
    "card": _remove_card,
}
