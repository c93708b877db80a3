"""`timefinder` keeps the promises of an array, over emulated SYMCLI that moves real bytes: mirrors, clones, snapshots."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.contracts.array import ArrayContract, Stage
from tests.unit.arrays.timefinder_stage import HISTORIC, CloneStage, SnapStage, SymcliStage

from splitmirror_drivers.arrays.timefinder_options import Options
from splitmirror_drivers.kit.units import decode_hook


class TestMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SymcliStage(folder)


class TestConsistentInstantMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SymcliStage(folder, ("--bg", "0.3"), consistent=True, instant=True, command="symmir")


class TestHistoricMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SymcliStage(folder, ("--historic",), path=str(HISTORIC))


class TestClone(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return CloneStage(folder, consistent=True)


class TestSnapVX(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SnapStage(folder)


@pytest.mark.parametrize("make", [SymcliStage, CloneStage, SnapStage])
def test_the_table_of_a_stage_is_its_options(tmp_path: Path, make: type[SymcliStage]) -> None:
    stage = make(tmp_path)
    table = stage.table()
    assert table.pop("driver") == "timefinder"
    assert msgspec.convert(table, Options, dec_hook=decode_hook) == stage.options
