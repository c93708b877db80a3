"""This machine as a host: the same guard program, through pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.hosts.channel import Stream, Tail
from splitmirror_drivers.hosts.shell_host import ShellHost
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.descriptors import readable
from splitmirror_drivers.kit.errors import LinkLost

# sudo closes the descriptors it is handed; this shell stays, and keeps them (the mirror's lock) as long as sudo runs
_KEEPER = ("/bin/sh", "-c", '"$@"; exit $?', "sh")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How this machine is used.

    `shell` runs the guard program; `guard_dir` is its folder (default: /var/lib/splitmirror for root, else
    ~/.splitmirror); `sudo` is the account that commands and guard run as; `family_dirs` hold more verb families.
    """

    shell: str = "/bin/sh"
    guard_dir: str = ""
    sudo: str = ""
    family_dirs: tuple[str, ...] = ()


class LocalHost(ShellHost):
    """The machine the hook runs on."""

    is_local = True

    def __init__(self, name: str = "local", options: Options | None = None) -> None:
        self._options = options or Options()
        super().__init__(name, self._options)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> LocalHost:  # noqa: ARG003
        """The catalogue's constructor."""
        return cls(name, options)

    def connect(self, deadline: Deadline) -> None:
        """Put the guard program in its folder when verbs are needed; commands need nothing."""
        if self._families:
            self._place(deadline)

    def disconnect(self) -> None:
        """Nothing is held open between calls."""

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        """Nothing has to be opened here: a command is started in a millisecond."""

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        """Run an argument list to its end. Raises DeadlinePassed, CommandFailed when it cannot be started."""
        if not self._options.sudo:
            return command.run(command_, deadline)
        if command_.inherit:
            return self._run_keeping(command_, deadline)
        return self._run_there(command_, deadline)

    def _run_keeping(self, command_: Command, deadline: Deadline) -> Completed:
        given = [f"{key}={value}" for key, value in command_.environment.items()]
        argv = (*_KEEPER, *self._as_account(), *(("env", *given) if given else ()), *command_.argv)
        if command_.secret_environment:
            raise ValueError("a command that inherits descriptors through sudo cannot be given secrets")
        done = command.run(Command(argv, command_.stdin, inherit=command_.inherit), deadline)
        return Completed(command_.argv, done.exit_code, done.stdout, done.stderr, done.seconds)

    def _start(self, argv: Sequence[str], deadline: Deadline) -> Stream:  # noqa: ARG002
        return PipeStream(command.start(Command(tuple(argv))))


class PipeStream:
    """A local program's pipes. Reading can be stopped from another thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a program is started with three pipes")
        self._process, self._in, self._out, self._err = process, process.stdin, process.stdout, process.stderr
        self._wake, self._waker = os.pipe()
        self._lock = threading.Lock()
        self._is_closed = False
        self._tail = Tail(self._read_errors)

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises LinkLost when the program no longer reads."""
        try:
            self._in.write(data)
            self._in.flush()
        except (OSError, ValueError) as exc:
            raise LinkLost(f"{self._process.args!r} no longer reads", retryable=True) from exc

    def read(self) -> bytes:
        """The next bytes; empty at the end, or when closed meanwhile."""
        with contextlib.suppress(OSError, ValueError):  # closed by another thread: that is the end
            ready = readable([self._out.fileno(), self._wake])
            return b"" if self._wake in ready else os.read(self._out.fileno(), 65536)
        return b""

    @property
    def is_open(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    def errors(self) -> str:
        """What it has printed on standard error."""
        return self._tail.text(0.0 if self._process.poll() is None else 1.0)

    def exit_code(self, deadline: Deadline) -> int | None:
        """Its exit code; None while it still runs at the deadline."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(deadline.left())
        return None

    def finish(self) -> None:
        """Close the program's input."""
        with contextlib.suppress(OSError):
            self._in.close()

    def close(self) -> None:
        """Close the input, stop any reader; the program ends by itself, and is reaped in the background."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self.finish()
        os.write(self._waker, b"x")
        threading.Thread(target=self._reap, daemon=True).start()

    def _reap(self) -> None:
        self._process.wait()
        self._tail.text(1.0)
        with self._lock:
            for pipe in (self._out, self._err):
                pipe.close()
            os.close(self._wake)
            os.close(self._waker)

    def _read_errors(self) -> bytes:
        with contextlib.suppress(OSError, ValueError):
            return os.read(self._err.fileno(), 65536)
        return b""
