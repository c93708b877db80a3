"""What the frozen folder is made of: one list for the program, for the empty program it is measured against, for tests.

Measured, not guessed; the reasons stand beside each choice. See bench/README.md for the numbers.
"""

from __future__ import annotations

import importlib.util
import py_compile
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

EXCLUDED = (
    # paramiko wants invoke only for `Match exec` of an ssh_config and guards the import; it drags in asyncio and YAML
    "invoke",
    # their start-up hooks cost each start several milliseconds, and nothing here forks workers
    "multiprocessing",
    "pkg_resources",
    "setuptools",
    # windows, terminals and tools for developers
    "curses",
    "idlelib",
    "lib2to3",
    "pdb",
    "pydoc",
    "pydoc_data",
    "tkinter",
    "turtle",
    "turtledemo",
    # tests, and what is only there to make other programs
    "doctest",
    "ensurepip",
    "pip",
    "test",
    "unittest",
    "venv",
    # linked with GPL libraries that the system would have to bring
    "_gdbm",
    "dbm.gnu",
    "nis",
    "readline",
    # rich and hypothesis look for them when they are there; a build machine that has them must build the same folder
    "IPython",
    "PIL",
    "attr",
    "hypothesis",
    "mypy",
    "numpy",
    "pytest",
    "yaml",
)

DROPPED_HOOKS = ("pyi_rth_inspect", "pyi_rth_pkgutil")
"""Start-up hooks of the freezer that run before every program and import `inspect`, `zipfile`, `pkgutil`.

They serve programs that read their own source or list their own modules. This one does neither; smoke.py would see it.
"""

CTYPES_HOOK = "pyimod03_ctypes"
"""A part of the freezer's bootstrap that loads ctypes before every program, so that ctypes finds libraries in the folder.

Here ctypes is asked for the C library alone, by one driver. The part is replaced by one that does nothing.
"""

OPTIMIZE = 1
"""Without assertions, with docstrings: a JSON Schema's descriptions are docstrings. 2 is not measurably faster."""

STRIP = shutil.which("strip") is not None


def scripts(pyproject: Path = ROOT / "pyproject.toml") -> dict[str, tuple[str, str]]:
    """Name of each executable → module and function, from ``[project.scripts]``."""
    table = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["scripts"]
    return {name: (target.partition(":")[0], target.partition(":")[2]) for name, target in table.items()}


def start_script(name: str, module: str, function: str, folder: Path) -> Path:
    """Write the start script of one executable. It is never called like a package: that freezes, and then finds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"start_{name.replace('-', '_')}.py"
    path.write_text(f"import sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n", encoding="utf-8")
    return path


def without_ctypes_hook(bootstrap: list[tuple[str, str, str]], folder: Path) -> list[tuple[str, str, str]]:
    """The bootstrap's (name, file, kind) entries, with the part that loads ctypes replaced by an empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{CTYPES_HOOK}.py"
    source.write_text("def install():\n    pass\n", encoding="utf-8")
    compiled = py_compile.compile(str(source), str(source.with_suffix(".pyc")), doraise=True)
    return [(name, str(compiled) if name == CTYPES_HOOK else file, kind) for name, file, kind in bootstrap]


def standard_library() -> list[str]:
    """Every module of the standard library that a third-party driver may import, as dotted names.

    A frozen program has only what its own code imports; a driver from elsewhere that says ``import json`` must find it.
    """
    return sorted({name for top in sys.stdlib_module_names for name in _modules(top) if _is_wanted(name)})


def _modules(top: str) -> Iterator[str]:
    if top.startswith("_") or not _is_wanted(top) or importlib.util.find_spec(top) is None:
        return
    yield top
    folder = Path(sysconfig.get_path("stdlib")) / top
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_wanted(name: str) -> bool:
    is_excluded = any(name == one or name.startswith(one + ".") for one in EXCLUDED)
    is_test = any(part in ("test", "tests", "__main__") or part.startswith("test_") for part in name.split("."))
    is_foreign = name.startswith(
        ("antigravity", "this", "distutils", "asyncio.windows", "encodings.mbcs", "encodings.oem")
    )
    return not (is_excluded or is_test or is_foreign)
