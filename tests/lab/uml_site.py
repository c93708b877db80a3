"""A site of real kernels: a backup server's desk here, hosts under user-mode Linux that it drives over its own SSH transport.

What `tests/lab/site.py` is for this machine's own filesystems. A `GuestPostgreSQL` runs in a host; its clients come in by
SSH, so that a `Writer` here writes there.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.databases import PostgreSQL, as_account, room
from tests.lab.desk import Desk
from tests.lab.uml import Done, Hosts, hosts

SMALL = ("shared_buffers=16MB", "max_connections=20", "max_wal_size=64MB", "min_wal_size=8MB")
PATIENCE = "60"
SOCKETS = "/run/postgresql-lab"


@dataclass
class Station(Desk):
    """The backup server's desk, and the hosts."""

    lab: Hosts

    def host(self, name: str, **more: object) -> None:
        """A host that is up, as a host of the policy file."""
        table = {key.replace("-", "_"): value for key, value in self.lab.transport(name).items()}
        self.add(f"hosts.{name}", **table, **more)


@contextmanager
def station() -> Iterator[Station]:
    """A desk, and no host yet."""
    with hosts() as lab, room() as folder:
        yield Station(folder, lab)


class GuestPostgreSQL(PostgreSQL):
    """PostgreSQL in one host, on a folder there."""

    def __init__(self, lab: Hosts, guest: str, data: str) -> None:
        super().__init__(Path(data), Path(SOCKETS), SMALL)
        self.lab, self.guest = lab, guest

    @classmethod
    def create(cls, lab: Hosts, guest: str, folder: str) -> GuestPostgreSQL:
        """A new cluster in ``folder/data``, not started. It is made here, where that is quicker, and carried there."""
        with room() as here:
            PostgreSQL.make(here / "data", here, initdb=["--wal-segsize=1"])
            lab.carry(guest, here / "data", f"{folder}/data")
        return cls(lab, guest, f"{folder}/data")

    def client(self, *more: str) -> list[str]:
        return self.lab.openssh(self.guest, self._psql(*more))

    def _psql(self, *more: str) -> str:
        return f"cd /; exec {shlex.join(super().client(*more))}"

    def try_sql(self, sql: str) -> subprocess.CompletedProcess[str]:
        done = self.lab.try_ssh(self.guest, self._psql(), given=sql)
        return subprocess.CompletedProcess([], done.exit_code, done.output, done.output)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.lab.ssh(self.guest, f"install -d -o {self.account} -m 755 {self.run}")
        _, *argv = self.argv()
        done = self._control("start", "-w", "-t", PATIENCE, "-l", str(self.log), "-o", shlex.join(argv[2:]))
        assert done.exit_code == 0, f"{done.output}\n{self.said()[-3000:]}"

    def stop(self, number: object = None) -> None:
        """End it in good order; safe when it has ended, or its host has crashed."""
        if self._control("status").exit_code == 0:
            done = self._control("stop", "-w", "-t", PATIENCE, "-m", "fast")
            assert done.exit_code == 0, done.output

    def _control(self, word: str, *more: str) -> Done:
        given = [self.program("pg_ctl"), word, "-s", "-D", str(self.data), *more]
        return self.lab.try_ssh(self.guest, f"cd /; {shlex.join(as_account(self.account, *given))}")

    def said(self) -> str:
        return self.lab.try_ssh(self.guest, f"cat {self.log}").output


@contextmanager
def recovered(station: Station, guest: str, application: str, policy: str, presented: str) -> Iterator[GuestPostgreSQL]:
    """A second server on the presented copy, recovered as the card says, and running.

    Recovery must write and the copy must not change, so it works on an overlay in memory.
    """
    card = station.state / "cards" / station.last_run(policy).run_id / application
    lab, top = station.lab, "/mnt/recovered"
    data = f"{top}/merged/data"
    lab.ssh(guest, "rm -rf /tmp/card")
    lab.carry(guest, card, "/tmp/card")
    lab.ssh(
        guest,
        f"""
        mkdir -p {top}; mount -t tmpfs -o size=200M tmpfs {top}; mkdir {top}/upper {top}/scratch {top}/merged
        mount -t overlay overlay -o lowerdir={presented},upperdir={top}/upper,workdir={top}/scratch {top}/merged
        rm -f {data}/postmaster.pid {data}/postmaster.opts
        cp /tmp/card/backup_label {data}/; cp /tmp/card/pg_wal/* {data}/pg_wal/
        chown -R postgres {data}/backup_label {data}/pg_wal
        """,
    )
    server = GuestPostgreSQL(lab, guest, data)
    try:
        with server.running():
            yield server
    finally:
        lab.ssh(guest, f"umount {top}/merged {top}")
