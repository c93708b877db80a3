"""Who logs in to an SSH server and how: the options, and the attempt itself.

MaxAuthTries 6 and what "partial success" means: sshd_config(5), RFC 4252 section 5.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from splitmirror_drivers.hosts.ssh_keys import Trust, private_key
from splitmirror_drivers.hosts.ssh_wire import Place, border, close_transport, unreachable
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import HostFault, LoginRefused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import SecretReference

if TYPE_CHECKING:
    import paramiko

ReadSecret = Callable[[SecretReference], Secret]


class LoginOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where an SSH server is, who logs in and how, and which host key it must show."""

    addresses: tuple[str, ...]
    user: str
    port: int = 22
    key: SecretReference | None = None
    passphrase: SecretReference | None = None
    agent: bool = False
    password: SecretReference | None = None
    known_hosts: str = ""
    host_key: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.addresses or not all(self.addresses):
            raise ValueError("addresses needs at least one host name or IP address")
        if not self.user:
            raise ValueError("user is empty")
        if not 0 < self.port < 65536:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        if self.key is None and self.password is None and not self.agent:
            raise ValueError("no way to log in; give key, agent or password")
        for pin in self.pinned():
            if not pin.startswith("SHA256:") and len(pin.split()) < 2:
                raise ValueError(f"host-key is a fingerprint SHA256:… or a line KIND BASE64, not {pin!r}")

    def pinned(self) -> tuple[str, ...]:
        """The pinned host keys."""
        return (self.host_key,) if isinstance(self.host_key, str) else self.host_key

    def trust(self) -> Trust:
        """Which host keys are accepted."""
        return Trust(self.pinned(), (self.known_hosts,) if self.known_hosts else ())


@dataclass
class Visitor:
    """Tries what the options give, in order: key, agent, password; remembers what was tried and what is allowed."""

    transport: paramiko.Transport
    place: Place
    options: LoginOptions
    secret: ReadSecret
    deadline: Deadline
    allowed: tuple[str, ...] = ()
    tried: list[str] = field(default_factory=list)

    def log_in(self) -> None:
        """Raises LoginRefused with all of that."""
        self._attempt("", lambda: self.transport.auth_none(self.options.user))
        for what, attempt in self._ways():
            if self.transport.is_authenticated():
                return
            self._attempt(what, attempt)
        if not self.transport.is_authenticated():
            raise self._refused("")

    def _ways(self) -> Iterator[tuple[str, Callable[[], object]]]:
        user = self.options.user
        if self.options.key is not None:
            key = self._key(self.options.key)
            yield f"key {key.fingerprint}", lambda: self.transport.auth_publickey(user, key)
        if self.options.agent:
            yield from self._agent_ways()
        if self.options.password is not None:
            password = self.secret(self.options.password)
            yield "password", lambda: self.transport.auth_password(user, password.reveal())

    def _attempt(self, what: str, attempt: Callable[[], object]) -> None:
        import paramiko

        if what:
            self.tried.append(what)
        self.transport.auth_timeout = max(0.001, self.deadline.left())
        try:
            with border(self._broken):
                try:
                    attempt()
                except paramiko.BadAuthenticationType as exc:
                    self.allowed = tuple(exc.allowed_types)
                except paramiko.AuthenticationException:
                    if not self.transport.is_active() or self.deadline.is_passed:
                        raise
        except HostFault:
            close_transport(self.transport)
            raise

    def _broken(self, why: str) -> HostFault:
        if self.deadline.is_passed:
            return unreachable(self.place, f"no answer to the login of {self.options.user} in its time")
        return self._refused(why)

    def _refused(self, why: str) -> LoginRefused:
        tried = ", ".join(self.tried) or "nothing"
        allowed = ", ".join(self.allowed) or "it did not say"
        lines = [f"tried: {tried}", f"the server allows: {allowed}", *([f"then: {why}"] if why else [])]
        return LoginRefused(
            f"{self.place} refused the login of {self.options.user}",
            detail="\n".join(lines),
            hint="look at authorized_keys of that account, and at the log of sshd there",
        )

    def _key(self, reference: SecretReference) -> paramiko.PKey:
        passphrase = None if self.options.passphrase is None else self.secret(self.options.passphrase)
        what = reference.file or f"the key from {reference.kind()}"
        key = private_key(self.secret(reference), passphrase, what)
        if reference.file and Path(f"{reference.file}-cert.pub").is_file():
            with border(lambda why: LoginRefused(f"{reference.file}-cert.pub does not fit its key: {why}")):
                key.load_certificate(f"{reference.file}-cert.pub")
        return key

    def _agent_ways(self) -> Iterator[tuple[str, Callable[[], object]]]:
        import paramiko

        with border(lambda why: LoginRefused(f"the SSH agent does not answer: {why}")):
            agent = paramiko.Agent()
        with contextlib.closing(agent):
            keys = agent.get_keys()
            if not keys:
                self.tried.append("agent (it has no keys, or SSH_AUTH_SOCK is not set)")
            for key in keys:
                yield f"agent's key {key.fingerprint}", partial(self.transport.auth_publickey, self.options.user, key)
