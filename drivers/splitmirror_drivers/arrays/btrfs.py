"""btrfs read-only snapshots as an array: one subvolume a group, one snapshot a copy.

A snapshot is one moment of the subvolume's tree: inside the one call the kernel writes out what is in memory, waits for
it and commits, and the call returns when that is done (kernel fs/btrfs/ioctl.c create_snapshot, transaction.c
create_pending_snapshot; btrfs-subvolume(8)). So it is crash-consistent: all that was synced is in it, in its order. Data
written meanwhile that nobody has synced goes in file by file, of slightly different moments. Tried on kernel 6.18 with
btrfs-progs 6.2: on a frozen btrfs the call waits, unkillable, and makes its snapshot after the thaw, so the filesystem
must not be frozen; nested subvolumes show as empty folders in a snapshot, so they are refused; a snapshot that is
mounted elsewhere or read by somebody is deleted without a word, so that is asked before.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import (
    Action,
    Atomic,
    Exposed,
    Family,
    FixedBy,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
    Source,
    Traits,
)
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

TRAITS = Traits(
    family=Family.POINT,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.GROUP,
    needs_sync=False,
    tracks_changes=False,
    tracks_copy_writes=False,
    keeps_copies=True,
    allows_freeze=False,
    source="btrfs-subvolume(8), kernel fs/btrfs/{ioctl,transaction}.c; tried on kernel 6.18 with btrfs-progs 6.2",
)
COMMAND_SECONDS = 30.0
READ_ONLY, WRITABLE = "readonly", "-"
"""What ``show`` gives as Flags."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NESTED = re.compile(r"ID \d+ (?:gen \d+ )?top level \d+ path (.+)")
_SUBVOLUME_INODE = "256"
"""The root folder of every subvolume has this inode number (btrfs-subvolume(8))."""


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One `subvolume`, by its real path, and the folder for its `snapshots` on the same btrfs."""

    subvolume: str
    snapshots: str


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups by name; `btrfs`: the program, where it is not on PATH."""

    groups: dict[str, Group]
    btrfs: str = "btrfs"


@dataclass(frozen=True, slots=True)
class Subvolume:
    """What ``btrfs subvolume show`` says. `parent`: of what it was made as a snapshot ("" for none); `flags`: its word."""

    path: str
    uuid: str
    parent: str
    flags: str

    @property
    def is_read_only(self) -> bool:
        """Whether nobody can write to it."""
        return self.flags == READ_ONLY

    @property
    def is_known(self) -> bool:
        """Whether its word is one that is known."""
        return self.flags in (READ_ONLY, WRITABLE)


class Btrfs:
    """The subvolumes of one host."""

    traits = TRAITS

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        host.families((look_at.FAMILY,))

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Btrfs:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        for group, places in options.groups.items():
            for path in (places.subvolume, places.snapshots):
                try:
                    look_at.require_absolute(path)
                except Refused as fault:
                    raise PolicyFault(f"{name}/{group}: {fault}") from fault
            if places.subvolume == places.snapshots:
                raise PolicyFault(f"{name}/{group}: the snapshots need a folder of their own")
        return cls(name, options, host)

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED, and one SPLIT pair for each read-only snapshot of the subvolume in its folder."""
        places = self._places(group)
        source = self._source(group, deadline)
        state = PairState.PREPARED if source.is_known else PairState.UNKNOWN
        pairs = [Pair(group, state, source.flags, places.subvolume)]
        for path in self._subvolumes_in(places.snapshots, deadline):
            found = self._show(path, deadline)
            if found.parent == source.uuid and found.flags != WRITABLE:
                copy = PurePosixPath(path).name
                state = PairState.SPLIT if found.is_known else PairState.UNKNOWN
                pairs.append(Pair(f"{group}@{copy}", state, found.flags, places.subvolume, copy))
        return tuple(pairs)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The subvolume's tree. Raises Refused for what a snapshot could not carry."""
        places = self._places(group)
        self._source(group, deadline)
        self._require_places(group, places, deadline)
        return (Source("path", places.subvolume, self.host.name),)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        self._source(group, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for."""
        return Progress(is_done=self._source(group, deadline).is_known)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it takes as long as what is in memory takes to be written, which nobody can say."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """The copy's name must be free, since btrfs puts a snapshot inside a folder that has its name already."""
        for group in groups:
            if not (source := self._show(self._places(group).subvolume, deadline)).is_known:
                raise Refused(f"{source.path} has a flag that is not known: {source.flags}")
            if self._exists(group, copy, deadline):
                raise Refused(f"{self._path(group, copy)} is there already", hint="look at it; it is not overwritten")
        self.host.stand_by(len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One snapshot a group, one after another: each is one moment of its own."""
        return tuple(self._snapshot(group, copy, deadline) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A snapshot may be read at once."""
        self._copy(receipt, deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Where it is already seen."""
        self._copy(receipt, deadline)
        return Exposed("tree", (self._path(receipt.group, receipt.copy),), self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """There is no visibility to take back."""

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Delete the snapshot, when it is ours and nobody uses it. Raises InUse, Refused. Safe to repeat."""
        path = self._path(receipt.group, receipt.copy)
        if not self._exists(receipt.group, receipt.copy, deadline):
            return
        self._copy(receipt, deadline)
        look_at.refuse_users(f"the copy {path}", look_at.users(self.host, deadline, path))
        self._run(("subvolume", "delete", "--commit-after", path), deadline).require(f"deleting {path}")
        if self._exists(receipt.group, receipt.copy, deadline):
            raise UnknownAnswer(f"{path} is still there after it was deleted")

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """What a move will run."""
        places, path = self._places(group), self._path(group, copy)
        argv: tuple[str, ...]
        if move is Move.SPLIT:
            argv, undo = ("snapshot", "-r", places.subvolume, path), f"btrfs subvolume delete {shlex.quote(path)}"
        elif move is Move.DISCARD:
            argv, undo = ("delete", "--commit-after", path), ""
        else:
            return ()
        line = shlex.join((self.options.btrfs, "subvolume", *argv))
        return (Action(self.host.name, line, COMMAND_SECONDS, undo),)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person puts a snapshot back."""
        places, path = self._places(receipt.group), self._path(receipt.group, receipt.copy)
        old, new = shlex.quote(f"{places.subvolume}.broken"), shlex.quote(places.subvolume)
        return (
            f"On {self.host.name}, with the application stopped: `mv {new} {old}`, then "
            f"`btrfs subvolume snapshot {shlex.quote(path)} {new}`. Where {new} is a mount point of its own, unmount it "
            "first and mount the new subvolume there. Copies of the old subvolume are not deleted by us any more."
        )

    # -- split --

    def _snapshot(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        """One command, since applications wait meanwhile; what was made is looked at in `settle`.

        A snapshot of that name that is there already makes it fail, as nothing can be made inside a read-only one.
        """
        places, path = self._places(group), self._path(group, copy)
        receipt = Receipt(self.name, group, copy, data={"path": path})
        done = self._run(("subvolume", "snapshot", "-r", places.subvolume, path), deadline)
        if done.exit_code != 0 and self._exists(group, copy, deadline):
            self._copy(receipt, deadline)
            return replace(receipt, is_again=True)
        done.require(f"making {path}")
        return receipt

    # -- look --

    def _places(self, group: str) -> Group:
        if group not in self.options.groups:
            raise Refused(f"{self.name} has no group {group}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[group]

    def _path(self, group: str, copy: str) -> str:
        if not _NAME.fullmatch(copy):
            raise Refused(f"{copy!r} is not the name of a copy")
        return f"{self._places(group).snapshots}/{copy}"

    def _source(self, group: str, deadline: Deadline) -> Subvolume:
        """The group's subvolume. Raises Refused when another one lies inside it: a snapshot would lack that one's files."""
        places = self._places(group)
        source = self._show(places.subvolume, deadline)
        argv = ("subvolume", "list", "-o", places.subvolume)
        done = self._run(argv, deadline).require(f"asking what lies inside {places.subvolume}")
        for within in parse_nested(done.stdout, source.path):
            if not look_at.is_under(f"{places.subvolume}/{within}", places.snapshots):
                raise Refused(
                    f"{self.name}/{group}: {places.subvolume}/{within} is a subvolume of its own, and no snapshot of "
                    f"{places.subvolume} holds its files",
                    hint="make it a folder, or a group of its own",
                )
        return source

    def _copy(self, receipt: Receipt, deadline: Deadline) -> None:
        """Make sure that a receipt's snapshot is there and is one of its group's subvolume. Raises Refused."""
        path, original = self._path(receipt.group, receipt.copy), self._places(receipt.group).subvolume
        found = self._show(path, deadline)
        if not found.is_read_only or found.parent != self._show(original, deadline).uuid:
            raise Refused(
                f"{path} is not a read-only snapshot of {original}",
                detail=f"{found}",
                hint="look at it; when nobody needs it: btrfs subvolume delete",
            )

    def _require_places(self, group: str, places: Group, deadline: Deadline) -> None:
        seen = look_at.look(self.host, deadline, places.subvolume, places.snapshots)
        for path in (places.subvolume, places.snapshots):
            if path not in seen.places or seen.places[path].real != path:
                raise Refused(f"{self.name}/{group}: {path} is not a folder by that name on {self.host.name}")
        if seen.holding(places.subvolume).numbers != seen.holding(places.snapshots).numbers:
            raise Refused(f"{self.name}/{group}: {places.snapshots} is not on the same btrfs as {places.subvolume}")
        if seen.places[places.snapshots].is_open_to_others:
            raise Refused(f"{self.name}/{group}: anybody may write to {places.snapshots}", hint="chmod o-w it")

    def _show(self, path: str, deadline: Deadline) -> Subvolume:
        done = self._run(("subvolume", "show", path), deadline)
        return parse_show(done.require(f"asking btrfs about {path}").stdout, path)

    def _subvolumes_in(self, folder: str, deadline: Deadline, name: str = "") -> tuple[str, ...]:
        """Paths of the subvolumes right in a folder (only one by name, when it is given) that have a name of ours."""
        named = ("-name", name) if name else ("-inum", _SUBVOLUME_INODE)
        argv = ("find", folder, "-mindepth", "1", "-maxdepth", "1", *named, "-print")
        done = self.host.run(Command(argv), deadline.sooner(COMMAND_SECONDS)).require(f"looking into {folder}")
        return tuple(sorted(line for line in done.stdout.splitlines() if _NAME.fullmatch(PurePosixPath(line).name)))

    def _exists(self, group: str, copy: str, deadline: Deadline) -> bool:
        return bool(self._subvolumes_in(self._places(group).snapshots, deadline, copy))

    def _run(self, arguments: Sequence[str], deadline: Deadline) -> Completed:
        command = Command((self.options.btrfs, *arguments), environment={"LC_ALL": "C"})
        return self.host.run(command, deadline.sooner(COMMAND_SECONDS))


def parse_show(text: str, path: str) -> Subvolume:
    """``btrfs subvolume show``. Raises UnknownAnswer for anything but one subvolume with its ids and flags."""
    first, *rest = text.partition("\tSnapshot(s):")[0].splitlines() or [""]
    fields: Mapping[str, str] = {
        key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in rest) if colon
    }
    uuid, parent, flags = (fields.get(key, "") for key in ("UUID", "Parent UUID", "Flags"))
    if not (first and flags and _UUID.fullmatch(uuid) and (parent == "-" or _UUID.fullmatch(parent))):
        raise UnknownAnswer(f"btrfs does not say what {path} is", detail=text)
    return Subvolume(first.strip().strip("/"), uuid, "" if parent == "-" else parent, flags)


def parse_nested(text: str, above: str) -> tuple[str, ...]:
    """``btrfs subvolume list -o``: paths of the subvolumes inside `above` (its own path), relative to it."""
    found = []
    for line in text.splitlines():
        match = _NESTED.fullmatch(line)
        if match is None:
            raise UnknownAnswer("btrfs lists a subvolume in words that are not known", detail=text)
        found.append(match[1].removeprefix(f"{above}/" if above else ""))
    return tuple(found)
