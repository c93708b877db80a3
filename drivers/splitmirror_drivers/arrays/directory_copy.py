"""Copy one file of a tree: content (cloned, block by block, sparse) and what belongs to it (owner, mode, ACLs, times).

Everything goes through descriptors opened without following links, so that nobody who may write into the source or
the mirror can lead the copying elsewhere. Sources: ioctl_ficlone(2), copy_file_range(2), lseek(2) (SEEK_DATA),
xattr(7), acl(5) of the Linux manual pages.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK_BYTES = 2**20
"""What is read and compared at once."""
PIECE_BYTES = 2**16
"""What is written of a block that differs."""
_FICLONE = 0x40049409
_CANNOT_CLONE = {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}
_CANNOT_RANGE = {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF}
_NO_XATTRS = {errno.EOPNOTSUPP, errno.ENOSYS}
_OURS = ("user.", "system.posix_acl_")
"""Attributes that any account may copy of its own files; all others are root's."""

Tick = Callable[[], None]
"""Called between blocks; may raise when time is up."""


@dataclass
class Means:
    """What this pair of filesystems can do, found out once. Start with everything."""

    clones: bool = True
    ranges: bool = True
    is_root: bool = False


def content(source: int, copy: int, size: int, means: Means, tick: Tick) -> tuple[int, int]:
    """Make `copy` hold the first `size` bytes of `source`. Returns the bytes written and the bytes read to find them."""
    there = os.fstat(copy).st_size
    if size and means.clones and _cloned(source, copy, means):
        written, read = 0, 0
    elif there == 0:
        written = sum(_write_anew(source, copy, *span, means, tick) for span in spans(source, size))
        read = written
    else:
        written, read = _write_changed(source, copy, size, there, tick)
    if os.fstat(copy).st_size != size:
        os.ftruncate(copy, size)
    return written, read


def spans(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where data lies in the first `size` bytes, as (start, end); all of it where holes cannot be asked for."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                return
            if exc.errno != errno.EINVAL:
                raise
            start, end = position, size
        if start >= size:
            return
        yield start, end
        position = end


def _cloned(source: int, copy: int, means: Means) -> bool:
    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError as exc:
        if exc.errno not in _CANNOT_CLONE:
            raise
        means.clones = False
        return False
    return True


def _write_anew(source: int, copy: int, start: int, end: int, means: Means, tick: Tick) -> int:
    position = start
    while position < end:
        tick()
        done = _moved(source, copy, position, min(8 * BLOCK_BYTES, end - position), means)
        if done == 0:  # it became shorter while we read
            break
        position += done
    return position - start


def _moved(source: int, copy: int, position: int, count: int, means: Means) -> int:
    if means.ranges:
        try:
            if done := os.copy_file_range(source, copy, count, position, position):
                return done
        except OSError as exc:
            if exc.errno not in _CANNOT_RANGE:
                raise
            means.ranges = False
    return _written(copy, os.pread(source, min(count, BLOCK_BYTES), position), position)


def _written(copy: int, data: bytes, position: int) -> int:
    view, done = memoryview(data), 0
    while done < len(data):
        done += os.pwrite(copy, view[done:], position + done)
    return done


def _write_changed(source: int, copy: int, size: int, there: int, tick: Tick) -> tuple[int, int]:
    """Compare block by block and write what differs; holes of the source read as zeros, and stay holes where they can."""
    written = read = position = 0
    for start, end in (*spans(source, size), (size, size)):
        for at, count in _blocks(position, min(start, there)):  # a hole: only what the copy has there must go
            tick()
            old = os.pread(copy, count, at)
            if old.strip(b"\0"):
                written += _written(copy, bytes(len(old)), at)
        for at, count in _blocks(start, end):
            tick()
            new = os.pread(source, count, at)
            read += len(new)
            old = os.pread(copy, count, at)
            if new != old:
                written += _write_differing(copy, new, old, at)
        position = end
    return written, read


def _write_differing(copy: int, new: bytes, old: bytes, position: int) -> int:
    written = 0
    for at, count in _blocks(0, len(new), PIECE_BYTES):
        piece = new[at : at + count]
        if piece != old[at : at + count]:
            written += _written(copy, piece, position + at)
    return written


def _blocks(start: int, end: int, size: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    for at in range(start, end, size):
        yield at, min(size, end - at)


def flush(descriptor: int) -> None:
    """Write everything of a descriptor's filesystem to its disk (syncfs(2); the whole system where that is missing)."""
    import ctypes

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        os.sync()
        return
    if syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def belongings(source: int, copy: int, wanted: os.stat_result, means: Means) -> None:
    """Owner, attributes with ACLs, mode, times, in the order in which none undoes another; what is right is left alone."""
    there = os.fstat(copy)
    if means.is_root and (there.st_uid, there.st_gid) != (wanted.st_uid, wanted.st_gid):
        os.chown(copy, wanted.st_uid, wanted.st_gid)
    _attributes(source, copy, means)
    there = os.fstat(copy)
    if there.st_mode != wanted.st_mode:
        os.chmod(copy, stat.S_IMODE(wanted.st_mode))
    if there.st_mtime_ns != wanted.st_mtime_ns:
        os.utime(copy, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))


def _attributes(source: int, copy: int, means: Means) -> None:
    wanted, there = _readable(source, means), _readable(copy, means)
    for name in there.keys() - wanted.keys():
        os.removexattr(copy, name)
    for name, value in wanted.items():
        if there.get(name) != value:
            os.setxattr(copy, name, value)


def _readable(descriptor: int, means: Means) -> dict[str, bytes]:
    try:
        names = os.listxattr(descriptor)
    except OSError as exc:
        if exc.errno in _NO_XATTRS:
            return {}
        raise
    mine = [name for name in names if name.startswith(_OURS) or (means.is_root and name != "security.selinux")]
    return {name: os.getxattr(descriptor, name) for name in mine}
