"""What a Linux host shows of a copy: mounts, what lies at a path, who has it open. Asked by verb, parsed here.

Identify comes before every act and assert after it; both are one look. Sources: proc(5), mountinfo: a mount's third
field is the device number of its superblock (a btrfs has one of its own, so its device is found by the mount's source),
the fourth the part of the filesystem that is mounted, and of several mounts at one point the last lies on top.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from splitmirror_drivers.contracts.host import Answer, Host, Verb
from splitmirror_drivers.contracts.presentation import User
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, InUse, Refused, UnknownAnswer

FAMILY = "filesystem"
MADE = "drwx------"
MADE_PROTECTED = "dr-x------"
"""A mount point of ours. Its mode says whether the device was writable before, and is made so again by `withdraw`."""
POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""What one look may take on a busy machine; with less left, none is begun."""
_STICKY, _OTHERS_WRITE = 9, 8


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of mountinfo. `numbers`: MAJOR:MINOR; `device`: those of the block device it shows; `root`: the part mounted."""

    point: str
    numbers: str
    device: str
    root: str
    options: frozenset[str]
    kind: str
    source: str
    super_options: frozenset[str]

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written through this mount."""
        return "ro" in self.options


@dataclass(frozen=True, slots=True)
class Place:
    """What lies at a path. `mode` as ``ls -l`` writes it; `numbers` of the block device it leads to ("" for none)."""

    path: str
    mode: str
    uid: int
    real: str
    numbers: str
    is_empty: bool

    def is_made_by(self, uid: int) -> bool:
        """Whether this is an empty folder as `present` makes it."""
        return self.is_empty and self.uid == uid and self.mode[:10] in (MADE, MADE_PROTECTED)

    @property
    def is_open_to_others(self) -> bool:
        """Whether anybody may put something in our way here: writable for all, without the sticky bit."""
        return self.mode[_OTHERS_WRITE] == "w" and self.mode[_STICKY] not in "tT"


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a host."""

    uid: int
    mounts: tuple[Mounted, ...]
    places: Mapping[str, Place]
    backing: Mapping[str, str]
    """The file behind each loop device, by its numbers."""

    def top_at(self, point: str) -> Mounted | None:
        """The mount that is seen at a mount point."""
        return next((mount for mount in reversed(self.mounts) if mount.point == point), None)

    def holding(self, path: str) -> Mounted:
        """The mount that a real path lies on. Raises UnknownAnswer where there is none."""
        above = [mount for mount in self.mounts if is_under(path, mount.point)]
        if not above:
            raise UnknownAnswer(f"no mount holds {path}")
        longest = max(len(mount.point) for mount in above)
        return [mount for mount in above if len(mount.point) == longest][-1]

    def root_of(self, path: str) -> tuple[str, str]:
        """Filesystem and path within it of a real path: what a bind mount of it shows as (numbers, root)."""
        mount = self.holding(path)
        within = PurePosixPath(mount.root, PurePosixPath(path).relative_to(mount.point))
        return mount.numbers, str(within)


def look(host: Host, deadline: Deadline, *paths: str) -> Seen:
    """Mounts of `host`, and what lies at each of `paths`."""
    host.connect(deadline)
    answer = host.call(Verb(f"{FAMILY}.seen", paths), deadline)
    if answer.exit_code != 0:
        raise UnknownAnswer(f"{host.name} cannot say what is mounted there", detail=answer.said)
    return parse_seen(answer)


def users(host: Host, deadline: Deadline, *what: str) -> tuple[User, ...]:
    """Who has any of these paths or devices open on `host`; a mount at one of the paths itself is not counted."""
    host.connect(deadline)
    answer = host.call(Verb(f"{FAMILY}.users", what), deadline)
    if answer.exit_code != 0:
        raise UnknownAnswer(f"{host.name} cannot say who uses {', '.join(what)}", detail=answer.said)
    return parse_users(answer)


def holders(host: Host, deadline: Deadline, seen: Seen, *devices: str) -> tuple[User, ...]:
    """Who has devices mounted or built into something. Whoever only has one open (a monitor) may look on."""
    themselves = {*devices, *(seen.places[device].real for device in devices)}
    return tuple(user for user in users(host, deadline, *devices) if user.path not in themselves)


def refuse_users(what: str, found: Sequence[User], hint: str = "end those programs, then try again") -> None:
    """Raise InUse naming every one of `found`."""
    if found:
        raise InUse(f"{what} is in use: {found[0]}", detail="\n".join(str(user) for user in found), hint=hint)


def act(host: Host, argv: Sequence[str], deadline: Deadline, what: str, hint: str = "") -> Completed:
    """Run one command that must succeed."""
    return host.run(Command(tuple(argv)), deadline).require(what, hint)


def await_devices(host: Host, deadline: Deadline, path: str, devices: Sequence[str]) -> Seen:
    """Look at `path`, its parent and `devices` until every device is there. Raises DeadlinePassed naming one that is not."""
    while True:
        seen = look(host, deadline, path, parent_of(path), *devices)
        missing = [device for device in devices if device not in seen.places]
        if not missing:
            break
        if deadline.left() <= POLL_SECONDS + LOOK_SECONDS:
            raise DeadlinePassed(
                f"{missing[0]} did not appear on {host.name}",
                hint="is the copy exposed to that host? a rescan may be due",
            )
        time.sleep(POLL_SECONDS)
    for device in devices:
        if not seen.places[device].numbers:
            raise Refused(f"{device} on {host.name} is not a block device")
    return seen


def require_room(seen: Seen, path: str, host: Host) -> None:
    """Refuse unless we are root and the folder above `path` is one where nobody else can put something in our way."""
    if seen.uid != 0:
        raise Refused(
            f"presenting at {path} on {host.name} needs root", hint=f'set sudo = "root" for the host {host.name}'
        )
    parent = parent_of(path)
    place = seen.places.get(parent)
    if place is None or place.real != parent or not place.mode.startswith("d"):
        raise Refused(
            f"{parent} on {host.name} is not a folder",
            hint="make it, by its real path; the folder below it is made by us",
        )
    if place.is_open_to_others:
        raise Refused(
            f"anybody may write to {parent} on {host.name}", hint=f"chmod o-w {parent}, or choose another place"
        )


def parent_of(path: str) -> str:
    """The folder above."""
    return str(PurePosixPath(path).parent)


def require_absolute(path: str) -> str:
    """`path`, when it is a plain absolute path. Raises Refused."""
    if not path.startswith("/") or path == "/" or str(PurePosixPath(path)) != path or ".." in path.split("/"):
        raise Refused(f"{path!r} is not a plain absolute path")
    if any(ord(character) < ord(" ") for character in path):
        raise Refused(f"{path!r} holds control characters")
    return path


def is_under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def parse_seen(answer: Answer) -> Seen:
    """`filesystem.seen` as a Seen. Raises UnknownAnswer for what cannot be read."""
    if not answer.facts.get("uid", "").isdigit():
        raise UnknownAnswer("the host did not say what is mounted there", detail=answer.said)
    sources = {row[0]: row[1] for row in _rows(answer, "source", 2)}
    places = [
        Place(path, mode, int(uid), real, "" if numbers == "-" else numbers, content == "empty")
        for path, mode, uid, real, numbers, content in _rows(answer, "place", 6)
    ]
    return Seen(
        uid=int(answer.facts["uid"]),
        mounts=parse_mountinfo(answer.lines("mountinfo"), sources),
        places={place.path: place for place in places},
        backing={row[0]: row[1] for row in _rows(answer, "backing", 2)},
    )


def parse_users(answer: Answer) -> tuple[User, ...]:
    """`filesystem.users` as Users."""
    return tuple(User(int(pid), name, path) for pid, name, path in _rows(answer, "user", 3))


def parse_mountinfo(lines: Sequence[str], sources: Mapping[str, str]) -> tuple[Mounted, ...]:
    """Lines of mountinfo; `sources` gives the numbers of the devices whose mounts have numbers of their own."""
    found = []
    for line in lines:
        front, dash, back = line.partition(" - ")
        before, after = front.split(" "), back.split(" ")
        if not dash or len(before) < 6 or len(after) < 3:
            raise UnknownAnswer("a line of mountinfo cannot be read", detail=line)
        source = unescape(after[1])
        found.append(
            Mounted(
                point=unescape(before[4]),
                numbers=before[2],
                device=sources.get(source, before[2]) if after[0] == "btrfs" else before[2],
                root=unescape(before[3]),
                options=frozenset(before[5].split(",")),
                kind=after[0],
                source=source,
                super_options=frozenset(after[2].split(",")),
            )
        )
    return tuple(found)


def unescape(text: str) -> str:
    """A path as mountinfo writes it: blanks and such are three octal digits behind a backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _rows(answer: Answer, key: str, fields: int) -> list[tuple[str, ...]]:
    rows = [tuple(line.split("\t", fields - 1)) for line in answer.lines(key)]
    if any(len(row) != fields for row in rows):
        raise UnknownAnswer(f"a {key} line has not {fields} fields", detail=answer.facts.get(key, ""))
    return rows
