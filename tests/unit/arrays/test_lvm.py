"""The `lvm` array: what reports mean, what is refused, and what becomes of each fault of the emulated tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.array import soon
from tests.unit.arrays.lvm_stage import OTHER, AnyLeg, LvmStage, ShownElsewhere, ThickStage, ThinStage, TwoVolumes

from splitmirror_drivers.arrays import lvm_copies, lvm_report, mirror_proof
from splitmirror_drivers.arrays.lvm import ANSWERS, Group, LvmMirror, Options, from_options
from splitmirror_drivers.arrays.mirror_proof import Kind, Note, Step
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Mode, Move, PairState, Receipt
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    Fault,
    InUse,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "lvm").glob("*.json"))
CONTEXT = Context(secret=lambda _: Secret(""), state_folder="")
WHOLE_NIGHT = "run-1"
OVERFLOW = 8 * 2**20


def golden(path: Path) -> dict[str, Any]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


# -- reports --


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_recorded_answers_mean_what_they_meant(path: Path) -> None:
    record = golden(path)
    text = "\n".join(record["stdout"])
    assert record["source"].startswith("recorded: lvm2")
    if record["result"] is None:
        assert record["exit_code"] in (0, 3, 5)
    elif record["argv"][0] == "pvs":
        assert sorted(lvm_report.parse_disks(text)) == record["result"]
    else:
        rows = lvm_report.parse_rows(text)
        assert {name: meaning(rows, name) for name in record["result"]} == record["result"]


def meaning(rows: tuple[lvm_report.Lv, ...], name: str) -> list[str]:
    one = lvm_report.mirrored(rows, name)
    assert one is not None
    if one.lv.origin:
        return ["copy", lvm_copies.copy_state(one.lv).value, one.lv.origin]
    return [one.state().value, lvm_copies.volume_state(one.lv).value, one.word]


def test_there_are_recorded_answers() -> None:
    assert len(GOLDEN) > 25


@pytest.mark.parametrize("text", ["", "no json", '{"report": 1}', '{"report":[{"lv":[{"vg_name":"vg"}]}]}'])
def test_report_that_cannot_be_read_is_an_unknown_answer(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        lvm_report.parse_rows(text)
    with pytest.raises(UnknownAnswer):
        lvm_report.parse_disks(text or '{"pv": []}')


def test_volume_of_several_segments_is_one_volume_on_several_disks() -> None:
    row = {"vg_name": "vg", "lv_name": "data", "lv_attr": "-wi-a-----", "lv_layout": "linear"}
    rows = [row | {"devices": "/dev/sda(0)"}, row | {"devices": "/dev/sdb(12)"}]
    (lv,) = lvm_report.parse_rows(msgspec.json.encode({"report": [{"lv": rows}]}).decode())
    assert lv.disks == {"/dev/sda", "/dev/sdb"}


# -- the policy --


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(method="split-mirror", groups={"erp": Group(volumes=())}), "names no volume"),
        (Options(method="split-mirror", groups={"erp": Group(volumes=("erp",))}), "not a volume as VG/LV"),
        (Options(method="split-mirror", groups={"erp": Group(volumes=("vg/a", "vg/a"))}), "one volume twice"),
        (Options(method="split-mirror", groups={"erp": Group(volumes=("vg/a",), leg="sdb")}), "is the disk"),
        (Options(method="split-mirror", groups={"erp": Group(volumes=("vg/a",), size="1G")}), "size is needed"),
        (Options(method="snapshot", groups={"erp": Group(volumes=("vg/a",))}), "size is needed"),
        (Options(method="snapshot", groups={"erp": Group(volumes=("vg/a",), size="much")}), "not a size"),
        (Options(method="thin-snapshot", groups={"erp": Group(volumes=("vg/a",), leg="/dev/b")}), "is the disk"),
        (Options(method="snapshot", groups={}, copy_host="backup"), "needs a split mirror"),
    ],
)
def test_policies_that_cannot_be_right_are_refused(options: Options, said: str) -> None:
    with pytest.raises(PolicyFault, match=said):
        from_options("vols", options, LocalHost(), CONTEXT)


def test_only_flags_that_answer_are_passed(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    lines = [action.what for move in Move for action in stage.array().actions(move, "erp", WHOLE_NIGHT)]
    flags = {word for line in lines for word in line.split() if word.startswith("-")}
    assert "--force" not in flags
    assert "-f" not in flags
    assert any(key.startswith("lvconvert -y") for key in ANSWERS)


# -- what is noted about legs --


@pytest.mark.parametrize(
    ("policy", "note", "is_needed"),
    [
        ("after-crash", Note(), True),
        ("after-crash", Note(Kind.SPLIT, "now"), False),
        ("after-crash", Note(Kind.WHOLE, "now"), False),
        ("after-crash", Note(Kind.SPLIT, "before"), True),
        ("after-crash", Note(Kind.DUE), True),
        ("always", Note(Kind.SPLIT, "now"), True),
        ("never", Note(Kind.DUE), False),
    ],
)
def test_legs_are_compared_when_the_machine_was_restarted(
    policy: mirror_proof.Policy, note: Note, is_needed: bool
) -> None:
    assert mirror_proof.is_needed(policy, Mode.INCREMENTAL, note, "now") is is_needed
    assert mirror_proof.is_needed(policy, Mode.FULL, note, "now") is (policy != "never")


@pytest.mark.parametrize(
    ("policy", "note", "mismatches", "state", "step"),
    [
        ("after-crash", Note(), 0, PairState.SYNCED, Step.CALL_WHOLE),
        ("after-crash", Note(Kind.WHOLE, "now"), 0, PairState.SYNCED, Step.NOTHING),
        ("after-crash", Note(Kind.WHOLE, "before"), 0, PairState.SYNCED, Step.CALL_WHOLE),
        ("after-crash", Note(Kind.SPLIT, "before"), 0, PairState.ATTACHING, Step.COMPARE),
        ("after-crash", Note(Kind.DUE), 0, PairState.ATTACHING, Step.COMPARE),
        ("after-crash", Note(Kind.CHECKING, "now"), 0, PairState.SYNCED, Step.CALL_WHOLE),
        ("after-crash", Note(Kind.CHECKING, "before"), 0, PairState.ATTACHING, Step.COMPARE),
        ("after-crash", Note(Kind.CHECKING, "now"), 8, PairState.BROKEN, Step.NOTHING),
        ("after-crash", Note(), 8, PairState.BROKEN, Step.NOTHING),
        ("after-crash", Note(Kind.DUE), 8, PairState.ATTACHING, Step.COMPARE),
        ("after-crash", Note(Kind.CHECKING, "before"), 8, PairState.ATTACHING, Step.COMPARE),
        ("never", Note(Kind.DUE), 8, PairState.SYNCED, Step.NOTHING),
    ],
)
def test_what_says_in_sync_is_called_so_when_it_is_known(
    policy: mirror_proof.Policy, note: Note, mismatches: int, state: PairState, step: Step
) -> None:
    assert mirror_proof.state(policy, note, "now", mismatches) is state
    assert mirror_proof.step(policy, note, "now", mismatches) is step


@pytest.mark.parametrize("note", [Note(), Note(Kind.DUE), Note(Kind.SPLIT, "a-b"), Note(Kind.CHECKING, "a-b")])
def test_notes_are_read_as_they_were_written(note: Note) -> None:
    assert mirror_proof.parse(f"{note}\n") == note


def test_strange_note_is_none() -> None:
    assert mirror_proof.parse("copy=run-1") == Note(Kind.NONE, "run-1") != Note()
    assert mirror_proof.is_needed("after-crash", Mode.INCREMENTAL, mirror_proof.parse("copy=now"), "now")


# -- a split mirror --


def in_sync(stage: LvmStage) -> LvmMirror:
    array = stage.array()
    assert isinstance(array, LvmMirror)
    array.establish("erp", Mode.FULL, soon())
    assert array.progress("erp", soon()).is_done
    return array


def taken(stage: LvmStage) -> tuple[LvmMirror, Receipt]:
    array = in_sync(stage)
    (receipt,) = array.split(["erp"], WHOLE_NIGHT, soon())
    array.settle(receipt, soon())
    return array, receipt


def states(stage: LvmStage) -> list[PairState]:
    return [pair.state for pair in stage.array().query("erp", soon())]


def asked(stage: LvmStage, tool: str) -> list[list[str]]:
    return [call for call in stage.calls() if call[0] == tool]


def test_linear_volumes_need_a_full_copy(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    assert states(stage) == [PairState.UNPAIRED] * 2
    with pytest.raises(Refused, match="full copy") as caught:
        stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert "--full" in caught.value.hint
    assert asked(stage, "lvconvert") == []


def test_split_is_one_command_a_volume_and_asks_nothing(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    array = in_sync(stage)
    before = len(stage.calls())
    array.split(["erp"], WHOLE_NIGHT, soon())
    leg = f"{tmp_path}/state.dev/sdb"
    made = ["lvconvert", "-y", "--splitmirrors", "1", "--trackchanges"]
    assert stage.calls()[before:] == [[*made, "erp/lv1", leg], [*made, "erp/lv2", leg]]


def test_legs_are_protected_before_they_are_settled(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    _, receipt = taken(stage)
    protected = [call[2].rpartition("/")[2] for call in asked(stage, "blockdev") if call[1] == "--setro"]
    assert protected == ["erp-lv1_rimage_1", "erp-lv2_rimage_1"]
    stage.control("fault", "blockdev lie")
    with pytest.raises(UnknownAnswer, match="is not protected"):
        stage.array().expose(receipt, soon())


def test_half_of_a_group_split_is_an_unknown_outcome_that_names_both(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    array = in_sync(stage)
    stage.control("fault", "split lv lv2")
    with pytest.raises(UnknownAnswer, match=r"half-way.*erp/lv1.*erp/lv2"):
        array.split(["erp"], WHOLE_NIGHT, soon())
    stage.mend()
    with pytest.raises(UnknownAnswer, match="some volumes are split and some are not"):
        stage.array().split(["erp"], WHOLE_NIGHT, soon())
    assert states(stage) == [PairState.SPLIT, PairState.SYNCED]


def test_split_that_was_ended_by_a_signal_is_unknown(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array = in_sync(stage)
    stage.control("fault", "split die")
    with pytest.raises(UnknownAnswer):
        array.split(["erp"], WHOLE_NIGHT, soon())


def test_split_that_lied_is_found_out_before_anybody_reads(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array = in_sync(stage)
    stage.control("fault", "split lie")
    (receipt,) = array.split(["erp"], WHOLE_NIGHT, soon())
    stage.mend()
    with pytest.raises(UnknownAnswer, match="is not there"):
        array.settle(receipt, soon())
    with pytest.raises(UnknownAnswer, match="is not there"):
        array.expose(receipt, soon())


@pytest.mark.parametrize("leg", ["@backup", "{dev}/other-name"])
def test_leg_by_tag_or_by_another_path_is_asked_for(leg: str, tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    in_sync(stage)
    assert asked(stage, "pvs") == []
    named = leg.format(dev=f"{tmp_path}/state.dev")
    group = Group(volumes=("erp/lv1",), leg=named)
    stage.options = Options(method="split-mirror", groups={"erp": group})
    with pytest.raises((Refused, CommandFailed)):
        stage.array().query("erp", soon())
    assert asked(stage, "pvs")[0][-1] == named


def test_volume_that_went_away_is_refused_by_name(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    in_sync(stage)
    stage.control("lose", "erp", "lv2")
    with pytest.raises(Refused, match="erp/lv2 is not on db1"):
        stage.array().query("erp", soon())
    with pytest.raises(Refused, match="erp/lv2"):
        stage.array().stand_by(["erp"], WHOLE_NIGHT, soon())


def test_leg_on_another_disk_than_the_policys_is_refused(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    in_sync(stage)
    group = Group(volumes=("erp/lv1",), leg=f"{tmp_path}/state.dev/sda")
    stage.options = Options(method="split-mirror", groups={"erp": group})
    stage.array().split(["erp"], WHOLE_NIGHT, soon())
    group = Group(volumes=("erp/lv1",), leg=f"{tmp_path}/state.dev/sdb")
    stage.options = Options(method="split-mirror", groups={"erp": group})
    with pytest.raises(Refused, match="erp/lv1_rimage_0 is split off, and not the leg on"):
        stage.array().query("erp", soon())


@pytest.mark.parametrize(
    ("letter", "state"), [("p", PairState.BROKEN), ("r", PairState.BROKEN), ("m", PairState.BROKEN)]
)
def test_volume_that_is_not_healthy_is_broken(letter: str, state: PairState, tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array = in_sync(stage)
    stage.control("break", "erp", "lv1", letter)
    assert states(stage) == [state]
    with pytest.raises(CommandFailed, match="is broken"):
        array.progress("erp", soon())
    with pytest.raises(Refused):
        array.establish("erp", Mode.INCREMENTAL, soon())
    with pytest.raises(Refused, match="not in sync"):
        array.stand_by(["erp"], WHOLE_NIGHT, soon())


def test_mirror_that_was_never_synchronised_is_broken(tmp_path: Path) -> None:
    stage = made(AnyLeg, tmp_path, "--mirrored", "--nosync")
    assert states(stage) == [PairState.BROKEN]


def made(kind: type[LvmStage], folder: Path, *words: str) -> LvmStage:
    stage: LvmStage = type(kind.__name__, (kind,), {"made_with": (*kind.made_with, *words)})(folder)
    return stage


def test_percentages_decide_nothing(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    in_sync(stage)
    stage.control("fault", "lvs percent 12.00")
    assert states(stage) == [PairState.SYNCED]
    stage.control("fault", "lvs action recover")
    assert states(stage) == [PairState.ATTACHING]
    stage.control("fault", "lvs action sideways")
    assert states(stage) == [PairState.UNKNOWN]


def test_leg_that_is_read_is_neither_merged_nor_taken_away(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array, receipt = taken(stage)
    exposed = array.expose(receipt, soon())
    with stage.in_use(exposed):
        with pytest.raises(InUse):
            array.establish("erp", Mode.INCREMENTAL, soon())
        with pytest.raises(InUse):
            array.unexpose(receipt, soon())
    assert states(stage) == [PairState.SPLIT]


def test_leg_that_is_read_on_the_backup_server_is_not_merged(tmp_path: Path) -> None:
    """LVM itself would: it sees its own machine only."""
    stage = ShownElsewhere(tmp_path)
    array, receipt = taken(stage)
    exposed = array.expose(receipt, soon())
    assert exposed.host == OTHER
    with stage.in_use(exposed), pytest.raises(InUse):
        array.establish("erp", Mode.INCREMENTAL, soon())
    array.establish("erp", Mode.INCREMENTAL, soon())
    off = [call for call in asked(stage, "lvchange") if call[1] == "-an"]
    assert [call[2] for call in off] == ["erp/lv1_rimage_1", "erp/lv2_rimage_1"]


def test_merge_after_a_restart_compares_the_legs(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array, _ = taken(stage)
    stage.hosts["db1"].boot = "second"
    array.establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == [PairState.ATTACHING]
    while not array.progress("erp", soon()).is_done:
        pass
    assert states(stage) == [PairState.SYNCED]
    assert ["lvchange", "--syncaction", "check", "erp/lv1"] in stage.calls()


def test_merge_without_a_restart_compares_nothing(tmp_path: Path) -> None:
    stage = AnyLeg(tmp_path)
    array, _ = taken(stage)
    array.establish("erp", Mode.INCREMENTAL, soon())
    assert array.progress("erp", soon()).is_done
    assert [call for call in asked(stage, "lvchange") if "check" in call] == []


def test_lost_map_of_changes_is_found_and_never_called_in_sync(tmp_path: Path) -> None:
    """A power failure while a leg is split off: the merge says that all is well."""
    stage = AnyLeg(tmp_path)
    array, _ = taken(stage)
    stage.write(b"two")
    stage.control("crash", "--lose-map")
    stage.hosts["db1"].boot = "second"
    array.establish("erp", Mode.INCREMENTAL, soon())
    with pytest.raises(CommandFailed, match="sectors differ") as caught:
        while not array.progress("erp", soon()).is_done:
            pass
    assert states(stage) == [PairState.BROKEN]
    stage.hosts["db1"].boot = "third"
    assert states(stage) == [PairState.ATTACHING], "the count went with the restart: the legs are compared anew"
    with pytest.raises(CommandFailed, match="sectors differ"):
        while not array.progress("erp", soon()).is_done:
            pass
    assert "`lvconvert -m 0 VG/LV DISK-OF-THE-LEG`" in caught.value.hint
    leg = f"{tmp_path}/state.dev/sdb"
    run_in(stage.hosts["db1"], "lvconvert", "-y", "-m", "0", "erp/lv1", leg)
    run_in(stage.hosts["db1"], "lvconvert", "-y", "--type", "raid1", "-m", "1", "erp/lv1", leg)
    while not array.progress("erp", soon()).is_done:
        pass
    assert states(stage) == [PairState.SYNCED]


def test_restore_note_does_not_have_anybody_merge(tmp_path: Path) -> None:
    note = AnyLeg(tmp_path).array().restore_note(Receipt("vols", "erp", WHOLE_NIGHT))
    assert "Do not run `lvconvert --merge`" in note


# -- snapshots --


@pytest.mark.parametrize("kind", [ThinStage, ThickStage])
def test_half_of_a_group_with_snapshots_is_an_unknown_outcome(kind: type[LvmStage], tmp_path: Path) -> None:
    stage = kind(tmp_path)
    stage.control("fault", "snapshot lv lv2")
    with pytest.raises(UnknownAnswer, match="half-way"):
        stage.array().split(["erp"], WHOLE_NIGHT, soon())
    stage.mend()
    with pytest.raises(UnknownAnswer, match="half-way"):
        stage.array().split(["erp"], WHOLE_NIGHT, soon())
    stage.array().discard(Receipt("vols", "erp", WHOLE_NIGHT), soon())
    assert states(stage) == [PairState.PREPARED] * 2


def test_snapshot_that_ran_full_is_broken_and_can_be_discarded(tmp_path: Path) -> None:
    stage = ThickStage(tmp_path)
    group = Group(volumes=("erp/lv1", "erp/lv2"), size="4M")
    stage.options = Options(method="snapshot", groups={"erp": group})
    for name in ("p1", "p2"):
        (tmp_path / name).write_bytes(b"\1" * OVERFLOW)
    array = stage.array()
    (receipt,) = array.split(["erp"], WHOLE_NIGHT, soon())
    for name in ("p1", "p2"):
        (tmp_path / name).write_bytes(bytes(OVERFLOW))
    assert [pair.state for pair in array.query("erp", soon()) if pair.copy] == [PairState.BROKEN] * 2
    for ask in (array.settle, array.expose):
        with pytest.raises(UnknownAnswer, match="cannot be read"):
            ask(receipt, soon())
    array.discard(receipt, soon())
    assert states(stage) == [PairState.PREPARED] * 2


def test_thin_snapshots_need_thin_volumes(tmp_path: Path) -> None:
    stage = TwoVolumes(tmp_path)
    stage.options = Options(method="thin-snapshot", groups={"erp": Group(volumes=("erp/lv1",))})
    with pytest.raises(Refused, match="no thin volume"):
        stage.array().query("erp", soon())


def test_volume_that_somebody_else_called_so_is_left_alone(tmp_path: Path) -> None:
    stage = ThinStage(tmp_path)
    (receipt,) = stage.array().split(["erp"], WHOLE_NIGHT, soon())
    host = stage.hosts["db1"]
    run_in(host, "lvchange", "--deltag", f"splitmirror.copy={WHOLE_NIGHT}", f"erp/lv1.{WHOLE_NIGHT}")
    with pytest.raises(Refused, match="not a snapshot of erp/lv1 that was made here"):
        stage.array().discard(receipt, soon())


def run_in(host: LocalHost, *argv: str) -> None:
    from splitmirror_drivers.kit.command import Command

    host.run(Command(argv), soon()).require("preparing")


def test_name_that_lvm_does_not_take_is_refused(tmp_path: Path) -> None:
    array = ThinStage(tmp_path).array()
    for copy in ("a/b", "-f", "x" * 130):
        with pytest.raises(Refused):
            array.split(["erp"], copy, soon())


def test_copy_that_is_there_already_is_refused_before_the_night(tmp_path: Path) -> None:
    stage = ThinStage(tmp_path)
    stage.array().split(["erp"], WHOLE_NIGHT, soon())
    with pytest.raises(Refused, match="is there already"):
        stage.array().stand_by(["erp"], WHOLE_NIGHT, soon())


def test_snapshots_must_not_be_made_of_frozen_filesystems(tmp_path: Path) -> None:
    assert not ThinStage(tmp_path).array().traits.allows_freeze


@pytest.mark.parametrize("kind", [TwoVolumes, ThinStage, ThickStage])
def test_every_other_fault_is_told(kind: type[LvmStage], tmp_path: Path) -> None:
    stage = kind(tmp_path)
    for what, line in stage.more_faults.items():
        array = stage.array()
        array.establish("erp", Mode.FULL, soon())
        array.progress("erp", soon())
        stage.control("fault", line)
        with pytest.raises(Fault):
            array.stand_by(["erp"], WHOLE_NIGHT, soon())
            array.split(["erp"], WHOLE_NIGHT, soon())
        stage.mend()
        assert what


def test_unsynchronised_group_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(NotSynchronised, match="nothing was split"):
        AnyLeg(tmp_path).array().split(["erp"], WHOLE_NIGHT, soon())


def test_a_leg_is_never_split_off_for_good_or_its_volume_unmirrored(tmp_path: Path) -> None:
    """``--name`` makes a volume that is not tracked, ``-m 0`` takes the mirror away."""
    stage = TwoVolumes(tmp_path)
    array, receipt = taken(stage)
    array.expose(receipt, soon())
    array.unexpose(receipt, soon())
    array.establish("erp", Mode.INCREMENTAL, soon())
    words = {word for call in asked(stage, "lvconvert") for word in call}
    assert not words & {"--name", "-n", "0", "--force", "-f"}
    splits = [call for call in asked(stage, "lvconvert") if "--splitmirrors" in call]
    assert all("--trackchanges" in call for call in splits)
