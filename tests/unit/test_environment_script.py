"""packaging/environment.sh says in plain words what a machine lacks, and leaves nothing that looks ready."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "packaging" / "environment.sh"
FAKE = """\
#!{python}
import sys
lacking = {lacking!r}
code = sys.argv[2] if sys.argv[1:2] == ["-c"] else ""
if any(one in code for one in lacking) or sys.argv[1:2] != ["-c"]:
    sys.exit("this Python has no " + ", ".join(lacking))
exec(code)
"""


def fake(folder: Path, *lacking: str) -> Path:
    path = folder / "python"
    path.write_text(FAKE.format(python=sys.executable, lacking=lacking), encoding="utf-8")
    path.chmod(0o755)
    return path


def make(folder: Path, python: Path) -> tuple[int, str]:
    argv = ["/bin/sh", str(SCRIPT), str(folder / "venv"), "", str(folder / "stamp")]
    done = subprocess.run(
        argv,
        env={"PYTHON": str(python), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (("sys",), "Python 3.11 or later is needed"),
        (("ensurepip", "pip"), "apt install python3-venv"),
    ],
)
def test_what_is_lacking_is_said_in_plain_words(tmp_path: Path, lacking: tuple[str, ...], said: str) -> None:
    code, stderr = make(tmp_path, fake(tmp_path, *lacking))
    assert code == 1
    assert said in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "stamp").exists()


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, stderr = make(tmp_path, tmp_path / "missing")
    assert code == 1
    assert "Python 3.11 or later is needed" in stderr


def test_a_failing_venv_leaves_no_stamp(tmp_path: Path) -> None:
    # it says that it can make environments, and then cannot
    code, stderr = make(tmp_path, fake(tmp_path, "nothing-of-all"))
    assert code == 1
    assert "could not make" in stderr
    assert not (tmp_path / "stamp").exists()
