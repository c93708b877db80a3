"""P6: no driver sends a flag that overrides a refusal, a restore, or a lazy or forced unmount; flags that answer are listed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.unit.house.tree import ROOT

DRIVERS = ROOT / "drivers" / "splitmirror_drivers"
FILES = sorted([*(DRIVERS / "arrays").glob("*.py"), *(DRIVERS / "presentation").glob("*.py")])
OVERRIDES = frozenset(
    {
        *("-force", "-symforce", "--force", "-F", "--lazy", "--really-force", "--yes-i-really-mean-it"),
        *("restore", "-restore", "--restore", "rollback", "resyncfromreplica", "revert"),
        *("--nolocking", "--foreign", "--clear", "REMOVE", "-E", "-S"),
    }
)
"""Words of the tools driven here. Those that mean something else elsewhere are in `MEANS_ELSE`."""
SHORT = frozenset({"-f", "-R", "-l", "-C"})
"""Flags that force, recurse or lie in one tool and are harmless in another: allowed only where a file says what for."""
MEANS_ELSE = {
    ("timefinder_calls.py", "-f"): "a file of pairs of devices",
    ("md_calls.py", "-f"): "readlink: follow every link",
    ("mount.py", "-f"): "e2fsck: check it although it says that it is clean; nothing is written",
    ("lvm_copies.py", "-l"): "lvcreate: a size in extents",
    ("zfs_tools.py", "-R"): "zpool import: below which folder it is mounted",
    ("command_options.py", "restore"): "words that a configured command may not have",
    ("timefinder_listing.py", "restore"): "a field of what is listed",
    ("timefinder_parse.py", "restore"): "a field of what is listed",
}
NOTES = "restore"
"""In the name of a function that only tells a person how to restore: what it says is never run."""


def words_of(path: Path) -> list[tuple[int, str]]:
    """Every string of a program that may become a word of a command, with its line; docstrings are none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and NOTES in node.name
        for inner in ast.walk(node)
    }
    prose = told | {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_driver_overrides_a_refusal(path: Path) -> None:
    found = [
        f"{path.name}:{line}: {word}"
        for line, word in words_of(path)
        if word in OVERRIDES | SHORT and (path.name, word) not in MEANS_ELSE
    ]
    assert found == []
