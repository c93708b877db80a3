"""VERITAS Volume Manager: a third mirror of each volume, broken off as a snapshot volume, and reattached.

Two ways: instant snapshots (``vxsnap addmir``, ``make``, ``reattach``) and traditional ones (``vxassist snapstart``,
``snapshot``, ``snapback``); a volume that is prepared for one refuses the other. All snapshots of a group are made by one
command. It is refused as a whole while a mirror is not ready (SNAPDONE), so nothing is asked inside the freeze window; what
became of a command that failed is asked afterwards. The restoring forms (``restore``, ``-o resyncfromreplica``) are never
used. Sources: those of vxvm_options; exit codes: vxintro(1M).
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splitmirror_drivers.arrays.vxvm_away import Traveller
from splitmirror_drivers.arrays.vxvm_commands import Commands
from splitmirror_drivers.arrays.vxvm_options import Group, Options
from splitmirror_drivers.arrays.vxvm_state import Copy, Look, look
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import (
    Action,
    Exposed,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
    Source,
)
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, NotSynchronised, Refused, UnknownAnswer
from splitmirror_drivers.presentation.vxvm_tools import DEVICES, ENABLED, MOVE_SECONDS, VxvmTools, of_group

ANSWERS: Mapping[str, str] = {}
"""No flag that is passed answers a prompt or renames a copy. (-b: go on in the background; -o name=: what to call it.)"""
BUSY_PAUSE_SECONDS = 0.2
AGAIN = 3.0
"""A try is made again with so many times left what the last one took: one that is cut off has an unknown outcome."""
ATTACHED = frozenset({PairState.ATTACHING, PairState.SYNCED})


class VxvmArray:
    """The volumes of one host. `shown_on`: the host that sees the copy."""

    def __init__(self, name: str, options: Options, host: Host, shown_on: str) -> None:
        self.name, self.options, self.host, self.shown_on = name, options, host, shown_on
        self.traits = options.traits()
        self.vxvm = VxvmTools(host, options.tools)
        self.commands = Commands(options.method)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> VxvmArray:
        """The catalogue's constructor. Raises PolicyFault."""
        options.check(name)
        shown_on = context.host(options.copy_host).name if options.copy_host else host.name
        return cls(name, options, host, shown_on)

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """One pair for each volume; how, says vxvm_state."""
        of = self._group(group)
        return tuple(copy.pair(of) for copy in self._look(group, deadline).copies)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The volumes' devices. Raises Refused when one is missing."""
        of = self._group(group)
        self._look(group, deadline)
        return tuple(Source("device", f"{DEVICES}/{of.disk_group}/{name}", self.host.name) for name in of.volumes)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Reattach what is split (bringing it home first), attach a mirror where there is none; both in the background."""
        of, seen = self._group(group), self._look(group, deadline)
        self._require_known(group, seen)
        self._require_up(group, seen)
        due = [copy for copy in seen.copies if copy.state not in ATTACHED]
        if mode is Mode.INCREMENTAL:
            self._refuse_full(group, due)
        missing = [copy.volume for copy in due if copy.state is PairState.UNPAIRED]
        if self.options.method == "vxsnap" and (bare := [one for one in missing if one not in seen.records.tracked]):
            raise Refused(
                f"{self._what(group)}: {', '.join(bare)} is not prepared for snapshots",
                hint=f"vxsnap -g {of.disk_group} prepare {bare[0]}",
            )
        split = [copy for copy in due if copy.state is PairState.SPLIT]
        if split:
            self._traveller(group).bring(deadline)
            self.vxvm.start(of.disk_group, [copy.snapshot for copy in split], deadline)
        for copy in due:
            argv = (self.commands.reattach if copy in split else self.commands.attach)(of, copy.volume)
            self.vxvm.act(argv, deadline, f"attaching the mirror of {copy.volume}")

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every mirror's word is SNAPDONE."""
        copies = self._look(group, deadline).copies
        ready = sum(copy.state is PairState.SYNCED for copy in copies)
        return Progress(ready == len(copies), remaining=f"{ready} of {len(copies)} volumes")

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: a mirror that is ready is broken off at once."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - copies have no names
        """Mirrors are ready, and the names of the snapshots and of their disk group are free. Raises Refused."""
        for group in groups:
            of, seen = self._group(group), self._look(group, deadline)
            self._require_known(group, seen)
            if any(one.state is not PairState.SYNCED for one in seen.copies):
                raise NotSynchronised(f"{self._what(group)} is not ready to be split", detail=_words(seen))
            if of.copy_disk_group and of_group(self.vxvm.disks(deadline), of.copy_disk_group):
                raise Refused(
                    f"{self._what(group)}: there is a disk group {of.copy_disk_group} already",
                    hint="find out what it is; the snapshots would be split off under that name",
                )
        self.host.stand_by(len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command a group, one group after another; each volume is a moment of its own."""
        return tuple(self._break_off(group, copy, deadline) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A mirror that was broken off may be read at once; that it was is looked at here."""
        seen = self._look(receipt.group, deadline)
        if not _all_split(seen):
            raise UnknownAnswer(f"{self._what(receipt.group)} is not split", detail=_words(seen))
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Split off and deported, for the other host to import; without a disk group for them, started where they are."""
        group, of = receipt.group, self._group(receipt.group)
        if of.copy_disk_group:
            self._traveller(group).send(deadline)
        else:
            self.settle(receipt, deadline)
            self.vxvm.start(of.disk_group, of.snapshots, deadline)
        below = f"{DEVICES}/{of.copy_disk_group or of.disk_group}"
        return Exposed("device", tuple(f"{below}/{name}" for name in of.snapshots), self.shown_on)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Imported and joined again, or stopped. Raises InUse while another host has it, or somebody has it open."""
        of, traveller = self._group(receipt.group), self._traveller(receipt.group)
        if of.copy_disk_group:
            traveller.bring(deadline)
        else:
            traveller.stop(of.disk_group, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A mirror is attached again and never discarded."""
        raise Refused(f"{self._what(receipt.group)} is a mirror: it is attached again, not deleted")

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002 - copies have no names
        """What a move will run, where the group is as it usually is then."""
        lines = self.commands.of_move(move, self._group(group))
        return tuple(Action(self.host.name, shlex.join(line), MOVE_SECONDS) for line in lines)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person puts a copy back."""
        of = self._group(receipt.group)
        line = shlex.join(self.commands.restore(of, of.volumes[0]))
        return (
            f"{receipt.group}: on {self.host.name}, with the application stopped and its volumes unmounted, and the snapshots "
            f"back in {of.disk_group}: `{line}`, for each of {', '.join(of.volumes)}. It overwrites the volume."
        )

    # -- split --

    def _break_off(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        receipt = Receipt(self.name, group, copy)
        while True:
            left = deadline.left()
            done = self.vxvm.run(self.commands.make(self._group(group)), deadline, MOVE_SECONDS)
            if done.exit_code == 0:
                return receipt
            seen = self._look(group, deadline)
            if _all_split(seen):
                return replace(receipt, is_again=True)
            self._require_untouched(group, seen, done)
            cost = left - deadline.left() + BUSY_PAUSE_SECONDS
            if done.exit_code not in self.options.busy_exit_codes or deadline.left() <= AGAIN * cost:
                done.require(f"breaking off {self._what(group)}")
            threading.Event().wait(BUSY_PAUSE_SECONDS)

    def _require_untouched(self, group: str, seen: Look, done: Completed) -> None:
        """After a command that failed: every mirror is still in its place. Raises UnknownAnswer, NotSynchronised, CommandFailed."""
        if any(copy.state is PairState.SPLIT for copy in seen.copies):
            raise UnknownAnswer(
                f"{self._what(group)}: breaking off failed, and some of the volumes have their snapshots",
                detail=f"{_words(seen)}\n{done.tail()}",
            )
        if any(copy.state in (PairState.UNPAIRED, PairState.ATTACHING) for copy in seen.copies):
            raise NotSynchronised(
                f"{self._what(group)} is not ready to be split", detail=f"{_words(seen)}\n{done.tail()}"
            )
        if any(copy.state is not PairState.SYNCED for copy in seen.copies):
            raise CommandFailed(f"{self._what(group)} was not split", detail=f"{_words(seen)}\n{done.tail()}")

    # -- look --

    def _group(self, group: str) -> Group:
        if group not in self.options.groups:
            raise Refused(f"{self.name} has no group {group}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[group]

    def _what(self, group: str) -> str:
        return f"{self.name}/{group}"

    def _look(self, group: str, deadline: Deadline) -> Look:
        return look(self.vxvm, self._what(group), self._group(group), deadline)

    def _traveller(self, group: str) -> Traveller:
        return Traveller(self.vxvm, self._what(group), self._group(group))

    def _require_known(self, group: str, seen: Look) -> None:
        """Refuse a group of which a copy is broken, in two places at once, or has a word that is not known."""
        strange = (PairState.BROKEN, PairState.MIXED, PairState.UNKNOWN)
        if any(copy.state in strange for copy in seen.copies):
            raise Refused(
                f"{self._what(group)} is in a state that this driver does not act on",
                detail=_words(seen),
                hint=f"look at it with vxprint -g {self._group(group).disk_group} -ht, and put it right by hand",
            )

    def _require_up(self, group: str, seen: Look) -> None:
        """Refuse while a volume itself is down: its copy may be the last good one."""
        volumes = {copy.volume: seen.records.volumes[copy.volume] for copy in seen.copies}
        if down := [f"{name}: {one.kernel} {one.state}" for name, one in volumes.items() if one.kernel != ENABLED]:
            raise Refused(
                f"{self._what(group)}: a volume is not started, so nothing is attached to it",
                detail=", ".join(down),
                hint="when it has failed, its copy may be the last good one: pin it (splitmirror pin)",
            )

    def _refuse_full(self, group: str, due: Sequence[Copy]) -> None:
        """What copies everything is not done where only what changed was asked for."""
        full = [one for one in due if one.state is PairState.UNPAIRED or not one.is_tracked]
        if full:
            raise Refused(
                f"{self._what(group)}: {', '.join(one.volume for one in full)} needs a full copy",
                detail=", ".join(f"{one.volume}: {one.word}" for one in full),
                hint="a mirror that is attached for the first time, or a volume without persistent FastResync; say so: "
                "splitmirror establish --full POLICY",
            )


def _all_split(seen: Look) -> bool:
    return all(copy.state is PairState.SPLIT for copy in seen.copies)


def _words(seen: Look) -> str:
    return ", ".join(f"{copy.volume}: {copy.word}" for copy in seen.copies)
