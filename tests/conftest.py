"""Where CI says that nothing may be skipped (``SPLITMIRROR_LAB=required``), a test skipped for want of something fails all.

A promise that this driver or that shell cannot make is another matter: such a skip's reason begins with NOT_APPLICABLE.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# emulated tools are started thousands of times: by this Python itself, and not by what another one's shim finds first
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"

REQUIRED = "SPLITMIRROR_LAB"
NOT_APPLICABLE = "does not apply: "


def is_required() -> bool:
    """Whether every test must run here."""
    return os.environ.get(REQUIRED) == "required"


def lacking(config: pytest.Config) -> list[str]:
    """The reason of each skip, of a test or of a whole module, that is for want of something."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", ()) if reporter else ()
    reasons = [str(one.longrepr[2] if isinstance(one.longrepr, tuple) else one.longrepr) for one in reports]
    return [reason for reason in reasons if not reason.removeprefix("Skipped: ").startswith(NOT_APPLICABLE)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The exit code tells it; ``-ra`` has named each test and its reason."""
    if is_required() and lacking(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """And says why."""
    reasons = lacking(config)
    if is_required() and reasons:
        terminalreporter.section("skipped where nothing may be skipped", sep="=", red=True, bold=True)
        for reason in sorted(set(reasons)):
            terminalreporter.write_line(reason, red=True)
        terminalreporter.write_line(f"{REQUIRED}=required, and {len(reasons)} skipped: this is a failure", red=True)
