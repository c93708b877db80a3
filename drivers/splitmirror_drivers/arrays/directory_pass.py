"""One pass over a tree: walk source and copy side by side, copy what changed, follow deletions, write the manifest anew.

The first passes run while the application does; the last one is the split, under its freeze: it looks at the source
only, copies what differs from the manifest and insists that a file stands still while it is copied.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from splitmirror_drivers.arrays import directory_copy as copying
from splitmirror_drivers.arrays import directory_manifest as manifest
from splitmirror_drivers.arrays.directory_file import Account, Files
from splitmirror_drivers.arrays.directory_manifest import Row
from splitmirror_drivers.arrays.directory_names import Spot, make_ours, names_in, opened, opened_below, translated
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Refused

REPORT_SECONDS = 1.0


@dataclass
class Pass:
    """One pass. `old` is of this very pair of trees; `is_split`: under the freeze, and the source only."""

    source: str
    mirror: str
    old: manifest.Reader
    new: manifest.Writer
    is_split: bool = False
    deadline: Deadline | None = None
    report: Callable[[Account], None] | None = None
    account: Account = field(default_factory=Account)
    _files: Files = field(init=False)
    _device: int = 0
    _report_at: float = 0.0
    _links: dict[int, str] = field(default_factory=dict)

    def run(self) -> Account:
        """Do it. Raises DeadlinePassed, Refused or CommandFailed: the manifest is then as it was, the copy in between."""
        began = time.monotonic()
        try:
            with translated(self.source, "cannot be mirrored"):
                self._walk()
        except BaseException:
            self.new.abandon()
            raise
        self.account.seconds = time.monotonic() - began
        return self.account

    def _walk(self) -> None:
        with opened(self.source) as source, opened(self.mirror) as copy:
            if not self.is_split:
                copying.flush(source)  # from here on, a file written to through a mapping gets a new time
            found = os.fstat(source)
            self._device = found.st_dev
            self._files = Files(self.source, self.mirror, copy, self.account, self._tick, is_split=self.is_split)
            self._files.means.clones = self._device == self._files.device
            self._folder(Spot("", "", source, copy, found), self.old.find("")[1], is_touched=False)
            if not self.is_split:
                copying.flush(copy)
            self.new.finish(durable=not self.is_split)

    def _tick(self) -> None:
        if self.deadline is not None and self.deadline.is_passed:
            raise DeadlinePassed(
                f"{self.mirror}: what changed in {self.source} was not copied in the time there was",
                detail=f"{self.account.entries} entries seen, {self.account.written_bytes} bytes written",
                hint="raise max-freeze, establish more often, or use an array that splits at once",
            )
        if self.report and (now := time.monotonic()) >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self.report(self.account)

    # -- folders --

    def _enter(self, spot: Spot, known: Row | None) -> bool:
        """A folder of the source. Returns whether the copy's parent was changed."""
        there, was_made, is_touched = spot.there(), False, False
        if there is not None and not stat.S_ISDIR(there.st_mode):
            self._files.remove(spot.copy, spot.name)
            there = None
        with translated(spot.named(self.mirror), "cannot be made"):
            if there is None:
                os.mkdir(spot.name, 0o700, dir_fd=spot.copy)
                was_made = True
            else:
                is_touched = make_ours(spot.copy, spot.name, there)
        with ExitStack() as stack, translated(spot.named(self.source), "cannot be entered"):
            try:
                source = stack.enter_context(opened(spot.name, spot.source))
            except FileNotFoundError:  # it went while we walked
                return self._files.remove(spot.copy, spot.name) > 0 or was_made
            copy = stack.enter_context(opened(spot.name, spot.copy))
            self._folder(Spot(spot.path, spot.name, source, copy, os.fstat(source)), known, is_touched or was_made)
        return was_made

    def _folder(self, spot: Spot, known: Row | None, is_touched: bool) -> None:
        """A folder that is open on both sides: what lies in it, then its own belongings."""
        if spot.found.st_dev != self._device:
            raise Refused(
                f"{spot.named(self.source)} is another filesystem inside the mirrored tree",
                hint="mirror it as a group of its own, or unmount it",
            )
        seen_ns = time.time_ns()
        self.account.entries += 1
        source = manifest.look(spot.found)
        is_touched |= known is None or known.source != source
        self.new.add(Row(spot.path, manifest.HOT if manifest.is_hot(spot.found, seen_ns) else source, ""))
        entries = self._listed(spot)
        if not self.is_split:
            is_touched |= self._remove_strangers(spot, set(entries))
        for name, found in entries.items():
            self._tick()
            path = f"{spot.path}/{name}" if spot.path else name
            gone, row = self.old.find(path)
            is_touched |= self._remove_gone(gone)
            is_touched |= self._entry(Spot(path, name, spot.source, spot.copy, found), row, seen_ns)
        is_touched |= self._remove_gone(self.old.leave(spot.path))
        if is_touched or not self.is_split:  # last, since work inside changes its times
            with translated(spot.named(self.mirror), "cannot be given its owner, attributes and times"):
                copying.belongings(spot.source, spot.copy, spot.found, self._files.means)

    def _listed(self, spot: Spot) -> dict[str, os.stat_result]:
        """What lies in a folder of the source, in the manifest's order; sockets are not copied."""
        found = {}
        with translated(spot.named(self.source), "cannot be listed"), os.scandir(spot.source) as listing:
            for entry in sorted(listing, key=lambda one: one.name):
                try:
                    one = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # it went while we looked
                    continue
                if not stat.S_ISSOCK(one.st_mode):
                    found[entry.name] = one
        return found

    # -- what is no longer in the source --

    def _remove_strangers(self, spot: Spot, names: set[str]) -> bool:
        with translated(spot.named(self.mirror), "cannot be listed"):
            strangers = [name for name in names_in(spot.copy) if name not in names]
        return sum(self._files.remove(spot.copy, name) for name in strangers) > 0

    def _remove_gone(self, gone: list[Row]) -> bool:
        """Under the freeze the copy is not listed: what the manifest has and the source has no more goes by its name."""
        removed = 0
        for row in gone if self.is_split else ():
            folder, _, name = row.path.rpartition("/")
            with opened_below(self._files.root, folder) as parent:
                if parent is not None:
                    removed += self._files.remove(parent, name)
        return removed > 0

    # -- everything else --

    def _entry(self, spot: Spot, known: Row | None, seen_ns: int) -> bool:
        """One entry of a folder. Returns whether the copy's folder was changed by it."""
        if stat.S_ISDIR(spot.found.st_mode):
            return self._enter(spot, known)
        self.account.entries += 1
        first = self._first_link(spot)
        is_unchanged = known is not None and self._is_unchanged(spot, known)
        if known and is_unchanged and not first:
            self.new.add(known)
            return False
        try:
            copied = self._files.copied(spot, first)
        except FileNotFoundError:  # it went while we walked
            return self._files.remove(spot.copy, spot.name) > 0
        there = spot.there()
        if copied is None or there is None:
            raise CommandFailed(f"{spot.named(self.mirror)} went while it was written", hint="who works in the mirror?")
        self.account.changed += not is_unchanged
        source = manifest.HOT if manifest.is_hot(copied, seen_ns) else manifest.look(copied)
        self.new.add(Row(spot.path, source, manifest.copy_look(there)))
        return True

    def _is_unchanged(self, spot: Spot, known: Row) -> bool:
        if known.source != manifest.look(spot.found):
            return False
        return self.is_split or ((there := spot.there()) is not None and known.copy == manifest.copy_look(there))

    def _first_link(self, spot: Spot) -> str:
        """The path under which this file was met before in this pass, "" when it was not."""
        if not stat.S_ISREG(spot.found.st_mode) or spot.found.st_nlink < 2:
            return ""
        first = self._links.setdefault(spot.found.st_ino, spot.path)
        return "" if first == spot.path else first
