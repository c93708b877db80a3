"""What a real host says of its devices: partitions, links, a btrfs over two disks, a raw volume; by its own guard program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.disks import Disks, run
from tests.lab.need import need

from splitmirror import coverage
from splitmirror_drivers.contracts.array import Source
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.deadline import Deadline

pytestmark = pytest.mark.lab
MIB = 2**20


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    need("losetup", "mkfs.ext4", "mkfs.btrfs", "sfdisk", "partx", loop=True)
    with Disks(tmp_path) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    made = LocalHost("local", Options(guard_dir=str(tmp_path / "state")))
    made.connect(Deadline.after(10))
    return made


def blank(disks: Disks, name: str, mib: int = 128) -> str:
    image = disks.folder / name
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    return disks.attach(image)


def is_covered(host: LocalHost, path: Path, *devices: str) -> bool:
    sources = [Source("device", device, "local") for device in devices]
    (place,) = coverage.locate(host, [str(path)], Deadline.after(10), sources=sources)
    return coverage.is_covered(place, sources)


def test_a_filesystem_is_covered_by_its_device_under_any_of_its_names(disks: Disks, host: LocalHost) -> None:
    disk = disks.make("ext4")
    link = disks.folder / "by-id"
    link.symlink_to(disk.device)
    assert is_covered(host, disk.point, disk.device)
    assert is_covered(host, disk.point, str(link))
    assert not is_covered(host, disk.point, blank(disks, "other"))
    assert not is_covered(host, disk.point, str(disks.folder / "no-such-device"))


def test_a_partition_is_covered_by_its_disk(disks: Disks, host: LocalHost) -> None:
    image = disks.folder / "parted.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    script = disks.folder / "table"
    script.write_text("label: gpt\nsize=20MiB\nsize=20MiB\n")
    run("sh", "-c", 'sfdisk -q "$1" <"$2"', "sh", str(image), str(script))
    disk = disks.attach(image)
    run("partx", "--update", disk)  # whether or not the kernel has looked by itself
    first, second = f"{disk}p1", f"{disk}p2"
    run("mkfs.ext4", "-q", first)
    point = disks.folder / "part"
    point.mkdir()
    run("mount", first, str(point))
    try:
        assert is_covered(host, point, disk)
        assert is_covered(host, point, first)
        assert not is_covered(host, point, second)
    finally:  # the partitions of a loop device outlive its image
        run("umount", str(point))
        run("partx", "--delete", disk)


def test_a_btrfs_over_two_disks_needs_both(disks: Disks, host: LocalHost) -> None:
    one, two = blank(disks, "one"), blank(disks, "two")
    run("mkfs.btrfs", "-q", "-d", "single", one, two)
    run("btrfs", "device", "scan", one, two)
    point = disks.folder / "wide"
    point.mkdir()
    run("mount", "-t", "btrfs", one, str(point))
    assert is_covered(host, point, one, two)
    assert not is_covered(host, point, one)
    assert not is_covered(host, point, two)


def test_a_raw_volume_is_its_own_device(disks: Disks, host: LocalHost) -> None:
    device = blank(disks, "chunk")
    link = disks.folder / "rootdbs"
    link.symlink_to(device)
    (place,) = coverage.locate(host, [str(link)], Deadline.after(10))
    assert place.is_raw
    assert is_covered(host, link, device)
    assert not is_covered(host, link, blank(disks, "other"))
