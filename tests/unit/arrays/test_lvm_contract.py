"""The `lvm` array keeps the promises of an array, over lvm2's emulated tools: split legs, thin and thick snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.array import ArrayContract, Stage
from tests.unit.arrays.lvm_stage import AnyLeg, ShownElsewhere, SlowStage, ThickStage, ThinStage, TwoVolumes


class TestSplitMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return TwoVolumes(folder)


@pytest.mark.long
class TestSplitMirrorThatCopiesSlowly(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SlowStage(folder)


class TestSplitMirrorShownOnAnotherHost(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ShownElsewhere(folder)


@pytest.mark.long
class TestSplitMirrorOfAnyLeg(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return AnyLeg(folder)


class TestThinSnapshots(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ThinStage(folder)


class TestThickSnapshots(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ThickStage(folder)
