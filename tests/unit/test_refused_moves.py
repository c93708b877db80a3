"""The page of refused moves names tests that are there."""

from __future__ import annotations

import re

import pytest
from tests.unit.house.tree import ROOT

PAGE = (ROOT / "docs" / "refused-moves.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
NAMES = sorted(set(re.findall(r"\btest_\w+\b(?!\.py)", PAGE)))
FILES = sorted(set(re.findall(r"[\w/]*test_\w+\.py", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_every_test_that_is_named_exists(name: str) -> None:
    assert re.search(rf"def {name}\w*\(", SOURCES), f"no test is called {name}"


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_is_named_exists(name: str) -> None:
    assert list((ROOT / "tests").rglob(name.rpartition("/")[2])), f"there is no {name}"


def test_every_row_names_what_shows_it() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| D\d+ ", line)]
    assert len(rows) == 18
    assert all(re.search(r"test_\w+", row) for row in rows)
