"""The directory mirror as a driver: what it refuses, what it says after a crash at any point, its worker, its estimate."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.arrays.trees import GROUP, establish, eventually, mirror_of, snapshot, soon, split, word, written

from splitmirror_drivers.arrays import directory_rules as rules
from splitmirror_drivers.arrays import directory_worker as worker
from splitmirror_drivers.arrays.directory import DirectoryMirror, Group, Options
from splitmirror_drivers.arrays.directory_file import Account
from splitmirror_drivers.arrays.directory_pass import Pass
from splitmirror_drivers.arrays.directory_place import State, Word
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Atomic, Family, Mode, Move, PairState, Receipt, Source
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    InUse,
    NotSynchronised,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.units import Duration

MIB = 2**20
S = PairState


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with a large file and a small one."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "bulk").write_bytes(os.urandom(3 * MIB))
    (folder / "value").write_bytes(b"one")
    return folder


@pytest.fixture
def array(tmp_path: Path, source: Path) -> DirectoryMirror:
    """Never established."""
    return mirror_of(tmp_path)


@pytest.fixture
def ready(array: DirectoryMirror) -> DirectoryMirror:
    """In sync."""
    establish(array, Mode.FULL)
    return array


def state(array: DirectoryMirror) -> PairState:
    return array.query(GROUP, soon())[0].state


def change(array: DirectoryMirror, **values: object) -> None:
    """Rewrite the state file as a process that died would have left it."""
    place = array.place(GROUP)
    known = place.read()
    assert known is not None
    place.write(msgspec.structs.replace(known, **values))


# -- what it is --


def test_its_traits_say_what_a_copied_tree_is(array: DirectoryMirror) -> None:
    traits = array.traits
    assert (traits.family, traits.atomic) == (Family.MIRROR, Atomic.NOTHING)
    assert traits.needs_sync
    assert traits.tracks_copy_writes
    assert not traits.keeps_copies


def test_on_one_filesystem_the_source_may_not_be_frozen(array: DirectoryMirror) -> None:
    assert not array.traits.allows_freeze


def test_its_source_is_the_real_path_on_its_host(tmp_path: Path, source: Path) -> None:
    (tmp_path / "by-link").symlink_to(tmp_path)
    groups = {GROUP: Group(source=str(tmp_path / "by-link" / "source"), mirror=str(tmp_path / "mirror"))}
    array = DirectoryMirror("tree", Options(groups=groups), "backup1")
    assert array.sources(GROUP, soon()) == (Source("path", str(source), "backup1"),)


class Elsewhere(LocalHost):
    is_local = False


def test_a_tree_of_another_host_is_refused(tmp_path: Path, source: Path) -> None:
    context = Context(secret=lambda reference: pytest.fail("no secret is needed"), state_folder=str(tmp_path))
    with pytest.raises(PolicyFault, match="not of db1"):
        DirectoryMirror.from_options("tree", Options(groups={}), Elsewhere("db1"), context)


@pytest.mark.parametrize("state", ["source/state", "source", "mirror/state", "by-link/state"])
def test_a_tree_with_our_own_journal_in_it_is_refused(tmp_path: Path, source: Path, state: str) -> None:
    (tmp_path / "by-link").symlink_to(source)
    context = Context(secret=lambda reference: pytest.fail("no secret is needed"), state_folder=str(tmp_path / state))
    with pytest.raises(PolicyFault, match="our own state folder"):
        DirectoryMirror.from_options("tree", mirror_of(tmp_path).options, LocalHost("local"), context)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": ("data", "/mirror")}, "from the root on"),
        ({"a": ("/data", "/data/mirror")}, "one inside the other"),
        ({"a": ("/data/db", "/data")}, "one inside the other"),
        ({"a": ("/data", "/x/../data/")}, "one inside the other"),
        ({"a": ("/data/a", "/mirror"), "b": ("/data/b", "/mirror/")}, "same mirror"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_before_anything_is_touched(
    groups: dict[str, tuple[str, str]], said: str
) -> None:
    options = Options(groups={name: Group(source=source, mirror=mirror) for name, (source, mirror) in groups.items()})
    with pytest.raises(PolicyFault, match=said):
        DirectoryMirror("tree", options)


# -- what it refuses --


def test_somebody_elses_folder_is_never_overwritten(array: DirectoryMirror, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "precious").write_bytes(b"precious")
    assert (state(array), word(array)) == (S.UNPAIRED, "foreign tree")
    with pytest.raises(Refused, match="not empty and not a mirror of ours"):
        array.establish(GROUP, Mode.FULL, soon())
    assert (tmp_path / "mirror" / "precious").read_bytes() == b"precious"
    assert word(array) == "foreign tree"


def test_a_folder_that_took_the_mirrors_place_is_never_overwritten(ready: DirectoryMirror, tmp_path: Path) -> None:
    (tmp_path / "mirror").rename(tmp_path / "kept")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "precious").write_bytes(b"precious")
    assert (state(ready), word(ready)) == (S.UNPAIRED, "another tree")
    for mode in Mode:
        with pytest.raises(Refused, match="not a mirror of ours"):
            ready.establish(GROUP, mode, soon())
    assert (tmp_path / "mirror" / "precious").read_bytes() == b"precious"


def test_an_empty_folder_is_taken_as_the_mirror(array: DirectoryMirror, source: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir(mode=0o755)
    establish(array, Mode.FULL)
    assert snapshot(tmp_path / "mirror") == snapshot(source)


def test_what_was_never_made_is_not_made_by_an_incremental_establish(array: DirectoryMirror, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="never been made"):
        array.establish(GROUP, Mode.INCREMENTAL, soon())
    assert not (tmp_path / "mirror").exists()


def test_an_unmounted_source_does_not_empty_the_mirror(ready: DirectoryMirror, source: Path, tmp_path: Path) -> None:
    source.rename(tmp_path / "unmounted")
    source.mkdir()
    assert (state(ready), word(ready)) == (S.UNPAIRED, "another source")
    with pytest.raises(Refused, match="not what was mirrored before"):
        ready.establish(GROUP, Mode.INCREMENTAL, soon())
    with pytest.raises(NotSynchronised):
        split(ready)
    assert (tmp_path / "mirror" / "value").read_bytes() == b"one"


def test_a_source_that_is_suddenly_empty_does_not_empty_the_mirror(
    ready: DirectoryMirror, source: Path, tmp_path: Path
) -> None:
    for path in source.iterdir():
        path.unlink()
    with pytest.raises(Refused, match="is empty, and not what was mirrored before") as caught:
        ready.establish(GROUP, Mode.INCREMENTAL, soon())
    assert "is it mounted" in caught.value.hint
    assert (tmp_path / "mirror" / "value").read_bytes() == b"one"


def test_a_split_copy_stays_good_when_its_source_is_replaced_but_is_tracked_no_more(
    ready: DirectoryMirror, source: Path
) -> None:
    split(ready)
    source.rename(source.with_name("away"))
    assert state(ready) is S.SPLIT
    source.mkdir()
    assert state(ready) is S.SPLIT_UNTRACKED


def test_a_missing_source_is_told(ready: DirectoryMirror, source: Path) -> None:
    source.rename(source.with_name("away"))
    assert (state(ready), word(ready)) == (S.UNKNOWN, "source missing")
    with pytest.raises(Refused, match="is not a folder"):
        ready.establish(GROUP, Mode.INCREMENTAL, soon())


def test_a_source_that_is_a_link_is_refused(array: DirectoryMirror, source: Path) -> None:
    source.rename(source.with_name("elsewhere"))
    source.symlink_to(source.with_name("elsewhere"))
    with pytest.raises(Refused, match="is not a folder") as caught:
        array.establish(GROUP, Mode.FULL, soon())
    assert "link" in caught.value.detail


def test_links_that_lead_source_and_mirror_into_each_other_are_found(tmp_path: Path, source: Path) -> None:
    (tmp_path / "by-link").symlink_to(source)
    groups = {GROUP: Group(source=str(source), mirror=str(tmp_path / "by-link" / "mirror"))}
    with pytest.raises(Refused, match="one inside the other"):
        DirectoryMirror("tree", Options(groups=groups)).establish(GROUP, Mode.FULL, soon())


MOUNTED = "36 35 98:0 / {point} rw,noatime shared:1 - {kind} /dev/x rw\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([("{source}/inside", "ext4")], "is mounted inside"),
        ([("{mirror}/inside", "ext4")], "is mounted inside"),
        ([("{source}/with\\040blank", "ext4")], "with blank is mounted inside"),
        ([("/", "ext4"), ("{source}", "nfs4")], r"network filesystem \(nfs4\)"),
        ([("/", "cifs")], r"network filesystem \(cifs\)"),
        ([("/", "ext4"), ("{folder}", "fuse.sshfs")], r"network filesystem \(fuse.sshfs\)"),
    ],
)
def test_mounts_inside_and_network_filesystems_are_refused(
    array: DirectoryMirror,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: list[tuple[str, str]],
    said: str,
) -> None:
    names = {"source": str(source), "mirror": str(tmp_path / "mirror"), "folder": str(tmp_path)}
    lines = [MOUNTED.format(point=point.format(**names), kind=kind) for point, kind in table]
    (tmp_path / "mountinfo").write_text("".join(lines))
    monkeypatch.setattr(rules, "MOUNTS", tmp_path / "mountinfo")
    with pytest.raises(Refused, match=said):
        array.establish(GROUP, Mode.FULL, soon())


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs"])
def test_local_filesystems_are_not_refused(
    array: DirectoryMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTED.format(point="/", kind=kind))
    monkeypatch.setattr(rules, "MOUNTS", tmp_path / "mountinfo")
    establish(array, Mode.FULL)


def test_a_copy_that_is_presented_elsewhere_is_not_made_anew(ready: DirectoryMirror, tmp_path: Path) -> None:
    receipt = split(ready)
    (tmp_path / "mirror").rename(tmp_path / "presented")
    assert state(ready) is S.SPLIT
    for mode in Mode:
        with pytest.raises(InUse, match="it may still be presented"):
            ready.establish(GROUP, mode, soon())
    assert not (tmp_path / "mirror").exists()
    (tmp_path / "presented").rename(tmp_path / "mirror")
    assert ready.settle(receipt, soon()).is_done
    establish(ready)


def test_a_mirror_that_is_gone_needs_a_full_copy(ready: DirectoryMirror, source: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "mirror")
    assert (state(ready), word(ready)) == (S.UNPAIRED, "tree missing")
    with pytest.raises(Refused, match="is gone"):
        ready.establish(GROUP, Mode.INCREMENTAL, soon())
    establish(ready, Mode.FULL)
    assert snapshot(tmp_path / "mirror") == snapshot(source)


def test_a_receipt_of_another_copy_is_refused(ready: DirectoryMirror) -> None:
    split(ready, "run-2")
    for ask in (ready.expose, ready.settle):
        with pytest.raises(Refused, match="does not carry the copy run-1"):
            ask(Receipt("tree", GROUP, "run-1"), soon())


# -- states, and crashes --


def test_a_state_file_that_is_damaged_is_unknown_and_nothing_is_done(ready: DirectoryMirror, tmp_path: Path) -> None:
    path = tmp_path / "mirror.state.json"
    for content in (b"", b"{", b'{"word": "synced"}', b"\xff\x00", path.read_bytes()[:-20]):
        path.write_bytes(content)
        assert (state(ready), word(ready)) == (S.UNKNOWN, "damaged state file")
        for mode in Mode:
            with pytest.raises(UnknownAnswer, match="is damaged") as caught:
                ready.establish(GROUP, mode, soon())
            assert "establish --full" in caught.value.hint
        with pytest.raises(NotSynchronised):
            split(ready)


@pytest.mark.parametrize(
    ("left", "complete", "wanted", "said"),
    [
        (Word.COPYING, False, S.UNPAIRED, "interrupted"),
        (Word.COPYING, True, S.ATTACHING, "interrupted"),
        (Word.SPLITTING, True, S.ATTACHING, "interrupted"),
        (Word.FAILED, False, S.UNPAIRED, "failed"),
        (Word.FAILED, True, S.ATTACHING, "failed"),
    ],
)
def test_what_a_process_that_died_left_is_never_in_sync(
    ready: DirectoryMirror, left: Word, complete: bool, wanted: PairState, said: str
) -> None:
    change(ready, word=left, is_complete=complete)
    assert (state(ready), word(ready)) == (wanted, said)
    with pytest.raises(NotSynchronised):
        split(ready)
    with pytest.raises(Fault):
        ready.progress(GROUP, soon())


def test_a_crash_during_the_split_is_repaired_incrementally(
    ready: DirectoryMirror, source: Path, tmp_path: Path
) -> None:
    (source / "value").write_bytes(b"two")
    change(ready, word=Word.SPLITTING, copy="run-1", is_settled=False)
    (tmp_path / "mirror" / "value").write_bytes(b"half of tw")
    (tmp_path / "mirror.split-manifest.part").write_bytes(b"half of a line")
    establish(ready)
    assert written(ready) < MIB
    split(ready)
    assert snapshot(tmp_path / "mirror") == snapshot(source)


def test_a_crash_between_split_and_settle_loses_nothing(ready: DirectoryMirror, source: Path, tmp_path: Path) -> None:
    """Then the manifest is the one from before the split, and what the split copied is compared again."""
    (source / "value").write_bytes(b"two")
    split(ready)
    assert (tmp_path / "mirror.split-manifest").exists()
    (tmp_path / "mirror" / "value").write_bytes(b"2wo")  # what a lost power supply may leave of it
    establish(ready)
    assert not (tmp_path / "mirror.split-manifest").exists()
    split(ready, "run-2")
    assert snapshot(tmp_path / "mirror") == snapshot(source)


def test_trees_are_in_sync_only_for_a_while(tmp_path: Path, ready: DirectoryMirror) -> None:
    assert state(ready) is S.SYNCED
    late = mirror_of(tmp_path, fresh=Duration(0))
    assert (state(late), word(late)) == (S.ATTACHING, "behind")
    with pytest.raises(NotSynchronised, match="behind"):
        split(late)
    with pytest.raises(NotSynchronised, match="behind"):
        late.progress(GROUP, soon())


def test_a_restart_of_the_machine_ends_being_in_sync(ready: DirectoryMirror) -> None:
    change(ready, boot="another boot")
    assert (state(ready), word(ready)) == (S.ATTACHING, "behind")
    establish(ready)
    assert state(ready) is S.SYNCED


def test_one_run_does_not_take_anothers_copy_for_its_own(ready: DirectoryMirror) -> None:
    split(ready, "run-1")
    with pytest.raises(NotSynchronised):
        split(ready, "run-2")
    assert split(ready, "run-1").is_again


# -- the worker --


def held_back(ready: DirectoryMirror, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make the worker wait in its first pass until what is returned is called."""
    gate_read, gate = os.pipe()
    let_go, run = worker._let_go, Pass.run

    def keeping_the_gate(lock: int) -> None:
        kept = os.dup2(gate_read, 9)
        os.set_inheritable(kept, False)
        let_go(lock)

    def waiting(self: Pass) -> Account:
        os.read(9, 1)
        return run(self)

    monkeypatch.setattr(worker, "FIRST_KEPT", 10)
    monkeypatch.setattr(worker, "_let_go", keeping_the_gate)
    monkeypatch.setattr(Pass, "run", waiting)
    monkeypatch.setattr(os, "closerange", lambda low, high: None)

    def go() -> None:
        os.write(gate, b"xxxxxxxx")

    return go


def worker_of(array: DirectoryMirror) -> int:
    """The process that holds the mirror's lock."""
    lock = array.place(GROUP).beside("lock")
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name != str(os.getpid()):
            try:
                if any(link.readlink() == lock for link in (folder / "fd").iterdir()):
                    return int(folder.name)
            except OSError:
                continue
    return 0


def test_while_the_worker_copies_nothing_else_is_done(ready: DirectoryMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    go = held_back(ready, monkeypatch)
    ready.establish(GROUP, Mode.INCREMENTAL, soon())
    assert (state(ready), word(ready)) == (S.ATTACHING, "copying")
    assert not ready.progress(GROUP, soon()).is_done
    ready.establish(GROUP, Mode.INCREMENTAL, soon(1))  # runs already
    with pytest.raises(NotSynchronised, match="copying"):
        split(ready, seconds=1)
    assert worker_of(ready)
    go()
    eventually("in sync", lambda: ready.progress(GROUP, soon()).is_done)
    eventually("the worker is gone", lambda: not worker_of(ready))


def test_a_worker_that_is_killed_is_noticed_and_the_next_establish_goes_on(
    ready: DirectoryMirror, monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        go = held_back(ready, patched)
        (source / "value").write_bytes(b"two")
        ready.establish(GROUP, Mode.INCREMENTAL, soon())
        os.kill(worker_of(ready), signal.SIGKILL)
        eventually("it is gone", lambda: not worker_of(ready))
        go()
    assert (state(ready), word(ready)) == (S.ATTACHING, "interrupted")
    with pytest.raises(CommandFailed, match="ended half-way") as caught:
        ready.progress(GROUP, soon())
    assert caught.value.retryable
    establish(ready)
    split(ready)
    assert snapshot(tmp_path / "mirror") == snapshot(source)


def test_the_worker_keeps_nothing_of_the_hooks(ready: DirectoryMirror) -> None:
    """A product waits until the hook's pipes are closed; locks and the journal are not the worker's."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    establish(ready)
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_worker_that_fails_says_why(array: DirectoryMirror, source: Path) -> None:
    (source / "folder").mkdir()
    array.place(GROUP).manifest.with_name("mirror.manifest.part").mkdir()
    array.establish(GROUP, Mode.FULL, soon())
    eventually("it failed", lambda: word(array) == "failed")
    with pytest.raises(CommandFailed, match=r"manifest.part cannot be written|manifest cannot be written"):
        array.progress(GROUP, soon())
    assert state(array) is S.UNPAIRED


def test_passes_are_repeated_until_little_is_left(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter([30.0, 8.0, 2.0, 0.4, 99.0])
    run = Pass.run

    def timed(self: Pass) -> Account:
        account = run(self)
        account.seconds = next(took)
        return account

    monkeypatch.setattr(Pass, "run", timed)
    place = mirror_of(tmp_path).place(GROUP)
    worker.work(place, rules.begin(place, Mode.FULL), trusts=False)
    known = place.read()
    assert isinstance(known, State)
    assert known.last is not None
    assert (known.last.seconds, next(took)) == (0.4, 99.0)


def test_passes_end_where_the_application_is_faster(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([30.0, 10.0, 9.0, 9.0, 9.0])
    run = Pass.run

    def timed(self: Pass) -> Account:
        account = run(self)
        account.seconds = next(seconds)
        return account

    monkeypatch.setattr(Pass, "run", timed)
    array = mirror_of(tmp_path)
    place = array.place(GROUP)
    worker.work(place, rules.begin(place, Mode.FULL), trusts=False)
    assert array.split_estimate(GROUP) == 9.0
    assert len(list(seconds)) == 2


# -- split --


def test_before_anything_was_copied_there_is_no_estimate(array: DirectoryMirror) -> None:
    assert array.split_estimate(GROUP) is None


def test_a_split_out_of_time_is_no_copy(ready: DirectoryMirror, source: Path) -> None:
    (source / "value").write_bytes(b"two")
    with pytest.raises(DeadlinePassed):
        ready.split([GROUP], "run-1", Deadline.after(0))
    assert (state(ready), word(ready)) == (S.ATTACHING, "failed")
    establish(ready)
    split(ready)


def test_several_groups_are_split_one_after_the_other(tmp_path: Path, source: Path) -> None:
    (tmp_path / "logs").mkdir()
    groups = {
        GROUP: Group(source=str(source), mirror=str(tmp_path / "m1")),
        "logs": Group(source=str(tmp_path / "logs"), mirror=str(tmp_path / "m2")),
    }
    array = DirectoryMirror("tree", Options(groups=groups))
    for group in groups:
        array.establish(group, Mode.FULL, soon())
    for group in groups:
        eventually("in sync", lambda group=group: array.progress(group, soon()).is_done)  # type: ignore[misc]
    receipts = array.split(list(groups), "run-1", soon())
    assert [receipt.group for receipt in receipts] == list(groups)
    assert {array.query(group, soon())[0].copy for group in groups} == {str(tmp_path / "m1"), str(tmp_path / "m2")}


def test_a_plan_tells_what_is_copied_where(array: DirectoryMirror, source: Path, tmp_path: Path) -> None:
    for move in (Move.ESTABLISH, Move.SPLIT, Move.REATTACH):
        (action,) = array.actions(move, GROUP, "run-1")
        assert str(source) in action.what
        assert str(tmp_path / "mirror") in action.what
    assert array.actions(Move.EXPOSE, GROUP, "run-1") == ()


def test_what_it_keeps_beside_the_mirror_is_nobody_elses_to_read(ready: DirectoryMirror, tmp_path: Path) -> None:
    split(ready)
    beside = list(tmp_path.glob("mirror.*"))
    assert len(beside) >= 4
    assert {path.stat().st_mode & 0o077 for path in beside} == {0}
