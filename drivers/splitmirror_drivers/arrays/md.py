"""Linux md raid1 as a mirror: a leg is taken out of its array, and taken back with what changed meanwhile.

One command an array, so each has a moment of its own. A write-intent bitmap knows what changed; without one, the leg
comes back with a full copy only. What was written to the leg itself is not seen, so it is write-protected as long as it is
out (mdadm(8), md(4); tried with mdadm 4.2 on Linux 6.1).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from splitmirror_drivers.arrays import md_calls, md_options
from splitmirror_drivers.arrays.md_calls import ANSWERS, Calls
from splitmirror_drivers.arrays.md_legs import HINT, Legs, Standing
from splitmirror_drivers.arrays.md_options import Group, Options, PairOptions
from splitmirror_drivers.arrays.md_show import AT_THE_END, Shown
from splitmirror_drivers.arrays.md_split import OUT, Splitter
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

__all__ = ["ANSWERS", "Group", "Md", "Options", "PairOptions"]

TRAITS = Traits(
    family=Family.MIRROR,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.PAIR,
    needs_sync=True,
    tracks_changes=True,
    tracks_copy_writes=False,
    keeps_copies=False,
    allows_freeze=True,
    source="mdadm(8), md(4); tried with mdadm 4.2 on Linux 6.1: fail, remove, re-add with a bitmap, check, frozen ext4",
)


class Md:
    """The md arrays of one host."""

    traits = TRAITS

    def __init__(self, name: str, options: Options, host: Host, copy_host: Host | None = None) -> None:
        self.name, self.options, self.host = name, options, host
        self.calls = Calls(name, options, host)
        self.legs = Legs(self.calls)
        self.splitter = Splitter(self.calls, self.legs)
        self.shown = Shown(Calls(name, options, copy_host) if copy_host is not None else self.calls)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Md:
        """The catalogue's constructor. Raises PolicyFault."""
        md_options.check(name, options)
        return cls(name, options, host, context.host(options.copy_host) if options.copy_host else None)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every array with its state, and the kernel's words."""
        found = self.legs.standing(self._pairs(group), deadline)
        return tuple(Pair(each.pair.array, each.state, each.word, each.pair.array, each.pair.leg) for each in found)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:  # noqa: ARG002 - the policy names them
        """The arrays' own devices."""
        return tuple(Source("device", pair.array, self.host.name) for pair in self._pairs(group))

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every array is in sync; a comparison that is due is begun here, when the copying is over."""
        found = self.legs.gone_on(self._pairs(group), deadline)
        for each in found:
            if each.state is PairState.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {each.pair.array} says {each.word!r}", hint=HINT)
            if each.state is PairState.BROKEN:
                raise CommandFailed(f"{self.name}/{group}: {each.pair.array} is broken: {each.word}", hint=HINT)
        left = [each for each in found if each.state is not PairState.SYNCED]
        return Progress(not left, _fraction(found), ", ".join(f"{each.pair.array} {each.word}" for each in left))

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Take legs that are out back: with what changed, or in full. Raises InUse, Refused. Safe to repeat."""
        found = self.legs.standing(self._pairs(group), deadline)
        for each in found:
            self._refuse_establish(group, each, mode)
        out = [each for each in found if each.md.is_leg_out]
        for each in out:
            self._hide(each.pair, deadline)
        for each in out:
            self.legs.take_back(each, mode, deadline)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it is done at once."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - a leg has no name
        """Every array must be in sync now. Two looks, and one command for each array, are what will be needed."""
        count = 2
        for group in groups:
            pairs = self.query(group, deadline)
            count += len(pairs)
            if lagging := [pair for pair in pairs if pair.state is not PairState.SYNCED]:
                raise Refused(f"{self.name}/{group}: {lagging[0].name} is not in sync: {lagging[0].word}")
        self.host.stand_by(count, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command an array, one after another; the moment of each is fixed when its leg is marked as failed."""
        pairs = [pair for group in groups for pair in self._pairs(group)]
        is_again = self.splitter.take(pairs, deadline)
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Done when every leg is out and write-protected; one that was busy is taken out here."""
        found = self.legs.standing(self._pairs(receipt.group), deadline)
        for each in found:
            if each.md.is_leg_failed:
                self.splitter.remove(each.pair, deadline)
                return Progress(is_done=False, remaining=f"{each.pair.array} {each.word}")
        self._require_out(receipt, found)
        for each in found:
            self.calls.protect(each.pair.leg, deadline)
            self.legs.note_split(each, deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """A device with the data of each leg, write-protected, on the host where it is shown."""
        found = self.legs.standing(self._pairs(receipt.group), deadline)
        self._require_out(receipt, found)
        paths = []
        for each in found:
            if self.options.show == "disk" and each.metadata not in AT_THE_END:
                raise Refused(
                    f"{self.name}/{receipt.group}: the data of {each.pair.leg} do not begin where the disk begins",
                    hint=f'its superblock is of version {each.metadata}: use show = "loop"',
                )
            size = int(each.md.files.get("component_size", "0"))
            paths.append(self.shown.show(self._shown_leg(each.pair), each.uuid, size, deadline))
        return Exposed("device", tuple(paths), self.shown.calls.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Take the loop devices away. Raises InUse naming who reads. Safe to repeat."""
        for each in self.legs.standing(self._pairs(receipt.group), deadline):
            if each.md.is_leg_out:
                self._hide(each.pair, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A mirror is never discarded. Raises Refused."""
        raise Refused(f"{self.name} is a mirror: its copy is attached again, never discarded")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002 - a leg has no name
        """What a move runs."""
        found = []
        for pair in self._pairs(group):
            back = shlex.join(("mdadm", pair.array, "--re-add", pair.leg))
            host, line, undo = self.host.name, "", ""
            if move is Move.SPLIT:
                line, undo = shlex.join(Splitter.command(pair)), back
            elif move in (Move.REATTACH, Move.ESTABLISH):
                line = back
            elif move in (Move.EXPOSE, Move.UNEXPOSE) and self.options.show == "loop":
                host, leg = self.shown.calls.host.name, self._shown_leg(pair)
                off = f"losetup --detach the loop device over {leg}"
                on = f"losetup --read-only --offset O --sizelimit S --find --show {shlex.quote(leg)}"
                line, undo = (on, off) if move is Move.EXPOSE else (off, "")
            if line:
                found.append(Action(host, line, md_calls.COMMAND_SECONDS, undo))
        return tuple(found)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies a leg back, before it is taken back: that overwrites the leg."""
        legs = ", ".join(f"{pair.leg} of {pair.array}" for pair in self._pairs(receipt.group))
        return (
            f"Copy {receipt.copy} of {self.name}/{receipt.group} are the legs {legs} on {self.host.name}. Do not run "
            f"`mdadm --re-add` or `--add`: it overwrites the leg, not the array. With the application stopped and the arrays "
            f"unmounted, copy back what is needed from the leg: `losetup --read-only --find --show --offset O --sizelimit S LEG` "
            f"(see `mdadm --examine LEG`: Data Offset, Array Size) shows its data; mount that read-only, or `dd` all of it to "
            f"the array. Take the leg back afterwards."
        )

    # -- inside --

    def _pairs(self, group: str) -> tuple[PairOptions, ...]:
        if group not in self.options.groups:
            raise Refused(f"{self.name} has no group {group}", hint=f"its groups: {', '.join(self.options.groups)}")
        return self.options.groups[group].pairs

    def _shown_leg(self, pair: PairOptions) -> str:
        return pair.copy_leg or pair.leg

    def _hide(self, pair: PairOptions, deadline: Deadline) -> None:
        """Nobody may use the leg, on any host where it may be shown."""
        self.shown.hide(self._shown_leg(pair), deadline)
        if self.shown.calls is not self.calls:
            Shown(self.calls).hide(pair.leg, deadline)

    def _require_out(self, receipt: Receipt, found: Sequence[Standing]) -> None:
        if within := [each for each in found if each.state not in OUT]:
            raise UnknownAnswer(
                f"{self.name}/{receipt.group}: the copy {receipt.copy} is not there",
                detail="\n".join(f"{each.pair.array}: {each.word}" for each in within),
                hint="look at it: cat /proc/mdstat",
            )

    def _refuse_establish(self, group: str, each: Standing, mode: Mode) -> None:
        what = f"{self.name}/{group}: {each.pair.array}"
        if each.state in (PairState.BROKEN, PairState.UNKNOWN):
            raise Refused(f"{what} is {each.state.value}: {each.word}", hint=HINT)
        if each.state in (PairState.UNPAIRED, PairState.SPLIT_UNTRACKED) and mode is not Mode.FULL:
            raise Refused(
                f"{what}: what its leg lacks is not tracked, so it needs a full copy: {each.word}",
                hint="splitmirror establish --full POLICY; a bitmap tracks it: mdadm --grow --bitmap=internal",
            )


def _fraction(found: Sequence[Standing]) -> float | None:
    """What is shown: the mean of the percentages of those that are being copied."""
    shown = [each.md.entry.percent for each in found if each.md.entry is not None and each.md.entry.percent]
    return min(1.0, sum(float(each) / 100 for each in shown) / len(shown)) if shown else None
