"""Where things lie, and what must never lie there."""

from __future__ import annotations

import ast
import tomllib

import pytest
from tests.unit.house import tree
from tests.unit.house.tree import ROOT

from splitmirror import admin

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_packaging_is_no_package() -> None:
    # with an __init__.py it would hide the installed library of that name from the freezer
    assert list((ROOT / "packaging").rglob("__init__.py")) == []


def test_every_script_of_pyproject_exists() -> None:
    for target in PYPROJECT["project"]["scripts"].values():
        name, _, function = target.partition(":")
        assert f"def {function}(" in tree.module(name).path.read_text(encoding="utf-8")


def test_the_checkers_are_pointed_at_what_exists() -> None:
    named = [*PYPROJECT["tool"]["mypy"]["files"], *PYPROJECT["tool"]["ruff"]["src"]]
    named += [*PYPROJECT["tool"]["pytest"]["ini_options"]["pythonpath"], *PYPROJECT["tool"]["pyright"]["include"]]
    assert [name for name in named if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("name", admin.COMMANDS)
def test_every_command_has_its_module(name: str) -> None:
    module = admin.load_command(name)
    assert isinstance(getattr(module, "SUMMARY", None), str)
    assert callable(getattr(module, "run", None))
    assert callable(getattr(module, "add_arguments", None))


@pytest.mark.parametrize("module", tree.modules(), ids=lambda module: module.name)
def test_every_module_says_what_it_is_for(module: tree.Module) -> None:
    text = module.path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(tree.parsed(module.path))


def test_nothing_names_the_place_where_it_was_written() -> None:
    # the sources speak of the reader's machine, never of ours
    words = ["/" + "work/", "/" + "root/", "." + "pyenv"]
    places = (
        "hooks",
        "drivers",
        "docs",
        "samples",
        "packaging",
        "bench",
        "README.md",
        "Makefile",
        "pyproject.toml",
        ".ci",
    )
    files = [path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*")] if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        if "__pycache__" not in path.parts
        for word in words
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []
