"""A third party's driver may import what the standard library has, also where our own code does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.house import tree

import freezing

pytestmark = pytest.mark.frozen


def archived(program: Path) -> set[str]:
    """Names of the modules that one executable carries."""
    readers = pytest.importorskip("PyInstaller.archive.readers", reason="frozen: PyInstaller is not installed here")
    archive = readers.CArchiveReader(str(program)).open_embedded_archive("PYZ.pyz")
    return set(archive.toc)


@pytest.mark.parametrize("name", freezing.scripts())
def test_every_executable_carries_it_and_all_drivers(folder: Path, name: str) -> None:
    found = archived(folder / name)
    for module in ("json", "xml.etree.ElementTree", "http.client", "csv", "ctypes", "asyncio.events", "email.message"):
        assert module in found
    for path in (freezing.ROOT / "drivers").rglob("*.py"):
        parts = path.relative_to(freezing.ROOT / "drivers").with_suffix("").parts
        assert ".".join(parts[:-1] if parts[-1] == "__init__" else parts) in found
    assert not found & {"invoke", "multiprocessing", "unittest", "tkinter", "pip", "pytest"}


def test_nothing_that_our_own_code_imports_is_left_out() -> None:
    used = {name for module in tree.modules() for name in module.at_run_time()}
    assert [name for name in sorted(used) if tree.is_below(name, *freezing.EXCLUDED)] == []


def test_what_is_listed_is_the_standard_library_without_tests_and_screens() -> None:
    listed = freezing.standard_library()
    assert {"json", "xml.dom.minidom", "http.server", "sqlite3", "concurrent.futures.thread"} <= set(listed)
    assert not [name for name in listed if name.startswith(("test", "tkinter", "idlelib", "unittest", "curses"))]
