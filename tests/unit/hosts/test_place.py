"""The line that puts the guard program in place: one line, for any login shell, and careful with its folder."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from shutil import which

import pytest
from tests.faults.guard.stage import SHELLS

from splitmirror_drivers.hosts import shell_host

PLACE = shell_host._PLACE
MARK = "# the end 0123"


def place(shell: str, folder: Path, text: str, checksum: str = "0123") -> subprocess.CompletedProcess[str]:
    argv = [*shell.split(), "-c", PLACE, "sh", str(folder), checksum, MARK]
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=20)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    if which(str(request.param).split()[0]) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def test_it_is_one_line_that_no_login_shell_reads_otherwise() -> None:
    """A line break or an exclamation mark between quotes means something to csh."""
    assert "\n" not in PLACE
    assert "!" not in PLACE
    assert PLACE.strip() == PLACE
    assert "  " not in PLACE


def test_what_was_sent_is_there_whole_and_is_not_sent_twice(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    text = "#!/bin/sh\n  it's \\n 'odd' $HOME\n\n\ttab\n"
    done = place(shell, folder, f"{text}{MARK}\n")
    assert done.stdout == f"want\nhave {folder}/lib/0123.sh\n", done.stderr
    assert (folder / "lib" / "0123.sh").read_text() == text
    assert folder.stat().st_mode & 0o777 == 0o700
    assert place(shell, folder, "").stdout == f"have {folder}/lib/0123.sh\n"


def test_a_program_that_was_cut_off_is_not_put_in_place(shell: str, tmp_path: Path) -> None:
    done = place(shell, tmp_path / "state", "#!/bin/sh\nhalf of it\n")
    assert done.returncode != 0
    assert list((tmp_path / "state" / "lib").iterdir()) == []


def test_a_folder_that_others_may_write_to_is_refused(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    done = place(shell, folder, f"x\n{MARK}\n")
    assert done.returncode != 0
    assert "nobody else can write to" in done.stderr


@pytest.mark.parametrize("login", ["tcsh", "csh", "fish", "zsh", "ksh", "bash", "dash"])
def test_it_passes_through_login_shells_of_any_family(login: str, tmp_path: Path) -> None:
    if which(login) is None:
        pytest.skip(f"{login} is not installed")
    line = shlex.join(["/bin/sh", "-c", PLACE, "sh", str(tmp_path / "it's"), "0123", MARK])
    done = subprocess.run([login, "-c", line], input=f"x\n{MARK}\n", capture_output=True, text=True, timeout=20)
    assert done.stdout.endswith(f"have {tmp_path}/it's/lib/0123.sh\n"), done.stderr
