"""Which of a host's disks are a copy's: by the name of a disk group, or by the devices that the array has exposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.presentation.seen import look
from splitmirror_drivers.presentation.vxvm_tools import Disk, Label, VxvmTools, of_group


@dataclass(frozen=True, slots=True)
class Found:
    """The copy's disks, with what is written on each; and the other disks that carry a disk group of that name."""

    labels: Mapping[str, Label]
    mine: tuple[Disk, ...]
    others: tuple[Disk, ...]

    @property
    def group(self) -> str:
        """What the disk group on the copy is called now."""
        return self.mine[0].group if self.mine else ""

    @property
    def is_here(self) -> bool:
        """Whether it is imported on this host."""
        return any(disk.is_imported for disk in self.mine)

    @property
    def devices(self) -> tuple[str, ...]:
        """What the copy's disks are called."""
        return tuple(disk.device for disk in self.mine)


def found_by_name(vxvm: VxvmTools, names: Sequence[str], deadline: Deadline) -> Found:
    """Every disk that carries a disk group of one of these names; what is written on them is not asked."""
    return Found({}, _carrying(vxvm.disks(deadline), names), ())


def found_on(vxvm: VxvmTools, names: Sequence[str], exposed: Sequence[str], deadline: Deadline) -> Found:
    """Of these, the disks that the array has exposed; the others apart."""
    meant = _carrying(vxvm.disks(deadline), names)
    labels = {disk.device: vxvm.label(disk.device, deadline) for disk in meant}
    seen = look(vxvm.host, deadline, *exposed)
    real = [seen.places[path].real for path in exposed if path in seen.places]
    wanted = names_of((*exposed, *real))
    mine = tuple(disk for disk in meant if names_of(labels[disk.device].paths) & wanted)
    return Found(labels, mine, tuple(disk for disk in meant if disk not in mine))


def labelled(vxvm: VxvmTools, found: Found, deadline: Deadline) -> Found:
    """The same, with what is written on the copy's disks."""
    return replace(found, labels={device: vxvm.label(device, deadline) for device in found.devices})


def _carrying(disks: Sequence[Disk], names: Sequence[str]) -> tuple[Disk, ...]:
    return tuple(disk for name in dict.fromkeys(names) for disk in of_group(disks, name))


def names_of(paths: Iterable[str]) -> frozenset[str]:
    """Paths, and the last part of each."""
    return frozenset(name for path in paths for name in (path, PurePosixPath(path).name))


def told(found: Found) -> str:
    rows = [f"{disk.device} {disk.group} {' '.join(sorted(disk.words))}" for disk in (*found.mine, *found.others)]
    return "\n".join(rows) or "no disk carries it"
