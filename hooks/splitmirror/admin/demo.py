"""`splitmirror demo`: the main job on this machine, with no root, no server and no array.

A writer keeps inserting into an SQLite database; the hooks run as a backup product would run them, `tar` copies the
mirror, post reattaches; a second round is incremental. Then the copy is taken out of the tar, opened and checked.
Nothing but the report is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Fault, UsageFault

SUMMARY = "the main job on this machine, with nothing but Python"
HOOK_SECONDS = 120.0
PAYLOAD_MIB = 24
ROWS_BEFORE = 50
"""The writer has committed this much before the first backup begins."""
ROWS_SECONDS = 30.0
CLEAN_SECONDS = 10.0

POLICY = """\
# The policy of the demo: one SQLite database, mirrored by the directory array, no root needed.

[settings]
state  = "{root}/state"
syslog = false

[hosts.local]
transport = "local"
guard-dir = "{root}/guard"

[arrays.tree]
driver = "directory"
[arrays.tree.groups.shop]
source = "{root}/data"
mirror = "{root}/mirror"

[applications.shop]
driver    = "sqlite"
databases = ["{root}/data/shop.db"]
client    = {client}

[policies.shop]
applications = ["shop"]
mirrors      = [{{ array = "tree", groups = ["shop"] }}]
present      = [{{ directory = "{root}/backup" }}]
max-freeze   = "10s"
reattach     = "after-backup"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--report", default="", metavar="FILE", help="where the report goes (default: standard output only)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the demo's folder for a look")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="how many backups (default 2)")
    parser.add_argument("--sqlite-client", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """0 when every copy opened and held every row committed before its backup began."""
    if arguments.sqlite_client:
        return sqlite_client(arguments.sqlite_client)
    if arguments.rounds < 1:
        raise UsageFault("a demo has one round at least")
    root = Path(tempfile.mkdtemp(prefix="splitmirror-demo-")).resolve()
    demo = Demo(root)
    try:
        demo.prepare()
        with demo.writing():
            for number in range(1, arguments.rounds + 1):
                demo.round(number)
        is_good = demo.verify()
    finally:
        if not arguments.keep:
            clean(root)
    if arguments.keep:
        demo.say(f"everything is in {root}")
    if arguments.report:
        Path(arguments.report).write_text("\n".join(demo.said) + "\n", encoding="utf-8")
    return 0 if is_good else 1


def sqlite_client(words: list[str]) -> int:
    """What the demo's policy names as client where there is no Python to name: our own executable, called like one."""
    from splitmirror_drivers.applications import sqlite_client as client

    return int(client.main(words))  # type: ignore[no-untyped-call]


def clean(root: Path) -> None:
    """Remove the demo's folder, also when a demo that failed left a process copying in it."""
    deadline = Deadline.after(CLEAN_SECONDS)
    while True:
        try:
            shutil.rmtree(root)
        except OSError:
            if deadline.is_passed:
                raise
            time.sleep(0.1)
        else:
            return


@dataclass
class Writer:
    """Inserts one row after the other and measures the longest wait between two commits, in seconds."""

    database: Path
    rows: int = 0
    longest: float = 0.0
    failure: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to insert."""
        self._thread = threading.Thread(target=self._insert, daemon=True)
        self._thread.start()

    def await_rows(self, rows: int) -> None:
        """Return when `rows` rows are committed."""
        deadline = Deadline.after(ROWS_SECONDS)
        while self.rows < rows and not self.failure:
            if deadline.is_passed:
                raise Fault(f"the demo's writer has committed only {self.rows} rows in {ROWS_SECONDS:.0f} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop inserting; raises what stopped it before."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self.failure:
            raise Fault(f"the demo's writer failed: {self.failure}")

    def _insert(self) -> None:
        connection = sqlite3.connect(self.database, timeout=30, isolation_level=None)
        last = time.monotonic()
        try:
            while not self._stop.wait(0.002):
                connection.execute("insert into sale(at) values (?)", (time.time(),))
                now = time.monotonic()
                self.rows, self.longest, last = self.rows + 1, max(self.longest, now - last), now
        except sqlite3.Error as exc:
            self.failure = str(exc)
        finally:
            connection.close()


class _Writing:
    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __enter__(self) -> None:
        self.writer.start()

    def __exit__(self, *exc: object) -> None:
        self.writer.stop()


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "splitmirror.toml"
        self.database = root / "data" / "shop.db"
        self.writer = Writer(self.database)
        self.said: list[str] = []
        self.rows_before: list[int] = []

    def say(self, text: str) -> None:
        """One line of the report."""
        self.said.append(text)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def writing(self) -> _Writing:
        """The writer at work for the time of a block."""
        return _Writing(self.writer)

    def prepare(self) -> None:
        """A database with some weight, a policy, and the first (full) establish."""
        (self.root / "data").mkdir()
        (self.root / "data" / "catalogue.bin").write_bytes(os.urandom(2**20) * PAYLOAD_MIB)
        connection = sqlite3.connect(self.database)
        connection.executescript("pragma journal_mode=wal; create table sale(id integer primary key, at real);")
        connection.close()
        self.config.write_text(POLICY.format(root=self.root, client=json.dumps(client_words())), encoding="utf-8")
        self.say("splitmirror demo: a writer inserts into SQLite while two backups are taken from its split mirror")
        self.hook("", "establish", "--full", "shop")
        self.say(f"mirror established: {PAYLOAD_MIB} MiB and the database")

    def round(self, number: int) -> None:
        """One backup: pre, tar of the mirror, post."""
        self.writer.await_rows(self.writer.rows + ROWS_BEFORE)
        self.writer.longest = 0.0
        self.rows_before.append(self.writer.rows)
        began = time.monotonic()
        before = self.hook("pre", "--policy", "shop", "--job", str(number))
        took = time.monotonic() - began
        longest = self.writer.longest
        copied, under_freeze = self.copied()
        with tarfile.open(self.root / f"backup-{number}.tar", "w") as tar:
            tar.add(self.root / "backup", "backup")
            tar.add(self.root / "backup.card", "backup.card")
        self.hook("post", "--policy", "shop", "--job", str(number), "--status", "good")
        self.say(f"round {number}: {before.stdout.strip().splitlines()[-1]}")
        self.say(
            f"         pre took {took:.2f} s; the writer waited {longest * 1000:.0f} ms at the longest; backed up by tar"
        )
        self.say(
            f"         {'copied in all' if number == 1 else 'copied since round ' + str(number - 1)}: {copied / 1024:.0f} KiB "
            f"while the writer ran, {under_freeze / 1024:.0f} KiB under the freeze"
        )
        if (self.root / "backup").exists() or (self.root / "backup.card").exists():
            raise Fault("the copy is still presented after post")

    def copied(self) -> tuple[int, int]:
        """Bytes written to the mirror by the last establish and by the split, as the array wrote them down."""
        state = json.loads((self.root / "mirror.state.json").read_text(encoding="utf-8"))
        return int(state["establish"]["written_bytes"]), int(state["last"]["written_bytes"])

    def verify(self) -> bool:
        """Take each copy out of its tar, open it, check it, count its rows; and show the timeline of the last run."""
        self.hook("", "establish", "shop")  # waits for what the last post has started
        self.say(self.hook("", "history").stdout.rstrip())
        runs = json.loads(self.hook("", "history", "--json").stdout)["runs"]
        last = next(str(one["run"]) for one in runs if one["verdict"])
        self.say(f"\n{self.hook('', 'show', last).stdout.rstrip()}\n")
        is_good = True
        for number, least in enumerate(self.rows_before, 1):
            folder = self.root / f"restored-{number}"
            with tarfile.open(self.root / f"backup-{number}.tar") as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # as far as this Python has it
                tar.extractall(folder)  # noqa: S202 - we have just made it
            connection = sqlite3.connect(folder / "backup" / "shop.db")
            (state,) = connection.execute("pragma integrity_check").fetchone()
            rows, last = connection.execute("select count(*), max(id) from sale").fetchone()
            connection.close()
            has_card = (folder / "backup.card" / "RECOVERY.md").is_file()
            good = state == "ok" and rows == last and rows >= least and has_card
            is_good = is_good and good
            self.say(
                f"copy {number} from the tar: {'good' if good else 'BAD'}: integrity {state}, {rows} rows, "
                f"at least {least} were committed before pre began; recovery card {'there' if has_card else 'MISSING'}"
            )
        self.say(f"rows written in all: {self.writer.rows}; {'the demo succeeded' if is_good else 'THE DEMO FAILED'}")
        return is_good

    def hook(self, name: str, *arguments: str) -> Completed:
        """Run one of our own executables as the product would: its own process, configuration from the environment."""
        environment = {"SPLITMIRROR_CONFIG": str(self.config)}
        done = command.run(
            Command((*executable(name), *arguments), environment=environment), Deadline.after(HOOK_SECONDS)
        )
        if done.exit_code != 0:
            raise CommandFailed(f"splitmirror {name or arguments[0]} failed in the demo", detail=done.tail(40))
        return done


def executable(name: str) -> tuple[str, ...]:
    """How this installation runs ``splitmirror`` ("") or one of its hooks ("pre", "post")."""
    if getattr(sys, "frozen", False):
        suffix = f"-{name}" if name else ""
        return (str(Path(sys.executable).with_name(f"splitmirror{suffix}")),)
    return (sys.executable, "-m", f"splitmirror.{name or 'admin'}")


def client_words() -> list[str]:
    """The command of the SQLite client: the Python that runs this, or our own executable where there is none."""
    return [*executable(""), "demo", "--sqlite-client"] if getattr(sys, "frozen", False) else [sys.executable]
