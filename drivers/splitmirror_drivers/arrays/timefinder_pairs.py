"""What TimeFinder's mirrors and clones have in common: pairs with state words, looked at, established, broken off.

What the exit code of a move says decides only whether it was refused; what every pair's word says decides the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Symcli, refused
from splitmirror_drivers.arrays.timefinder_ids import array_ids, policy_ids
from splitmirror_drivers.arrays.timefinder_parse import Row, number_of
from splitmirror_drivers.arrays.timefinder_words import Standing, Words, require_members, said
from splitmirror_drivers.contracts.array import Exposed, Mode, Pair, PairState, Progress, Receipt, Source, Traits
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    NotSynchronised,
    Refused,
    UnknownAnswer,
)

STOPPED = (PairState.BROKEN, PairState.RESTORING)


class Pairs:
    """A group of pairs. A product gives its words and traits, how it is looked at, and its moves."""

    words: Words
    traits: Traits

    def __init__(self, symcli: Symcli) -> None:
        self.symcli, self.name, self.options, self.host = symcli, symcli.name, symcli.options, symcli.host

    # -- what a product gives --

    def look(self, group: str, deadline: Deadline) -> tuple[Row, ...]:
        """What the array says of every pair of `group`."""
        raise NotImplementedError

    def begin_copy(self, group: str, mode: Mode, rows: Sequence[Row], deadline: Deadline) -> None:
        """Start to copy. Raises Refused for rows from which it may not."""
        raise NotImplementedError

    def break_off(self, group: str, deadline: Deadline) -> Completed:
        """Send the split."""
        raise NotImplementedError

    def is_verified(self, group: str, deadline: Deadline) -> bool:
        """Whether the array, asked in another way, also says that every pair is in sync."""
        raise NotImplementedError

    def is_settled(self, rows: Sequence[Row]) -> bool:
        """Whether a copy that is fixed may be read."""
        return all(row.word in self.words.fixed for row in rows)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every pair with its word. Raises Refused when they are not those of the policy."""
        return tuple(
            Pair(row.name, self._state(row), row.word, row.primary, row.copy) for row in self.rows(group, deadline)
        )

    def rows(self, group: str, deadline: Deadline) -> tuple[Row, ...]:
        """`look`, and the pairs are those of the policy. Raises Refused, CommandFailed, UnknownAnswer."""
        rows = self.look(group, deadline)
        require_members(f"{self.name}/{group}", self.symcli.group(group), rows)
        return rows

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The standards, as hosts know them."""
        of, standards = self.symcli.group(group), [row.primary for row in self.rows(group, deadline)]
        if self.options.device_ids == "array":
            return array_ids(self.symcli, standards, deadline)
        return policy_ids(of, standards)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Nothing is sent to a group that is in sync or on its way there."""
        rows = self.rows(group, deadline)
        states = {self._state(row) for row in rows}
        on_the_way = {PairState.ATTACHING, *({PairState.SYNCED} if mode is Mode.INCREMENTAL else ())}
        if not states <= on_the_way:
            self.begin_copy(group, mode, rows, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every pair's word says so, and the array's verify too."""
        rows = self.rows(group, deadline)
        for row in rows:
            state = self._state(row)
            if state is PairState.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {row.name} says {row.word!r}, which no table lists")
            if state in STOPPED:
                raise CommandFailed(f"{self.name}/{group}: {row.name} is {row.word} ({state.value})")
        left = [row for row in rows if row.word not in self.words.ready]
        if left:
            tracks = sum(int(row.tracks or 0) for row in left)
            return Progress(is_done=False, remaining=f"{said(left)}; {tracks} tracks to copy")
        if not self.is_verified(group, deadline):
            return Progress(is_done=False, remaining="the array's verify does not say so yet")
        return Progress(is_done=True)

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it is done at once."""
        return None

    # -- split --

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002 - has no name
        """For each group a look before, the split, a look after it."""
        self.host.stand_by(3 * len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command a group, one after another; back when the last one's pairs all say that they are split."""
        receipts: list[Receipt] = []
        for group in groups:
            try:
                is_again = self._split(group, deadline)
            except (CommandFailed, NotSynchronised, Refused) as exc:
                done = [receipt.group for receipt in receipts if not receipt.is_again]
                if not done:
                    raise
                raise UnknownAnswer(f"{self.name}: {', '.join(done)} split, and {group} is not: {exc}") from exc
            receipts.append(Receipt(self.name, group, copy, is_again))
        return tuple(receipts)

    def _split(self, group: str, deadline: Deadline) -> bool:
        """Whether the group was found split already."""
        what = f"{self.name}/{group}"
        try:
            rows = self.rows(group, deadline)
        except DeadlinePassed as exc:
            raise CommandFailed(
                f"{what} gave no answer before its split, which was not sent", detail=exc.full()
            ) from exc
        standing = self._standing(rows)
        if standing is Standing.OTHER:
            raise NotSynchronised(f"{what} may not be split; nothing was sent", detail=said(rows))
        if standing is Standing.READY:
            try:
                done = self.break_off(group, deadline)
            except CommandFailed as exc:
                self._require_unchanged(group, deadline, exc)
                raise
            if done.exit_code != 0:
                raise self._refusal(group, done, deadline)
        self._await_fixed(group, deadline)
        return standing is not Standing.READY

    def _refusal(self, group: str, done: Completed, deadline: Deadline) -> Fault:
        """CommandFailed only when the command ended by itself and every pair still is as it was."""
        rows = self._look_after(group, deadline, done.tail(1))
        if refused(done) and self._standing(rows) is Standing.READY:
            return CommandFailed(
                f"the split of {self.name}/{group} was refused; nothing was changed", detail=done.tail()
            )
        return UnknownAnswer(
            f"the split of {self.name}/{group} ended with exit code {done.exit_code}, and its pairs say: {said(rows)}",
            detail=done.tail(),
        )

    def _require_unchanged(self, group: str, deadline: Deadline, why: CommandFailed) -> None:
        """After a lock that stayed: raise UnknownAnswer for pairs that are not as before. Where nobody answers, so be it."""
        try:
            rows = self.rows(group, deadline)
        except (CommandFailed, DeadlinePassed):
            return
        except Fault as exc:
            raise UnknownAnswer(f"{why}; then: {exc}", detail=exc.detail) from exc
        if self._standing(rows) is not Standing.READY:
            raise UnknownAnswer(f"{why}; but the pairs of {self.name}/{group} say: {said(rows)}", detail=why.detail)

    def _await_fixed(self, group: str, deadline: Deadline) -> None:
        """Look until every pair says that it is split; only words that lead there are waited for."""
        pause, seen = FIRST_PAUSE_SECONDS, "it gave no answer"
        while True:
            rows = self._look_after(group, deadline, seen)
            seen = said(rows)
            if self._standing(rows) is Standing.FIXED:
                return
            lost = [row for row in rows if row.word not in self.words.ready | self.words.begun | self.words.fixed]
            if lost:
                raise UnknownAnswer(f"{self.name}/{group}: after its split was sent its pairs say: {seen}")
            if deadline.is_passed:
                raise DeadlinePassed(f"{self.name}/{group} is not split after the time there was: {seen}")
            self.symcli.pause(min(pause, deadline.left()))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _look_after(self, group: str, deadline: Deadline, seen: str) -> tuple[Row, ...]:
        """A look after the split was sent: what goes wrong now leaves its outcome unknown. `seen`: what was seen last."""
        try:
            return self.rows(group, deadline)
        except DeadlinePassed as exc:
            raise DeadlinePassed(
                f"{self.name}/{group} is not split after the time there was: {seen}", detail=exc.full()
            ) from exc
        except Fault as exc:
            raise UnknownAnswer(
                f"{self.name}/{group} could not be asked after its split was sent: {exc}", detail=exc.detail
            ) from exc

    def _standing(self, rows: Sequence[Row]) -> Standing:
        words = {row.word for row in rows}
        for found, standing in (
            (self.words.ready, Standing.READY),
            (self.words.fixed, Standing.FIXED),
            (self.words.fixed | self.words.begun, Standing.BEGUN),
        ):
            if words <= found:
                return standing
        return Standing.OTHER

    # -- the copy --

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """By the word of every pair."""
        rows = self.rows(receipt.group, deadline)
        if self._standing(rows) not in (Standing.FIXED, Standing.BEGUN):
            raise UnknownAnswer(
                f"{self.name}/{receipt.group}: the copy {receipt.copy} does not stand any more", detail=said(rows)
            )
        return Progress(is_done=self.is_settled(rows), remaining=said(rows))

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Where the policy says that each pair's copy is seen. The array shows it by itself once it is split."""
        if not self.settle(receipt, deadline).is_done:
            raise Refused(f"{self.name}/{receipt.group}: the copy {receipt.copy} may not be read yet")
        of = self.symcli.group(receipt.group)
        seen = {number_of(device): path for device, path in of.copy_devices.items()}
        copies = [row.copy for row in self.rows(receipt.group, deadline)]
        unseen = [copy for copy in copies if number_of(copy) not in seen]
        if unseen:
            raise Refused(
                f"{self.name}/{receipt.group}: the policy does not say where the copy {', '.join(unseen)} is seen",
                hint=f'add it to the group: copy-devices = {{ "{unseen[0]}" = "/dev/…" }}',
            )
        return Exposed("device", tuple(seen[number_of(copy)] for copy in copies), self.copy_host)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """A copy that is split stays visible to its host until the next establish."""
        self.symcli.group(receipt.group)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:  # noqa: ARG002
        """Raise Refused: its devices are established again, never discarded."""
        raise Refused(f"{self.name} keeps one copy of {receipt.group}: it is established again, never discarded")

    @property
    def copy_host(self) -> str:
        """The host that reads the copies."""
        return self.options.copy_host or self.host.name

    def _state(self, row: Row) -> PairState:
        return self.words.states.get(row.word, PairState.UNKNOWN)
