"""ZFS, Ceph and VxVM through the whole story against their emulated tools: see ``rounds``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.rounds import ArrayRounds, Ground
from tests.unit.arrays.test_rbd_contract import RbdStage
from tests.unit.arrays.test_zfs_contract import VolumesStage
from tests.unit.arrays.vxvm_stage import OWNER, AtHomeStage

pytestmark = pytest.mark.lab
NODES = Path("/dev/vx")
"""Where the driver expects VxVM's volumes; this machine has none."""


@pytest.fixture(autouse=True)
def made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the emulated tools show are block devices."""
    monkeypatch.setenv("EMULATED_DEVICES", "loop")


class ZvolStage(VolumesStage):
    driver = "zfs"


class TestZfs(ArrayRounds):
    stage_class = ZvolStage


class ImageStage(RbdStage):
    driver = "rbd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 1, devices={"rbd/v1": f"{folder}/p1"}, source_host="local")


class TestRbd(ArrayRounds):
    stage_class = ImageStage


class TestVxvm(ArrayRounds):
    stage_class = AtHomeStage

    @pytest.fixture
    def ground(self, tmp_path: Path) -> Iterator[Ground]:
        if NODES.exists():
            pytest.skip("does not apply: this machine has a Volume Manager of its own")
        NODES.symlink_to(tmp_path / "state.dev" / OWNER)
        try:
            with self.made(tmp_path) as ground:
                yield ground
        finally:
            NODES.unlink()
