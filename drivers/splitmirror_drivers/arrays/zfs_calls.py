"""``zfs`` and ``zpool`` as an array's driver asks them: every command with its deadline, every line read into values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.zfs_options import Group, Options
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation.zfs_words import ABSENT, Status, parse_status, rows

COMMAND_SECONDS = 60.0
TAG = "splitmirror"
"""The hold that we put on a snapshot."""
MARK = "splitmirror:copy"
"""The property by which a snapshot or clone of ours is known; its value is the copy's name."""
LONGEST_NAME = 255
_COPY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A filesystem or volume."""

    name: str
    kind: str
    mountpoint: str
    is_mounted: bool
    origin: str
    mark: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot; `mark`: what our property says, `clones`: the datasets that were made of it, `holds`: how many."""

    name: str
    mark: str
    clones: tuple[str, ...]
    holds: int

    @property
    def of(self) -> str:
        """The dataset that it is of."""
        return self.name.partition("@")[0]

    @property
    def copy(self) -> str:
        """The copy that it is part of; "" for a snapshot that is not ours."""
        label = self.name.partition("@")[2]
        return label if label == self.mark else ""


class Calls:
    """The commands of one array."""

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host

    def group(self, name: str) -> Group:
        """A group's table. Raises Refused when there is none."""
        if name not in self.options.groups:
            raise Refused(f"{self.name} has no group {name}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[name]

    def copy(self, copy: str) -> str:
        """The name of a copy, when it can be one of a snapshot and of a pool. Raises Refused."""
        longest = max([len(self.options.pool), len(self.options.clones), *map(len, self._datasets())])
        if not _COPY.fullmatch(copy) or longest + 1 + len(copy) > LONGEST_NAME:
            raise Refused(f"{copy!r} is not the name of a copy")
        return copy

    def _datasets(self) -> list[str]:
        return [one for group in self.options.groups.values() for one in group.datasets]

    def argv(self, *words: str) -> tuple[str, ...]:
        """A command line."""
        program, *rest = words
        return (f"{self.options.tools}/{program}" if self.options.tools else program, *rest)

    def line(self, *words: str) -> str:
        """The same, to be shown."""
        return Command(self.argv(*words)).line()

    def run(self, deadline: Deadline, *words: str) -> Completed:
        """One command, whatever comes of it."""
        command = Command(self.argv(*words), environment={"LC_ALL": "C"})
        return self.host.run(command, deadline.sooner(COMMAND_SECONDS))

    def act(self, deadline: Deadline, what: str, *words: str, hint: str = "") -> str:
        """One command that must succeed."""
        return self.run(deadline, *words).require(f"{self.name}: {what}", hint).stdout

    # -- looking --

    def health(self, deadline: Deadline) -> str:
        """The pool's state word."""
        said = self.act(
            deadline, f"asking about {self.options.pool}", "zpool", "list", "-H", "-o", "name,health", self.options.pool
        )
        found = rows(said, 2, "zpool list")
        if len(found) != 1 or found[0][0] != self.options.pool:
            raise UnknownAnswer(f"{self.name}: zpool list does not speak of {self.options.pool}", detail=said)
        return found[0][1]

    def datasets(self, deadline: Deadline, *which: str) -> dict[str, Dataset]:
        """Filesystems and volumes by name: those named, of which none may be missing. Raises Refused naming one that is."""
        done = self.run(deadline, *DATASETS, *which)
        found = {one.name: one for one in map(_dataset, rows(done.stdout, len(COLUMNS), "zfs list"))}
        if missing := [name for name in which if name not in found]:
            raise Refused(
                f"{self.name}: {missing[0]} is not a filesystem or volume of {self.options.pool}",
                detail=done.tail(),
                hint="was it destroyed or renamed? put the group in the policy right",
            )
        done.require(f"{self.name}: listing datasets")
        return found

    def tree(self, deadline: Deadline) -> dict[str, Dataset]:
        """Everything in the pool."""
        said = self.act(deadline, "listing datasets", *DATASETS, "-r", self.options.pool)
        return {one.name: one for one in map(_dataset, rows(said, len(COLUMNS), "zfs list"))}

    def below(self, parent: str, deadline: Deadline) -> dict[str, Dataset]:
        """What lies right below a dataset."""
        words = (*DATASETS, "-r", "-d", "1", parent)
        said = self.act(deadline, f"listing what is below {parent}", *words, hint=CLONES_HINT)
        found = map(_dataset, rows(said, len(COLUMNS), "zfs list"))
        return {one.name: one for one in found if one.name != parent}

    def snapshots(self, of: Sequence[str], deadline: Deadline) -> tuple[Snapshot, ...]:
        """All snapshots of these datasets and of nothing below them."""
        columns = f"name,{MARK},clones,userrefs"
        argv = ("zfs", "list", "-H", "-p", "-t", "snapshot", "-d", "1", "-o", columns)
        said = self.act(deadline, "listing snapshots", *argv, *of)
        found = []
        for name, mark, clones, holds in rows(said, 4, "zfs list"):
            if "@" not in name or not holds.isdigit():
                raise UnknownAnswer(f"{self.name}: zfs list names a snapshot in a way that is not known", detail=said)
            one = Snapshot(name, mark, () if clones in ABSENT else tuple(clones.split(",")), int(holds))
            if one.of in of:
                found.append(one)
        return tuple(found)

    def holds(self, snapshots: Sequence[str], deadline: Deadline) -> dict[str, set[str]]:
        """The tags that hold each of these snapshots."""
        found: dict[str, set[str]] = {name: set() for name in snapshots}
        said = self.act(deadline, "asking for holds", "zfs", "holds", "-H", *snapshots)
        for name, tag, _ in rows(said, 3, "zfs holds"):
            found.setdefault(name, set()).add(tag)
        return found

    def status(self, deadline: Deadline) -> Status:
        """What the pool is made of."""
        said = self.act(deadline, f"asking about {self.options.pool}", "zpool", "status", "-P", self.options.pool)
        status = parse_status(said)
        if status.pool != self.options.pool:
            raise UnknownAnswer(f"{self.name}: zpool status speaks of {status.pool}", detail=said)
        return status


COLUMNS = ("name", "type", "mountpoint", "mounted", "origin", MARK)
DATASETS = ("zfs", "list", "-H", "-p", "-t", "filesystem,volume", "-o", ",".join(COLUMNS))
CLONES_HINT = "make it once: zfs create -o canmount=off -o mountpoint=none DATASET"


def _dataset(row: tuple[str, ...]) -> Dataset:
    name, kind, mountpoint, mounted, origin, mark = row
    return Dataset(name, kind, mountpoint, mounted == "yes", "" if origin in ABSENT else origin, mark)
