"""One entry of the copy that is no folder: brought up to date, linked, made anew or removed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from splitmirror_drivers.arrays import directory_copy as copying
from splitmirror_drivers.arrays import directory_manifest as manifest
from splitmirror_drivers.arrays import directory_names as names
from splitmirror_drivers.arrays.directory_names import Spot, look_at, translated
from splitmirror_drivers.kit.errors import CommandFailed

TRIES = 4
"""How often a file is copied that changes meanwhile, before the split is given up."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def identity(found: os.stat_result) -> tuple[int, int, int]:
    """What tells an entry from another one that took its name."""
    return (found.st_dev, found.st_ino, found.st_ctime_ns)


@dataclass
class Account:
    """What one pass did. `read` are the bytes that had to be compared or copied to find those to be written."""

    entries: int = 0
    changed: int = 0
    removed: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    seconds: float = 0.0


@dataclass
class Files:
    """The files of one pass. `root` is the copy's root, open; `tick` is called between blocks and may raise."""

    source: str
    mirror: str
    root: int
    account: Account
    tick: Callable[[], None]
    is_split: bool
    means: copying.Means = field(default_factory=lambda: copying.Means(is_root=os.geteuid() == 0))
    began_ns: int = field(default_factory=time.time_ns)
    device: int = field(init=False)

    def __post_init__(self) -> None:
        self.device = os.fstat(self.root).st_dev

    def copied(self, spot: Spot, first: str) -> os.stat_result | None:
        """Bring one entry up to date; what the source looked like before that was begun.

        `first`: where in the copy the same file is already. Raises FileNotFoundError when the source's entry went; None
        when something of the copy went.
        """
        with translated(spot.named(self.source), "cannot be copied", may_vanish=True):
            try:
                if first:
                    return self._linked(spot, first)
                if stat.S_ISREG(spot.found.st_mode):
                    return self._file(spot)
                there = spot.there()
                if there is not None and names.is_same_special(spot, there):
                    return spot.found
                if there is not None and stat.S_ISDIR(there.st_mode):
                    self.remove(spot.copy, spot.name)
                names.make_special(spot, is_root=self.means.is_root)
            except FileNotFoundError:
                now = look_at(spot.source, spot.name)
                if now is None or identity(now) != identity(spot.found):
                    raise  # it went, and another of its name may have come since: the next pass meets that one
                return None
        return spot.found

    def remove(self, folder: int, name: str) -> int:
        """Remove what is at `name` in a folder of the copy. How many entries went."""
        with translated(f"{name} in the mirror {self.mirror}", "cannot be removed"):
            removed = names.remove(folder, name, self.device, self.tick)
        self.account.removed += removed
        return removed

    def _linked(self, spot: Spot, first: str) -> os.stat_result | None:
        folder, _, name = first.rpartition("/")
        with names.opened_below(self.root, folder) as parent:
            target = look_at(parent, name) if parent is not None else None
            if parent is None or target is None:
                return None
            there = spot.there()
            if there is None or there.st_ino != target.st_ino:
                self.remove(spot.copy, spot.name)
                os.link(name, spot.name, src_dir_fd=parent, dst_dir_fd=spot.copy, follow_symlinks=False)
        return spot.found

    def _file(self, spot: Spot) -> os.stat_result:
        for _ in range(TRIES):
            before = self._file_once(spot)
            if not self.is_split:
                return before
            after = os.stat(spot.name, dir_fd=spot.source, follow_symlinks=False)
            if manifest.look(after) == manifest.look(before):
                return before
        raise CommandFailed(
            f"{spot.named(self.source)} was written to while it was copied, although its writers are held",
            hint="hold whatever writes to it as an application of the policy, or keep that file out of the mirrored tree",
        )

    def _file_once(self, spot: Spot) -> os.stat_result:
        source = os.open(spot.name, _READ, dir_fd=spot.source)
        try:
            if not self.is_split and manifest.is_hot(os.fstat(source), self.began_ns):
                os.fsync(source)  # pages written through a mapping show a new time only if they were clean before
            before = os.fstat(source)
            if not stat.S_ISREG(before.st_mode):
                raise CommandFailed(
                    f"{spot.named(self.source)} became something else while it was copied", retryable=True
                )
            copy = self._open_copy(spot)
            had = os.fstat(copy).st_size
            try:
                written, read = copying.content(source, copy, before.st_size, self.means, self.tick)
                copying.belongings(source, copy, before, self.means)
            except OSError:
                os.ftruncate(copy, min(had, os.fstat(copy).st_size))  # a full disk has room again to say so
                raise
            finally:
                os.close(copy)
        finally:
            os.close(source)
        self.account.written_bytes += written
        self.account.read_bytes += read
        return before

    def _open_copy(self, spot: Spot) -> int:
        """The file of the copy, to be written in place: only when no other name of the copy would change with it."""
        there = spot.there()
        if there is not None and (not stat.S_ISREG(there.st_mode) or there.st_nlink > 1):
            self.remove(spot.copy, spot.name)
            there = None
        if there is not None:
            names.make_ours(spot.copy, spot.name, there)
        return os.open(spot.name, _WRITE, 0o600, dir_fd=spot.copy)
