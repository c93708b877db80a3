"""The manifest of a directory mirror: what every entry of source and copy looked like when they were last the same.

One line an entry, in the order of the walk: source's look, copy's look, path (relative, escaped), between tabs. Looks
are compared as they stand and never taken apart. Written and read as a stream, so that memory does not grow with trees.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HOT = "-"
"""A look that equals none: the entry changed too short a time before it was looked at, so it is examined again."""
GRAIN_NS = 2_000_000_000
"""A change this short after another may leave the same times behind (the coarsest clock of a filesystem)."""
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}
_UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n"}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry. `source` and `copy` are looks (of a folder's copy none); `path` is relative to the root, "" the root's."""

    path: str
    source: str
    copy: str


def look(found: os.stat_result) -> str:
    """What tells a changed entry from an unchanged one. The times are of nanoseconds, ctime cannot be set back."""
    return (
        f"{found.st_mode:o} {found.st_uid} {found.st_gid} {found.st_size} {found.st_ino} "
        f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_rdev}"
    )


def copy_look(found: os.stat_result) -> str:
    """The look of an entry of the copy. Making a second hard link changes ctime, which is no change of the file."""
    is_linked = found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)
    changed = 0 if is_linked else found.st_ctime_ns
    return (
        f"{found.st_mode:o} {found.st_uid} {found.st_gid} {found.st_size} {found.st_ino} {found.st_mtime_ns} {changed}"
    )


def is_hot(found: os.stat_result, seen_ns: int) -> bool:
    """Whether a later change could leave the same times, `seen_ns` being a moment not after the look."""
    return max(found.st_mtime_ns, found.st_ctime_ns) >= seen_ns - GRAIN_NS


def key(path: str) -> str:
    """What paths are ordered by: a folder comes directly before what lies in it."""
    return path.replace("/", "\0")


class Reader:
    """The rows of a finished manifest, asked for in the order of the walk. A missing file has no rows."""

    def __init__(self, path: Path | None) -> None:
        self._file: BinaryIO | None = path.open("rb", buffering=2**20) if path and path.exists() else None
        self._next: Row | None = None
        self._rows = self._read()
        self._step()

    def close(self) -> None:
        """Give the file back."""
        if self._file:
            self._file.close()

    def find(self, path: str) -> tuple[list[Row], Row | None]:
        """The rows passed over, whose entries are gone, and the row of `path` if there is one."""
        gone, wanted = [], key(path)
        while self._next and key(self._next.path) < wanted:
            gone.append(self._next)
            self._step()
        found = None
        if self._next and self._next.path == path:
            found = self._next
            self._step()
        return gone, found

    def leave(self, folder: str) -> list[Row]:
        """The rows left below `folder`, whose entries are gone."""
        gone, within = [], f"{folder}/" if folder else ""
        while self._next and self._next.path.startswith(within):
            gone.append(self._next)
            self._step()
        return gone

    def _step(self) -> None:
        self._next = next(self._rows, None)

    def _read(self) -> Iterator[Row]:
        for line in self._file or ():
            source, copy, path = line.rstrip(b"\n").split(b"\t", 2)
            yield Row(_unescaped(os.fsdecode(path)), source.decode("ascii"), copy.decode("ascii"))


class Writer:
    """A manifest being made under another name; `finish` puts it in its place."""

    def __init__(self, path: Path) -> None:
        self._place = path
        self._part = path.with_name(path.name + ".part")
        self._part.unlink(missing_ok=True)
        opened = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # names may be private
        self._file = os.fdopen(opened, "wb", buffering=2**20)

    def add(self, row: Row) -> None:
        """The next row, in the order of the walk."""
        self._file.write(f"{row.source}\t{row.copy}\t".encode("ascii") + os.fsencode(_escaped(row.path)) + b"\n")

    def finish(self, *, durable: bool) -> None:
        """Put it in its place; `durable`: it has reached the disk before it gets there."""
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._place)

    def abandon(self) -> None:
        """Leave the manifest that is there as it was."""
        with contextlib.suppress(OSError):  # closing writes what is left, for which a full disk has no room
            self._file.close()
        self._part.unlink(missing_ok=True)


def _escaped(path: str) -> str:
    if not any(mark in path for mark in _ESCAPES):
        return path
    return "".join(_ESCAPES.get(letter, letter) for letter in path)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    letters = iter(text)
    return "".join(_UNESCAPES[next(letters)] if letter == "\\" else letter for letter in letters)
