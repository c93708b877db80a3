"""Where each leg stands: what the kernel says, what its superblock says, and what is noted about it.

A leg that is out is SPLIT only when its superblock is this array's and a bitmap knows what it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays import md_report as report
from splitmirror_drivers.arrays import mirror_proof as proof
from splitmirror_drivers.arrays.md_calls import Calls
from splitmirror_drivers.arrays.md_options import PairOptions
from splitmirror_drivers.arrays.md_report import Md
from splitmirror_drivers.arrays.mirror_proof import Kind, Note, Step
from splitmirror_drivers.contracts.array import Mode, PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed

HINT = (
    "look at it: cat /proc/mdstat, mdadm --detail. A leg marked (F) that was being split off: mdadm ARRAY --remove LEG. Where "
    "legs differ: mdadm ARRAY --fail LEG --remove LEG, mdadm --zero-superblock LEG, mdadm ARRAY --add LEG, and when that is "
    "done a comparison (check into sync_action), since the count of what differs stays until then"
)


NONE = Note()
STEPS = 2
"""Begin a comparison; note that it is over, where it was a short one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One array and its leg. `superblock`: whether the leg carries this array's."""

    pair: PairOptions
    md: Md
    state: PairState
    word: str
    uuid: str = ""
    metadata: str = ""
    note: Note = NONE


@dataclass(frozen=True, slots=True)
class Legs:
    """The legs of one host's arrays."""

    calls: Calls

    def standing(self, pairs: Sequence[PairOptions], deadline: Deadline) -> list[Standing]:
        """Every array as it is now."""
        found = [
            self._one(pair, md, deadline) for pair, md in zip(pairs, self.calls.look(pairs, deadline), strict=True)
        ]
        boot = self.calls.boot(deadline) if any(_asks_for_boot(each) for each in found) else ""
        return [self._judged(each, boot) for each in found]

    def gone_on(self, pairs: Sequence[PairOptions], deadline: Deadline) -> list[Standing]:
        """How all stands once comparisons that are due were begun, and those that are over ended."""
        found = self.standing(pairs, deadline)
        for _ in range(STEPS):
            if not self._go_on(found, deadline):
                break
            found = self.standing(pairs, deadline)
        return found

    def take_back(self, each: Standing, mode: Mode, deadline: Deadline) -> None:
        """Attach a leg that is out. What has to be compared afterwards is noted before, so that no crash can lose it."""
        pair = each.pair
        is_full = mode is Mode.FULL
        policy = self.calls.options.verify_after_merge
        # the count of what differs outlives the leg that it was made of: only another comparison renews it
        is_counted = is_full and bool(each.md.mismatches)
        if is_counted or (not is_full and proof.is_needed(policy, mode, each.note, self.calls.boot(deadline))):
            self.calls.write_note(each.uuid, Note(Kind.DUE), deadline)
        elif is_full:
            self.calls.write_note(each.uuid, Note(), deadline)
        self.calls.require(("blockdev", "--setrw", pair.leg), deadline, f"ending the protection of {pair.leg}")
        try:
            if is_full and each.state is not PairState.UNPAIRED:
                argv = ("mdadm", "--zero-superblock", pair.leg)
                self.calls.require(argv, deadline, f"preparing {pair.leg} for a full copy")
            how = "--add" if is_full else "--re-add"
            self.calls.require(
                ("mdadm", pair.array, how, pair.leg), deadline, f"taking {pair.leg} back into {pair.array}"
            )
        except CommandFailed:
            self.calls.protect(pair.leg, deadline)
            raise

    def note_split(self, each: Standing, deadline: Deadline) -> None:
        """Note that a leg is out which was whole."""
        if each.note.kind is Kind.WHOLE:
            self.calls.write_note(each.uuid, Note(Kind.SPLIT, each.note.boot), deadline)

    # -- inside --

    def _one(self, pair: PairOptions, md: Md, deadline: Deadline) -> Standing:
        state = md.state()
        if state not in (PairState.SPLIT, PairState.SYNCED):
            return Standing(pair, md, state, md.word)
        array = self.calls.array(pair.array, deadline)
        uuid = report.uuid_of(array)
        note = self.calls.note(uuid, deadline) if uuid else Note()
        known = Standing(pair, md, state, md.word, uuid, array.get("MD_METADATA", ""), note)
        return known if state is PairState.SYNCED else self._out(known, deadline)

    def _out(self, each: Standing, deadline: Deadline) -> Standing:
        """A leg that is out, by its superblock."""
        superblock = self.calls.leg(each.pair.leg, deadline)
        uuid = report.uuid_of(superblock)
        if not uuid:
            return _with(each, PairState.UNPAIRED, "and carries no superblock")
        if uuid != each.uuid:
            return _with(each, PairState.UNKNOWN, "and carries the superblock of another array")
        if each.md.entry is None or not each.md.entry.has_bitmap:
            return _with(each, PairState.SPLIT_UNTRACKED, "no bitmap")
        return each

    def _judged(self, each: Standing, boot: str) -> Standing:
        if each.state is not PairState.SYNCED:
            return each
        if each.md.mismatches is None or not each.uuid:
            return _with(each, PairState.UNKNOWN, "")
        state = proof.state(self.calls.options.verify_after_merge, each.note, boot, each.md.mismatches)
        return _with(each, state, "legs to be compared" if state is PairState.ATTACHING else "")

    def _go_on(self, found: Sequence[Standing], deadline: Deadline) -> bool:
        at_rest = [each for each in found if each.md.state() is PairState.SYNCED and each.md.mismatches is not None]
        boot = self.calls.boot(deadline) if at_rest else ""
        did = False
        for each in at_rest:
            step = proof.step(self.calls.options.verify_after_merge, each.note, boot, each.md.mismatches or 0)
            if step is Step.COMPARE:
                self._compare(each, deadline)
                self.calls.write_note(each.uuid, Note(Kind.CHECKING, boot), deadline)
            elif step is Step.CALL_WHOLE:
                self.calls.write_note(each.uuid, Note(Kind.WHOLE, boot), deadline)
            did = did or step is not Step.NOTHING
        return did

    def _compare(self, each: Standing, deadline: Deadline) -> None:
        name = self.calls.kernel_names((each.pair.array,), deadline)[each.pair.array]
        argv = ("tee", f"{self.calls.options.sys}/block/{name}/md/sync_action")
        self.calls.require(argv, deadline, f"comparing the legs of {each.pair.array}", stdin="check\n")


def _asks_for_boot(each: Standing) -> bool:
    return each.state is PairState.SYNCED and each.note.needs_boot


def _with(each: Standing, state: PairState, more: str) -> Standing:
    word = f"{each.word} {more}".rstrip()
    return Standing(each.pair, each.md, state, word, each.uuid, each.metadata, each.note)
