"""Who gives a command: the person behind sudo where there is one. For records that people read; nothing is decided by it."""

from __future__ import annotations

import getpass
import os


def who_is_asking() -> str:
    """The account's name, or its number where it has none."""
    behind = os.environ.get("SUDO_USER", "")
    if behind:
        return behind
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
