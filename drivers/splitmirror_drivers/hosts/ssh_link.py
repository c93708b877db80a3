"""One SSH connection: to the first address that answers, its host key checked, logged in, kept awake.

paramiko's Transport: https://docs.paramiko.org/en/stable/api/transport.html; MaxStartups 10:30:100: sshd_config(5).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from splitmirror_drivers.hosts.ssh_keys import HostKey
from splitmirror_drivers.hosts.ssh_login import LoginOptions, ReadSecret, Visitor
from splitmirror_drivers.hosts.ssh_wire import (
    SILENCE_SECONDS,
    Place,
    border,
    close_transport,
    dial,
    dial_through,
    quiet_paramiko,
    shake_hands,
    unreachable,
)
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import HostFault, HostKeyRefused, LoginRefused, Unreachable

if TYPE_CHECKING:
    import socket

    import paramiko

PULSE_SECONDS = 2.0
HANDSHAKES = 8
"""At a time through one jump host: sshd begins to drop unauthenticated connections at ten (MaxStartups)."""
DROPPED_SECONDS = (0.3, 1.0, 2.0)
"""How long to wait before each further attempt where sshd dropped us for that reason."""


@dataclass
class Link:
    """A connection that is logged in. `carrier` is the one to the jump host that carries it.

    `opening`: paramiko keeps one reason of failure a connection, so that channels are opened one after another.
    """

    transport: paramiko.Transport
    place: Place
    carrier: Link | None = None
    has_carried: bool = False
    opening: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.transport.set_keepalive(int(PULSE_SECONDS))
        if self.carrier is not None:
            threading.Thread(target=self._pulse, name=f"ssh-pulse-{self.place.host}", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether it still stands, as far as this side knows."""
        return self.transport.is_active()

    def close(self) -> None:
        """Close it, and what carries it. May be called twice."""
        self._stop.set()
        close_transport(self.transport)
        if self.carrier is not None:
            self.carrier.close()

    def _pulse(self) -> None:
        """Behind a jump host TCP sees only the way to it: there the server itself has to answer."""
        while not self._stop.wait(PULSE_SECONDS) and self.is_alive:
            giving_up = threading.Timer(SILENCE_SECONDS, close_transport, (self.transport,))
            giving_up.daemon = True
            giving_up.start()
            try:
                with border(lambda _: Unreachable(f"{self.place} is silent")):
                    self.transport.global_request("keepalive@openssh.com", wait=True)
            except Unreachable:
                return
            finally:
                giving_up.cancel()


def log_in_anywhere(
    name: str,
    options: LoginOptions,
    secret: ReadSecret,
    deadline: Deadline,
    patience_seconds: float,
    jump: LoginOptions | None = None,
) -> Link:
    """A link to the first address that answers and lets us in. Raises one HostFault that names what each said.

    `patience_seconds` is what one address gets, and what the jump host gets.
    """
    if jump is None:
        return _first(name, options, lambda place: log_in(place, options, secret, deadline.sooner(patience_seconds)))
    with _gate(jump, deadline, name):
        carrier = log_in_anywhere(f"jump host of {name}", jump, secret, deadline, patience_seconds)
    try:
        return _first(
            name, options, lambda place: log_in(place, options, secret, deadline.sooner(patience_seconds), carrier)
        )
    except BaseException:
        carrier.close()
        raise


def _first(name: str, options: LoginOptions, attempt: Callable[[Place], Link]) -> Link:
    faults: list[HostFault] = []
    for address in options.addresses:
        try:
            return attempt(Place(name, address, options.port))
        except HostFault as exc:
            faults.append(exc)
    if len(faults) == 1:
        raise faults[0]
    kind = next((k for k in (HostKeyRefused, LoginRefused) if any(isinstance(f, k) for f in faults)), Unreachable)
    detail = "\n".join(line for fault in faults for line in (fault.message, *_indented(fault.detail)))
    hint = next(fault.hint for fault in faults if isinstance(fault, kind))
    raise kind(f"no address of {name} could be used", detail=detail, hint=hint, retryable=kind is Unreachable)


def log_in(
    place: Place, options: LoginOptions, secret: ReadSecret, deadline: Deadline, carrier: Link | None = None
) -> Link:
    """One address: connect, check the host key, log in. Raises Unreachable, HostKeyRefused, LoginRefused."""
    quiet_paramiko()
    trust = options.trust()
    transport = _shaken(place, trust.kinds(place.address, place.port), deadline, carrier)
    try:
        offered = transport.get_remote_server_key()
        trust.check(HostKey(offered.get_name(), offered.asbytes()), str(place), place.address, place.port)
        Visitor(transport, place, options, secret, deadline).log_in()
    except BaseException:
        close_transport(transport)
        raise
    return Link(transport, place, carrier)


def _shaken(place: Place, known: Sequence[str], deadline: Deadline, carrier: Link | None) -> paramiko.Transport:
    """A transport after its handshake. A server that hangs up before its first word may have too many guests: once more."""
    import paramiko

    for pause in (*DROPPED_SECONDS, None):
        if carrier is None:
            sock: socket.socket | paramiko.Channel = dial(place, deadline)
        else:
            sock = dial_through(carrier.transport, carrier.place, place, deadline)
        with border(lambda why: unreachable(place, f"it does not speak SSH: {why}")):
            transport = paramiko.Transport(sock)
        try:
            shake_hands(transport, place, known, deadline)
        except BaseException as exc:
            close_transport(transport)
            is_dropped = isinstance(exc, Unreachable) and not transport.remote_version
            if not is_dropped or pause is None or deadline.left() <= pause:
                raise
            time.sleep(pause)
        else:
            break
    return transport


_gates: dict[tuple[tuple[str, ...], int], threading.BoundedSemaphore] = {}
_gates_lock = threading.Lock()


@contextlib.contextmanager
def _gate(jump: LoginOptions, deadline: Deadline, name: str) -> Iterator[None]:
    with _gates_lock:
        gate = _gates.setdefault((jump.addresses, jump.port), threading.BoundedSemaphore(HANDSHAKES))
    if not gate.acquire(timeout=deadline.left()):
        raise Unreachable(f"the jump host of {name} was busy with other logins all the time", retryable=True)
    try:
        yield
    finally:
        gate.release()


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
