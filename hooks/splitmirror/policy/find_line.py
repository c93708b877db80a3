"""Where a key stands in a TOML text: a small scanner for texts that ``tomllib`` has read already.

It follows tables, arrays of tables, dotted and quoted keys, inline tables and lists, and knows what a string and a
comment is. It is used for error messages alone: at a form that it does not know it stops, and the rest has no lines.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping

from splitmirror.policy.problem import KeyPath

_QUOTES = ('"""', "'''", '"', "'")


def find_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line (from 1) of `path`, else of the nearest table around it that has one; 0 when there is none."""
    for length in range(len(path), 0, -1):
        if line := lines.get(path[:length]):
            return line
    return 0


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line of every key and every table in `text`, the first one where there are several."""
    scanner = _Scanner(text)
    with contextlib.suppress(IndexError, ValueError):  # a form that is not known here: what was found so far is right
        scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n") + "\n"
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.counts: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self.skip(" \t\n"):
            line = self.line()
            if self.text.startswith("[[", self.at):
                table = self.header(self.resolved(self.key_until("]", 2)), line, is_array=True)
                self.at += 2
            elif self.text[self.at] == "[":
                table = self.header(self.resolved(self.key_until("]", 1)), line, is_array=False)
                self.at += 1
            else:
                self.pair(table)

    def header(self, path: KeyPath, line: int, *, is_array: bool) -> KeyPath:
        for length in range(1, len(path) + 1):
            self.note(path[:length], line)
        if is_array:
            self.counts[path] = self.counts.get(path, -1) + 1
            path = (*path, self.counts[path])
            self.note(path, line)
        return path

    def resolved(self, keys: KeyPath) -> KeyPath:
        """Keys of a header, with the position of the newest entry after each array of tables on the way."""
        path: KeyPath = ()
        for number, key in enumerate(keys):
            path = (*path, key)
            if path in self.counts and number < len(keys) - 1:
                path = (*path, self.counts[path])
        return path

    def pair(self, table: KeyPath) -> None:
        line = self.line()
        path = (*table, *self.key_until("=", 0))
        for length in range(len(table) + 1, len(path) + 1):
            self.note(path[:length], line)
        self.at += 1
        self.skip(" \t")
        self.value(path)

    def value(self, path: KeyPath) -> None:
        start = self.text[self.at]
        if start == "[":
            self.items(path)
        elif start == "{":
            self.at += 1
            while self.skip(" \t\n,") and self.text[self.at] != "}":
                self.pair(path)
            self.at += 1
        elif start in "\"'":
            self.string()
        else:
            while self.text[self.at] not in ",]}\n#":
                self.at += 1

    def items(self, path: KeyPath) -> None:
        self.at += 1
        number = 0
        while self.skip(" \t\n,") and self.text[self.at] != "]":
            self.note((*path, number), self.line())
            self.value((*path, number))
            number += 1
        self.at += 1

    def string(self) -> None:
        quote = next(one for one in _QUOTES if self.text.startswith(one, self.at))
        self.at += len(quote)
        while not self.text.startswith(quote, self.at):
            self.at += 2 if quote[0] == '"' and self.text[self.at] == "\\" else 1
            if self.at >= len(self.text):
                raise ValueError("a string without an end")
        self.at += len(quote)
        while len(quote) == 3 and self.text[self.at] == quote[0]:  # up to two quotes may stand before the end
            self.at += 1

    def key_until(self, end: str, skip: int) -> KeyPath:
        """The key that runs from here (after `skip` characters) to `end`, as tomllib reads it."""
        self.at += skip
        start = self.at
        while self.text[self.at] != end:
            if self.text[self.at] in "\"'":
                self.string()
            else:
                self.at += 1
        found: object = tomllib.loads(self.text[start : self.at] + "=0")
        path: list[str] = []
        while isinstance(found, dict):
            ((key, found),) = found.items()
            path.append(key)
        return tuple(path)

    def skip(self, blanks: str) -> bool:
        """Go past blanks and comments; whether anything is left."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                self.at = self.text.index("\n", self.at)
            elif self.text[self.at] in blanks:
                self.at += 1
            else:
                return True
        return False

    def note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1
