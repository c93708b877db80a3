"""Stages over lvm2's emulated tools: split legs, shown here or on a second machine, thin and thick snapshots."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.contracts.array import Wrong
from tests.emulators.emulated import EmulatedStage

from splitmirror_drivers.arrays.lvm import Group, LvmMirror, LvmSnapshots, Options, from_options
from splitmirror_drivers.arrays.lvm_options import Method
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.hosts import local
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret

MIRROR_FAULTS = {
    Wrong.SPLIT_HANGS: "split hang",
    Wrong.SPLIT_HANGS_AFTER: "split lv-hang-after lv{last}",
    Wrong.SPLIT_IS_REFUSED: "split fail",
    Wrong.QUERY_HANGS: "lvs hang",
    Wrong.UNKNOWN_WORD: "lvs attr sideways",
    Wrong.ESTABLISH_HANGS: "merge hang",
}
SNAPSHOT_FAULTS = {
    Wrong.SPLIT_HANGS: "snapshot hang",
    Wrong.SPLIT_HANGS_AFTER: "snapshot lv-hang-after lv{last}",
    Wrong.SPLIT_IS_REFUSED: "snapshot fail",
    Wrong.QUERY_HANGS: "lvs hang",
    Wrong.UNKNOWN_WORD: "lvs attr sideways",
}
OWNER, OTHER = "db1", "backup"


class EmulatedHost(local.LocalHost):
    """This machine as one of the emulated ones: its tools are found before any others. `boot` is its boot id."""

    def __init__(self, name: str, tools: str, guard_dir: str) -> None:
        super().__init__(name, local.Options(guard_dir=guard_dir))
        self.tools, self.boot = tools, "first"

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        """Run an argument list with the emulated tools first on PATH."""
        if command_.argv[-1].endswith("/boot_id"):
            return Completed(command_.argv, 0, f"{self.boot}\n", "", 0.0)
        path = f"{self.tools}:{os.environ['PATH']}"
        return super().run(Command(command_.argv, command_.stdin, {**command_.environment, "PATH": path}), deadline)


class LvmStage(EmulatedStage):
    """The volume group ``erp`` on ``db1``; ``backup`` is a second machine that sees the legs' disks."""

    group = "erp"
    emulator = "lvm"
    state_variable = "LVM_EMULATOR_STATE"
    driver = "lvm"
    method: ClassVar[Method] = "split-mirror"
    made_with: ClassVar[tuple[str, ...]] = ()
    leg: ClassVar[str] = "sdb"
    size: ClassVar[str] = ""
    copy_host: ClassVar[str] = ""
    more_faults: ClassVar[dict[str, str]] = {
        "a volume is not there any more": "lvs drop",
        "a volume's state is no letters": "lvs attr PUZZLED",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        faults = MIRROR_FAULTS if self.method == "split-mirror" else SNAPSHOT_FAULTS
        self.faults = {what: line.format(last=self.primaries) for what, line in faults.items()}
        self.control("create", "--group", "erp", *(f"{p}={c}" for p, c in self.images()), *self.made_with)
        self.hosts = {name: self.host(name) for name in (OWNER, OTHER)}
        leg = f"{folder}/state.dev/{self.leg}" if self.leg else ""
        volumes = tuple(f"erp/lv{number}" for number in range(1, self.primaries + 1))
        group = Group(volumes=volumes, leg=leg, size=self.size)
        self.options: Options = Options(method=self.method, groups={"erp": group}, copy_host=self.copy_host)

    def host(self, name: str) -> EmulatedHost:
        """One of the emulated machines."""
        tools = f"{self.folder}/tools.{name}"
        self.control("wrap", name, tools)
        return EmulatedHost(name, tools, f"{self.folder}/guard.{name}")

    def array(self) -> LvmMirror | LvmSnapshots:
        context = Context(secret=lambda _: Secret(""), state_folder=str(self.folder), host=self.hosts.__getitem__)
        return from_options("vols", self.options, self.hosts[OWNER], context)

    @contextlib.contextmanager
    def in_use(self, exposed: Exposed) -> Iterator[None]:
        with Path(exposed.paths[0]).open("rb"):
            yield


class TwoVolumes(LvmStage):
    """Split legs, shown on the volumes' own host."""

    primaries = 2


class SlowStage(TwoVolumes):
    """Copying takes its time."""

    made_with = ("--rate", "200")


class ShownElsewhere(TwoVolumes):
    """The legs are shown on the backup server."""

    copy_host = OTHER


class AnyLeg(LvmStage):
    """The policy does not say which leg is split off."""

    leg = ""


class SnapshotStage(TwoVolumes):
    """Snapshots of either kind."""

    leg = ""


class ThinStage(SnapshotStage):
    """Thin snapshots."""

    method = "thin-snapshot"
    made_with = ("--thin",)


class ThickStage(SnapshotStage):
    """Thick snapshots."""

    method = "snapshot"
    size = "100%ORIGIN"
