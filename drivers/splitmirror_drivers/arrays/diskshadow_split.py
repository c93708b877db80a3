"""One shadow copy set made and judged: the script, what it said, and what then stands.

``create`` freezes the writers, takes the moment and thaws them by itself; how the writers fared is only told by their
state in the same session, so it is asked there, after it. A failed ``create`` may all the same have left a set behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays import diskshadow_copies as copies
from splitmirror_drivers.arrays.diskshadow_copies import BEFORE, LIST_WRITERS, Look, stem
from splitmirror_drivers.arrays.diskshadow_options import NOBODY, Group
from splitmirror_drivers.arrays.diskshadow_session import METADATA, SCRIPT, Session, pause, script
from splitmirror_drivers.arrays.diskshadow_words import FINE, IN_PROGRESS, Said, parse_shadows, parse_writers
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer

CREATE, BEGIN, END = "create", "begin backup", "end backup"
GATE = ".cmd"
TRUNCATED, NOT_TRUNCATED = "told to truncate", "not told to truncate"


def lines_for(session: Session, group: str, copy: str, table: Group, seen: Look) -> list[str]:
    """The script that makes one copy."""
    name, full = stem(group, copy), table.truncate_logs != "never"
    ids = sorted({one.id for found in copies.writers_of(table, seen.writers).values() for one in found})
    return [
        BEFORE + " ".join(sorted(seen.sets)),
        "set context persistent nowriters" if table.writers == NOBODY else "set context persistent",
        f"set metadata {session.path(name + METADATA)}",
        *(f"writer verify {one}" for one in ids),
        *([BEGIN] if full else []),
        *(f"add volume {volume} alias {alias(number)}" for number, volume in enumerate(table.volumes)),
        CREATE,
        *([] if table.writers == NOBODY else [LIST_WRITERS]),
        *([f"exec {session.path(name + GATE)}", END] if full else []),
    ]


def alias(number: int) -> str:
    """What the shadow copy of a group's volume is called within a script."""
    return f"splitmirror{number + 1}"


def gate_for(table: Group) -> str:
    """A batch file that fails unless ``create`` has set every alias: then diskshadow stops, and completes no backup."""
    checks = [f"if not defined {alias(number)} exit /b 1" for number in range(len(table.volumes))]
    return "".join(f"{line}\r\n" for line in ("@echo off", *checks, "exit /b 0"))


def make(session: Session, group: str, copy: str, table: Group, seen: Look, deadline: Deadline) -> dict[str, str]:
    """Make the set; what is known of it. Raises CommandFailed when nothing stands, UnknownAnswer when that is not sure."""
    name, lines = stem(group, copy), lines_for(session, group, copy, table, seen)
    if table.truncate_logs != "never":
        session.write(name + GATE, gate_for(table), deadline)
    session.write(name + SCRIPT, script(lines), deadline)
    said = session.start(name, lines, deadline)
    while _result(said) == IN_PROGRESS and not deadline.is_passed:
        pause(deadline)
        said = session.start(name, lines, deadline)
    created = next((one for one in said if one.command == CREATE), None)
    if created is None or "Alias VSS_SHADOW_SET" not in created.text:
        raise _not_made(session, group, copy, table, said, deadline)
    what = f"the copy {copy} of {group}"
    shadows = parse_shadows(created)
    copies.require_whole(what, table, shadows)
    data = {"set": shadows[0].set_id, "shadows": " ".join(shadow.id for shadow in shadows)}
    return data | _writers(what, table, said) | _logs(table, said)


def _result(said: Sequence[Said]) -> str:
    return said[-1].result if said else ""


def _not_made(
    session: Session, group: str, copy: str, table: Group, said: Sequence[Said], deadline: Deadline
) -> CommandFailed | UnknownAnswer:
    """The fault for a script that ended before its set was listed: by what stands now."""
    name, last = stem(group, copy), said[-1] if said else Said("", ())
    detail = f"-> {last.command}\n{last.text.strip()}"
    seen = copies.look(session, table, deadline)
    if left := copies.begun(session, group, copy, table, seen, deadline):
        return UnknownAnswer(
            f"diskshadow made no copy {copy} of {group}, and a new shadow copy set stands: {', '.join(left)}",
            detail=detail,
            hint="it may be somebody else's; look at it with `list shadows all`",
        )
    session.remove([name + ending for ending in (SCRIPT, METADATA, GATE)], deadline)
    return CommandFailed(f"diskshadow made no copy {copy} of {group}: {last.command} failed", detail=detail)


def _writers(what: str, table: Group, said: Sequence[Said]) -> dict[str, str]:
    """Who took part. Raises UnknownAnswer when one of the wanted is not well after it: the set stands, and is no good."""
    if table.writers == NOBODY:
        return {"writers": NOBODY}
    listed = next((one for one in said if one.command == LIST_WRITERS), None)
    if listed is None:
        raise UnknownAnswer(f"{what} stands, and nobody knows how its writers fared")
    name, state = copies.worst_writer(table, parse_writers(listed), FINE)
    if name:
        raise UnknownAnswer(
            f"{what} stands, and the writer {name} is {state}: it is not what the writer wanted it to be",
            hint="the writer's own entries in the event log say why",
        )
    return {"writers": ", ".join(table.writers)}


def _logs(table: Group, said: Sequence[Said]) -> dict[str, str]:
    if table.truncate_logs == "never":
        return {}
    is_told = said[-1].command == END and not said[-1].text.strip()
    return {"logs": TRUNCATED if is_told else NOT_TRUNCATED}


def refuse_writers(what: str, table: Group, seen: Look) -> None:
    """Refuse before anything is done when a wanted writer is missing or not well."""
    name, state = copies.worst_writer(table, seen.writers, FINE)
    if name:
        raise Refused(
            f"{what}: the writer {name} is {state}",
            hint="start its service, or let it recover (a failed writer mostly wants its service started anew)",
        )
