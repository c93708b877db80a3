"""Recover: bring what an ended run left to rest, by asking hosts, arrays and presentations what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from splitmirror import acts
from splitmirror.journal.contract import Event, Journal, Kind, RunRecord, Status
from splitmirror.run import Run, close_failed, take_back
from splitmirror.state import boot_id
from splitmirror_drivers.kit.errors import Fault


def began_on_boot(journal: Journal, record: RunRecord) -> str:
    """The boot id of this server when the run began; "" when it was not written down."""
    for event in journal.events(record.run_id):
        if event.kind is Kind.NOTE and event.act == "process":
            return str(event.data.get("boot", ""))
    return ""


def is_from_another_boot(journal: Journal, record: RunRecord) -> bool:
    """Whether this server restarted since: then no process of that run or of its backup job can be alive here."""
    began = began_on_boot(journal, record)
    return bool(began) and began != boot_id()


def has_made_copy(events: Sequence[Event]) -> bool:
    """Whether the run's copy was proven and there for its backup, so that closing the run leaves it on the mirror."""
    has_made = False
    for event in events:
        if event.kind is Kind.STATUS and event.data.get("status") == Status.READY.value:
            has_made = True
        elif event.kind is Kind.STATUS and event.data.get("status") == Status.WORKING.value:
            has_made = False
    return has_made


def bring_to_rest(run: Run, record: RunRecord, *, reason: str = "recovered") -> list[Fault]:
    """Undo whatever of `record` still stands; journal it there; what could not be undone. Safe to repeat.

    A good copy whose post never came, or did not come to its end, is withdrawn and stays on its mirror, as after a post.
    """
    other = replace_run(run, record)
    events = run.journal.events(record.run_id)
    keeps = has_made_copy(events)
    standing = [act for act in acts.standing(events) if not (keeps and act.name == "split")]
    faults = [fault for _, fault in take_back(other, standing)]
    if faults:
        close_failed(other, faults[0], faults)
        return faults
    other.append(Event(Kind.NOTE, "recover", "", {"by": run.run_id, "reason": reason}))
    if keeps:
        other.status(
            Status.GOOD, backup="not told", line=f"{other.job.name}: {reason} without its post, copy withdrawn"
        )
        other.journal.unclaim(other.run_id)
    elif record.status is not Status.GOOD:
        close_failed(other, Fault(f"ended without closing itself; {reason}"), [])
    return []


def replace_run(run: Run, record: RunRecord) -> Run:
    """A Run that writes into another record."""
    return replace(run, record=record, _standing=[], _kept_back=None, _unsaid=None)
