"""Holds that a data server's record says are ours, and that no open run of the journal answers for any more.

The record is the authority on ownership: what it says this backup server took may be ended, whatever became of the
journal. Somebody else's is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror.acts import RESTING_CODES
from splitmirror.admin import asking
from splitmirror.job import Job
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, HoldFault

RESCUE_SECONDS = 120.0


def rescue(jobs: Sequence[Job], run_id: str) -> tuple[list[str], list[Fault]]:
    """End what the records of all data servers say that run still holds: what was ended, and what could not be."""
    ended: list[str] = []
    faults: list[Fault] = []
    for job, host, said in answers(jobs):
        if isinstance(said, Fault):
            faults.append(said)
            continue
        mine = [held for held in said.standing() if (held.run, held.owner) == (run_id, job.server)]
        if not mine:
            continue
        try:
            ended += _rescue(job, host, run_id)
        except Fault as fault:
            faults.append(fault)
    return ended, faults


def answers(jobs: Sequence[Job]) -> list[tuple[Job, Host, asking.HostSaid | Fault]]:
    """Each data server once, with what it answered and a job that knows it."""
    said = asking.ask_hosts(jobs)
    hosts = {host.name: (job, host) for job in reversed(jobs) for host in job.data_hosts()}
    return [(job, host, said[name]) for name, (job, host) in hosts.items()]


def _rescue(job: Job, host: Host, run_id: str) -> list[str]:
    deadline = Deadline.after(RESCUE_SECONDS)
    host.families(asking.families_of(job, host))
    host.connect(deadline)
    answer = host.call(Verb("host.rescue", (run_id,)), deadline)
    rows = [line.partition("\t") for line in answer.lines("rescued")]
    left = [name for name, _, code in rows if code not in RESTING_CODES]
    if answer.exit_code != 0 or left:
        raise HoldFault(
            f"{host.name}: {', '.join(left) or 'some hold'} of run {run_id} could not be ended",
            detail=answer.said,
            hint=f"look at {host.name} at once: writes may be waiting there",
        )
    return [f"hold {name} on {host.name}" for name, _, _ in rows]
