"""P2: a copy is never called better than what was proven of it, and everybody who ends with it is told the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import MIRROR, FakeApplication, FakeGuard, FakePresentation, World, hold, make_job
from tests.unit.engine.test_story import changed

from splitmirror import exits, story
from splitmirror.job import Job, MirrorSet, Placed
from splitmirror.journal.contract import Kind, Status
from splitmirror.run import Ended
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Atomic, Receipt
from splitmirror_drivers.contracts.host import Blocks
from splitmirror_drivers.contracts.product import BackupStatus, Result
from splitmirror_drivers.kit.errors import HoldFault
from splitmirror_drivers.kit.units import Duration


def allowing_crash(job: Job) -> Job:
    return replace(job, policy=changed(job.policy, on_quiesce_failure="crash-consistent"))


def with_logs(job: Job, *, shown: bool = False, groups: tuple[str, ...] = ("log",)) -> Job:
    """The job with a log mirror of the same array, presented too when `shown`."""
    mirrors = (*job.mirrors, MirrorSet(job.mirrors[0].array, groups, is_log=True))
    data = job.presented[0].presentation
    logs = Placed(FakePresentation(data.world, data.path + "-logs", data.host), 1)  # type: ignore[attr-defined]
    return replace(job, mirrors=mirrors, presented=(*job.presented, logs) if shown else job.presented)


# -- proof is the order of messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [Blocks.WRITES, Blocks.NOTHING])
def test_a_hold_that_was_known_to_be_held_only_after_the_split_proves_nothing(blocks: Blocks, tmp_path: Path) -> None:
    """Its answer came too late, everything was let go, and the split was made without holds; then it says WAS_HELD."""
    world = World(script={"enter:app1": "late"})
    job = allowing_crash(make_job(world, tmp_path, holds=[[hold("app1", blocks)]]))
    outcome = story.prepare(make_run(job))
    assert outcome.verdict is Verdict.CRASH
    assert "crash copy" in outcome.line


def test_holds_that_block_nothing_are_told_bad_when_the_verdict_is_not_enough(tmp_path: Path) -> None:
    """The others would call the copy good, and the run fails all the same: nobody may keep it for a good backup."""
    world = World(script={"leave:db": "not-held"})
    job = make_job(world, tmp_path, holds=[[hold("backup", Blocks.NOTHING), hold("db")]])
    with pytest.raises(Ended, match="crash, not application"):
        story.prepare(make_run(job))
    assert "verdict:backup:bad" in world.trace


def test_a_host_whose_channel_breaks_in_any_way_does_not_keep_the_others_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    send = FakeGuard.send

    def breaking(self: FakeGuard, order: str) -> None:
        if order == "release" and self.host_name == "db1":
            raise RuntimeError("a channel's own trouble")
        send(self, order)

    monkeypatch.setattr(FakeGuard, "send", breaking)
    with pytest.raises(Ended):
        story.prepare(make_run(make_job(world, tmp_path, hosts=3)))
    assert "leave:app2" in world.trace
    assert "leave:app3" in world.trace
    assert not world.is_frozen()


# -- before and inside the window -----------------------------------------------------------------------------------


def test_no_split_is_sent_when_no_time_is_left_for_it(tmp_path: Path) -> None:
    """Sent with no time, its outcome would be unknown and its group quarantined, for nothing."""
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, max_freeze=Duration(1.5)))
    with pytest.raises(Ended, match="no time is left for the split") as caught:
        story.prepare(make_run(job))
    assert caught.value.left == ()
    assert not [seen for seen in world.trace if seen.startswith("split:")]
    assert not world.is_frozen()


def test_a_service_that_takes_long_to_stop_is_an_outage_and_no_freeze(tmp_path: Path) -> None:
    world = World(script={"enter:mail": "after 1.0"})
    stack = [hold("mail", Blocks.SERVICE, enter_seconds=30.0), hold("db")]
    job = make_job(world, tmp_path, holds=[stack])
    run = make_run(replace(job, policy=changed(job.policy, max_freeze=Duration(2.8))))
    outcome = story.prepare(run)
    assert outcome.verdict is Verdict.APPLICATION
    assert outcome.windows["db1"] < 1.0
    (verdict,) = [e for e in run.journal.events(run.run_id) if e.kind is Kind.NOTE and e.act == "verdict"]
    assert verdict.data["outages"]["db1"] >= 1.0  # type: ignore[index]


def test_an_outage_longer_than_its_limit_is_ended(tmp_path: Path) -> None:
    world = World(script={"enter:web": "hang"})
    stack = [hold("mail", Blocks.SERVICE), hold("web", Blocks.SERVICE, rank=1, enter_seconds=60.0)]
    job = make_job(world, tmp_path, holds=[stack])
    with pytest.raises(Ended, match="web"):
        story.prepare(make_run(replace(job, policy=changed(job.policy, max_outage=Duration(0.2)))))
    assert not world.is_frozen()


def test_nothing_is_held_where_no_watcher_could_be_detached(tmp_path: Path) -> None:
    world = World(script={"watch:lasting": "none"})
    with pytest.raises(Ended, match="db1: no watcher"):
        story.prepare(make_run(make_job(world, tmp_path)))
    assert not [seen for seen in world.trace if seen.startswith("enter:")]


# -- the crash-consistent fallback ----------------------------------------------------------------------------------


@pytest.mark.parametrize("can_be_asked", [True, False])
def test_a_host_that_never_said_that_it_let_go_is_ended_by_its_record_or_named(
    can_be_asked: bool, tmp_path: Path
) -> None:
    world = World(script={"enter:app1": "link", "host.rescue:db1": "" if can_be_asked else "fail"})
    run = make_run(allowing_crash(make_job(world, tmp_path)))
    outcome = story.prepare(run)
    assert outcome.verdict is Verdict.CRASH
    assert "host.rescue:db1" in world.trace
    assert outcome.result is (Result.DONE if can_be_asked else Result.NEEDS_A_PERSON)
    assert ("MAY STILL BE HELD: db1" in outcome.line) is not can_be_asked
    assert bool(run.standing("hold")) is not can_be_asked


def test_crash_consistent_is_refused_where_logs_are_split_at_another_moment(tmp_path: Path) -> None:
    job = with_logs(allowing_crash(make_job(World(), tmp_path)))
    with pytest.raises(Ended, match="one atomic group that carries everything"):
        story.prepare(make_run(job))


# -- log mirrors ----------------------------------------------------------------------------------------------------


def test_log_mirrors_take_turns_as_others_do(tmp_path: Path) -> None:
    world = World()
    job = with_logs(make_job(world, tmp_path), groups=("log1", "log2"))
    journal = None
    for _ in range(3):
        run = make_run(job, journal)
        journal = run.journal
        story.prepare(run)
        story.finish(run, BackupStatus.GOOD)
    splits = [seen for seen in world.trace if seen.startswith("split:log")]
    assert splits == ["split:log1", "split:log2", "split:log1"]


@pytest.mark.parametrize("why", ["refused", "there already", "not in sync"])
def test_a_log_mirror_that_was_not_split_now_leaves_the_data_copy_and_is_told(why: str, tmp_path: Path) -> None:
    world = World(script={"split:log": "fail"} if why == "refused" else {})
    job = with_logs(make_job(world, tmp_path), shown=True)
    split = job.arrays["array"].split

    def odd(groups: list[str], copy: str, deadline: object) -> tuple[Receipt, ...]:
        if groups == ["log"] and why == "there already":
            return (Receipt("array", "log", copy, is_again=True),)
        if groups == ["a"] and why == "not in sync":
            from splitmirror_drivers.contracts.array import PairState

            world.states["log"] = PairState.SPLIT
        return split(groups, copy, deadline)  # type: ignore[arg-type]

    job.arrays["array"].split = odd  # type: ignore[method-assign,assignment]
    run = make_run(job)
    outcome = story.prepare(run)
    assert outcome.verdict is Verdict.APPLICATION
    assert outcome.result is Result.NEEDS_A_PERSON
    assert "WITHOUT its logs" in outcome.line
    assert world.presented == {job.presented[0].presentation.path}
    assert run.journal.run(run.run_id).status is Status.READY


# -- what is told -----------------------------------------------------------------------------------------------------


def test_a_failure_that_could_not_be_written_down_needs_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is full from the freeze window on: holds end, the cause is told, and nobody says that all is at rest."""
    from splitmirror_drivers.kit.errors import JournalFault

    world = World(script={"leave:app1": "not-held"})
    run = make_run(make_job(world, tmp_path))
    append = run.journal.append

    def full(run_id: str, events: object) -> None:
        if "leave:app1" in world.trace:
            raise JournalFault("there is no room for the journal")
        append(run_id, events)  # type: ignore[arg-type]

    monkeypatch.setattr(run.journal, "append", full)
    with pytest.raises(Ended) as caught:
        story.prepare(run)
    assert not world.is_frozen()
    assert exits.result_of(caught.value) is Result.NEEDS_A_PERSON
    assert "no room for the journal" in caught.value.detail + caught.value.message
    monkeypatch.setattr(run.journal, "append", append)
    world.revive()
    story.prepare(make_run(run.job, run.journal))  # the next run brings to rest what was not written down


def test_the_cause_is_told_and_not_that_it_could_not_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splitmirror_drivers.kit.errors import JournalFault

    run = make_run(make_job(World(), tmp_path))

    def full(run_id: str, events: object) -> None:
        raise JournalFault("there is no room for the journal")

    with pytest.raises(HoldFault, match="the cause"), run.phase("prove"):
        monkeypatch.setattr(run.journal, "append", full)
        raise HoldFault("the cause")


# -- a split that quiesces by itself (VSS writers) ---------------------------------------------------------------------


def with_writers(tmp_path: Path, world: World, *writers: str, atomic: Atomic = Atomic.GROUP, wants: str = "") -> Job:
    """A job whose split brings these writers to rest, and whose application (if it wants one) relies on that."""
    job = make_job(world, tmp_path, traits=replace(MIRROR, atomic=atomic, quiesces=writers))
    if not wants:
        return replace(job, applications=())
    (app,) = job.applications
    assert isinstance(app, FakeApplication)
    return replace(job, applications=(replace(app, made=(), quiesced_by=wants),))


@pytest.mark.parametrize("wants", ["", "SqlServerWriter"])
def test_a_split_that_brings_the_writers_to_rest_makes_an_application_copy(wants: str, tmp_path: Path) -> None:
    job = with_writers(tmp_path, World(), "SqlServerWriter", wants=wants)
    assert story.prepare(make_run(job)).verdict is Verdict.APPLICATION


def test_without_writers_the_same_copy_is_crash_consistent(tmp_path: Path) -> None:
    job = with_writers(tmp_path, World())
    assert story.prepare(make_run(job)).verdict is Verdict.CRASH


def test_an_application_whose_writer_takes_no_part_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    world = World()
    job = with_writers(tmp_path, world, "SqlServerWriter", wants="Microsoft Exchange Writer")
    with pytest.raises(Ended) as ended:
        story.prepare(make_run(job))
    assert "Microsoft Exchange Writer takes no part" in ended.value.detail
    assert not [seen for seen in world.trace if seen.startswith("split")]


def test_writers_of_a_split_that_is_not_one_moment_prove_nothing(tmp_path: Path) -> None:
    job = with_writers(tmp_path, World(), "SqlServerWriter", atomic=Atomic.NOTHING, wants="SqlServerWriter")
    with pytest.raises(Ended, match="could not be called good"):
        story.prepare(make_run(job))
