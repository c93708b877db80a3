"""The JSON Schema (draft 2020-12) of policy files, from the same types that decode them, for editors and other programs.

msgspec writes the schema. Before that each type gets a twin that says what msgspec cannot see: the sentence below a
field, and defaults that are written with a unit.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache, reduce
from itertools import pairwise
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from splitmirror.policy import drivers
from splitmirror.policy.drivers import LOCAL, Section
from splitmirror.policy.types import Policy, Settings
from splitmirror_drivers.kit import units

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> Schema:
    """The schema of a whole policy file, every driver of this installation included."""
    options = {
        (section.name, kind): found
        for section in drivers.SECTIONS
        for kind in drivers.names(section)
        if (found := drivers.options_type(section, kind))
    }
    types = [_twin(one) for one in (Settings, Policy, *options.values())]
    tables, components = msgspec.json.schema_components(types, schema_hook=units.schema_hook)
    settings, policy, *rest = tables
    own = dict(zip(options, rest, strict=True))
    sections = {section.name: _section(section, own, components) for section in drivers.SECTIONS}
    return {
        "$schema": DIALECT,
        "title": "splitmirror policy file",
        "type": "object",
        "properties": {"settings": settings, **sections, "policies": _named(policy)},
        "additionalProperties": False,
        "$defs": _without_options(components, rest),
    }


def _section(section: Section, own: Mapping[tuple[str, str], Schema], components: Mapping[str, Schema]) -> Schema:
    """Named tables that are one of the section's drivers, told apart by the key that names it."""
    tables = []
    for (name, kind), reference in own.items():
        if name != section.name:
            continue
        table = dict(components[_name(reference)])
        head: Schema = {section.key: {"const": kind}}
        if section.has_host:
            head["host"] = {"type": "string", "default": LOCAL, "description": "Where its commands run."}
        table |= {
            "title": f"{section.one} {kind}",
            "properties": {**head, **table["properties"]},
            "required": [section.key, *table.get("required", [])],
        }
        tables.append(table)
    return _named({"oneOf": tables})


def _named(table: Schema) -> Schema:
    from splitmirror.policy.rules import NAME

    return {"type": "object", "propertyNames": {"pattern": f"^{NAME.pattern}$"}, "additionalProperties": table}


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _without_options(components: Mapping[str, Schema], options: list[Schema]) -> Schema:
    """The shared parts; drivers' own tables stand where they are used, with the key that names the driver."""
    used = {_name(reference) for reference in options}
    return {name: one for name, one in components.items() if name not in used}


@cache
def _twin(kind: type[Any]) -> type[Any]:
    """A type that decodes the same and describes itself better."""
    config = kind.__struct_config__
    said = field_docs(kind)
    fields = [_field(one, said.get(one.name, "")) for one in msgspec.structs.fields(kind)]
    return msgspec.defstruct(
        kind.__name__,
        fields,
        kw_only=True,
        module=kind.__module__,
        namespace={"__doc__": " ".join((kind.__doc__ or "").split())},
        rename={one.name: one.encode_name for one in msgspec.structs.fields(kind)},
        forbid_unknown_fields=config.forbid_unknown_fields,
        tag=config.tag,
        tag_field=config.tag_field,
    )


def _field(one: Any, said: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    extra = {} if one.required else _default(one)
    meta = msgspec.Meta(description=said or None, extra_json_schema=extra or None)
    described: Any = Annotated[_with_twins(one.type), meta]
    # the default stands in the schema already; a factory of ours keeps msgspec from encoding it again
    return (one.name, described) if one.required else (one.name, described, msgspec.field(default_factory=lambda: None))


def _default(one: Any) -> Schema:
    """The default as it would be written in the file; nothing for one that cannot be written."""
    value = one.default_factory() if one.default is msgspec.NODEFAULT else one.default
    return {} if value is None else {"default": as_written(value)}


def as_written(value: object) -> Any:
    """A value as the file has it: durations and sizes with their unit."""
    written = msgspec.json.encode(value, enc_hook=lambda one: size(one) if isinstance(one, units.Size) else str(one))
    return msgspec.json.decode(written)


def size(value: int) -> str:
    """A size with the largest binary unit that leaves a whole number."""
    for name in ("TiB", "GiB", "MiB", "KiB"):
        factor = int(units.Size.parse(f"1{name}"))
        if value and value % factor == 0:
            return f"{value // factor}{name}"
    return f"{value}B"


def _with_twins(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _twin(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return reduce(or_, [_with_twins(one) for one in arguments])
    if origin in (tuple, list, dict):
        return origin[tuple(_with_twins(one) for one in arguments)]
    return kind


def field_docs(kind: type[Any]) -> dict[str, str]:
    """The text below each field of a type and of those it extends; nothing where no source is at hand (a frozen program)."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one not in (object, msgspec.Struct):
            found |= _own_docs(one)
    return found


def _own_docs(kind: type[Any]) -> dict[str, str]:
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    for before, text in pairwise(body.body if isinstance(body, ast.ClassDef) else []):
        match before, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = " ".join(said.split())
    return found
