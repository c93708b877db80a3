"""Secrets from where the policy says they are kept. Each one is registered for redaction before anybody gets it.

No fault from here shows a value, nor anything that a command printed on standard output.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from splitmirror import redaction
from splitmirror.state import user_name
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, PolicyFault
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import SecretReference

DEADLINE_SECONDS = 30.0
LIMIT_BYTES = 64 * 2**10
_SAID_LINES = 6


def resolve(reference: SecretReference) -> Secret:
    """The secret that `reference` means. Raises PolicyFault naming the reference, and never the value."""
    try:
        kind = reference.kind()
    except ValueError as exc:
        raise PolicyFault(str(exc)) from exc
    value = _KINDS[kind](reference)
    where = _named(reference, kind)
    if not value:
        raise PolicyFault(f"{where} is empty", hint="put the secret there, or take the reference out of the policy")
    if "\0" in value:
        raise PolicyFault(f"{where} holds a NUL byte, which no password or key text does")
    if len(value) > LIMIT_BYTES:
        raise PolicyFault(f"{where} is longer than {LIMIT_BYTES // 2**10} KiB", hint="is it really a secret?")
    secret = Secret(value)
    redaction.register(secret)
    return secret


def _named(reference: SecretReference, kind: str) -> str:
    if reference.command is not None:
        return f"what {reference.command[0] if reference.command else 'no command'} prints"
    return {"env": "the variable", "file": "the file", "keyring": "the key ring's"}[
        kind
    ] + f" {getattr(reference, kind)}"


def _environment(reference: SecretReference) -> str:
    name = reference.env or ""
    if name not in os.environ:
        raise PolicyFault(
            f"the variable {name!r}, which holds a secret, is not in the environment",
            hint="hooks get the environment of the backup product, often an empty one: a file is surer",
        )
    return os.environ[name]


def _file(reference: SecretReference) -> str:
    path = Path(reference.file or "")
    if not path.is_absolute():
        raise PolicyFault(f"the secret file {str(path)!r} is not an absolute path", hint="write it from the root on")
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        me = user_name(os.geteuid())
        raise PolicyFault(
            f"the secret file {path} cannot be read: {exc.strerror}",
            hint=f"the hooks run as {me}: make it that user's, mode 0600",
        ) from exc
    try:
        _require_private(path, os.fstat(opened))
        with os.fdopen(opened, "rb", closefd=False) as file:
            content = file.read(LIMIT_BYTES + 2)
    finally:
        os.close(opened)
    return _text(content, f"the secret file {path}")


def _require_private(path: Path, found: os.stat_result) -> None:
    me = os.geteuid()
    if not stat.S_ISREG(found.st_mode):
        raise PolicyFault(f"the secret file {path} is not a regular file")
    if found.st_uid not in (0, me):
        raise PolicyFault(
            f"the secret file {path} belongs to {user_name(found.st_uid)}",
            hint=f"chown {user_name(me)} {path}",
        )
    if found.st_mode & 0o077:
        raise PolicyFault(
            f"the secret file {path} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"chmod 0600 {path}; and change the secret if others may have read it",
        )


def _text(content: bytes, where: str) -> str:
    try:
        return _line(content.decode())
    except UnicodeDecodeError:
        # the error itself shows what it read: it goes no further
        raise PolicyFault(f"{where} is not UTF-8", hint="a secret is text") from None


def _line(text: str) -> str:
    """`text` without the line break at its end."""
    return text.removesuffix("\n").removesuffix("\r")


def _keyring(reference: SecretReference) -> str:
    service, _, user = (reference.keyring or "").rpartition("/")
    if not service or not user:
        raise PolicyFault(f"{reference.keyring!r} is not SERVICE/USER", hint='write keyring = "splitmirror/erp"')
    answer: list[str | PolicyFault | None] = []
    # a locked key ring may ask on a screen that nobody sees
    asking = threading.Thread(target=lambda: answer.append(_ask_keyring(service, user)), daemon=True)
    asking.start()
    asking.join(DEADLINE_SECONDS)
    if not answer:
        raise PolicyFault(
            f"the key ring gave no answer for {service}/{user} in {DEADLINE_SECONDS:.0f} s",
            hint="it may be locked: a hook has nobody to unlock it; keep the secret in a file",
        )
    if isinstance(answer[0], PolicyFault):
        raise answer[0]
    if answer[0] is None:
        raise PolicyFault(f"the key ring has no {service}/{user}", hint=f"keyring set {service} {user}")
    return answer[0]


def _ask_keyring(service: str, user: str) -> str | PolicyFault | None:
    try:
        import keyring
    except ImportError:
        return PolicyFault(
            "the policy keeps a secret in the key ring, and the package keyring is not installed",
            hint="pip install 'splitmirror[keyring]', or keep it in a file",
        )
    try:
        found: str | None = keyring.get_password(service, user)
    except Exception as exc:  # noqa: BLE001 - a back end is a stranger; its words may hold what it read
        return PolicyFault(
            f"the key ring cannot be asked for {service}/{user}: {type(exc).__name__}",
            hint="`keyring diagnose` as the user that the hooks run as; or keep the secret in a file",
        )
    return found


def _command(reference: SecretReference) -> str:
    argv = reference.command or ()
    if not argv:
        raise PolicyFault("a secret's command is empty", hint='write command = ["PROGRAM", "ARGUMENT"]')
    order = Command(argv)
    try:
        done = command.run(order, Deadline.after(DEADLINE_SECONDS))
    except DeadlinePassed as exc:
        raise PolicyFault(
            f"{argv[0]} gave no secret in {DEADLINE_SECONDS:.0f} s",
            detail=f"$ {order.line()}",
            hint="it must ask nobody: hooks run without a terminal",
        ) from exc
    if done.exit_code != 0:
        said = "\n".join(done.stderr.rstrip().splitlines()[-_SAID_LINES:])
        raise PolicyFault(
            f"{argv[0]} gave no secret: exit code {done.exit_code}",
            detail=f"$ {order.line()}\n{said}".rstrip(),
            hint="run it as the user that the hooks run as",
        )
    return _line(done.stdout)


_KINDS: Mapping[str, Callable[[SecretReference], str]] = {
    "env": _environment,
    "file": _file,
    "keyring": _keyring,
    "command": _command,
}
