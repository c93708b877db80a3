"""A volume group of one volume without device-mapper: the volume is a second loop device further inside of the disk's image.

Enough of LVM's programs for what a presentation asks of them; everything else is real: the filesystem, its device, who
has it open. What LVM itself does is shown in ``lvm_inside``.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab.disks import Disk, Disks, run

from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline

HEADER_BYTES = 2**20
MAPPER = Path("/dev/mapper")


class FakedLvm(LocalHost):
    """This machine, with one disk that carries the volume group `group` with the volume `data`."""

    def __init__(self, disks: Disks, filesystem: Disk, group: str) -> None:
        super().__init__("local", Options(guard_dir=str(disks.folder / "state")))
        self.group, self.label, self.shown = group, group, Path()
        self.image, self.device_of_volume = disks.folder / "disk.img", ""
        self.image.write_bytes(bytes(HEADER_BYTES) + filesystem.image.read_bytes())
        self.disk = disks.attach(self.image)

    def run(self, command: Command, deadline: Deadline) -> Completed:
        words = command.argv
        if words[0] == "lsblk":
            return said(command, f"{self.disk} loop {numbers(self.disk)}")
        if words[:2] == ("dmsetup", "info"):
            return said(command, self.node())
        if words[0] == "pvs":
            return said(command, f"{self.disk}|PV-1|{self.label}|VG-{self.label}")
        if words[0] == "lvs":
            return said(command, "data|-wi|linear")
        if words[0] == "vgimportclone":
            self.label = words[words.index("--basevgname") + 1]
        elif words[0] in ("lvchange", "vgchange"):
            self.activate() if "-ay" in words else self.deactivate()
        elif words[0] != "lvm":
            return super().run(command, deadline)
        return said(command, "")

    def node(self) -> str:
        """The line of the volume's node, while it is active."""
        if not self.device_of_volume:
            return "No devices found"
        word = "Read-only" if self.label == self.group else "Writeable"
        return f"{self.shown.name}|LVM-{self.label}|{word}|{numbers(self.device_of_volume)}|{numbers(self.disk)}"

    def activate(self) -> None:
        how = ["--read-only"] if self.label == self.group else []
        self.device_of_volume = run("losetup", *how, "--offset", str(HEADER_BYTES), "--find", "--show", str(self.image))
        self.shown = MAPPER / f"{self.label.replace('-', '--')}-data"
        MAPPER.mkdir(exist_ok=True)
        self.shown.symlink_to(self.device_of_volume)

    def deactivate(self) -> None:
        self.shown.unlink()
        run("losetup", "--detach", self.device_of_volume)
        self.device_of_volume = ""

    def close(self) -> None:
        """Leave no link behind; the disks detach their devices themselves."""
        if self.device_of_volume:
            self.shown.unlink()


def numbers(device: str) -> str:
    """MAJOR:MINOR."""
    number = Path(device).stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def said(command: Command, text: str) -> Completed:
    return Completed(command.argv, 0, f"{text}\n", "", 0.0)
