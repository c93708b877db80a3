"""PostgreSQL's log files by name and content, and the words of a recovery. Pure: nothing is asked here.

Names: timeline, then the file's number in two groups of eight hexadecimal digits. Every page begins with a header that
holds its own address (``XLogPageHeaderData``: magic, info, timeline, address; PostgreSQL 15,
``access/xlog_internal.h``), so that a recycled file is known for what it is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import UnknownAnswer

PAGE_BYTES = 8192
_HEADER = struct.Struct("=HHIQ")


@dataclass(frozen=True, slots=True)
class Span:
    """The log files from the start of a backup to its end; positions in bytes."""

    start: int
    stop: int
    timeline: int
    segment_bytes: int

    @property
    def names(self) -> tuple[str, ...]:
        """Every file, oldest first."""
        per_id = 2**32 // self.segment_bytes
        first, last = self.start // self.segment_bytes, max(self.start, self.stop - 1) // self.segment_bytes
        return tuple(f"{self.timeline:08X}{n // per_id:08X}{n % per_id:08X}" for n in range(first, last + 1))

    @property
    def size_bytes(self) -> int:
        """All of them together."""
        return len(self.names) * self.segment_bytes


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the steps of a recovery speak of."""

    data: str
    account: str
    tablespaces: Mapping[str, str]
    span: Span
    has_segments: bool
    is_archived: bool


def parse_position(text: str) -> int:
    """``0/2000060`` in bytes. Raises UnknownAnswer."""
    high, slash, low = text.partition("/")
    try:
        return (int(high, 16) << 32) + int(low, 16) if slash else int("")
    except ValueError as exc:
        raise UnknownAnswer(f"{text!r} is not a log position") from exc


def span_of(facts: Mapping[str, str], segment_bytes: int) -> Span:
    """The span of a backup. Raises UnknownAnswer when the timeline changed under it."""
    if facts.get("start-timeline") != facts.get("stop-timeline") or not facts.get("start-timeline", "").isdigit():
        raise UnknownAnswer(
            f"the timeline was {facts.get('start-timeline')} at the start of the backup and {facts.get('stop-timeline')} at its end"
        )
    start, stop = parse_position(facts["start-lsn"]), parse_position(facts["stop-lsn"])
    return Span(start, stop, int(facts["start-timeline"]), segment_bytes)


def restored(lines: str) -> bytes:
    """A label or map from its lines, byte for byte: it ends with a line break, which a fact cannot carry."""
    return (lines.rstrip("\n") + "\n").encode()


def require_pages(content: bytes, name: str, span: Span) -> None:
    """Raise UnknownAnswer unless every page that the backup needs of this file is of this file and timeline.

    A file that was ended early (``pg_switch_wal``) goes on with pages whose headers are zero, to its end.
    """
    if len(content) != span.segment_bytes:
        raise UnknownAnswer(f"log file {name} has {len(content)} bytes, not {span.segment_bytes}")
    per_id = 2**32 // span.segment_bytes
    begin = (int(name[8:16], 16) * per_id + int(name[16:24], 16)) * span.segment_bytes
    offsets = range(0, min(span.segment_bytes, span.stop - begin), PAGE_BYTES)
    headers = [_HEADER.unpack_from(content, offset) for offset in offsets]
    is_whole = span.stop >= begin + span.segment_bytes
    while is_whole and len(headers) > 1 and not any(headers[-1]):
        headers.pop()
    for offset, (_, _, timeline, address) in zip(offsets, headers, strict=False):
        if (timeline, address) != (span.timeline, begin + offset):
            raise UnknownAnswer(f"log file {name} was used anew before it was copied")


def backup_steps(recovery: Recovery, name: str, has_map: bool) -> tuple[str, ...]:
    """How a person recovers a copy taken in backup mode. CARD is the folder of this page, COPY the presented copy."""
    r = recovery
    owner = f"-o {r.account} -g {r.account} " if r.account else ""
    steps = [
        f"Stop the server. Restore the copy of `{r.data}` to an empty folder, with owners and modes: `cp -a COPY/. {r.data}/`"
        " (and each tablespace to its place"
        + "".join(f"; {oid}: `{place}`" for oid, place in sorted(r.tablespaces.items()))
        + "). Do not start a server on the copy itself.",
        f"Remove what belonged to the running server: `rm -f {r.data}/postmaster.pid {r.data}/postmaster.opts`. "
        f"If `{r.data}/pg_wal` was a link, make the folder that it names, with the same owner.",
        f"Put the label beside the data: `install {owner}-m 600 CARD/{name}/backup_label {r.data}/backup_label`. "
        "Never leave it out: the server would start without complaint, and be damaged.",
    ]
    if has_map:
        steps.append(
            f"The same for the tablespaces: `install {owner}-m 600 CARD/{name}/tablespace_map {r.data}/tablespace_map`; "
            "where a tablespace is restored to another place, change its line there first."
        )
    steps.append(_log_step(r, name, owner))
    steps.append(
        "Start the server. Its log must say `completed backup recovery` and `consistent recovery state reached`. "
        "`WAL ends before end of online backup` means that log files are missing: stop, bring them, start again; "
        "do not remove backup_label."
    )
    steps.append(
        "Only if data, tablespaces and pg_wal were split at one moment by one atomic group may backup_label be left out: "
        "then the server starts as after a power failure, at the moment of the split."
    )
    return tuple(steps)


def _log_step(r: Recovery, name: str, owner: str) -> str:
    first, last = r.span.names[0], r.span.names[-1]
    if r.has_segments:
        return (
            f'Bring the log of the backup itself: `for f in CARD/{name}/pg_wal/*; do install {owner}-m 600 "$f" {r.data}/pg_wal/; done` '
            f"({first} to {last}). This recovers to the end of the backup."
        )
    where = (
        "are in the archive"
        if r.is_archived
        else "must be found: in the archive, on a log mirror, or in pg_wal of the primary"
    )
    return (
        f"The log files {first} to {last} {where}. Make them reachable: `touch {r.data}/recovery.signal`, and in "
        "postgresql.conf `restore_command = 'cp /ARCHIVE/%f \"%p\"'` (ARCHIVE: where they are). For the end of this backup "
        "and not the end of the archive add `recovery_target = 'immediate'` and `recovery_target_action = 'promote'`."
    )


def atomic_steps(data: str, account: str) -> tuple[str, ...]:
    """How a person recovers a copy that is one moment over data and log."""
    as_account = f"as account {account}" if account else "as its own account"
    return (
        f"Stop the server. Restore data directory, tablespaces and log, all from this copy, with owners and modes: `cp -a COPY/. {data}/`.",
        f"Remove what belonged to the running server: `rm -f {data}/postmaster.pid {data}/postmaster.opts`.",
        f"Start the server {as_account}: it recovers as after a power failure; its log must say `redo done` "
        "(or that no redo was needed) and `ready to accept connections`.",
    )
