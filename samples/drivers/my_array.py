"""A third-party array driver, whole: it speaks to a tool of four commands that answers by exit codes and state words.

Copy it, rename it, and replace three things: the words, the argument lists, and how a query is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from splitmirror_drivers.catalogue import Driver
from splitmirror_drivers.contracts import array as c
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, NotSynchronised, Refused, UnknownAnswer

S = c.PairState
WORDS = {
    "NeverEstab": S.UNPAIRED,
    "SyncInProg": S.ATTACHING,
    "Synchronized": S.SYNCED,
    "SplitInProg": S.SPLITTING,
    "Split": S.SPLIT,
}
TRAITS = c.Traits(
    family=c.Family.MIRROR, fixed_by=c.FixedBy.COMPLETE, atomic=c.Atomic.GROUP, needs_sync=True, tracks_changes=True,
    tracks_copy_writes=True, keeps_copies=False, allows_freeze=True, source="the tool's manual, chapter 3",
)  # fmt: skip


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The driver's table in a policy. `devices` by group: the primaries, as the data server's mount table names them."""

    program: str
    devices: dict[str, tuple[str, ...]]
    environment: dict[str, str] = {}


class MyArray:
    """The array."""

    traits = TRAITS

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host

    def _run(self, deadline: Deadline, *words: str) -> Completed:
        return self.host.run(Command((self.options.program, *words), environment=self.options.environment), deadline)

    def query(self, group: str, deadline: Deadline) -> tuple[c.Pair, ...]:
        rows = [
            line.split()
            for line in self._run(deadline, "query", group).require(f"query of {group}").stdout.splitlines()
        ]
        found = [row for row in rows if row and row[0].startswith("DEV")]
        if len(found) != len(self.options.devices[group]):
            raise Refused(
                f"{self.name}/{group} has {len(found)} pairs, the policy says {len(self.options.devices[group])}"
            )
        return tuple(c.Pair(row[0], WORDS.get(row[3], S.UNKNOWN), row[3], primary=row[1], copy=row[2]) for row in found)

    def sources(self, group: str, deadline: Deadline) -> tuple[c.Source, ...]:
        return tuple(c.Source("device", device) for device in self.options.devices[group])

    def establish(self, group: str, mode: c.Mode, deadline: Deadline) -> None:
        if {pair.state for pair in self.query(group, deadline)} <= {S.ATTACHING, S.SYNCED}:
            return
        self._run(deadline, "establish", group, *(["--full"] if mode is c.Mode.FULL else [])).require(
            f"establish of {group}"
        )

    def progress(self, group: str, deadline: Deadline) -> c.Progress:
        return c.Progress(all(pair.state is S.SYNCED for pair in self.query(group, deadline)))

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[c.Receipt, ...]:
        receipts = []
        for group in groups:
            try:
                states = {pair.state for pair in self.query(group, deadline)}
            except DeadlinePassed as late:  # nothing was sent: only a split without an answer may say DeadlinePassed
                raise CommandFailed(
                    f"{self.name}/{group} gave no answer before its split", detail=late.full()
                ) from late
            if states not in ({S.SYNCED}, {S.SPLIT}):
                raise NotSynchronised(f"{self.name}/{group} is not in sync; nothing was changed")
            if states == {S.SYNCED}:
                self._send_split(group, deadline)
            receipts.append(c.Receipt(self.name, group, copy, is_again=states == {S.SPLIT}))
        return tuple(receipts)

    def _send_split(self, group: str, deadline: Deadline) -> None:
        done = self._run(deadline, "split", group)
        try:
            after = {pair.state for pair in self.query(group, deadline)}
        except Fault as fault:  # the split was sent, so nobody knows
            raise UnknownAnswer(f"{self.name}/{group} could not be asked after its split: {fault}") from fault
        if done.exit_code != 0 and after == {S.SYNCED}:
            raise CommandFailed(f"the split of {self.name}/{group} was refused", detail=done.tail())
        if done.exit_code != 0 or after != {S.SPLIT}:
            raise UnknownAnswer(f"{self.name}/{group} is not split everywhere after its split", detail=done.tail())

    def split_estimate(self, group: str) -> float | None:
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        self.host.stand_by(2 * len(groups), deadline)

    def settle(self, receipt: c.Receipt, deadline: Deadline) -> c.Progress:
        return c.Progress(all(pair.state is S.SPLIT for pair in self.query(receipt.group, deadline)))

    def expose(self, receipt: c.Receipt, deadline: Deadline) -> c.Exposed:
        self._run(deadline, "expose", receipt.group).require(f"expose of {receipt.group}")
        copies = tuple(f"{pair.copy}.dev" for pair in self.query(receipt.group, deadline))
        return c.Exposed("device", copies, self.host.name)

    def unexpose(self, receipt: c.Receipt, deadline: Deadline) -> None:
        self._run(deadline, "unexpose", receipt.group).require(f"unexpose of {receipt.group}")

    def discard(self, receipt: c.Receipt, deadline: Deadline) -> None:
        raise Refused(f"{self.name} is a mirror: its copy is attached again, never discarded")

    def actions(self, move: c.Move, group: str, copy: str) -> tuple[c.Action, ...]:
        if move in (c.Move.SETTLE, c.Move.DISCARD):
            return ()
        word = "establish" if move is c.Move.REATTACH else move.value
        return (c.Action(self.host.name, f"{self.options.program} {word} {group}", 60.0),)

    def restore_note(self, receipt: c.Receipt) -> str:
        return (
            f"To copy {self.name}/{receipt.group} back, follow chapter 5 of the tool's manual; nothing here does that."
        )


def driver() -> Driver[c.Array]:
    """What the entry point names."""
    return Driver(Options, lambda name, options, host, context: MyArray(name, options, host))
