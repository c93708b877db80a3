"""The copy's tree moved to the place where it is looked for, and moved back: a rename, which needs no privilege.

`path` exists only while the copy is presented, since it is the copy. A rename is one step, so after a crash at any point
the tree is at one of the two places; which one is told by its device and inode, written down before it is moved. The
tree stays writable for those who own it. Source: rename(2).
"""

from __future__ import annotations

from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Action, Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen

INTEND_SECONDS = 30.0
MOVE_SECONDS = 30.0
ROOT_INODES = frozenset({"1", "2", "64", "96", "128", "256"})
"""Roots of filesystems and of btrfs subvolumes: many trees have these."""
INSTEAD = "present it with `mount`, as root, or put the mirror and this path on one filesystem"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What every presentation is given; a tree that is moved has none of it."""

    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False


class Directory:
    """One tree presented at one path of one Linux host."""

    driver = "directory"
    writes_to_copy = False

    def __init__(self, path: str, host: Host) -> None:
        self.path, self.host = seen.require_absolute(path), host
        host.families((seen.FAMILY,))

    @classmethod
    def from_options(cls, path: str, options: Options, host: Any, context: Context) -> Directory:  # noqa: ARG003
        """The catalogue's constructor. Raises PolicyFault."""
        if options != Options():
            raise PolicyFault(
                f"{path}: a tree that is presented as a directory is moved, not mounted: it has no options, filesystem or fsck",
                hint="take them out, or use `mount` instead of `directory`",
            )
        return cls(path, host)

    def check(self, deadline: Deadline) -> None:
        """The folder above must be there and ours to write to, and nothing at the path itself."""
        self._require_nothing_there(deadline)
        self._require_writable(seen.parent_of(self.path), deadline)

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:  # noqa: ARG002
        """Which tree it is, by device and inode. Refused when it cannot be moved to `path` in one step."""
        if exposed.kind != "tree" or len(exposed.paths) != 1:
            raise Refused(f"only a tree can be presented as the directory {self.path}", hint="use `mount` or `raw`")
        if exposed.host != self.host.name:
            raise Refused(f"the copy is visible on {exposed.host}, and {self.path} is a place on {self.host.name}")
        tree, deadline = exposed.paths[0], Deadline.after(INTEND_SECONDS)
        self._require_one_filesystem(tree, deadline)
        device, inode = self._identity(tree, deadline) or ("", "")
        if not inode:
            raise Refused(f"there is no tree {tree} on {self.host.name}")
        return Presented(self.driver, self.path, exposed, {"run": run, "device": device, "inode": inode})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        """Move the tree to its path, unless it is there already."""
        if self._is_at(self.path, intent, deadline):
            return
        self._require_nothing_there(deadline)
        if not self._is_at(_tree(intent), intent, deadline):
            raise Refused(f"the tree {_tree(intent)} on {self.host.name} is not the one that was split")
        self._move(_tree(intent), self.path, deadline)
        self.verify(intent, deadline)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        """What is at `path` must be the tree that was split, and at its old place there must be nothing."""
        if not self._is_at(self.path, intent, deadline):
            raise Refused(f"what is at {self.path} on {self.host.name} is not the copy of this run")
        if self._identity(_tree(intent), deadline) is not None:
            raise Refused(
                f"{_tree(intent)} on {self.host.name} was made anew while its tree is presented at {self.path}"
            )

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        """Who has it open, wherever it is."""
        places = [place for place in (intent.path, _tree(intent)) if self._is_at(place, intent, deadline)]
        return seen.users(self.host, deadline, *places) if places else ()

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        """Move it back, when nobody has it open; what is at `path` and not this tree is left alone."""
        if not self._is_at(intent.path, intent, deadline):
            if self._is_at(_tree(intent), intent, deadline) or self._identity(intent.path, deadline) is None:
                return
            raise Refused(
                f"what is at {intent.path} on {self.host.name} is not the copy of this run, and neither is {_tree(intent)}",
                hint="find the tree and move it back to " + _tree(intent),
            )
        seen.refuse_users(intent.path, self.users(intent, deadline))
        if self._identity(_tree(intent), deadline) is not None:
            raise Refused(
                f"{_tree(intent)} on {self.host.name} is in the way of the tree that is to be moved back there",
                hint="look what it is, and move it elsewhere",
            )
        self._move(intent.path, _tree(intent), deadline)
        if self._identity(intent.path, deadline) is not None:
            raise CommandFailed(f"{intent.path} on {self.host.name} is still there")

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        """The command as it is run."""
        tree = exposed.paths[0] if exposed else "TREE"
        line = Command(_move_argv(tree, self.path)).line()
        return (Action(self.host.name, line, MOVE_SECONDS, Command(_move_argv(self.path, tree)).line()),)

    # -- looking and moving --

    def _identity(self, path: str, deadline: Deadline) -> tuple[str, str] | None:
        """Device and inode of what is at `path`, None when there is nothing; a link is looked at itself."""
        if path not in seen.look(self.host, deadline, path).places:
            return None
        said = self._run(("stat", "-c", "%d %i", "--", path), deadline)
        words = said.split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise UnknownAnswer(f"{self.host.name} does not say which file {path} is", detail=said)
        return words[0], words[1]

    def _is_at(self, path: str, intent: Presented, deadline: Deadline) -> bool:
        # after a restart the device's number may be another one; then the inode alone decides, where it says enough
        found, wanted = self._identity(path, deadline), (intent.data["device"], intent.data["inode"])
        return found is not None and found[1] == wanted[1] and (found == wanted or found[1] not in ROOT_INODES)

    def _require_nothing_there(self, deadline: Deadline) -> None:
        if self.path in seen.look(self.host, deadline, self.path).places:
            raise Refused(
                f"{self.path} exists already on {self.host.name}",
                hint="it must exist only while a copy is presented: remove it after a look, or name another path",
            )

    def _require_writable(self, folder: str, deadline: Deadline) -> None:
        place = seen.look(self.host, deadline, folder).places.get(folder)
        if place is None or not place.mode.startswith("d"):
            raise Refused(f"{folder} on {self.host.name} is not a folder", hint="make it; the copy is moved into it")
        if place.is_open_to_others:
            raise Refused(f"anybody may write to {folder} on {self.host.name}", hint=f"chmod o-w {folder}")
        for right in ("-w", "-x"):
            if self.host.run(Command(("test", right, folder)), deadline).exit_code != 0:
                raise Refused(f"{folder} on {self.host.name} may not be written to by this account")

    def _require_one_filesystem(self, tree: str, deadline: Deadline) -> None:
        parents = seen.parent_of(tree), seen.parent_of(self.path)
        found = seen.look(self.host, deadline, *parents)
        if missing := [one for one in parents if one not in found.places]:
            raise Refused(f"{missing[0]} on {self.host.name} is not there")
        mounts = {found.holding(found.places[one].real) for one in parents}
        devices = {(self._identity(one, deadline) or ("", ""))[0] for one in {found.places[p].real for p in parents}}
        if len(mounts) > 1 or len(devices) > 1:
            raise Refused(f"{tree} and {self.path} on {self.host.name} lie on different filesystems", hint=INSTEAD)
        self._require_writable(parents[0], deadline)

    def _move(self, source: str, target: str, deadline: Deadline) -> None:
        self._run(_move_argv(source, target), deadline)

    def _run(self, argv: tuple[str, ...], deadline: Deadline) -> str:
        return seen.act(self.host, argv, deadline, f"{argv[0]} {argv[-1]} on {self.host.name}").stdout


def _tree(intent: Presented) -> str:
    return intent.exposed.paths[0]


def _move_argv(source: str, target: str) -> tuple[str, ...]:
    return ("mv", "-T", "-n", "--", source, target)
