"""Notes on the host about one volume group of a copy: which mounts need it, and which devices were write-protected for it.

The first mount that comes brings the volume group up, the last that goes takes it down; a journal on the backup server
knows only its own mounts. A note is an empty folder, made in one step, in a folder for that volume group below /run: it is
gone after a restart of the host, as are active volumes and write protection.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused
from splitmirror_drivers.presentation.seen import MADE, Seen, act

ABOVE = "/run/splitmirror"
_AT, _PROTECTED = "at-", "protected-"


class Marks:
    """The notes about the volume group `key` on `host`."""

    def __init__(self, host: Host, key: str) -> None:
        self.host, self.folder = host, f"{ABOVE}/{key}"

    def names(self, seen: Seen, deadline: Deadline) -> frozenset[str]:
        """Every note there; `seen` must have looked at the folder."""
        place = seen.places.get(self.folder)
        if place is None:
            return frozenset()
        if not place.mode.startswith(MADE) or place.uid != seen.uid:
            raise Refused(
                f"{self.folder} on {self.host.name} is not of our making",
                hint="look at it; when nobody needs it, remove it",
            )
        listed = act(self.host, ("ls", "-A", self.folder), deadline, f"reading {self.folder} on {self.host.name}")
        return frozenset(listed.stdout.splitlines())

    def make(self, *names: str, deadline: Deadline) -> None:
        """Write notes, and the folder for them; those that are there stay."""
        paths = (ABOVE, self.folder, *(f"{self.folder}/{name}" for name in names))
        what = f"making {self.folder} on {self.host.name}"
        act(self.host, ("mkdir", "-p", "-m", "0700", *paths), deadline, what)

    def remove(self, names: Iterable[str], deadline: Deadline, *, all_of_it: bool = False) -> None:
        """Take notes away; with `all_of_it` the folder too."""
        paths = [f"{self.folder}/{name}" for name in sorted(names)] + ([self.folder] if all_of_it else [])
        if paths:
            act(self.host, ("rmdir", *paths), deadline, f"removing {self.folder} on {self.host.name}")


def mount_note(path: str) -> str:
    """The note that the mount at `path` needs the group."""
    return f"{_AT}{quote(path, safe='')}"


def protection_note(numbers: str) -> str:
    """The note that the device `numbers` was writable before, and is to be so again."""
    return f"{_PROTECTED}{numbers}"


def protected(names: Iterable[str]) -> frozenset[str]:
    """The numbers of the devices that were write-protected."""
    return frozenset(name.removeprefix(_PROTECTED) for name in names if name.startswith(_PROTECTED))


def other_mounts(names: Iterable[str], path: str) -> tuple[str, ...]:
    """The notes of mounts other than the one at `path`."""
    return tuple(sorted(name for name in names if name.startswith(_AT) and name != mount_note(path)))
