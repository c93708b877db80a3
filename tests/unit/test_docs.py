"""What the documentation says can be typed, followed and pasted: commands, links, policies."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitmirror import admin
from splitmirror.admin import frame
from splitmirror.policy import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "samples").rglob("*.md"),
        ROOT / "bench" / "README.md",
    ]
)
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
WHOLE = "# policy"
"""The first line of a TOML block that is a whole policy file, and not a part of one."""


def of_tree(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield found["language"], found["text"]


def spans(page: Path) -> list[str]:
    """What stands between single backquotes, outside of fenced blocks."""
    return SPAN.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


def typed(page: Path) -> Iterator[tuple[str, str, bool]]:
    """(command, its arguments, is a whole line) for each `splitmirror COMMAND …` of a page."""
    lines = [line for language, text in blocks(page) for line in text.splitlines() if language in ("", "sh", "console")]
    for text, is_line in [(line, True) for line in lines] + [(span, False) for span in spans(page)]:
        found = re.match(
            r"\s*[$#]?\s*(?:\S*/)?splitmirror\s+(?P<command>-{0,2}[a-z][a-z-]*|COMMAND)(?=[\s,.;:)]|$)(?P<rest>.*)",
            text,
        )
        if found:
            yield found["command"], found["rest"], is_line


def anchor(heading: str) -> str:
    """The name that a heading gets on the pages of code hosts."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {anchor(heading) for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("page", PAGES, ids=of_tree)
def test_relative_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in (found["target"] for found in LINK.finditer(page.read_text(encoding="utf-8"))):
        path, _, part = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if "://" in target or target.startswith("mailto:"):
            continue
        if not there.exists() or (part and there.suffix == ".md" and part not in anchors(there)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=of_tree)
def test_every_command_that_is_named_exists(page: Path) -> None:
    assert [
        command for command, _, _ in typed(page) if command not in {*admin.COMMANDS, "--help", "--version", "COMMAND"}
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=of_tree)
def test_every_option_that_is_named_exists(page: Path) -> None:
    wrong = []
    for command, rest, _ in typed(page):
        if command in admin.COMMANDS:
            known = {text for action in frame.parser(command)._actions for text in action.option_strings}
            wrong += [f"{command} {one}" for one in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest) if one not in known]
    assert wrong == []


def lines() -> list[tuple[str, str, str]]:
    """Whole lines of `splitmirror COMMAND …` in fenced blocks, without their comments."""
    found = [(of_tree(page), command, rest) for page in PAGES for command, rest, is_line in typed(page) if is_line]
    return [
        (page, command, re.split(r"\s+(?:#|\()|\s{3,}", rest)[0])
        for page, command, rest in found
        if command in admin.COMMANDS and rest[:1] in ("", " ")
    ]


@pytest.mark.parametrize(("page", "command", "rest"), lines())
def test_a_line_can_be_typed_as_it_stands(page: str, command: str, rest: str) -> None:
    parser = frame.parser(command)
    parser.exit_on_error = False
    try:
        parser.parse_args(shlex.split(rest.replace("…", "x")))
    except (argparse.ArgumentError, SystemExit) as exc:
        pytest.fail(f"{page}: splitmirror {command}{rest}: {exc}")


def tomls() -> list[tuple[str, int, str]]:
    return [
        (of_tree(page), number, text)
        for page in PAGES
        for number, (language, text) in enumerate(blocks(page), 1)
        if language == "toml"
    ]


@pytest.mark.parametrize(
    ("page", "number", "text"), tomls(), ids=lambda one: one if isinstance(one, str) and "\n" not in one else ""
)
def test_a_policy_that_is_shown_is_one(page: str, number: int, text: str) -> None:
    if text.startswith(WHOLE):
        loaded = load.parse(text, Path(f"/{page}"))
        assert loaded.configuration.policies, f"{page}: block {number} has no policy"
    else:
        tomllib.loads(text)


def test_the_first_page_shows_a_whole_policy() -> None:
    assert any(text.startswith(WHOLE) for language, text in blocks(ROOT / "README.md") if language == "toml")


def test_the_rules_see_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A head\n`splitmirror restore RUN` [x](gone.md) [y](#a-head)\n```\nsplitmirror status --all\n```\n"
    )
    assert [(command, is_line) for command, _, is_line in typed(page)] == [("status", True), ("restore", False)]
    assert anchors(page) == {"a-head"}
