"""Every policy that the page of a driver shows can be read, and every key of its table is explained."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from splitmirror_drivers import catalogue
from splitmirror_drivers.arrays import command_options, simulator_faults
from splitmirror_drivers.kit.units import SecretReference, decode_hook

DOCS = Path(__file__).parents[3] / "docs"
TABLES: dict[str, Mapping[str, catalogue.Loader[Any]]] = {
    "arrays": catalogue.ARRAYS,
    "applications": catalogue.APPLICATIONS,
}
PAGES = [f"{section}/{name}.md" for section, table in TABLES.items() for name in sorted(table)]


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def options_of(page: str) -> type[msgspec.Struct]:
    section, _, file = page.partition("/")
    options: type[msgspec.Struct] = TABLES[section][file.removesuffix(".md")]().options
    return options


def keys_of(kind: type[msgspec.Struct]) -> list[str]:
    """The keys of a driver's table, and those of the tables within it; how a secret is named has a page of its own."""
    found = []
    for one in msgspec.structs.fields(kind):
        found.append(one.encode_name)
        for inner in re.findall(r"[\w.]+", str(one.type)):
            name = inner.rpartition(".")[2]
            module = __import__(kind.__module__, fromlist=[name])
            table = getattr(module, name, None)
            if isinstance(table, type) and issubclass(table, msgspec.Struct) and table not in (kind, SecretReference):
                found += keys_of(table)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_policy_shown_can_be_read(page: str) -> None:
    section, _, file = page.partition("/")
    mine = []
    for block in re.findall(r"```toml\n(.*?)```", text_of(page), re.DOTALL):
        tables = tomllib.loads(block).get(section, {}).values()
        mine += [table for table in tables if table.get("driver") == file.removesuffix(".md")]
    assert mine, "a page shows how its driver is configured"
    for table in mine:
        options = {key: value for key, value in table.items() if key not in ("driver", "host")}
        msgspec.convert(options, options_of(page), dec_hook=decode_hook)


@pytest.mark.parametrize("page", PAGES)
def test_every_key_is_explained(page: str) -> None:
    text = text_of(page)
    assert [key for key in keys_of(options_of(page)) if key not in text] == []


def test_every_placeholder_and_command_is_explained() -> None:
    text = text_of("arrays/command.md")
    assert all(f"`{verb}`" in text for verb in command_options.ALLOWED)
    assert all(f"`{{{name}}}`" in text for name in command_options.OF_COPY | {"groups"})


def test_every_fault_is_explained() -> None:
    text = text_of("arrays/simulator.md")
    assert all(f":{kind}" in text for kind in simulator_faults.KINDS)
    assert all(verb in text for verb in simulator_faults.VERBS)
