"""btrfs snapshots as an array, on a real btrfs: every move, every crash, and what must be refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.contracts.array import ArrayContract, Wrong
from tests.contracts.array import Stage as ArrayStage
from tests.contracts.presentation import soon
from tests.lab.disks import Disks, freeze, opened, run, thaw
from tests.lab.need import need

from splitmirror_drivers.arrays.btrfs import Btrfs, Group, Options
from splitmirror_drivers.contracts.array import Exposed, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, Refused
from splitmirror_drivers.presentation.mount import Mount
from splitmirror_drivers.presentation.mount import Options as MountOptions

pytestmark = pytest.mark.lab

RUN = "erp-20261124-220000-1"


@dataclass
class Stage:
    """A btrfs with a subvolume ``data`` and a folder ``copies``."""

    top: Path
    array: Btrfs

    @property
    def data(self) -> Path:
        return self.top / "data"

    @property
    def copies(self) -> Path:
        return self.top / "copies"

    def split(self, copy: str = RUN) -> Receipt:
        (receipt,) = self.array.split(["data"], copy, soon())
        return receipt

    def standing(self) -> list[str]:
        return [pair.copy for pair in self.array.query("data", soon()) if pair.state is PairState.SPLIT]


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    need("losetup", "mkfs.btrfs", "btrfs", "fsfreeze", loop=True)
    with Disks(tmp_path) as made:
        yield made


@pytest.fixture
def stage(disks: Disks, tmp_path: Path) -> Stage:
    top = disks.make("btrfs", "pool").point
    run("btrfs", "subvolume", "create", str(top / "data"))
    (top / "copies").mkdir()
    (top / "data" / "rows").write_text("1\n")
    host = LocalHost("db1", HostOptions(guard_dir=str(tmp_path / "state")))
    groups = {"data": Group(subvolume=str(top / "data"), snapshots=str(top / "copies"))}
    return Stage(top, Btrfs("pool", Options(groups=groups), host))


FAULTY = """#!/bin/sh
wrong=$(cat "$0.wrong" 2>/dev/null)
case $wrong:$2 in
hangs:snapshot | silent:show | silent:list) exec sleep 600 ;;
hangs-after:snapshot) btrfs "$@"; exec sleep 600 ;;
refused:snapshot) echo "ERROR: no" >&2; exit 1 ;;
word:show) btrfs "$@" | sed 's/\\(Flags:[[:space:]]*\\).*/\\1sideways/'; exit ;;
esac
exec btrfs "$@"
"""
WORDS = {
    Wrong.SPLIT_HANGS: "hangs",
    Wrong.SPLIT_HANGS_AFTER: "hangs-after",
    Wrong.SPLIT_IS_REFUSED: "refused",
    Wrong.QUERY_HANGS: "silent",
    Wrong.UNKNOWN_WORD: "word",
}


class ContractStage(ArrayStage):
    """The group ``data``; what goes wrong goes wrong in a program that stands before btrfs."""

    group = "data"
    is_tracking = False

    def __init__(self, folder: Path) -> None:
        self.disks = Disks(folder)
        self.top = self.disks.make("btrfs", "pool").point
        run("btrfs", "subvolume", "create", str(self.top / "data"))
        (self.top / "copies").mkdir()
        self.program = folder / "faulty-btrfs"
        self.program.write_text(FAULTY)
        self.program.chmod(0o755)
        self.host = LocalHost("db1", HostOptions(guard_dir=str(folder / "state")))

    def array(self) -> Btrfs:
        groups = {"data": Group(subvolume=str(self.top / "data"), snapshots=str(self.top / "copies"))}
        return Btrfs("pool", Options(groups=groups, btrfs=str(self.program)), self.host)

    def write(self, value: bytes) -> None:
        (self.top / "data" / "value").write_bytes(value)

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        return ((Path(exposed.paths[0]) / "value").read_bytes(),)

    def wrong(self, what: Wrong) -> None:
        if what not in WORDS:
            super().wrong(what)
        Path(f"{self.program}.wrong").write_text(WORDS[what])

    def mend(self) -> None:
        Path(f"{self.program}.wrong").unlink()

    def close(self) -> None:
        self.disks.clean_up()


class TestContract(ArrayContract):
    def make(self, folder: Path) -> ArrayStage:
        need("losetup", "mkfs.btrfs", "btrfs", loop=True)
        return ContractStage(folder)


def test_every_move_from_prepared_to_discarded(stage: Stage) -> None:
    (prepared,) = stage.array.query("data", soon())
    assert (prepared.state, prepared.primary) == (PairState.PREPARED, str(stage.data))
    assert stage.array.sources("data", soon()) == (Source("path", str(stage.data), "db1"),)
    stage.array.establish("data", Mode.INCREMENTAL, soon())
    assert stage.array.progress("data", soon()).is_done
    receipt = stage.split()
    assert (receipt.array, receipt.group, receipt.copy, receipt.is_again) == ("pool", "data", RUN, False)
    (stage.data / "rows").write_text("2\n")
    assert stage.array.settle(receipt, soon()).is_done
    exposed = stage.array.expose(receipt, soon())
    assert (exposed.kind, exposed.host) == ("tree", "db1")
    assert (Path(exposed.paths[0]) / "rows").read_text() == "1\n"
    with pytest.raises(OSError, match="Read-only"):
        (Path(exposed.paths[0]) / "rows").write_text("3\n")
    assert stage.standing() == [RUN]
    for _ in range(2):
        stage.array.unexpose(receipt, soon())
        stage.array.discard(receipt, soon())
    assert stage.standing() == []
    assert (stage.data / "rows").read_text() == "2\n"


def test_data_that_is_not_on_disk_yet_is_in_the_copy(stage: Stage) -> None:
    with (stage.data / "fresh").open("w") as file:
        file.write("in memory only")
        file.flush()
        stage.split()
    assert (stage.copies / RUN / "fresh").read_text() == "in memory only"


SYNCED_WRITER = """
import os, sys
log = os.open(sys.argv[1] + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
last = os.open(sys.argv[1] + "/last", os.O_WRONLY | os.O_CREAT)
for number in range(1000000):
    os.write(log, b"%08d\\n" % number); os.fsync(log)
    os.pwrite(last, b"%08d\\n" % number, 0); os.fsync(last)
    if number == 20: print("ready", flush=True)
"""


def test_copy_keeps_the_order_of_what_is_synced(stage: Stage) -> None:
    """What a database relies on: its log is never behind its data. Writes that nobody synced have no such order."""
    argv = [sys.executable, "-c", SYNCED_WRITER, str(stage.data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            for number in range(20):
                stage.split(f"copy-{number}")
        finally:
            writer.kill()
    lengths = []
    for number in range(20):
        copy = stage.copies / f"copy-{number}"
        log = (copy / "log").read_text().splitlines()
        assert [int(line) for line in log] == list(range(len(log)))
        assert len(log) - 2 <= int((copy / "last").read_text()) <= len(log) - 1
        lengths.append(len(log))
    assert sorted(lengths) == lengths, "no copy is of an earlier moment than the one before"
    assert lengths[0] < lengths[-1]


def test_split_after_a_crash_says_that_it_was_done_already(stage: Stage) -> None:
    stage.split()
    (stage.data / "rows").write_text("2\n")
    again = stage.split()
    assert again.is_again
    assert (stage.copies / RUN / "rows").read_text() == "1\n"
    assert sorted(path.name for path in stage.copies.iterdir()) == [RUN]
    assert sorted(path.name for path in (stage.copies / RUN).iterdir()) == ["rows"]


def test_receipt_of_an_intent_alone_is_enough_to_discard(stage: Stage) -> None:
    stage.split()
    intended = Receipt("pool", "data", RUN)
    stage.array.discard(intended, soon())
    stage.array.discard(intended, soon())
    assert stage.standing() == []


@pytest.mark.parametrize("what", ["folder", "file", "other subvolume", "writable snapshot"])
def test_name_that_is_taken_is_refused_and_neither_overwritten_nor_deleted(what: str, stage: Stage) -> None:
    path = stage.copies / RUN
    if what == "folder":
        path.mkdir()
        (path / "notes").write_text("mine")
    elif what == "file":
        path.write_text("mine")
    elif what == "other subvolume":
        run("btrfs", "subvolume", "create", str(path))
    else:
        run("btrfs", "subvolume", "snapshot", str(stage.data), str(path))
    before = sorted(os.walk(stage.copies))
    with pytest.raises((Refused, CommandFailed), match=RUN):
        stage.array.stand_by(["data"], RUN, soon())
        stage.split()
    for move in (stage.array.discard, stage.array.expose, stage.array.settle):
        with pytest.raises((Refused, CommandFailed), match=RUN):
            move(Receipt("pool", "data", RUN), soon())
    assert sorted(os.walk(stage.copies)) == before
    assert stage.standing() == []


def test_snapshot_of_another_subvolume_is_never_deleted(stage: Stage) -> None:
    run("btrfs", "subvolume", "create", str(stage.top / "other"))
    run("btrfs", "subvolume", "snapshot", "-r", str(stage.top / "other"), str(stage.copies / RUN))
    with pytest.raises(Refused, match="not a read-only snapshot"):
        stage.array.discard(Receipt("pool", "data", RUN), soon())
    assert (stage.copies / RUN).exists()
    assert stage.standing() == []


@pytest.mark.parametrize("copy", ["../data", "a/b", ".", "", "-c", "a b"])
def test_name_that_leads_elsewhere_is_refused(copy: str, stage: Stage) -> None:
    receipt = Receipt("pool", "data", copy)
    with pytest.raises(Refused, match="not the name of a copy"):
        stage.split(copy)
    with pytest.raises(Refused, match="not the name of a copy"):
        stage.array.discard(receipt, soon())


@pytest.mark.parametrize("within", ["nested", "deep/er"])
def test_nested_subvolume_is_refused_by_name(within: str, stage: Stage) -> None:
    (stage.data / within).parent.mkdir(exist_ok=True)
    run("btrfs", "subvolume", "create", str(stage.data / within))
    for ask in (stage.array.sources, stage.array.query):
        with pytest.raises(Refused, match=f"{stage.data}/{within} is a subvolume of its own"):
            ask("data", soon())


def test_copies_may_stand_in_a_folder_of_the_subvolume_itself(stage: Stage) -> None:
    """A database on the top of a btrfs has nowhere else for them."""
    inside = stage.top / "copies"
    array = Btrfs(
        "pool",
        Options(groups={"all": Group(subvolume=str(stage.top), snapshots=str(inside))}),
        stage.array.host,
    )
    with pytest.raises(Refused, match="subvolume of its own"):
        array.sources("all", soon())
    run("btrfs", "subvolume", "delete", str(stage.data))
    (stage.top / "rows").write_text("1\n")
    for name in ("first", "second"):
        array.split(["all"], name, soon())
        array.sources("all", soon())
    assert [pair.copy for pair in array.query("all", soon())] == ["", "first", "second"]


def test_subvolume_that_is_mounted_by_itself_is_a_group(stage: Stage, disks: Disks) -> None:
    point = disks.folder / "mounted"
    point.mkdir()
    device = run("findmnt", "-n", "-o", "SOURCE", str(stage.top))
    run("mount", "-o", "subvol=data", device, str(point))
    groups = {"data": Group(subvolume=str(point), snapshots=str(stage.copies))}
    array = Btrfs("pool", Options(groups=groups), stage.array.host)
    assert array.sources("data", soon()) == (Source("path", str(point), "db1"),)
    array.split(["data"], RUN, soon())
    assert (stage.copies / RUN / "rows").read_text() == "1\n"
    run("btrfs", "subvolume", "create", str(point / "nested"))
    with pytest.raises(Refused, match=f"{point}/nested"):
        array.query("data", soon())


def test_snapshots_folder_on_another_filesystem_is_refused_before_the_night(stage: Stage, disks: Disks) -> None:
    groups = {"data": Group(subvolume=str(stage.data), snapshots=str(disks.folder))}
    with pytest.raises(Refused, match="not on the same btrfs"):
        Btrfs("pool", Options(groups=groups), stage.array.host).sources("data", soon())


def test_snapshots_folder_that_anybody_may_write_to_is_refused(stage: Stage) -> None:
    stage.copies.chmod(0o777)
    with pytest.raises(Refused, match="anybody may write"):
        stage.array.sources("data", soon())


def test_what_is_not_a_subvolume_is_a_fault_that_names_it(stage: Stage) -> None:
    groups = {"data": Group(subvolume=str(stage.copies), snapshots=str(stage.top))}
    with pytest.raises(CommandFailed, match=str(stage.copies)) as caught:
        Btrfs("pool", Options(groups=groups), stage.array.host).query("data", soon())
    assert "Not a Btrfs subvolume" in caught.value.detail


def test_copy_that_somebody_reads_is_not_deleted(stage: Stage) -> None:
    """btrfs itself would delete it without a word."""
    receipt = stage.split()
    with opened(stage.copies / RUN / "rows") as pid, pytest.raises(InUse, match=f"pid {pid}"):
        stage.array.discard(receipt, soon())
    stage.array.discard(receipt, soon())


def test_copy_that_is_mounted_elsewhere_is_not_deleted(stage: Stage, disks: Disks) -> None:
    """btrfs itself would delete it without a word."""
    receipt = stage.split()
    above = disks.folder / "backup"
    above.mkdir()
    mount = Mount(str(above / "erp"), MountOptions(), stage.array.host)
    intent = mount.intend(stage.array.expose(receipt, soon()), RUN, is_frozen=False)
    mount.present(intent, soon())
    mount.verify(intent, soon())
    with pytest.raises(InUse, match="backup/erp"):
        stage.array.discard(receipt, soon())
    mount.withdraw(intent, soon())
    stage.array.discard(receipt, soon())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the command cannot be ended by anybody
def test_frozen_btrfs_makes_its_snapshot_only_after_the_thaw(stage: Stage) -> None:
    """Why `allows_freeze` is false: the call waits where no signal reaches it, and what it makes is of a later moment."""
    assert not stage.array.traits.allows_freeze
    freeze(stage.top)
    try:
        with pytest.raises(DeadlinePassed):
            stage.array.split(["data"], RUN, Deadline.after(1.0))
        assert not (stage.copies / RUN).exists()
    finally:
        thaw(stage.top)
    deadline = time.monotonic() + 30
    while not (stage.copies / RUN).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stage.array.discard(Receipt("pool", "data", RUN), soon())


def test_plan_prints_the_command_that_split_runs(stage: Stage) -> None:
    (action,) = stage.array.actions(Move.SPLIT, "data", RUN)
    assert action.what == f"btrfs subvolume snapshot -r {stage.data} {stage.copies}/{RUN}"
    run(*action.what.split())
    assert stage.standing() == [RUN]
    run(*action.undo.split())
    (action,) = stage.array.actions(Move.DISCARD, "data", RUN)
    assert "delete" in action.what


def test_restore_note_works_as_written(stage: Stage) -> None:
    receipt = stage.split()
    (stage.data / "rows").write_text("broken\n")
    note = stage.array.restore_note(receipt)
    commands = [part for number, part in enumerate(note.split("`")) if number % 2]
    for command in commands:
        run(*command.split())
    assert (stage.data / "rows").read_text() == "1\n"
    with pytest.raises(Refused, match="not a read-only snapshot"):
        stage.array.discard(receipt, soon())
