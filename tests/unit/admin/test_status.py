"""Status: what is held is asked and not remembered, and its exit code wakes a person exactly when one is needed."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.admin.stage import Stage, arguments, make_stage, said

from splitmirror import story
from splitmirror.admin import asking, status
from splitmirror.admin.view import Level, worst
from splitmirror.journal.contract import Event, Kind, Status
from splitmirror.locks import RunLock
from splitmirror.phases.split import split_acts
from splitmirror.run import Ended, Run
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.contracts.host import Verb
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, JournalFault, UnknownAnswer, Unreachable
from splitmirror_drivers.kit.units import Duration


def tell(stage: Stage, *words: str) -> tuple[int, str]:
    code, text = said(status.tell, stage.office, arguments("status", *words))
    return code, " ".join(text.split()) if "--json" not in words else text


def failed(stage: Stage) -> Run:
    stage.world.script = {"present": "fail"}
    run = stage.run()
    with pytest.raises(Ended):
        story.prepare(run)
    stage.world.script = {}
    return run


def test_all_well_is_code_0_and_names_the_last_good_copy(stage: Stage) -> None:
    run = stage.prepared()
    story.finish(run, BackupStatus.GOOD)
    code, text = tell(stage)
    assert code == 0
    assert "erp GOOD" in text
    assert "db1: nothing is held" in text
    assert f"good copy array/a, run {run.run_id}" in text
    assert "application-consistent" in text
    assert "do now nothing" in text


def test_a_policy_that_never_ran_is_not_a_problem(stage: Stage) -> None:
    code, text = tell(stage)
    assert code == 0
    assert "NEVER RUN" in text


def test_a_failed_run_at_rest_is_a_warning_with_its_reason(stage: Stage) -> None:
    failed(stage)
    code, text = tell(stage)
    assert code == 1
    assert "FAILED" in text
    assert "mount failed" in text
    assert "nothing has to be done before the next run" in text


def test_a_hold_that_stands_without_a_living_run_wakes_somebody(stage: Stage) -> None:
    run = failed(stage)
    stage.hosts[0].hold(run.run_id)
    code, text = tell(stage)
    assert code == 2
    assert f"IS STILL HELD by run {run.run_id}" in text
    assert f"do now splitmirror recover {run.run_id}" in text


def test_a_hold_of_a_run_at_work_is_as_it_should_be(stage: Stage) -> None:
    run = stage.run()
    stage.hosts[0].hold(run.run_id)
    lock = RunLock(stage.job.state_folder, run.run_id)
    lock.acquire()
    try:
        code, text = tell(stage)
    finally:
        lock.release()
    assert code == 0
    assert "AT WORK" in text
    assert "which is at work" in text


def test_a_hold_of_another_backup_server_is_said_and_left_to_it(stage: Stage) -> None:
    stage.hosts[0].hold("erp-20261124-010000-7", owner="backup2")
    code, text = tell(stage)
    assert code == 1
    assert "backup server backup2" in text
    assert "splitmirror recover" not in text


def test_a_hold_from_before_a_restart_of_the_data_server_says_so(stage: Stage) -> None:
    run = failed(stage)
    stage.hosts[0].hold(run.run_id, boot="an-earlier-boot")
    code, text = tell(stage)
    assert code == 2
    assert "restarted since" in text


def test_an_ended_hold_is_no_hold(stage: Stage) -> None:
    run = stage.prepared()
    stage.hosts[0].hold(run.run_id, state="ended WAS_HELD hand")
    assert tell(stage)[0] == 0


def test_a_data_server_that_cannot_be_asked_may_be_frozen(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, hosts=2)
    stage.prepared()
    stage.hosts[1].is_down = True
    code, text = tell(stage)
    assert code == 2
    assert "db1: nothing is held" in text
    assert "db2: CANNOT BE ASKED: db2 does not answer" in text


def test_one_silent_host_holds_up_nobody_and_is_said(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, hosts=2)
    stage.hosts[0].hangs = True
    began = time.monotonic()
    hosts = {host.name: host for host in stage.hosts}
    answers = asking.each_answer(lambda host, deadline: host.call(Verb("host.records"), deadline), hosts, 0.2)
    assert time.monotonic() - began < 3
    assert isinstance(answers["db1"], Fault)
    assert not isinstance(answers["db2"], Fault)


def test_a_driver_that_keeps_no_deadline_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(asking, "SLACK_SECONDS", 0.1)
    answers = asking.each_answer(lambda thing, deadline: never.wait(), {"db1": 1}, 0.1)
    never.set()
    assert "db1 gave no answer" in str(answers["db1"])


def test_a_record_that_is_not_understood_is_an_error_and_never_a_guess() -> None:
    for line in ["", "run\towner\tname\tfamily\tperhaps\tboot", "run\towner\tname\tfamily\ttaken"]:
        with pytest.raises(UnknownAnswer, match="not understood"):
            asking.parse_record("db1", line)


def test_offline_asks_nobody_and_counts_a_hold_it_cannot_ask_about(stage: Stage) -> None:
    run = stage.run()
    run.append(Event(Kind.INTENT, "hold", "db1", {"holds": ["app1"]}))
    stage.hosts[0].is_down = True
    code, text = tell(stage, "--offline")
    assert code == 2
    assert "db1: run" in text
    assert "not asked" in text


def test_offline_is_well_when_the_journal_is(stage: Stage) -> None:
    stage.prepared()
    stage.hosts[0].is_down = True
    code, text = tell(stage, "--offline")
    assert code == 0
    assert "whether it still stands is not known" in text


def test_a_dead_run_is_named_with_what_it_left_and_the_command(stage: Stage) -> None:
    run = stage.prepared()
    run.status(Status.WORKING)
    code, text = tell(stage)
    assert code == 1
    assert "DIED" in text
    assert f"present {stage.job.presented[0].presentation.path}" in text
    assert f"splitmirror recover {run.run_id}" in text


def test_a_stuck_run_wakes_somebody_and_keeps_its_first_reason(stage: Stage) -> None:
    run = failed(stage)
    run.status(Status.STUCK, error="db2 lost its link", left=["the mount is in use"])
    run.status(Status.STUCK, error="the mount is still in use", left=["the mount is still in use"])
    code, text = tell(stage)
    assert code == 2
    assert "STUCK" in text
    assert "mount failed" in text


def test_a_post_that_does_not_come_is_a_warning_after_longest_backup(stage: Stage) -> None:
    run = stage.prepared()
    assert tell(stage)[0] == 0
    policy = msgspec.structs.replace(stage.job.policy, longest_backup=Duration(0))
    stage.office._jobs["erp"] = replace(stage.job, policy=policy)
    code, text = tell(stage)
    assert code == 1
    assert f"splitmirror recover {run.run_id} --close" in text


def test_a_copy_from_before_a_restart_of_this_server_has_no_post_to_wait_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.prepared()
    monkeypatch.setattr(status, "boot_id", lambda: "the-boot-after")
    code, text = tell(stage)
    assert code == 1
    assert "this server restarted since" in text
    assert "--close" not in text


def test_an_unproven_copy_is_called_so_and_is_no_good_copy(stage: Stage) -> None:
    good = stage.prepared()
    story.finish(good, BackupStatus.GOOD)
    stage.world.script = {"split:a": "unknown"}
    with pytest.raises(Ended):
        story.prepare(stage.run())
    _, text = tell(stage)
    assert "UNPROVEN copy" in text
    assert "good copy none stands" in text


def test_with_two_mirrors_yesterdays_good_copy_still_stands(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, groups=("a", "b"))
    good = stage.prepared()
    story.finish(good, BackupStatus.GOOD)
    stage.world.script = {"leave:app1": "not-held"}
    with pytest.raises(Ended):
        story.prepare(stage.run())
    _, text = tell(stage)
    assert f"good copy array/a, run {good.run_id}" in text
    assert "array/b: SPLIT (split); crash copy of run" in text
    assert "which failed: not to be relied on" in text


def test_a_copy_that_was_established_over_is_not_called_good(stage: Stage) -> None:
    run = stage.prepared()
    story.finish(run, BackupStatus.GOOD)
    stage.world.states["a"] = PairState.SYNCED
    assert "good copy none stands" in tell(stage)[1]


def test_a_mirror_that_is_not_at_rest_is_quarantined(stage: Stage) -> None:
    story.finish(stage.prepared(), BackupStatus.GOOD)
    stage.world.states["a"] = PairState.UNKNOWN
    code, text = tell(stage)
    assert code == 1
    assert "QUARANTINED" in text


def test_the_vendors_own_word_and_the_pin_are_shown(stage: Stage) -> None:
    story.finish(stage.prepared(), BackupStatus.GOOD)
    stage.journal.pin("array", "a", "for the auditors", "me", 0.0)
    array = stage.job.arrays["array"]
    array.query = lambda group, deadline: (Pair(group, PairState.SPLIT, "Split (BCV)"),)  # type: ignore[method-assign]
    text = tell(stage)[1]
    assert "Split (BCV)" in text
    assert "pinned: for the auditors" in text


def test_an_array_that_cannot_be_asked_is_a_warning(stage: Stage) -> None:
    def query(group: str, deadline: Deadline) -> tuple[Pair, ...]:
        raise Unreachable("the array does not answer")

    stage.prepared()
    stage.job.arrays["array"].query = query  # type: ignore[method-assign]
    code, text = tell(stage)
    assert code == 1
    assert "array/a: CANNOT BE ASKED: the array does not answer" in text


def test_a_hold_on_a_host_that_the_policy_no_longer_names_is_not_forgotten(stage: Stage) -> None:
    run = stage.run()
    run.append(Event(Kind.INTENT, "hold", "db9", {"holds": ["app9"]}))
    code, text = tell(stage)
    assert code == 2
    assert "db9" in text


def test_one_policy_that_cannot_be_built_hides_no_other(stage: Stage) -> None:
    stage.prepared()
    policies = stage.office.loaded.configuration.policies
    policies["crm"] = stage.job.policy
    code, text = tell(stage)
    assert code == 3
    assert "crm CANNOT TELL" in text
    assert "erp READY" in text


def test_json_tells_the_same_with_a_stable_version(stage: Stage) -> None:
    run = failed(stage)
    stage.hosts[0].hold(run.run_id)
    code, text = tell(stage, "--json")
    data = json.loads(text)
    assert data["version"] == 1
    assert data["level"] == code == 2
    (policy,) = data["policies"]
    assert policy["result"] == "FAILED"
    assert policy["do_now"] == [f"splitmirror recover {run.run_id}"]
    assert policy["held"][0]["level"] == 2
    assert policy["log"].endswith(f"{run.run_id}.log")


def test_without_a_journal_the_data_servers_are_still_asked(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.hosts[0].hold("erp-20261124-010000-1")
    fault = JournalFault("the journal is not a database")
    assert status.without_journal(stage.office, fault, is_offline=False) == 2
    assert "app1 by run erp-20261124-010000-1" in capsys.readouterr().err
    stage.hosts[0].records.clear()
    assert status.without_journal(stage.office, fault, is_offline=False) == 3


def test_that_somebody_may_be_frozen_outweighs_everything() -> None:
    assert worst([Level.WELL, Level.CANNOT_TELL, Level.FROZEN, Level.WARNING]) is Level.FROZEN
    assert worst([Level.WARNING, Level.CANNOT_TELL]) is Level.CANNOT_TELL
    assert worst([]) is Level.WELL


def test_a_run_that_failed_before_its_split_leaves_no_copy_to_speak_of(stage: Stage) -> None:
    run = stage.run()
    targets = [type("T", (), {"key": "array/a", "array": stage.job.arrays["array"], "group": "a"})()]
    run.intend(split_acts(run, targets))
    run.status(Status.FAILED, error="db1 could not be quiesced")
    text = tell(stage)[1]
    assert "array/a: SYNCED (synced) good copy" in text


def test_a_failed_establish_is_not_taken_for_a_failed_backup(stage: Stage) -> None:
    good = stage.prepared()
    record = stage.journal.begin(
        policy="erp", client="", schedule="", product="establish", job="", streams=1, now=time.time()
    )
    failed_ahead = [Event(Kind.STATUS, "run", "", {"status": "failed", "error": "the array is busy"}, time.time())]
    stage.journal.append(record.run_id, failed_ahead)
    code, text = tell(stage)
    assert code == 1
    assert "erp FAILED" in text
    assert "establish: the array is busy" in text
    assert "also READY: " in text
    assert f"good copy array/a, run {good.run_id}" in text


def test_a_newer_establish_that_went_well_does_not_hide_a_failed_backup(stage: Stage) -> None:
    failed(stage)
    record = stage.journal.begin(
        policy="erp", client="", schedule="", product="establish", job="", streams=1, now=time.time()
    )
    stage.journal.append(record.run_id, [Event(Kind.STATUS, "run", "", {"status": "good"}, time.time())])
    code, text = tell(stage)
    assert code == 1
    assert "mount failed" in text
