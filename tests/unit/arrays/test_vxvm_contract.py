"""The `vxvm` array keeps the promises of an array, over the emulated Volume Manager."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.array import SHORT_SECONDS, ArrayContract, Stage, Wrong, soon
from tests.unit.arrays.vxvm_stage import AtHomeStage, VxvmStage

from splitmirror_drivers.contracts.array import Mode
from splitmirror_drivers.kit.errors import DeadlinePassed


class TestInstant(ArrayContract):
    """Instant snapshots, read by another host."""

    def make(self, folder: Path) -> Stage:
        return VxvmStage(folder)


class TestInstantAtHome(ArrayContract):
    """An instant snapshot that stays in its disk group, of a volume whose mirror takes its time."""

    def make(self, folder: Path) -> Stage:
        return AtHomeStage(folder, "--rate", "200", "--started-fails", "--autostart")


class TestTraditional(ArrayContract):
    """Traditional snapshots with persistent FastResync; volumes are started by the import."""

    def make(self, folder: Path) -> Stage:
        return VxvmStage(folder, "--model", "traditional", "--autostart", "--started-fails", method="vxassist")


class TestWithoutTracking(ArrayContract):
    """Traditional snapshots without FastResync: everything is copied each time."""

    def make(self, folder: Path) -> Stage:
        options = {"method": "vxassist", "tracks-changes": False}
        return VxvmStage(folder, "--model", "none", "--fastresync", "off", **options)

    def test_establish_keeps_its_deadline(self, ready: Stage) -> None:
        """As the contract has it, with the only mode that this array allows."""
        self.split(ready)
        ready.wrong(Wrong.ESTABLISH_HANGS)
        with self.in_time(), pytest.raises(DeadlinePassed):
            ready.array().establish(ready.group, Mode.FULL, soon(SHORT_SECONDS))
