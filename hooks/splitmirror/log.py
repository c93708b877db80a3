"""Logs: one event a line, ``key=value``, UTC, the run first; one result line per run to syslog; no secret in either.

::

    2026-11-24T01:00:07.412Z run=erp-20261124-010000-42 level=info phase=split event=done took_ms=412

What standard output is told is another matter: see ``teller.py``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitmirror.redaction import redacted, register
from splitmirror.teller import Teller

__all__ = ["Lines", "RunFile", "Teller", "phase", "redacted", "register", "result_line", "run_logger"]

SYSLOG = "/dev/log"
SYSLOG_BYTES = 900
FACILITY_DAEMON, SEVERITY_ERROR, SEVERITY_INFO = 3, 3, 6
_PLAIN = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f]+")


def run_logger(folder: Path, run_id: str) -> logging.Logger:
    """The log of one run, FOLDER/RUN.log. Known to nobody else: not in the tree of ``logging.getLogger``."""
    logger = logging.Logger(run_id, logging.INFO)  # noqa: LOG001 - a tree would keep every run's file for ever
    handler = RunFile(folder / f"{run_id}.log")
    handler.setFormatter(Lines(run_id))
    logger.addHandler(handler)
    return logger


class RunFile(logging.Handler):
    """Appends whole lines to a file, opened for each line: it may be rotated or removed at any time.

    A log that cannot be written stops no run, since what must be durable is in the journal; it is said once.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.is_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line."""
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        try:
            opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(opened, line)
            finally:
                os.close(opened)
        except OSError as exc:
            self._complain(exc)
        else:
            self.is_failing = False

    def _complain(self, exc: OSError) -> None:
        if not self.is_failing and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody is left to be told
                sys.stderr.write(f"splitmirror: the log {self.path} cannot be written: {exc.strerror}\n")
        self.is_failing = True


class Lines(logging.Formatter):
    """One event, one line: values with blanks are quoted, line breaks escaped, secrets left out."""

    def __init__(self, run_id: str = "") -> None:
        super().__init__()
        self.run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        arguments = record.args
        if isinstance(arguments, tuple):
            arguments = tuple(quoted(one) if not isinstance(one, int | float) else one for one in arguments)
        said = str(record.msg) % arguments if arguments else str(record.msg)
        if record.exc_info:
            said += f" trace={quoted(self.formatException(record.exc_info))}"
        whole, rest = divmod(record.created, 1)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int(rest * 1000):03d}Z"
        run = f"run={self.run_id} " if self.run_id else ""
        return f"{stamp} {run}level={record.levelname.lower()} {escaped(redacted(said))}"


def quoted(value: object) -> str:
    """A value as it stands behind ``key=``: plain where it can be, else in double quotes."""
    text = redacted(str(value))
    if _PLAIN.fullmatch(text):
        return text
    return '"' + escaped(text.replace("\\", "\\\\")).replace('"', '\\"') + '"'


def escaped(text: str) -> str:
    """Without line breaks and other control characters, so that no value can begin a line of its own."""
    return re.sub(
        r"[\x00-\x1f\x7f\x85\u2028\u2029]", lambda found: found[0].encode("unicode_escape").decode("ascii"), text
    )


@contextmanager
def phase(logger: logging.Logger, name: str) -> Iterator[None]:
    """Started, then done or failed, with the time it took in ms."""
    began = time.monotonic()
    logger.info("phase=%s event=started", name)
    try:
        yield
    except BaseException as exc:
        logger.error("phase=%s event=failed took_ms=%d error=%s", name, (time.monotonic() - began) * 1000, exc)
        raise
    logger.info("phase=%s event=done took_ms=%d", name, (time.monotonic() - began) * 1000)


def result_line(line: str, *, failed: bool, address: str = SYSLOG) -> None:
    """One line to syslog (facility daemon; severity err when `failed`). Waits at most a second; no syslog is no fault."""
    severity = SEVERITY_ERROR if failed else SEVERITY_INFO
    text = escaped(redacted(line)).encode("utf-8", "backslashreplace")[:SYSLOG_BYTES]
    message = f"<{FACILITY_DAEMON * 8 + severity}>splitmirror[{os.getpid()}]: ".encode() + text
    for kind, end in ((socket.SOCK_DGRAM, b""), (socket.SOCK_STREAM, b"\0")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as channel:
            channel.settimeout(1.0)
            channel.connect(address)
            channel.sendall(message + end)
            return
