"""Locks: flock on files that are never removed. A lock is free only when the last process that has it open is gone.

So an array command that inherits a mirror's lock keeps it when the hook dies. For the same reason a lock is given back by
closing the file and never by LOCK_UN, which would take it from such a command too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse

POLL_SECONDS = 0.1
PROBE_SECONDS = 2.0
FREE = -1


class Lock:
    """An exclusive lock on one file. Not for use by several threads; every user makes its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = FREE

    @property
    def is_held(self) -> bool:
        """Whether this object has it."""
        return self._descriptor != FREE

    @property
    def descriptor(self) -> int:
        """For ``Command.inherit``: closed in every other child. Raises ValueError when the lock is not held."""
        if not self.is_held:
            raise ValueError(f"{self.path} is not held")
        return self._descriptor

    def acquire(self, deadline: Deadline | None = None, wait: Callable[[float], object] | None = None) -> None:
        """Take it, trying until `deadline` (None: once). Raises InUse naming who has it.

        `wait` is called with the seconds between two tries and may raise (``GiveUp.wait``).
        """
        if self.is_held:
            raise ValueError(f"{self.path} is held already")
        pause = wait or threading.Event().wait
        opened = self._open()
        try:
            while not _try(opened, self.path, fcntl.LOCK_EX):
                if deadline is None or deadline.is_passed:
                    raise self._in_use()
                pause(min(POLL_SECONDS, deadline.left()))
            _sign(opened)
        except BaseException:
            os.close(opened)
            raise
        self._descriptor = opened

    def release(self) -> None:
        """Give it back; commands that inherited it keep it. Safe to call twice."""
        if self.is_held:
            opened, self._descriptor = self._descriptor, FREE
            os.close(opened)

    def holders(self) -> tuple[int, ...]:
        """The processes that have the locked file open with its lock, as far as /proc shows them to us."""
        path = self.path.resolve()
        return tuple(pid for pid in _processes() if _holds(pid, path))

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise Fault(
                f"the lock {self.path} cannot be opened: {exc.strerror}",
                hint=f"see who owns it and whether its disk has room: ls -ld {self.path.parent}; df {self.path.parent}",
            ) from exc

    def _in_use(self) -> InUse:
        signed, holders = _signed(self.path), self.holders()
        named = ", ".join(f"pid {pid} ({_name(pid)})" for pid in holders) or f"pid {signed or 'unknown'}"
        hint = "wait for it to end; `splitmirror status` shows what it does"
        if holders and signed and signed not in holders:
            hint = f"the hook that took it (pid {signed}) is gone, but what it started still runs: wait for that to end"
        return InUse(f"{unquoted(self.path.stem)} is locked by {named}", hint=hint)


class RunLock(Lock):
    """Held by a hook for as long as it works on a run: whoever asks knows whether the run has a living process."""

    def __init__(self, folder: Path, run_id: str) -> None:
        super().__init__(folder / "locks" / f"run-{run_id}.lock")
        self.run_id = run_id

    def is_alive(self) -> bool:
        """Whether any process has it. Takes nothing away: askers share, and `acquire` waits for an asker to be done."""
        try:
            opened = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise Fault(f"the lock {self.path} cannot be read: {exc.strerror}") from exc
        try:
            return not _try(opened, self.path, fcntl.LOCK_SH)
        finally:
            os.close(opened)

    def acquire(self, deadline: Deadline | None = None, wait: Callable[[float], object] | None = None) -> None:
        """Take it. Without a deadline it still outlasts an asker, who has it for an instant."""
        super().acquire(deadline or Deadline.after(PROBE_SECONDS), wait)


def unquoted(name: str) -> str:
    """A lock file's name for people."""
    return name.replace("%2F", "/").replace("%25", "%")


def mirror_lock(folder: Path, key: str) -> Lock:
    """The lock of the mirror `key` (ARRAY/GROUP) of the state folder `folder`; no two mirrors have the same file."""
    return Lock(folder / "locks" / f"mirror-{key.replace('%', '%25').replace('/', '%2F')}.lock")


@contextmanager
def mirror_locked(
    folder: Path, key: str, carried: list[int], deadline: Deadline, wait: Callable[[float], object] | None = None
) -> Iterator[None]:
    """Hold a mirror's lock; array commands that are started meanwhile inherit what is in `carried`."""
    lock = mirror_lock(folder, key)
    lock.acquire(deadline, wait)
    descriptor = lock.descriptor
    carried.append(descriptor)
    try:
        yield
    finally:
        carried.remove(descriptor)
        lock.release()


def _try(opened: int, path: Path, how: int) -> bool:
    try:
        fcntl.flock(opened, how | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise Fault(
            f"{path} cannot be locked: {exc.strerror}", hint="keep the state folder on a local filesystem"
        ) from exc
    return True


def _sign(opened: int) -> None:
    # for people only: the lock itself says who has it, so a full disk must not keep anybody from locking
    with contextlib.suppress(OSError):
        os.ftruncate(opened, 0)
        os.pwrite(opened, f"{os.getpid()}\n".encode(), 0)


def _signed(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _processes() -> list[int]:
    try:
        return sorted(int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    except OSError:
        return []  # no /proc on this system: the signature in the file is all there is


def _holds(pid: int, path: Path) -> bool:
    """Whether `pid` has `path` open with its flock: fdinfo lists the locks of each open file. Nothing is opened for it."""
    folder = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):  # the process ended while we looked, or is another user's
        for link in (folder / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if link.readlink() == path and "FLOCK" in (folder / "fdinfo" / link.name).read_text():
                    return True
    return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="backslashreplace").strip()
    except OSError:
        return "ended meanwhile"
