"""What preflight found: the facts of every application, the groups this run will use, and what its copy can be at best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from splitmirror.devices import Device
from splitmirror.job import MirrorSet
from splitmirror_drivers.contracts.application import Application, Facts, Verdict
from splitmirror_drivers.contracts.array import Array, Mode, PairState
from splitmirror_drivers.contracts.host import Hold, Host


@dataclass(frozen=True, slots=True)
class Target:
    """One group this run establishes and splits. `mode` None: nothing has to be copied to be in sync."""

    array: Array
    group: str
    state: PairState
    mode: Mode | None
    mirror: int
    is_log: bool

    @property
    def key(self) -> str:
        """Its name in claims, locks and events."""
        return f"{self.array.name}/{self.group}"


RAW = "raw"


@dataclass(frozen=True, slots=True)
class Covered:
    """Where one of an application's files lies: its real path, mount point, device and filesystem type on its host.

    A device that carries no filesystem (a raw volume, an ASM disk group) has `RAW` as its type and no mount point.
    `is_log`: one that may lie on a log mirror instead. `devices`: its device, and what else its filesystem spans, with
    what they stand on.
    """

    host: str
    path: str
    mount: str
    device: str
    filesystem: str
    is_log: bool = False
    devices: tuple[Device, ...] = ()

    @property
    def is_raw(self) -> bool:
        """Whether no filesystem is between the file and its device."""
        return self.filesystem == RAW

    @property
    def has_structure(self) -> bool:
        """Whether a filesystem or a disk group lies between file and devices, which writes by itself.

        A raw volume is a file of the application, and what it may be copied like is the application's own affair.
        """
        return not (self.is_raw and self.path.startswith("/"))

    @property
    def stands_on(self) -> tuple[Device, ...]:
        """Its devices; without an answer of the host the one by its name."""
        return self.devices or (Device(frozenset({self.device})),)


@dataclass(frozen=True, slots=True)
class Held:
    """One hold on one host, with the application it belongs to ("" for a filesystem frozen by the policy)."""

    host: Host
    hold: Hold
    application: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything later phases need to know; made by preflight, repeated in part by arm."""

    applications: tuple[Application, ...]
    facts: Mapping[str, Facts]
    targets: tuple[Target, ...]
    held: tuple[Held, ...]
    freezers: tuple[Application, ...]
    best: Verdict
    is_one_moment: bool
    """Whether one atomic group carries everything: then a copy without any hold is still crash-consistent."""
    reasons: tuple[str, ...]
    """Why `best` is what it is, one sentence each."""
    frozen: frozenset[str] = frozenset()
    """Keys of the targets whose filesystems stand still over the split: their copies need no journal replay."""
    machines: Mapping[str, str] = field(default_factory=dict)
    """What tells the machine behind each host's name; hosts that cannot say are missing."""

    def data_targets(self) -> tuple[Target, ...]:
        """The groups split under the freeze."""
        return tuple(target for target in self.targets if not target.is_log)

    def log_targets(self) -> tuple[Target, ...]:
        """The groups split after the resume."""
        return tuple(target for target in self.targets if target.is_log)


__all__ = ["Covered", "Held", "MirrorSet", "Survey", "Target"]
