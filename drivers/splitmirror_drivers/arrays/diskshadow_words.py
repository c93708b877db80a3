"""What diskshadow prints: each command echoed, shadow copies, writers. English only; whatever is not understood is an error.

No document says its exit codes, so words decide: the ``-> `` echo says how far a script came (it ends at the first command
that fails), and what follows says what came of it. Sources: Microsoft "Windows Commands": diskshadow, add alias, create,
list shadows, list writers; vsswriter.h; public captures of diskshadow 1.0 on Windows Server 2012 to 2022.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import UnknownAnswer

BANNER = "Microsoft DiskShadow"
GUID = r"\{[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}"
IN_PROGRESS = "80042316"
"""VSS_E_SNAPSHOT_SET_IN_PROGRESS: somebody else makes a shadow copy just now (vsserror.h)."""
FINE = frozenset({"VSS_WS_STABLE", "VSS_WS_WAITING_FOR_BACKUP_COMPLETE"})
"""States of a writer that has nothing against a shadow copy, before and after it was made (vsswriter.h)."""
STATES = FINE | {
    "VSS_WS_UNKNOWN",
    "VSS_WS_WAITING_FOR_FREEZE",
    "VSS_WS_WAITING_FOR_THAW",
    "VSS_WS_WAITING_FOR_POST_SNAPSHOT",
    "VSS_WS_FAILED_AT_IDENTIFY",
    "VSS_WS_FAILED_AT_PREPARE_BACKUP",
    "VSS_WS_FAILED_AT_PREPARE_SNAPSHOT",
    "VSS_WS_FAILED_AT_FREEZE",
    "VSS_WS_FAILED_AT_THAW",
    "VSS_WS_FAILED_AT_POST_SNAPSHOT",
    "VSS_WS_FAILED_AT_BACKUP_COMPLETE",
    "VSS_WS_FAILED_AT_PRE_RESTORE",
    "VSS_WS_FAILED_AT_POST_RESTORE",
    "VSS_WS_FAILED_AT_BACKUPSHUTDOWN",
}
ATTRIBUTES = frozenset(
    {
        *("Persistent", "No_Auto_Release", "No_Writers", "Client_Accessible", "Differential", "Plex"),
        *("Transportable", "Not_Surfaced", "Not_Transacted", "Hardware_Assisted", "Imported", "Delayed_Postsnapshot"),
        *("Exposed_Locally", "Exposed_Remotely", "Auto_Recover", "Rollback_Recovery", "TxF_Recovery"),
    }
)
"""VSS_VOLUME_SNAPSHOT_ATTRIBUTES (vss.h), as diskshadow writes them."""
_ECHO = re.compile(r"-> (?!%)(.*\S)\s*")
_ALIAS = re.compile(rf"-> %(\w+)% = ({GUID})")
_SHADOW = re.compile(rf"\* Shadow copy ID = ({GUID})", re.IGNORECASE)
_LISTED = re.compile(r"Number of shadow copies listed: (\d+)")
_NONE = "No shadow copies found in system."
_WRITER = re.compile(r'\* WRITER "?(.*?)"?\s*')
_STATUS = re.compile(r"- Status: (\d+) \((\w+)\)")
_WRITERS_LISTED = re.compile(r"(\d+) writers? listed\.")
_HRESULT = re.compile(r"HRESULT\D*([0-9a-fA-F]{8})\b")


@dataclass(frozen=True, slots=True)
class Said:
    """One command of a script that was begun, and what it printed."""

    command: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that it printed."""
        return "\n".join(self.lines)

    @property
    def result(self) -> str:
        """The HRESULT of a failure; "" where none is told."""
        match = _HRESULT.search(self.text)
        return match[1].lower() if match else ""

    def alias(self, name: str) -> str:
        """What an alias in the command stood for; "" where it stood for nothing."""
        found = {match[1]: match[2].lower() for line in self.lines if (match := _ALIAS.fullmatch(line.strip()))}
        return found.get(name, "")


@dataclass(frozen=True, slots=True)
class Shadow:
    """One shadow copy. `count`: how many its set had when it was made; `exposed`: where, "" for nowhere."""

    id: str
    set_id: str
    count: int
    volume: str
    exposed: str
    attributes: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether every attribute is one that is known."""
        return bool(self.attributes) and {one.lower() for one in self.attributes} <= {a.lower() for a in ATTRIBUTES}

    @property
    def word(self) -> str:
        """Its attributes as printed."""
        return " ".join(self.attributes)


@dataclass(frozen=True, slots=True)
class Writer:
    """One writer and its state."""

    name: str
    id: str
    state: str


def parse_said(text: str) -> tuple[Said, ...]:
    """The commands of a script as far as it came. Raises UnknownAnswer when diskshadow did not begin at all."""
    if BANNER not in text:
        raise UnknownAnswer("diskshadow did not start", detail=text[-1000:])
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if match := _ECHO.fullmatch(line):
            found.append((match[1], []))
        elif found and line.strip() != "->":  # an empty line of the script, or its end
            found[-1][1].append(line)
    return tuple(Said(command, tuple(lines)) for command, lines in found)


def parse_shadows(said: Said) -> tuple[Shadow, ...]:
    """The shadow copies that a command listed. Raises UnknownAnswer where the rows are not as many as it says."""
    if _NONE in said.text:
        return ()
    rows: list[list[str]] = []
    for line in said.lines:
        if _SHADOW.search(line):
            rows.append([line])
        elif rows:
            rows[-1].append(line)
    listed = _LISTED.search(said.text)
    if listed is None or int(listed[1]) != len(rows):
        raise not_understood(said, "lists shadow copies in words that are not known, or not all of them")
    return tuple(_shadow(row, said) for row in rows)


def parse_writers(said: Said) -> tuple[Writer, ...]:
    """``list writers status``. Raises UnknownAnswer where the rows are not as many as it says."""
    rows: list[tuple[str, list[str]]] = []
    for line in said.lines:
        if match := _WRITER.fullmatch(line.strip()):
            rows.append((match[1], []))
        elif rows:
            rows[-1][1].append(line.strip())
    listed = _WRITERS_LISTED.search(said.text)
    if listed is None or int(listed[1]) != len(rows):
        raise not_understood(said, "lists writers in words that are not known, or not all of them")
    return tuple(_writer(name, lines, said) for name, lines in rows)


def not_understood(said: Said, what: str) -> UnknownAnswer:
    """The fault for words that no table lists."""
    return UnknownAnswer(
        f"diskshadow {what}",
        detail=f"-> {said.command}\n{said.text}",
        hint="it must speak English: the display language of the account that it runs as",
    )


def _shadow(row: Sequence[str], said: Said) -> Shadow:
    text = "\n".join(row)
    identity, of_set = _SHADOW.search(text), re.search(rf"- Shadow copy set: ({GUID})", text)
    count = re.search(r"- Original count of shadow copies = (\d+)", text)
    volume = re.search(r"- Original volume name: \S+ \[(.*)\]", text)
    attributes = re.search(r"- Attributes:(.*)", text)
    exposed = re.search(r"- (Not exposed)\s*$|- Exposed (?:locally )?as:? (.*\S)", text, re.MULTILINE | re.IGNORECASE)
    if not (identity and of_set and count and volume and attributes and exposed):
        raise not_understood(said, "describes a shadow copy in words that are not known")
    return Shadow(
        id=identity[1].lower(),
        set_id=of_set[1].lower(),
        count=int(count[1]),
        volume=place(volume[1]),
        exposed="" if exposed[1] else place(exposed[2]),
        attributes=tuple(attributes[1].split()),
    )


def _writer(name: str, lines: Sequence[str], said: Said) -> Writer:
    status = next((match for line in lines if (match := _STATUS.fullmatch(line))), None)
    identity = next((match for line in lines if (match := re.fullmatch(rf"- Writer ID: ({GUID})", line))), None)
    if status is None or identity is None:
        raise not_understood(said, f"describes the writer {name} in words that are not known")
    return Writer(name, identity[1].lower(), status[2])


def place(path: str) -> str:
    r"""A drive or folder in one spelling: ``P:`` and ``p:\`` are ``P:\``."""
    plain = path.strip().rstrip("\\")
    return f"{plain.upper()}\\" if re.fullmatch(r"[A-Za-z]:", plain) else plain


def is_drive(path: str) -> bool:
    """Whether a place is a drive letter, and not a folder."""
    return re.fullmatch(r"[A-Za-z]:\\?", path) is not None
