"""The product samples call the hooks in the way that the adapters read; run for real where they are scripts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from splitmirror_drivers import catalogue
from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation
from splitmirror_drivers.products.recognise import recognise

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples" / "products"
SHELLS = [shell for shell in ("dash", "bash", "mksh", "busybox") if shutil.which(shell)]
RECORDER = """#!/bin/sh
printf '%s\\n' "${0##*/}" "$@" >>"$SPLITMIRROR_HOME/calls"
echo noise; echo noise >&2
case ${0##*/} in *-pre) exit "${PRE_CODE:-0}" ;; esac
exit "${POST_CODE:-0}"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Hooks that write down how they were called."""
    for name in ("splitmirror-pre", "splitmirror-post"):
        (tmp_path / name).write_text(RECORDER, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def read(argv: list[str]) -> Invocation:
    hook = Hook.PRE if argv[0].endswith("pre") else Hook.POST
    products = {name: make() for name, make in catalogue.PRODUCTS.items()}
    return recognise(hook, argv, {}, products).invocation(hook, argv, {})


def calls(home: Path) -> list[list[str]]:
    """The recorded calls, each with its program."""
    found: list[list[str]] = []
    for line in (home / "calls").read_text(encoding="utf-8").splitlines():
        if line in ("splitmirror-pre", "splitmirror-post"):
            found.append([])
        found[-1].append(line)
    return found


def start(script: str, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SPLITMIRROR_HOME": str(home), **environment}
    command = [str(SAMPLES / script), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("script", sorted(SAMPLES.glob("*/*.sh")), ids=lambda path: path.name)
@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_plain_sh_and_can_be_run(script: Path, shell: str) -> None:
    sh = ["busybox", "sh"] if shell == "busybox" else [shell]
    assert subprocess.run([*sh, "-n", str(script)], check=False).returncode == 0
    assert os.access(script, os.X_OK)


def test_the_netbackup_wrappers_hand_everything_on_and_say_nothing(home: Path) -> None:
    started = start("netbackup/bpstart_notify.sh", home, "db1", "erp", "nightly full", "FULL", PRE_CODE="2")
    ended = start("netbackup/bpend_notify.sh", home, "db1", "erp", "nightly full", "FULL", "0")
    assert (started.returncode, started.stdout, started.stderr) == (2, "", "")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    pre, post = (read(call) for call in calls(home))
    assert (pre.product, pre.policy, pre.client, pre.schedule) == ("netbackup", "erp", "db1", "nightly full")
    assert (post.policy, post.client, post.schedule, post.status) == (
        *("erp", "db1", "nightly full"),
        BackupStatus.GOOD,
    )


def test_the_netbackup_limit_of_the_wrapper_fits_its_bp_conf(home: Path) -> None:
    conf = (SAMPLES / "netbackup" / "bp.conf").read_text(encoding="utf-8")
    limits = {key: int(value) for key, value in re.findall(r"^(\w+) = (\d+)$", conf, re.MULTILINE)}
    start("netbackup/bpstart_notify.sh", home, "db1", "erp", "nightly", "FULL")
    assert read(calls(home)[0]).limit_seconds <= limits["BPSTART_TIMEOUT"]
    assert limits["CLIENT_READ_TIMEOUT"] >= max(limits["BPSTART_TIMEOUT"], limits["BPEND_TIMEOUT"])


@pytest.mark.parametrize("name", ["bpstart_notify.bat", "bpend_notify.bat"])
def test_the_batch_files_have_the_line_ends_and_exit_code_that_windows_wants(name: str) -> None:
    text = (SAMPLES / "netbackup" / name).read_bytes()
    assert text.count(b"\r\n") == text.count(b"\n")
    assert b" --product netbackup" in text
    assert text.endswith(b"exit /b %ERRORLEVEL%\r\n")


@pytest.mark.parametrize(("word", "status"), [("OK", BackupStatus.GOOD), ("Fatal Error", BackupStatus.FAILED)])
def test_the_bacula_job_calls_pre_and_post_of_one_job(word: str, status: BackupStatus) -> None:
    text = (SAMPLES / "bacula" / "job-splitmirror.conf").read_text(encoding="utf-8")
    codes = {"%i": "4711", "%n": "erp-nightly", "%c": "backup1-fd", "%l": "Full", "%e": word}
    commands = [found.replace('\\"', '"') for found in re.findall(r'Command = "((?:[^"\\]|\\.)*)"', text)]
    pre, post = (read(shlex.split(re.sub("%.", lambda code: codes[code[0]], command))) for command in commands)
    assert pre.product == post.product == "bacula"
    assert (pre.policy, pre.client, pre.schedule, pre.job) == ("erp", "backup1-fd", "erp-nightly", "4711")
    assert (post.policy, post.client, post.schedule, post.job) == (pre.policy, pre.client, pre.schedule, pre.job)
    assert post.status is status
    assert not {**pre.extra, **post.extra}.get("words")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A presented copy with its card."""
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "data").write_text("x", encoding="utf-8")
    (tmp_path / "mnt.card").mkdir()
    (tmp_path / "target").mkdir()
    return tmp_path / "mnt"


def backup(home: Path, source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    places = {"BACKUP_SOURCE": str(source), "BACKUP_TARGET": str(source.parent / "target")}
    return start("generic/backup.sh", home, "erp", **places, **environment)


def test_the_cron_script_saves_and_tells_post_that_it_went_well(home: Path, source: Path) -> None:
    assert backup(home, source).returncode == 0
    pre, post = (read(call) for call in calls(home))
    assert pre.job
    assert (post.job, post.status) == (pre.job, BackupStatus.GOOD)
    assert [path.suffix for path in (source.parent / "target").iterdir()] == [".tar"]


def test_the_cron_script_saves_nothing_when_there_is_no_copy(home: Path, source: Path) -> None:
    ended = backup(home, source, PRE_CODE="1")
    assert ended.returncode == 1
    assert "no copy of erp today" in ended.stderr
    assert [call[0] for call in calls(home)] == ["splitmirror-pre"]
    assert list((source.parent / "target").iterdir()) == []


def test_the_cron_script_calls_post_after_a_failed_backup_too(home: Path, source: Path) -> None:
    shutil.rmtree(source)
    assert backup(home, source).returncode != 0
    assert read(calls(home)[1]).status is BackupStatus.FAILED
    assert not list((source.parent / "target").glob("*.tar"))


def test_the_cron_script_ends_as_post_ended(home: Path, source: Path) -> None:
    assert backup(home, source, POST_CODE="2").returncode == 2


def test_every_option_of_the_generic_page_is_one(tmp_path: Path) -> None:
    from splitmirror_drivers.products.arguments import FLAGS, VALUES

    page = (ROOT / "docs" / "products" / "generic.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (?:`--.*?) \|", page, re.MULTILINE))
    options = {option for row in named for option in re.findall(r"--[a-z-]+", row)}
    assert options >= {"--policy", "--status", "--limit"}
    assert options <= VALUES | FLAGS
