"""A full disk, a read-only one, damage and torn writes: what was acknowledged stands, and the fault says what to do."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.contracts.journal import begin

from splitmirror.journal.contract import Event, Kind
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror_drivers.kit.errors import JournalFault

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a small filesystem is mounted")
PAD = "x" * 20000
Opener = Callable[[Path], SqliteJournal]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def small(folder: Path) -> Iterator[Path]:
    """A filesystem of 24 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700,nr_inodes=64", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens journals that are closed at the end whatever happens, so that a filesystem can be unmounted."""
    with ExitStack() as stack:

        def open_one(folder: Path) -> SqliteJournal:
            return stack.enter_context(closing(SqliteJournal(folder)))

        yield open_one


def keys(journal: SqliteJournal, run_id: str) -> list[int]:
    return [int(event.key) for event in journal.events(run_id) if event.act == "n"]


def append_until_refused(journal: SqliteJournal, run_id: str) -> tuple[int, JournalFault]:
    """How many events were acknowledged, and what came then."""
    for number in range(10000):
        try:
            journal.append(run_id, [Event(Kind.NOTE, "n", str(number), {"pad": PAD})])
        except JournalFault as fault:
            return number, fault
    raise AssertionError("it never filled up")


@as_root
def test_a_full_disk_is_refused_by_check_before_anything_is_touched(small: Path, opened: Opener) -> None:
    journal = opened(small)
    journal.check()
    (small / "filling").write_bytes(b"x" * 18 * 2**20)
    with pytest.raises(JournalFault, match="there is no room for the journal") as fault:
        journal.check()
    assert f"df -h {small}" in fault.value.hint
    (small / "filling").unlink()
    journal.check()
    journal.close()


@as_root
def test_a_disk_without_inodes_is_full_too(small: Path, opened: Opener) -> None:
    journal = opened(small)
    begin(journal)
    with pytest.raises(OSError, match="No space left"):
        for number in range(100):
            (small / f"file-{number}").touch()
    with pytest.raises(JournalFault, match="there is no room for the journal"):
        journal.check()
    journal.close()


@as_root
def test_what_was_acknowledged_before_the_disk_was_full_stands_and_it_goes_on_afterwards(
    small: Path, opened: Opener
) -> None:
    journal = opened(small)
    record = begin(journal)
    (small / "filling").write_bytes(b"x" * 18 * 2**20)
    acknowledged, fault = append_until_refused(journal, record.run_id)
    assert "there is no room for the journal" in fault.message
    assert acknowledged > 10
    assert keys(journal, record.run_id) == list(range(acknowledged))
    journal.close()
    (small / "filling").unlink()
    again = opened(small)
    again.check()
    again.append(record.run_id, [Event(Kind.NOTE, "n", str(acknowledged))])
    assert keys(again, record.run_id) == list(range(acknowledged + 1))
    again.close()


@as_root
def test_a_journal_cannot_be_begun_on_a_full_disk_and_says_so(small: Path, opened: Opener) -> None:
    with pytest.raises(OSError, match="No space left"), (small / "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(b"x" * 4096)
    with pytest.raises(JournalFault, match="there is no room for the journal"):
        opened(small)
    (small / "filling").unlink()
    begin(opened(small))


def test_a_journal_at_its_limit_refuses_whole_and_says_so(folder: Path) -> None:
    journal = SqliteJournal(folder)
    record = begin(journal)
    assert journal._connection is not None
    journal._connection.execute("pragma max_page_count = 40")
    acknowledged, fault = append_until_refused(journal, record.run_id)
    assert "there is no room for the journal" in fault.message
    assert keys(journal, record.run_id) == list(range(acknowledged))
    journal.close()


@as_root
def test_a_disk_that_became_read_only_is_named(small: Path, opened: Opener) -> None:
    journal = opened(small)
    record = begin(journal)
    journal.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(JournalFault, match=r"cannot be written: .* is read-only for root") as fault:
        opened(small)
    assert f"findmnt -T {small}" in fault.value.hint
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    again = opened(small)
    assert again.run(record.run_id) == record
    again.close()


def filled(folder: Path) -> str:
    """A closed journal of some pages, all of it in the one file."""
    journal = SqliteJournal(folder)
    record = begin(journal)
    for number in range(20):
        journal.append(record.run_id, [Event(Kind.NOTE, "n", str(number), {"pad": PAD})])
    journal.close()
    return record.run_id


def test_damage_in_the_middle_is_found_by_check_and_nothing_is_thrown_away(folder: Path) -> None:
    filled(folder)
    file = folder / "journal.db"
    data = bytearray(file.read_bytes())
    for page in range(8, len(data) // 4096, 3):
        data[page * 4096 : page * 4096 + 512] = random.Random(page).randbytes(512)
    file.write_bytes(data)
    journal = SqliteJournal(folder)
    with pytest.raises(JournalFault, match="is damaged") as fault:
        journal.check()
    journal.close()
    assert f"mv {file}* {folder / 'journal-damaged'}/" in fault.value.hint
    assert file.read_bytes() == bytes(data)


@pytest.mark.parametrize("start", [b"", b"SQLite format 3\x00"])
def test_a_file_that_is_no_database_is_refused_and_kept(folder: Path, start: bytes) -> None:
    data = start + random.Random(1).randbytes(50000)
    (folder / "journal.db").write_bytes(data)
    with pytest.raises(JournalFault, match="is damaged"):
        SqliteJournal(folder)
    assert (folder / "journal.db").read_bytes() == data


def test_the_advice_for_a_damaged_journal_works(folder: Path) -> None:
    (folder / "journal.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(JournalFault) as fault:
        SqliteJournal(folder)
    advice = fault.value.hint.partition("keep it: ")[2].partition(" ;")[0]
    subprocess.run(["sh", "-c", advice], check=True)
    journal = SqliteJournal(folder)
    begin(journal)
    journal.check()
    journal.close()
    assert (folder / "journal-damaged" / "journal.db").read_bytes() == b"no database at all" * 1000


def test_a_log_torn_at_any_byte_keeps_every_whole_commit_before_it(folder: Path, tmp_path: Path) -> None:
    journal = SqliteJournal(folder)
    record = begin(journal)
    ends: list[int] = []
    for number in range(12):
        journal.append(record.run_id, [Event(Kind.NOTE, "n", str(number), {"pad": "y" * 3000})])
        ends.append((folder / "journal.db-wal").stat().st_size)
    whole = (folder / "journal.db-wal").read_bytes()
    chosen = random.Random(7)
    for turn in range(40):
        cut = chosen.randrange(len(whole) + 1)
        torn = tmp_path / f"torn-{turn}"
        torn.mkdir(mode=0o700)
        shutil.copy(folder / "journal.db", torn / "journal.db")
        (torn / "journal.db-wal").write_bytes(whole[:cut] + chosen.randbytes(turn % 3 * 2000))
        after = SqliteJournal(torn)
        stood = sum(end <= cut for end in ends)
        if stood:
            assert keys(after, record.run_id) == list(range(stood))
            after.append(record.run_id, [Event(Kind.NOTE, "n", str(stood))])
            assert keys(after, record.run_id) == list(range(stood + 1))
        after.check()
        after.close()
    journal.close()
