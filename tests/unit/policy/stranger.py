"""A third party's driver, really installed: a module and its distribution's entry points on the import path."""

from __future__ import annotations

from pathlib import Path

import pytest

MODULE = '''
import msgspec
from splitmirror_drivers.catalogue import Driver

class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    source_path: str

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """An array that a stranger made."""

    serial: str
    """What is printed on its door."""
    slots: int = 4
    groups: dict[str, Group] = {}

def driver():
    return Driver(Options, lambda name, options, host, context: (name, options))

def product():
    from splitmirror_drivers.products.generic import Generic
    return Generic()
'''
ENTRY_POINTS = """
[splitmirror.arrays]
strange = strange_array:driver
broken = strange_array_that_is_gone:driver
[splitmirror.products]
strange-backup = strange_array:product
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str = ENTRY_POINTS) -> None:
    """Put it on the import path for one test."""
    info = folder / "site" / "strange_array-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "site" / "strange_array.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-array\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder / "site"))
