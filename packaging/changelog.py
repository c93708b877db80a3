"""Builds CHANGELOG.md from one file a change:  changelog.py [--check]   (make changelog)

packaging/changes/<n>.<kind> is a change that no release has yet; packaging/changes/<version>/<n>.<kind> is one of that
release, and packaging/changes/<version>/date says when it was. Kinds and their order are KINDS. See changes/README.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGES = ROOT / "packaging" / "changes"
CHANGELOG = ROOT / "CHANGELOG.md"
KINDS = {"removal": "Removed", "change": "Changed", "feature": "New", "fix": "Fixed"}
"""What must be read before an update comes first."""
PIECE = re.compile(r"(?P<number>\d+)\.(?P<kind>removal|change|feature|fix)")
VERSION = re.compile(r"\d+\.\d+\.\d+")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
HEAD = "# Changes\n\nBuilt from `packaging/changes` by `make changelog`; written for administrators.\n"


@dataclass(frozen=True, order=True)
class Piece:
    """One change."""

    number: int
    kind: str
    text: str


class Wrong(Exception):
    """A file that cannot be a change: its name or what is in it."""


def changelog(folder: Path = CHANGES) -> str:
    """The whole page: what is not released yet, then releases, newest first."""
    releases = sorted((path for path in folder.iterdir() if path.is_dir()), key=version_of, reverse=True)
    parts = [section("Not released yet", pieces(folder, also=("README.md",)))]
    parts += [section(f"{one.name} ({date_of(one)})", pieces(one, also=("date",))) for one in releases]
    return HEAD + "".join(parts)


def pieces(folder: Path, also: Sequence[str]) -> list[Piece]:
    """The changes of one folder in the order of their numbers; raises Wrong for a file that is none."""
    found = []
    for path in folder.iterdir():
        if path.is_dir() or path.name in also:
            continue
        name = PIECE.fullmatch(path.name)
        text = path.read_text(encoding="utf-8").strip()
        if not name:
            raise Wrong(f"{path}: a change is called NUMBER.KIND, and KIND is one of {', '.join(KINDS)}")
        if not text.endswith(".") or "\n\n" in text or text.startswith(("-", "*", "#")):
            raise Wrong(f"{path}: a change is one paragraph of plain sentences")
        found.append(Piece(int(name["number"]), name["kind"], " ".join(text.split())))
    numbers = [piece.number for piece in found]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise Wrong(f"{folder}: the number {twice[0]} is used twice")
    return sorted(found)


def section(title: str, found: list[Piece]) -> str:
    """One release as text; "" when nothing changed."""
    parts = []
    for kind, heading in KINDS.items():
        lines = [f"* {piece.text}\n" for piece in found if piece.kind == kind]
        if lines:
            parts.append(f"\n### {heading}\n\n" + "".join(lines))
    return f"\n## {title}\n" + "".join(parts) if parts else ""


def version_of(folder: Path) -> tuple[int, ...]:
    """The version a folder is called by, as numbers."""
    if not VERSION.fullmatch(folder.name):
        raise Wrong(f"{folder}: a folder of changes is called like the version that has them")
    return tuple(map(int, folder.name.split(".")))


def date_of(folder: Path) -> str:
    """When a version was released."""
    path = folder / "date"
    said = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not DATE.fullmatch(said):
        raise Wrong(f"{path}: the date of a release is written YYYY-MM-DD")
    return said


def main(argv: Sequence[str]) -> int:
    """Write CHANGELOG.md; with --check, 1 when it is not up to date."""
    try:
        text = changelog()
    except Wrong as exc:
        print(exc, file=sys.stderr)
        return 1
    if "--check" in argv:
        is_current = CHANGELOG.is_file() and CHANGELOG.read_text(encoding="utf-8") == text
        print("CHANGELOG.md is up to date" if is_current else "CHANGELOG.md is not up to date: make changelog")
        return 0 if is_current else 1
    CHANGELOG.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
