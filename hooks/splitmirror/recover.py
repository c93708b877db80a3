"""Recover: bring what an ended run left to rest, by asking hosts, arrays and presentations what is true."""

from __future__ import annotations

from dataclasses import replace

from splitmirror import acts
from splitmirror.journal.contract import Event, Kind, RunRecord, Status
from splitmirror.run import Run, close_failed, take_back
from splitmirror.state import boot_id
from splitmirror_drivers.kit.errors import Fault


def began_on_boot(run: Run, record: RunRecord) -> str:
    """The boot id of this server when the run began; "" when it was not written down."""
    for event in run.journal.events(record.run_id):
        if event.kind is Kind.NOTE and event.act == "process":
            return str(event.data.get("boot", ""))
    return ""


def is_from_another_boot(run: Run, record: RunRecord) -> bool:
    """Whether this server restarted since: then no process of that run or of its backup job can be alive here."""
    began = began_on_boot(run, record)
    return bool(began) and began != boot_id()


def bring_to_rest(run: Run, record: RunRecord, *, reason: str = "recovered") -> list[Fault]:
    """Undo whatever of `record` still stands; journal it there; what could not be undone. Safe to repeat."""
    other = replace_run(run, record)
    standing = acts.standing(run.journal.events(record.run_id))
    faults = [fault for _, fault in take_back(other, standing)]
    if faults:
        close_failed(other, faults[0], faults)
        return faults
    other.append(Event(Kind.NOTE, "recover", "", {"by": run.run_id, "reason": reason}))
    if record.status is not Status.GOOD:
        close_failed(other, Fault(f"ended without closing itself; {reason}"), [])
    return []


def replace_run(run: Run, record: RunRecord) -> Run:
    """A Run that writes into another record."""
    return replace(run, record=record, _standing=[], _kept_back=None, _unsaid=None)
