"""P3 and rotation: which mirror is taken, and every way by which a copy that somebody needs could be overwritten."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import MIRROR, FakeArray, FakePresentation, World, make_job
from tests.unit.engine.test_promises import POINT, PointArray, with_array
from tests.unit.engine.test_story import changed

from splitmirror import enter, story
from splitmirror.job import Job, MirrorSet, Placed
from splitmirror.journal.contract import Event, Journal, Kind, RunRecord, Status
from splitmirror.locks import RunLock
from splitmirror.phases import clear
from splitmirror.run import Ended, Run
from splitmirror_drivers.contracts.array import Mode, Pair, PairState, Receipt
from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse
from splitmirror_drivers.kit.units import Duration

READER = User(42, "dd", "/dev/sdb")


def other_policy(job: Job, folder: Path) -> Job:
    """Policy `crm`: it shares the array and its mirrors, and shows them at a place of its own."""
    mine = job.presented[0].presentation
    place = FakePresentation(mine.world, str(folder / "present" / "crm"), mine.host)  # type: ignore[attr-defined]
    return replace(job, name="crm", presented=(Placed(place, 0),))


def finished(job: Job, journal: Journal | None = None) -> Run:
    run = make_run(job, journal)
    story.prepare(run)
    story.finish(run, BackupStatus.GOOD)
    return run


def established(world: World) -> list[str]:
    return [seen for seen in world.trace if seen.startswith("establish:")]


# -- what came to be between choosing a mirror and having it ----------------------------------------------------------


def meanwhile(run: Run, happens: object) -> None:
    """Let something happen while the run waits for its claims."""
    claim = run.journal.claim

    def claimed(*given: object, **more: object) -> None:
        run.journal.claim = claim  # type: ignore[method-assign]
        happens()  # type: ignore[operator]
        claim(*given, **more)  # type: ignore[arg-type]

    run.journal.claim = claimed  # type: ignore[method-assign]


def test_a_copy_that_is_pinned_while_a_run_waits_for_its_mirror_is_not_overwritten(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(job, finished(job).journal)
    meanwhile(run, lambda: run.journal.pin("array", "a", "restore at noon", "ann", 0.0))
    with pytest.raises(Ended, match="is pinned: restore at noon"):
        story.prepare(run)
    assert not established(world)
    assert world.states["a"] is PairState.SPLIT


def test_a_mirror_that_was_split_while_a_run_waited_for_it_is_established_again(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(job)  # it finds the mirror in sync, and another policy's run has it first
    meanwhile(run, lambda: finished(other_policy(job, tmp_path), run.journal))
    story.prepare(run)
    assert established(world) == ["establish:a:incremental"]


# -- who may have it open ----------------------------------------------------------------------------------------------


def test_a_copy_that_another_policy_presented_is_asked_about_too(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = finished(other_policy(job, tmp_path))
    world.users = [READER]
    with pytest.raises(Ended, match=r"dd .pid 42."):
        story.prepare(make_run(job, first.journal))
    assert not established(world)


def test_a_copy_is_asked_about_however_many_runs_came_after_it(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = finished(job)
    for _ in range(101):
        begun = first.journal.begin(policy="crm", client="", schedule="", product="", job="", streams=1, now=1.0)
        first.journal.append(begun.run_id, [Event(Kind.STATUS, "run", "", {"status": "failed"}, 1.0)])
    world.users = [READER]
    with pytest.raises(Ended, match=r"dd .pid 42."):
        story.prepare(make_run(job, first.journal))
    assert not established(world)


# -- reattach = "manual" ------------------------------------------------------------------------------------------------


def test_only_establish_ends_a_copy_whose_policy_says_manual(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, reattach="manual"))
    first = finished(job)
    with pytest.raises(Ended, match='array/a is split, and reattach = "manual"'):
        story.prepare(make_run(job, first.journal))
    assert not established(world)
    story.establish_ahead(make_run(job, first.journal), may_copy_all=False)
    assert established(world) == ["establish:a:incremental"]
    story.prepare(make_run(job, first.journal))


# -- which one is taken ----------------------------------------------------------------------------------------------


def test_a_mirror_that_another_run_has_is_taken_only_when_there_is_no_other(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path, groups=("a", "b"))
    other = make_run(other_policy(job, tmp_path))
    other.journal.claim(other.run_id, ["mirror:array/a"], "pre", process=1, boot_id="", now=0.0)
    story.prepare(make_run(job, other.journal))
    assert "split:b" in world.trace
    assert "split:a" not in world.trace


def test_a_mirror_that_is_not_at_rest_is_passed_over_and_alone_it_is_named(tmp_path: Path) -> None:
    world = World(states={"a": PairState.BROKEN})
    job = make_job(world, tmp_path, groups=("a", "b"))
    finished(job)
    assert "split:b" in world.trace
    alone = make_job(World(states={"a": PairState.SPLITTING}), tmp_path)
    with pytest.raises(Ended, match="array/a is splitting"):
        story.prepare(make_run(alone))


def test_room_is_made_by_what_a_failed_run_left_before_any_good_copy(tmp_path: Path) -> None:
    world = World()
    job = with_array(make_job(world, tmp_path, traits=POINT), PointArray(world, traits=POINT))
    array = job.arrays["array"]
    good = finished(job)
    discard = array.discard

    def refused(receipt: Receipt, deadline: object) -> None:
        raise CommandFailed("the array deletes nothing today")

    array.discard = refused  # type: ignore[method-assign]
    world.script = {"present": "fail"}
    bad = make_run(job, good.journal)
    with pytest.raises(Ended):
        story.prepare(bad)
    array.discard = discard  # type: ignore[method-assign]
    bad.status(Status.FAILED)  # a person has closed it
    bad.journal.unclaim(bad.run_id)
    world.script = {}
    story.prepare(make_run(job, good.journal))
    assert [seen for seen in world.trace if seen.startswith("discard")] == [f"discard:a:{bad.run_id}"]


# -- two at once -------------------------------------------------------------------------------------------------------


def test_of_two_runs_that_begin_at_once_the_younger_gives_way_and_the_older_goes_on(tmp_path: Path) -> None:
    job = make_job(World(), tmp_path)
    older = make_run(job)
    younger = make_run(job, older.journal)
    locks = [RunLock(tmp_path, run.run_id) for run in (older, younger)]
    for lock in locks:
        lock.acquire()
    clear.clear(older)
    with pytest.raises(InUse, match=f"run {older.run_id} of erp is at work"):
        clear.clear(younger)


def test_a_run_waits_for_one_at_work_as_long_as_the_policy_says(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, wait_for_claim=Duration(30)))
    ahead = make_run(job)
    lock = RunLock(tmp_path, ahead.run_id)
    lock.acquire()

    def ends() -> None:
        ahead.status(Status.GOOD)
        lock.release()

    threading.Timer(0.3, ends).start()
    story.prepare(make_run(job, ahead.journal))
    assert world.presented


def test_a_copy_all_of_whose_streams_have_ended_is_not_waited_for(tmp_path: Path) -> None:
    """Four were announced and two came: nobody reads it any more, and no further post will come."""
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(job)
    for stream in ("1", "2"):
        run.append(Event(Kind.INTENT, "stream", stream))
    story.prepare(run)
    run.append(Event(Kind.UNDONE, "stream", "1"))
    following = make_run(job, run.journal)
    with pytest.raises(InUse, match="its post has not come"):
        clear.clear(following)
    run.append(Event(Kind.UNDONE, "stream", "2"))
    clear.clear(following)
    assert run.journal.run(run.run_id).status is Status.GOOD
    assert not world.presented


def test_a_run_that_recover_met_before_it_had_its_lock_is_at_work_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its claims count for nothing, and another run takes the same mirror beside it."""
    from splitmirror_drivers.contracts.product import Hook, Invocation

    job = make_job(World(), tmp_path)
    journal = make_run(job).journal
    acquire = RunLock.acquire

    def met(self: RunLock, *given: object) -> None:
        journal.append(self.run_id, [Event(Kind.STATUS, "run", "", {"status": "failed"}, 1.0)])
        acquire(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(RunLock, "acquire", met)
    entered = enter.begin_or_join(job, journal, Invocation("generic", Hook.PRE, policy="erp"), 1.0)
    record: RunRecord = journal.run(entered.record.run_id)
    assert record.status is Status.WORKING


# -- an establish that is several commands and was cut short --------------------------------------------------------------


class HalfAttached(FakeArray):
    """Its first pair is in sync, its second was not reached."""

    is_cut_short = True

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        rest = PairState.SPLIT_UNTRACKED if self.is_cut_short else self.pair(group).state
        return (replace(self.pair(group), name="one"), Pair("two", rest, rest.value))

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        super().establish(group, mode, deadline)
        self.is_cut_short = False


@pytest.mark.parametrize(("tracks", "full_copy"), [(False, "always"), (False, "first"), (True, "always")])
def test_a_full_copy_that_was_cut_short_half_way_is_gone_on_with_where_nothing_is_tracked(
    tracks: bool, full_copy: str, tmp_path: Path
) -> None:
    world = World()
    traits = replace(MIRROR, tracks_changes=tracks)
    job = make_job(world, tmp_path, traits=traits)
    array = HalfAttached(world, traits=traits)
    job = replace(job, arrays={"array": array}, mirrors=(MirrorSet(array, ("a",)),))
    job = replace(job, policy=changed(job.policy, full_copy=full_copy))
    with pytest.raises(Ended):
        story.prepare(make_run(job))
    assert not [seen for seen in world.trace if seen.startswith("establish")], "pre never copies all"
    if not tracks and full_copy == "always":
        story.establish_ahead(make_run(job), may_copy_all=True)
        assert "establish:a:full" in world.trace
    else:
        with pytest.raises(Ended):
            story.establish_ahead(make_run(job), may_copy_all=True)
        assert not [seen for seen in world.trace if seen.startswith("establish")]


def test_a_copy_in_use_is_not_overwritten_though_the_last_run_presented_none(tmp_path: Path) -> None:
    """Its devices are those of the night before, and somebody may have mounted them by hand."""
    world = World()
    job = make_job(world, tmp_path)
    first = finished(job)
    world.script["leave:app1"] = "not-held"
    with pytest.raises(Ended):
        story.prepare(make_run(job, first.journal))
    world.script.clear()
    world.users = [READER]
    seen = len(world.trace)
    with pytest.raises(Ended, match="in use"):
        story.prepare(make_run(job, first.journal))
    assert not [word for word in world.trace[seen:] if word.startswith("establish")]
