"""LVM and md through the whole story against their emulated tools: see ``rounds``. On real kernels: ``test_uml_*``."""

from __future__ import annotations

import os

import pytest
from tests.lab.rounds import ArrayRounds
from tests.unit.arrays.lvm_stage import OWNER, TwoVolumes
from tests.unit.arrays.md_stage import MdStage

pytestmark = pytest.mark.lab


class LvmStage(TwoVolumes):
    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PATH": f"{self.folder}/tools.{OWNER}:{os.environ['PATH']}"}


class TestLvm(ArrayRounds):
    stage_class = LvmStage


class MembersStage(MdStage):
    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PATH": f"{self.folder}/tools.{OWNER}:{os.environ['PATH']}"}


class TestMd(ArrayRounds):
    stage_class = MembersStage
