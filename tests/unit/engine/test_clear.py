"""Clear: what it brings to rest, and what it must leave to somebody alive, also when that somebody moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import World, make_job

from splitmirror import story
from splitmirror.journal.contract import Event, Kind, RunRecord, Status
from splitmirror.locks import RunLock
from splitmirror.phases import clear
from splitmirror.run import Run
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.errors import InUse


def after_listing(run: Run, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let `meanwhile` happen once, between the list of open runs and what is made of it."""
    listed = run.journal.open_runs

    def open_runs(policy: str = "") -> tuple[RunRecord, ...]:
        found = listed(policy)
        monkeypatch.setattr(run.journal, "open_runs", listed)
        meanwhile()
        return found

    monkeypatch.setattr(run.journal, "open_runs", open_runs)


def test_a_run_that_becomes_ready_just_now_keeps_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = make_run(job)
    second = make_run(job, first.journal)
    after_listing(second, monkeypatch, lambda: story.prepare(first))
    with pytest.raises(InUse, match="its post has not come"):
        clear.clear(second)
    assert world.presented == {job.presented[0].presentation.path}
    assert first.journal.run(first.run_id).status is Status.READY


def test_a_run_that_its_post_closes_just_now_stays_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(World(), tmp_path)
    first = make_run(job)
    second = make_run(job, first.journal)
    story.prepare(first)
    first.status(Status.CLOSING)
    after_listing(second, monkeypatch, lambda: story.finish(first, BackupStatus.GOOD))
    clear.clear(second)
    assert first.journal.run(first.run_id).status is Status.GOOD


def test_nobody_else_is_at_a_run_while_it_is_brought_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = make_run(job)
    second = make_run(job, first.journal)
    story.prepare(first)
    first.append(Event(Kind.STATUS, "run", "", {"status": Status.WORKING.value}))  # its pre died before it said READY
    alive: list[bool] = []
    withdraw = job.presented[0].presentation.withdraw

    def watched(*given: object) -> None:
        alive.append(RunLock(tmp_path, first.run_id).is_alive())
        withdraw(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(job.presented[0].presentation, "withdraw", watched)
    clear.clear(second)
    assert alive == [True]
    assert not world.presented
    assert not RunLock(tmp_path, first.run_id).is_alive()
