"""SPLITMIRROR_LAB=required: a skipped test is a failure, and says so. (That is how CI knows that it ran everything.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.house.tree import ROOT

SUITES = {
    "passes": "def test_a(): pass",
    "skips": "import pytest\ndef test_a(): pytest.skip('no disk')\ndef test_b(): pass",
    "skips-a-module": "import pytest\npytest.skip('no disk', allow_module_level=True)",
    "does-not-apply": "import pytest\ndef test_a(): pytest.skip('does not apply: keeps one copy')\ndef test_b(): pass",
    "marked": "import pytest\n@pytest.mark.skipif(True, reason='does not apply: x')\ndef test_a(): pass\ndef test_b(): pass",
    "marked-lack": "import pytest\n@pytest.mark.skipif(True, reason='no root')\ndef test_a(): pass\ndef test_b(): pass",
    "fails": "def test_a(): assert False",
}


def outcome(folder: Path, suite: str, lab: str) -> tuple[int, str]:
    (folder / "test_suite.py").write_text(SUITES[suite], encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"SPLITMIRROR_LAB": lab, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-c", os.devnull, "--rootdir", str(folder), "--import-mode=importlib",
         "-p", "no:cacheprovider", "-p", "tests.conftest", str(folder / "test_suite.py")],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("suite", "lab", "code"),
    [
        ("passes", "required", 0),
        ("skips", "", 0),
        ("skips", "required", 1),
        ("fails", "required", 1),
        ("skips-a-module", "required", 5),
        ("does-not-apply", "required", 0),
        ("marked", "required", 0),
        ("marked-lack", "required", 1),
    ],
)
def test_a_skip_fails_where_everything_is_required(tmp_path: Path, suite: str, lab: str, code: int) -> None:
    found, said = outcome(tmp_path, suite, lab)
    assert found == code, said
    assert ("this is a failure" in said) == (code != 0 and suite != "fails")
