"""Linux LVM raid1 as a mirror: the leg on one disk is split off with its changes tracked, and merged again.

One command a volume, so each has a moment of its own (lvconvert(8), lvmraid(7); recorded with lvm2 2.03.16 on Linux 6.1). It
refuses by itself what is not in sync and what is split already, so nothing is asked inside the freeze. The leg that is
split off is *called* read-only, and is not: ``settle`` protects it before anybody may read. What is written to it is not
seen by the merge.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from splitmirror_drivers.arrays import lvm_calls as calls
from splitmirror_drivers.arrays.lvm_calls import Calls, group_of
from splitmirror_drivers.arrays.lvm_legs import MERGE, Legs, Standing
from splitmirror_drivers.arrays.lvm_options import Group, Options
from splitmirror_drivers.arrays.mirror_proof import Kind, Note
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
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, NotSynchronised, Refused, UnknownAnswer

TRAITS = Traits(
    family=Family.MIRROR,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.PAIR,
    needs_sync=True,
    tracks_changes=True,
    tracks_copy_writes=False,
    keeps_copies=False,
    allows_freeze=True,
    source="lvconvert(8), lvmraid(7); tried with lvm2 2.03.16 on Linux 6.1: split, merge, check, frozen ext4",
)
SPLIT = ("lvconvert", "-y", "--splitmirrors", "1", "--trackchanges")
BROKEN_HINT = (
    "look at it with `lvs -a -o+raid_sync_action,raid_mismatch_count`. Where the legs of a volume differ, give it a new one: "
    "`lvconvert -m 0 VG/LV DISK-OF-THE-LEG`, then `lvconvert --type raid1 -m 1 VG/LV DISK-OF-THE-LEG`"
)


class LvmMirror:
    """The mirrored volumes of one host."""

    traits = TRAITS

    def __init__(self, name: str, options: Options, host: Host, copy_host: Host | None = None) -> None:
        self.name, self.options, self.host = name, options, host
        self.calls = Calls(name, host)
        self.shown_by = Calls(name, copy_host) if copy_host is not None else self.calls
        self.legs = Legs(name, options, self.calls, self.shown_by)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every volume with its state. Raises Refused for one that is not there, or has no leg where it should be."""
        return tuple(_pair(each) for each in self.legs.standing(group, deadline))

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The volumes' own devices."""
        found = self.legs.standing(group, deadline)
        return tuple(Source("device", each.volume.lv.path, self.host.name) for each in found)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every volume is in sync; a comparison that is due is begun here, when the copying is over."""
        found = self.legs.gone_on(group, deadline)
        for each in found:
            if each.state is PairState.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {each.name} says {each.word!r}", hint=BROKEN_HINT)
            if each.state is PairState.BROKEN:
                raise CommandFailed(f"{self.name}/{group}: {each.name} is broken: {each.word}", hint=BROKEN_HINT)
        left = [each for each in found if each.state is not PairState.SYNCED]
        return Progress(not left, _fraction(found), ", ".join(f"{each.name} {each.word}" for each in left))

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Merge legs that are split off; mirror linear volumes in full. Raises InUse, Refused. Safe to repeat."""
        found = self.legs.standing(group, deadline)
        for each in found:
            what = f"{self.name}/{group}: {each.name}"
            if each.state in (PairState.BROKEN, PairState.UNKNOWN):
                raise Refused(f"{what} is {each.state.value}: {each.word}", hint=BROKEN_HINT)
            if each.state is PairState.UNPAIRED and mode is not Mode.FULL:
                raise Refused(
                    f"{what} is no mirror, so it needs a full copy", hint="splitmirror establish --full POLICY"
                )
        for each in found:
            self.legs.release(each, deadline)
        split = [each for each in found if each.state is PairState.SPLIT]
        boot = self.calls.boot(deadline) if split else ""
        for each in split:
            self.legs.merge(each, mode, boot, deadline)
        for each in found:
            if each.state is PairState.UNPAIRED:
                self.legs.mirror(each, self._group(group).leg, deadline)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it is done at once."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - a leg has no name
        """Every volume must be in sync now. A split and a look are what may be needed for each."""
        count = 0
        for group in groups:
            pairs = self.query(group, deadline)
            count += 2 * len(pairs)
            if lagging := [pair for pair in pairs if pair.state is not PairState.SYNCED]:
                raise Refused(f"{self.name}/{group}: {lagging[0].name} is not in sync: {lagging[0].word}")
        self.host.stand_by(count, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command a volume, one after another; the moment of each is fixed when its command is done."""
        wanted = [(volume, self._group(group).leg) for group in groups for volume in self._group(group).volumes]
        is_again = False
        for number, (volume, leg) in enumerate(wanted):
            done = self.calls.run((*SPLIT, volume, *filter(None, (leg,))), deadline)
            if done.exit_code != 0:
                self._require_split_before(groups, volume, done, deadline, is_first=number == 0)
                is_again = True
                break
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Protects every leg, and notes under which start of the machine it was whole; then it may be read."""
        found = self._split_off(receipt, deadline)
        active = [each.leg.dm_path for each in found if each.leg.is_active]
        self.calls.protect(active, deadline)
        for lv in (each.volume.lv for each in found):
            if lv.note.kind is Kind.WHOLE:
                self.calls.note(lv, Note(Kind.SPLIT, lv.note.boot), deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """The legs' devices, active and write-protected on the host where they are shown."""
        legs = [each.leg for each in self._split_off(receipt, deadline)]
        for leg in self.legs.shown(legs, deadline):
            if not leg.is_active:
                self.shown_by.require(("lvchange", "-y", "-ay", leg.volume), deadline, f"activating {leg.volume}")
        shown = self.legs.shown(legs, deadline)
        if dead := [leg for leg in shown if not leg.is_active]:
            raise UnknownAnswer(
                f"{self.name}: {dead[0].volume} is not active on {self.shown_by.host.name}: {dead[0].attr}"
            )
        paths = tuple(leg.dm_path for leg in shown)
        self.shown_by.protect(paths, deadline)
        return Exposed("device", paths, self.shown_by.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """On a host of its own the legs are deactivated; raises InUse naming who reads one. Safe to repeat."""
        for each in self.legs.standing(receipt.group, deadline):
            self.legs.release(each, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A mirror is never discarded. Raises Refused."""
        raise Refused(f"{self.name} is a mirror: its copy is attached again, never discarded")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002 - a leg has no name
        """What a move runs; the number of a leg is known when it is split off."""
        found = []
        table = self._group(group)
        for volume in table.volumes:
            leg = f"{volume}_rimage_N"
            merge = shlex.join((*MERGE, leg))
            host, line, undo = self.host.name, "", ""
            if move is Move.SPLIT:
                line, undo = shlex.join((*SPLIT, volume, *filter(None, (table.leg,)))), merge
            elif move in (Move.REATTACH, Move.ESTABLISH):
                line = merge
            elif move in (Move.EXPOSE, Move.UNEXPOSE) and self.options.copy_host:
                host = self.options.copy_host
                line = f"lvchange -y -ay {leg}" if move is Move.EXPOSE else f"lvchange -an {leg}"
                undo = f"lvchange -an {leg}" if move is Move.EXPOSE else ""
            if line:
                found.append(Action(host, line, calls.COMMAND_SECONDS, undo))
        return tuple(found)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies a leg back, before it is merged: the merge overwrites the leg."""
        volumes = self._group(receipt.group).volumes
        lines = "; ".join(f"`dd if=/dev/{volume}_rimage_N of=/dev/{volume} bs=4M conv=fsync`" for volume in volumes)
        return (
            f"Copy {receipt.copy} of {self.name}/{receipt.group} are the split legs of {', '.join(volumes)} on "
            f"{self.host.name}. Do not run `lvconvert --merge`: it overwrites the leg, not the volume. With the "
            f"application stopped and the volumes unmounted, copy back what is needed from the leg mounted read-only, or "
            f"all of it: {lines} (N: see `lvs -a`). Merge afterwards."
        )

    # -- inside --

    def _group(self, group: str) -> Group:
        return group_of(self.name, self.options, group)

    def _split_off(self, receipt: Receipt, deadline: Deadline) -> list[Standing]:
        found = self.legs.standing(receipt.group, deadline)
        if whole := [each for each in found if each.state is not PairState.SPLIT]:
            raise UnknownAnswer(
                f"{self.name}/{receipt.group}: the copy {receipt.copy} is not there",
                detail="\n".join(f"{each.name}: {each.word}" for each in whole),
                hint="look at it: lvs -a",
            )
        return found

    def _require_split_before(
        self, groups: Sequence[str], volume: str, done: Completed, deadline: Deadline, *, is_first: bool
    ) -> None:
        """One volume was refused: right when the first was, and all are split already. Raises what it was else."""
        pairs = [pair for group in groups for pair in self.query(group, deadline)]
        states = {pair.state for pair in pairs}
        words = ", ".join(f"{pair.name} {pair.word}" for pair in pairs)
        if not is_first or done.exit_code < 0:
            raise UnknownAnswer(f"{self.name}: the split of {volume} failed half-way: {words}", detail=done.tail())
        if states == {PairState.SPLIT}:
            return
        if PairState.SPLIT in states:
            raise UnknownAnswer(f"{self.name}: some volumes are split and some are not: {words}", detail=done.tail())
        if states == {PairState.SYNCED}:
            raise CommandFailed(
                f"{self.name}: the split of {volume} was refused; nothing was changed", detail=done.tail()
            )
        raise NotSynchronised(f"{self.name}: nothing was split: {words}", detail=done.tail())


def _pair(each: Standing) -> Pair:
    leg = each.volume.leg
    return Pair(each.name, each.state, each.word, each.volume.lv.path, leg.dm_path if leg is not None else "")


def _fraction(found: Sequence[Standing]) -> float | None:
    """What is shown: the mean of the percentages, where each has one."""
    try:
        return min(1.0, sum(float(each.volume.lv.percent) / 100 for each in found) / len(found))
    except ValueError:
        return None
