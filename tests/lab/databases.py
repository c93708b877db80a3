"""Real servers for lab tests, each on a folder of its own, run as its own account, and ended with the test.

PostgreSQL is made with ``initdb`` (checksums on), MariaDB with ``mariadb-install-db``. A `Writer` inserts numbered rows, each
committed by itself, and notes when the server said so: what a copy must hold, and how long writers waited.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.need import find

PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A folder that servers of other accounts may pass through, with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sm-lab-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_account(account: str, *argv: str) -> list[str]:
    """`argv` run as `account`, without PAM and without a login shell."""
    return ["setpriv", "--reuid", account, "--regid", account, "--init-groups", "--", *argv]


def own_folder(path: Path, account: str) -> Path:
    """An empty folder of that account alone."""
    path.mkdir(mode=0o700, parents=True)
    shutil.chown(path, account, account)
    return path


def eventually(what: str, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds; the wait is polling, its end is a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


@dataclass
class Server:
    """One server on `data`; its socket and log lie in `run`. Subclasses know how it is started and asked."""

    data: Path
    run: Path
    settings: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    account = ""
    stop_signal = signal.SIGTERM

    @property
    def log(self) -> Path:
        return self.run / f"log-{self.port}"

    def argv(self) -> list[str]:
        raise NotImplementedError

    def client(self, *more: str) -> list[str]:
        """A client that reads statements from its standard input and answers bare rows at once."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError with its log when it ends instead."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                as_account(self.account, *self.argv()),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(f"{self.data} answers", self._answers_or_ended)
        if self.process.poll() is not None:
            raise AssertionError(f"the server on {self.data} ended:\n{self.said()[-3000:]}")

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or self.try_sql("select 1").returncode == 0

    def try_sql(self, sql: str) -> subprocess.CompletedProcess[str]:
        """Run statements in a client of their own, whatever comes of it."""
        return subprocess.run(self.client(), input=sql, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    def sql(self, sql: str) -> str:
        """What statements answer, rows by line. Raises AssertionError when one fails."""
        done = self.try_sql(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def begin(self, sql: str) -> subprocess.Popen[str]:
        """A client that has been sent `sql` and is left running."""
        client = subprocess.Popen(
            self.client(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert client.stdin is not None
        client.stdin.write(sql + "\n")
        client.stdin.flush()
        return client

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, number: signal.Signals | None = None) -> None:
        """End it in good order (or as `number` says); safe when it has ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number or self.stop_signal)
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Started for the block, ended after it."""
        self.start()
        try:
            yield
        finally:
            self.stop()


class PostgreSQL(Server):
    """PostgreSQL; peer logins through a socket in `run`, passwords over TCP."""

    account = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown

    @staticmethod
    def program(name: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else find(name) or name

    @classmethod
    def make(cls, data: Path, run: Path, *settings: str, initdb: Sequence[str] = ()) -> PostgreSQL:
        """A new cluster on `data`, not started. `settings` are ``name=value``."""
        own_folder(data, cls.account)
        subprocess.run(
            as_account(cls.account, cls.program("initdb"), "-D", str(data), "-A", "trust", "-N", "-k", *initdb),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        (data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        return cls(data, run, settings)

    def argv(self) -> list[str]:
        given = [word for setting in self.settings for word in ("-c", setting)]
        where = ["-p", str(self.port), "-k", str(self.run), "-c", "listen_addresses=127.0.0.1"]
        return [self.program("postgres"), "-D", str(self.data), *where, *given]

    def client(self, *more: str) -> list[str]:
        psql = [
            self.program("psql"),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            "postgres",
        ]
        return as_account(self.account, *psql, "-h", str(self.run), "-p", str(self.port), *more)


class MariaDB(Server):
    """MariaDB with a binary log; root without a password through a socket in `run`."""

    account = "mysql"
    small = ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M")

    @property
    def socket(self) -> Path:
        return self.run / f"s-{self.port}"

    @classmethod
    def make(cls, data: Path, run: Path, *settings: str) -> MariaDB:
        """A new data folder, not started. `settings` are options of the server."""
        own_folder(data, cls.account)
        install = ["mariadb-install-db", "--no-defaults", f"--user={cls.account}", f"--datadir={data}"]
        auth = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(
            [*install, *auth, *cls.small], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        return cls(data, run, settings or ("--log-bin=binlog", "--server-id=1"))

    def argv(self) -> list[str]:
        where = [f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1"]
        given = [f"--pid-file={self.run}/pid-{self.port}", *self.small, *self.settings]
        return [find("mariadbd") or "mariadbd", "--no-defaults", *where, *given]

    def client(self, *more: str) -> list[str]:
        given = ["--no-defaults", "-N", "-B", "--unbuffered", "-uroot", f"--socket={self.socket}"]
        return ["mariadb", *given, *more]


@dataclass(frozen=True, slots=True)
class Commit:
    """One row: its number, and when the server had said that it is committed."""

    at: float
    number: int


class Writer:
    """Inserts 1, 2, 3 … one by one into ``rows(n)`` as fast as the server commits, until it is stopped."""

    def __init__(self, server: Server, table: str = "rows") -> None:
        self.commits: list[Commit] = []
        self.failure = ""
        self._client = server.begin("")
        self._table = table
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> Writer:
        """Begin; returns once the first rows are committed."""
        self._thread.start()
        eventually("first rows", lambda: len(self.commits) > 5 or bool(self.failure))
        assert not self.failure, self.failure
        return self

    def _write(self) -> None:
        assert self._client.stdin is not None and self._client.stdout is not None and self._client.stderr is not None
        number = 0
        while not self._is_ending.is_set():
            number += 1
            try:
                self._client.stdin.write(f"insert into {self._table}(n) values ({number}); select {number};\n")
                self._client.stdin.flush()
                answer = self._client.stdout.readline()
            except OSError as exc:
                answer = str(exc)
            if answer != f"{number}\n":
                self.failure = f"{answer!r}: {self._client.stderr.read()}"
                return
            self.commits.append(Commit(time.monotonic(), number))

    def wait_for_more(self, rows: int = 20) -> None:
        """Wait until that many more rows are committed."""
        wanted = len(self.commits) + rows
        eventually("more rows", lambda: len(self.commits) >= wanted or bool(self.failure))
        assert not self.failure, self.failure

    @property
    def last(self) -> int:
        """The number of the last row that is known to be committed."""
        return self.commits[-1].number if self.commits else 0

    def longest_gap(self, since: float = 0.0) -> float:
        """The longest time between two commits, the time since the last one included, in seconds."""
        times = [c.at for c in list(self.commits) if c.at >= since] + (
            [] if self._is_ending.is_set() else [time.monotonic()]
        )
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def stop(self) -> None:
        """End it after the row it is at."""
        self._is_ending.set()
        self._thread.join(PATIENCE_SECONDS)
        self._client.kill()
        self._client.communicate()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Started for the block, ended after it."""
        try:
            yield self.start()
        finally:
            self.stop()
