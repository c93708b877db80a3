"""The SQLite journal keeps the promises of every journal."""

from __future__ import annotations

from pathlib import Path

from tests.contracts.journal import JournalContract

from splitmirror.journal.contract import Journal
from splitmirror.journal.sqlite import SqliteJournal


class TestSqliteJournal(JournalContract):
    def open(self, folder: Path) -> Journal:
        return SqliteJournal(folder)

    def program(self, folder: Path) -> str:
        return (
            "from pathlib import Path\n"
            "from splitmirror.journal.sqlite import SqliteJournal\n"
            f"journal = SqliteJournal(Path({str(folder)!r}))"
        )
