"""The hook is killed before and after every single commit of its journal; then the next command brings everything to rest.

`kill -9` is played by a BaseException that no handler of the engine may catch, at the moment the world stops listening
to the dead process and its guards see end of file: the same that a real death does to a data server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.engine import make_run
from tests.fakes import World, hold, make_job

from splitmirror import acts, recover, story
from splitmirror.journal.contract import OPEN_STATUSES, Event, Journal, Status
from splitmirror.run import Ended, Run
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.contracts.host import Blocks
from splitmirror_drivers.contracts.product import BackupStatus

MANY = 60


class Killed(BaseException):
    """The process is gone."""


def kill_at(run: Run, world: World, number: int, *, after: bool) -> Callable[[], int]:
    """Let the run's journal kill it at commit `number`, before or after it is durable; returns how many there were."""
    append = run.journal.append
    count = 0

    def dying(run_id: str, events: Sequence[Event]) -> None:
        nonlocal count
        if world.is_dead:
            raise Killed
        count += 1
        if count == number and not after:
            world.hook_dies()
            raise Killed
        append(run_id, events)
        if count == number and after:
            world.hook_dies()
            raise Killed

    run.journal.append = dying  # type: ignore[method-assign]
    return lambda: count


def story_until_killed(folder: Path, world: World, number: int, *, after: bool) -> tuple[Journal, str, bool]:
    """One pre and post; where the dead run's journal can be read on, its name, and whether it was killed at all."""
    job = make_job(
        world, folder, holds=[[hold("backup", Blocks.NOTHING), hold("db"), hold("fs", covers_paths=("/d",))]]
    )
    run = make_run(job)
    original = run.journal.append
    kill_at(run, world, number, after=after)
    killed = True
    try:
        story.prepare(run)
        story.finish(run, BackupStatus.GOOD)
        killed = False
    except Killed:
        pass  # what this test is about
    run.journal.append = original  # type: ignore[method-assign]
    return run.journal, run.run_id, killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_commit_the_hook_dies_at_nothing_is_held_and_the_next_run_is_good(after: bool, tmp_path: Path) -> None:
    deaths = 0
    for number in range(1, MANY):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        world = World()
        journal, dead, killed = story_until_killed(folder, world, number, after=after)
        assert not world.is_frozen(), f"commit {number}: something stays held"
        if not killed:
            break
        deaths += 1
        world.revive()
        job = make_job(world, folder)
        following = make_run(job, journal)
        status = journal.run(dead).status
        if status is Status.READY:  # the copy was good and is waiting for its post: only that may close it
            with pytest.raises(Ended):
                story.prepare(following)
            assert world.states["a"] is PairState.SPLIT
            continue
        outcome = story.prepare(following)
        assert outcome.result.value == 0, f"commit {number}: the next run is not good"
        assert journal.run(dead).status not in OPEN_STATUSES, f"commit {number}: the dead run is still open"
        left = [act.name for act in acts.standing(journal.events(dead)) if act.name != "split"]
        assert left == [], f"commit {number}: {left} left standing"
    else:
        pytest.fail(f"the story has more than {MANY} commits")
    assert deaths > 25


def test_recover_may_be_repeated_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    world = World()
    journal, dead, killed = story_until_killed(tmp_path, world, 17, after=True)
    assert killed
    world.revive()
    job = make_job(world, tmp_path)
    run = make_run(job, journal)
    for _ in range(2):
        assert recover.bring_to_rest(run, journal.run(dead)) == []
    assert not world.presented
    assert journal.run(dead).status is Status.FAILED
