"""Waits that are for arrays, not for tests, are short here."""

from __future__ import annotations

import pytest

from splitmirror import acts


@pytest.fixture(autouse=True)
def _look_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "LOOK_APART_SECONDS", 0.02)
