"""A whole site on one machine: data servers behind real sshds, databases on a btrfs, a policy, and the hooks as a product
would start them: processes of their own, configured by the environment.

Every name of a data server is this machine, so what a data server shows (a snapshot's folder) is also seen here.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.databases import Commit, MariaDB, PostgreSQL, Server, Writer, room
from tests.lab.desk import Desk
from tests.lab.disks import btrfs, subvolume
from tests.lab.ssh_server import Lab, laboratory
from tests.lab.ssh_server import Server as DataServer

from splitmirror.journal.contract import Kind


@dataclass
class Site(Desk):
    """A backup server with data servers behind real sshds, and a pool on btrfs."""

    lab: Lab
    pool: Path
    servers: dict[str, DataServer] = field(default_factory=dict)

    @property
    def sockets(self) -> Path:
        return self.folder / "sockets"

    def data_server(self, name: str, server: DataServer | None = None, **options: object) -> DataServer:
        """A data server of that name, reached over SSH."""
        made = server or self.lab.server(name)
        self.servers[name] = made
        guard = self.folder / f"guard-{name}"
        self.add(
            f"hosts.{name}",
            transport="ssh",
            addresses=[made.address],
            port=made.port,
            user="root",
            key={"file": str(self.lab.key)},
            known_hosts=str(self.lab.known_hosts),
            guard_dir=str(guard),
            **options,
        )
        return made

    def subvolume(self, name: str, host: str) -> Path:
        """A subvolume of the pool with an array of its own on `host`, whose only group has the same name."""
        path, snapshots = subvolume(self.pool / name), self.pool / f"snapshots-{name}"
        snapshots.mkdir(mode=0o700)
        self.add(f"arrays.pool-{name}", driver="btrfs", host=host)
        self.add(f"arrays.pool-{name}.groups.{name}", subvolume=str(path), snapshots=str(snapshots))
        return path


@contextmanager
def site() -> Iterator[Site]:
    """A site with a pool and no data server yet. What a failing test left presented goes with the pool."""
    with laboratory() as lab, room() as folder, btrfs(folder / "pool", 3072) as pool:
        made = Site(folder, lab, pool)
        (folder / "backup").mkdir(mode=0o700)
        made.sockets.mkdir()
        made.sockets.chmod(0o1777)  # servers of several accounts
        yield made


# -- databases --


@contextmanager
def postgresql(
    site: Site, name: str, host: str, *, folder: Path | None = None, **options: object
) -> Iterator[PostgreSQL]:
    """A live PostgreSQL on `folder` (a new subvolume without one), named as an application of the policy."""
    server = PostgreSQL.make((folder or site.subvolume(name, host)) / "data", site.sockets)
    where = {"address": str(site.sockets), "port": server.port, "psql": PostgreSQL.program("psql")}
    site.add(f"applications.{name}", driver="postgresql", host=host, **where, **options)
    with server.running():
        server.sql("create table rows(n bigint primary key)")
        yield server


@contextmanager
def mariadb(site: Site, name: str, host: str, *, folder: Path | None = None, **options: object) -> Iterator[MariaDB]:
    """A live MariaDB on `folder` (a new subvolume without one), named as an application of the policy."""
    server = MariaDB.make((folder or site.subvolume(name, host)) / "data", site.sockets)
    where = {"address": str(server.socket), "user": "root"}
    site.add(f"applications.{name}", driver="mysql", host=host, **where, **options)
    with server.running():
        server.sql("create database shop; create table shop.rows(n bigint primary key) engine=innodb")
        yield server


def writer_on(server: Server) -> Writer:
    """A writer of numbered rows."""
    return Writer(server, "shop.rows" if isinstance(server, MariaDB) else "rows")


@contextmanager
def writing(*servers: Server) -> Iterator[list[Writer]]:
    """A writer at work on each server."""
    with ExitStack() as stack:
        yield [stack.enter_context(writer_on(server).writing()) for server in servers]


def policy(site: Site, name: str, applications: Sequence[str], array: str = "", **more: object) -> None:
    """A policy over applications, each presented under ``backup``. The group of each is named as it is.

    Without `array` it is the array of the application's subvolume.
    """
    arrays = {app: array or f"pool-{app}" for app in applications}
    site.add(
        f"policies.{name}",
        applications=list(applications),
        mirrors=[{"array": arrays[app], "groups": [app]} for app in applications],
        present=[
            {"mount": str(site.folder / "backup" / app), "mirror": f"{arrays[app]}/{app}"} for app in applications
        ],
        **more,
    )


# -- what came back --


def committed_before_split(site: Site, policy_name: str, commits: Sequence[Commit]) -> int:
    """The number of the last row whose commit was known before the last run sent its split."""
    events = site.events(policy_name)
    began = next(event.at for event in events if event.kind is Kind.STARTED and event.act == "split")
    offset = time.time() - time.monotonic()
    return max(commit.number for commit in commits if commit.at + offset <= began)


def copy_of(presented: Path, to: Path) -> Path:
    """What the product does: files, owners and modes to somewhere else."""
    subprocess.run(["cp", "-a", "--reflink=never", f"{presented}/.", str(to)], check=True)
    return to


def restored_postgresql(site: Site, name: str, to: Path, backup: Path | None = None) -> PostgreSQL:
    """A second server on the restored copy, recovered as the card says: label and log beside the data.

    `backup`: where copies and cards are, when a product has restored them somewhere else.
    """
    backup = backup or site.folder / "backup"
    card = backup / f"{name}.card" / name
    to.mkdir()
    data = copy_of(backup / name, to) / "data"
    for stale in ("postmaster.pid", "postmaster.opts"):
        (data / stale).unlink(missing_ok=True)
    for file in [card / "backup_label", *sorted((card / "pg_wal").glob("*"))]:
        target = data / file.relative_to(card)
        shutil.copy(file, target)
        shutil.chown(target, "postgres", "postgres")
    return PostgreSQL(data, site.sockets)


def restored_mariadb(site: Site, name: str, to: Path, backup: Path | None = None) -> MariaDB:
    """A second server on the restored copy, with its binary log, as the card says."""
    to.mkdir()
    data = copy_of((backup or site.folder / "backup") / name, to) / "data"
    return MariaDB(data, site.sockets, ("--log-bin=binlog", "--server-id=2"))


def rows_of(server: Server) -> list[int]:
    """The numbered rows a second server has, in order."""
    table = "shop.rows" if isinstance(server, MariaDB) else "rows"
    with server.running():
        return [int(line) for line in server.sql(f"select n from {table} order by n").split()]
