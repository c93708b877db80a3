"""What every array promises. A driver's own test is a subclass of ``ArrayContract`` that hands over a ``Stage``.

A stage is one array of the driver with one group in it, and what only the driver's test can do: change the primary, read a copy,
make a fault happen. What a stage cannot do it leaves as it is here, and the tests that need it are skipped by name.

::

    class TestMyArray(ArrayContract):
        def make(self, folder: Path) -> Stage:
            return MyStage(folder)
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from splitmirror_drivers.contracts.array import (
    Array,
    Atomic,
    Exposed,
    Family,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
)
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, InUse, NotSynchronised, Refused

PATIENCE_SECONDS = 20.0
SHORT_SECONDS = 1.5
OVERRUN_SECONDS = 6.0
"""How much longer than its deadline a call may take: the grace of a command that is ended, on a slow machine."""

COPIES = frozenset({PairState.SPLIT, PairState.SPLIT_UNTRACKED})
UNLIKELY = "sideways"


class Wrong(Enum):
    """What a stage can be asked to make happen from now on, until ``mend``."""

    SPLIT_HANGS = "split gives no answer, and nothing is done"
    SPLIT_HANGS_AFTER = "split is done, and gives no answer"
    SPLIT_IS_REFUSED = "split fails, and nothing is done"
    QUERY_HANGS = "query gives no answer"
    UNKNOWN_WORD = "one pair's state word is one that no table lists"
    ESTABLISH_HANGS = "establish gives no answer"
    LOCKED_FOR_A_MOMENT = "the next command finds the array locked"


class Stage:
    """One array with one group. ``group`` is that group's name, ``primaries`` how many primaries it has."""

    group: str
    primaries: int = 1
    is_tracking: bool = True
    """Whether ``copied_bytes`` tells how much an establish copied."""

    def array(self) -> Array:
        """A new driver object over the same array, as a new process would have it."""
        raise NotImplementedError

    def write(self, value: bytes) -> None:
        """Put `value` where ``read`` will find it, in every primary; on the primary side it is durable when this returns."""
        raise NotImplementedError

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        """What was written, as the exposed copy has it: one value for each primary."""
        raise NotImplementedError

    def copied_bytes(self) -> int:
        """How many bytes the last establish copied; only asked when ``is_tracking``."""
        raise NotImplementedError

    def size_bytes(self) -> int:
        """How much a full copy moves; only asked when ``is_tracking``."""
        raise NotImplementedError

    def wrong(self, what: Wrong) -> None:
        """Make `what` happen."""
        pytest.skip(f"does not apply: this stage cannot have it that {what.value}")

    def mend(self) -> None:
        """Nothing goes wrong any more."""

    def unsynchronised(self) -> None:
        """Bring the group to a state that may not be split; as it is made, a mirror is in one."""
        if self.array().traits.family is Family.POINT:
            pytest.skip("does not apply: a copy may always be taken of this group")

    def in_use(self, exposed: Exposed) -> contextlib.AbstractContextManager[None]:
        """The exposed copy is in use while this lasts, in a way that the array must see."""
        pytest.skip("does not apply: this array does not see who uses a copy")

    def close(self) -> None:
        """Leave nothing behind."""


def soon(seconds: float = PATIENCE_SECONDS) -> Deadline:
    return Deadline.after(seconds)


def until_done(progress: object, what: str) -> None:
    """Ask again until it is done."""
    end = soon()
    while True:
        answer = progress()  # type: ignore[operator]
        assert isinstance(answer, Progress)
        assert answer.fraction is None or 0.0 <= answer.fraction <= 1.0
        if answer.is_done:
            return
        assert not end.is_passed, f"{what} was not done in {PATIENCE_SECONDS} s: {answer}"
        threading.Event().wait(0.02)


class ArrayContract:
    """Subclass it, with ``make``."""

    def make(self, folder: Path) -> Stage:
        """A stage that keeps everything in `folder`."""
        raise NotImplementedError

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[Stage]:
        stage = self.make(tmp_path)
        yield stage
        stage.close()

    # -- helpers --

    def synchronise(self, stage: Stage, mode: Mode = Mode.INCREMENTAL) -> None:
        """Bring the group to where it may be split, by the driver alone."""
        array = stage.array()
        if not array.traits.needs_sync:
            return
        array.establish(stage.group, mode, soon())
        until_done(lambda: array.progress(stage.group, soon()), "establish")

    @pytest.fixture
    def ready(self, stage: Stage) -> Stage:
        """The group is in sync for the first time, and carries ``one``."""
        stage.write(b"one")
        self.synchronise(stage, Mode.FULL)
        return stage

    def pairs(self, stage: Stage) -> tuple[Pair, ...]:
        return stage.array().query(stage.group, soon())

    def states(self, stage: Stage, copy: str = "") -> set[PairState]:
        """Of the copy, or of what the next split would be taken from."""
        pairs = self.pairs(stage)
        if stage.array().traits.family is Family.POINT:
            return {p.state for p in pairs if (p.copy == copy if copy else p.state not in COPIES)}
        return {p.state for p in pairs}

    def split(self, stage: Stage, copy: str = "run-1", seconds: float = PATIENCE_SECONDS) -> Receipt:
        (receipt,) = stage.array().split([stage.group], copy, soon(seconds))
        return receipt

    def contents(self, stage: Stage, receipt: Receipt) -> tuple[bytes, ...]:
        """What the copy has, exposed and taken back again."""
        until_done(lambda: stage.array().settle(receipt, soon()), "settle")
        exposed = stage.array().expose(receipt, soon())
        try:
            return stage.read(exposed)
        finally:
            stage.array().unexpose(receipt, soon())

    def all_of(self, stage: Stage, value: bytes) -> tuple[bytes, ...]:
        return (value,) * stage.primaries

    # -- what it says of itself --

    def test_every_claim_has_a_source(self, stage: Stage) -> None:
        traits = stage.array().traits
        assert traits.source.strip()
        assert traits.limit_seconds >= 0
        assert isinstance(traits.atomic, Atomic)
        if traits.family is Family.POINT:
            assert not traits.needs_sync

    def test_sources_name_what_is_mirrored(self, stage: Stage) -> None:
        sources = stage.array().sources(stage.group, soon())
        assert sources
        assert all(source.kind in ("device", "path") and source.id for source in sources)

    def test_a_group_that_does_not_exist_is_a_fault_that_names_it(self, stage: Stage) -> None:
        with pytest.raises(Fault, match="no-such-group"):
            stage.array().query("no-such-group", soon())

    def test_actions_change_nothing_and_say_what_would_be_done(self, ready: Stage) -> None:
        before = self.pairs(ready)
        for move in Move:
            actions = ready.array().actions(move, ready.group, "run-1")
            assert actions == ready.array().actions(move, ready.group, "run-1")
            for action in actions:
                assert action.what.strip()
                assert action.host
                assert action.deadline_seconds > 0
        assert ready.array().actions(Move.SPLIT, ready.group, "run-1"), "a plan that does not show the split"
        assert self.pairs(ready) == before

    def test_actions_ask_nothing(self, ready: Stage) -> None:
        ready.wrong(Wrong.QUERY_HANGS)
        began = time.monotonic()
        assert ready.array().actions(Move.SPLIT, ready.group, "run-1")
        assert time.monotonic() - began < SHORT_SECONDS

    def test_the_restore_note_names_the_copy(self, ready: Stage) -> None:
        receipt = self.split(ready, "run-17")
        note = ready.array().restore_note(receipt)
        assert note.strip()
        assert ready.group in note or "run-17" in note

    # -- states --

    def test_a_query_names_every_pair_once_with_the_arrays_own_word(self, ready: Stage) -> None:
        pairs = self.pairs(ready)
        assert len({(pair.name, pair.copy) for pair in pairs}) == len(pairs) >= 1
        assert all(pair.word for pair in pairs)
        assert all(isinstance(pair.state, PairState) for pair in pairs)

    def test_a_group_that_is_in_sync_says_so_on_every_pair(self, ready: Stage) -> None:
        wanted = PairState.SYNCED if ready.array().traits.needs_sync else PairState.PREPARED
        assert self.states(ready) == {wanted}
        assert ready.array().progress(ready.group, soon()).is_done

    def test_a_word_that_no_table_lists_is_unknown_and_never_a_guess(self, ready: Stage) -> None:
        ready.wrong(Wrong.UNKNOWN_WORD)
        pairs = self.pairs(ready)
        assert PairState.UNKNOWN in {pair.state for pair in pairs}
        assert all(pair.word for pair in pairs if pair.state is PairState.UNKNOWN)

    def test_a_group_with_an_unknown_word_is_neither_done_nor_split(self, ready: Stage) -> None:
        ready.wrong(Wrong.UNKNOWN_WORD)
        with contextlib.suppress(Fault):
            assert not ready.array().progress(ready.group, soon()).is_done
        with pytest.raises((Refused, NotSynchronised, CommandFailed)):
            ready.array().stand_by([ready.group], "copy-1", soon())
            self.split(ready)
        ready.mend()
        assert not self.states(ready) & COPIES

    # -- establish --

    def test_establish_brings_the_primary_to_the_copy(self, ready: Stage) -> None:
        assert self.contents(ready, self.split(ready)) == self.all_of(ready, b"one")

    def test_establish_may_be_asked_again_while_it_runs_and_when_it_is_done(self, stage: Stage) -> None:
        stage.write(b"one")
        array = stage.array()
        if not array.traits.needs_sync:
            pytest.skip("does not apply: nothing is established")
        array.establish(stage.group, Mode.FULL, soon())
        stage.array().establish(stage.group, Mode.INCREMENTAL, soon())
        until_done(lambda: stage.array().progress(stage.group, soon()), "establish")
        stage.array().establish(stage.group, Mode.INCREMENTAL, soon())
        until_done(lambda: stage.array().progress(stage.group, soon()), "establish")
        assert self.contents(stage, self.split(stage)) == self.all_of(stage, b"one")

    def test_an_incremental_establish_copies_only_what_changed(self, ready: Stage) -> None:
        traits = ready.array().traits
        if not (traits.needs_sync and traits.tracks_changes and ready.is_tracking):
            pytest.skip("does not apply: this array, or its stage, does not track changes")
        first = ready.copied_bytes()
        assert first >= ready.size_bytes(), "the first establish copies everything"
        self.split(ready)
        ready.write(b"two")
        self.synchronise(ready)
        assert 0 < ready.copied_bytes() < first / 2
        assert self.contents(ready, self.split(ready, "run-2")) == self.all_of(ready, b"two")

    def test_establish_keeps_its_deadline(self, ready: Stage) -> None:
        if not ready.array().traits.needs_sync:
            pytest.skip("does not apply: nothing is established")
        self.split(ready)
        ready.wrong(Wrong.ESTABLISH_HANGS)
        with self.in_time(), pytest.raises(DeadlinePassed):
            ready.array().establish(ready.group, Mode.INCREMENTAL, soon(SHORT_SECONDS))

    # -- split --

    def test_a_split_fixes_the_moment(self, ready: Stage) -> None:
        receipt = self.split(ready)
        ready.write(b"two")
        assert self.contents(ready, receipt) == self.all_of(ready, b"one")
        assert self.states(ready, receipt.copy) <= COPIES

    def test_a_receipt_carries_the_name_that_the_engine_chose(self, ready: Stage) -> None:
        receipt = self.split(ready, "run-20260101T000000-7")
        assert (receipt.array, receipt.group, receipt.copy) == (
            ready.array().name,
            ready.group,
            "run-20260101T000000-7",
        )
        assert not receipt.is_again
        assert all(isinstance(value, str) for value in receipt.data.values())
        if ready.array().traits.family is Family.POINT:
            assert {pair.copy for pair in self.pairs(ready) if pair.state in COPIES} == {receipt.copy}

    def test_a_split_found_done_after_a_crash_is_marked_and_not_made_anew(self, ready: Stage) -> None:
        receipt = self.split(ready)
        until_done(lambda: ready.array().settle(receipt, soon()), "settle")
        ready.write(b"two")
        again = self.split(ready)
        assert again.is_again
        assert self.contents(ready, again) == self.all_of(ready, b"one")

    def test_a_group_that_is_not_in_sync_is_not_split(self, stage: Stage) -> None:
        stage.write(b"one")
        stage.unsynchronised()
        before = self.pairs(stage)
        with pytest.raises(NotSynchronised):
            self.split(stage)
        assert [(p.name, p.state, p.copy) for p in self.pairs(stage)] == [(p.name, p.state, p.copy) for p in before]

    def test_a_refused_split_changes_nothing(self, ready: Stage) -> None:
        ready.wrong(Wrong.SPLIT_IS_REFUSED)
        with pytest.raises(CommandFailed):
            self.split(ready)
        ready.mend()
        assert not self.states(ready) & COPIES
        ready.write(b"two")
        self.synchronise(ready)
        assert self.contents(ready, self.split(ready)) == self.all_of(ready, b"two")

    def test_a_split_keeps_its_deadline_and_says_that_its_outcome_is_unknown(self, ready: Stage) -> None:
        ready.wrong(Wrong.SPLIT_HANGS)
        with self.in_time(), pytest.raises(DeadlinePassed):
            self.split(ready, seconds=SHORT_SECONDS)

    def test_a_split_that_was_done_without_an_answer_is_found_again(self, ready: Stage) -> None:
        ready.wrong(Wrong.SPLIT_HANGS_AFTER)
        with self.in_time(), pytest.raises(DeadlinePassed):
            self.split(ready, seconds=2 * SHORT_SECONDS)
        ready.mend()
        ready.write(b"two")
        again = self.split(ready)
        assert again.is_again
        assert self.contents(ready, again) == self.all_of(ready, b"one")

    def test_an_array_that_gives_no_answer_before_the_split_is_not_split(self, ready: Stage) -> None:
        ready.wrong(Wrong.QUERY_HANGS)
        with self.in_time(), contextlib.suppress(CommandFailed, DeadlinePassed):
            self.split(ready, seconds=SHORT_SECONDS)
            pytest.skip("does not apply: this driver splits without a query")
        ready.mend()
        assert not self.states(ready) & COPIES

    def test_a_lock_that_goes_away_in_time_is_waited_for(self, ready: Stage) -> None:
        ready.wrong(Wrong.LOCKED_FOR_A_MOMENT)
        assert not self.split(ready).is_again

    # -- the copy --

    def test_settle_ends_and_may_be_asked_again(self, ready: Stage) -> None:
        receipt = self.split(ready)
        until_done(lambda: ready.array().settle(receipt, soon()), "settle")
        assert ready.array().settle(receipt, soon()).is_done

    def test_a_receipt_from_the_journals_intent_is_enough(self, ready: Stage) -> None:
        """The engine writes it before the split, with nothing but names."""
        self.split(ready)
        bare = Receipt(ready.array().name, ready.group, "run-1")
        assert self.contents(ready, bare) == self.all_of(ready, b"one")
        if ready.array().traits.family is Family.POINT:
            ready.array().discard(bare, soon())
            assert not self.states(ready, "run-1")

    def test_expose_and_unexpose_may_be_repeated(self, ready: Stage) -> None:
        receipt = self.split(ready)
        until_done(lambda: ready.array().settle(receipt, soon()), "settle")
        ready.array().unexpose(receipt, soon())
        first = ready.array().expose(receipt, soon())
        assert first.kind in ("device", "tree")
        assert first.paths
        assert ready.array().expose(receipt, soon()) == first
        assert ready.read(first) == self.all_of(ready, b"one")
        ready.array().unexpose(receipt, soon())
        ready.array().unexpose(receipt, soon())

    def test_a_copy_in_use_is_not_taken_away(self, ready: Stage) -> None:
        receipt = self.split(ready)
        until_done(lambda: ready.array().settle(receipt, soon()), "settle")
        exposed = ready.array().expose(receipt, soon())
        with ready.in_use(exposed), pytest.raises(InUse):
            ready.array().unexpose(receipt, soon())
        assert ready.read(ready.array().expose(receipt, soon())) == self.all_of(ready, b"one")
        ready.array().unexpose(receipt, soon())

    def test_a_mirror_is_attached_again_and_never_discarded(self, ready: Stage) -> None:
        if ready.array().traits.family is Family.POINT:
            pytest.skip("does not apply: family point-in-time")
        receipt = self.split(ready)
        with pytest.raises(Fault):
            ready.array().discard(receipt, soon())
        assert self.contents(ready, receipt) == self.all_of(ready, b"one")
        ready.write(b"two")
        self.synchronise(ready, Mode.INCREMENTAL if ready.array().traits.tracks_changes else Mode.FULL)
        assert self.contents(ready, self.split(ready, "run-2")) == self.all_of(ready, b"two")

    def test_copies_stand_side_by_side_and_are_discarded_one_by_one(self, ready: Stage) -> None:
        if not ready.array().traits.keeps_copies:
            pytest.skip("does not apply: this array keeps one copy")
        first = self.split(ready, "run-1")
        ready.write(b"two")
        second = self.split(ready, "run-2")
        assert self.contents(ready, first) == self.all_of(ready, b"one")
        ready.array().discard(first, soon())
        ready.array().discard(first, soon())
        assert not self.states(ready, "run-1")
        assert self.contents(ready, second) == self.all_of(ready, b"two")

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """What happens inside takes not much longer than a short deadline."""
        began = time.monotonic()
        yield
        assert time.monotonic() - began < 2 * SHORT_SECONDS + OVERRUN_SECONDS
