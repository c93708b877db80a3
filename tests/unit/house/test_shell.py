"""Every shell script of the tree passes shellcheck and parses in the shells that run it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.house.tree import ROOT

PLACES = ("drivers", "samples", "packaging", "tests", "hooks")
BASH = [ROOT / ".ci" / "run"]
SCRIPTS = sorted(
    path
    for place in PLACES
    for path in (ROOT / place).rglob("*.sh")
    if "__pycache__" not in path.parts and "python" not in path.read_text(encoding="utf-8").partition("\n")[0]
)
"""But for programs that only have a shell script's name, as the vendor's has."""
SHARED = "SC2154,SC2034"
"""Variables that another file sets or reads: the guard is one program in several files."""
SHELLS = {"dash": ["-n"], "bash": ["--posix", "-n"], "busybox": ["sh", "-n"], "mksh": ["-n"]}


def of_tree(path: Path) -> str:
    return str(path.relative_to(ROOT))


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@pytest.mark.parametrize("script", [*SCRIPTS, *BASH], ids=of_tree)
def test_shellcheck_finds_nothing(script: Path) -> None:
    arguments = ["-S", "warning", "-e", SHARED, "-s", "bash" if script in BASH else "sh"]
    done = subprocess.run(
        [need("shellcheck"), *arguments, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_verbs_parse_in_every_shell_of_a_data_server(shell: str) -> None:
    program = need(shell)
    for script in (ROOT / "drivers").rglob("*.sh"):
        done = subprocess.run(
            [program, *SHELLS[shell], str(script)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{of_tree(script)} in {shell}"


def test_there_are_scripts_to_check() -> None:
    assert len(SCRIPTS) > 8
