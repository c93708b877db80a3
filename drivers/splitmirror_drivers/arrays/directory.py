"""A mirror without an array: a directory tree of this host, copied to another place of this host and kept up.

Establish copies what changed, in a process of its own, while the application runs; the split copies what changed since
then under the freeze, so the freeze window is as long as that takes. One file after the other is copied: the split is
no one moment, and what writes to the tree has to be held. What the copies rest on: rename(2), flock(2), syncfs(2), and
that a file that is written to gets a new mtime or ctime (inode(7)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from splitmirror_drivers.arrays import directory_copy as copying
from splitmirror_drivers.arrays import directory_manifest as manifest
from splitmirror_drivers.arrays import directory_worker as worker
from splitmirror_drivers.arrays.directory_file import Account
from splitmirror_drivers.arrays.directory_names import opened, translated
from splitmirror_drivers.arrays.directory_pass import Pass
from splitmirror_drivers.arrays.directory_place import Condition, Place, State, Word
from splitmirror_drivers.arrays.directory_rules import begin, require_apart, require_sound
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
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Fault, NotSynchronised, PolicyFault, Refused
from splitmirror_drivers.kit.units import Duration


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One tree and the place of its copy."""

    source: str
    """The folder to mirror."""
    mirror: str
    """The folder of the copy: empty or missing before the first establish, and ours from then on."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Directory trees of this host and where they are mirrored."""

    groups: dict[str, Group]
    fresh: Duration = Duration(600)
    """How long after an establish the trees count as in sync; what changed since is copied under the freeze."""


class DirectoryMirror:
    """Directory mirrors of one host."""

    def __init__(self, name: str, options: Options, host_name: str = "local") -> None:
        self.name, self.options, self._host_name = name, options, host_name
        self._places = {group: _place(name, group, one) for group, one in options.groups.items()}
        mirrors = [place.mirror for place in self._places.values()]
        if len(set(mirrors)) != len(mirrors):
            raise PolicyFault(f"{name}: two groups have the same mirror", hint="give each group a mirror of its own")
        self.traits = Traits(
            family=Family.MIRROR,
            fixed_by=FixedBy.COMPLETE,
            atomic=Atomic.NOTHING,
            needs_sync=True,
            tracks_changes=True,
            tracks_copy_writes=True,
            keeps_copies=False,
            # on one filesystem the mirror could not be written under the freeze: the split would wait for ever
            allows_freeze=all(_are_apart(place) for place in self._places.values()),
            source="docs/arrays/directory.md; inode(7), rename(2)",
        )

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> DirectoryMirror:
        """The catalogue's constructor. Raises PolicyFault."""
        if not host.is_local:
            raise PolicyFault(
                f"{name}: a directory array mirrors trees of the host that the hooks run on, not of {host.name}",
                hint="run splitmirror on that host, or use an array that its data lies on",
            )
        made = cls(name, options, host.name)
        for group, place in made._places.items():
            require_apart(f"{name}/{group}", place, Path(context.state_folder))
        return made

    def place(self, group: str) -> Place:
        """Where a group's trees lie. Raises PolicyFault for a group that the policy has not."""
        try:
            return self._places[group]
        except KeyError:
            known = ", ".join(sorted(self._places)) or "none"
            raise PolicyFault(f"{self.name} has no group {group!r}", hint=f"its groups are: {known}") from None

    def _condition(self, group: str) -> Condition:
        return self.place(group).condition(float(self.options.fresh))

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:  # noqa: ARG002
        """One pair: the two trees, from the state file, the lock and a look at both folders."""
        place, now = self.place(group), self._condition(group)
        copy = now.known.copy if now.known and now.known.word is Word.SPLIT else ""
        return (Pair(copy or group, now.state, now.word, str(place.source), str(place.mirror)),)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:  # noqa: ARG002
        """The source's tree on this host."""
        return (Source("path", str(self.place(group).source.resolve()), self._host_name),)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Start the worker. Raises Refused for trees that must not be touched."""
        place = self.place(group)
        require_sound(place)
        with place.working(deadline) as lock:
            if lock is None:
                if (known := place.read()) and known.word is Word.COPYING:
                    return
                raise Refused(f"somebody else works on {place.mirror}", hint="wait for that to end")
            state = begin(place, mode)
            place.split_manifest.unlink(missing_ok=True)
            place.write(state)
            worker.detach(place, state, lock, trusts=mode is Mode.INCREMENTAL)

    def progress(self, group: str, deadline: Deadline) -> Progress:  # noqa: ARG002
        """Done when the state says synced; a worker that failed or died is told at once."""
        place, now = self.place(group), self._condition(group)
        if now.state is PairState.SYNCED:
            return Progress(is_done=True, fraction=1.0)
        if now.word == Word.COPYING.value and now.known:
            return _progress(now.known)
        if now.known and now.known.word is Word.FAILED:
            raise CommandFailed(f"{self.name}/{group}: {now.known.error}", hint=now.known.hint)
        if now.known and now.known.word is Word.COPYING:
            raise CommandFailed(
                f"{self.name}/{group}: the copying of {place.source} ended half-way",
                hint="start it again: it goes on from there",
                retryable=True,
            )
        raise NotSynchronised(f"{self.name}/{group} is {now.word}, and nothing copies")

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """Copy what changed since the last pass, one group after the other; each is fixed when that is done."""
        return tuple(self._split(group, copy, deadline) for group in groups)

    def _split(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        place = self.place(group)
        with place.working(deadline) as lock:
            now = self._condition(group)
            if now.known and now.state is PairState.SPLIT and now.known.copy == copy:
                return Receipt(self.name, group, copy, is_again=True)
            if lock is None or now.known is None or now.state is not PairState.SYNCED:
                word = now.word if lock is not None else f"{now.word}, and somebody works on it"
                raise NotSynchronised(f"{self.name}/{group} is {word}")
            state = msgspec.structs.replace(now.known, word=Word.SPLITTING, copy=copy, is_settled=False)
            place.write(state, durable=False)
            try:
                account = self._delta(place, deadline)
            except Fault as fault:  # the copy is of no moment at all; the next establish repairs it
                place.write_failed(state, str(fault), fault.hint)
                raise
            place.write(msgspec.structs.replace(state, word=Word.SPLIT, last=account), durable=False)
        return Receipt(self.name, group, copy)

    def _delta(self, place: Place, deadline: Deadline) -> Account:
        old = manifest.Reader(place.manifest)
        try:
            with translated(str(place.split_manifest), "cannot be written"):
                new = manifest.Writer(place.split_manifest)
            return Pass(str(place.source), str(place.mirror), old, new, is_split=True, deadline=deadline).run()
        finally:
            old.close()

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Bring to the disk what the split copied; from then on its manifest is the one that counts."""
        place = self.place(receipt.group)
        known = self._own_split(receipt)
        if not known.is_settled:
            with place.working(deadline) as lock, translated(str(place.mirror), "cannot be brought to its disk"):
                if lock is None:
                    return Progress(is_done=False)
                with opened(str(place.mirror)) as copy:
                    copying.flush(copy)
                place.split_manifest.replace(place.manifest)
                place.write(msgspec.structs.replace(known, is_settled=True))
        return Progress(is_done=True, fraction=1.0)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:  # noqa: ARG002
        """The tree is visible where it lies."""
        self._own_split(receipt)
        return Exposed("tree", (str(self.place(receipt.group).mirror),), self._host_name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Nothing was done to expose it."""

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A mirror is never discarded."""
        raise Refused(f"{self.name}/{receipt.group} is a mirror, not a copy that can be deleted")

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """It needs nothing that could be opened before."""

    def split_estimate(self, group: str) -> float | None:
        """How long the split may take, in seconds: as long as the last pass that had only changes to copy. None: unknown."""
        known = self._condition(group).known
        return known.last.seconds if known and known.is_complete and known.last else None

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """Sentences, since the work is done in our own processes."""
        place = self.place(group)
        if move not in _SENTENCES:  # nothing is done: the tree is visible where it lies
            return ()
        what, seconds, undo = _SENTENCES[move]
        return (
            Action(self._host_name, what.format(source=place.source, mirror=place.mirror, copy=copy), seconds, undo),
        )

    def restore_note(self, receipt: Receipt) -> str:
        """Copying back is a person's work."""
        place = self.place(receipt.group)
        return (
            f"The copy {receipt.copy} is the directory tree {place.mirror} on {self._host_name} (while it is presented: where it is "
            f"presented). To bring it back, stop whatever uses {place.source}, then as root: "
            f"rsync -aHAXS --delete COPY/ {place.source}/"
        )

    def _own_split(self, receipt: Receipt) -> State:
        now = self._condition(receipt.group)
        if now.known is None or now.known.word is not Word.SPLIT or now.known.copy != receipt.copy:
            raise Refused(
                f"{self.name}/{receipt.group} is {now.word} and does not carry the copy {receipt.copy}",
                hint="make a new copy",
            )
        return now.known


_COPY = ("copy what changed in {source} to {mirror}", 60.0, "nothing: the copying goes on by itself")
_SENTENCES: Mapping[Move, tuple[str, float, str]] = {
    Move.ESTABLISH: _COPY,
    Move.REATTACH: _COPY,
    Move.SPLIT: ("copy what changed since in {source} to {mirror}: the copy {copy}", 30.0, "nothing: it rests split"),
    Move.SETTLE: ("bring {mirror} to its disk", 120.0, "nothing"),
}


def _place(name: str, group: str, one: Group) -> Place:
    source, mirror = Path(os.path.normpath(one.source)), Path(os.path.normpath(one.mirror))
    if not (source.is_absolute() and mirror.is_absolute()):
        raise PolicyFault(f"{name}/{group}: source and mirror are written from the root on")
    if source in (mirror, *mirror.parents) or mirror in source.parents:
        raise PolicyFault(f"{name}/{group}: source and mirror lie one inside the other: {source}, {mirror}")
    return Place(source, mirror)


def _are_apart(place: Place) -> bool:
    """Whether both lie on filesystems of their own; when that cannot be seen: no."""
    try:
        return place.source.stat().st_dev != place.mirror.parent.stat().st_dev
    except OSError:
        return False


def _progress(known: State) -> Progress:
    now, whole = known.last, known.establish
    if now is None or whole is None:
        return Progress(is_done=False)
    fraction = min(0.99, now.entries / known.expected) if known.expected else None
    return Progress(False, fraction, f"{now.entries} entries seen, {whole.written_bytes / 2**20:.0f} MiB written")
