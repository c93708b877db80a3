"""HSG80: what SHOW prints, what a policy may say, and what is made of a group's words. Lines and replies are recorded or made up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from splitmirror_drivers.arrays import hsg80, hsg80_attach, hsg80_split
from splitmirror_drivers.arrays.hsg80 import Hsg80
from splitmirror_drivers.arrays.hsg80_options import Group, Mirror, Options, Unit
from splitmirror_drivers.arrays.hsg80_parse import Storageset, parse_disk, parse_lun_id, parse_storageset
from splitmirror_drivers.contracts.array import Atomic, Mode, Move, PairState, Receipt
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    NotSynchronised,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.units import decode_hook

GOLDEN = Path(__file__).parents[2] / "golden" / "hsg80"
COPY = Receipt("ra", "erp", "run-1")
RULE = "-" * 78


def soon() -> Deadline:
    return Deadline.after(5)


def unit(**more: Any) -> dict[str, Any]:
    return {
        "stripeset": "STRIPE1",
        "mirrorsets": {
            "MIRR1": {"disk": "DISK30000", "copy": "CMIRR1"},
            "MIRR2": {"disk": "DISK30100", "copy": "CMIRR2"},
        },
        "copy-unit": "D201",
        "copy-stripeset": "CSTRIPE1",
        "copy-devices": ["/dev/rdsk/copy"],
    } | more


def single(number: int, **more: Any) -> dict[str, Any]:
    return {
        "mirrorsets": {f"MIRR{number}": {"disk": f"DISK30{number - 1}00", "copy": f"CMIRR{number}"}},
        "copy-unit": f"D20{number}",
        "copy-devices": [f"/dev/rdsk/copy{number}"],
    } | more


def options(units: Mapping[str, Any] | None = None, **more: Any) -> Options:
    table = {"console": ["console"], "groups": {"erp": {"units": units or {"D101": unit()}}}} | more
    return msgspec.convert(table, Options, dec_hook=decode_hook)


# ---- a controller that is nothing but what it shows ----


@dataclass
class Shown:
    """A mirrorset as SHOW prints it, with words by member."""

    by: str
    members: dict[str, str]
    places: int = 0
    policy: str = "NOPOLICY (for replacement)"

    def rows(self, name: str) -> list[str]:
        uses = list(self.members) or [""]
        columns = [f"{name:<14}{'mirrorset':<31}{uses[0]:<17}{self.by}", *(f"{'':<45}{one}" for one in uses[1:])]
        states = [f"          {one}  (member {n}) is {word}" for n, (one, word) in enumerate(self.members.items())]
        count = f"          MEMBERSHIP = {self.places or len(self.members)}, {len(self.members)} members present"
        switches = ["        Switches:", f"          {self.policy}", count]
        return [storageset_header(), RULE, "", *columns, *switches, "        State:", "          NORMAL", *states]


def storageset_header() -> str:
    return f"{'Name':<14}{'Storageset':<31}{'Uses':<17}Used by"


def stripe_rows(name: str, by: str, *uses: str) -> list[str]:
    more = [f"{'':<45}{one}" for one in uses[1:]]
    return [storageset_header(), RULE, f"{name:<14}{'stripeset':<31}{uses[0]:<17}{by}", *more]


def disk_rows(name: str, by: str) -> list[str]:
    return [
        "Name         Type                      Port Targ  Lun       Used by",
        RULE,
        f"{name}    disk     3    0    0      {by}",
    ]


@dataclass
class Controller:
    """Answers SHOW out of its tables; `on` says what any other line does. The host of a driver at the same time."""

    sets: dict[str, Shown] = field(default_factory=dict)
    stripes: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    disks: dict[str, str] = field(default_factory=dict)
    on: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    standing: int = 0
    name: str = "db1"

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        self.standing = commands

    def run(self, command: Command, deadline: Deadline) -> Completed:
        shown = []
        for line in command.stdin.splitlines():
            if not line.startswith("SHOW"):
                self.sent.append(line)
            shown.append("\n".join([f"CLI> {line}", *self.reply(line)]))
        return Completed(command.argv, 0, "\n".join([*shown, "CLI> "]), "", 0.1)

    def reply(self, line: str) -> Sequence[str]:
        verb, name, *_ = line.split()
        if line in self.on:
            done = self.on[line]
            if isinstance(done, Fault):
                raise done
            return list(done() or ())
        if verb != "SHOW":
            return ["Error 1: refused"]
        if name in self.sets:
            return self.sets[name].rows(name)
        if name in self.stripes:
            by, uses = self.stripes[name]
            return stripe_rows(name, by, *uses)
        return disk_rows(name, self.disks[name]) if name in self.disks else ["Error 2: no such thing"]

    def reduce(self) -> None:
        for disk in self.disks:
            self.take_out(disk)

    def take_out(self, disk: str) -> None:
        self.disks[disk] = ""
        for one in self.sets.values():
            if one.members.pop(disk, None):
                one.places = 0


def world(third: str = "NORMAL", *, inside: bool = True) -> Controller:
    """Stripe STRIPE1 of two mirrorsets as D101, the third disks in them with this word, or unused."""
    disks = {"MIRR1": ("DISK10000", "DISK20000", "DISK30000"), "MIRR2": ("DISK10100", "DISK20100", "DISK30100")}
    sets = {}
    for name, (one, two, three) in disks.items():
        sets[name] = Shown("STRIPE1", {one: "NORMAL", two: "NORMAL"} | ({three: third} if inside else {}))
    return Controller(
        sets,
        {"STRIPE1": ("D101", ("MIRR1", "MIRR2"))},
        {three: name if inside else "" for name, (_, _, three) in disks.items()},
    )


def array(controller: Controller, **more: Any) -> Hsg80:
    return Hsg80("ra", options(**more), controller, pause=lambda seconds: None)  # type: ignore[arg-type]


# ---- what SHOW prints ----


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_show_is_read_as_recorded(path: Path) -> None:
    one = json.loads(path.read_text(encoding="utf-8"))
    assert one["source"]
    name, wanted = one["line"].split()[1], one["result"]
    if wanted["kind"] == "disk":
        assert parse_disk(one["reply"], name).used_by == wanted["used_by"]
    elif wanted["kind"] == "unit":
        assert parse_lun_id(one["reply"]) == wanted["lun_id"]
    else:
        found = msgspec.to_builtins(parse_storageset(one["reply"], name, wanted["kind"]))
        found |= {"uses": list(found["uses"]), "members": [list(one.values()) for one in found["members"]]}
        assert found == wanted | {"name": name}


def mirrorset(change: str) -> Storageset:
    """The recorded mirrorset that is copying, with some text of it replaced: ``old→new``."""
    text = "\n".join(json.loads((GOLDEN / "mirrorset-copying.json").read_text(encoding="utf-8"))["reply"])
    old, _, new = change.partition("→")
    assert old in text
    return parse_storageset(text.replace(old, new).split("\n"), "MIRR1", "mirrorset")


@pytest.mark.parametrize(
    ("change", "word", "percent"),
    [
        (" ( 35% complete)→", "COPYING", -1),
        ("COPYING ( 35%→COPYING (35%", "COPYING", 35),
        ("COPYING→copying", "COPYING", 35),
        ("COPYING→COPY", "COPYING", 35),
        ("COPYING→NORMALIZ", "NORMALIZING", 35),
        ("COPYING ( 35% complete)→NORMAL", "NORMAL", -1),
        ("COPYING→COP", "COP", 35),
        ("COPYING→FAILED", "FAILED", 35),
    ],
)
def test_member_words_and_percentages(change: str, word: str, percent: int) -> None:
    member = mirrorset(change).member("DISK30000")
    assert member is not None
    assert (member.word, member.percent) == (word, percent)


@pytest.mark.parametrize(
    "change",
    ["MEMBERSHIP = 3→MEMBERS = 3", "NOPOLICY (→NOPOL (", "3 members present→3 member present", "MIRR1 →mirr1 "],
)
def test_keywords_may_be_cut_short_and_names_in_any_case(change: str) -> None:
    found = mirrorset(change)
    assert (found.is_nopolicy, found.membership, found.present) == (True, 3, 3)


@pytest.mark.parametrize(
    "change",
    [
        "MIRR1 →MIRR9 ",
        "mirrorset →stripeset ",
        "Used by→Belongs",
        "Uses →Has  ",
        "3 members present→2 members present",
        "MEMBERSHIP = 3→MEMBERSHIP = 2",
        "MEMBERSHIP = 3, 3 members present→MEMBERSHIP = many",
        "(member 1)→(member 2)",
        "DISK30000  (member→DISK30100  (member",
        "is NORMAL→looks NORMAL",
        "          NORMAL\n→          NORMAL\n          BROKEN DOWN\n",
        "          COPY (priority)→%EVL--CLI> --13-JAN-1946 04:38:37-- Instance Code: 0102030A\n          COPY (priority)",
        "COPY (priority) = NORMAL→POLICY (for replacement) = BEST_FIT",
        "D101→D101 D102",
        "DISK20000\n→DISK20000        D102\n",
        "        State:→ -- more -- \n        State:",
    ],
)
def test_a_reply_with_anything_strange_in_it_is_not_read(change: str) -> None:
    with pytest.raises(UnknownAnswer, match="SHOW MIRR1"):
        mirrorset(change)


def test_a_line_that_the_policy_ignores_is_skipped() -> None:
    rows = [*disk_rows("DISK30000", ""), "Predicted failure: none"]
    with pytest.raises(UnknownAnswer):
        parse_disk(rows, "DISK30000")
    assert parse_disk(rows, "DISK30000", [r"Predicted failure: \w+"]).used_by == ""


@pytest.mark.parametrize(
    "rows",
    [[], [""], ["Error 4000: no such disk"], disk_rows("DISK99999", ""), [*disk_rows("DISK30000", ""), "x", "y"]],
)
def test_a_disk_that_is_not_shown_is_unknown(rows: list[str]) -> None:
    with pytest.raises(UnknownAnswer):
        parse_disk(rows, "DISK30000")


# ---- a policy ----


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"units": {"D101": unit(stripeset="")}}, "copy-stripeset"),
        ({"units": {"D101": unit(**{"stripeset": "", "copy-stripeset": ""})}}, "one unit by a stripeset"),
        ({"units": {"D101": unit(mirrorsets={})}}, "at least one"),
        ({"units": {"D101": unit(members=0)}}, "members"),
        ({"units": {"D101": unit(**{"copy-unit": "STRIPE9"})}}, "copy-unit"),
        ({"units": {"STRIPE1": unit()}}, "units"),
        ({"units": {"D101": unit(**{"copy-switches": ["DESTROY"]})}}, "copy-switches"),
        ({"units": {"D101": unit(**{"copy-switches": ["ENABLE_ACCESS_PATH=A REDUCE"]})}}, "copy-switches"),
        ({"units": {"D101": single(1, mirrorsets={"MIRR1": {"disk": "DISK1 DISK2", "copy": "C"}})}}, "not the name"),
        ({"units": {"D101": single(1, mirrorsets={"mirr1": {"disk": "DISK1", "copy": "C"}})}}, "not the name"),
        ({"units": {"D101": single(1), "D102": single(1)}}, "named twice"),
        ({"units": {"D101": single(1, **{"copy-unit": "D101"})}}, "twice"),
        ({"units": {"D101": single(1), "D201": single(2)}}, "named twice|original and a copy"),
        ({"units": {}}, "at least one"),
        ({"units": {"D101": unit(devices=["/dev/sdc"])}}, "source-host"),
        ({"units": {"D101": unit(devices=["sdc"])}, "source-host": "db1"}, "neither a path nor wwn"),
        ({"units": {"D101": unit(devices=["wwn:60001FE1"])}}, "neither a path nor wwn"),
        ({"units": {"D101": unit(**{"copy-devices": ["sdx"]})}}, "not a path"),
        ({"units": {"D101": unit(**{"copy-devices": ["/dev/sdx", "/dev/sdx"]})}}, "/dev/sdx is named twice"),
        ({"units": {n: single(i, **{"copy-devices": ["/dev/x"]}) for i, n in ((1, "D101"), (2, "D102"))}}, "/dev/x"),
    ],
)
def test_a_wrong_group_is_refused_by_name(table: Any, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        options(groups={"erp": table})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"console": []}, "console"),
        ({"console": ["{line}"]}, "console"),
        ({"prompts": []}, "prompts"),
        ({"shows": "replies", "farewell": "EXIT"}, "farewell"),
        ({"ignore": ["("]}, "regular expression"),
        ({"shows": "everything"}, "shows"),
    ],
)
def test_a_wrong_console_is_refused_by_name(more: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        options(**more)


def test_several_groups_may_copy_the_same_unit_to_different_disks() -> None:
    apart = {"copy-unit": "D301", "copy-devices": ["/dev/rdsk/other"]}
    other = single(1, mirrorsets={"MIRR1": {"disk": "DISK40000", "copy": "EMIRR1"}}, **apart)
    found = options(groups={"a": {"units": {"D101": single(1)}}, "b": {"units": {"D101": other}}})
    assert found.thirds() == {"DISK30000", "DISK40000"}
    with pytest.raises(msgspec.ValidationError, match="named twice"):
        options(groups={"a": {"units": {"D101": single(1)}}, "b": {"units": {"D101": single(1)}}})
    there = {**other, "copy-devices": single(1)["copy-devices"]}
    with pytest.raises(msgspec.ValidationError, match="copy1 is named twice"):
        options(groups={"a": {"units": {"D101": single(1)}}, "b": {"units": {"D101": there}}})


def test_one_moment_is_claimed_only_where_every_group_is_one_unit() -> None:
    assert hsg80.traits(options()).atomic is Atomic.GROUP
    assert hsg80.traits(options({"D101": single(1), "D102": single(2)})).atomic is Atomic.PAIR


# ---- states ----


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("NORMAL", PairState.SYNCED),
        ("COPYING ( 3% complete)", PairState.ATTACHING),
        ("NORMALIZING", PairState.ATTACHING),
        ("FAILED", PairState.UNKNOWN),
    ],
)
def test_words_of_a_third_mirror(word: str, state: PairState) -> None:
    assert {pair.state for pair in array(world(word)).query("erp", soon())} == {state}


@pytest.mark.parametrize(
    ("by", "state", "word"),
    [
        ("", PairState.SPLIT_UNTRACKED, "unused"),
        ("CMIRR1", PairState.SPLIT_UNTRACKED, "in CMIRR1"),
        ("FAILEDSET", PairState.BROKEN, "in FAILEDSET"),
        ("SPARESET", PairState.BROKEN, "in SPARESET"),
        ("MIRR9", PairState.BROKEN, "in MIRR9"),
    ],
)
def test_where_a_disk_is_that_is_not_attached(by: str, state: PairState, word: str) -> None:
    controller = world(inside=False)
    controller.disks["DISK30000"] = by
    first = array(controller).query("erp", soon())[0]
    assert (first.name, first.copy, first.state, first.word) == ("D101/MIRR1", "DISK30000", state, word)


def test_a_mirrorset_that_lost_a_disk_of_its_own_is_broken() -> None:
    for inside in (True, False):
        controller = world(inside=inside)
        del controller.sets["MIRR1"].members["DISK20000"]
        assert array(controller).query("erp", soon())[0].state is PairState.BROKEN


def test_a_third_mirror_without_a_good_original_is_not_in_sync() -> None:
    controller = world()
    controller.sets["MIRR1"].members.update(DISK10000="COPYING", DISK20000="COPYING")
    assert array(controller).query("erp", soon())[0].state is PairState.BROKEN


def test_a_member_and_its_disk_that_contradict_each_other_are_unknown() -> None:
    controller = world()
    controller.disks["DISK30000"] = ""
    pair = array(controller).query("erp", soon())[0]
    assert (pair.state, pair.word) == (PairState.UNKNOWN, "NORMAL, and the disk says unused")


def test_the_third_mirror_of_another_group_is_no_member_of_its_own() -> None:
    controller = Controller(
        {"MIRR1": Shown("D101", {"DISK10000": "NORMAL", "DISK20000": "NORMAL", "DISK30000": "NORMAL"})},
        disks={"DISK30000": "MIRR1", "DISK40000": ""},
    )
    apart = {"copy-unit": "D301", "copy-devices": ["/dev/rdsk/other"]}
    other = single(1, mirrorsets={"MIRR1": {"disk": "DISK40000", "copy": "EMIRR1"}}, **apart)
    both = array(controller, groups={"a": {"units": {"D101": single(1)}}, "b": {"units": {"D101": other}}})
    assert [both.query(group, soon())[0].state for group in "ab"] == [PairState.SYNCED, PairState.SPLIT_UNTRACKED]
    with pytest.raises(Refused, match="two groups"):
        both.split(["a", "b"], "run-1", soon())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE1", ("D101", ("MIRR2", "MIRR1"))),
        ("STRIPE1", ("D101", ("MIRR1", "MIRR2", "MIRR3"))),
        ("STRIPE1", ("D102", ("MIRR1", "MIRR2"))),
        ("STRIPE1", ("", ("MIRR1", "MIRR2"))),
    ],
)
def test_a_unit_of_other_mirrorsets_is_refused_with_both_names(name: str, value: tuple[str, tuple[str, ...]]) -> None:
    controller = world()
    controller.stripes[name] = value
    with pytest.raises(Refused, match=r"STRIPE1.*D101 is STRIPE1 of MIRR1, MIRR2"):
        array(controller).query("erp", soon())


def test_a_name_that_the_controller_does_not_know_is_told_as_one() -> None:
    controller = world()
    del controller.sets["MIRR2"]
    with pytest.raises(UnknownAnswer, match="MIRR2") as caught:
        array(controller).query("erp", soon())
    assert "whether there is a MIRR2" in caught.value.hint


def test_a_mirrorset_elsewhere_is_refused() -> None:
    controller = world()
    controller.sets["MIRR2"].by = "D102"
    with pytest.raises(Refused, match="MIRR2 is used by D102"):
        array(controller).query("erp", soon())


def test_progress_is_done_by_words_alone() -> None:
    assert not array(world("COPYING ( 100% complete)")).progress("erp", soon()).is_done
    assert array(world("COPYING ( 50% complete)")).progress("erp", soon()).fraction == 0.5
    assert array(world("COPYING")).progress("erp", soon()).fraction is None
    assert array(world()).progress("erp", soon()).is_done
    with pytest.raises(UnknownAnswer, match="ODD"):
        array(world("ODD")).progress("erp", soon())


def test_sources_are_what_the_policy_maps_or_the_lun_id_or_a_name_that_covers_nothing() -> None:
    controller = world()
    mapped = {"units": {"D101": unit(devices=["/dev/sdc", "wwn:60001fe1"])}, "source-host": "db1"}
    found = array(controller, groups={"erp": mapped}).sources("erp", soon())
    assert [(one.id, one.host) for one in found] == [("/dev/sdc", "db1"), ("wwn:60001fe1", "")]
    controller.on["SHOW D101"] = lambda: ["  LUN ID:      6000-1FE1-0016-68C0-0009-2040-0315-002E"]
    assert array(controller).sources("erp", soon())[0].id == "wwn:60001fe1001668c0000920400315002e"
    controller.on["SHOW D101"] = lambda: ["  LUN ID:      none"]
    assert array(controller).sources("erp", soon())[0].id == "D101 of ra"


# ---- attaching ----


def attaching() -> Controller:
    """A controller that does the three SETs, and puts a spare into any place that it may fill."""
    controller = world(inside=False)
    for name, disk in (("MIRR1", "DISK30000"), ("MIRR2", "DISK30100")):
        controller.sets[name].policy = "POLICY (for replacement) = BEST_FIT"
        shown = controller.sets[name]

        def nopolicy(shown: Shown = shown) -> None:
            shown.policy = "NOPOLICY (for replacement)"

        def place(shown: Shown = shown) -> None:
            assert shown.policy.startswith("NO"), "a spare would be taken"
            shown.places = 3

        def replace(shown: Shown = shown, name: str = name, disk: str = disk) -> None:
            shown.members[disk] = "COPYING"
            controller.disks[disk] = name

        controller.on |= {
            f"SET {name} NOPOLICY": nopolicy,
            f"SET {name} MEMBERSHIP=3": place,
            f"SET {name} REPLACE={disk}": replace,
        }
    return controller


def test_attaching_is_three_lines_for_each_mirrorset_in_their_order() -> None:
    controller = attaching()
    array(controller).establish("erp", Mode.FULL, soon())
    (wanted,) = options().groups["erp"].units.values()
    assert controller.sent == list(hsg80_attach.Attach.lines(wanted))
    assert controller.sent[:3] == ["SET MIRR1 NOPOLICY", "SET MIRR1 MEMBERSHIP=3", "SET MIRR1 REPLACE=DISK30000"]
    array(controller).establish("erp", Mode.FULL, soon())
    assert len(controller.sent) == 6


@pytest.mark.parametrize("done", [1, 2, 3, 4, 5])
def test_attaching_goes_on_where_a_crash_left_it(done: int) -> None:
    controller = attaching()
    for line in list(controller.on)[:done]:
        controller.on[line]()
    array(controller).establish("erp", Mode.FULL, soon())
    assert controller.sent == list(controller.on)[done:]


def test_attaching_is_never_done_when_only_what_changed_was_meant() -> None:
    controller = attaching()
    with pytest.raises(Refused, match="tracks no changes"):
        array(controller).establish("erp", Mode.INCREMENTAL, soon())
    assert controller.sent == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.disks.update(DISK30100="CMIRR2"), "still shown as a copy, in CMIRR2"),
        (lambda c: setattr(c.sets["MIRR2"], "places", 4), "places for 4 members"),
        (lambda c: c.disks.update(DISK30100="SPARESET"), "cannot be attached"),
        (lambda c: c.sets["MIRR2"].members.update(DISK10100="ODD"), "cannot be attached"),
    ],
)
def test_what_cannot_be_attached_is_refused_before_anything_is_sent(change: Any, says: str) -> None:
    controller = attaching()
    change(controller)
    with pytest.raises(Refused, match=says):
        array(controller).establish("erp", Mode.FULL, soon())
    assert controller.sent == []


def test_a_place_that_a_spare_has_taken_is_not_fought_for() -> None:
    controller = attaching()
    spare = controller.sets["MIRR1"]

    def place() -> None:
        spare.places = 3
        spare.members["DISK90000"] = "COPYING"

    controller.on["SET MIRR1 MEMBERSHIP=3"] = place
    with pytest.raises(Refused, match="no place for DISK30000"):
        array(controller).establish("erp", Mode.FULL, soon())


def test_a_refused_line_is_tried_a_few_times_and_told_with_the_controllers_words() -> None:
    controller = attaching()
    controller.on["SET MIRR1 NOPOLICY"] = lambda: ["Error 9: busy"]
    with pytest.raises(CommandFailed, match="'SET MIRR1 NOPOLICY' was refused; nothing has changed") as caught:
        array(controller).establish("erp", Mode.FULL, soon())
    assert caught.value.detail == "Error 9: busy"
    assert controller.sent == ["SET MIRR1 NOPOLICY"] * 3


# ---- splitting ----


def splitting() -> Controller:
    controller = world()
    controller.on["REDUCE DISK30000 DISK30100"] = controller.reduce
    return controller


def test_a_split_is_one_line_for_a_unit_between_two_looks() -> None:
    controller = splitting()
    (receipt,) = array(controller).split(["erp"], "run-1", soon())
    assert (receipt.copy, receipt.is_again) == ("run-1", False)
    assert controller.sent == ["REDUCE DISK30000 DISK30100"]
    (again,) = array(controller).split(["erp"], "run-1", soon())
    assert again.is_again
    assert controller.sent == ["REDUCE DISK30000 DISK30100"]


@pytest.mark.parametrize("word", ["COPYING", "NORMALIZING ( 99% complete)", "ODD"])
def test_nothing_is_sent_unless_every_third_mirror_is_normal(word: str) -> None:
    controller = splitting()
    controller.sets["MIRR2"].members["DISK30100"] = word
    with pytest.raises(NotSynchronised, match="nothing was sent") as caught:
        array(controller).split(["erp"], "run-1", soon())
    assert "D101/MIRR2: DISK30100" in caught.value.detail
    assert controller.sent == []


@pytest.mark.parametrize("fault", [UnknownAnswer("odd"), DeadlinePassed("late")])
def test_a_controller_that_cannot_be_read_is_not_split(fault: Fault) -> None:
    controller = splitting()
    controller.on["SHOW MIRR1"] = fault
    with pytest.raises(CommandFailed, match="not sent"):
        array(controller).split(["erp"], "run-1", soon())
    assert controller.sent == []


def test_a_refused_split_changes_nothing_and_a_busy_one_is_tried_again() -> None:
    controller = splitting()
    tries = iter(["busy", "busy"])

    def reduce() -> list[str]:
        if next(tries, ""):
            return ["Error 9: busy"]
        controller.reduce()
        return []

    controller.on["REDUCE DISK30000 DISK30100"] = reduce
    array(controller).split(["erp"], "run-1", soon())
    refused = splitting()
    del refused.on["REDUCE DISK30000 DISK30100"]
    with pytest.raises(CommandFailed, match="nothing has changed") as caught:
        array(refused).split(["erp"], "run-1", soon())
    assert caught.value.detail == "Error 1: refused"
    assert len(refused.sent) == 3


def test_half_a_split_is_unknown_and_not_completed() -> None:
    controller = splitting()
    controller.on["REDUCE DISK30000 DISK30100"] = lambda: controller.take_out("DISK30000")
    with pytest.raises(UnknownAnswer, match="neither as before"):
        array(controller).split(["erp"], "run-1", soon())
    assert len(controller.sent) == 1
    with pytest.raises(NotSynchronised):
        array(controller).split(["erp"], "run-1", soon())


def test_a_split_after_which_nobody_answers_is_unknown() -> None:
    controller = splitting()

    def reduce() -> None:
        controller.reduce()
        controller.on["SHOW MIRR1"] = lambda: ["Error 3: not now"]

    controller.on["REDUCE DISK30000 DISK30100"] = reduce
    with pytest.raises(UnknownAnswer, match="could not be asked after"):
        array(controller).split(["erp"], "run-1", soon())


def test_units_are_reduced_one_after_another_and_a_refusal_in_between_is_unknown() -> None:
    controller = world()
    for name, shown in controller.sets.items():
        shown.by = f"D10{name[-1]}"
    controller.on["REDUCE DISK30000"] = lambda: controller.take_out("DISK30000")
    two = array(controller, units={"D101": single(1), "D102": single(2)})
    with pytest.raises(UnknownAnswer, match="D101 of ra/erp are split, and D102 is not"):
        two.split(["erp"], "run-1", soon())
    assert controller.sent == ["REDUCE DISK30000", *["REDUCE DISK30100"] * 3]


def test_standing_by_opens_what_the_split_needs_and_sees_drift() -> None:
    controller = splitting()
    array(controller).stand_by(["erp"], "run-1", soon())
    assert (controller.standing, controller.sent) == (2, [])
    controller.stripes["STRIPE1"] = ("D101", ("MIRR1",))
    with pytest.raises(Refused):
        array(controller).stand_by(["erp"], "run-1", soon())


# ---- the rest ----


def test_a_copy_whose_place_the_policy_does_not_name_is_not_exposed() -> None:
    controller = world(inside=False)
    bare = array(controller, units={"D101": unit(**{"copy-devices": []})})
    with pytest.raises(Refused, match="where D201 appears"):
        bare.expose(COPY, soon())
    assert controller.sent == []


def test_what_is_still_attached_is_neither_settled_nor_exposed() -> None:
    controller = world()
    for ask in (array(controller).settle, array(controller).expose):
        with pytest.raises(UnknownAnswer, match="is not split"):
            ask(COPY, soon())
    assert controller.sent == []


def test_a_plan_has_every_line_and_no_dangerous_one() -> None:
    ra = array(world(), units={"D101": unit(**{"copy-switches": ["WRITE_PROTECT", "ENABLE_ACCESS_PATH=BACKUP"]})})
    lines = {move: [action.what for action in ra.actions(move, "erp", "run-1")] for move in Move}
    assert lines[Move.SPLIT] == ["REDUCE DISK30000 DISK30100"]
    assert lines[Move.ESTABLISH] == lines[Move.REATTACH]
    assert lines[Move.EXPOSE] == [
        "ADD MIRRORSET CMIRR1 DISK30000",
        "ADD MIRRORSET CMIRR2 DISK30100",
        "ADD STRIPESET CSTRIPE1 CMIRR1 CMIRR2",
        "INITIALIZE CSTRIPE1 NODESTROY",
        "ADD UNIT D201 CSTRIPE1 WRITE_PROTECT ENABLE_ACCESS_PATH=BACKUP",
    ]
    assert [action.undo for action in ra.actions(Move.EXPOSE, "erp", "run-1")] == [
        "DELETE CMIRR1",
        "DELETE CMIRR2",
        "DELETE CSTRIPE1",
        "",
        "DELETE D201",
    ]
    assert lines[Move.UNEXPOSE] == ["DELETE D201", "DELETE CSTRIPE1", "DELETE CMIRR1", "DELETE CMIRR2"]
    assert (lines[Move.SETTLE], lines[Move.DISCARD]) == ([], [])
    every = [line for of in lines.values() for line in of]
    assert not any("REMOVE=" in line or "OVERRIDE" in line for line in every)
    assert all("NODESTROY" in line for line in every if line.startswith("INITIALIZE"))
    assert set(hsg80.ANSWERS) == {"NODESTROY"}


def test_a_split_names_the_disks_in_the_order_of_the_stripe() -> None:
    (one,) = options().groups["erp"].units.values()
    assert hsg80_split.line_of(one) == "REDUCE DISK30000 DISK30100"


def test_every_key_of_a_policy_is_explained() -> None:
    text = (Path(__file__).parents[3] / "docs" / "arrays" / "hsg80.md").read_text(encoding="utf-8")
    keys = [one.encode_name for of in (Options, Group, Unit, Mirror) for one in msgspec.structs.fields(of)]
    assert [key for key in keys if key not in text] == []
