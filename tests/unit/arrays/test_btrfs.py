"""btrfs commands read from recordings, and what the driver makes of words and codes that nobody listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.presentation.recorded import RecordedHost, seen

from splitmirror_drivers.arrays.btrfs import Btrfs, Group, Options, parse_nested, parse_show
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, Move, PairState, Receipt
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret

GOLDEN = Path(__file__).parents[2] / "golden" / "btrfs"
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
GROUPS = {"data": Group(subvolume="/pool/data", snapshots="/pool/copies")}
COPY = Receipt("pool", "data", "run-1")


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def said(name: str) -> tuple[int, str]:
    one = recorded(name)
    return one["exit_code"], "\n".join(one["stdout"] if one["exit_code"] == 0 else one["stderr"])


def soon() -> Deadline:
    return Deadline.after(5)


def world(**commands: Any) -> tuple[Btrfs, RecordedHost]:
    """A pool whose copy ``run-1`` stands; `commands` say what is otherwise."""
    given: dict[str, Any] = {
        "btrfs subvolume show /pool/data": said("show-subvolume"),
        "btrfs subvolume show /pool/copies/run-1": said("show-snapshot"),
        "btrfs subvolume list": said("list-none"),
        "btrfs subvolume snapshot": said("snapshot-made"),
        "btrfs subvolume delete": said("delete-made"),
        "find /pool/copies": (0, "/pool/copies/run-1\n"),
    }
    given |= commands
    host = RecordedHost(given, {"filesystem.users": Answer({}, 0, "")})
    return Btrfs.from_options("pool", Options(groups=GROUPS), host, CONTEXT), host


@pytest.mark.parametrize("name", ["show-subvolume", "show-snapshot", "show-top"])
def test_show_is_read_as_recorded(name: str) -> None:
    wanted = recorded(name)["result"]
    found = parse_show(said(name)[1], "/pool/data")
    assert {key: getattr(found, key) for key in wanted} == wanted


@pytest.mark.parametrize(("name", "above"), [("list-nested", "data"), ("list-none", "copies/run-1")])
def test_list_is_read_as_recorded(name: str, above: str) -> None:
    assert list(parse_nested(said(name)[1], above)) == recorded(name)["result"]


def test_list_of_older_tools_has_no_generation() -> None:
    assert parse_nested("ID 258 top level 256 path data/tbl", "data") == ("tbl",)


@pytest.mark.parametrize(
    ("old", "new"),
    [("UUID: ", "Uuid: "), ("Parent UUID", "Parent"), ("Flags", "Bits"), ("4bbce95a-", "zzzz"), ("\tUUID", "\tXUUID")],
)
def test_show_with_a_field_that_is_missing_or_strange_is_unknown(old: str, new: str) -> None:
    text = said("show-snapshot")[1]
    assert old in text
    with pytest.raises(UnknownAnswer):
        parse_show(text.replace(old, new), "/pool/copies/run-1")


@pytest.mark.parametrize("text", ["", "\n", "data", "Create a readonly snapshot"])
def test_show_that_says_nothing_is_unknown(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_show(text, "/pool/data")


def test_name_of_a_snapshot_cannot_pass_for_a_field() -> None:
    text = said("show-subvolume")[1] + "\n\t\t\t\tFlags: readonly\n"
    assert parse_show(text, "/pool/data").flags == "-"


def test_list_in_other_words_is_unknown() -> None:
    with pytest.raises(UnknownAnswer):
        parse_nested("ID 258 path data/tbl", "data")


def test_traits_are_those_of_a_snapshot_that_completes_at_once() -> None:
    array, _ = world()
    traits = array.traits
    assert (traits.family, traits.fixed_by, traits.atomic) == (Family.POINT, FixedBy.COMPLETE, Atomic.GROUP)
    assert (traits.keeps_copies, traits.allows_freeze, traits.needs_sync) == (True, False, False)


def test_query_names_what_may_be_split_and_each_copy_that_stands() -> None:
    array, _ = world()
    prepared, copy = array.query("data", soon())
    assert (prepared.state, prepared.copy) == (PairState.PREPARED, "")
    assert (copy.state, copy.word, copy.copy) == (PairState.SPLIT, "readonly", "run-1")


def test_writable_snapshot_and_one_of_another_subvolume_are_no_copies() -> None:
    for text in (
        said("show-snapshot")[1].replace("readonly", "-"),
        said("show-snapshot")[1].replace("4bbce95a", "00000000"),
    ):
        array, _ = world(**{"btrfs subvolume show /pool/copies/run-1": (0, text)})
        assert [pair.copy for pair in array.query("data", soon())] == [""]


def test_unknown_flag_is_unknown_and_never_a_copy() -> None:
    text = said("show-snapshot")[1].replace("readonly", "sideways")
    array, _ = world(**{"btrfs subvolume show /pool/copies/run-1": (0, text)})
    _, copy = array.query("data", soon())
    assert (copy.state, copy.word) == (PairState.UNKNOWN, "sideways")
    with pytest.raises(Refused):
        array.discard(COPY, soon())


def test_nested_subvolume_is_refused_by_its_path() -> None:
    array, _ = world(**{"btrfs subvolume list": said("list-nested")})
    for ask in (array.query, array.sources):
        with pytest.raises(Refused, match="/pool/data/tbl"):
            ask("data", soon())


@pytest.mark.parametrize("name", ["show-folder", "show-missing"])
def test_subvolume_that_is_none_is_a_fault_with_btrfs_own_words(name: str) -> None:
    array, _ = world(**{"btrfs subvolume show /pool/data": said(name)})
    with pytest.raises(CommandFailed, match="/pool/data") as caught:
        array.query("data", soon())
    assert said(name)[1] in caught.value.detail


def test_split_asks_little_while_applications_wait() -> None:
    array, host = world(**{"find /pool/copies": (0, "")})
    (receipt,) = array.split(["data"], "run-2", soon())
    assert (receipt.copy, receipt.is_again) == ("run-2", False)
    assert len(host.asked) == 1
    assert host.acts() == ["btrfs subvolume snapshot -r /pool/data /pool/copies/run-2"]


def test_refused_split_is_told_from_one_that_failed_and_is_there() -> None:
    array, _ = world(**{"find /pool/copies": (0, ""), "btrfs subvolume snapshot": said("snapshot-taken")})
    with pytest.raises(CommandFailed) as caught:
        array.split(["data"], "run-2", soon())
    assert "Read-only file system" in caught.value.detail


def test_split_without_an_answer_is_of_unknown_outcome() -> None:
    late = DeadlinePassed("btrfs gave no answer in 5.0 s")
    array, _ = world(**{"find /pool/copies": (0, ""), "btrfs subvolume snapshot": late})
    with pytest.raises(DeadlinePassed):
        array.split(["data"], "run-2", soon())


def test_only_a_read_only_snapshot_of_ours_that_nobody_uses_is_deleted() -> None:
    array, host = world()
    host.answers["filesystem.users"] = Answer({"user": "7\ttar\t/pool/copies/run-1/rows"}, 0, "")
    with pytest.raises(InUse, match="tar"):
        array.discard(COPY, soon())
    foreign = said("show-snapshot")[1].replace("4bbce95a", "00000000")
    array, other = world(**{"btrfs subvolume show /pool/copies/run-1": (0, foreign)})
    with pytest.raises(Refused, match="not a read-only snapshot"):
        array.discard(COPY, soon())
    assert host.acts() == other.acts() == []


def test_copy_that_is_gone_is_discarded_without_a_command() -> None:
    array, host = world(**{"find /pool/copies": (0, "")})
    array.discard(COPY, soon())
    assert host.acts() == []


def test_copy_that_is_there_after_it_was_deleted_is_unknown() -> None:
    array, _ = world()
    with pytest.raises(UnknownAnswer, match="still there"):
        array.discard(COPY, soon())


def test_group_that_is_not_named_is_refused_with_those_that_are() -> None:
    array, _ = world()
    with pytest.raises(Refused, match="no group other") as caught:
        array.query("other", soon())
    assert "data" in caught.value.hint


@pytest.mark.parametrize(
    ("subvolume", "snapshots"),
    [("data", "/pool/copies"), ("/pool/data", "copies"), ("/pool/data/", "/pool/c"), ("/a/../b", "/c"), ("/a", "/a")],
)
def test_places_are_plain_absolute_paths(subvolume: str, snapshots: str) -> None:
    groups = {"data": Group(subvolume=subvolume, snapshots=snapshots)}
    with pytest.raises(PolicyFault, match="pool/data"):
        Btrfs.from_options("pool", Options(groups=groups), RecordedHost(), CONTEXT)


def test_sources_ask_whether_both_places_are_on_one_btrfs() -> None:
    array, host = world()
    places = {path: f"drwxr-xr-x\t0\t{path}\t-\tfull" for path in ("/pool/data", "/pool/copies")}
    pool = "40 21 0:40 / /pool rw - btrfs /dev/sdd rw"
    host.answers["filesystem.seen"] = seen(places, [pool])
    assert [source.id for source in array.sources("data", soon())] == ["/pool/data"]
    host.answers["filesystem.seen"] = seen(places, [pool, "41 40 8:49 / /pool/copies rw - ext4 /dev/sde rw"])
    with pytest.raises(Refused, match="not on the same btrfs"):
        array.sources("data", soon())


def test_plan_shows_the_command_and_its_undo() -> None:
    array, host = world()
    (action,) = array.actions(Move.SPLIT, "data", "run-2")
    assert (action.what, action.undo) == (
        "btrfs subvolume snapshot -r /pool/data /pool/copies/run-2",
        "btrfs subvolume delete /pool/copies/run-2",
    )
    assert array.actions(Move.ESTABLISH, "data", "run-2") == ()
    assert host.asked == []
