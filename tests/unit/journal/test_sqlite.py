"""What is true of the SQLite journal beside the contract: its settings, its refusals, and that history cannot be rewritten."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.journal import NOW, ROOT, begin

from splitmirror.journal.contract import Event, Kind
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror_drivers.kit.errors import JournalFault

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user are made")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def journal(folder: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(folder, busy_seconds=0.5)
    yield journal
    journal.close()


def raw(folder: Path, statement: str) -> None:
    """Past the journal, as somebody with a database client would."""
    db = sqlite3.connect(folder / "journal.db", isolation_level=None)
    try:
        db.execute(statement)
    finally:
        db.close()


def test_every_commit_is_synced(journal: SqliteJournal) -> None:
    assert journal._connection is not None
    assert journal._connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert journal._connection.execute("pragma synchronous").fetchone() == (2,)


def test_its_files_are_for_us_alone(folder: Path, journal: SqliteJournal) -> None:
    begin(journal)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(("journal.db", "journal.db-shm", "journal.db-wal", "journal.lock"), 0o600)


def test_it_is_loaded_only_when_it_is_opened() -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'hooks')!r}, {str(ROOT / 'drivers')!r}]\n"
        "import splitmirror.journal.sqlite; sys.exit('sqlite3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "statement",
    [
        "update events set act = 'x'",
        "delete from events",
        "update runs set policy = 'x'",
        "delete from runs",
    ],
)
def test_history_cannot_be_rewritten(folder: Path, journal: SqliteJournal, statement: str) -> None:
    record = begin(journal)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        raw(folder, statement)
    assert journal.run(record.run_id) == record
    assert len(journal.events(record.run_id)) == 1


def test_a_newer_schema_is_refused_and_left_alone(folder: Path, journal: SqliteJournal) -> None:
    raw(folder, "insert into schema_version values (2)")
    with pytest.raises(JournalFault, match="has schema version 2, and this program knows version 1"):
        SqliteJournal(folder)


def test_somebody_elses_database_is_refused(folder: Path) -> None:
    raw(folder, "create table theirs (x)")
    (folder / "journal.db").chmod(0o600)
    before = (folder / "journal.db").read_bytes()
    with pytest.raises(JournalFault, match="is a database, but not a journal"):
        SqliteJournal(folder)
    assert (folder / "journal.db").read_bytes() == before


@as_root
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm"])
def test_a_file_of_another_user_is_refused_with_the_way_to_its_owner(
    folder: Path, journal: SqliteJournal, name: str
) -> None:
    begin(journal)
    os.chown(folder / name, 65534, 65534)
    for use in (lambda: SqliteJournal(folder), journal.check):
        with pytest.raises(JournalFault, match=f"{name} belongs to .*, and this is root") as fault:
            use()
        assert "sudo -u" in fault.value.hint


def test_a_link_in_place_of_the_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "journal.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalFault, match="is not a plain file"):
        SqliteJournal(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalFault, match=str(tmp_path / "missing")):
        SqliteJournal(tmp_path / "missing")


def test_a_writer_that_does_not_end_is_named_as_the_cause(folder: Path, journal: SqliteJournal) -> None:
    record = begin(journal)
    other = sqlite3.connect(folder / "journal.db", isolation_level=None)
    try:
        other.execute("begin immediate")
        with pytest.raises(JournalFault, match="is kept busy by another process") as fault:
            journal.append(record.run_id, [Event(Kind.NOTE, "x")])
        assert fault.value.retryable
    finally:
        other.close()
    journal.append(record.run_id, [Event(Kind.NOTE, "x")])


def test_a_reader_never_waits_for_a_writer(folder: Path, journal: SqliteJournal) -> None:
    record = begin(journal)
    other = sqlite3.connect(folder / "journal.db", isolation_level=None)
    try:
        other.execute("begin immediate")
        assert journal.runs() == (record,)
    finally:
        other.close()


def test_a_forked_process_may_not_use_it(journal: SqliteJournal) -> None:
    record = begin(journal)
    journal._process += 1  # as the child of a fork would find it
    with pytest.raises(JournalFault, match="opened by another process"):
        journal.events(record.run_id)
    journal._process -= 1


def test_a_name_that_no_database_can_hold_is_a_fault(journal: SqliteJournal) -> None:
    with pytest.raises(JournalFault, match="cannot be used"):
        begin(journal, "bad\udc80")
    assert journal.runs() == ()


def test_a_run_is_named_in_utc(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert begin(journal).run_id == "erp-20251124-160000-1"
    assert int(NOW) == 1764000000
