"""The postgresql driver's pure parts: spans and pages of log, what it reads and refuses, the words of a recovery."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from splitmirror_drivers.applications.postgresql_server import parse_server, refuse, warnings
from splitmirror_drivers.applications.postgresql_wal import (
    PAGE_BYTES,
    Recovery,
    Span,
    backup_steps,
    parse_position,
    require_pages,
    restored,
    span_of,
)
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

MIB = 2**20
FACTS = {
    "version": "150018",
    "recovery": "false",
    "setting.data_directory": "/srv/pg",
    "setting.wal_level": "replica",
    "setting.archive_mode": "on",
    "setting.wal_segment_size": "16777216",
    "setting.fsync": "on",
    "setting.full_page_writes": "on",
    "setting.data_checksums": "on",
    "setting.config_file": "/srv/pg/postgresql.conf",
    "archiver": "set",
    "may.start": "true",
    "may.stop": "true",
    "may.status": "true",
    "may.reserve": "true",
    "role.replication": "true",
    "wal": "/srv/pg/pg_wal",
}


def answer(**changes: str) -> Answer:
    return Answer({**FACTS, **{key.replace("__", "."): value for key, value in changes.items()}}, 0, "")


def lsn(start: str, stop: str, *, timelines: tuple[str, str] = ("1", "1")) -> dict[str, str]:
    return {"start-lsn": start, "stop-lsn": stop, "start-timeline": timelines[0], "stop-timeline": timelines[1]}


# ---- positions and names ----


@pytest.mark.parametrize(
    ("text", "expected"), [("0/2000060", 0x2000060), ("A/0", 0xA << 32), ("1F/FFFFFFFF", (0x1F << 32) + 0xFFFFFFFF)]
)
def test_a_position_is_read(text: str, expected: int) -> None:
    assert parse_position(text) == expected


@pytest.mark.parametrize("text", ["", "2000060", "0/xyz", "/", "a/b/c"])
def test_what_is_no_position_is_an_error(text: str) -> None:
    with pytest.raises(UnknownAnswer, match="is not a log position"):
        parse_position(text)


@pytest.mark.parametrize(
    ("start", "stop", "segment", "names"),
    [
        ("0/2000028", "0/2000138", 16 * MIB, ["000000010000000000000002"]),
        ("0/2000028", "0/3000000", 16 * MIB, ["000000010000000000000002"]),  # ends exactly with its file
        ("0/2000028", "0/3000001", 16 * MIB, ["000000010000000000000002", "000000010000000000000003"]),
        ("0/FF000028", "1/28", 16 * MIB, ["0000000100000000000000FF", "000000010000000100000000"]),
        ("0/FFF00028", "1/28", MIB, ["000000010000000000000FFF", "000000010000000100000000"]),
        ("2/C0000000", "3/1", 1024 * MIB, ["000000010000000200000003", "000000010000000300000000"]),
    ],
)
def test_the_log_files_of_a_backup_are_named(start: str, stop: str, segment: int, names: list[str]) -> None:
    span = span_of(lsn(start, stop), segment)
    assert list(span.names) == names
    assert span.size_bytes == len(names) * segment


@pytest.mark.parametrize("timelines", [("1", "2"), ("", ""), ("one", "one")])
def test_a_timeline_that_changed_or_is_missing_is_an_error(timelines: tuple[str, str]) -> None:
    with pytest.raises(UnknownAnswer, match="the timeline was"):
        span_of(lsn("0/2000028", "0/2000138", timelines=timelines), 16 * MIB)


# ---- pages ----

SPAN = Span(start=MIB + 100, stop=3 * MIB + 3 * PAGE_BYTES + 10, timeline=1, segment_bytes=MIB)
FIRST, LAST = "000000010000000000000001", "000000010000000000000003"


def pages(segment: int, count: int = MIB // PAGE_BYTES, timeline: int = 1) -> bytearray:
    """A log file with `count` pages written, zeros after them."""
    content = bytearray(MIB)
    for number in range(count):
        struct.pack_into(
            "=HHIQ", content, number * PAGE_BYTES, 0xD110, 1, timeline, segment * MIB + number * PAGE_BYTES
        )
    return content


def test_a_whole_file_and_a_last_one_written_as_far_as_needed_are_good() -> None:
    require_pages(bytes(pages(1)), FIRST, SPAN)
    require_pages(bytes(pages(3, 4)), LAST, SPAN)


def test_a_file_that_was_ended_early_goes_on_with_zeros() -> None:
    require_pages(bytes(pages(1, 5)), FIRST, SPAN)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (pages(9), FIRST),  # recycled: the pages of another address
        (pages(1, timeline=2), FIRST),
        (pages(1, 0), FIRST),  # made ahead, never written
        (pages(3, 3), LAST),  # a page short of the end of the backup
        (pages(1, 5)[: 9 * PAGE_BYTES] + pages(9)[9 * PAGE_BYTES :], FIRST),
        (pages(1, 5)[: 9 * PAGE_BYTES] + pages(1)[9 * PAGE_BYTES :], FIRST),  # a hole
    ],
)
def test_a_file_used_anew_or_with_a_hole_is_refused(content: bytes, name: str) -> None:
    with pytest.raises(UnknownAnswer, match=f"{name} was used anew"):
        require_pages(bytes(content), name, SPAN)


def test_a_file_of_another_size_is_refused() -> None:
    with pytest.raises(UnknownAnswer, match="has 10 bytes, not 1048576"):
        require_pages(bytes(10), FIRST, SPAN)


def test_a_label_comes_back_byte_for_byte() -> None:
    assert restored("START WAL LOCATION: 0/2000028\nLABEL: x\n") == b"START WAL LOCATION: 0/2000028\nLABEL: x\n"
    assert restored("one") == b"one\n"


# ---- reading and refusing ----


def test_a_server_is_read_with_its_tablespaces_wherever_they_are() -> None:
    server = parse_server(answer(tablespace="16390 /far/ts\n16391 pg_tblspc/16391"))
    assert server.version_text == "15.18"
    assert server.archives
    assert server.tablespaces == {"16390": "/far/ts", "16391": "/srv/pg/pg_tblspc/16391"}
    assert server.files == ("/far/ts", "/srv/pg", "/srv/pg/pg_tblspc/16391")


@pytest.mark.parametrize(("key", "value"), [("version", "fifteen"), ("recovery", "perhaps"), ("recovery", "")])
def test_what_cannot_be_read_is_not_guessed_at(key: str, value: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_server(answer(**{key: value}))


@pytest.mark.parametrize(
    ("changes", "mode", "message"),
    [
        ({"version": "90624"}, "atomic", "older than 10"),
        ({"version": "140011"}, "backup", "backup mode is held on 15 and later"),
        ({"recovery": "true"}, "backup", "a standby in recovery"),
        ({"setting.wal_level": "minimal"}, "backup", "wal_level = minimal"),
        ({"may.start": "false"}, "backup", "role sm may not execute pg_backup_start"),
        ({"may.stop": "missing"}, "backup", "role sm may not execute pg_backup_stop"),
    ],
)
def test_a_server_that_cannot_be_held_is_refused(changes: Mapping[str, str], mode: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        refuse("erp", parse_server(answer(**changes)), mode, "sm")


def test_an_atomic_split_of_a_standby_or_an_old_server_is_not_refused() -> None:
    refuse("erp", parse_server(answer(recovery="true", version="130011", may__start="missing")), "atomic", "sm")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"archiver": "unset"}, ["log files are not archived"]),
        ({"archiver": "unset", "role.replication": "false"}, ["log files are not archived", "may recycle one"]),
        ({"archiver.failed": "000000010000000000000007 true"}, ["archiving fails since 000000010000000000000007"]),
        ({"archiver.failed": "000000010000000000000007 false"}, []),
        ({"setting.hba_file": "/etc/postgresql/pg_hba.conf"}, ["lies outside the data directory"]),
        ({"setting.fsync": "off", "setting.data_checksums": "off"}, ["fsync is off", "data_checksums is off"]),
    ],
)
def test_what_a_person_should_look_at_is_said(changes: Mapping[str, str], expected: list[str]) -> None:
    found = warnings(parse_server(answer(**changes)), "backup", data_checks=True)
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))


# ---- the words ----


def steps(**changes: object) -> str:
    given = {
        "data": "/srv/pg",
        "account": "postgres",
        "tablespaces": {},
        "span": SPAN,
        "has_segments": False,
        "is_archived": False,
    } | changes
    return " ".join(backup_steps(Recovery(**given), "erp", bool(changes.get("tablespaces"))))  # type: ignore[arg-type]


def test_the_label_is_always_put_back_and_the_log_is_brought_from_where_it_is() -> None:
    for text in (steps(), steps(is_archived=True), steps(has_segments=True)):
        assert "CARD/erp/backup_label /srv/pg/backup_label" in text
        assert "do not remove backup_label" in text
    assert "CARD/erp/pg_wal/*" in steps(has_segments=True)
    assert "are in the archive" in steps(is_archived=True)
    assert "must be found" in steps()
    assert "tablespace_map" in steps(tablespaces={"16390": "/far"})
    assert "tablespace_map" not in steps()


def test_without_an_account_the_files_belong_to_whoever_restores() -> None:
    assert "install -m 600" in steps(account="")
