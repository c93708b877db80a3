"""How a person recovers this very copy of an Oracle database: paragraphs with the commands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import UnknownAnswer

CONTROL = "control.ctl"
PARAMETERS = "init.ora"
DATA_FILES = "data-files.txt"
ARCHIVED_LOGS = "archived-logs.txt"


@dataclass(frozen=True, slots=True)
class Span:
    """The archived logs of one thread that recovery takes at the least, by sequence number."""

    thread: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"thread {self.thread} sequence {self.first} to {self.last}"

    @property
    def argument(self) -> str:
        """As ``oracle.archived`` reads it."""
        return f"{self.thread}:{self.first}:{self.last}"


def spans_of(begin: str, end: str) -> tuple[Span, ...]:
    """Spans from the facts ``begin-log`` and ``end-log``: a line THREAD SEQUENCE for each thread. Nothing where one lacks."""
    first, last = _sequences(begin), _sequences(end)
    if not first or not last:
        return ()
    return tuple(
        Span(thread, first.get(thread, last.get(thread, 0)), last.get(thread, first.get(thread, 0)))
        for thread in sorted({*first, *last})
    )


def _sequences(text: str) -> dict[int, int]:
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise UnknownAnswer(f"{line!r} is no thread with its log sequence")
        found[int(words[0])] = int(words[1])
    return found


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the words of a recovery depend on. `control`: where the database keeps its control files."""

    name: str
    sid: str
    home: str
    os_user: str
    control: Sequence[str]
    spans: Sequence[Span]
    files: Mapping[str, bytes]
    control_at: str


def backup_steps(it: Recovery) -> tuple[str, ...]:
    """For a copy made in backup mode."""
    logs = "; ".join(map(str, it.spans)) or "the logs of the backup, which are not known"
    return (
        f"These are the data files of {it.name} in backup mode: they must be recovered, with the archived logs of {logs} "
        "at the least, and cannot be opened without. Never use ALTER DATABASE END BACKUP on the copy: it would open, and be damaged. "
        "Do not use online redo logs or control files that lie on the copy.",
        *_place(it),
        "Recover: `RECOVER DATABASE USING BACKUP CONTROLFILE UNTIL CANCEL;` and name each archived log that it asks for, "
        f"at least to the end of {logs}; then `CANCEL`. To go on to a moment: `… UNTIL TIME 'YYYY-MM-DD:HH24:MI:SS' …` in its place. "
        "ORA-01195 or ORA-01113 at the open means that a log is missing.",
        *_open(),
    )


def blind_steps(name: str, spans: Sequence[Span], why: str) -> tuple[str, ...]:
    """For a copy made in backup mode whose database could not be asked afterwards."""
    logs = "; ".join(map(str, spans)) or "the logs of the backup, which are not known"
    return (
        f"These are the data files of {name} in backup mode: they must be recovered with the archived logs of {logs} at the "
        "least. Never use ALTER DATABASE END BACKUP on the copy. "
        f"The database could not be asked after the split ({why}): there is no control file on this card. Take one that was "
        "made after this copy (`ALTER DATABASE BACKUP CONTROLFILE TO '…';`), mount the copy with it, then "
        "`RECOVER DATABASE USING BACKUP CONTROLFILE UNTIL CANCEL;` and `ALTER DATABASE OPEN RESETLOGS;`.",
    )


def snapshot_steps(it: Recovery, taken: str) -> tuple[str, ...]:
    """For a copy split without backup mode (12.1 and later)."""
    return (
        f"These are the files of {it.name} as one split took them, without backup mode, at some moment before {taken} of the database's "
        "own clock. By itself the copy, with its own online redo logs and control files, starts as after a power failure: "
        "`sqlplus / as sysdba`, `STARTUP`. Nothing can be rolled forward beyond that.",
        "To recover to a later moment, leave its online redo logs and control files out.",
        *_place(it),
        f"Recover: `ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS';` and `RECOVER DATABASE USING BACKUP CONTROLFILE UNTIL TIME 'LATER' SNAPSHOT TIME '{taken}';` where LATER lies after that time. "
        "ORA-19839: a data file is of a later moment than SNAPSHOT TIME says; ORA-19840: the option is not enabled there.",
        *_open(),
    )


def _place(it: Recovery) -> tuple[str, ...]:
    owner = f"-o {it.os_user} " if it.os_user else ""
    if CONTROL in it.files:
        copies = "; ".join(f"`install {owner}-m 640 CARD/{it.name}/{CONTROL} {path}`" for path in it.control)
        control = f"Put the control file of this card into each place where the database expects it: {copies}."
    else:
        control = (
            f"The control file could not be put on this card: find {it.control_at or 'one that was made after this copy'} "
            f"and put it in place of {', '.join(it.control)}."
        )
    pfile = f" pfile='CARD/{it.name}/{PARAMETERS}'" if PARAMETERS in it.files else ""
    account = f"As account {it.os_user}: " if it.os_user else ""
    return (
        f"With the instance down, put every file of CARD/{it.name}/{DATA_FILES} back under its name (or say where it is now: "
        "`ALTER DATABASE RENAME FILE 'OLD' TO 'NEW';` once mounted). "
        f"Temporary files are made anew by the database.",
        control,
        f"{account}`ORACLE_SID={it.sid} ORACLE_HOME={it.home} {it.home}/bin/sqlplus / as sysdba`, then `STARTUP NOMOUNT{pfile};` and "
        "`ALTER DATABASE MOUNT;`.",
    )


def _open() -> tuple[str, ...]:
    return (
        "`ALTER DATABASE OPEN RESETLOGS;`, then take a new full backup. On a machine that can reach the original, first give the "
        "copy another name and id (DBNEWID, `nid`), and unset its archive destinations.",
    )
