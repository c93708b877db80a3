"""The split: looked at before, sent once, and looked at until its point in time is fixed on every pair.

``pairsplit`` returns before anything is split, and is taken while a pair still copies. So nothing is sent unless every
pair is PAIR on both sides; and what fixes a pair is its P-VOL's PSUS with its S-VOL's SSUS. In a consistency group the
data is that of the moment at which the array received the request: there it is enough that no pair is PAIR any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from splitmirror_drivers.arrays.shadowimage_calls import Calls
from splitmirror_drivers.arrays.shadowimage_codes import BUSY, is_signal
from splitmirror_drivers.arrays.shadowimage_parse import Seen
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, NotSynchronised, UnknownAnswer

LOOK_SECONDS = 0.1
S = PairState
ACCEPTED = frozenset({S.SPLIT, S.SPLITTING, S.ATTACHING})
"""After ``pairsplit``, sent to pairs in sync: COPY on both sides drains what was there at that moment."""
UNDER_WAY = ACCEPTED | {S.SYNCED}


class Standing(Enum):
    """What the pairs of a group say before a split of it."""

    READY = "in sync"
    SPLIT = "split, or about to be"
    OTHER = "anything else"


@dataclass(frozen=True)
class Splitter:
    """Splits groups of one array."""

    calls: Calls

    def take(self, groups: Sequence[str], deadline: Deadline) -> bool:
        """Split `groups`; whether they were found split already. Back when every pair is fixed."""
        standing = self._before(groups, deadline)
        if standing is Standing.READY:
            self._send_all(groups, deadline)
        for group in groups:
            self._await_fixed(group, deadline)
        return standing is Standing.SPLIT

    def _before(self, groups: Sequence[str], deadline: Deadline) -> Standing:
        """What all groups say alike. Raises NotSynchronised, or CommandFailed where nobody answered: nothing was sent."""
        said, standings = [], set()
        for group in groups:
            try:
                seen = self.calls.pairs(group, deadline)
            except DeadlinePassed as exc:
                raise CommandFailed(
                    f"{self.calls.name}/{group} gave no answer before its split, which was not sent", detail=exc.full()
                ) from exc
            said.append(f"{group}: {words(seen)}")
            standings.add(standing_of(seen))
            if standings == {Standing.READY}:
                self.calls.require_one_moment(group, seen)
        if standings in ({Standing.READY}, {Standing.SPLIT}):
            return standings.pop()
        raise NotSynchronised(
            f"{self.calls.name}/{', '.join(groups)} may not be split: not every pair is in sync; nothing was sent",
            detail="\n".join(said),
        )

    def _send_all(self, groups: Sequence[str], deadline: Deadline) -> None:
        for number, group in enumerate(groups):
            try:
                self._send(group, deadline)
            except CommandFailed as exc:
                if number == 0:
                    raise
                raise UnknownAnswer(
                    f"{', '.join(groups[:number])} are split, and {group} is not: {exc}", detail=exc.detail
                ) from exc

    def _send(self, group: str, deadline: Deadline) -> None:
        """``pairsplit``; again while the array is busy, as long as every pair is seen to be as it was."""
        pause = float(self.calls.options.busy_pause)
        limit = deadline.sooner(self.calls.options.busy_limit)
        while True:
            done = self.calls.once(deadline, "pairsplit", group)
            if done.exit_code == 0:
                return
            fault = self._refusal(group, done, deadline)
            if done.exit_code not in BUSY or limit.left() <= pause or isinstance(fault, UnknownAnswer):
                raise fault
            self.calls.pause(pause)

    def _refusal(self, group: str, done: Completed, deadline: Deadline) -> Fault:
        """CommandFailed only when the command ended by itself and every pair is still in sync."""
        what = f"the split of {self.calls.name}/{group}"
        if is_signal(done.exit_code):
            return self.calls.unknown(f"{what} was ended by a signal", done)
        seen = self._look(group, deadline)
        if standing_of(seen) is Standing.READY:
            return self.calls.failed(what, done)
        return UnknownAnswer(f"{what} failed half-way: {words(seen)}", detail=done.tail())

    def _await_fixed(self, group: str, deadline: Deadline) -> None:
        """Look until every pair is fixed. Raises UnknownAnswer or DeadlinePassed."""
        enough = ACCEPTED if self.calls.options.consistency_group else {S.SPLIT}
        last = "it was not seen again"
        while True:
            try:
                seen = self._look(group, deadline)
            except DeadlinePassed as exc:
                raise self._late(group, last) from exc
            last, states = words(seen), {pair.state for pair in seen}
            if states <= enough:
                return
            if not states <= UNDER_WAY:
                raise UnknownAnswer(
                    f"{self.calls.name}/{group} is neither in sync nor split after its split was sent: {words(seen)}"
                )
            if deadline.left() <= LOOK_SECONDS:
                raise self._late(group, last)
            self.calls.pause(LOOK_SECONDS)
            self._wait(group, deadline)

    def _late(self, group: str, last: str) -> DeadlinePassed:
        return DeadlinePassed(
            f"{self.calls.name}/{group} is not split after the time there was: {last}",
            hint="what becomes of it is unknown until it is asked",
        )

    def _wait(self, group: str, deadline: Deadline) -> None:
        """Let the tool wait for both sides. Its code decides nothing; the next look does."""
        seconds = str(max(1, int(deadline.left()) - 1))
        with contextlib.suppress(CommandFailed, DeadlinePassed):  # the looks go on, and say what became of it
            self.calls.once(deadline, "pairevtwait", group, "-s", "psus", "-ss", "ssus", "-t", seconds)

    def _look(self, group: str, deadline: Deadline) -> tuple[Seen, ...]:
        """The pairs after the split was sent: what goes wrong now leaves its outcome unknown."""
        try:
            return self.calls.pairs(group, deadline)
        except DeadlinePassed:
            raise
        except Fault as exc:
            raise UnknownAnswer(
                f"{self.calls.name}/{group} could not be asked after its split was sent: {exc}",
                detail=exc.detail,
                hint=exc.hint,
            ) from exc


def standing_of(seen: Sequence[Seen]) -> Standing:
    """What the pairs say together."""
    states = {pair.state for pair in seen}
    if states == {S.SYNCED}:
        return Standing.READY
    if states and states <= {S.SPLIT, S.SPLITTING}:
        return Standing.SPLIT
    return Standing.OTHER


def words(seen: Sequence[Seen]) -> str:
    """Each pair with the array's own words."""
    return ", ".join(f"{pair.name} {pair.word}" for pair in seen) or "no pairs"
