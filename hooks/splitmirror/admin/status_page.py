"""How `status` shows situations: a screen for people, one JSON document for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from splitmirror.admin.view import Level, Line, Situation, worst
from splitmirror.report import text
from splitmirror.state import server_name
from splitmirror_drivers.kit.errors import Fault

WIDTH = 118


# -- for people ---------------------------------------------------------------------------------------------------


def as_text(found: Sequence[Situation], broken: Mapping[str, Fault], now: float, path: str) -> str:
    """The first screen."""
    lines = [f"splitmirror on {server_name()}, {text.clock(now)}, {path}"]
    for one in found:
        lines += ["", *situation_lines(one, now)]
    for name, fault in broken.items():
        lines += ["", *wrapped(f"{name}  CANNOT TELL: {fault.message}", ""), *wrapped(fault.hint, "    do now    ")]
    if not found and not broken:
        lines += ["", "the policy file has no policies"]
    return "\n".join(lines) + "\n"


def situation_lines(one: Situation, now: float) -> list[str]:
    """One policy: what happened, what is held, mirrors, last good copy, what to do, where the log is."""
    when = f"  {text.moment(one.at, now)}" if one.at else ""
    lines = wrapped(f"{one.policy}  {one.result}{when}  {one.reason}", "", hang="    ")
    for line in one.runs[1:]:
        lines += wrapped(f"{line.what}: {line.says}", "    also      ")
    lines += labelled("held now", one.held) or ["    held now  nothing can be: no data server is named"]
    lines += labelled("mirrors", one.mirrors)
    if one.copy:
        known = "" if one.copy.is_known else "; whether it still stands is not known"
        where = f", presented at {', '.join(one.copy.presented)}" if one.copy.presented else ""
        said = f"{', '.join(one.copy.mirrors)}, run {one.copy.run_id}, {text.moment(one.copy.at, now)}"
        lines += wrapped(f"{said}, {one.copy.verdict}-consistent{where}{known}", "    good copy ")
    else:
        lines.append("    good copy none stands")
    lines += wrapped(todo(one), "    do now    ")
    return [*lines, *([f"    log       {one.log}"] if one.log else [])]


def todo(one: Situation) -> str:
    """What to do, in one paragraph."""
    if do := one.do_now():
        return ";\n".join(do)
    if one.result == "FAILED":
        return "nothing has to be done before the next run" + (f"; before it: {one.hint}" if one.hint else "")
    return "nothing"


def labelled(label: str, found: Sequence[Line]) -> list[str]:
    """Several lines under one label."""
    lines: list[str] = []
    for number, line in enumerate(found):
        lines += wrapped(f"{line.what}: {line.says}", f"    {label if number == 0 else '':<9} ")
    return lines


def wrapped(paragraph: str, first: str, hang: str = " " * 14) -> list[str]:
    """A paragraph within the width of a terminal, its line breaks kept; names and commands are never broken."""
    lines: list[str] = []
    for part in paragraph.splitlines():
        begin = hang if lines else first
        lines += textwrap.wrap(
            part,
            max(WIDTH, len(begin) + 20),
            initial_indent=begin,
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


# -- for programs -------------------------------------------------------------------------------------------------


def as_data(
    found: Sequence[Situation], broken: Mapping[str, Fault], now: float, *, is_asked: bool
) -> dict[str, object]:
    """The same facts as JSON data."""
    level = worst([*(one.level for one in found), *(Level.CANNOT_TELL for _ in broken)])
    return {
        "version": 1,
        "server": server_name(),
        "at": text.utc(now),
        "asked": is_asked,
        "level": int(level),
        "policies": [situation_data(one) for one in found],
        "broken": {name: {"fault": fault.message, "hint": fault.hint} for name, fault in broken.items()},
    }


def situation_data(one: Situation) -> dict[str, object]:
    """One policy as JSON data."""
    copy = one.copy
    return {
        "policy": one.policy,
        "level": int(one.level),
        "result": one.result,
        "at": text.utc(one.at),
        "reason": one.reason,
        "run": one.run_id,
        "runs": listed(one.runs),
        "held": listed(one.held),
        "mirrors": listed(one.mirrors),
        "good_copy": None
        if copy is None
        else {
            "run": copy.run_id,
            "at": text.utc(copy.at),
            "verdict": copy.verdict,
            "mirrors": list(copy.mirrors),
            "presented": list(copy.presented),
            "is_known": copy.is_known,
        },
        "do_now": one.do_now(),
        "hint": one.hint,
        "log": one.log,
    }


def listed(lines: Sequence[Line]) -> list[dict[str, object]]:
    """Lines as JSON data."""
    return [{"what": one.what, "says": one.says, "level": int(one.level), "do": one.do} for one in lines]
