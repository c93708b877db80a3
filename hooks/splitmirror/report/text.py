"""Words, times and tables as people read them. Everything here is pure but `table`, which looks at the terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

DAY_SECONDS = 86400.0


def clock(at: float) -> str:
    """A moment in this server's own time, with its zone: ``2026-11-24 01:07:41 CET``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at)).rstrip()


def moment(at: float, now: float) -> str:
    """A moment as short as it can be said: the time of today, ``yesterday 01:05``, else the date with the time."""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    if then[:3] == time.localtime(now - DAY_SECONDS)[:3]:
        return time.strftime("yesterday %H:%M", then)
    return time.strftime("%Y-%m-%d %H:%M", then)


def utc(at: float) -> str:
    """A moment for programs: ISO 8601 in UTC with milliseconds; "" for 0."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else ""


def span(seconds: float) -> str:
    """A length of time with two units at most: ``412 ms``, ``3.1 s``, ``12 min 5 s``, ``3 h 7 min``, ``2 d 4 h``."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, smaller, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            more = whole % size // smaller
            return f"{whole // size} {name}" + (f" {more} {rest}" if more else "")
    raise AssertionError("unreachable")


def window(seconds: float | None) -> str:
    """The length of a freeze window, in milliseconds; "-" where there was none."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def one_line(text: str) -> str:
    """`text` without line breaks and without what a terminal would act upon."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> str:
    """A table: ruled for a terminal, plain columns for everything else (rich is loaded only for the former)."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return plain_table(heads, rows)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    into = io.StringIO()
    Console(file=into, force_terminal=True, width=_width()).print(made)
    return into.getvalue()


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as columns of text; the last one is as long as it is."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns
