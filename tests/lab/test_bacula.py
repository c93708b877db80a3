"""The hooks as a real Bacula runs them: good jobs, jobs that fail at each place, and a cancelled job beside the next one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.lab.bacula import until
from tests.lab.bacula_site import BTRFS, DIRECTORY, JOB, Hooks, Plan, Site, hooks, kinds, restored, sales, site
from tests.lab.disks import Disks, run
from tests.lab.need import need

from splitmirror.journal.contract import Kind, Status

pytestmark = pytest.mark.lab


@pytest.fixture(params=kinds())
def called(request: pytest.FixtureRequest) -> Hooks:
    return hooks(request.param)


def backup_word(at: Site, job_id: int) -> object:
    """How the journal says that the backup of one job ended; None while its run is open."""
    said = [event.data.get("backup") for event in at.events_of(job_id) if event.kind is Kind.STATUS]
    return said[-1]


def require_rest(at: Site) -> None:
    """Nothing is presented, claimed or held, and no run is open."""
    assert at.is_absent()
    assert at.claims() == 0
    with at.journal() as journal:
        assert journal.open_runs() == ()
    at.sell()


def test_a_job_saves_the_presented_copy_and_its_card_and_the_restore_opens(called: Hooks, tmp_path: Path) -> None:
    with site(tmp_path, called, Plan(array=DIRECTORY)) as at:
        at.admin("establish", "--full", "erp")
        full = at.bacula.run(JOB)
        assert full.status == "T", full.log
        assert "application copy at" in full.log
        assert f"{at.presented}/shop.db" in at.bacula.saved(full.job_id)
        assert f"{at.card}/RECOVERY.md" in at.bacula.saved(full.job_id)
        assert backup_word(at, full.job_id) == "good"
        require_rest(at)
        assert at.bacula.restore(JOB, tmp_path / "first").status == "T"
        assert sales(restored(tmp_path / "first", at.presented) / "shop.db") == 3
        card = json.loads((restored(tmp_path / "first", at.card) / "card.json").read_text(encoding="utf-8"))
        assert (card["verdict"], card["run"]) == ("application", at.run_of(full.job_id).run_id)

        at.sell(5)
        more = at.bacula.run(JOB, "Incremental")
        assert more.status == "T", more.log
        assert f"{at.presented}/shop.db" in at.bacula.saved(more.job_id)
        assert at.bacula.restore(JOB, tmp_path / "second").status == "T"
        assert sales(restored(tmp_path / "second", at.presented) / "shop.db") == 3 + 1 + 5
        require_rest(at)


def test_what_is_written_between_the_split_and_the_end_of_pre_is_in_the_next_incremental(
    called: Hooks, tmp_path: Path
) -> None:
    need("losetup", "mkfs.btrfs", "btrfs", loop=True)
    with Disks(tmp_path) as disks:
        folder = disks.make("btrfs").point
        run("btrfs", "subvolume", "create", str(folder / "data"))
        with site(folder, called, Plan(array=BTRFS, present="mount", slow=True)) as at:
            at.slow.touch()
            full = at.bacula.queue(JOB)
            until(lambda: "present" in at.acts_of(full, Kind.DONE), "the copy is presented")
            at.sell(5)
            (folder / "data" / "new.txt").write_text("written while pre still worked\n", encoding="utf-8")
            written = time.time()
            until(lambda: time.time() > written + 1.5, "the job's start time, in whole seconds, is later")
            at.slow.unlink()
            ended = at.bacula.wait(full)
            assert ended.status == "T", ended.log
            assert f"{at.presented}/new.txt" not in at.bacula.saved(full)

            more = at.bacula.run(JOB, "Incremental")
            assert more.status == "T", more.log
            saved = at.bacula.saved(more.job_id)
            assert {f"{at.presented}/new.txt", f"{at.presented}/shop.db"} <= saved
            assert f"{at.presented}/notes.txt" not in saved
            assert at.bacula.restore(JOB, tmp_path / "restored").status == "T"
            assert sales(restored(tmp_path / "restored", at.presented) / "shop.db") == 3 + 5
            require_rest(at)


@pytest.mark.parametrize("trouble", ["refused split", "damaged database"])
def test_a_job_without_a_copy_fails_and_leaves_nothing_behind(called: Hooks, tmp_path: Path, trouble: str) -> None:
    with site(tmp_path, called) as at:
        good = at.database.read_bytes()
        if trouble == "refused split":
            at.refuse.touch()
        else:
            at.database.write_bytes(b"this is no database".ljust(4096, b"."))
        failed = at.bacula.run(JOB)
        assert failed.status == "f", failed.log
        assert "splitmirror: " in failed.log
        assert at.bacula.saved(failed.job_id) == set()
        assert at.run_of(failed.job_id).status is Status.FAILED
        at.refuse.unlink(missing_ok=True)
        at.database.write_bytes(good)
        require_rest(at)
        assert at.bacula.run(JOB).status == "T"
        require_rest(at)


def test_a_cancelled_jobs_pre_runs_on_and_the_next_job_is_refused_until_it_has_ended(
    called: Hooks, tmp_path: Path
) -> None:
    with site(tmp_path, called) as at:
        at.gate.touch()
        first = at.queue_until_pre_waits()
        at.bacula.cancel(first)
        assert at.bacula.wait(first).status == "A"
        assert at.is_at_work(first)  # no signal came

        second = at.bacula.run(JOB)
        assert second.status == "f", second.log
        assert f"run {at.run_of(first).run_id} of erp is at work" in second.log
        assert at.is_at_work(first)
        assert at.run_of(first).status is Status.WORKING
        assert at.run_of(second.job_id).status is Status.FAILED
        assert (at.mirror_calls("establish"), at.mirror_calls("split")) == (1, 0)
        at.sell()

        at.gate.unlink()
        until(lambda: at.run_of(first).status is Status.GOOD, "the late post closes its own run")
        assert backup_word(at, first) == "failed"
        require_rest(at)
        assert at.bacula.run(JOB).status == "T"
        require_rest(at)


@pytest.mark.parametrize("comes_while", ["the next pre works", "the next backup reads"])
def test_a_late_post_touches_no_other_run(called: Hooks, tmp_path: Path, comes_while: str) -> None:
    with site(tmp_path, called, Plan(late=True)) as at:
        at.gate.touch()
        first = at.queue_until_pre_waits()
        at.hold_back_post(first)
        at.bacula.cancel(first)
        assert at.bacula.wait(first).status == "A"
        at.refuse.touch()
        at.gate.unlink()
        until(lambda: at.run_of(first).status is Status.FAILED, "the first pre fails by itself")
        at.refuse.unlink()

        at.gate.touch()
        second = at.queue_until_pre_waits()
        at.hold_back_post(second)
        if comes_while == "the next pre works":
            assert at.let_post_go(first) == 0
            assert at.is_at_work(second)
        at.gate.unlink()
        until(
            lambda: at.run_of(second).status is Status.READY and not at.is_at_work(second), "the second copy is there"
        )
        if comes_while == "the next backup reads":
            assert at.let_post_go(first) == 0
            assert at.run_of(second).status is Status.READY
        assert sales(at.presented / "shop.db") == 3
        assert at.let_post_go(second) == 0
        ended = at.bacula.wait(second)
        assert ended.status == "T", ended.log
        assert f"{at.presented}/shop.db" in at.bacula.saved(second)
        assert (backup_word(at, first), backup_word(at, second)) == (None, "good")
        require_rest(at)


@pytest.mark.parametrize(("wish", "state"), [("keep", "split"), ("reattach", "copying")])
def test_after_a_backup_that_failed_the_copy_is_kept_or_reattached_as_the_policy_says(
    called: Hooks, tmp_path: Path, wish: str, state: str
) -> None:
    policy = f'reattach = "after-backup"\non-backup-failure = "{wish}"\n'
    with site(tmp_path, called, Plan(policy=policy)) as at:
        at.gate.touch()
        job = at.queue_until_pre_waits()
        at.bacula.kill_daemon("sd")
        at.gate.unlink()
        until(lambda: at.run_of(job).status is not Status.WORKING, "pre ends")
        at.gate.touch()
        failed = at.bacula.wait(job)
        assert failed.status == "f", failed.log
        until(lambda: at.run_of(job).status is Status.GOOD, "post closes the run", seen=lambda: at.bacula.log(job))
        assert backup_word(at, job) == "failed"
        assert at.mirror_state() == state
        assert (at.folder / "mirror" / "copy").exists() == (wish == "keep")
        require_rest(at)
        at.gate.unlink()
        at.bacula.start_daemon("sd")
        assert at.bacula.run(JOB).status == "T"
        require_rest(at)
