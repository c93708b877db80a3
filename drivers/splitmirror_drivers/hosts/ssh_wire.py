"""The way to an SSH server: its address, the socket, the handshake. Everything here that knows paramiko speaks in Faults."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, Unreachable

if TYPE_CHECKING:
    import paramiko

SILENCE_SECONDS = 6.0
"""How long sent bytes may stay without the other kernel's receipt before the connection is given up."""


class Place(NamedTuple):
    """One address of a host, as messages name it."""

    host: str
    address: str
    port: int

    def __str__(self) -> str:
        where = self.address if self.port == 22 else f"{self.address} port {self.port}"
        return where if self.host == self.address else f"{self.host} ({where})"


@contextlib.contextmanager
def border(fault: Callable[[str], Fault]) -> Iterator[None]:
    """The one place where what paramiko and sockets raise becomes a Fault."""
    import paramiko

    try:
        yield
    except (paramiko.SSHException, OSError, EOFError) as exc:
        raise fault(_cause(exc)) from exc


def quiet_paramiko() -> None:
    """What it logs of refused sessions and lost links, with tracebacks, we say ourselves, once and in a sentence."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def close_transport(transport: paramiko.Transport) -> None:
    """Close it; a link that is gone already is as good."""
    with contextlib.suppress(Unreachable), border(Unreachable):
        transport.close()
    with contextlib.suppress(OSError):
        transport.sock.close()


def dial(place: Place, deadline: Deadline) -> socket.socket:
    try:
        found = socket.getaddrinfo(place.address, place.port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise unreachable(place, _cause(exc)) from exc
    why = "it has no address"
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            _tune(sock)
            sock.settimeout(max(0.001, deadline.left()))
            sock.connect(address)
        except OSError as exc:
            sock.close()
            why = _cause(exc)
        else:
            return sock
    raise unreachable(place, why)


def _tune(sock: socket.socket) -> None:
    """A silent cut must end the connection here too, and the guard's short orders must not wait for company."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {"TCP_USER_TIMEOUT": int(SILENCE_SECONDS * 1000), "TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    for name, value in values.items():
        if hasattr(socket, name):  # Linux has all four
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def dial_through(carrier: paramiko.Transport, by: Place, place: Place, deadline: Deadline) -> paramiko.Channel:
    with border(lambda why: unreachable(place, f"{by} cannot reach it: {why}")):
        return carrier.open_channel(
            "direct-tcpip", (place.address, place.port), ("127.0.0.1", 0), timeout=max(0.001, deadline.left())
        )


def shake_hands(transport: paramiko.Transport, place: Place, known: Sequence[str], deadline: Deadline) -> None:
    security = transport.get_security_options()
    wanted = {algorithm for kind in known for algorithm in _algorithms(kind)}
    security.key_types = sorted(security.key_types, key=lambda kind: kind not in wanted)
    transport.banner_timeout = transport.handshake_timeout = max(0.001, deadline.left())
    with border(lambda why: unreachable(place, f"it answers, but not as an SSH server should: {why}")):
        transport.start_client(timeout=max(0.001, deadline.left()))
    if not transport.initial_kex_done:
        raise unreachable(place, "it answers, but the SSH handshake was not done in its time")


def _algorithms(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def unreachable(place: Place, why: str) -> Unreachable:
    return Unreachable(
        f"{place} cannot be reached: {why}",
        hint=f"look at the address, the network and sshd there, or try: ssh -v -p {place.port} {place.address}",
        retryable=True,
    )


def _cause(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in its time"
    if isinstance(exc, EOFError):
        return "it closed the connection"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc) or type(exc).__name__
