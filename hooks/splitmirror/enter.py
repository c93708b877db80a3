"""Enter: from one call of a hook to the run it belongs to. Begin a run, join one as a stream, or find the one to close.

Runs are joined by policy + client + schedule. A stream that comes while the leader works waits for its result.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import OPEN_STATUSES, Event, Journal, Kind, RunRecord, Status
from splitmirror.locks import Lock, RunLock
from splitmirror.state import boot_id
from splitmirror_drivers.contracts.product import Invocation
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse

POLL_SECONDS = 0.5
DOOR_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Entered:
    """The run this call belongs to. `leads`: it does the work; else the leader's `status` is its result."""

    record: RunRecord
    leads: bool
    lock: RunLock | None = None


@contextmanager
def door(job: Job) -> Iterator[None]:
    """One at a time through the door of a policy, for the moment of deciding who belongs to what."""
    lock = Lock(job.state_folder / "locks" / f"policy-{job.name}.lock")
    lock.acquire(Deadline.after(DOOR_SECONDS))
    try:
        yield
    finally:
        lock.release()


def begin_or_join(job: Job, journal: Journal, call: Invocation, now: float) -> Entered:
    """A new run, or the open one that this stream belongs to. Raises InUse when it fits neither."""
    streams = call.streams or job.policy.streams
    with door(job):
        for record in journal.open_runs(job.name):
            is_same = (record.client, record.schedule) == (call.client, call.schedule)
            if is_same and streams > 1 and call.stream and may_join(job, journal, record, call):
                journal.append(record.run_id, [Event(Kind.INTENT, "stream", str(call.stream), {}, now)])
                return Entered(record, leads=False)
        record = journal.begin(
            policy=job.name,
            client=call.client,
            schedule=call.schedule,
            product=call.product,
            job=call.job,
            streams=streams,
            now=now,
        )
        lock = RunLock(job.state_folder, record.run_id)
        lock.acquire()
        first = Event(Kind.NOTE, "process", "", {"pid": os.getpid(), "boot": boot_id()}, now)
        journal.append(record.run_id, [first, Event(Kind.INTENT, "stream", str(call.stream or 1), {}, now)])
        return Entered(record, leads=True, lock=lock)


def may_join(job: Job, journal: Journal, record: RunRecord, call: Invocation) -> bool:
    """Whether a stream belongs to an open run: its leader works or its copy is there, and this stream has not ended in it.

    A stream that comes back (a retry) joins the split it began on while another stream of that run is open; a stream
    number that already ended well opens a new run.
    """
    if record.status not in (Status.WORKING, Status.READY):
        return False
    if record.status is Status.WORKING and not RunLock(job.state_folder, record.run_id).is_alive():
        return False
    opened, ended = streams_of(journal, record)
    if str(call.stream) in ended and not opened - ended:
        return False
    if call.is_restarted and str(call.stream) not in opened:
        raise InUse(
            f"stream {call.stream} was restarted, but did not begin on the copy of run {record.run_id}",
            hint="a restarted stream must go on with the copy it began on; start that backup afresh",
        )
    return True


def streams_of(journal: Journal, record: RunRecord) -> tuple[set[str], set[str]]:
    """The streams that joined a run, and those of them that have ended."""
    opened: set[str] = set()
    ended: set[str] = set()
    for event in journal.events(record.run_id):
        if event.act == "stream":
            (opened if event.kind is Kind.INTENT else ended).add(event.key)
            if event.kind is Kind.INTENT:
                ended.discard(event.key)
    return opened, ended


def follow(job: Job, journal: Journal, record: RunRecord, give_up: GiveUp) -> Status:
    """Wait until the leader's result is known: READY, or how it failed."""
    lock = RunLock(job.state_folder, record.run_id)
    while True:
        status = journal.run(record.run_id).status
        if status is not Status.WORKING:
            return status
        if not lock.is_alive() and journal.run(record.run_id).status is Status.WORKING:
            raise Fault(
                f"the stream that led run {record.run_id} died before its copy was ready",
                hint="the next run brings to rest what it left; `splitmirror recover` does it now",
            )
        give_up.wait(POLL_SECONDS)


def find_own(job: Job, journal: Journal, call: Invocation) -> RunRecord | None:
    """The one open run that this post may close; None when it is not clear or none is open: then nothing is touched."""
    records = journal.open_runs(job.name)
    if call.job:
        named = [record for record in records if record.job == call.job]
        if named or any(record.job for record in records):
            return named[0] if len(named) == 1 else None
    same = [r for r in records if (r.client, r.schedule) == (call.client, call.schedule)] or (
        [] if call.client or call.schedule else list(records)
    )
    return same[0] if len(same) == 1 else None


def strike_off(job: Job, journal: Journal, record: RunRecord, call: Invocation, now: float) -> bool:
    """Strike one stream off; whether it was the last. Where the number of streams is unknown it never is."""
    with door(job):
        journal.append(record.run_id, [Event(Kind.UNDONE, "stream", str(call.stream or 1), {}, now)])
        opened, ended = streams_of(journal, record)
        return len(ended) >= max(record.streams, 1) and opened <= ended


def is_open(record: RunRecord) -> bool:
    """Whether a run is still somebody's business."""
    return record.status in OPEN_STATUSES
