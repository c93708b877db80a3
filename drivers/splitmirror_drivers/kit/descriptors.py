"""Waiting for file descriptors, however high their numbers are: ``select`` refuses those above 1023."""

from __future__ import annotations

import select
from collections.abc import Sequence


def readable(descriptors: Sequence[int], seconds: float | None = None) -> list[int]:
    """Those that can be read, have ended or are not open; empty after `seconds`. None waits for ever."""
    if not hasattr(select, "poll"):
        return select.select(descriptors, [], [], seconds)[0]
    poll = select.poll()
    for one in descriptors:
        poll.register(one, select.POLLIN)
    return [one for one, _ in poll.poll(None if seconds is None else max(0.0, seconds) * 1000)]
