"""A host: where commands run, and where a guard holds applications quiesced.

Two kinds of order go to a host:

* ``run``: an argument list, for array command lines and presentation (usually on the local host);
* ``call`` and ``guard``: *verbs*, functions in the ``.sh`` file that lies beside an application driver. A driver never
  sends shell; it names a verb with typed arguments. Inline, the host sends guard program and verb files when it
  connects; installed, the data server has the same files, with version and checksum, behind a forced command.

The guard's wire protocol, one line a message, ASCII, space separated; a value runs to the end of its line. Orders go
in at its standard input, messages come out at its standard output::

    (started)                     hello VERSION BOOT-ID PID RECORD-FOLDER    once, unasked; or `foreign NAME OWNER` and the end
    open                          opened NAME                                for each hold: clients are started, logged in
    warm                          warmed NAME                                for each hold; a warm that fails only says so
    watch KIND SECONDS            watching KIND METHOD                       detached watcher armed for that kind of hold
    hold NAME SECONDS             held NAME                                  preceded by `fact NAME KEY VALUE` lines
    beat                          (nothing)
    release                       released NAME WAS_HELD|WAS_NOT_HELD|UNKNOWN   for each blocking or service hold entered
    leave NAME good|bad SECONDS   left NAME WAS_HELD|WAS_NOT_HELD|UNKNOWN    preceded by facts
    bye                           bye                                        whatever is left is rescued first
                                  say NAME TEXT                              what a verb printed on standard error
                                  failed NAME VERB CODE                      that verb ended with CODE (124: deadline)
                                  lapsed REASON                              beat | deadline | eof | signal; then `released` follow
                                  foreign NAME OWNER                         a claim of another run or backup server
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret


class Blocks(Enum):
    """What waits while a hold is held."""

    NOTHING = "nothing"
    WRITES = "writes"
    SERVICE = "service"


class EndsWith(Enum):
    """What ends a hold by itself: its client's session, only the server, or its own timer."""

    SESSION = "session"
    SERVER = "server"
    TIMER = "timer"


class Kept(Enum):
    """What `release` or `leave` found: only WAS_HELD proves that the hold stood until then."""

    WAS_HELD = "WAS_HELD"
    WAS_NOT_HELD = "WAS_NOT_HELD"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Verb:
    """One call of a verb, for example ``Verb("postgresql.check", ("/run/postgresql", "5432"), user="postgres")``.

    `name` is FAMILY.ACTION; the family is the name of the ``.sh`` file. Arguments hold no line breaks. `user` is the
    account the verb's client runs as ("" = the login's own, or the one `sudo` gave); `secret` reaches it as SM_SECRET.
    """

    name: str
    arguments: tuple[str, ...] = ()
    user: str = ""
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One state of one application being held, as a guard is told of it before anything is held.

    `name` is unique in a run and has no blanks (``erp`` or ``erp.backup-mode``). `family` names the ``.sh`` file with
    the functions ``FAMILY_open … _rescue``. `rank` orders holds of one kind on one host (lower is entered first and
    left last). `covers_paths`, for filesystem holds: the mount points frozen. `tolerates_spread`: files copied at
    different moments while this is held can be recovered (backup mode with logs, or nothing writes to them at all).
    `survives_restart`: the state outlives a crash of the data server.
    """

    name: str
    family: str
    arguments: tuple[str, ...]
    blocks: Blocks
    ends_with: EndsWith
    enter_seconds: float = 10.0
    leave_seconds: float = 10.0
    rank: int = 0
    user: str = ""
    secret: Secret | None = None
    claim: str = ""
    covers_paths: tuple[str, ...] = ()
    tolerates_spread: bool = False
    survives_restart: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """What a guard is given when it is started: whose it is, its stack (bottom first), its claims and leases."""

    run: str
    owner: str
    holds: tuple[Hold, ...]
    beat_seconds: float = 2.0
    beat_missed_seconds: float = 5.0
    blocking_lease_seconds: float = 60.0
    lasting_lease_seconds: float = 7200.0


@dataclass(frozen=True, slots=True)
class Message:
    """One line from a guard. `kind` is its first word; `link-lost` is made by this side when the channel ends.

    `held`, `released`, `left`, `opened` and `failed` carry in `facts` what `fact` lines for that hold came before, a
    repeated key becoming one text of several lines.
    """

    host: str
    kind: str
    hold: str = ""
    words: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    at: float = 0.0

    @property
    def kept(self) -> Kept:
        """The word of a `released` or `left` message."""
        return Kept(self.words[0]) if self.words and self.words[0] in Kept.__members__ else Kept.UNKNOWN


Mailbox = Callable[[Message], None]
"""Where a guard's reader thread puts each message; must not block."""


class Guard(Protocol):
    """The hook's end of one guard. Orders are one short line each; answers come through the mailbox."""

    host_name: str

    def send(self, order: str) -> None:
        """Write one order line. Never waits for an answer. Raises LinkLost once the channel has ended."""

    def close(self) -> None:
        """Close the channel (the guard sees end of file and rescues whatever is left). May be called twice."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a called verb answered: facts by key (repeated keys joined by line breaks), exit code, what it said."""

    facts: Mapping[str, str]
    exit_code: int
    said: str

    def lines(self, key: str) -> tuple[str, ...]:
        """The values of a repeated fact; empty when it was never given."""
        return tuple(self.facts[key].splitlines()) if self.facts.get(key) else ()


class Host(Protocol):
    """A data server, array host or mirror host. Methods are safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """Its name in the policy file."""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""

    def connect(self, deadline: Deadline) -> None:
        """Log in and make the guard program ready. Does nothing when connected. Raises a HostFault."""

    def disconnect(self) -> None:
        """End the connection; a later call connects anew. Safe to call twice."""

    def run(self, command: Command, deadline: Deadline) -> Completed:
        """Run an argument list to its end (with the host's ``sudo``). Raises LinkLost, DeadlinePassed, CommandFailed."""

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        """Have the ways of the next `commands` runs open, privilege acquired: each then costs one message there and back.

        Nothing is run. What is not used ends with ``disconnect``. Raises a HostFault.
        """

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        """Call one verb to its end. A non-zero exit code is an answer, not an error. Raises LinkLost, DeadlinePassed."""

    def guard(self, charge: Charge, mailbox: Mailbox, deadline: Deadline) -> Guard:
        """Start a guard with its stack of holds; returns once it said hello. Nothing is held yet. Raises ForeignHold."""

    def fetch(self, path: str, limit_bytes: int, deadline: Deadline) -> bytes:
        """The content of a file there. Raises CommandFailed when it is missing or longer than `limit_bytes`."""

    def families(self, families: Sequence[str]) -> None:
        """Say which verb families this host will need; called before `connect`."""
