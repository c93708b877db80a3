"""A presentation: what makes an exposed copy readable on a host, and takes that back. Identify, plan, act, assert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Presented:
    """A presentation that stands, or is about to: all that `withdraw` needs, chosen before the act and journalled."""

    driver: str
    path: str
    exposed: Exposed
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has the copy open: ``pid`` 0 when only a mount or device-mapper holder is known."""

    pid: int
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}) has {self.path} open" if self.pid else f"{self.name} holds {self.path}"


class Presentation(Protocol):
    """How one copy is presented at one `path` on one host. Never lazy, never forced; nobody's process is ended."""

    driver: str
    path: str
    host: Host
    writes_to_copy: bool
    """Whether it may have to write to a copy whose filesystem was not frozen (journal replay)."""

    def check(self, deadline: Deadline) -> None:
        """Preconditions, changing nothing: rights, the parent directory, nothing in the way. Raises Refused."""

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:
        """Everything `present` and `withdraw` will need, decided before the act.

        `is_frozen`: its filesystems were frozen over the split. `may_write`: the array tracks writes to the copy, so that
        labels on it may be changed.
        """

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Rescan, wait for the paths, flush stale buffers, mount read-only; the mount point is made here. Safe to repeat."""

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """Assert that what is seen at `path` is this copy (device, read-only, token). Raises Refused."""

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has it open now, seen on its host."""

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Unmount and remove the mount point; assert that nothing is left. Safe to repeat. Raises InUse, naming who."""

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """What `present` will do, for `plan`."""
