"""The `command` array keeps the promises of an array, over a pretend array that moves real bytes, in both families."""

from __future__ import annotations

from pathlib import Path

from tests.contracts.array import ArrayContract, Stage
from tests.emulators.stage import MIRROR, SNAPSHOT, ImageStage


class TestMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ImageStage(folder, MIRROR)


class TestPointInTime(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return ImageStage(folder, SNAPSHOT)
