"""The freeze window as writers see it:  bench/freeze_window.py [--servers 1,2,4,8] [--rounds 10]

Live MariaDB servers, each on a btrfs subvolume of its own behind an sshd of its own, are written to all the time. What is
compared is the largest gap between two commits of any writer, in turns within one run, medians of all rounds:

none         no backup at all: what the machine does by itself
floor        one local client a server: lock, snapshot, unlock, with everything opened before; no network, no proof
splitmirror  splitmirror-pre over SSH
script       the usual script: one ssh call a step (lock in the background, snapshot, unlock)

Targets: splitmirror within FLOOR_MS of the floor for one server, and less than EACH_MS more for each further one. Needs
root, sshd, mariadbd and btrfs-progs (see .ci/run), as the lab tests do. All of it runs on this one machine, so that many
servers compete for its cores: a separate machine for each would be kinder to every column but the first.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks"), str(ROOT / "drivers")]

from tests.lab.databases import MariaDB, eventually  # noqa: E402
from tests.lab.site import Site, mariadb, policy, site  # noqa: E402

FLOOR_MS = 10.0
EACH_MS = 3.0
PAUSE_SECONDS = 0.001
"""Between two inserts of a writer, so that eight of them leave the cores to what is measured."""
BACKUP = ("BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL")


@dataclass
class Load:
    """One writer: commits numbered rows, and knows the longest time between two commits since it was last asked."""

    server: MariaDB
    longest: float = 0.0
    commits: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        client = Client(self.server)
        last = time.monotonic()
        while not self._stop.wait(PAUSE_SECONDS):
            client.ask(f"insert into shop.rows(n) values (null)")  # noqa: F541
            now = time.monotonic()
            self.longest, last, self.commits = max(self.longest, now - last), now, self.commits + 1
        client.end()

    @contextmanager
    def working(self) -> Iterator[Load]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        eventually("commits", lambda: self.commits > 10)
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


class Client:
    """One open session that is asked one statement at a time."""

    def __init__(self, server: MariaDB) -> None:
        self._process = subprocess.Popen(
            server.client(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def send(self, *statements: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{one};\n" for one in statements) + "select 'done';\n")

    def wait(self) -> None:
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()) != "done\n":
            if not line:
                raise RuntimeError("a client ended")

    def ask(self, *statements: str) -> None:
        self.send(*statements)
        self.wait()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Bench:
    """The site, its servers and their writers."""

    here: Site
    servers: Sequence[MariaDB]
    loads: Sequence[Load]
    number: int = 0

    def gap_ms(self, work: Callable[[], None]) -> float:
        """The largest gap of any writer over `work` and a moment around it."""
        for load in self.loads:
            load.longest = 0.0
        work()
        commits = [load.commits for load in self.loads]
        eventually(
            "writers go on", lambda: all(one.commits > n + 5 for one, n in zip(self.loads, commits, strict=True))
        )
        return max(load.longest for load in self.loads) * 1000

    def subvolume(self, index: int) -> Path:
        return self.here.pool / f"my{index}"

    def none(self) -> None:
        time.sleep(1.0)

    def floor(self) -> None:
        """Everything is opened before; lock all, snapshot all, unlock all."""
        self.number += 1
        clients = [Client(server) for server in self.servers]
        for client in clients:
            client.ask(*BACKUP)
        for client in clients:
            client.send("BACKUP STAGE BLOCK_COMMIT")
        for client in clients:
            client.wait()
        copies = [self.here.pool / f"floor-{self.number}-{index}" for index in range(len(self.servers))]
        for index, copy in enumerate(copies):
            subprocess.run(
                ["btrfs", "-q", "subvolume", "snapshot", "-r", str(self.subvolume(index)), str(copy)], check=True
            )
        for client in clients:
            client.send("BACKUP STAGE END")
        for client in clients:
            client.wait()
            client.end()
        for copy in copies:
            subprocess.run(["btrfs", "-q", "subvolume", "delete", str(copy)], check=True)

    def splitmirror(self) -> None:
        self.number += 1
        self.here.run("pre", "--policy", "bench", "--job", str(self.number))
        self.here.run("post", "--policy", "bench", "--job", str(self.number), "--status", "good")

    def script(self) -> None:
        """As found on many sites: ssh for each step, server after server."""
        self.number += 1
        for index, server in enumerate(self.servers):
            fifo = self.here.folder / f"fifo-{self.number}-{index}"
            client = " ".join(server.client())
            lock = f"mkfifo {fifo}; nohup {client} <{fifo} >{fifo}.out 2>&1 & exec 3>{fifo}; "
            lock += "".join(f"echo '{one};' >&3; " for one in (*BACKUP, "BACKUP STAGE BLOCK_COMMIT"))
            lock += (
                f"echo 'select 1;' >&3; until [ -s {fifo}.out ]; do sleep 0.01; done; nohup sleep 60 >&3 2>/dev/null & "
            )
            self.ssh(index, lock + f"echo $! >{fifo}.pid")
        copies = [self.here.pool / f"script-{self.number}-{index}" for index in range(len(self.servers))]
        for index, copy in enumerate(copies):
            self.ssh(index, f"btrfs -q subvolume snapshot -r {self.subvolume(index)} {copy}")
        for index in range(len(self.servers)):
            self.ssh(index, f"kill $(cat {self.here.folder}/fifo-{self.number}-{index}.pid)")
        for copy in copies:
            subprocess.run(["btrfs", "-q", "subvolume", "delete", str(copy)], check=True)

    def ssh(self, index: int, line: str) -> None:
        server, lab = self.here.servers[f"db{index}"], self.here.lab
        words = ["ssh", "-n", "-i", str(lab.key), "-p", str(server.port), "-o", f"UserKnownHostsFile={lab.known_hosts}"]
        with tempfile.TemporaryFile() as out:  # a background process there keeps the channel's streams open
            subprocess.run(
                [*words, f"root@{server.address}", f"{{ {line} ; }} >/dev/null 2>&1"], check=True, stdout=out
            )


@contextmanager
def built(count: int) -> Iterator[Bench]:
    with site() as here, ExitStack() as stack:
        servers = []
        for index in range(count):
            here.data_server(f"db{index}")
            server = stack.enter_context(mariadb(here, f"my{index}", f"db{index}"))
            server.sql("alter table shop.rows modify n bigint auto_increment")
            servers.append(server)
        policy(here, "bench", [f"my{index}" for index in range(count)], max_freeze="10s")
        loads = [stack.enter_context(Load(server).working()) for server in servers]
        yield Bench(here, servers, loads)


def measured(count: int, rounds: int) -> dict[str, list[float]]:
    """Gaps in ms by variant, taken in turns."""
    gaps: dict[str, list[float]] = {"none": [], "floor": [], "splitmirror": [], "script": []}
    with built(count) as bench:
        bench.splitmirror()  # the first run puts the guard program in place
        for _ in range(rounds):
            for name, found in gaps.items():
                found.append(bench.gap_ms(getattr(bench, name)))
        told = bench.here.windows("bench")
    print(f"{count} data servers; the hook's own measure of its last window: {max(told.values()) * 1000:.1f} ms")
    for name, found in gaps.items():
        print(f"  {name:<12} median {statistics.median(found):7.1f} ms   min {min(found):7.1f}   max {max(found):7.1f}")
    return gaps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="1,2,4,8", help="how many data servers, one after another")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    over: dict[int, float] = {}
    for count in map(int, arguments.servers.split(",")):
        gaps = measured(count, arguments.rounds)
        over[count] = statistics.median(gaps["splitmirror"]) - statistics.median(gaps["floor"])
        print(f"  splitmirror over the floor: {over[count]:+.1f} ms", flush=True)
    first = min(over)
    is_met = over[first] <= FLOOR_MS
    for count, found in over.items():
        if count != first:
            each = (found - over[first]) / (count - first)
            is_met = is_met and each < EACH_MS
            print(f"each further data server over the floor, {first} to {count}: {each:+.2f} ms (target < {EACH_MS:g})")
    print(
        f"one data server over the floor: {over[first]:+.1f} ms (target <= {FLOOR_MS:g}): {'met' if is_met else 'MISSED'}"
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
