"""Signals mean: give up properly. INT, TERM and HUP are noted once and acted on where it is safe; repeats change nothing."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from splitmirror_drivers.kit.descriptors import readable
from splitmirror_drivers.kit.errors import GivenUp

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class GiveUp:
    """Whether a signal has asked us to stop. Phases call ``check`` where stopping is safe, ``wait`` instead of sleeping.

    A pipe and not a threading.Event: setting an Event within a signal handler can meet its own lock.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        weakref.finalize(self, _close, self._reader, self._writer)
        self._name = ""
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self._name)

    def ask(self, name: str) -> None:
        """Note a signal; only the first one counts."""
        if not self._name:
            self._name = name
            os.write(self._writer, b"!")
            for listener in self._listeners:
                listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when asked; it must be safe to call from a signal handler."""
        self._listeners.append(listener)

    def check(self) -> None:
        """Raise GivenUp when asked."""
        if self._name:
            raise GivenUp(f"given up on {self._name}", hint="start it again when you want it done")

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds`; raise GivenUp as soon as asked."""
        readable([self._reader], seconds)
        self.check()


def _close(*descriptors: int) -> None:
    for one in descriptors:
        os.close(one)


@contextmanager
def listening(give_up: GiveUp) -> Iterator[None]:
    """Turn INT, TERM and HUP into ``give_up`` for the time of the block (main thread only)."""

    def note(number: int, _frame: FrameType | None) -> None:
        give_up.ask(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
