"""Pure parts of the `command` array: placeholders in argument lists, and what a query printed as pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.kit.errors import UnknownAnswer

Values = Mapping[str, Sequence[str]]
"""What each placeholder stands for: one word or several."""


def placeholders(argv: Sequence[str]) -> frozenset[str]:
    """The names in braces of an argument list. ValueError for a brace that is neither closed nor doubled."""
    return frozenset(name for word in argv for _, name in _parts(word) if name is not None)


def fill(argv: Sequence[str], values: Values) -> tuple[str, ...]:
    """`argv` with every placeholder replaced.

    A placeholder that is a whole word becomes as many words as it has values; inside a word they are joined by commas.
    """
    filled: list[str] = []
    for word in argv:
        parts = _parts(word)
        if len(parts) == 1 and parts[0][0] == "" and parts[0][1] is not None:
            filled += values[parts[0][1]]
        else:
            filled.append("".join(text + (",".join(values[name]) if name is not None else "") for text, name in parts))
    return tuple(filled)


def _parts(word: str) -> list[tuple[str, str | None]]:
    """Literal text and the placeholder after it, for each placeholder; ``{{`` and ``}}`` are braces."""
    parts = []
    for text, name, spec, conversion in Formatter().parse(word):
        if spec or conversion:
            raise ValueError(f"{word!r}: a placeholder is a name in braces and nothing else")
        parts.append((text, name))
    return parts


@dataclass(frozen=True, slots=True)
class Reading:
    """How a query is read: each line is a pair, or may be ignored, or is an error."""

    pattern: re.Pattern[str]
    ignore: tuple[re.Pattern[str], ...]
    words: Mapping[str, PairState]


@dataclass(frozen=True, slots=True)
class Line:
    """One pair as the array printed it; `group` and `percent` are "" where the pattern does not name them."""

    pair: Pair
    group: str
    percent: str


def parse_lines(text: str, reading: Reading, what: str) -> tuple[Line, ...]:
    """Every pair in `text`. Raises UnknownAnswer for a line that is neither a pair nor ignored, or a pair named twice."""
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        found = reading.pattern.fullmatch(line)
        if found:
            lines.append(_line(found, reading))
        elif not any(one.fullmatch(line) for one in reading.ignore):
            raise UnknownAnswer(
                f"{what}: line {number} of the query is not understood",
                detail=raw,
                hint="if it says nothing of a pair's state, add a pattern for it to `ignore`; else mend `pattern`",
            )
    named = [(line.group, line.pair.name, line.pair.copy) for line in lines]
    twice = next((which for which in named if named.count(which) > 1), None)
    if twice:
        raise UnknownAnswer(f"{what}: the query names pair {twice[1]} twice", detail=text)
    return tuple(lines)


def _line(found: re.Match[str], reading: Reading) -> Line:
    """A word that no table lists gives UNKNOWN, never a guess."""
    given = {name: value or "" for name, value in found.groupdict().items()}
    word = given["state"]
    pair = Pair(
        name=given["pair"],
        state=reading.words.get(word, PairState.UNKNOWN),
        word=word,
        primary=given.get("primary", ""),
        copy=given.get("copy", ""),
    )
    return Line(pair, given.get("group", ""), given.get("percent", ""))


def fraction(lines: Sequence[Line]) -> float | None:
    """The mean of what the pairs show as their percentage, 0..1; None when any shows none. Only ever shown."""
    figures = []
    for line in lines:
        try:
            figures.append(float(line.percent.rstrip("% ")))
        except ValueError:
            return None
    return min(1.0, max(0.0, sum(figures) / len(figures) / 100)) if figures else None
