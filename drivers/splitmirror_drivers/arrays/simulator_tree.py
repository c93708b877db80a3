"""Copy one directory tree for the simulator: built beside its place, then renamed into it, so that it is whole or absent."""

from __future__ import annotations

import shutil
from pathlib import Path

from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed


def copy_tree(source: Path, target: Path, deadline: Deadline) -> None:
    """Make `target` a copy of `source`. Raises DeadlinePassed between two files; then `target` is what it was."""

    def one(of: str, to: str) -> str:
        if deadline.is_passed:
            raise DeadlinePassed(f"{source} was not copied in the time there was", detail=of)
        return str(shutil.copy2(of, to))

    new, old = target.with_name(f"{target.name}.new"), target.with_name(f"{target.name}.old")
    for left in (new, old):
        if left.is_dir():
            shutil.rmtree(left)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, new, symlinks=True, copy_function=one)
        if target.is_dir():
            target.rename(old)
        new.rename(target)
    except (shutil.Error, OSError) as exc:
        raise CommandFailed(f"the simulator cannot copy {source}: {exc}") from exc
    finally:
        for left in (new, old):
            if left.is_dir():
                shutil.rmtree(left)
