"""The line of a key, in every form that TOML has for it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from splitmirror.policy.find_line import find_line, key_lines
from splitmirror.policy.problem import KeyPath, dotted

TEXT = """\
# a = 1
top = "x"   # b = 2

[a]
one = '''
two = 2
[no]
''' # end
two = 3
"quoted key" = "with \\" and = and # in it"
'literal.key' = 1
c.d.e = { f = 1, "g h" = [1, 2, { i = 3 }] }
list = [
  1, # two = 4
  "]",
  { j = 1 },
]
multi = \"\"\"
x = 1 \\\\\"\"\"
after = 1979-05-27T07:32:00Z

[a.b."c.d"]
k = 1

[[t]]
n = 1
[t.sub]
m = 1
[[t]]
n = 2
[[t.deep]]
o = 1
[[t.deep]]
o = 2
"""
LINES: dict[KeyPath, int] = {
    ("top",): 2,
    ("a",): 4,
    ("a", "one"): 5,
    ("a", "two"): 9,
    ("a", "quoted key"): 10,
    ("a", "literal.key"): 11,
    ("a", "c", "d", "e", "f"): 12,
    ("a", "c", "d"): 12,
    ("a", "c", "d", "e", "g h", 2, "i"): 12,
    ("a", "list"): 13,
    ("a", "list", 0): 14,
    ("a", "list", 1): 15,
    ("a", "list", 2, "j"): 16,
    ("a", "multi"): 18,
    ("a", "after"): 20,
    ("a", "b", "c.d"): 22,
    ("a", "b", "c.d", "k"): 23,
    ("t", 0, "n"): 26,
    ("t", 0, "sub", "m"): 28,
    ("t", 1): 29,
    ("t", 1, "n"): 30,
    ("t", 1, "deep", 0, "o"): 32,
    ("t", 1, "deep", 1, "o"): 34,
}


def test_the_text_of_this_test_is_toml() -> None:
    assert tomllib.loads(TEXT)["t"][1]["deep"][1]["o"] == 2


@pytest.mark.parametrize("path", LINES, ids=dotted)
def test_a_key_is_found_in_its_line(path: KeyPath) -> None:
    assert find_line(key_lines(TEXT), path) == LINES[path]


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    assert find_line(key_lines(TEXT), ("a", "b", "c.d", "missing")) == 22
    assert find_line(key_lines(TEXT), ("nowhere", "x")) == 0


def test_lines_are_the_same_with_windows_line_ends() -> None:
    assert key_lines(TEXT.replace("\n", "\r\n")) == key_lines(TEXT)


KEYS = st.text(st.sampled_from("ab.c \"'#=[]{}\\é-_"), min_size=1, max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.booleans() | st.text(st.sampled_from("x\"'#=[]{}\n\\,"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def every_path(value: object, at: KeyPath = ()) -> list[KeyPath]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path for key, one in inner for path in [(*at, key), *every_path(one, (*at, key))]]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_key_of_any_document_is_found_and_nothing_else(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    assert set(key_lines(text)) == set(every_path(tomllib.loads(text)))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("a=[]{}\"'\n#., \\1"), max_size=40))
def test_no_text_at_all_makes_it_fail(text: str) -> None:
    assert all(line >= 1 for line in key_lines(text).values())
