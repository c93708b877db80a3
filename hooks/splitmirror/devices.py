"""What a file's device stands on: LVM, md, multipath, partitions, pools, resolved by the host to what an array can mirror.

A device is carried by a mirror when the mirror has it, or has everything that it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain

from splitmirror_drivers.contracts.host import Answer, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import UnknownAnswer

NO_DEVICE = "-"


@dataclass(frozen=True, slots=True)
class Device:
    """One device by every name it is known as, and what it stands on (empty: on nothing that the host can see)."""

    names: frozenset[str]
    below: tuple[Device, ...] = ()

    def is_carried_by(self, ids: Set[str]) -> bool:
        """Whether all of it lies on these devices."""
        if self.names & ids:
            return True
        return bool(self.below) and all(part.is_carried_by(ids) for part in self.below)

    def touches(self, ids: Set[str]) -> bool:
        """Whether some of it lies on these devices."""
        return bool(self.names & ids) or any(part.touches(ids) for part in self.below)

    def bottom(self) -> frozenset[str]:
        """One name of each device at the bottom, for messages."""
        if not self.below:
            return frozenset({min(self.names, key=lambda name: (not name.startswith("/"), name))})
        return frozenset(chain.from_iterable(part.bottom() for part in self.below))


def resolve(
    host: Host, devices: Sequence[str], ids: Sequence[str], said: Mapping[str, Sequence[str]], deadline: Deadline
) -> dict[str, tuple[Device, ...]]:
    """What each of `devices` of `host` is and stands on; several where one filesystem spans several.

    `ids`: paths by which a mirror names devices of this host; they become names of the devices they lead to. `said`: what
    the policy says that a device stands on, where the host cannot know (ASM disks, volume managers without sysfs).
    """
    told = list(dict.fromkeys(chain.from_iterable(said.get(device, ()) for device in devices)))
    asked = [path for path in dict.fromkeys([*devices, *told, *ids]) if path not in ("", NO_DEVICE)]
    stack = _Stack(host.name, asked, host.call(Verb("host.devices", tuple(asked)), deadline) if asked else None)
    found: dict[str, tuple[Device, ...]] = {}
    for device in devices:
        if parts := said.get(device):
            found[device] = (Device(frozenset({device}), tuple(stack.device(part) for part in parts)),)
        else:
            found[device] = stack.devices(device)
    return found


class _Stack:
    """One answer of ``host.devices``."""

    def __init__(self, host: str, asked: Sequence[str], answer: Answer | None) -> None:
        self.host = host
        if answer is not None and answer.exit_code != 0:
            raise UnknownAnswer(f"{host} could not say what its devices stand on", detail=answer.said)
        self.node = {path: node for path, node in self._rows(answer, "device") if node != NO_DEVICE}
        if answer is not None and len(answer.lines("device")) != len(asked):
            raise UnknownAnswer(f"{host} answered for other devices than it was asked about", detail=answer.said)
        self.names: dict[str, set[str]] = {}
        for path, node in self.node.items():
            self.names.setdefault(node, {node}).add(path)
        for node, world_wide in self._rows(answer, "id"):
            self.names.setdefault(node, {node}).add(world_wide)
        self.below, self.beside = self._many(answer, "below"), self._many(answer, "beside")

    def devices(self, path: str) -> tuple[Device, ...]:
        node = self.node.get(path)
        if node is None:
            return (self.device(path),)
        return tuple(self._at(one, ()) for one in (node, *self.beside.get(node, ())))

    def device(self, path: str) -> Device:
        node = self.node.get(path)
        return Device(frozenset({path})) if node is None else self._at(node, ())

    def _at(self, node: str, above: tuple[str, ...]) -> Device:
        if node in above:
            raise UnknownAnswer(f"{self.host} says that the device {node} stands on itself")
        parts = tuple(self._at(part, (*above, node)) for part in self.below.get(node, ()))
        return Device(frozenset(self.names.get(node, {node})), parts)

    def _rows(self, answer: Answer | None, key: str) -> list[tuple[str, str]]:
        rows = [line.split("\t") for line in answer.lines(key)] if answer is not None else []
        if any(len(row) != 2 for row in rows):
            raise UnknownAnswer(f"{self.host} named its devices in a way that cannot be read")
        return [(row[0], row[1]) for row in rows]

    def _many(self, answer: Answer | None, key: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node, other in self._rows(answer, key):
            found.setdefault(node, []).append(other)
        return found
