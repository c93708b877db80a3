"""A job: one policy with everything it names, built and ready to be asked. Made by ``wiring``, used by every phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitmirror.policy.types import Policy
from splitmirror_drivers.contracts.application import Application
from splitmirror_drivers.contracts.array import Array
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presentation


@dataclass(frozen=True, slots=True)
class MirrorSet:
    """Groups of one array that take turns; one of them is used by a run. `is_log`: split after the resume."""

    array: Array
    groups: tuple[str, ...]
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A presentation and which mirror of the policy it shows (index into ``Job.mirrors``).

    `rescan`: what its host runs before it looks for the copy's devices (nothing by default).
    """

    presentation: Presentation
    mirror: int
    rescan: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """Everything one policy needs."""

    name: str
    policy: Policy
    hosts: Mapping[str, Host]
    applications: tuple[Application, ...]
    mirrors: tuple[MirrorSet, ...]
    presented: tuple[Placed, ...]
    arrays: Mapping[str, Array]
    server: str
    state_folder: Path
    freezer: Callable[[Host, Sequence[str]], Application]
    """Makes the filesystem application that freezes these mount points of a host."""
    carried: list[int]
    """Lock descriptors that array commands inherit while this process holds the locks."""

    def data_hosts(self) -> tuple[Host, ...]:
        """Each host that carries an application, once, in policy order."""
        return tuple({app.host.name: app.host for app in self.applications}.values())

    def all_hosts(self) -> tuple[Host, ...]:
        """Each host that this policy touches, once."""
        presenting = {placed.presentation.host.name: placed.presentation.host for placed in self.presented}
        return tuple({**{host.name: host for host in self.data_hosts()}, **presenting, **self.hosts}.values())


def mirror_key(array: str, group: str) -> str:
    """The name of a mirror in claims, locks and events."""
    return f"{array}/{group}"
