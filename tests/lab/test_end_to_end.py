"""The main job on real parts: databases that are written to all the time, quiesced over SSH, split, copied off, reattached.

A second server is started on every restored copy and must have each row that was committed before the split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.lab.need import need
from tests.lab.site import (
    Site,
    committed_before_split,
    mariadb,
    policy,
    postgresql,
    restored_mariadb,
    restored_postgresql,
    rows_of,
    site,
    writing,
)

pytestmark = pytest.mark.lab
ROUNDS = 2


@pytest.fixture
def here() -> Iterator[Site]:
    need("sshd", "mkfs.btrfs", "mariadbd", "psql", loop=True)
    with site() as made:
        yield made


def test_postgresql_over_ssh_is_backed_up_from_its_split_twice(here: Site) -> None:
    here.data_server("db1")
    with postgresql(here, "pg", "db1") as server:
        policy(here, "erp", ["pg"])
        assert "application" in here.run("check")
        with writing(server) as (writer,):
            for number in range(ROUNDS):
                here.run("pre", "--policy", "erp", "--job", str(number))
                needed = committed_before_split(here, "erp", writer.commits)
                copy = restored_postgresql(here, "pg", here.folder / f"restored-{number}")
                here.run("post", "--policy", "erp", "--job", str(number), "--status", "good")
                rows = rows_of(copy)
                assert rows == list(range(1, len(rows) + 1))
                assert len(rows) >= needed
                writer.wait_for_more()
    assert not (here.folder / "backup" / "pg").exists()
    assert not (here.folder / "backup" / "pg.card").exists()


def test_mariadb_over_ssh_is_backed_up_from_its_split_twice(here: Site) -> None:
    here.data_server("db1")
    with mariadb(here, "my", "db1") as server:
        policy(here, "erp", ["my"])
        with writing(server) as (writer,):
            for number in range(ROUNDS):
                here.run("pre", "--policy", "erp", "--job", str(number))
                needed = committed_before_split(here, "erp", writer.commits)
                copy = restored_mariadb(here, "my", here.folder / f"restored-{number}")
                here.run("post", "--policy", "erp", "--job", str(number), "--status", "good")
                rows = rows_of(copy)
                assert rows == list(range(1, len(rows) + 1))
                assert len(rows) >= needed
                writer.wait_for_more()


def test_both_on_two_data_servers_are_one_run_with_one_card_each(here: Site) -> None:
    here.data_server("db1")
    here.data_server("db2")
    with postgresql(here, "pg", "db1") as pg, mariadb(here, "my", "db2") as my:
        policy(here, "erp", ["pg", "my"])
        with writing(pg, my) as (of_pg, of_my):
            here.run("pre", "--policy", "erp")
            needed = [committed_before_split(here, "erp", writer.commits) for writer in (of_pg, of_my)]
            copies = [
                restored_postgresql(here, "pg", here.folder / "restored-pg"),
                restored_mariadb(here, "my", here.folder / "restored-my"),
            ]
            here.run("post", "--policy", "erp", "--status", "good")
            for writer in (of_pg, of_my):
                writer.wait_for_more()
        for copy, least in zip(copies, needed, strict=True):
            rows = rows_of(copy)
            assert rows == list(range(1, len(rows) + 1))
            assert len(rows) >= least
    assert set(here.windows("erp")) == {"db2"}, "PostgreSQL blocks nobody; MariaDB does"


def test_status_says_what_stands_and_plan_says_the_commands(here: Site) -> None:
    here.data_server("db1")
    with mariadb(here, "my", "db1"):
        policy(here, "erp", ["my"])
        planned = here.run("plan", "erp")
        assert "subvolume snapshot -r" in planned
        assert str(here.folder / "backup" / "my.card") in planned
        here.run("pre", "--policy", "erp")
        told = json.loads(here.run("status", "--json"))
        assert told["policies"][0]["result"] == "READY"
        here.run("post", "--policy", "erp", "--status", "good")
        assert json.loads(here.run("status", "--json"))["level"] == 0
