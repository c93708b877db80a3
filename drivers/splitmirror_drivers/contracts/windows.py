"""What a Windows data server does for us: families of verbs in Python, where a Unix one has ``.sh`` files.

There is no guard program on Windows. The host `winrm` runs the guard's part itself: it speaks the same messages
(contracts/host.py) and calls a *family* for each hold, over one WinRM shell that was opened in *arm*. What ends a hold when
all of us is dead is a scheduled task there, armed before the first hold: it sleeps its lease, then runs what each
family's `cure` says, and leaves a mark that it did.

Everything a family sends is one line for ``cmd.exe`` or text for a client's standard input: secrets and anything that comes
from a policy or a server goes by standard input, never into a line (``%`` cannot be quoted there).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from splitmirror_drivers.contracts.host import Answer, Hold, Kept
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret


class Client(Protocol):
    """A program that runs on the data server and is spoken with through its standard input and output."""

    def send(self, text: str, deadline: Deadline) -> None:
        """Write `text` and a line end. Raises LinkLost, DeadlinePassed."""

    def line(self, deadline: Deadline) -> str | None:
        """The next line of its output without its end; None once it has ended. Raises LinkLost, DeadlinePassed."""

    def end(self, deadline: Deadline) -> Completed:
        """Close its input and wait until it ended; its exit code and what was not read of its output."""

    def kill(self, deadline: Deadline) -> None:
        """End it where it stands. Does nothing when it has ended."""


class Shell(Protocol):
    """One WinRM shell, made in *arm*; used by one thread at a time."""

    def run(self, line: str, deadline: Deadline, *, stdin: str = "") -> Completed:
        """Run one line for ``cmd.exe`` to its end. Raises LinkLost, DeadlinePassed (it was ended then), CommandFailed."""

    def start(self, line: str, deadline: Deadline) -> Client:
        """Start a program that stays."""

    def write(self, path: str, text: str, deadline: Deadline) -> None:
        """Put a small text file there (CRLF line ends), its content by standard input. Raises CommandFailed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hold is: the shell, the hold as it was charged, and its own folder there (no blanks, no ``%``)."""

    shell: Shell
    hold: Hold
    run: str
    folder: str
    own: bool = True
    """Whether our record there says that we took it: only then may a rescue end a state that has no owner."""
    kept: dict[str, object] = field(default_factory=dict)
    """What one verb of a hold leaves for the next in this process; a rescue from elsewhere finds it empty."""


class WindowsFamily(Protocol):
    """The verbs of one application on Windows. `name` is what ``Hold.family`` and ``Verb.name`` say before the dot."""

    name: str

    def call(
        self, shell: Shell, action: str, arguments: tuple[str, ...], secret: Secret | None, deadline: Deadline
    ) -> Answer:
        """A one-shot verb. A state that is refused is an exit code and a fact, as in a ``.sh`` family."""

    def open(self, place: Place, deadline: Deadline) -> Mapping[str, str]:
        """Arm: the client is started and logged in. Facts. Raises a Fault."""

    def warm(self, place: Place, deadline: Deadline) -> None:
        """What makes `enter` shorter; never a reason to fail."""

    def enter(self, place: Place, deadline: Deadline) -> Mapping[str, str]:
        """Quiesce; facts of that moment. Raises a Fault when it is not held now."""

    def leave(self, place: Place, good: bool, deadline: Deadline) -> tuple[Kept, Mapping[str, str]]:
        """Resume, and whether it was held until then. Raises nothing but a HostFault."""

    def rescue(self, place: Place, deadline: Deadline) -> Kept:
        """Resume from any process, with nothing of enter's but the folder's files; may be repeated."""

    def cure(self, hold: Hold, folder: str) -> tuple[str, ...]:
        """Lines of a ``.cmd`` file that end this hold without us, run as SYSTEM by the scheduled task; may be repeated.

        Services: they loop until all that ran before runs again. A session: they end the client's process. They read
        what `enter` left in `folder`, and do nothing where the hold was not taken or has ended.
        """
