"""The tree of faults that is drawn for people is the tree that there is."""

from __future__ import annotations

import re

from splitmirror_drivers.kit import errors
from splitmirror_drivers.kit.errors import Fault

NODE = re.compile(r"(?P<lines>(?:[│ ]   )*(?:[├└]── )?)(?P<name>[A-Z]\w+)(?:\s|$)")


def drawn(text: str) -> list[tuple[int, str]]:
    """(depth, name) of each line of the drawing, in its order."""
    drawing = text.split("::\n", 1)[1].splitlines()
    lines = [line.removeprefix("    ") for line in drawing if line.strip()]
    return [(len(found["lines"]) // 4, found["name"]) for line in lines if (found := NODE.match(line))]


def built(kind: type[Fault], depth: int = 0) -> list[tuple[int, str]]:
    """The same of the classes."""
    found = [(depth, kind.__name__)]
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            found += built(one, depth + 1)
    return found


def test_the_drawing_equals_the_classes() -> None:
    assert drawn(errors.__doc__ or "") == built(Fault)


def test_a_missing_line_would_be_seen() -> None:
    text = "::\n\n    Fault\n    ├── Late     what\n    │   └── Later\n    └── Lost\n"
    assert drawn(text) == [(0, "Fault"), (1, "Late"), (2, "Later"), (1, "Lost")]


def test_every_fault_of_the_kit_says_what_it_is() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Fault)]
    assert [one.__name__ for one in kinds if not one.__doc__] == []
