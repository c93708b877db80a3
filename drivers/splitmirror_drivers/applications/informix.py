"""Informix, blocked for an external backup.

``onmode -c block`` makes a checkpoint, flushes everything to the chunks and lets every write wait until ``onmode -c
unblock``. The block is the server's, not a session's, and has no owner: it is taken only directly after the server was
seen free, and ended only where our record says that we took it. Source: IBM Informix 12.10 / HCL Informix 14.10, "Block
and unblock the database server", "External backup and restore overview".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from splitmirror_drivers.applications.informix_recovery import Recovery, steps
from splitmirror_drivers.applications.informix_server import (
    Server,
    is_backed_up,
    parse_logs,
    parse_server,
    refuse,
    warnings,
)
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Refused, UnknownAnswer
from splitmirror_drivers.kit.units import Duration

CHECK_SECONDS = 45.0
FILE_LIMIT = 4 * 2**20


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One Informix server as a policy names it."""

    informixdir: str
    """Its INFORMIXDIR."""
    server: str
    """Its INFORMIXSERVER."""
    onconfig: str = "onconfig"
    """Name of its configuration file in ``INFORMIXDIR/etc``."""
    sqlhosts: str = ""
    """Path of its connection file; empty: ``INFORMIXDIR/etc/sqlhosts``."""
    os_user: str = "informix"
    """The account its tools run as; empty: the login's own."""
    block_wait: Duration = Duration(20)
    """How long the block may take, its checkpoint included: writers wait meanwhile."""
    unblock_wait: Duration = Duration(20)
    temporary_spaces: bool = False
    """Temporary spaces must lie on the mirror too."""
    survives_restart: bool = True
    """Whether a block may outlive a restart of the server: not documented, so assumed."""
    log_backup: tuple[str, ...] = ()
    """Backs up the logical logs after the unblock, e.g. ``["onbar", "-b", "-l"]``; a bare name lies in INFORMIXDIR/bin."""
    log_switch: bool = True
    """Begin the next logical log before that, so that the one of the block is among them."""
    log_backup_wait: Duration = Duration(600)
    rank: int = 0

    def __post_init__(self) -> None:
        for key, value in (("informixdir", self.informixdir), ("sqlhosts", self.sqlhosts)):
            if value and not value.startswith("/"):
                raise ValueError(f"{key}: {value!r} is not an absolute path")
        for key, value in (("informixdir", self.informixdir), ("server", self.server), ("onconfig", self.onconfig)):
            if not value or any(mark in value for mark in "\n\0") or (key != "informixdir" and "/" in value):
                raise ValueError(f"{key}: {value!r} is not a name")
        if any("\n" in word or not word for word in self.log_backup):
            raise ValueError("log-backup: words without line breaks, none of them empty")


class Informix:
    """One Informix server."""

    driver = "informix"
    families: tuple[str, ...] = ("informix",)

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Informix:  # noqa: ARG003
        """The catalogue's constructor."""
        return cls(name, options, host)

    @property
    def _where(self) -> tuple[str, ...]:
        o = self.options
        return (o.informixdir, o.server, o.onconfig, o.sqlhosts)

    def _call(self, action: str, deadline: Deadline, *arguments: str) -> Answer:
        return self.host.call(Verb(f"informix.{action}", (*self._where, *arguments), self.options.os_user), deadline)

    def check(self, deadline: Deadline) -> Facts:
        """On-line, not blocked, the very server that is meant, all chunks on-line; where they are."""
        o, server = self.options, self._ask(deadline)
        refuse(self.name, server, o.server, o.informixdir)
        return Facts(
            files=server.files(temporary=o.temporary_spaces),
            version=server.version,
            warnings=warnings(server, temporary=o.temporary_spaces, backs_up=bool(o.log_backup)),
            values={
                "chunks": str(len(server.chunks)),
                "server-number": server.config.get("SERVERNUM", ""),
                "server-name": server.config.get("DBSERVERNAME", ""),
            },
        )

    def _ask(self, deadline: Deadline) -> Server:
        answer = self._call("check", deadline.sooner(CHECK_SECONDS))
        where = f"{self.options.os_user or 'the login'} on {self.host.name}"
        if lacking := answer.lines("lacking"):
            raise Refused(
                f"{self.name}: {where} cannot use {lacking[0]}",
                detail=answer.said,
                hint="see informixdir, onconfig and os-user of the application",
            )
        if answer.exit_code != 0:
            raise CommandFailed(
                f"{self.name}: {where} could not ask the server (exit code {answer.exit_code})", detail=answer.said
            )
        try:
            return parse_server(answer)
        except (Refused, UnknownAnswer) as fault:
            raise type(fault)(
                f"{self.name}: the server {self.options.server}: {fault}",
                detail=fault.detail or answer.said,
                hint="onstat - and onstat -d, as that account and with that environment, say more",
            ) from fault

    def holds(self, facts: Facts) -> tuple[Hold, ...]:  # noqa: ARG002 - the policy says it all
        """The block: nothing is written to any chunk while it stands."""
        o = self.options
        return (
            Hold(
                name=self.name,
                family="informix",
                arguments=(*self._where, "yes" if o.survives_restart else "no"),
                blocks=Blocks.WRITES,
                ends_with=EndsWith.SERVER,
                enter_seconds=float(o.block_wait),
                leave_seconds=float(o.unblock_wait),
                rank=o.rank,
                user=o.os_user,
                claim=f"informix-{o.server}",
                tolerates_spread=True,
                survives_restart=o.survives_restart,
            ),
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:
        """The logical logs are backed up if the policy says how; lists and administrative files go to the card."""
        server = self._ask(deadline)
        needs, found = self._log_backup(facts, server, deadline)
        answer = self._call("state", deadline.sooner(CHECK_SECONDS))
        files = {f"onstat-{key}.txt": answer.facts.get(fact, "").encode() + b"\n" for key, fact in _LISTS.items()}
        missing = self._administrative(server, files, deadline)
        recovery = Recovery(
            options_dir=self.options.informixdir,
            server=self.options.server,
            account=self.options.os_user or "informix",
            chunks=server.chunks,
            log=facts.get("log", ""),
            verdict=verdict.value,
            temporary=self.options.temporary_spaces,
            survives=self.options.survives_restart,
            missing=tuple(missing),
        )
        return Captured(steps(recovery, self.name), files, {**facts, **found}, needs)

    def _log_backup(
        self, facts: Mapping[str, str], server: Server, deadline: Deadline
    ) -> tuple[str, Mapping[str, str]]:
        """What is still needed of the logs, and what became of their backup. It never spoils a copy that is good."""
        o, log = self.options, facts.get("log", "")
        wanted = f"the logical logs from number {log or '(unknown)'} on"
        if not o.log_backup:
            return "", {}
        if server.reason:
            return f"{wanted}: blocked by somebody (Blocked:{server.reason}), so they were not backed up", {}
        try:
            answer = self._call(
                "backup",
                deadline.sooner(float(o.log_backup_wait)),
                "yes" if o.log_switch else "no",
                *o.log_backup,
            )
        except DeadlinePassed:
            return f"{wanted}: their backup was not done within {o.log_backup_wait}", {"log-backup": "not in time"}
        if answer.exit_code != 0:
            said = f"{wanted}: {o.log_backup[0]} ended with {answer.exit_code}"
            return said, {"log-backup": f"exit code {answer.exit_code}: {answer.said.strip()}"}
        logs = parse_logs(self._call("state", deadline.sooner(CHECK_SECONDS)).facts.get("logs", ""))
        if not log.isdigit() or not is_backed_up(logs, int(log)):
            return f"{wanted}: {o.log_backup[0]} ended with 0, and onstat -l does not say that it is backed up", {}
        return "", {"log-backup": f"log {log} is backed up"}

    def _administrative(self, server: Server, files: dict[str, bytes], deadline: Deadline) -> list[str]:
        """Fetches what is needed besides the chunks; the paths that could not be had."""
        o, number = self.options, server.config.get("SERVERNUM", "0")
        etc, missing = f"{o.informixdir}/etc", []
        wanted = (
            f"{etc}/{o.onconfig}",
            o.sqlhosts or f"{etc}/sqlhosts",
            f"{etc}/oncfg_{server.config.get('DBSERVERNAME', o.server)}.{number}",
            f"{etc}/ixbar.{number}",
        )
        for path in wanted:
            try:
                files[path.rpartition("/")[2]] = self.host.fetch(path, FILE_LIMIT, deadline)
            except CommandFailed:
                missing.append(path)
        return missing


_LISTS = {"d": "spaces", "l": "logs"}
