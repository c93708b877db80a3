"""Enter: from one call of a hook to the run it belongs to. Begin a run, join one as a stream, or find the one to close.

Runs are joined by policy + client + schedule. A stream that comes while the leader works waits for its result.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from splitmirror import recover
from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import ESTABLISH, OPEN_STATUSES, Event, Journal, Kind, RunRecord, Status
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
        is_one_of_several = streams > 1 and call.stream > 0
        for record in backups(journal, job):
            is_same = (record.client, record.schedule) == (call.client, call.schedule)
            if is_same and (is_one_of_several or call.is_restarted) and may_join(job, journal, record, call):
                journal.append(record.run_id, [Event(Kind.INTENT, "stream", stream_of(call), {}, now)])
                return Entered(record, leads=False)
        if call.is_restarted:
            raise InUse(
                f"stream {stream_of(call)} of {job.name} was restarted, but the copy it began on is no longer there",
                hint="a restarted stream must go on with the copy it began on; start that backup afresh",
            )
        stream = Event(Kind.INTENT, "stream", stream_of(call), {}, now)
        return begin(job, journal, call, now, streams=streams, first=[stream])


def begin(
    job: Job, journal: Journal, call: Invocation, now: float, *, streams: int = 1, first: Sequence[Event] = ()
) -> Entered:
    """A new run, its lock held. Said to be at work once more under the lock: `recover` may have met it without one."""
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
    process = Event(Kind.NOTE, "process", "", {"pid": os.getpid(), "boot": boot_id()}, now)
    at_work = Event(Kind.STATUS, "run", "", {"status": Status.WORKING.value}, now)
    journal.append(record.run_id, [at_work, process, *first])
    return Entered(record, leads=True, lock=lock)


def backups(journal: Journal, job: Job) -> list[RunRecord]:
    """The open runs of a policy that are somebody's backup, newest first."""
    return [record for record in journal.open_runs(job.name) if record.product != ESTABLISH]


def stream_of(call: Invocation) -> str:
    """The stream's number as the journal has it; 1 where the product said nothing of streams."""
    return str(call.stream or 1)


def may_join(job: Job, journal: Journal, record: RunRecord, call: Invocation) -> bool:
    """Whether a stream belongs to an open run: its leader works or its copy is there, and this stream has not ended in it.

    A stream that comes back (a retry) joins the split it began on while another stream of that run is open; a stream
    number that already ended well opens a new run.
    """
    if record.status not in (Status.WORKING, Status.READY) or recover.is_from_another_boot(journal, record):
        return False
    if record.status is Status.WORKING and not RunLock(job.state_folder, record.run_id).is_alive():
        return False
    opened, ended = streams_of(journal, record)
    if stream_of(call) in ended and not opened - ended:
        return False
    if call.is_restarted and stream_of(call) not in opened:
        raise InUse(
            f"stream {stream_of(call)} was restarted, but did not begin on the copy of run {record.run_id}",
            hint="a restarted stream must go on with the copy it began on; start that backup afresh",
        )
    return True


def streams_of(journal: Journal, record: RunRecord) -> tuple[set[str], set[str]]:
    """The streams that joined a run, and those of them that have ended."""
    return streams_in(journal.events(record.run_id))


def streams_in(events: Sequence[Event]) -> tuple[set[str], set[str]]:
    """The same, from the run's events."""
    opened: set[str] = set()
    ended: set[str] = set()
    for event in events:
        if event.act == "stream":
            (opened if event.kind is Kind.INTENT else ended).add(event.key)
            if event.kind is Kind.INTENT:
                ended.discard(event.key)
    return opened, ended


def all_ended(journal: Journal, record: RunRecord) -> bool:
    """Whether every stream that came has ended, though more may have been announced."""
    return all_ended_in(journal.events(record.run_id))


def all_ended_in(events: Sequence[Event]) -> bool:
    """The same, from the run's events."""
    opened, ended = streams_in(events)
    return bool(opened) and opened <= ended


def follow(job: Job, journal: Journal, record: RunRecord, give_up: GiveUp) -> Status:
    """Wait until the leader's result is known: READY, or how it failed. While the leader lives it may try again."""
    lock = RunLock(job.state_folder, record.run_id)
    while True:
        is_alive = lock.is_alive()
        status = journal.run(record.run_id).status
        if status is Status.READY or (status is not Status.WORKING and not is_alive):
            return status
        if not is_alive:
            raise Fault(
                f"the stream that led run {record.run_id} died before its copy was ready",
                hint="the next run brings to rest what it left; `splitmirror recover` does it now",
            )
        give_up.wait(POLL_SECONDS)


def find_own(job: Job, journal: Journal, call: Invocation) -> RunRecord | None:
    """The one open run that this post may close; None when it is not clear or none is open: then nothing is touched."""
    records = backups(journal, job)
    if not (call.job or call.client or call.schedule):
        return records[0] if len(records) == 1 else None
    if call.job:
        named = [record for record in records if record.job == call.job]
        if named or any(record.job for record in records):
            return named[0] if len(named) == 1 else None
    same = [r for r in records if (r.client, r.schedule) == (call.client, call.schedule)]
    return same[0] if len(same) == 1 else None


def strike_off(job: Job, journal: Journal, record: RunRecord, call: Invocation, now: float) -> bool:
    """Strike one stream off; whether it was the last. Where the number of streams is unknown it never is."""
    with door(job):
        journal.append(record.run_id, [Event(Kind.UNDONE, "stream", stream_of(call), {}, now)])
        opened, ended = streams_of(journal, record)
        return len(ended) >= max(record.streams, 1) and opened <= ended


def is_open(record: RunRecord) -> bool:
    """Whether a run is still somebody's business."""
    return record.status in OPEN_STATUSES
