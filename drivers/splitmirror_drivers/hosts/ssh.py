"""A data server reached over SSH: the same guard program, through channels of a connection.

No terminal is ever asked for: with one, the end of the link would not be the end of the guard's standard input.
What a cut does, how fast each side notices it, and how to configure all this: docs/hosts.md.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.hosts import program
from splitmirror_drivers.hosts.channel import Stream, Tail, Watchdog, lines_of
from splitmirror_drivers.hosts.shell_host import ShellHost
from splitmirror_drivers.hosts.ssh_link import Link, log_in_anywhere
from splitmirror_drivers.hosts.ssh_login import LoginOptions, ReadSecret
from splitmirror_drivers.hosts.ssh_wire import border
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, LinkLost, LoginRefused, Refused
from splitmirror_drivers.kit.units import Duration

if TYPE_CHECKING:
    import paramiko

_CHUNK_BYTES = 65536
_STATUS_SECONDS = 1.0


class Jump(LoginOptions, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A host that the connection goes through. It is only asked to forward, and needs no shell for our account."""


class Options(LoginOptions, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A data server over SSH.

    Several `addresses` are the nodes of a cluster: the first that answers and lets us in is taken, and kept until
    `disconnect`. `guard` says whether the program is sent, or was installed behind a forced command.
    """

    jump: Jump | None = None
    sudo: str = ""
    shell: str = "/bin/sh"
    guard: Literal["inline", "installed"] = "inline"
    guard_dir: str = ""
    family_dirs: tuple[str, ...] = ()
    connect_timeout: Duration = Duration(15)


class SshHost(ShellHost):
    """A machine with sshd and a POSIX shell."""

    is_local = False

    def __init__(self, name: str, options: Options, secret: ReadSecret) -> None:
        super().__init__(name, options)
        self._options = options
        self._secret = secret
        self._links: list[Link] = []
        self._node = ""
        self._is_checked = False
        self._linking = threading.Lock()

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> SshHost:  # noqa: ARG003
        """The catalogue's constructor."""
        return cls(name, options, context.secret)

    @property
    def _is_installed(self) -> bool:
        return self._options.guard == "installed"

    def connect(self, deadline: Deadline) -> None:
        """Log in unless we are; then the guard program is there, in our version. Raises a HostFault, Refused."""
        if not any(link.is_alive for link in self._links):
            self._link(deadline)
        if self._is_installed:
            self._check_installed(deadline)
        elif self._families:
            self._place(deadline)

    def disconnect(self) -> None:
        """Close every connection; a later call connects anew, and may find another node."""
        self._dismiss()
        with self._linking:
            links, self._links, self._node, self._is_checked = self._links, [], "", False
        with self._placing:
            self._placed = ""
        for link in links:
            link.close()

    def run(self, command: Command, deadline: Deadline) -> Completed:
        """Run an argument list to its end. Raises LinkLost, DeadlinePassed; Refused where verbs only are let in."""
        return self._run_there(command, deadline)

    # -- programs --

    def _start(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        stream = ChannelStream(self._session(deadline), self.name)
        with Watchdog(stream, deadline) as watchdog:
            try:
                stream.start(shlex.join(argv))
            except LinkLost:
                stream.close()
                if watchdog.fired:
                    raise DeadlinePassed(f"{self.name} did not start {argv[0]} in its time") from None
                raise
        return stream

    def _word(self, word: str, deadline: Deadline) -> Stream:
        if self._is_installed:
            self._check_installed(deadline)
        return super()._word(word, deadline)

    def _check_installed(self, deadline: Deadline) -> None:
        """Once a connection: the guard there has the same verbs as the drivers here."""
        if self._is_checked:
            return
        with contextlib.closing(self._start(("splitmirror", "hello"), deadline)) as stream:
            with Watchdog(stream, deadline):
                words = next((line.split() for line in lines_of(stream) if line.startswith("hello ")), [])
            said = stream.errors().strip()
        hint = f"splitmirror install-guard {self.name} says how to put this version's guard there"
        if not words:
            raise Refused(f"the installed guard of {self.name} does not answer", detail=said, hint=hint)
        if words[1:3] != [program.VERSION, program.installed(self._options.family_dirs).checksum]:
            detail = f"it is version {' '.join(words[1:3])}"
            raise Refused(f"the guard installed on {self.name} is not this version's", detail=detail, hint=hint)
        self._is_checked = True

    # -- connections --

    def _session(self, deadline: Deadline) -> paramiko.Channel:
        """A channel on a link that has room: sshd allows ten sessions a connection (MaxSessions)."""
        full: list[Link] = []
        while True:
            link = self._link(deadline, full)
            channel = self._open(link, deadline)
            if channel is not None:
                link.has_carried = True
                return channel
            full.append(link)
            if sum(not one.has_carried for one in full) > 1:  # not even a connection's first one
                raise LoginRefused(
                    f"{link.place} lets us in, and refuses every session",
                    hint="look at MaxSessions in sshd_config there",
                )

    def _open(self, link: Link, deadline: Deadline) -> paramiko.Channel | None:
        import paramiko

        with _turn(link.opening, deadline, self.name), border(lambda why: self._not_opened(why, deadline)):
            try:
                return link.transport.open_session(timeout=max(0.001, deadline.left()))
            except paramiko.ChannelException:
                return None

    def _not_opened(self, why: str, deadline: Deadline) -> LinkLost | DeadlinePassed:
        if deadline.is_passed:
            return DeadlinePassed(f"{self.name} opened no session in its time")
        return LinkLost(f"the link to {self.name} was lost", detail=why, retryable=True)

    def _link(self, deadline: Deadline, beside: Sequence[Link] = ()) -> Link:
        """A link that stands; a new one when there is none but those in `beside`."""
        with _turn(self._linking, deadline, self.name):
            self._links = [link for link in self._links if link.is_alive]
            for link in self._links:
                if link not in beside:
                    return link
            options = self._options
            if self._node:  # until `disconnect` everything goes to the node that was found first
                options = msgspec.structs.replace(options, addresses=(self._node,))
            patience = float(options.connect_timeout)
            link = log_in_anywhere(self.name, options, self._secret, deadline, patience, options.jump)
            self._node = link.place.address
            self._links.append(link)
            return link


@contextlib.contextmanager
def _turn(lock: threading.Lock, deadline: Deadline, host: str) -> Iterator[None]:
    if not lock.acquire(timeout=deadline.left()):
        raise DeadlinePassed(f"{host} opened no session in its time: others were before us")
    try:
        yield
    finally:
        lock.release()


class ChannelStream:
    """A program's channel. Reading ends when the program does, when the link is lost, or when closed by another thread."""

    def __init__(self, channel: paramiko.Channel, host: str) -> None:
        self._channel, self._host = channel, host
        self._tail: Tail | None = None

    def start(self, line: str) -> None:
        """Have the command line run. Raises LinkLost."""
        with border(lambda why: LinkLost(f"{self._host} did not start a command", detail=why, retryable=True)):
            self._channel.exec_command(line)
        self._tail = Tail(lambda: self._channel.recv_stderr(_CHUNK_BYTES))

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises LinkLost when the program no longer reads."""
        with border(lambda why: LinkLost(f"the link to {self._host} was lost", detail=why, retryable=True)):
            if self._channel.eof_sent:
                raise BrokenPipeError
            self._channel.sendall(data)

    def read(self) -> bytes:
        """The next bytes; empty at the end, by when the exit code is there too if one is to come."""
        chunk = self._channel.recv(_CHUNK_BYTES)
        if not chunk:
            self._channel.status_event.wait(_STATUS_SECONDS)
        return chunk

    @property
    def is_open(self) -> bool:
        """Whether the program has not ended, and its link stands."""
        transport = self._channel.get_transport()
        return not (self._channel.closed or self._channel.exit_status_ready()) and transport.is_active()

    def errors(self) -> str:
        """What it has printed on standard error."""
        if self._tail is None:
            return ""
        return self._tail.text(1.0 if self._channel.status_event.is_set() else 0.0)

    def exit_code(self, deadline: Deadline) -> int | None:
        """Its exit code; None while it runs at the deadline, when a signal ended it, and when the link is lost."""
        self._channel.status_event.wait(deadline.left())
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    def finish(self) -> None:
        """Close the program's input."""
        with contextlib.suppress(LinkLost), border(LinkLost):
            self._channel.shutdown_write()

    def close(self) -> None:
        """Close both ends; the program sees the end of its input."""
        with contextlib.suppress(LinkLost), border(LinkLost):
            self._channel.close()
