"""md on a real kernel, the real hooks over SSH: a leg that another host reads while the database writes on, and is re-added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.lab.need import need
from tests.lab.uml import Disk
from tests.lab.uml_rounds import BACK, DATA, SYNC_SECONDS, Night, policy, server_on
from tests.lab.uml_site import Station, station

pytestmark = [pytest.mark.lab, pytest.mark.long]
SYNC = "/sys/block/md0/md"


@dataclass
class Array:
    """``/dev/md0`` over a disk of `data` alone and one that `back` sees too."""

    station: Station
    leg: Disk
    names: tuple[str, ...] = ("erp",)
    mib: int = 256

    def await_sync(self) -> None:
        self._until(f'[ "$(cat {SYNC}/degraded)" = 0 ] && [ "$(cat {SYNC}/sync_action)" = idle ]')

    def mismatches(self) -> int:
        self.station.lab.ssh(DATA, f"echo check >{SYNC}/sync_action; sleep 0.3")
        self.await_sync()
        return int(self.station.lab.ssh(DATA, f"cat {SYNC}/mismatch_cnt"))

    def boot(self) -> None:
        self.station.lab.ssh(
            DATA,
            """
            mdadm --assemble --run /dev/md0 /dev/ubda /dev/ubdb 2>&1
            mkdir -p /erp; mount /dev/md0 /erp
            """,
        )

    def was_compared(self) -> bool:
        return "check" in self.station.lab.ssh(DATA, "dmesg | grep 'md: data-check of RAID array' || true")

    def _until(self, condition: str) -> None:
        self.station.lab.ssh(DATA, f"until {condition}; do sleep 0.1; done", seconds=SYNC_SECONDS)


@pytest.fixture(scope="module")
def array() -> Iterator[Array]:
    """An array in sync, with a bitmap fine enough for what a night changes, and ext4 on it."""
    need("mdadm", "mkfs.ext4", "psql", "ssh")
    with station() as site:
        own, leg = site.lab.disk("own", 264), site.lab.disk("leg", 264, shared=True)
        site.lab.up(DATA, [own, leg], wait=False)
        site.lab.up(BACK, [leg])
        site.lab.ready()
        made = Array(site, leg)
        shape = "--level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal --bitmap-chunk=1M"
        site.lab.ssh(DATA, f"mdadm --create /dev/md0 --run {shape} --size={made.mib}M /dev/ubda /dev/ubdb 2>&1")
        made.await_sync()
        site.lab.ssh(DATA, "mkfs.ext4 -q /dev/md0; mkdir /erp; mount /dev/md0 /erp")
        site.lab.ssh(BACK, "mkdir -m 755 /backup")
        site.host(DATA)
        site.host(BACK)
        site.add("arrays.md", driver="md", host=DATA, copy_host=BACK)
        pair = {"array": "/dev/md0", "leg": "/dev/ubdb", "copy-leg": "/dev/ubda"}
        site.add("arrays.md.groups.erp", pairs=[pair])
        policy(site, "erp", "md", [{"mount": "/backup/erp", "host": BACK}])
        yield made


@pytest.fixture(scope="module")
def night(array: Array) -> Iterator[Night]:
    """A database on it."""
    with server_on(array.station, "erp") as server:
        yield Night(array.station, array, server)


def test_a_database_recovers_from_the_leg_on_another_host_and_its_return_costs_what_changed(night: Night) -> None:
    night.a_round("first")


def test_after_a_power_failure_while_split_what_is_called_in_sync_was_compared(night: Night) -> None:
    night.a_night_with_a_power_failure("second")
