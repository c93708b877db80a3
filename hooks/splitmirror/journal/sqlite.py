"""The journal in one SQLite file of this server: write-ahead log, every commit synced to disk before it is answered.

Tables and triggers are in ``schema.py``; what SQLite's and the system's errors mean to a person is in ``trouble.py``.
Sources: sqlite.org/wal.html, sqlite.org/pragma.html (synchronous), sqlite.org/rescode.html.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitmirror.journal import schema, trouble
from splitmirror.journal.contract import OPEN_STATUSES, Claim, Event, Kind, Pin, RunRecord, Status
from splitmirror_drivers.kit.errors import ForeignHold, JournalFault, Refused

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 20.0
ROOM_BYTES = 8 * 2**20
FILE = "journal.db"
OPEN_WORDS = json.dumps(sorted(status.value for status in OPEN_STATUSES))


class SqliteJournal:
    """A journal in `folder`. Several processes and threads may use it at once; each process opens its own."""

    def __init__(self, folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.folder = folder
        self.file = folder / FILE
        self._mutex = threading.RLock()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        trouble.require_usable(folder, self.file)
        with trouble.translated(self.file):
            self._connection = schema.connect(self.file, busy_seconds)

    def begin(
        self, *, policy: str, client: str, schedule: str, product: str, job: str, streams: int, now: float
    ) -> RunRecord:
        """A new run in status WORKING; its number is one more than the last."""
        with self._writing() as db:
            (number,) = db.execute("select coalesce(max(number), 0) + 1 from runs").fetchone()
            run_id = f"{policy}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{number}"
            row = (number, run_id, policy, client, schedule, product, job, streams, now)
            db.execute("insert into runs values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            _insert(db, number, [Event(Kind.STATUS, "run", "", {"status": Status.WORKING.value}, now)])
        return RunRecord(run_id, number, policy, client, schedule, product, job, streams, now, Status.WORKING)

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        """Durable when it returns; one commit. Lists in `data` come back as lists, also where a tuple was given."""
        if events:
            with self._writing() as db:
                _insert(db, self._number(db, run_id), events)

    def events(self, run_id: str) -> tuple[Event, ...]:
        """All events of a run, oldest first."""
        with self._reading() as db:
            number = self._number(db, run_id)
            rows = db.execute("select kind, act, key, data, at from events where number = ? order by seq", (number,))
            return tuple(Event(Kind(kind), act, key, json.loads(data), at) for kind, act, key, data, at in rows)

    def history(self, act: str, key: str = "") -> tuple[tuple[str, Event], ...]:
        """Every event of one act (of one key, or of any) with its run's id, newest first, of all runs ever."""
        with self._reading() as db:
            return tuple(
                (run_id, Event(Kind(kind), act, found, json.loads(data), at))
                for run_id, kind, found, data, at in db.execute(schema.HISTORY, (act, key))
            )

    def run(self, run_id: str) -> RunRecord:
        """One run; JournalFault names the nearest when there is none."""
        with self._reading() as db:
            return _record(db.execute(f"{schema.RUNS} where number = ?", (self._number(db, run_id),)).fetchone())

    def runs(self, policy: str = "", limit: int = 50) -> tuple[RunRecord, ...]:
        """Newest first."""
        with self._reading() as db:
            query = f"{schema.RUNS} where ? in ('', policy) order by number desc limit ?"
            return tuple(_record(row) for row in db.execute(query, (policy, limit)))

    def open_runs(self, policy: str = "") -> tuple[RunRecord, ...]:
        """Runs whose status is in OPEN_STATUSES, newest first."""
        with self._reading() as db:
            query = f"{schema.RUNS} where ? in ('', policy) and {schema.OF_STATUS} order by number desc"
            return tuple(_record(row) for row in db.execute(query, (policy, OPEN_WORDS)))

    def claim(
        self, run_id: str, resources: Sequence[str], purpose: str, *, process: int, boot_id: str, now: float
    ) -> None:
        """Take all of `resources` for `run_id` in one commit, or none: raises ForeignHold naming the claimant. Repeatable.

        A run that was closed claims nothing any more, also when it died before it could give its claims back.
        """
        with self._writing() as db:
            number = self._number(db, run_id)
            for resource in dict.fromkeys(resources):
                row = db.execute(f"{schema.CLAIMS} and resource = ?", (OPEN_WORDS, resource)).fetchone()
                if row and row[1] != run_id:
                    raise _claimed(Claim(*row))
                db.execute(schema.CLAIM, (resource, number, purpose, process, boot_id, now))

    def unclaim(self, run_id: str, resources: Sequence[str] = ()) -> None:
        """Give `resources` back (all of the run's when empty). Safe to repeat; what others claim is left alone."""
        with self._writing() as db:
            number = self._number(db, run_id)
            if resources:
                pairs = [(number, resource) for resource in resources]
                db.executemany("delete from claims where number = ? and resource = ?", pairs)
            else:
                db.execute("delete from claims where number = ?", (number,))

    def claims(self) -> tuple[Claim, ...]:
        """All claims of open runs, by resource."""
        with self._reading() as db:
            return tuple(Claim(*row) for row in db.execute(f"{schema.CLAIMS} order by resource", (OPEN_WORDS,)))

    def pin(self, array: str, group: str, reason: str, who: str, now: float) -> None:
        """Pin a group's copy. Raises Refused when it is pinned already."""
        with self._writing() as db:
            there = "select reason, who from pins where array = ? and mirror_group = ?"
            if row := db.execute(there, (array, group)).fetchone():
                raise Refused(
                    f"{array}/{group} is pinned already, by {row[1]}: {row[0]}",
                    hint=f"`splitmirror unpin {array}/{group}` lets it go",
                )
            db.execute("insert into pins values (?, ?, ?, ?, ?)", (array, group, reason, who, now))

    def unpin(self, array: str, group: str) -> None:
        """Raises Refused when it is not pinned."""
        with self._writing() as db:
            gone = db.execute("delete from pins where array = ? and mirror_group = ?", (array, group))
            if not gone.rowcount:
                pinned = [f"{a}/{g}" for a, g in db.execute("select array, mirror_group from pins order by 1, 2")]
                raise Refused(f"{array}/{group} is not pinned", hint=f"pinned are: {', '.join(pinned) or 'none'}")

    def pins(self) -> tuple[Pin, ...]:
        """All pins, by array and group."""
        with self._reading() as db:
            return tuple(Pin(*row) for row in db.execute("select * from pins order by array, mirror_group"))

    def check(self) -> None:
        """Prove that a commit would be durable now: writable, ours, whole, room on the disk. Raises JournalFault."""
        trouble.require_usable(self.folder, self.file)
        with self._reading() as db:
            found = [row[0] for row in db.execute("pragma quick_check(5)")]
        if found != ["ok"]:
            raise trouble.damaged(self.file, "\n".join(found))
        trouble.require_room(self.folder, ROOM_BYTES)
        with self._writing() as db:
            db.execute("insert or replace into scratch values (1, randomblob(65536))")

    def close(self) -> None:
        """Give the files back. Safe to call twice; afterwards every other method raises JournalFault."""
        with self._mutex, trouble.translated(self.file):
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, trouble.translated(self.file):
            if self._connection is None:
                raise JournalFault("the journal was closed", hint="open it anew")
            if self._process != os.getpid():
                raise JournalFault("the journal was opened by another process", hint="each process opens its own")
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block is on disk afterwards, or nothing of it."""
        with self._reading() as db:
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            except BaseException:
                if db.in_transaction:  # SQLite itself has rolled back after some errors
                    db.execute("rollback")
                raise

    def _number(self, db: sqlite3.Connection, run_id: str) -> int:
        row = db.execute("select number from runs where run_id = ?", (run_id,)).fetchone()
        if row is None:
            raise _no_run(run_id, (name for (name,) in db.execute("select run_id from runs order by number desc")))
        return int(row[0])


def _insert(db: sqlite3.Connection, number: int, events: Iterable[Event]) -> None:
    db.executemany("insert into events (number, kind, act, key, data, at, status) values (?, ?, ?, ?, ?, ?, ?)", (
        (number, event.kind.value, event.act, event.key, _as_json(event), event.at, _status(event)) for event in events
    ))  # fmt: skip


def _as_json(event: Event) -> str:
    try:
        return json.dumps(dict(event.data), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise JournalFault(f"the data of {event.kind.value} {event.act} cannot be written: {exc}") from exc


def _status(event: Event) -> str | None:
    """The status word of a STATUS event; a word that is none never gets into the journal."""
    if event.kind is not Kind.STATUS:
        return None
    try:
        return Status(event.data.get("status")).value
    except ValueError as exc:
        raise JournalFault(f"{event.data.get('status')!r} is not a status of a run") from exc


def _record(row: tuple[Any, ...]) -> RunRecord:
    number, run_id, policy, client, schedule, product, job, streams, began_at, status = row
    return RunRecord(run_id, number, policy, client, schedule, product, job, streams, began_at, Status(status))


def _claimed(claim: Claim) -> ForeignHold:
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(claim.since))
    return ForeignHold(
        f"{claim.resource} is claimed by run {claim.run_id} ({claim.purpose}, pid {claim.process}, since {since})",
        hint=f"wait for that run to be closed; when it ended without its post: `splitmirror recover {claim.run_id}`",
    )


def _no_run(run_id: str, known: Iterable[str]) -> JournalFault:
    from difflib import get_close_matches

    near = get_close_matches(run_id, list(known), 1, 0.4)
    hint = f"the nearest is {near[0]}" if near else "`splitmirror history` lists them"
    return JournalFault(f"the journal has no run {run_id!r}", hint=hint)
