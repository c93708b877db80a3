"""LVM's driver alone on a real kernel: a leg that is split off and merged again, and thin snapshots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.need import need
from tests.lab.uml import hosts
from tests.lab.uml_driven import (
    BACK,
    DATA,
    GROUP,
    MIRROR_MIB,
    VALUE_BYTES,
    Lab,
    Mirror,
    a_round,
    a_round_with_a_power_failure,
    soon,
)

from splitmirror_drivers.contracts.array import Array, PairState, Receipt

pytestmark = [pytest.mark.lab, pytest.mark.long]
IDLE = '[ "$(lvs --noheadings -o sync_percent,raid_sync_action vg/erp | xargs)" = "100.00 idle" ]'
COMPARE = f"""
lvchange --syncaction check vg/erp; sleep 0.3; until {IDLE}; do sleep 0.1; done
lvs --noheadings -o raid_mismatch_count vg/erp
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A mirror in sync, and a thin volume."""
    need("lvm")
    with hosts() as made:
        leg = made.disk("leg", 64, shared=True)
        made.up(DATA, [made.disk("own", 160), leg], wait=False)
        made.up(BACK, [leg])
        made.ready()
        made.ssh(
            DATA,
            f"""
            pvcreate -q /dev/ubda /dev/ubdb; vgcreate -q vg /dev/ubda /dev/ubdb
            lvcreate -q -y --type raid1 -m1 -L {MIRROR_MIB}M -n erp vg /dev/ubda /dev/ubdb
            lvcreate -q -y --type thin-pool -L 48M -n pool vg /dev/ubda; lvcreate -q -y -V 32M --thinpool pool -n thin vg
            until {IDLE}; do sleep 0.1; done
            """,
        )
        yield Lab(made, "vgchange -q -ay vg")


@pytest.fixture
def mirror(lab: Lab) -> Mirror:
    groups = {GROUP: {"volumes": ["vg/erp"], "leg": "/dev/ubdb"}}
    (leg,) = lab.hosts.guests[BACK].disks

    def make() -> Array:
        return lab.array("lvm", **{"method": "split-mirror", "copy-host": BACK, "groups": groups})

    return Mirror(lab, "/dev/vg/erp", leg, make, COMPARE)


def test_a_round_copies_what_changed_and_the_legs_are_equal(mirror: Mirror) -> None:
    a_round(mirror)


def test_after_a_power_failure_while_split_what_is_called_in_sync_was_compared(mirror: Mirror) -> None:
    a_round_with_a_power_failure(mirror)


def test_thin_snapshots_are_each_of_their_moment_and_discarded_one_by_one(lab: Lab) -> None:
    array = lab.array("lvm", method="thin-snapshot", groups={GROUP: {"volumes": ["vg/thin"]}})
    receipts: list[Receipt] = []
    for value in ("one", "two", "three"):
        lab.hosts.ssh(DATA, f"printf %-{VALUE_BYTES}s {value} | dd of=/dev/vg/thin conv=fsync,notrunc status=none")
        receipts += array.split((GROUP,), value, soon())
    array.discard(receipts[0], soon())
    array.discard(receipts[0], soon())
    copies = {pair.copy: pair.state for pair in array.query(GROUP, soon()) if pair.copy}
    assert copies == {"two": PairState.SPLIT, "three": PairState.SPLIT}
    for receipt in receipts[1:]:
        (path,) = array.expose(receipt, soon()).paths
        assert lab.hosts.ssh(DATA, f"dd if={path} bs={VALUE_BYTES} count=1 status=none").strip() == receipt.copy
        array.unexpose(receipt, soon())
        array.discard(receipt, soon())
    assert lab.hosts.ssh(DATA, "lvs --noheadings -o lv_name -S origin=thin vg") == ""
