"""Hitachi ShadowImage and Thin Image (HP XP Business Copy and Snapshot) through RAID Manager, also called CCI.

A group is a device group of the horcm files; each pair of it has a P-VOL and an S-VOL. One instance is spoken to, the one
that sees the P-VOLs or the one that sees the S-VOLs; ``pairdisplay`` there shows both sides of every pair, and that is what
decides. A Thin Image pair is driven by the same moves and keeps one copy, which has no name of its own: like a mirror it
must be in PAIR before it is split, and its resync gives the copy up. So it is a mirror here, one that is in sync at once;
several copies are several device groups with an MU# each, which a policy lists as groups of one mirror.

Never sent: ``pairsplit -S`` (a pair dissolved while in PAIR leaves an S-VOL that cannot be used), ``pairsplit -E``,
``pairresync -restore``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splitmirror_drivers.arrays.shadowimage_calls import COMMAND_SECONDS, Calls, wait
from splitmirror_drivers.arrays.shadowimage_options import Group, Options
from splitmirror_drivers.arrays.shadowimage_parse import Row, Seen
from splitmirror_drivers.arrays.shadowimage_split import LOOK_SECONDS, Splitter, words
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
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, NotSynchronised, Refused, UnknownAnswer

__all__ = ["Group", "Options", "ShadowImage"]

ANSWERS: Mapping[str, str] = {}
"""Flags that only answer a prompt: none, as these commands ask nothing."""
COMMANDS_OF_A_SPLIT = 4
"""A look, the split, a look, and a wait."""
START_SECONDS = 15.0
"""How long a split may still drain, and how long a resync that was taken may leave a pair split."""
WAIT_SECONDS = 300
S = PairState


class ShadowImage:
    """The device groups of one instance."""

    def __init__(self, name: str, options: Options, host: Host, pause: Callable[[float], None] = wait) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = options.traits()
        self.calls = Calls(name, options, host, pause)
        self.splitter = Splitter(self.calls)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> ShadowImage:
        """The catalogue's constructor. Raises PolicyFault."""
        options.check(name)
        if options.copy_host:
            context.host(options.copy_host)
        return cls(name, options, host)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every pair with the words of both sides. Raises Refused when they are not those of the policy."""
        return tuple(
            Pair(pair.name, pair.state, pair.word, _id(pair.primary), _id(pair.copy))
            for pair in self.calls.pairs(group, deadline)
        )

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The P-VOLs as the policy maps them; without that by serial number and LDEV, which no host knows."""
        of, found = self.calls.group(group), []
        seen = self.calls.pairs(group, deadline)
        if any(pair.state is not S.UNPAIRED for pair in seen):
            self.calls.require_one_moment(group, seen)
        for pair in seen:
            device = of.devices.get(pair.name, _id(pair.primary))
            found.append(Source("device", device, of.source_host if device.startswith("/") else ""))
        return tuple(found)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every pair is PAIR on both sides. Raises UnknownAnswer or CommandFailed for one that will not be."""
        seen = self.calls.pairs(group, deadline)
        for pair in seen:
            if pair.state is S.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {pair.name} says {pair.word}, which no table lists")
            if pair.state not in (S.ATTACHING, S.SYNCED):
                raise CommandFailed(
                    f"{self.name}/{group}: {pair.name} is {pair.word} ({pair.state.value}) and not on its way into sync",
                    hint=f"look: {self.calls.line('pairdisplay', group, '-fcx')}",
                )
        left = [pair for pair in seen if pair.state is not S.SYNCED]
        return Progress(not left, _fraction(seen), words(left) if left else "")

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """``pairresync``, or ``paircreate`` where there are no pairs yet. Nothing is sent to what is on its way."""
        seen = self.calls.pairs(group, deadline)
        states = {pair.state for pair in seen}
        if states == {S.SYNCED} or (states <= {S.SYNCED, S.ATTACHING} and not self.options.consistency_group):
            return
        if states == {S.UNPAIRED}:
            self._create(group, mode, seen, deadline)
        elif mode is Mode.FULL and S.ATTACHING not in states:
            raise Refused(
                f"{self.name}/{group} is paired ({words(seen)}): a resync copies what changed, and a pair is never dissolved here",
                hint="to copy everything, dissolve the pairs by hand (pairsplit -S) and establish with --full",
            )
        elif states <= {S.SPLIT, S.SPLITTING, S.ATTACHING, S.SYNCED}:
            self._resync(group, deadline)
        else:
            raise Refused(
                f"{self.name}/{group} is not at rest, so it is not brought into sync: {words(seen)}",
                hint=f"look: {self.calls.line('pairdisplay', group, '-fcx')}",
            )

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: how long the rest takes to drain, the array does not say."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - copies have no names
        """Look at every group once more, its consistency group included."""
        for group in groups:
            seen = self.calls.pairs(group, deadline)
            if strange := [pair for pair in seen if pair.state is S.UNKNOWN]:
                raise Refused(f"{self.name}/{group} says what no table lists: {words(strange)}")
            self.calls.require_one_moment(group, seen)
        self.host.stand_by(COMMANDS_OF_A_SPLIT * len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One ``pairsplit`` a group, one after another; back when the last pair is fixed."""
        is_again = self.splitter.take(groups, deadline)
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Done when every P-VOL is PSUS and every S-VOL SSUS."""
        seen = self.calls.pairs(receipt.group, deadline)
        states = {pair.state for pair in seen}
        if states == {S.SPLIT}:
            return Progress(is_done=True)
        if states <= {S.SPLIT, S.SPLITTING, S.ATTACHING}:
            return Progress(is_done=False, remaining=words(seen))
        raise UnknownAnswer(f"{self.name}/{receipt.group}: its copy is not there any more: {words(seen)}")

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Where the S-VOLs are seen. They are mapped to their host all the time; only a split one holds anything."""
        of = self.calls.group(receipt.group)
        if not of.copy_devices:
            raise Refused(
                f"{self.name}/{receipt.group}: the policy does not say where its S-VOLs are seen",
                hint="name copy-devices in the group",
            )
        seen = self.calls.pairs(receipt.group, deadline)
        if any(pair.state is not S.SPLIT for pair in seen):
            raise Refused(f"{self.name}/{receipt.group} is not split on both sides: {words(seen)}")
        if missing := [pair.name for pair in seen if pair.name not in of.copy_devices]:
            raise Refused(f"{self.name}/{receipt.group}: copy-devices has no device for {', '.join(missing)}")
        paths = tuple(of.copy_devices[pair.name] for pair in seen)
        return Exposed("device", paths, self.options.copy_host or self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """There is no visibility to take back."""

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """Never: raises Refused."""
        raise Refused(f"{self.name} is a mirror: the copy of {receipt.group} is attached again, never discarded")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002
        """The command lines of `move`."""
        self.calls.group(group)
        resync = self.calls.line("pairresync", group, *self._pace())
        if move is Move.SPLIT:
            waiting = ("-s", "psus", "-ss", "ssus", "-t", str(WAIT_SECONDS))
            return (
                Action(self.host.name, self.calls.line("pairsplit", group), COMMAND_SECONDS, resync),
                Action(self.host.name, self.calls.line("pairevtwait", group, *waiting), COMMAND_SECONDS),
            )
        if move in (Move.ESTABLISH, Move.REATTACH):
            return (Action(self.host.name, resync, COMMAND_SECONDS, self.calls.line("pairsplit", group)),)
        return ()

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies back."""
        line = self.calls.line("pairresync", receipt.group, "-restore")
        return (
            f"On {self.host.name}, with P-VOLs and S-VOLs of {receipt.group} unmounted everywhere and every pair PSUS/SSUS: "
            f"`{line}` overwrites the primaries with the copy of {receipt.copy} (RCPY, then PAIR). Check first that no "
            "later run has established this group again: then it is no longer that copy."
        )

    # -- establish --

    def _create(self, group: str, mode: Mode, seen: Sequence[Seen], deadline: Deadline) -> None:
        """Make the pairs, which overwrites the S-VOLs: only when asked for, and only when the policy says which are the P-VOLs."""
        if mode is not Mode.FULL:
            raise NotSynchronised(
                f"{self.name}/{group} has no pairs yet ({words(seen)}): that means a full copy",
                hint="splitmirror establish --full POLICY",
            )
        if not self.calls.group(group).primaries:
            raise Refused(
                f"{self.name}/{group}: nothing shows which of two unpaired volumes is production",
                hint='say it in the policy, pairs = { NAME = "01:10", … } with the LDEV of each P-VOL; '
                "or make the pairs by hand with paircreate",
            )
        side = "-vl" if self.options.sees == "p-vol" else "-vr"
        one_moment = ("-m", "grp") if self.options.consistency_group else ()
        self.calls.run(deadline, "paircreate", group, side, *one_moment, *self._pace())

    def _resync(self, group: str, deadline: Deadline) -> None:
        """``pairresync``, once no split drains any more: before, it is taken and does nothing. Then a look that it began."""
        seen = self._drained(group, deadline)
        if S.SPLIT in {pair.state for pair in seen}:
            self.calls.run(deadline, "pairresync", group, *self._pace())
            seen = self._until(group, deadline, lambda states: S.SPLIT not in states)
        if {pair.state for pair in seen} & {S.SPLIT, S.SPLITTING}:
            raise CommandFailed(
                f"{self.name}/{group} is not on its way into sync: {words(seen)}",
                hint="a split that still drains takes no resync; ask again when every S-VOL is SSUS",
            )

    def _drained(self, group: str, deadline: Deadline) -> tuple[Seen, ...]:
        """The pairs once no split drains, or after a while. COPY on both sides may be one, where a split returns early."""
        drains = {S.SPLITTING, S.ATTACHING} if self.options.consistency_group else {S.SPLITTING}
        return self._until(group, deadline, lambda states: not states & drains)

    def _until(self, group: str, deadline: Deadline, is_so: Callable[[set[PairState]], bool]) -> tuple[Seen, ...]:
        """The pairs as soon as `is_so`, else as they are after START_SECONDS."""
        patience = deadline.sooner(START_SECONDS)
        while True:
            seen = self.calls.pairs(group, deadline)
            if is_so({pair.state for pair in seen}) or patience.left() <= LOOK_SECONDS:
                return seen
            self.calls.pause(LOOK_SECONDS)

    def _pace(self) -> tuple[str, ...]:
        return () if self.options.copy_pace is None else ("-c", str(self.options.copy_pace))


def _id(row: Row) -> str:
    """A volume by the array's own numbers."""
    return f"{row.serial}:{row.ldev}"


def _fraction(seen: Sequence[Seen]) -> float | None:
    """How far all pairs are, to be shown; None where one does not say."""
    shown = [100 if pair.state is S.SYNCED else pair.primary.percent for pair in seen]
    known = [min(max(percent, 0), 100) for percent in shown if percent is not None]
    return sum(known) / (100 * len(seen)) if len(known) == len(seen) > 0 else None
