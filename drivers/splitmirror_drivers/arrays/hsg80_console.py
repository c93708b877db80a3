"""A session with the controller's console: lines in, and the text until the next prompt out, framed strictly.

There are no exit codes. That a reply belongs to a line, and is whole, is known only from what stands around it: the prompt
and the line as the terminal shows it, and the next prompt. Anything else between them (a paging stop, a line lost on its
way, somebody else's command, an event report that ends with a prompt) makes the session unreadable: an UnknownAnswer.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from splitmirror_drivers.arrays.hsg80_options import LINE, LINES, Options
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, UnknownAnswer

T = TypeVar("T")
Rows = tuple[str, ...]
Parse = Callable[[Sequence[Rows]], T]
"""Makes something of the replies to several lines. Raises UnknownAnswer."""

READ_TRIES = 3
"""A SHOW may be spoiled by an event report or by somebody else's line; asked again, it seldom is."""
PAUSE_SECONDS = 0.5
ENDS = {"lf": "\n", "cr": "\r", "crlf": "\r\n"}


def wait(seconds: float) -> None:
    """Let time pass between two tries."""
    threading.Event().wait(seconds)


class Silent(UnknownAnswer):
    """A session without a prompt and without our line: nobody was listening, or somebody else has the line."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a line that changes something: what the SHOW lines after it gave, and the reply, where it was framed."""

    is_framed: bool
    said: str


@dataclass(frozen=True)
class Console:
    """The console of one array, by the program of its policy."""

    name: str
    options: Options
    host: Host
    pause: Callable[[float], None] = field(default=wait)

    @property
    def is_one_by_one(self) -> bool:
        """Whether each line has a session of its own."""
        takes_one = any(LINE in word for word in self.options.console)
        return takes_one or self.options.shows == "replies" or not self.options.type_ahead

    def sessions(self, lines: int) -> int:
        """How many programs are run for so many lines."""
        return lines if self.is_one_by_one else 1

    def command(self, lines: Sequence[str]) -> Command:
        """The program with `lines` where it takes them."""
        argv: list[str] = []
        for word in self.options.console:
            argv += lines if word == LINES else [word.replace(LINE, lines[0])]
        sent = [*lines, *filter(None, [self.options.farewell])]
        has_arguments = any(LINE in word or word == LINES for word in self.options.console)
        typed = "" if has_arguments else "".join(line + ENDS[self.options.line_end] for line in sent)
        return Command(tuple(argv), stdin=typed, environment={"LC_ALL": "C"})

    def read(self, lines: Sequence[str], parse: Parse[T], deadline: Deadline) -> T:
        """What `parse` makes of the replies to `lines`, which only look. A spoiled or refused session is had again.

        Raises CommandFailed when nobody answered for as long as the policy waits for the line, and UnknownAnswer.
        """
        waiting, tries = deadline.sooner(self.options.line_wait), 0
        while True:
            try:
                return parse(self.session(lines, deadline))
            except Silent as exc:
                if waiting.left() <= PAUSE_SECONDS:
                    raise self._taken(exc) from exc
            except UnknownAnswer:
                tries += 1
                if tries >= READ_TRIES or deadline.left() <= PAUSE_SECONDS:
                    raise
            self.pause(PAUSE_SECONDS)

    def tell(self, line: str, then: Sequence[str], parse: Parse[T], deadline: Deadline) -> tuple[Told, T]:
        """Send one line that changes something, once; and what `parse` makes of the replies to `then`, had after it.

        Raises UnknownAnswer when nobody could be asked after it was sent.
        """
        ahead = () if self.is_one_by_one else tuple(then)
        told = Told(is_framed=False, said="")
        try:
            reply, *rest = self.session((line, *ahead), deadline)
            told = Told(is_framed=True, said="\n".join(reply))
            if ahead:
                return told, parse(rest)
        except UnknownAnswer as exc:
            if not told.is_framed:
                told = Told(is_framed=False, said=exc.detail)
            self.pause(min(PAUSE_SECONDS, deadline.left()))
        return told, self._after(line, then, parse, deadline)

    def _after(self, line: str, then: Sequence[str], parse: Parse[T], deadline: Deadline) -> T:
        try:
            return self.read(then, parse, deadline)
        except DeadlinePassed:
            raise
        except Fault as exc:
            raise UnknownAnswer(
                f"{self.name} could not be asked after {line!r} was sent: {exc}", detail=exc.detail, hint=exc.hint
            ) from exc

    def session(self, lines: Sequence[str], deadline: Deadline) -> tuple[Rows, ...]:
        """The replies to `lines`. Raises UnknownAnswer, Silent; DeadlinePassed as the host does."""
        if self.is_one_by_one:
            return tuple(self._run((line,), deadline)[0] for line in lines)
        return self._run(lines, deadline)

    def _run(self, lines: Sequence[str], deadline: Deadline) -> tuple[Rows, ...]:
        done = self.host.run(self.command(lines), deadline.sooner(self.options.command_deadline))
        if self.options.shows == "replies":
            return (self._whole(done),)
        frame = frame_echo if self.options.shows == "echo" else frame_prompts
        try:
            return frame(done.stdout, lines, self.options)
        except UnknownAnswer as exc:
            exc.message = f"{self.name}: {exc.message}"
            exc.detail = f"$ {done.line()}\nexit code {done.exit_code}\n{done.stdout[-2000:]}{done.stderr[-500:]}"
            exc.hint = exc.hint or "try the program of `console` by hand, with one SHOW line as its input"
            raise

    def _whole(self, done: Completed) -> Rows:
        if done.exit_code != 0:
            raise Silent(f"{self.name}: the console program failed", detail=done.tail())
        return tuple(clean(done.stdout))

    def _taken(self, exc: Silent) -> CommandFailed:
        return CommandFailed(
            f"{self.name}: the console gives no prompt: somebody else has the line, or it is not reached",
            detail=exc.detail,
            hint="end the other session, or look at the program of `console`",
            retryable=True,
        )


# ---- framing ----


def clean(text: str) -> list[str]:
    """Lines as a terminal shows them, without what only moves the cursor to the next one."""
    plain = re.sub(r"\r+\n", "\n", text.replace("\0", "")).replace("\r", "\n")
    return [row.rstrip() for row in plain.split("\n")]


def prompt_of(row: str, prompts: Sequence[str]) -> str:
    """The prompt that `row` begins with, or ""."""
    return next((prompt for prompt in sorted(prompts, key=len, reverse=True) if row.startswith(prompt)), "")


def frame_echo(text: str, lines: Sequence[str], options: Options) -> tuple[Rows, ...]:
    """Replies between each line as it was shown behind a prompt, and the next prompt. Before the first may stand anything.

    The very first line may stand without its prompt: that was printed long ago, when nobody looked.
    """
    rows = clean(text)
    behind = [
        n for n, row in enumerate(rows) if (p := prompt_of(row, options.prompts)) and row[len(p) :].strip() == lines[0]
    ]
    bare = [n for n, row in enumerate(rows) if row.strip() == lines[0]]
    if not behind and not bare:
        raise _unreadable(rows, options, f"{lines[0]!r} was not shown as it was typed")
    first = (behind or bare)[0]
    prompt = prompt_of(rows[first], options.prompts)
    replies: list[Rows] = []
    begun = first + 1
    for number in range(begun, len(rows)):
        found = prompt_of(rows[number], options.prompts)
        if not found:
            continue
        if prompt and found != prompt:
            raise UnknownAnswer(f"the prompt changed from {prompt} to {found}")
        prompt, after = found, rows[number][len(found) :].strip()
        replies.append(tuple(rows[begun:number]))
        if len(replies) == len(lines):
            _require_end(after, rows[number + 1 :], options)
            return tuple(replies)
        if after != lines[len(replies)]:
            raise UnknownAnswer(f"{lines[len(replies)]!r} was shown as {after!r}")
        begun = number + 1
    raise UnknownAnswer(f"there is no prompt behind the reply to {lines[len(replies)]!r}")


def frame_prompts(text: str, lines: Sequence[str], options: Options) -> tuple[Rows, ...]:
    """Replies between prompts, where the lines are not shown: exactly one prompt more than lines."""
    rows = [row for shown in clean(text) for row in _apart(shown, options.prompts)]
    at = [n for n, row in enumerate(rows) if row in options.prompts]
    if not at:
        raise _unreadable(rows, options, "there is no prompt")
    if len(at) != len(lines) + 1 or len({rows[n] for n in at}) > 1:
        raise UnknownAnswer(f"there are {len(at)} prompts, and {len(lines)} lines were sent")
    _require_end("", rows[at[-1] + 1 :], options)
    return tuple(tuple(rows[begun + 1 : end]) for begun, end in itertools.pairwise(at))


def _apart(row: str, prompts: Sequence[str]) -> list[str]:
    """A row with each prompt that it begins with as a row of its own, since no line ends what was typed unseen."""
    found = []
    while prompt := prompt_of(row, prompts):
        found.append(prompt)
        row = row[len(prompt) :].removeprefix(" ")
    return [*found, row] if row or not found else found


def _require_end(after: str, rest: Sequence[str], options: Options) -> None:
    """Behind the last prompt comes nothing but what ends the session."""
    goodbye = [re.compile(pattern) for pattern in options.goodbye]
    left = [row for row in rest if row.strip() and not any(one.fullmatch(row.strip()) for one in goodbye)]
    if after not in ("", options.farewell) or left:
        raise UnknownAnswer(f"something follows the last prompt: {(left or [after])[0]!r}")


def _unreadable(rows: Sequence[str], options: Options, why: str) -> UnknownAnswer:
    kind = UnknownAnswer if any(prompt_of(row, options.prompts) for row in rows) else Silent
    return kind(why)
