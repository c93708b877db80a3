"""What a directory mirror refuses: trees inside each other, mounts inside, network filesystems, somebody else's folder."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from splitmirror_drivers.arrays.directory_names import translated
from splitmirror_drivers.arrays.directory_place import Place, State, Word, inode
from splitmirror_drivers.contracts.array import Mode
from splitmirror_drivers.kit.errors import InUse, PolicyFault, Refused

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|gfs2?|ocfs2|lustre|glusterfs|fuse\.(sshfs|glusterfs|ceph|s3fs).*"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def require_sound(place: Place) -> None:
    """Raise Refused for a pair of trees that cannot be mirrored."""
    if not inode(place.source):
        raise Refused(
            f"{place.source} is not a folder",
            detail="a link is not followed" if place.source.is_symlink() else "",
            hint="mount it, or name the folder itself as the source",
        )
    source, mirror = place.source.resolve(), place.mirror.parent.resolve() / place.mirror.name
    if source in (mirror, *mirror.parents) or mirror in source.parents:
        raise Refused(f"source and mirror lie one inside the other: {source}, {mirror}")
    points = mounts()
    for tree in (source, mirror):
        for point, _ in points:
            if tree in point.parents:
                raise Refused(
                    f"{point} is mounted inside {tree}",
                    hint="mirror that filesystem as a group of its own, or unmount it",
                )
        if kind := filesystem_of(tree, points):
            raise Refused(
                f"{tree} lies on a network filesystem ({kind})",
                detail="its changes cannot be told from its times, which another machine's clock makes",
                hint="run splitmirror where that filesystem is local",
            )


def require_apart(what: str, place: Place, state_folder: Path) -> None:
    """Raise PolicyFault when the journal lies in one of the trees.

    A process that closes a file loses its POSIX locks on it: copying the journal would take the hook's own locks away.
    """
    for tree in (place.source.resolve(), place.mirror.resolve()):
        if tree in (state_folder.resolve(), *state_folder.resolve().parents):
            raise PolicyFault(
                f"{what}: our own state folder {state_folder} lies in {tree}",
                hint="set [settings] state to a place outside of what is mirrored",
            )


def mounts() -> list[tuple[Path, str]]:
    """Every mount point and its filesystem type; none where the system does not tell."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        left, _, right = line.partition(" - ")
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), left.split(" ")[4])
        found.append((Path(point), right.split(" ")[0]))
    return found


def filesystem_of(tree: Path, points: list[tuple[Path, str]]) -> str:
    """The network filesystem `tree` lies on, "" when it is a local one."""
    above = [(len(point.parts), kind) for point, kind in points if point in (tree, *tree.parents)]
    kind = max(above, key=lambda one: one[0])[1] if above else ""
    return kind if NETWORK.fullmatch(kind) else ""


def begin(place: Place, mode: Mode) -> State:
    """The state to begin an establish with; makes the mirror's folder. Raises Refused, having changed nothing."""
    known = place.read()
    there = inode(place.mirror)
    if known is None:
        _require_free(place)
        if mode is Mode.INCREMENTAL:
            raise Refused(f"{place.mirror} has never been made", hint="splitmirror establish --full POLICY")
    elif there and there != known.mirror_inode:
        raise _stranger(place)
    elif not there:
        _may_be_made_anew(place, known, mode)
    elif mode is Mode.INCREMENTAL:
        _require_same_source(place, known)
    with translated(str(place.mirror), "cannot be made"):
        place.mirror.mkdir(mode=0o700, exist_ok=True)
    fresh = State(Word.COPYING, str(place.source), inode(place.source), inode(place.mirror))
    if known is None or not there:
        return fresh
    is_same = known.source_inode == fresh.source_inode
    return msgspec.structs.replace(fresh, is_complete=known.is_complete and is_same, expected=known.expected)


def _require_free(place: Place) -> None:
    if place.mirror.is_symlink() or (place.mirror.exists() and not place.mirror.is_dir()):
        raise _stranger(place)
    with translated(str(place.mirror), "cannot be looked into"):
        if place.mirror.is_dir() and any(place.mirror.iterdir()):
            raise _stranger(place)


def _may_be_made_anew(place: Place, known: State, mode: Mode) -> None:
    if known.word is Word.SPLIT:
        raise InUse(
            f"the tree {place.mirror} is away: it may still be presented",
            hint=f"withdraw it; if it is gone for good, remove {place.beside('state.json')}, then: "
            "splitmirror establish --full POLICY",
        )
    if mode is Mode.INCREMENTAL:
        raise Refused(f"{place.mirror} is gone", hint="splitmirror establish --full POLICY")


def _require_same_source(place: Place, known: State) -> None:
    """An unmounted source must not empty its mirror. (A folder's inode may be used again; an empty one is told anyway.)"""
    with translated(str(place.source), "cannot be listed"):
        is_empty = not any(place.source.iterdir())
    if inode(place.source) != known.source_inode or (is_empty and known.expected > 1):
        raise Refused(
            f"{place.source} is {'empty' if is_empty else 'another folder'}, and not what was mirrored before",
            hint=f"is it mounted? if that is meant: remove {place.beside('state.json')} and {place.mirror}, then: "
            "splitmirror establish --full POLICY",
        )


def _stranger(place: Place) -> Refused:
    return Refused(
        f"{place.mirror} is not empty and not a mirror of ours",
        hint="name another place for the mirror, or empty that folder if nobody needs what is in it",
    )
