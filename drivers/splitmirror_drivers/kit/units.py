"""Values with units as policies write them: ``"90s"``, ``"5m"``, ``"2h"``, ``"10GiB"``; and references to secrets."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


class Duration(float):
    """Seconds. Written with a unit: ``250ms``, ``30s``, ``5m``, ``1h30m``, ``2d``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Seconds from text; ValueError names what is expected."""
        total, position = 0.0, 0
        for match in _PART.finditer(text):
            if text[position : match.start()].strip() or match[2] not in _SECONDS:
                break
            total, position = total + float(match[1]) * _SECONDS[match[2]], match.end()
        if position == 0 or text[position:].strip():
            raise ValueError(f"{text!r} is not a duration; write for example 30s, 5m or 1h30m")
        return cls(total)

    def __str__(self) -> str:
        rest, parts = float(self), []
        if 0 < rest < 1:
            return f"{rest * 1000:g}ms"
        for unit in ("d", "h", "m"):
            count, rest = divmod(rest, _SECONDS[unit])
            if count:
                parts.append(f"{count:g}{unit}")
        return "".join(parts) + (f"{rest:g}s" if rest or not parts else "")


class Size(int):
    """Bytes. Written with a unit: ``512MiB``, ``10GiB``, ``2GB``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Size:
        """Bytes from text; ValueError names what is expected."""
        match = _PART.fullmatch(text.strip())
        if not match or match[2] not in _BYTES:
            raise ValueError(f"{text!r} is not a size; write for example 512MiB or 10GiB")
        return cls(round(float(match[1]) * _BYTES[match[2]]))


class SecretReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Where a secret is kept: exactly one of ``env``, ``file`` (mode 0600), ``keyring`` ("service/user"), ``command``."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.kind()

    def kind(self) -> Literal["env", "file", "keyring", "command"]:
        """Which one it is; ValueError when none or several are given."""
        given = [name for name in ("env", "file", "keyring", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a secret is one reference: env, file, keyring or command")
        return given[0]  # type: ignore[return-value]


def decode_hook(kind: type, value: object) -> object:
    """Msgspec ``dec_hook`` for Duration and Size."""
    if kind in (Duration, Size):
        if not isinstance(value, str):
            example = '"30s"' if kind is Duration else '"10GiB"'
            raise ValueError(f"{value!r} has no unit; write for example {example}")
        return kind.parse(value)
    raise NotImplementedError(f"no decoder for {kind.__name__}")


def schema_hook(kind: type) -> dict[str, object]:
    """Msgspec ``schema_hook`` for Duration and Size."""
    if kind is Duration:
        return {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "examples": ["30s", "5m"]}
    if kind is Size:
        return {"type": "string", "pattern": r"^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB)$", "examples": ["10GiB"]}
    raise NotImplementedError(f"no schema for {kind.__name__}")
