"""A leg is taken out of each array: looked at before, sent once, and looked at when it was refused.

``--fail`` fixes the moment: from then on nothing is written to that leg. ``--remove`` may find it busy for a while; it is
tried again, and at last in ``settle``. To fail the last working leg breaks the array, and every write to it (array_state
"broken", Linux 6.1): so all legs are seen to be in sync right before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.md_calls import Calls
from splitmirror_drivers.arrays.md_legs import Legs
from splitmirror_drivers.arrays.md_options import PairOptions
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, NotSynchronised, UnknownAnswer

OUT = frozenset({PairState.SPLIT, PairState.SPLIT_UNTRACKED})
BUSY_SECONDS = 2.0
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Splitter:
    """Takes the legs of some arrays out, one after another."""

    calls: Calls
    legs: Legs

    def take(self, pairs: Sequence[PairOptions], deadline: Deadline) -> bool:
        """Whether all legs were found out already. Raises as ``Array.split`` does."""
        try:
            if not self.calls.are_whole(pairs, deadline):
                return self._is_taken(pairs, deadline)
        except DeadlinePassed as fault:
            what = f"{self.calls.name}: no answer before the split, which was not sent"
            raise CommandFailed(what, detail=fault.full()) from fault
        for number, pair in enumerate(pairs):
            done = self.calls.run(self.command(pair), deadline)
            if done.exit_code != 0:
                self._refused(pairs, number, done, deadline)
        return False

    @staticmethod
    def command(pair: PairOptions) -> tuple[str, ...]:
        """What takes one leg out."""
        return ("mdadm", pair.array, "--fail", pair.leg, "--remove", pair.leg)

    def remove(self, pair: PairOptions, deadline: Deadline) -> Completed:
        """Take a leg out that is marked as failed."""
        return self.calls.run(("mdadm", pair.array, "--remove", pair.leg), deadline)

    def _is_taken(self, pairs: Sequence[PairOptions], deadline: Deadline) -> bool:
        found = self.legs.standing(pairs, deadline)
        if all(each.state in OUT for each in found):
            return True
        words = ", ".join(f"{each.pair.array} {each.word}" for each in found)
        if any(each.state in OUT for each in found):
            raise UnknownAnswer(f"{self.calls.name}: some legs are out and some are not: {words}")
        raise NotSynchronised(f"{self.calls.name}: nothing was split: {words}")

    def _refused(self, pairs: Sequence[PairOptions], number: int, done: Completed, deadline: Deadline) -> None:
        """Right when the leg is failed all the same: only its removal was refused."""
        pair = pairs[number]
        (md,) = self.calls.look((pair,), deadline)
        if md.is_leg_out:
            return
        if md.is_leg_failed:
            self._insist(pair, deadline)
            return
        what = f"{self.calls.name}: taking {pair.leg} out of {pair.array} was refused: {md.word}"
        if number == 0 and done.exit_code > 0:
            raise CommandFailed(f"{what}; nothing was changed", detail=done.tail())
        raise UnknownAnswer(what, detail=done.tail())

    def _insist(self, pair: PairOptions, deadline: Deadline) -> None:
        """The moment is fixed; a leg that stays busy is taken out in ``settle``."""
        until = deadline.sooner(BUSY_SECONDS)
        while not until.is_passed and self.remove(pair, deadline).exit_code != 0:
            time.sleep(min(PAUSE_SECONDS, until.left()))
