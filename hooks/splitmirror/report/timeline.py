"""A run's phases in time: a table of durations with a bar for each, drawn with text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitmirror.journal.contract import Event, Kind
from splitmirror.report import text

BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Span:
    """One phase: when it began (seconds after the run did), how long it took (None: it has not ended), how it ended."""

    name: str
    began: float
    seconds: float | None
    result: str
    error: str = ""


def spans(events: Sequence[Event], began_at: float) -> list[Span]:
    """The phases of a run in the order in which they began; a phase within another one stands after it."""
    found: list[Span] = []
    for event in events:
        if event.kind is Kind.STARTED:
            found.append(Span(event.act, max(0.0, event.at - began_at), None, "running"))
        elif event.kind in (Kind.DONE, Kind.FAILED) and "took_ms" in event.data:
            for index in range(len(found) - 1, -1, -1):
                if found[index].name == event.act and found[index].seconds is None:
                    found[index] = _ended(found[index], event)
                    break
    return found


def _ended(begun: Span, event: Event) -> Span:
    took = event.data["took_ms"]
    seconds = float(took) / 1000 if isinstance(took, int | float) else 0.0
    return Span(begun.name, begun.began, seconds, event.kind.value, str(event.data.get("error", "")))


def draw_both(phases: Sequence[Span], ready_after: float, *, until: float = 0.0) -> list[str]:
    """Pre and post on a scale of their own each: between them lies the backup, which may last a thousand times longer."""
    pre = [span for span in phases if not ready_after or span.began < ready_after]
    post = [span for span in phases if ready_after and span.began >= ready_after]
    if not post:
        return draw(pre, until=until)
    began = post[0].began
    shifted = [replace(span, began=span.began - began) for span in post]
    waited = f"… {text.span(round(began - ready_after, 3))} until post …"
    return [*draw(pre, until=ready_after), waited, *draw(shifted)]


def draw(phases: Sequence[Span], *, until: float = 0.0, width: int = BAR_WIDTH) -> list[str]:
    """One line a phase: name, bar over the whole run, duration, how it ended. `until`: how long the run has lasted."""
    whole = max([until, *(span.began + (span.seconds or 0.0) for span in phases)], default=0.0)
    names = max((len(span.name) for span in phases), default=0)
    lines = []
    for span in phases:
        took = "running" if span.seconds is None else text.span(span.seconds)
        ended = "" if span.result in ("done", "running") else f"  {span.result.upper()}"
        lines.append(f"{span.name:<{names}}  |{bar(span, whole, width)}|  {took:>12}{ended}")
    return lines


def bar(span: Span, whole: float, width: int = BAR_WIDTH) -> str:
    """Where in the run a phase lay. Even the shortest one is one ``#`` wide, so that none is invisible."""
    if whole <= 0:
        return "#" + " " * (width - 1)
    seconds = whole - span.began if span.seconds is None else span.seconds
    first = min(width - 1, int(span.began / whole * width))
    count = max(1, min(width - first, round(seconds / whole * width)))
    return " " * first + "#" * count + " " * (width - first - count)
