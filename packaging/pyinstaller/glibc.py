"""Which glibc a folder of programs needs:  glibc.py FOLDER

A frozen program runs where the C library is at least as new as the newest symbol version that any of its files asks for.
Read from the files themselves, so that it works on a machine without binutils.
Source: the ELF gABI (section header table) and the LSB core specification, "Symbol Versioning" (Verneed, Vernaux).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\x7fELF"
SHT_GNU_VERNEED = 0x6FFFFFFE
PREFIX = "GLIBC_"


def needed(folder: Path) -> tuple[tuple[int, ...], list[str]]:
    """The highest version that a file below `folder` asks for, and the files that do. ((), []) when none asks for any."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            versions = [as_numbers(name) for name in required_versions(path) if as_numbers(name)]
            if versions:
                found[str(path.relative_to(folder))] = max(versions)
    highest = max(found.values(), default=())
    return highest, [name for name, version in found.items() if version == highest]


def as_numbers(name: str) -> tuple[int, ...]:
    """``GLIBC_2.34`` → (2, 34); () for every other name (GLIBC_PRIVATE, GCC_3.0, …)."""
    parts = name.removeprefix(PREFIX).split(".")
    return tuple(map(int, parts)) if name.startswith(PREFIX) and all(part.isdigit() for part in parts) else ()


def required_versions(path: Path) -> list[str]:
    """Every symbol version that an ELF file asks of the libraries it is linked with; [] for any other file."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            return []
        file.seek(0)
        data = file.read()
    return list(_required(data))


def _required(data: bytes) -> Iterator[str]:
    is_64, order = data[4] == 2, "<" if data[5] == 1 else ">"
    if is_64:
        (table,) = struct.unpack_from(order + "Q", data, 0x28)
        size, count = struct.unpack_from(order + "HH", data, 0x3A)
    else:
        (table,) = struct.unpack_from(order + "I", data, 0x20)
        size, count = struct.unpack_from(order + "HH", data, 0x2E)
    sections = [_section(data, table + size * number, order, is_64=is_64) for number in range(count)]
    for kind, offset, link, entries in sections:
        if kind == SHT_GNU_VERNEED:
            yield from _names(data, order, offset, entries, sections[link][1])


def _section(data: bytes, at: int, order: str, *, is_64: bool) -> tuple[int, int, int, int]:
    """Type, offset in the file, linked section (the names), number of entries."""
    (kind,) = struct.unpack_from(order + "I", data, at + 4)
    if is_64:
        (offset,) = struct.unpack_from(order + "Q", data, at + 0x18)
        link, info = struct.unpack_from(order + "II", data, at + 0x28)
    else:
        (offset,) = struct.unpack_from(order + "I", data, at + 0x10)
        link, info = struct.unpack_from(order + "II", data, at + 0x18)
    return kind, offset, link, info


def _names(data: bytes, order: str, at: int, entries: int, strings: int) -> Iterator[str]:
    for _ in range(entries):  # one library each (Verneed)
        _, count, _, first, following = struct.unpack_from(order + "HHIII", data, at)
        one = at + first
        for _ in range(count):  # one version of it each (Vernaux)
            name, more = struct.unpack_from(order + "II", data, one + 8)
            yield data[strings + name : data.index(b"\0", strings + name)].decode("ascii", "replace")
            one += more
        at += following


def main() -> int:
    """Print what was found."""
    version, files = needed(Path(sys.argv[1]))
    print(f"needs glibc {'.'.join(map(str, version)) or 'of no version'}: {', '.join(files)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
