"""The text of a new policy: what was answered, and every other key of the same tables as a comment with its default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from splitmirror.policy import drivers
from splitmirror.policy.drivers import LOCAL, Section
from splitmirror.policy.problem import dotted
from splitmirror.policy.types import Policy

_COMMENT_WIDTH = 118
_SHOWN = (
    "freeze-filesystems", "max-freeze", "max-outage", "product-limit", "max-establish", "longest-backup",
    "reattach", "on-backup-failure", "on-quiesce-failure", "full-copy", "retries", "streams", "keep",
)  # fmt: skip
"""Keys of a policy that a new one shows with their defaults; the rest is in the manual."""


@dataclass
class Entry:
    """One driver's table to be written: its section, name and driver, the host it works on, and what was answered."""

    section: Section
    name: str
    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    host: str = LOCAL


@dataclass
class Draft:
    """A policy to be written with the tables that it needs and the file does not have yet."""

    name: str
    entries: Sequence[Entry]
    policy: Mapping[str, Any]

    def text(self) -> str:
        """TOML with comments."""
        blocks = [_entry(entry) for entry in self.entries]
        return "\n".join([*blocks, self._policy()])

    def _policy(self) -> str:
        given = dict(self.policy)
        fields = {one.encode_name: one for one in msgspec.structs.fields(Policy)}
        rest = [fields[key] for key in _SHOWN if key not in given]
        return "\n".join([f"[policies.{self.name}]", *_pairs(given), *_commented(rest, docs(Policy)), ""])


def literal(value: object) -> str:
    """A value as TOML on one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{dotted((key,))} = {literal(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(literal(one) for one in value)}]"
    if isinstance(value, str):
        # what JSON leaves as it is and TOML forbids
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def docs(kind: type[Any]) -> dict[str, str]:
    """The sentence below each field of a type, by its key in the file."""
    from splitmirror.policy.schema import field_docs

    said = field_docs(kind)
    return {one.encode_name: said.get(one.name, "") for one in msgspec.structs.fields(kind)}


def _entry(entry: Entry) -> str:
    kind = drivers.options_type(entry.section, entry.kind)
    tables = {key: value for key, value in entry.values.items() if _is_tables(value)}
    head: dict[str, Any] = {entry.section.key: entry.kind}
    if entry.host != LOCAL:
        head["host"] = entry.host
    head |= {key: value for key, value in entry.values.items() if key not in tables}
    rest = [one for one in msgspec.structs.fields(kind) if one.encode_name not in entry.values] if kind else []
    lines = [f"[{entry.section.name}.{entry.name}]", *_pairs(head), *_commented(rest, docs(kind) if kind else {})]
    for key, named in tables.items():
        for name, values in named.items():
            lines += ["", f"[{dotted((entry.section.name, entry.name, key, name))}]", *_pairs(values)]
    return "\n".join([*lines, ""])


def _is_tables(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Mapping) for one in value.values())


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    width = max((len(dotted((key,))) for key in values), default=0)
    for key, value in values.items():
        yield f"{dotted((key,)):<{width}} = {literal(value)}"


def _commented(fields: Sequence[Any], said: Mapping[str, str]) -> Iterator[str]:
    """Each key with its default, behind ``#``; what it means at its end where there is room, else above it."""
    from splitmirror.policy.schema import as_written

    for one in fields:
        if one.required:
            continue
        value = one.default_factory() if one.default is msgspec.NODEFAULT else one.default
        if value is None or isinstance(value, (msgspec.Struct, dict)):
            continue
        line = f"# {one.encode_name} = {literal(as_written(value))}"
        comment = re.sub(r"``|`", "", said.get(one.encode_name, ""))
        if not comment:
            yield line
        elif len(line) + len(comment) < _COMMENT_WIDTH:
            yield f"{line:<34}# {comment}"
        else:
            yield from (f"#   {comment}", line)
