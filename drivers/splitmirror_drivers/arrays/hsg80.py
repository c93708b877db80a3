"""Compaq StorageWorks HSG80 (RA8000, ESA12000): a third disk in each mirrorset of a unit, broken off by REDUCE.

The controller has a command language over a terminal and no exit codes: every line is proven by SHOW (hsg80_change). There
is no object for a copy and no change tracking: each establish is full, and a disk that is not in its mirrorset is a copy,
or was never one. One REDUCE names every disk of a unit and is one moment for it; several units are several moments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splitmirror_drivers.arrays import hsg80_split
from splitmirror_drivers.arrays.hsg80_attach import Attach
from splitmirror_drivers.arrays.hsg80_console import Console, wait
from splitmirror_drivers.arrays.hsg80_copy import Copy
from splitmirror_drivers.arrays.hsg80_look import SPLIT, lines_of, look, pairs_of, words
from splitmirror_drivers.arrays.hsg80_options import Group, Options, Unit
from splitmirror_drivers.arrays.hsg80_parse import parse_lun_id
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
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer

__all__ = ["ANSWERS", "Hsg80", "Options"]

ANSWERS: Mapping[str, str] = {
    "NODESTROY": "INITIALIZE keeps what is on the disks that were split off; without it they would be emptied",
}
SOURCE = (
    "Compaq HSG80 ACS 8.4 Configuration and CLI Reference Guide EK-HSG84-RG pp. 7-77, 7-112; HSG60/HSG80 CLI Reference "
    "EK-G80CL-RA p. 158; HS-series User's Guide pp. 187-191, 393"
)


class Hsg80:
    """The units of one controller pair."""

    def __init__(
        self, name: str, options: Options, host: Host, copy_host: str = "", pause: Callable[[float], None] = wait
    ) -> None:
        self.name, self.options, self.host = name, options, host
        self.copy_host = copy_host or host.name
        self.console = Console(name, options, host, pause)
        self.traits = traits(options)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Hsg80:
        """The catalogue's constructor. Raises PolicyFault."""
        return cls(name, options, host, context.host(options.copy_host).name if options.copy_host else "")

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """One pair for each mirrorset. Raises Refused when a unit is not made of what the policy says."""
        return pairs_of(look(self.console, self._units(group), deadline))

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """What the policy says that each unit is on the data server; else its world-wide LUN ID."""
        host, found = self._group(group).source_host, []
        for name, unit in self._units(group).items():
            ids = [(one, "" if one.startswith("wwn:") else host) for one in unit.devices]
            found += [Source("device", one, of) for one, of in ids or [(self._lun_id(name, deadline), "")]]
        return tuple(found)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every third mirror is NORMAL. Raises UnknownAnswer or CommandFailed for one that will not get there."""
        views = look(self.console, self._units(group), deadline)
        pairs = pairs_of(views)
        for pair in pairs:
            if pair.state is PairState.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {pair.name} says {pair.word}, which no table lists")
            if pair.state is PairState.BROKEN:
                raise CommandFailed(f"{self.name}/{group}: {pair.name} is broken: {pair.copy} {pair.word}")
        percents = [percent for view in views for percent in view.percents()]
        fraction = sum(percents) / len(percents) / 100 if min(percents) >= 0 else None
        left = [pair for pair in pairs if pair.state is not PairState.SYNCED]
        return Progress(not left, fraction, words(left))

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A disk that was reduced is whole, and may be read at once."""
        pairs = self.query(receipt.group, deadline)
        if any(pair.state is not SPLIT for pair in pairs):
            raise UnknownAnswer(f"{self.name}/{receipt.group} is not split", detail=words(pairs))
        return Progress(is_done=True)

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Three SETs for each mirrorset whose third disk is not in it: always a full copy. Raises Refused."""
        views = look(self.console, self._units(group), deadline)
        pairs = pairs_of(views)
        if any(pair.state in (PairState.UNKNOWN, PairState.BROKEN) for pair in pairs):
            raise Refused(f"{self.name}/{group} cannot be attached in its state", detail=words(pairs))
        if all(pair.state is not SPLIT for pair in pairs):
            return
        if mode is not Mode.FULL:
            raise Refused(
                f"{self.name}/{group}: this array tracks no changes, so attaching copies everything",
                detail=words(pairs),
                hint=f"splitmirror establish --full, or full-copy in the policy that uses {group}",
            )
        for view in views:
            Attach(self.console, view).run(deadline)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it takes as long as the cache takes to be flushed, which nobody can say."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - copies have no names
        """A look before, and for each unit its REDUCE with a look after it."""
        sessions = 0
        for group in groups:
            units = self._units(group)
            look(self.console, units, deadline)
            lines = sum(len(lines_of(unit)) for unit in units.values())
            each = sum(self.console.sessions(1 + len(lines_of(unit))) for unit in units.values())
            sessions += self.console.sessions(lines) + each
        self.host.stand_by(sessions, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One REDUCE a unit, one unit after another; fixed when SHOW has every disk out of its mirrorset."""
        units: dict[str, Unit] = {}
        for group in groups:
            if both := units.keys() & self._units(group).keys():
                raise Refused(f"{self.name}: {min(both)} cannot be split for two groups at once")
            units |= self._units(group)
        is_again = hsg80_split.take(self.console, groups, units, deadline)
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """The disks as a unit of their own, put together as the original is. Safe to repeat."""
        units = self._units(receipt.group)
        for name, unit in units.items():
            if not unit.copy_devices:
                raise Refused(
                    f"{self.name}/{receipt.group}: the policy does not say where {unit.copy_unit} appears",
                    hint=f"name copy-devices in units.{name}",
                )
        self.settle(receipt, deadline)
        for unit in units.values():
            Copy(self.console, unit).expose(deadline)
        paths = tuple(path for unit in units.values() for path in unit.copy_devices)
        return Exposed("device", paths, self.copy_host)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """The copy's units and storagesets are deleted, its disks are unused again. Safe to repeat.

        The controller does not know who reads a unit, and deletes it all the same: the presentation asks before.
        """
        for unit in reversed(self._units(receipt.group).values()):
            Copy(self.console, unit).unexpose(deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A mirror is attached again, never discarded."""
        raise Refused(f"{self.name} is a mirror: its copy is attached again, never discarded")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002
        """The lines that a move would type at the console."""
        found: list[tuple[str, str]] = []
        for name, unit in self._units(group).items():
            shown = Copy(self.console, unit)
            if move in (Move.ESTABLISH, Move.REATTACH):
                found += [(line, hsg80_split.line_of(unit)) for line in Attach.lines(unit)]
            elif move is Move.SPLIT:
                found.append((hsg80_split.line_of(unit), f"attach the disks of {name} again: a full copy"))
            elif move is Move.EXPOSE:
                found += zip(shown.expose_lines(), shown.expose_undo(), strict=True)
            elif move is Move.UNEXPOSE:
                found += [(line, "") for line in shown.unexpose_lines()]
        seconds = float(self.options.command_deadline)
        return tuple(Action(self.host.name, line, seconds, undo) for line, undo in found)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies back."""
        parts = []
        for name, unit in self._units(receipt.group).items():
            disks = ", ".join(f"{mirror.disk} of {key}" for key, mirror in unit.mirrorsets.items())
            parts.append(f"{name}: {disks}")
        return (
            f"Array {self.name}, group {receipt.group}, copy {receipt.copy} ({'; '.join(parts)}). Either copy the data "
            "back from the copy's units with the host's own tools; or, with the application stopped and the original "
            "units deleted, make each original mirrorset anew from the disk that was split off as its first member, and "
            "add the old members again with SET … REPLACE= (a full copy onto them). See the CLI reference guide, ADD MIRRORSET."
        )

    # -- names --

    def _group(self, group: str) -> Group:
        if group not in self.options.groups:
            raise Refused(f"{self.name} has no group {group}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[group]

    def _units(self, group: str) -> dict[str, Unit]:
        return self._group(group).units

    def _lun_id(self, name: str, deadline: Deadline) -> str:
        found = self.console.read((f"SHOW {name}",), lambda replies: parse_lun_id(replies[0]), deadline)
        return f"wwn:{found}" if found else f"{name} of {self.name}"


def traits(options: Options) -> Traits:
    """What is claimed. Several units in one group are several moments, each mirrorset is one."""
    is_one_unit = all(len(group.units) == 1 for group in options.groups.values())
    return Traits(
        family=Family.MIRROR,
        fixed_by=FixedBy.COMPLETE,
        atomic=Atomic.GROUP if is_one_unit else Atomic.PAIR,
        needs_sync=True,
        tracks_changes=False,
        tracks_copy_writes=True,
        keeps_copies=False,
        allows_freeze=True,
        source=SOURCE,
    )
