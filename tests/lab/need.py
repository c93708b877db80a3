"""What a lab test needs of its machine: it is skipped with the reason, or fails where CI says that nothing may be skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = "SPLITMIRROR_LAB"
"""Set to ``required`` where every part must be there."""


def need(*programs: str, root: bool = True, loop: bool = False) -> None:
    """Skip unless `programs` are on PATH (or in sbin), and we are root or have a loop device where asked."""
    lacking = [name for name in programs if find(name) is None]
    if lacking:
        _lack(f"not installed: {', '.join(lacking)}")
    if root and os.geteuid() != 0:
        _lack("not root")
    if loop and not Path("/dev/loop-control").exists():
        _lack("no loop devices")


def is_required() -> bool:
    """Whether CI says that nothing may be skipped here."""
    return os.environ.get(REQUIRED) == "required"


def find(program: str) -> str | None:
    """The program's path, also in the folders that only root has on its PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def _lack(reason: str) -> NoReturn:
    if is_required():
        pytest.fail(f"this machine must run every lab test, and cannot: {reason}")
    pytest.skip(f"lab: {reason}")
