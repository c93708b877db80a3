"""What `status` knows and what it makes of it: a `View` goes into the judgement, a `Situation` comes out. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from splitmirror.admin.asking import HostSaid, MirrorSaid
from splitmirror.journal.contract import Pin
from splitmirror.report.account import Account
from splitmirror_drivers.kit.errors import Fault


class Level(IntEnum):
    """The exit code of `splitmirror status`, for monitoring."""

    WELL = 0
    WARNING = 1
    FROZEN = 2
    """Somebody may be frozen, or something is stuck: the one to be woken for."""
    CANNOT_TELL = 3


SEVERITY = (Level.WELL, Level.WARNING, Level.CANNOT_TELL, Level.FROZEN)


def worst(levels: Iterable[Level]) -> Level:
    """The level that counts of several: that somebody may be frozen outweighs that we cannot tell."""
    return max(levels, key=SEVERITY.index, default=Level.WELL)


@dataclass(frozen=True, slots=True)
class View:
    """All that is known of one policy. Accounts are newest first; `carriers`: who split each mirror last.

    `hosts` and `mirrors` are None when nothing was asked (``--offline``). `living`: runs whose process is alive here.
    """

    policy: str
    server: str
    now: float
    boot: str
    longest_backup: float
    accounts: tuple[Account, ...]
    carriers: Mapping[str, Account]
    living: frozenset[str]
    host_names: tuple[str, ...]
    mirror_keys: tuple[str, ...]
    pins: Mapping[str, Pin]
    hosts: Mapping[str, HostSaid | Fault] | None
    mirrors: Mapping[str, MirrorSaid | Fault] | None


@dataclass(frozen=True, slots=True)
class Line:
    """Something that was found. `do`: what a person does about it ("" for nothing), as a command or a sentence."""

    what: str
    says: str
    level: Level = Level.WELL
    do: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy to recover from. `is_known`: whether the array was asked that it still stands."""

    run_id: str
    at: float
    verdict: str
    mirrors: tuple[str, ...]
    presented: tuple[str, ...]
    is_known: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """One policy, as status shows it."""

    policy: str
    result: str
    at: float
    reason: str
    run_id: str
    runs: tuple[Line, ...]
    held: tuple[Line, ...]
    mirrors: tuple[Line, ...]
    copy: Copy | None
    hint: str = ""
    log: str = ""
    lines: tuple[Line, ...] = field(default=())

    @property
    def level(self) -> Level:
        """The worst of everything that was found."""
        return worst(line.level for line in (*self.runs, *self.held, *self.mirrors, *self.lines))

    def do_now(self) -> list[str]:
        """What to do, the most urgent first, each thing once."""
        found = sorted((*self.held, *self.runs, *self.mirrors, *self.lines), key=lambda x: -SEVERITY.index(x.level))
        return list(dict.fromkeys(line.do for line in found if line.do))
