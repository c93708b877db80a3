"""What SHOW prints of one storageset, disk or unit, read strictly: a line that nobody knows makes it an UnknownAnswer.

The columns Name, Storageset, Uses, Used by are documented (HSZ70 HSOF 7.3 CLI Reference, REDUCE and SHOW); the rest of the
layout is known from no complete capture, so every object must be named as it was asked for, and members must be the same
in both places where they are listed. Keywords may be cut short where they stay unambiguous, as the controller allows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.kit.errors import UnknownAnswer

NORMAL, NORMALIZING, COPYING = "NORMAL", "NORMALIZING", "COPYING"
FAILEDSET, SPARESET = "FAILEDSET", "SPARESET"
SHORTEST_KEYWORD = 4

_RULE = re.compile(r"-{5,}")
_SECTION = re.compile(r"(SWITCHES|STATE|ACCESS):\s*(.*)", re.IGNORECASE)
_SWITCH = re.compile(r"(?P<key>[A-Z_]+)(?P<of> \([a-z ]+\))?(?: = (?P<value>.+))?")
_MEMBERSHIP = re.compile(r"(\d+),\s*(\d+) members? present", re.IGNORECASE)
_MEMBER = re.compile(
    r"(?P<name>\S+)\s+\(member\s+(?P<number>\d+)\) is (?P<word>[A-Za-z_]+)(?:\s*\(\s*(?P<percent>\d+)% complete\))?",
    re.IGNORECASE,
)
_STATE = re.compile(r"[A-Z]+( [A-Z]+)*|UNKNOWN -- State only available when configured as a unit")
_FIGURE = re.compile(r"(Size|Geometry \(C/H/S\)):\s+.+")
_DISK = re.compile(r"(?P<name>\S+)\s+(?P<kind>disk)\s+\d+\s+\d+\s+\d+(?:\s+(?P<by>\S+))?", re.IGNORECASE)
_LUN_ID = re.compile(r"LUN ID:\s+(?P<id>[0-9A-Fa-f]{4}(-[0-9A-Fa-f]{4}){3,7})")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a storageset with its own state word, in capitals; `percent` -1 where none is shown."""

    name: str
    word: str
    percent: int = -1


@dataclass(frozen=True, slots=True)
class Storageset:
    """A mirrorset or stripeset. `membership` and `present` are 0 where it has none; `members` empty where no state is shown."""

    name: str
    kind: str
    uses: tuple[str, ...]
    used_by: str
    is_nopolicy: bool
    membership: int
    present: int
    state: str
    members: tuple[Member, ...]

    def member(self, name: str) -> Member | None:
        """The member called `name`."""
        return next((one for one in self.members if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk and what uses it: a container, FAILEDSET, SPARESET, or ""."""

    name: str
    used_by: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A reply taken apart: the lines before any section, and those of each section."""

    head: tuple[str, ...]
    switches: tuple[str, ...]
    state: tuple[str, ...]


def is_keyword(word: str, full: str) -> bool:
    """Whether `word` is `full` or a leading part of it that is long enough."""
    return len(word) >= SHORTEST_KEYWORD and full.startswith(word.upper())


def member_word(word: str) -> str:
    """A member's state in capitals and in full. NORMAL is a word of its own, and not a part of NORMALIZING."""
    for full in (NORMALIZING, COPYING):
        if word.upper() != NORMAL and is_keyword(word, full):
            return full
    return word.upper()


def parse_storageset(rows: Sequence[str], name: str, kind: str, ignore: Sequence[str] = ()) -> Storageset:
    """``SHOW name`` of a mirrorset or stripeset. Raises UnknownAnswer."""
    shown = _take_apart(rows, name, ignore)
    uses, used_by = _columns(shown.head, name, kind)
    is_nopolicy, membership, present = _switches(shown.switches, name)
    state, members = _state(shown.state, name)
    if members and [one.name for one in members] != list(uses):
        raise _strange(name, "its members are not what it uses", rows)
    if kind == "mirrorset" and (present != len(uses) or membership < present):
        raise _strange(name, "it does not say how many of its members are present", rows)
    return Storageset(name, kind, uses, used_by, is_nopolicy, membership, present, state, members)


def parse_disk(rows: Sequence[str], name: str, ignore: Sequence[str] = ()) -> Disk:
    """``SHOW name`` of a disk. Raises UnknownAnswer."""
    shown = _take_apart(rows, name, ignore)
    _switches(shown.switches, name)
    header, *lines = shown.head or ("",)
    if header.split() != ["Name", "Type", "Port", "Targ", "Lun", "Used", "by"]:
        raise _strange(name, "this is not the table of a disk", rows, hint=_absent(name))
    found = _DISK.fullmatch(lines[0].strip()) if lines else None
    if found is None or found["name"].upper() != name or len(lines) > 2 or (lines[1:] and not lines[1][:1].isspace()):
        raise _strange(name, "this is not one disk", rows)
    return Disk(name, (found["by"] or "").upper())


def parse_lun_id(rows: Sequence[str]) -> str:
    """The world-wide id in ``SHOW Dn``, in lower case without dashes; "" where none is shown."""
    found = [match for row in rows if (match := _LUN_ID.fullmatch(row.strip()))]
    return found[0]["id"].replace("-", "").lower() if len(found) == 1 else ""


def _take_apart(rows: Sequence[str], name: str, ignore: Sequence[str]) -> Shown:
    parts: dict[str, list[str]] = {"HEAD": [], "SWITCHES": [], "STATE": [], "ACCESS": []}
    section = "HEAD"
    ignored = [re.compile(pattern) for pattern in ignore]
    for row in rows:
        line = row.strip()
        if not line or _RULE.fullmatch(line) or _FIGURE.fullmatch(line) or any(one.fullmatch(line) for one in ignored):
            continue
        if found := _SECTION.fullmatch(line):
            section, line = found[1].upper(), found[2]
        if line:
            parts[section].append(row if section == "HEAD" else line)
    if not parts["HEAD"]:
        raise _strange(name, "there is no table in the reply", rows)
    return Shown(*(tuple(parts[key]) for key in ("HEAD", "SWITCHES", "STATE")))


def _columns(head: Sequence[str], name: str, kind: str) -> tuple[tuple[str, ...], str]:
    """What is under Uses (also on lines of their own) and Used by."""
    header, *lines = head
    if header.split() != ["Name", "Storageset", "Uses", "Used", "by"] or not lines:
        raise _strange(name, "this is not the table of a storageset", head, hint=_absent(name))
    at_uses, at_by = header.index("Uses"), header.index("Used by")
    first = lines[0][:at_uses].split()
    if [word.upper() for word in first] != [name, kind.upper()] or any(line[:at_uses].strip() for line in lines[1:]):
        raise _strange(name, f"this is not the {kind} of that name", head)
    uses = [line[at_uses:at_by].split() for line in lines]
    by = [line[at_by:].split() for line in lines]
    if any(len(words) != 1 for words in uses) or len(by[0]) > 1 or any(by[1:]):
        raise _strange(name, "its columns cannot be read", head)
    return tuple(words[0].upper() for words in uses), (by[0][0].upper() if by[0] else "")


def _switches(lines: Sequence[str], name: str) -> tuple[bool, int, int]:
    """Whether NOPOLICY is set, and MEMBERSHIP with the members present."""
    is_nopolicy, membership, present, policies = False, 0, 0, 0
    for line in lines:
        for part in re.split(r"\s{2,}", line):
            found = _SWITCH.fullmatch(part)
            if found is None:
                raise _strange(name, "a switch cannot be read", [line])
            if is_keyword(found["key"], "NOPOLICY") or is_keyword(found["key"], "POLICY"):
                policies += 1
                is_nopolicy = found["key"].upper().startswith("NO")
            elif is_keyword(found["key"], "MEMBERSHIP"):
                count = _MEMBERSHIP.fullmatch(found["value"] or "")
                if count is None or membership:
                    raise _strange(name, "its membership cannot be read", [line])
                membership, present = int(count[1]), int(count[2])
    if policies > 1:
        raise _strange(name, "it has two policies", lines)
    return is_nopolicy, membership, present


def _state(lines: Sequence[str], name: str) -> tuple[str, tuple[Member, ...]]:
    """The state of the whole, and each member with its own."""
    overall, members = "", list[Member]()
    for line in lines:
        if found := _MEMBER.fullmatch(line):
            if int(found["number"]) != len(members):
                raise _strange(name, "its members are not numbered one by one", lines)
            percent = int(found["percent"]) if found["percent"] else -1
            members.append(Member(found["name"].upper(), member_word(found["word"]), percent))
        elif _STATE.fullmatch(line) and not overall and not members:
            overall = line
        else:
            raise _strange(name, "a line of its state cannot be read", [line])
    return overall, tuple(members)


def _absent(name: str) -> str:
    return f"look with SHOW whether there is a {name} at all, and compare the policy"


def _strange(name: str, why: str, rows: Sequence[str], hint: str = "") -> UnknownAnswer:
    return UnknownAnswer(
        f"SHOW {name}: {why}",
        detail="\n".join(rows),
        hint=hint or "if such a line says nothing of members, users or states, name it in `ignore`",
    )
