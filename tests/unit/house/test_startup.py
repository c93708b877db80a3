"""`--version` costs next to nothing: nothing heavy is imported for it, and hardly anything at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.unit.house.tree import DRIVERS, HOOKS

ENTRANCES = ("splitmirror.pre", "splitmirror.post", "splitmirror.admin")
HEAVY = ("paramiko", "winrm", "tomlkit", "rich", "asyncio", "unittest", "email", "cryptography", "requests", "keyring")
NEEDLESS = ("argparse", "dataclasses", "logging", "msgspec", "sqlite3", "subprocess", "threading", "tomllib", "typing")
OWN = {"splitmirror.pre", "splitmirror.post", "splitmirror.admin", "splitmirror.streams"}


def imported(*code: str) -> set[str]:
    """Every module that is imported by Python running `code`, as -X importtime names them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOOKS), str(DRIVERS)])}
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", *code],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_version_imports_nothing_heavy(entrance: str) -> None:
    code = f"import sys; sys.argv = ['x', '--version']; from {entrance} import main; sys.exit(main())"
    found = imported("-c", code)
    assert entrance in found
    assert {name.partition(".")[0] for name in found} & {*HEAVY, *NEEDLESS} == set()
    assert {name for name in found if name.startswith("splitmirror.")} <= OWN
    assert not {name for name in found if name.startswith("splitmirror_drivers")}


def test_the_package_itself_imports_nothing() -> None:
    assert imported("-c", "import splitmirror") - imported("-c", "pass") == {"splitmirror"}


def test_a_heavy_import_would_be_seen() -> None:
    assert {"email", "email.message"} <= imported("-c", "import email.message")


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_failure(entrance: str, closed: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOOKS), str(DRIVERS)])}
    code = f"import sys; sys.argv = ['x', '--version']; from {entrance} import main; sys.exit(main())"
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", code],
        env=environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_file_opened_later_is_never_a_standard_stream() -> None:
    code = "import os; from splitmirror import streams; streams.ensure(); sys = os.open('/dev/null', 0); os._exit(sys)"
    environment = {**os.environ, "PYTHONPATH": str(HOOKS)}
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code],
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
