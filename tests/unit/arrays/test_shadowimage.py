"""`shadowimage` without an array: what is read from the display, what is refused, what goes wrong over the emulated tools."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.arrays.test_shadowimage_contract import StageHost, XpStage
from tests.unit.presentation.recorded import RecordedHost

from splitmirror_drivers.arrays import shadowimage
from splitmirror_drivers.arrays.shadowimage import ANSWERS, Group, Options, ShadowImage
from splitmirror_drivers.arrays.shadowimage_codes import BUSY, CODES, NAMES, name_of
from splitmirror_drivers.arrays.shadowimage_parse import STATES, Row, Seen, pair_up, parse_display
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Atomic, FixedBy, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, decode_hook

PAGE = Path(__file__).parents[3] / "docs" / "arrays" / "shadowimage.md"
GOLDEN = Path(__file__).parents[2] / "golden" / "shadowimage"
RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob("*.json"))}
DISPLAYS = [name for name, one in RECORDINGS.items() if "states" in one]
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
COPY = Receipt("xp", "oradata", "run-1")
NEVER = ("-S", "-E", "-restore", "-FHORC", "-swap", "-force")
"""Never a word of a command line."""


def said(name: str) -> str:
    return "\n".join(RECORDINGS[name]["stdout"])


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def options(**given: Any) -> Options:
    table: dict[str, Any] = {"instance": 0, "sees": "p-vol", "groups": {"oradata": {"pairs": 1}}}
    return msgspec.convert(table | given, Options, dec_hook=decode_hook)


def world(display: str, **given: Any) -> tuple[ShadowImage, RecordedHost]:
    """An array whose display is one of the recordings."""
    host = RecordedHost({"pairdisplay": (0, said(display)), "pairsplit": (0, ""), "pairevtwait": (0, "")})
    return ShadowImage.from_options("xp", options(**given), host, CONTEXT), host


def seen(rows: tuple[Row, ...], **given: bool) -> tuple[Seen, ...]:
    return pair_up(rows, "xp/oradata", **{"sees_primary": True, "is_thin": False, **given})


# ---- the display ----


@pytest.mark.parametrize("name", DISPLAYS)
def test_display_is_read_as_recorded(name: str) -> None:
    one = RECORDINGS[name]
    rows = parse_display(said(name), one["group"])
    wanted = one["result"]
    assert [{key: getattr(row, key) for key in want} for row, want in zip(rows, wanted, strict=True)] == wanted
    assert {pair.name: pair.state.value for pair in seen(rows)} == one["states"]


def test_every_recording_names_its_source_and_is_used() -> None:
    assert all(one["source"] for one in RECORDINGS.values())
    others = {"display-remote-copy", "wait-done", "split-rejected"}
    assert set(RECORDINGS) == set(DISPLAYS) | others
    assert RECORDINGS["wait-done"]["exit_code"] == 0
    assert name_of(RECORDINGS["split-rejected"]["exit_code"]) == RECORDINGS["split-rejected"]["name"]


def test_answer_of_remote_copy_is_refused_however_good_it_looks() -> None:
    array, host = world("display-remote-copy")
    for ask in (array.query, array.progress, array.sources):
        with pytest.raises(Refused, match="remote copy"):
            ask("oradata", soon())
    with pytest.raises(Refused, match="remote copy"):
        array.split(["oradata"], "run-1", soon())
    assert not [line for line in host.asked if not line.startswith("pairdisplay")]


def test_percentage_decides_nothing() -> None:
    text = said("display-copying").replace(" 99 ", " 12 ").replace(" 37 ", " 100 ")
    rows = parse_display(text, "oradata")
    assert [pair.state for pair in seen(rows)] == [PairState.SYNCED, PairState.ATTACHING]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("P/S", "PS"),
        ("LU-M", "LUM"),
        ("ora02    L", "ora02    X"),
        ("    0111 P-VOL", " P-VOL"),
        ("0111 P-VOL COPY", "zzzz P-VOL COPY"),
        ("oradata ora02    L", "other ora02    L"),
        ("0210 -\n", "0210 - more\n"),
    ],
)
def test_display_that_is_not_understood_is_unknown(old: str, new: str) -> None:
    text = said("display-copying")
    assert old in text
    with pytest.raises(UnknownAnswer):
        parse_display(text.replace(old, new), "oradata")


def test_nothing_printed_is_no_pairs() -> None:
    assert parse_display("", "oradata") == ()
    assert parse_display("\n\n", "oradata") == ()


@pytest.mark.parametrize("cut", [2, 3])
def test_pair_that_lacks_a_side_is_unknown(cut: int) -> None:
    lines = said("display-copying").splitlines()
    del lines[cut]
    with pytest.raises(UnknownAnswer, match="ora0"):
        seen(parse_display("\n".join(lines), "oradata"))


def test_partner_that_describes_another_volume_is_unknown() -> None:
    text = said("display-copying").replace("0210 S-VOL", "0310 S-VOL")
    with pytest.raises(UnknownAnswer, match="0310"):
        seen(parse_display(text, "oradata"))


def test_sides_that_are_exchanged_are_refused() -> None:
    rows = parse_display(said("display-copying"), "oradata")
    with pytest.raises(Refused, match="sees the P-VOL"):
        seen(rows, sees_primary=False)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("PFUL", "PAIR"), PairState.UNKNOWN),
        (("SIDEWAYS", "PAIR"), PairState.UNKNOWN),
        (("PAIR", "SSUS"), PairState.UNKNOWN),
        (("RCPY", "RCPY"), PairState.RESTORING),
        (("PSUS", "SSUE"), PairState.BROKEN),
        (("PDUB", "PAIR"), PairState.BROKEN),
        (("SSUS", "PSUS"), PairState.UNKNOWN),
        *STATES.items(),
    ],
)
def test_both_words_together_are_the_state(words: tuple[str, str], state: PairState) -> None:
    text = said("display-copying").replace("P-VOL COPY", f"P-VOL {words[0]}").replace("S-VOL COPY", f"S-VOL {words[1]}")
    if "SMPL" in words:
        text = text.replace("P-VOL SMPL", "SMPL -").replace("S-VOL SMPL", "SMPL -")
    found = seen(parse_display(text, "oradata"))[1]
    assert found.state is state
    assert found.word == "/".join(words)


def test_one_side_unpaired_is_unknown() -> None:
    text = said("display-copying").replace("S-VOL COPY", "SMPL -")
    assert seen(parse_display(text, "oradata"))[1].state is PairState.UNKNOWN


@pytest.mark.parametrize(("word", "state"), [("PFUL", PairState.SYNCED), ("PFUS", PairState.SPLITTING)])
def test_thin_image_has_words_for_a_pool_that_is_nearly_full(word: str, state: PairState) -> None:
    text = said("display-copying").replace("P-VOL PAIR", f"P-VOL {word}")
    assert seen(parse_display(text, "oradata"), is_thin=True)[0].state is state


def test_split_of_a_nearly_full_pool_stands() -> None:
    text = said("display-split").replace("PSUS", "PFUS")
    assert seen(parse_display(text, "oradata"), is_thin=True)[0].state is PairState.SPLIT


# ---- codes and traits ----


def test_codes_have_their_names() -> None:
    assert (CODES["EX_CTXCHK"], CODES["EX_ENAUTH"], CODES["EX_CMDRJE"]) == (199, 202, 221)
    assert (CODES["EX_EWSTOT"], CODES["EX_EVOLCE"], CODES["EX_ENORMT"], CODES["EX_COMERR"]) == (233, 235, 242, 255)
    assert len(NAMES) == 56
    assert {221, 237} <= BUSY
    assert (name_of(131), name_of(242), name_of(3)) == ("usage error 131", "EX_ENORMT (242)", "exit code 3")


def test_traits_say_what_the_options_say() -> None:
    alone, together = options().traits(), options(**{"consistency-group": True}).traits()
    assert (alone.atomic, alone.fixed_by) == (Atomic.NOTHING, FixedBy.COMPLETE)
    assert (together.atomic, together.fixed_by) == (Atomic.GROUP, FixedBy.ACCEPT)
    assert ANSWERS == {}


# ---- options ----


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"instance": -1}, "instance"),
        ({"copy-pace": 0}, "copy-pace"),
        ({"copy-pace": 16}, "copy-pace"),
        ({"copy-pace": 3, "product": "thin-image"}, "thin-image"),
        ({"tools": "HORCM/usr/bin"}, "tools"),
        ({"groups": {}}, "no groups"),
        ({"groups": {"-S": {"pairs": 1}}}, "device group"),
        ({"groups": {"a b": {"pairs": 1}}}, "device group"),
        ({"groups": {"g": {"pairs": 0}}}, "a pair at least"),
        ({"groups": {"g": {"pairs": []}}}, "a pair at least"),
        ({"groups": {"g": {"pairs": ["a", "a"]}}}, "twice"),
        ({"groups": {"g": {"pairs": {"a": "erste"}}}}, "LDEV"),
        ({"groups": {"g": {"pairs": ["a"], "devices": {"b": "/dev/x"}, "source-host": "db1"}}}, "devices names b"),
        ({"groups": {"g": {"pairs": 2, "copy-devices": {"a": "/dev/x"}}}}, "1 entries for 2"),
        ({"groups": {"g": {"pairs": 2, "copy-devices": {"a": "/dev/x", "b": "/dev/x"}}}}, "twice"),
        ({"groups": {"g": {"pairs": ["a"], "copy-devices": {"a": "sdx"}}}}, "not a path"),
        ({"groups": {"g": {"pairs": ["a"], "devices": {"a": "/dev/x"}}}}, "source-host"),
        ({"groups": {"g": {"pairs": ["a"], "devices": {"a": "naa.6006"}}}}, "neither a path nor"),
        ({"copy-host": "mars"}, "mars"),
        ({"serial": "VSP"}, "serial"),
        ({"groups": {"g": {"pairs": ["a"], "devices": {"a": "wwn:60"}}}}, "LDEV of each P-VOL"),
        ({"groups": {"g": {"pairs": 1, "devices": {"a": "wwn:60"}}}}, "LDEV of each P-VOL"),
        ({"groups": {n: {"pairs": ["p"], "copy-devices": {"p": "/dev/x"}} for n in "ab"}}, "/dev/x.*a and b"),
    ],
)
def test_options_that_cannot_be_meant(given: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyFault, match=told):
        ShadowImage.from_options("xp", options(**given), RecordedHost(), CONTEXT)


def test_which_side_is_seen_has_no_default() -> None:
    with pytest.raises(msgspec.ValidationError, match="sees"):
        msgspec.convert({"instance": 0, "groups": {}}, Options, dec_hook=decode_hook)


# ---- whom a command is for ----


def test_no_command_is_without_instance_and_local_copy() -> None:
    array, _ = world("display-copying")
    for tool in ("pairdisplay", "pairsplit", "paircreate", "pairresync", "pairevtwait"):
        environment = array.calls.command(tool, "oradata").environment
        assert environment == {"LC_ALL": "C", "HORCMINST": "0", "HORCC_MRCF": "1"}
    for move in (Move.ESTABLISH, Move.REATTACH, Move.SPLIT):
        for action in array.actions(move, "oradata", "run-1"):
            assert action.what.startswith("HORCMINST=0 HORCC_MRCF=1 pair")
    assert "HORCMINST=0 HORCC_MRCF=1 pairresync" in array.restore_note(COPY)


class Witness(LocalHost):
    """Notes the environment of every command, and lets the first `deaf` of them go without it."""

    def __init__(self, environment: dict[str, str], *, deaf: bool = False) -> None:
        super().__init__()
        self.environment, self.deaf = environment, deaf
        self.seen: list[Command] = []

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        self.seen.append(command_)
        given = {key: value for key, value in command_.environment.items() if not (self.deaf and key == "HORCC_MRCF")}
        return super().run(Command(command_.argv, command_.stdin, {**self.environment, **given}), deadline)


def test_environment_that_does_not_arrive_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    stage = XpStage(tmp_path)
    array = ShadowImage("xp", stage.options, Witness(stage.environment, deaf=True))
    for move in (
        lambda: array.establish(stage.group, Mode.FULL, soon()),
        lambda: array.establish(stage.group, Mode.INCREMENTAL, soon()),
        lambda: array.split([stage.group], "run-1", soon()),
    ):
        with pytest.raises(Refused, match="remote copy"):
            move()
    assert {call[0] for call in stage.calls()} == {"pairdisplay"}


def test_whole_life_of_a_copy_has_only_words_that_are_meant(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, copy_pace=3)
    host = Witness(stage.environment)
    array = ShadowImage("xp", stage.options, host)
    synchronise(stage, array, Mode.FULL)
    (receipt,) = array.split([stage.group], "run-1", soon())
    array.settle(receipt, soon())
    array.expose(receipt, soon())
    synchronise(stage, array)
    assert all(command.environment["HORCC_MRCF"] == "1" for command in host.seen)
    moves = [call for call in stage.calls() if call[0] not in ("pairdisplay", "pairevtwait")]
    assert moves == [
        ["paircreate", "-g", "oradata", "-vl", "-c", "3"],
        ["pairsplit", "-g", "oradata"],
        ["pairresync", "-g", "oradata", "-c", "3"],
    ]
    assert not [word for call in stage.calls() for word in call if word in NEVER]


# ---- membership, direction, consistency ----


def with_group(stage: XpStage, **given: Any) -> ShadowImage:
    """The stage's array with another group table."""
    old = stage.options.groups[stage.group]
    group = msgspec.structs.replace(old, **given)
    return ShadowImage("xp", msgspec.structs.replace(stage.options, groups={stage.group: group}), stage.host)


def synchronise(stage: XpStage, array: ShadowImage, mode: Mode = Mode.INCREMENTAL) -> None:
    array.establish(stage.group, mode, soon())
    end = soon()
    while not array.progress(stage.group, soon()).is_done:
        assert not end.is_passed


@pytest.fixture
def stage(tmp_path: Path) -> XpStage:
    return XpStage(tmp_path)


@pytest.fixture
def ready(stage: XpStage) -> XpStage:
    synchronise(stage, stage.array(), Mode.FULL)
    return stage


def test_pair_that_is_missing_is_refused_by_name(ready: XpStage) -> None:
    ready.control("forget", ready.group, "oradata02")
    array = ready.array()
    for ask in (
        lambda: array.query(ready.group, soon()),
        lambda: array.stand_by([ready.group], "run-1", soon()),
        lambda: array.split([ready.group], "run-1", soon()),
        lambda: array.establish(ready.group, Mode.INCREMENTAL, soon()),
    ):
        with pytest.raises(Refused, match="has oradata01, and the policy says oradata01, oradata02"):
            ask()


def test_pair_that_was_added_is_refused_by_number(ready: XpStage) -> None:
    with pytest.raises(Refused, match="has oradata01, oradata02, and the policy says 1 pairs"):
        with_group(ready, pairs=1, devices={}, copy_devices={}).query(ready.group, soon())


def test_pair_by_another_name_is_refused(ready: XpStage) -> None:
    with pytest.raises(Refused, match="policy says oradata01, oradata03"):
        with_group(ready, pairs=("oradata01", "oradata03"), devices={}, copy_devices={}).query(ready.group, soon())


def test_p_vol_that_is_another_volume_is_refused(ready: XpStage) -> None:
    other = with_group(ready, pairs={"oradata01": "01:10", "oradata02": "02:11"})
    with pytest.raises(Refused, match="would be 0111, and the policy says 0211"):
        other.query(ready.group, soon())


def test_group_of_that_name_on_another_array_is_refused(ready: XpStage) -> None:
    assert ShadowImage("xp", ready.made_options(serial="412233"), ready.host).query(ready.group, soon())
    elsewhere = ShadowImage("xp", ready.made_options(serial="412234"), ready.host)
    for move in (
        lambda: elsewhere.split([ready.group], "run-1", soon()),
        lambda: elsewhere.establish(ready.group, Mode.INCREMENTAL, soon()),
        lambda: elsewhere.expose(COPY, soon()),
    ):
        with pytest.raises(Refused, match=r"412233.*412234"):
            move()
    assert {call[0] for call in ready.calls()} == {"pairdisplay", "paircreate"}


def test_first_copy_in_the_wrong_direction_is_refused(stage: XpStage) -> None:
    before = [Path(primary).read_bytes() for primary, _ in stage.images()]
    turned = ShadowImage("xp", stage.made_options(sees="s-vol"), stage.host)
    with pytest.raises(Refused, match="policy says 0110"):
        turned.establish(stage.group, Mode.FULL, soon())
    assert [Path(primary).read_bytes() for primary, _ in stage.images()] == before
    assert {call[0] for call in stage.calls()} == {"pairdisplay"}


def test_first_copy_needs_to_know_which_side_is_production(stage: XpStage) -> None:
    array = with_group(stage, pairs=2)
    with pytest.raises(Refused, match="production"):
        array.establish(stage.group, Mode.FULL, soon())
    with pytest.raises(NotSynchronised, match="no pairs yet"):
        array.establish(stage.group, Mode.INCREMENTAL, soon())


def test_full_copy_of_what_is_paired_is_refused(ready: XpStage) -> None:
    ready.array().split([ready.group], "run-1", soon())
    with pytest.raises(Refused, match="never dissolved"):
        ready.array().establish(ready.group, Mode.FULL, soon())


def test_consistency_group_that_is_not_shown_is_refused(ready: XpStage) -> None:
    array = ShadowImage("xp", ready.made_options(consistency_group=True), ready.host)
    for ask in (
        lambda: array.sources(ready.group, soon()),
        lambda: array.stand_by([ready.group], "run-1", soon()),
        lambda: array.split([ready.group], "run-1", soon()),
    ):
        with pytest.raises(Refused, match="one consistency group"):
            ask()
    assert "pairsplit" not in {call[0] for call in ready.calls()}


def test_pairs_made_for_a_consistency_group_are_in_one(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, consistency_group=True)
    stage.array().sources(stage.group, soon())
    synchronise(stage, stage.array(), Mode.FULL)
    assert ["paircreate", "-g", "oradata", "-vl", "-m", "grp"] in stage.calls()
    stage.array().stand_by([stage.group], "run-1", soon())


def test_sources_are_what_the_policy_maps(ready: XpStage) -> None:
    wanted = [Source("device", primary, "db1") for primary, _ in ready.images()]
    assert list(ready.array().sources(ready.group, soon())) == wanted
    wwn = {"oradata01": "wwn:60060e80", "oradata02": "wwn:60060e81"}
    array = with_group(ready, devices=wwn, source_host="")
    assert array.sources(ready.group, soon())[0] == Source("device", "wwn:60060e80")
    assert with_group(ready, devices={}).sources(ready.group, soon())[0] == Source("device", "412233:0110")


# ---- what goes wrong ----


def test_half_of_a_group_that_is_split_is_an_unknown_outcome(ready: XpStage) -> None:
    ready.control("fault", "pairsplit half 236")
    with pytest.raises(UnknownAnswer, match=r"oradata01 PSUS/SSUS, oradata02 PAIR/PAIR"):
        ready.array().split([ready.group], "run-1", soon())
    ready.mend()
    with pytest.raises(NotSynchronised, match="nothing was sent"):
        ready.array().split([ready.group], "run-1", soon())


def test_half_of_a_group_is_not_split_again_because_the_array_is_busy(ready: XpStage) -> None:
    ready.control("fault", "pairsplit half 221")
    with pytest.raises(UnknownAnswer):
        ready.array().split([ready.group], "run-1", soon())
    assert [call[0] for call in ready.calls()].count("pairsplit") == 1


def test_split_that_is_killed_is_an_unknown_outcome(ready: XpStage) -> None:
    ready.control("fault", "pairsplit die")
    with pytest.raises(UnknownAnswer, match="signal"):
        ready.array().split([ready.group], "run-1", soon())


@pytest.mark.parametrize("code", [129, 130, 137, 143])
def test_split_that_a_signal_ended_behind_a_shell_is_an_unknown_outcome(code: int) -> None:
    array, host = world("display-consistency-group")
    host.commands["pairsplit"] = (code, "Killed")
    with pytest.raises(UnknownAnswer, match="signal"):
        array.split(["oradata"], "run-1", soon())


def test_split_that_lies_is_never_believed(ready: XpStage) -> None:
    ready.control("fault", "pairsplit lie")
    with pytest.raises(DeadlinePassed, match="PAIR/PAIR"):
        ready.array().split([ready.group], "run-1", soon(1.5))


def test_lock_that_stays_ends_as_refused_and_unchanged(ready: XpStage) -> None:
    ready.control("fault", "pairsplit busy")
    impatient = ready.made_options(busy_limit=Duration(0.5))
    with pytest.raises(CommandFailed, match="EX_CMDRJE") as caught:
        ShadowImage("xp", impatient, ready.host).split([ready.group], "run-1", soon())
    assert caught.value.retryable
    assert {pair.state for pair in ready.array().query(ready.group, soon())} == {PairState.SYNCED}


def test_lock_of_a_look_is_waited_for(ready: XpStage) -> None:
    ready.control("fault", "pairdisplay busy 2")
    assert {pair.state for pair in ready.array().query(ready.group, soon())} == {PairState.SYNCED}


@pytest.mark.parametrize(
    ("code", "told", "to_do"),
    [
        (242, "EX_ENORMT", "horcmgr -check"),
        (251, "EX_ATTHOR", "horcmstart.sh 0"),
        (239, "EX_ENOGRP", "horcm0.conf"),
        (202, "EX_ENAUTH", "raidcom -login"),
        (131, "usage error 131", ""),
        (5, "exit code 5", ""),
    ],
)
def test_codes_are_told_by_name_with_what_to_do(code: int, told: str, to_do: str) -> None:
    array, host = world("display-split")
    host.commands["pairdisplay"] = (code, "something in other words")
    with pytest.raises(CommandFailed, match=re.escape(told)) as caught:
        array.query("oradata", soon())
    assert to_do in caught.value.hint


def test_partner_that_is_down_is_told(ready: XpStage) -> None:
    subprocess.run(
        [str(ready.tools / "horcmshutdown.sh"), "1"],
        env=ready.environment | {"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )
    with pytest.raises(CommandFailed, match="EX_ENORMT"):
        ready.array().split([ready.group], "run-1", soon())


def test_pair_that_breaks_is_told(ready: XpStage) -> None:
    ready.control("break", ready.group, "oradata02")
    array = ready.array()
    assert array.query(ready.group, soon())[1].state is PairState.BROKEN
    with pytest.raises(CommandFailed, match="oradata02 is PSUE"):
        array.progress(ready.group, soon())
    with pytest.raises(NotSynchronised):
        array.split([ready.group], "run-1", soon())
    with pytest.raises(Refused, match="not at rest"):
        array.establish(ready.group, Mode.INCREMENTAL, soon())


def test_one_more_line_of_output_is_unknown(ready: XpStage) -> None:
    ready.control("fault", "pairdisplay noise WARNING: the licence ends soon")
    with pytest.raises(UnknownAnswer, match="WARNING"):
        ready.array().query(ready.group, soon())


def test_pair_that_is_dropped_from_the_display_is_refused(ready: XpStage) -> None:
    ready.control("fault", "pairdisplay drop")
    with pytest.raises(Refused, match="has oradata02"):
        ready.array().query(ready.group, soon())


def test_resync_that_lies_is_noticed(ready: XpStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowimage, "START_SECONDS", 0.5)
    ready.array().split([ready.group], "run-1", soon())
    ready.control("fault", "pairresync lie")
    with pytest.raises(CommandFailed, match="not on its way"):
        ready.array().establish(ready.group, Mode.INCREMENTAL, soon())


def test_resync_waits_for_a_split_that_drains(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, "--drain", "1.5", "--p-lag", "0.7", consistency_group=True)
    synchronise(stage, stage.array(), Mode.FULL)
    stage.array().split([stage.group], "run-1", soon())
    synchronise(stage, stage.array())
    assert [call[0] for call in stage.calls()].count("pairresync") == 1


def test_copy_that_is_gone_is_not_exposed(ready: XpStage) -> None:
    (receipt,) = ready.array().split([ready.group], "run-1", soon())
    synchronise(ready, ready.array())
    with pytest.raises(UnknownAnswer, match="not there any more"):
        ready.array().settle(receipt, soon())
    with pytest.raises(Refused, match="not split"):
        ready.array().expose(receipt, soon())


def test_copy_of_a_group_without_devices_is_not_exposed(ready: XpStage) -> None:
    with pytest.raises(Refused, match="where its S-VOLs are seen"):
        with_group(ready, copy_devices={}).expose(COPY, soon())


def test_copy_appears_on_the_host_that_sees_the_s_vols(ready: XpStage) -> None:
    ready.array().split([ready.group], "run-1", soon())
    elsewhere = ShadowImage("xp", ready.made_options(copy_host="backup2"), ready.host)
    exposed = elsewhere.expose(COPY, soon())
    assert (exposed.host, exposed.paths) == ("backup2", tuple(copy for _, copy in ready.images()))


def test_draining_copy_is_not_settled(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, "--drain", "60", "--p-lag", "30", consistency_group=True)
    synchronise(stage, stage.array(), Mode.FULL)
    (receipt,) = stage.array().split([stage.group], "run-1", soon())
    assert not stage.array().settle(receipt, soon()).is_done, "both sides say COPY"
    stage.control("tick", "31")
    assert not stage.array().settle(receipt, soon()).is_done, "the S-VOL says COPY"
    with pytest.raises(Refused, match="not split on both sides"):
        stage.array().expose(receipt, soon())
    stage.control("tick", "31")
    assert stage.array().settle(receipt, soon()).is_done


def test_split_without_a_consistency_group_waits_for_the_last_s_vol(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, "--drain", "60")
    synchronise(stage, stage.array(), Mode.FULL)
    with pytest.raises(DeadlinePassed):
        stage.array().split([stage.group], "run-1", soon(1.5))
    stage.control("tick", "61")
    (again,) = stage.array().split([stage.group], "run-1", soon())
    assert again.is_again


def test_progress_says_how_far(tmp_path: Path) -> None:
    stage = XpStage(tmp_path, "--rate", "8")
    stage.array().establish(stage.group, Mode.FULL, soon())
    stage.control("tick", "1")
    said = stage.array().progress(stage.group, soon())
    assert not said.is_done
    assert said.fraction is not None
    assert 0 < said.fraction < 1
    assert "COPY/COPY" in said.remaining


def test_second_group_that_fails_leaves_an_unknown_outcome() -> None:
    array, host = world("display-consistency-group", groups={"oradata": {"pairs": 1}, "orarest": {"pairs": 1}})
    host.commands["pairdisplay -g orarest"] = (0, said("display-consistency-group").replace("oradata", "orarest"))
    host.commands["pairsplit -g orarest"] = (222, "pairsplit: [EX_INVVOL] Invalid volume status")
    with pytest.raises(UnknownAnswer, match="oradata are split, and orarest is not"):
        array.split(["oradata", "orarest"], "run-1", soon())


def test_tool_that_is_not_there_is_told(tmp_path: Path) -> None:
    array = ShadowImage("xp", options(tools=str(tmp_path)), StageHost({}))
    with pytest.raises(Fault, match="cannot start"):
        array.query("oradata", soon())


def test_group_table_has_no_other_keys() -> None:
    with pytest.raises(msgspec.ValidationError, match="force"):
        msgspec.convert({"pairs": 1, "force": True}, Group)


# ---- the page ----


def test_page_shows_a_policy_that_can_be_read_and_explains_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = [found for found in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if found.startswith("# policy")]
    table = tomllib.loads(block)["arrays"]["xp"]
    del table["driver"], table["host"]
    ShadowImage.from_options("xp", msgspec.convert(table, Options, dec_hook=decode_hook), RecordedHost(), CONTEXT)
    keys = [field.encode_name for kind in (Options, Group) for field in msgspec.structs.fields(kind)]
    assert [key for key in keys if f"`{key}`" not in text and f".{key}`" not in text and key != "groups"] == []
