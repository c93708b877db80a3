"""What a PostgreSQL server answered to ``check``, and what follows from it. Pure: nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

FIRST_WITH_BACKUP_MODE = 150000
OLDEST = 100000


@dataclass(frozen=True, slots=True)
class Server:
    """What `check` read of a server. `data` and `wal` are folders; `tablespaces` is location by object id."""

    version: int
    in_recovery: bool
    data: str
    wal: str
    settings: Mapping[str, str]
    tablespaces: Mapping[str, str]
    archiver_set: bool
    archiver_failing: str
    may: Mapping[str, str]
    may_replicate: bool

    @property
    def version_text(self) -> str:
        """15.20, from 150020."""
        return f"{self.version // 10000}.{self.version % 10000}"

    @property
    def archives(self) -> bool:
        """Whether filled log files are archived by the server."""
        return self.settings.get("archive_mode", "off") != "off" and self.archiver_set

    @property
    def segment_bytes(self) -> int:
        """Size of one log file."""
        return int(self.settings.get("wal_segment_size", str(16 * 2**20)))

    @property
    def sees_archive_status(self) -> bool:
        """Whether the role may list the archiver's state files."""
        return self.may.get("status") == "true"

    @property
    def may_reserve(self) -> bool:
        """Whether the role may keep log files by a temporary replication slot."""
        return self.may.get("reserve") == "true" and self.may_replicate

    @property
    def files(self) -> tuple[str, ...]:
        """Data directory and tablespaces."""
        return tuple(sorted({self.data, *self.tablespaces.values()}))


def parse_server(answer: Answer) -> Server:
    """`check`'s facts as a Server. Raises Refused for what the role may not see, UnknownAnswer for what cannot be read."""
    facts = answer.facts
    settings = {
        key.removeprefix("setting."): value.split("\n")[-1] for key, value in facts.items() if "setting." in key
    }
    if facts.get("recovery") not in ("true", "false") or not facts.get("version", "").isdigit():
        raise UnknownAnswer("the server's version or state could not be read", detail=answer.said)
    if not settings.get("data_directory"):
        raise Refused("the role may not see where the data directory is", hint="GRANT pg_monitor TO the role")
    data = settings["data_directory"]
    spaces = dict(line.split(" ", 1) for line in answer.lines("tablespace"))
    failed, _, is_latest = facts.get("archiver.failed", "").rpartition(" ")
    return Server(
        version=int(facts["version"]),
        in_recovery=facts["recovery"] == "true",
        data=data,
        wal=facts.get("wal", f"{data}/pg_wal"),
        settings=settings,
        tablespaces={oid: place if place.startswith("/") else f"{data}/{place}" for oid, place in spaces.items()},
        archiver_set=facts.get("archiver") == "set",
        archiver_failing=failed if is_latest == "true" else "",
        may={key.removeprefix("may."): value for key, value in facts.items() if key.startswith("may.")},
        may_replicate=facts.get("role.replication") == "true",
    )


def refuse(name: str, server: Server, mode: str, role: str) -> None:
    """Raise Refused for a server that cannot be held as `mode` asks."""
    if server.version < OLDEST:
        raise Refused(f"{name} is PostgreSQL {server.version_text}, older than 10")
    if mode == "atomic":
        return
    if server.version < FIRST_WITH_BACKUP_MODE:
        raise Refused(
            f"{name} is PostgreSQL {server.version_text}; backup mode is held on 15 and later",
            hint='use mode = "atomic" with an array that splits data and log at one moment',
        )
    if server.in_recovery:
        raise Refused(f"{name} is a standby in recovery", hint='name the primary, or use mode = "atomic"')
    if server.settings.get("wal_level") not in ("replica", "logical"):
        raise Refused(
            f"{name} has wal_level = {server.settings.get('wal_level')}",
            hint='set wal_level = replica and restart it, or use mode = "atomic"',
        )
    for action in ("start", "stop"):
        if server.may.get(action) != "true":
            raise Refused(
                f"{name}: role {role} may not execute pg_backup_{action}",
                hint=f"GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO {role}",
            )


def warnings(server: Server, mode: str, *, data_checks: bool) -> tuple[str, ...]:
    """What a person should look at, although the backup can be made."""
    found = []
    if mode == "backup" and not server.archives:
        found.append("log files are not archived: those that this backup needs are put on its recovery card")
        if not server.may_reserve:
            found.append(
                "the role may not keep log files (REPLICATION): a checkpoint may recycle one before it is copied"
            )
    if server.archives and server.archiver_failing:
        found.append(f"archiving fails since {server.archiver_failing}")
    if server.in_recovery:
        found.append("it is a standby in recovery")
    for key in ("config_file", "hba_file", "ident_file"):
        path = server.settings.get(key, "")
        if path and not path.startswith(server.data.rstrip("/") + "/"):
            found.append(f"{path} lies outside the data directory and is not in the copy")
    if data_checks:
        found += [
            f"{key} is off"
            for key in ("fsync", "full_page_writes", "data_checksums")
            if server.settings.get(key) == "off"
        ]
    return tuple(found)
