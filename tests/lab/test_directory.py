"""The directory mirror on real filesystems: clones, a full disk, a frozen source, mounts inside, a restart's lost writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.need import find, need
from tests.unit.arrays.trees import GROUP, establish, eventually, mirror_of, snapshot, soon, split, word, written

from splitmirror_drivers.arrays.directory import DirectoryMirror, Group, Options
from splitmirror_drivers.contracts.array import Mode
from splitmirror_drivers.kit.errors import CommandFailed, Refused

pytestmark = pytest.mark.lab
MIB = 2**20


def run(*argv: str) -> None:
    done = subprocess.run([find(argv[0]) or argv[0], *argv[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Mounts:
    """Filesystems made for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points: list[Path] = []

    def make(self, name: str, kind: str, megabytes: int = 256, *options: str) -> Path:
        """A new filesystem mounted at ``folder/name``."""
        point = self.folder / name
        point.mkdir()
        if kind == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(point))
        else:
            image = self.folder / f"{name}.img"
            with image.open("wb") as file:
                file.truncate(megabytes * MIB)
            run(f"mkfs.{kind}", "-q", *options, str(image))
            run("mount", "-o", "loop", str(image), str(point))
        self.points.append(point)
        return point

    def close(self) -> None:
        for point in reversed(self.points):
            run("umount", str(point))


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    need("mount", "umount")
    made = Mounts(tmp_path)
    yield made
    made.close()


def array_of(source: Path, mirror: Path) -> DirectoryMirror:
    return DirectoryMirror("tree", Options(groups={GROUP: Group(source=str(source), mirror=str(mirror))}))


@pytest.mark.parametrize(("kind", "options"), [("btrfs", ()), ("xfs", ("-m", "reflink=1"))])
def test_where_the_filesystem_can_files_are_cloned_and_not_copied(
    mounts: Mounts, kind: str, options: tuple[str, ...]
) -> None:
    need(f"mkfs.{kind}", loop=True)
    point = mounts.make("fs", kind, 400, *options)
    (point / "source").mkdir()
    (point / "source" / "big").write_bytes(os.urandom(48 * MIB))
    array = mirror_of(point)
    establish(array, Mode.FULL)
    assert written(array) == 0
    assert snapshot(point / "mirror") == snapshot(point / "source")
    with (point / "source" / "big").open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"changed")
        file.truncate(40 * MIB)
    split(array)
    assert snapshot(point / "mirror") == snapshot(point / "source")
    (point / "source" / "big").write_bytes(b"another")
    assert (point / "mirror" / "big").stat().st_size == 40 * MIB


def test_a_full_mirror_is_told_and_goes_on_when_there_is_room(mounts: Mounts, tmp_path: Path) -> None:
    point = mounts.make("small", "tmpfs", 8)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a-big").write_bytes(os.urandom(6 * MIB))
    (tmp_path / "source" / "b-big").write_bytes(os.urandom(6 * MIB))
    array = array_of(tmp_path / "source", point / "mirror")
    array.establish(GROUP, Mode.FULL, soon())
    eventually("it failed", lambda: word(array) == "failed")
    with pytest.raises(CommandFailed, match=r"b-big cannot be copied: No space left") as caught:
        array.progress(GROUP, soon())
    assert "make room" in caught.value.hint
    run("mount", "-o", "remount,size=64m", str(point))
    establish(array, Mode.FULL)
    assert snapshot(point / "mirror") == snapshot(tmp_path / "source")


def test_a_split_that_finds_no_room_is_no_copy(mounts: Mounts, tmp_path: Path) -> None:
    point = mounts.make("small", "tmpfs", 8)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"one")
    array = array_of(tmp_path / "source", point / "mirror")
    establish(array, Mode.FULL)
    (tmp_path / "source" / "big").write_bytes(os.urandom(16 * MIB))
    with pytest.raises(CommandFailed, match="No space left"):
        split(array)
    assert word(array) == "failed"
    (tmp_path / "source" / "big").unlink()
    establish(array)
    split(array)
    assert snapshot(point / "mirror") == snapshot(tmp_path / "source")


def test_a_frozen_source_is_split_to_another_filesystem(mounts: Mounts) -> None:
    need("mkfs.ext4", "fsfreeze", loop=True)
    source, other = mounts.make("data", "ext4", 64), mounts.make("other", "ext4", 64)
    (source / "lost+found").rmdir()
    (source / "file").write_bytes(b"one")
    array = array_of(source, other / "mirror")
    assert array.traits.allows_freeze
    establish(array, Mode.FULL)
    (source / "file").write_bytes(b"two")
    run("fsfreeze", "-f", str(source))
    try:
        split(array)
    finally:
        run("fsfreeze", "-u", str(source))
    (source / "file").write_bytes(b"three")
    assert (other / "mirror" / "file").read_bytes() == b"two"


@pytest.mark.parametrize("inside", ["source", "mirror"])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_inside_is_refused_and_nothing_is_touched(
    mounts: Mounts, tmp_path: Path, inside: str, kind: str
) -> None:
    (tmp_path / "source" / "below").mkdir(parents=True)
    array = mirror_of(tmp_path)
    establish(array, Mode.FULL)
    point, elsewhere = tmp_path / inside / "below", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    argv = (
        ("mount", "-t", "tmpfs", "none", str(point))
        if kind == "tmpfs"
        else ("mount", "--bind", str(elsewhere), str(point))
    )
    run(*argv)
    mounts.points.append(point)
    with pytest.raises(Refused, match=f"{inside}/below is mounted inside"):
        array.establish(GROUP, Mode.INCREMENTAL, soon())
    assert (elsewhere / "precious").exists()


def test_a_filesystem_mounted_inside_since_the_establish_ends_the_split(mounts: Mounts, tmp_path: Path) -> None:
    (tmp_path / "source" / "below").mkdir(parents=True)
    array = mirror_of(tmp_path)
    establish(array, Mode.FULL)
    run("mount", "-t", "tmpfs", "none", str(tmp_path / "source" / "below"))
    mounts.points.append(tmp_path / "source" / "below")
    with pytest.raises(Refused, match="another filesystem inside"):
        split(array)


def test_an_unmounted_source_does_not_empty_its_mirror(mounts: Mounts, tmp_path: Path) -> None:
    source = mounts.make("source", "tmpfs", 8)
    (source / "precious").write_bytes(b"precious")
    (source / "more").write_bytes(b"more")
    array = mirror_of(tmp_path)
    establish(array, Mode.FULL)
    run("umount", str(source))
    mounts.points.remove(source)
    with pytest.raises(Refused, match="not what was mirrored before"):
        array.establish(GROUP, Mode.INCREMENTAL, soon())
    assert (tmp_path / "mirror" / "precious").read_bytes() == b"precious"


def test_devices_are_copied_as_root(mounts: Mounts, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mknod(tmp_path / "source" / "null", 0o20666, os.makedev(1, 3))
    (tmp_path / "source" / "null").chmod(0o666)
    array = mirror_of(tmp_path)
    establish(array, Mode.FULL)
    assert snapshot(tmp_path / "mirror") == snapshot(tmp_path / "source")
