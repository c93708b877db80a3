"""Names in a tree, reached step by step without following links: open, look, remove, make what is not a plain file.

As root this works in trees that other accounts may write to; so no path of theirs is ever resolved as a whole.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import CommandFailed, Refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Spot:
    """One entry in both trees: `source` and `copy` are descriptors, of its folders, or of a folder itself once entered.

    `path` is relative to the roots ("" for the roots), `found` is what the source looks like.
    """

    path: str
    name: str
    source: int
    copy: int
    found: os.stat_result

    def named(self, root: str) -> str:
        """Its whole path below `root`, for people."""
        return shown(f"{root}/{self.path}" if self.path else root)

    def there(self) -> os.stat_result | None:
        """What is at this name in the copy."""
        return look_at(self.copy, self.name)


def shown(path: str) -> str:
    """A path as text that can be printed whatever bytes it has."""
    return path.encode("utf-8", "backslashreplace").decode()


def look_at(folder: int, name: str) -> os.stat_result | None:
    """What is at `name`; None when nothing is."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def translated(what: str, failed: str, *, may_vanish: bool = False) -> Iterator[None]:
    """An OSError inside becomes a fault that names `what` and says what to do; FileNotFoundError not if `may_vanish`."""
    try:
        yield
    except OSError as exc:
        if may_vanish and isinstance(exc, FileNotFoundError):
            raise
        hint = ""
        if exc.errno in _FULL:
            hint = "make room on the mirror's filesystem; the next establish goes on from here"
        elif exc.errno in _FORBIDDEN:
            hint = "run the hooks as root, or as an account that may read all of the source and owns the mirror"
        elif exc.errno == errno.EOPNOTSUPP:
            hint = "put the mirror on a filesystem that can hold the attributes (ACLs, user.*) that the source's files have"
        raise CommandFailed(f"{shown(what)} {failed}: {exc.strerror}", hint=hint) from exc


@contextmanager
def opened(name: str, folder: int | None = None) -> Iterator[int]:
    """A folder below another (or a whole path, where that is ours), open as long as the block lasts."""
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_below(root: int, path: str) -> Iterator[int | None]:
    """The folder at the relative `path`, each step without following links; None when it is not there as folders."""
    with ExitStack() as stack:
        found: int | None = root
        try:
            for step in path.split("/") if path else ():
                found = stack.enter_context(opened(step, found))
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            found = None
        yield found


def remove(folder: int, name: str, device: int, tick: Callable[[], None]) -> int:
    """Remove what is at `name` with all that is below it, on `device` only. Returns how many entries went."""
    there = look_at(folder, name)
    if there is None:
        return 0
    if not stat.S_ISDIR(there.st_mode):
        os.unlink(name, dir_fd=folder)
        return 1
    if there.st_dev != device:
        raise Refused(f"something is mounted at {shown(name)} inside the mirror", hint="unmount it")
    removed = 1
    make_ours(folder, name, there)
    with opened(name, folder) as inner:
        for below in names_in(inner):
            tick()
            removed += remove(inner, below, device, tick)
    os.rmdir(name, dir_fd=folder)
    return removed


def names_in(folder: int) -> list[str]:
    """The names in an open folder."""
    with os.scandir(folder) as listing:
        return [entry.name for entry in listing]


def make_ours(folder: int, name: str, there: os.stat_result) -> bool:
    """Without root's rights: let its owner, who we are, into an entry of the copy. Whether its mode was changed."""
    wanted = 0o700 if stat.S_ISDIR(there.st_mode) else 0o600
    if os.geteuid() == 0 or there.st_mode & wanted == wanted:
        return False
    os.chmod(name, stat.S_IMODE(there.st_mode) | wanted, dir_fd=folder)
    return True


def is_same_special(spot: Spot, there: os.stat_result) -> bool:
    """Whether the copy has this link, pipe or device already; without root's rights its owner is another."""
    found = spot.found
    if (found.st_mode, found.st_mtime_ns, found.st_rdev) != (there.st_mode, there.st_mtime_ns, there.st_rdev):
        return False
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (there.st_uid, there.st_gid):
        return False
    if not stat.S_ISLNK(found.st_mode):
        return True
    return os.readlink(spot.name, dir_fd=spot.source) == os.readlink(spot.name, dir_fd=spot.copy)


def make_special(spot: Spot, *, is_root: bool) -> None:
    """A symbolic link, pipe or device of the copy, made anew under another name and put in its place."""
    part = f".{spot.name[:200]}.splitmirror-part"
    if look_at(spot.copy, part) is not None:
        os.unlink(part, dir_fd=spot.copy)
    mode = spot.found.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(spot.name, dir_fd=spot.source), part, dir_fd=spot.copy)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(part, 0o600, dir_fd=spot.copy)
    elif is_root:
        os.mknod(part, stat.S_IFMT(mode) | 0o600, spot.found.st_rdev, dir_fd=spot.copy)
    else:
        raise Refused(f"{shown(spot.path)} is a device, which only root can copy", hint="run the hooks as root")
    if is_root:
        os.chown(part, spot.found.st_uid, spot.found.st_gid, dir_fd=spot.copy, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        os.chmod(part, stat.S_IMODE(mode), dir_fd=spot.copy)
    times = (spot.found.st_atime_ns, spot.found.st_mtime_ns)
    os.utime(part, ns=times, dir_fd=spot.copy, follow_symlinks=False)
    os.rename(part, spot.name, src_dir_fd=spot.copy, dst_dir_fd=spot.copy)
