"""What a frozen program hands to its children: the library path as it was outside, nothing of the freezer's own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.frozen

POLICY = """\
[settings]
state  = "{root}/state"
syslog = false
[arrays.tree]
driver = "directory"
[arrays.tree.groups.shop]
source = "{root}/data"
mirror = "{root}/mirror"
[applications.shop]
driver    = "sqlite"
databases = ["{root}/data/shop.db"]
client    = ["{root}/client"]
[policies.shop]
applications = ["shop"]
mirrors      = [{{ array = "tree", groups = ["shop"] }}]
present      = [{{ directory = "{root}/backup" }}]
"""
CLIENT = """\
#!/bin/sh
env >"{root}/environment"
exit 1
"""


@pytest.mark.parametrize("outside", [None, "/opt/product/lib:/usr/local/lib"])
def test_a_child_gets_the_library_path_of_outside(folder: Path, tmp_path: Path, outside: str | None) -> None:
    (tmp_path / "data").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as connection:
        connection.execute("create table sale(id integer)")
    (tmp_path / "client").write_text(CLIENT.format(root=tmp_path), encoding="utf-8")
    (tmp_path / "client").chmod(0o755)
    config = tmp_path / "splitmirror.toml"
    config.write_text(POLICY.format(root=tmp_path), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    if outside is not None:
        environment["LD_LIBRARY_PATH"] = outside
    subprocess.run(
        [folder / "splitmirror", "check", "--config", config, "shop"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    seen = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines() if "=" in line)
    assert seen.get("LD_LIBRARY_PATH") == outside
    assert not [name for name in seen if name.startswith("_PYI_") or name == "LD_LIBRARY_PATH_ORIG"]
