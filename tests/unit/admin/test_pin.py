"""Pin: what is pinned is the copy that was meant, and it stays out of every rotation until it is let go."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.admin.stage import Stage, arguments, make_stage, said

from splitmirror import story
from splitmirror.admin import pin, unpin
from splitmirror.locks import mirror_lock
from splitmirror.run import Ended
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse, Refused, Unreachable, UsageFault


def keep(stage: Stage, name: str, reason: str = "until Friday") -> str:
    return said(pin.pin, stage.office, arguments("pin", name, "--reason", reason))[1]


def let_go(stage: Stage, name: str) -> str:
    return said(unpin.unpin, stage.office, name)[1]


def pinned(stage: Stage) -> list[str]:
    return [f"{one.array}/{one.group}" for one in stage.journal.pins()]


def backed_up(stage: Stage) -> str:
    run = stage.prepared()
    story.finish(run, BackupStatus.GOOD)
    return run.run_id


@pytest.mark.parametrize("by", ["policy", "run", "number", "mirror"])
def test_the_newest_copy_can_be_named_in_four_ways(by: str, stage: Stage) -> None:
    run_id = backed_up(stage)
    number = str(stage.journal.run(run_id).number)
    text = keep(stage, {"policy": "erp", "run": run_id, "number": number, "mirror": "array/a"}[by])
    assert "pinned: array/a" in text
    (one,) = stage.journal.pins()
    assert one.reason == "until Friday"
    assert one.who


def test_the_next_run_is_refused_and_says_why(stage: Stage) -> None:
    backed_up(stage)
    keep(stage, "erp", "for the auditors")
    with pytest.raises(Ended, match="for the auditors"):
        story.prepare(stage.run())
    let_go(stage, "erp")
    story.prepare(stage.run())


def test_a_policy_means_the_mirror_of_its_newest_copy(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, groups=("a", "b"))
    backed_up(stage)
    backed_up(stage)
    keep(stage, "erp")
    assert pinned(stage) == ["array/b"]


def test_an_older_run_that_was_split_over_is_refused(stage: Stage) -> None:
    old = backed_up(stage)
    backed_up(stage)
    with pytest.raises(Refused, match="no longer there"):
        keep(stage, old)
    assert pinned(stage) == []


def test_a_mirror_that_is_established_again_carries_no_copy_to_keep(stage: Stage) -> None:
    run_id = backed_up(stage)
    stage.world.states["a"] = PairState.SYNCED
    with pytest.raises(Refused, match="is not on array/a: it is SYNCED"):
        keep(stage, run_id)
    assert "carries no copy now" in keep(stage, "array/a")


def test_a_run_without_a_copy_and_a_policy_without_one_are_refused(stage: Stage) -> None:
    with pytest.raises(Refused, match="no run of erp"):
        keep(stage, "erp")
    run = stage.run()
    with pytest.raises(Refused, match="made no copy"):
        keep(stage, run.run_id)


def test_an_array_that_cannot_be_asked_is_said_and_the_copy_is_kept(stage: Stage) -> None:
    def query(group: str, deadline: Deadline) -> tuple[Pair, ...]:
        raise Unreachable("the array does not answer")

    run_id = backed_up(stage)
    stage.job.arrays["array"].query = query  # type: ignore[method-assign]
    assert "could not be asked" in keep(stage, run_id)
    assert pinned(stage) == ["array/a"]


def test_a_mirror_that_a_run_is_changing_is_not_pinned_meanwhile(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin, "LOCK_SECONDS", 0.1)
    backed_up(stage)
    lock = mirror_lock(stage.job.state_folder, "array/a")
    lock.acquire(Deadline.after(1))
    try:
        with pytest.raises(InUse, match="at work on array/a"):
            keep(stage, "erp")
    finally:
        lock.release()
    assert pinned(stage) == []


def test_a_mirror_that_no_policy_has_is_a_mistake_with_the_known_ones(stage: Stage) -> None:
    with pytest.raises(UsageFault, match="no policy has") as caught:
        keep(stage, "array/z")
    assert "array/a" in caught.value.hint


def test_a_reason_is_needed(stage: Stage) -> None:
    with pytest.raises(UsageFault, match="reason is empty"):
        keep(stage, "array/a", "  ")


def test_what_is_not_pinned_cannot_be_let_go(stage: Stage) -> None:
    backed_up(stage)
    for name in ("erp", "array/a", "1"):
        with pytest.raises(Refused, match="nothing of"):
            let_go(stage, name)


def test_unpin_of_a_policy_with_two_wishes_asks_which(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, groups=("a", "b"))
    keep(stage, "array/a", "one thing")
    keep(stage, "array/b", "another")
    with pytest.raises(UsageFault, match="different reasons"):
        let_go(stage, "erp")
    let_go(stage, "array/a")
    let_go(stage, "erp")
    assert pinned(stage) == []


def test_a_mirror_that_left_the_policy_file_can_still_be_let_go(stage: Stage) -> None:
    stage.journal.pin("old", "g", "x", "me", 0.0)
    let_go(stage, "old/g")
    assert pinned(stage) == []
