"""md's driver alone on a real kernel: a leg that is taken out of its array and re-added."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.need import need
from tests.lab.uml import hosts
from tests.lab.uml_driven import BACK, DATA, GROUP, MIRROR_MIB, Lab, Mirror, a_round, a_round_with_a_power_failure

from splitmirror_drivers.contracts.array import Array

pytestmark = [pytest.mark.lab, pytest.mark.long]
SYS = "/sys/block/md0/md"
IDLE = f'[ "$(cat {SYS}/degraded)" = 0 ] && [ "$(cat {SYS}/sync_action)" = idle ]'
COMPARE = f"echo check >{SYS}/sync_action; sleep 0.3; until {IDLE}; do sleep 0.1; done; cat {SYS}/mismatch_cnt"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """An array in sync, with a bitmap fine enough for what changes."""
    need("mdadm")
    with hosts() as made:
        leg = made.disk("leg", MIRROR_MIB + 8, shared=True)
        made.up(DATA, [made.disk("own", MIRROR_MIB + 8), leg], wait=False)
        made.up(BACK, [leg])
        made.ready()
        shape = f"--level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal --bitmap-chunk=1M --size={MIRROR_MIB}M"
        made.ssh(
            DATA, f"mdadm --create /dev/md0 --run {shape} /dev/ubda /dev/ubdb 2>&1; until {IDLE}; do sleep 0.1; done"
        )
        yield Lab(made, "mdadm --assemble --run /dev/md0 /dev/ubda /dev/ubdb 2>&1")


@pytest.fixture
def mirror(lab: Lab) -> Mirror:
    pair = {"array": "/dev/md0", "leg": "/dev/ubdb", "copy-leg": "/dev/ubda"}
    (leg,) = lab.hosts.guests[BACK].disks

    def make() -> Array:
        return lab.array("md", **{"copy-host": BACK, "groups": {GROUP: {"pairs": [pair]}}})

    return Mirror(lab, "/dev/md0", leg, make, COMPARE)


def test_a_round_copies_what_changed_and_the_legs_are_equal(mirror: Mirror) -> None:
    a_round(mirror)


def test_after_a_power_failure_while_split_what_is_called_in_sync_was_compared(mirror: Mirror) -> None:
    a_round_with_a_power_failure(mirror)


def test_the_disk_under_an_exposed_leg_is_protected_too(mirror: Mirror) -> None:
    mirror.split("third")
    write = "dd if=/dev/zero of=/dev/ubda bs=4096 count=1 seek=4 conv=notrunc 2>&1 || true"
    assert "Operation not permitted" in mirror.ssh(BACK, write)
