"""What is wrong with a policy file: each problem with its key path, and all of them as one PolicyFault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitmirror_drivers.kit.errors import PolicyFault

KeyPath = tuple[str | int, ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_FEW = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (keys and list positions from the root on), what, and what to do."""

    path: KeyPath
    what: str
    hint: str = ""


def fault(file: Path, text: str, problems: Sequence[Problem]) -> PolicyFault:
    """One fault for all `problems` in the order of their lines; its message is the first one, its detail lists all."""
    from splitmirror.policy.find_line import find_line, key_lines

    lines = key_lines(text)
    placed = sorted(((find_line(lines, one.path), one) for one in problems), key=lambda pair: pair[0])
    said = [_said(line, one) for line, one in placed]
    first = placed[0][1]
    if len(said) == 1:
        return PolicyFault(f"{file}: {said[0]}", hint=first.hint)
    listed = [f"{text}; {one.hint}" if one.hint else text for text, (_, one) in zip(said, placed, strict=True)]
    more = f" (and {len(said) - 1} more)"
    return PolicyFault(f"{file}: {said[0]}{more}", detail="\n".join(listed), hint=first.hint)


def dotted(path: KeyPath) -> str:
    """A key path as it is written: ``policies.erp.mirrors[0].array``; keys that need quotes have them."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in path]
    return "".join(parts).removeprefix(".")


def nearest(word: str, known: Iterable[str], kind: str) -> str:
    """A hint: the known word that was probably meant, else which there are. `kind`: what they are ("hosts")."""
    from difflib import get_close_matches

    words = sorted(known)
    if close := get_close_matches(word, words, 1):
        return meant(close[0])
    if not words:
        return f"there are no {kind}"
    shown = ", ".join(words[:_FEW]) + (", …" if len(words) > _FEW else "")
    return f"the {kind} are: {shown}"


def meant(word: str) -> str:
    """The hint for a word that was mistyped."""
    return f"did you mean {word}?"


def _said(line: int, problem: Problem) -> str:
    where = f"line {line}: " if line else ""
    return f"{where}{dotted(problem.path)}: {problem.what}" if problem.path else f"{where}{problem.what}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
