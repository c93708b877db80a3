"""Split: all groups under the freeze; returns when the last pair's point in time is fixed, or at the deadline.

Killing a split's command recalls nothing. So at the deadline the holds are released whatever the array says, the copy
stays unproven and its group is quarantined: the run's split act stands, and its undo only looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror import acts
from splitmirror.acts import Act
from splitmirror.holding import Guards
from splitmirror.phases.survey import Survey, Target
from splitmirror.run import Run
from splitmirror_drivers.contracts.array import Array, Atomic, Receipt
from splitmirror_drivers.contracts.host import Message
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Fault, HoldFault, NotSynchronised, Refused, SplitUnknown

MARGIN_SECONDS = 2.0
"""Kept of the blocking lease for the way out."""


@dataclass
class Outcome:
    """What became of one array's split. `fault` None: every group is fixed."""

    array: Array
    receipts: tuple[Receipt, ...] = ()
    fault: Exception | None = None


def split_acts(run: Run, targets: Sequence[Target]) -> list[Act]:
    """The intents: the copy's name is chosen here, before the act, so that its undo never waits to be told."""
    return [
        Act("split", target.key, {"receipt": acts.plain(Receipt(target.array.name, target.group, run.run_id))})
        for target in targets
    ]


def split_deadline(run: Run, guards: Guards) -> Deadline:
    """max-freeze, less the time already held, less the margin to resume."""
    began = min((window.began for window in guards.windows.values()), default=time.monotonic())
    held_for = time.monotonic() - began
    return Deadline.after(max(0.0, float(run.job.policy.max_freeze) - held_for - MARGIN_SECONDS))


def split(run: Run, survey: Survey, guards: Guards, deadline: Deadline) -> list[Receipt]:
    """Split all data groups, arrays in parallel; meanwhile listen to the guards: a lost hold ends the wait at once."""
    run.give_up.check()
    if deadline.is_passed:
        raise HoldFault(
            "no time is left for the split: taking the holds took nearly all of max-freeze",
            hint=f"raise max-freeze ({run.job.policy.max_freeze}); {MARGIN_SECONDS:.0f} s of it are kept for the way out",
        )
    guards.split_is_sent()
    outcomes = []
    for array, groups in by_array(survey):
        outcome = Outcome(array)
        outcomes.append(outcome)
        worker = threading.Thread(target=_one_array, args=(outcome, groups, run.run_id, deadline, guards), daemon=True)
        worker.start()
    waiting = {outcome.array.name for outcome in outcomes}
    while waiting:
        message = guards.next(deadline)
        if message is None:
            raise unknown(sorted(waiting))
        guards.notice(message)
        if message.kind == "split":
            waiting.discard(message.hold)
        elif message.kind in ("lapsed", "link-lost"):
            raise HoldFault(f"the split was still running when a hold was lost: {guards.fault(message)}")
    return _receipts(outcomes)


def by_array(survey: Survey) -> list[tuple[Array, list[str]]]:
    """The data groups of this run, by the array that splits them."""
    arrays = {target.array.name: target.array for target in survey.data_targets()}
    return [
        (array, [target.group for target in survey.data_targets() if target.array is array])
        for array in arrays.values()
    ]


def _one_array(outcome: Outcome, groups: list[str], copy: str, deadline: Deadline, guards: Guards) -> None:
    try:
        outcome.receipts = split_array(outcome.array, groups, copy, deadline)
    except Exception as exc:  # noqa: BLE001 - a thread's failure is handed to the story, which decides
        outcome.fault = exc
    guards.inbox.put(Message("", "split", outcome.array.name))


def split_array(array: Array, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
    """All groups in one command where the array can, else one after another."""
    if array.traits.atomic is Atomic.GROUPS or len(groups) == 1:
        return array.split(groups, copy, deadline)
    return tuple(receipt for group in groups for receipt in array.split([group], copy, deadline))


def _receipts(outcomes: Sequence[Outcome]) -> list[Receipt]:
    faults = [outcome.fault for outcome in outcomes if outcome.fault is not None]
    for fault in faults:
        if isinstance(fault, NotSynchronised | CommandFailed | Refused):
            continue
        raise unknown([outcome.array.name for outcome in outcomes if outcome.fault]) from fault
    if faults:
        raise faults[0]
    return require_new([receipt for outcome in outcomes for receipt in outcome.receipts])


def require_new(receipts: list[Receipt]) -> list[Receipt]:
    """The receipts; SplitUnknown when one is of a copy that was there before it was asked for."""
    if again := [receipt for receipt in receipts if receipt.is_again]:
        raise SplitUnknown(
            f"a copy {again[0].copy} of {again[0].array}/{again[0].group} was there already: its moment is not known",
            hint="it is never called good; the next run makes a new one",
        )
    return receipts


def unknown(arrays: Sequence[str]) -> Fault:
    """The sentence for a split whose outcome nobody knows."""
    return SplitUnknown(
        f"the outcome of the split on {', '.join(arrays)} is unknown: the copy is unproven",
        hint="no further command goes to that group until all its pairs have been seen at rest; "
        "`splitmirror status` asks, `splitmirror recover` goes on",
    )
