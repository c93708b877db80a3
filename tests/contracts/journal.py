"""What every journal promises. A backend's own test is a subclass that opens it; nothing else.

Several processes at once are real processes: each is a small Python program that opens the journal by ``program``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitmirror.journal.contract import OPEN_STATUSES, Event, Journal, Kind, RunRecord, Status
from splitmirror_drivers.kit.errors import ForeignHold, JournalFault, Refused

NOW = 1764000000.0
ROOT = Path(__file__).parents[2]


class JournalContract:
    """Subclass it, with ``open`` and ``program``."""

    def open(self, folder: Path) -> Journal:
        """The journal kept in `folder`; several may be open at once."""
        raise NotImplementedError

    def program(self, folder: Path) -> str:
        """Python source that opens the same journal as ``journal``."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "state"
        folder.mkdir(mode=0o700)
        return folder

    @pytest.fixture
    def journal(self, folder: Path) -> Iterator[Journal]:
        journal = self.open(folder)
        yield journal
        journal.close()

    def process(self, folder: Path, source: str, *arguments: str) -> subprocess.Popen[str]:
        """A process of its own in which `source` runs after the journal was opened."""
        path = f"import sys\nsys.path[:0] = [{str(ROOT / 'hooks')!r}, {str(ROOT / 'drivers')!r}]\n"
        imports = (
            "from splitmirror.journal.contract import Event, Kind\n"
            "from splitmirror_drivers.kit.errors import ForeignHold\n"
        )
        program = path + imports + self.program(folder) + "\n" + source
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def test_all_of_many_first_openers_get_the_same_journal(self, folder: Path) -> None:
        source = (
            "record = journal.begin(policy='erp', client='', schedule='', product='', job='', streams=1, now=0.0)\n"
            "journal.close(); print(record.number)"
        )
        racers = [self.process(folder, source) for _ in range(8)]
        numbers = []
        for racer in racers:
            with racer:
                numbers.append(int(racer.communicate(timeout=120)[0]))
        assert sorted(numbers) == list(range(1, 9))

    def test_runs_begun_by_several_processes_at_once_each_get_their_own_number(
        self, folder: Path, journal: Journal
    ) -> None:
        source = (
            "print('ready', flush=True); sys.stdin.readline()\n"
            "for turn in range(40):\n"
            "    journal.begin(policy='erp', client='', schedule='', product='', job='', streams=1, now=0.0)"
        )
        racers = [self.process(folder, source) for _ in range(4)]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        assert [finish(racer) for racer in racers] == [0, 0, 0, 0]
        assert [record.number for record in journal.runs(limit=1000)] == list(range(160, 0, -1))

    # runs

    def test_a_new_run_is_working_and_is_named_after_policy_time_and_number(self, journal: Journal) -> None:
        record = begin(journal)
        assert record == RunRecord(
            f"erp-20251124-160000-{record.number}",
            record.number, "erp", "db1", "full", "generic", "7", 2, NOW, Status.WORKING,
        )  # fmt: skip
        assert journal.run(record.run_id) == record

    def test_numbers_grow_also_over_policies_and_after_opening_anew(self, folder: Path, journal: Journal) -> None:
        numbers = [begin(journal).number, begin(journal, "crm").number]
        journal.close()
        again = self.open(folder)
        numbers.append(begin(again).number)
        again.close()
        assert numbers == sorted(set(numbers))

    def test_runs_are_newest_first_and_by_policy(self, journal: Journal) -> None:
        first, second, other = begin(journal), begin(journal), begin(journal, "crm")
        assert journal.runs() == (other, second, first)
        assert journal.runs("erp") == (second, first)
        assert journal.runs("erp", limit=1) == (second,)
        assert journal.runs("unknown") == ()

    def test_an_unknown_run_is_refused_and_the_nearest_is_named(self, journal: Journal) -> None:
        record = begin(journal)
        with pytest.raises(JournalFault, match="has no run") as fault:
            journal.run(record.run_id + "x")
        assert record.run_id in fault.value.hint
        with pytest.raises(JournalFault, match="has no run"):
            journal.append("nothing", [Event(Kind.NOTE, "x")])
        with pytest.raises(JournalFault, match="has no run"):
            journal.events("nothing")

    @pytest.mark.parametrize("status", list(Status))
    def test_the_newest_status_event_says_where_a_run_stands(self, journal: Journal, status: Status) -> None:
        record = begin(journal)
        journal.append(record.run_id, [Event(Kind.STATUS, "run", "", {"status": "stuck"})])
        journal.append(record.run_id, [Event(Kind.STATUS, "run", "", {"status": status.value}), Event(Kind.NOTE, "x")])
        assert journal.run(record.run_id).status is status
        is_open = status not in (Status.GOOD, Status.FAILED)
        assert [found.run_id for found in journal.open_runs()] == ([record.run_id] if is_open else [])
        assert journal.open_runs("crm") == ()

    def test_a_word_that_is_no_status_never_gets_in(self, journal: Journal) -> None:
        record = begin(journal)
        before = journal.events(record.run_id)
        with pytest.raises(JournalFault, match="not a status"):
            journal.append(
                record.run_id, [Event(Kind.NOTE, "first"), Event(Kind.STATUS, "run", "", {"status": "finished"})]
            )
        assert journal.events(record.run_id) == before

    # events

    def test_events_come_back_as_given_in_the_order_given(self, journal: Journal) -> None:
        record, other = begin(journal), begin(journal)
        given = [
            Event(
                Kind.INTENT, "split", "a/b", {"n": 1, "f": 0.5, "yes": True, "none": None, "l": [1, {"x": "ü"}]}, NOW
            ),
            Event(Kind.DONE, "split", "a/b", {"line": "two\nlines", "odd": "\udc80\x00"}, NOW + 0.25),
        ]
        journal.append(record.run_id, given)
        journal.append(other.run_id, [Event(Kind.NOTE, "elsewhere")])
        journal.append(record.run_id, [Event(Kind.FAILED, "present")])
        found = journal.events(record.run_id)
        assert found[0].kind is Kind.STATUS
        assert found[1:] == (*given, Event(Kind.FAILED, "present"))

    def test_an_append_with_one_bad_event_leaves_none(self, journal: Journal) -> None:
        record = begin(journal)
        for bad in ({"x": object()}, {"x": float("nan")}, {"x": b"bytes"}):
            with pytest.raises(JournalFault, match="cannot be written"):
                journal.append(record.run_id, [Event(Kind.NOTE, "good"), Event(Kind.NOTE, "bad", "", bad)])
        assert [event.act for event in journal.events(record.run_id)] == ["run"]

    def test_what_one_process_appended_another_reads(self, folder: Path, journal: Journal) -> None:
        record = begin(journal)
        source = "journal.append(sys.argv[1], [Event(Kind.NOTE, 'from', 'outside')]); journal.close()"
        with self.process(folder, source, record.run_id) as process:
            assert process.wait(30) == 0
        assert journal.events(record.run_id)[-1] == Event(Kind.NOTE, "from", "outside")

    def test_the_history_of_an_act_spans_all_runs_newest_first(self, journal: Journal) -> None:
        first, second = begin(journal), begin(journal, "crm")
        intents = [Event(Kind.INTENT, "split", key, {"n": n}, NOW) for n, key in enumerate(("a/x", "a/y", "a/x"))]
        journal.append(first.run_id, intents[:2])
        journal.append(second.run_id, [intents[2], Event(Kind.INTENT, "expose", "a/x", {}, NOW)])
        assert journal.history("split", "a/x") == ((second.run_id, intents[2]), (first.run_id, intents[0]))
        assert [event for _, event in journal.history("split")] == intents[::-1]
        assert journal.history("split", "a/z") == ()

    def test_a_batch_is_never_seen_in_part_nor_torn_by_others(self, folder: Path, journal: Journal) -> None:
        record = begin(journal)
        source = (
            "for turn in range(30):\n"
            "    journal.append(sys.argv[1], [Event(Kind.NOTE, sys.argv[2], str(i), {'turn': turn}) for i in range(5)])"
        )
        writers = [self.process(folder, source, record.run_id, name) for name in ("a", "b", "c")]
        while any(writer.poll() is None for writer in writers):
            assert_whole_batches(journal.events(record.run_id)[1:])
        for writer in writers:
            with writer:
                assert writer.returncode == 0
        events = journal.events(record.run_id)[1:]
        assert_whole_batches(events)
        assert len(events) == 3 * 30 * 5

    # claims

    def test_claims_are_taken_all_or_none_and_the_claimant_is_named(self, journal: Journal) -> None:
        first, second = begin(journal), begin(journal)
        claim(journal, first, "mirror:b")
        with pytest.raises(ForeignHold, match=f"mirror:b is claimed by run {first.run_id}"):
            claim(journal, second, "mirror:a", "mirror:b", "mirror:c")
        assert [(one.resource, one.run_id) for one in journal.claims()] == [("mirror:b", first.run_id)]

    def test_a_claim_may_be_repeated_by_its_run_and_widened(self, journal: Journal) -> None:
        record = begin(journal)
        claim(journal, record, "mirror:a", "mirror:a")
        claim(journal, record, "mirror:a", "mirror:b", process=77)
        assert [(one.resource, one.process, one.since) for one in journal.claims()] == [
            ("mirror:a", 77, NOW),
            ("mirror:b", 77, NOW),
        ]

    def test_unclaim_gives_back_what_is_named_or_all_and_never_another_runs(self, journal: Journal) -> None:
        first, second = begin(journal), begin(journal)
        claim(journal, first, "mirror:a", "mirror:b", "mirror:c")
        claim(journal, second, "mirror:d")
        journal.unclaim(first.run_id, ["mirror:a", "mirror:d", "never claimed"])
        assert [one.resource for one in journal.claims()] == ["mirror:b", "mirror:c", "mirror:d"]
        journal.unclaim(first.run_id)
        journal.unclaim(first.run_id)
        assert [one.resource for one in journal.claims()] == ["mirror:d"]

    @pytest.mark.parametrize("status", list(Status))
    def test_a_closed_run_claims_nothing_even_if_it_died_before_it_gave_its_claims_back(
        self, journal: Journal, status: Status
    ) -> None:
        first, second = begin(journal), begin(journal)
        claim(journal, first, "mirror:a")
        journal.append(first.run_id, [Event(Kind.STATUS, "run", "", {"status": status.value})])
        if status in OPEN_STATUSES:
            with pytest.raises(ForeignHold):
                claim(journal, second, "mirror:a")
            return
        assert journal.claims() == ()
        journal.claim(second.run_id, ["mirror:a"], "pre", process=6, boot_id="boot", now=NOW + 9)
        assert [(one.run_id, one.process, one.since) for one in journal.claims()] == [(second.run_id, 6, NOW + 9)]
        journal.unclaim(first.run_id)
        assert [one.run_id for one in journal.claims()] == [second.run_id]

    def test_of_many_processes_at_once_exactly_one_gets_the_claim(self, folder: Path, journal: Journal) -> None:
        runs = [begin(journal) for _ in range(6)]
        source = (
            "print('ready', flush=True); sys.stdin.readline()\n"
            "try:\n"
            "    journal.claim(sys.argv[1], ['application:x', 'mirror:y'], 'pre', process=1, boot_id='b', now=0.0)\n"
            "except ForeignHold: sys.exit(9)"
        )
        racers = [self.process(folder, source, record.run_id) for record in runs]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        codes = [finish(racer) for racer in racers]
        winner = runs[codes.index(0)].run_id
        assert sorted(codes) == [0, 9, 9, 9, 9, 9]
        assert [(one.resource, one.run_id) for one in journal.claims()] == [
            ("application:x", winner),
            ("mirror:y", winner),
        ]

    def test_a_claim_outlives_its_process(self, folder: Path, journal: Journal) -> None:
        record = begin(journal)
        source = "journal.claim(sys.argv[1], ['mirror:y'], 'pre', process=1, boot_id='b', now=0.0); print(1, flush=True); sys.stdin.read()"
        with self.process(folder, source, record.run_id) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
            process.kill()
        assert [one.resource for one in journal.claims()] == ["mirror:y"]

    # pins

    def test_a_pin_is_shown_refused_twice_and_let_go_once(self, journal: Journal) -> None:
        journal.pin("symm", "erp_a", "before the upgrade", "jo", NOW)
        with pytest.raises(Refused, match=r"symm/erp_a is pinned already, by jo: before the upgrade"):
            journal.pin("symm", "erp_a", "again", "al", NOW)
        journal.pin("symm", "erp_b", "too", "al", NOW)
        assert [(pin.group, pin.reason, pin.who) for pin in journal.pins()] == [
            ("erp_a", "before the upgrade", "jo"),
            ("erp_b", "too", "al"),
        ]
        journal.unpin("symm", "erp_a")
        with pytest.raises(Refused, match="symm/erp_a is not pinned") as fault:
            journal.unpin("symm", "erp_a")
        assert "symm/erp_b" in fault.value.hint

    # durability, threads, end

    def test_every_acknowledged_event_survives_a_kill_at_any_moment(self, folder: Path, journal: Journal) -> None:
        record = begin(journal)
        source = (
            "import itertools\n"
            "start = int(sys.argv[2])\n"
            "for number in itertools.count(start):\n"
            "    journal.append(sys.argv[1], [Event(Kind.NOTE, 'n', str(number), {'pad': 'x' * (number % 7 * 900)})])\n"
            "    print(number, flush=True)"
        )
        acknowledged = 0
        for lines in (1, 3, 17, 2, 40, 9):
            with self.process(folder, source, record.run_id, str(acknowledged + 1)) as process:
                assert process.stdout is not None
                for _ in range(lines):
                    acknowledged = int(process.stdout.readline())
                process.send_signal(signal.SIGKILL)
                said = [int(line) for line in process.stdout.read().split("\n")[:-1]]
                acknowledged = said[-1] if said else acknowledged
            found = [int(event.key) for event in journal.events(record.run_id) if event.act == "n"]
            # one more than acknowledged may be there: its answer was on the way
            assert found in (list(range(1, acknowledged + 1)), list(range(1, acknowledged + 2)))
            acknowledged = len(found)
        journal.check()

    def test_threads_may_share_one_journal(self, journal: Journal) -> None:
        record, faults = begin(journal), list[BaseException]()

        def write(name: str) -> None:
            try:
                for turn in range(20):
                    journal.append(record.run_id, [Event(Kind.NOTE, name, str(i), {"turn": turn}) for i in range(5)])
                    journal.runs()
            except BaseException as exc:  # noqa: BLE001 - handed to the test
                faults.append(exc)

        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not faults
        events = journal.events(record.run_id)[1:]
        assert_whole_batches(events)
        assert len(events) == 3 * 20 * 5

    def test_a_sound_journal_passes_its_check_and_leaves_no_trace_of_it(self, folder: Path, journal: Journal) -> None:
        record = begin(journal)
        before = sorted(path.name for path in folder.iterdir())
        journal.check()
        journal.check()
        assert sorted(path.name for path in folder.iterdir()) == before
        assert journal.runs() == (record,)

    def test_a_closed_journal_is_not_used_again(self, journal: Journal) -> None:
        record = begin(journal)
        journal.close()
        journal.close()
        for use in (journal.runs, journal.check, lambda: journal.append(record.run_id, [Event(Kind.NOTE, "x")])):
            with pytest.raises(JournalFault, match="was closed"):
                use()


def begin(journal: Journal, policy: str = "erp") -> RunRecord:
    """A run."""
    return journal.begin(policy=policy, client="db1", schedule="full", product="generic", job="7", streams=2, now=NOW)


def claim(journal: Journal, record: RunRecord, *resources: str, process: int = 5) -> None:
    """Claim for a run."""
    journal.claim(record.run_id, resources, "pre", process=process, boot_id="boot", now=NOW)


def finish(racer: subprocess.Popen[str]) -> int:
    """Let a waiting process go on to its end; its exit code."""
    with racer:
        racer.communicate("go\n", timeout=60)
    return racer.returncode


def assert_whole_batches(events: tuple[Event, ...]) -> None:
    """Five of one writer and one turn stand together, in their order."""
    assert len(events) % 5 == 0
    for start in range(0, len(events), 5):
        batch = events[start : start + 5]
        assert [event.key for event in batch] == list("01234")
        assert len({(event.act, event.data["turn"]) for event in batch}) == 1
