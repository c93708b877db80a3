"""What an Oracle instance answered to ``check``, and what follows from it. Pure: nothing is asked here.

Sources: Oracle 10g R2 Backup and Recovery Advanced User's Guide (B14191), "Making User-Managed Backups"; 11g
Administrator's Guide (B28310), "Suspending and Resuming a Database"; Oracle's error help for ORA-01123, 01128, 01146;
Oracle 8.1.7 and 9.2 SQL References, ALTER TABLESPACE. Not tried on a server.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.errors import ForeignHold, Refused, UnknownAnswer

OLDEST = (8, 1)
WHOLE_DATABASE_SINCE = (10, 0)
SNAPSHOT_SINCE = (12, 1)
_WRITTEN = frozenset({"ONLINE", "SYSTEM"})
_FILE_FIELDS = 3
_NEEDED = ("instance", "database", "files", "backup", "recover", "redo", "control")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file: its own status, and what its tablespace allows (``enabled``)."""

    status: str
    enabled: str
    name: str

    @property
    def is_lost(self) -> bool:
        """Offline by itself, or in want of recovery, although its tablespace is written to."""
        return self.enabled == "READ WRITE" and self.status not in _WRITTEN


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance and its database, as `check` read them. `parameters` are those that name places."""

    version_text: str
    is_cluster: bool
    database: Mapping[str, str]
    files: tuple[DataFile, ...]
    active: tuple[str, ...]
    recover: tuple[str, ...]
    redo: tuple[str, ...]
    control: tuple[str, ...]
    archive: tuple[str, ...]
    parameters: Mapping[str, str]
    home: str
    client: str
    may_rescue: bool

    @property
    def version(self) -> tuple[int, ...]:
        """(19, 0), from 19.0.0.0.0."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version_text)[:2])

    @property
    def way(self) -> str:
        """``database``: one statement puts all of it into backup mode; ``tablespace``: one each, before 10g."""
        return "database" if self.version >= WHOLE_DATABASE_SINCE else "tablespace"

    @property
    def data(self) -> tuple[str, ...]:
        """Every data file; temporary files are not among them."""
        return tuple(sorted({file.name for file in self.files}))

    @property
    def archive_folders(self) -> tuple[str, ...]:
        """Where archived logs are written on this host, the recovery area in its true name."""
        area = self.parameters.get("db_recovery_file_dest", "")
        places = {area if place == "USE_DB_RECOVERY_FILE_DEST" else place for place in self.archive}
        return tuple(sorted(place for place in places if place[:1] in ("/", "+")))

    @property
    def kept_writable(self) -> Mapping[str, str]:
        """What must never be frozen, by what it is: a login writes its audit file, every error its trace."""
        found = {"the Oracle home": self.home}
        audit = self.parameters.get("audit_file_dest", f"{self.home}/rdbms/audit").replace("?", self.home, 1)
        found["the audit files of logins (audit_file_dest)"] = audit
        for key in ("diagnostic_dest", "background_dump_dest"):
            if self.parameters.get(key, "").startswith("/"):
                found[f"logs and traces ({key})"] = self.parameters[key]
        return found


def refuse_unasked(name: str, answer: Answer) -> None:
    """Raise for an instance of which nothing more could be asked: not open, or its I/O suspended by somebody."""
    status, io = answer.facts.get("status", ""), answer.facts.get("io", "")
    if status in ("STARTED", "MOUNTED", "OPEN MIGRATE"):
        raise Refused(f"{name} is {status}, and not open", hint="open it; of a standby, name its primary")
    if io == "SUSPENDED":
        raise ForeignHold(
            f"{name}: its I/O is suspended, and not by us", hint="find out by whom; ALTER SYSTEM RESUME ends it"
        )
    if (status, io) != ("OPEN", "ACTIVE"):
        raise UnknownAnswer(
            f"{name}: its state {status or '-'} and that of its I/O {io or '-'} are not known here", detail=answer.said
        )


def parse_instance(answer: Answer) -> Instance:
    """`check`'s facts as an Instance. Raises Refused for what the account may not see, UnknownAnswer for what cannot be read."""
    facts = answer.facts
    for line in answer.lines("failed"):
        what, _, codes = line.partition(" ")
        if what in _NEEDED:
            raise Refused(
                f"the account may not see {what} of the instance ({codes})",
                hint="GRANT SELECT ANY DICTIONARY TO that account, or leave user out for / as sysdba",
            )
    if not re.match(r"\d+\.\d+", facts.get("version", "")):
        raise UnknownAnswer("the instance's version could not be read", detail=answer.said)
    rows = [line.split("|", 2) for line in answer.lines("file")]
    if not rows or any(len(row) != _FILE_FIELDS for row in rows):
        raise UnknownAnswer("the list of data files could not be read", detail=answer.said)
    return Instance(
        version_text=facts["version"],
        is_cluster=facts.get("parallel") == "YES",
        database={key.removeprefix("database."): v for key, v in facts.items() if key.startswith("database.")},
        files=tuple(DataFile(*row) for row in rows),
        active=answer.lines("active"),
        recover=answer.lines("recover"),
        redo=answer.lines("redo"),
        control=answer.lines("control"),
        archive=answer.lines("archive"),
        parameters={key.removeprefix("parameter."): v for key, v in facts.items() if key.startswith("parameter.")},
        home=facts.get("home", ""),
        client=facts.get("client", ""),
        may_rescue=facts.get("may-rescue") == "yes",
    )


def refuse(name: str, at: Instance, mode: str, user: str) -> None:
    """Raise Refused for an instance that cannot be held as `mode` asks, ForeignHold when it is held already."""
    if at.version < OLDEST:
        raise Refused(f"{name} is Oracle {at.version_text}, older than 8i")
    _refuse_state(name, at, mode)
    _refuse_held(name, at, mode)
    for file in at.files:
        if file.is_lost:
            raise Refused(
                f"{name}: {file.name} is {file.status}, and its tablespace is written to",
                hint="recover it and bring it online, or take its tablespace offline",
            )
    if at.recover:
        number, _, path = at.recover[0].partition(" ")
        raise Refused(
            f"{name}: file {number} needs media recovery: {path}", hint="recover it: a copy of it is no backup"
        )
    if mode == "snapshot" and at.version < SNAPSHOT_SINCE:
        raise Refused(
            f"{name} is Oracle {at.version_text}; it recovers from a split without backup mode since 12.1",
            hint='use mode = "backup"',
        )
    if user and mode != "snapshot" and not at.may_rescue:
        raise Refused(
            f"{name}: the account that the client runs as may not log in as / as sysdba",
            hint="put os-user into the dba group: what ends a hold when all else is dead has no password",
        )


def _refuse_state(name: str, at: Instance, mode: str) -> None:
    if at.database.get("open_mode") != "READ WRITE":
        raise Refused(
            f"{name} is open {at.database.get('open_mode', 'in an unknown way')}, and not for writing",
            hint="open it; of a standby, name its primary",
        )
    if at.database.get("role", "PRIMARY") != "PRIMARY":
        raise Refused(f"{name} is a {at.database['role'].lower()}", hint="name its primary")
    if at.database.get("log_mode") != "ARCHIVELOG":
        raise Refused(
            f"{name} is in {at.database.get('log_mode', 'an unknown log mode')}: a copy of it could not be recovered",
            hint="ALTER DATABASE ARCHIVELOG while it is mounted; then take a full backup",
        )
    if mode == "backup" and at.parameters.get("log_archive_start") == "FALSE" and at.way == "tablespace":
        raise Refused(
            f"{name} does not archive by itself (log_archive_start is FALSE)", hint="set it, and restart the instance"
        )


def _refuse_held(name: str, at: Instance, mode: str) -> None:
    if at.active and mode == "backup":
        raise ForeignHold(
            f"{name}: {len(at.active)} of its files are in backup mode, and not by us: {at.active[0]}",
            hint="another backup runs, or one has died; if none runs: ALTER DATABASE END BACKUP",
        )


def beside(at: Instance, mounts: Mapping[str, str]) -> tuple[str, ...]:
    """What lies on a filesystem with data files and must not be frozen. `mounts`: device and mount point by path."""
    data = {mounts[path] for path in at.data if path in mounts}
    return tuple(
        f"{what}, {path}"
        for what, path in at.kept_writable.items()
        if mounts.get(path, "") in data and mounts.get(path)
    )


def warnings(at: Instance, mode: str, *, suspends: bool) -> tuple[str, ...]:
    """What a person should look at, although the copy can be made."""
    found = []
    if mode == "snapshot":
        found.append("recovery with SNAPSHOT TIME is an option of the Enterprise Edition that is licensed by itself")
    if mode == "snapshot" and at.active:
        found.append(f"{len(at.active)} files are in backup mode by somebody else: {at.active[0]}")
    if suspends and at.is_cluster:
        found.append(
            "an instance of the cluster that starts while I/O is suspended is not suspended: the copy is then unproven"
        )
    if any(name.startswith("+") for name in at.data):
        found.append("its files lie in ASM: all disks of a disk group must be split at one moment")
    if not at.archive_folders:
        found.append("no place for archived logs is known on this host: the copy needs them for its recovery")
    unread = [file.name for file in at.files if "?" in posixpath.basename(file.name)]
    if unread:
        found.append(f"the name of a file could not be read in US7ASCII: {unread[0]}")
    return tuple(found)
