"""A pretend array for rehearsals, tests and authors of drivers. NO DATA IS MIRRORED AND NO DATA IS PROTECTED.

Its state is a JSON file in the state folder; copying takes as long as the policy's size and rate say, by the wall clock
of this machine. It moves no data, except that a group with a ``tree`` has that directory copied at the split, file by
file, so that something can be presented. Everything it says of itself names it a simulator.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from splitmirror_drivers.arrays import simulator_faults as faults
from splitmirror_drivers.arrays.simulator_options import ATOMIC, Group, Options
from splitmirror_drivers.arrays.simulator_state import GroupState, State, Store
from splitmirror_drivers.arrays.simulator_tree import copy_tree
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import (
    Action,
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
from splitmirror_drivers.kit.errors import CommandFailed, NotSynchronised, PolicyFault, Refused

__all__ = ["Options", "Simulator"]

WARNING = "SIMULATOR: this is no array; no data is mirrored and no data is protected"
WORDS = {state: f"Sim{state.value.title().replace('-', '')}" for state in PairState}
ACTION_SECONDS = 60.0


class Simulator:
    """A pretend array."""

    def __init__(
        self, name: str, options: Options, host: Host, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self.name, self.options, self.host, self.clock = name, options, host, clock
        self.folder = folder / f"simulator-{name}"
        self.store = Store(self.folder / "state.json")
        self.faults = tuple(map(faults.parse_fault, options.faults))
        is_point = options.family == "point-in-time"
        self.traits = Traits(
            family=Family(options.family),
            fixed_by=FixedBy(options.fixed_by),
            atomic=ATOMIC[options.atomic],
            needs_sync=not is_point,
            tracks_changes=options.tracks_changes,
            tracks_copy_writes=options.tracks_copy_writes,
            keeps_copies=is_point,
            allows_freeze=options.allows_freeze,
            source=f"{WARNING}; it behaves as its policy says",
        )

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Simulator:
        """The catalogue's constructor."""
        return cls(name, options, host, Path(context.state_folder))

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """The pretended state of every pair."""
        self._before("query", deadline)
        with self.store.changing() as state:
            pairs = self._pairs(group, self._at_now(state, group))
        for fault in self.faults:
            if fault.verb == "query" and fault.kind in faults.SAID:
                said = faults.SAID[fault.kind]
                word = WORDS[said] if said is not PairState.UNKNOWN else "SimSideways"
                pairs = (replace(pairs[0], state=said, word=word), *pairs[1:])
        return pairs

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:  # noqa: ARG002 - the policy knows
        """What it pretends to mirror."""
        of = self._group(group)
        paths = of.paths or ((of.tree,) if of.tree and not of.devices else ())
        devices = of.devices if of.devices or paths else self._names(group)
        return (
            *(Source("device", device) for device in devices),
            *(Source("path", path, self.host.name) for path in paths),
        )

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """By the wall clock; done when the state says so."""
        pairs = self.query(group, deadline)
        if self.traits.family is Family.POINT:
            return Progress(all(pair.state in (PairState.PREPARED, PairState.SPLIT) for pair in pairs))
        with self.store.changing() as state:
            now = self._at_now(state, group)
            left = max(0.0, now.bytes_to_copy - (self.clock() - now.since) * self._group(group).rate)
        if now.state is not PairState.ATTACHING:
            return Progress(all(pair.state is PairState.SYNCED for pair in pairs))
        return Progress(
            is_done=False,
            fraction=1 - left / max(1, now.bytes_to_copy),
            remaining=f"{left / 2**20:.0f} MiB (simulated)",
        )

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Pretend to copy what changed, or everything."""
        self._before("establish", deadline)
        if self.traits.family is Family.POINT:
            return
        with self.store.changing() as state:
            now, of = self._at_now(state, group), self._group(group)
            if now.state is PairState.ATTACHING or (now.state is PairState.SYNCED and mode is Mode.INCREMENTAL):
                return
            if mode is Mode.INCREMENTAL and (now.state is not PairState.SPLIT or not self.traits.tracks_changes):
                raise CommandFailed(
                    f"the simulator {self.name}/{group} is {now.state.value}: only a full copy is possible"
                )
            now.state, now.since, now.copies = PairState.ATTACHING, self.clock(), {}
            now.bytes_to_copy = int(of.changed if mode is Mode.INCREMENTAL else of.size)
        faults.after(self.faults, "establish", deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """Pretend to split; a ``tree`` is copied now."""
        self._before("split", deadline)
        with self.store.changing() as state:
            all_now = {group: self._at_now(state, group) for group in groups}
            is_again = all(copy in now.copies for now in all_now.values())
            if not is_again:
                self._split(all_now, copy, deadline)
        faults.after(self.faults, "split", deadline)
        return tuple(Receipt(self.name, group, copy, is_again, {"simulator": WARNING}) for group in groups)

    def _split(self, all_now: dict[str, GroupState], copy: str, deadline: Deadline) -> None:
        wanted = PairState.SYNCED if self.traits.family is Family.MIRROR else PairState.PREPARED
        scripted = [faults.SAID[f.kind] for f in self.faults if f.verb == "query" and f.kind in faults.SAID]
        for group, now in all_now.items():
            for state in (now.state, *scripted):
                if state is not wanted:
                    raise NotSynchronised(f"the simulator {self.name}/{group} is {state.value}, not {wanted.value}")
        for group in all_now:
            if self._group(group).tree:
                copy_tree(Path(self._group(group).tree), self._tree(group, copy), deadline)
        for now in all_now.values():
            now.copies[copy] = self.clock()
            if self.traits.family is Family.MIRROR:
                now.state = PairState.SPLIT if self.traits.tracks_changes else PairState.SPLIT_UNTRACKED

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: nothing is copied."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """It needs nothing that could be opened before."""

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """Done ``settles`` after the split."""
        self._before("settle", deadline)
        with self.store.changing() as state:
            split_at = self._at_now(state, receipt.group).copies.get(receipt.copy)
        if split_at is None:
            raise CommandFailed(f"the simulator {self.name}/{receipt.group} has no copy {receipt.copy}")
        since = max(0.0, self.clock() - split_at)
        return Progress(since >= self.options.settles, min(1.0, since / (self.options.settles or 1)))

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """The copied ``tree``; a group without one has nothing that could be presented."""
        self._before("expose", deadline)
        tree = self._tree(receipt.group, receipt.copy)
        if not self._group(receipt.group).tree:
            raise Refused(
                f"the simulator {self.name}/{receipt.group} moves no data: there is nothing to present",
                hint="give the group a `tree`, or leave `present` out of the policy",
            )
        with self.store.changing() as state:
            now = self._at_now(state, receipt.group)
            if receipt.copy not in now.copies or not tree.is_dir():
                raise CommandFailed(f"the simulator {self.name}/{receipt.group} has no copy {receipt.copy}")
            if receipt.copy not in now.exposed:
                now.exposed.append(receipt.copy)
        return Exposed("tree", (str(tree),), self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Forget that it was exposed."""
        self._before("unexpose", deadline)
        with self.store.changing() as state:
            now = self._at_now(state, receipt.group)
            now.exposed = [copy for copy in now.exposed if copy != receipt.copy]

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Forget a point-in-time copy and remove its tree."""
        self._before("discard", deadline)
        if self.traits.family is Family.MIRROR:
            raise Refused(f"the simulator {self.name} plays a mirror: its copy is attached again, never discarded")
        with self.store.changing() as state:
            now = self._at_now(state, receipt.group)
            now.copies.pop(receipt.copy, None)
            now.exposed = [copy for copy in now.exposed if copy != receipt.copy]
            if self._tree(receipt.group, receipt.copy).is_dir():
                shutil.rmtree(self._tree(receipt.group, receipt.copy))

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """A sentence for each move."""
        named = f" {copy}" if copy and move is not Move.ESTABLISH else ""
        self._group(group)
        what = f"pretend to {move.value} {self.name}/{group}{named} ({WARNING})"
        return (Action(self.host.name, what, ACTION_SECONDS, "nothing has to be taken back"),)

    def restore_note(self, receipt: Receipt) -> str:
        """That there is nothing to restore."""
        return (
            f"{WARNING}. The copy {receipt.copy} of {receipt.array}/{receipt.group} was pretended for a rehearsal: "
            "do not keep this backup in place of a real one."
        )

    # -- helpers --

    def _before(self, verb: str, deadline: Deadline) -> None:
        once = faults.Fault(verb, "fail-once")
        if once in self.faults:
            with self.store.changing() as state:
                state.happened[once.text] = state.happened.get(once.text, 0) + 1
                is_first = state.happened[once.text] == 1
            if is_first:
                raise CommandFailed(f"the simulator was told to fail at {verb} once ({once.text})")
        faults.before(self.faults, verb, deadline)

    def _group(self, name: str) -> Group:
        if name not in self.options.groups:
            known = ", ".join(sorted(self.options.groups)) or "none"
            raise PolicyFault(f"array {self.name} has no group {name!r}", hint=f"its groups are: {known}")
        return self.options.groups[name]

    def _at_now(self, state: State, group: str) -> GroupState:
        """The group's state, moved on by what time has done to it."""
        of = self._group(group)
        begins = PairState.PREPARED if self.traits.family is Family.POINT else PairState(of.begins)
        now = state.groups.setdefault(group, GroupState(state=begins))
        if now.state is PairState.ATTACHING and (self.clock() - now.since) * of.rate >= now.bytes_to_copy:
            now.state = PairState.SYNCED
        return now

    def _pairs(self, group: str, now: GroupState) -> tuple[Pair, ...]:
        names = self._names(group)
        is_mirror = self.traits.family is Family.MIRROR
        held = next(iter(now.copies), "") if is_mirror else ""
        pairs = [Pair(name, now.state, WORDS[now.state], name, held) for name in names]
        if not is_mirror:
            split = PairState.SPLIT
            pairs += [Pair(name, split, WORDS[split], name, copy) for copy in now.copies for name in names]
        return tuple(pairs)

    def _names(self, group: str) -> tuple[str, ...]:
        return tuple(f"simulated-{group}-{number}" for number in range(1, self._group(group).pairs + 1))

    def _tree(self, group: str, copy: str) -> Path:
        return self.folder / group / (copy if self.traits.family is Family.POINT else "mirror")
