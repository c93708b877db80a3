"""The `command` array when things go wrong: what it refuses with the policy, and what it makes of codes and words."""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.emulators.stage import IMAGE_BYTES, MIRROR, SNAPSHOT, ImageStage, decoded

from splitmirror_drivers.arrays.command import CommandArray
from splitmirror_drivers.catalogue import ARRAYS, Context
from splitmirror_drivers.contracts.array import Mode, Move, PairState, Receipt
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    InUse,
    NotSynchronised,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


# ---- what is refused with the policy ----

WRONG_POLICIES = {
    "unknown placeholder": ("{{groups}}", "{{grup}}", "unknown placeholder {grup}"),
    "copy is not known in a query": ('"query", "{{group}}"', '"query", "{{copy}}"', "unknown placeholder {copy}"),
    "open brace": ('"query", "{{group}}"', '"query", "{{group"', "expected '}'"),
    "placeholder with a format": ('"query", "{{group}}"', '"query", "{{group:>9}}"', "a name in braces"),
    "program is a placeholder": (
        'query          = ["{program}"',
        'query          = ["{{group}}"',
        "first word is a program",
    ),
    "empty query": ('query          = ["{program}", "query", "{{group}}"]', "query = []", "at least one word"),
    "force": ('"establish", "{{group}}"]', '"establish", "-force", "{{group}}"]', "overrides what the array refuses"),
    "restore": ('"establish", "{{group}}"]', '"restore", "{{group}}"]', "copies to the primary"),
    "restore as a switch": ('"establish", "{{group}}"]', '"resync", "--restore=yes"]', "copies to the primary"),
    "no source": ('source             = "tests/emulators/imagearray, its own text"', 'source = " "', "documented"),
    "groups without {groups}": ("{{groups}}", "{{group}}", "needs {groups} in split"),
    "mirror without establish": (
        'establish      = ["{program}", "establish", "{{group}}"]',
        "",
        "a mirror needs establish",
    ),
    "mirror with discard": ("[commands]", '[commands]\ndiscard = ["{program}"]', "point-in-time"),
    "point-in-time without discard": ('"mirror"', '"point-in-time"', "needs discard"),
    "no such state": ('"broken"', '"kaputt"', "Invalid enum value 'kaputt'"),
    "unknown is not a word": ('"broken"', '"unknown"', "conclusions, not words"),
    "no word for split": ('Split        = "split"', "", "no word means split"),
    "no word for synced": ('Synchronized = "synced"', "", "no word means synced"),
    "no regular expression": ("(?P<percent>", "(?P<percent", "no regular expression"),
    "pattern without state": ("(?P<state>", "(?:", "must name pair, state"),
    "pattern with a name nobody reads": ("(?P<percent>", "(?P<speed>", "must name pair, state"),
    "no pairs": ("pairs        = 2", "pairs = 0", "at least one pair"),
    "device nowhere": ("[groups.erp]", "[groups.other]\npairs = 1\n[groups.erp]", ""),
    "tree and devices": ("[groups.erp]", '[groups.erp]\ntree = "/x"', "either as copy-devices or as a tree"),
    "unknown placeholder in a device": ("{folder}/c1.dev", "{{host}}/c1", "unknown placeholder {host}"),
    "group that looks like an option": ("[groups.erp]", '[groups."-f"]', "read as an option"),
    "unknown key": ("[words]", "[words-of-it]", "words-of-it"),
    "duration without unit": ('"50ms"', "5", "no unit"),
}


@pytest.mark.parametrize("name", WRONG_POLICIES)
def test_a_wrong_policy_is_refused_when_it_is_read(name: str) -> None:
    old, new, says = WRONG_POLICIES[name]
    if name == "device nowhere":
        text = MIRROR.replace('"query", "{{group}}"', '"query", "{{device}}"').replace(old, new)
        says = "group other names none"
    else:
        assert old in MIRROR
        text = MIRROR.replace(old, new)
    with pytest.raises(msgspec.ValidationError) as caught:
        decoded(tomllib.loads(text.format(folder="/x", program="/x/imagearray")))
    assert says in str(caught.value)


# ---- a tool that says what a test has written down ----


class Tool:
    """`tool query` prints the file ``says``; any other word is noted in ``calls`` and does as the file of its name says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "tool"
        self.program.write_text(
            '#!/bin/sh\ncd "${0%/*}" || exit 99\nprintf "%s\\n" "$*" >>calls\n'
            'if [ -e "$1.sh" ]; then . "./$1.sh"; fi\n[ "$1" != query ] || cat says\n',
            encoding="utf-8",
        )
        self.program.chmod(0o755)

    def says(self, *lines: str) -> None:
        (self.folder / "says").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def does(self, word: str, script: str) -> None:
        (self.folder / f"{word}.sh").write_text(script, encoding="utf-8")

    def calls(self, *but: str) -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] not in but]

    def array(self, *, commands: dict[str, list[str]] | None = None, **options: object) -> CommandArray:
        words = {"Sync": "synced", "Copying": "attaching", "Going": "splitting", "Split": "split", "Bad": "broken"}
        table = {
            "family": "mirror",
            "fixed-by": "complete",
            "atomic": "group",
            "tracks-changes": True,
            "tracks-copy-writes": True,
            "allows-freeze": True,
            "source": "this test",
            "words": words,
            "busy-exit-codes": [75],
            "busy-pause": "10ms",
            "groups": {"g": {"pairs": 2, "devices": ["/dev/a", "/dev/b"], "copy-devices": ["/dev/ca", "/dev/cb"]}},
            **{key.replace("_", "-"): value for key, value in options.items()},
        }
        given = {"query": ["query", "{group}"], "establish": ["establish", "{group}"], "split": ["split", "{group}"]}
        table["commands"] = {verb: [str(self.program), *argv] for verb, argv in (given | (commands or {})).items()}
        return CommandArray("arr", decoded(table), LocalHost())


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


def test_placeholders_become_words_or_parts_of_words(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "echo 'a Split\nb Split' >says\n")
    argv = ["split", "--group={group}", "{device}", "--all={device}", "{{literal}}", "{copy}", "{copy-device}", ""]
    tool.array(commands={"split": argv}).split(["g"], "run 1; $(x)", soon())
    assert tool.calls("query") == [
        "split --group=g /dev/a /dev/b --all=/dev/a,/dev/b {literal} run 1; $(x) /dev/ca /dev/cb "
    ]


def test_several_groups_go_in_one_command_or_one_after_another(tool: Tool) -> None:
    tool.says("a Sync")
    tool.does("split", "echo 'a Split' >says\n")
    groups = {"g": {"pairs": 1}, "h": {"pairs": 1}}
    array = tool.array(commands={"split": ["split", "{groups}", "--names={groups}"]}, groups=groups, atomic="groups")
    receipts = array.split(["g", "h"], "run-1", soon())
    assert tool.calls("query") == ["split g h --names=g,h"]
    assert [(receipt.group, receipt.is_again) for receipt in receipts] == [("g", False), ("h", False)]


def test_groups_one_after_another_that_end_half_done_are_unknown(tool: Tool) -> None:
    tool.does("query", 'if [ -e "split-$2" ]; then echo x Split; else echo x Sync; fi; exit 0\n')
    tool.does("split", '[ "$2" = g ] || exit 1\n>"split-$2"\n')
    array = tool.array(groups={"g": {"pairs": 1}, "h": {"pairs": 1}})
    with pytest.raises(UnknownAnswer, match="g are split, and h is not"):
        array.split(["g", "h"], "run-1", soon())


def test_groups_in_different_states_are_not_split_at_all(tool: Tool) -> None:
    tool.does("query", 'if [ "$2" = g ]; then echo x Split; else echo x Sync; fi; exit 0\n')
    array = tool.array(groups={"g": {"pairs": 1}, "h": {"pairs": 1}})
    with pytest.raises(NotSynchronised, match="nothing was sent"):
        array.split(["g", "h"], "run-1", soon())
    assert tool.calls("query") == []


def test_lines_of_other_groups_are_not_counted(tool: Tool) -> None:
    tool.says("g a Sync", "g b Sync", "other c Copying")
    pairs = tool.array(pattern=r"(?P<group>\w+) (?P<pair>\w+) (?P<state>\w+)").query("g", soon())
    assert [pair.name for pair in pairs] == ["a", "b"]


BAD_ANSWERS: dict[str, tuple[list[str], type[Fault], str]] = {
    "a line nobody understands": (["a Sync", "b Sync", "three words here"], UnknownAnswer, "line 3"),
    "a pair twice": (["a Sync", "a Sync"], UnknownAnswer, "twice"),
    "a pair too few": (["a Sync"], Refused, "has 1 pairs, and the policy says 2"),
    "a pair too many": (["a Sync", "b Sync", "c Sync"], Refused, "has 3 pairs"),
    "nothing": ([""], Refused, "has 0 pairs"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_an_answer_that_cannot_be_right_is_refused(tool: Tool, name: str) -> None:
    lines, fault, says = BAD_ANSWERS[name]
    tool.says(*lines)
    with pytest.raises(fault, match=says):
        tool.array().query("g", soon())
    with pytest.raises(fault, match=says):
        tool.array().split(["g"], "run-1", soon())
    assert tool.calls("query") == []


def test_ignored_lines_say_nothing_of_a_pair(tool: Tool) -> None:
    tool.says("Legend: of it all", "a Sync", "", "b Sync", "2 pairs listed")
    array = tool.array(ignore=["Legend: .*", r"\d+ pairs listed"])
    assert [pair.state for pair in array.query("g", soon())] == [PairState.SYNCED] * 2


def test_a_query_that_fails_is_never_read(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("query", "cat says; exit 3\n")
    with pytest.raises(CommandFailed, match="query of arr/g failed"):
        tool.array().query("g", soon())
    accepting = tool.array(exit_codes={"query": [0, 3]})
    assert len(accepting.query("g", soon())) == 2


def test_progress_is_shown_but_the_words_decide(tool: Tool) -> None:
    tool.says("a Sync 100%", "b Copying 100%")
    pattern = r"(?P<pair>\w+) (?P<state>\w+) (?P<percent>\S+)"
    progress = tool.array(pattern=pattern).progress("g", soon())
    assert (progress.is_done, progress.fraction, progress.remaining) == (False, 1.0, "b Copying")
    tool.says("a Sync 0%", "b Sync n/a")
    progress = tool.array(pattern=pattern).progress("g", soon())
    assert (progress.is_done, progress.fraction) == (True, None)


@pytest.mark.parametrize(("word", "fault"), [("Bad", CommandFailed), ("Sideways", UnknownAnswer)])
def test_a_pair_that_will_never_be_in_sync_ends_the_wait(tool: Tool, word: str, fault: type[Fault]) -> None:
    tool.says("a Sync", f"b {word}")
    with pytest.raises(fault, match=word):
        tool.array().progress("g", soon())


ESTABLISH: dict[str, tuple[str, Mode, list[str]]] = {
    "in sync": ("Sync", Mode.INCREMENTAL, []),
    "on its way": ("Copying", Mode.INCREMENTAL, []),
    "in full, on its way": ("Copying", Mode.FULL, []),
    "split": ("Split", Mode.INCREMENTAL, ["reattach g"]),
    "split, in full": ("Split", Mode.FULL, ["full g"]),
    "broken": ("Bad", Mode.INCREMENTAL, ["establish g"]),
}


@pytest.mark.parametrize("name", ESTABLISH)
def test_establish_sends_what_the_state_needs(tool: Tool, name: str) -> None:
    word, mode, calls = ESTABLISH[name]
    tool.says(f"a {word}", f"b {word}")
    commands = {"establish-full": ["full", "{group}"], "reattach": ["reattach", "{group}"]}
    tool.array(commands=commands).establish("g", mode, soon())
    assert tool.calls("query") == calls


def test_a_full_copy_without_its_command_is_refused(tool: Tool) -> None:
    tool.says("a Split", "b Split")
    with pytest.raises(Refused, match="no command establish-full"):
        tool.array().establish("g", Mode.FULL, soon())


# ---- the split ----


def test_an_exit_code_alone_fixes_nothing(tool: Tool) -> None:
    """A split that says done, after which every pair is still in sync: the deadline decides, and the outcome is unknown."""
    tool.says("a Sync", "b Sync")
    with pytest.raises(DeadlinePassed, match="not split after the time"):
        tool.array().split(["g"], "run-1", soon(2))
    assert tool.calls("query") == ["split g"], "it is not sent twice"


def test_a_split_is_waited_for_until_the_last_pair(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "echo 'a Split\nb Sync' >says\n")
    tool.does(
        "query",
        "if grep -q split calls; then echo x >>looks; fi\n"
        "case $(cat looks 2>/dev/null | wc -l) in 0|1|2) ;; 3) echo 'a Split\nb Going' >says ;; *) echo 'a Split\nb Split' >says ;; esac\n",
    )
    tool.array().split(["g"], "run-1", soon())
    assert len(tool.calls("split")) == 1 + 4, "one look before, four after"


def test_what_is_fixed_by_acceptance_is_not_waited_for(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "echo 'a Going\nb Going' >says\n")
    array = tool.array(fixed_by="accept")
    (receipt,) = array.split(["g"], "run-1", soon())
    assert not array.settle(receipt, soon()).is_done, "fixed is not yet readable"
    tool.says("a Split", "b Split")
    assert array.settle(receipt, soon()).is_done


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        ("a Sync\nb Sync", CommandFailed),
        ("a Split\nb Sync", UnknownAnswer),
        ("a Split\nb Split", UnknownAnswer),
        ("a Bad\nb Sync", UnknownAnswer),
        ("what", UnknownAnswer),
    ],
)
def test_a_failed_split_is_refused_only_when_nothing_changed(tool: Tool, after: str, fault: type[Fault]) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", f"echo '{after}' >says\nexit 1\n")
    with pytest.raises(fault):
        tool.array().split(["g"], "run-1", soon())


def test_a_split_that_breaks_a_pair_is_unknown_at_once(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "echo 'a Split\nb Bad' >says\n")
    began = time.monotonic()
    with pytest.raises(UnknownAnswer, match="neither in sync nor split"):
        tool.array().split(["g"], "run-1", soon(30))
    assert time.monotonic() - began < 10


def test_a_split_ended_by_a_signal_is_unknown(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "kill -KILL $$\n")
    with pytest.raises(UnknownAnswer, match="signal"):
        tool.array().split(["g"], "run-1", soon())


def test_a_query_that_fails_after_the_split_leaves_it_unknown(tool: Tool) -> None:
    """CommandFailed would say that nothing was changed."""
    tool.says("a Sync", "b Sync")
    tool.does("split", "echo 'exit 9' >query.sh\n")
    with pytest.raises(UnknownAnswer, match="could not be asked"):
        tool.array().split(["g"], "run-1", soon())


def test_a_program_that_cannot_be_started_changed_nothing(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    array = tool.array()
    argv = ("/no/such/program",)
    options = msgspec.structs.replace(
        array.options, commands=msgspec.structs.replace(array.options.commands, split=argv)
    )
    with pytest.raises(CommandFailed, match="cannot start /no/such/program"):
        CommandArray("arr", options, LocalHost()).split(["g"], "run-1", soon())


def test_an_array_locked_for_all_the_time_was_not_split(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("split", "exit 75\n")
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="locked") as caught:
        tool.array().split(["g"], "run-1", soon(2))
    assert caught.value.retryable
    assert time.monotonic() - began < 5
    assert len(tool.calls("query")) > 1


# ---- the copy ----


def test_settle_asks_its_command_when_the_words_allow_it(tool: Tool) -> None:
    tool.says("a Split", "b Split")
    array = tool.array(commands={"settle": ["settle", "{group}", "{copy}"]}, not_settled_exit_codes=[4])
    receipt = Receipt("arr", "g", "run-1")
    for code, is_done in ((4, False), (0, True)):
        tool.does("settle", f"exit {code}\n")
        assert array.settle(receipt, soon()).is_done is is_done
    tool.does("settle", "exit 1\n")
    with pytest.raises(CommandFailed):
        array.settle(receipt, soon())
    tool.says("a Sync", "b Sync")
    with pytest.raises(UnknownAnswer, match="is not there"):
        array.settle(receipt, soon())


def test_a_code_that_says_in_use_is_told_as_such(tool: Tool) -> None:
    array = tool.array(commands={"unexpose": ["unexpose", "{copy-device}"]}, in_use_exit_codes=[16])
    tool.does("unexpose", "echo 'mounted by pid 77'; exit 16\n")
    with pytest.raises(InUse) as caught:
        array.unexpose(Receipt("arr", "g", "run-1"), soon())
    assert "pid 77" in caught.value.detail


def test_a_copy_appears_where_the_policy_says(tool: Tool) -> None:
    groups = {"g": {"pairs": 2, "tree": "/snap/{group}/{copy}"}}
    exposed = tool.array(groups=groups, seen_on="mirrorhost").expose(Receipt("arr", "g", "run-1"), soon())
    assert (exposed.kind, exposed.paths, exposed.host) == ("tree", ("/snap/g/run-1",), "mirrorhost")
    with pytest.raises(Refused, match="where its copy appears"):
        tool.array(groups={"g": {"pairs": 2}}).expose(Receipt("arr", "g", "run-1"), soon())


def test_a_plan_shows_the_very_command_line(tool: Tool) -> None:
    array = tool.array(deadlines={"split": "7s"}, commands={"establish": ["establish", "{group}"]})
    (action,) = array.actions(Move.SPLIT, "g", "run-1")
    assert action.what == f"{tool.program} split g"
    assert action.deadline_seconds == 7.0
    (action,) = array.actions(Move.REATTACH, "g", "run-1")
    assert action.what == f"{tool.program} establish g"
    assert array.actions(Move.EXPOSE, "g", "run-1") == ()
    assert tool.calls() == []


def test_secrets_go_by_environment_and_are_never_shown(tool: Tool) -> None:
    tool.says("a Sync", "b Sync")
    tool.does("query", 'printf "%s" "$ARRAY_PASSWORD" >got; exit 1\n')
    table = tool.array().options
    array = CommandArray("arr", table, LocalHost(), {"ARRAY_PASSWORD": Secret("hunter2")})
    with pytest.raises(CommandFailed) as caught:
        array.query("g", soon())
    assert (tool.folder / "got").read_text(encoding="utf-8") == "hunter2"
    assert "hunter2" not in caught.value.full() + repr(array.calls) + str(array.actions(Move.SPLIT, "g", "x"))


def test_the_catalogue_builds_it_with_its_secrets(tool: Tool, tmp_path: Path) -> None:
    options = msgspec.structs.replace(
        tool.array().options, secrets={"P": msgspec.convert({"env": "X"}, type=_reference())}
    )
    context = Context(secret=lambda reference: Secret(f"value of {reference.env}"), state_folder=str(tmp_path))
    array = ARRAYS["command"]().make("arr", options, LocalHost(), context)
    assert isinstance(array, CommandArray)
    assert array.calls.secrets == {"P": "value of X"}


def _reference() -> type:
    from splitmirror_drivers.kit.units import SecretReference

    return SecretReference


# ---- family point-in-time ----


def snapshots(tool: Tool, **options: object) -> CommandArray:
    commands = {"split": ["split", "{copy}"], "discard": ["discard", "{copy}"]}
    return tool.array(
        commands=commands,
        family="point-in-time",
        keeps_copies=True,
        always_prepared=True,
        pattern=r"(?P<pair>\w+)@(?P<copy>\S+) (?P<state>\w+)",
        groups={"g": {"pairs": 2}},
        **options,
    )


def test_an_array_without_a_word_for_ready_is_prepared_while_it_answers(tool: Tool) -> None:
    tool.says("a@old Split", "b@old Split")
    array = snapshots(tool)
    states = [(pair.state, pair.copy) for pair in array.query("g", soon())]
    assert states == [(PairState.PREPARED, "")] * 2 + [(PairState.SPLIT, "old")] * 2
    tool.does("split", 'echo "a@$2 Split\nb@$2 Split" >>says\n')
    (receipt,) = array.split(["g"], "run-1", soon())
    assert not receipt.is_again
    (receipt,) = array.split(["g"], "run-1", soon())
    assert receipt.is_again
    assert tool.calls("query") == ["split run-1"]


def test_a_copy_that_lacks_a_pair_is_not_split(tool: Tool) -> None:
    tool.says("")
    tool.does("split", 'echo "a@$2 Split" >>says\n')
    with pytest.raises(DeadlinePassed):
        snapshots(tool).split(["g"], "run-1", soon(2))


def test_a_copy_that_is_not_there_is_not_discarded(tool: Tool) -> None:
    tool.says("a@old Split", "b@old Split")
    snapshots(tool).discard(Receipt("arr", "g", "run-1"), soon())
    snapshots(tool).discard(Receipt("arr", "g", "old"), soon())
    assert tool.calls("query") == ["discard old"]


# ---- with real bytes ----


def synchronised(folder: Path, text: str = MIRROR) -> ImageStage:
    stage = ImageStage(folder, text)
    stage.write(b"one")
    if text == MIRROR:
        stage.array().establish("erp", Mode.FULL, soon())
        eventually(lambda: stage.array().progress("erp", soon()).is_done)
    return stage


def eventually(condition: Callable[[], bool]) -> None:
    end = soon()
    while not condition():
        assert not end.is_passed
        time.sleep(0.02)


def test_an_array_that_lies_about_its_split_is_found_out_by_its_words(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    stage.fault("split lie")
    with pytest.raises(DeadlinePassed):
        stage.array().split(["erp"], "run-1", soon(2))


@pytest.mark.parametrize("text", [MIRROR, SNAPSHOT])
def test_a_split_that_dies_half_way_is_unknown_and_never_found_done(tmp_path: Path, text: str) -> None:
    stage = synchronised(tmp_path, text)
    stage.fault("split die")
    with pytest.raises(UnknownAnswer, match="signal"):
        stage.array().split(["erp"], "run-1", soon())
    stage.mend()
    with pytest.raises(DeadlinePassed):
        stage.array().split(["erp"], "run-1", soon(2))


def test_a_pair_that_went_missing_is_noticed_before_the_split(tmp_path: Path) -> None:
    stage = synchronised(tmp_path)
    stage.fault("query drop")
    with pytest.raises(Refused, match="has 1 pairs"):
        stage.array().split(["erp"], "run-1", soon())
    stage.mend()
    assert {pair.state for pair in stage.array().query("erp", soon())} == {PairState.SYNCED}


def test_a_background_copy_that_died_is_broken_and_not_waited_for(tmp_path: Path) -> None:
    stage = ImageStage(tmp_path, MIRROR)
    stage.fault("worker die")
    stage.array().establish("erp", Mode.FULL, soon())
    with pytest.raises(CommandFailed, match="Invalid"):
        eventually(lambda: stage.array().progress("erp", soon()).is_done)


def test_a_split_under_a_writer_is_of_one_moment_or_refused(tmp_path: Path) -> None:
    """The writer counts in the first image, then in the second: at any one moment the first is the same or one ahead."""
    stage = synchronised(tmp_path)
    stop = threading.Event()

    def count() -> None:
        number = 0
        with (tmp_path / "p1").open("r+b", buffering=0) as one, (tmp_path / "p2").open("r+b", buffering=0) as other:
            while not stop.is_set():
                number += 1
                for file in (one, other):
                    file.seek(IMAGE_BYTES - 4096)
                    file.write(number.to_bytes(8, "big"))

    writer = threading.Thread(target=count)
    writer.start()
    try:
        stage.array().split(["erp"], "run-1", soon(60))
    except CommandFailed as refused:
        assert "did not stand still" in refused.detail
        assert {pair.state for pair in stage.array().query("erp", soon())} == {PairState.SYNCED}
    else:
        first, second = (int.from_bytes((tmp_path / copy).read_bytes()[-4096:-4088], "big") for copy in ("c1", "c2"))
        assert first - second in (0, 1)
    finally:
        stop.set()
        writer.join()
