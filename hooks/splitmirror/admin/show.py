"""`splitmirror show`: one run – its phases in time, freeze windows, facts, doubts, what stands, and why it failed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from splitmirror.admin import frame, history, naming, status
from splitmirror.journal.contract import Event, Kind
from splitmirror.office import Office
from splitmirror.report import account, text, timeline
from splitmirror.report.account import Account

SUMMARY = "one run: its phases, times and freeze windows"
TOLD_ELSEWHERE = frozenset({"verdict", "process"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="its name, the begin of its name, or its number")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """0 when there is such a run."""
    with frame.office(arguments) as office:
        return tell(office, arguments)


def tell(office: Office, arguments: argparse.Namespace) -> int:
    """Everything the journal says of one run."""
    one = account.of(office.journal, naming.find_run(office.journal, arguments.run))
    data = as_data(office, one)
    if arguments.json:
        frame.write_json(data)
    else:
        sys.stdout.write(as_text(one, data))
    return 0


def spans_of(one: Account) -> list[timeline.Span]:
    """Its phases."""
    return timeline.spans(one.events, one.record.began_at)


def as_data(office: Office, one: Account) -> dict[str, object]:
    """Everything the journal says of a run, as JSON data."""
    card = office.state.path / "cards" / one.run_id / "RECOVERY.md"
    data = history.as_data(one, history.result_of(office, one))
    return {
        "version": 1,
        **data,
        "ended_at": text.utc(one.ended_at),
        "line": one.line,
        "seen": list(one.seen),
        "hint": one.hint,
        "left": list(one.left),
        "doubts": list(one.doubts),
        "freeze_windows_ms": {host: round(seconds * 1000, 1) for host, seconds in one.windows.items()},
        "phases": [
            {
                "name": span.name,
                "began_after_seconds": round(span.began, 3),
                "took_ms": None if span.seconds is None else round(span.seconds * 1000),
                "result": span.result,
                "error": span.error,
            }
            for span in spans_of(one)
        ],
        "facts": [fact(event) for event in one.events if is_fact(event)],
        "stands": [{"act": act.name, "key": act.key} for act in one.standing()],
        "card": str(card) if card.is_file() else "",
        "log": str(status.log_file(office, one.run_id)),
    }


def is_fact(event: Event) -> bool:
    """Whether an event is something to read beside phases, acts and the verdict."""
    return event.kind in (Kind.NOTE, Kind.FACT) and event.act not in TOLD_ELSEWHERE


def fact(event: Event) -> dict[str, object]:
    """One fact as JSON data."""
    return {"at": text.utc(event.at), "act": event.act, "key": event.key, "data": dict(event.data)}


def as_text(one: Account, data: dict[str, object]) -> str:
    """The same for people."""
    ready_after = one.ready_at - one.record.began_at if one.ready_at else 0.0
    drawn = timeline.draw_both(spans_of(one), ready_after, until=history.took(one))
    began = text.clock(one.record.began_at)
    lines = [
        f"{one.run_id}: {str(data['result']).upper()}" + (f", {one.verdict}" if one.verdict else ""),
        f"    policy {one.record.policy}, began {began}, by {one.record.product or 'nobody'}{caller(one)}",
    ]
    if one.error or one.line:
        lines.append(f"    {text.one_line(one.error or one.line)}")
    lines += [f"        {line}" for line in one.seen]
    if one.hint:
        lines.append(f"    what to do: {one.hint}")
    lines += [f"    left: {text.one_line(left)}" for left in one.left]
    lines += [f"    doubt: {text.one_line(doubt)}" for doubt in one.doubts]
    lines += ["", *(f"    {line}" for line in drawn)] if drawn else []
    lines += [f"    {span.name} failed: {text.one_line(span.error)}" for span in spans_of(one) if span.error]
    if one.windows:
        lines += ["", *(f"    freeze window of {host}: {text.window(s)}" for host, s in one.windows.items())]
    lines += ["", *(f"    mirror {key}: copy {receipt.copy}" for key, receipt in one.receipts().items())]
    lines += [
        f"    {event.act} {event.key}: {said(event)}".replace(" : ", ": ") for event in one.events if is_fact(event)
    ]
    stands = ", ".join(f"{act.name} {act.key}" for act in one.standing())
    lines.append(f"    stands: {stands or 'nothing'}")
    if data["card"]:
        lines.append(f"    card: {data['card']}")
    lines.append(f"    log: {data['log']}" + ("" if Path(str(data["log"])).is_file() else " (gone)"))
    return "\n".join(lines) + "\n"


def caller(one: Account) -> str:
    """Client, schedule and job, as far as the product said them."""
    told = [("client", one.record.client), ("schedule", one.record.schedule), ("job", one.record.job)]
    return "".join(f", {name} {value}" for name, value in told if value)


def said(event: Event) -> str:
    """A fact's values in one line."""
    return text.one_line(", ".join(f"{key} {value}" for key, value in event.data.items()))
