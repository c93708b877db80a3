"""TimeFinder SnapVX: snapshots of a storage group, several side by side, shown by linking one to other devices.

Taking one under a name that is taken makes a second generation of it, without an error: so it is asked first, and a name
with two generations is no copy of ours any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOVE_SECONDS,
    NO_PROMPT,
    SYMSNAPVX,
    Symcli,
    refused,
)
from splitmirror_drivers.arrays.timefinder_ids import array_ids, policy_ids
from splitmirror_drivers.arrays.timefinder_links import Links
from splitmirror_drivers.arrays.timefinder_listing import NO, Listing, pair_of
from splitmirror_drivers.arrays.timefinder_names import copy_name, snapshot_name
from splitmirror_drivers.arrays.timefinder_parse import Snapshot
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
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    InUse,
    NotSynchronised,
    Refused,
    UnknownAnswer,
)

TRAITS = Traits(
    family=Family.POINT,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.GROUP,
    needs_sync=False,
    tracks_changes=False,
    tracks_copy_writes=False,
    keeps_copies=True,
    allows_freeze=True,
    source="EMC Solutions Enabler TimeFinder SnapVX CLI guide; lascon.co.uk, TimeFinder: establishing a storage group pauses "
    "its I/O, so that all its devices have one moment. No source says that accepting it fixes that, so completion counts",
)


class SnapVX:
    """Storage groups and their snapshots."""

    traits = TRAITS

    def __init__(self, symcli: Symcli) -> None:
        self.symcli, self.name, self.options, self.host = symcli, symcli.name, symcli.options, symcli.host
        self.listing, self.links = Listing(symcli), Links(symcli)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED for each device of the storage group, and each device's snapshots that have a name of ours."""
        devices = self.listing.devices(group, deadline)
        ready = [Pair(device, PairState.PREPARED, word, device) for device, word in devices.items()]
        taken = [pair_of(one) for one in self.listing.snapshots(group, deadline) if copy_name(one.name)]
        return (*ready, *taken)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The devices of the storage group, as hosts know them."""
        of, devices = self.symcli.group(group), list(self.listing.devices(group, deadline))
        if self.options.device_ids == "array":
            return array_ids(self.symcli, devices, deadline)
        return policy_ids(of, devices)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        self.listing.devices(group, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for, when every snapshot's word is one that is known."""
        self.listing.require_known(group, self.listing.snapshots(group, deadline))
        return Progress(is_done=bool(self.listing.devices(group, deadline)))

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it is done at once."""
        return None

    # -- split --

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """The copy's name must be free, since the array takes a second snapshot of one name without a word."""
        for group in groups:
            self.listing.devices(group, deadline)
            if self.listing.named(self.listing.snapshots(group, deadline), copy):
                raise Refused(f"{self.name}/{group} has a snapshot {snapshot_name(copy)} already", hint="look at it")
        self.host.stand_by(3 * len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One snapshot a group, one after another: each is one moment of its own."""
        receipts: list[Receipt] = []
        for group in groups:
            try:
                is_again = self._snap(group, copy, deadline)
            except (CommandFailed, NotSynchronised, Refused) as exc:
                if not receipts:
                    raise
                done = ", ".join(receipt.group for receipt in receipts)
                raise UnknownAnswer(f"{self.name}: {done} split, and {group} is not: {exc}") from exc
            receipts.append(Receipt(self.name, group, copy, is_again, {"snapshot": snapshot_name(copy)}))
        return tuple(receipts)

    def _snap(self, group: str, copy: str, deadline: Deadline) -> bool:
        """Whether it was there already."""
        what = f"{self.name}/{group}"
        try:
            listed = self.listing.snapshots(group, deadline)
        except DeadlinePassed as exc:
            raise CommandFailed(
                f"{what} gave no answer before its split, which was not sent", detail=exc.full()
            ) from exc
        if self.listing.named(listed, copy):
            self.listing.require_whole(group, copy, listed)
            return True
        self.listing.require_known(group, listed)
        try:
            done = self.symcli.move(SYMSNAPVX, *self._establish(group, copy), deadline=deadline)
        except CommandFailed as exc:
            self.listing.require_none(group, copy, deadline, exc)
            raise
        if done.exit_code != 0:
            raise self._refusal(group, copy, done, deadline)
        self._await_taken(group, copy, deadline)
        return False

    def _refusal(self, group: str, copy: str, done: Completed, deadline: Deadline) -> Fault:
        """CommandFailed only when the command ended by itself and no device has a snapshot of that name."""
        left = self.listing.named(self._list_after(group, deadline), copy)
        if refused(done) and not left:
            return CommandFailed(f"the snapshot of {self.name}/{group} was refused; there is none", detail=done.tail())
        return UnknownAnswer(
            f"the snapshot of {self.name}/{group} ended with exit code {done.exit_code}, and "
            f"{len(left)} of {self.symcli.group(group).count} devices have it",
            detail=done.tail(),
        )

    def _await_taken(self, group: str, copy: str, deadline: Deadline) -> None:
        """Look until every device has the snapshot."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            listed = self._list_after(group, deadline)
            if len(self.listing.named(listed, copy)) >= self.symcli.group(group).count:
                self.listing.require_whole(group, copy, listed)
                return
            if deadline.is_passed:
                raise DeadlinePassed(f"{self.name}/{group} has no whole snapshot {copy} after the time there was")
            self.symcli.pause(min(pause, deadline.left()))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _list_after(self, group: str, deadline: Deadline) -> tuple[Snapshot, ...]:
        """A look after the split was sent: what goes wrong now leaves its outcome unknown."""
        try:
            return self.listing.snapshots(group, deadline)
        except CommandFailed as exc:
            raise UnknownAnswer(
                f"{self.name}/{group} could not be asked after its split was sent: {exc}", detail=exc.detail
            ) from exc

    # -- the copy --

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A snapshot may be shown at once."""
        self.listing.require_whole(receipt.group, receipt.copy, self.listing.snapshots(receipt.group, deadline))
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Link it to the devices of the target group."""
        self.settle(receipt, deadline)
        return self.links.expose(receipt, deadline)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Unlink it."""
        self.links.unexpose(receipt, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Terminate the snapshot. Raises InUse while it is linked to anything. Safe to repeat."""
        group, what = receipt.group, f"{self.name}/{receipt.group}: the snapshot {snapshot_name(receipt.copy)}"
        mine = self.listing.named(self.listing.snapshots(group, deadline), receipt.copy)
        if not mine:
            return
        if any(one.link != NO for one in mine):
            raise InUse(f"{what} is linked", hint="symsnapvx list -linked says to what")
        if any(one.generations != "1" for one in mine):
            raise Refused(f"{what} has several generations, of which only one is ours", hint="terminate them by hand")
        words = self._terminate(group, receipt.copy)
        if len(mine) != self.symcli.group(group).count:  # a half of one: of those devices that have it
            devices = ",".join(one.source for one in mine)
            words = ("-sid", self.options.sid, "-devs", devices, *words[words.index("-snapshot_name") :])
        self.symcli.move(SYMSNAPVX, *words, deadline=deadline).require(f"terminating {what}")
        if self.listing.named(self.listing.snapshots(group, deadline), receipt.copy):
            raise UnknownAnswer(f"{what} is still there after it was terminated")

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """What a move will run."""
        of = self.symcli.group(group)
        moves = {
            Move.SPLIT: (self._establish, self._terminate),
            Move.DISCARD: (self._terminate, None),
            Move.EXPOSE: (self.links.link, self.links.unlink) if of.target_group else None,
            Move.UNEXPOSE: (self.links.unlink, None) if of.target_group else None,
        }
        act, undo = moves.get(move) or (None, None)
        if act is None:
            return ()
        line = self.symcli.command(SYMSNAPVX, *act(group, copy)).line()
        undone = self.symcli.command(SYMSNAPVX, *undo(group, copy)).line() if undo else ""
        return (Action(self.host.name, line, MOVE_SECONDS, undone),)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person brings a snapshot back."""
        name = snapshot_name(receipt.copy)
        line = self.symcli.command(
            SYMSNAPVX, *self.listing.selection(receipt.group), "-snapshot_name", name, "restore"
        ).line()
        return (
            f"Array {self.name}, storage group {receipt.group}, copy {receipt.copy}, snapshot {name}. With the application "
            f"stopped and everything unmounted: `{line}`; what was written since is lost. Then "
            "`symsnapvx … terminate -restored` ends that."
        )

    # -- words --

    def _establish(self, group: str, copy: str) -> tuple[str, ...]:
        return (*self.listing.selection(group), "-name", snapshot_name(copy), "establish", NO_PROMPT)

    def _terminate(self, group: str, copy: str) -> tuple[str, ...]:
        return (*self.listing.selection(group), "-snapshot_name", snapshot_name(copy), "terminate", NO_PROMPT)
