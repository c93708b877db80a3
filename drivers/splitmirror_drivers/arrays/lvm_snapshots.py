"""Linux LVM snapshots as copies: one of each volume, thin or thick, discarded when it is no longer kept.

The kernel freezes the volume's filesystem by itself while it makes one. **A filesystem that is frozen already makes it
fail**: the suspend gets "Device or resource busy", and a thick snapshot leaves a useless volume of its name behind (tried:
lvm2 2.03.16, Linux 6.1; later kernels may nest freezes, which nobody has tried). So the filesystem must not be frozen. A
thick snapshot whose space is full is invalid, and reading it fails. Writes to a copy harm nothing, since it is never
merged back.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from splitmirror_drivers.arrays import lvm_calls as calls
from splitmirror_drivers.arrays import lvm_copies as copies
from splitmirror_drivers.arrays.lvm_calls import Calls, group_of
from splitmirror_drivers.arrays.lvm_copies import Copies
from splitmirror_drivers.arrays.lvm_options import Group, Options
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
    family=Family.POINT,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.PAIR,
    needs_sync=False,
    tracks_changes=False,
    tracks_copy_writes=True,
    keeps_copies=True,
    allows_freeze=False,
    source="lvcreate(8), lvmthin(7); tried with lvm2 2.03.16 on Linux 6.1: fails on a frozen ext4, thin and thick",
)


class LvmSnapshots:
    """The volumes of one host, and snapshots of them."""

    traits = TRAITS

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        self.calls = Calls(name, host)
        self.is_thin = options.method == "thin-snapshot"
        self.copies = Copies(name, options, self.calls)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED for each volume, and one pair for each snapshot of ours: SPLIT, or BROKEN when it ran full."""
        table = self._group(group)
        rows = self.calls.rows(table.volumes, deadline)
        pairs = []
        for volume in table.volumes:
            lv = self.copies.volume(group, volume, rows)
            pairs.append(Pair(volume, copies.volume_state(lv), lv.attr or "nothing", lv.path))
            for copy, snapshot in copies.of_volume(lv, rows).items():
                pairs.append(
                    Pair(f"{volume}@{copy}", copies.copy_state(snapshot), snapshot.attr or "nothing", lv.path, copy)
                )
        return tuple(pairs)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The volumes' own devices."""
        table = self._group(group)
        rows = self.calls.rows(table.volumes, deadline)
        found = [self.copies.volume(group, volume, rows) for volume in table.volumes]
        return tuple(Source("device", lv.path, self.host.name) for lv in found)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        self.query(group, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for."""
        pairs = [pair for pair in self.query(group, deadline) if not pair.copy]
        return Progress(is_done=all(pair.state is PairState.PREPARED for pair in pairs))

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it takes as long as what is in memory takes to be written."""
        return None

    # -- moving --

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Every volume must be prepared and the name of its copy free."""
        count = 0
        for group in groups:
            for pair in self.query(group, deadline):
                if not pair.copy and pair.state is not PairState.PREPARED:
                    raise Refused(f"{self.name}/{group}: {pair.name} says {pair.word!r}, which no snapshot is made of")
                if pair.copy == copy:
                    raise Refused(f"{self.name}/{group}: {pair.name} is there already", hint="it is not overwritten")
            count += len(self._group(group).volumes)
        self.host.stand_by(count, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command a volume, one after another; the moment of each is fixed when its command is done."""
        wanted = [(group, volume) for group in groups for volume in self._group(group).volumes]
        is_again = False
        for number, (group, volume) in enumerate(wanted):
            done = self.calls.run(self.copies.command(self._group(group), volume, copy), deadline)
            if done.exit_code == 0:
                continue
            self._require_taken_before(groups, volume, copy, done, deadline, is_first=number == 0)
            is_again = True
            break
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A snapshot may be read at once."""
        self.copies.all_of(receipt, deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """The snapshots' devices. Thin ones are skipped when all is activated, so these are activated by name."""
        found = self.copies.all_of(receipt, deadline)
        for snapshot in found:
            if not snapshot.is_active:
                argv = ("lvchange", "-ay", "-K", snapshot.volume)
                self.calls.require(argv, deadline, f"activating {snapshot.volume}")
        found = self.copies.all_of(receipt, deadline)
        if dead := [snapshot for snapshot in found if not snapshot.is_active]:
            raise UnknownAnswer(f"{self.name}: {dead[0].volume} is not active: {dead[0].attr}")
        return Exposed("device", tuple(snapshot.dm_path for snapshot in found), self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Thin snapshots are deactivated; a thick one shares its origin's device. Raises InUse. Safe to repeat."""
        for snapshot in self.copies.standing(receipt, deadline):
            if snapshot.pool and snapshot.is_active:
                self.calls.deactivate(snapshot, deadline)
            elif snapshot.is_active:
                self.calls.refuse_users((snapshot.dm_path,), deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Remove the snapshots that are ours and that nobody uses. Raises InUse, CommandFailed. Safe to repeat."""
        for snapshot in self.copies.standing(receipt, deadline):
            if snapshot.is_active:
                self.calls.refuse_users((snapshot.dm_path,), deadline)
            self.calls.require(("lvremove", "-y", snapshot.volume), deadline, f"removing {snapshot.volume}")
        if left := self.copies.standing(receipt, deadline):
            raise UnknownAnswer(f"{self.name}: {left[0].volume} is still there after it was removed")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """What a move will run."""
        table, found = self._group(group), []
        for volume in table.volumes:
            snapshot = self.copies.name_of(volume, copy)
            argv: tuple[str, ...] = ()
            undo = ""
            if move is Move.SPLIT:
                argv, undo = self.copies.command(table, volume, copy), f"lvremove -y {snapshot}"
            elif move is Move.DISCARD:
                argv = ("lvremove", "-y", snapshot)
            elif self.is_thin and move is Move.EXPOSE:
                argv, undo = ("lvchange", "-ay", "-K", snapshot), f"lvchange -an {snapshot}"
            elif self.is_thin and move is Move.UNEXPOSE:
                argv = ("lvchange", "-an", snapshot)
            if argv:
                found.append(Action(self.host.name, shlex.join(argv), calls.COMMAND_SECONDS, undo))
        return tuple(found)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person puts a snapshot back."""
        snapshots = [self.copies.name_of(volume, receipt.copy) for volume in self._group(receipt.group).volumes]
        lines = ", ".join(f"`lvconvert --merge {snapshot}`" for snapshot in snapshots)
        return (
            f"Copy {receipt.copy} of {self.name}/{receipt.group} is {', '.join(snapshots)} on {self.host.name}. Single "
            f"files: mount it and copy them. The whole volume, as it was then: with the application stopped and the volume "
            f"unmounted, {lines}. That overwrites the volume and uses the snapshot up."
        )

    # -- inside --

    def _group(self, group: str) -> Group:
        return group_of(self.name, self.options, group)

    def _require_taken_before(
        self,
        groups: Sequence[str],
        volume: str,
        copy: str,
        done: Completed,
        deadline: Deadline,
        *,
        is_first: bool,
    ) -> None:
        """One volume was refused: right when the first was, and this copy of all stands already. Raises what it was else."""
        volumes = sum(len(self._group(group).volumes) for group in groups)
        pairs = [pair for group in groups for pair in self.query(group, deadline)]
        standing = [pair for pair in pairs if pair.copy == copy]
        is_all = len(standing) == volumes and all(pair.state is PairState.SPLIT for pair in standing)
        if is_first and is_all and done.exit_code > 0:
            return
        words = ", ".join(f"{pair.name} {pair.word}" for pair in pairs if pair.copy in ("", copy))
        if not is_first or standing or done.exit_code < 0:
            raise UnknownAnswer(f"{self.name}: the snapshot of {volume} failed half-way: {words}", detail=done.tail())
        if any(not pair.copy and pair.state is not PairState.PREPARED for pair in pairs):
            raise NotSynchronised(f"{self.name}: no snapshot was made: {words}", detail=done.tail())
        raise CommandFailed(
            f"{self.name}: the snapshot of {volume} was refused; none was made",
            detail=done.tail(),
            hint=f"a frozen filesystem is the usual cause; what may be left of it: lvremove {self.copies.name_of(volume, copy)}",
        )
