"""SQLite databases: one client holds a write transaction over each of them, so that writers wait and readers go on.

``BEGIN IMMEDIATE`` takes the one write lock of a database file, in WAL mode as in the others; whoever else wants to write
waits as long as its own busy time-out says. Checkpoints that need no lock may still move pages from the log to the
database file; such a copy is whole, since the log stays as it is. Source: sqlite.org, "Transaction" (lang_transaction),
"Write-Ahead Logging" (wal), "File Locking And Concurrency" (lockingv3); the transaction covers all attached databases.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.units import Duration

CHECK_SECONDS = 30.0
LEAVE_SECONDS = 10.0
MOST_IN_ONE_HOLD = 10
"""SQLite's own default: ten attached databases beside the first; one is kept in reserve."""
NETWORK = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "fuse.sshfs", "fuse.glusterfs"}
)
_PLAIN = frozenset((string.ascii_letters + string.digits + "/._-").encode())
_PLACE_FIELDS = 4


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """SQLite databases that are held together."""

    databases: tuple[str, ...]
    """Their files, from the root on."""
    client: tuple[str, ...] = ()
    """The command of a Python 3 or of the sqlite3 shell; empty: python3 on PATH, else sqlite3."""
    os_user: str = ""
    """The account the client runs as, best the application's own; empty: the login's."""
    wait: Duration = Duration(10)
    """How long a writer that is at work may take to end its transaction before the hold is given up."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database as `check` found it. `path` is its real path: its log and journal lie beside that."""

    path: str
    mode: str
    pages: int
    version: str


class SQLite:
    """SQLite databases of one data server."""

    driver = "sqlite"
    families: tuple[str, ...] = ("sqlite",)

    def __init__(self, name: str, options: Options, host: Host) -> None:
        if not options.databases:
            raise PolicyFault(f"{name}: no database is named", hint='databases = ["/path/to/file.db"]')
        if wrong := [path for path in options.databases if not path.startswith("/")]:
            raise PolicyFault(f"{name}: {wrong[0]} is not written from the root on")
        self.name, self.options, self.host = name, options, host

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> SQLite:  # noqa: ARG003
        """The catalogue's constructor."""
        return cls(name, options, host)

    @property
    def _client(self) -> tuple[str, ...]:
        return (client_code(), str(len(self.options.client)), *self.options.client)

    def check(self, deadline: Deadline) -> Facts:
        """Where each file really lies, whether it is a database, can be opened and locked; changes nothing."""
        deadline = deadline.sooner(CHECK_SECONDS)
        found = [self._check_one(path, deadline) for path in self._real_paths(deadline)]
        places = {database.path for database in found} | {str(PurePosixPath(one.path).parent) for one in found}
        return Facts(
            files=tuple(sorted(places)),
            version=found[0].version,
            warnings=tuple(_warnings(found)),
            values={"databases": "\n".join(one.path for one in found), "modes": " ".join(one.mode for one in found)},
        )

    def _real_paths(self, deadline: Deadline) -> list[str]:
        answer = self.host.call(Verb("host.coverage", self.options.databases), deadline)
        if answer.exit_code != 0:
            raise UnknownAnswer(f"{self.host.name} could not say where files lie", detail=answer.said)
        if missing := answer.lines("missing"):
            raise Refused(f"{self.name}: {missing[0]} does not exist on {self.host.name}")
        rows = [line.split("\t") for line in answer.lines("covers")]
        if len(rows) != len(self.options.databases) or any(len(row) != _PLACE_FIELDS for row in rows):
            raise UnknownAnswer(f"{self.host.name} did not say where every database lies", detail=answer.said)
        for path, _, _, kind in rows:
            if kind in NETWORK:
                raise Refused(
                    f"{self.name}: {path} lies on a network filesystem ({kind})",
                    detail="SQLite's locks do not hold everybody there, so nobody can be kept from writing",
                    hint="move the database to a local filesystem of the machine that uses it",
                )
        return sorted({row[0] for row in rows})

    def _check_one(self, path: str, deadline: Deadline) -> Database:
        verb = Verb("sqlite.check", (path, *self._client, uri(path)), user=self.options.os_user)
        answer = self.host.call(verb, deadline)
        if answer.exit_code != 0:
            raise CommandFailed(
                f"{self.name}: {path} could not be asked (exit code {answer.exit_code})", detail=answer.said
            )
        return parse_database(self.name, path, answer)

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """One write transaction for every ten databases, always in the same order."""
        paths = facts.values["databases"].splitlines()
        parts = [paths[at : at + MOST_IN_ONE_HOLD] for at in range(0, len(paths), MOST_IN_ONE_HOLD)]
        return tuple(self._hold(number, part) for number, part in enumerate(parts, 1))

    def _hold(self, number: int, paths: list[str]) -> Hold:
        return Hold(
            name=self.name if number == 1 else f"{self.name}.{number}",
            family="sqlite",
            arguments=(*self._client, *map(uri, paths)),
            blocks=Blocks.WRITES,
            ends_with=EndsWith.SESSION,
            enter_seconds=float(self.options.wait),
            leave_seconds=LEAVE_SECONDS,
            rank=number,
            user=self.options.os_user,
            claim=f"sqlite-{' '.join(paths)}",
            tolerates_spread=True,
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:  # noqa: ARG002
        """A database with its log is opened and recovers by itself; nothing else is needed."""
        return Captured(tuple(_steps(self.options.databases)), facts=dict(facts))


def parse_database(name: str, path: str, answer: Answer) -> Database:
    """`check`'s facts of one database. Raises Refused for what cannot be held, UnknownAnswer for what cannot be read."""
    facts = answer.facts
    if "missing" in facts:
        raise Refused(f"{name}: {path} is not a file that the client's account can see")
    if "not-sqlite" in facts:
        raise Refused(
            f"{name}: {path} is not an SQLite database",
            detail="it does not begin with 'SQLite format 3'",
            hint="an empty or an encrypted file cannot be held; name the right file, or take it out",
        )
    if "refused" in facts:
        raise Refused(
            f"{name}: {path} cannot be locked for writing: {facts['refused'].splitlines()[0]}",
            detail=facts["refused"],
            hint="run the client as the application's account (os-user); an application in exclusive locking mode lets nobody in",
        )
    if not facts.get("pages", "").isdigit() or not facts.get("mode", "").isalpha():
        raise UnknownAnswer(f"{name}: what the client says of {path} cannot be read", detail=answer.said or repr(facts))
    return Database(path, facts["mode"], int(facts["pages"]), facts.get("version", ""))


def uri(path: str) -> str:
    """A path as SQLite's URI, opened for writing and never created; everything that is not plain is encoded."""
    encoded = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in path.encode(errors="surrogateescape"))
    return f"file:{encoded}?mode=rw"


@cache
def client_code() -> str:
    """The Python client as a program of one line, which can be an argument."""
    text = files("splitmirror_drivers.applications").joinpath("sqlite_client.py").read_text(encoding="utf-8")
    return f"exec({text!r})"


def _warnings(found: list[Database]) -> Iterator[str]:
    for database in found:
        if database.mode in ("off", "memory"):
            yield f"{database.path} has journal_mode {database.mode}: a crash of the application may damage it"


def _steps(databases: tuple[str, ...]) -> Iterator[str]:
    yield (
        "Stop the application. Copy each database file back together with the files beside it whose names are its own "
        "with -wal or -journal at the end, and remove any other -wal, -journal or -shm there: " + ", ".join(databases)
    )
    yield (
        "Open each one: what its log holds is taken over by that. Check it: sqlite3 FILE 'pragma integrity_check' "
        "must answer ok. Then start the application. No writer was at work when the copy was made: it holds every "
        "transaction that was committed before, and nothing half done."
    )
