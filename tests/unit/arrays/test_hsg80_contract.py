"""The HSG80 driver keeps the promises of an array, over an emulated controller's console: a stripe, and two units."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.array import SHORT_SECONDS, ArrayContract, Stage, Wrong, soon
from tests.unit.arrays.hsg80_stages import ConsoleStage, UnitsStage

from splitmirror_drivers.contracts.array import Mode, PairState
from splitmirror_drivers.kit.errors import DeadlinePassed, NotSynchronised


class Hsg80Contract(ArrayContract):
    """What every array promises, where this one copies in full or not at all."""

    def test_establish_keeps_its_deadline(self, ready: Stage) -> None:
        self.split(ready)
        ready.wrong(Wrong.ESTABLISH_HANGS)
        with self.in_time(), pytest.raises(DeadlinePassed):
            ready.array().establish(ready.group, Mode.FULL, soon(SHORT_SECONDS))


class TestStripe(Hsg80Contract):
    def make(self, folder: Path) -> Stage:
        return ConsoleStage(folder)


class TestTwoUnits(Hsg80Contract):
    def make(self, folder: Path) -> Stage:
        return UnitsStage(folder)

    def test_a_split_that_was_done_without_an_answer_is_found_again(self, ready: Stage) -> None:
        """The second unit was never reduced, and is not reduced later to go with the first."""
        ready.wrong(Wrong.SPLIT_HANGS_AFTER)
        with self.in_time(), pytest.raises(DeadlinePassed):
            self.split(ready, seconds=2 * SHORT_SECONDS)
        ready.mend()
        assert self.states(ready) == {PairState.SPLIT_UNTRACKED, PairState.SYNCED}
        with pytest.raises(NotSynchronised):
            self.split(ready)
