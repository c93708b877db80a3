"""PostgreSQL in backup mode (15 and later), or as part of one atomic split (10 and later).

Backup mode blocks nothing. It is held by one ``psql`` that the guard's hand speaks to; when that client ends, the
server ends the backup. Data files copied at different moments while it is held are recovered with ``backup_label`` and
the write-ahead log from the start of the backup to its end. Source: PostgreSQL 15 manual, chapters 26.3 (low level
API), 26.2 (file system level backup), 9.27.3 (backup control functions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from splitmirror_drivers.applications import postgresql_wal as wal
from splitmirror_drivers.applications.postgresql_server import Server, parse_server, refuse, warnings
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, SecretReference, Size

CHECK_SECONDS = 45.0
_LOGIN_REFUSED = 2
"""psql's exit code for a connection that was refused or lost."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One PostgreSQL server as a policy names it."""

    address: str = ""
    """Folder of its socket, or host name; empty: psql's own default."""
    port: int = 5432
    user: str = "postgres"
    """The database role."""
    database: str = "postgres"
    os_user: str = "postgres"
    """The account psql runs as; empty: the login's own."""
    password: SecretReference | None = None
    mode: Literal["backup", "atomic"] = "backup"
    """``atomic``: no backup mode; data, tablespaces and log must be split at one moment."""
    psql: str = ""
    """Path of psql; empty: the one on PATH."""
    data_checks: bool = True
    """Warn of settings under which a damaged copy would not be noticed."""
    archive_wait: Duration = Duration(60)
    """How long capture waits until the last log file of the backup is archived."""
    wal_limit: Size = Size(128 * 2**20)
    """Without archiving, up to this much log is kept on the recovery card itself."""
    lease: Duration = Duration(4 * 3600)
    """After this long without a word from us the server itself ends the backup."""


class PostgreSQL:
    """One PostgreSQL server."""

    driver = "postgresql"
    families: tuple[str, ...] = ("postgresql",)

    def __init__(self, name: str, options: Options, host: Host, password: Secret | None = None) -> None:
        self.name, self.options, self.host, self._password = name, options, host, password

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> PostgreSQL:
        """The catalogue's constructor."""
        return cls(name, options, host, context.secret(options.password) if options.password else None)

    @property
    def _where(self) -> tuple[str, ...]:
        o = self.options
        return (o.address, str(o.port), o.user, o.database, o.psql)

    def _call(self, action: str, deadline: Deadline, *arguments: str) -> Answer:
        verb = Verb(f"postgresql.{action}", (*self._where, *arguments), self.options.os_user, self._password)
        return self.host.call(verb, deadline)

    def check(self, deadline: Deadline) -> Facts:
        """Ask the server what it is, where its files are, and whether it may be put into backup mode."""
        server = self._ask(deadline)
        refuse(self.name, server, self.options.mode, self.options.user)
        return Facts(
            files=server.files if self.options.mode == "backup" else tuple(sorted({*server.files, server.wal})),
            log_files=(server.wal,) if self.options.mode == "backup" else (),
            version=server.version_text,
            warnings=warnings(server, self.options.mode, data_checks=self.options.data_checks),
            needs_atomic=""
            if self.options.mode == "backup"
            else "it is not put into backup mode, so its data and its log must be of one moment",
            values={
                "archives": "yes" if server.archives else "no",
                "archive-status": "yes" if server.sees_archive_status else "no",
                "data-directory": server.data,
                "segment-bytes": str(server.segment_bytes),
                "reserve": "yes" if server.may_reserve and not server.archives else "no",
            },
        )

    def _ask(self, deadline: Deadline) -> Server:
        answer = self._call("check", deadline.sooner(CHECK_SECONDS))
        if answer.exit_code != 0:
            raise _login_fault(self, answer)
        return parse_server(answer)

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """Backup mode, or nothing at all in atomic mode: what does not hold anything cannot prove anything."""
        if self.options.mode == "atomic":
            return ()
        lease = str(round(float(self.options.lease)))
        return (
            Hold(
                name=self.name,
                family="postgresql",
                arguments=(*self._where, lease, facts.values["reserve"]),
                blocks=Blocks.NOTHING,
                ends_with=EndsWith.SESSION,
                enter_seconds=60.0,
                leave_seconds=30.0,
                user=self.options.os_user,
                secret=self._password,
                claim=f"postgresql-{self.options.port}",
                tolerates_spread=True,
            ),
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:  # noqa: ARG002
        """The label, and the log from the start of the backup to its end: from the archive, or on the card itself."""
        server = self._ask(deadline)
        if self.options.mode == "atomic":
            return Captured(wal.atomic_steps(server.data, self.options.os_user), facts=dict(facts))
        if not {"start-lsn", "stop-lsn", "label"} <= facts.keys():
            return Captured(
                ("The backup was not ended by the session that began it: there is no backup_label for this copy.",),
                facts=dict(facts),
                needs_logs="backup_label, which cannot be had any more: this copy is not recoverable in backup mode",
            )
        return self._captured(server, facts, deadline)

    def _captured(self, server: Server, facts: Mapping[str, str], deadline: Deadline) -> Captured:
        span = wal.span_of(facts, server.segment_bytes)
        files = {"backup_label": wal.restored(facts["label"])}
        if facts.get("map"):
            files["tablespace_map"] = wal.restored(facts["map"])
        is_archived = server.archives and self._await_archive(server, span.names[-1], deadline)
        segments: Mapping[str, bytes] = {}
        if not is_archived:
            segments, missing = self._fetch_segments(server, span, deadline)
            files |= {f"pg_wal/{name}": content for name, content in segments.items()}
        needs = ""
        if is_archived:
            needs = f"log files {span.names[0]} to {span.names[-1]} from the archive (all archived)"
        elif missing:
            needs = f"log files {span.names[0]} to {span.names[-1]} of {server.wal} ({missing})"
        recovery = wal.Recovery(
            server.data, self.options.os_user, server.tablespaces, span, bool(segments), is_archived
        )
        kept = {key: value for key, value in facts.items() if key not in ("label", "map")}
        return Captured(wal.backup_steps(recovery, self.name, bool(facts.get("map"))), files, kept, needs)

    def _await_archive(self, server: Server, segment: str, deadline: Deadline) -> bool:
        status = "yes" if server.sees_archive_status else "no"
        answer = self._call("archived", deadline.sooner(float(self.options.archive_wait) + 2.0), segment, status)
        if answer.exit_code != 0:
            raise CommandFailed(f"{self.name}: cannot ask whether {segment} is archived", detail=answer.said)
        return answer.facts.get("archived") == "true"

    def _fetch_segments(self, server: Server, span: wal.Span, deadline: Deadline) -> tuple[Mapping[str, bytes], str]:
        """Every log file of the span, checked page by page; or none, and why."""
        if span.size_bytes > self.options.wal_limit:
            return {}, f"{len(span.names)} files of {span.segment_bytes} bytes are more than wal-limit"
        segments: dict[str, bytes] = {}
        try:
            for name in span.names:
                segments[name] = self.host.fetch(f"{server.wal}/{name}", span.segment_bytes, deadline)
                wal.require_pages(segments[name], name, span)
        except (CommandFailed, Refused, UnknownAnswer) as fault:
            return {}, str(fault)
        return segments, ""


def _login_fault(app: PostgreSQL, answer: Answer) -> CommandFailed:
    o = app.options
    where = f"{o.address or 'the local socket'} port {o.port} on {app.host.name}"
    if answer.exit_code == _LOGIN_REFUSED:
        return CommandFailed(
            f"{app.name}: role {o.user} cannot log in to {where}",
            detail=answer.said,
            hint="see address, port, user, password and os-user of the application, and pg_hba.conf there",
        )
    return CommandFailed(f"{app.name}: {where} could not be asked (exit code {answer.exit_code})", detail=answer.said)
