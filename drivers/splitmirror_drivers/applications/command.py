"""Any application by its command lines, run on its data server through the guard.

Two ways to hold: programs that enter and leave a state the server keeps, or one client that is told lines and whose
session is the hold. The policy states what each exit code and word means; a code that no list names proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitmirror_drivers.applications.command_options import Options
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, ForeignHold, Refused
from splitmirror_drivers.kit.secret import Secret

__all__ = ["CommandApplication", "Options"]


class CommandApplication:
    """An application that is held by configured commands."""

    driver = "command"
    families: tuple[str, ...] = ("command",)

    def __init__(self, name: str, options: Options, host: Host, secret: Secret | None = None) -> None:
        self.name, self.options, self.host, self._secret = name, options, host, secret

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> CommandApplication:
        """The catalogue's constructor."""
        return cls(name, options, host, context.secret(options.secret) if options.secret else None)

    def check(self, deadline: Deadline) -> Facts:
        """Every program can be found, and the check program says yes; its ``file=PATH`` lines add to what must be covered."""
        answer = self._call("check", deadline.sooner(float(self.options.deadlines.check)))
        if lacking := answer.lines("lacking"):
            raise Refused(
                f"{self.name}: {self.options.os_user or 'the login'} on {self.host.name} cannot find {lacking[0]}",
                detail=answer.said,
                hint="give its path, or the rights to run it",
            )
        if answer.exit_code in self.options.foreign_exit_codes:
            raise ForeignHold(
                f"{self.name} is held already, and not by us (exit code {answer.exit_code})",
                detail=answer.said,
                hint="find out who holds it; it is never ended from here",
            )
        if answer.exit_code != 0:
            raise Refused(f"{self.name}: its check says no (exit code {answer.exit_code})", detail=answer.said)
        return Facts(
            files=tuple(dict.fromkeys((*self.options.files, *answer.lines("file")))),
            log_files=tuple(dict.fromkeys((*self.options.log_files, *answer.lines("log-file")))),
            version=answer.facts.get("version", ""),
            warnings=answer.lines("warning"),
            needs_atomic="" if self.options.tolerates_spread else "its policy does not say that it tolerates-spread",
            values={key: value for key, value in answer.facts.items() if key not in _READ},
        )

    def holds(self, facts: Facts) -> tuple[Hold, ...]:  # noqa: ARG002 - the policy says it all
        """The one hold of the policy."""
        o = self.options
        return (
            Hold(
                name=self.name,
                family="command",
                arguments=o.lists(),
                blocks=Blocks(o.blocks),
                ends_with=EndsWith(o.ends_with),
                enter_seconds=float(o.deadlines.enter),
                leave_seconds=float(max(o.deadlines.leave, o.deadlines.rescue)),
                rank=o.rank,
                user=o.os_user,
                secret=self._secret,
                claim=f"command-{o.claim or self.name}",
                tolerates_spread=o.tolerates_spread,
                survives_restart=o.survives_restart,
            ),
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:
        """What the capture program printed, and the policy's own steps."""
        kept: dict[str, bytes] = {}
        if self.options.capture:
            answer = self._call("capture", deadline.sooner(float(self.options.deadlines.capture)))
            if answer.exit_code != 0:
                raise CommandFailed(f"{self.name}: capture failed (exit code {answer.exit_code})", detail=answer.said)
            kept["capture.txt"] = (answer.facts.get("capture", "") + "\n").encode()
        steps = self.options.recovery or (
            f"{self.name} was held by the commands of its policy; its verdict is {verdict.value}. "
            "Start it on the restored files as after a stop or a crash, as its own manual says.",
        )
        return Captured(steps, kept, dict(facts), self.options.needs_logs)

    def _call(self, action: str, deadline: Deadline) -> Answer:
        verb = Verb(f"command.{action}", self.options.lists(), self.options.os_user, self._secret)
        return self.host.call(verb, deadline)


_READ = frozenset({"file", "log-file", "version", "warning", "lacking"})
