"""Where one directory mirror lies, and what is known of it: three small files beside the mirror.

``MIRROR.state.json`` is written anew and renamed into place; ``MIRROR.manifest`` is what both trees looked like when they
were last the same; ``MIRROR.lock`` is locked (flock) by whoever works on the mirror, so that a state that says `copying`
with nobody at work is known for what it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec

from splitmirror_drivers.arrays.directory_file import Account
from splitmirror_drivers.arrays.directory_names import translated
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, UnknownAnswer

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_SECONDS = 0.02


class Word(Enum):
    """The state words."""

    COPYING = "copying"
    SYNCED = "synced"
    SPLITTING = "splitting"
    SPLIT = "split"
    FAILED = "failed"


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state file. Inodes say which trees it speaks of; `boot` and `uptime` when the last pass ended."""

    word: Word
    source: str
    source_inode: int
    mirror_inode: int
    is_complete: bool = False
    """Whether a whole pass has ended once: only then is there a copy at all."""
    is_settled: bool = True
    boot: str = ""
    uptime: float = 0.0
    copy: str = ""
    error: str = ""
    hint: str = ""
    expected: int = 0
    """How many entries there were the last time, for the progress."""
    last: Account | None = None
    """The last pass."""
    establish: Account | None = None
    """All passes of the last establish."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """What is true now: the common state, the word for people, and the state file where there is one."""

    state: PairState
    word: str
    known: State | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One source and its mirror."""

    source: Path
    mirror: Path

    def beside(self, ending: str) -> Path:
        """A file of ours beside the mirror."""
        return self.mirror.with_name(f"{self.mirror.name}.{ending}")

    @property
    def manifest(self) -> Path:
        """What both trees looked like when they were last the same, durably."""
        return self.beside("manifest")

    @property
    def split_manifest(self) -> Path:
        """The same after the split; takes the manifest's place when the copy is settled."""
        return self.beside("split-manifest")

    def read(self) -> State | None:
        """The state file; None when there is none. Raises UnknownAnswer when it cannot be understood."""
        path = self.beside("state.json")
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CommandFailed(f"{path} cannot be read: {exc.strerror}") from exc
        try:
            return msgspec.json.decode(content, type=State)
        except (msgspec.DecodeError, ValueError) as exc:
            raise UnknownAnswer(
                f"{path} is damaged: {exc}",
                hint=f"if {self.mirror} may be made anew, remove it and {path}, then: splitmirror establish --full POLICY",
            ) from exc

    def write(self, state: State, *, durable: bool = True) -> None:
        """Put `state` in its place at once or not at all; `durable` waits for the disk."""
        path = self.beside("state.json")
        part = path.with_name(path.name + ".part")
        with translated(str(path), "cannot be written"):
            opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(opened, msgspec.json.format(msgspec.json.encode(state)) + b"\n")
                if durable:
                    os.fsync(opened)
            finally:
                os.close(opened)
            part.replace(path)
            if durable:
                sync_folder(path.parent)

    def write_failed(self, state: State, error: str, hint: str) -> None:
        """Say why it failed, where there is room for it; without that the state that is there says `interrupted`."""
        with contextlib.suppress(CommandFailed):
            self.write(msgspec.structs.replace(state, word=Word.FAILED, error=error, hint=hint), durable=False)

    @contextmanager
    def working(self, deadline: Deadline) -> Iterator[int | None]:
        """The lock's descriptor; None when somebody else is at work. A look at the lock, which is short, is outlasted."""
        path = self.beside("lock")
        with translated(str(path), "cannot be opened"):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            patience = deadline.sooner(1.0)
            while not (is_ours := _try(opened, fcntl.LOCK_EX)) and not patience.is_passed:
                time.sleep(POLL_SECONDS)
            yield opened if is_ours else None
        finally:
            os.close(opened)

    def is_busy(self) -> bool:
        """Whether anybody works on the mirror."""
        path = self.beside("lock")
        try:
            with translated(str(path), "cannot be opened", may_vanish=True):
                opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            return not _try(opened, fcntl.LOCK_SH)
        finally:
            os.close(opened)

    def condition(self, fresh_seconds: float) -> Condition:
        """What is true now. `fresh_seconds`: how long after the last pass both trees count as in sync."""
        try:
            is_busy = self.is_busy()  # before the state: who is at work writes it before the lock is given back
            known = self.read()
        except UnknownAnswer:
            return Condition(PairState.UNKNOWN, "damaged state file")
        if known is None:
            return Condition(PairState.UNPAIRED, "foreign tree" if any(_listed(self.mirror)) else "none")
        source = inode(self.source)
        if known.word is Word.SPLIT:
            is_same = source in (0, known.source_inode)
            return Condition(PairState.SPLIT if is_same else PairState.SPLIT_UNTRACKED, "split", known)
        if not source:
            return Condition(PairState.UNKNOWN, "source missing", known)
        if source != known.source_inode:
            return Condition(PairState.UNPAIRED, "another source", known)
        if (there := inode(self.mirror)) != known.mirror_inode:
            return Condition(PairState.UNPAIRED, "another tree" if there else "tree missing", known)
        if is_busy and known.word in (Word.COPYING, Word.SPLITTING):
            busy = PairState.ATTACHING if known.word is Word.COPYING else PairState.SPLITTING
            return Condition(busy, known.word.value, known)
        if known.word is Word.SYNCED and known.boot == boot_id() and 0 <= uptime() - known.uptime <= fresh_seconds:
            return Condition(PairState.SYNCED, "synced", known)
        word = {Word.SYNCED: "behind", Word.FAILED: "failed"}.get(known.word, "interrupted")
        return Condition(PairState.ATTACHING if known.is_complete else PairState.UNPAIRED, word, known)


def inode(path: Path) -> int:
    """The inode of a folder; 0 when there is no folder (a link is none)."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_ino if stat.S_ISDIR(found.st_mode) else 0


def boot_id() -> str:
    """What names this boot; "" where the system has no such name."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def uptime() -> float:
    """Seconds since boot, with those asleep where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _listed(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(path.iterdir())
    return []


def _try(opened: int, how: int) -> bool:
    try:
        fcntl.flock(opened, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
