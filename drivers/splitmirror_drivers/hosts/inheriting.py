"""The host as an array driver sees it: connected when it is first asked, and its commands inherit the mirror's lock.

So the lock is free only when hook and command are both gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitmirror_drivers.contracts.host import Answer, Charge, Guard, Host, Mailbox, Verb
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline


@dataclass
class InheritingHost:
    """Wraps another host; `descriptors` is read anew for each command and may change between them."""

    inner: Host
    descriptors: list[int]

    @property
    def name(self) -> str:
        """The inner host's name."""
        return self.inner.name

    @property
    def is_local(self) -> bool:
        """Whether the inner host is this machine."""
        return self.inner.is_local

    def run(self, command: Command, deadline: Deadline) -> Completed:
        """Run with the descriptors, which only a process of this machine can inherit."""
        self.inner.connect(deadline)
        if self.inner.is_local:
            command = replace(command, inherit=(*command.inherit, *self.descriptors))
        return self.inner.run(command, deadline)

    def connect(self, deadline: Deadline) -> None:
        """As the inner host."""
        self.inner.connect(deadline)

    def disconnect(self) -> None:
        """As the inner host."""
        self.inner.disconnect()

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        """As the inner host."""
        self.inner.connect(deadline)
        self.inner.stand_by(commands, deadline)

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        """As the inner host."""
        self.inner.connect(deadline)
        return self.inner.call(verb, deadline)

    def guard(self, charge: Charge, mailbox: Mailbox, deadline: Deadline) -> Guard:
        """As the inner host."""
        return self.inner.guard(charge, mailbox, deadline)

    def fetch(self, path: str, limit_bytes: int, deadline: Deadline) -> bytes:
        """As the inner host."""
        return self.inner.fetch(path, limit_bytes, deadline)

    def families(self, families: Sequence[str]) -> None:
        """As the inner host."""
        self.inner.families(families)
