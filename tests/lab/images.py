"""A site whose mirror is the pretend array: databases on filesystems on loop devices, whose images are really copied.

The images lie on the site's pool, a btrfs, so a split clones them (FICLONE) and the freeze is short. A copy appears as a
loop device that is made when it is exposed, or as one that stands all the time, as on most arrays. Both can be written to.
"""

from __future__ import annotations

import filecmp
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from tests.emulators.stage import IMAGEARRAY, MIRROR
from tests.lab.disks import Disk, Disks, run, unmount_below
from tests.lab.site import Site

from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline

SIZE_MIB = {"ext4": 192, "xfs": 320}
CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Mirrored:
    """One filesystem whose device is the only pair of a group. `copy_device`: where the copy appears."""

    disk: Disk
    host: str
    copy: Path
    copy_device: str

    @property
    def group(self) -> Mapping[str, object]:
        """As the policy file names it."""
        return {
            "pairs": 1,
            "devices": [self.disk.device],
            "source-host": self.host,
            "copy-devices": [self.copy_device],
        }

    @property
    def bytes(self) -> int:
        """The size of the device."""
        return SIZE_MIB[self.disk.kind] * 2**20

    def is_untouched(self) -> bool:
        """Whether the copy is still, byte by byte, what it was before it was exposed."""
        return filecmp.cmp(self.copy, f"{self.copy}.exposed", shallow=False)


@dataclass
class Images:
    """The pretend array of one site."""

    site: Site
    disks: Disks
    mirrored: dict[str, Mirrored] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.disks.folder

    def add(self, kind: str, name: str, host: str, *, stands: bool = False) -> Mirrored:
        """A filesystem of `host`, mounted at ``folder/NAME``, and its group. `stands`: its copy's device is always there."""
        disk = self.disks.make(kind, name, size_mib=SIZE_MIB[kind])
        copy = self.folder / f"{name}.copy"
        with copy.open("wb") as file:
            file.truncate(SIZE_MIB[kind] * 2**20)
        self.disks.images.append(copy)
        device = run("losetup", "--find", "--show", str(copy)) if stands else f"{copy}.dev"
        self.call("create", name, f"{disk.image}={copy}", "--writable", *(() if stands else ("--loop",)))
        self.mirrored[name] = Mirrored(disk, host, copy, device)
        return self.mirrored[name]

    def array(
        self, name: str, groups: Mapping[str, Mapping[str, object]], *, split: str = "{groups}", **options: object
    ) -> None:
        """An array of the policy file over groups of the pretend one. `split`: what one split command is given."""
        table = tomllib.loads(MIRROR.format(folder=self.folder, program=IMAGEARRAY))
        table["commands"]["split"] = [IMAGEARRAY, "split", split]
        table |= {"driver": "command", "host": "local", "groups": groups, **options}
        self.site.add(f"arrays.{name}", **table)

    def call(self, *words: str) -> str:
        """Run imagearray by itself; what it printed."""
        environment = {"IMAGEARRAY_STATE": f"{self.folder}/state"}
        asked = Command((IMAGEARRAY, *words), environment=environment)
        return command.run(asked, Deadline.after(CALL_SECONDS)).require("imagearray").stdout

    def moved_bytes(self, group: str) -> int:
        """How much the last establish copied."""
        return sum(int(pair["moved"]) for pair in self._group(group)["pairs"].values())

    def exposed(self, group: str) -> Mapping[str, str]:
        """What is visible of a group's copy: image and device."""
        return dict(self._group(group)["exposed"])

    def _group(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode((self.folder / "state").read_bytes())["groups"][name]
        return found

    @contextmanager
    def faults(self, *lines: str) -> Iterator[None]:
        """What goes wrong during the block."""
        file = self.folder / "state.faults"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            yield
        finally:
            file.unlink()


@contextmanager
def images(site: Site) -> Iterator[Images]:
    """The array without groups yet; on the way out nothing of it is left mounted, attached or presented."""
    folder = site.pool / "images"
    folder.mkdir()
    folder.chmod(0o755)
    with Disks(folder) as disks:
        try:
            yield Images(site, disks)
        finally:
            unmount_below(site.folder / "backup")
