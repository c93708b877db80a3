"""The frozen program over real SSH: paramiko without what the freezer left out, the guard program out of the bundle."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.ssh_server import Lab, laboratory

pytestmark = [pytest.mark.frozen, pytest.mark.lab]

POLICY = """\
[settings]
state  = "{root}/state"
syslog = false
[hosts.db1]
transport   = "ssh"
addresses   = ["{server.address}"]
port        = {server.port}
user        = "root"
key         = {{ file = "{server.lab.key}" }}
known-hosts = "{server.lab.known_hosts}"
guard-dir   = "{root}/guard"
[arrays.pretended]
driver = "simulator"
[arrays.pretended.groups.shop]
pairs = 1
size = "1MiB"
rate = "1GiB"
tree = "{root}/data"
[applications.shop]
driver    = "sqlite"
host      = "db1"
databases = ["{root}/data/shop.db"]
[policies.shop]
applications = ["shop"]
mirrors      = [{{ array = "pretended", groups = ["shop"] }}]
present      = [{{ directory = "{root}/backup" }}]
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made


def test_a_whole_run_with_a_data_server_over_ssh(folder: Path, lab: Lab, tmp_path: Path) -> None:
    server = lab.server()
    lab.know(server)
    (tmp_path / "data").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as connection:
        connection.executescript("create table sale(id integer); insert into sale values (7);")
    config = tmp_path / "splitmirror.toml"
    config.write_text(POLICY.format(root=tmp_path, server=server), encoding="utf-8")

    def run(name: str, *arguments: str) -> str:
        argv = [str(folder / name), *arguments]
        done = subprocess.run(
            argv, env={"SPLITMIRROR_CONFIG": str(config)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + server.log()
        return done.stdout

    run("splitmirror", "establish", "--full", "shop")
    assert "application copy" in run("splitmirror-pre", "--policy", "shop")
    with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/backup/shop.db?immutable=1", uri=True)) as copy:
        assert copy.execute("select id from sale").fetchall() == [(7,)]
    run("splitmirror-post", "--policy", "shop", "--status", "good")
    assert not (tmp_path / "backup").exists()
