"""Clear: what ended runs left is withdrawn before any check that can fail; a living or open run's copy is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from splitmirror import acts, enter, recover
from splitmirror.journal.contract import OPEN_STATUSES, RunRecord, Status
from splitmirror.locks import RunLock
from splitmirror.run import Run
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse, Refused


def clear(run: Run) -> None:
    """Bring to rest every run of this policy that ended without doing so itself.

    Only older ones: of two that begin at once, the younger gives way, and not each to the other.
    """
    for record in run.journal.open_runs(run.job.name):
        if record.number < run.record.number:
            with alone(run, record.run_id):
                one(run, run.journal.run(record.run_id))  # it may have moved on since it was listed


@contextmanager
def alone(run: Run, run_id: str) -> Iterator[None]:
    """Hold the lock of another run, so that neither its post nor `recover` is at it meanwhile.

    Waits up to ``wait-for-claim`` for a run that is at work; InUse then.
    """
    lock = RunLock(run.job.state_folder, run_id)
    patience = float(run.job.policy.wait_for_claim)
    busy = InUse(
        f"run {run_id} of {run.job.name} is at work",
        hint="wait for it; `splitmirror status` shows what it does. wait-for-claim lets a run wait by itself",
    )
    if not patience and lock.is_alive():
        raise busy
    try:
        lock.acquire(Deadline.after(patience) if patience else None, run.give_up.wait)
    except InUse as exc:
        raise busy from exc
    try:
        yield
    finally:
        lock.release()


def one(run: Run, record: RunRecord) -> None:
    """Bring one run to rest that no process is at. Raises InUse while its copy waits for its post."""
    if record.status not in OPEN_STATUSES:
        return
    if record.status is Status.READY and is_awaited(run, record):
        refuse_open(run, record)
        return
    left = recover.bring_to_rest(run, record)
    if left:
        raise Refused(
            f"run {record.run_id} left something that could not be taken back: {left[0]}",
            detail="\n".join(fault.full() for fault in left),
            hint=left[0].hint or f"mend that, then run `splitmirror recover {record.run_id}`",
        )


def is_awaited(run: Run, record: RunRecord) -> bool:
    """Whether a backup may still read the copy: not after a restart, nor when every stream that came has ended."""
    return not (recover.is_from_another_boot(run.journal, record) or enter.all_ended(run.journal, record))


def refuse_open(run: Run, record: RunRecord) -> None:
    """A run whose backup may still be reading is never cleared away, however old: a person may close it."""
    presented = [act.key for act in acts.standing(run.journal.events(record.run_id)) if act.name == "present"]
    if presented:
        raise InUse(
            f"the copy of run {record.run_id} is still presented at {presented[0]}: its post has not come",
            hint=f"when that backup has ended, run `splitmirror recover {record.run_id} --close`; "
            "if one job of the product calls pre once for each of several streams, set `streams` in the policy "
            "or switch streams off",
        )
