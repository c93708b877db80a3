"""P2, P3 and the product's patience: what is not overwritten, not sent, not shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import MIRROR, FakeArray, FakeHost, World, hold, make_job
from tests.unit.engine.test_story import changed

from splitmirror import recover, story
from splitmirror.job import Job, MirrorSet
from splitmirror.journal.contract import OPEN_STATUSES, Kind, Status
from splitmirror.run import Ended
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Atomic, Family, Pair, PairState, Receipt
from splitmirror_drivers.contracts.host import Answer, Verb
from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.deadline import Deadline

ATOMIC = replace(MIRROR, atomic=Atomic.GROUP)
POINT = replace(MIRROR, family=Family.POINT, needs_sync=False, keeps_copies=True, atomic=Atomic.GROUP)


@dataclass
class LateArray(FakeArray):
    """Says it is in sync after the split command hung; the split that was queued comes at the second look."""

    looks_after_split: int = 0

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        if f"split:{group}" not in self.world.trace:
            return super().query(group, deadline)
        self.looks_after_split += 1
        if self.looks_after_split <= 2:
            return (Pair(group, PairState.SYNCED, "SYNCED"),)
        return (Pair(group, PairState.SPLIT, "SPLIT"),)


@dataclass
class PointArray(FakeArray):
    """Keeps several copies of a group."""

    copies: list[str] = field(default_factory=list)

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        ready = Pair(group, PairState.PREPARED, "READY")
        return (ready, *(Pair(group, PairState.SPLIT, "SPLIT", copy=copy) for copy in self.copies))

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        made = super().split(groups, copy, deadline)
        self.copies.append(copy)
        return made

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        super().discard(receipt, deadline)
        self.copies = [copy for copy in self.copies if copy != receipt.copy]


def with_array(job: Job, array: FakeArray) -> Job:
    return replace(job, arrays={"array": array}, mirrors=(MirrorSet(array, job.mirrors[0].groups),))


def test_a_group_whose_split_is_unknown_stays_quarantined_until_it_was_seen_at_rest_twice(tmp_path: Path) -> None:
    world = World(script={"split:a": "unknown"})
    job = with_array(make_job(world, tmp_path), LateArray(world))
    run = make_run(job)
    with pytest.raises(Ended) as caught:
        story.prepare(run)
    assert "changed while it was looked at" in str(caught.value.left[0].detail)
    assert run.journal.run(run.run_id).status is Status.STUCK
    assert not world.is_frozen()
    assert recover.bring_to_rest(run, run.journal.run(run.run_id)) == []
    assert run.journal.run(run.run_id).status not in OPEN_STATUSES


def test_a_split_that_was_never_sent_is_not_looked_for(tmp_path: Path) -> None:
    world = World(script={"enter:app1": "fail"})
    run = make_run(make_job(world, tmp_path))
    with pytest.raises(Ended):
        story.prepare(run)
    undone = [event.act for event in run.journal.events(run.run_id) if event.kind is Kind.UNDONE]
    assert "split" in undone


def test_a_lost_link_in_quiesce_may_still_give_a_crash_consistent_copy_where_the_policy_says_so(tmp_path: Path) -> None:
    world = World(script={"enter:app1": "link"})
    job = make_job(world, tmp_path, traits=ATOMIC)
    run = make_run(replace(job, policy=changed(job.policy, on_quiesce_failure="crash-consistent")))
    outcome = story.prepare(run)
    assert outcome.verdict is Verdict.CRASH
    assert "crash" in outcome.line
    assert not world.is_frozen()


def test_a_pinned_mirror_is_not_reattached_by_post(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(replace(job, policy=changed(job.policy, reattach="after-backup")))
    story.prepare(run)
    run.journal.pin("array", "a", "restore at noon", "ann", 0.0)
    story.finish(run, BackupStatus.GOOD)
    assert world.states["a"] is PairState.SPLIT
    assert not [seen for seen in world.trace if seen.startswith("establish")]


def test_a_copy_that_somebody_reads_is_not_discarded(tmp_path: Path) -> None:
    world = World()
    job = with_array(make_job(world, tmp_path, traits=POINT), PointArray(world, traits=POINT))
    first = make_run(job)
    story.prepare(first)
    story.finish(first, BackupStatus.GOOD)
    second = make_run(job, first.journal)
    story.prepare(second)
    story.finish(second, BackupStatus.GOOD)
    world.users = [User(7, "dd", "/copies/a")]
    third = make_run(job, first.journal)
    with pytest.raises(Ended, match="in use"):
        story.prepare(third)
    assert f"discard:a:{first.run_id}" not in world.trace
    world.users = []
    story.prepare(make_run(job, first.journal))
    assert f"discard:a:{first.run_id}" in world.trace


def test_nothing_is_presented_once_the_product_has_stopped_waiting(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(job)
    run.last_moment = Deadline.after(1000.0)
    settle = run.job.arrays["array"].settle

    def slow(receipt: Receipt, deadline: Deadline) -> object:
        run.last_moment = Deadline.after(-1.0)
        return settle(receipt, deadline)

    run.job.arrays["array"].settle = slow  # type: ignore[method-assign,assignment]
    with pytest.raises(Ended, match="stopped waiting"):
        story.prepare(run)
    assert not world.presented
    assert not world.is_frozen()


def test_the_wait_for_the_mirror_leaves_time_for_all_the_rest(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(job)
    run.last_moment = Deadline.after(100.0)
    assert run.deadline(1000.0, spare_seconds=60.0).left() == pytest.approx(40.0, abs=1.0)
    assert run.deadline(1000.0, spare_seconds=200.0).is_passed


def test_a_presentation_that_would_write_to_an_untracked_copy_is_refused_unless_the_filesystem_is_frozen(
    tmp_path: Path,
) -> None:
    world = World()
    untracked = replace(ATOMIC, tracks_copy_writes=False)
    job = make_job(world, tmp_path, traits=untracked)
    job.presented[0].presentation.writes_to_copy = True
    with pytest.raises(Ended, match="journal replay"):
        story.prepare(make_run(job))
    assert not [seen for seen in world.trace if seen.startswith("enter")]
    frozen = make_job(world, tmp_path, traits=untracked, holds=[[hold("db"), hold("fs", covers_paths=("/data",))]])
    frozen.presented[0].presentation.writes_to_copy = True
    assert story.prepare(make_run(frozen)).verdict is Verdict.APPLICATION


def test_each_data_servers_clock_is_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    answer = FakeHost.call

    def told(self: FakeHost, verb: Verb, deadline: Deadline) -> Answer:
        return Answer({"time": "1000"}, 0, "") if verb.name == "host.facts" else answer(self, verb, deadline)

    monkeypatch.setattr(FakeHost, "call", told)
    run = make_run(make_job(world, tmp_path))
    story.prepare(run)
    told_on_card = json.loads((tmp_path / "cards" / run.run_id / "card.json").read_text())["clocks"]
    assert told_on_card["db1"].endswith("behind ours")


def test_a_copy_that_was_there_before_the_split_is_never_called_good(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    split = job.arrays["array"].split

    def found(groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        return tuple(replace(receipt, is_again=True) for receipt in split(groups, copy, deadline))

    job.arrays["array"].split = found  # type: ignore[method-assign]
    with pytest.raises(Ended, match="there already"):
        story.prepare(make_run(job))
    assert not world.presented
    assert not world.is_frozen()


UNTRACKED = replace(MIRROR, tracks_changes=False)


@pytest.mark.parametrize(("full_copy", "is_copied"), [("always", True), ("first", False), ("never", False)])
def test_a_mirror_that_tracks_nothing_is_copied_anew_by_post_only_where_the_policy_always_allows_it(
    full_copy: str, is_copied: bool, tmp_path: Path
) -> None:
    world = World()
    job = make_job(world, tmp_path, traits=UNTRACKED)
    job = replace(job, policy=changed(job.policy, reattach="after-backup", full_copy=full_copy))
    run = make_run(job)
    story.prepare(run)
    story.finish(run, BackupStatus.GOOD)
    assert ("establish:a:full" in world.trace) is is_copied
    assert world.states["a"] is (PairState.SYNCED if is_copied else PairState.SPLIT)
    skipped = [e for e in run.journal.events(run.run_id) if e.act == "reattach" and "skipped" in e.data]
    assert bool(skipped) is not is_copied


def test_a_snapshot_array_that_keeps_one_copy_makes_room_for_the_next(tmp_path: Path) -> None:
    world = World()
    traits = replace(POINT, keeps_copies=False)
    job = with_array(make_job(world, tmp_path, traits=traits), PointArray(world, traits=traits))
    first = make_run(job)
    story.prepare(first)
    story.finish(first, BackupStatus.GOOD)
    assert f"discard:a:{first.run_id}" not in world.trace, "it stands until the next one is to be made"
    story.prepare(make_run(job, first.journal))
    assert world.trace.index(f"discard:a:{first.run_id}") < len(world.trace) - world.trace[::-1].index("split:a") - 1
