"""Device-mapper nodes of a Linux host: which stand on a copy's devices, and which would be in its way.

LVM names a node VG-LV with every hyphen in either name doubled, and gives it the uuid ``LVM-`` + the volume group's + the
logical volume's (+ ``-real``, ``-tpool`` … for what it keeps to itself). A volume group and its bit-for-bit copy have both
in common, so names and uuids prove nothing: a node is the copy's only when it stands on the copy's devices. Sources:
dmsetup(8), lvm(8); tried with lvm2 2.03.16 on kernel 6.1: asked to activate a volume of the copy while the original's is
active, LVM says that it is done, and the node goes on to show the original.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

LOOK_SECONDS = 30.0
NONE = "No devices found"
_FIELDS = "name,uuid,readonly,devno,devnos_used"
_READ_ONLY = {"Read-only": True, "Writeable": False}


@dataclass(frozen=True, slots=True)
class Node:
    """One mapped device: its own device numbers and those of the devices right below it."""

    name: str
    uuid: str
    is_read_only: bool
    numbers: str
    uses: frozenset[str]

    @property
    def path(self) -> str:
        """Where it is found."""
        return f"/dev/mapper/{self.name}"

    def is_of(self, group: str) -> bool:
        """Whether it is named as one of the volume group `group`."""
        prefix = f"{_escaped(group)}-"
        return self.name.startswith(prefix) and not self.name.startswith(f"{prefix}-")

    def volume_of(self, group: str) -> str:
        """The logical volume's name."""
        return self.name[len(_escaped(group)) + 1 :].replace("--", "-")


def name_of(group: str, volume: str) -> str:
    """The name of a logical volume's node."""
    return f"{_escaped(group)}-{_escaped(volume)}"


def nodes(host: Host, deadline: Deadline) -> tuple[Node, ...]:
    """Every mapped device of `host`. Raises Refused where there is no device-mapper."""
    argv = ("dmsetup", "info", "-c", "--noheadings", "--separator", "|", "-o", _FIELDS)
    done = host.run(Command(argv, environment={"LC_ALL": "C"}), deadline.sooner(LOOK_SECONDS))
    if done.exit_code != 0:
        raise Refused(
            f"{host.name} cannot say which mapped devices it has",
            detail=done.tail(),
            hint="a copy of a volume group needs lvm2, dmsetup and a kernel with device-mapper there",
        )
    return parse_nodes(done.stdout)


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Lines of ``dmsetup info -c``. Raises UnknownAnswer for what cannot be read."""
    found = []
    for line in text.splitlines():
        if line.strip() in ("", NONE):
            continue
        fields = line.strip().split("|")
        if len(fields) != len(_FIELDS.split(",")) or fields[2] not in _READ_ONLY or ":" not in fields[3]:
            raise UnknownAnswer("a line of dmsetup cannot be read", detail=line)
        name, uuid, word, numbers, uses = fields
        found.append(Node(name, uuid, _READ_ONLY[word], numbers, frozenset(filter(None, uses.split(",")))))
    return tuple(found)


def standing_on(every: Sequence[Node], numbers: Collection[str]) -> tuple[Node, ...]:
    """The nodes that stand, directly or through others, on any of the devices `numbers`."""
    below, found = set(numbers), dict[str, Node]()
    while more := [node for node in every if node.uses & below and node.numbers not in found]:
        found |= {node.numbers: node for node in more}
        below |= {node.numbers for node in more}
    return tuple(found.values())


def tops(standing: Sequence[Node]) -> tuple[Node, ...]:
    """Those that carry no other."""
    used = frozenset[str]().union(*(node.uses for node in standing))
    return tuple(node for node in standing if node.numbers not in used)


def is_only_on(every: Sequence[Node], node: Node, numbers: Collection[str]) -> bool:
    """Whether all that `node` stands on, down to the last, is among the devices `numbers`."""
    by_numbers = {one.numbers: one for one in every}
    return all(
        below in numbers or (below in by_numbers and is_only_on(every, by_numbers[below], numbers))
        for below in node.uses
    ) and bool(node.uses)


def _escaped(name: str) -> str:
    return name.replace("-", "--")
