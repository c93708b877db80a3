"""``rbd`` as an array's driver asks it: JSON only, every command with its deadline.

Exit codes are taken as zero or not: that others are an errno is not written in rbd(8). What became of a command that
failed is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from splitmirror_drivers.arrays.rbd_options import Group, Options
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

COMMAND_SECONDS = 60.0
REMOVE_SECONDS = 600.0
"""A clone that is removed is deleted object by object."""
PREFIX = "splitmirror."
"""What the names of our snapshots and clones begin with."""
T = TypeVar("T")


class Namespace(msgspec.Struct, frozen=True):
    """Of what kind a snapshot is. `group_snap`: of which snapshot of an rbd group."""

    type: str = "user"
    pool: str = ""
    group: str = ""
    group_snap: str = msgspec.field(default="", name="group snap")


class Snapshot(msgspec.Struct, frozen=True):
    """One entry of ``rbd snap ls --all``. Older releases say whether it is protected by a word in a text."""

    id: int
    name: str
    protected: str | bool = "false"
    namespace: Namespace = Namespace()

    @property
    def is_protected(self) -> bool:
        """Whether it may not be removed."""
        return self.protected in (True, "true")


class Parent(msgspec.Struct, frozen=True):
    """What a clone was made of."""

    pool: str
    image: str
    snapshot: str = ""


class Info(msgspec.Struct, frozen=True):
    """``rbd info``."""

    name: str
    size: int
    op_features: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    parent: Parent | None = None


class Member(msgspec.Struct, frozen=True):
    """One entry of ``rbd group image ls``; state 0 is a whole member."""

    image: str
    pool: str
    state: int = 0


class GroupSnapshot(msgspec.Struct, frozen=True):
    """One entry of ``rbd group snap ls``."""

    snapshot: str
    state: str


class Mapping(msgspec.Struct, frozen=True):
    """One entry of ``rbd device list``; `snap` is ``-`` for an image itself."""

    pool: str
    name: str
    snap: str
    device: str


class Child(msgspec.Struct, frozen=True):
    """One entry of ``rbd children``."""

    pool: str
    image: str


@dataclass(frozen=True, slots=True)
class Calls:
    """The commands of one cluster; `host` manages, `copy_host` maps."""

    name: str
    options: Options
    host: Host
    copy_host: Host

    def group(self, name: str) -> Group:
        """A group's table. Raises Refused when there is none."""
        if name not in self.options.groups:
            raise Refused(f"{self.name} has no group {name}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[name]

    def argv(self, *words: str) -> tuple[str, ...]:
        """A command line."""
        options = self.options
        who = ("--id", options.id) if options.id else ()
        where = ("--cluster", options.cluster) if options.cluster else ()
        return (options.rbd, *words, *who, *where)

    def line(self, *words: str) -> str:
        """The same, to be shown."""
        return Command(self.argv(*words)).line()

    def run(
        self, deadline: Deadline, *words: str, host: Host | None = None, seconds: float = COMMAND_SECONDS
    ) -> Completed:
        """One command, whatever comes of it."""
        command = Command(self.argv(*words), environment={"LC_ALL": "C"})
        return (host or self.host).run(command, deadline.sooner(seconds))

    def act(self, deadline: Deadline, what: str, *words: str, host: Host | None = None, hint: str = "") -> None:
        """One command that must succeed."""
        self.run(deadline, *words, host=host).require(f"{self.name}: {what}", hint)

    # -- looking --

    def info(self, image: str, deadline: Deadline) -> Info:
        """One image. Raises Refused where it cannot be opened."""
        done = self.run(deadline, "info", "--format", "json", image)
        if done.exit_code != 0:
            raise Refused(
                f"{self.name}: {image} cannot be asked about",
                detail=done.tail(),
                hint="was it removed or renamed? may this host's key read it?",
            )
        return self._read(done, Info)

    def snapshots(self, image: str, deadline: Deadline) -> tuple[Snapshot, ...]:
        """All snapshots of an image, those of its group too."""
        return self._ask(tuple[Snapshot, ...], deadline, f"listing snapshots of {image}", "snap", "ls", "--all", image)

    def members(self, group: str, deadline: Deadline) -> tuple[Member, ...]:
        """The images of an rbd group."""
        return self._ask(tuple[Member, ...], deadline, f"listing {group}", "group", "image", "ls", group)

    def group_snapshots(self, group: str, deadline: Deadline) -> tuple[GroupSnapshot, ...]:
        """The snapshots of an rbd group."""
        what = f"listing snapshots of {group}"
        return self._ask(tuple[GroupSnapshot, ...], deadline, what, "group", "snap", "ls", group)

    def images(self, pool: str, deadline: Deadline) -> tuple[str, ...]:
        """The names of a pool's images."""
        return self._ask(tuple[str, ...], deadline, f"listing {pool}", "ls", pool)

    def children(self, snapshot: str, deadline: Deadline) -> tuple[Child, ...]:
        """The clones of an image's snapshot."""
        return self._ask(tuple[Child, ...], deadline, f"asking for clones of {snapshot}", "children", snapshot)

    def mappings(self, host: Host, deadline: Deadline) -> tuple[Mapping, ...]:
        """What a host has mapped."""
        what = f"asking what {host.name} has mapped"
        return self._ask(tuple[Mapping, ...], deadline, what, "device", "list", host=host)

    def _ask(self, kind: type[T], deadline: Deadline, what: str, *words: str, host: Host | None = None) -> T:
        done = self.run(deadline, *words, "--format", "json", host=host)
        return self._read(done.require(f"{self.name}: {what}"), kind)

    def _read(self, done: Completed, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(done.stdout or "[]", type=kind)
        except msgspec.MsgspecError as fault:
            raise UnknownAnswer(
                f"{self.name}: rbd answers in a way that is not known: {fault}", detail=done.tail()
            ) from fault


def snap_name(copy: str) -> str:
    """The name of a copy's snapshots."""
    return f"{PREFIX}{copy}"


def copy_of(name: str) -> str:
    """The copy that a snapshot is part of; "" for one that is not ours."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""


def of_group(snapshots: Sequence[Snapshot], group: str, name: str) -> Snapshot | None:
    """An image's part of an rbd group's snapshot."""
    wanted: tuple[Any, ...] = ("group", *group.split("/", 1), name)
    found = [
        one
        for one in snapshots
        if (one.namespace.type, one.namespace.pool, one.namespace.group, one.namespace.group_snap) == wanted
    ]
    return found[0] if len(found) == 1 else None
