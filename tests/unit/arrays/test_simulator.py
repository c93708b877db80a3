"""The simulator keeps the promises of an array, tells its faults as scripted, and never pretends to protect anything."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from tests.contracts.array import ArrayContract, Stage, Wrong

from splitmirror_drivers.arrays.simulator import WARNING, Options, Simulator
from splitmirror_drivers.catalogue import ARRAYS, Context
from splitmirror_drivers.contracts.array import Exposed, Mode, Move, PairState, Receipt
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, NotSynchronised, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import decode_hook

FAULTS = {
    Wrong.SPLIT_HANGS: "split:hang",
    Wrong.SPLIT_HANGS_AFTER: "split:hang-after",
    Wrong.SPLIT_IS_REFUSED: "split:fail",
    Wrong.QUERY_HANGS: "query:hang",
    Wrong.UNKNOWN_WORD: "query:unknown-word",
    Wrong.ESTABLISH_HANGS: "establish:hang",
}


class SimulatorStage(Stage):
    """A tree of one file; copying is quick."""

    group = "erp"
    is_tracking = False

    def __init__(self, folder: Path, family: str) -> None:
        self.folder, self.family = folder, family
        self.faults: list[str] = []
        (folder / "data").mkdir()

    def array(self) -> Simulator:
        group = {"pairs": 2, "size": "10MiB", "changed": "1MiB", "rate": "100MiB", "tree": str(self.folder / "data")}
        options = {"family": self.family, "settles": "50ms", "faults": self.faults, "groups": {"erp": group}}
        return Simulator("sim", decoded(options), LocalHost(), self.folder / "state")

    def write(self, value: bytes) -> None:
        (self.folder / "data" / "value").write_bytes(value)

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        assert exposed.kind == "tree"
        return ((Path(exposed.paths[0]) / "value").read_bytes(),)

    def wrong(self, what: Wrong) -> None:
        if what not in FAULTS:
            super().wrong(what)
        self.faults = [FAULTS[what]]

    def mend(self) -> None:
        self.faults = []


class TestMirrorSimulator(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SimulatorStage(folder, "mirror")


class TestPointInTimeSimulator(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return SimulatorStage(folder, "point-in-time")


def decoded(options: object) -> Options:
    return msgspec.convert(options, Options, dec_hook=decode_hook)


def soon() -> Deadline:
    return Deadline.after(10)


class Clock:
    """A wall clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


def simulator(folder: Path, clock: Clock | None = None, **options: object) -> Simulator:
    groups = options.pop("groups", {"erp": {"pairs": 2, "size": "100MiB", "changed": "10MiB", "rate": "10MiB"}})
    return Simulator(
        "sim",
        decoded({"groups": groups, **{key.replace("_", "-"): value for key, value in options.items()}}),
        LocalHost(),
        folder,
        clock or time.time,
    )


def test_it_says_everywhere_that_no_data_is_protected(tmp_path: Path) -> None:
    sim = simulator(tmp_path)
    assert WARNING in sim.traits.source
    assert "no data is protected" in sim.restore_note(Receipt("sim", "erp", "run-1"))
    for move in Move:
        assert all(WARNING in action.what for action in sim.actions(move, "erp", "run-1"))


def test_copying_takes_as_long_as_size_and_rate_say(tmp_path: Path) -> None:
    clock = Clock()
    sim = simulator(tmp_path, clock)
    sim.establish("erp", Mode.FULL, soon())
    clock.now += 5
    halfway = sim.progress("erp", soon())
    assert not halfway.is_done
    assert halfway.fraction == pytest.approx(0.5)
    assert halfway.remaining == "50 MiB (simulated)"
    with pytest.raises(NotSynchronised, match="attaching"):
        sim.split(["erp"], "run-1", soon())
    clock.now += 5
    assert sim.progress("erp", soon()).is_done
    sim.split(["erp"], "run-1", soon())
    sim.establish("erp", Mode.INCREMENTAL, soon())
    clock.now += 1
    assert sim.progress("erp", soon()).is_done, "what changed is a tenth of it all"


def test_a_clock_that_was_set_back_only_makes_it_slower(tmp_path: Path) -> None:
    clock = Clock()
    sim = simulator(tmp_path, clock)
    sim.establish("erp", Mode.FULL, soon())
    clock.now -= 3600
    assert not sim.progress("erp", soon()).is_done
    clock.now += 3611
    assert sim.progress("erp", soon()).is_done


@pytest.mark.parametrize("begins", ["unpaired", "split", "synced"])
def test_it_begins_as_the_policy_says(tmp_path: Path, begins: str) -> None:
    sim = simulator(tmp_path, groups={"erp": {"begins": begins}})
    assert [pair.state for pair in sim.query("erp", soon())] == [PairState(begins)]


def test_an_unpaired_group_is_never_copied_incrementally(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="only a full copy"):
        simulator(tmp_path).establish("erp", Mode.INCREMENTAL, soon())


def test_an_array_that_tracks_nothing_splits_untracked(tmp_path: Path) -> None:
    sim = simulator(tmp_path, groups={"erp": {"begins": "synced"}}, tracks_changes=False)
    sim.split(["erp"], "run-1", soon())
    assert [pair.state for pair in sim.query("erp", soon())] == [PairState.SPLIT_UNTRACKED]


def test_without_a_tree_there_is_nothing_to_present(tmp_path: Path) -> None:
    sim = simulator(tmp_path, groups={"erp": {"begins": "synced"}})
    (receipt,) = sim.split(["erp"], "run-1", soon())
    with pytest.raises(Refused, match="moves no data"):
        sim.expose(receipt, soon())


def test_of_several_groups_none_is_split_when_one_is_not_in_sync(tmp_path: Path) -> None:
    sim = simulator(tmp_path, groups={"a": {"begins": "synced"}, "b": {"begins": "split"}})
    with pytest.raises(NotSynchronised, match="sim/b"):
        sim.split(["a", "b"], "run-1", soon())
    assert sim.query("a", soon())[0].state is PairState.SYNCED


def test_a_fault_that_happens_once_happens_once(tmp_path: Path) -> None:
    groups = {"erp": {"begins": "synced"}}
    with pytest.raises(CommandFailed, match="once"):
        simulator(tmp_path, groups=groups, faults=["split:fail-once"]).split(["erp"], "run-1", soon())
    (receipt,) = simulator(tmp_path, groups=groups, faults=["split:fail-once"]).split(["erp"], "run-1", soon())
    assert not receipt.is_again


def test_a_slow_split_is_slow_and_done(tmp_path: Path) -> None:
    began = time.monotonic()
    sim = simulator(tmp_path, groups={"erp": {"begins": "synced"}}, faults=["split:slow=200ms"])
    sim.split(["erp"], "run-1", soon())
    assert time.monotonic() - began >= 0.2
    assert sim.query("erp", soon())[0].state is PairState.SPLIT


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("split", "VERB:KIND"),
        ("reformat:hang", "VERB:KIND"),
        ("split:explode", "VERB:KIND"),
        ("split:slow", "duration"),
        ("split:slow=3", "duration"),
        ("split:hang=3s", "no answer"),
        ("split:unknown-word", "a word that nobody knows"),
    ],
)
def test_a_fault_that_is_none_is_refused_with_the_policy(fault: str, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        decoded({"faults": [fault], "groups": {"erp": {}}})


def test_the_catalogue_builds_it_and_its_state_outlives_the_object(tmp_path: Path) -> None:
    driver = ARRAYS["simulator"]()
    context = Context(secret=lambda reference: Secret(""), state_folder=str(tmp_path))
    options = decoded({"groups": {"erp": {"begins": "synced"}}})
    driver.make("sim", options, LocalHost(), context).split(["erp"], "run-1", soon())
    (pair,) = driver.make("sim", options, LocalHost(), context).query("erp", soon())
    assert (pair.state, pair.copy) == (PairState.SPLIT, "run-1")
