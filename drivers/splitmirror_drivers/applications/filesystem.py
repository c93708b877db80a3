"""Filesystems of a Linux data server, frozen over a split: nothing is written, and what is on the devices is whole.

A freeze has no owner, no time-out and no query. Whether somebody else has frozen a filesystem can only be asked by
freezing it: `enter` is refused with EBUSY then and leaves it alone; `check` changes nothing and so cannot see it. A
filesystem is frozen once, whatever is mounted of it where; those that lie on another one (in a loop file) come first,
then the deepest mount points. Refused is whatever the way out, a login or the machine itself may have to write to.
Sources: fsfreeze(8); kernel fs/super.c (freeze_super: EBUSY; filesystems without freeze: EOPNOTSUPP); proc(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.presentation.seen import Mounted, Seen, parse_seen

FAMILY = "filesystem"
CHECK_SECONDS = 30.0
FREEZABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", "f2fs", "nilfs2", "reiserfs", "bcachefs"})
"""Local filesystems whose kernel code can freeze (super operation freeze_fs)."""
_HOLD = "hold."
_FLOOR = 1000


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What is frozen: `mounts`, by their mount points; or whatever filesystems `paths` lie on."""

    mounts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frozen:
    """One filesystem to be frozen. `token`: the folder for the run's token; `points`: everywhere it is mounted.

    `rank` is lower the further in it lies, also among what other applications of the same host freeze.
    """

    rank: int
    point: str
    numbers: str
    token: str
    points: tuple[str, ...]


class Filesystem:
    """Some filesystems of one host, held together."""

    driver = "filesystem"
    families: tuple[str, ...] = (FAMILY,)

    def __init__(self, name: str, options: Options, host: Host, kept: str = "") -> None:
        self.name, self.options, self.host, self._kept = name, options, host, kept

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Filesystem:
        """The catalogue's constructor. Raises PolicyFault when nothing is named."""
        if not options.mounts and not options.paths:
            raise PolicyFault(f"{name}: no filesystem is named", hint='set mounts = ["/data"] or paths = ["/data/erp"]')
        for path in (*options.mounts, *options.paths):
            if not path.startswith("/"):
                raise PolicyFault(f"{name}: {path!r} is not an absolute path")
        return cls(name, options, host, context.state_folder if host.is_local else "")

    @classmethod
    def for_mounts(cls, name: str, host: Host, mounts: Sequence[str], kept: str = "") -> Filesystem:
        """What ``freeze-filesystems`` adds. `kept`: a folder of ours on that host that must stay writable."""
        host.families((FAMILY,))
        return cls(name, Options(mounts=tuple(mounts)), host, kept)

    def check(self, deadline: Deadline) -> Facts:
        """Find the filesystems and refuse those that must not be frozen. A foreign freeze is only found by `enter`."""
        wanted = (*self.options.mounts, *self.options.paths)
        answer = self.host.call(Verb("filesystem.check", (self._kept, *wanted)), deadline.sooner(CHECK_SECONDS))
        if answer.exit_code != 0:
            raise UnknownAnswer(f"{self.name}: {self.host.name} cannot say what is mounted", detail=answer.said)
        frozen = plan(self.name, answer, self.options)
        return Facts(
            files=tuple(sorted(wanted)),
            values={f"{_HOLD}{number:03}": "\t".join(_row(one)) for number, one in enumerate(frozen)},
        )

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """One hold a filesystem, in the order in which they are frozen."""
        rows = [value.split("\t") for key, value in sorted(facts.values.items()) if key.startswith(_HOLD)]
        return tuple(
            Hold(
                name=f"{self.name}.{number}",
                family=FAMILY,
                arguments=(point, numbers, token),
                blocks=Blocks.WRITES,
                ends_with=EndsWith.SERVER,
                rank=int(rank),
                claim=f"{FAMILY}-{numbers}",
                covers_paths=tuple(points),
                tolerates_spread=True,
            )
            for number, (rank, point, numbers, token, *points) in enumerate(rows)
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:  # noqa: ARG002
        """Nothing but files: they are copied back."""
        names = ", ".join((*self.options.mounts, *self.options.paths))
        state = "while the filesystem was frozen" if verdict is Verdict.APPLICATION else "as after a power failure"
        return Captured(
            (
                f"The files of {names} on {self.host.name} were copied {state}. Mount the copy and copy them back "
                "with owners, modes and extended attributes (for example rsync -aHAX --numeric-ids).",
                "`.splitmirror-run` at the top of a filesystem names the run that froze it; it may be removed.",
            ),
            facts=dict(facts),
        )


def plan(name: str, answer: Answer, options: Options) -> tuple[Frozen, ...]:
    """Which filesystems are frozen, in order, from what `filesystem.check` answered. Raises Refused naming each reason."""
    seen = parse_seen(answer)
    if missing := answer.lines("missing"):
        raise Refused(f"{name}: {missing[0]} does not exist")
    if seen.uid != 0:
        raise Refused(f"{name}: freezing needs root", hint='set sudo = "root" for that host')
    if not answer.facts.get("program"):
        raise Refused(f"{name}: there is no fsfreeze", hint="install util-linux there")
    real = {path: place for path, _, place in (line.partition("\t") for line in answer.lines("real"))}
    chosen: dict[str, Mounted] = {}
    for path in options.mounts:
        chosen.setdefault(*_numbered(_mounted_at(name, seen, path, real[path])))
    for path in options.paths:
        chosen.setdefault(*_numbered(seen.holding(real[path])))
    vital = [(what, path) for what, _, path in (line.partition("\t") for line in answer.lines("vital"))]
    for mount in chosen.values():
        refuse(name, seen, mount, vital)
    ranks = ranked(seen, chosen)
    ordered = sorted(chosen.values(), key=lambda mount: (ranks[mount.numbers], mount.point))
    return tuple(_frozen(seen, mount, ranks[mount.numbers]) for mount in ordered)


def refuse(name: str, seen: Seen, mount: Mounted, vital: Sequence[tuple[str, str]]) -> None:
    """Raise Refused for a filesystem that must not, or cannot, be frozen. `vital`: what it is and its real path."""
    if not mount.point.isprintable():
        raise Refused(
            f"{name}: the name of the mount point {mount.point!r} cannot be handed on", hint="mount it elsewhere"
        )
    hint = "leave it out, or move what must not be frozen to a filesystem of its own"
    for what, path in vital:
        if seen.holding(path).numbers == mount.numbers:
            raise Refused(f"{name}: {mount.point} must not be frozen: it holds {what} ({path})", hint=hint)
    if mount.kind not in FREEZABLE:
        raise Refused(f"{name}: {mount.point} is {mount.kind}, which cannot be frozen", hint="leave it out")
    if mount.is_read_only or "ro" in mount.super_options:
        raise Refused(
            f"{name}: {mount.point} is mounted read-only: nothing is written there, and no token can be",
            hint='leave it out (freeze-filesystems = ["/data", …])',
        )


def ranked(seen: Seen, chosen: Mapping[str, Mounted]) -> Mapping[str, int]:
    """Ranks by numbers, innermost lowest: what lies in a file on another one, then the deeper mount points."""

    def floors(mount: Mounted) -> int:
        below = seen.backing.get(mount.device, "")
        under = chosen.get(seen.holding(below).numbers) if below.startswith("/") else None
        return 0 if under is None or under is mount else 1 + floors(under)

    return {numbers: -_FLOOR * floors(mount) - mount.point.count("/") for numbers, mount in chosen.items()}


def _mounted_at(name: str, seen: Seen, path: str, real: str) -> Mounted:
    mount = seen.top_at(real)
    if mount is None:
        holder = seen.holding(real).point
        raise Refused(
            f"{name}: {path} is not a mount point, it lies on {holder}", hint=f"is it mounted? else name {holder}"
        )
    return mount


def _numbered(mount: Mounted) -> tuple[str, Mounted]:
    return mount.numbers, mount


def _frozen(seen: Seen, mount: Mounted, rank: int) -> Frozen:
    """The token goes to the top of the filesystem, where the copy will show it, if that is mounted anywhere."""
    same = [one for one in seen.mounts if one.numbers == mount.numbers and seen.top_at(one.point) is one]
    top = next((one.point for one in same if one.root == "/" and not one.is_read_only), mount.point)
    return Frozen(rank, mount.point, mount.numbers, top, tuple(one.point for one in same if one.point.isprintable()))


def _row(one: Frozen) -> tuple[str, ...]:
    return (str(one.rank), one.point, one.numbers, one.token, *one.points)
