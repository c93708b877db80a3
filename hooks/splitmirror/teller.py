"""The teller: what standard output and standard error are told while a command works.

On a terminal a bar with an estimate; elsewhere a plain line at each change of phase and at least every minute, since some
products end a hook that has been silent for long. Nobody reading is no reason to stop or to wait: a line that does not
go out at once is dropped.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from splitmirror.redaction import redacted
from splitmirror_drivers.contracts.product import Manners
from splitmirror_drivers.kit.deadline import Clock
from splitmirror_drivers.kit.errors import Fault

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ERROR_CHARACTERS = 4000
LINE_BYTES = 4000
PATIENCE_SECONDS = 1.0


class Teller:
    """Speaks as a product's manners allow. All methods may be called from any thread, in any order, after ``close`` too."""

    def __init__(
        self,
        manners: Manners,
        stream: TextIO | None = None,
        errors: TextIO | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._manners = manners
        self._out = Mouth(stream if stream is not None else sys.stdout)
        self._errors = Mouth(errors if errors is not None else sys.stderr)
        self._clock = clock
        self._mutex = threading.RLock()
        self._closed = threading.Event()
        self._ticker: threading.Thread | None = None
        self._bar: _Bar | None = None
        self._phase = ""
        self._began = self._spoke = clock()
        self._last: tuple[float | None, str] = (None, "")
        self._first: tuple[float, float] | None = None

    def phase(self, name: str) -> None:
        """A phase begins."""
        with self._mutex:
            self._phase, self._began, self._last, self._first = name, self._clock(), (None, ""), None
            self._end_bar()
            self._say(name)
            self._start_ticker()

    def progress(self, fraction: float | None, text: str = "") -> None:
        """How far the phase is: 0.0–1.0, or None where nobody knows."""
        with self._mutex:
            self._last = (fraction, text)
            if fraction is not None and self._first is None:
                self._first = (fraction, self._clock())
            if self._manners.progress_to_stdout and self._out.is_terminal:
                self._bar = self._bar or _Bar(self._out.stream)
                self._bar.show(self._phase, fraction, text)
            else:
                self.tick()

    def tick(self) -> None:
        """Say where we are, if nothing has been said for as long as the product should wait."""
        with self._mutex:
            if self._clock() - self._spoke >= self._manners.line_every_seconds:
                self._say(self._where())

    def line(self, text: str) -> None:
        """One line for people."""
        with self._mutex:
            self._end_bar()
            self._say(text)

    def error(self, fault: Fault) -> None:
        """A fault, to standard error: message, what was seen, what to do."""
        with self._mutex:
            self._end_bar()
            if self._manners.error_to_stderr or self._errors.is_terminal:
                self._errors.say(redacted(f"splitmirror: {fault.full()}")[:ERROR_CHARACTERS])

    def close(self) -> None:
        """Take the bar away and end the minute lines. Safe to call twice."""
        self._closed.set()
        with self._mutex:
            self._end_bar()

    def _say(self, text: str) -> None:
        self._spoke = self._clock()
        if self._manners.progress_to_stdout:
            self._out.say(redacted(text))

    def _where(self) -> str:
        fraction, text = self._last
        parts = [self._phase, text, f"{fraction:.0%}" if fraction is not None else "", self._estimate()]
        parts.append(f"{span(self._clock() - self._began)} so far")
        return " · ".join(part for part in parts if part)

    def _estimate(self) -> str:
        fraction, _ = self._last
        if fraction is None or self._first is None or not self._first[0] < fraction < 1.0:
            return ""
        first, at = self._first
        return f"about {span((1.0 - fraction) * (self._clock() - at) / (fraction - first))} left"

    def _start_ticker(self) -> None:
        """A thread of its own: a phase that says nothing for long must not look dead."""
        speaks = self._manners.progress_to_stdout and not self._out.is_terminal and self._out.has_descriptor
        if speaks and self._ticker is None and not self._closed.is_set():
            self._ticker = threading.Thread(target=self._tick_until_closed, name="teller", daemon=True)
            self._ticker.start()

    def _tick_until_closed(self) -> None:
        while not self._closed.wait(min(1.0, self._manners.line_every_seconds)):
            self.tick()

    def _end_bar(self) -> None:
        if self._bar:
            bar, self._bar = self._bar, None
            bar.end()


class Mouth:
    """One stream, which may be missing, closed, full or broken: once it cannot be spoken to, it is left alone."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self._descriptor = -1
        self.is_terminal = False
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no stream, a closed one, or one in memory
            if stream is not None:
                self.is_terminal = stream.isatty()
                self._descriptor = stream.fileno()

    @property
    def has_descriptor(self) -> bool:
        """Whether there is a file behind it."""
        return self._descriptor >= 0

    def say(self, text: str) -> None:
        """One line, or several. Written past Python's buffer, so that nothing is left to fail at exit."""
        if self.stream is None:
            return
        try:
            if not self.has_descriptor:
                self.stream.write(text + "\n")
                return
            self.stream.flush()
            data = text.encode(self.stream.encoding or "utf-8", "backslashreplace") + b"\n"
            for start in range(0, len(data), LINE_BYTES):
                if self._takes():
                    os.write(self._descriptor, data[start : start + LINE_BYTES])
        except (OSError, ValueError):
            self.stream = None

    def _takes(self) -> bool:
        """Whether a piece of LINE_BYTES can be written without waiting (pipes promise that much when they are ready)."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(PATIENCE_SECONDS * 1000))


class _Bar:
    """A progress bar, redrawn only when it is told something: no thread of its own."""

    def __init__(self, stream: TextIO | None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress: Progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"), console=Console(file=stream), auto_refresh=False, transient=True,
        )  # fmt: skip
        self._progress.start()
        self._task: TaskID | None = None

    def show(self, phase: str, fraction: float | None, text: str) -> None:
        """Draw it."""
        if self._task is None:
            self._task = self._progress.add_task(phase, total=None, text=text)
        total = None if fraction is None else 1.0
        self._progress.update(self._task, description=phase, total=total, completed=fraction or 0.0, text=text)
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            self._progress.refresh()

    def end(self) -> None:
        """Take it away."""
        with contextlib.suppress(OSError, ValueError):
            self._progress.stop()


def span(seconds: float) -> str:
    """A duration for people: ``42 s``, ``7 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
