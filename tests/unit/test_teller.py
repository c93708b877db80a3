"""Standard output is told as the product's manners allow; nobody reading stops nothing and holds up nothing."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitmirror import redaction
from splitmirror.teller import Teller, span
from splitmirror_drivers.contracts.product import Manners
from splitmirror_drivers.kit.errors import Fault
from splitmirror_drivers.kit.secret import Secret

ROOT = Path(__file__).parents[2]
SILENT = Manners(progress_to_stdout=False, error_to_stderr=False)
SPEAK_ALL = (
    f"import sys; sys.path[:0] = [{str(ROOT / 'hooks')!r}, {str(ROOT / 'drivers')!r}]\n"
    "from splitmirror.teller import Teller\n"
    "from splitmirror_drivers.contracts.product import Manners\n"
    "from splitmirror_drivers.kit.errors import Fault\n"
    "teller = Teller(Manners()); teller.phase('establish'); teller.progress(0.5, 'symm/erp'); teller.line('x' * 9000)\n"
    "teller.error(Fault('it failed', hint='look')); teller.close(); teller.phase('late'); teller.line('late')\n"
)


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _secrets() -> Iterator[None]:
    yield
    redaction._secrets.clear()


def test_each_change_of_phase_is_a_line_and_progress_one_a_minute_with_an_estimate() -> None:
    clock, out = FakeClock(), io.StringIO()
    teller = Teller(Manners(), out, clock=clock)
    teller.phase("preflight")
    teller.phase("establish")
    for second in range(181):
        clock.now = 1000.0 + second
        teller.progress(second / 600, "symm/erp_a 12 GiB")
    teller.phase("arm")
    teller.close()
    assert out.getvalue().splitlines() == [
        "preflight",
        "establish",
        "establish · symm/erp_a 12 GiB · 10% · about 9 min left · 60 s so far",
        "establish · symm/erp_a 12 GiB · 20% · about 8 min left · 2 min so far",
        "establish · symm/erp_a 12 GiB · 30% · about 7 min left · 3 min so far",
        "arm",
    ]


def test_progress_that_nobody_can_number_is_told_without_a_number() -> None:
    clock, out = FakeClock(), io.StringIO()
    teller = Teller(Manners(line_every_seconds=10), out, clock=clock)
    teller.phase("settle")
    clock.now += 10
    teller.progress(None, "settling symm/erp_a")
    assert out.getvalue().splitlines()[-1] == "settle · settling symm/erp_a · 10 s so far"


def test_a_silent_product_is_told_nothing_at_all() -> None:
    clock, out, errors = FakeClock(), io.StringIO(), io.StringIO()
    teller = Teller(SILENT, out, errors, clock)
    teller.phase("establish")
    clock.now += 1000
    teller.progress(0.5, "x")
    teller.line("done")
    teller.error(Fault("it failed"))
    teller.close()
    assert (out.getvalue(), errors.getvalue()) == ("", "")


def test_an_error_goes_to_standard_error_with_cause_and_cure_and_is_bounded() -> None:
    out, errors = io.StringIO(), io.StringIO()
    teller = Teller(Manners(), out, errors)
    teller.error(Fault("the mirror is not in sync", detail="x\n" * 9000, hint="wait"))
    assert out.getvalue() == ""
    assert errors.getvalue().startswith("splitmirror: the mirror is not in sync\n  x\n")
    assert len(errors.getvalue()) < 4100


def test_no_secret_is_told() -> None:
    redaction.register(Secret("hunter2"))
    out, errors = io.StringIO(), io.StringIO()
    teller = Teller(Manners(), out, errors)
    teller.line("psql hunter2")
    teller.error(Fault("hunter2 refused", detail="$ psql hunter2"))
    assert "hunter2" not in out.getvalue() + errors.getvalue()
    assert out.getvalue() == "psql …\n"


def speak(redirection: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "$0" -c "$1" {redirection}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, SPEAK_ALL], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("redirection", ["", ">&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "> >(exec true)"])
def test_a_missing_closed_full_or_broken_standard_output_is_no_fault(redirection: str) -> None:
    ended = speak(redirection)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr
    if "2>" not in redirection:
        assert ended.stderr == "splitmirror: it failed\n  what to do: look\n"


def test_plain_output_loads_nothing_for_a_bar() -> None:
    program = SPEAK_ALL + "sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    yield reader, stream
    os.close(reader)
    stream.close()


def test_a_reader_that_does_not_read_holds_nobody_up(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)
    teller = Teller(Manners(), stream)
    began = time.monotonic()
    for _ in range(3):
        teller.line("x" * 3000)
    assert time.monotonic() - began < 30
    assert os.read(reader, 65536) == b"x" * 3000 + b"\n"
    teller.line("after")
    assert os.read(reader, 65536) == b"after\n"
    teller.close()


def test_a_phase_that_says_nothing_is_heard_of_all_the_same(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    teller = Teller(Manners(line_every_seconds=0.2), stream)
    teller.phase("present")
    text = b""
    while text.count(b"\n") < 3 and select.select([reader], [], [], 30)[0]:
        text += os.read(reader, 4096)
    teller.close()
    assert text.startswith(b"present\npresent \xc2\xb7 0 s so far\n")


def test_words_that_the_stream_cannot_write_are_escaped() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="ascii") as stream:
        Teller(Manners(), stream).line("für €")
    assert os.read(reader, 4096) == b"f\\xfcr \\u20ac\n"
    os.close(reader)


def test_on_a_terminal_there_is_a_bar_while_it_goes_on_and_lines_remain() -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    with os.fdopen(follower, "w") as stream:
        teller = Teller(Manners(), stream)
        teller.phase("establish")
        for step in range(4):
            teller.progress(step / 4, "symm/erp_a")
        teller.line("erp: application copy")
        teller.close()
        text = b""
        while b"application copy" not in text and select.select([leader], [], [], 30)[0]:
            text += os.read(leader, 65536)
    os.close(leader)
    assert b"establish\r\n" in text
    assert b"75%" in text
    assert b"symm/erp_a" in text
    assert text.rstrip().endswith(b"erp: application copy")


def test_a_terminal_that_hangs_up_stops_nothing() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        teller = Teller(Manners(), stream)
        teller.phase("establish")
        teller.progress(0.1, "x")
        os.close(leader)
        teller.progress(0.2, "x")
        teller.line("done")
        teller.close()


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (99, "99 s"), (120, "2 min"), (12000, "3 h 20 min")])
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert span(seconds) == said
