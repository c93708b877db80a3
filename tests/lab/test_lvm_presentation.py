"""The volume group of a copy presented: every promise of the contract over loop devices, and LVM itself on a lab host.

The tests of ``lvm_inside`` run within the lab host, where they may do what they like with disks, volume groups and LVM's
configuration; the product's own code runs there, over its own ``local`` host.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.presentation import RUN, PresentationContract, Shown
from tests.lab.disks import Disks, freeze, thaw, unmount_below
from tests.lab.lvm_faked import FakedLvm
from tests.lab.need import need
from tests.lab.uml import Hosts, hosts

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation.lvm import Lvm, Options
from splitmirror_drivers.presentation.mount import TOKEN

pytestmark = pytest.mark.lab
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
GROUP = f"faked-{os.getpid()}"
ROOT = Path(__file__).parents[2]
INSIDE = Path(__file__).with_name("lvm_inside.py")
DISKS, DISK_MIB, MEMORY_MIB = 4, 40, 512
PART_SECONDS = 900.0
PARTS = (
    "own_moment or protect",
    "last_mount or somebody_else_mounted",
    "without_a_write",
    "twin or by_itself",
    "after_each_act",
    "anywhere",
    "missing or frozen",
    "",
)
"""What selects tests of ``lvm_inside``; the last: those of no other part. Each takes a minute or so."""
USUAL = frozenset({"own_moment or protect", "twin or by_itself", "missing or frozen"})
"""The parts that every run of the tests runs; the others are for ``make long-test``."""


class Imported(Shown):
    """A copy whose array repairs what is written to it."""

    @property
    def intent(self) -> Presented:
        return self.presentation.intend(self.exposed, RUN, is_frozen=self.is_frozen, may_write=True)


class OverLoops(PresentationContract):
    """With LVM's own programs faked."""

    kind: type[Shown]

    @pytest.fixture
    def shown(self, tmp_path: Path) -> Iterator[Shown]:
        need("losetup", "mkfs.ext4", "fsfreeze", "blkid", loop=True)
        with Disks(tmp_path) as disks:
            disk = disks.make("ext4")
            (disk.point / "rows").write_text("1\n2\n3\n")
            (disk.point / TOKEN).write_text(RUN)
            freeze(disk.point)
            copy = disks.copy(disk)
            thaw(disk.point)
            host, above = FakedLvm(disks, copy, GROUP), tmp_path / "backup"
            above.mkdir()
            lvm = Lvm.from_options(str(above / "erp"), Options(volume_group=GROUP), host, CONTEXT)
            yield self.kind(lvm, Exposed("device", (host.disk,), "local"), "rows")
            unmount_below(tmp_path)
            host.close()


class TestImported(OverLoops):
    """Under a name of the run's own."""

    kind = Imported


class TestProtected(OverLoops):
    """Under its own name, nothing written."""

    kind = Shown


# -- LVM itself --


@pytest.fixture(scope="module")
def lab() -> Iterator[Hosts]:
    need("lvm", "dmsetup", "vgimportclone", "thin_check", "sfdisk", "mkfs.ext4", "lsblk")
    with hosts() as made:
        made.up("back", [made.disk(f"disk{n}", DISK_MIB) for n in range(DISKS)], memory_mib=MEMORY_MIB, udev=True)
        for folder in (sys.base_prefix, str(ROOT)):  # either may lie in a home or under /tmp, and those are empty there
            place = shlex.quote(folder)
            made.ssh("back", f"[ -d {place} ] || {{ mkdir -p {place}; mount -t hostfs none {place} -o ro,{place}; }}")
        yield made


def words(part: str) -> str:
    """What selects the tests of a part; of the last one: those of no other."""
    return part or " and ".join(f"not ({other})" for other in PARTS if other)


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, id=part or "all the rest", marks=() if part in USUAL else pytest.mark.long) for part in PARTS],
)
def test_on_a_real_device_mapper(lab: Hosts, part: str) -> None:
    devices = " ".join(lab.device("back", disk) for disk in lab.guests["back"].disks)
    argv = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-k", words(part), str(INSIDE)]
    environment = f"SPLITMIRROR_LAB=required PYTHONDONTWRITEBYTECODE=1 SPLITMIRROR_LVM_DISKS={shlex.quote(devices)}"
    line = f"cd {shlex.quote(str(ROOT))} && {environment} {shlex.join(argv)}"
    done = lab.try_ssh("back", line, seconds=PART_SECONDS)
    assert done.exit_code == 0, done.output
    assert re.search(r"\d+ passed", done.output), done.output
    assert "skipped" not in done.output, done.output
