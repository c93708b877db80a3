"""The lab's real kernels themselves: a shared disk, a mirror over it, a pulled cable, a power failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.ssh_server import answers
from tests.lab.uml import Hosts, hosts

from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline

pytestmark = pytest.mark.lab
DISK_MIB = 64
LINE = "written before the power went"
REACH_SECONDS = 10.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Hosts]:
    """`data` has a disk of its own and one that `back` sees too."""
    with hosts() as made:
        own, leg = made.disk("own", DISK_MIB), made.disk("leg", DISK_MIB, shared=True)
        made.up("data", [own, leg], wait=False)
        made.up("back", [leg])
        made.ready()
        yield made


def test_it_is_another_kernel_with_this_machines_programs(lab: Hosts) -> None:
    release = lab.ssh("data", "uname -r; hostname").split()
    assert release[0].startswith("6.1") and release[1] == "data"
    assert release[0] != Path("/proc/sys/kernel/osrelease").read_text().strip()
    lab.ssh("data", "touch /etc/only-there")
    assert not Path("/etc/only-there").exists()


def test_a_script_that_fails_says_so_and_nothing_asks_for_input(lab: Hosts) -> None:
    assert lab.try_ssh("data", "cat; echo told >&2; exit 3", given="asked ").output == "asked told\n"
    assert lab.try_ssh("data", "false; echo not reached").exit_code == 1
    with pytest.raises(AssertionError, match="not in its time"):
        lab.ssh("data", "echo begun; sleep 600", seconds=1)


def test_a_folder_is_carried_with_its_modes(lab: Hosts, tmp_path: Path) -> None:
    (tmp_path / "of mine").mkdir()
    (tmp_path / "of mine" / "script").write_text("echo carried")
    (tmp_path / "of mine" / "script").chmod(0o705)
    lab.carry("data", tmp_path / "of mine", "/srv/new")
    assert lab.ssh("data", "stat -c %a /srv/new/script; /bin/sh /srv/new/script") == "705\ncarried"


def test_each_sees_what_the_other_writes_to_the_shared_disk(lab: Hosts) -> None:
    lab.ssh("data", "printf from-data | dd of=/dev/ubdb bs=512 seek=64 conv=fsync,notrunc status=none")
    assert lab.ssh("back", "dd if=/dev/ubda bs=512 skip=64 count=1 status=none | head -c 9") == "from-data"
    before = lab.written("back", lab.guests["back"].disks[0])
    lab.ssh("back", "printf from-back | dd of=/dev/ubda bs=4096 seek=9 conv=fsync,notrunc status=none")
    assert 0 < lab.written("back", lab.guests["back"].disks[0]) - before <= 16 * 1024
    there = "blockdev --flushbufs /dev/ubdb; dd if=/dev/ubdb bs=4096 skip=9 count=1 status=none | head -c 9"
    assert lab.ssh("data", there) == "from-back"


def test_lvm_makes_a_mirror_whose_leg_the_other_host_can_read(lab: Hosts) -> None:
    lab.ssh(
        "data",
        """
        pvcreate -q /dev/ubda /dev/ubdb; vgcreate -q vg /dev/ubda /dev/ubdb
        lvcreate -q --type raid1 -m1 -L 16M -n data vg
        until [ "$(lvs --noheadings -o sync_percent vg/data | tr -d ' ')" = 100.00 ]; do sleep 0.1; done
        echo on both legs | dd of=/dev/vg/data conv=fsync,notrunc status=none
        """,
    )
    segments = lab.ssh("back", "lvs -a --noheadings -o lv_name,devices vg 2>/dev/null")
    leg = re.search(r"(data_rimage_\d+)\]?\s+/dev/ubda", segments)
    assert leg, segments
    read = f"lvchange -y -ay vg/{leg[1]} 2>&1; head -c 12 /dev/mapper/vg-{leg[1]}; lvchange -an vg/{leg[1]} 2>/dev/null"
    assert "on both legs" in lab.ssh("back", read)


def test_a_pulled_cable_is_silent_and_can_be_put_back(lab: Hosts) -> None:
    address = lab.guests["back"].address
    assert answers(address, 22)
    lab.cut("back")
    assert not answers(address, 22)
    lab.heal("back")
    assert lab.ssh("back", "hostname", seconds=REACH_SECONDS) == "back"


def test_a_power_failure_keeps_what_is_on_the_disks_and_nothing_else(lab: Hosts) -> None:
    lab.ssh("data", f"echo {LINE} | dd of=/dev/ubda bs=1M seek={DISK_MIB - 1} conv=fsync,notrunc status=none")
    lab.ssh("data", "touch /root/gone")
    lab.crash("data")
    assert not answers(lab.guests["data"].address, 22)
    lab.up("data")
    read = f"dd if=/dev/ubda bs=512 skip={(DISK_MIB - 1) * 2048} count=1 status=none | tr -d '\\0'"
    assert lab.ssh("data", read) == LINE
    assert lab.ssh("data", "ls /root") == ""


def test_the_product_logs_in_by_its_own_transport(lab: Hosts) -> None:
    host = lab.host("back")
    host.connect(Deadline.after(20))
    assert host.run(Command(("hostname",)), Deadline.after(20)).stdout == "back\n"
