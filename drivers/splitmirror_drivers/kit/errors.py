"""What can go wrong, told to people.

A Fault names the thing and the cause (``message``, lower case, no full stop), keeps what was seen (``detail``: the
command, its exit code, its last lines, already redacted) and says what to do (``hint``, a sentence).

::

    Fault
    ├── UsageFault            the command line or the policy is wrong; nothing was touched
    │   └── PolicyFault
    ├── Refused               we will not do this: an illegal move, a copy in use, a foreign freeze, a missing pair
    │   ├── InUse             somebody reads the copy, or a living run owns it
    │   ├── NotCovered        an application's file lies outside the mirror
    │   └── ForeignHold       a freeze or claim that is not ours
    ├── HostFault
    │   ├── Unreachable       no address answered
    │   ├── LoginRefused
    │   ├── HostKeyRefused    unknown or changed host key, unverified certificate
    │   └── LinkLost          was connected, is no longer
    ├── CommandFault
    │   ├── CommandFailed     an exit code that means failure
    │   ├── DeadlinePassed    no answer in time; what the command did is unknown
    │   └── UnknownAnswer     a state word or exit code that no table lists
    ├── NotSynchronised       the mirror is not in sync; nothing was changed
    ├── HoldFault             an application could not be quiesced, or a hold was lost
    ├── SplitUnknown          the split's outcome is unknown; the group is quarantined
    ├── JournalFault          the durable record cannot be written or read
    └── GivenUp               a signal asked us to stop, and we did
"""

from __future__ import annotations


class Fault(Exception):
    """A failure with a message, what was seen, and what to do about it."""

    def __init__(self, message: str, *, detail: str = "", hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def full(self) -> str:
        """Message, detail and hint as the lines a person reads."""
        lines = [self.message]
        lines += [f"  {line}" for line in self.detail.splitlines() if line.strip()]
        if self.hint:
            lines.append(f"  what to do: {self.hint}")
        return "\n".join(lines)


class UsageFault(Fault):
    """The command line is wrong; nothing was touched."""


class PolicyFault(UsageFault):
    """The policy is wrong; nothing was touched."""


class Refused(Fault):
    """We will not do this, and say why."""


class InUse(Refused):
    """The copy is read by somebody, or owned by a living run."""


class NotCovered(Refused):
    """An application's file lies outside the mirror, or a pair outside the policy."""


class ForeignHold(Refused):
    """A freeze, lock or claim that is not ours."""


class HostFault(Fault):
    """A host cannot be used."""


class Unreachable(HostFault):
    """No address of the host answered."""


class LoginRefused(HostFault):
    """The host answered and refused us."""


class HostKeyRefused(HostFault):
    """The host's key is unknown or has changed."""


class LinkLost(HostFault):
    """We were connected and are no longer."""


class CommandFault(Fault):
    """A command did not do what it was asked."""


class CommandFailed(CommandFault):
    """An exit code that means failure."""


class DeadlinePassed(CommandFault):
    """No answer in time; what the command did is unknown until asked."""


class UnknownAnswer(CommandFault):
    """A state word or exit code that no table lists."""


class NotSynchronised(Fault):
    """The mirror is not in sync; nothing was changed."""


class HoldFault(Fault):
    """An application could not be quiesced, or a hold was lost."""


class SplitUnknown(Fault):
    """The split's outcome is unknown; the group is quarantined."""


class JournalFault(Fault):
    """The durable record cannot be written or read."""


class GivenUp(Fault):
    """A signal asked us to stop, and we did, properly."""
