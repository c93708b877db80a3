"""A process that has many files open still reads what its commands and guards answer, and leaves none of its own open."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitmirror.giveup import GiveUp
from splitmirror_drivers.contracts.host import Verb
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.descriptors import readable

LIMIT_OF_SELECT = 1024


def count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def crowded() -> Iterator[None]:
    """More descriptors are open than `select` can name."""
    opened: list[int] = []
    with contextlib.suppress(OSError):
        while not opened or opened[-1] <= LIMIT_OF_SELECT:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    if opened[-1] <= LIMIT_OF_SELECT:
        pytest.fail("the limit of open files here is too low for this test: ulimit -n 2048")
    yield
    for one in opened:
        os.close(one)


@pytest.mark.usefixtures("crowded")
def test_what_a_guard_program_answers_is_read(tmp_path: Path) -> None:
    host = LocalHost("local", Options(guard_dir=str(tmp_path / "guard")))
    assert host.call(Verb("host.facts"), Deadline.after(30)).facts["boot"]


@pytest.mark.usefixtures("crowded")
def test_a_signal_ends_a_wait() -> None:
    give_up = GiveUp()
    give_up.wait(0)
    give_up.ask("TERM")
    assert readable([give_up._reader], 30)


def test_what_waits_for_signals_leaves_no_descriptor_open() -> None:
    before = count()
    for _ in range(50):
        GiveUp().wait(0)
    gc.collect()
    assert count() <= before
