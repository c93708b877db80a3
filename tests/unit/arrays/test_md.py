"""The `md` array: what the kernel's words mean, what is refused, and what becomes of each fault of the emulated tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.array import soon
from tests.unit.arrays.md_stage import MdStage, ShownElsewhere

from splitmirror_drivers.arrays import md_report
from splitmirror_drivers.arrays.md import ANSWERS, Group, Md, Options, PairOptions
from splitmirror_drivers.arrays.md_calls import Calls
from splitmirror_drivers.arrays.md_show import Shown
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Mode, Move, PairState, Receipt
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
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

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "md").glob("*.json"))
NIGHT = "run-1"
LEG = "ubdb"
UUID = "8c5b711a613a7052322016295600229a"


def golden(path: Path) -> dict[str, Any]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


# -- reports --


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_recorded_answers_mean_what_they_meant(path: Path) -> None:
    record = golden(path)
    assert record["source"].startswith("recorded: mdadm 4.2")
    assert meaning(record, "\n".join(record["stdout"])) == record["result"]


def meaning(record: dict[str, Any], text: str) -> object:
    argv = record["argv"]
    if record["exit_code"] != 0:
        return [] if argv[0] == "cat" else None
    if argv[0] == "cat":
        count = len(md_report.FILES)
        entries = md_report.parse_mdstat("\n".join(record["stdout"][:-count]))
        files = md_report.parse_files("\n".join(record["stdout"][-count:]), ["md0"])
        one = md_report.Md(entries["md0"], LEG, files["md0"])
        return [one.state().value, one.word]
    if "--export" in argv:
        export = md_report.parse_export(text)
        return [md_report.uuid_of(export), export.get("MD_METADATA", "")]
    return md_report.parse_offset(text) if "--examine" in argv else None


def test_there_are_recorded_answers() -> None:
    assert len(GOLDEN) > 20


def of(mdstat: str, leg: str = "sdb1", **files: str) -> PairState:
    values = {"array_state": "clean", "sync_action": "idle", "mismatch_cnt": "0"} | files
    (entry,) = md_report.parse_mdstat(f"Personalities : [raid1]\n{mdstat}\n\nunused devices: <none>\n").values()
    return md_report.Md(entry, leg, values).state()


WHOLE = "md0 : active raid1 sdb1[1] sda1[0]\n      1047552 blocks super 1.2 [2/2] [UU]\n      "


@pytest.mark.parametrize(
    ("state", "mdstat", "files"),
    [
        (PairState.SYNCED, WHOLE, {}),
        (PairState.SYNCED, WHOLE, {"array_state": "read-auto"}),
        (PairState.SYNCED, WHOLE.replace("sdb1[1]", "sdb1[1](W)"), {}),
        (PairState.ATTACHING, WHOLE, {"sync_action": "resync"}),
        (PairState.ATTACHING, WHOLE, {"sync_action": "check"}),
        (PairState.ATTACHING, WHOLE.replace("[2/2] [UU]", "[2/1] [U_]"), {}),
        (PairState.BROKEN, WHOLE.replace("sdb1[1]", "sdb1[1](F)").replace("[2/2] [UU]", "[2/1] [U_]"), {}),
        (PairState.BROKEN, WHOLE.replace("sdb1[1]", "sdc1[2](S) sdb1[1]"), {}),
        (PairState.BROKEN, WHOLE, {"array_state": "broken"}),
        (PairState.BROKEN, WHOLE.replace("active", "inactive"), {}),
        (PairState.BROKEN, WHOLE.replace("sdb1[1] ", ""), {}),
        (PairState.BROKEN, WHOLE.replace("sdb1[1] ", "").replace("[2/2] [UU]", "[3/1] [U__]"), {}),
        (PairState.SPLIT, WHOLE.replace("sdb1[1] ", "").replace("[2/2] [UU]", "[2/1] [U_]"), {}),
        (
            PairState.BROKEN,
            WHOLE.replace("sdb1", "sdc1").replace("[2/2] [UU]", "[2/1] [U_]"),
            {"sync_action": "recover"},
        ),
        (PairState.UNKNOWN, WHOLE, {"array_state": "sideways"}),
        (PairState.UNKNOWN, WHOLE, {"sync_action": "reshape"}),
        (PairState.UNKNOWN, WHOLE, {"array_state": "readonly"}),
        (PairState.UNKNOWN, WHOLE.replace("raid1", "raid10"), {}),
    ],
)
def test_kernels_words(state: PairState, mdstat: str, files: dict[str, str]) -> None:
    assert of(mdstat, **files) is state


def test_several_arrays_in_one_answer() -> None:
    text = f"Personalities : [raid1]\n{WHOLE}\nmd127 : active (auto-read-only) raid1 sdd[1] sdc[0]\n      9 blocks [2/2] [UU]\n"
    assert sorted(md_report.parse_mdstat(text)) == ["md0", "md127"]
    assert md_report.parse_mdstat(text)["md127"].mode == "auto-read-only"


@pytest.mark.parametrize("text", ["md0 : sideways raid1 sda[0]", "nonsense"])
def test_line_that_cannot_be_read_is_an_unknown_answer(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        md_report.parse_mdstat(text)


def test_files_that_are_missing_are_an_unknown_answer() -> None:
    with pytest.raises(UnknownAnswer):
        md_report.parse_files("clean\nidle\n", ["md0"])


# -- the policy --


PAIR = PairOptions(array="/dev/md0", leg="/dev/sdb")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(groups={"erp": Group(pairs=())}), "names no array"),
        (
            Options(groups={"erp": Group(pairs=(PairOptions(array="md0", leg="/dev/sdb"),))}),
            "not a plain absolute path",
        ),
        (Options(groups={"erp": Group(pairs=(PAIR, PAIR))}), "named twice"),
        (Options(groups={"a": Group(pairs=(PAIR,)), "b": Group(pairs=(PAIR,))}), "in two groups"),
        (
            Options(groups={"erp": Group(pairs=(PairOptions(array="/dev/md0", leg="/dev/b", copy_leg="/dev/c"),))}),
            "copy-host",
        ),
        (Options(groups={"erp": Group(pairs=(PAIR,))}, notes="notes"), "not a plain absolute path"),
    ],
)
def test_policies_that_cannot_be_right_are_refused(options: Options, said: str) -> None:
    with pytest.raises(PolicyFault, match=said):
        Md.from_options("arrays", options, LocalHost(), Context(secret=lambda _: Secret(""), state_folder=""))


def test_nothing_is_forced(tmp_path: Path) -> None:
    array = MdStage(tmp_path).array()
    lines = [action.what for move in Move for action in array.actions(move, "erp", NIGHT)]
    assert not [line for line in lines if "--force" in line or "--run" in line]
    assert not ANSWERS


# -- the mirror --


def in_sync(stage: MdStage) -> Md:
    array = stage.array()
    array.establish("erp", Mode.FULL, soon())
    while not array.progress("erp", soon()).is_done:
        pass
    return array


def taken(stage: MdStage) -> tuple[Md, Receipt]:
    array = in_sync(stage)
    (receipt,) = array.split(["erp"], NIGHT, soon())
    assert array.settle(receipt, soon()).is_done
    return array, receipt


def states(stage: MdStage) -> list[PairState]:
    return [pair.state for pair in stage.array().query("erp", soon())]


def asked(stage: MdStage, *words: str) -> list[list[str]]:
    return [call for call in stage.calls() if set(words) <= set(call)]


def made(folder: Path, *words: str) -> MdStage:
    stage: MdStage = type("Made", (MdStage,), {"made_with": words})(folder)
    return stage


def test_array_without_its_leg_needs_a_full_copy(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    assert states(stage) == [PairState.UNPAIRED] * 2
    with pytest.raises(Refused, match="needs a full copy"):
        stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert asked(stage, "--add") == asked(stage, "--re-add") == []


def test_array_without_a_bitmap_needs_a_full_copy_each_time(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored", "--no-bitmap")
    _, receipt = taken(stage)
    assert states(stage) == [PairState.SPLIT_UNTRACKED] * 2
    with pytest.raises(Refused, match="is not tracked") as caught:
        stage.array().establish("erp", Mode.INCREMENTAL, soon())
    assert "bitmap" in caught.value.hint
    assert asked(stage, "--re-add") == []
    stage.array().unexpose(receipt, soon())
    stage.array().establish("erp", Mode.FULL, soon())
    while not stage.array().progress("erp", soon()).is_done:
        pass
    assert states(stage) == [PairState.SYNCED] * 2


def test_leg_is_protected_while_it_is_out_and_not_while_it_comes_back(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, _ = taken(stage)
    assert len(asked(stage, "--setro")) == 2
    array.establish("erp", Mode.INCREMENTAL, soon())
    order = [call[1:] for call in stage.calls() if "--setrw" in call or "--re-add" in call]
    assert [call[0] for call in order[-4:]] == ["--setrw", order[-3][0], "--setrw", order[-1][0]]
    assert "--re-add" in order[-1]


def test_leg_that_was_not_taken_back_is_protected_again(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, _ = taken(stage)
    before = len(asked(stage, "--setro"))
    stage.control("fault", "re-add stale")
    with pytest.raises(CommandFailed):
        array.establish("erp", Mode.INCREMENTAL, soon())
    assert len(asked(stage, "--setro")) == before + 1


def test_last_leg_is_never_failed(tmp_path: Path) -> None:
    """It would break the array, and every write to it."""
    stage = made(tmp_path, "--mirrored")
    in_sync(stage)
    stage.control("break", "md0", "sda")
    with pytest.raises(NotSynchronised, match="nothing was split"):
        stage.array().split(["erp"], NIGHT, soon())
    assert asked(stage, "--fail") == []


def test_spare_that_would_take_the_legs_place_is_refused(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored")
    in_sync(stage)
    stage.control("spare", "md0", "sdx")
    assert states(stage)[0] is PairState.BROKEN
    with pytest.raises(Refused):
        stage.array().stand_by(["erp"], NIGHT, soon())
    with pytest.raises(NotSynchronised):
        stage.array().split(["erp"], NIGHT, soon())


def test_leg_that_is_busy_is_taken_out_when_the_holds_are_gone(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored")
    array = in_sync(stage)
    stage.control("fault", "remove busy-now", "remove fail")
    (receipt,) = array.split(["erp"], NIGHT, soon())
    stage.mend()
    while not array.settle(receipt, soon()).is_done:
        pass
    assert states(stage) == [PairState.SPLIT] * 2


def test_half_of_a_group_split_is_an_unknown_outcome(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored")
    array = in_sync(stage)
    stage.control("fault", "fail md md1")
    with pytest.raises(UnknownAnswer, match="md1 was refused"):
        array.split(["erp"], NIGHT, soon())
    stage.mend()
    with pytest.raises(UnknownAnswer, match="some legs are out and some are not"):
        stage.array().split(["erp"], NIGHT, soon())


def test_leg_that_was_failed_by_a_tool_that_died_is_out(tmp_path: Path) -> None:
    """The kernel says so; the moment is when it was marked."""
    stage = made(tmp_path, "--mirrored")
    array = in_sync(stage)
    stage.control("fault", "fail die")
    (receipt,) = array.split(["erp"], NIGHT, soon())
    stage.mend()
    assert array.settle(receipt, soon()).is_done
    assert states(stage) == [PairState.SPLIT] * 2


def test_array_that_stopped_is_broken(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored")
    in_sync(stage)
    stage.control("stop", "md1")
    assert states(stage) == [PairState.SYNCED, PairState.BROKEN]
    with pytest.raises(CommandFailed, match="not running"):
        stage.array().progress("erp", soon())


def test_leg_that_is_read_is_not_taken_back(tmp_path: Path) -> None:
    stage = ShownElsewhere(tmp_path)
    array, receipt = taken(stage)
    exposed = array.expose(receipt, soon())
    with stage.in_use(exposed), pytest.raises(InUse):
        array.establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == [PairState.SPLIT] * 2


def test_return_after_a_restart_compares_the_legs(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, _ = taken(stage)
    stage.hosts["db1"].boot = "second"
    array.establish("erp", Mode.INCREMENTAL, soon())
    assert states(stage) == [PairState.ATTACHING] * 2
    while not array.progress("erp", soon()).is_done:
        pass
    assert states(stage) == [PairState.SYNCED] * 2


def test_what_was_written_to_the_leg_is_found_where_legs_are_compared(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, _ = taken(stage)
    with (tmp_path / "c1").open("r+b") as file:
        file.write(b"somebody was here")
    stage.hosts["db1"].boot = "second"
    array.establish("erp", Mode.INCREMENTAL, soon())
    with pytest.raises(CommandFailed, match="sectors differ"):
        while not array.progress("erp", soon()).is_done:
            pass
    assert states(stage)[0] is PairState.BROKEN
    for number in (0, 1):
        md, leg = stage.roots[f"md{number}"], stage.roots[f"md{number}.leg"]
        run_in(stage.hosts["db1"], "mdadm", md, "--fail", leg, "--remove", leg)
        run_in(stage.hosts["db1"], "mdadm", "--zero-superblock", leg)
    in_sync(stage)
    assert states(stage) == [PairState.SYNCED] * 2, (
        "a full copy cures it, though the old count stays until it is renewed"
    )


def run_in(host: LocalHost, *argv: str) -> None:
    host.run(Command(argv), soon()).require("preparing")


def test_return_without_a_restart_compares_nothing(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, _ = taken(stage)
    array.establish("erp", Mode.INCREMENTAL, soon())
    while not array.progress("erp", soon()).is_done:
        pass
    action = Path(stage.roots["sys"]) / "block/md0/md/last_sync_action"
    assert action.read_text().strip() != "check"


def test_disk_is_shown_only_where_the_data_begin_with_it(tmp_path: Path) -> None:
    stage = MdStage(tmp_path)
    array, receipt = taken(stage)
    paths = array.expose(receipt, soon()).paths
    assert [Path(path).resolve().name for path in paths] == ["c1", "c2"]


def test_leg_with_its_superblock_in_front_is_not_shown_as_a_disk(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored", "--metadata", "1.2")
    array = in_sync(stage)
    (receipt,) = array.split(["erp"], NIGHT, soon())
    array.settle(receipt, soon())
    with pytest.raises(Refused, match="do not begin where the disk begins"):
        array.expose(receipt, soon())


def test_every_other_fault_is_told(tmp_path: Path) -> None:
    stage = made(tmp_path, "--mirrored")
    for what, line in stage.more_faults.items():
        array = in_sync(stage)
        stage.control("fault", line)
        with pytest.raises(Fault):
            array.stand_by(["erp"], NIGHT, soon())
            array.split(["erp"], NIGHT, soon())
        stage.mend()
        assert what


# -- loop devices: scripted, since only real disks have superblocks in front of their data --


@dataclass
class Scripted(LocalHost):
    """A host whose answers are recorded ones."""

    answers: dict[str, str]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def connect(self, deadline: Deadline) -> None:
        """Nothing is behind it."""

    def call(self, verb: Any, deadline: Deadline) -> Answer:
        """Nobody uses anything."""
        return Answer({}, 0, "")

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        """The recorded answer of a command."""
        line = " ".join(command_.argv)
        self.said.append(line)
        found = next((text for words, text in self.answers.items() if words in line), "")
        return Completed(command_.argv, 0, found, "", 0.0)


def recorded(name: str) -> str:
    return "\n".join(golden(next(path for path in GOLDEN if path.stem == name))["stdout"])


def shown(**more: str) -> tuple[Shown, Scripted]:
    answers = {
        "--examine --export": recorded("examine-export"),
        "--examine /dev": recorded("examine"),
        "--getro": "1\n",
        "--find": "/dev/loop7\n",
    } | more
    host = Scripted(answers)
    return Shown(Calls("arrays", Options(groups={}), host)), host


def test_leg_is_shown_by_a_loop_device_over_its_data_alone() -> None:
    shower, host = shown(**{"--associated": recorded("loops-none")})
    assert shower.show("/dev/sdb", UUID, 408576, soon()) == "/dev/loop7"
    assert host.said[-1] == ("losetup --read-only --offset 1048576 --sizelimit 418381824 --find --show /dev/sdb")
    assert (
        host.said.index("blockdev --setro /dev/sdb")
        < host.said.index("blockdev --flushbufs /dev/sdb")
        < len(host.said) - 1
    )


def test_loop_device_that_is_there_is_taken_again() -> None:
    shower, host = shown(**{"--associated": recorded("loops")})
    assert shower.show("/dev/sdb", UUID, 408576, soon()) == "/dev/loop0"
    assert not [line for line in host.said if "--find" in line]


@pytest.mark.parametrize("change", [("1048576", "0"), ("418381824", "1"), ("true", "false")])
def test_loop_device_over_anything_else_is_not_taken(change: tuple[str, str]) -> None:
    shower, _ = shown(**{"--associated": recorded("loops").replace(*change)})
    assert shower.show("/dev/sdb", UUID, 408576, soon()) == "/dev/loop7"


def test_disk_of_another_array_is_not_shown() -> None:
    shower, host = shown()
    with pytest.raises(Refused, match="not a leg of that array"):
        shower.show("/dev/sdb", "0" * 32, 408576, soon())
    assert not [line for line in host.said if "losetup" in line]


def test_loop_device_is_taken_away() -> None:
    shower, host = shown(**{"--associated": recorded("loops")})
    shower.hide("/dev/sdb", soon())
    assert host.said[-1] == "losetup --detach /dev/loop0"


def test_answer_of_losetup_that_cannot_be_read_is_unknown() -> None:
    shower, _ = shown(**{"--associated": "no json"})
    with pytest.raises(UnknownAnswer):
        shower.hide("/dev/sdb", soon())
