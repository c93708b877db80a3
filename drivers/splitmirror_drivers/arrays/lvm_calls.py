"""The commands of LVM on one host: run, required, and what is asked by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from splitmirror_drivers.arrays import lvm_report as report
from splitmirror_drivers.arrays.lvm_options import COPY, Group, Options
from splitmirror_drivers.arrays.lvm_report import Lv
from splitmirror_drivers.arrays.mirror_proof import BOOT_ID, Note
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

COMMAND_SECONDS = 60.0
ENVIRONMENT = {"LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
ANSWERS: Mapping[str, str] = {
    "lvconvert -y": "answers the question whether a leg may be split off, or a linear volume mirrored; end of file means no",
    "lvchange -y": "answers the question whether a leg that is split off may be activated, read-only, on the copy host",
    "lvchange -K": "activates a thin snapshot that carries the flag to be skipped when all volumes are activated",
    "lvcreate -y": "answers the question whether old signatures in the new snapshot's own space may be wiped",
    "lvremove -y": "answers the question whether our own active snapshot may be removed",
}
"""Every flag that only answers a question. Nothing else of that kind is passed, and no --force."""


class Calls:
    """LVM on one host. `name` is the array's."""

    def __init__(self, name: str, host: Host) -> None:
        self.name, self.host = name, host
        host.families((look_at.FAMILY,))

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        """One command, whatever its exit code."""
        return self.host.run(Command(tuple(argv), environment=ENVIRONMENT), deadline.sooner(COMMAND_SECONDS))

    def require(self, argv: Sequence[str], deadline: Deadline, what: str, hint: str = "") -> Completed:
        """One command that must succeed. Raises CommandFailed."""
        return self.run(argv, deadline).require(f"{self.name}: {what} on {self.host.name}", hint)

    def rows(self, volumes: Iterable[str], deadline: Deadline) -> tuple[Lv, ...]:
        """Every volume, and part of one, in the volume groups of `volumes` (VG/LV)."""
        groups = sorted({volume.partition("/")[0] for volume in volumes})
        argv = ("lvs", "-a", "--reportformat", "json", "-o", report.FIELDS, *groups)
        what = f"asking for the volumes of {', '.join(groups)}"
        return report.parse_rows(self.require(argv, deadline, what).stdout)

    def disks(self, leg: str, deadline: Deadline) -> frozenset[str]:
        """The disks that a path or @tag means, by the names that LVM uses. Raises Refused for none."""
        argv = ("pvs", "--reportformat", "json", "-o", "pv_name", leg)
        found = report.parse_disks(self.require(argv, deadline, f"asking for the disk {leg}").stdout)
        if not found:
            raise Refused(
                f"{self.name}: no disk of {self.host.name} is {leg}",
                hint="name the disk of the legs by path, or give it that tag: pvchange --addtag",
            )
        return found

    def boot(self, deadline: Deadline) -> str:
        """What names this start of the machine."""
        argv = ("cat", BOOT_ID)
        found = self.require(argv, deadline, "asking for the boot id").stdout.strip()
        if not found:
            raise UnknownAnswer(f"{self.name}: {self.host.name} has no boot id in {BOOT_ID}")
        return found

    def note(self, lv: Lv, note: Note, deadline: Deadline) -> None:
        """Put a note on a volume, as a tag in place of every other note there."""
        wanted = f"{report.TAG}{note}" if note != Note() else ""
        old = [tag for tag in lv.tags if tag.startswith(report.TAG) and tag != wanted]
        changes = [word for tag in old for word in ("--deltag", tag)]
        if wanted and wanted not in lv.tags:
            changes += ["--addtag", wanted]
        if changes:
            self.require(("lvchange", *changes, lv.volume), deadline, f"noting {note} on {lv.volume}")

    def protect(self, devices: Sequence[str], deadline: Deadline) -> None:
        """Write-protect block devices, and see that they are. Raises UnknownAnswer."""
        for device in devices:
            self.require(("blockdev", "--setro", device), deadline, f"write-protecting {device}")
            asked = self.require(("blockdev", "--getro", device), deadline, f"asking whether {device} is protected")
            if asked.stdout.strip() != "1":
                raise UnknownAnswer(f"{self.name}: {device} on {self.host.name} is not protected", detail=asked.tail())

    def refuse_users(self, devices: Sequence[str], deadline: Deadline) -> None:
        """Raises InUse naming who has one of these devices open, mounted or built into something."""
        what = f"{self.name}: the copy on {', '.join(devices)}"
        look_at.refuse_users(what, look_at.users(self.host, deadline, *devices))

    def deactivate(self, lv: Lv, deadline: Deadline) -> None:
        """Take one volume's device away, when nobody uses it. Raises InUse."""
        self.refuse_users((lv.dm_path,), deadline)
        done = self.run(("lvchange", "-an", lv.volume), deadline)
        if done.exit_code == _FAILED:
            raise InUse(
                f"{self.name}: {lv.volume} cannot be deactivated on {self.host.name}",
                detail=done.tail(),
                hint="somebody has it open: end that, then try again",
            )
        done.require(f"{self.name}: deactivating {lv.volume} on {self.host.name}")


_FAILED = 5
"""LVM's exit code for a command that was understood and refused or failed."""


def group_of(name: str, options: Options, group: str) -> Group:
    """A group's table. Raises Refused."""
    if group not in options.groups:
        raise Refused(f"{name} has no group {group}", hint=f"its groups: {', '.join(options.groups)}")
    return options.groups[group]


def copy_name(copy: str) -> str:
    """A copy's name, when it can be part of a volume's. Raises Refused."""
    if not COPY.fullmatch(copy):
        raise Refused(f"{copy!r} is not the name of a copy")
    return copy


def short(volume: str) -> str:
    """The LV of VG/LV."""
    return volume.partition("/")[2]
