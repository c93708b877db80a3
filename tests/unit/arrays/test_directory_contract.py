"""The directory mirror keeps what every array promises."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from tests.contracts.array import ArrayContract, Stage, Wrong

from splitmirror_drivers.arrays.directory import DirectoryMirror, Group, Options
from splitmirror_drivers.contracts.array import Array, Exposed
from splitmirror_drivers.contracts.array import PairState as State
from splitmirror_drivers.kit.deadline import Deadline

BULK_BYTES = 3 * 2**20


class TreeStage(Stage):
    """A tree with a large file that never changes and a small one that is written to."""

    group = "shop"

    def __init__(self, folder: Path) -> None:
        self.source, self.mirror = folder / "source", folder / "mirror"
        self.source.mkdir()
        (self.source / "bulk").write_bytes(os.urandom(BULK_BYTES))
        self.kept = b""
        self.threads: list[threading.Thread] = []

    def array(self) -> Array:
        groups = {self.group: Group(source=str(self.source), mirror=str(self.mirror))}
        return DirectoryMirror("tree", Options(groups=groups))

    def write(self, value: bytes) -> None:
        (self.source / "value").write_bytes(value)

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        return tuple((Path(path) / "value").read_bytes() for path in exposed.paths)

    def copied_bytes(self) -> int:
        known = DirectoryMirror.place(self.array(), self.group).read()  # type: ignore[arg-type]
        assert known is not None
        assert known.establish is not None
        return known.establish.written_bytes

    def size_bytes(self) -> int:
        return BULK_BYTES

    def wrong(self, what: Wrong) -> None:
        state, lock = self.mirror.with_name("mirror.state.json"), self.mirror.with_name("mirror.lock")
        if what is Wrong.UNKNOWN_WORD:
            self.kept = state.read_bytes()
            state.write_bytes(self.kept.replace(b'"synced"', b'"sideways"'))
        elif what is Wrong.SPLIT_IS_REFUSED:
            (self.source / "value").unlink()
            (self.source / "value").symlink_to("nowhere")
            (self.mirror.with_name("mirror.split-manifest.part")).mkdir()
        elif what is Wrong.LOCKED_FOR_A_MOMENT:
            held = lock.open("rb")
            fcntl.flock(held, fcntl.LOCK_SH)
            timer = threading.Timer(0.3, held.close)
            timer.start()
            self.threads.append(timer)
        else:
            super().wrong(what)

    def mend(self) -> None:
        state, part = self.mirror.with_name("mirror.state.json"), self.mirror.with_name("mirror.split-manifest.part")
        if self.kept:
            state.write_bytes(self.kept)
        if part.is_dir():
            part.rmdir()
            (self.source / "value").unlink()

    def close(self) -> None:
        for thread in self.threads:
            thread.join()


class TestDirectoryMirror(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return TreeStage(folder)

    def test_a_split_that_failed_is_no_copy_and_is_repaired_incrementally(self, ready: Stage) -> None:
        ready.wrong(Wrong.SPLIT_IS_REFUSED)
        try:
            self.split(ready)
        except Exception as fault:  # noqa: BLE001 - which one is told by the contract's own test
            assert "split-manifest" in str(fault)
        assert self.states(ready) == {State.ATTACHING}
        assert ready.array().query(ready.group, Deadline.after(5))[0].word == "failed"
