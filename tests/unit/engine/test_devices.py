"""Coverage goes down to what an array can mirror: devices under LVM, md, multipath, partitions, several disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from splitmirror import coverage
from splitmirror.phases.survey import Covered
from splitmirror.policy.types import Mirror, Policy
from splitmirror_drivers.contracts.array import Source
from splitmirror_drivers.contracts.host import Answer, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import NotCovered, UnknownAnswer


@dataclass
class Answers:
    """A host that answers host.devices from a table: what leads to which node, and facts of nodes."""

    nodes: Mapping[str, str]
    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    covers: Mapping[str, str] = field(default_factory=dict)
    name: str = "db1"
    asked: list[Verb] = field(default_factory=list)

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        self.asked.append(verb)
        if verb.name == "host.coverage":
            return Answer({"covers": "\n".join(self.covers[path] for path in verb.arguments)}, 0, "")
        rows = [f"{device}\t{self.nodes.get(device, '-')}" for device in verb.arguments]
        more = {key: "\n".join(lines) for key, lines in self.facts.items()}
        return Answer({"device": "\n".join(rows), **more}, 0, "")


FILE = "/data/pg"


def located(host: Answers, *sources: Source, said: Mapping[str, Sequence[str]] | None = None) -> Covered:
    (place,) = coverage.locate(cast("Host", host), [FILE], Deadline.after(5), sources=sources, said=said)
    return place


def on(device: str, nodes: Mapping[str, str], **facts: Sequence[str]) -> Answers:
    """A host whose only file lies on one ext4 of `device`."""
    return Answers(nodes, facts, {FILE: f"{FILE}\t/data\t{device}\text4"})


LVM = {"below": ["253:3\t253:1", "253:3\t253:2", "253:1\t8:17", "253:2\t8:32", "8:17\t8:16"]}
"""A volume 253:3 over two parts, one on a partition 8:17 of the disk 8:16, one on the disk 8:32."""


@pytest.mark.parametrize(
    ("mirrored", "is_covered", "touches"),
    [
        (["/dev/vg/data"], True, True),
        (["/dev/sdb", "/dev/sdc"], True, True),
        (["/dev/sdb1", "/dev/sdc"], True, True),
        (["/dev/sdb"], False, True),
        (["/dev/sdc"], False, True),
        (["/dev/sdz"], False, False),
        ([], False, False),
    ],
)
def test_a_volume_is_covered_by_itself_or_by_all_that_it_stands_on(
    mirrored: list[str], is_covered: bool, touches: bool
) -> None:
    nodes = {
        "/dev/mapper/vg-data": "253:3",
        "/dev/vg/data": "253:3",
        "/dev/sdb": "8:16",
        "/dev/sdb1": "8:17",
        "/dev/sdc": "8:32",
        "/dev/sdz": "65:0",
    }
    sources = [Source("device", path, "db1") for path in mirrored]
    place = located(on("/dev/mapper/vg-data", nodes, **LVM), *sources)
    assert coverage.is_covered(place, sources) is is_covered
    assert any(coverage.touches(place, source) for source in sources) is touches


def test_the_same_path_on_another_host_is_another_device() -> None:
    source = Source("device", "/dev/sdb", "db2")
    assert not coverage.is_covered(located(on("/dev/sdb", {"/dev/sdb": "8:16"}), source), [source])


def test_every_path_of_a_multipath_device_has_its_world_wide_name() -> None:
    host = on(
        "/dev/mapper/mpatha",
        {"/dev/mapper/mpatha": "253:0"},
        below=["253:0\t8:16", "253:0\t8:32"],
        id=["253:0\twwn:600a", "8:16\twwn:600a", "8:32\twwn:600a"],
    )
    source = Source("device", "wwn:600a")
    assert coverage.is_covered(located(host, source), [source])
    other = Source("device", "wwn:600b")
    assert not coverage.is_covered(located(host, other), [other])


def test_a_btrfs_over_two_disks_is_covered_by_both() -> None:
    nodes = {"/dev/sdb": "8:16", "/dev/sdc": "8:32"}
    one, two = Source("device", "/dev/sdb", "db1"), Source("device", "/dev/sdc", "db1")
    host = on("/dev/sdb", nodes, beside=["8:16\t8:32", "8:32\t8:16"])
    assert not coverage.is_covered(located(host, one), [one])
    assert coverage.is_covered(located(host, one, two), [one, two])


def test_a_disk_that_is_missing_from_the_mirror_is_named() -> None:
    sources = [Source("device", "/dev/sdb", "db1")]
    place = located(on("/dev/mapper/vg-data", {"/dev/mapper/vg-data": "253:3", "/dev/sdb": "8:16"}, **LVM), *sources)
    with pytest.raises(NotCovered, match="erp: /data/pg on db1 does not lie on the mirror symm/a") as caught:
        coverage.require("erp", [place], sources, "symm/a")
    assert "8:32" in caught.value.detail
    assert "/dev/sdb on db1" in caught.value.detail


def test_a_file_of_asm_stands_on_what_the_policy_says() -> None:
    sources = [Source("device", "/dev/asm1", "db1"), Source("device", "/dev/asm2", "db1")]
    host = Answers({"/dev/asm1": "8:16", "/dev/asm2": "8:32"})
    said = {"+DATA": ("/dev/asm1", "/dev/asm2")}
    (place,) = coverage.locate(
        cast("Host", host), ["+DATA/erp/system.dbf"], Deadline.after(5), sources=sources, said=said
    )
    assert place.is_raw
    assert coverage.is_covered(place, sources)
    assert not coverage.is_covered(place, sources[:1])


def test_a_file_of_asm_without_a_word_in_the_policy_is_named_with_the_line_to_write() -> None:
    with pytest.raises(NotCovered, match=r"\+DATA/erp/system.dbf") as caught:
        coverage.locate(cast("Host", Answers({})), ["+DATA/erp/system.dbf"], Deadline.after(5))
    assert 'devices-below = { "+DATA" = ' in str(caught.value.hint)


def test_what_the_policy_says_of_a_device_counts_instead_of_what_the_host_sees() -> None:
    sources = [Source("device", "/dev/sdf", "db1")]
    device = "/dev/vx/dsk/erpdg/redo"
    said = {device: ("/dev/sdf",)}
    assert coverage.is_covered(located(on(device, {"/dev/sdf": "8:80"}), *sources, said=said), sources)
    assert not coverage.is_covered(located(on(device, {"/dev/sdf": "8:80"}), *sources), sources)


def test_a_device_that_is_below_itself_is_an_error() -> None:
    with pytest.raises(UnknownAnswer, match="stands on itself"):
        located(on("/dev/sdb", {"/dev/sdb": "8:16"}, below=["8:16\t8:32", "8:32\t8:16"]))


def test_what_the_policy_says_is_for_every_host_or_for_the_one_that_is_named() -> None:
    below: dict[str, tuple[str, ...]] = {
        "+DATA": ("/dev/a",),
        "db1:/dev/x": ("/dev/b",),
        "/dev/pci-0000:00": ("/dev/c",),
        "db2:asm": ("/dev/d",),
    }
    policy = Policy(mirrors=(Mirror(array="symm", groups=("a",)),), devices_below=below)
    assert policy.said_below("db1") == {"+DATA": ("/dev/a",), "/dev/x": ("/dev/b",), "/dev/pci-0000:00": ("/dev/c",)}
    assert policy.said_below("db2") == {"+DATA": ("/dev/a",), "/dev/pci-0000:00": ("/dev/c",), "asm": ("/dev/d",)}
