"""One event a line, the run on it, no secret in it; and a log or syslog that fails stops nothing."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitmirror import log, redaction
from splitmirror_drivers.kit.secret import Secret

ROOT = Path(__file__).parents[2]
RUN = "erp-20261124-010000-42"


@pytest.fixture(autouse=True)
def _secrets() -> Iterator[None]:
    yield
    redaction._secrets.clear()


def lines(folder: Path) -> list[str]:
    return (folder / f"{RUN}.log").read_text(encoding="utf-8").splitlines()


def test_a_line_has_its_time_in_utc_with_milliseconds_then_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    logger = log.run_logger(tmp_path, RUN)
    logger.handle(
        logging.makeLogRecord(
            {"msg": "phase=%s event=done pairs=%d", "args": ("split", 8), "created": 1764000000.4129, "levelno": 20}
        )
    )
    logger.info("phase=%s event=done took_ms=%d", "split", 412)
    first, second = lines(tmp_path)
    assert first.startswith(f"2025-11-24T16:00:00.412Z run={RUN} level=")
    assert first.endswith(" phase=split event=done pairs=8")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z run={RUN} level=info phase=split event=done took_ms=412", second
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain/value-1", "plain/value-1"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "no"', r'"say \"no\""'),
        ("a=b", '"a=b"'),
        ("C:\\x", r'"C:\\x"'),
        ("line\nrun=other event=forged", r'"line\nrun=other event=forged"'),
        ("\x1b[31mred\u2028next", r'"\x1b[31mred\u2028next"'),
        ("ü", "ü"),
        (OSError("no route"), '"no route"'),
    ],
)
def test_no_value_can_make_a_line_of_its_own_or_another_key(tmp_path: Path, value: object, written: str) -> None:
    log.run_logger(tmp_path, RUN).error("phase=x error=%s end=%d", value, 1)
    assert len(lines(tmp_path)) == 1
    assert lines(tmp_path)[0].endswith(f"level=error phase=x error={written} end=1")


def test_a_message_without_values_is_one_line_too(tmp_path: Path) -> None:
    log.run_logger(tmp_path, RUN).warning("two\nlines")
    assert lines(tmp_path)[0].endswith(r"level=warning two\nlines")


def test_a_traceback_is_one_value(tmp_path: Path) -> None:
    logger = log.run_logger(tmp_path, RUN)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("event=failed")
    assert len(lines(tmp_path)) == 1
    assert "RuntimeError: broken" in lines(tmp_path)[0]


def test_no_secret_is_written_whole_or_as_the_tail_of_another(tmp_path: Path) -> None:
    log.register(Secret("abc"), Secret("abcdef"), Secret("-----KEY\nline two\n-----"), Secret(""))
    logger = log.run_logger(tmp_path, RUN)
    logger.info("password abcdef")
    logger.info("key=%s", "-----KEY\nline two\n-----")
    logger.info("argv=%s", ["psql", "password=abcdef"])
    try:
        raise RuntimeError("abcdef refused")
    except RuntimeError:
        logger.exception("event=failed")
    written = "\n".join(lines(tmp_path))
    for part in ("abc", "def", "line two"):
        assert part not in written.replace("refused", "").replace("<module>", "").replace("test_no_secret", "")
    assert "password …" in written


def test_a_log_is_for_us_alone_and_goes_on_after_it_was_moved_away(tmp_path: Path) -> None:
    logger = log.run_logger(tmp_path, RUN)
    logger.info("event=first")
    assert (tmp_path / f"{RUN}.log").stat().st_mode & 0o777 == 0o600
    (tmp_path / f"{RUN}.log").rename(tmp_path / "moved")
    logger.info("event=second")
    assert [line.rpartition(" ")[2] for line in lines(tmp_path)] == ["event=second"]


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    logger = log.run_logger(tmp_path, RUN)

    def speak(name: str) -> None:
        for number in range(200):
            logger.info("who=%s n=%d pad=%s", name, number, name * 300)

    threads = [threading.Thread(target=speak, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    written = lines(tmp_path)
    assert len(written) == 600
    assert all(re.search(r" who=(.) n=\d+ pad=\1{300}$", line) for line in written)


def test_a_log_that_cannot_be_written_stops_nothing_and_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = log.run_logger(tmp_path / "missing", RUN)
    logger.info("event=first")
    logger.info("event=second")
    said = capsys.readouterr().err
    assert said.count("cannot be written: No such file or directory") == 1


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{RUN}.log").symlink_to(tmp_path / "elsewhere")
    log.run_logger(tmp_path, RUN).info("event=first")
    assert not (tmp_path / "elsewhere").exists()
    assert "cannot be written" in capsys.readouterr().err


def test_a_phase_is_started_and_done_or_failed_with_its_time(tmp_path: Path) -> None:
    logger = log.run_logger(tmp_path, RUN)
    with log.phase(logger, "split"):
        pass
    with pytest.raises(ValueError, match="no"), log.phase(logger, "present"):
        raise ValueError("no such mount")
    said = [re.sub(r"took_ms=\d+", "took_ms=N", line.partition("level=")[2]) for line in lines(tmp_path)]
    assert said == [
        "info phase=split event=started",
        "info phase=split event=done took_ms=N",
        "info phase=present event=started",
        'error phase=present event=failed took_ms=N error="no such mount"',
    ]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize(("failed", "priority"), [(False, 30), (True, 27)])
def test_syslog_gets_one_line_with_its_severity(
    tmp_path: Path, kind: socket.SocketKind, failed: bool, priority: int
) -> None:
    log.register(Secret("hunter2"))
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(30)
        if kind is socket.SOCK_STREAM:
            server.listen()
        log.result_line("erp: application\ncopy hunter2", failed=failed, address=str(tmp_path / "log"))
        if kind is socket.SOCK_STREAM:
            with server.accept()[0] as channel:
                got = channel.recv(4096).rstrip(b"\0")
        else:
            got = server.recv(4096)
    assert got.decode() == f"<{priority}>splitmirror[{os.getpid()}]: erp: application\\ncopy …"


def test_syslog_that_is_not_there_or_does_not_read_is_no_fault(tmp_path: Path) -> None:
    log.result_line("erp: fine", failed=False, address=str(tmp_path / "missing"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        filler.setblocking(False)
        filler.connect(str(tmp_path / "log"))
        with filler, pytest.raises(BlockingIOError):
            while True:
                filler.send(b"x" * 500)
        log.result_line("erp: fine", failed=False, address=str(tmp_path / "log"))


def test_a_long_result_is_cut_for_syslog(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(30)
        log.result_line("ü" * 5000, failed=True, address=str(tmp_path / "log"))
        assert len(server.recv(65536)) < 1024


def test_nothing_heavy_is_loaded_for_a_log() -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'hooks')!r}, {str(ROOT / 'drivers')!r}]\n"
        "import splitmirror.log; sys.exit(any(name in sys.modules for name in ('rich', 'sqlite3', 'paramiko')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
