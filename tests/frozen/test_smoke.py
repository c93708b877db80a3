"""Every check of the smoke test, as a test of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import smoke

pytestmark = pytest.mark.frozen


@pytest.mark.parametrize("check", smoke.CHECKS, ids=lambda check: check.__name__)
def test_the_frozen_folder(check: Callable[[smoke.Frozen], None], folder: Path) -> None:
    smoke.check(check, folder)


def test_a_check_that_fails_is_told(tmp_path: Path) -> None:
    # the smoke test is itself proven: a folder of programs that do nothing passes hardly any of it
    for name in ("splitmirror", "splitmirror-pre", "splitmirror-post"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        program.chmod(0o755)
    passed = []
    for check in smoke.CHECKS:
        try:
            smoke.check(check, tmp_path)
        except (smoke.Wrong, OSError, ValueError):
            continue
        passed.append(check.__name__)
    assert passed == ["closed_streams_do_not_stop_it", "it_is_not_large", "nothing_unwanted_came_in"]
