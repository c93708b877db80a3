"""Enter: which run a call belongs to; streams that join, follow, come back and are struck off; whose run a post may close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.engine import make_run, state_folder
from tests.fakes import World, make_job
from tests.unit.engine.test_story import changed

from splitmirror import enter, hook, recover, story
from splitmirror.enter import Entered
from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import ESTABLISH, Event, Journal, Kind, RunRecord, Status
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.office import Office
from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation
from splitmirror_drivers.kit.errors import Fault, GivenUp, InUse

NOW = 1764000000.0


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = make_job(World(), tmp_path)
    return replace(made, policy=changed(made.policy, streams=2))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = SqliteJournal(state_folder(tmp_path))
    yield made
    made.close()


def call(stream: int = 0, **more: object) -> Invocation:
    values = {"policy": "erp", "client": "c", "schedule": "s", "stream": stream, **more}
    return Invocation("generic", Hook.PRE, **values)  # type: ignore[arg-type]


def begin(of: Job, journal: Journal, stream: int = 0, **more: object) -> Entered:
    return enter.begin_or_join(of, journal, call(stream, **more), NOW)


def say(journal: Journal, record: RunRecord, status: Status) -> None:
    journal.append(record.run_id, [Event(Kind.STATUS, "run", "", {"status": status.value}, NOW)])


def ready(job: Job, journal: Journal, *streams: int) -> RunRecord:
    """A run with these streams whose leader has left it READY."""
    leader = begin(job, journal, streams[0])
    for stream in streams[1:]:
        assert not begin(job, journal, stream).leads
    say(journal, leader.record, Status.READY)
    assert leader.lock is not None
    leader.lock.release()
    return leader.record


def struck(job: Job, journal: Journal, record: RunRecord, stream: int) -> bool:
    return enter.strike_off(job, journal, record, call(stream), NOW)


# -- joining --------------------------------------------------------------------------------------------------------


def test_a_stream_joins_the_run_of_its_policy_client_and_schedule_and_no_other(job: Job, journal: Journal) -> None:
    first = begin(job, journal, 1)
    assert begin(job, journal, 2) == Entered(first.record, leads=False)
    assert begin(job, journal, 2, schedule="other").leads
    assert begin(job, journal, 2, client="other").leads
    assert begin(job, journal, 0).leads  # the product says nothing of streams


def test_a_stream_does_not_join_a_dead_leader(job: Job, journal: Journal) -> None:
    leader = begin(job, journal, 1)
    assert leader.lock is not None
    leader.lock.release()
    assert begin(job, journal, 2).leads


def test_a_stream_does_not_join_a_copy_from_before_a_restart(
    job: Job, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ready(job, journal, 1)
    monkeypatch.setattr(recover, "boot_id", lambda: "the-boot-after")
    entered = begin(job, journal, 2)
    assert entered.leads
    assert entered.record != shown


def test_nobody_joins_or_closes_an_establish(job: Job, journal: Journal) -> None:
    ahead = enter.begin(job, journal, Invocation(ESTABLISH, Hook.PRE), NOW)
    assert begin(job, journal, 2, client="", schedule="").leads
    assert enter.find_own(job, journal, Invocation("generic", Hook.POST)) != ahead.record


def test_a_stream_that_comes_back_joins_while_another_is_open_and_opens_a_new_run_afterwards(
    job: Job, journal: Journal
) -> None:
    record = ready(job, journal, 1, 2)
    assert not struck(job, journal, record, 1)
    assert begin(job, journal, 1).record.run_id == record.run_id
    assert not struck(job, journal, record, 1)
    assert struck(job, journal, record, 2)
    assert begin(job, journal, 1).leads


@pytest.mark.parametrize("stream", [0, 1])
def test_a_restarted_stream_goes_on_with_its_own_copy_or_not_at_all(stream: int, job: Job, journal: Journal) -> None:
    with pytest.raises(InUse, match="no longer there"):
        begin(job, journal, stream, is_restarted=True)
    assert journal.runs() == ()
    record = ready(job, journal, stream)
    assert begin(job, journal, stream, is_restarted=True) == Entered(replace_status(record), leads=False)
    with pytest.raises(InUse, match="did not begin on the copy"):
        begin(job, journal, 7, is_restarted=True)
    say(journal, record, Status.GOOD)
    with pytest.raises(InUse, match="no longer there"):
        begin(job, journal, stream, is_restarted=True)


def replace_status(record: RunRecord) -> RunRecord:
    return replace(record, status=Status.READY)


# -- following ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.READY, Status.FAILED, Status.STUCK])
def test_a_follower_waits_for_the_leaders_result(status: Status, job: Job, journal: Journal) -> None:
    leader = begin(job, journal, 1)
    begin(job, journal, 2)

    def ends() -> None:
        say(journal, leader.record, status)
        assert leader.lock is not None
        leader.lock.release()

    threading.Timer(0.2, ends).start()
    assert enter.follow(job, journal, leader.record, GiveUp()) is status


def test_a_leader_that_tries_again_is_waited_for(job: Job, journal: Journal) -> None:
    leader = begin(job, journal, 1)
    say(journal, leader.record, Status.FAILED)  # between two tries

    def ends() -> None:
        say(journal, leader.record, Status.WORKING)
        say(journal, leader.record, Status.READY)

    threading.Timer(0.3, ends).start()
    assert enter.follow(job, journal, leader.record, GiveUp()) is Status.READY


def test_a_dead_leader_is_told_to_its_followers(job: Job, journal: Journal) -> None:
    leader = begin(job, journal, 1)
    assert leader.lock is not None
    leader.lock.release()
    with pytest.raises(Fault, match="died before its copy was ready"):
        enter.follow(job, journal, leader.record, GiveUp())


class OneJournal:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal


def test_a_follower_that_gives_up_is_not_waited_for_by_the_last_post(job: Job, journal: Journal) -> None:
    leader = begin(job, journal, 1)
    joined, give_up = begin(job, journal, 2), GiveUp()
    give_up.ask("SIGTERM")
    with pytest.raises(GivenUp):
        hook.followed(cast("Office", OneJournal(journal)), job, call(2), joined, give_up)
    say(journal, leader.record, Status.READY)
    assert struck(job, journal, leader.record, 1)


# -- striking off and closing ------------------------------------------------------------------------------------------


def test_only_the_last_of_all_announced_streams_closes_the_run(job: Job, journal: Journal) -> None:
    record = ready(job, journal, 1)
    assert not struck(job, journal, record, 1)  # the second has not come yet
    assert not enter.all_ended(journal, begin(job, journal, 2).record)
    assert struck(job, journal, record, 2)


def test_a_post_closes_the_run_of_its_job_and_no_other(job: Job, journal: Journal) -> None:
    mine = ready(replace(job, policy=changed(job.policy, streams=1)), journal, 0)
    begin(job, journal, 0, job="17", schedule="other")
    assert enter.find_own(job, journal, call(job="99")) is None
    found = enter.find_own(job, journal, call(job="17"))
    assert found is not None
    assert found.job == "17"
    own = enter.find_own(job, journal, call())
    assert own is not None
    assert own.run_id == mine.run_id


def test_a_post_without_an_identity_acts_only_when_exactly_one_run_is_open(job: Job, journal: Journal) -> None:
    nameless = Invocation("generic", Hook.POST)
    assert enter.find_own(job, journal, nameless) is None
    one = begin(job, journal, client="", schedule="")
    found = enter.find_own(job, journal, nameless)
    assert found is not None
    assert found.run_id == one.record.run_id
    begin(job, journal)
    assert enter.find_own(job, journal, nameless) is None


def test_a_whole_run_of_two_streams(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path)
    run = make_run(replace(job, policy=changed(job.policy, streams=2)))
    story.prepare(run)
    run.append(Event(Kind.INTENT, "stream", "1"), Event(Kind.INTENT, "stream", "2"))
    record = replace(run.record, streams=2)
    assert not enter.strike_off(run.job, run.journal, record, call(2), NOW)
    assert world.presented
    assert enter.strike_off(run.job, run.journal, record, call(1), NOW)
    story.finish(run, BackupStatus.GOOD)
    assert not world.presented
