"""Windows shadow copies by diskshadow: a group is some volumes, a copy one shadow copy set of them, all of one moment.

``create`` does in itself what a hold does elsewhere: the writers of the policy freeze their applications, the moment is
taken, they thaw. Volumes are written out either way. Copies are persistent and read-only. Which set is which copy: see
``diskshadow_copies``. Sources: Microsoft "Windows Commands" (diskshadow, set context, set metadata, begin backup, create,
expose, unexpose, delete shadows, list shadows, list writers, exec), CVssWriter::OnFreeze (60 s), "Shadow Copy Creation for
Providers" (one moment for a set); public captures. Not verified: exit codes, and what is said of most failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from splitmirror_drivers.arrays import diskshadow_copies as copies
from splitmirror_drivers.arrays import diskshadow_split as splitting
from splitmirror_drivers.arrays.diskshadow_copies import Look, stem
from splitmirror_drivers.arrays.diskshadow_copy import Copy
from splitmirror_drivers.arrays.diskshadow_options import NOBODY, Group, Options, require_sound
from splitmirror_drivers.arrays.diskshadow_session import COMMAND_SECONDS, METADATA, SCRIPT, Session
from splitmirror_drivers.arrays.diskshadow_words import FINE, Shadow, Writer, place
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
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused

TRAITS = Traits(
    family=Family.POINT,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.GROUP,
    needs_sync=False,
    tracks_changes=False,
    tracks_copy_writes=False,
    keeps_copies=True,
    allows_freeze=False,
    source='Microsoft "Windows Commands", diskshadow; "Shadow Copy Creation for Providers"; CVssWriter::OnFreeze',
    limit_seconds=60.0,
)
ANSWERS: Mapping[str, str] = {}
"""No flag is passed that answers a prompt: a script has none."""
SPLIT_COMMANDS = 5
READY, BEGUN = "no writer is asked", "begun, its end unknown"


class DiskShadow:
    """The volumes of one Windows host."""

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = replace(TRAITS, quiesces=quiesced(options.groups.values()))
        self.session = Session(host, options)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> DiskShadow:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        require_sound(name, options)
        if wrong := [group for group in options.groups if not copies.NAME.fullmatch(group)]:
            raise PolicyFault(f"{name}: {wrong[0]!r} cannot be the name of a group: it goes into names of files")
        return cls(name, options, host)

    # -- states --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED when its writers are well; a pair for each volume of each copy of ours; UNKNOWN for a split without an end."""
        table, names = self._table(group), self.session.names(deadline)
        seen = copies.look(self.session, table, deadline)
        pairs = [self._next(group, table, seen)]
        made = copies.copies(group, names, METADATA)
        for copy in made:
            set_id = copies.set_of(self.session, group, copy, deadline)
            pairs += self._pairs(group, copy, seen.of_set(set_id))
        for copy in copies.copies(group, names, SCRIPT):
            if copy not in made and copies.begun(self.session, group, copy, table, seen, deadline):
                pairs.append(Pair(f"{group}@{copy}", PairState.UNKNOWN, BEGUN, copy=copy))
        return tuple(pairs)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:  # noqa: ARG002 - the policy names them
        """The volumes, each with all that lies on it."""
        return tuple(Source("path", place(volume), self.host.name) for volume in self._table(group).volumes)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        copies.look(self.session, self._table(group), deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for."""
        table = self._table(group)
        state = self._next(group, table, copies.look(self.session, table, deadline)).state
        return Progress(is_done=state is PairState.PREPARED)

    def _next(self, group: str, table: Group, seen: Look) -> Pair:
        """Whether the next copy may be made."""
        volumes = {place(volume).lower() for volume in table.volumes}
        odd = [shadow for shadow in seen.shadows if shadow.volume.lower() in volumes and not shadow.is_known]
        if odd:
            return Pair(group, PairState.UNKNOWN, odd[0].word or "no attributes")
        writer, state = copies.worst_writer(table, seen.writers, FINE)
        if writer:
            kind = PairState.BROKEN if copies.is_known_state(state) else PairState.UNKNOWN
            return Pair(group, kind, f"{writer}: {state}")
        return Pair(group, PairState.PREPARED, ", ".join(sorted({one.state for one in seen.writers})) or READY)

    def _pairs(self, group: str, copy: str, shadows: Sequence[Shadow]) -> list[Pair]:
        """A pair for what stands of a copy; that nothing is missing `settle` sees, and the next split does not depend on it."""
        return [
            Pair(
                f"{group}@{copy} {shadow.volume}",
                PairState.SPLIT if shadow.is_known else PairState.UNKNOWN,
                shadow.word or "no attributes",
                shadow.volume,
                copy,
            )
            for shadow in shadows
        ]

    # -- split --

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: as long as the writers take to freeze, which nobody can say."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """The copy's name is free, the writers are well, what diskshadow says is understood."""
        names = self.session.names(deadline)
        for group in groups:
            table = self._table(group)
            pair = self._next(group, table, copies.look(self.session, table, deadline))
            if pair.state is not PairState.PREPARED:
                raise Refused(f"{self.name}/{group} cannot be split: {pair.word}")
            if {stem(group, copy) + METADATA, stem(group, copy) + SCRIPT} & names:
                raise Refused(f"{self.name}/{group} has a copy {copy} already, or one was begun")
        self.host.stand_by(SPLIT_COMMANDS * len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One set a group, one after another: each is one moment of its own."""
        return tuple(self._split(group, copy, deadline) for group in groups)

    def _split(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        table, what = self._table(group), f"{self.name}/{group}"
        names = self.session.names(deadline)
        seen = copies.look(self.session, table, deadline)
        if stem(group, copy) + METADATA in names:
            set_id = copies.set_of(self.session, group, copy, deadline)
            copies.require_whole(f"the copy {copy} of {group}", table, seen.of_set(set_id))
            return Receipt(self.name, group, copy, is_again=True, data={"set": set_id})
        if stem(group, copy) + SCRIPT in names and (
            left := copies.begun(self.session, group, copy, table, seen, deadline)
        ):
            raise copies.unfinished(self.session, group, copy, left)
        pair = self._next(group, table, seen)
        if pair.state is PairState.UNKNOWN:
            raise Refused(f"{what} cannot be split: {pair.word}")
        splitting.refuse_writers(what, table, seen)
        return Receipt(self.name, group, copy, data=splitting.make(self.session, group, copy, table, seen, deadline))

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """It may be read at once, when it stands and is whole."""
        self._copy(receipt).standing(deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Each shadow copy at its drive letter or folder."""
        return Exposed("tree", self._copy(receipt).expose(deadline), self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Take the letters and folders back. Who reads there cannot be seen from here."""
        self._copy(receipt).unexpose(deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Delete the set, when it is ours and not exposed; then its files. Raises InUse, Refused. Safe to repeat."""
        self._copy(receipt).discard(deadline)

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """What a move will have diskshadow do."""
        table, name = self._table(group), stem(group, copy)
        if move is Move.SPLIT:
            named = () if table.writers == NOBODY else tuple(Writer(one, one, "") for one in table.writers)
            lines = splitting.lines_for(self.session, group, copy, table, Look((), named))[1:]
            what, undo = f"diskshadow -s {self.session.path(name + SCRIPT)} ({'; '.join(lines)})", "delete shadows set"
        elif move is Move.EXPOSE and table.expose:
            what, undo = f"diskshadow: expose each copy at {', '.join(table.expose)}", "unexpose"
        elif move is Move.UNEXPOSE and table.expose:
            what, undo = f"diskshadow: unexpose {', '.join(table.expose)}", ""
        elif move is Move.DISCARD:
            what, undo = f"diskshadow: delete shadows set (that of {name})", ""
        else:
            return ()
        return (Action(self.host.name, what, COMMAND_SECONDS, undo),)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person gets files back."""
        found = self.session.path(stem(receipt.group, receipt.copy) + METADATA)
        return (
            f"On {self.host.name}, in diskshadow: `load metadata {found}`, `list shadows set %VSS_SHADOW_SET%`, then "
            "`expose {id} X:` and copy what is needed from X:, with the application stopped. `revert` would overwrite a "
            "whole volume and delete every newer shadow copy of it."
        )

    # -- look --

    def _table(self, group: str) -> Group:
        if group not in self.options.groups:
            raise Refused(f"{self.name} has no group {group}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[group]

    def _copy(self, receipt: Receipt) -> Copy:
        known = receipt.data.get("set", "")
        return Copy(self.session, receipt.group, receipt.copy, self._table(receipt.group), known)


def quiesced(groups: Iterable[Group]) -> tuple[str, ...]:
    """The writers that take part in every group's split: what is said of an array counts for all its groups."""
    every = [frozenset(() if group.writers == NOBODY else group.writers) for group in groups]
    return tuple(sorted(frozenset.intersection(*every))) if every else ()


__all__ = ["DiskShadow", "Options"]
