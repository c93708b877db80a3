"""The `diskshadow` array keeps the promises of an array, over an emulated Windows: with writers and without."""

from __future__ import annotations

from pathlib import Path

from tests.contracts.array import ArrayContract, Stage, Wrong
from tests.unit.arrays.diskshadow_stage import FAULTS, VssStage


class TestWithWriters(ArrayContract):
    """The database's writer takes part; a failed script ends with exit code 0."""

    def make(self, folder: Path) -> Stage:
        stage = VssStage(folder)
        stage.faults = {**FAULTS, Wrong.UNKNOWN_WORD: "list-writers word sideways"}
        return stage


class TestWithoutWriters(ArrayContract):
    """Nobody takes part, somebody else's copies stand beside ours, and a failed script ends with exit code 1."""

    def make(self, folder: Path) -> Stage:
        stage = VssStage(folder, "--failed-code", "1", writers="none")
        stage.faults = {**FAULTS, Wrong.UNKNOWN_WORD: "list-shadows word Sideways"}
        stage.control("foreign", "D:")
        return stage
