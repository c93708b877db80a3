"""Trees as tests compare them: everything that a copy of a tree has to keep, read by another way than the driver's."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from splitmirror_drivers.arrays.directory import DirectoryMirror, Group, Options
from splitmirror_drivers.contracts.array import Mode, Receipt
from splitmirror_drivers.kit.deadline import Deadline

PATIENCE_SECONDS = 30.0
GROUP = "shop"


def soon(seconds: float = PATIENCE_SECONDS) -> Deadline:
    return Deadline.after(seconds)


def mirror_of(folder: Path, **options: object) -> DirectoryMirror:
    """A driver over ``folder/source`` and ``folder/mirror``."""
    groups = {GROUP: Group(source=str(folder / "source"), mirror=str(folder / "mirror"))}
    return DirectoryMirror("tree", Options(groups=groups, **options))  # type: ignore[arg-type]


def eventually(what: str, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        threading.Event().wait(0.01)


def establish(array: DirectoryMirror, mode: Mode = Mode.INCREMENTAL) -> None:
    """Establish, and wait until it is done."""
    array.establish(GROUP, mode, soon())
    eventually("in sync", lambda: array.progress(GROUP, soon()).is_done)
    eventually("the worker has ended", lambda: not array.place(GROUP).is_busy())


def split(array: DirectoryMirror, copy: str = "run-1", seconds: float = PATIENCE_SECONDS) -> Receipt:
    (receipt,) = array.split([GROUP], copy, soon(seconds))
    return receipt


def word(array: DirectoryMirror) -> str:
    return array.query(GROUP, soon())[0].word


def written(array: DirectoryMirror) -> int:
    """Bytes that the last establish wrote."""
    known = array.place(GROUP).read()
    assert known is not None
    assert known.establish is not None
    return known.establish.written_bytes


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Every entry: kind, mode, owner, time, content, attributes, and which others are the same file."""
    names: dict[int, list[str]] = {}
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [".", *folders, *files] if folder == str(root) else [*folders, *files]:
            path = Path(folder, name)
            names.setdefault(path.lstat().st_ino, []).append(os.path.normpath(os.path.relpath(path, root)))
    for same in names.values():
        for name in same:
            found[name] = (*_look(root / name), tuple(sorted(same)))
    return found


def _look(path: Path) -> tuple[object, ...]:
    seen = path.lstat()
    content: object = None
    attributes: object = ()
    if stat.S_ISREG(seen.st_mode):
        content = (seen.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    elif stat.S_ISLNK(seen.st_mode):
        content = str(path.readlink())
    elif not stat.S_ISDIR(seen.st_mode):
        content = seen.st_rdev
    if stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode):
        attributes = tuple(sorted((name, os.getxattr(path, name)) for name in os.listxattr(path)))
    return seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, content, attributes
