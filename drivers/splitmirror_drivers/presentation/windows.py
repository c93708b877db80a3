"""A copy that a Windows host shows at a drive letter or folder by itself: seen to be there, and to be read-only.

The array exposes it at that very place, so nothing is mounted here and nothing is taken away: before, the place must be
free; after, it must be there and refuse a write. A write is tried, with a new file of this run's name: a shadow copy
answers with ERROR_WRITE_PROTECT, and the number decides. Who has it open is not seen: Windows tells only by handle.exe, or
by ``openfiles``, which a restart has to switch on. Sources: Microsoft, system error codes 0-499; about_PowerShell_exe
(-EncodedCommand, and ``exit`` as its exit code); System.IO.FileMode.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, PolicyFault, Refused, UnknownAnswer

COMMAND_SECONDS = 60.0
POLL_SECONDS = 0.5
ABSENT, WRITTEN, PROTECTED = 2, 3, 19
"""What our own question answers: nothing is there, a file could be written, ERROR_WRITE_PROTECT."""
_PLACE = re.compile(r"[A-Za-z]:\\?|[A-Za-z]:(\\[\w.$~@-]+)+")
_RUN = re.compile(r"[\w.-]+")
_IS_THERE = "if (-not [IO.Directory]::Exists('PLACE')) { exit 2 }; exit 0"
_REFUSES_A_WRITE = (
    "if (-not [IO.Directory]::Exists('PLACE')) { exit 2 }; "
    "try { $file = [IO.File]::Open('PROBE', [IO.FileMode]::CreateNew); $file.Close(); "
    "[IO.File]::Delete('PROBE'); exit 3 } "
    "catch { $why = $_.Exception; while ($why.InnerException) { $why = $why.InnerException }; "
    "exit ($why.HResult -band 0xffff) }"
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`drive`: the drive letter (``P:``) or folder at which the array shows the copy."""

    drive: str


class Windows:
    """One place of one Windows host."""

    driver = "windows"
    writes_to_copy = False

    def __init__(self, path: str, host: Host) -> None:
        self.path, self.host = path, host

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Windows:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        if not _PLACE.fullmatch(options.drive):
            raise PolicyFault(
                f"{options.drive!r} is neither a drive letter nor a plain folder of a Windows host",
                hint=r'for example drive = "P:" or drive = "C:\mnt\erp"',
            )
        return cls(path, host)

    def check(self, deadline: Deadline) -> None:
        """The place must be free, since the array will expose the copy there. Raises Refused."""
        if self._ask(_IS_THERE, deadline) != ABSENT:
            raise Refused(
                f"{self.path} on {self.host.name} is there already",
                hint="it is made when a copy is exposed, and exists only as long: choose another, or free it after a look",
            )

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:  # noqa: ARG002
        """Refused where the array does not show the copy at this place."""
        if exposed.host != self.host.name:
            raise Refused(f"the copy is exposed on {exposed.host}, and {self.path} is a place on {self.host.name}")
        if _plain(self.path) not in {_plain(path) for path in exposed.paths}:
            raise Refused(
                f"the array does not show the copy at {self.path}",
                detail="\n".join(exposed.paths),
                hint="name one of these places in that present entry, or this one in the array's expose",
            )
        return Presented(self.driver, self.path, exposed, {"run": run})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Wait until it is there."""
        while self._ask(_IS_THERE, deadline) == ABSENT:
            if deadline.left() <= POLL_SECONDS:
                raise DeadlinePassed(
                    f"{self.path} did not appear on {self.host.name}", hint="is the copy exposed there?"
                )
            time.sleep(POLL_SECONDS)
        self.verify(intent, deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """It is there, and refuses a write. Raises Refused."""
        code = self._ask(_REFUSES_A_WRITE, deadline, self._probe(intent))
        if code == ABSENT:
            raise Refused(f"{self.path} on {self.host.name} is missing")
        if code == WRITTEN:
            raise Refused(f"{self.path} on {self.host.name} can be written to: it is no shadow copy")
        if code != PROTECTED:
            raise UnknownAnswer(
                f"{self.host.name} does not say that {self.path} is write-protected: error {code}",
                hint=f"5 is a missing right. Look whether {self._probe(intent)} is there",
            )

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:  # noqa: ARG002
        """Nobody: a Windows host does not say who has files open."""
        return ()

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Nothing was made, so nothing is taken away: the array unexposes it."""

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:  # noqa: ARG002
        """What present will do."""
        what = f"see that {self.path} is there and write-protected (the array exposes it)"
        return (Action(self.host.name, what, COMMAND_SECONDS),)

    def _probe(self, intent: Presented) -> str:
        if not _RUN.fullmatch(intent.data["run"]):
            raise Refused(f"{intent.data['run']!r} cannot go into the name of a file")
        return f"{self.path.rstrip(chr(92))}\\splitmirror-{intent.data['run']}.probe"

    def _ask(self, question: str, deadline: Deadline, probe: str = "") -> int:
        """The exit code of a question. Raises UnknownAnswer for what is none of its answers."""
        place = f"{self.path.rstrip(chr(92))}\\"
        text = "$ProgressPreference = 'SilentlyContinue'; " + question.replace("PLACE", place).replace("PROBE", probe)
        encoded = base64.b64encode(text.encode("utf-16-le")).decode()
        argv = ("powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded)
        done = self.host.run(Command(argv), deadline.sooner(COMMAND_SECONDS))
        if done.exit_code == 1 or not 0 <= done.exit_code <= 0xFFFF:
            raise UnknownAnswer(f"{self.host.name} cannot say what is at {self.path}", detail=done.tail())
        return done.exit_code


def _plain(path: str) -> str:
    return path.rstrip("\\").lower()
