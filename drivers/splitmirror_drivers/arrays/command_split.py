"""The split of a `command` array: looked at before, sent once, and looked at until its point in time is fixed.

What the command's exit code says decides only whether it was refused; what the pairs say decides whether they are split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from splitmirror_drivers.arrays.command_calls import COPIES, Calls
from splitmirror_drivers.arrays.command_words import placeholders
from splitmirror_drivers.contracts.array import Family, FixedBy, Pair, PairState, Traits
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, NotSynchronised, UnknownAnswer

FIRST_LOOK_SECONDS = 0.02
LONGEST_LOOK_SECONDS = 0.5
"""Between two looks at a split that is not fixed yet: doubled from the first to the longest."""

SPLIT = frozenset({PairState.SPLIT, PairState.SPLIT_UNTRACKED})
READY = frozenset({PairState.SYNCED, PairState.PREPARED})


class Standing(Enum):
    """What the pairs of a group say about one split of it."""

    READY = "may be split"
    BEGUN = "split, not fixed"
    FIXED = "fixed"
    PART = "some pairs are split and some are not"
    OTHER = "anything else"


@dataclass(frozen=True)
class Splitter:
    """Splits groups of one array."""

    calls: Calls
    traits: Traits

    def take(self, groups: Sequence[str], copy: str, deadline: Deadline) -> bool:
        """Split `groups`; whether they were found split already. Back when every pair is fixed."""
        if self._before(groups, copy, deadline) is not Standing.READY:
            self._await_fixed(groups, copy, deadline)
            return True
        if "groups" in placeholders(self.calls.options.commands.split):
            self._once(groups, copy, deadline)
        else:
            self._each(groups, copy, deadline)
        return False

    def _before(self, groups: Sequence[str], copy: str, deadline: Deadline) -> Standing:
        """What all groups say alike. Raises NotSynchronised, or CommandFailed where nobody answered: nothing was sent."""
        standings = set()
        said = []
        for group in groups:
            try:
                pairs = self.calls.pairs(group, deadline)
            except DeadlinePassed as exc:
                raise CommandFailed(
                    f"{self.calls.name}/{group} gave no answer before its split, which was not sent",
                    detail=exc.full(),
                ) from exc
            said.append(f"{group}: {words(pairs)}")
            standings.add(self.standing(group, pairs, copy))
        if standings == {Standing.READY}:
            return Standing.READY
        if standings and standings <= {Standing.BEGUN, Standing.FIXED}:
            return Standing.BEGUN
        raise NotSynchronised(
            f"{self.calls.name}/{', '.join(groups)} may not be split: not every pair is in sync; nothing was sent",
            detail="\n".join(said),
        )

    def _once(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        done = self.calls.run("split", groups, copy, deadline)
        if done.exit_code not in self.calls.options.exit_codes.split:
            raise self._refusal(groups, copy, done, deadline)
        self._await_fixed(groups, copy, deadline)

    def _each(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        for number, group in enumerate(groups):
            try:
                self._once([group], copy, deadline)
            except CommandFailed as exc:
                if number == 0:
                    raise
                raise UnknownAnswer(f"{', '.join(groups[:number])} are split, and {group} is not: {exc}") from exc

    def _refusal(self, groups: Sequence[str], copy: str, done: Completed, deadline: Deadline) -> Fault:
        """CommandFailed only when the command ended by itself and every pair is still as it was before."""
        names = f"{self.calls.name}/{', '.join(groups)}"
        if done.exit_code < 0:
            return UnknownAnswer(f"the split of {names} was ended by a signal", detail=done.tail())
        if all(self._look(group, copy, deadline) is Standing.READY for group in groups):
            return CommandFailed(f"the split of {names} was refused; nothing was changed", detail=done.tail())
        return UnknownAnswer(f"the split of {names} failed half-way", detail=done.tail())

    def _await_fixed(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Look until every pair's point in time is fixed. Raises UnknownAnswer or DeadlinePassed."""
        pause, left = FIRST_LOOK_SECONDS, list(groups)
        while True:
            standings = {group: self._look(group, copy, deadline) for group in left}
            left = [group for group, standing in standings.items() if standing is not Standing.FIXED]
            if not left:
                return
            lost = [group for group in left if standings[group] is Standing.OTHER]
            if lost:
                raise UnknownAnswer(
                    f"{self.calls.name}/{lost[0]} is neither in sync nor split after its split was sent"
                )
            if deadline.is_passed:
                raise DeadlinePassed(f"{self.calls.name}/{left[0]} is not split after the time there was")
            self.calls.pause(min(pause, deadline.left()))
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)

    def _look(self, group: str, copy: str, deadline: Deadline) -> Standing:
        """A query after the split was sent: what goes wrong now leaves its outcome unknown."""
        try:
            return self.standing(group, self.calls.pairs(group, deadline), copy)
        except DeadlinePassed as exc:
            raise DeadlinePassed(
                f"{self.calls.name}/{group} is not split after the time there was: its query gave no answer",
                detail=exc.full(),
            ) from exc
        except Fault as exc:
            raise UnknownAnswer(
                f"{self.calls.name}/{group} could not be asked after its split was sent: {exc}", detail=exc.detail
            ) from exc

    def standing(self, group: str, pairs: Sequence[Pair], copy: str, fixed_by: FixedBy | None = None) -> Standing:
        """What `pairs` say of this copy; `fixed_by` as the array's traits unless given."""
        fixed = SPLIT
        if (fixed_by or self.traits.fixed_by) is FixedBy.ACCEPT:
            fixed = COPIES
        states = {pair.state for pair in pairs}
        if self.traits.family is Family.POINT:
            mine = [pair.state for pair in pairs if pair.copy == copy]
            states = set(mine) or states - COPIES
            if 0 < len(mine) < self.calls.group(group).pairs:
                states.add(PairState.SPLITTING)
        if not states:
            return Standing.OTHER
        if states <= READY:
            return Standing.READY
        if states <= fixed:
            return Standing.FIXED
        if states <= COPIES:
            return Standing.BEGUN
        return Standing.PART if states <= COPIES | READY else Standing.OTHER


def words(pairs: Sequence[Pair]) -> str:
    """Each pair with the array's own word."""
    return ", ".join(f"{pair.name} {pair.word}" for pair in pairs) or "no pairs"
