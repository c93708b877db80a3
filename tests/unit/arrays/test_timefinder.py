"""SYMCLI's answers read from recordings, what `timefinder` asks for, and what it makes of everything that goes wrong."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.arrays.timefinder_stage import HISTORIC, SID, CloneStage, SnapStage, SymcliStage
from tests.unit.presentation.recorded import RecordedHost

from splitmirror_drivers.arrays import timefinder
from splitmirror_drivers.arrays.timefinder_calls import Symcli
from splitmirror_drivers.arrays.timefinder_ids import list_devices
from splitmirror_drivers.arrays.timefinder_listing import Listing
from splitmirror_drivers.arrays.timefinder_names import LONGEST, copy_name, snapshot_name
from splitmirror_drivers.arrays.timefinder_options import Group, Options
from splitmirror_drivers.arrays.timefinder_parse import clone_rows, mirror_rows, snapshots
from splitmirror_drivers.catalogue import ARRAYS, Context
from splitmirror_drivers.contracts.array import Array, Atomic, Family, FixedBy, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    InUse,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, decode_hook

GOLDEN = Path(__file__).parents[2] / "golden" / "timefinder"
COPY = Receipt("symm", "erp", "run-1")
BIN = "/usr/symcli/bin"


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def text_of(name: str) -> str:
    return "\n".join(recorded(name)["stdout"])


def soon(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


def policy(**changes: Any) -> Options:
    """A policy's table as the driver gets it."""
    table = {"groups": {"erp": {"pairs": 2}}, **changes}
    return msgspec.convert(table, Options, dec_hook=decode_hook)


def world(table: dict[str, Any], commands: dict[str, Any]) -> tuple[Array, RecordedHost]:
    host = RecordedHost(commands)
    return timefinder.build("symm", policy(**table), host), host


def line(array: Array, move: Move, copy: str = "run-1") -> str:
    (action,) = array.actions(move, "erp", copy)
    return action.what


# -- recordings --


@pytest.mark.parametrize(("name", "read"), [("mirror-query", mirror_rows), ("clone-query", clone_rows)])
def test_tables_are_read_as_recorded(name: str, read: Any) -> None:
    rows = read(text_of(name))
    assert [[row.primary, row.copy, row.word, row.tracks] for row in rows] == recorded(name)["result"]


def test_snapshots_are_read_as_recorded() -> None:
    (found,) = snapshots(text_of("snapvx-list"))
    assert (
        list(msgspec.structs.astuple(found) if isinstance(found, msgspec.Struct) else _fields(found))
        == recorded("snapvx-list")["result"][0]
    )


def _fields(one: Any) -> list[Any]:
    return [getattr(one, name) for name in one.__dataclass_fields__]


def test_an_empty_list_of_snapshots_is_an_error_of_the_program() -> None:
    one = recorded("snapvx-none")
    host = RecordedHost({f"{BIN}/symsnapvx": (one["exit_code"], "\n".join(one["stderr"]))})
    listing = Listing(Symcli("symm", policy(product="snapvx", sid=SID), host))
    assert list(listing.snapshots("erp", soon())) == one["result"]


def test_any_other_error_of_a_list_is_a_failure() -> None:
    host = RecordedHost({f"{BIN}/symsnapvx": (1, "The gatekeeper is gone. No snapshot was read")})
    with pytest.raises(CommandFailed):
        Listing(Symcli("symm", policy(product="snapvx", sid=SID), host)).snapshots("erp", soon())


def test_devices_are_read_as_recorded() -> None:
    host = RecordedHost({f"{BIN}/symdev": (0, text_of("symdev-list")), f"{BIN}/symsg": (0, text_of("symsg-show"))})
    symcli = Symcli("symm", policy(product="snapvx", sid=SID), host)
    found = list_devices(symcli, ["0003E"], soon())
    assert {fields["Dev_Info/dev_name"]: fields["Product/wwn"] for fields in found.values()} == recorded("symdev-list")[
        "result"
    ]
    assert Listing(symcli).devices("erp", soon()) == recorded("symsg-show")["result"]
    with pytest.raises(UnknownAnswer, match="0003F"):
        list_devices(symcli, ["0003E", "0003F"], soon())


def test_every_recording_is_used_and_names_its_source() -> None:
    used = {"mirror-query", "clone-query", "snapvx-list", "snapvx-none", "symdev-list", "symsg-show"}
    assert {path.stem for path in GOLDEN.glob("*.json")} == used
    assert all(recorded(name)["source"] for name in used)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DEV001         01A4      0 BCV001               04C2 *       812 SyncInProg", "DEV001 something else"),
        ("01A5", "01A4"),
        ("01A5", "N/A "),
        ("DEV001         01A4      0 BCV001               04C2 *       812 SyncInProg\nDEV002", "Total DEV002"),
    ],
)
def test_a_table_that_is_not_wholly_understood_is_unknown(old: str, new: str) -> None:
    text = text_of("mirror-query")
    assert old in text
    with pytest.raises(UnknownAnswer):
        mirror_rows(text.replace(old, new))


@pytest.mark.parametrize("text", ["", "Device Group (DG) Name: proddg\n", "no such thing"])
def test_a_table_without_pairs_is_unknown(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        mirror_rows(text)


def test_a_meta_head_a_percentage_and_a_pair_that_was_never_made() -> None:
    text = text_of("mirror-query")
    text = text.replace("01A4      0", "01A4(M)   0").replace("SyncInProg", "SyncInProg  37")
    text = text.replace("BCV002               04C3 *         0 Synchronized", "N/A   N/A   N/A NeverEstab")
    first, second = mirror_rows(text)
    assert (first.primary, first.word, second.copy, second.word) == ("01A4", "SyncInProg", "", "NeverEstab")


@pytest.mark.parametrize("tag", ["source", "snapshot_name", "link"])
def test_a_snapshot_without_a_field_that_is_needed_is_unknown(tag: str) -> None:
    with pytest.raises(UnknownAnswer):
        snapshots(text_of("snapvx-list").replace(f"<{tag}>", "<x>").replace(f"</{tag}>", "</x>"))
    with pytest.raises(UnknownAnswer, match="no XML"):
        snapshots("No snapshot")


# -- the policy --


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"groups": {"erp": {"pairs": 0}}}, "at least one"),
        ({"groups": {"erp": {"pairs": {"01A4": "BCV1"}}}}, "BCV1"),
        ({"groups": {"erp": {"pairs": {"01A4": "04C2", "001A4": "04C3"}}}}, "twice"),
        ({"groups": {"erp": {"pairs": 2, "devices": {"01A4": "/dev/sdb"}}}}, "source-host"),
        ({"groups": {"erp": {"pairs": 2, "devices": {"01A4": "sdb"}}}}, "neither"),
        ({"groups": {"erp": {"pairs": 2, "copy-devices": {"04C2": "sdc"}}}}, "sdc"),
        ({"groups": {"erp": {"pairs": 2, "device-group": "a", "composite-group": "b"}}}, "one of"),
        ({"groups": {"erp": {"pairs": 2, "pair-file": "pairs"}}}, "full path"),
        ({"groups": {"erp": {"pairs": 2, "pair-file": "/etc/pairs"}}}, "sid"),
        ({"groups": {"erp": {"pairs": 2, "storage-group": "erp"}}}, "mirror does not work on erp"),
        ({"product": "snapvx", "sid": SID, "groups": {"erp": {"pairs": 2, "device-group": "erp"}}}, "snapvx does not"),
        ({"product": "snapvx"}, "sid"),
        ({"product": "snapvx", "sid": SID, "groups": {"erp": {"pairs": 2, "target-group": "t"}}}, "copy-devices"),
        ({"product": "clone", "sid": SID}, "named"),
        ({"device-ids": "array"}, "sid"),
        ({"command": "symbcv", "consistent": True}, "symbcv"),
        ({"path": "bin"}, "full path"),
        ({"busy-exit-codes": [0]}, "0 is done"),
        ({"product": "snap"}, "snap"),
        ({"force": True}, "force"),
    ],
)
def test_a_wrong_policy_is_refused_when_it_is_read(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=word):
        policy(**changes)


def test_a_copy_host_that_does_not_exist_is_a_fault_of_the_policy() -> None:
    context = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
    with pytest.raises(PolicyFault):
        timefinder.from_options("symm", policy(**{"copy-host": "nobody"}), RecordedHost(), context)
    assert ARRAYS["timefinder"]().options is Options


def test_the_environment_waits_for_locks_and_backgrounds() -> None:
    symcli = Symcli("symm", policy(sid=SID, connect="apiserver"), RecordedHost())
    assert symcli.command("symmir", "list").environment == {
        "LC_ALL": "C",
        "SYMCLI_WAIT_ON_DB": "1",
        "SYMCLI_WAIT_ON_GK": "1",
        "SYMAPI_WAIT_FOR_BCV_BG_SPLIT": "TRUE",
        "SYMCLI_SID": SID,
        "SYMCLI_CONNECT": "apiserver",
    }


@pytest.mark.parametrize(
    ("table", "split", "establish"),
    [
        ({}, "symmir -g erp split -noprompt", "symmir -g erp establish -noprompt"),
        (
            {"consistent": True, "instant": True, "groups": {"erp": {"pairs": 2, "composite-group": "all"}}},
            "symmir -cg all split -consistent -instant -noprompt",
            "symmir -cg all establish -noprompt",
        ),
        (
            {"sid": "123", "groups": {"erp": {"pairs": 2, "pair-file": "/etc/pairs"}}},
            "symmir -sid 123 -f /etc/pairs split -noprompt",
            "symmir -sid 123 -f /etc/pairs establish -noprompt",
        ),
        (
            {"command": "symbcv", "groups": {"erp": {"pairs": 2, "device-group": "old"}}},
            "symbcv split -g old -noprompt",
            "symbcv establish -g old -i -noprompt",
        ),
        (
            {"product": "clone", "sid": "123", "consistent": True, "groups": {"erp": {"pairs": {"1A4": "4C2"}}}},
            "symclone -g erp activate -consistent -noprompt",
            "symclone -g erp recreate -precopy -noprompt",
        ),
    ],
)
def test_what_a_plan_shows(table: dict[str, Any], split: str, establish: str) -> None:
    array, host = world(table, {})
    assert line(array, Move.SPLIT) == f"{BIN}/{split}"
    assert line(array, Move.ESTABLISH) == line(array, Move.REATTACH) == f"{BIN}/{establish}"
    assert not array.actions(Move.DISCARD, "erp", "run-1")
    assert host.asked == []


def test_what_a_plan_shows_of_snapshots() -> None:
    groups = {"erp": {"pairs": 1, "storage-group": "sg", "target-group": "t", "copy-devices": {"4C2": "/dev/sdx"}}}
    array, _ = world({"product": "snapvx", "sid": "123", "groups": groups}, {})
    of = f"{BIN}/symsnapvx -sid 123 -sg sg"
    assert line(array, Move.SPLIT) == f"{of} -name sm-run-1 establish -noprompt"
    assert line(array, Move.DISCARD) == f"{of} -snapshot_name sm-run-1 terminate -noprompt"
    assert line(array, Move.EXPOSE) == f"{of} -lnsg t -snapshot_name sm-run-1 link -noprompt"
    assert line(array, Move.UNEXPOSE) == f"{of} -lnsg t -snapshot_name sm-run-1 unlink -noprompt"
    assert not array.actions(Move.ESTABLISH, "erp", "run-1")


@pytest.mark.parametrize(
    ("table", "family", "atomic"),
    [
        ({}, Family.MIRROR, Atomic.NOTHING),
        ({"consistent": True}, Family.MIRROR, Atomic.GROUP),
        ({"product": "clone", "sid": "1", "groups": {"erp": {"pairs": {"1": "2"}}}}, Family.MIRROR, Atomic.NOTHING),
        ({"product": "snapvx", "sid": "1"}, Family.POINT, Atomic.GROUP),
    ],
)
def test_what_it_claims(table: dict[str, Any], family: Family, atomic: Atomic) -> None:
    traits = world(table, {})[0].traits
    assert (traits.family, traits.atomic, traits.fixed_by) == (family, atomic, FixedBy.COMPLETE)


# -- words --


def said_by(*words: str, table: dict[str, Any] | None = None, **more: Any) -> tuple[Array, RecordedHost]:
    """A mirror whose pairs say `words`; `more`: what other actions answer."""
    rows = [f"DEV{n:03} 01A{n} 0 BCV{n:03} 04C{n} * 0 {word}" for n, word in enumerate(words, 1)]
    text = "\n".join(["--- ---", "head", "--- ---", *rows, "Total --- ---"])
    commands = {f"{BIN}/symmir -g erp query": (0, text)}
    commands |= {f"{BIN}/symmir -g erp {key.replace('_', ' ')}": value for key, value in more.items()}
    return world({"command": "symmir", "groups": {"erp": {"pairs": len(words)}}, **(table or {})}, commands)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("NeverEstab", PairState.UNPAIRED),
        ("SyncInProg", PairState.ATTACHING),
        ("Synchronized", PairState.SYNCED),
        ("SplitInProg", PairState.SPLITTING),
        ("Split", PairState.SPLIT),
        ("SplitNoInc", PairState.SPLIT_UNTRACKED),
        ("SplitBfrSync", PairState.SPLIT_UNTRACKED),
        ("Restored", PairState.RESTORING),
        ("RestInProg", PairState.RESTORING),
        ("Invalid", PairState.BROKEN),
        ("Unknown", PairState.BROKEN),
        ("synchronized", PairState.UNKNOWN),
        ("PreSplit", PairState.UNKNOWN),
    ],
)
def test_words_of_a_mirror(word: str, state: PairState) -> None:
    (pair,) = said_by(word)[0].query("erp", soon())
    assert (pair.state, pair.word, pair.primary, pair.copy) == (state, word, "01A1", "04C1")


@pytest.mark.parametrize(
    "words",
    [
        ("SplitBfrSync", "SplitBfrSync"),
        ("SplitNoInc", "SplitNoInc"),
        ("Split", "SyncInProg"),
        ("Split", "Invalid"),
        ("NeverEstab", "NeverEstab"),
        ("Restored", "Restored"),
        ("Split", "Sideways"),
    ],
)
def test_an_incremental_copy_that_the_array_might_make_a_full_one_is_refused(words: tuple[str, ...]) -> None:
    array, host = said_by(*words)
    with pytest.raises(Refused, match="every pair is Split"):
        array.establish("erp", Mode.INCREMENTAL, soon())
    assert all("query" in asked for asked in host.asked)


@pytest.mark.parametrize(
    "words", [("Synchronized", "Split"), ("RestInProg",), ("Invalid",), ("SplitInProg",), ("Odd",)]
)
def test_a_full_copy_from_a_word_that_does_not_allow_it_is_refused(words: tuple[str, ...]) -> None:
    array, host = said_by(*words)
    with pytest.raises(Refused, match="in full"):
        array.establish("erp", Mode.FULL, soon())
    assert all("query" in asked for asked in host.asked)


def test_a_full_copy_is_asked_for_by_name() -> None:
    array, host = said_by("SplitNoInc", "NeverEstab", _full_establish=(0, ""))
    commands = {**host.commands, f"{BIN}/symmir -g erp -full establish": (0, "")}
    host.commands = commands
    array.establish("erp", Mode.FULL, soon())
    assert host.asked[-1] == f"{BIN}/symmir -g erp -full establish -noprompt"


@pytest.mark.parametrize("mode", list(Mode))
def test_a_group_on_its_way_is_left_alone(mode: Mode) -> None:
    array, host = said_by("SyncInProg", "SyncInProg")
    array.establish("erp", mode, soon())
    assert host.asked == [f"{BIN}/symmir -g erp query"]


@pytest.mark.parametrize(
    "words", [("SplitBfrSync",), ("Synchronized", "Split"), ("SyncInProg",), ("Odd",), ("SplitBfrRest",)]
)
def test_a_split_is_not_sent_from_any_other_word(words: tuple[str, ...]) -> None:
    array, host = said_by(*words)
    with pytest.raises(NotSynchronised, match="nothing was sent"):
        array.split(["erp"], "run-1", soon())
    assert host.asked == [f"{BIN}/symmir -g erp query"]


@pytest.mark.parametrize("words", [("SplitBfrSync",), ("Synchronized",), ("Split", "SplitBfrRest"), ("Odd",)])
def test_what_was_split_too_early_or_is_established_again_is_no_copy(words: tuple[str, ...]) -> None:
    array, _ = said_by(*words)
    for ask in (array.settle, array.expose):
        with pytest.raises(UnknownAnswer, match="run-1"):
            ask(COPY, soon())


def test_a_copy_that_is_still_split_off_is_not_exposed() -> None:
    array, _ = said_by("Split", "SplitInProg")
    assert not array.settle(COPY, soon()).is_done
    with pytest.raises(Refused, match="not be read yet"):
        array.expose(COPY, soon())


@pytest.mark.parametrize(("code", "is_done"), [(0, True), (1, False), (4, False), (5, False), (25, False), (99, False)])
def test_only_a_verify_that_ends_with_0_is_true(code: int, is_done: bool) -> None:
    array, _ = said_by("Synchronized", verify=(code, "All devices are in 'Synchronized' state"))
    assert array.progress("erp", soon()).is_done is is_done


@pytest.mark.parametrize("word", ["Invalid", "RestInProg", "Odd"])
def test_progress_stops_at_a_pair_that_will_not_get_there(word: str) -> None:
    array, _ = said_by("SyncInProg", word)
    with pytest.raises((CommandFailed, UnknownAnswer), match=f"01A2/04C2.*{word}"):
        array.progress("erp", soon())


def test_progress_shows_tracks_and_never_a_fraction() -> None:
    host = RecordedHost({f"{BIN}/symmir -g erp query": (0, text_of("mirror-query"))})
    progress = timefinder.build("symm", policy(command="symmir"), host).progress("erp", soon())
    assert (progress.is_done, progress.fraction) == (False, None)
    assert progress.remaining == "01A4/04C2 SyncInProg; 812 tracks to copy"


class Turning(RecordedHost):
    """Answers `then` to every query after the split."""

    then = ""

    def run(self, command: Command, deadline: Deadline) -> Completed:
        done = super().run(command, deadline)
        if "split" in command.argv:
            self.commands[f"{BIN}/symmir -g erp query"] = (0, self.then)
        return done


@pytest.mark.parametrize("word", ["Invalid", "SplitBfrSync", "Odd", "SyncInProg"])
def test_a_word_after_the_split_that_leads_nowhere_is_unknown_at_once(word: str) -> None:
    said = said_by("Synchronized", "Synchronized")[1].commands
    host = Turning({**said, f"{BIN}/symmir -g erp split": (0, "")})
    host.then = str(said[f"{BIN}/symmir -g erp query"][1]).replace("04C2 * 0 Synchronized", f"04C2 * 0 {word}")  # type: ignore[index]
    host.then = host.then.replace("04C1 * 0 Synchronized", "04C1 * 0 Split")
    array = timefinder.build("symm", policy(command="symmir"), host)
    with pytest.raises(UnknownAnswer, match=f"01A1/04C1 Split, 01A2/04C2 {word}"):
        array.split(["erp"], "run-1", soon())
    assert len(host.asked) == 3


def test_a_group_that_the_policy_does_not_have_is_named() -> None:
    with pytest.raises(Refused, match="no group logs"):
        said_by("Split")[0].query("logs", soon())


# -- which program --


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [({"symmir": 0, "symbcv": 0}, "symmir -g erp query"), ({"symmir": 1, "symbcv": 0}, "symbcv -g erp query")],
)
def test_the_program_that_is_there_is_used_and_asked_for_once(answers: dict[str, int], wanted: str) -> None:
    commands: dict[str, Any] = {f"test -x {BIN}/{tool}": (code, "") for tool, code in answers.items()}
    array, host = world({}, {**commands, f"{BIN}/{wanted}": (0, text_of("mirror-query"))})
    for _ in range(2):
        array.query("erp", soon())
    assert host.asked.count(f"{BIN}/{wanted}") == 2
    assert sum(asked.startswith("test") for asked in host.asked) == len([code for code in answers.values() if code]) + 1


def test_no_program_is_refused_by_name() -> None:
    gone = {f"test -x {BIN}/{tool}": (1, "") for tool in ("symmir", "symbcv")}
    with pytest.raises(Refused, match="neither symmir nor symbcv is in /usr/symcli/bin on db1"):
        world({}, gone)[0].query("erp", soon())
    with pytest.raises(Refused, match="nothing says where"):
        world({"path": ""}, {})[0].query("erp", soon())


@pytest.mark.parametrize("table", [{"consistent": True}, {"instant": True}])
def test_what_the_old_program_does_not_know_is_refused(table: dict[str, Any]) -> None:
    there = {f"test -x {BIN}/symmir": (1, ""), f"test -x {BIN}/symbcv": (0, "")}
    with pytest.raises(Refused, match="only symbcv"):
        world(table, there)[0].stand_by(["erp"], "run-1", soon())


def test_the_old_program_works_on_device_groups_only() -> None:
    array, _ = world({"command": "symbcv", "groups": {"erp": {"pairs": 1, "composite-group": "all"}}}, {})
    with pytest.raises(Refused, match="device groups only"):
        array.query("erp", soon())


# -- how hosts know the standards --


def test_standards_by_the_policy() -> None:
    devices = {"1A1": "/dev/mapper/erp1", "01A2": "wwn:6000097000019019"}
    groups = {"erp": {"pairs": 3, "devices": devices, "source-host": "db1"}}
    array, _ = said_by("Split", "Split", "Split", table={"groups": groups})
    assert array.sources("erp", soon()) == (
        Source("device", "/dev/mapper/erp1", "db1"),
        Source("device", "wwn:6000097000019019", ""),
        Source("device", "01A3", ""),
    )


def listed(*devices: str) -> tuple[int, str]:
    return 0, f"<SymCLI_ML><Symmetrix>{''.join(devices)}</Symmetrix></SymCLI_ML>"


def device(number: str, wwn: str, shown: str = "") -> str:
    external = f"<Device_External_Identity><wwn>{shown}</wwn></Device_External_Identity>" if shown else ""
    info = f"<Dev_Info><dev_name>{number}</dev_name></Dev_Info><Product><wwn>{wwn}</wwn></Product>"
    return f"<Device>{info}{external}</Device>"


WWN = "60000970000190100321533030314131"


@pytest.mark.parametrize("shown", ["", WWN, "N/A"])
def test_standards_by_the_array(shown: str) -> None:
    array, host = said_by("Split", table={"device-ids": "array", "sid": SID})
    host.commands[f"{BIN}/symdev -sid {SID} list -v -devs 01A1"] = listed(device("001A1", WWN.upper(), shown))
    assert array.sources("erp", soon()) == (Source("device", f"wwn:{WWN}", ""),)


@pytest.mark.parametrize(
    ("answer", "fault", "word"),
    [
        (listed(device("01A1", WWN, WWN.replace("6", "5"))), Refused, "not its own"),
        (listed(device("01A1", "N/A")), UnknownAnswer, "WWN of 01A1"),
        (listed(device("01A9", WWN)), UnknownAnswer, "does not list 01A1"),
        ((1, "no"), CommandFailed, "01A1"),
    ],
)
def test_a_standard_that_the_array_does_not_name_well_is_refused(answer: Any, fault: Any, word: str) -> None:
    array, host = said_by("Split", table={"device-ids": "array", "sid": SID})
    host.commands[f"{BIN}/symdev"] = answer
    with pytest.raises(fault, match=word):
        array.sources("erp", soon())


def test_a_copy_that_the_policy_does_not_place_is_refused_by_name() -> None:
    groups = {"erp": {"pairs": 2, "copy-devices": {"04C1": "/dev/sdx"}}}
    array, _ = said_by("Split", "Split", table={"groups": groups})
    with pytest.raises(Refused, match="04C2"):
        array.expose(COPY, soon())


# -- names of snapshots --


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", fullmatch=True))
def test_a_name_is_found_again_or_refused(copy: str) -> None:
    try:
        name = snapshot_name(copy)
    except Refused:
        assert len(copy) > 10
        return
    assert len(name) <= LONGEST
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert copy_name(name) == copy


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,16}", fullmatch=True),
    st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)),
    st.integers(1, 36**4 - 1),
)
def test_every_run_of_a_policy_with_a_short_name_has_a_snapshots_name(policy: str, moment: Any, number: int) -> None:
    copy = f"{policy}-{moment.strftime('%Y%m%d-%H%M%S')}-{number}"
    assert copy_name(snapshot_name(copy)) == copy


@given(st.text(st.sampled_from("_dt.-aZ09"), max_size=32))
def test_a_strangers_name_is_not_ours(name: str) -> None:
    assert copy_name(name) == ""
    if copy := copy_name(f"sm-{name}"):
        assert snapshot_name(copy) == f"sm-{name}"


@pytest.mark.parametrize("name", ["sm-", "sm-_", "sm-a_b", "sm-_t00000a1", "sm-a__b_t0000001x", "sm-" + "a" * 40])
def test_a_name_that_only_looks_like_ours_is_a_strangers(name: str) -> None:
    assert copy_name(name) == ""


def test_a_name_that_is_too_long_is_refused_with_what_to_do() -> None:
    with pytest.raises(Refused, match="at most 32"):
        snapshot_name("a-policy-with-a-long-name-20261124-223658-7")
    for stranger in ("", "a b", "-x", "a/b"):
        with pytest.raises(Refused):
            snapshot_name(stranger)


# -- what goes wrong, over the emulated array --


@pytest.fixture
def stage(tmp_path: Path) -> SymcliStage:
    return synced(SymcliStage(tmp_path))


def synced(stage: SymcliStage) -> SymcliStage:
    """In sync, and carrying ``one``."""
    stage.write(b"one")
    stage.array().establish("erp", Mode.FULL, soon())
    end = soon(20)
    while not stage.array().progress("erp", soon()).is_done:
        assert not end.is_passed
    return stage


def fault(stage: SymcliStage, *lines: str) -> None:
    stage.control("fault", *lines)


def words(stage: SymcliStage) -> list[str]:
    return [pair.word for pair in stage.array().query("erp", soon())]


def splits(stage: SymcliStage) -> int:
    return sum(1 for call in stage.calls() if stage.split_word in call)


def test_half_of_a_split_is_named(stage: SymcliStage) -> None:
    fault(stage, "split half")
    with pytest.raises(UnknownAnswer, match="01A4/04C2 Split, 01A5/04C3 Synchronized"):
        stage.array().split(["erp"], "run-1", soon())
    stage.mend()
    with pytest.raises(NotSynchronised):
        stage.array().split(["erp"], "run-1", soon())
    with pytest.raises(UnknownAnswer):
        stage.array().settle(COPY, soon())


@pytest.mark.parametrize("line", ["split half 0", "split lie"])
def test_a_split_that_says_more_than_it_did_is_never_called_done(stage: SymcliStage, line: str) -> None:
    fault(stage, line)
    with pytest.raises(DeadlinePassed, match="01A5/04C3 Synchronized"):
        stage.array().split(["erp"], "run-1", soon(1.5))
    assert splits(stage) == 1


def test_a_split_that_is_killed_leaves_an_unknown_outcome(stage: SymcliStage) -> None:
    fault(stage, "split die")
    with pytest.raises(UnknownAnswer, match="exit code -9"):
        stage.array().split(["erp"], "run-1", soon())


def test_a_split_whose_pairs_break_is_unknown(stage: SymcliStage) -> None:
    fault(stage, "split slow 0.1")
    stage.array().split(["erp"], "run-1", soon())
    stage.control("break", "erp", "DEV002")
    with pytest.raises(NotSynchronised, match="may not be split"):
        stage.array().split(["erp"], "run-1", soon())


def test_a_lock_that_stays_is_a_failure_that_may_be_tried_again(stage: SymcliStage) -> None:
    fault(stage, "split busy")
    with pytest.raises(CommandFailed, match="locked for all the time") as caught:
        stage.array().split(["erp"], "run-1", soon(1.5))
    assert caught.value.retryable
    stage.mend()
    assert words(stage) == ["Synchronized"] * 2


def test_a_background_is_waited_for(tmp_path: Path) -> None:
    stage = synced(SymcliStage(tmp_path, ("--bg", "0.4", "--late"), instant=True))
    stage.array().split(["erp"], "run-1", soon())
    assert words(stage) == ["Split"] * 2
    stage.write(b"two")
    assert stage.read(stage.array().expose(COPY, soon())) == (b"one", b"one")


def test_a_background_that_does_not_end_in_time_is_unknown(tmp_path: Path) -> None:
    stage = synced(SymcliStage(tmp_path, ("--bg", "60"), instant=True))
    stage.control("fault", "split noise")
    with pytest.raises(DeadlinePassed):
        stage.array().split(["erp"], "run-1", soon(1.5))


def test_an_array_without_consistent_split_refuses_and_nothing_changes(tmp_path: Path) -> None:
    stage = synced(SymcliStage(tmp_path, ("--inconsistent",), consistent=True))
    with pytest.raises(CommandFailed, match="nothing was changed"):
        stage.array().split(["erp"], "run-1", soon())
    assert words(stage) == ["Synchronized"] * 2


def test_pairs_that_the_policy_does_not_name_stop_everything(stage: SymcliStage) -> None:
    stage.control("forget", "erp", "DEV002")
    before = splits(stage)
    for ask in (stage.array().query, stage.array().sources, stage.array().progress):
        with pytest.raises(Refused, match="other pairs") as caught:
            ask("erp", soon())
        assert "01A4/04C2 Synchronized" in caught.value.detail
        assert "01A5/04C3" in caught.value.detail
    with pytest.raises(Refused):
        stage.array().split(["erp"], "run-1", soon())
    assert splits(stage) == before


def test_a_pair_too_many_is_counted(stage: SymcliStage, tmp_path: Path) -> None:
    (tmp_path / "p3").write_bytes(bytes(65536))
    stage.control("join", "erp", f"{tmp_path}/p3={tmp_path}/c3")
    counted = timefinder.build("symm", policy(command="symmir", path=str(stage.tools)), stage.array().host)  # type: ignore[attr-defined]
    with pytest.raises(Refused, match="other pairs") as caught:
        counted.query("erp", soon())
    assert "the policy: 2 pairs" in caught.value.detail


def test_a_pair_that_is_lost_while_it_is_split_leaves_an_unknown_outcome(stage: SymcliStage) -> None:
    array = stage.array()
    real = array.host.run  # type: ignore[attr-defined]

    def run(command: Any, deadline: Any) -> Any:
        done = real(command, deadline)
        if "split" in command.argv:
            stage.control("fault", "query drop")
        return done

    array.host.run = run  # type: ignore[attr-defined]
    with pytest.raises(UnknownAnswer, match="could not be asked after"):
        array.split(["erp"], "run-1", soon())


def test_a_second_group_that_fails_leaves_an_unknown_outcome(stage: SymcliStage, tmp_path: Path) -> None:
    (tmp_path / "p3").write_bytes(bytes(65536))
    stage.control("create", "--group", "logs", f"{tmp_path}/p3={tmp_path}/c3")
    stage.options = msgspec.structs.replace(stage.options, groups={**stage.options.groups, "logs": Group(pairs=1)})
    with pytest.raises(UnknownAnswer, match="erp split, and logs is not"):
        stage.array().split(["erp", "logs"], "run-1", soon())
    with pytest.raises(NotSynchronised):
        stage.array().split(["logs", "erp"], "run-1", soon())


def test_two_groups_are_split_one_after_another(stage: SymcliStage, tmp_path: Path) -> None:
    (tmp_path / "p3").write_bytes(bytes(65536))
    stage.control("create", "--group", "logs", f"{tmp_path}/p3={tmp_path}/c3")
    stage.options = msgspec.structs.replace(stage.options, groups={**stage.options.groups, "logs": Group(pairs=1)})
    stage.array().establish("logs", Mode.FULL, soon())
    receipts = stage.array().split(["erp", "logs"], "run-1", soon())
    assert [(receipt.group, receipt.is_again) for receipt in receipts] == [("erp", False), ("logs", False)]


def test_an_old_host_has_the_opposite_default(tmp_path: Path) -> None:
    stage = synced(SymcliStage(tmp_path, ("--historic",), path=str(HISTORIC)))
    stage.array().split(["erp"], "run-1", soon())
    stage.array().establish("erp", Mode.INCREMENTAL, soon())
    asked = [" ".join(call) for call in stage.calls() if "establish" in call]
    assert asked == ["symbcv establish -g erp -noprompt", "symbcv establish -g erp -i -noprompt"]
    assert ["symbcv", "-g", "erp", "verify"] in stage.calls()


# -- clones --


def test_a_clone_that_still_copies(tmp_path: Path) -> None:
    stage = CloneStage(tmp_path, precopy=False)
    stage.control(
        "create", "--group", "erp", *(f"{p}={c}" for p, c in stage.images()), "--product", "clone", "--rate", "1"
    )
    array = stage.array()
    stage.write(b"one")
    array.establish("erp", Mode.FULL, soon())
    assert array.progress("erp", soon()).is_done
    array.split(["erp"], "run-1", soon())
    assert {pair.state for pair in array.query("erp", soon())} == {PairState.SPLITTING}
    assert not array.settle(COPY, soon()).is_done
    with pytest.raises(Refused, match="every pair is Copied") as caught:
        array.establish("erp", Mode.INCREMENTAL, soon())
    assert "background copy" in caught.value.hint
    with pytest.raises(Refused, match="clone sessions"):
        array.establish("erp", Mode.FULL, soon())
    stage.options = msgspec.structs.replace(stage.options, read_while_copying=True)
    assert stage.array().settle(COPY, soon()).is_done
    assert stage.read(stage.array().expose(COPY, soon())) == (b"one", b"one")
    stage.control("tick", "1000")
    assert array.settle(COPY, soon()).is_done


def test_a_clone_query_that_fails_for_another_reason_does_not_say_unpaired(tmp_path: Path) -> None:
    stage = CloneStage(tmp_path)
    assert {pair.state for pair in stage.array().query("erp", soon())} == {PairState.UNPAIRED}
    stage.array().establish("erp", Mode.FULL, soon())
    fault(stage, "query fail")
    with pytest.raises(CommandFailed, match="asking for the sessions"):
        stage.array().query("erp", soon())


def test_half_of_an_activation_is_named(tmp_path: Path) -> None:
    stage = synced(CloneStage(tmp_path))
    fault(stage, "activate half")
    with pytest.raises(UnknownAnswer, match="01A4/04C2 Copied, 01A5/04C3 Precopy"):
        stage.array().split(["erp"], "run-1", soon())


def test_a_clone_that_failed_is_broken(tmp_path: Path) -> None:
    stage = synced(CloneStage(tmp_path))
    stage.control("break", "erp", "DEV001")
    states = [pair.state for pair in stage.array().query("erp", soon())]
    assert states == [PairState.BROKEN, PairState.SYNCED]
    with pytest.raises(NotSynchronised):
        stage.array().split(["erp"], "run-1", soon())


# -- snapshots --


@pytest.fixture
def snaps(tmp_path: Path) -> SnapStage:
    return SnapStage(tmp_path)


def symsnapvx(stage: SnapStage, *words: str) -> None:
    """A person at the array's own tools."""
    argv = (f"{stage.tools}/symsnapvx", "-sid", SID, "-sg", "erp", *words, "-noprompt")
    command.run(Command(argv, environment=stage.environment), soon()).require("symsnapvx")


def test_a_second_generation_of_our_name_is_no_copy_of_ours(snaps: SnapStage) -> None:
    (receipt,) = snaps.array().split(["erp"], "run-1", soon())
    symsnapvx(snaps, "-name", receipt.data["snapshot"], "establish")
    for ask in (snaps.array().settle, snaps.array().expose):
        with pytest.raises(UnknownAnswer, match="does not stand") as caught:
            ask(receipt, soon())
        assert "001A4@run-1 generations=2" in caught.value.detail
    with pytest.raises(Refused, match="several generations"):
        snaps.array().discard(receipt, soon())
    with pytest.raises(NotSynchronised):
        snaps.array().split(["erp"], "run-2", soon())


def test_a_strangers_snapshot_is_not_seen(snaps: SnapStage) -> None:
    symsnapvx(snaps, "-name", "HOURLY", "establish")
    assert {pair.state for pair in snaps.array().query("erp", soon())} == {PairState.PREPARED}
    snaps.array().split(["erp"], "run-1", soon())
    assert {pair.copy for pair in snaps.array().query("erp", soon()) if pair.copy} == {"run-1"}


def test_a_name_that_is_taken_is_refused_ahead(snaps: SnapStage) -> None:
    snaps.array().split(["erp"], "run-1", soon())
    with pytest.raises(Refused, match="sm-run-1 already"):
        snaps.array().stand_by(["erp"], "run-1", soon())


def test_half_of_a_snapshot_is_named(snaps: SnapStage) -> None:
    fault(snaps, "establish half")
    with pytest.raises(UnknownAnswer, match="1 of 2 devices"):
        snaps.array().split(["erp"], "run-1", soon())
    snaps.mend()
    with pytest.raises(UnknownAnswer, match="does not stand"):
        snaps.array().split(["erp"], "run-1", soon())
    snaps.array().discard(COPY, soon())
    assert not snaps.array().split(["erp"], "run-1", soon())[0].is_again


def test_a_snapshot_that_is_not_taken_is_never_called_done(snaps: SnapStage) -> None:
    fault(snaps, "establish lie")
    with pytest.raises(DeadlinePassed):
        snaps.array().split(["erp"], "run-1", soon(1.5))


def test_a_target_that_shows_another_snapshot_is_not_taken_over(snaps: SnapStage) -> None:
    first, second = (snaps.array().split(["erp"], copy, soon())[0] for copy in ("run-1", "run-2"))
    shown = snaps.array().expose(first, soon())
    with pytest.raises(CommandFailed, match="linking sm-run-2 to erp_tgt"):
        snaps.array().expose(second, soon())
    assert snaps.array().expose(first, soon()) == shown
    with pytest.raises(InUse, match="linked"):
        snaps.array().discard(first, soon())
    snaps.array().unexpose(second, soon())
    snaps.array().unexpose(first, soon())
    assert snaps.array().expose(second, soon()) == shown


def test_a_link_is_defined_before_it_is_shown(tmp_path: Path) -> None:
    stage = SnapStage(tmp_path)
    stage.control(
        "create", "--group", "erp", *(f"{p}={c}" for p, c in stage.images()), "--product", "snapvx", "--define", "60"
    )
    stage.array().split(["erp"], "run-1", soon())
    with pytest.raises(DeadlinePassed):
        stage.array().expose(COPY, soon(1.5))
    stage.control("tick", "100")
    assert stage.array().expose(COPY, soon()).paths == tuple(f"{c}.dev" for _, c in stage.images())


def test_without_a_target_group_a_snapshot_is_kept_and_not_shown(snaps: SnapStage) -> None:
    group = msgspec.structs.replace(snaps.options.groups["erp"], target_group="", copy_devices={})
    snaps.options = msgspec.structs.replace(snaps.options, groups={"erp": group})
    (receipt,) = snaps.array().split(["erp"], "run-1", soon())
    with pytest.raises(Refused, match="on which devices"):
        snaps.array().expose(receipt, soon())
    snaps.array().unexpose(receipt, soon())
    assert not snaps.array().actions(Move.EXPOSE, "erp", "run-1")


def test_a_device_more_in_the_storage_group_is_refused(snaps: SnapStage, tmp_path: Path) -> None:
    (tmp_path / "p3").write_bytes(bytes(65536))
    images = [*(f"{p}={c}" for p, c in snaps.images()), f"{tmp_path}/p3"]
    snaps.control("create", "--group", "erp", *images, "--product", "snapvx")
    with pytest.raises(Refused, match="other pairs"):
        snaps.array().stand_by(["erp"], "run-1", soon())
    with pytest.raises(UnknownAnswer, match="does not stand"):
        snaps.array().split(["erp"], "run-1", soon())


def test_a_copy_with_a_runs_long_name_lives_and_ends(snaps: SnapStage) -> None:
    copy = "nightly-of-sales-20261124-223658-12"
    (receipt,) = snaps.array().split(["erp"], copy, soon())
    assert len(receipt.data["snapshot"]) <= LONGEST
    assert {pair.copy for pair in snaps.array().query("erp", soon()) if pair.copy} == {copy}
    snaps.array().discard(Receipt("symm", "erp", copy), soon())
    assert not [pair for pair in snaps.array().query("erp", soon()) if pair.copy]


@pytest.mark.parametrize(("line", "word"), [("unlink lie", "still linked"), ("terminate lie", "still there")])
def test_what_is_taken_back_is_looked_at(snaps: SnapStage, line: str, word: str) -> None:
    (receipt,) = snaps.array().split(["erp"], "run-1", soon())
    snaps.array().expose(receipt, soon())
    if "terminate" in line:
        snaps.array().unexpose(receipt, soon())
    fault(snaps, line)
    with pytest.raises(UnknownAnswer, match=word):
        (snaps.array().discard if "terminate" in line else snaps.array().unexpose)(receipt, soon())


def test_a_second_storage_group_that_fails_leaves_an_unknown_outcome(snaps: SnapStage, tmp_path: Path) -> None:
    groups = {**snaps.options.groups, "logs": Group(pairs=1, storage_group="gone")}
    snaps.options = msgspec.structs.replace(snaps.options, groups=groups)
    with pytest.raises(UnknownAnswer, match="erp split, and logs is not"):
        snaps.array().split(["erp", "logs"], "run-1", soon())
    with pytest.raises(CommandFailed):
        snaps.array().split(["logs"], "run-2", soon())


def test_devices_of_a_storage_group_by_the_arrays_own_wwns(snaps: SnapStage) -> None:
    snaps.options = msgspec.structs.replace(snaps.options, device_ids="array")
    found = snaps.array().sources("erp", soon())
    assert [source.id[:17] for source in found] == ["wwn:6000097000019"] * 2
    assert len({source.id for source in found}) == 2


@pytest.mark.parametrize(("old", "new"), [("001A5", "001A4"), ("001A5", ""), ("DEVS_List", "Devices")])
def test_a_storage_group_whose_devices_are_not_named_well_is_unknown(old: str, new: str) -> None:
    host = RecordedHost({f"{BIN}/symsg": (0, text_of("symsg-show").replace(old, new))})
    with pytest.raises(UnknownAnswer, match="each device once"):
        Listing(Symcli("symm", policy(product="snapvx", sid=SID), host)).devices("erp", soon())


def test_a_link_to_what_is_no_device_is_unknown() -> None:
    text = text_of("snapvx-list").replace("SNAP_1", "sm-run-1").replace("<num_generations>20", "<num_generations>1")
    groups = {"erp": {"pairs": 1, "target-group": "t", "copy-devices": {"4C2": "/dev/sdx"}}}
    array, _ = world({"product": "snapvx", "sid": SID, "groups": groups}, {f"{BIN}/symsnapvx": (0, text)})
    with pytest.raises(UnknownAnswer, match="device"):
        array.expose(COPY, soon())


# -- what is never sent --


@pytest.mark.parametrize("make", [SymcliStage, CloneStage, SnapStage])
def test_no_flag_overrides_anything(tmp_path: Path, make: type[SymcliStage]) -> None:
    stage = make(tmp_path)
    array = stage.array()
    if array.traits.family is Family.MIRROR:
        synced(stage)
    (receipt,) = array.split(["erp"], "run-1", soon())
    array.expose(receipt, soon())
    array.unexpose(receipt, soon())
    if array.traits.family is Family.MIRROR:
        array.establish("erp", Mode.INCREMENTAL, soon())
    else:
        array.discard(receipt, soon())
    calls = [call for call in stage.calls() if call[0] != "control"]
    known = {
        "-g",
        "-sid",
        "-sg",
        "-lnsg",
        "-name",
        "-snapshot_name",
        "-full",
        "-synched",
        "-diff",
        "-precopy",
        "-linked",
    }
    known |= {"-output", "-v", "-devs", *timefinder.ANSWERS}
    assert {word for call in calls for word in call if word.startswith("-")} <= known
    assert not any("restore" in call for call in calls)
    moves = ("establish", "split", "create", "recreate", "activate", "link", "unlink", "terminate")
    assert all(set(timefinder.ANSWERS) <= set(call) for call in calls if set(moves) & set(call))


def test_the_restore_is_a_persons(snaps: SnapStage, stage: SymcliStage) -> None:
    assert "symmir -g erp restore" in stage.array().restore_note(COPY)
    assert "-snapshot_name sm-run-1 restore" in snaps.array().restore_note(COPY)


def test_a_pause_between_tries_is_the_policys() -> None:
    pauses: list[float] = []
    host = RecordedHost({f"{BIN}/symmir": (2, "locked")})
    symcli = Symcli("symm", policy(**{"busy-pause": "700ms"}), host, pauses.append)
    clock = iter(n / 2 for n in range(100))
    with pytest.raises(CommandFailed, match="locked"):
        symcli.look("symmir", "query", deadline=Deadline(5.0, lambda: next(clock)))
    assert pauses == [Duration.parse("700ms")] * len(pauses)
    assert len(host.asked) == len(pauses) + 1 > 2


# -- its page --

PAGE = (Path(__file__).parents[3] / "docs" / "arrays" / "timefinder.md").read_text(encoding="utf-8")


def test_every_policy_of_the_page_can_be_read() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        for table in tomllib.loads(block)["arrays"].values():
            assert table.pop("driver") == "timefinder"
            msgspec.convert(table, Options, dec_hook=decode_hook)


def test_every_key_is_explained_on_the_page() -> None:
    fields = [*msgspec.structs.fields(Options), *msgspec.structs.fields(Group)]
    assert [one.encode_name for one in fields if f"`{one.encode_name}`" not in PAGE] == ["groups"]
