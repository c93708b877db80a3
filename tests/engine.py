"""Build runs over the fake world with a real journal: what engine tests share."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import Event, Journal, Kind
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.log import Teller
from splitmirror.run import Run
from splitmirror.state import boot_id
from splitmirror_drivers.contracts.product import Manners


def state_folder(folder: Path) -> Path:
    """A state folder with its sub-folders."""
    folder.chmod(0o700)
    for name in ("locks", "cards", "log"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def make_run(job: Job, journal: Journal | None = None, give_up: GiveUp | None = None) -> Run:
    """A run of `job`, begun now; nobody holds its lock."""
    folder = state_folder(job.state_folder)
    journal = journal or SqliteJournal(folder)
    record = journal.begin(
        policy=job.name, client="c", schedule="s", product="generic", job="", streams=1, now=time.time()
    )
    journal.append(record.run_id, [Event(Kind.NOTE, "process", "", {"pid": 1, "boot": boot_id()}, time.time())])
    log = logging.getLogger("test")
    return Run(job, journal, record, log, Teller(Manners(), io.StringIO()), give_up or GiveUp())


def acts_of(journal: Journal, run_id: str, kind: Kind) -> list[str]:
    """Names of acts with an event of one kind, in order."""
    return [event.act for event in journal.events(run_id) if event.kind is kind]


def in_order(trace: Sequence[str], *wanted: str) -> bool:
    """Whether `wanted` occur in `trace` in this order."""
    rest = iter(trace)
    return all(any(seen == one for seen in rest) for one in wanted)
