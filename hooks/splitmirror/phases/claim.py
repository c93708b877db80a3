"""Claim and lock: who may touch a mirror or an application, durably in the journal; and the lock around changing it.

Array commands inherit the lock, so that it is free only when hook and command are both gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from splitmirror import acts
from splitmirror.job import mirror_key
from splitmirror.locks import mirror_locked
from splitmirror.phases.survey import Survey
from splitmirror.run import Run
from splitmirror.state import boot_id
from splitmirror_drivers.contracts.array import Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import ForeignHold

POLL_SECONDS = 1.0


@contextmanager
def claimed(run: Run, survey: Survey | None) -> Iterator[None]:
    """Claims of a survey's mirrors and applications (they outlive the block), and the mirrors' locks (they do not).

    Without a survey, the mirrors that the run has split are locked; it has their claims already.
    """
    keys = sorted({target.key for target in survey.targets}) if survey else split_keys(run)
    if survey:
        names = [f"mirror:{key}" for key in keys] + sorted(f"application:{app.name}" for app in survey.applications)
        take(run, names)
    with ExitStack() as stack:
        for key in keys:
            deadline = Deadline.after(float(run.job.policy.wait_for_claim))
            locked = mirror_locked(run.job.state_folder, key, run.job.carried, deadline, run.give_up.wait)
            stack.enter_context(locked)
        yield


def take(run: Run, resources: Sequence[str]) -> None:
    """All claims or none; waits up to ``wait-for-claim``, then ForeignHold names who has it."""
    deadline = Deadline.after(float(run.job.policy.wait_for_claim))
    while True:
        try:
            run.journal.claim(run.run_id, resources, "pre", process=os.getpid(), boot_id=boot_id(), now=run.now())
        except ForeignHold:
            if deadline.is_passed:
                raise
            run.give_up.wait(min(POLL_SECONDS, deadline.left()))
        else:
            return


def release_applications(run: Run) -> None:
    """Nothing of an application is held any more; its mirrors stay claimed until the run is closed."""
    run.journal.unclaim(run.run_id, [f"application:{app.name}" for app in run.job.applications])


def split_keys(run: Run) -> list[str]:
    """The mirrors this run has split, from the journal."""
    receipts = [
        act.value("receipt", Receipt) for act in acts.standing(run.journal.events(run.run_id)) if act.name == "split"
    ]
    return sorted(mirror_key(receipt.array, receipt.group) for receipt in receipts)
