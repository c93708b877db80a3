"""The samples say what the program says: what is copied from them works."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from shutil import which

import msgspec
import pytest

from splitmirror.admin import install_guard
from splitmirror_drivers import catalogue
from splitmirror_drivers.kit.units import decode_hook

SAMPLES = Path(__file__).parents[3] / "samples" / "hosts"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f backup1"
LOGIN = install_guard.Login("splitmirror", "root", "", KEY)


def without_comments(name: str) -> str:
    lines = (SAMPLES / name).read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("#"))


def test_the_installed_samples_are_what_install_guard_prints() -> None:
    assert without_comments("authorized_keys") == install_guard.authorized_keys(LOGIN) + "\n"
    assert without_comments("sudoers-installed") == install_guard.sudoers(LOGIN)


@pytest.mark.skipif(not which("visudo"), reason="visudo is not on this machine")
@pytest.mark.parametrize("name", ["sudoers-installed", "sudoers-inline"])
def test_sudo_understands_the_rules(name: str) -> None:
    done = subprocess.run(["visudo", "-cf", str(SAMPLES / name)], capture_output=True, text=True, timeout=20)
    assert "parsed OK" in done.stdout, done.stderr


def test_the_hosts_are_read() -> None:
    tables = tomllib.loads((SAMPLES / "hosts.toml").read_text())["hosts"]
    assert set(tables) == {"db1", "erp", "dmz"}
    for name, table in tables.items():
        driver = catalogue.HOSTS[table.pop("transport")]()
        options = msgspec.convert(table, driver.options, dec_hook=decode_hook)
        assert options.addresses, name
