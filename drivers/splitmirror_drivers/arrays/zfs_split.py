"""``zpool split``: one disk of every mirror of a pool leaves, and they are a pool of their own.

The whole pool is the group. The copy's name is in the new pool's: POOL-COPY. Attaching the disks again is a full resilver
each time, since nothing notes what changed. What is split off stays exported: a host imports it, this one or another.
The kernel itself refuses a split while a disk that would leave still has to be resilvered, and empties the intent log
before it splits (OpenZFS module/zfs/spa.c, spa_vdev_split_mirror).
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.zfs_calls import COMMAND_SECONDS, Calls
from splitmirror_drivers.arrays.zfs_legs import Leg, Legs
from splitmirror_drivers.arrays.zfs_options import Options
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
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    InUse,
    NotSynchronised,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.presentation.zfs_words import ONLINE

S = PairState


class ZfsPool:
    """One pool that is split as a whole."""

    def __init__(self, name: str, options: Options, host: Host, context: Context) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = options.traits()
        self.calls = Calls(name, options, host)
        self.legs = Legs(self.calls)
        if options.copy_host:
            context.host(options.copy_host)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every disk that leaves, with its word; of one that is out, the pool on it."""
        return tuple(Pair(leg.disk, leg.state, leg.word, leg.kept, leg.disk) for leg in self._legs(group, deadline))

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """Every mounted filesystem of the pool, each as far as no other is mounted inside it, and every volume's device."""
        self._legs(group, deadline)
        found = []
        for one in self.calls.tree(deadline).values():
            if one.kind == "volume":
                found.append(Source("device", f"{self.options.devices}/{one.name}", self.host.name))
            elif one.is_mounted and one.mountpoint.startswith("/"):
                found.append(Source("path", one.mountpoint, self.host.name))
        if not found:
            raise Refused(f"{self.name}/{group}: nothing of {self.options.pool} is mounted, and it has no volumes")
        return tuple(found)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every disk says so and no resilver runs. Raises where one will not be."""
        legs = self._legs(group, deadline)
        for leg in legs:
            if leg.state is S.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {leg.disk} says {leg.word}, which no table lists")
            if leg.state not in (S.ATTACHING, S.SYNCED):
                raise CommandFailed(
                    f"{self.name}/{group}: {leg.disk} is {leg.word} ({leg.state.value}) and not on its way into sync",
                    hint=f"zpool status {self.options.pool}",
                )
        if all(leg.state is S.SYNCED for leg in legs):
            return Progress(is_done=True, fraction=1.0)
        return Progress(is_done=False, fraction=self.legs.fraction(deadline), remaining=_words(legs))

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it copies nothing."""
        return None

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Attach every disk that is out, after the pool on it is gone. Nothing is sent for what is on its way or there."""
        legs = self._legs(group, deadline)
        out = [leg for leg in legs if leg.state in (S.UNPAIRED, S.SPLIT_UNTRACKED)]
        if strange := [leg for leg in legs if leg.state in (S.BROKEN, S.UNKNOWN)]:
            raise Refused(
                f"{self.name}/{group} is not at rest, so it is not brought into sync: {_words(strange)}",
                hint=f"zpool status {self.options.pool}",
            )
        if not out:
            return
        if mode is not Mode.FULL:
            raise NotSynchronised(
                f"{self.name}/{group} is split ({_words(out)}): to attach it again is a full resilver",
                hint='splitmirror establish --full POLICY, and full-copy = "always" in the policy',
            )
        self._give_up_copies(group, out, deadline)
        for leg in out:
            what = f"attaching {leg.disk} to {leg.kept}"
            self.calls.act(deadline, what, *self._attach(leg), hint=ATTACH_HINT)

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Every disk in sync or on its way, the new pool's name free, and the plan of the split accepted."""
        name = self._pool(copy)
        for group in groups:
            legs = self._legs(group, deadline)
            if strange := [leg for leg in legs if leg.state in (S.BROKEN, S.UNKNOWN)]:
                raise Refused(f"{self.name}/{group}: {_words(strange)}", hint=f"zpool status {self.options.pool}")
            if name in self.legs.imported(deadline):
                raise Refused(f"{self.name}: a pool {name} is imported on {self.host.name} already")
            if all(leg.state is S.SYNCED for leg in legs):
                self.calls.act(deadline, "planning the split", *self._split_words(group, copy, "-n"))
        self.host.stand_by(len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One ``zpool split``; it returns when the new pool is on its disks."""
        return tuple(self._split(group, copy, deadline) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """It may be read when the new pool is on all its disks."""
        self._require_copy(receipt, deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """The disks of the new pool, as the host that is to import it sees them."""
        self._require_copy(receipt, deadline)
        of = self.calls.group(receipt.group)
        paths = tuple(of.copy_devices.get(disk, disk) for disk in of.legs.values())
        return Exposed("device", paths, self.options.copy_host or self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """There is no visibility to take back. Raises InUse while the pool is imported here, which sees it otherwise."""
        name = self._pool(receipt.copy)
        if name in self.legs.imported(deadline):
            raise InUse(f"the copy {name} is imported on {self.host.name}", hint=f"zpool export {name}, after a look")

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """Never: raises Refused."""
        raise Refused(f"{self.name} is a mirror: the copy of {receipt.group} is attached again, never discarded")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """The command lines of `move`."""
        legs = self.calls.group(group).legs
        attach = [self._attach(Leg(kept, disk, S.UNPAIRED, "")) for kept, disk in legs.items()]
        if move is Move.SPLIT:
            undo = " && ".join(self.calls.line(*words) for words in attach)
            return (Action(self.host.name, self.calls.line(*self._split_words(group, copy)), COMMAND_SECONDS, undo),)
        if move in (Move.ESTABLISH, Move.REATTACH):
            take = ("zpool", "import", "-N", *_only(tuple(legs.values())), f"{self.options.pool}-COPY")
            lines = [take, ("zpool", "destroy", f"{self.options.pool}-COPY"), *attach]
            return tuple(Action(self.host.name, self.calls.line(*words), COMMAND_SECONDS) for words in lines)
        return ()

    def restore_note(self, receipt: Receipt) -> str:
        """How a person uses the copy in place of the original."""
        pool, name = self.options.pool, self._pool(receipt.copy)
        return (
            f"The copy is the pool {name} on {', '.join(self.calls.group(receipt.group).legs.values())}. On {self.host.name}, "
            f"with the application stopped: `zpool export {pool}`, then `zpool import {name} {pool}` makes it the pool in "
            "use, and its disks are mirrored anew from it with `zpool attach`. Or import it below another folder "
            f"(`zpool import -N -R /mnt {name}`) and copy files back."
        )

    # -- inside --

    def _legs(self, group: str, deadline: Deadline) -> tuple[Leg, ...]:
        return self.legs.pairs(group, deadline)

    def _pool(self, copy: str) -> str:
        return f"{self.options.pool}-{self.calls.copy(copy)}"

    def _split_words(self, group: str, copy: str, *flags: str) -> tuple[str, ...]:
        legs = self.calls.group(group).legs.values()
        return ("zpool", "split", *flags, self.options.pool, self._pool(copy), *legs)

    def _attach(self, leg: Leg) -> tuple[str, ...]:
        return ("zpool", "attach", self.options.pool, leg.kept, leg.disk)

    def _split(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        done = self.calls.run(deadline, *self._split_words(group, copy))
        receipt = Receipt(self.name, group, copy, data={"pool": self._pool(copy)})
        if done.exit_code == 0:
            return receipt
        legs = self._legs(group, deadline)
        states = {leg.state for leg in legs}
        if all(leg.pool == receipt.data["pool"] for leg in legs):
            return Receipt(self.name, group, copy, is_again=True, data=receipt.data)
        if states == {S.SYNCED}:
            done.require(f"{self.name}/{group}: splitting {self.options.pool}")
        if any(leg.pool == receipt.data["pool"] for leg in legs):
            raise UnknownAnswer(f"{self.name}/{group} is split in part: {_words(legs)}", detail=done.tail())
        raise NotSynchronised(f"{self.name}/{group} is not in sync: {_words(legs)}", detail=done.tail())

    def _require_copy(self, receipt: Receipt, deadline: Deadline) -> None:
        """Every disk is out and carries the pool of this copy. Raises Refused."""
        name = self._pool(receipt.copy)
        legs = self._legs(receipt.group, deadline)
        if other := [leg for leg in legs if leg.pool != name or leg.state is not S.SPLIT_UNTRACKED]:
            raise Refused(
                f"{self.name}/{receipt.group}: the copy {name} is not on {other[0].disk}: {_words(other)}",
                hint="was it attached again, or destroyed?",
            )

    def _give_up_copies(self, group: str, out: Sequence[Leg], deadline: Deadline) -> None:
        """Destroy the pool on the disks that come back, when it is one of ours and nobody has it.

        A disk that carries a pool's label is not attached. The label goes only with its pool, and that is imported for it
        without a force: so a host that has it imported is in the way.
        """
        names = sorted({leg.pool for leg in out if leg.pool})
        for name in names:
            disks = [leg.disk for leg in out if leg.pool == name]
            if any(leg.word.endswith(" imported") for leg in out if leg.pool == name):
                raise InUse(
                    f"the copy {name} is imported on {self.host.name}", hint=f"zpool export {name}, after a look"
                )
            if not name.startswith(f"{self.options.pool}-"):
                raise Refused(
                    f"{self.name}/{group}: the pool {name} on {', '.join(disks)} is not a copy of {self.options.pool}",
                    hint="look at it; when nobody needs it: zpool import it, then zpool destroy it",
                )
            found = self.legs.importable(disks, deadline)
            if [one.name for one in found] != [name] or found[0].state != ONLINE:
                raise Refused(f"{self.name}/{group}: {name} is not on {', '.join(disks)} alone", detail=f"{found}")
            self._destroy(name, found[0].guid, disks, deadline)

    def _destroy(self, name: str, guid: str, disks: Sequence[str], deadline: Deadline) -> None:
        take = ("zpool", "import", "-N", *_only(disks), guid)
        hint = "another host may have it imported: export it there; it is never forced"
        self.calls.act(deadline, f"taking back {name}", *take, hint=hint)
        leaves = {leaf.name for leaf in self.legs.status_of(name, deadline).leaves}
        if leaves != set(disks):
            self.calls.act(deadline, f"exporting {name}", "zpool", "export", name)
            raise Refused(f"{self.name}: {name} is on {', '.join(sorted(leaves))}, not on {', '.join(disks)} alone")
        self.calls.act(deadline, f"destroying {name}", "zpool", "destroy", name)


ATTACH_HINT = "a disk with another label is not taken: look at it, and clear it by hand (zpool labelclear, wipefs)"


def _only(disks: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for disk in disks for word in ("-d", disk))


def _words(legs: Sequence[Leg]) -> str:
    return ", ".join(f"{leg.disk}: {leg.word}" for leg in legs)
