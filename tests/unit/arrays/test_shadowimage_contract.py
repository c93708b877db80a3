"""The `shadowimage` array keeps the promises of an array, over RAID Manager's emulated tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.array import ArrayContract, Stage, Wrong
from tests.emulators.emulated import EmulatedStage

from splitmirror_drivers.arrays.shadowimage import Group, Options, ShadowImage
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.units import Duration

FAULTS = {
    Wrong.SPLIT_HANGS: "pairsplit hang",
    Wrong.SPLIT_HANGS_AFTER: "pairsplit hang-after",
    Wrong.SPLIT_IS_REFUSED: "pairsplit fail",
    Wrong.QUERY_HANGS: "pairdisplay hang",
    Wrong.UNKNOWN_WORD: "pairdisplay word SIDEWAYS",
    Wrong.ESTABLISH_HANGS: "pairresync hang",
    Wrong.LOCKED_FOR_A_MOMENT: "pairsplit busy 2",
}


class StageHost(LocalHost):
    """This machine, with an environment in which the tools find their emulated array."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self.environment = environment

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        environment = {**self.environment, **command_.environment}
        return super().run(Command(command_.argv, command_.stdin, environment), deadline)


class XpStage(EmulatedStage):
    """One device group of two pairs; both instances run here."""

    group = "oradata"
    primaries = 2
    emulator = "raidmanager"
    state_variable = "RAIDMANAGER_EMULATOR_STATE"
    driver = "shadowimage"
    options: Options

    def __init__(self, folder: Path, *more: str, **options: Any) -> None:
        super().__init__(folder)
        self.faults = FAULTS
        pairs = [f"{primary}={copy}" for primary, copy in self.images()]
        self.control("create", "--group", self.group, *pairs, *more)
        self.options = self.made_options(**options)

    def made_options(self, **options: Any) -> Options:
        names = [f"oradata0{number}" for number in (1, 2)]
        images = self.images()
        group = Group(
            pairs={"oradata01": "01:10", "oradata02": "01:11"},
            devices={name: primary for name, (primary, _) in zip(names, images, strict=True)},
            copy_devices={name: copy for name, (_, copy) in zip(names, images, strict=True)},
            source_host="db1",
        )
        given: dict[str, Any] = {"instance": 0, "sees": "p-vol", "groups": {self.group: group}}
        given |= {"tools": str(self.tools), "busy_pause": Duration(0.05), **options}
        return Options(**given)

    @property
    def host(self) -> Host:
        return StageHost(self.environment)

    def array(self) -> ShadowImage:
        return ShadowImage("xp", self.options, self.host)


class TestFromTheOtherSide(ArrayContract):
    """Pairs that split at once, spoken to through the instance that sees the S-VOLs."""

    def make(self, folder: Path) -> Stage:
        return XpStage(folder, instance=1, sees="s-vol")


class TestShadowImage(ArrayContract):
    """A steady split that copies on for a while: P-VOL COPY, then PSUS with the S-VOL still COPY."""

    def make(self, folder: Path) -> Stage:
        return XpStage(folder, "--drain", "0.6", "--p-lag", "0.3", "--rate", "400")


class TestConsistencyGroup(ArrayContract):
    """One moment for all pairs: that at which the array received the request."""

    def make(self, folder: Path) -> Stage:
        return XpStage(folder, "--drain", "0.6", "--p-lag", "0.3", consistency_group=True)


class TestThinImage(ArrayContract):
    """Snapshots, driven by the same moves: in sync at once."""

    def make(self, folder: Path) -> Stage:
        stage = XpStage(folder, "--thin", product="thin-image")
        stage.is_tracking = False
        return stage


@pytest.fixture(autouse=True)
def no_stray_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command means must not depend on the environment of who runs these tests."""
    for name in [name for name in os.environ if name.startswith("HORC")]:
        monkeypatch.delenv(name)
