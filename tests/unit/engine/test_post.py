"""Post: it closes its own run, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec
import pytest
from tests.engine import make_run
from tests.fakes import World, make_job

from splitmirror import enter, hook, recover, story
from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import Journal, RunRecord, Status
from splitmirror.log import Teller
from splitmirror.office import Office
from splitmirror.run import Run
from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Manners, Result


@dataclass
class OneRunOffice:
    """An office with one job, whose runs are all made from one."""

    first: Run

    @property
    def journal(self) -> Journal:
        return self.first.journal

    def job(self, policy: str) -> Job:
        return self.first.job

    def run(self, job: Job, record: RunRecord, teller: Teller, give_up: GiveUp) -> Run:
        return recover.replace_run(self.first, record)


def post(run: Run) -> story.Outcome:
    call = Invocation("generic", Hook.POST, policy="erp", client="c", schedule="s", status=BackupStatus.GOOD)
    return hook.post(cast("Office", OneRunOffice(run)), call, Teller(Manners()), GiveUp())


def ready(world: World, tmp_path: Path) -> Run:
    job = make_job(world, tmp_path)
    run = make_run(replace(job, policy=msgspec.structs.replace(job.policy, reattach="after-backup")))
    story.prepare(run)
    world.trace.clear()
    return run


def test_post_withdraws_the_copy_of_its_run_and_reattaches_the_mirror(tmp_path: Path) -> None:
    world = World()
    run = ready(world, tmp_path)
    assert post(run).result is Result.DONE
    assert run.journal.run(run.run_id).status is Status.GOOD
    assert not world.presented
    assert "establish:a:incremental" in world.trace


def test_a_run_that_somebody_closes_meanwhile_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    run = ready(world, tmp_path)
    strike_off = enter.strike_off

    def closed_meanwhile(*given: object) -> bool:
        is_last = strike_off(*given)  # type: ignore[arg-type]
        recover.bring_to_rest(run, run.journal.run(run.run_id))
        return is_last

    monkeypatch.setattr(enter, "strike_off", closed_meanwhile)
    assert post(run).result is Result.DONE
    closed = run.journal.events(run.run_id)[-1]
    assert (closed.data["status"], closed.data["backup"]) == ("good", "not told")
    assert not [what for what in world.trace if what.startswith("establish")]
