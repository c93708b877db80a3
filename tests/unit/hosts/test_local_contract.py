"""This machine keeps the promises of every host; so does it through sudo."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from shutil import which

import pytest
from tests.contracts.host import FAMILIES, RunContract
from tests.faults.guard.stage import Stage

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.hosts.local import LocalHost, Options


def can_sudo() -> bool:
    """Whether this account may become root without being asked."""
    return which("sudo") is not None and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


class TestLocal(RunContract):
    sudo = ""

    def open(self, folder: Path) -> Host:
        state = str(folder / "state")
        return LocalHost("db1", Options(guard_dir=state, family_dirs=(FAMILIES,), sudo=self.sudo))

    def lose_link(self, stage: Stage) -> None:
        """There is no link to lose but the guard itself."""
        stage.signal(signal.SIGKILL, stage.ear())


@pytest.mark.skipif(os.geteuid() != 0 or not can_sudo(), reason="needs root and sudo")
class TestLocalThroughSudo(TestLocal):
    sudo = "root"
