"""The JSON Schema is made from the types that decode: what loads is valid, and what it calls wrong does not load."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from tests.unit.policy import stranger
from tests.unit.policy.test_samples import GOOD, INVALID

from splitmirror.policy import drivers, schema
from splitmirror.policy.load import parse
from splitmirror.policy.types import Mirror, Policy, Present, Settings
from splitmirror_drivers.kit.units import Duration, Size

DOCS = Path(__file__).parents[3] / "docs" / "policy.md"
ONLY_LOADING_KNOWS = {
    "not-toml", "unknown-names", "one-place-twice", "numbers", "no-mirrors", "presentation", "two-secrets",
    "ssh-without-login", "command-array",
}  # fmt: skip
"""Mistakes that no schema can express: names, paths and rules over several keys."""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schema.schema()


@pytest.fixture(scope="module")
def validator(made: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(made)


def test_it_is_a_schema_of_its_dialect_and_json(made: dict[str, Any]) -> None:
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(made)
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_sample_is_valid(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    "path", [one for one in INVALID if one.stem not in ONLY_LOADING_KNOWS], ids=lambda path: path.stem
)
def test_samples_of_mistakes_are_not(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(tomllib.loads(path.read_text()))


def test_every_driver_is_told_apart_by_its_name(made: dict[str, Any]) -> None:
    for section in drivers.SECTIONS:
        tables = made["properties"][section.name]["additionalProperties"]["oneOf"]
        assert [table["properties"][section.key]["const"] for table in tables] == drivers.names(section)
        for table in tables:
            assert section.key in table["required"]
            assert table["additionalProperties"] is False
            assert table["description"]
            assert ("host" in table["properties"]) == section.has_host


def test_a_third_partys_driver_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger.install(tmp_path, monkeypatch, stranger.ENTRY_POINTS.replace("broken", "#"))
    tables = schema.schema()["properties"]["arrays"]["additionalProperties"]["oneOf"]
    (table,) = [one for one in tables if one["properties"]["driver"]["const"] == "strange"]
    assert table["description"] == "An array that a stranger made."
    assert table["properties"]["serial"] == {"type": "string", "description": "What is printed on its door."}
    assert table["properties"]["slots"]["default"] == 4


def test_sentences_and_defaults_are_as_the_file_has_them(made: dict[str, Any]) -> None:
    policy = made["$defs"]["Policy"]["properties"]
    assert policy["max-freeze"]["default"] == "30s"
    assert policy["longest-backup"]["default"] == "1d"
    assert policy["keep"]["description"] == "Copies kept of a group whose array keeps several."
    (found,) = [
        table["properties"]
        for table in made["properties"]["applications"]["additionalProperties"]["oneOf"]
        if table["properties"]["driver"]["const"] == "postgresql"
    ]
    assert found["wal-limit"]["default"] == "128MiB"
    assert found["user"]["description"] == "The database role."


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0B"), (1, "1B"), (1024, "1KiB"), (1500, "1500B"), (3 * 2**30, "3GiB")]
)
def test_a_size_is_written_so_that_it_is_read_again(value: int, text: str) -> None:
    assert schema.as_written(Size(value)) == text
    assert Size.parse(text) == value


def test_every_default_is_valid_by_its_own_schema(made: dict[str, Any]) -> None:
    """So what the schema proposes, a hook would take."""
    wrong = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "default" in node and ("type" in node or "enum" in node or "anyOf" in node):
                checker = jsonschema.Draft202012Validator({**node, "$defs": made["$defs"]})
                wrong.extend([node] if not checker.is_valid(node["default"]) else [])
            for one in node.values():
                walk(one)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(made)
    assert not wrong


def test_a_policy_with_every_default_written_out_loads() -> None:
    fields = [
        one for one in msgspec.structs.fields(Policy) if not one.required and one.default is not msgspec.NODEFAULT
    ]
    lines = [f"{one.encode_name} = {json.dumps(schema.as_written(one.default))}" for one in fields]
    text = (
        '[arrays.a]\ndriver = "simulator"\ngroups.g = {}\n'
        '[policies.p]\nmirrors = [{array = "a", groups = ["g"]}]\n' + "\n".join(lines)
    )
    assert parse(text, Path("/p")).configuration.policies["p"] == Policy(mirrors=(Mirror(array="a", groups=("g",)),))


@pytest.mark.parametrize("kind", [Settings, Policy, Present, Mirror])
def test_the_manual_names_every_key_and_its_default(kind: type[msgspec.Struct]) -> None:
    manual = DOCS.read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) \|", manual, re.MULTILINE))
    for one in msgspec.structs.fields(kind):
        if kind is Mirror:
            assert f"{one.encode_name} = " in manual
            continue
        assert one.encode_name in rows, f"{one.encode_name} is not in docs/policy.md"
        if isinstance(one.default, Duration) and one.default:
            assert f"`{one.default}`" in rows[one.encode_name]
        elif isinstance(one.default, (int, str)) and one.default and one.encode_name != "host":
            assert f"`{json.dumps(one.default)}`" in rows[one.encode_name]
