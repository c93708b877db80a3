"""CHANGELOG.md is built from one file a change, and is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

import changelog


def test_it_is_up_to_date() -> None:
    assert changelog.CHANGELOG.read_text(encoding="utf-8") == changelog.changelog(), "run `make changelog`"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_removals_come_first_and_new_releases_before_old_ones(tmp_path: Path) -> None:
    files = {
        "11.feature": "Status\nspeaks.\n",
        "2.removal": "Age frees nothing.",
        "0.9.0/1.fix": "It works.",
        "0.9.0/date": "2026-01-02\n",
        "0.10.0/3.feature": "It is quick.",
        "0.10.0/date": "2026-03-04\n",
    }
    text = changelog.changelog(write(tmp_path, files))
    wanted = [
        "## Not released yet", "### Removed", "* Age frees nothing.", "### New", "* Status speaks.",
        "## 0.10.0 (2026-03-04)", "### New", "* It is quick.", "## 0.9.0 (2026-01-02)", "### Fixed", "* It works.",
    ]  # fmt: skip
    assert [line for line in text.splitlines() if line.startswith(("*", "##"))] == wanted


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.txt": "Something."}, "NUMBER.KIND"),
        ({"1.bug": "Something."}, "NUMBER.KIND"),
        ({"1.fix": "no full stop"}, "plain sentences"),
        ({"1.fix": "One.\n\nTwo."}, "plain sentences"),
        ({"1.fix": "* A list."}, "plain sentences"),
        ({"1.fix": "One.", "1.feature": "Two."}, "used twice"),
        ({"0.1/1.fix": "One."}, "like the version"),
        ({"0.1.0/1.fix": "One."}, "YYYY-MM-DD"),
        ({"0.1.0/1.fix": "One.", "0.1.0/date": "yesterday"}, "YYYY-MM-DD"),
    ],
)
def test_what_is_no_change_is_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(changelog.Wrong, match=said):
        changelog.changelog(write(tmp_path, files))


def test_check_tells_by_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(changelog, "CHANGELOG", tmp_path / "CHANGELOG.md")
    assert changelog.main(["--check"]) == 1
    assert changelog.main([]) == 0
    assert changelog.main(["--check"]) == 0
