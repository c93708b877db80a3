"""Secrets that this process has resolved, and texts without them."""

from __future__ import annotations

from splitmirror_drivers.kit.secret import Secret, redact

_secrets: set[Secret] = set()


def register(*secrets: Secret) -> None:
    """From now on these never appear in a log or on the screen."""
    _secrets.update(secret for secret in secrets if secret.reveal())


def redacted(text: str) -> str:
    """`text` without any registered secret; the longest first, so that none leaves a tail of another."""
    return redact(text, *sorted(_secrets, key=lambda secret: -len(secret.reveal()))) if _secrets else text
