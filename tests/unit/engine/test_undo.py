"""Taking back: what comes first, what is never done to a copy that somebody has, and what is said when something stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import World, make_job
from tests.unit.engine.test_promises import POINT, PointArray, with_array
from tests.unit.engine.test_story import changed

from splitmirror import acts, exits, recover, story
from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import OPEN_STATUSES, Event, Kind, Status
from splitmirror.locks import mirror_lock
from splitmirror.phases import claim, clear
from splitmirror.run import Ended, Run
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.contracts.product import BackupStatus, Result
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse, Refused

READER = User(7, "tar", "/backup/erp")


def snapshots(world: World, folder: Path) -> Job:
    return with_array(make_job(world, folder, traits=POINT), PointArray(world, traits=POINT))


def died(job: Job, run: Run) -> Run:
    """A run whose pre was killed just before it said READY."""
    story.prepare(run)
    run.status(Status.WORKING)
    return run


def sent(world: World, *moves: str) -> list[str]:
    return [seen for seen in world.trace if seen.startswith(moves)]


# -- order ------------------------------------------------------------------------------------------------------------


def test_holds_are_ended_before_an_array_is_asked_anything(tmp_path: Path) -> None:
    world = World(script={"split:a": "lose-link"})
    job = make_job(world, tmp_path)
    query = job.arrays["array"].query

    def asked(group: str, deadline: Deadline) -> object:
        world.note("query")
        return query(group, deadline)

    job.arrays["array"].query = asked  # type: ignore[method-assign,assignment]
    with pytest.raises(Ended):
        story.prepare(make_run(job))
    after = world.trace[world.trace.index("split:a") :]
    assert after.index("host.rescue:db1") < after.index("query")


# -- a copy that somebody has -----------------------------------------------------------------------------------------


def test_a_copy_that_is_still_read_is_neither_unexposed_nor_discarded(tmp_path: Path) -> None:
    world = World()
    job = snapshots(world, tmp_path)
    dead = died(job, make_run(job))
    world.users = [READER]
    with pytest.raises(Ended, match=r"tar .pid 7."):
        story.prepare(make_run(job, dead.journal))
    assert not sent(world, "unexpose", "discard")
    assert dead.journal.run(dead.run_id).status is Status.STUCK
    world.users = []
    story.prepare(make_run(job, dead.journal))
    assert sent(world, "discard") == [f"discard:a:{dead.run_id}"]


def test_a_pinned_copy_is_not_discarded_with_its_dead_run_by_the_next_pre(tmp_path: Path) -> None:
    world = World()
    job = snapshots(world, tmp_path)
    dead = died(job, make_run(job))
    dead.journal.pin("array", "a", "for the auditors", "ann", 0.0)
    with pytest.raises(Ended, match="is pinned: for the auditors"):
        story.prepare(make_run(job, dead.journal))
    assert not sent(world, "discard")
    assert not world.presented


@pytest.mark.parametrize("died_in", [Status.READY, Status.CLOSING, Status.STUCK])
def test_a_good_copy_whose_post_never_came_to_its_end_stays_and_is_called_good(
    died_in: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server restarted, or post was killed, or could not withdraw: nothing of that makes the copy worse."""
    world = World()
    job = snapshots(world, tmp_path)
    run = make_run(job)
    story.prepare(run)
    run.status(died_in)
    if died_in is Status.READY:
        monkeypatch.setattr(recover, "boot_id", lambda: "the-boot-after")
    clear.clear(make_run(job, run.journal))
    assert not sent(world, "discard")
    assert not world.presented
    assert run.journal.run(run.run_id).status is Status.GOOD
    assert not run.journal.claims()


# -- the mirror's lock ------------------------------------------------------------------------------------------------


def test_an_array_is_not_touched_while_a_dead_hooks_command_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a command has inherited the mirror's lock: here another holder plays it."""
    monkeypatch.setattr(acts, "LOCK_SECONDS", 0.2)
    world = World()
    job = snapshots(world, tmp_path)
    dead = died(job, make_run(job))
    lock = mirror_lock(tmp_path, "array/a")
    lock.acquire()
    clearing = make_run(job, dead.journal)
    with pytest.raises(Refused, match="array/a is locked by"):
        clear.clear(clearing)
    assert not sent(world, "unexpose", "discard")
    lock.release()
    clear.clear(clearing)
    assert sent(world, "discard")


def test_what_an_undo_starts_inherits_the_mirrors_lock(tmp_path: Path) -> None:
    world = World()
    job = snapshots(world, tmp_path)
    seen: list[int] = []
    discard = job.arrays["array"].discard
    job.arrays["array"].discard = lambda *given: (seen.append(len(job.carried)), discard(*given))[1]  # type: ignore[method-assign,func-returns-value]
    dead = died(job, make_run(job))
    assert recover.bring_to_rest(dead, dead.journal.run(dead.run_id)) == []
    assert seen == [1]
    assert job.carried == []


def test_a_lock_that_is_not_got_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    run = make_run(make_job(World(), tmp_path))
    taken = mirror_lock(tmp_path, "array/b")
    taken.acquire()
    targets = [type("T", (), {"key": key})() for key in ("array/a", "array/b")]
    survey = type("S", (), {"targets": targets, "applications": ()})()
    with pytest.raises(InUse), claim.claimed(run, survey):
        pass
    assert run.job.carried == []
    mirror_lock(tmp_path, "array/a").acquire()  # and the first one is free again


def test_two_mirrors_never_have_one_lock(tmp_path: Path) -> None:
    keys = ["a-b/c", "a/b-c", "a/b/c", "a/b%2Fc", "a%2Fb/c"]
    assert len({mirror_lock(tmp_path, key).path for key in keys}) == len(keys)


def test_a_signal_ends_the_wait_for_a_mirrors_lock(tmp_path: Path) -> None:
    give_up = GiveUp()
    job = make_job(World(), tmp_path)
    job = replace(job, policy=changed(job.policy, wait_for_claim=600))
    run = make_run(job, give_up=give_up)
    lock = mirror_lock(tmp_path, "array/a")
    lock.acquire()
    take = run.journal.claim

    def asked_meanwhile(*given: object, **more: object) -> None:
        take(*given, **more)  # type: ignore[arg-type]
        give_up.ask("SIGTERM")

    run.journal.claim = asked_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Ended, match="SIGTERM"):
        story.prepare(run)


# -- what is gone from the policy --------------------------------------------------------------------------------------


def test_a_data_server_or_array_that_left_the_policy_is_named_with_what_to_do(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    dead = died(job, make_run(job))
    dead.append(Event(Kind.INTENT, "hold", "db1", {}))
    less = replace(dead, job=replace(job, hosts={"local": job.hosts["local"]}, arrays={}))
    left = recover.bring_to_rest(less, dead.journal.run(dead.run_id))
    said = [fault.message for fault in left]
    assert "the policy erp no longer names the data server db1, where this run may hold something" in said
    assert "the policy erp no longer has the array array" in said
    assert all(fault.hint for fault in left if "no longer" in fault.message)
    assert dead.journal.run(dead.run_id).status is Status.STUCK


# -- giving up after the resume ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shows", [True, False], ids=["last presentation", "nothing to present"])
def test_a_signal_or_the_products_limit_after_the_resume_undoes_what_nobody_waits_for(
    shows: bool, tmp_path: Path
) -> None:
    for way in ("signal", "limit"):
        folder = tmp_path / way
        folder.mkdir()
        world, give_up = World(), GiveUp()
        job = make_job(world, folder)
        if not shows:
            job = replace(job, presented=())
        run = make_run(job, give_up=give_up)
        run.last_moment = Deadline.after(1000.0)
        _when_last(run, shows, lambda: give_up.ask("SIGTERM") if way == "signal" else _pass(run))  # noqa: B023
        with pytest.raises(Ended, match=r"SIGTERM|stopped waiting"):
            story.prepare(run)
        assert not world.presented
        assert run.journal.run(run.run_id).status is Status.FAILED


def _pass(run: Run) -> None:
    run.last_moment = Deadline.after(-1.0)


def _when_last(run: Run, shows: bool, happens: object) -> None:
    where, name = (run.job.presented[0].presentation, "verify") if shows else (run.job.arrays["array"], "settle")
    does = getattr(where, name)

    def and_then(*given: object) -> object:
        result = does(*given)
        happens()  # type: ignore[operator]
        return result

    setattr(where, name, and_then)


# -- post ---------------------------------------------------------------------------------------------------------------


def test_a_post_that_cannot_withdraw_says_that_a_person_is_needed(tmp_path: Path) -> None:
    world = World()
    run = make_run(make_job(world, tmp_path))
    story.prepare(run)
    world.users = [READER]
    with pytest.raises(Ended) as caught:
        story.finish(run, BackupStatus.GOOD)
    assert exits.result_of(caught.value) is Result.NEEDS_A_PERSON
    assert "tar (pid 7)" in caught.value.message


def test_a_mirror_that_cannot_be_reattached_spoils_neither_backup_nor_copy(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(replace(job, policy=changed(job.policy, reattach="after-backup")))
    story.prepare(run)
    withdraw = job.presented[0].presentation.withdraw

    def then_somebody_opens_it(intent: Presented, deadline: Deadline) -> None:
        withdraw(intent, deadline)
        world.users = [READER]

    job.presented[0].presentation.withdraw = then_somebody_opens_it  # type: ignore[method-assign]
    outcome = story.finish(run, BackupStatus.GOOD)
    assert outcome.result is Result.NEEDS_A_PERSON
    assert "NOT reattached" in outcome.line
    assert not sent(world, "establish")
    assert run.journal.run(run.run_id).status is Status.GOOD


def test_a_post_of_a_run_whose_pre_died_closes_it_as_failed(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, reattach="after-backup"))
    run = died(job, make_run(job))
    assert story.finish(run, BackupStatus.FAILED).result is Result.DONE
    assert run.journal.run(run.run_id).status is Status.FAILED
    assert not sent(world, "establish")
    assert not world.presented


def test_a_post_does_not_lift_the_quarantine_of_a_split_that_nobody_knows(tmp_path: Path) -> None:
    world = World(script={"split:a": "unknown"})
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, reattach="after-backup", on_backup_failure="reattach"))
    run = make_run(job)
    split = job.arrays["array"].split

    def and_goes_on(*given: object) -> object:
        try:
            return split(*given)  # type: ignore[arg-type]
        finally:
            world.states["a"] = PairState.SPLITTING

    job.arrays["array"].split = and_goes_on  # type: ignore[method-assign,assignment]
    with pytest.raises(Ended):
        story.prepare(run)
    with pytest.raises(Ended, match="not at rest"):
        story.finish(run, BackupStatus.FAILED)
    assert run.journal.run(run.run_id).status is Status.STUCK
    assert not sent(world, "establish")
    world.states["a"] = PairState.SPLIT
    story.finish(run, BackupStatus.FAILED)
    assert run.journal.run(run.run_id).status not in OPEN_STATUSES


def test_what_is_left_is_told_once(tmp_path: Path) -> None:
    fault = Fault("it stays", detail="seen")
    assert Ended(fault, [fault]).detail == "seen"
    assert Ended(fault, [fault]).left == (fault,)
