"""Changes to a policy file that a person wrote: comments and order stay. The only importer of tomlkit.

The new text is loaded before it replaces the old one, which it does by a rename: at every moment there is a whole file,
and never one that the hooks would refuse.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from splitmirror.policy import load
from splitmirror.policy.problem import dotted
from splitmirror.policy.read import read_text
from splitmirror_drivers.kit.errors import PolicyFault


def put(path: Path, keys: Sequence[str], value: object) -> None:
    """Set the value (or whole table) at `keys`; tables on the way are made. Raises PolicyFault, and nothing is changed."""
    import tomlkit

    with _changing(path) as change:
        document = tomlkit.parse(change.text)
        table: MutableMapping[str, Any] = document
        for number, key in enumerate(keys[:-1], 1):
            if key not in table:
                table[key] = tomlkit.table(is_super_table=number < len(keys) - 1)
            if not isinstance(table[key], MutableMapping):
                raise PolicyFault(f"{path}: {dotted(tuple(keys[:number]))} is not a table")
            table = table[key]
        table[keys[-1]] = value
        change.text = tomlkit.dumps(document)


def add(path: Path, fragment: str) -> None:
    """Add the tables of `fragment`, comments too. Raises PolicyFault when one of its names is taken; nothing is changed."""
    new = tomllib.loads(fragment)
    with _changing(path) as change:
        old = tomllib.loads(change.text)
        taken = [
            f"{section}.{name}" for section, tables in new.items() for name in tables if name in old.get(section, {})
        ]
        if taken:
            raise PolicyFault(
                f"{path} has {', '.join(taken)} already", hint="use another name, or edit the file by hand"
            )
        change.text = _joined(change.text, fragment, old, new)


def write_new(path: Path, text: str) -> None:
    """A file that was not there, mode 0600, made whole. Raises PolicyFault when there is one, or `text` is not right."""
    load.parse(text, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise PolicyFault(f"{path.parent} cannot be made: {exc.strerror}") from exc
    temporary = _written(path, text, None)
    try:
        os.link(temporary, path)  # unlike a rename this never replaces a file that came meanwhile
    except FileExistsError as exc:
        raise PolicyFault(f"{path} is there already", hint="a file is never overwritten") from exc
    except OSError as exc:
        raise PolicyFault(f"{path} cannot be made: {exc.strerror}") from exc
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _joined(text: str, fragment: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Both in one text: one after the other, or table by table where the old file's form does not allow that."""
    wanted = {**old, **{section: {**old.get(section, {}), **tables} for section, tables in new.items()}}
    for join in (_one_after_the_other, _table_by_table):
        joined = join(text, fragment)
        with contextlib.suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(joined) == wanted:
                return joined
    raise PolicyFault("the policy file's form does not allow to add to it", detail=fragment, hint="add this by hand")


def _one_after_the_other(text: str, fragment: str) -> str:
    return f"{text.rstrip()}\n\n{fragment}" if text.strip() else fragment


def _table_by_table(text: str, fragment: str) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    for section, tables in tomlkit.parse(fragment).items():
        if section not in document:
            document[section] = tables
            continue
        for name, table in tables.items():
            document[section][name] = table.unwrap()
    return tomlkit.dumps(document)


class _Change:
    """The text of a file, being changed; `found` is the file as it was when it was read."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))  # a link stays one
        self.text = self.old = read_text(path)
        self.found = self.path.stat()

    def replace(self) -> None:
        load.parse(self.text, self.path)
        temporary = _written(self.path, self.text, self.found)
        try:
            now = self.path.stat()
            before = (self.found.st_ino, self.found.st_mtime_ns, self.found.st_size)
            if (now.st_ino, now.st_mtime_ns, now.st_size) != before:
                raise PolicyFault(f"{self.path} was changed by somebody else meanwhile", hint="do it again")
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(self.path.parent)


@contextlib.contextmanager
def _changing(path: Path) -> Any:
    change = _Change(path)
    yield change
    if change.text != change.old:
        change.replace()


def _written(path: Path, text: str, like: os.stat_result | None) -> Path:
    """A temporary file beside `path` with `text`, on disk; owner and mode as in `like`, else ours and 0600."""
    try:
        opened, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as exc:
        raise PolicyFault(f"{path.parent} cannot be written to: {exc.strerror}") from exc
    temporary = Path(name)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(text.encode())
            file.flush()
            if like is not None:
                if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(opened, like.st_uid, like.st_gid)
                os.fchmod(opened, like.st_mode & 0o7777)
            os.fsync(opened)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise PolicyFault(f"{path} cannot be written: {exc.strerror}") from exc
    return temporary


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
