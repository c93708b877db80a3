"""The units for systemd: what they start exists, and nothing in them hides the mounts from what they start."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from splitmirror.admin import frame

FOLDER = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
TIMERS = sorted(FOLDER.glob("*.timer"))
HIDES_MOUNTS = {
    "PrivateMounts",
    "PrivateTmp",
    "ProtectSystem",
    "ProtectHome",
    "ReadOnlyPaths",
    "MountFlags",
    "DynamicUser",
}


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_what_a_service_starts_is_a_command_line_of_ours(path: Path) -> None:
    program, name, *arguments = shlex.split(unit(path)["Service"]["ExecStart"].replace("%i", "erp"))
    assert program == "/opt/splitmirror/splitmirror"
    frame.parser(name).parse_args(arguments)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_sees_everybodys_mounts_and_is_told_to_give_up_properly(path: Path) -> None:
    service = unit(path)["Service"]
    assert not HIDES_MOUNTS & set(service)
    assert service["KillMode"] == "process"
    assert service.get("KillSignal", "SIGTERM") == "SIGTERM"


@pytest.mark.parametrize("path", TIMERS, ids=lambda path: path.name)
def test_a_timer_has_its_service_and_can_be_enabled(path: Path) -> None:
    assert path.with_suffix(".service") in SERVICES
    assert unit(path)["Install"]["WantedBy"] == "timers.target"


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for path in (*SERVICES, *TIMERS):
        text = path.read_text(encoding="utf-8").replace("/opt/splitmirror/splitmirror", "/bin/true")
        (tmp_path / path.name.replace("@", "@erp")).write_text(text, encoding="utf-8")
    names = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        [verify, "verify", "--man=no", *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
