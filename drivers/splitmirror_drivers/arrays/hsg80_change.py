"""One line that changes something, and the proof by SHOW that it did: the controller itself says neither yes nor no.

A reply is never read for success. A line that was refused, or lost, is sent again a few times as long as SHOW proves that
nothing has changed: every line here may be sent twice, since the second is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from splitmirror_drivers.arrays.hsg80_console import PAUSE_SECONDS, Console, Parse, Rows
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, UnknownAnswer

T = TypeVar("T")
TRIES = 3


class Came(Enum):
    """What SHOW says that came of a line."""

    DONE = "done"
    NOTHING = "nothing has changed"
    OTHER = "something else"


@dataclass(frozen=True)
class Change(Generic[T]):
    """A `line`, the SHOW lines that prove it, what is made of their replies, and what that means."""

    line: str
    shows: tuple[str, ...]
    parse: Parse[T]
    came: Callable[[T], Came]


def make(console: Console, change: Change[T], deadline: Deadline) -> T:
    """Send the line until it is done. What SHOW gave in the end.

    Raises CommandFailed when it was refused and nothing changed, and UnknownAnswer when something else came of it, or when
    the last try was lost on its way.
    """
    tries = 0
    while True:
        tries += 1
        told, seen = console.tell(change.line, change.shows, change.parse, deadline)
        came = change.came(seen)
        if came is Came.DONE:
            return seen
        if came is Came.OTHER:
            raise UnknownAnswer(
                f"{console.name}: after {change.line!r} things are neither as before nor as they should be",
                detail=f"{seen}\n{told.said}",
                hint="look with SHOW at the units and disks of the group, and put them right by hand",
            )
        if tries == TRIES or deadline.left() <= PAUSE_SECONDS:
            break
        console.pause(PAUSE_SECONDS)
    if not told.is_framed:
        raise UnknownAnswer(
            f"{console.name}: nothing came of {change.line!r} yet: its session was lost", detail=told.said
        )
    raise CommandFailed(
        f"{console.name}: {change.line!r} was refused; nothing has changed",
        detail=told.said or "(the controller said nothing)",
        hint="type the line at the console to see why",
    )


def one(parse: Callable[[Rows], T]) -> Parse[T]:
    """A Parse of the reply to a single SHOW line."""

    def of(replies: Sequence[Rows]) -> T:
        return parse(replies[0])

    return of


def done_if(is_done: bool) -> Came:
    """For a change that is there or is not."""
    return Came.DONE if is_done else Came.NOTHING
