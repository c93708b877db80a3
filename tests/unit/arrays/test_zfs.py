"""What the `zfs` driver refuses, and what it makes of words, rows and codes that nobody listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.presentation.recorded import RecordedHost, Said, seen

from splitmirror_drivers.arrays.zfs import Group, Options, from_options
from splitmirror_drivers.arrays.zfs_snapshots import ZfsSnapshots
from splitmirror_drivers.arrays.zfs_split import ZfsPool
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Atomic, Family, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    InUse,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret

GOLDEN = Path(__file__).parents[2] / "golden" / "zfs"
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
VOLUMES = {"erp": Group(volumes=("tank/a", "tank/b")), "log": Group(volumes=("tank/c",))}
TREE = {"home": Group(dataset="tank/home")}
A1, B1, A2, B2 = (f"/dev/disk/by-id/{name}" for name in ("a1", "b1", "a2", "b2"))
LEGS = {"erp": Group(legs={A1: B1, A2: B2})}
COPY = Receipt("pool", "erp", "run-1")
USER = Answer({"user": "77\tcat\t/dev/zvol/tank/copies/run-1.a"}, 0, "")
SNAPSHOTS = "tank/a@run-1\trun-1\t\t1\ntank/b@run-1\trun-1\t\t1\ntank/a@daily\t-\t\t0\n"
CLONES = "tank/copies\tfilesystem\tnone\tno\t-\t-\ntank/copies/run-1.a\tvolume\t-\t-\ttank/a@run-1\trun-1\n"


def soon() -> Deadline:
    return Deadline.after(5)


LISTING = "zfs list -H -p -t filesystem,volume -o name,type,mountpoint,mounted,origin,splitmirror:copy"


def text_of(name: str) -> str:
    one = json.loads((GOLDEN / f"status-{name}.json").read_text(encoding="utf-8"))
    return "\n".join(one["stdout"])


def status(name: str) -> Said:
    return 0, text_of(name)


def volume(name: str) -> str:
    return f"{name}\tvolume\t-\t-\t-\t-\n"


def snapshots(
    groups: dict[str, Group] | None = None, said: dict[str, Said] | None = None, users: Answer | None = None
) -> tuple[ZfsSnapshots, RecordedHost]:
    """A pool with volumes a, b, c whose copy ``run-1`` of a and b stands, and is held by us."""
    given: dict[str, Said] = {
        "zpool list": (0, "tank\tONLINE\n"),
        f"{LISTING} tank/a tank/b": (0, volume("tank/a") + volume("tank/b")),
        f"{LISTING} tank/c": (0, volume("tank/c")),
        f"{LISTING} tank/home": (0, "tank/home\tfilesystem\t/home\tyes\t-\t-\n"),
        f"{LISTING} -r -d 1 tank/copies": (0, CLONES),
        "zfs list -H -p -t snapshot": (0, SNAPSHOTS),
        "zfs holds": (0, "tank/a@run-1\tsplitmirror\tTue Nov 24 22:00 2026\ntank/b@run-1\tsplitmirror\tTue Nov 24\n"),
        "zfs snapshot": (0, ""), "zfs hold": (0, ""), "zfs release": (0, ""), "zfs destroy": (0, ""), "zfs clone": (0, ""),
        "zfs mount": (0, ""),
    }  # fmt: skip
    given |= said or {}
    answers: dict[str, Any] = {"filesystem.users": users or Answer({}, 0, ""), "filesystem.seen": seen({})}
    host = RecordedHost(given, answers)
    options = Options(pool="tank", groups=groups or VOLUMES, clones="tank/copies", mountpoint="/mounts")
    array = from_options("pool", options, host, CONTEXT)
    assert isinstance(array, ZfsSnapshots)
    return array, host


def split_pool(said: dict[str, Said] | None = None) -> tuple[ZfsPool, RecordedHost]:
    """A pool of two mirrors, in sync."""
    given: dict[str, Said] = {
        "zpool status -P tank": status("mirror"),
        "zpool list": (0, "tank\n"),
        "zpool import": (1, ""),
        "zpool split": (0, ""),
        "zpool attach": (0, ""),
        "zpool destroy": (0, ""),
    }
    host = RecordedHost(given | (said or {}))
    array = from_options("pool", Options(pool="tank", groups=LEGS, method="pool-split"), host, CONTEXT)
    assert isinstance(array, ZfsPool)
    return array, host


def pool_on(name: str, word: str = "ONLINE") -> Said:
    return 0, f"   pool: {name}\n     id: 11\n  state: {word}\n config:\n\n\t{name}  {word}\n"


# -- options --

SNAP: dict[str, Any] = {"pool": "tank", "clones": "tank/copies", "mountpoint": "/mounts"}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"pool": "-f"}, "not the name of a pool"),
        ({"groups": {}}, "no groups"),
        ({"groups": {"x": Group()}}, "wants a dataset"),
        ({"groups": {"x": Group(dataset="tank/x", volumes=("tank/y",))}}, "wants a dataset"),
        ({"groups": {"x": Group(volumes=("other/y",))}}, "not a dataset of tank"),
        ({"groups": {"x": Group(volumes=("tank/y@z",))}}, "not a dataset of tank"),
        ({"groups": {"x": Group(volumes=("tank/y", "tank/y"))}}, "twice"),
        ({"groups": {"x": Group(dataset="tank/x", show="snapshot")}}, "shown as a clone"),
        ({"groups": {"x": Group(volumes=("tank/y",), mountpoint="/y")}}, "belongs to a filesystem"),
        ({"groups": {"x": Group(volumes=("tank/y",), legs={"/a": "/b"})}}, "wants a dataset"),
        ({"clones": ""}, "where clones are made"),
        ({"clones": "other/copies"}, "where clones are made"),
        ({"groups": {"x": Group(dataset="tank")}}, "inside tank"),
        ({"groups": {"x": Group(volumes=("tank/a.b",)), "y": Group(volumes=("tank/a/b",))}}, "one name as clones"),
        ({"groups": TREE, "mountpoint": ""}, "where clones of filesystems are mounted"),
        ({"mountpoint": "mounts"}, "absolute"),
        ({"devices": "zvol"}, "absolute"),
        ({"copy_host": "back"}, "belongs to pool-split"),
    ],
)
def test_tables_of_snapshots_that_are_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(PolicyFault, match=what):
        from_options("pool", Options(**{**SNAP, "groups": VOLUMES, **given}), RecordedHost(), CONTEXT)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"groups": {**LEGS, "x": Group(legs={"/a": "/b"})}}, "one group"),
        ({"groups": {"x": Group()}}, "wants legs"),
        ({"groups": {"x": Group(legs={"/a": "/b"}, volumes=("tank/y",))}}, "wants legs"),
        ({"groups": {"x": Group(legs={"/a": "/b", "/c": "/b"})}}, "each once"),
        ({"groups": {"x": Group(legs={"sda": "sdb"})}}, "absolute"),
        ({"groups": {"x": Group(legs={"/a": "/b"}, copy_devices={"/c": "/d"})}}, "no disk that leaves"),
        ({"clones": "tank/copies"}, "belong to snapshots"),
        ({"copy_host": "nobody"}, "nobody"),
    ],
)
def test_tables_of_a_pool_that_are_refused(given: dict[str, Any], what: str) -> None:
    options = Options(**{"pool": "tank", "groups": LEGS, "method": "pool-split", **given})
    with pytest.raises(PolicyFault, match=what):
        from_options("pool", options, RecordedHost(), CONTEXT)


def test_what_each_method_is() -> None:
    volumes = snapshots()[0].traits
    assert (volumes.family, volumes.atomic, volumes.allows_freeze) == (Family.POINT, Atomic.GROUPS, True)
    assert (volumes.keeps_copies, volumes.tracks_copy_writes) == (True, True)
    assert not snapshots(TREE)[0].traits.allows_freeze
    shown = {"erp": Group(volumes=("tank/a",), show="snapshot")}
    assert not Options(**{**SNAP, "groups": shown}).traits().tracks_copy_writes
    pool = split_pool()[0].traits
    assert (pool.family, pool.atomic, pool.tracks_changes) == (Family.MIRROR, Atomic.GROUP, False)
    assert not pool.allows_freeze


# -- snapshots --


def test_everything_is_one_command() -> None:
    array, host = snapshots()
    receipts = array.split(["erp", "log"], "run-2", soon())
    assert [(one.group, one.is_again) for one in receipts] == [("erp", False), ("log", False)]
    assert host.asked == ["zfs snapshot -o splitmirror:copy=run-2 tank/a@run-2 tank/b@run-2 tank/c@run-2"]


def test_a_copy_that_is_there_for_a_part_is_no_copy_of_one_moment() -> None:
    array, _ = snapshots(said={"zfs snapshot": (1, "dataset already exists")})
    with pytest.raises(CommandFailed, match="tank/c@run-1 was not made"):
        array.split(["erp", "log"], "run-1", soon())
    (again,) = array.split(["erp"], "run-1", soon())
    assert again.is_again


def test_a_snapshot_of_that_name_that_is_not_ours_is_no_copy() -> None:
    array, _ = snapshots(
        said={"zfs snapshot": (1, "exists"), "zfs list -H -p -t snapshot": (0, "tank/a@run-1\t-\t\t0\n")}
    )
    with pytest.raises(CommandFailed):
        array.split(["erp"], "run-1", soon())
    with pytest.raises(Refused, match="no copy"):
        array.expose(COPY, soon())
    with pytest.raises(Refused, match="not of our making"):
        array.discard(COPY, soon())


def test_query_shows_copies_of_ours_alone() -> None:
    array, _ = snapshots()
    pairs = array.query("erp", soon())
    assert [(pair.name, pair.state, pair.copy) for pair in pairs] == [
        ("tank/a", PairState.PREPARED, ""),
        ("tank/b", PairState.PREPARED, ""),
        ("tank/a@run-1", PairState.SPLIT, "run-1"),
        ("tank/b@run-1", PairState.SPLIT, "run-1"),
    ]


@pytest.mark.parametrize(
    ("word", "state"),
    [("DEGRADED", PairState.PREPARED), ("SUSPENDED", PairState.BROKEN), ("SIDEWAYS", PairState.UNKNOWN)],
)
def test_the_pools_word_decides(word: str, state: PairState) -> None:
    array, _ = snapshots(said={"zpool list": (0, f"tank\t{word}\n")})
    assert {pair.state for pair in array.query("erp", soon()) if not pair.copy} == {state}
    assert array.progress("erp", soon()).is_done == (state is PairState.PREPARED)
    if state is not PairState.PREPARED:
        with pytest.raises(Refused, match=word):
            array.stand_by(["erp"], "run-2", soon())


def test_a_name_that_is_taken_is_found_before_anything_waits() -> None:
    array, _ = snapshots()
    with pytest.raises(Refused, match="tank/a@run-1 is there already"):
        array.stand_by(["erp"], "run-1", soon())
    array.stand_by(["erp"], "run-2", soon())


@pytest.mark.parametrize("copy", ["", "a/b", "a@b", "-x", "x" * 250])
def test_what_is_no_name_for_a_copy(copy: str) -> None:
    array, host = snapshots()
    with pytest.raises(Refused, match="not the name of a copy"):
        array.split(["erp"], copy, soon())
    assert host.asked == []


def test_membership_is_compared() -> None:
    array, _ = snapshots(said={f"{LISTING} tank/a tank/b": (1, "does not exist")})
    with pytest.raises(Refused, match="tank/a is not a filesystem or volume"):
        array.query("erp", soon())
    array, _ = snapshots(said={f"{LISTING} tank/a tank/b": (0, volume("tank/a"))})
    with pytest.raises(Refused, match="tank/b is not a filesystem or volume"):
        array.query("erp", soon())
    array, _ = snapshots({"erp": Group(volumes=("tank/home",))})
    with pytest.raises(Refused, match="is a filesystem, not a volume"):
        array.query("erp", soon())


def test_sources_of_volumes_and_filesystems() -> None:
    assert snapshots()[0].sources("log", soon()) == (Source("device", "/dev/zvol/tank/c", "db1"),)
    assert snapshots(TREE)[0].sources("home", soon()) == (Source("path", "/home", "db1"),)


@pytest.mark.parametrize(
    ("row", "what"),
    [("/home\tno", "is not mounted"), ("legacy\tyes", "mountpoint=legacy"), ("none\tno", "mountpoint=none")],
)
def test_a_filesystem_that_is_not_seen_is_no_source(row: str, what: str) -> None:
    array, _ = snapshots(TREE, {f"{LISTING} tank/home": (0, f"tank/home\tfilesystem\t{row}\t-\t-\n")})
    with pytest.raises(Refused, match=what):
        array.sources("home", soon())


def test_settle_holds_what_is_not_held() -> None:
    array, host = snapshots()
    assert array.settle(COPY, soon()).is_done
    assert not [line for line in host.asked if line.startswith("zfs hold ")]
    array, host = snapshots(said={"zfs holds": (0, "tank/a@run-1\tmine\tTue\n")})
    array.settle(COPY, soon())
    assert "zfs hold splitmirror tank/a@run-1 tank/b@run-1" in host.asked


def test_clones_are_made_when_they_are_not_there() -> None:
    array, host = snapshots()
    exposed = array.expose(COPY, soon())
    assert exposed.paths == ("/dev/zvol/tank/copies/run-1.a", "/dev/zvol/tank/copies/run-1.b")
    assert [line for line in host.asked if "clone" in line.split()[1]] == [
        "zfs clone -o splitmirror:copy=run-1 tank/b@run-1 tank/copies/run-1.b"
    ]


def test_a_strangers_clone_is_neither_used_nor_destroyed() -> None:
    for row in ("tank/a@other\trun-1", "tank/a@run-1\t-"):
        array, host = snapshots(
            said={f"{LISTING} -r -d 1 tank/copies": (0, f"tank/copies/run-1.a\tvolume\t-\t-\t{row}\n")}
        )
        for ask in (array.expose, array.unexpose):
            with pytest.raises(Refused, match="not a clone of tank/a@run-1"):
                ask(COPY, soon())
        assert not [line for line in host.asked if line.startswith(("zfs destroy", "zfs clone"))]


def test_a_clone_in_use_is_named_and_kept() -> None:
    array, host = snapshots(users=USER)
    with pytest.raises(InUse, match="pid 77"):
        array.unexpose(COPY, soon())
    assert not [line for line in host.asked if line.startswith("zfs destroy")]


def test_nothing_is_destroyed_along_with_a_copy() -> None:
    cloned = SNAPSHOTS.replace("tank/a@run-1\trun-1\t\t", "tank/a@run-1\trun-1\ttank/dev,tank/test\t")
    array, host = snapshots(said={"zfs list -H -p -t snapshot": (0, cloned)})
    with pytest.raises(Refused, match="tank/dev, tank/test"):
        array.discard(COPY, soon())
    held = "tank/a@run-1\tsplitmirror\tTue\ntank/b@run-1\tother\tTue\n"
    array, more = snapshots(said={"zfs holds": (0, held)})
    with pytest.raises(InUse, match="tank/b@run-1 is held by other"):
        array.discard(COPY, soon())
    array, third = snapshots(users=USER)
    with pytest.raises(InUse, match="pid 77"):
        array.discard(COPY, soon())
    assert not [
        line for line in host.asked + more.asked + third.asked if line.startswith(("zfs destroy", "zfs release"))
    ]


def test_a_snapshot_that_stays_is_said() -> None:
    array, host = snapshots()
    with pytest.raises(UnknownAnswer, match="still there"):
        array.discard(COPY, soon())
    assert [line for line in host.asked if line.startswith("zfs destroy")] == [
        "zfs destroy tank/a@run-1",
        "zfs destroy tank/b@run-1",
    ]


def test_volumes_that_hide_their_snapshots_say_so() -> None:
    groups = {"erp": Group(volumes=("tank/a", "tank/b"), show="snapshot")}
    array, _ = snapshots(groups, {"zfs get": (0, "hidden\n")})
    with pytest.raises(Refused, match="does not show its snapshots"):
        array.expose(COPY, soon())
    array, _ = snapshots(groups, {"zfs get": (0, "visible\n")})
    assert array.expose(COPY, soon()).paths == ("/dev/zvol/tank/a@run-1", "/dev/zvol/tank/b@run-1")


@pytest.mark.parametrize("text", ["tank/a@run-1\trun-1\n", "tank/a\t-\t-\t0\n", "tank/a@run-1\trun-1\t-\tmany\n"])
def test_snapshots_in_other_rows_are_unknown(text: str) -> None:
    array, _ = snapshots(said={"zfs list -H -p -t snapshot": (0, text)})
    with pytest.raises(UnknownAnswer):
        array.query("erp", soon())


def test_no_flag_overrides_a_refusal() -> None:
    array, _ = snapshots()
    pool, _ = split_pool()
    lines = [
        action.what + " " + action.undo
        for move in Move
        for one in (array, pool)
        for action in one.actions(move, "erp", "run-1")
    ]
    assert len(lines) > 5
    assert not {word for line in lines for word in line.split()} & {"-f", "-F", "-R", "-r", "-d -r"}


# -- a pool --


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("mirror", [PairState.SYNCED, PairState.SYNCED]),
        ("resilver", [PairState.ATTACHING, PairState.ATTACHING]),
        ("split", [PairState.UNPAIRED, PairState.UNPAIRED]),
    ],
)
def test_states_of_the_disks_that_leave(name: str, states: list[PairState]) -> None:
    array, _ = split_pool({"zpool status -P tank": status(name)})
    pairs = array.query("erp", soon())
    assert [pair.state for pair in pairs] == states
    assert [(pair.primary, pair.copy) for pair in pairs] == [(A1, B1), (A2, B2)]


def changed(old: str, new: str) -> Said:
    text = text_of("mirror")
    assert old in text
    return 0, text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        (f"{B1}  ONLINE ", f"{B1}  FAULTED", PairState.BROKEN),
        (f"{A1}  ONLINE ", f"{A1}  OFFLINE", PairState.BROKEN),
        (f"{B1}  ONLINE ", f"{B1}  WOBBLY ", PairState.UNKNOWN),
        ("none requested", "resilver in progress since Tue", PairState.ATTACHING),
        ("none requested", "resilver (mirror-0) in progress since Tue", PairState.ATTACHING),
        ("none requested", "resilver canceled on Tue", PairState.UNKNOWN),
        ("none requested", "resilvered 1G in 1:00 with 3 errors on Tue", PairState.BROKEN),
        ("none requested", "resilvered 1G in 1:00 with 0 errors on Tue", PairState.SYNCED),
        ("none requested", "scrub in progress since Tue", PairState.SYNCED),
        ("none requested", "being moved to the moon", PairState.UNKNOWN),
    ],
)
def test_what_stands_in_status_decides(old: str, new: str, state: PairState) -> None:
    array, _ = split_pool({"zpool status -P tank": changed(old, new)})
    assert array.query("erp", soon())[0].state is state


def test_the_pool_must_be_made_of_the_disks_of_the_policy() -> None:
    array, _ = split_pool({"zpool status -P tank": changed(A1, "/dev/disk/by-id/zz")})
    with pytest.raises(Refused, match=f"{A1} is not a disk of the pool"):
        array.query("erp", soon())
    crossed = changed(B1, "/dev/x")
    assert isinstance(crossed, tuple)
    array, _ = split_pool({"zpool status -P tank": (0, crossed[1].replace(B2, B1).replace("/dev/x", B2))})
    with pytest.raises(Refused, match="is not in the same mirror"):
        array.query("erp", soon())


def test_a_vdev_that_was_added_is_refused() -> None:
    host = RecordedHost({"zpool status -P tank": status("mirror")})
    options = Options(pool="tank", groups={"erp": Group(legs={A1: B1})}, method="pool-split")
    with pytest.raises(Refused, match="2 vdevs"):
        from_options("pool", options, host, CONTEXT).query("erp", soon())


@pytest.mark.parametrize(
    ("said", "state", "word"),
    [
        ({"zpool import": pool_on("tank-run-1")}, PairState.SPLIT_UNTRACKED, "tank-run-1 ONLINE"),
        ({"zpool import": pool_on("tank-run-1", "DEGRADED")}, PairState.BROKEN, "tank-run-1 DEGRADED"),
        ({"zpool import": pool_on("tank-run-1", "WOBBLY")}, PairState.UNKNOWN, "tank-run-1 WOBBLY"),
    ],
)
def test_what_is_on_a_disk_that_is_out(said: dict[str, Said], state: PairState, word: str) -> None:
    array, _ = split_pool({"zpool status -P tank": status("split"), **said})
    assert {(pair.state, pair.word) for pair in array.query("erp", soon())} == {(state, word)}


def test_a_split_is_one_command() -> None:
    array, host = split_pool()
    (receipt,) = array.split(["erp"], "run-1", soon())
    assert (receipt.data["pool"], receipt.is_again) == ("tank-run-1", False)
    assert host.asked == [f"zpool split tank tank-run-1 {B1} {B2}"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, CommandFailed),
        ({"zpool status -P tank": status("resilver")}, NotSynchronised),
        ({"zpool status -P tank": status("split")}, NotSynchronised),
        ({"zpool status -P tank": status("split"), "zpool import": pool_on("tank-run-0")}, NotSynchronised),
        ({"zpool status -P tank": status("split"), f"zpool import -d {B1}": pool_on("tank-run-1")}, UnknownAnswer),
    ],
)
def test_a_split_that_failed_is_looked_at(said: dict[str, Said], fault: type[Exception]) -> None:
    array, _ = split_pool({"zpool split": (1, "Unable to split tank"), **said})
    with pytest.raises(fault):
        array.split(["erp"], "run-1", soon())


def test_a_split_that_is_found_done_is_marked() -> None:
    said = {"zpool split": (1, ""), "zpool status -P tank": status("split"), "zpool import": pool_on("tank-run-1")}
    array, _ = split_pool(said)
    (receipt,) = array.split(["erp"], "run-1", soon())
    assert receipt.is_again


def test_the_plan_is_asked_for_before_anything_waits() -> None:
    array, host = split_pool()
    array.stand_by(["erp"], "run-1", soon())
    assert f"zpool split -n tank tank-run-1 {B1} {B2}" in host.asked
    array, _ = split_pool({"zpool list": (0, "tank\ntank-run-1\n")})
    with pytest.raises(Refused, match="imported on db1 already"):
        array.stand_by(["erp"], "run-1", soon())


def test_an_attach_is_a_full_copy_and_said_to_be_one() -> None:
    array, host = split_pool({"zpool status -P tank": status("split")})
    with pytest.raises(NotSynchronised, match="full resilver"):
        array.establish("erp", Mode.INCREMENTAL, soon())
    array.establish("erp", Mode.FULL, soon())
    assert [line for line in host.asked if "attach" in line] == [
        f"zpool attach tank {A1} {B1}",
        f"zpool attach tank {A2} {B2}",
    ]


def test_the_old_copy_is_given_up_only_when_it_is_ours_and_on_these_disks_alone() -> None:
    imported = status("imported")
    said = {"zpool status -P tank": status("split"), "zpool import": pool_on("tank-run-1")}
    array, host = split_pool(
        {**said, "zpool import -N": (0, ""), "zpool status -P tank-run-1": imported, "zpool export": (0, "")}
    )
    with pytest.raises(Refused, match="/dev/sdb1"):
        array.establish("erp", Mode.FULL, soon())
    assert "zpool export tank-run-1" in host.asked
    assert not [line for line in host.asked if line.startswith(("zpool destroy", "zpool attach"))]
    array, host = split_pool({**said, "zpool import": pool_on("elsewhere")})
    with pytest.raises(Refused, match="not a copy of tank"):
        array.establish("erp", Mode.FULL, soon())
    array, host = split_pool({**said, "zpool import -N": (1, "cannot import: pool was in use from another system")})
    with pytest.raises(CommandFailed, match="taking back tank-run-1") as caught:
        array.establish("erp", Mode.FULL, soon())
    assert "never forced" in caught.value.hint


def test_a_copy_that_is_imported_here_is_in_use() -> None:
    here = (
        0,
        f"  pool: tank-run-1\n state: ONLINE\nconfig:\n\n\ttank-run-1  ONLINE  0 0 0\n\t  {B1}  ONLINE  0 0 0\n\t  {B2}  ONLINE  0 0 0\n\nerrors: none\n",
    )
    said: dict[str, Said] = {
        "zpool status -P tank": status("split"),
        "zpool list": (0, "tank\ntank-run-1\n"),
        "zpool status -P tank-run-1": here,
    }
    array, _ = split_pool(said)
    assert {pair.word for pair in array.query("erp", soon())} == {"tank-run-1 imported"}
    with pytest.raises(InUse, match="tank-run-1 is imported"):
        array.unexpose(COPY, soon())
    with pytest.raises(InUse, match="tank-run-1 is imported"):
        array.establish("erp", Mode.FULL, soon())


def test_a_copy_that_is_gone_is_not_shown() -> None:
    array, _ = split_pool({"zpool status -P tank": status("split")})
    for ask in (array.expose, array.settle):
        with pytest.raises(Refused, match="the copy tank-run-1 is not on"):
            ask(COPY, soon())


def test_disks_are_shown_as_the_copy_host_sees_them() -> None:
    legs = {"erp": Group(legs={A1: B1, A2: B2}, copy_devices={B1: "/dev/sdx"})}
    options = Options(pool="tank", groups=legs, method="pool-split", copy_host="back")
    host = RecordedHost(
        {"zpool status -P tank": status("split"), "zpool import": pool_on("tank-run-1"), "zpool list": (0, "tank\n")}
    )
    context = Context(secret=lambda reference: Secret(""), state_folder="/x", host=lambda name: host)
    exposed = from_options("pool", options, host, context).expose(COPY, soon())
    assert (exposed.kind, exposed.paths, exposed.host) == ("device", ("/dev/sdx", B2), "back")


@pytest.mark.parametrize(("name", "fault"), [("degraded", CommandFailed), ("split", CommandFailed)])
def test_progress_says_what_will_not_come_into_sync(name: str, fault: type[Exception]) -> None:
    said = changed(f"{B1}  ONLINE ", f"{B1}  FAULTED") if name == "degraded" else status(name)
    array, _ = split_pool({"zpool status -P tank": said})
    with pytest.raises(fault, match="not on its way"):
        array.progress("erp", soon())


def test_progress_shows_a_figure_and_decides_by_words() -> None:
    array, _ = split_pool({"zpool status -P tank": status("resilver")})
    progress = array.progress("erp", soon())
    assert not progress.is_done
    assert progress.fraction == pytest.approx(0.1223)
    array, _ = split_pool({"zpool status -P tank": (0, text_of("resilver").replace("12.23%", "100.00%"))})
    assert not array.progress("erp", soon()).is_done


def test_sources_of_a_pool_are_what_is_mounted_and_its_volumes() -> None:
    tree = "tank\tfilesystem\t/tank\tyes\t-\t-\ntank/x\tfilesystem\tnone\tno\t-\t-\ntank/v\tvolume\t-\t-\t-\t-\n"
    array, _ = split_pool({"zfs list": (0, tree)})
    assert array.sources("erp", soon()) == (
        Source("path", "/tank", "db1"),
        Source("device", "/dev/zvol/tank/v", "db1"),
    )
    array, _ = split_pool({"zfs list": (0, "tank/x\tfilesystem\tnone\tno\t-\t-\n")})
    with pytest.raises(Refused, match="nothing of tank is mounted"):
        array.sources("erp", soon())
