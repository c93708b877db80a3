"""Real filesystems in image files on loop devices, and their clean end whatever a test left: thawed, unmounted, detached.

A copy of a disk is its image copied byte by byte while it is (or is not) frozen: what an array's split would show.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.databases import eventually

from splitmirror_drivers.presentation.seen import Mounted, parse_mountinfo

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}
SIZE_MIB = {"ext4": 64, "xfs": 320, "btrfs": 256}
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Disk:
    """One filesystem: its image file, its loop device, and where it is mounted (if it is)."""

    kind: str
    image: Path
    device: str
    point: Path


@dataclass
class Disks:
    """Makes disks in a folder; leaving it takes everything down."""

    folder: Path
    images: list[Path] = field(default_factory=list)

    def __enter__(self) -> Disks:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clean_up()

    def make(self, kind: str, name: str = "data", *, mount: bool = True, size_mib: int = 0) -> Disk:
        """A new filesystem, mounted at ``folder/name``; as small as its kind may be unless `size_mib` says otherwise."""
        image = self.folder / f"{name}.img"
        with image.open("wb") as file:
            file.truncate((size_mib or SIZE_MIB[kind]) * 2**20)
        run(*MAKE[kind], str(image))
        disk = Disk(kind, image, self.attach(image), self.folder / name)
        if mount:
            disk.point.mkdir(exist_ok=True)
            run("mount", "-t", kind, disk.device, str(disk.point))
        return disk

    def copy(self, disk: Disk, name: str = "copy") -> Disk:
        """The disk's bytes as they are on it now, on a device of their own; not mounted."""
        image = self.folder / f"{name}.img"
        run("cp", "--sparse=always", "--reflink=never", str(disk.image), str(image))
        return Disk(disk.kind, image, self.attach(image), self.folder / name)

    def attach(self, image: Path) -> str:
        """A loop device for an image file."""
        self.images.append(image)
        return run("losetup", "--find", "--show", str(image))

    def clean_up(self) -> None:
        """Thaw, unmount (the last mount first), make writable again, detach. Asserts that nothing is left."""
        unmount_below(self.folder)
        for image in self.images:
            for device in devices_of(image):
                run("blockdev", "--setrw", device)
                run("losetup", "--detach", device)
        assert not self.mounts()
        # another test's mount namespace may keep a device for the moment that it lives
        eventually("detached", lambda: not any(devices_of(image) for image in self.images))

    def mounts(self) -> list[Mounted]:
        """Everything mounted below the folder."""
        return mounts_below(self.folder)


@contextlib.contextmanager
def btrfs(folder: Path, size_mib: int = 1024) -> Iterator[Path]:
    """A btrfs mounted at `folder`, which others may pass through. Whatever is mounted beside it goes with it."""
    with Disks(folder.parent) as disks:
        disks.make("btrfs", folder.name, size_mib=size_mib)
        folder.chmod(0o755)
        yield folder


def subvolume(path: Path) -> Path:
    """A new subvolume, which others may pass through."""
    run("btrfs", "-q", "subvolume", "create", str(path))
    path.chmod(0o755)
    return path


def snapshot(of: Path, copy: Path) -> None:
    """A writable copy of a subvolume, all of it of one moment."""
    run("btrfs", "-q", "subvolume", "snapshot", str(of), str(copy))


def run(*argv: str) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


def mounts() -> tuple[Mounted, ...]:
    """What this machine has mounted."""
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text().splitlines(), {})


def mounts_below(folder: Path) -> list[Mounted]:
    """Everything mounted below `folder`, in the order in which it was."""
    return [mount for mount in mounts() if mount.point.startswith(f"{folder}/")]


def unmount_below(folder: Path) -> None:
    """Thaw and unmount what a test left below `folder`, the last mount first."""
    for mount in reversed(mounts_below(folder)):
        subprocess.run(["fsfreeze", "--unfreeze", mount.point], capture_output=True, timeout=COMMAND_SECONDS)
        run("umount", mount.point)


def devices_of(image: Path) -> list[str]:
    """The loop devices of an image file."""
    return [line.split(":")[0] for line in run("losetup", "--associated", str(image)).splitlines()]


def is_frozen(point: Path) -> bool:
    """Whether a filesystem is frozen: asked by freezing it, and undone at once when it was not."""
    done = subprocess.run(["fsfreeze", "--freeze", str(point)], capture_output=True, timeout=COMMAND_SECONDS)
    if done.returncode == 0:
        run("fsfreeze", "--unfreeze", str(point))
    return done.returncode != 0


def freeze(point: Path) -> None:
    """Freeze a filesystem as somebody else would."""
    run("fsfreeze", "--freeze", str(point))


def thaw(point: Path) -> None:
    """And thaw it."""
    run("fsfreeze", "--unfreeze", str(point))


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """A process of its own that has `path` open; its pid."""
    script = 'exec 5<"$1"; echo ready; read -r line'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, "reader", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.stdin.close()
            process.wait(COMMAND_SECONDS)
