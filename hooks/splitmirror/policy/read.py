"""The text of a policy file, from a file that only we can have written.

Whoever may write this file decides which commands we run as whom. What is judged is the file that was opened and not
its name, so that a name that is changed meanwhile gains nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from splitmirror.state import user_name
from splitmirror_drivers.kit.errors import PolicyFault

SYSTEM_FILE = Path("/etc/splitmirror/splitmirror.toml")
LIMIT_BYTES = 4 * 2**20


def read_text(path: Path) -> str:
    """The text of `path`. Raises PolicyFault naming why it cannot be read or may not be trusted."""
    try:
        # without O_NONBLOCK a named pipe would keep us waiting for ever
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        require_trusted(path, os.fstat(opened))
        with os.fdopen(opened, "rb", closefd=False) as file:
            content = file.read(LIMIT_BYTES + 1)
    finally:
        os.close(opened)
    if len(content) > LIMIT_BYTES:
        raise PolicyFault(f"{path} is longer than {LIMIT_BYTES // 2**20} MiB", hint="is it really a policy file?")
    return _decoded(path, content)


def require_trusted(path: Path, found: os.stat_result) -> None:
    """Refuse what is no file, what another user owns, and what others may write to."""
    me = os.geteuid()
    if stat.S_ISDIR(found.st_mode):
        raise PolicyFault(f"{path} is a folder", hint=f"name the file in it, for example {path / SYSTEM_FILE.name}")
    if not stat.S_ISREG(found.st_mode):
        raise PolicyFault(f"{path} is not a regular file")
    if found.st_uid not in (0, me):
        raise PolicyFault(
            f"{path} belongs to {user_name(found.st_uid)}, who could make {user_name(me)} run any command",
            hint=f"make sure that what it says is yours, then: chown {user_name(me)} {path}",
        )
    # for a user of its own a file of mode 0664 is usual; its group has no other member
    closed = stat.S_IWOTH | (stat.S_IWGRP if me == 0 else 0)
    if found.st_mode & closed:
        raise PolicyFault(
            f"{path} may be written to by others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"make sure that what it says is yours, then: chmod go-w {path}",
        )


def _unreadable(path: Path, exc: OSError) -> PolicyFault:
    me = user_name(os.geteuid())
    if exc.errno == errno.ENOENT:
        hint = "`splitmirror init` writes one; --config or SPLITMIRROR_CONFIG names another place"
        if me != "root" and path != SYSTEM_FILE and SYSTEM_FILE.exists():
            hint = f"this is {me}; there is {SYSTEM_FILE}: run as its owner, or name it with --config"
        return PolicyFault(f"there is no policy file {path}", hint=hint)
    return PolicyFault(
        f"the policy file {path} cannot be read: {exc.strerror}",
        hint=f"the hooks run as {me}: that user must be able to read it" if exc.errno == errno.EACCES else "",
    )


def _decoded(path: Path, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise PolicyFault(f"{path}: line {line}: not UTF-8", hint="save it as UTF-8, as TOML demands") from exc
    if text.startswith("\ufeff"):
        raise PolicyFault(f"{path}: line 1: begins with a byte order mark", hint="save it as UTF-8 without one")
    return text
