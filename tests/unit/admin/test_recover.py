"""Recover: brings to rest what nobody alive takes care of, leaves alone what somebody does, and names what is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import MIRROR
from tests.unit.admin.stage import Stage, arguments, make_stage, said

from splitmirror import acts, story
from splitmirror.admin import recover
from splitmirror.giveup import GiveUp
from splitmirror.journal.contract import Event, Kind, Status
from splitmirror.locks import RunLock
from splitmirror_drivers.contracts.array import Family, PairState
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import UsageFault


def bring(stage: Stage, *words: str) -> tuple[int, str]:
    return said(recover.recover, stage.office, arguments("recover", *words), GiveUp())


def dead(stage: Stage) -> str:
    """A run that died with its copy presented."""
    run = stage.prepared()
    run.status(Status.WORKING)
    return run.run_id


def standing(stage: Stage, run_id: str) -> list[str]:
    return [act.name for act in acts.standing(stage.journal.events(run_id))]


def test_a_dead_run_is_brought_to_rest_and_closed(stage: Stage) -> None:
    run_id = dead(stage)
    code, text = bring(stage)
    assert code == 0
    assert f"{run_id}: at rest" in text
    assert "taken back: card" in text
    assert not stage.world.presented
    assert not stage.world.exposed
    assert stage.journal.run(run_id).status is Status.FAILED
    assert not stage.journal.claims()


def test_recover_may_be_repeated(stage: Stage) -> None:
    dead(stage)
    assert bring(stage)[0] == 0
    code, text = bring(stage)
    assert code == 0
    assert "nothing is open" in text


def test_holds_are_ended_before_anything_that_can_be_slow(stage: Stage) -> None:
    run = stage.prepared()
    run.append(Event(Kind.INTENT, "hold", "db1", {"holds": ["app1"]}))
    run.status(Status.WORKING)
    stage.hosts[0].hold(run.run_id)
    rescued_when: list[bool] = []
    presentation = stage.job.presented[0].presentation
    withdraw = presentation.withdraw

    def watched(intent: Presented, deadline: Deadline) -> None:
        rescued_when.append(stage.hosts[0].rescued == [run.run_id])
        withdraw(intent, deadline)

    presentation.withdraw = watched  # type: ignore[method-assign]
    assert bring(stage)[0] == 0
    assert rescued_when == [True]


def test_a_living_run_is_left_alone(stage: Stage) -> None:
    run_id = dead(stage)
    lock = RunLock(stage.job.state_folder, run_id)
    lock.acquire()
    try:
        code, text = bring(stage)
    finally:
        lock.release()
    assert code == 0
    assert "is at work; left alone" in text
    assert stage.world.presented


def test_a_copy_that_waits_for_its_post_is_left_alone(stage: Stage) -> None:
    run = stage.prepared()
    code, text = bring(stage)
    assert code == 0
    assert "waits for its post" in text
    assert stage.world.presented
    assert stage.journal.run(run.run_id).status is Status.READY


def test_close_ends_it_as_post_would_have_but_starts_no_copy(stage: Stage) -> None:
    run = stage.prepared()
    code, text = bring(stage, run.run_id, "--close")
    assert code == 0
    assert "closed; its copy stays on the mirror" in text
    assert not stage.world.presented
    assert stage.world.states["a"] is PairState.SPLIT
    assert stage.journal.run(run.run_id).status is Status.GOOD
    assert not stage.journal.claims()


def test_close_refuses_a_copy_that_somebody_reads_and_changes_nothing(stage: Stage) -> None:
    run = stage.prepared()
    before = standing(stage, run.run_id)
    stage.world.users = [User(42, "tar", "/backup/erp")]
    code, text = bring(stage, "--close", run.run_id)
    assert code == 2
    assert "tar (pid 42)" in text
    assert "nothing was changed" in text
    assert "withdraw" not in stage.world.trace
    assert standing(stage, run.run_id) == before
    assert stage.journal.run(run.run_id).status is Status.READY


def test_close_must_name_one_run(stage: Stage) -> None:
    stage.prepared()
    for words in (["--close"], ["erp", "--close"]):
        with pytest.raises(UsageFault, match="the one run"):
            bring(stage, *words)


def test_a_copy_from_before_a_restart_of_this_server_needs_no_person(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.prepared()
    monkeypatch.setattr(recover, "boot_id", lambda: "the-boot-after")
    assert bring(stage)[0] == 0
    assert not stage.world.presented
    assert stage.world.states["a"] is PairState.SPLIT


def test_what_cannot_be_taken_back_is_named_with_two_commands(stage: Stage) -> None:
    run_id = dead(stage)
    stage.world.users = [User(7, "tar", "/backup/erp")]
    code, text = bring(stage)
    assert code == 2
    assert "NOT AT REST" in text
    assert "tar (pid 7)" in text
    assert f"to look: splitmirror show {run_id}" in text
    assert f"to act:  splitmirror recover {run_id}" in text
    assert stage.journal.run(run_id).status is Status.STUCK
    stage.world.users = []
    assert bring(stage, run_id)[0] == 0


def test_one_run_that_is_stuck_keeps_no_other_from_being_tried(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    first = stage.run()
    first.append(Event(Kind.INTENT, "hold", "db1", {}))
    second = stage.run()
    second.append(Event(Kind.INTENT, "card", str(tmp_path / "erp.card"), {"path": str(tmp_path / "erp.card")}))
    stage.hosts[0].hold(first.run_id)
    stage.hosts[0].cannot_rescue = True
    code, text = bring(stage)
    assert code == 2
    assert "app1 could not be ended" in text
    assert stage.journal.run(first.run_id).status is Status.STUCK
    assert stage.journal.run(second.run_id).status is Status.FAILED


def test_a_pinned_snapshot_is_never_discarded_with_its_dead_run(tmp_path: Path) -> None:
    traits = replace(MIRROR, family=Family.POINT, needs_sync=False, keeps_copies=True)
    stage = make_stage(tmp_path, traits=traits)
    stage.world.states["a"] = PairState.PREPARED
    run_id = dead(stage)
    stage.journal.pin("array", "a", "for the auditors", "me", 0.0)
    code, text = bring(stage)
    assert code == 2
    assert "is pinned: for the auditors" in text
    assert not [seen for seen in stage.world.trace if seen.startswith("discard")]
    assert not stage.world.presented
    stage.journal.unpin("array", "a")
    assert bring(stage)[0] == 0
    assert [seen for seen in stage.world.trace if seen.startswith("discard")] == [f"discard:a:{run_id}"]


def test_a_policy_that_is_gone_from_the_file_is_a_persons_business(stage: Stage) -> None:
    run_id = dead(stage)
    del stage.office._jobs["erp"]
    code, text = bring(stage, run_id)
    assert code == 2
    assert "there is no policy 'erp'" in text


def test_a_dry_run_changes_and_asks_nothing(stage: Stage) -> None:
    run_id = dead(stage)
    before = stage.journal.events(run_id)
    trace = list(stage.world.trace)
    code, text = bring(stage, "--dry-run")
    assert code == 0
    assert "would take back: card" in text
    assert stage.journal.events(run_id) == before
    assert stage.world.trace == trace


@pytest.mark.parametrize("is_known", [True, False])
def test_a_hold_that_only_the_data_servers_record_knows_is_ended_by_the_runs_name(is_known: bool, stage: Stage) -> None:
    run = stage.prepared()
    story.finish(run, BackupStatus.GOOD)
    name = run.run_id if is_known else "erp-20200101-010000-9999"
    stage.hosts[0].hold(name)
    stage.hosts[0].hold(name, name="app2", owner="backup2")
    code, text = bring(stage, name)
    assert code == 0
    assert "hold app1 on db1" in text
    assert stage.hosts[0].rescued == [name]


def test_a_hold_of_another_backup_server_is_never_ended(stage: Stage) -> None:
    stage.hosts[0].hold("erp-20200101-010000-9999", owner="backup2")
    code, text = bring(stage, "erp-20200101-010000-9999")
    assert code == 0
    assert "no data server holds anything of it" in text
    assert stage.hosts[0].rescued == []


def test_a_record_that_cannot_be_asked_is_not_called_at_rest(stage: Stage) -> None:
    stage.hosts[0].is_down = True
    code, text = bring(stage, "erp-20200101-010000-9999")
    assert code == 2
    assert "NOT SURE TO BE AT REST" in text


def test_a_name_that_means_no_run_is_a_mistake(stage: Stage) -> None:
    with pytest.raises(UsageFault, match="there is no run crm"):
        bring(stage, "crm")


def test_a_data_server_that_is_gone_for_good_is_struck_off_on_a_persons_word_alone(stage: Stage) -> None:
    run = stage.prepared()
    run.append(Event(Kind.INTENT, "hold", "db1", {"holds": ["app1"]}))
    run.status(Status.WORKING)
    stage.hosts[0].is_down = True
    code, text = bring(stage, run.run_id)
    assert code == 2
    assert "db1" in text
    assert standing(stage, run.run_id).count("hold") == 1
    code, text = bring(stage, run.run_id, "--lost-host", "db9")
    assert code == 2
    assert "holds nothing on db9" in text
    code, text = bring(stage, run.run_id, "--lost-host", "db1")
    assert code == 0, text
    struck = [e for e in stage.journal.events(run.run_id) if e.kind is Kind.UNDONE and e.act == "hold"]
    assert struck[-1].data["lost"]
    assert stage.journal.run(run.run_id).status is Status.FAILED


def test_a_persons_word_on_a_lost_host_is_for_one_run(stage: Stage) -> None:
    with pytest.raises(UsageFault, match="one run that is meant"):
        bring(stage, "--lost-host", "db1")
