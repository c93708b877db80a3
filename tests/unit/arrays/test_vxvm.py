"""The `vxvm` array: what the policy may say, which moves it refuses, and what it makes of faults and of crashes half-way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.array import soon, until_done
from tests.unit.arrays.vxvm_stage import AWAY, OTHER, OWNER, AtHomeStage, SpareStage, VxvmStage
from tests.unit.presentation.recorded import RecordedHost
from tests.unit.presentation.test_vxvm_tools import said

from splitmirror_drivers.arrays import vxvm
from splitmirror_drivers.arrays.vxvm import VxvmArray
from splitmirror_drivers.arrays.vxvm_options import Group, Options
from splitmirror_drivers.contracts.array import Atomic, FixedBy, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    Fault,
    InUse,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)

COPY = Receipt("vx", "erp", "run-1")
GROUP: dict[str, Any] = {"disk_group": "erp", "volumes": ("data", "log")}


@pytest.fixture
def stage(tmp_path: Path) -> VxvmStage:
    """Two volumes whose mirrors are ready."""
    return ready(VxvmStage(tmp_path))


def ready(stage: VxvmStage) -> VxvmStage:
    array = stage.array()
    stage.write(b"one")
    array.establish("erp", Mode.FULL, soon())
    until_done(lambda: array.progress("erp", soon()), "establish")
    return stage


def words(stage: VxvmStage) -> list[str]:
    return [pair.word for pair in stage.array().query("erp", soon())]


def states(stage: VxvmStage) -> set[PairState]:
    return {pair.state for pair in stage.array().query("erp", soon())}


def split(stage: VxvmStage) -> None:
    stage.array().split(["erp"], "run-1", soon())


# -- what the policy may say --


@pytest.mark.parametrize(
    ("group", "options", "text"),
    [
        ({"disk_group": "-x"}, {}, "name that VxVM allows"),
        ({"volumes": ()}, {}, "a volume at least"),
        ({"volumes": ("a/b",)}, {}, "name that VxVM allows"),
        ({"volumes": ("data", "data")}, {}, "named twice"),
        ({"volumes": ("v" * 28,)}, {}, "31 letters"),
        ({"volumes": ("data", "data_copy")}, {}, "a volume and a snapshot"),
        ({"suffix": ""}, {}, "cannot end"),
        ({"suffix": "%d"}, {}, "cannot end"),
        ({"copy_disk_group": "erp"}, {}, "name of its own"),
        ({"copy_disk_group": "a b"}, {}, "name that VxVM allows"),
        ({"disks": {"other": ("d1",)}}, {}, "which volumes does not"),
        ({"disks": {"data": ("-f",)}}, {}, "not the name of a disk"),
        ({}, {"copy_host": "backup"}, "copy-disk-group in each group"),
        ({}, {"tools": "usr/sbin"}, "folder"),
        ({}, {"busy_exit_codes": (0,)}, "0 is none"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_of_the_policy(
    group: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(PolicyFault, match=text):
        Options(groups={"erp": Group(**{**GROUP, **group})}, **options).check("vx")


def test_groups_share_neither_volumes_nor_the_disk_group_of_their_copies() -> None:
    with pytest.raises(PolicyFault, match="no groups"):
        Options(groups={}).check("vx")
    one, other = Group(**GROUP), Group(disk_group="erp", volumes=("log",))
    with pytest.raises(PolicyFault, match="the volume log of erp is named twice"):
        Options(groups={"a": one, "b": other}).check("vx")
    Options(groups={"a": one, "b": Group(disk_group="crm", volumes=("log",))}).check("vx")
    away = [Group(disk_group=name, volumes=("v",), copy_disk_group="same") for name in ("a", "b")]
    with pytest.raises(PolicyFault, match="name of its own"):
        Options(groups=dict(zip("ab", away, strict=True))).check("vx")


def test_traits_claim_no_more_than_is_known() -> None:
    traits = Options(groups={"erp": Group(**GROUP)}).traits()
    assert (traits.fixed_by, traits.atomic) == (FixedBy.COMPLETE, Atomic.PAIR)
    assert (traits.tracks_changes, traits.allows_freeze, traits.keeps_copies) == (True, False, False)
    assert not Options(groups={"erp": Group(**GROUP)}, tracks_changes=False).traits().tracks_changes


def test_sources_are_the_volumes_devices_on_their_host(stage: VxvmStage) -> None:
    assert stage.array().sources("erp", soon()) == tuple(
        Source("device", f"/dev/vx/dsk/erp/erp0{number}", "local") for number in (1, 2)
    )


def test_no_flag_overrides_a_refusal(stage: VxvmStage) -> None:
    assert vxvm.ANSWERS == {}
    split(stage)
    array = stage.array()
    array.expose(COPY, soon())
    array.unexpose(COPY, soon())
    array.establish("erp", Mode.INCREMENTAL, soon())
    flags = {word for line in stage.calls() for word in line if word.startswith("-")}
    assert flags <= {"-g", "-b", "-ht", "-o", "-F%name %fastresync", "-rn", "-q"}
    assert not [line for line in stage.calls() if {"restore", "resyncfromreplica"} & set(line)]


@pytest.mark.parametrize("move", list(Move))
def test_plan_has_the_commands_that_are_run(stage: VxvmStage, move: Move) -> None:
    found = [action.what for action in stage.array().actions(move, "erp", "run-1")]
    wanted = {
        Move.ESTABLISH: "vxsnap -b -g erp addmir erp01 nmirror=1",
        Move.REATTACH: "vxsnap -b -g erp reattach erp01_copy source=erp01 nmirror=1",
        Move.SPLIT: "vxsnap -g erp make source=erp01/newvol=erp01_copy/nmirror=1 source=erp02/newvol=erp02_copy/nmirror=1",
        Move.EXPOSE: "vxdg split erp erp_copy erp01_copy erp02_copy",
        Move.UNEXPOSE: "vxdg import erp_copy",
    }
    assert found[:1] == ([wanted[move]] if move in wanted else [])


@pytest.mark.parametrize(("method", "model"), [("vxsnap", "instant"), ("vxassist", "traditional")])
def test_mirrors_are_made_on_the_disks_that_the_policy_names(tmp_path: Path, method: str, model: str) -> None:
    stage = SpareStage(tmp_path, "--model", model, method=method)
    disks = {"erp01": ["erpdg03"], "erp02": ["erpdg06"]}
    stage.options["groups"] = {
        "erp": {"disk-group": "erp", "volumes": list(disks), "disks": disks, "copy-disk-group": AWAY}
    }
    stage.array().establish("erp", Mode.FULL, soon())
    shown = stage.ok(OWNER, "vxprint", "-g", "erp", "-ht")
    plexes = {line.split()[2]: line.split()[3] for line in shown.splitlines() if line.startswith("sd ")}
    assert (plexes["erp01-02"], plexes["erp02-02"]) == ("erpdg03", "erpdg06")


# -- states --


def test_every_place_of_a_copy_has_its_word(stage: VxvmStage) -> None:
    assert words(stage) == ["SNAPDONE", "SNAPDONE"]
    split(stage)
    assert words(stage) == ["ENABLED ACTIVE"] * 2
    assert states(stage) == {PairState.SPLIT}
    array = stage.array()
    array.expose(COPY, soon())
    assert words(stage) == ["in erp_copy, deported"] * 2
    (pair, _) = array.query("erp", soon())
    assert (pair.primary, pair.copy) == ("erp/erp01", "erp_copy/erp01_copy")
    stage.ok(OWNER, "vxdg", "import", AWAY)
    assert words(stage) == ["in erp_copy"] * 2
    assert states(stage) == {PairState.SPLIT}


def test_volume_that_is_gone_is_named(stage: VxvmStage) -> None:
    stage.control("forget", "erp", "erp02")
    with pytest.raises(Refused, match="has no volume erp02"):
        stage.array().query("erp", soon())


def test_volume_that_is_left_out_of_the_list_is_named(stage: VxvmStage) -> None:
    stage.control("fault", "query drop")
    with pytest.raises(Refused, match="has no volume erp01"):
        stage.array().progress("erp", soon())


def test_disk_group_that_is_not_imported_is_named(stage: VxvmStage) -> None:
    stage.ok(OWNER, "vxdg", "deport", "erp")
    with pytest.raises(CommandFailed, match="the disk group erp on local"):
        stage.array().query("erp", soon())


def test_disk_that_failed_breaks_the_mirror_and_the_snapshot(stage: VxvmStage) -> None:
    stage.control("break", "erp", "erp01")
    assert [pair.state for pair in stage.array().query("erp", soon())] == [PairState.BROKEN, PairState.SYNCED]
    with pytest.raises(Refused, match="does not act on"):
        stage.array().establish("erp", Mode.FULL, soon())
    with pytest.raises(Refused, match="does not act on"):
        stage.array().stand_by(["erp"], "run-1", soon())


def test_snapshot_on_a_disk_that_failed_is_broken() -> None:
    text = said("vxprint-snapshots").replace("DISABLED CLEAN    204800   CONCAT", "DISABLED NODEVICE 204800   CONCAT")
    array = recorded(**{"vxprint -g erp -ht": (0, text)})
    pair = array.query("erp", soon())[1]
    assert (pair.state, pair.word) == (PairState.BROKEN, "DISABLED NODEVICE")


def test_copy_of_a_volume_that_failed_is_shown_and_not_overwritten(stage: VxvmStage) -> None:
    split(stage)
    stage.control("break", "erp", "erp01")
    volumes = [
        line.split() for line in stage.ok(OWNER, "vxprint", "-g", "erp", "-ht").splitlines() if line.startswith("v ")
    ]
    assert [row[3] for row in volumes if row[1] == "erp01"] == ["DISABLED"], "its own disk failed"
    assert states(stage) == {PairState.SPLIT}
    assert stage.read(stage.array().expose(COPY, soon())) == (b"one", b"one")
    with pytest.raises(Refused, match="not started") as caught:
        stage.array().establish("erp", Mode.FULL, soon())
    assert "last good" in caught.value.hint
    assert "erp01: DISABLED ACTIVE" in caught.value.detail
    stage.array().unexpose(COPY, soon())
    assert states(stage) == {PairState.SPLIT}


def test_mirror_beside_a_snapshot_is_mixed_and_nothing_is_done(tmp_path: Path) -> None:
    stage = ready(SpareStage(tmp_path))
    split(stage)
    stage.ok(OWNER, "vxsnap", "-g", "erp", "addmir", "erp01", "nmirror=1")
    (first, _) = stage.array().query("erp", soon())
    assert (first.state, first.word) == (PairState.MIXED, "SNAPDONE + ENABLED ACTIVE")
    for move in (
        lambda: stage.array().establish("erp", Mode.INCREMENTAL, soon()),
        lambda: stage.array().stand_by(["erp"], "run-2", soon()),
        lambda: stage.array().expose(COPY, soon()),
    ):
        with pytest.raises(Refused, match=r"does not act on|is not split"):
            move()
    with pytest.raises((CommandFailed, UnknownAnswer)):
        split(stage)


def test_two_mirrors_of_one_volume_are_not_told_apart(tmp_path: Path) -> None:
    stage = ready(SpareStage(tmp_path))
    stage.ok(OWNER, "vxsnap", "-g", "erp", "addmir", "erp02", "nmirror=1")
    (_, second) = stage.array().query("erp", soon())
    assert (second.state, second.word) == (PairState.MIXED, "SNAPDONE + SNAPDONE")


RECORDED: dict[str, Any] = {
    "vxprint -g erp -ht": (0, said("vxprint-snapshots")),
    "vxdisk -o alldgs list": (0, said("vxdisk-list")),
}


def recorded(**commands: Any) -> VxvmArray:
    """Volume data has a mirror that is ready; log a snapshot volume."""
    given = {**RECORDED, "vxprint -g erp -F%name %fastresync": (0, "data on\nlog on\n"), **commands}
    options = Options(groups={"erp": Group(**GROUP, copy_disk_group="erp_copy")})
    return VxvmArray("vx", options, RecordedHost(given), "backup")


def test_recorded_group_is_mixed() -> None:
    found = [(pair.name, pair.state, pair.word) for pair in recorded().query("erp", soon())]
    assert found == [("data", PairState.SYNCED, "SNAPDONE"), ("log", PairState.SPLIT, "DISABLED CLEAN")]


@pytest.mark.parametrize(
    ("said_of_it", "state"),
    [
        ((0, "data on\nlog on\n"), PairState.SPLIT),
        ((0, "data on\nlog off\n"), PairState.SPLIT_UNTRACKED),
        ((0, "data on\nlog perhaps\n"), PairState.SPLIT_UNTRACKED),
        ((0, "data on\n"), PairState.SPLIT_UNTRACKED),
        ((1, "no such field"), PairState.SPLIT),
    ],
)
def test_fastresync_is_asked_of_each_volume(said_of_it: tuple[int, str], state: PairState) -> None:
    array = recorded(**{"vxprint -g erp -F%name %fastresync": said_of_it})
    assert array.query("erp", soon())[1].state is state


@pytest.mark.parametrize("line", ["sp log_copy_snp log_copy     log_dco", "sp log_snp      log          log_copy_dco"])
def test_snapshot_that_its_volume_does_not_track_is_untracked(line: str) -> None:
    text = said("vxprint-snapshots")
    assert line in text
    array = recorded(**{"vxprint -g erp -ht": (0, text.replace(line, ""))})
    assert array.query("erp", soon())[1].state is PairState.SPLIT_UNTRACKED
    with pytest.raises(Refused, match="log needs a full copy"):
        array.establish("erp", Mode.INCREMENTAL, soon())


@pytest.mark.parametrize(
    ("listed", "state", "word"),
    [
        ("(erp_copy)", PairState.SPLIT, "in erp_copy, deported"),
        ("(elsewhere)", PairState.UNKNOWN, "log_copy is in no disk group that is seen"),
    ],
)
def test_snapshot_that_went_away_is_looked_for(listed: str, state: PairState, word: str) -> None:
    lines = said("vxprint-snapshots").splitlines()
    here = "\n".join(lines[: next(n for n, line in enumerate(lines) if line.startswith("v  log_copy"))])
    disks = said("vxdisk-list").replace("(erp_copy)", listed)
    array = recorded(
        **{
            "vxprint -g erp -ht": (0, here.replace("log_copy     log_dco", "-            log_dco")),
            "vxdisk -o alldgs list": (0, disks),
        }
    )
    pair = array.query("erp", soon())[1]
    assert (pair.state, pair.word) == (state, word)


# -- establish --


def test_first_copy_is_full_and_only_when_that_was_asked(tmp_path: Path) -> None:
    stage = VxvmStage(tmp_path)
    with pytest.raises(Refused, match="needs a full copy"):
        stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == {PairState.UNPAIRED}


def test_volume_that_is_not_prepared_is_named_with_the_cure(tmp_path: Path) -> None:
    stage = VxvmStage(tmp_path, "--model", "none")
    with pytest.raises(Refused, match="not prepared") as caught:
        stage.array().establish("erp", Mode.FULL, soon())
    assert caught.value.hint == "vxsnap -g erp prepare erp01"


def test_copy_that_is_away_is_brought_home_before_it_is_attached(stage: VxvmStage) -> None:
    split(stage)
    stage.array().expose(COPY, soon())
    stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == {PairState.SYNCED}
    assert AWAY not in stage.ok(OWNER, "vxdisk", "-o", "alldgs", "list")


def test_copy_that_another_host_has_is_not_attached(stage: VxvmStage) -> None:
    split(stage)
    stage.array().expose(COPY, soon())
    stage.ok(OTHER, "vxdg", "import", AWAY)
    with pytest.raises(InUse, match="backup has the copy's disk group erp_copy imported"):
        stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == {PairState.SPLIT}
    assert AWAY in stage.ok(OTHER, "vxdg", "list")


def test_half_that_is_attached_already_is_left_alone(stage: VxvmStage) -> None:
    split(stage)
    stage.ok(OWNER, "vxsnap", "-g", "erp", "reattach", "erp01_copy", "source=erp01", "nmirror=1")
    stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == {PairState.SYNCED}


def test_establish_that_only_says_it_worked_is_never_done(stage: VxvmStage) -> None:
    split(stage)
    stage.control("fault", "attach lie")
    stage.array().establish("erp", Mode.INCREMENTAL, soon())
    progress = stage.array().progress("erp", soon())
    assert (progress.is_done, progress.remaining) == (False, "0 of 2 volumes")


# -- split --


def test_half_a_group_that_was_split_is_an_unknown_outcome(stage: VxvmStage) -> None:
    stage.control("fault", "break half")
    with pytest.raises(UnknownAnswer, match="some of the volumes"):
        split(stage)


@pytest.mark.parametrize(("code", "fault"), [(10, CommandFailed), (13, CommandFailed), (99, CommandFailed)])
def test_any_code_of_a_split_that_did_nothing_is_a_failure(stage: VxvmStage, code: int, fault: type[Fault]) -> None:
    stage.control("fault", f"vxsnap.make code {code}")
    with pytest.raises(fault, match="breaking off"):
        stage.array().split(["erp"], "run-1", soon(6.0))
    assert states(stage) == {PairState.SYNCED}


def test_split_that_only_says_it_worked_is_found_out(stage: VxvmStage) -> None:
    stage.control("fault", "break lie")
    split(stage)
    with pytest.raises(UnknownAnswer, match="is not split"):
        stage.array().settle(COPY, soon())


def test_group_is_not_ready_while_a_mirror_is_copied_to(tmp_path: Path) -> None:
    stage = VxvmStage(tmp_path, "--rate", "0.001")
    stage.array().establish("erp", Mode.FULL, soon())
    assert states(stage) == {PairState.ATTACHING}
    with pytest.raises(NotSynchronised, match="not ready"):
        stage.array().stand_by(["erp"], "run-1", soon())
    with pytest.raises(NotSynchronised, match="not ready"):
        split(stage)
    assert states(stage) == {PairState.ATTACHING}


def test_disk_group_for_the_copy_must_not_be_there_yet(stage: VxvmStage) -> None:
    stage.ok(OWNER, "vxdg", "split", "erp", AWAY, "erp02")
    stage.options["groups"] = {"erp": {"disk-group": "erp", "volumes": ["erp01"], "copy-disk-group": AWAY}}
    with pytest.raises(Refused, match="there is a disk group erp_copy already"):
        stage.array().stand_by(["erp"], "run-1", soon())
    split(stage)
    with pytest.raises(Refused, match="and the snapshots are not in it"):
        stage.array().expose(COPY, soon())


# -- away and back: a crash between any two steps --

BEFORE: dict[str, Callable[[VxvmStage], object]] = {
    "nothing": lambda stage: None,
    "split off": lambda stage: stage.ok(OWNER, "vxdg", "split", "erp", AWAY, "erp01_copy", "erp02_copy"),
    "deported": lambda stage: (
        stage.ok(OWNER, "vxdg", "split", "erp", AWAY, "erp01_copy", "erp02_copy"),
        stage.ok(OWNER, "vxdg", "deport", AWAY),
    ),
    "imported again": lambda stage: (
        stage.ok(OWNER, "vxdg", "split", "erp", AWAY, "erp01_copy", "erp02_copy"),
        stage.ok(OWNER, "vxdg", "deport", AWAY),
        stage.ok(OWNER, "vxdg", "import", AWAY),
        stage.ok(OWNER, "vxvol", "-g", AWAY, "startall"),
    ),
}


@pytest.mark.parametrize("at", BEFORE)
def test_expose_and_unexpose_go_on_where_a_crash_left_them(stage: VxvmStage, at: str) -> None:
    split(stage)
    BEFORE[at](stage)
    exposed = stage.array().expose(COPY, soon())
    assert exposed.paths == ("/dev/vx/dsk/erp_copy/erp01_copy", "/dev/vx/dsk/erp_copy/erp02_copy")
    assert stage.read(exposed) == (b"one", b"one")
    stage.array().unexpose(COPY, soon())
    BEFORE[at](stage)
    stage.array().unexpose(COPY, soon())
    assert [pair.copy for pair in stage.array().query("erp", soon())] == ["erp/erp01_copy", "erp/erp02_copy"]
    stage.write(b"two")
    stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert 0 < stage.copied_bytes() < stage.size_bytes()


def test_copy_that_is_on_one_disk_with_another_is_not_split_off_by_force(tmp_path: Path) -> None:
    stage = ready(VxvmStage(tmp_path, "--same-disk"))
    stage.options["groups"] = {"erp": {"disk-group": "erp", "volumes": ["erp01"], "copy-disk-group": AWAY}}
    split(stage)
    with pytest.raises(CommandFailed, match="splitting erp_copy off") as caught:
        stage.array().expose(COPY, soon())
    assert "nothing else" in caught.value.hint


def test_copy_that_somebody_has_open_at_home_is_not_split_off(stage: VxvmStage) -> None:
    split(stage)
    stage.control("open", OWNER, "erp", "erp01_copy")
    with pytest.raises(CommandFailed, match="splitting erp_copy off"):
        stage.array().expose(COPY, soon())
    assert words(stage) == ["ENABLED ACTIVE"] * 2


def test_disk_group_that_holds_something_else_is_left_alone(stage: VxvmStage) -> None:
    split(stage)
    stage.ok(OWNER, "vxdg", "split", "erp", AWAY, "erp01_copy", "erp02_copy", "erp02")
    stage.options["groups"] = {"erp": {"disk-group": "erp", "volumes": ["erp01"], "copy-disk-group": AWAY}}
    for move in (stage.array().expose, stage.array().unexpose):
        with pytest.raises(Refused, match="nothing else"):
            move(COPY, soon())
    assert AWAY in stage.ok(OWNER, "vxdg", "list")


def test_what_is_not_split_is_not_shown(stage: VxvmStage) -> None:
    with pytest.raises(Refused, match="is not split"):
        stage.array().expose(COPY, soon())
    stage.array().unexpose(COPY, soon())


def test_snapshot_at_home_is_started_and_stopped(tmp_path: Path) -> None:
    stage = ready(AtHomeStage(tmp_path))
    split(stage)
    array = stage.array()
    array.unexpose(COPY, soon())
    assert words(stage) == ["DISABLED ACTIVE"]
    assert array.expose(COPY, soon()).paths == ("/dev/vx/dsk/erp/erp01_copy",)
    assert words(stage) == ["ENABLED ACTIVE"]
    assert "erp01" in array.restore_note(COPY)


@pytest.mark.parametrize("fault", ["vxdg.split fail", "vxdg.deport fail", "vxdg.split lie", "vxdg.deport lie"])
def test_fault_on_the_way_out_is_told_and_mended_by_the_next(stage: VxvmStage, fault: str) -> None:
    split(stage)
    stage.control("fault", fault)
    with pytest.raises(Fault):
        stage.array().expose(COPY, soon())
    stage.mend()
    assert stage.read(stage.array().expose(COPY, soon())) == (b"one", b"one")


@pytest.mark.parametrize("fault", ["vxdg.import fail", "vxdg.join fail", "vxdg.join lie", "vxdg.import lie"])
def test_fault_on_the_way_back_is_told_and_mended_by_the_next(stage: VxvmStage, fault: str) -> None:
    split(stage)
    stage.array().expose(COPY, soon())
    stage.control("fault", fault)
    with pytest.raises(Fault):
        stage.array().unexpose(COPY, soon())
    stage.mend()
    stage.array().unexpose(COPY, soon())
    assert words(stage) == ["DISABLED ACTIVE"] * 2
