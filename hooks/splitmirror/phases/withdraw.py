"""Withdraw and reattach: post's half of the story. It acts only on what its own run's journal names."""

from __future__ import annotations

from dataclasses import replace

from splitmirror import acts, moves
from splitmirror.job import mirror_key
from splitmirror.phases import establish
from splitmirror.phases.survey import Target
from splitmirror.run import Run, take_back
from splitmirror_drivers.contracts.array import Family, Mode, Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault

ASK_SECONDS = 60.0
KEPT = frozenset({"split"})
"""Acts that post leaves standing: the copy itself rests split until it is reattached or discarded."""


def withdraw(run: Run) -> list[Fault]:
    """Unmount, unexpose, remove the card folder, end whatever is still held; each is tried. What failed."""
    standing = [act for act in acts.standing(run.journal.events(run.run_id)) if act.name not in KEPT]
    return [fault for _, fault in take_back(run, standing)]


def reattach(run: Run) -> None:
    """Family MIRROR: start to copy what changed. Family POINT: discard all but the newest ``keep`` copies.

    A mirror whose array tracks no changes needs a full copy, which starts only where the policy says "always". A pinned
    copy stays as it is.
    """
    pinned = {mirror_key(pin.array, pin.group): pin.reason for pin in run.journal.pins()}
    for target in split_targets(run):
        if target.key in pinned:
            run.note("reattach", target.key, skipped=f"it is pinned: {pinned[target.key]}")
        elif target.array.traits.family is Family.POINT:
            establish.make_room(run, target, keep=run.job.policy.keep)
        elif target.array.traits.tracks_changes:
            establish.start(run, target)
        elif run.job.policy.full_copy == "always":
            establish.start(run, replace(target, mode=Mode.FULL))
        else:
            run.note(
                "reattach", target.key, skipped=f'it needs a full copy, and full-copy = "{run.job.policy.full_copy}"'
            )


def split_targets(run: Run) -> list[Target]:
    """The groups this run has split."""
    targets = []
    for act in acts.standing(run.journal.events(run.run_id)):
        if act.name == "split":
            receipt = act.value("receipt", Receipt)
            array = run.job.arrays[receipt.array]
            state = moves.group_state(array.query(receipt.group, Deadline.after(ASK_SECONDS)), array.traits)
            targets.append(Target(array, receipt.group, state, Mode.INCREMENTAL, 0, is_log=False))
    return targets
