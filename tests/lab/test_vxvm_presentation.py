"""A disk group of a copy presented: every promise of the contract, with real mounts over the emulated Volume Manager."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.contracts.presentation import RUN, PresentationContract, Shown, soon
from tests.emulators.emulated import HERE
from tests.lab.disks import Disk, Disks, opened, run
from tests.lab.need import need

from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse
from splitmirror_drivers.presentation import vxvm, vxvm_group
from splitmirror_drivers.presentation.mount import TOKEN
from splitmirror_drivers.presentation.mount import Options as MountOptions
from splitmirror_drivers.presentation.vxvm import Options, VolumeMount, Vxvm

pytestmark = pytest.mark.lab

OWNER, BACKUP = "db1", "backup"


class VxHost(LocalHost):
    """This machine, as the emulated backup host: the emulated programs are first on its PATH."""

    def __init__(self, folder: Path) -> None:
        super().__init__("local", HostOptions(guard_dir=f"{folder}/guard"))
        self.folder = folder

    def run(self, asked: Command, deadline: Deadline) -> Completed:
        if asked.argv[:2] == (
            "vxdisk",
            "clearimport",
        ):  # which the emulated one has not: an import that clears, a deport
            for words in (("vxdg", "-C", "-o", "useclonedev=on", "import", "erp"), ("vxdg", "deport", "erp")):
                self.run(Command(words), deadline).require("clearing locks")
            return Completed(asked.argv, 0, "", "", 0.0)
        environment = {"PATH": f"{self.folder}/{BACKUP}:{os.environ['PATH']}", **asked.environment}
        return super().run(Command(asked.argv, asked.stdin, environment), deadline)


@dataclass
class Group:
    """Disk group ``erp`` on db1 with one volume on `disk`; the devices `others` are for its copy."""

    folder: Path
    disk: Disk
    others: tuple[str, str]

    @property
    def devices(self) -> str:
        """Where the backup host has the devices of volumes."""
        return f"{self.folder}/state.dev/{BACKUP}/dsk"

    def control(self, *words: str) -> None:
        environment = {"VXVM_EMULATOR_STATE": f"{self.folder}/state"}
        asked = Command((str(HERE / "vxvm" / "control"), *words), environment=environment)
        command.run(asked, Deadline.after(30)).require("control")

    def create(self, spare: str) -> None:
        """The group, whose second disk is `spare`."""
        self.control("create", "--group", "erp", f"{self.disk.device}={spare}")
        for host in (OWNER, BACKUP):
            (self.folder / host).mkdir()
            self.control("tools", host, f"{self.folder}/{host}")

    def ok(self, host: str, tool: str, *words: str) -> str:
        asked = Command((f"{self.folder}/{host}/{tool}", *words))
        return command.run(asked, Deadline.after(60)).require(tool).stdout

    def split_off(self) -> Shown:
        """The volume's snapshot, in a deported disk group of its own."""
        self.create(self.others[0])
        self.ok(OWNER, "vxsnap", "-g", "erp", "addmir", "erp01", "nmirror=1")
        self.ok(OWNER, "vxsnap", "-g", "erp", "make", "source=erp01/newvol=erp01_copy/nmirror=1")
        self.ok(OWNER, "vxdg", "split", "erp", "erp_copy", "erp01_copy")
        self.ok(OWNER, "vxdg", "deport", "erp_copy")
        return self.shown((f"{self.devices}/erp_copy/erp01_copy",), "erp_copy")

    def bit_copy(self) -> Shown:
        """What an array shows of both disks."""
        spare = self.folder / "spare"
        spare.write_bytes(bytes(1024 * 1024))
        self.create(str(spare))
        self.control("twin", "erp", f"{self.disk.device}={self.others[0]}", f"{spare}={self.others[1]}")
        return self.shown(self.others, "erp")

    def shown(self, exposed: tuple[str, ...], disk_group: str) -> Shown:
        above = self.folder / "backup-of"
        above.mkdir(exist_ok=True)
        mount = VolumeMount(f"{above}/erp", MountOptions(), VxHost(self.folder), "")
        presentation = Vxvm(mount.path, Options(disk_group=disk_group), mount.host, mount)
        return Shown(presentation, Exposed("device", exposed, "local"), "rows")

    def imported(self) -> list[str]:
        """The disk groups that the backup host has."""
        return [line.split()[0] for line in self.ok(BACKUP, "vxdg", "list").splitlines()[1:]]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    need("mkfs.ext4", "blkid", "losetup", loop=True)
    for module in (vxvm, vxvm_group):
        monkeypatch.setattr(module, "DEVICES", f"{tmp_path}/state.dev/{BACKUP}/dsk")
    with Disks(tmp_path) as disks:
        disk = disks.make("ext4")
        (disk.point / "rows").write_text("erp\n")
        (disk.point / TOKEN).write_text(f"{RUN}\n")
        run("umount", str(disk.point))
        small = tmp_path / "small.img"
        small.write_bytes(bytes(1024 * 1024))
        yield Group(tmp_path, disk, (disks.copy(disk).device, disks.attach(small)))


class TestSplitOff(PresentationContract):
    """Snapshots that the array has split off into a disk group of their own."""

    @pytest.fixture
    def shown(self, group: Group) -> Shown:
        return group.split_off()


class TestBitCopy(PresentationContract):
    """A bit copy of all disks, of an array that does not repair writes, on a host that has not the original imported."""

    @pytest.fixture
    def shown(self, group: Group) -> Shown:
        return group.bit_copy()


@pytest.mark.parametrize("kind", ["split_off", "bit_copy"])
def test_nothing_is_left_imported(group: Group, kind: str) -> None:
    shown: Shown = getattr(group, kind)()
    shown.present()
    assert (shown.path / "rows").read_text() == "erp\n"
    with pytest.raises(OSError, match="Read-only file system"):
        (shown.path / "new").write_text("x")
    assert len(group.imported()) == 1
    with shown.in_use(), pytest.raises(InUse):
        shown.withdraw()
    assert len(group.imported()) == 1
    shown.withdraw()
    assert group.imported() == []


def test_volume_that_is_read_raw_keeps_the_group(group: Group) -> None:
    shown = group.split_off()
    intent = shown.present()
    run("umount", str(shown.path))
    device = f"{group.devices}/erp_copy/erp01_copy"
    with opened(device) as pid:
        assert pid in {user.pid for user in shown.presentation.users(intent, soon())}
        with pytest.raises(InUse, match=f"pid {pid}"):
            shown.withdraw()
        assert group.imported() == ["erp_copy"]
    shown.withdraw()
    assert group.imported() == []
