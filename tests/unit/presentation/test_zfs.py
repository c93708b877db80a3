"""What ``zpool`` prints, read from its layouts; and what the zfs presentation refuses before it touches anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.presentation.recorded import RecordedHost, seen

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation import zfs_words as words
from splitmirror_drivers.presentation.zfs import Options, Zfs

GOLDEN = Path(__file__).parents[2] / "golden" / "zfs"
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
COPY = Exposed("device", ("/dev/sdb",), "db1")
FOLDER = "drwxr-xr-x\t0\t/backup\t-\tfull"
FREE = {"/backup": FOLDER, "/dev/sdb": "brw-rw----\t0\t/dev/sdb\t8:16\t-"}
FOUND = "   pool: tank\n     id: 11\n  state: ONLINE\n action: The pool can be imported.\n config:\n\n\ttank  ONLINE\n"


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def soon(seconds: float = 5) -> Deadline:
    return Deadline.after(seconds)


def world(places: dict[str, str] | None = None, **commands: Any) -> tuple[Zfs, RecordedHost]:
    given: dict[str, Any] = {
        "zpool list": (0, ""),
        "zpool import -d": (0, FOUND),
        "zpool import -N": (0, ""),
        "zpool status -P tank-run-1": (0, "\n".join(recorded("status-imported")["stdout"])),
        "zpool get": (0, "on\n"),
        "blockdev": (0, ""),
        "zfs list": (0, "tank-run-1\t/backup/.erp.pool/tank\tno\ton\n"),
    }
    given |= commands
    answers = {"filesystem.seen": seen(FREE if places is None else places), "filesystem.users": Answer({}, 0, "")}
    host = RecordedHost(given, dict(answers))
    return Zfs("/backup/erp", Options(pool="tank"), host), host


# -- layouts --


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("status-*.json")))
def test_status_is_read(name: str) -> None:
    one = recorded(name)
    status = words.parse_status("\n".join(one["stdout"]))
    found = {
        "pool": status.pool,
        "state": status.state,
        "scan": status.scan,
        "tops": {top: [[leaf.name, leaf.state, leaf.note] for leaf in leaves] for top, leaves in status.tops.items()},
    }
    assert found == one["result"]


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("import-*.json")))
def test_a_list_of_importable_pools_is_read(name: str) -> None:
    one = recorded(name)
    pools = words.parse_importable("\n".join(one["stdout"]))
    assert [[pool.name, pool.guid, pool.state] for pool in pools] == one["result"]


def test_every_golden_transcript_says_where_it_is_from() -> None:
    assert all(json.loads(path.read_text(encoding="utf-8"))["source"] for path in GOLDEN.glob("*.json"))


@pytest.mark.parametrize(
    "text", ["", "no pools available\n", "  pool: tank\n state: ONLINE\nconfig:\n\nerrors: none\n"]
)
def test_a_status_that_says_nothing_is_unknown(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        words.parse_status(text)


@pytest.mark.parametrize("text", ["hello\n", FOUND.replace("id:", "number:"), FOUND.replace("state: ONLINE", "state:")])
def test_a_list_of_pools_in_other_words_is_unknown(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        words.parse_importable(text)


def test_a_row_of_another_number_of_fields_is_unknown() -> None:
    with pytest.raises(UnknownAnswer):
        words.rows("a\tb\nc\n", 2, "zfs list")


# -- options --


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"pool": "9tank"}, "not the name of a pool"),
        ({"pool": "-f"}, "not the name of a pool"),
        ({"pool": "tank", "volume": "/erp"}, "not the name of a filesystem"),
        ({"pool": "tank", "filesystem": "ext4"}, "has no fsck"),
        ({"pool": "tank", "fsck": True}, "has no fsck"),
        ({"pool": "tank", "options": ("rw",)}, "not a mount option"),
    ],
)
def test_options_that_are_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(PolicyFault, match=what):
        Zfs.from_options("/backup/erp", Options(**given), RecordedHost(), CONTEXT)


def test_a_filesystem_that_is_named_rightly_is_taken() -> None:
    assert Zfs.from_options("/backup/erp", Options(pool="tank", filesystem="zfs"), RecordedHost(), CONTEXT).path


# -- what is refused --


@pytest.mark.parametrize(
    ("exposed", "what"),
    [
        (Exposed("device", ("/dev/sdb",), "db2"), "exposed on db2"),
        (Exposed("tree", ("/copies/erp",), "db1"), "no pool on disks"),
        (Exposed("device", (), "db1"), "no pool on disks"),
    ],
)
def test_what_is_no_pool_here_is_refused(exposed: Exposed, what: str) -> None:
    zfs, _ = world()
    with pytest.raises(Refused, match=what):
        zfs.intend(exposed, "run-1", is_frozen=True)


def test_a_run_whose_name_is_none_for_a_pool_is_refused() -> None:
    zfs, _ = world()
    with pytest.raises(Refused, match="cannot be the name of a pool"):
        zfs.intend(COPY, "run/1", is_frozen=True)


def test_check_refuses_a_folder_that_still_holds_a_pool() -> None:
    zfs, host = world({**FREE, "/backup/.erp.pool": "drwxr-xr-x\t0\t/backup/.erp.pool\t-\tfull"})
    with pytest.raises(Refused, match="is not empty"):
        zfs.check(soon())
    assert host.acts() == []


@pytest.mark.parametrize(
    ("commands", "what"),
    [
        ({"zpool import -d": (1, "")}, "0 pools are on /dev/sdb"),
        ({"zpool import -d": (0, FOUND + FOUND)}, "2 pools are on"),
        ({"zpool list": (0, "erp\t11\n")}, "has the number 11 of the copy"),
        ({"zpool import -d": (0, FOUND.replace("tank", "other"))}, "the pool on /dev/sdb is other"),
        ({"zpool import -d": (0, FOUND.replace("ONLINE", "DEGRADED"))}, "is DEGRADED"),
        ({"zpool import -d": (0, FOUND.replace("ONLINE", "SIDEWAYS"))}, "is SIDEWAYS"),
    ],
)
def test_what_is_on_the_devices_must_be_this_copy_alone(commands: dict[str, Any], what: str) -> None:
    zfs, host = world(**commands)
    with pytest.raises(Refused, match=what):
        zfs.present(zfs.intend(COPY, "run-1", is_frozen=True), soon())
    assert not [line for line in host.asked if line.startswith("zpool import -N")]


def test_a_device_that_does_not_appear_is_named() -> None:
    zfs, _ = world({"/backup": FOLDER})
    with pytest.raises(DeadlinePassed, match="/dev/sdb did not appear"):
        zfs.present(zfs.intend(COPY, "run-1", is_frozen=True), soon(2.6))


def test_nothing_but_the_copys_own_devices_is_searched() -> None:
    refused: dict[str, Any] = {"zpool import -N": (1, "cannot import")}
    zfs, host = world(**refused)
    with pytest.raises(Exception, match="importing the copy"):
        zfs.present(zfs.intend(COPY, "run-1", is_frozen=True), soon())
    (line,) = [line for line in host.asked if line.startswith("zpool import -N")]
    assert line == "zpool import -N -o readonly=on -R /backup/.erp.pool -d /dev/sdb 11 tank-run-1"
    assert "blockdev --flushbufs /dev/sdb" in host.asked
