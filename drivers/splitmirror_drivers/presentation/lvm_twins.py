"""A twin: what LVM on a host would take for a copy's volume group, on other devices than the copy's.

Tried with lvm2 2.03.16: while the original's volume is active, activating the copy's says that it is done and changes
nothing, so the original would be mounted in the copy's place; and who takes the copy down takes the original down.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused
from splitmirror_drivers.presentation import lvm_labels as lvm
from splitmirror_drivers.presentation.lvm_nodes import Node, standing_on
from splitmirror_drivers.presentation.seen import look


def refuse_nodes(host: Host, every: Sequence[Node], group: lvm.Group, name: str, mine: Collection[str]) -> None:
    """Refuse when a node that does not stand on the devices `mine` is called as the group will be (`name`).

    Under its own name its volumes' uuids count as well.
    """
    standing, uuid = standing_on(every, mine), f"LVM-{group.uuid.replace('-', '')}"
    for node in every:
        is_alike = node.is_of(name) or (name == group.name and node.uuid.startswith(uuid))
        if is_alike and node not in standing:
            raise _twin(host, group, f"{node.path} is active there")


def refuse_labels(host: Host, group: lvm.Group, mine: Collection[str], deadline: Deadline) -> None:
    """Refuse when the host's own LVM sees the group's name or uuids on devices other than `mine`."""
    found = _alike(host, lvm.visible(host, deadline), group, deadline)
    if found.keys() & set(mine):  # an older LVM keeps quiet about the second of two that have one label
        found |= _alike(host, lvm.visible_without(host, group.devices, deadline), group, deadline)
    for numbers, device in found.items():
        if numbers not in mine:
            raise _twin(host, group, f"{device} carries the same labels")


def _alike(host: Host, found: Sequence[lvm.Label], group: lvm.Group, deadline: Deadline) -> dict[str, str]:
    """Devices, by number, whose label LVM would take for one of the group's."""
    uuids = {label.uuid for label in group.labels}
    alike = [
        label.device
        for label in found
        if label.device != lvm.LOST
        and (label.group == group.name or {label.uuid, label.group_uuid} & {*uuids, group.uuid})
    ]
    seen = look(host, deadline, *alike) if alike else None
    return {seen.places[path].numbers: path for path in alike if path in seen.places} if seen else {}


def _twin(host: Host, group: lvm.Group, what: str) -> Refused:
    return Refused(
        f"the volume group {group.name} of the copy has a twin on {host.name}: {what}",
        hint="show the copy on a host that does not see the original (or another copy of it), or hide one of them "
        "from that host's own LVM (global_filter, or its devices file)",
    )
