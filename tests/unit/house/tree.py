"""The source tree as the house rules read it: modules, what they import, and what they import only for the checker."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HOOKS, DRIVERS = ROOT / "hooks", ROOT / "drivers"


@dataclass(frozen=True)
class Import:
    """One imported module as a dotted name; of ``from a import b`` both ``a`` and ``a.b``, since b may be a module."""

    name: str
    line: int
    is_for_checkers: bool
    is_late: bool
    """Inside a function: imported when that is called."""


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path
    imports: tuple[Import, ...]

    def at_once(self) -> list[str]:
        """What is imported as soon as this module is."""
        return [one.name for one in self.imports if not one.is_for_checkers and not one.is_late]

    def at_run_time(self) -> list[str]:
        """What is imported when the program runs, inside functions too."""
        return [one.name for one in self.imports if not one.is_for_checkers]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of both packages."""
    found = [(root, path) for root in (HOOKS, DRIVERS) for path in sorted(root.rglob("*.py"))]
    return tuple(Module(name_of(path, root), path, tuple(imports(parsed(path)))) for root, path in found)


def module(name: str) -> Module:
    """One module by its name."""
    (found,) = [one for one in modules() if one.name == name]
    return found


def below(*packages: str) -> list[Module]:
    """The modules that are one of `packages`, or in it."""
    return [one for one in modules() if is_below(one.name, *packages)]


def is_below(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of `packages`, or in it."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module) -> Iterator[Import]:
    """Every import of a file, wherever it stands. Relative ones are refused: there are none here."""
    for_checkers = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield Import(name, getattr(node, "lineno", 0), id(node) in for_checkers, id(node) in late)
