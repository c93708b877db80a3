"""The tables of the SQLite journal, how a connection to them is made, and which schema versions this program knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from splitmirror.locks import Lock
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import JournalFault

if TYPE_CHECKING:
    import sqlite3

VERSION = 1

TABLES = """
create table runs (
  number integer primary key, run_id text not null unique, policy text not null, client text not null,
  schedule text not null, product text not null, job text not null, streams integer not null, began_at real not null
) strict;
create index runs_by_policy on runs (policy, number);
create table events (
  seq integer primary key, number integer not null references runs, kind text not null, act text not null,
  key text not null, data text not null, at real not null, status text check ((status is null) = (kind <> 'status'))
) strict;
create index events_by_run on events (number, seq);
create index events_by_act on events (act, key, seq);
create index events_of_status on events (number, seq, status) where status is not null;
create table claims (
  resource text primary key, number integer not null references runs, purpose text not null,
  process integer not null, boot_id text not null, since real not null
) strict;
create table pins (
  array text not null, mirror_group text not null, reason text not null, who text not null, since real not null,
  primary key (array, mirror_group)
) strict;
create table scratch (id integer primary key, filling blob not null) strict;
create table schema_version (version integer not null) strict;
insert into schema_version values (1);
create trigger events_stay before update on events begin select raise(abort, 'events are never changed'); end;
create trigger events_keep before delete on events begin select raise(abort, 'events are never deleted'); end;
create trigger runs_stay before update on runs begin select raise(abort, 'runs are never changed'); end;
create trigger runs_keep before delete on runs begin select raise(abort, 'runs are never deleted'); end;
"""

RUNS = """select number, run_id, policy, client, schedule, product, job, streams, began_at,
  (select status from events where events.number = runs.number and status is not null order by seq desc limit 1) as status
  from runs"""

HISTORY = """select run_id, kind, key, data, at from events join runs using (number)
  where act = ?1 and ?2 in ('', key) order by seq desc"""

OF_STATUS = "status in (select value from json_each(?))"

CLAIMS = f"""select resource, run_id, purpose, process, boot_id, since from claims join ({RUNS}) using (number)
  where {OF_STATUS}"""  # noqa: S608 - constants

CLAIM = """insert into claims values (?, ?, ?, ?, ?, ?) on conflict (resource) do update
  set since = iif(number = excluded.number, since, excluded.since), number = excluded.number,
      purpose = excluded.purpose, process = excluded.process, boot_id = excluded.boot_id"""


def connect(file: Path, busy_seconds: float) -> sqlite3.Connection:
    """A connection whose commits are on disk when they return; the tables are made when the file is new.

    Opening is one at a time: the change to a write-ahead log does not wait for others by itself.
    """
    import sqlite3

    door = Lock(file.with_name("journal.lock"))
    door.acquire(Deadline.after(busy_seconds))
    try:
        _make_private(file)
        db = sqlite3.connect(file, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, file)
        except BaseException:
            db.close()
            raise
    finally:
        door.release()
    return db


def _make_private(file: Path) -> None:
    """Make the file for us alone; SQLite gives its log the same mode. Never opened when it is there: closing would
    drop the locks of another connection of this process.
    """
    if not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _prepare(db: sqlite3.Connection, file: Path) -> None:
    if not db.execute("select 1 from sqlite_schema where name = 'schema_version'").fetchone():
        if db.execute("select 1 from sqlite_schema").fetchone():
            raise JournalFault(f"{file} is a database, but not a journal", hint="is [settings] state the right folder?")
        db.execute("pragma journal_mode = wal")
        db.executescript(f"pragma synchronous = full; begin immediate; {TABLES} commit;")
    (version,) = db.execute("select max(version) from schema_version").fetchone()
    if version != VERSION:
        raise JournalFault(
            f"the journal {file} has schema version {version}, and this program knows version {VERSION}",
            hint="use the splitmirror that wrote it, or a newer one; nothing was changed",
        )
    (mode,) = db.execute("pragma journal_mode = wal").fetchone()
    if mode != "wal":
        raise JournalFault(
            f"the journal {file} cannot keep a write-ahead log (mode {mode})", hint="keep it on a local filesystem"
        )
    db.execute("pragma synchronous = full")
    db.execute("pragma foreign_keys = on")
