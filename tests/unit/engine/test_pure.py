"""The parts of the engine that only decide: moves, what a copy can be at best, coverage, parallel failures, signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from tests.fakes import MIRROR

from splitmirror import coverage, moves, parallel, planning
from splitmirror.giveup import GiveUp, listening
from splitmirror.parallel import Faults
from splitmirror.phases.survey import Covered
from splitmirror.rotation import needed_mode
from splitmirror_drivers.contracts.array import Family, Mode, Move, Pair, PairState, Source
from splitmirror_drivers.contracts.host import Blocks, EndsWith, Hold
from splitmirror_drivers.kit.errors import Fault, GivenUp, NotCovered, Refused

S = PairState
POINT = replace(MIRROR, family=Family.POINT, needs_sync=False, keeps_copies=True)


def pairs(*states: PairState) -> list[Pair]:
    return [Pair(f"p{number}", state, state.value) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "group"),
    [
        ([S.SYNCED, S.SYNCED], S.SYNCED),
        ([S.SYNCED, S.ATTACHING], S.ATTACHING),
        ([S.SYNCED, S.SPLIT], S.MIXED),
        ([S.SPLIT, S.BROKEN], S.MIXED),
        ([], S.UNKNOWN),
    ],
)
def test_a_group_is_what_all_its_pairs_share(states: list[PairState], group: PairState) -> None:
    assert moves.group_state(pairs(*states), MIRROR) is group


@pytest.mark.parametrize(
    ("old", "group"),
    [(S.SPLIT, S.PREPARED), (S.SPLIT_UNTRACKED, S.PREPARED), (S.BROKEN, S.PREPARED), (S.UNKNOWN, S.MIXED)],
)
def test_an_old_copy_that_broke_stands_in_no_new_ones_way(old: PairState, group: PairState) -> None:
    volume, copy = Pair("vg/data", S.PREPARED, "thin"), Pair("vg/data", old, "its word", copy="20261101")
    assert moves.group_state([volume, copy], POINT) is group
    assert moves.group_state([volume, copy], POINT, "20261101") is old


def test_a_volume_that_broke_is_split_no_more() -> None:
    broken = [Pair("vg/data", S.BROKEN, "suspended"), Pair("vg/data", S.SPLIT, "thin", copy="20261101")]
    with pytest.raises(Refused, match="no move is made"):
        moves.require(Move.SPLIT, "lvm/vg", broken, POINT)


@pytest.mark.parametrize("state", [S.BROKEN, S.UNKNOWN, S.RESTORING, S.SPLITTING, S.UNPAIRED, S.ATTACHING, S.SPLIT])
def test_a_split_is_refused_from_anything_but_in_sync(state: PairState) -> None:
    with pytest.raises(Refused, match=state.value):
        moves.require(Move.SPLIT, "symm/a", pairs(state), MIRROR)


@pytest.mark.parametrize("state", [S.BROKEN, S.UNKNOWN, S.RESTORING])
@pytest.mark.parametrize("move", list(Move))
def test_no_move_at_all_is_made_from_a_state_nobody_can_vouch_for(state: PairState, move: Move) -> None:
    with pytest.raises(Refused, match="no move is made"):
        moves.require(move, "symm/a", pairs(state), MIRROR)


def test_incremental_never_becomes_full_silently() -> None:
    assert needed_mode(S.SPLIT, needs_sync=True, tracks=True) is Mode.INCREMENTAL
    assert needed_mode(S.SPLIT_UNTRACKED, needs_sync=True, tracks=True) is Mode.FULL
    with pytest.raises(Refused):
        moves.require(Move.ESTABLISH, "symm/a", pairs(S.SPLIT_UNTRACKED), MIRROR, mode=Mode.INCREMENTAL)


PLACE = Covered("db1", "/data/pg/base", "/data", "/dev/sdb", "ext4")


@pytest.mark.parametrize(
    ("source", "is_covered"),
    [
        (Source("device", "/dev/sdb"), True),
        (Source("device", "/dev/sdc"), False),
        (Source("path", "/data/pg", "db1"), True),
        (Source("path", "/data/pg", "db2"), False),
        (Source("path", "/data/p", "db1"), False),
        (Source("path", "/", "db1"), False),
        (Source("path", "/data", "db1"), True),
    ],
)
def test_a_file_is_covered_by_its_device_or_by_a_tree_without_a_mount_between(source: Source, is_covered: bool) -> None:
    assert coverage.is_covered(PLACE, [source]) is is_covered


def test_a_file_outside_is_named_with_what_is_mirrored() -> None:
    with pytest.raises(NotCovered, match="erp: /data/pg/base on db1 does not lie on the mirror symm/a") as caught:
        coverage.require("erp", [PLACE], [Source("device", "/dev/sdz")], "symm/a")
    assert "/dev/sdz" in caught.value.detail


def test_every_parallel_failure_is_kept() -> None:
    def work(number: int) -> int:
        if number % 2:
            raise Fault(f"number {number} failed")
        return number

    with pytest.raises(Faults) as caught:
        parallel.each(work, range(5))
    assert [str(fault) for fault in caught.value.all] == ["number 1 failed", "number 3 failed"]


def test_a_failure_that_is_no_fault_is_not_dressed_up_as_one() -> None:
    def work(number: int) -> int:
        return 1 // number

    with pytest.raises(ExceptionGroup):
        parallel.each(work, [0, 1])


def test_a_signal_wakes_a_wait_at_once_and_only_the_first_counts() -> None:
    give_up = GiveUp()
    with listening(give_up):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(GivenUp, match="SIGTERM"):
            give_up.wait(20)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(GivenUp, match="SIGTERM"):
            give_up.check()
    assert time.monotonic() - began < 10


def test_two_names_of_one_machine_see_the_same_trees_and_a_machine_that_cannot_say_is_nobody_else() -> None:
    source = Source("path", "/data/pg", "local")
    machines = {"local": "boot-1 ns-1", "db1": "boot-1 ns-1", "db2": "boot-2 ns-1"}
    assert coverage.as_seen(source, "db1", machines).host == "db1"
    assert coverage.as_seen(source, "db2", machines).host == "local"
    assert coverage.as_seen(source, "db3", machines).host == "local"
    assert coverage.as_seen(source, "db1", {}).host == "local"


def test_a_plan_stays_readable_when_a_program_is_sent_as_one_word() -> None:
    step = planning._says(
        Hold("h", "sqlite", ("exec(" + "x" * 5000 + ")", "/data/shop.db"), Blocks.WRITES, EndsWith.SESSION), "enter"
    )
    assert len(step) < 200
    assert "(5006 characters)" in step
    assert "/data/shop.db [writes wait]" in step
