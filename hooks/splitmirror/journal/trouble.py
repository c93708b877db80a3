"""What keeps a journal from being written or read, told to people: the one border where SQLite's errors are translated."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitmirror import state
from splitmirror_drivers.kit.errors import JournalFault

FULL_BYTES = 256 * 2**10
SUFFIXES = ("", "-wal", "-shm")


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """SQLite's and the system's errors within become JournalFault with cause and cure."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as exc:
        raise _from_sqlite(file, exc) from exc
    except (OSError, UnicodeEncodeError) as exc:
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(file.parent, os.strerror(exc.errno)) from exc
        raise JournalFault(
            f"the journal {file} cannot be used: {exc}", hint=f"look at it: ls -la {file.parent}"
        ) from exc


def _from_sqlite(file: Path, exc: BaseException) -> JournalFault:
    """The fault for one of SQLite's result codes (sqlite.org/rescode.html); the primary code is the lowest byte."""
    name = str(getattr(exc, "sqlite_errorname", ""))
    said = f"SQLite says {name or 'no code'}: {exc}"
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _room(file.parent) < FULL_BYTES):
        return full(file.parent, said)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(file, said)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return JournalFault(
            f"the journal {file} is kept busy by another process",
            detail=said,
            hint=f"see who: fuser -v {file}; then try again",
            retryable=True,
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return unwritable(file.parent, said)
    return JournalFault(
        f"the journal {file} cannot be used: {exc}", detail=said, hint="look for errors of its disk in the system's log"
    )


def require_usable(folder: Path, file: Path) -> None:
    """Refuse, before anything is opened: a folder or file of another user, a link, a read-only filesystem."""
    state.require_ours(folder)
    for suffix in SUFFIXES:
        path = Path(f"{file}{suffix}")
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise JournalFault(f"{path} is not a plain file", hint="a link is not followed: name the real state folder")
        if found.st_uid != os.geteuid():
            raise state.foreign(path)
        if not os.access(path, os.R_OK | os.W_OK):
            raise unwritable(path, "")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, "")


def require_room(folder: Path, wanted_bytes: int) -> None:
    """Refuse when the filesystem, or a quota on it, leaves less than `wanted_bytes`.

    They are really allocated, in a file that has no name: what is asked for is given back also when we are killed here.
    """
    left = _room(folder)
    if left >= wanted_bytes:
        probe = folder / f"room-{os.getpid()}.probe"
        opened = os.open(probe, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            probe.unlink()
            os.posix_fallocate(opened, 0, wanted_bytes)
        except OSError as exc:
            raise full(folder, exc.strerror or str(exc)) from exc
        else:
            return
        finally:
            os.close(opened)
    raise full(folder, f"{left // 2**10} KiB are free, {wanted_bytes // 2**20} MiB are wanted before a run begins")


def full(folder: Path, said: str) -> JournalFault:
    """No room."""
    return JournalFault(
        f"there is no room for the journal in {folder}",
        detail=said,
        hint=f"free space there (df -h {folder}; df -i {folder}; quotas): nothing is touched without a journal",
    )


def unwritable(path: Path, said: str) -> JournalFault:
    """It is ours and cannot be written all the same."""
    return JournalFault(
        f"the journal cannot be written: {path} is read-only for {state.user_name(os.geteuid())}",
        detail=said,
        hint=f"see its mode and whether its filesystem is mounted read-only: ls -la {path}; findmnt -T {path}",
    )


def damaged(file: Path, said: str) -> JournalFault:
    """The file is not whole. Nothing is thrown away here: it may be all that tells what stands."""
    aside = file.parent / "journal-damaged"
    return JournalFault(
        f"the journal {file} is damaged",
        detail=said,
        hint=f"set it aside, all files together, and keep it: mkdir {aside} && mv {file}* {aside}/ ; then ask what stands "
        "with `splitmirror status`, and check the disk",
    )


def _room(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return FULL_BYTES  # the disk does not even answer this: not what "full" means
    if found.f_files and not found.f_favail:
        return 0
    return found.f_bavail * found.f_frsize
