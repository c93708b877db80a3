"""Keys of both sides: the private key we log in with, and the host keys that we accept.

Host keys: the format of ``known_hosts`` is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: patterns with ``*``, ``?`` and
``!``, hashed names (``|1|SALT|HASH``, HMAC-SHA1), ``[name]:port`` for other ports than 22, ``@revoked``. Lines with
``@cert-authority`` are passed over: host certificates are not supported. A fingerprint is written as ssh-keygen -l does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitmirror_drivers.kit.errors import HostKeyRefused, LoginRefused
from splitmirror_drivers.kit.secret import Secret

if TYPE_CHECKING:
    import paramiko

USUAL_FILES = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True, slots=True)
class HostKey:
    """One public key of a server."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def line(self) -> str:
        """As in a ``.pub`` file, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Known:
    """One line of a known_hosts file. `where` is ``FILE:LINE``."""

    patterns: str
    key: HostKey
    where: str
    is_revoked: bool = False

    def is_for(self, name: str) -> bool:
        """Whether the line speaks of `name`: an address, or ``[ADDRESS]:PORT``."""
        if self.patterns.startswith("|1|"):
            return _is_hash_of(self.patterns, name)
        words = self.patterns.lower().split(",")
        if any(_matches(word[1:], name) for word in words if word.startswith("!")):
            return False
        return any(_matches(word, name) for word in words)


@dataclass(frozen=True, slots=True)
class Trust:
    """Which host keys are accepted for one server: pinned ones where there are any, else those of the files."""

    pinned: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def check(self, key: HostKey, server: str, address: str, port: int) -> None:
        """Raise HostKeyRefused unless `key` is one that is trusted for `address`."""
        if self.pinned:
            self._check_pinned(key, server)
            return
        known = list(self.lines(address, port))
        refused = next((line for line in known if line.is_revoked and line.key == key), None)
        if refused is not None:
            raise HostKeyRefused(f"the host key of {server} is revoked", detail=f"{key}\n@revoked in {refused.where}")
        trusted = [line for line in known if not line.is_revoked]
        if any(line.key == key for line in trusted):
            return
        if trusted:
            raise _changed(key, server, [f"{line.key} ({line.where})" for line in trusted])
        raise self._unknown(key, server, host_name(address, port))

    def kinds(self, address: str, port: int) -> tuple[str, ...]:
        """The kinds of key that are known for a server, so that it is asked for one of them first."""
        if self.pinned:
            return tuple(dict.fromkeys(pin.split()[0] for pin in self.pinned if not pin.startswith("SHA256:")))
        return tuple(dict.fromkeys(line.key.kind for line in self.lines(address, port) if not line.is_revoked))

    def lines(self, address: str, port: int) -> Iterable[Known]:
        """What the files say of a server. Raises HostKeyRefused when a named file cannot be read."""
        name = host_name(address, port)
        for file in self.files or USUAL_FILES:
            for line in self._read(file):
                if line.is_for(name):
                    yield line

    def _read(self, file: str) -> list[Known]:
        path = Path(file).expanduser()
        try:
            return parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except FileNotFoundError:
            if file in self.files:
                raise HostKeyRefused(
                    f"the file of known host keys {path} does not exist", hint="make it, or correct known-hosts"
                ) from None
            return []
        except OSError as exc:
            raise HostKeyRefused(f"the file of known host keys {path} cannot be read: {exc.strerror}") from exc

    def _check_pinned(self, key: HostKey, server: str) -> None:
        for pin in self.pinned:
            if pin in (key.fingerprint, key.line()) or pin.split()[:2] == key.line().split():
                return
        raise _changed(key, server, [f"{_pin_text(pin)} (host-key in the policy file)" for pin in self.pinned])

    def _unknown(self, key: HostKey, server: str, name: str) -> HostKeyRefused:
        file = (self.files or USUAL_FILES)[0]
        kind = key.kind.removeprefix("ssh-").split("-")[0]
        return HostKeyRefused(
            f"the host key of {server} is not known",
            detail=str(key),
            hint=f"compare it with what ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub says on that server; if it is the same, "
            f'say host-key = "{key.fingerprint}" in the host\'s table, or add this line to {file}: {name} {key.line()}',
        )


def _changed(key: HostKey, server: str, expected: Sequence[str]) -> HostKeyRefused:
    return HostKeyRefused(
        f"the host key of {server} is not the one that is known: somebody may be listening in",
        detail="\n".join([f"it shows  {key}", *(f"known is  {one}" for one in expected)]),
        hint="ask who looks after that server whether its key was changed; only then replace the known one",
    )


def host_name(address: str, port: int) -> str:
    """A server's name in known_hosts."""
    name = address.lower()
    return name if port == 22 else f"[{name}]:{port}"


def parse(text: str, source: str) -> list[Known]:
    """The lines of a known_hosts file; what is no such line is passed over, as ssh does."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        mark = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or mark not in ("", "@revoked"):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        found.append(Known(words[0], HostKey(words[1], blob), f"{source}:{number}", mark == "@revoked"))
    return found


def _matches(pattern: str, name: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _is_hash_of(text: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in text.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def _pin_text(pin: str) -> str:
    known = parse(f"* {pin}", "")
    return str(known[0].key) if known else pin


# -- the private key --


def private_key(text: Secret, passphrase: Secret | None, what: str) -> paramiko.PKey:
    """A private key from its text: OpenSSH's own format, PEM, PKCS#8; RSA, ECDSA, Ed25519. Raises LoginRefused.

    `what` names it in messages. The text goes through `cryptography`, since paramiko itself does not read PKCS#8.
    """
    import paramiko
    from cryptography.exceptions import UnsupportedAlgorithm

    kinds: dict[str, Any] = {"rsa": paramiko.RSAKey, "ecdsa": paramiko.ECDSAKey, "ed25519": paramiko.Ed25519Key}
    try:
        kind, plain = _plain(text, passphrase)
        key: paramiko.PKey = kinds[kind].from_private_key(io.StringIO(plain.reveal()))
    except (ValueError, TypeError, UnsupportedAlgorithm, KeyError, paramiko.SSHException) as exc:
        raise LoginRefused(f"{what} is no private key that can be used: {_why(text, passphrase, exc)}") from exc
    return key


def _plain(text: Secret, passphrase: Secret | None) -> tuple[str, Secret]:
    """The kind of a key, and the key without its passphrase in OpenSSH's format."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    data = text.reveal().strip().encode() + b"\n"
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:  # it is encrypted
        if passphrase is None:
            raise
        key = load(data, password=passphrase.reveal().encode())
    kinds = {rsa.RSAPrivateKey: "rsa", ec.EllipticCurvePrivateKey: "ecdsa", ed25519.Ed25519PrivateKey: "ed25519"}
    kind = next((word for one, word in kinds.items() if isinstance(key, one)), "")
    if not kind:
        raise KeyError(type(key).__name__.removesuffix("PrivateKey"))
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return kind, Secret(plain.decode())


def _why(text: Secret, passphrase: Secret | None, exc: Exception) -> str:
    start = text.reveal().lstrip()[:64]
    if start.startswith("PuTTY-User-Key-File"):
        return "it is in PuTTY's format; convert it with puttygen KEY -O private-openssh -o NEW"
    if start.startswith(("ssh-", "ecdsa-")):
        return "it is the public half"
    if isinstance(exc, TypeError):
        return "it has a passphrase; say where that is with passphrase"
    if isinstance(exc, KeyError):
        return f"keys of kind {exc.args[0]} are not supported; use Ed25519, ECDSA or RSA"
    return "the passphrase may be wrong" if passphrase is not None else (str(exc) or type(exc).__name__)
