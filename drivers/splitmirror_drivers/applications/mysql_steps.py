"""The words of a recovery of MariaDB or MySQL from a copy of one moment. Pure: nothing is asked here.

The copy must be started with its binary log: what was committed last may stand as prepared in InnoDB's log, and only the
binary log says that it was committed. Without it MariaDB 10.11 stops with "Found N prepared transactions!" (tried).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from splitmirror_drivers.applications.mysql_server import Server


@dataclass(frozen=True, slots=True)
class Position:
    """Where the binary log stood. `is_exact`: commits were stopped there, so that it is the copy's own end."""

    noted: Mapping[str, str]
    is_exact: bool

    @property
    def file(self) -> str:
        """The binary log's file; "" when none was noted."""
        return self.noted.get("binlog-file", "")

    @property
    def offset(self) -> str:
        """The position in that file."""
        return self.noted.get("binlog-position", "")

    @property
    def gtids(self) -> str:
        """The GTID set or position."""
        return self.noted.get("gtid-executed") or self.noted.get("gtid-binlog-pos", "")


def steps(account: str, server: Server | None, position: Position, replica: Mapping[str, str]) -> tuple[str, ...]:
    """How a person recovers a copy. COPY is the presented copy. `server` None: it could not be asked afterwards."""
    found = [_bring(server), _prepare(server), _start(account, server), _look(server)]
    if position.file:
        found.append(_onward(server, position))
    if replica:
        found.append(
            f"It was a replica; its source stood at `{replica['replica-source']}` (host:port file position, one line a channel). "
            "Start it with `--skip-slave-start` (MySQL: `--skip-replica-start`) until it is known that two of it will not replicate."
        )
    return tuple(found)


def _bring(server: Server | None) -> str:
    if server is None:
        return (
            "Stop the server. Restore its data folder, and every folder that its settings put elsewhere (InnoDB log, undo, "
            "tablespaces, binary log), all from this copy, to empty folders, with owners and modes. Never start a server on the copy itself."
        )
    others = [path for path in (*server.files, *server.log_files) if path != server.data]
    also = "".join(f", `{path}`" for path in others)
    return (
        f"Stop the server. Restore to empty folders, all from this copy, with owners and modes: `cp -a COPY/. {server.data}/`"
        + (f"; likewise what lies elsewhere{also}" if also else "")
        + ". Never mix files of two copies, and never start a server on the copy itself."
    )


def _prepare(server: Server | None) -> str:
    data = server.data if server else "DATA"
    text = f"Remove what belonged to the running server: its pid file and socket, where they lie in `{data}`."
    if server is None or server.kind == "MySQL":
        text += f" Where the original goes on running beside it, also `rm -f {data}/auto.cnf`: two servers must not share one UUID."
    return text


def _start(account: str, server: Server | None) -> str:
    name = server.binlog_folder and server.variables.get("log_bin_basename", "") if server else "the name it had"
    with_log = (
        f"WITH its binary log (`log-bin={name}`), since what was committed last is decided by it"
        if name
        else "with the settings it had (it kept no binary log)"
    )
    who = f" as account {account}" if account else " as its own account"
    return (
        f"Start the server{who}, {with_log}; for a first look add `--skip-networking --event-scheduler=OFF`. "
        "If it stops with `Found N prepared transactions`, it was started without its binary log: give it that, and "
        "never `--tc-heuristic-recover`. Never set innodb_force_recovery on a copy that is to be used."
    )


def _look(server: Server | None) -> str:
    text = "It recovers as after a power failure; its log must say `ready for connections`, and nothing of corruption."
    others = server.others if server else ()
    if others:
        names = ", ".join(e.name for e in others)
        text += f" Tables of {names} are not recovered by a log: `mysqlcheck --all-databases --check` (or CHECK TABLE, for example {others[0].example})."
    return text


def _onward(server: Server | None, position: Position) -> str:
    tool = "mysqlbinlog" if server and server.kind == "MySQL" else "mariadb-binlog"
    client = "mysql" if tool == "mysqlbinlog" else "mariadb"
    gtids = f", GTID `{position.gtids}`" if position.gtids else ""
    if not position.is_exact:
        return (
            f"The binary log stood at `{position.file}` position {position.offset}{gtids} at some moment before the split, and commits "
            "went on: the copy goes further. Where it really ends, its own binary log tells."
        )
    return (
        f"The copy ends at `{position.file}` position {position.offset}{gtids}. To go further, apply the binary logs written since, in one "
        f"call: `{tool} --start-position={position.offset} {position.file} NEXT-FILES… | {client}` (add `--stop-datetime=` to end before a "
        "mistake). A new replica of the original begins at the same place."
    )
