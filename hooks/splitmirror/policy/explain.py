"""Why a table is not what its type wants: walked key by key, so that no mistake hides another. Only when decoding failed."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from splitmirror.policy.problem import KeyPath, Problem, meant, nearest
from splitmirror_drivers.kit import units

_PLACE = re.compile(r" - at `[^`]*`$")
_TYPES = re.compile(r"`([^`]+)`")
_WORDS = {
    "str": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def explain(kind: type[Any], table: object, at: KeyPath) -> list[Problem]:
    """Every reason why `table` cannot be decoded as `kind`; empty when no reason can be named."""
    return list(_value(kind, table, at))


def _value(kind: Any, value: object, at: KeyPath) -> Iterator[Problem]:
    inner = _container(kind, value)
    if inner is not None and isinstance(value, dict) and _is_struct(inner):
        yield from _struct(inner, value, at)
    elif inner is not None and isinstance(value, dict):
        for key, one in value.items():
            yield from _value(get_args(inner)[1], one, (*at, key))
    elif inner is not None and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _value(get_args(inner)[0], one, (*at, number))
    else:
        yield from _plain(kind, value, at)


def _container(kind: Any, value: object) -> Any:
    """The member of `kind` that a table or a list can only mean, to be walked; None when there is not exactly one."""
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    fits: Callable[[Any], bool]
    if isinstance(value, dict):
        fits = lambda one: _is_struct(one) or (get_origin(one) is dict and len(get_args(one)) == 2)  # noqa: E731
    elif isinstance(value, list):
        fits = lambda one: get_origin(one) is list or (get_origin(one) is tuple and get_args(one)[1:] == (...,))  # noqa: E731
    else:
        return None
    found = [one for one in members if fits(one)]
    return found[0] if len(found) == 1 else None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _struct(kind: type[msgspec.Struct], table: dict[str, Any], at: KeyPath) -> Iterator[Problem]:
    fields = {one.encode_name: one for one in msgspec.structs.fields(kind)}
    free = [name for name in fields if name not in table]
    unknown = {key: nearest(key, free, "other keys") for key in table if key not in fields}
    found = [Problem((*at, key), "unknown key", hint) for key, hint in unknown.items()]
    # one that is only mistyped is told once
    missing = [name for name in free if fields[name].required and meant(name) not in unknown.values()]
    found += [Problem(at, f"{name} is missing", _example(name, fields[name].type)) for name in missing]
    for key, value in table.items():
        if key in fields:
            found += _value(fields[key].type, value, (*at, key))
    # only a rule of the type as a whole is left to be broken
    yield from found or _plain(kind, table, at)


def _plain(kind: Any, value: object, at: KeyPath) -> Iterator[Problem]:
    try:
        msgspec.convert(value, kind, strict=True, dec_hook=units.decode_hook)
    except msgspec.ValidationError as exc:
        said = _PLACE.sub("", str(exc))
        if (words := sorted(set(_literals(kind)))) and isinstance(value, str):
            yield Problem(at, f'"{value}" is not known here', nearest(value, words, "words"))
        else:
            yield Problem(at, _TYPES.sub(_word, said[:1].lower() + said[1:]))


def _word(match: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(one, one) for one in match[1].split(" | "))


def _literals(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from (one for one in get_args(kind) if isinstance(one, str))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (str(one.value) for one in kind)
    elif get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _literals(one)


def _example(name: str, kind: Any) -> str:
    """How a missing key is written."""
    examples = {str: '"…"', int: "1", bool: "true", units.Duration: '"30s"', units.Size: '"10GiB"'}
    if kind in examples:
        return f"write {name} = {examples[kind]}"
    if get_origin(kind) in (tuple, list):
        return f'write {name} = ["…"]' if get_args(kind)[0] is str else f"write {name} = [{{ … }}]"
    return ""
