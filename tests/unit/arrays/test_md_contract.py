"""The `md` array keeps the promises of an array, over mdadm's emulated tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.array import ArrayContract, Stage
from tests.unit.arrays.md_stage import MdStage, ShownElsewhere, SlowStage


class TestTwoArrays(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return MdStage(folder)


@pytest.mark.long
class TestTwoArraysThatCopySlowly(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SlowStage(folder)


class TestTwoArraysShownOnAnotherHost(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ShownElsewhere(folder)
