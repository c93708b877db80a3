"""The built folder, or why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "frozen" / "splitmirror"


@pytest.fixture(scope="session")
def folder() -> Path:
    """build/frozen/splitmirror; the tests are skipped where nobody has built it."""
    if not (FOLDER / "splitmirror").is_file():
        pytest.skip("frozen: build/frozen/splitmirror is missing; `make freeze` builds it")
    return FOLDER
