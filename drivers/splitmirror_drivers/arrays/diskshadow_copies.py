r"""Which shadow copy set is which copy of ours, asked of diskshadow and of our folder on its host.

VSS knows no names, only GUIDs that nobody knows before. So each copy has two files in the folder, and both are needed
to find it again from nothing but its name, after a crash at any point:

``GROUP@COPY.dsh``  the script, written before it is run; its comments name the sets that stood before
``GROUP@COPY.cab``  the metadata that ``create`` writes; it keeps the aliases, and ``load metadata`` brings them back
                    (Microsoft, add alias), so that ``%VSS_SHADOW_SET%`` in a later session is the set's id

A script without its metadata is a split of which nobody knows the end. When no set over just these volumes came since, it made
none; else one of those may be ours, and a person has to look: time and volumes prove nothing, since others make sets too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.diskshadow_options import NOBODY, Group
from splitmirror_drivers.arrays.diskshadow_session import METADATA, SCRIPT, Session
from splitmirror_drivers.arrays.diskshadow_words import (
    GUID,
    STATES,
    Shadow,
    Writer,
    not_understood,
    parse_shadows,
    parse_writers,
    place,
)
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

LIST_SHADOWS, LIST_WRITERS = "list shadows all", "list writers status"
BEFORE = "# stood before: "
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
MISSING = "missing"
FIND, ACT = "~find", "~act"
"""Of scripts beside a copy's own; no copy's name has this sign."""


@dataclass(frozen=True, slots=True)
class Look:
    """What diskshadow shows: every shadow copy, and the writers where they were asked for."""

    shadows: tuple[Shadow, ...]
    writers: tuple[Writer, ...] = ()

    def of_set(self, set_id: str) -> tuple[Shadow, ...]:
        """The shadow copies of one set."""
        return tuple(shadow for shadow in self.shadows if shadow.set_id == set_id)

    @property
    def sets(self) -> frozenset[str]:
        """Every set."""
        return frozenset(shadow.set_id for shadow in self.shadows)


def stem(group: str, copy: str) -> str:
    """The name of a copy's files without their ending. Raises Refused for a name that can be none."""
    if not (NAME.fullmatch(group) and NAME.fullmatch(copy)):
        raise Refused(f"{group}@{copy} is not the name of a copy")
    return f"{group}@{copy}"


def look(session: Session, table: Group, deadline: Deadline) -> Look:
    """Ask once, for the writers too where the group has some."""
    lines = [LIST_SHADOWS] if table.writers == NOBODY else [LIST_SHADOWS, LIST_WRITERS]
    said = session.ask(lines, deadline)
    writers = parse_writers(said[1]) if len(said) > 1 else ()
    return Look(parse_shadows(said[0]), writers)


def writers_of(table: Group, seen: Sequence[Writer]) -> dict[str, tuple[Writer, ...]]:
    """The writers that must take part, by how the policy calls them; several instances of one may run."""
    if table.writers == NOBODY:
        return {}
    return {
        wanted: tuple(one for one in seen if wanted.lower() in (one.name.lower(), one.id))
        for wanted in table.writers
        if isinstance(table.writers, tuple)
    }


def worst_writer(table: Group, seen: Sequence[Writer], fine: frozenset[str]) -> tuple[str, str]:
    """The first wanted writer that is not fine, and its state; two empty strings when all are."""
    for wanted, found in writers_of(table, seen).items():
        bad = [one.state for one in found if one.state not in fine]
        if bad or not found:
            return wanted, bad[0] if bad else MISSING
    return "", ""


def is_known_state(state: str) -> bool:
    """Whether a writer's state is one that is known."""
    return state in STATES or state == MISSING


def copies(group: str, names: frozenset[str], ending: str) -> list[str]:
    """Copies of a group that have a file with this ending."""
    prefix = f"{group}@"
    found = [name.removeprefix(prefix).removesuffix(ending) for name in names if name.startswith(prefix)]
    return sorted(copy for copy in found if f"{prefix}{copy}{ending}" in names and NAME.fullmatch(copy))


def set_of(session: Session, group: str, copy: str, deadline: Deadline) -> str:
    """The set's id, out of a copy's metadata, whether it stands or not."""
    lines = [f"load metadata {session.path(stem(group, copy) + METADATA)}", "list shadows set %VSS_SHADOW_SET%"]
    said = session.run(stem(group, copy) + FIND, lines, deadline)
    found = said[1].alias("VSS_SHADOW_SET") if len(said) == 2 else ""
    if not found:
        raise not_understood(said[-1], f"cannot say which shadow copy set {session.path(stem(group, copy))} is about")
    return found


def begun(session: Session, group: str, copy: str, table: Group, seen: Look, deadline: Deadline) -> tuple[str, ...]:
    """Sets that may be what a script without metadata has made: over just its volumes, and not there before."""
    text = session.read(stem(group, copy) + SCRIPT, deadline)
    lines = [line for line in text.splitlines() if line.startswith(BEFORE)]
    if not lines:
        raise UnknownAnswer(f"{session.path(stem(group, copy))}{SCRIPT} does not say what stood before", detail=text)
    before = {one.lower() for line in lines for one in re.findall(GUID, line)}
    return tuple(sorted(one for one in seen.sets - before if _could_be(table, seen.of_set(one))))


def _could_be(table: Group, shadows: Sequence[Shadow]) -> bool:
    wanted = {place(volume).lower() for volume in table.volumes}
    return shadows[0].count == len(wanted) and {shadow.volume.lower() for shadow in shadows} <= wanted


def unfinished(session: Session, group: str, copy: str, left: Sequence[str]) -> Refused:
    """The fault for a split of which nobody knows the end, while sets stand that may be its own."""
    return Refused(
        f"a copy {copy} of {group} was begun on {session.host.name}, and nobody knows how that ended: "
        f"{', '.join(left)} came since and may be it",
        hint=f"look (diskshadow: list shadows all); delete it if it is nobody's, then remove "
        f"{session.path(stem(group, copy) + SCRIPT)}",
    )


def require_whole(what: str, table: Group, shadows: Sequence[Shadow]) -> None:
    """Refuse a set that is not one persistent shadow copy of each volume of its group."""
    wanted, found = sorted(place(volume).lower() for volume in table.volumes), sorted(s.volume.lower() for s in shadows)
    if found != wanted or any(shadow.count != len(wanted) for shadow in shadows):
        raise UnknownAnswer(
            f"{what} is not whole: it has shadow copies of {', '.join(found) or 'nothing'}, not of {', '.join(wanted)}",
            hint="storage for differences that ran full makes shadow copies vanish",
        )
    for shadow in shadows:
        if not shadow.is_known or "persistent" not in shadow.word.lower().split():
            raise UnknownAnswer(f"{what}: the copy of {shadow.volume} is {shadow.word or 'without attributes'}")
