"""The policy table of a diskshadow array."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.arrays.diskshadow_words import place
from splitmirror_drivers.kit.errors import PolicyFault

NOBODY: Literal["none"] = "none"
_DRIVE = re.compile(r"[A-Za-z]:\\?")
_PATH = re.compile(r"[A-Za-z]:(\\[\w.$~@-]+)+")
_FOLDER = re.compile(r"[A-Za-z]:(\\[\w.$~@-]+)+|(/[\w.@-]+)+")
_WRITER = re.compile(r'[^"%{}\r\n]+|\{[0-9a-fA-F-]{36}\}')
_WRITE = (
    "[void][IO.Directory]::CreateDirectory('{folder}'); [IO.File]::WriteAllText('{path}', [Console]::In.ReadToEnd())"
)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One shadow copy set. `expose`: a drive letter or folder for each volume's copy, in their order.

    `writers`: which must take part and be stable, by name or id; ``none``: none is asked. `truncate_logs`: a full backup is
    completed towards the writers, so that they truncate logs, once the copies are known to stand.
    """

    volumes: tuple[str, ...]
    expose: tuple[str, ...] = ()
    writers: Literal["none"] | tuple[str, ...] = NOBODY
    truncate_logs: Literal["never", "after-split"] = "never"


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How files are dealt with there: `{path}` is one, `{folder}` a folder. `write` puts its standard input into one."""

    write: tuple[str, ...] = ("powershell", "-NoProfile", "-NonInteractive", "-Command", _WRITE)
    list: tuple[str, ...] = ("cmd", "/c", "dir", "/b", "{folder}")
    remove: tuple[str, ...] = ("cmd", "/c", "del", "{path}")
    make: tuple[str, ...] = ("cmd", "/c", "mkdir", "{folder}")
    unmake: tuple[str, ...] = ("cmd", "/c", "rmdir", "{folder}")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups by name. `folder`: ours, on that host: scripts, and for each copy the metadata by which it is found again."""

    groups: dict[str, Group]
    folder: str = r"C:\ProgramData\splitmirror"
    diskshadow: str = "diskshadow"
    files: Files = Files()


def require_sound(name: str, options: Options) -> None:
    """Refuse what cannot be. Raises PolicyFault."""
    if not _FOLDER.fullmatch(options.folder):
        raise PolicyFault(f"{name}: folder = {options.folder!r} is not a plain absolute folder without blanks")
    for group, table in options.groups.items():
        what = f"{name}/{group}"
        volumes = [place(volume) for volume in table.volumes]
        if not volumes or len(set(volumes)) != len(volumes):
            raise PolicyFault(f"{what}: volumes must name each volume once, and at least one")
        for key, paths in (("volumes", table.volumes), ("expose", table.expose)):
            if wrong := [path for path in paths if not (_DRIVE.fullmatch(path) or _PATH.fullmatch(path))]:
                raise PolicyFault(f"{what}: {key}: {wrong[0]!r} is neither a drive nor a plain folder without blanks")
        places = [place(path) for path in table.expose]
        if table.expose and (len(places) != len(volumes) or len({*places, *volumes}) != 2 * len(volumes)):
            raise PolicyFault(f"{what}: expose wants a place of its own for each of the {len(volumes)} volumes")
        _require_writers(what, table)


def _require_writers(what: str, table: Group) -> None:
    if table.writers != NOBODY:
        if not table.writers:
            raise PolicyFault(f"{what}: writers names none", hint='name them, or say writers = "none"')
        if wrong := [writer for writer in table.writers if not _WRITER.fullmatch(writer)]:
            raise PolicyFault(f"{what}: {wrong[0]!r} is neither the name nor the id of a writer")
    elif table.truncate_logs != "never":
        raise PolicyFault(f"{what}: truncate-logs is for the writers, and none takes part", hint="name the writers")
