"""Nights on real kernels: pre → a second server recovers from the copy → post → the legs are equal again.

A `Mirror` is what LVM and md have in common for that: where its volume is mounted, how its legs are compared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.lab.databases import PostgreSQL, Writer
from tests.lab.uml import Disk, Hosts
from tests.lab.uml_site import SOCKETS, GuestPostgreSQL, Station, recovered

from splitmirror.journal.contract import Kind

MIB = 2**20
CHANGED_MIB = 8
SYNC_SECONDS = 60.0
DATA, BACK = "data", "back"
TABLE = """
create table rows(n bigint primary key);
create function pause() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return new; end $$;
create trigger pause before insert on rows for each row execute function pause();
"""
"""A writer that commits as fast as it can would keep the host's one processor busy."""


class Mirror(Protocol):
    """Mirrored volumes of the host `data`, each mounted at ``/NAME`` there and presented at ``/backup/NAME`` elsewhere.

    The first one carries the database, and gives its name to policy, group and application. `mib`: of all together.
    """

    names: tuple[str, ...]
    mib: int
    leg: Disk

    def await_sync(self) -> None:
        """Wait until both legs are in sync."""

    def boot(self) -> None:
        """What a host does when it starts: the volumes are there, and mounted."""

    def mismatches(self) -> int:
        """Compare both legs, block by block."""

    def was_compared(self) -> bool:
        """Whether somebody has compared the legs since the host started."""


@dataclass
class Night:
    """One mirror with a PostgreSQL on it, from evening to morning."""

    station: Station
    mirror: Mirror
    server: GuestPostgreSQL

    @property
    def lab(self) -> Hosts:
        return self.station.lab

    @property
    def name(self) -> str:
        return self.mirror.names[0]

    def pre(self, job: str) -> None:
        self.station.run("pre", "--policy", self.name, "--job", job)

    def post(self, job: str) -> None:
        self.station.run("post", "--policy", self.name, "--job", job, "--status", "good")

    def recovers(self, writer: Writer) -> None:
        """A second server on the other host has every row that was committed before the split, and none twice."""
        began = next(e.at for e in self.station.events(self.name) if e.kind is Kind.STARTED and e.act == "split")
        offset = time.time() - time.monotonic()
        needed = max(commit.number for commit in writer.commits if commit.at + offset <= began)
        with recovered(self.station, BACK, self.name, self.name, f"/backup/{self.name}") as copy:
            rows = [int(line) for line in copy.sql("select n from rows order by n").split()]
        assert rows == list(range(1, len(rows) + 1))
        assert len(rows) >= needed > 0

    def write_page(self, text: str) -> None:
        """A file on every volume."""
        for name in self.mirror.names:
            self.lab.ssh(DATA, f"echo {text} >/{name}/page; sync -f /{name}")

    def pages(self) -> set[str]:
        """What the copies have in that file."""
        return {self.lab.ssh(BACK, f"cat /backup/{name}/page") for name in self.mirror.names}

    def change(self) -> None:
        """Change a known amount on the live side."""
        for name in self.mirror.names:
            self.lab.ssh(DATA, f"dd if=/dev/urandom of=/{name}/new bs=1M count={CHANGED_MIB} conv=fsync status=none")

    def resynchronised_bytes(self, job: str) -> int:
        """What post and the copying after it write to the leg. Nothing else may write meanwhile."""
        before = self.lab.written(DATA, self.mirror.leg)
        self.post(job)
        self.mirror.await_sync()
        return self.lab.written(DATA, self.mirror.leg) - before

    def refuses_writers(self) -> None:
        """Nobody can write to a presented leg where it is presented, however hard he tries."""
        for name in self.mirror.names:
            device = self.lab.ssh(BACK, f"findmnt -n -o SOURCE /backup/{name}")
            done = self.lab.try_ssh(BACK, f"dd if=/dev/zero of={device} bs=4096 count=1 conv=notrunc oflag=direct")
            assert done.exit_code != 0 and "Operation not permitted" in done.output, done.output
            assert self.lab.try_ssh(BACK, f"touch /backup/{name}/written").exit_code != 0

    def begin(self, job: str) -> None:
        """Pre while a writer is at work: the copy recovers elsewhere and cannot be written to. Then the live side changes."""
        self.write_page(job)
        with Writer(self.server).writing() as writer:
            self.pre(job)
            self.write_page("later")
            self.recovers(writer)
            writer.wait_for_more()
        assert self.pages() == {job}
        self.refuses_writers()
        self.change()

    def a_round(self, job: str) -> None:
        """One night: coming back into sync costs what changed, and the legs are equal."""
        self.begin(job)
        copied = self.resynchronised_bytes(job)
        assert CHANGED_MIB * MIB * len(self.mirror.names) <= copied < self.mirror.mib * MIB / 3
        assert self.mirror.mismatches() == 0
        assert self.is_gone()
        self.server.sql("truncate rows")

    def a_night_with_a_power_failure(self, job: str) -> None:
        """The data server fails right after writes, while the leg is away: what is then called in sync was compared.

        A kernel that is killed may lose what it knew of the changes; the mirror says "in sync" all the same.
        """
        self.begin(job)
        self.lab.crash(DATA)
        self.lab.up(DATA)
        self.mirror.boot()
        self.server.start()
        self.post(job)
        said = self.station.run("establish", self.name, code=None)
        assert self.mirror.was_compared(), said
        if self.mirror.mismatches() == 0:
            self.station.run("check", self.name)
        else:
            assert "differ" in said, said
            assert "differ" in self.station.run("pre", "--policy", self.name, "--job", "next", code=None)

    def is_gone(self) -> bool:
        """Nothing of the copy is left on the other host."""
        return self.lab.ssh(BACK, "ls /backup") == ""


@contextlib.contextmanager
def server_on(station: Station, name: str) -> Iterator[GuestPostgreSQL]:
    """A live PostgreSQL on ``/NAME`` of the host `data`, an application of that name."""
    server = GuestPostgreSQL.create(station.lab, DATA, f"/{name}")
    where = {"address": SOCKETS, "port": server.port, "psql": PostgreSQL.program("psql")}
    station.add(f"applications.{name}", driver="postgresql", host=DATA, **where)
    with server.running():
        server.sql(TABLE)
        yield server


def policy(station: Station, name: str, array: str, present: Sequence[Mapping[str, str]], *more: str) -> None:
    """A policy over the application and the group of that name, and `more` applications."""
    mirrors = [{"array": array, "groups": [name]}]
    given = {"applications": [name, *more], "mirrors": mirrors, "present": list(present)}
    station.add(f"policies.{name}", **given, reattach="after-backup")
