"""ShadowImage and the HSG80 through the whole story against their emulated controllers: see ``rounds``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.lab.rounds import ArrayRounds
from tests.unit.arrays.hsg80_stages import ConsoleStage
from tests.unit.arrays.test_shadowimage_contract import XpStage

pytestmark = pytest.mark.lab


class SteadyStage(XpStage):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--drain", "0.6", "--p-lag", "0.3")


class TestShadowImage(ArrayRounds):
    stage_class = SteadyStage


class TestHsg80(ArrayRounds):
    stage_class = ConsoleStage
    options: ClassVar[dict[str, Any]] = {"full-copy": "always"}
