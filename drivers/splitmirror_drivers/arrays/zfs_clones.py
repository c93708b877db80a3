"""Clones: how a copy in a pool is seen. Made below one dataset that is for nothing else, destroyed when nobody uses them.

Each carries the copy's name as a property and its snapshot as its origin, and nothing else is ever destroyed. A clone of a
volume can be written to (a journal is replayed in it), and what is written is gone with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.zfs_calls import COMMAND_SECONDS, MARK, Calls, Dataset, Snapshot
from splitmirror_drivers.arrays.zfs_options import leaf_of
from splitmirror_drivers.contracts.array import Action
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at


class Clones:
    """The clones of one array."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.options, self.host = calls.options, calls.host

    def name(self, dataset: str, copy: str) -> str:
        """The clone of a dataset's snapshot."""
        return f"{self.options.clones}/{copy}.{leaf_of(dataset)}"

    def place(self, dataset: str, copy: str) -> str:
        """Where a filesystem's clone is mounted."""
        return f"{self.options.mountpoint}/{copy}.{leaf_of(dataset)}"

    def volume(self, snapshot: Snapshot, copy: str, deadline: Deadline) -> str:
        """The device of a volume's clone, which is made when it is not there. The node may appear a little later."""
        name = self.name(snapshot.of, copy)
        if self._standing(name, snapshot.name, deadline) is None:
            self.calls.act(deadline, f"cloning {snapshot.name}", *self._words(snapshot.name, name, copy))
        return f"{self.options.devices}/{name}"

    def mount(self, snapshot: Snapshot, copy: str, deadline: Deadline) -> str:
        """Where a filesystem's clone is mounted, read-only; made and mounted when it is not."""
        name, at = self.name(snapshot.of, copy), self.place(snapshot.of, copy)
        found = self._standing(name, snapshot.name, deadline)
        if found is None:
            self._require_room(at, deadline)
            self.calls.act(deadline, f"cloning {snapshot.name}", *self._words(snapshot.name, name, copy, at))
        elif found.mountpoint != at:
            raise Refused(
                f"{name} is mounted at {found.mountpoint}, not at {at}", hint=f"zfs destroy {name} after a look"
            )
        if found is None or not found.is_mounted:
            self.calls.act(deadline, f"mounting {name}", "zfs", "mount", name)
        return at

    def destroy(self, snapshots: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Destroy the clones of these snapshots, one after another. Raises InUse, naming who. Safe to repeat."""
        standing = self.calls.below(self.options.clones, deadline)
        for snapshot in snapshots:
            of = snapshot.partition("@")[0]
            name, at = self.name(of, copy), self.place(of, copy) if self.options.mountpoint else ""
            found = standing.get(name)
            is_tree = found is not None and found.kind == "filesystem"
            if found is not None:
                self._require_ours(found, snapshot, copy)
                seen_at = at if is_tree else f"{self.options.devices}/{name}"
                users = look_at.users(self.host, deadline, seen_at)
                look_at.refuse_users(f"the copy {copy} ({name})", users)
                hint = "somebody uses it who was not seen; it is never forced"
                self.calls.act(deadline, f"destroying {name}", "zfs", "destroy", name, hint=hint)
            if at and (is_tree or found is None):
                self._remove_folder(at, deadline)
        left = [
            snapshot
            for snapshot in snapshots
            if self.name(snapshot.partition("@")[0], copy) in self.calls.below(self.options.clones, deadline)
        ]
        if left:
            raise UnknownAnswer(f"{self.calls.name}: a clone of {left[0]} is still there after it was destroyed")

    def actions(self, datasets: Sequence[str], copy: str, *, is_tree: bool) -> tuple[Action, ...]:
        """What showing a copy runs."""
        found = []
        for dataset in datasets:
            name = self.name(dataset, copy)
            at = self.place(dataset, copy) if is_tree else ""
            line, undo = (
                self.calls.line(*self._words(f"{dataset}@{copy}", name, copy, at)),
                self.calls.line("zfs", "destroy", name),
            )
            found.append(Action(self.host.name, line, COMMAND_SECONDS, undo))
            if is_tree:
                found.append(Action(self.host.name, self.calls.line("zfs", "mount", name), COMMAND_SECONDS))
        return tuple(found)

    # -- inside --

    def _words(self, snapshot: str, name: str, copy: str, at: str = "") -> tuple[str, ...]:
        mark = ("-o", f"{MARK}={copy}")
        tree = ("-o", "readonly=on", "-o", "canmount=noauto", "-o", f"mountpoint={at}") if at else ()
        return ("zfs", "clone", *mark, *tree, snapshot, name)

    def _standing(self, name: str, snapshot: str, deadline: Deadline) -> Dataset | None:
        """The clone, when it is there already. Raises Refused for anything else of that name."""
        found = self.calls.below(self.options.clones, deadline).get(name)
        if found is not None:
            self._require_ours(found, snapshot, snapshot.partition("@")[2])
        return found

    def _require_ours(self, found: Dataset, snapshot: str, copy: str) -> None:
        if (found.origin, found.mark) != (snapshot, copy):
            raise Refused(
                f"{found.name} is there and is not a clone of {snapshot} of our making",
                detail=f"{found}",
                hint="look at it; it is neither used nor destroyed",
            )

    def _require_room(self, at: str, deadline: Deadline) -> None:
        """The folder for mount points is there and is not open to everybody, and nothing is at the place."""
        seen = look_at.look(self.host, deadline, self.options.mountpoint, at)
        folder = seen.places.get(self.options.mountpoint)
        if folder is None or not folder.mode.startswith("d") or folder.is_open_to_others:
            raise Refused(
                f"{self.options.mountpoint} on {self.host.name} is not a folder that only root may write to",
                hint=f"mkdir -m 0700 {self.options.mountpoint}",
            )
        place = seen.places.get(at)
        if place is not None and not place.is_empty:
            raise Refused(f"{at} on {self.host.name} is there and is not empty", hint="remove it after a look")

    def _remove_folder(self, at: str, deadline: Deadline) -> None:
        """The mount point, which ``zfs destroy`` leaves behind."""
        place = look_at.look(self.host, deadline, at).places.get(at)
        if place is None:
            return
        if not place.is_empty:
            raise Refused(f"{at} on {self.host.name} is not empty, though nothing is mounted there", hint="look at it")
        self.host.run(Command(("rmdir", at)), deadline.sooner(COMMAND_SECONDS)).require(f"removing {at}")
