"""`timefinder` speaks of the array, the group and the copy that the policy means, and of no other; and who ended a split."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.arrays.test_timefinder import BIN, COPY, policy, said_by, soon, text_of
from tests.unit.presentation.recorded import RecordedHost

from splitmirror_drivers.arrays import timefinder
from splitmirror_drivers.arrays.timefinder_calls import Symcli
from splitmirror_drivers.contracts.array import Array, Mode
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer

# -- a pair of another group --


def foreign(word: str, **table: Any) -> tuple[Array, RecordedHost]:
    """The second standard is paired with a BCV that is not of the group: the mark behind its number is missing."""
    text = text_of("mirror-query").replace("04C3 * ", "04C3   ")
    text = text.replace("SyncInProg", word).replace("Synchronized", word)
    options = policy(command="symmir", **table)
    selection = " ".join(Symcli("symm", options, RecordedHost()).selection("erp"))
    host = RecordedHost({f"{BIN}/symmir {selection} query": (0, text)})
    return timefinder.build("symm", options, host), host


@pytest.mark.parametrize("word", ["Synchronized", "Split"])
def test_a_pair_with_a_bcv_of_another_group_is_not_this_groups_pair(word: str) -> None:
    array, host = foreign(word)
    for ask in (
        lambda: array.query("erp", soon()),
        lambda: array.split(["erp"], "run-1", soon()),
        lambda: array.establish("erp", Mode.INCREMENTAL, soon()),
        lambda: array.establish("erp", Mode.FULL, soon()),
        lambda: array.expose(COPY, soon()),
    ):
        with pytest.raises(Refused, match="another group") as caught:
            ask()
        assert "01A5/04C3" in caught.value.detail
    assert all("query" in asked for asked in host.asked)


def test_pairs_that_the_policy_names_need_no_mark() -> None:
    named = {"groups": {"erp": {"pairs": {"01A4": "04C2", "01A5": "04C3"}}}}
    assert len(foreign("Split", **named)[0].query("erp", soon())) == 2


def test_a_file_of_pairs_has_no_group_to_belong_to() -> None:
    filed = {"sid": "321", "groups": {"erp": {"pairs": 2, "pair-file": "/etc/pairs"}}}
    assert len(foreign("Split", **filed)[0].query("erp", soon())) == 2


# -- another array --


@pytest.mark.parametrize(("sid", "is_it"), [("000190100321", True), ("321", True), ("190100321", True), ("322", False)])
@pytest.mark.parametrize("kind", ["Device Group (DG) Name: proddg\nDG's", "Composite Group (CG) Name: all\nCG's"])
def test_a_group_of_another_array_is_refused_with_both_numbers(sid: str, is_it: bool, kind: str) -> None:
    array, host = said_by("Synchronized", "Synchronized", table={"sid": sid})
    key = f"{BIN}/symmir -g erp query"
    host.commands[key] = (0, f"{kind} Symmetrix ID     : 000190100321\n{host.commands[key][1]}")  # type: ignore[index]
    if is_it:
        assert len(array.query("erp", soon())) == 2
        return
    with pytest.raises(Refused, match=r"000190100321.*322"):
        array.split(["erp"], "run-1", soon())
    assert host.asked == [key]


# -- two names of one thing in a policy --


def groups(**tables: Any) -> dict[str, Any]:
    return {"groups": {name: {"pairs": 1, **table} for name, table in tables.items()}}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (groups(a={"device-group": "erp"}, b={"device-group": "erp"}), "the same"),
        (groups(erp={}, b={"device-group": "erp"}), "the same"),
        (groups(a={"composite-group": "erp"}, b={"composite-group": "erp"}), "the same"),
        ({"sid": "321", **groups(a={"pair-file": "/etc/p"}, b={"pair-file": "/etc/p"})}, "the same"),
        (groups(a={"pairs": {"01A4": "04C2"}}, b={"pairs": {"01A4": "004C2"}}), "04C2"),
        (groups(a={"copy-devices": {"04C2": "/dev/sdx"}}, b={"copy-devices": {"04C3": "/dev/sdx"}}), "/dev/sdx"),
        (groups(a={"pairs": 2, "copy-devices": {"04C2": "/dev/sdx", "04C3": "/dev/sdx"}}), "/dev/sdx"),
        (groups(a={"devices": {"1A4": "/dev/sda", "1A5": "/dev/sda"}, "source-host": "db1"}), "/dev/sda"),
        ({"product": "snapvx", "sid": "1", **groups(a={"storage-group": "s"}, b={"storage-group": "s"})}, "the same"),
    ],
)
def test_one_thing_under_two_names_is_refused_when_the_policy_is_read(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=word):
        policy(**changes)


@pytest.mark.parametrize("spelt", ["wwn:60000970ABCD", "wwn:0x60000970", "wwn:", "wwn:60:00:09"])
def test_a_wwn_that_no_host_spells_so_is_refused_when_the_policy_is_read(spelt: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="neither a path nor wwn"):
        policy(**groups(a={"devices": {"01A4": spelt}}))


def test_one_standard_may_have_a_copy_in_each_of_several_groups() -> None:
    found = policy(**groups(a={"pairs": {"01A4": "04C2"}}, b={"pairs": {"01A4": "04C3"}}))
    assert list(found.groups) == ["a", "b"]


def test_snapshots_of_two_groups_may_be_shown_on_the_same_devices() -> None:
    shown = {"target-group": "t", "copy-devices": {"04C2": "/dev/sdx"}}
    tables = groups(a={"storage-group": "s", **shown}, b={"storage-group": "r", **shown})
    assert policy(product="snapvx", sid="1", **tables).groups["b"].target_group == "t"


# -- an answer of another shape --


@pytest.mark.parametrize("text", ["<SymCLI_ML/>", "<SymCLI_ML><Symmetrix><Snapvx/></Symmetrix></SymCLI_ML>"])
def test_a_list_that_is_not_of_a_storage_group_does_not_say_that_there_are_no_snapshots(text: str) -> None:
    shown = {"target-group": "t", "copy-devices": {"04C2": "/dev/sdx"}}
    options = policy(product="snapvx", sid="1", **groups(erp=shown))
    array = timefinder.build("symm", options, RecordedHost({f"{BIN}/symsnapvx": (0, text)}))
    for ask in (array.unexpose, array.discard, array.settle):
        with pytest.raises(UnknownAnswer, match="storage group"):
            ask(COPY, soon())


def test_a_storage_group_without_snapshots_has_none() -> None:
    answers = {f"{BIN}/symsnapvx": (0, "<SymCLI_ML><SG><Snapvx/></SG></SymCLI_ML>")}
    array = timefinder.build("symm", policy(product="snapvx", sid="1", **groups(erp={})), RecordedHost(dict(answers)))
    array.discard(COPY, soon())


# -- who ended a split --


@pytest.mark.parametrize("code", [-9, 129, 130, 137, 143])
def test_a_split_that_a_signal_ended_is_never_called_refused(code: int) -> None:
    array, _ = said_by("Synchronized", "Synchronized", split=(code, "Killed"))
    with pytest.raises(UnknownAnswer, match=f"exit code {code}"):
        array.split(["erp"], "run-1", soon())


@pytest.mark.parametrize("code", [130, 137])
def test_a_snapshot_that_a_signal_ended_is_never_called_refused(code: int) -> None:
    tools = {f"{BIN}/symsnapvx -sid 1 -sg erp list": (1, "No snapshot"), f"{BIN}/symsnapvx": (code, "Killed")}
    array = timefinder.build("symm", policy(product="snapvx", sid="1"), RecordedHost(dict(tools)))
    with pytest.raises(UnknownAnswer, match=f"exit code {code}"):
        array.split(["erp"], "run-1", soon())


class Locking(RecordedHost):
    """Its split answers that something was locked, and has split a pair all the same."""

    def run(self, command: Command, deadline: Deadline) -> Completed:
        if "split" in command.argv:
            key = f"{BIN}/symmir -g erp query"
            self.commands[key] = (0, str(self.commands[key][1]).replace("* 0 Synchronized", "* 0 Split", 1))  # type: ignore[index]
        return super().run(command, deadline)


def test_a_lock_after_which_a_pair_is_split_is_no_refusal() -> None:
    _, host = said_by("Synchronized", "Synchronized", split=(2, "locked"))
    array = timefinder.build("symm", policy(command="symmir"), Locking(host.commands))
    with pytest.raises(UnknownAnswer, match="01A1/04C1 Split"):
        array.split(["erp"], "run-1", soon(1))


def test_a_snapshot_that_was_taken_in_spite_of_a_lock_is_no_refusal() -> None:
    taken = text_of("snapvx-list").replace("SNAP_1", "sm-run-1").replace("<num_generations>20", "<num_generations>1")
    table = groups(erp={"pairs": 2})

    class Host(RecordedHost):
        def run(self, command: Command, deadline: Deadline) -> Completed:
            if "establish" in command.argv:
                self.commands[f"{BIN}/symsnapvx -sid 1 -sg erp list"] = (0, taken)
            return super().run(command, deadline)

    host = Host({f"{BIN}/symsnapvx -sid 1 -sg erp list": (1, "No snapshot"), f"{BIN}/symsnapvx": (2, "locked")})
    with pytest.raises(UnknownAnswer, match="1 of 2 devices"):
        timefinder.build("symm", policy(product="snapvx", sid="1", **table), host).split(["erp"], "run-1", soon(1))


def test_a_lock_that_lets_nothing_be_asked_either_is_a_failure() -> None:
    array, host = said_by("Synchronized", "Synchronized", split=(2, "locked"))
    real = host.run

    def run(command: Command, deadline: Deadline) -> Completed:
        done = real(command, deadline)
        if "split" in command.argv:
            host.commands[f"{BIN}/symmir -g erp query"] = (2, "locked")
        return done

    host.run = run  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="locked for all the time"):
        array.split(["erp"], "run-1", soon(1))
