"""Install-guard: what is put on a data server is this version's program, and what it lets in is as little as there is."""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

import pytest
from tests.unit.admin.stage import Stage, said

from splitmirror.admin import install_guard
from splitmirror.admin.install_guard import Login
from splitmirror_drivers.hosts import program
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.errors import CommandFailed, UnknownAnswer, UsageFault
from splitmirror_drivers.kit.units import SecretReference

LOGIN = Login("splitmirror", "root", "", "ssh-ed25519 AAAA backup1")


@dataclass
class Table:
    """A host's table in the policy file, as its driver decodes it."""

    user: str = "splitmirror"
    sudo: str = "root"
    guard_dir: str = ""
    key: SecretReference = field(default_factory=lambda: SecretReference(file="/absent/db1.key"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program goes into a folder of the test."""
    monkeypatch.setattr(install_guard, "FOLDER", str(tmp_path / "libexec"))
    monkeypatch.setattr(install_guard, "PROGRAM", str(tmp_path / "libexec" / "splitmirror-guard"))
    monkeypatch.setattr(install_guard, "UNIT", str(tmp_path / "splitmirror-guard.service"))
    return tmp_path


def test_the_installed_program_answers_with_this_versions_checksum(places: Path) -> None:
    login = Login("root", "", str(places / "state"), "KEY")
    wanted = program.installed(state=login.state)
    if Path("/run/systemd/system").is_dir():
        pytest.skip("does not apply: this machine has systemd, and a test enables no unit on it")
    (done,) = install_guard.put_in_place(LocalHost(), login)
    assert wanted.checksum[:12] in done
    installed = places / "libexec" / "splitmirror-guard"
    assert installed.read_text() == wanted.text
    assert installed.stat().st_mode & 0o777 == 0o755
    assert not installed.with_name("splitmirror-guard.new").exists()


def test_the_installed_program_runs_verbs_only(places: Path) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("does not apply: this machine has systemd, and a test enables no unit on it")
    install_guard.put_in_place(LocalHost(), Login("root", "", str(places / "state"), "KEY"))
    installed = str(places / "libexec" / "splitmirror-guard")
    for words, ours in [("id", ""), ("splitmirror run", ""), ("splitmirror guard; id", "")]:
        done = subprocess.run([installed, "entry"], env={"SSH_ORIGINAL_COMMAND": words + ours, "PATH": "/usr/bin:/bin"},
                              capture_output=True, text=True, timeout=20)  # fmt: skip
        assert done.returncode == 126
        assert "refused" in done.stderr
        assert "uid=" not in done.stdout


def test_a_step_that_fails_says_how_to_do_it_by_hand(places: Path) -> None:
    (places / "libexec").write_text("a file where a folder should be")
    with pytest.raises(CommandFailed) as caught:
        install_guard.put_in_place(LocalHost(), LOGIN)
    assert "--print" in caught.value.hint


def test_a_program_that_answers_otherwise_is_not_called_installed(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        install_guard, "composed", lambda login: program.Program("#!/bin/sh\necho hello 0 x y\n", "f" * 64, ())
    )
    with pytest.raises(UnknownAnswer, match="does not answer"):
        install_guard.put_in_place(LocalHost(), LOGIN)


def test_the_key_is_locked_to_the_guard_and_sudo_to_four_commands() -> None:
    assert install_guard.authorized_keys(LOGIN) == (
        'restrict,command="/usr/local/libexec/splitmirror-guard entry root" ssh-ed25519 AAAA backup1'
    )
    rule = install_guard.sudoers(LOGIN).splitlines()[-1]
    assert rule.startswith("splitmirror ALL=(root) NOPASSWD: ")
    assert rule.count("/usr/local/libexec/splitmirror-guard ") == 4
    assert "splitmirror-guard run" not in rule
    assert "*" not in rule


def test_a_login_that_becomes_nobody_needs_no_sudoers() -> None:
    login = Login("postgres", "", "", "KEY")
    assert install_guard.sudoers(login) == ""
    assert install_guard.authorized_keys(login).startswith(
        'restrict,command="/usr/local/libexec/splitmirror-guard entry" '
    )
    assert "sudoers" not in install_guard.as_text(login, done=())


@pytest.mark.skipif(not which("visudo"), reason="visudo is not on this machine")
def test_the_sudoers_line_is_one_that_sudo_understands(tmp_path: Path) -> None:
    rules = tmp_path / "splitmirror"
    rules.write_text(install_guard.sudoers(LOGIN))
    done = subprocess.run(["visudo", "-cf", str(rules)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_the_boot_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    file = tmp_path / "splitmirror-guard.service"
    file.write_text(install_guard.unit(LOGIN).replace(install_guard.PROGRAM, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=30)
    assert "Unknown" not in done.stderr


def test_print_changes_nothing_and_names_what_belongs_where(stage: Stage, tmp_path: Path) -> None:
    key = tmp_path / "db1.key"
    key.with_name("db1.key.pub").write_text("ssh-ed25519 BBBB of-the-backup-server\n")
    table = Table(key=SecretReference(file=str(key)))
    stage.office.loaded.__dict__["host_options"] = {"db1": ("ssh", table)}
    given = argparse.Namespace(host="db1", is_print=True, program=str(tmp_path / "guard"))
    page = said(install_guard.install, stage.office, given)[1]
    assert "ssh-ed25519 BBBB of-the-backup-server" in page
    assert "NOPASSWD" in page
    assert "ExecStart=/usr/local/libexec/splitmirror-guard boot" in page
    assert "/var/lib/splitmirror/fetch-folders" in page
    assert (tmp_path / "guard").read_text() == program.installed().text


def test_a_host_that_is_not_in_the_file_is_a_mistake(stage: Stage) -> None:
    stage.office.loaded.__dict__["host_options"] = {"db1": ("ssh", Table())}
    with pytest.raises(UsageFault, match="no host 'db7'"):
        install_guard.install(stage.office, argparse.Namespace(host="db7", is_print=True, program=""))
