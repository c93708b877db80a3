"""Secrets: values that never print."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A password or key text. ``reveal()`` is the only way to its value; repr, str and format show ``…``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "…"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "…"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


def redact(text: str, *secrets: Secret) -> str:
    """`text` with every secret's value replaced by ``…``; empty secrets are ignored."""
    for secret in secrets:
        if value := secret.reveal():
            text = text.replace(value, "…")
    return text
