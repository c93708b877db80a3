"""What status reads is what the real guard program writes: no format is agreed upon by two tests alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitmirror.admin import asking
from splitmirror_drivers.contracts.host import Verb
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.deadline import Deadline

RUN = "erp-20261124-010000-42"


def record(folder: Path, number: int, name: str, *marks: str, owner: str = "backup1") -> None:
    """A hold's record as the guard leaves it; `marks`: files that say how far it came."""
    run = folder / "runs" / RUN
    hold = run / f"{number}.{name}"
    (hold / "dir").mkdir(parents=True)
    for file, content in (("owner", owner), ("boot", "an-earlier-boot")):
        (run / file).write_text(f"{content}\n")
    for file, content in (("family", "postgresql"), ("blocks", "writes")):
        (hold / file).write_text(f"{content}\n")
    for mark in marks:
        word, _, content = mark.partition("=")
        (hold / word).write_text(f"{content or 'yes'}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The guard's folder."""
    made = tmp_path / "guard"
    made.mkdir(mode=0o700)
    return made


def records(folder: Path) -> list[asking.Held]:
    host = LocalHost("db1", Options(guard_dir=str(folder)))
    answer = host.call(Verb("host.records"), Deadline.after(30))
    assert answer.exit_code == 0, answer.said
    return [asking.parse_record("db1", line) for line in answer.lines("hold")]


def test_a_guard_without_a_record_says_that_nothing_is_held(folder: Path) -> None:
    assert records(folder) == []


def test_every_state_of_a_record_is_understood(folder: Path) -> None:
    record(folder, 1, "armed-only")
    record(folder, 2, "db", "taking", "taken")
    record(folder, 3, "half", "taking")
    record(folder, 4, "over", "taking", "taken", "ended=WAS_HELD hand")
    found = {held.name: held for held in records(folder)}
    assert set(found) == {"db", "half", "over"}
    assert {name for name, held in found.items() if held.stands} == {"db", "half"}
    assert found["db"] == asking.Held("db1", RUN, "backup1", "db", "postgresql", "taken", "an-earlier-boot")
    assert found["over"].state == "ended WAS_HELD hand"


def test_the_boot_of_the_data_server_can_be_told_from_an_earlier_one(folder: Path) -> None:
    record(folder, 1, "db", "taking", "taken")
    host = LocalHost("db1", Options(guard_dir=str(folder)))
    boot = host.call(Verb("host.facts"), Deadline.after(30)).facts["boot"]
    (held,) = records(folder)
    assert boot
    assert held.boot != boot
