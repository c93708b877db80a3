"""What a MariaDB or MySQL server answered to ``check``, and what follows from it. Pure: nothing is asked here.

Sources: MariaDB Server documentation, "BACKUP STAGE" and "FLUSH" (tried on 10.11); MySQL 8.4 Reference Manual, 15.3.5
"LOCK INSTANCE FOR BACKUP", 15.7.8.3 "FLUSH Statement", 29.12.22.5 "The log_status Table" (not tried on a server).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.errors import ForeignHold, Refused, UnknownAnswer

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_OLDEST = {"MariaDB": (10, 4), "MySQL": (8, 0)}
_SEES_TABLES = frozenset(
    {"SELECT", "SHOW VIEW", "INSERT", "UPDATE", "DELETE", "ALTER", "INDEX", "REFERENCES", "TRIGGER"}
)
_SEES_BINLOG = frozenset({"BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"})
_SEES_REPLICA = frozenset({"SLAVE MONITOR", "REPLICA MONITOR", "REPLICATION CLIENT", "SUPER"})
_NOT_IN_FILES = frozenset({"FEDERATED", "CONNECT", "SPIDER", "S3", "NDB", "NDBCLUSTER", "MEMORY", "BLACKHOLE"})
_FOLDERS = (
    "innodb_data_home_dir",
    "innodb_log_group_home_dir",
    "innodb_undo_directory",
    "innodb_doublewrite_dir",
    "aria_log_dir_path",
)


@dataclass(frozen=True, slots=True)
class Engine:
    """One storage engine that tables of users have; `example` is one of them."""

    name: str
    tables: int
    example: str


@dataclass(frozen=True, slots=True)
class Server:
    """One server. `places`: tablespace files outside the data folder; `links`: symbolic links within it, None: not known."""

    kind: str
    version_text: str
    account: str
    privileges: frozenset[str]
    variables: Mapping[str, str]
    engines: tuple[Engine, ...]
    places: tuple[str, ...]
    links: tuple[str, ...] | None
    waits: tuple[str, ...]
    locks: tuple[str, ...]
    encrypted: int
    replica_known: bool
    replica_columns: tuple[str, ...]
    has_log_status: bool

    @property
    def version(self) -> tuple[int, ...]:
        """(10, 11, 19), from 10.11.19-MariaDB-log."""
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", self.version_text)
        return tuple(map(int, match.groups())) if match else (0, 0, 0)

    @property
    def title(self) -> str:
        """MariaDB 10.11.19."""
        return f"{self.kind} {'.'.join(map(str, self.version))}"

    @property
    def data(self) -> str:
        """The data folder, without a slash at its end."""
        return self.variables["datadir"].rstrip("/") or "/"

    @property
    def has_binlog(self) -> bool:
        """Whether it keeps a binary log."""
        return self.variables.get("log_bin", "").upper() in ("ON", "1")

    @property
    def is_replica(self) -> bool:
        """Whether it is set up to replicate from another server."""
        return bool(self.replica_columns)

    @property
    def others(self) -> tuple[Engine, ...]:
        """Engines whose tables lie in files that InnoDB's recovery does not know."""
        return tuple(e for e in self.engines if e.name.upper() not in _NOT_IN_FILES | {"INNODB"})

    @property
    def binlog_folder(self) -> str:
        """Where the binary log lies; "" without one."""
        return self._folder_of("log_bin_basename") if self.has_binlog else ""

    @property
    def relay_folder(self) -> str:
        """Where the relay log of a replica lies; "" without one."""
        return self._folder_of("relay_log_basename") if self.is_replica else ""

    @property
    def files(self) -> tuple[str, ...]:
        """Data folder, and what lies outside it; links are named as such, so that coverage follows them."""
        folders = [self.absolute(self.variables[key]) for key in _FOLDERS if self.variables.get(key)]
        outside = [place for place in (*folders, *map(self.absolute, self.places)) if not self._is_inside(place)]
        return tuple(sorted({self.data, *outside, *(self.links or ())}))

    @property
    def log_files(self) -> tuple[str, ...]:
        """Folders of the binary and the relay log, where they are not the data folder."""
        return tuple(sorted({f for f in (self.binlog_folder, self.relay_folder) if f and not self._is_inside(f)}))

    def absolute(self, path: str) -> str:
        """A path as the server means it: relative ones begin at the data folder."""
        return posixpath.normpath(posixpath.join(self.data, path))

    def _folder_of(self, key: str) -> str:
        base = self.variables.get(key, "")
        return posixpath.dirname(self.absolute(base)) if base else ""

    def _is_inside(self, path: str) -> bool:
        return path == self.data or path.startswith(self.data.rstrip("/") + "/")


def unescaped(text: str) -> str:
    r"""A value as the client prints it in batch mode: ``\n``, ``\t``, ``\0`` and ``\\`` stand for what they name."""
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text)


def parse_server(answer: Answer) -> Server:
    """`check`'s facts as a Server. Raises UnknownAnswer for what cannot be read."""
    facts = answer.facts
    version = facts.get("version", "")
    variables = {k.removeprefix("variable."): unescaped(v) for k, v in facts.items() if k.startswith("variable.")}
    if not re.match(r"\d+\.\d+\.\d+", version) or not variables.get("datadir", "").startswith("/"):
        raise UnknownAnswer("the server's version or data folder could not be read", detail=answer.said)
    return Server(
        kind="MariaDB" if "mariadb" in version.lower() else "MySQL",
        version_text=version,
        account=facts.get("account", ""),
        privileges=frozenset(answer.lines("privilege")),
        variables=variables,
        engines=tuple(map(_engine, answer.lines("engine"))),
        places=tuple(map(unescaped, answer.lines("place"))),
        links=answer.lines("link") if facts.get("links") == "known" else None,
        waits=answer.lines("waits"),
        locks=answer.lines("lock"),
        encrypted=int(facts.get("encrypted", "0")),
        replica_known=facts.get("replica") == "known",
        replica_columns=tuple(facts.get("replica-columns", "").split("\t")) if facts.get("replica-columns") else (),
        has_log_status=facts.get("log-status") == "yes",
    )


def _engine(line: str) -> Engine:
    name, _, rest = line.partition(" ")
    count, _, example = rest.partition(" ")
    if not count.isdigit():
        raise UnknownAnswer(f"{line!r} is not an engine with its number of tables")
    return Engine(name, int(count), unescaped(example))


def way(server: Server, mode: str) -> str:
    """How it is held: ``stage``, ``instance``, ``instance-read``, ``read``, or "" for not at all.

    MySQL's backup lock lets commits go on. One moment of InnoDB needs no more; tables of other engines do.
    """
    if mode == "atomic":
        return ""
    if mode == "read-lock":
        return "read"
    if server.kind == "MariaDB":
        return "stage"
    return "instance-read" if server.others else "instance"


def refuse(name: str, server: Server, mode: str) -> None:
    """Raise Refused or ForeignHold for a server that cannot be held as `mode` asks."""
    oldest = _OLDEST[server.kind]
    if server.version < oldest:
        raise Refused(f"{name} is {server.title}, older than {server.kind} {'.'.join(map(str, oldest))}")
    missing = lacking(server, mode)
    if missing:
        raise Refused(
            f"{name}: {server.account} lacks {', '.join(missing)}",
            hint=f"GRANT {', '.join(missing)} ON *.* TO the account itself; what a role gives is not counted",
        )
    if mode == "atomic":
        return
    if server.waits:
        thread, seconds, state = server.waits[0].split(" ", 2)
        raise ForeignHold(
            f"{name}: thread {thread} has been {state[:1].lower()}{state[1:]} for {seconds} s: somebody else holds a lock there",
            detail="\n".join(server.waits),
            hint="look for another backup, or for a session with FLUSH TABLES WITH READ LOCK: SHOW FULL PROCESSLIST",
        )
    if server.locks:
        thread, _, kind = server.locks[0].partition(" ")
        raise ForeignHold(
            f"{name}: thread {thread} holds a lock that stops writes ({kind})",
            hint="let the backup or the person that took it finish",
        )


def lacking(server: Server, mode: str) -> tuple[str, ...]:
    """The privileges that are missing, by the name one grants."""
    held, how = server.privileges, way(server, mode)
    missing = [] if held & _SEES_TABLES else ["SHOW VIEW"]
    if "PROCESS" not in held:
        missing.append("PROCESS")
    if how and "RELOAD" not in held:
        missing.append("RELOAD")
    if how.startswith("instance") and "BACKUP_ADMIN" not in held:
        missing.append("BACKUP_ADMIN")
    new_names = server.kind == "MariaDB" and server.version >= (10, 5, 2)
    if how and server.has_binlog and not held & _SEES_BINLOG:
        missing.append("BINLOG MONITOR" if new_names else "REPLICATION CLIENT")
    if how and not server.replica_known and not held & _SEES_REPLICA:
        missing.append("SLAVE MONITOR" if new_names else "REPLICATION CLIENT")
    return tuple(dict.fromkeys(missing))


def warnings(server: Server, mode: str, *, data_checks: bool) -> tuple[str, ...]:
    """What a person should look at, although the backup can be made."""
    found = [
        f"{_count(e)} of {e.name} ({e.example}): " + _about(e, mode)
        for e in server.engines
        if e.name.upper() != "INNODB"
    ]
    if server.encrypted:
        found.append(f"{server.encrypted} tablespaces are encrypted: without their key the copy cannot be read")
    if server.links is None:
        found.append(
            f"{server.data} cannot be looked into for symbolic links: a database behind one may not be covered"
        )
    if way(server, mode) == "instance" and server.has_binlog and not server.has_log_status:
        found.append(
            "the binary log's position is not noted: GRANT SELECT ON performance_schema.log_status to the account"
        )
    if server.has_binlog is False and mode != "atomic":
        found.append("it keeps no binary log: nothing can be recovered beyond the moment of the copy")
    if server.variables.get("innodb_force_recovery", "0") != "0":
        found.append("innodb_force_recovery is set: the server itself may be damaged")
    if data_checks:
        found += _crash_safety(server)
    return tuple(found)


def _count(engine: Engine) -> str:
    return f"{engine.tables} table" + ("" if engine.tables == 1 else "s")


def _about(engine: Engine, mode: str) -> str:
    if engine.name.upper() in _NOT_IN_FILES:
        return "its rows do not lie in the data folder and are not in the copy"
    if mode == "atomic":
        return "not held, it may be damaged in the copy; CHECK TABLE tells"
    return "it cannot be rolled back or forward; CHECK TABLE after a recovery"


def _crash_safety(server: Server) -> list[str]:
    settings = server.variables
    found = []
    if settings.get("innodb_flush_log_at_trx_commit", "1") != "1":
        found.append(
            f"innodb_flush_log_at_trx_commit is {settings['innodb_flush_log_at_trx_commit']}: a crash loses commits"
        )
    if server.has_binlog and settings.get("sync_binlog", "1") != "1":
        found.append(f"sync_binlog is {settings['sync_binlog']}: after a crash the binary log may end too soon")
    if settings.get("innodb_doublewrite", "ON").upper() in ("OFF", "0"):
        found.append("innodb_doublewrite is off: a page torn by a split cannot be mended")
    return found
