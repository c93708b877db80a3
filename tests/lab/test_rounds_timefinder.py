"""TimeFinder's mirrors, clones and snapshots through the whole story against emulated SYMCLI: see ``rounds``."""

from __future__ import annotations

import pytest
from tests.lab.rounds import ArrayRounds
from tests.unit.arrays.timefinder_stage import CloneStage, SnapStage, SymcliStage

pytestmark = pytest.mark.lab


class TestTimeFinder(ArrayRounds):
    stage_class = SymcliStage


class TestTimeFinderClone(ArrayRounds):
    stage_class = CloneStage


class TestSnapVX(ArrayRounds):
    stage_class = SnapStage
