"""MariaDB (10.4 and later) and MySQL (8.0 and later), held by one client's locks over a split of one moment.

``backup-lock`` is MariaDB's ``BACKUP STAGE`` up to ``BLOCK_COMMIT``: while it waits for its turn, InnoDB's writers go on.
On MySQL it is ``LOCK INSTANCE FOR BACKUP``, which lets commits go on; where tables of other engines exist, FLUSH TABLES WITH
READ LOCK is added. ``read-lock`` is that alone. It is asked for only when no statement runs long, since everything that
writes waits behind it. Positions of the binary log are read by the session that holds the lock.

InnoDB writes pages in the background under each of these locks, so that files copied at different moments are never
recoverable: the split must be one moment, or the filesystems stand still. Sources: see ``mysql_server``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from splitmirror_drivers.applications import mysql_steps
from splitmirror_drivers.applications.mysql_server import Server, parse_server, refuse, unescaped, warnings, way
from splitmirror_drivers.applications.mysql_steps import Position
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, CommandFault, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, SecretReference

CHECK_SECONDS = 45.0
NEEDS_ATOMIC = "InnoDB writes its files in the background although commits wait, so they must be of one moment"
_BINARY_LOG_STATUS_SINCE = (8, 2)
_REPLICA_STATUS_SINCE = (8, 0, 22)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One MariaDB or MySQL server as a policy names it."""

    address: str = ""
    """Path of its socket, or host name; empty: the client's own default socket."""
    port: int = 3306
    user: str = "splitmirror"
    """The database account."""
    os_user: str = ""
    """The account the client runs as; empty: the login's own."""
    password: SecretReference | None = None
    client: str = ""
    """Path of the client; empty: ``mariadb`` or ``mysql``, whichever is on PATH."""
    mode: Literal["backup-lock", "read-lock", "atomic"] = "backup-lock"
    """``atomic``: no lock; InnoDB recovers from one atomic split as after a power failure."""
    lock_wait: Duration = Duration(5)
    """How long requests for locks may wait, all together (whole seconds). Others may wait behind them meanwhile."""
    long_query: Duration = Duration(10)
    """Before FLUSH TABLES WITH READ LOCK: give up when a statement has been running for this long."""
    lease: Duration = Duration(600)
    """After this long without a word from the client the server itself lets go; longer than max-freeze."""
    data_checks: bool = True
    """Warn of settings under which a crash loses commits."""


class MySQL:
    """One MariaDB or MySQL server."""

    driver = "mysql"
    families: tuple[str, ...] = ("mysql",)

    def __init__(self, name: str, options: Options, host: Host, password: Secret | None = None) -> None:
        self.name, self.options, self.host, self._password = name, options, host, password

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> MySQL:
        """The catalogue's constructor."""
        return cls(name, options, host, context.secret(options.password) if options.password else None)

    @property
    def _where(self) -> tuple[str, ...]:
        o = self.options
        return (o.address, str(o.port), o.user, o.client)

    def check(self, deadline: Deadline) -> Facts:
        """Ask the server what it is, where its files are, whether it may be locked, and whether somebody else does."""
        server = self._ask(deadline)
        mode = self.options.mode
        refuse(self.name, server, mode)
        how = way(server, mode)
        stops_commits = how not in ("", "instance")
        files = server.files if stops_commits else tuple(sorted({*server.files, *server.log_files}))
        return Facts(
            files=files,
            log_files=server.log_files if stops_commits else (),
            version=server.title,
            warnings=warnings(server, mode, data_checks=self.options.data_checks),
            needs_atomic=NEEDS_ATOMIC,
            values={
                "way": how,
                "data-directory": server.data,
                "read-only": server.variables.get("read_only", ""),
                "replica": "yes" if server.is_replica else "no",
                "words": words(server, how),
            },
        )

    def _ask(self, deadline: Deadline) -> Server:
        verb = Verb("mysql.check", self._where, self.options.os_user, self._password)
        answer = self.host.call(verb, deadline.sooner(CHECK_SECONDS))
        if answer.exit_code != 0:
            raise _login_fault(self, answer)
        return parse_server(answer)

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """One blocking hold, all of whose locks belong to one session; nothing at all in atomic mode."""
        o, how = self.options, facts.values["way"]
        if not how:
            return ()
        wait = max(1, math.ceil(o.lock_wait))
        rest = (str(wait), _whole(o.long_query), _whole(o.lease), facts.values["data-directory"], facts.values["words"])
        return (
            Hold(
                name=self.name,
                family="mysql",
                arguments=(*self._where, how, *rest),
                blocks=Blocks.WRITES,
                ends_with=EndsWith.SESSION,
                enter_seconds=wait + 10.0,
                leave_seconds=10.0,
                user=o.os_user,
                secret=self._password,
                claim="-".join(("mysql", *re.findall(r"[A-Za-z0-9_]+", o.address), str(o.port))),
            ),
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:
        """The positions of the moment, and how a person recovers. A server that is gone meanwhile only costs words."""
        try:
            server: Server | None = self._ask(deadline)
        except CommandFault:  # the copy was decided by the holds, and stands by itself
            server = None
        position = Position(noted(facts), is_exact=verdict is Verdict.APPLICATION and "log-status" not in facts)
        replica = replica_of(facts, server.replica_columns if server else ())
        return Captured(
            mysql_steps.steps(self.options.os_user, server, position, replica),
            facts={**_plain(facts), **position.noted, **replica},
        )


def words(server: Server, how: str) -> str:
    """What the hold notes at its moment, as ``mysql.sh`` reads it."""
    found = [server.kind.lower()]
    if server.has_binlog and how == "instance":
        found += ["log-status"] if server.has_log_status else []
    elif server.has_binlog:
        is_new = server.kind == "MySQL" and server.version >= _BINARY_LOG_STATUS_SINCE
        found.append("binary-log-status" if is_new else "master-status")
    if server.is_replica and server.kind == "MariaDB":
        found.append("slaves")
    elif server.is_replica:
        found.append("replica" if server.version >= _REPLICA_STATUS_SINCE else "slave")
    if server.others:
        found.append("sync")
    return f",{','.join(found)},"


def noted(facts: Mapping[str, str]) -> dict[str, str]:
    """File, position and GTID set from the facts of a hold, whichever statement gave them."""
    found = {k: unescaped(facts[k]).replace("\n", "") for k in _POSITIONS if facts.get(k)}
    if facts.get("log-status"):
        try:
            local = msgspec.json.decode(unescaped(facts["log-status"]), type=dict[str, Any])
        except msgspec.DecodeError as exc:
            raise UnknownAnswer("performance_schema.log_status is not what it should be", detail=str(exc)) from exc
        found["binlog-file"] = str(local.get("binary_log_file", ""))
        found["binlog-position"] = str(local.get("binary_log_position", ""))
        found["gtid-executed"] = str(local.get("gtid_executed", "")).replace("\n", "")
    return {key: value for key, value in found.items() if value}


def replica_of(facts: Mapping[str, str], columns: tuple[str, ...]) -> dict[str, str]:
    """Where a replica's own source stood at the moment of the hold: ``source`` facts, one line a channel."""
    lines = []
    for row in facts.get("replica-row", "").splitlines():
        cells = dict(zip((c.lower().replace("master", "source") for c in columns), row.split("\t"), strict=False))
        keys = ("source_host", "source_port", "relay_source_log_file", "exec_source_log_pos")
        if all(cells.get(key) for key in keys):
            host, port, file, position = (unescaped(cells[key]) for key in keys)
            lines.append(f"{host}:{port} {file} {position}")
        else:
            lines.append(row.replace("\t", " "))
    return {"replica-source": "\n".join(lines)} if lines else {}


def _plain(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: unescaped(value) for key, value in facts.items() if key not in ("replica-row", "log-status")}


def _whole(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))


def _login_fault(app: MySQL, answer: Answer) -> CommandFailed:
    o = app.options
    where = (
        f"{o.address or 'the local socket'}{'' if o.address.startswith('/') else f' port {o.port}'} on {app.host.name}"
    )
    if "ERROR 1045 " in answer.said or "ERROR 1698 " in answer.said:
        return CommandFailed(
            f"{app.name}: account {o.user} cannot log in to {where}",
            detail=answer.said,
            hint="see user, password and os-user of the application",
        )
    return CommandFailed(
        f"{app.name}: {where} could not be asked (exit code {answer.exit_code})",
        detail=answer.said,
        hint="see address, port and client of the application, and whether the server runs",
    )


_POSITIONS = ("binlog-file", "binlog-position", "gtid-binlog-pos", "gtid-slave-pos", "gtid-executed")
