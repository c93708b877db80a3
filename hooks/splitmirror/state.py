"""The state folder: where journal, locks, recovery cards and logs of this installation lie; and who this server is.

It belongs to exactly one user. What another user, or anybody, could have written there is not trusted.
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from splitmirror_drivers.kit.errors import JournalFault, PolicyFault

SYSTEM_FOLDER = Path("/var/lib/splitmirror")
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
SUBFOLDERS = ("locks", "cards", "log")


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder and its rooms; made by ``open``."""

    path: Path

    @classmethod
    def open(cls, wanted: str, environment: Mapping[str, str]) -> StateFolder:
        """The folder `wanted` names, else the default place; made with mode 0700 when it is missing.

        Raises PolicyFault for a relative path, JournalFault when it cannot be made or is not safely ours.
        """
        path = place(wanted, environment)
        make(path)
        require_ours(path)
        for name in SUBFOLDERS:
            make(path / name)
            require_ours(path / name)
        return cls(path)

    @property
    def locks(self) -> Path:
        """Lock files."""
        return self.path / "locks"

    @property
    def cards(self) -> Path:
        """Recovery cards, one folder a run."""
        return self.path / "cards"

    @property
    def log(self) -> Path:
        """Logs, one file a run."""
        return self.path / "log"


def place(wanted: str, environment: Mapping[str, str]) -> Path:
    """`wanted`, else /var/lib/splitmirror as root, else ``splitmirror`` in the user's own state folder (XDG)."""
    if wanted:
        path = Path(wanted).expanduser()
        if not path.is_absolute():
            raise PolicyFault(
                f"the state folder {wanted!r} is not an absolute path",
                hint="hooks start in whatever folder the product likes: write [settings] state from the root on",
            )
        return path
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    base = environment.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = f"{environment.get('HOME') or pwd.getpwuid(os.geteuid()).pw_dir}/.local/state"
    return Path(base) / "splitmirror"


def make(path: Path) -> None:
    """Make a folder with mode 0700 unless something of that name is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise JournalFault(
            f"the state folder {path} cannot be made: {exc.strerror}",
            hint="make it for the user that the backup product runs the hooks as, or set [settings] state",
        ) from exc


def require_ours(path: Path) -> None:
    """Refuse a link, another user's folder, or one that others may write to; close what others may only read."""
    try:
        found = path.lstat()
    except OSError as exc:
        raise foreign(path, exc) from exc
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise JournalFault(f"{path} is not a folder of its own", hint="a link is not followed: name the real folder")
    if found.st_uid != os.geteuid():
        raise foreign(path)
    if found.st_mode & 0o022:
        raise JournalFault(
            f"the state folder {path} may be written to by others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"make sure that what lies in it is ours, then: chmod 0700 {path}",
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)


def foreign(path: Path, cause: OSError | None = None) -> JournalFault:
    """The fault for a path of another user: who owns it, and the sudoers line that reaches the owner."""
    me = user_name(os.geteuid())
    try:
        owner = user_name(path.lstat().st_uid)
    except OSError:
        owner = "its owner"
    if owner == me:
        reason = cause.strerror if cause else "it is refused"
        return JournalFault(f"{path} cannot be used: {reason}", hint=f"see what keeps {me} from it: ls -ld {path}")
    return JournalFault(
        f"{path} belongs to {owner}, and this is {me}: the journal has one owner",
        detail=cause.strerror if cause and cause.strerror else "",
        hint=reach(me, owner),
    )


def reach(me: str, owner: str) -> str:
    """How `me` reaches hooks that only `owner` may run."""
    if me == "root":
        return f"run it as the owner: sudo -u {owner} COMMAND"
    folder = Path(sys.argv[0]).absolute().parent
    commands = ", ".join(str(folder / name) for name in ("splitmirror-pre", "splitmirror-post", "splitmirror"))
    return (
        f"add one line to sudoers: `{me} ALL=({owner}) NOPASSWD: {commands}`, "
        f"and call them with: sudo -n -u {owner} COMMAND"
    )


def user_name(uid: int) -> str:
    """A user's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def boot_id(file: Path = BOOT_ID_FILE) -> str:
    """What names this boot of the server.

    Where the system has no such name the answer is always the same one: then nothing is ever concluded from a restart,
    which is the safe side. On Linux an unreadable file is an error and not such an answer, since a guess would pass for
    a restart, and frees what a living backup reads.
    """
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as exc:
        if sys.platform == "linux":
            raise JournalFault(f"{file} cannot be read: {exc.strerror}", hint="is /proc mounted?") from exc
        return "unknown"


def server_name() -> str:
    """This backup server's name in claims and records, unless the policy file gives another."""
    return socket.gethostname()
