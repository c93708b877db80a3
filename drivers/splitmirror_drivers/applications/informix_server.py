"""What an Informix server says of itself, read and judged.

Sources: HCL Informix 14.10, "onstat - command" (banner), "Return codes on exiting the onstat utility", "onstat -d",
"onstat -l"; the words after ``Blocked:`` from "onstat -s" and from operations notes of GBase 8s, a derivative.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.errors import ForeignHold, Refused, UnknownAnswer

ON_LINE = 5
OFF_LINE = 255
MODES: Mapping[int, str] = {
    0: "initializing",
    1: "quiescent",
    2: "in recovery",
    3: "in backup",
    4: "shutting down",
    5: "on-line",
    6: "aborting",
    7: "in single-user (administration) mode",
    255: "off-line",
}
"""What each exit code of ``onstat -`` means."""
TEMPORARY = 0x2000
"""The bit of a temporary dbspace or sbspace in the flags of ``onstat -d``."""

_BANNER = re.compile(r"Version (?P<version>\S+)\s+-- (?P<mode>.+?) -- Up ")
_PASSING = re.compile(r"\((?:CKPT \w+|Prim)\)")
_SPACE = re.compile(
    r"[0-9a-f]+\s+(?P<number>\d+)\s+(?P<flags>0x[0-9a-f]+)\s+\d+\s+(?P<chunks>\d+)\s.*\s(?P<name>\S+)\s*$"
)
_CHUNK = re.compile(
    r"[0-9a-f]+\s+(?P<chunk>\d+)\s+(?P<space>\d+)\s+(?P<offset>\d+)\s+(?P<size>\d+)\b.*?"
    r"\s(?P<flags>[PM][A-Z][-A-Z?]{2,6})\s+(?P<path>/.*)"
)
_CHUNK_LINE = re.compile(r"[0-9a-f]{6,}\s+\d+\s+\d+\s")
_ACTIVE = re.compile(r"\s*(\d+) active, (\d+) maximum")
_LOG = re.compile(
    r"[0-9a-f]+\s+(?P<number>\d+)\s+(?P<flags>[-A-Z]{7})\s+(?P<id>\d+)\s+\d+:\d+\s+(?P<size>\d+)\s+(?P<used>\d+)"
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: a part of a file or raw device."""

    number: int
    space: str
    path: str
    offset: int
    flags: str
    is_temporary: bool

    @property
    def is_primary(self) -> bool:
        """Not the server's own mirror of another."""
        return self.flags[0] == "P"


@dataclass(frozen=True, slots=True)
class Log:
    """One logical log file."""

    unique: int
    is_current: bool
    is_backed_up: bool


@dataclass(frozen=True, slots=True)
class Server:
    """What check found."""

    code: int
    version: str
    mode: str
    reason: str
    chunks: tuple[Chunk, ...]
    logs: tuple[Log, ...]
    config: Mapping[str, str]
    account: str
    status: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that clients know it by."""
        words = f"{self.config.get('DBSERVERNAME', '')} {self.config.get('DBSERVERALIASES', '')}"
        return tuple(word for word in re.split(r"[\s,]+", words) if word)

    def files(self, *, temporary: bool) -> tuple[str, ...]:
        """Every file and raw device with a chunk on it."""
        return tuple(sorted({one.path for one in self.chunks if temporary or not one.is_temporary}))


def parse_server(answer: Answer) -> Server:
    """Raises UnknownAnswer at anything that is not as documented, and Refused when it does not run."""
    status, text = answer.facts.get("status", ""), answer.facts.get("code", "")
    code = int(text) if text.isdigit() else -1
    banner = _BANNER.search(status)
    if banner is None and code == OFF_LINE:
        raise Refused("it is off-line, or not where the policy says", detail=status)
    if banner is None or code not in MODES:
        raise UnknownAnswer(f"onstat - ended with {text or 'nothing'} and said what is not known", detail=status)
    config: dict[str, str] = {}
    for line in answer.lines("config"):
        key, _, value = line.partition(" ")
        before = config.get(key, "")
        config[key] = f"{before} {value}".strip() if key == "DBSERVERALIASES" else value.strip()
    return Server(
        code=code,
        version=banner["version"],
        mode=banner["mode"],
        reason=parse_reason(status),
        chunks=parse_chunks(answer.facts.get("spaces", "")),
        logs=parse_logs(answer.facts.get("logs", "")),
        config=config,
        account=answer.facts.get("account", ""),
        status=status,
    )


def parse_reason(status: str) -> str:
    """What stands after ``Blocked:``; "" when it is not blocked."""
    found = re.search(r"^Blocked:(.*)$", status, re.MULTILINE)
    return found[1].strip() if found else ""


def parse_chunks(text: str) -> tuple[Chunk, ...]:
    """The chunks of ``onstat -d``, counted against what it says itself. Raises UnknownAnswer."""
    before, heading, after = text.partition("\nChunks")
    counts = [found for found in (_ACTIVE.match(line) for line in (before + heading + after).splitlines()) if found]
    spaces = {found["number"]: found for found in map(_SPACE.match, before.splitlines()) if found}
    chunks = []
    for line in after.splitlines():
        if not _CHUNK_LINE.match(line):
            continue
        found = _CHUNK.fullmatch(line.rstrip())
        if found is None or found["space"] not in spaces:
            raise UnknownAnswer("a chunk that onstat -d lists cannot be read", detail=line)
        space = spaces[found["space"]]
        chunks.append(
            Chunk(
                number=int(found["chunk"]),
                space=space["name"],
                path=found["path"],
                offset=int(found["offset"]),
                flags=found["flags"],
                is_temporary=bool(int(space["flags"], 16) & TEMPORARY),
            )
        )
    primaries = sum(one.is_primary for one in chunks)
    if (
        len(counts) != 2
        or not chunks
        or int(counts[0][1]) != len(spaces)
        or int(counts[1][1]) not in (primaries, len(chunks))
    ):
        raise UnknownAnswer("onstat -d does not list as many spaces and chunks as it counts", detail=text)
    if sum(int(space["chunks"]) for space in spaces.values()) != primaries:
        raise UnknownAnswer("onstat -d does not list every chunk of its spaces", detail=text)
    return tuple(chunks)


def parse_logs(text: str) -> tuple[Log, ...]:
    """The logical logs of ``onstat -l``."""
    found = filter(None, (_LOG.match(line) for line in text.splitlines()))
    return tuple(Log(int(one["id"]), one["flags"][4] == "C", one["flags"][2] == "B") for one in found)


def refuse(name: str, server: Server, wanted: str, dir_: str) -> None:
    """Raises Refused or ForeignHold when it may not be blocked."""
    if server.code != ON_LINE:
        raise Refused(f"{name}: the server {wanted} is {MODES[server.code]}, not on-line", detail=server.status)
    if wanted not in server.names:
        raise Refused(
            f"{name}: {dir_}'s configuration is that of {', '.join(server.names) or 'no server'}, not of {wanted}",
            hint="onmode acts on the server of ONCONFIG: see informixdir, server and onconfig of the application",
        )
    mode = _PASSING.sub("", server.mode).strip()
    if mode != "On-Line":
        raise Refused(
            f"{name}: the server {wanted} calls itself {server.mode}",
            hint="a secondary is not blocked from here: name the primary",
        )
    if server.reason:
        raise ForeignHold(
            f"{name}: the server {wanted} is blocked already, and not by us (Blocked:{server.reason}): its users wait now",
            detail=server.status,
            hint="find out who did it; if nobody does a backup: onmode -c unblock. It is never ended from here",
        )
    bad = [one for one in server.chunks if one.is_primary and one.flags[1] != "O"]
    if bad:
        raise Refused(
            f"{name}: chunk {bad[0].number} ({bad[0].path}, {bad[0].space}) is not on-line: {bad[0].flags}",
            hint="see onstat -d",
        )


def warnings(server: Server, *, temporary: bool, backs_up: bool) -> tuple[str, ...]:
    """What a person should look at."""
    said = []
    account, _, listing = server.account.partition("\n")
    owner = [*listing.split(), "", "", ""][2]
    if account not in ("informix", "root", owner):
        said.append(f"{account} is neither informix nor root nor the owner of the installation: onmode may refuse it")
    said += [
        f"the server's own mirror of chunk {one.number} ({one.path}) is {one.flags}"
        for one in server.chunks
        if not one.is_primary and one.flags[1] != "O"
    ]
    left_out = sorted({one.space for one in server.chunks if one.is_temporary})
    if left_out and not temporary:
        said.append(f"temporary spaces are not looked for on the mirror: {', '.join(left_out)}")
    if server.config.get("LTAPEDEV") == "/dev/null":
        said.append("LTAPEDEV is /dev/null: full logical logs are thrown away, recovery ends at the copy's own moment")
    elif not backs_up:
        said.append("no log-backup: what is committed after this copy needs the site's own backup of the logical logs")
    return tuple(said)


def is_backed_up(logs: Sequence[Log], unique: int) -> bool:
    """Whether the log with this number is out of the server's hands: backed up, or used anew, which it is only then."""
    if not logs or unique > max(one.unique for one in logs):
        return False
    return all(one.is_backed_up and not one.is_current for one in logs if one.unique == unique)
