"""The story, against a world in memory: its order, its verdicts, and that nothing stays held whatever goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.engine import acts_of, in_order, make_run
from tests.fakes import MIRROR, World, hold, make_job

from splitmirror import story
from splitmirror.giveup import GiveUp
from splitmirror.journal.contract import Kind, Status
from splitmirror.policy.types import Policy
from splitmirror.run import Ended
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Atomic, PairState, Source
from splitmirror_drivers.contracts.host import Blocks
from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.contracts.product import BackupStatus, Result
from splitmirror_drivers.kit.units import Duration


def changed(policy: Policy, **values: object) -> Policy:
    return msgspec.structs.replace(policy, **values)


def fail(world: World, tmp_path: Path, **options: object) -> Ended:
    run = make_run(make_job(world, tmp_path, **options))  # type: ignore[arg-type]
    with pytest.raises(Ended) as caught:
        story.prepare(run)
    assert not world.is_frozen()
    assert not world.presented
    return caught.value


def test_a_good_run_splits_while_everything_is_held_and_presents_the_copy(tmp_path: Path) -> None:
    world = World()
    run = make_run(make_job(world, tmp_path, hosts=3))
    outcome = story.prepare(run)
    assert outcome.result is Result.DONE
    assert outcome.verdict is Verdict.APPLICATION
    assert world.copied_while["a"] == {"app1", "app2", "app3"}
    assert not world.is_frozen()
    assert world.presented == {run.job.presented[0].presentation.path}
    assert run.journal.run(run.run_id).status is Status.READY
    assert set(outcome.windows) == {"db1", "db2", "db3"}


def test_holds_are_taken_kind_by_kind_and_ended_in_reverse(tmp_path: Path) -> None:
    world = World()
    stack = [
        hold("fs", covers_paths=("/data",)),
        hold("db"),
        hold("mail", Blocks.SERVICE),
        hold("backup", Blocks.NOTHING),
    ]
    story.prepare(make_run(make_job(world, tmp_path, holds=[stack])))
    assert in_order(world.trace, "enter:backup", "enter:mail", "watch:blocking") is False
    assert in_order(
        world.trace, "watch:lasting", "enter:backup", "watch:blocking", "enter:mail", "enter:db", "enter:fs"
    )
    assert in_order(world.trace, "enter:fs", "split:a", "leave:fs", "leave:db", "leave:mail", "leave:backup")
    assert "verdict:backup:good" in world.trace


def test_the_intents_of_the_window_are_one_commit_before_it_opens(tmp_path: Path) -> None:
    world = World()
    run = make_run(make_job(world, tmp_path))
    commits: list[tuple[int, list[str]]] = []
    append = run.journal.append

    def watched(run_id: str, events: object) -> None:
        names = [f"{event.kind.value}:{event.act}" for event in events]  # type: ignore[attr-defined]
        commits.append((len(world.trace), names))
        append(run_id, events)  # type: ignore[arg-type]

    run.journal.append = watched  # type: ignore[method-assign]
    story.prepare(run)
    opened = world.trace.index("enter:app1")
    closed = world.trace.index("leave:app1")
    assert any({"intent:hold", "intent:split"} <= set(names) for at, names in commits if at <= opened)
    assert not [names for at, names in commits if opened < at <= closed]


@pytest.mark.parametrize("verb", ["open:app2", "enter:app2"])
def test_a_hold_that_cannot_be_taken_ends_the_run_with_nothing_held_and_no_split(verb: str, tmp_path: Path) -> None:
    world = World(script={verb: "fail"})
    ended = fail(world, tmp_path, hosts=3)
    assert "app2" in str(ended)
    assert ended.left == ()
    assert not any(seen.startswith("split:") for seen in world.trace)


def test_a_hold_that_hangs_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    world = World(script={"enter:app2": "hang"})
    assert "db2: app2" in str(fail(world, tmp_path, hosts=2))


def test_a_link_lost_during_quiesce_releases_the_others(tmp_path: Path) -> None:
    world = World(script={"enter:app2": "link"})
    assert "link to db2" in str(fail(world, tmp_path, hosts=3))


def test_a_link_lost_during_the_split_makes_the_copy_unproven(tmp_path: Path) -> None:
    world = World(script={"split:a": "lose-link"})
    fail(world, tmp_path, hosts=2, traits=replace(MIRROR, atomic=Atomic.GROUP))
    assert world.states["a"] is PairState.SPLIT


@pytest.mark.parametrize("wrong", ["not-held", "link"])
def test_a_hold_that_was_not_in_force_at_release_makes_the_run_fail(wrong: str, tmp_path: Path) -> None:
    world = World(script={"leave:app1": wrong})
    fail(world, tmp_path, hosts=2)


def test_a_hold_that_blocks_nothing_and_was_lost_spoils_the_verdict(tmp_path: Path) -> None:
    world = World(script={"leave:pg": "not-held"})
    ended = fail(world, tmp_path, holds=[[hold("pg", Blocks.NOTHING)]])
    assert "pg was not in force" in str(ended)


def test_a_refused_split_leaves_the_mirror_in_sync_and_nothing_held(tmp_path: Path) -> None:
    world = World(script={"split:a": "refuse"})
    assert "not in sync" in str(fail(world, tmp_path))
    assert world.states["a"] is PairState.SYNCED


def test_a_split_of_unknown_outcome_is_unproven_even_when_it_is_found_done(tmp_path: Path) -> None:
    world = World(script={"split:a": "unknown"})
    assert "unknown" in str(fail(world, tmp_path))
    assert world.states["a"] is PairState.SPLIT


def test_a_failing_mount_is_undone_and_the_run_fails_at_rest(tmp_path: Path) -> None:
    world = World(script={"present": "fail"})
    ended = fail(world, tmp_path)
    assert ended.left == ()
    assert not world.exposed


def test_what_cannot_be_taken_back_makes_the_run_stuck_and_is_named(tmp_path: Path) -> None:
    world = World(script={"present": "fail"}, users=[User(7, "tar", "/backup/erp")])
    run = make_run(make_job(world, tmp_path))
    with pytest.raises(Ended) as caught:
        story.prepare(run)
    assert "tar (pid 7)" in caught.value.detail
    assert run.journal.run(run.run_id).status is Status.STUCK


def test_a_signal_while_held_and_no_split_sent_releases_at_once(tmp_path: Path) -> None:
    world, give_up = World(), GiveUp()
    run = make_run(make_job(world, tmp_path), give_up=give_up)
    note = world.note

    def signalled(what: str) -> str:
        if what == "enter:app1":
            give_up.ask("SIGTERM")
        return note(what)

    world.note = signalled  # type: ignore[method-assign]
    with pytest.raises(Ended, match="SIGTERM"):
        story.prepare(run)
    assert not world.is_frozen()
    assert not any(seen.startswith("split:") for seen in world.trace)


def test_a_signal_after_the_split_was_sent_waits_for_it_then_undoes(tmp_path: Path) -> None:
    world, give_up = World(), GiveUp()
    run = make_run(make_job(world, tmp_path), give_up=give_up)
    note = world.note

    def signalled(what: str) -> str:
        if what == "split:a":
            give_up.ask("SIGINT")
        return note(what)

    world.note = signalled  # type: ignore[method-assign]
    with pytest.raises(Ended, match="SIGINT"):
        story.prepare(run)
    assert not world.is_frozen()
    assert not world.presented
    assert in_order(world.trace, "split:a", "leave:app1")


def test_crash_consistent_is_only_taken_where_the_policy_and_one_atomic_group_allow_it(tmp_path: Path) -> None:
    world = World(script={"enter:app1": "fail"})
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, on_quiesce_failure="crash-consistent"))
    run = make_run(job)
    outcome = story.prepare(run)
    assert outcome.verdict is Verdict.CRASH
    assert world.copied_while["a"] == set()
    assert "crash" in outcome.line


def test_a_policy_whose_copy_could_never_be_good_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path, traits=replace(MIRROR, atomic=Atomic.NOTHING))
    for app in job.applications:
        object.__setattr__(app, "needs_atomic", "its files are written while it is held")
    with pytest.raises(Ended, match="could not be called good"):
        story.prepare(make_run(job))
    assert not any(seen.startswith(("enter:", "establish:", "split:")) for seen in world.trace)


def test_one_device_that_is_torn_in_itself_is_refused_unless_its_filesystem_is_frozen(tmp_path: Path) -> None:
    """A hold that tolerates files of different moments says nothing of a filesystem's own structure."""
    world = World()
    job = make_job(world, tmp_path, traits=replace(MIRROR, atomic=Atomic.NOTHING))
    thawed = replace(job, policy=changed(job.policy, freeze_filesystems="none"))
    with pytest.raises(Ended, match="could not be called good") as caught:
        story.prepare(make_run(thawed))
    assert "the split of its filesystem's device is not one moment" in caught.value.detail
    assert not any(seen.startswith(("enter:", "establish:", "split:")) for seen in world.trace)
    frozen = replace(job, policy=changed(job.policy, freeze_filesystems="auto"))
    assert story.prepare(make_run(frozen)).verdict is Verdict.APPLICATION


def test_a_file_outside_the_mirror_is_refused_with_both_names(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    elsewhere = (Source("device", "/dev/sdz"),)
    job.arrays["array"].sources = lambda group, deadline: elsewhere  # type: ignore[method-assign]
    with pytest.raises(Ended, match="/data/db/file") as caught:
        story.prepare(make_run(job))
    assert "/dev/sdz" in caught.value.detail


def test_an_unreachable_host_fails_in_preflight_with_its_name(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path, hosts=2)
    job.hosts["db2"].is_down = True  # type: ignore[attr-defined]
    with pytest.raises(Ended, match="db2 does not answer"):
        story.prepare(make_run(job))
    assert not world.guards


def test_pre_never_starts_a_full_copy(tmp_path: Path) -> None:
    world = World(states={"a": PairState.UNPAIRED})
    with pytest.raises(Ended, match="full copy"):
        story.prepare(make_run(make_job(world, tmp_path)))
    assert not any(seen.startswith("establish:") for seen in world.trace)


def test_no_hold_is_begun_when_the_product_would_stop_waiting_too_soon(tmp_path: Path) -> None:
    from splitmirror_drivers.kit.deadline import Deadline

    world = World()
    run = make_run(make_job(world, tmp_path))
    run.last_moment = Deadline.after(20)
    with pytest.raises(Ended, match="until the product stops waiting"):
        story.prepare(run)
    assert "enter:app1" not in world.trace


def test_post_withdraws_and_reattaches_as_the_policy_says(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, reattach="after-backup"))
    run = make_run(job)
    story.prepare(run)
    story.finish(run, BackupStatus.GOOD)
    assert not world.presented
    assert not world.exposed
    assert world.trace[-1] == "establish:a:incremental"
    assert run.journal.run(run.run_id).status is Status.GOOD
    assert not run.journal.claims()


def test_after_a_failed_backup_the_copy_is_kept(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    job = replace(job, policy=changed(job.policy, reattach="after-backup", on_backup_failure="keep"))
    run = make_run(job)
    story.prepare(run)
    story.finish(run, BackupStatus.FAILED)
    assert world.states["a"] is PairState.SPLIT
    assert not world.presented


def test_the_next_run_reattaches_what_was_left_split(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = make_run(job)
    story.prepare(first)
    story.finish(first, BackupStatus.GOOD)
    story.prepare(make_run(job, first.journal))
    assert "establish:a:incremental" in world.trace


def test_groups_take_turns_and_a_pinned_one_is_left_alone(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path, groups=("a", "b"))
    splits = []
    journal = None
    for number in range(4):
        run = make_run(job, journal)
        journal = run.journal
        story.prepare(run)
        story.finish(run, BackupStatus.GOOD)
        splits.append(next(seen for seen in reversed(world.trace) if seen.startswith("split:")))
        if number == 2:
            journal.pin("array", "b", "for the auditors", "me", 0.0)
    assert splits == ["split:a", "split:b", "split:a", "split:a"]


def test_the_copy_of_a_run_whose_post_has_not_come_is_never_taken(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = make_run(job)
    story.prepare(first)
    before = list(world.trace)
    with pytest.raises(Ended, match="its post has not come"):
        story.prepare(make_run(job, first.journal))
    assert not [seen for seen in world.trace[len(before) :] if seen.startswith(("establish", "split", "withdraw"))]
    assert world.presented


def test_a_copy_that_somebody_reads_is_not_overwritten(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    first = make_run(job)
    story.prepare(first)
    story.finish(first, BackupStatus.GOOD)
    world.users = [User(42, "dd", "/backup/erp")]
    with pytest.raises(Ended, match=r"dd .pid 42."):
        story.prepare(make_run(job, first.journal))
    assert "establish:a:incremental" not in world.trace


def test_what_a_dead_run_left_is_withdrawn_before_anything_that_can_fail(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    dead = make_run(job)
    story.prepare(dead)
    dead.status(Status.WORKING)  # as if it had been killed just before it said READY
    world.trace.clear()
    job.hosts["db1"].is_down = True  # type: ignore[attr-defined]
    with pytest.raises(Ended):
        story.prepare(make_run(job, dead.journal))
    assert not world.presented


def test_the_journal_names_every_phase_with_its_start_and_end(tmp_path: Path) -> None:
    run = make_run(make_job(World(), tmp_path))
    story.prepare(run)
    started = acts_of(run.journal, run.run_id, Kind.STARTED)
    assert started == [
        "clear", "preflight", "establish", "arm", "quiesce", "split", "resume", "prove", "capture", "present",
    ]  # fmt: skip
    assert set(started) <= set(acts_of(run.journal, run.run_id, Kind.DONE))


def test_an_unexpected_failure_is_undone_like_any_other(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    object.__setattr__(job.applications[0], "capture", lambda *a: 1 / 0)
    with pytest.raises(Ended, match="ZeroDivisionError"):
        story.prepare(make_run(job))
    assert not world.is_frozen()
    assert not world.presented


def test_max_freeze_ends_a_quiesce_that_takes_too_long_in_all(tmp_path: Path) -> None:
    world = World(script={"enter:slow": "hang"})
    job = make_job(world, tmp_path, holds=[[hold("fast"), hold("slow", rank=1, enter_seconds=60.0)]])
    job = replace(job, policy=changed(job.policy, max_freeze=Duration(0.2)))
    with pytest.raises(Ended, match="slow"):
        story.prepare(make_run(job))
    assert not world.is_frozen()


def test_the_card_is_beside_the_copy_only_while_it_is_presented(tmp_path: Path) -> None:
    world = World()
    run = make_run(make_job(world, tmp_path))
    story.prepare(run)
    folder = Path(run.job.presented[0].presentation.path + ".card")
    assert "application-consistent" in (folder / "RECOVERY.md").read_text()
    assert (folder / "app1" / "label").read_bytes() == b"a label\n"
    assert folder.stat().st_mode & 0o077 == 0
    story.finish(run, BackupStatus.GOOD)
    assert not folder.exists()
    assert (tmp_path / "cards" / run.run_id / "card.json").is_file()
