"""What the Volume Manager's programs print, read from recordings; and what is not read by guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitmirror_drivers.kit.errors import UnknownAnswer
from splitmirror_drivers.presentation.vxvm_tools import (
    Records,
    parse_disks,
    parse_groups,
    parse_label,
    parse_name,
    parse_records,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "vxvm"
ALL = sorted(path.stem for path in GOLDEN.glob("*.json"))


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def said(name: str) -> str:
    return "\n".join(recorded(name)["stdout"])


def told(records: Records) -> dict[str, Any]:
    return {
        "data": list(records.data),
        "states": {name: f"{one.kernel} {one.state}" for name, one in records.volumes.items()},
        "plexes": {plex.name: plex.state for plex in records.plexes},
        "snaps": [[snap.name, snap.other, snap.of] for snap in records.snaps],
        "tracked": sorted(records.tracked),
        "devices": sorted(records.devices),
    }


def label(text: str) -> dict[str, Any]:
    found = parse_label(text, text.splitlines()[0].split()[1])
    return {
        "group": found.group,
        "group_id": found.group_id,
        "owner": found.owner,
        "paths": sorted(found.paths),
    }


READERS: dict[str, Callable[[str], Any]] = {
    "records": lambda text: told(parse_records(text)),
    "disks": lambda text: [[one.device, one.group, one.is_imported, one.is_clone] for one in parse_disks(text)],
    "label": label,
    "groups": lambda text: dict(parse_groups(text)),
}


@pytest.mark.parametrize("name", ALL)
def test_recording_is_read(name: str) -> None:
    one = recorded(name)
    assert one["source"]
    assert READERS[one["reads"]](said(name)) == one["result"]


def test_there_are_recordings_of_everything_that_is_read() -> None:
    assert {recorded(name)["reads"] for name in ALL} == set(READERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ENABLED  SNAPDONE", "SNAPDONE"),
        ("data         ENABLED  ACTIVE   LOGONLY", "dataENABLED  ACTIVE   LOGONLY"),
        ("DISABLED CLEAN    204800   SELECT", "SIDEWAYS CLEAN    204800   SELECT"),
        ("sp log_snp      log          log_copy_dco", "sp log_snp      log"),
        ("dc log_dco      log          log_dcl", "dc log_dcolog  log_dcl"),
    ],
)
def test_line_that_lacks_a_word_is_an_error(old: str, new: str) -> None:
    text = said("vxprint-snapshots")
    assert old in text
    with pytest.raises(UnknownAnswer, match="vxprint"):
        parse_records(text.replace(old, new))


@pytest.mark.parametrize("text", ["", "DEVICE TYPE DISK GROUP\n", "NAME TYPE DISK GROUP STATUS\n"])
def test_list_of_disks_with_another_heading_is_an_error(text: str) -> None:
    if text.startswith("DEVICE"):
        assert parse_disks(text) == ()
        text += "c1t1d0 auto - -\n"
    with pytest.raises(UnknownAnswer):
        parse_disks(text)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("vxdisk-list-device", "hostid:", "host:"),
        ("vxdisk-list-device", "group: name=erp id=962212937.1025.db1", "group: erp"),
        ("vxdisk-list-device", "group:", "groups:"),
    ],
)
def test_label_that_does_not_say_whose_it_is_is_an_error(name: str, old: str, new: str) -> None:
    text = said(name)
    assert old in text
    with pytest.raises(UnknownAnswer, match="part of"):
        parse_label(text.replace(old, new), "c1t0d3")


@pytest.mark.parametrize("text", ["", "NAME ID\n", "NAME STATE ID\nerp enabled\n"])
def test_list_of_groups_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_groups(text)


def test_name_of_a_host_is_read_and_never_empty() -> None:
    assert parse_name("Volboot file\nversion: 3/1\nseqno:   0.5\nhostid:  backup\n") == "backup"
    for text in ("", "hostid:\n", "host: backup\n"):
        with pytest.raises(UnknownAnswer):
            parse_name(text)
