"""Run one external command: a list of arguments, a deadline, its own process group. The only user of subprocess.run's kin.

Both streams are read as they come and bounded; exit code and state words decide, so output is decoded with
``LC_ALL=C`` and undecodable bytes kept as escapes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed

OUTPUT_LIMIT_BYTES = 4 * 2**20
GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `argv` without a shell, text for its standard input, extra environment, descriptors it inherits.

    `secret_environment` holds values that are never shown (PGPASSWORD and the like).
    """

    argv: tuple[str, ...]
    stdin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    inherit: tuple[int, ...] = ()

    def line(self) -> str:
        """The command as a line that can be pasted into a shell."""
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did: exit code (negative: ended by that signal), both streams as text, and how long it took."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    def line(self) -> str:
        """The command as a line that can be pasted into a shell."""
        return shlex.join(self.argv)

    def tail(self, lines: int = 12) -> str:
        """The command, its exit code and the last lines of its output, for a Fault's detail."""
        said = (self.stderr.rstrip() or self.stdout.rstrip()).splitlines()[-lines:]
        return "\n".join([f"$ {self.line()}", f"exit code {self.exit_code}", *said])

    def require(self, what: str, hint: str = "") -> Completed:
        """Self when the exit code is 0, else CommandFailed saying that `what` failed."""
        if self.exit_code != 0:
            raise CommandFailed(f"{what} failed", detail=self.tail(), hint=hint)
        return self


def outer_environment() -> dict[str, str]:
    """This process's environment as it was outside a frozen folder: children get the system's library path back."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("_PYI_")}
    if getattr(sys, "frozen", False):
        before = env.pop("LD_LIBRARY_PATH_ORIG", None)
        env.pop("LD_LIBRARY_PATH", None)
        if before is not None:
            env["LD_LIBRARY_PATH"] = before
    return env


def run(command: Command, deadline: Deadline) -> Completed:
    """Run `command` to its end. Raises DeadlinePassed after ending its whole process group, CommandFailed if it cannot start.

    With no time left it is not started at all.
    """
    if deadline.is_passed:
        raise not_started(command)
    started = time.monotonic()
    process = start(command)
    outputs = [_Reader(process.stdout), _Reader(process.stderr)]
    feeder = threading.Thread(target=_feed, args=(process.stdin, command.stdin), daemon=True)
    feeder.start()
    try:
        process.wait(timeout=deadline.left())
    except subprocess.TimeoutExpired as exc:
        end_group(process)
        raise DeadlinePassed(
            f"{command.argv[0]} gave no answer in {time.monotonic() - started:.1f} s",
            detail=f"$ {command.line()}",
            hint="what it did is unknown until it is asked; see the log for its output",
        ) from exc
    stdout, stderr = (reader.text() for reader in outputs)
    return Completed(command.argv, process.returncode, stdout, stderr, time.monotonic() - started)


def not_started(command: Command) -> DeadlinePassed:
    """The fault for a command for which no time was left."""
    return DeadlinePassed(
        f"no time was left for {command.argv[0]}", detail=f"$ {command.line()}", hint="it was not started"
    )


def start(command: Command) -> subprocess.Popen[bytes]:
    """Start `command` in its own process group with three pipes, for callers that speak with it."""
    env = {**outer_environment(), "LC_ALL": "C", **command.environment, **command.secret_environment}
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            pass_fds=command.inherit,
            start_new_session=True,
        )
    except OSError as exc:
        raise CommandFailed(
            f"cannot start {command.argv[0]}: {exc.strerror}",
            detail=f"$ {command.line()}",
            hint="install it, or say in the policy where it is",
        ) from exc


def end_group(process: subprocess.Popen[bytes], grace_seconds: float = GRACE_SECONDS) -> None:
    """End a process group: TERM, a grace, KILL. A process in uninterruptible sleep is left behind, not waited for."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_seconds)
            return


def _feed(pipe: IO[bytes] | None, text: str) -> None:
    if pipe is None:
        return
    with contextlib.suppress(OSError):  # the command may end without reading; its exit code speaks
        pipe.write(text.encode())
    with contextlib.suppress(OSError):
        pipe.close()


class _Reader:
    """Reads a stream to its end in a thread and keeps at most the last OUTPUT_LIMIT_BYTES."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._pipe is None:
            return
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._kept += chunk
                if len(self._kept) > OUTPUT_LIMIT_BYTES:
                    del self._kept[: len(self._kept) - OUTPUT_LIMIT_BYTES]

    def text(self) -> str:
        # a grandchild may hold the pipe open after the command ended; what is there by then is what it said
        self._thread.join(timeout=GRACE_SECONDS)
        return bytes(self._kept).decode(errors="backslashreplace")
