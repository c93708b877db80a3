"""A real filesystem on a real block device, mirrored by the pretend array through the `command` driver, byte for byte."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.array import ArrayContract, Stage, until_done
from tests.emulators.stage import MIRROR, ImageStage
from tests.lab.need import find, need

from splitmirror_drivers.contracts.array import Exposed, Mode
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse

pytestmark = pytest.mark.lab

IMAGE_BYTES = 24 * 2**20


def soon() -> Deadline:
    return Deadline.after(60)


def run(*argv: str) -> str:
    """A program of the system, found also where only root looks; what it printed."""
    program = find(argv[0])
    assert program
    return command.run(Command((program, *argv[1:])), soon()).require(argv[0]).stdout.strip()


class LoopStage(ImageStage):
    """Copies appear as read-only loop devices."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MIRROR, "--loop")

    @contextlib.contextmanager
    def in_use(self, exposed: Exposed) -> Iterator[None]:
        """As a mount does: opened for oneself."""
        held = os.open(exposed.paths[0], os.O_RDONLY | os.O_EXCL)
        yield
        os.close(held)

    def close(self) -> None:
        super().close()
        self.call("unexpose", "erp")


class TestLoopDevices(ArrayContract):
    def make(self, folder: Path) -> Stage:
        need("losetup", loop=True)
        return LoopStage(folder)


class Primary:
    """An ext4 filesystem on a loop device over the first image of a group; the second image is its raw neighbour."""

    def __init__(self, stage: LoopStage, folder: Path) -> None:
        self.stage, self.mount, self.device = stage, folder / "primary", ""
        self.image = folder / "p1"
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        run("mkfs.ext4", "-q", str(self.image))
        self.device = run("losetup", "--find", "--show", str(self.image))
        self.mount.mkdir()
        run("mount", self.device, str(self.mount))

    def write(self, text: str) -> None:
        (self.mount / "data").write_text(text, encoding="utf-8")

    def close(self) -> None:
        run("umount", str(self.mount))
        run("losetup", "--detach", self.device)


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    need("losetup", "mkfs.ext4", "mount", "umount", "fsfreeze", loop=True)
    made = Primary(LoopStage(tmp_path), tmp_path)
    yield made
    made.close()
    made.stage.close()


@contextlib.contextmanager
def frozen(mount: Path) -> Iterator[None]:
    run("fsfreeze", "--freeze", str(mount))
    try:
        yield
    finally:
        run("fsfreeze", "--unfreeze", str(mount))


@contextlib.contextmanager
def mounted(device: str, folder: Path) -> Iterator[Path]:
    """As the copy of a frozen filesystem is mounted: read-only, its journal left alone."""
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "ro,noload", str(Path(device).resolve()), str(folder))
    try:
        yield folder
    finally:
        run("umount", str(folder))


def test_a_frozen_filesystem_is_split_mounted_and_attached_again(primary: Primary, tmp_path: Path) -> None:
    array, copied = primary.stage.array(), []
    for number, mode in enumerate((Mode.FULL, Mode.INCREMENTAL, Mode.INCREMENTAL)):
        primary.write(f"before split {number}")
        array.establish("erp", mode, soon())
        until_done(lambda: array.progress("erp", soon()), "establish")
        copied.append(primary.stage.copied_bytes())
        primary.write(f"at split {number}")
        with frozen(primary.mount):
            (receipt,) = array.split(["erp"], f"run-{number}", soon())
        primary.write(f"after split {number}")
        until_done(lambda receipt=receipt: array.settle(receipt, soon()), "settle")
        exposed = array.expose(receipt, soon())
        with mounted(exposed.paths[0], tmp_path / "copy") as folder:
            assert (folder / "data").read_text(encoding="utf-8") == f"at split {number}"
            with pytest.raises(InUse):
                array.unexpose(receipt, soon())
            assert (folder / "data").read_text(encoding="utf-8") == f"at split {number}"
        array.unexpose(receipt, soon())
    assert copied[0] > 0
    assert all(0 < later < IMAGE_BYTES / 4 for later in copied[1:]), "only what changed is copied"


def test_the_copy_is_sound_to_the_filesystems_own_checker(primary: Primary) -> None:
    need("e2fsck")
    array = primary.stage.array()
    primary.write("one")
    array.establish("erp", Mode.FULL, soon())
    until_done(lambda: array.progress("erp", soon()), "establish")
    with frozen(primary.mount):
        array.split(["erp"], "run-1", soon())
    run("e2fsck", "-f", "-n", str(primary.stage.folder / "c1"))


def test_several_images_are_of_one_moment_on_a_filesystem_that_clones(tmp_path: Path) -> None:
    """On btrfs each image is cloned at once instead of copied block by block."""
    need("losetup", "mkfs.btrfs", "mount", "umount", loop=True)
    disk, place = tmp_path / "disk", tmp_path / "place"
    with disk.open("wb") as file:
        file.truncate(256 * 2**20)
    run("mkfs.btrfs", "-q", str(disk))
    place.mkdir()
    run("mount", "-o", "loop", str(disk), str(place))
    try:
        stage = ImageStage(place)
        stage.write(b"one")
        stage.array().establish("erp", Mode.FULL, soon())
        until_done(lambda: stage.array().progress("erp", soon()), "establish")
        stage.write(b"two")
        (receipt,) = stage.array().split(["erp"], "run-1", soon())
        stage.write(b"three")
        assert stage.read(stage.array().expose(receipt, soon())) == (b"two", b"two")
        stage.close()
    finally:
        run("umount", str(place))
