"""LVM on a real kernel, the real hooks over SSH: a leg that another host reads while the database writes on, and is merged again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.lab.need import need
from tests.lab.uml import Disk
from tests.lab.uml_rounds import BACK, DATA, SYNC_SECONDS, Night, policy, server_on
from tests.lab.uml_site import Station, station

pytestmark = [pytest.mark.lab, pytest.mark.long]
MIB_OF = {"erp": 256, "web": 320}


@dataclass
class Volumes:
    """``vg/erp`` with ext4 and ``vg/web`` with XFS, linear until `splitmirror establish --full` mirrors them."""

    station: Station
    leg: Disk
    names: tuple[str, ...] = ("erp", "web")
    mib: int = sum(MIB_OF.values())

    def make(self) -> None:
        lab = self.station.lab
        for name, mib in MIB_OF.items():
            lab.ssh(DATA, f"lvcreate -q -y -L {mib}M -n {name} vg /dev/ubda")
        lab.ssh(DATA, "mkfs.ext4 -q /dev/vg/erp; mkfs.xfs -q /dev/vg/web")
        self._mount()

    def await_sync(self) -> None:
        for name in self.names:
            self._until(name, "sync_percent,raid_sync_action", "100.00 idle")

    def mismatches(self) -> int:
        for name in self.names:
            self.station.lab.ssh(DATA, f"lvchange --syncaction check vg/{name}; sleep 0.3")
            self._until(name, "raid_sync_action", "idle")
        counts = self.station.lab.ssh(DATA, f"lvs --noheadings -o raid_mismatch_count {' '.join(self._volumes())}")
        return sum(int(count) for count in counts.split())

    def boot(self) -> None:
        self.station.lab.ssh(DATA, "vgchange -q -ay vg")
        self._mount()

    def was_compared(self) -> bool:
        said = self.station.lab.ssh(DATA, "dmesg | grep -c 'md: data-check of RAID array' || true")
        return int(said) >= len(self.names)

    def _volumes(self) -> list[str]:
        return [f"vg/{name}" for name in self.names]

    def _mount(self) -> None:
        for name in self.names:
            self.station.lab.ssh(DATA, f"mkdir -p /{name}; mount /dev/vg/{name} /{name}")

    def _until(self, name: str, fields: str, wanted: str) -> None:
        script = f'until [ "$(lvs --noheadings -o {fields} vg/{name} | xargs)" = "{wanted}" ]; do sleep 0.1; done'
        self.station.lab.ssh(DATA, script, seconds=SYNC_SECONDS)


@pytest.fixture(scope="module")
def site() -> Iterator[Station]:
    """`data` with a volume group on a disk of its own and one that `back` sees too."""
    need("lvm", "mkfs.ext4", "mkfs.xfs", "psql", "ssh")
    with station() as made:
        own, leg = made.lab.disk("own", 768), made.lab.disk("leg", 640, shared=True)
        made.lab.up(DATA, [own, leg], wait=False)
        made.lab.up(BACK, [leg])
        made.lab.ready()
        made.lab.ssh(DATA, "pvcreate -q /dev/ubda /dev/ubdb; vgcreate -q vg /dev/ubda /dev/ubdb")
        made.lab.ssh(BACK, "mkdir -m 755 /backup")
        made.host(DATA)
        made.host(BACK)
        yield made


@pytest.fixture(scope="module")
def night(site: Station) -> Iterator[Night]:
    """A database on a volume that was linear, and another filesystem, both mirrored by the product."""
    made = Volumes(site, site.lab.guests[BACK].disks[0])
    made.make()
    site.add("arrays.mirror", driver="lvm", host=DATA, method="split-mirror", copy_host=BACK)
    site.add("arrays.mirror.groups.erp", volumes=["vg/erp", "vg/web"], leg="/dev/ubdb")
    site.add("applications.web", driver="filesystem", host=DATA, mounts=["/web"])
    legs = [{"mount": f"/backup/{name}", "host": BACK, "device": f"vg-{name}_rimage_1"} for name in made.names]
    policy(site, "erp", "mirror", legs, "web")
    with server_on(site, "erp") as server:
        site.run("establish", "--full", "erp")
        yield Night(site, made, server)


def test_a_database_recovers_from_split_legs_on_another_host_and_a_merge_costs_what_changed(night: Night) -> None:
    night.a_round("first")


def test_after_a_power_failure_while_split_what_is_called_in_sync_was_compared(night: Night) -> None:
    night.a_night_with_a_power_failure("second")


def test_two_thin_snapshots_are_kept_and_each_is_of_its_night(site: Station) -> None:
    lab = site.lab
    lab.ssh(
        DATA,
        """
        lvcreate -q -y --type thin-pool -L 96M -n pool vg /dev/ubda; lvcreate -q -y -V 64M --thinpool pool -n docs vg
        mkfs.ext4 -q /dev/vg/docs; mkdir -p /docs /backup; mount /dev/vg/docs /docs
        """,
    )
    site.add("arrays.thin", driver="lvm", host=DATA, method="thin-snapshot")
    site.add("arrays.thin.groups.docs", volumes=["vg/docs"])
    mirrors = [{"array": "thin", "groups": ["docs"]}]
    for number in range(3):
        present = [{"mount": "/backup/docs", "host": DATA}] if number == 2 else []
        site.add("policies.docs", mirrors=mirrors, present=present, keep=2, reattach="after-backup")
        lab.ssh(DATA, f"echo night {number} >/docs/page; sync -f /docs")
        site.run("pre", "--policy", "docs", "--job", f"{number}")
        lab.ssh(DATA, "echo today >/docs/page; sync -f /docs")
        if present:
            assert lab.ssh(DATA, "cat /backup/docs/page") == f"night {number}"
            assert lab.try_ssh(DATA, "touch /backup/docs/written").exit_code != 0
        site.run("post", "--policy", "docs", "--job", f"{number}", "--status", "good")
    copies = lab.ssh(DATA, "lvs --noheadings -o lv_name -S 'origin=docs' vg").split()
    assert len(copies) == 2
    read = "lvchange -q -ay -K vg/{0}; mount -o ro /dev/mapper/vg-{1} /mnt; cat /mnt/page; umount /mnt; lvchange -q -an vg/{0}"
    kept = [lab.ssh(DATA, read.format(copy, copy.replace("-", "--"))) for copy in copies]
    assert kept == ["night 1", "night 2"]
