"""What diskshadow says is read or refused; every fault of the emulated one is answered by an error or by the truth."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.array import soon
from tests.unit.arrays.diskshadow_stage import CONTEXT, StageHost, VssStage
from tests.unit.presentation.recorded import RecordedHost

from splitmirror import moves
from splitmirror_drivers import catalogue
from splitmirror_drivers.arrays.diskshadow import ANSWERS, DiskShadow, Options
from splitmirror_drivers.arrays.diskshadow_copies import Look
from splitmirror_drivers.arrays.diskshadow_options import Files, Group
from splitmirror_drivers.arrays.diskshadow_session import Session, script
from splitmirror_drivers.arrays.diskshadow_split import gate_for, lines_for
from splitmirror_drivers.arrays.diskshadow_words import Writer, parse_said, parse_shadows, parse_writers, place
from splitmirror_drivers.contracts.array import Move, PairState, Receipt
from splitmirror_drivers.kit.errors import CommandFailed, Fault, InUse, PolicyFault, Refused, UnknownAnswer

GOLDEN = Path(__file__).parents[2] / "golden" / "diskshadow"
TABLE: dict[str, Any] = {"groups": {"erp": {"volumes": ["D:", "E:"]}}}
SQL = Writer("SqlServerWriter", "{a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}", "VSS_WS_STABLE")
FOREIGN = "{11111111-2222-3333-4444-555555555555}"


@pytest.fixture
def stage(tmp_path: Path) -> VssStage:
    return VssStage(tmp_path)


def split(stage: VssStage, copy: str = "run-1") -> Receipt:
    (receipt,) = stage.array().split([stage.group], copy, soon())
    return receipt


def made(changes: dict[str, Any] | None = None, **group: Any) -> DiskShadow:
    table = msgspec.convert({"groups": {"erp": {**TABLE["groups"]["erp"], **group}}, **(changes or {})}, Options)
    return DiskShadow.from_options("vss", table, RecordedHost(), CONTEXT)


# -- words --


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_recorded_is_read(path: Path) -> None:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    assert recorded["source"]
    wanted = recorded["result"]
    for end in ("\n", "\r\n"):
        said = parse_said(end.join(recorded["stdout"]))
        assert [one.command for one in said] == wanted["commands"]
        for name, value in wanted.get("alias", {}).items():
            assert said[-1].alias(name) == value
        if "shadows" in wanted:
            shadows = [json.loads(json.dumps(asdict(one))) for one in parse_shadows(said[wanted["of"]])]
            assert shadows == ([wanted["shadows"]] if wanted["shadows"] else [])
        if "writers" in wanted:
            assert [[one.name, one.id, one.state] for one in parse_writers(said[wanted["of"]])] == wanted["writers"]
        if "not_understood" in wanted:
            with pytest.raises(UnknownAnswer) as caught:
                parse_shadows(said[wanted["not_understood"]])
            assert "English" in caught.value.hint


def recorded_text(name: str) -> str:
    return "\n".join(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["stdout"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Shadow copy set", "Set"),
        ("Original count of shadow copies = 1", "Original count = one"),
        (r" [C:\]", ""),
        ("- Not exposed", "- Hidden"),
        ("- Attributes:", "- Flags:"),
        ("listed: 1", "listed: 2"),
        ("Number of shadow copies listed: 1", ""),
        ("Shadow copy ID = {c42b4d5b", "Shadow copy ID = {"),
    ],
)
def test_row_that_lacks_something_is_an_error(before: str, after: str) -> None:
    text = recorded_text("create-exposed")
    assert before in text
    said = parse_said(text.replace(before, after))
    with pytest.raises(UnknownAnswer):
        parse_shadows(said[4])


@pytest.mark.parametrize(
    ("before", "after"), [("Status: 5", "Status: five"), ("Writer ID", "Id"), ("3 writers", "4 writers")]
)
def test_writer_that_lacks_something_is_an_error(before: str, after: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_writers(parse_said(recorded_text("list-writers").replace(before, after))[0])


def test_end_of_a_script_is_no_word_of_its_last_command() -> None:
    said = parse_said(recorded_text("create-with-writers"))
    assert (said[-1].command, said[-1].text) == ("end backup", "")


def test_no_diskshadow_is_no_answer() -> None:
    with pytest.raises(UnknownAnswer):
        parse_said("'diskshadow' is not recognized as an internal or external command")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("- Exposed locally as: P:\\", "P:\\"),
        ("- Exposed as p:", "P:\\"),
        (r"- Exposed locally as: C:\mnt\erp\ ", r"C:\mnt\erp"),
    ],
)
def test_place_of_an_exposed_copy_is_read_in_one_spelling(text: str, where: str) -> None:
    said = parse_said(recorded_text("create-exposed").replace("- Not exposed", text))
    assert parse_shadows(said[4])[0].exposed == where
    assert place(where.lower() if ":" in where[:2] and len(where) < 4 else where) == where


def test_script_ends_every_line_as_windows_does_and_holds_nothing_strange() -> None:
    assert script(["create", "exit"]) == "create\r\nexit\r\n"
    for strange in ("add volume Ü:", "create\nrevert", "create\x00"):
        with pytest.raises(Refused):
            script([strange])


# -- policy --


@pytest.mark.parametrize(
    "group",
    [
        {"volumes": []},
        {"volumes": ["D:", "d:\\"]},
        {"volumes": ["data"]},
        {"volumes": ["D:\\with blank"]},
        {"volumes": ["D: alias x"]},
        {"expose": ["P:"]},
        {"expose": ["P:", "P:"]},
        {"expose": ["P:", "D:"]},
        {"expose": ["P:", r"\\server\share"]},
        {"writers": []},
        {"writers": ['"'], "truncate-logs": "never"},
        {"truncate-logs": "after-split"},
    ],
)
def test_group_that_cannot_be_is_a_fault_of_the_policy(group: dict[str, Any]) -> None:
    with pytest.raises(PolicyFault, match="vss/erp"):
        made(**group)


@pytest.mark.parametrize("folder", ["splitmirror", r"C:\Program Files\x", r"\\server\share", "C:\\", "C:\\it's"])
def test_folder_that_cannot_be_is_a_fault_of_the_policy(folder: str) -> None:
    with pytest.raises(PolicyFault, match="folder"):
        made({"folder": folder})


def test_group_whose_name_cannot_go_into_a_files_name_is_a_fault_of_the_policy() -> None:
    with pytest.raises(PolicyFault, match="erp@x"):
        made({"groups": {"erp@x": {"volumes": ["D:"]}}})


def test_it_says_who_takes_part_in_every_groups_split() -> None:
    groups = {
        "one": {"volumes": ["D:"], "writers": ["SqlServerWriter", "Registry Writer"]},
        "two": {"volumes": ["E:"], "writers": ["SqlServerWriter"]},
    }
    assert made({"groups": groups}).traits.quiesces == ("SqlServerWriter",)
    assert made({"groups": {**groups, "three": {"volumes": ["F:"]}}}).traits.quiesces == ()
    assert ANSWERS == {}


def test_catalogue_makes_it() -> None:
    driver = catalogue.ARRAYS["diskshadow"]()
    assert driver.make("vss", msgspec.convert(TABLE, driver.options), RecordedHost(), CONTEXT).name == "vss"


# -- scripts --


def test_scripts_say_what_the_policy_wants_and_never_override_anything() -> None:
    session = Session(RecordedHost(), msgspec.convert(TABLE, Options))
    plain = lines_for(session, "erp", "run-1", Group(volumes=("D:", "E:")), Look(()))
    assert plain == [
        "# stood before: ",
        "set context persistent nowriters",
        r"set metadata C:\ProgramData\splitmirror\erp@run-1.cab",
        "add volume D: alias splitmirror1",
        "add volume E: alias splitmirror2",
        "create",
    ]
    table = Group(volumes=("D:",), writers=("sqlserverwriter",), truncate_logs="after-split")
    assert lines_for(session, "erp", "run-1", table, Look((), (SQL,)))[1:] == [
        "set context persistent",
        r"set metadata C:\ProgramData\splitmirror\erp@run-1.cab",
        f"writer verify {SQL.id}",
        "begin backup",
        "add volume D: alias splitmirror1",
        "create",
        "list writers status",
        r"exec C:\ProgramData\splitmirror\erp@run-1.cmd",
        "end backup",
    ]
    assert gate_for(table) == "@echo off\r\nif not defined splitmirror1 exit /b 1\r\nexit /b 0\r\n"


def test_windows_own_commands_deal_with_files() -> None:
    host = RecordedHost(
        {"powershell": (0, ""), "cmd": (0, "look.dsh\nother.cab\n"), "diskshadow": (0, recorded_text("list-none"))}
    )
    array = DiskShadow.from_options("vss", msgspec.convert(TABLE, Options), host, CONTEXT)
    assert [pair.state for pair in array.query("erp", soon())] == [PairState.PREPARED]
    folder = r"C:\ProgramData\splitmirror"
    assert host.asked == [
        rf"cmd /c dir /b {folder}",
        "powershell -NoProfile -NonInteractive -Command "
        f"[void][IO.Directory]::CreateDirectory('{folder}'); "
        rf"[IO.File]::WriteAllText('{folder}\look.dsh', [Console]::In.ReadToEnd())",
        rf"diskshadow -s {folder}\look.dsh",
    ]


def test_folder_that_cannot_be_listed_is_never_taken_for_an_empty_one() -> None:
    host = RecordedHost({"powershell": (0, ""), "cmd": (1, "Access is denied.")})
    array = DiskShadow.from_options("vss", msgspec.convert(TABLE, Options), host, CONTEXT)
    for ask in (lambda: array.query("erp", soon()), lambda: array.discard(Receipt("vss", "erp", "run-1"), soon())):
        with pytest.raises(UnknownAnswer, match="cannot say what is in"):
            ask()


def test_host_without_diskshadow_is_told() -> None:
    said = (1, "'diskshadow' is not recognized")
    host = RecordedHost({"powershell": (0, ""), "cmd": (0, "look.dsh\n"), "diskshadow": said})
    array = DiskShadow.from_options("vss", msgspec.convert(TABLE, Options), host, CONTEXT)
    with pytest.raises(CommandFailed, match="cannot be run"):
        array.progress("erp", soon())


# -- a split --


def test_writers_freeze_and_thaw_inside_the_split_and_are_named(stage: VssStage) -> None:
    receipt = split(stage)
    assert receipt.data["writers"] == "SqlServerWriter"
    assert "logs" not in receipt.data
    assert receipt.data["set"] in stage.sets()
    assert [line for line in stage.events() if "SqlServerWriter" in line and "complete" not in line][:3] == [
        "freeze SqlServerWriter",
        "frozen SqlServerWriter",
        "thaw SqlServerWriter",
    ]
    assert not [line for line in stage.events() if line.startswith("complete")]


def test_nobody_is_asked_where_the_policy_names_none(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, writers="none")
    assert split(stage).data["writers"] == "none"
    assert not [line for line in stage.events() if line.startswith("freeze")]
    assert "set context persistent nowriters" in stage.scripts()


def test_logs_are_truncated_after_the_copies_stand(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, **{"truncate-logs": "after-split"})
    assert split(stage).data["logs"] == "told to truncate"
    assert "complete full SqlServerWriter" in stage.events()


def test_logs_are_not_truncated_when_the_gate_is_shut(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, **{"truncate-logs": "after-split"})
    stage.control("fault", "exec fail")
    assert split(stage).data["logs"] == "not told to truncate"
    assert not [line for line in stage.events() if line.startswith("complete")]


def test_logs_are_not_truncated_for_a_copy_that_was_not_made(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, **{"truncate-logs": "after-split"})
    stage.control("fault", "create writer-fail")
    with pytest.raises(CommandFailed):
        split(stage)
    assert not [line for line in stage.events() if line.startswith("complete")]


@pytest.mark.parametrize(
    ("fault", "fails"),
    [
        ("create fail", CommandFailed),
        ("create writer-fail SqlServerWriter", CommandFailed),
        ("create writer-timeout", CommandFailed),
        ("create die", CommandFailed),
        ("set-context fail", CommandFailed),
        ("set-metadata fail", CommandFailed),
        ("add-volume fail", CommandFailed),
        ("writer-verify fail", CommandFailed),
    ],
)
def test_split_that_made_nothing_says_so_and_leaves_nothing(fault: str, fails: type[Fault], stage: VssStage) -> None:
    stage.control("fault", fault)
    with pytest.raises(fails, match="run-1") as caught:
        split(stage)
    assert "->" in caught.value.detail
    stage.mend()
    stage.control("writer", "SqlServerWriter", "stable")
    assert stage.sets() == set()
    assert not list(stage.ours.glob("erp@*"))
    assert not split(stage).is_again


@pytest.mark.parametrize(
    "fault",
    [
        "create writer-fail-late",
        "create writer-quiet",
        "create half",
        "create orphan",
        "list-shadows word Sideways",
        "create lie",
    ],
)
def test_split_after_which_something_may_stand_is_never_called_good_nor_undone(fault: str, stage: VssStage) -> None:
    stage.control("fault", fault)
    with pytest.raises((UnknownAnswer, CommandFailed)) as caught:
        split(stage)
    if stage.sets():
        assert isinstance(caught.value, UnknownAnswer)


@pytest.mark.parametrize("fault", ["create writer-quiet", "create half"])
def test_bad_set_that_has_its_metadata_is_deleted_by_its_name_alone(fault: str, stage: VssStage) -> None:
    stage.control("fault", fault)
    with pytest.raises(UnknownAnswer):
        split(stage)
    stage.mend()
    assert stage.sets()
    stage.array().discard(Receipt("vss", "erp", "run-1"), soon())
    assert stage.sets() == set()


def test_bad_set_without_metadata_is_left_to_a_person(stage: VssStage) -> None:
    stage.control("fault", "create writer-fail-late")
    with pytest.raises(UnknownAnswer):
        split(stage)
    stage.mend()
    (left,) = stage.sets()
    with pytest.raises(Refused, match=left):
        stage.array().discard(Receipt("vss", "erp", "run-1"), soon())


def test_set_that_nobody_was_told_of_quarantines_its_group_until_a_person_has_looked(stage: VssStage) -> None:
    stage.control("fault", "create orphan")
    with pytest.raises(UnknownAnswer) as caught:
        split(stage)
    (orphan,) = stage.sets()
    assert orphan in str(caught.value)
    stage.mend()
    array, bare = stage.array(), Receipt("vss", "erp", "run-1")
    assert [pair.state for pair in array.query("erp", soon())] == [PairState.PREPARED, PairState.UNKNOWN]
    with pytest.raises(Refused):
        moves.require(Move.SPLIT, "erp", array.query("erp", soon()), array.traits)
    for act in (
        lambda: array.discard(bare, soon()),
        lambda: array.unexpose(bare, soon()),
        lambda: array.settle(bare, soon()),
        lambda: split(stage),
        lambda: array.stand_by(["erp"], "run-1", soon()),
    ):
        with pytest.raises(Refused, match="run-1"):
            act()
    assert stage.sets() == {orphan}
    (stage.ours / "erp@run-1.dsh").unlink()  # a person has looked
    array.discard(bare, soon())
    assert [pair.state for pair in array.query("erp", soon())] == [PairState.PREPARED]


def test_split_that_hung_and_made_nothing_leaves_no_quarantine(stage: VssStage) -> None:
    stage.control("fault", "create hang")
    with pytest.raises(Fault):
        stage.array().split([stage.group], "run-1", soon(3.0))
    stage.mend()
    assert (stage.ours / "erp@run-1.dsh").exists()
    array = stage.array()
    assert [pair.state for pair in array.query("erp", soon())] == [PairState.PREPARED]
    array.discard(Receipt("vss", "erp", "run-1"), soon())
    assert not list(stage.ours.glob("erp@*"))


def test_somebody_elses_copies_are_neither_ours_nor_touched(stage: VssStage) -> None:
    stage.control("foreign", "D:")
    before = stage.sets()
    receipt = split(stage)
    assert {pair.copy for pair in stage.array().query("erp", soon())} == {"", "run-1"}
    stage.array().discard(receipt, soon())
    assert stage.sets() == before


# -- before a split --


@pytest.mark.parametrize(("writer", "state"), [("missing", "missing"), ("failed", "VSS_WS_FAILED")])
def test_writer_that_is_not_well_is_named_and_nothing_is_split(writer: str, state: str, stage: VssStage) -> None:
    stage.control("writer", "SqlServerWriter", writer)
    array = stage.array()
    (pair,) = array.query("erp", soon())
    assert pair.state is PairState.BROKEN
    assert not array.progress("erp", soon()).is_done
    for act in (lambda: split(stage), lambda: array.stand_by(["erp"], "run-1", soon())):
        with pytest.raises(Refused, match=f"SqlServerWriter.*{state}"):
            act()
    assert stage.sets() == set()
    assert "create" not in stage.scripts()


def test_writer_that_is_left_out_of_the_list_is_missing(stage: VssStage) -> None:
    stage.control("fault", "list-writers drop")
    with pytest.raises(Refused, match="missing"):
        split(stage)


def test_writer_may_be_named_by_its_id(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, writers=[SQL.id])
    assert split(stage).data["writers"] == SQL.id


def test_name_that_is_taken_is_refused_ahead(stage: VssStage) -> None:
    split(stage)
    with pytest.raises(Refused, match="run-1 already"):
        stage.array().stand_by(["erp"], "run-1", soon())
    stage.array().stand_by(["erp"], "run-2", soon())


def test_other_language_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, "--language", "zh", writers="none")
    stage.control("foreign", "D:")
    for act in (lambda: split(stage), lambda: stage.array().query("erp", soon())):
        with pytest.raises(UnknownAnswer) as caught:
            act()
        assert "English" in caught.value.hint
    assert len(stage.sets()) == 1


def test_account_without_rights_makes_nothing(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, "--no-admin", writers="none")
    with pytest.raises(CommandFailed) as caught:
        split(stage)
    assert "InitializeForBackup" in caught.value.detail


def test_volume_that_is_gone_makes_no_copy(stage: VssStage) -> None:
    stage.control("forget", "erp", "E:")
    with pytest.raises(CommandFailed):
        split(stage)
    assert stage.sets() == set()


# -- the copy --


def test_copy_whose_storage_ran_full_is_not_called_whole(stage: VssStage) -> None:
    receipt = split(stage)
    stage.control("vanish", receipt.data["shadows"].split()[0])
    for act in (stage.array().settle, stage.array().expose):
        with pytest.raises(UnknownAnswer, match="not whole"):
            act(receipt, soon())
    assert not split(stage, "run-2").is_again
    stage.array().discard(receipt, soon())
    assert receipt.data["set"] not in stage.sets()


def test_row_that_is_left_out_makes_a_copy_not_whole(stage: VssStage) -> None:
    receipt = split(stage)
    stage.control("fault", "list-shadows drop")
    with pytest.raises(UnknownAnswer):
        stage.array().settle(receipt, soon())


def test_letter_that_is_taken_is_told(stage: VssStage) -> None:
    first, second = split(stage), split(stage, "run-2")
    stage.array().expose(first, soon())
    with pytest.raises(CommandFailed, match=r"P:") as caught:
        stage.array().expose(second, soon())
    assert "expose" in caught.value.detail
    stage.array().unexpose(first, soon())
    stage.array().expose(second, soon())


def test_copy_exposed_elsewhere_by_hand_is_left_there(stage: VssStage) -> None:
    receipt = split(stage)
    stage.given["expose"] = ["R:", "Q:"]
    stage.array().expose(receipt, soon())
    stage.given["expose"] = ["P:", "Q:"]
    with pytest.raises(Refused, match="R:"):
        stage.array().expose(receipt, soon())


def test_exposed_copy_is_not_deleted(stage: VssStage) -> None:
    receipt = split(stage)
    stage.array().expose(receipt, soon())
    with pytest.raises(InUse, match="P:"):
        stage.array().discard(receipt, soon())
    assert receipt.data["set"] in stage.sets()


@pytest.mark.parametrize("fault", ["expose fail", "expose lie"])
def test_copy_that_could_not_be_exposed_is_told(fault: str, stage: VssStage) -> None:
    receipt = split(stage)
    stage.control("fault", fault)
    with pytest.raises(CommandFailed, match="could not be exposed"):
        stage.array().expose(receipt, soon())


@pytest.mark.parametrize("fault", ["unexpose fail", "unexpose lie"])
def test_copy_that_is_still_exposed_is_told(fault: str, stage: VssStage) -> None:
    receipt = split(stage)
    stage.array().expose(receipt, soon())
    stage.control("fault", fault)
    with pytest.raises(CommandFailed, match="still exposed"):
        stage.array().unexpose(receipt, soon())


@pytest.mark.parametrize("fault", ["delete-shadows fail", "delete-shadows lie", "delete-shadows die"])
def test_copy_that_could_not_be_deleted_is_told_and_can_be_later(fault: str, stage: VssStage) -> None:
    receipt = split(stage)
    stage.control("fault", fault)
    with pytest.raises(CommandFailed, match="still there"):
        stage.array().discard(receipt, soon())
    stage.mend()
    stage.array().discard(Receipt("vss", "erp", "run-1"), soon())
    assert stage.sets() == set()
    assert not list(stage.ours.glob("erp@*"))


def test_folders_are_there_only_while_a_copy_is(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, expose=[r"C:\mnt\data", "Q:"])
    (tmp_path / "state.drives" / "C" / "mnt").mkdir(parents=True, exist_ok=True)
    stage.host = WindowsFolders(stage.environment, tmp_path / "state.drives")
    receipt = split(stage)
    exposed = stage.array().expose(receipt, soon())
    assert exposed.paths == (r"C:\mnt\data", "Q:\\")
    assert stage.array().expose(receipt, soon()) == exposed
    stage.array().unexpose(receipt, soon())
    assert not (tmp_path / "state.drives" / "C" / "mnt" / "data").exists()
    stage.array().unexpose(receipt, soon())


class WindowsFolders(StageHost):
    """`ls`, `mkdir` and `rmdir` of a Windows folder look where the emulated drives are."""

    def __init__(self, environment: dict[str, str], drives: Path) -> None:
        super().__init__(environment)
        self.drives = drives

    def run(self, command: Any, deadline: Any) -> Any:
        argv = tuple(
            re.sub(r"^C:\\(.*)", lambda m: f"{self.drives}/C/" + m[1].replace("\\", "/"), w) for w in command.argv
        )
        return super().run(
            replace(command, argv=argv) if command.argv[0] in ("ls", "mkdir", "rmdir") else command, deadline
        )


def test_group_without_a_place_cannot_be_exposed(tmp_path: Path) -> None:
    stage = VssStage(tmp_path, expose=[])
    receipt = split(stage)
    with pytest.raises(Refused, match="no place"):
        stage.array().expose(receipt, soon())
    stage.array().unexpose(receipt, soon())


def test_metadata_that_cannot_be_read_is_an_error_and_nothing_is_deleted(stage: VssStage) -> None:
    receipt = split(stage)
    (stage.ours / "erp@run-1.cab").write_bytes(b"")
    for act in (
        lambda: stage.array().query("erp", soon()),
        lambda: stage.array().discard(Receipt("vss", "erp", "run-1"), soon()),
    ):
        with pytest.raises(UnknownAnswer):
            act()
    assert receipt.data["set"] in stage.sets()


@pytest.mark.parametrize("copy", ["", "../x", "a b", "run-1~find", "-x"])
def test_name_that_can_be_none_of_a_copy_is_refused(copy: str, stage: VssStage) -> None:
    with pytest.raises(Refused):
        split(stage, copy)


@pytest.mark.parametrize("move", list(Move))
def test_plan_names_the_script_and_the_places(move: Move, stage: VssStage) -> None:
    said = " ".join(action.what for action in stage.array().actions(move, "erp", "run-1"))
    wanted = {
        Move.SPLIT: "writer verify SqlServerWriter; add volume D: alias splitmirror1; add volume E: alias splitmirror2; create",
        Move.EXPOSE: "P:",
        Move.UNEXPOSE: "P:",
        Move.DISCARD: "erp@run-1",
    }
    assert wanted.get(move, "") in said


def test_every_key_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "arrays" / "diskshadow.md").read_text(encoding="utf-8")
    for table in (Options, Group, Files):
        assert [one.encode_name for one in msgspec.structs.fields(table) if f"`{one.encode_name}`" not in page] == []
