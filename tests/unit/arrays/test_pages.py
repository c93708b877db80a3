"""Every policy that the pages of these drivers show can be read, and every key of theirs is explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from splitmirror_drivers.applications import command as command_application
from splitmirror_drivers.arrays import command, command_options, simulator, simulator_faults
from splitmirror_drivers.kit.units import decode_hook

DOCS = Path(__file__).parents[3] / "docs"
PAGES: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "arrays/command.md": ("arrays", command.Options),
    "arrays/simulator.md": ("arrays", simulator.Options),
    "applications/command.md": ("applications", command_application.Options),
}


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_policy_shown_can_be_read(page: str) -> None:
    section, options = PAGES[page]
    blocks = re.findall(r"```toml\n(.*?)```", text_of(page), re.DOTALL)
    assert blocks
    for block in blocks:
        for table in tomllib.loads(block)[section].values():
            assert table.pop("driver") in page
            table.pop("host", None)
            msgspec.convert(table, options, dec_hook=decode_hook)


@pytest.mark.parametrize("page", PAGES)
def test_every_key_is_explained(page: str) -> None:
    text = text_of(page)
    keys = [field.encode_name for field in msgspec.structs.fields(PAGES[page][1])]
    assert [key for key in keys if key not in text] == []


def test_every_placeholder_and_command_is_explained() -> None:
    text = text_of("arrays/command.md")
    assert all(f"`{verb}`" in text for verb in command_options.ALLOWED)
    assert all(f"`{{{name}}}`" in text for name in command_options.OF_COPY | {"groups"})


def test_every_fault_is_explained() -> None:
    text = text_of("arrays/simulator.md")
    assert all(f":{kind}" in text for kind in simulator_faults.KINDS)
    assert all(verb in text for verb in simulator_faults.VERBS)
