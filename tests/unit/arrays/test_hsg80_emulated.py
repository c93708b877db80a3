"""The HSG80 driver against an emulated console that misbehaves: every oddity is survived, or ends in an error that says what is so."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.array import soon
from tests.unit.arrays.hsg80_stages import ConsoleStage

from splitmirror_drivers.arrays.hsg80 import Hsg80, Options
from splitmirror_drivers.contracts.array import Mode, PairState, Receipt
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.errors import CommandFailed, Fault, Refused, UnknownAnswer
from splitmirror_drivers.kit.units import decode_hook

COPY = Receipt("ra", "erp", "run-1")
SPLIT = PairState.SPLIT_UNTRACKED


def ra(stage: ConsoleStage, **more: Any) -> Hsg80:
    table = stage.table() | {"line-wait": "2s"} | more
    del table["driver"]
    return Hsg80("ra", msgspec.convert(table, Options, dec_hook=decode_hook), LocalHost())


def states(array: Hsg80) -> set[PairState]:
    return {pair.state for pair in array.query("erp", soon())}


def synchronised(folder: Path, *options: str) -> ConsoleStage:
    """A stage in sync, of a controller with these options; attached while it still had none."""
    stage = ConsoleStage(folder)
    ra(stage).establish("erp", Mode.FULL, soon())
    if options:
        (folder / "q").write_bytes(bytes(65536))
        stage.control("create", "--group", "other", f"{folder}/q={folder}/r", *options)
    return stage


def shown(stage: ConsoleStage, *names: str) -> str:
    return "\n".join(stage.control("type", f"SHOW {name}") for name in names)


# ---- consoles of all sorts ----


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (("--prompt", "HSG80>"), {}),
        (("--prompt", "TOP>"), {"prompts": ["TOP>"]}),
        (("--lf",), {"line-end": "cr"}),
        (("--banner", r"Copyright Digital\nCLI> not yet"), {"farewell": "EXIT"}),
        (("--chatty",), {"type-ahead": False}),
        (("--no-echo",), {"shows": "prompts"}),
        (("--mute", "--copy-word", "NORMALIZING"), {"line-end": "crlf"}),
    ],
)
def test_consoles_of_all_sorts_split_and_show_a_copy(
    tmp_path: Path, options: tuple[str, ...], more: dict[str, Any]
) -> None:
    stage = synchronised(tmp_path, *options)
    stage.write(b"one")
    array = ra(stage, **more)
    array.split(["erp"], "run-1", soon())
    stage.write(b"two")
    assert stage.read(array.expose(COPY, soon())) == (b"one", b"one")
    array.unexpose(COPY, soon())
    assert states(array) == {SPLIT}


def test_command_scripter_prints_bare_replies_to_one_line_at_a_time(tmp_path: Path) -> None:
    stage = synchronised(tmp_path, "--bare")
    program = f"{tmp_path}/tools/cmdscript"
    array = ra(stage, console=[program, "{line}"], shows="replies")
    array.split(["erp"], "run-1", soon())
    assert states(array) == {SPLIT}
    talking = synchronised(make(tmp_path / "talking"))
    spoken = ra(talking, console=[f"{talking.folder}/tools/cmdscript", "{lines}"])
    spoken.split(["erp"], "run-1", soon())
    assert states(spoken) == {SPLIT}


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("options", [("--events",), ("--page", "10"), ("--no-echo",), ("--prompt", "OTHER>")])
def test_a_console_that_cannot_be_framed_is_found_out_before_a_split(tmp_path: Path, options: tuple[str, ...]) -> None:
    stage = synchronised(tmp_path, *options)
    array = ra(stage)
    with pytest.raises((UnknownAnswer, CommandFailed)):
        array.stand_by(["erp"], "run-1", soon())
    with pytest.raises(CommandFailed):
        array.split(["erp"], "run-1", soon())
    assert "DISK30000" in shown(stage, "MIRR1")


@pytest.mark.parametrize(
    "fault", ["show garbage", "show drop", "show lost", "show foreign", "show prompt HSG80>", "console silent"]
)
def test_a_look_that_is_spoiled_is_an_error_or_right(tmp_path: Path, fault: str) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", fault)
    with contextlib.suppress(UnknownAnswer, CommandFailed):
        assert states(ra(stage)) == {PairState.SYNCED} or fault == "show drop"
    stage.mend()
    assert states(ra(stage)) == {PairState.SYNCED}


def test_a_taken_line_is_told_as_one(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", "console taken")
    with pytest.raises(CommandFailed, match="somebody else has the line"):
        ra(stage).query("erp", soon())


@pytest.mark.parametrize("left", ["DELETE D10", "REDUCE DISK10000 ", "SHOW "])
def test_what_somebody_left_typed_is_not_made_into_a_command(tmp_path: Path, left: str) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", f"console half-line {left}")
    for act in (lambda: ra(stage).query("erp", soon()), lambda: ra(stage).split(["erp"], "run-1", soon())):
        with contextlib.suppress(Fault):
            act()
    stage.mend()
    members = shown(stage, "MIRR1")
    assert "DISK10000" in members
    assert "DISK20000" in members
    assert states(ra(stage)) in ({PairState.SYNCED}, {SPLIT})


# ---- a REDUCE that goes wrong ----


@pytest.mark.parametrize(
    ("fault", "is_split"),
    [
        ("reduce lost", True),
        ("reduce garbage", True),
        ("reduce foreign", True),
        ("reduce prompt HSG80>", True),
        ("reduce noise hello", True),
    ],
)
def test_a_reply_that_is_lost_does_not_hide_what_was_done(tmp_path: Path, fault: str, is_split: bool) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", fault)
    (receipt,) = ra(stage).split(["erp"], "run-1", soon())
    assert not receipt.is_again
    stage.mend()
    assert (states(ra(stage)) == {SPLIT}) == is_split


@pytest.mark.parametrize("fault", ["reduce lost-before", "reduce die", "reduce lie"])
def test_a_line_that_never_arrives_is_no_split(tmp_path: Path, fault: str) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", fault)
    with pytest.raises((CommandFailed, UnknownAnswer)) as caught:
        ra(stage).split(["erp"], "run-1", soon())
    assert isinstance(caught.value, CommandFailed) == (fault == "reduce lie")
    stage.mend()
    assert states(ra(stage)) == {PairState.SYNCED}


def test_half_of_a_unit_is_unknown_and_names_the_disks(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    stage.control("fault", "reduce half")
    with pytest.raises(UnknownAnswer, match="REDUCE DISK30000 DISK30100") as caught:
        ra(stage).split(["erp"], "run-1", soon())
    assert "DISK30100" in caught.value.detail


# ---- copies that are half shown ----


@pytest.mark.parametrize("line", ["add.mirrorset", "add.stripeset", "initialize", "add.unit"])
def test_showing_a_copy_goes_on_from_wherever_it_broke_off(tmp_path: Path, line: str) -> None:
    stage = synchronised(tmp_path)
    stage.write(b"one")
    ra(stage).split(["erp"], "run-1", soon())
    stage.control("fault", f"{line} hang-after")
    with pytest.raises(Fault):
        ra(stage).expose(COPY, soon(1.5))
    stage.mend()
    assert stage.read(ra(stage).expose(COPY, soon())) == (b"one", b"one")


@pytest.mark.parametrize("deletions", [1, 2, 3])
def test_taking_a_copy_back_goes_on_from_wherever_it_broke_off(tmp_path: Path, deletions: int) -> None:
    stage = synchronised(tmp_path)
    array = ra(stage)
    array.split(["erp"], "run-1", soon())
    array.expose(COPY, soon())
    for name in ("D201", "CSTRIPE1", "CMIRR1")[:deletions]:
        stage.control("type", f"DELETE {name}")
    array.unexpose(COPY, soon())
    assert {pair.word for pair in array.query("erp", soon())} == {"unused"}


def test_a_refused_step_is_told_and_what_was_made_is_taken_back(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    array = ra(stage)
    array.split(["erp"], "run-1", soon())
    stage.control("fault", "add.unit fail")
    with pytest.raises(CommandFailed, match="ADD UNIT D201 CSTRIPE1"):
        array.expose(COPY, soon())
    stage.mend()
    array.unexpose(COPY, soon())
    assert {pair.word for pair in array.query("erp", soon())} == {"unused"}


def test_an_initialize_that_may_not_have_arrived_whole_is_not_trusted(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    array = ra(stage)
    array.split(["erp"], "run-1", soon())
    stage.control("fault", "initialize lost")
    with pytest.raises(UnknownAnswer, match="without its last word"):
        array.expose(COPY, soon())
    assert "D201" not in shown(stage, "UNITS")


def test_what_is_not_the_policys_copy_is_left_alone(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    array = ra(stage)
    array.split(["erp"], "run-1", soon())
    for line in ("ADD MIRRORSET CMIRR1 DISK30000", "INITIALIZE CMIRR1 NODESTROY", "ADD UNIT D77 CMIRR1"):
        stage.control("type", line)
    for act in (array.expose, array.unexpose):
        with pytest.raises(Refused, match="CMIRR1 is used by D77"):
            act(COPY, soon())
    with pytest.raises(Refused, match="still shown as a copy"):
        array.establish("erp", Mode.FULL, soon())
    assert "D77" in shown(stage, "UNITS")


def test_a_stripe_in_another_order_is_not_called_the_copy(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    array = ra(stage)
    array.split(["erp"], "run-1", soon())
    for line in (
        "ADD MIRRORSET CMIRR1 DISK30000",
        "ADD MIRRORSET CMIRR2 DISK30100",
        "ADD STRIPESET CSTRIPE1 CMIRR2 CMIRR1",
    ):
        stage.control("type", line)
    with pytest.raises(Refused, match="CSTRIPE1 is made of CMIRR2, CMIRR1"):
        array.expose(COPY, soon())


def test_a_disk_that_fails_is_broken_and_nothing_moves_it(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    stage.control("break", "DISK30000")
    assert PairState.BROKEN in states(ra(stage))
    with pytest.raises(Refused):
        ra(stage).establish("erp", Mode.FULL, soon())


def test_a_spare_that_waits_is_not_taken(tmp_path: Path) -> None:
    stage = ConsoleStage(tmp_path)
    stage.control("disk", "DISK40000", f"{tmp_path}/spare", "4096")
    stage.control("type", "ADD SPARESET DISK40000")
    ra(stage).establish("erp", Mode.FULL, soon())
    assert states(ra(stage)) == {PairState.SYNCED}
    assert "DISK40000" in shown(stage, "SPARESET")
