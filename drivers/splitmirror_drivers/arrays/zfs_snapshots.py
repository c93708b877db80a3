"""ZFS snapshots: all groups of one split in one command, which is one moment; a copy is shown as a clone.

A snapshot is made in one transaction group, whole or not at all, and holds everything that was written before the call,
synced or not (zfs-snapshot(8), zfsconcepts(7)). So a copy needs no freeze, and filesystems of ZFS have none: FIFREEZE is
not supported. What lies on a volume is a filesystem of its own, and may be frozen.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.zfs_calls import COMMAND_SECONDS, MARK, TAG, Calls, Snapshot
from splitmirror_drivers.arrays.zfs_clones import Clones
from splitmirror_drivers.arrays.zfs_options import Options
from splitmirror_drivers.contracts.array import Action, Exposed, Mode, Move, Pair, PairState, Progress, Receipt, Source
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

HEALTH = {
    "ONLINE": PairState.PREPARED,
    "DEGRADED": PairState.PREPARED,
    "FAULTED": PairState.BROKEN,
    "OFFLINE": PairState.BROKEN,
    "REMOVED": PairState.BROKEN,
    "SUSPENDED": PairState.BROKEN,
    "UNAVAIL": PairState.BROKEN,
}
"""zpoolconcepts(7). A degraded pool has lost redundancy, and its snapshots are as good as ever."""


class ZfsSnapshots:
    """The filesystems and volumes of one pool."""

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = options.traits()
        self.calls = Calls(name, options, host)
        self.clones = Clones(self.calls)
        host.families((look_at.FAMILY,))

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED for each dataset as the pool is, and one SPLIT pair for each snapshot of ours."""
        names = self.calls.group(group).datasets
        word = self._look(group, deadline)
        state = HEALTH.get(word, PairState.UNKNOWN)
        pairs = [Pair(name, state, word, name) for name in names]
        ours = (one for one in self.calls.snapshots(names, deadline) if one.copy)
        pairs += [Pair(one.name, PairState.SPLIT, f"holds {one.holds}", one.of, one.copy) for one in ours]
        return tuple(pairs)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The tree of the filesystem (not what is mounted inside it), or the devices of the volumes."""
        of = self.calls.group(group)
        self._look(group, deadline)
        if of.dataset:
            return (Source("path", self._mounted_at(group, deadline), self.host.name),)
        return tuple(Source("device", f"{self.options.devices}/{name}", self.host.name) for name in of.volumes)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        self._look(group, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for, in a pool that works."""
        word = self._look(group, deadline)
        return Progress(is_done=HEALTH.get(word) is PairState.PREPARED, remaining=word)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it is done at once, however much there is."""
        return None

    # -- moving --

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """The pool works, every dataset is there, and no snapshot of that name."""
        self.calls.copy(copy)
        for group in groups:
            if HEALTH.get(word := self._look(group, deadline)) is not PairState.PREPARED:
                raise Refused(f"{self.name}: {self.options.pool} is {word}", hint=f"zpool status {self.options.pool}")
        names = self._names(groups)
        taken = {one.name for one in self.calls.snapshots(names, deadline)} & {f"{name}@{copy}" for name in names}
        if taken:
            raise Refused(f"{self.name}: {min(taken)} is there already", hint="look at it; it is not overwritten")
        self.host.stand_by(1, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One ``zfs snapshot`` of everything: all of it or nothing."""
        self.calls.copy(copy)
        done = self.calls.run(deadline, *self._split_words(groups, copy))
        is_again = False
        if done.exit_code != 0:
            wanted = {f"{name}@{copy}" for name in self._names(groups)}
            found = self.calls.snapshots(self._names(groups), deadline)
            standing = {one.name for one in found if one.copy} & wanted
            is_again = standing == wanted
            if standing and not is_again:
                raise CommandFailed(
                    f"{self.name}: {min(wanted - standing)} was not made, as {min(standing)} is there already",
                    detail=done.tail(),
                    hint="they would be of two moments; destroy what is left of that copy after a look",
                )
            if not standing:
                done.require(f"{self.name}: making the snapshots {copy}")
        return tuple(Receipt(self.name, group, copy, is_again) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """It may be read at once. From now on a hold keeps others from destroying it."""
        snapshots = self._copy(receipt, deadline)
        held = self.calls.holds([one.name for one in snapshots], deadline)
        if free := [name for name, tags in held.items() if TAG not in tags]:
            self.calls.act(deadline, f"holding {', '.join(free)}", "zfs", "hold", TAG, *free)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """A filesystem's clone, read-only and mounted; volumes' clones, or the snapshots' own devices."""
        snapshots = self._copy(receipt, deadline)
        of = self.calls.group(receipt.group)
        if of.dataset:
            path = self.clones.mount(snapshots[0], receipt.copy, deadline)
            return Exposed("tree", (path,), self.host.name)
        if of.show == "clone":
            paths = tuple(self.clones.volume(one, receipt.copy, deadline) for one in snapshots)
        else:
            paths = self._snapshot_devices(snapshots, deadline)
        return Exposed("device", paths, self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Destroy the clones, when nobody uses them. Raises InUse, naming who. Safe to repeat."""
        of = self.calls.group(receipt.group)
        names = [f"{name}@{self.calls.copy(receipt.copy)}" for name in of.datasets]
        if of.show == "clone":
            self.clones.destroy(names, receipt.copy, deadline)
            return
        devices = [f"{self.options.devices}/{name}" for name in names]
        found = look_at.users(self.host, deadline, *devices)
        look_at.refuse_users(f"the copy {receipt.copy} of {receipt.group}", found)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Destroy the snapshots that are ours, when nothing was made of them, nobody reads or holds them. Safe to repeat."""
        of, copy = self.calls.group(receipt.group), self.calls.copy(receipt.copy)
        found = [one for one in self.calls.snapshots(of.datasets, deadline) if one.name.partition("@")[2] == copy]
        for one in found:
            if not one.copy:
                raise Refused(f"{one.name} is not of our making", hint="look at it; when nobody needs it: zfs destroy")
            if one.clones:
                raise Refused(
                    f"{self.name}: {one.name} has clones: {', '.join(one.clones)}",
                    hint="destroy or promote them after a look; nothing is destroyed along with a copy",
                )
        if not found:
            return
        self._refuse_readers(receipt, found, deadline)
        self._release([one.name for one in found], deadline)
        for one in found:
            self.calls.act(deadline, f"destroying {one.name}", "zfs", "destroy", one.name)
        left = {one.name for one in self.calls.snapshots(of.datasets, deadline)} & {one.name for one in found}
        if left:
            raise UnknownAnswer(f"{self.name}: {min(left)} is still there after it was destroyed")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """The command lines of `move`."""
        of = self.calls.group(group)
        if move is Move.SPLIT:
            undo = " && ".join(self.calls.line("zfs", "destroy", f"{name}@{copy}") for name in of.datasets)
            return (Action(self.host.name, self.calls.line(*self._split_words([group], copy)), COMMAND_SECONDS, undo),)
        if move is Move.EXPOSE and of.show == "clone":
            return self.clones.actions(of.datasets, copy, is_tree=bool(of.dataset))
        if move is Move.DISCARD:
            lines = [self.calls.line("zfs", "release", TAG, *(f"{name}@{copy}" for name in of.datasets))]
            lines += [self.calls.line("zfs", "destroy", f"{name}@{copy}") for name in of.datasets]
            return tuple(Action(self.host.name, line, COMMAND_SECONDS) for line in lines)
        return ()

    def restore_note(self, receipt: Receipt) -> str:
        """How a person gets it back."""
        names = [f"{name}@{receipt.copy}" for name in self.calls.group(receipt.group).datasets]
        return (
            f"On {self.host.name}, with the application stopped: copy files back out of a clone of {', '.join(names)}, or "
            f"`zfs rollback {names[0]}` where it is the newest snapshot; with -r rollback destroys every newer one, other "
            "copies included. Several datasets have to be rolled back together."
        )

    # -- inside --

    def _names(self, groups: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(name for group in groups for name in self.calls.group(group).datasets))

    def _split_words(self, groups: Sequence[str], copy: str) -> tuple[str, ...]:
        return ("zfs", "snapshot", "-o", f"{MARK}={copy}", *(f"{name}@{copy}" for name in self._names(groups)))

    def _look(self, group: str, deadline: Deadline) -> str:
        """The pool's state word, once every dataset of the group was seen to be there and what the policy says it is."""
        of = self.calls.group(group)
        word = self.calls.health(deadline)
        found = self.calls.datasets(deadline, *of.datasets)
        kind = "filesystem" if of.dataset else "volume"
        if strange := [one for one in found.values() if one.kind != kind]:
            raise Refused(f"{self.name}/{group}: {strange[0].name} is a {strange[0].kind}, not a {kind}")
        return word

    def _mounted_at(self, group: str, deadline: Deadline) -> str:
        of = self.calls.group(group)
        one = self.calls.datasets(deadline, of.dataset)[of.dataset]
        if one.mountpoint.startswith("/"):
            if not one.is_mounted:
                raise Refused(f"{self.name}/{group}: {one.name} is not mounted on {self.host.name}")
            return one.mountpoint
        if not of.mountpoint:
            raise Refused(
                f"{self.name}/{group}: {one.name} has mountpoint={one.mountpoint}, which does not say where it is",
                hint='say it in the policy: mountpoint = "/…" in that group',
            )
        seen = look_at.look(self.host, deadline, of.mountpoint)
        top = seen.top_at(of.mountpoint)
        if top is None or top.source != one.name:
            raise Refused(f"{self.name}/{group}: {one.name} is not mounted at {of.mountpoint} on {self.host.name}")
        return of.mountpoint

    def _copy(self, receipt: Receipt, deadline: Deadline) -> list[Snapshot]:
        """The snapshots of a copy, in the policy's order. Raises Refused when one is missing or not ours."""
        of, copy = self.calls.group(receipt.group), self.calls.copy(receipt.copy)
        found = {one.of: one for one in self.calls.snapshots(of.datasets, deadline) if one.copy == copy}
        if missing := [name for name in of.datasets if name not in found]:
            raise Refused(f"{self.name}: there is no copy {missing[0]}@{copy} of our making")
        return [found[name] for name in of.datasets]

    def _snapshot_devices(self, snapshots: Sequence[Snapshot], deadline: Deadline) -> tuple[str, ...]:
        """The devices of the snapshots themselves, where the volumes show them."""
        for one in snapshots:
            said = self.calls.act(
                deadline, f"asking about {one.of}", "zfs", "get", "-H", "-o", "value", "snapdev", one.of
            )
            if said.strip() != "visible":
                raise Refused(
                    f"{self.name}: {one.of} does not show its snapshots as devices",
                    hint=f"zfs set snapdev=visible {one.of}, once; or show them as clones",
                )
        return tuple(f"{self.options.devices}/{one.name}" for one in snapshots)

    def _refuse_readers(self, receipt: Receipt, found: Sequence[Snapshot], deadline: Deadline) -> None:
        of = self.calls.group(receipt.group)
        if of.dataset:
            one = self.calls.datasets(deadline, of.dataset)[of.dataset]
            at = one.mountpoint if one.mountpoint.startswith("/") else of.mountpoint
            places = [f"{at}/.zfs/snapshot/{receipt.copy}"]
        else:
            places = [f"{self.options.devices}/{one.name}" for one in found]
        look_at.refuse_users(f"the copy {receipt.copy} of {receipt.group}", look_at.users(self.host, deadline, *places))

    def _release(self, names: Sequence[str], deadline: Deadline) -> None:
        """Give up our hold. Raises InUse naming who else holds one."""
        held = self.calls.holds(names, deadline)
        for name, tags in held.items():
            if others := sorted(tags - {TAG}):
                raise InUse(
                    f"{self.name}: {name} is held by {', '.join(others)}",
                    hint=f"whoever put it there: zfs release {others[0]} {name}",
                )
        if ours := [name for name, tags in held.items() if TAG in tags]:
            self.calls.act(deadline, f"releasing {', '.join(ours)}", "zfs", "release", TAG, *ours)
