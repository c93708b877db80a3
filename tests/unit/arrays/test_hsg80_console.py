"""The HSG80's console: how a session is framed, what makes it unreadable, and how long somebody else's line is waited for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from splitmirror_drivers.arrays.hsg80_console import Console, Silent, frame_echo, frame_prompts
from splitmirror_drivers.arrays.hsg80_options import Options
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, UnknownAnswer
from splitmirror_drivers.kit.units import decode_hook

GROUPS = {"erp": {"units": {"D101": {"mirrorsets": {"MIRR1": {"disk": "DISK3", "copy": "C1"}}, "copy-unit": "D201"}}}}
GOOD = "CLI> SHOW A\r\na1\r\na2\r\nCLI> SHOW B\r\nb1\r\nCLI> "
ALL = (("a1", "a2"), ("b1",))


def options(**more: Any) -> Options:
    return msgspec.convert({"console": ["console"], "groups": GROUPS} | more, Options, dec_hook=decode_hook)


class Terminal:
    """Says what it is told to, one session after another."""

    name = "local"

    def __init__(self, *said: str | Fault | tuple[int, str]) -> None:
        self.said = list(said)
        self.commands: list[Command] = []

    def run(self, command: Command, deadline: Deadline) -> Completed:
        self.commands.append(command)
        one = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(one, Fault):
            raise one
        code, text = one if isinstance(one, tuple) else (0, one)
        return Completed(command.argv, code, text, "", 0.1)


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def after(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, lambda: self.now)


def console(terminal: Terminal, clock: Clock | None = None, **more: Any) -> Console:
    pause = (clock or Clock()).pause
    return Console("ra", options(**more), terminal, pause)  # type: ignore[arg-type]


def soon() -> Deadline:
    return Clock().after(60)


# ---- framing, with what was typed shown ----


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\r\n", "\n"),
        GOOD.replace("\r\n", "\r\r\n"),
        GOOD.replace("CLI>", "HSG80>"),
        "Connected to ra.\r\nCopyright Digital\r\n\r\n" + GOOD,
        GOOD.removeprefix("CLI> "),
        "CLI> \r\n" + GOOD,
        "CLI> THEIRS\r\nsomething\r\n" + GOOD,
        GOOD.rstrip(),
        GOOD + "\r\n\r\n",
        GOOD.replace("a1", "a\0001"),
    ],
)
def test_a_session_is_framed_by_prompts_and_lines(text: str) -> None:
    assert frame_echo(text, ["SHOW A", "SHOW B"], options()) == ALL


@pytest.mark.parametrize(
    "text",
    [
        GOOD.removesuffix("CLI> "),
        GOOD.removesuffix("b1\r\nCLI> "),
        GOOD.replace("SHOW B", "HOW B"),
        GOOD.replace("SHOW B", "SHOW BB"),
        GOOD.replace("SHOW B", ""),
        GOOD.replace("a2", "CLI> a2"),
        GOOD.replace("a2", "a2\r\nCLI> THEIRS\r\nx"),
        GOOD.replace("CLI> SHOW B", "HSG80> SHOW B"),
        GOOD.replace("CLI> SHOW A", "CLI> DELETE D10SHOW A"),
        GOOD.replace("a1", "%EVL--CLI> --13-JAN-1946--\r\nCLI> a1"),
        GOOD + "CLI> ",
        GOOD + "more",
        GOOD + "\r\nConnection closed by foreign host.",
        GOOD.replace("a2\r\n", "a2\r\n -- more -- HOW B\r\n").replace("CLI> SHOW B\r\n", ""),
    ],
)
def test_anything_else_between_lines_is_unreadable(text: str) -> None:
    with pytest.raises(UnknownAnswer):
        frame_echo(text, ["SHOW A", "SHOW B"], options())


@pytest.mark.parametrize("text", ["", "\r\n", "line in use\r\n", "ssh: connect to host ra port 22: Connection refused"])
def test_no_prompt_and_no_line_is_silence(text: str) -> None:
    for frame in (frame_echo, frame_prompts):
        with pytest.raises(Silent):
            frame(text, ["SHOW A"], options())


def test_what_a_program_prints_at_its_end_can_be_named() -> None:
    said = GOOD + "EXIT\r\n\r\nConnection closed by foreign host.\r\n"
    named = options(goodbye=["Connection closed.*"], farewell="EXIT")
    assert frame_echo(said, ["SHOW A", "SHOW B"], named) == ALL
    with pytest.raises(UnknownAnswer):
        frame_echo(said.replace("EXIT", "OTHER"), ["SHOW A", "SHOW B"], named)


# ---- framing, without ----


def test_prompts_alone_frame_as_many_replies_as_there_are_lines() -> None:
    said = "hello\r\nCLI> \r\na1\r\na2\r\nCLI> b1\r\nCLI> "
    assert frame_prompts(said, ["SHOW A", "SHOW B"], options()) == (("a1", "a2"), ("b1",))
    for spoiled in (said + "\r\nCLI> ", said.removesuffix("CLI> "), said.replace("CLI> b1", "HSG80> b1"), said + "x"):
        with pytest.raises(UnknownAnswer):
            frame_prompts(spoiled, ["SHOW A", "SHOW B"], options())


def test_a_program_that_shows_replies_takes_one_line_and_must_end_well() -> None:
    terminal = Terminal("a1\na2\n", "b1\n")
    spoken = console(terminal, console=["cmdscript", "-c", "{line}"], shows="replies")
    assert [[row for row in reply if row] for reply in spoken.session(["SHOW A", "SHOW B"], soon())] == [
        ["a1", "a2"],
        ["b1"],
    ]
    assert [command.argv for command in terminal.commands] == [
        ("cmdscript", "-c", "SHOW A"),
        ("cmdscript", "-c", "SHOW B"),
    ]
    assert all(command.stdin == "" for command in terminal.commands)
    with pytest.raises(Silent):
        console(Terminal((1, "a1")), shows="replies").session(["SHOW A"], soon())


# ---- how lines are given ----


@pytest.mark.parametrize(
    ("more", "argv", "stdin"),
    [
        ({}, ("console",), "SHOW A\nSHOW B\n"),
        ({"line-end": "cr", "farewell": "EXIT"}, ("console",), "SHOW A\rSHOW B\rEXIT\r"),
        ({"line-end": "crlf"}, ("console",), "SHOW A\r\nSHOW B\r\n"),
        ({"console": ["ssh", "ra", "{lines}"]}, ("ssh", "ra", "SHOW A", "SHOW B"), ""),
    ],
)
def test_lines_go_to_standard_input_or_where_the_policy_says(
    more: dict[str, Any], argv: tuple[str, ...], stdin: str
) -> None:
    terminal = Terminal(GOOD)
    console(terminal, **more).session(["SHOW A", "SHOW B"], soon())
    (command,) = terminal.commands
    assert (command.argv, command.stdin) == (argv, stdin)


def test_without_type_ahead_each_line_has_a_session_of_its_own() -> None:
    terminal = Terminal("CLI> SHOW A\r\na1\r\na2\r\nCLI> ", "CLI> SHOW B\r\nb1\r\nCLI> ")
    spoken = console(terminal, None, **{"type-ahead": False})
    assert spoken.session(["SHOW A", "SHOW B"], soon()) == ALL
    assert (len(terminal.commands), spoken.sessions(5)) == (2, 5)


# ---- trying again ----


def test_a_spoiled_look_is_had_again_a_few_times() -> None:
    spoiled = GOOD.replace("a1", "CLI> a1")
    assert console(Terminal(spoiled, spoiled, GOOD)).read(["SHOW A", "SHOW B"], tuple, soon()) == ALL
    terminal = Terminal(spoiled)
    with pytest.raises(UnknownAnswer, match="ra: ") as caught:
        console(terminal).read(["SHOW A", "SHOW B"], tuple, soon())
    assert len(terminal.commands) == 3
    assert "CLI> a1" in caught.value.detail


def test_a_taken_line_is_waited_for_as_long_as_the_policy_says() -> None:
    clock, terminal = Clock(), Terminal("line in use\r\n")
    with pytest.raises(CommandFailed, match="somebody else has the line") as caught:
        console(terminal, clock, **{"line-wait": "10s"}).read(["SHOW A"], tuple, clock.after(60))
    assert caught.value.retryable
    assert 9 <= clock.now <= 10
    clock = Clock()
    with pytest.raises(CommandFailed):
        console(Terminal(""), clock).read(["SHOW A"], tuple, clock.after(2))
    assert clock.now <= 2


def test_a_line_that_changes_something_is_sent_once_and_then_looked_after() -> None:
    lost = Terminal("CLI> REDUCE X\r\n", GOOD)
    told, seen = console(lost).tell("REDUCE X", ["SHOW A", "SHOW B"], tuple, soon())
    assert (told.is_framed, seen) == (False, ALL)
    assert [command.stdin.count("REDUCE") for command in lost.commands] == [1, 0]


def test_a_reply_is_kept_for_people_and_the_look_behind_it_counts() -> None:
    whole = Terminal("CLI> REDUCE X\r\nError 1: no\r\n" + GOOD)
    told, seen = console(whole).tell("REDUCE X", ["SHOW A", "SHOW B"], tuple, soon())
    assert (told.is_framed, told.said, seen) == (True, "Error 1: no", ALL)
    assert len(whole.commands) == 1


@pytest.mark.parametrize("after", ["line in use\r\n", GOOD.replace("SHOW B", "OW B"), CommandFailed("cannot start")])
def test_what_cannot_be_asked_after_a_line_was_sent_is_unknown(after: str | Fault) -> None:
    clock = Clock()
    spoken = console(Terminal("CLI> REDUCE X\r\n", after), clock)
    with pytest.raises(UnknownAnswer, match="'REDUCE X' was sent"):
        spoken.tell("REDUCE X", ["SHOW A", "SHOW B"], tuple, clock.after(60))


def test_no_answer_in_time_is_said_as_it_is() -> None:
    for said in (("CLI> REDUCE X\r\n", DeadlinePassed("late")), (DeadlinePassed("late"),)):
        with pytest.raises(DeadlinePassed):
            console(Terminal(*said)).tell("REDUCE X", ["SHOW A"], tuple, soon())
