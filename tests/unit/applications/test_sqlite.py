"""SQLite held by a real guard: writers wait, readers go on, every copy made meanwhile is whole."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.lab.guarded import guarded, local_host
from tests.unit.arrays.trees import establish, mirror_of, split

from splitmirror_drivers.applications import sqlite_client
from splitmirror_drivers.applications.sqlite import MOST_IN_ONE_HOLD, Options, SQLite, client_code, parse_database, uri
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Mode
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Kept, Verb
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Fault, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.units import Duration

PATIENCE_SECONDS = 30.0
CLIENTS = {"python": (sys.executable,), "shell": ("sqlite3",), "found": ()}
ODD_NAMES = ("plain.db", "two words.db", "it's.db", 'a "quote".db', "50%.db", "what?.db", "a#b.db", "ü.db", "-n.db")


def soon(seconds: float = PATIENCE_SECONDS) -> Deadline:
    return Deadline.after(seconds)


def make(path: Path, mode: str = "wal") -> Path:
    """A database with one table and one row."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"pragma journal_mode={mode}; create table t(id integer primary key, at real);")
        connection.execute("insert into t(at) values (0)")
        connection.commit()
    return path


def application(
    folder: Path, *databases: Path, client: tuple[str, ...] = (sys.executable,), **options: object
) -> SQLite:
    if client == ("sqlite3",) and shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 shell is not installed")
    made = Options(databases=tuple(map(str, databases)), client=client, **options)  # type: ignore[arg-type]
    return SQLite("shop", made, local_host(folder))


@pytest.fixture(params=["wal", "delete", "truncate"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return make(tmp_path / "data" / "shop.db", request.param)


def can_write(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("insert into t(at) values (1)")
        except sqlite3.OperationalError as exc:
            assert "locked" in str(exc)
            return False
    return True


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select count(*) from t").fetchone()[0])


# -- the hold --


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_writers_wait_and_readers_go_on_while_it_is_held(
    tmp_path: Path, database: Path, client: tuple[str, ...]
) -> None:
    with guarded(application(tmp_path, database, client=client)) as it:
        assert can_write(database)
        it.hold()
        assert not can_write(database)
        assert rows(database) == 2
        assert int(it.held["pages"]) >= 2
        assert it.let_go().kept is Kept.WAS_HELD
        assert can_write(database)
        it.bye()


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh", "mksh"])
@pytest.mark.parametrize("client", [CLIENTS["python"], CLIENTS["found"]], ids=["python", "found"])
def test_every_shell_of_a_data_server_holds_it(tmp_path: Path, client: tuple[str, ...], shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell.split()[0]} is not installed")
    path, other = make(tmp_path / "it's one.db"), make(tmp_path / "other.db", "delete")
    app = application(tmp_path, path, other, client=client)
    app.host = local_host(tmp_path, shell)
    with guarded(app) as it:
        it.hold()
        assert not can_write(path)
        assert not can_write(other)
        assert it.let_go().kept is Kept.WAS_HELD
        assert can_write(path)
        it.bye()


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_many_databases_with_odd_names_are_held_together(tmp_path: Path, client: tuple[str, ...]) -> None:
    paths = [make(tmp_path / name, "wal" if number % 2 else "delete") for number, name in enumerate(ODD_NAMES)]
    with guarded(application(tmp_path, *paths, client=client)) as it:
        it.hold()
        assert [can_write(path) for path in paths] == [False] * len(paths)
        assert len(it.held["pages"].split()) == len(paths)
        assert it.let_go().kept is Kept.WAS_HELD
        assert all(can_write(path) for path in paths)
        it.bye()


def test_more_databases_than_one_client_may_attach_are_held_by_several(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{number}.db") for number in range(MOST_IN_ONE_HOLD + 2)]
    with guarded(application(tmp_path, *paths)) as it:
        assert [hold.name for hold in it.holds] == ["shop", "shop.2"]
        assert len({hold.claim for hold in it.holds}) == 2
        for hold in it.holds:
            it.guard.send(f"hold {hold.name} 10")
            it.expect("held", hold.name)
        assert not any(can_write(path) for path in paths)
        it.guard.send("release")
        assert {it.expect("released").kept for _ in it.holds} == {Kept.WAS_HELD}
        assert all(can_write(path) for path in paths)
        it.bye()


def test_it_blocks_writes_and_ends_with_its_client(tmp_path: Path, database: Path) -> None:
    app = application(tmp_path, database, wait=Duration(7))
    app.host.families(app.families)
    (hold,) = app.holds(app.check(soon()))
    assert (hold.blocks, hold.ends_with, hold.enter_seconds) == (Blocks.WRITES, EndsWith.SESSION, 7.0)
    assert hold.tolerates_spread
    assert not hold.survives_restart


def test_a_writer_that_does_not_end_makes_the_hold_fail_in_its_time(tmp_path: Path, database: Path) -> None:
    with guarded(application(tmp_path, database, wait=Duration(2))) as it, closing(sqlite3.connect(database)) as writer:
        writer.execute("begin immediate")
        began = time.monotonic()
        it.ask_to_hold()
        assert it.expect("failed", "shop").words[:1] == ("enter",)
        assert time.monotonic() - began < 8.0
        assert any("locked" in message.said for message in it.messages if message.kind == "say")
        writer.rollback()
        assert can_write(database)


def test_a_writer_that_ends_in_time_is_waited_for(tmp_path: Path, database: Path) -> None:
    with guarded(application(tmp_path, database)) as it, closing(sqlite3.connect(database)) as writer:
        writer.execute("begin immediate")
        it.ask_to_hold()
        writer.execute("insert into t(at) values (2)")
        writer.commit()
        it.expect("held", "shop")
        assert rows(database) == 2
        assert it.let_go().kept is Kept.WAS_HELD
        it.bye()


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_a_client_that_was_killed_has_not_held(tmp_path: Path, database: Path, client: tuple[str, ...]) -> None:
    with guarded(application(tmp_path, database, client=client)) as it:
        it.hold()
        kill(it.client())
        until("the lock is free", lambda: can_write(database))
        assert it.let_go().kept is Kept.WAS_NOT_HELD
        it.bye()


def test_a_guard_that_loses_its_hook_lets_go(tmp_path: Path, database: Path) -> None:
    with guarded(application(tmp_path, database)) as it:
        it.hold()
        it.guard.close()
        until("the lock is free", lambda: can_write(database))


def kill(pid: int) -> None:
    import os

    os.kill(pid, signal.SIGKILL)


def until(what: str, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        threading.Event().wait(0.01)


def test_warming_empties_the_log_and_a_long_reader_costs_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as app:
        app.executemany("insert into t(at) values (?)", [(number,) for number in range(500)])
        log = path.with_name("shop.db-wal")
        assert log.stat().st_size > 0
        with guarded(application(tmp_path, path)) as it:
            assert log.stat().st_size == 0
            it.bye()
        app.execute("insert into t(at) values (1)")
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select * from t").fetchone()
            app.execute("insert into t(at) values (1)")
            with guarded(application(tmp_path, path)) as it:
                it.hold()
                assert it.let_go().kept is Kept.WAS_HELD
                it.bye()


# -- the copies --


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    (last,) = connection.execute("insert into t(at) values (?) returning id", (time.time(),)).fetchone()
    print(last, flush=True)
"""


class Writer:
    """A process that inserts without a pause, and tells each row that it has committed."""

    def __init__(self, path: Path) -> None:
        argv = [sys.executable, "-c", WRITER, str(path)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.committed = 0
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.committed = int(line)

    def more(self) -> None:
        """Wait for some more rows."""
        least = self.committed
        until("some more rows", lambda: self.committed > least + 20)

    def end(self) -> None:
        assert self.process.poll() is None, "the writer failed"
        self.process.kill()
        self.process.wait()
        self.listener.join()
        if self.process.stdout:
            self.process.stdout.close()


def test_every_copy_taken_under_the_hold_is_whole_and_has_every_row_committed_before(
    tmp_path: Path, database: Path
) -> None:
    database.parent.rename(tmp_path / "source")
    path = tmp_path / "source" / database.name
    array, writer = mirror_of(tmp_path), Writer(path)
    try:
        establish(array, Mode.FULL)
        for number in range(4):
            writer.more()
            establish(array)
            before = writer.committed
            with guarded(application(tmp_path / f"guard-{number}", path)) as it:
                it.hold()
                committed = rows(path)
                split(array, f"run-{number}")
                assert rows(path) == committed
                assert it.let_go().kept is Kept.WAS_HELD
                it.bye()
            copy = tmp_path / f"copy-{number}"
            shutil.copytree(tmp_path / "mirror", copy)
            assert_whole(copy / path.name, committed)
            assert before <= committed
            writer.more()
    finally:
        writer.end()


def assert_whole(path: Path, committed: int) -> None:
    """Opens, is sound, and has exactly the rows from the first to the last one that was committed."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        assert connection.execute("select count(*), max(id) from t").fetchone() == (committed, committed)


APP = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma wal_autocheckpoint = 0")
for line in sys.stdin:
    if line.startswith("fill"):
        connection.executemany("insert into t(at) values (?)", [(number,) for number in range(2000)])
        print("filled", flush=True)
    else:
        print(*connection.execute("pragma wal_checkpoint(passive)").fetchone(), flush=True)
"""


def test_a_checkpoint_under_the_hold_does_not_spoil_the_copy(tmp_path: Path) -> None:
    """A passive checkpoint needs no lock that we hold: it moves pages to the database file while we copy."""
    (tmp_path / "source").mkdir()
    path = make(tmp_path / "source" / "shop.db")
    array = mirror_of(tmp_path)
    argv = [sys.executable, "-c", APP, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdin
        assert app.stdout
        establish(array, Mode.FULL)
        with guarded(application(tmp_path / "guard", path)) as it:
            app.stdin.write("fill\n")
            app.stdin.flush()
            assert app.stdout.readline() == "filled\n"
            it.hold()
            app.stdin.write("checkpoint\n")
            app.stdin.flush()
            assert int(app.stdout.readline().split()[2]) > 0
            split(array)
            assert it.let_go().kept is Kept.WAS_HELD
            it.bye()
        app.stdin.close()
        app.wait()
        assert_whole(tmp_path / "mirror" / "shop.db", 2001)


# -- check --


def checked(app: SQLite) -> object:
    app.host.families(app.families)
    return app.check(soon())


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_check_tells_files_mode_and_version(tmp_path: Path, database: Path, client: tuple[str, ...]) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    app = application(tmp_path, link, client=client)
    app.host.families(app.families)
    facts = app.check(soon())
    assert facts.files == (str(database.parent), str(database))
    assert facts.version.startswith("3.")
    assert facts.needs_atomic == ""
    assert facts.values["databases"] == str(database)
    assert facts == app.check(soon())


def test_check_changes_nothing(tmp_path: Path, database: Path) -> None:
    with closing(sqlite3.connect(database)) as app:
        app.execute("insert into t(at) values (5)")
        app.commit()
        before = sums(database.parent)
        checked(application(tmp_path, database))
        assert sums(database.parent) == before


def sums(folder: Path) -> str:
    """Read by another process: closing a file here would drop the locks that SQLite has on it in this one."""
    paths = sorted(str(path) for path in folder.iterdir() if not path.name.endswith("-shm"))
    return subprocess.run(["cksum", *paths], capture_output=True, text=True, check=True).stdout


def test_a_missing_database_is_refused_and_not_made(tmp_path: Path, database: Path) -> None:
    with pytest.raises(Refused, match=r"none\.db does not exist"):
        checked(application(tmp_path, database, database.with_name("none.db")))
    assert not database.with_name("none.db").exists()


@pytest.mark.parametrize("content", [b"", b"SQLite format 2", b"PK\x03\x04" + bytes(4096)])
def test_what_is_not_sqlite_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(Refused, match="is not an SQLite database"):
        checked(application(tmp_path, tmp_path / "x.db"))


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_a_damaged_database_is_refused(tmp_path: Path, client: tuple[str, ...]) -> None:
    path = make(tmp_path / "x.db", "delete")
    path.write_bytes(path.read_bytes()[:16] + b"\xff" * 4080)
    with pytest.raises(Refused, match="cannot be locked for writing"):
        checked(application(tmp_path, path, client=client))


def test_a_database_that_lets_nobody_in_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.db", "delete")
    with closing(sqlite3.connect(path)) as app:
        app.execute("pragma locking_mode = exclusive")
        app.execute("insert into t(at) values (1)")
        app.commit()
        with pytest.raises(Refused, match="locked") as caught:
            checked(application(tmp_path, path))
    assert "exclusive" in caught.value.hint


def test_a_client_that_cannot_be_started_is_told(tmp_path: Path, database: Path) -> None:
    with pytest.raises((Refused, CommandFailed)) as caught:
        checked(application(tmp_path, database, client=("/nonexistent/python3",)))
    assert "/nonexistent/python3" in caught.value.full()


class OnNfs(LocalHost):
    """This machine, as if its files came over the network."""

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        answer = super().call(verb, deadline)
        if verb.name == "host.coverage":
            kinds = ["\t".join([*line.split("\t")[:3], "nfs4"]) for line in answer.lines("covers")]
            return Answer({**answer.facts, "covers": "\n".join(kinds)}, answer.exit_code, answer.said)
        return answer


def test_a_network_filesystem_is_refused(tmp_path: Path, database: Path) -> None:
    app = application(tmp_path, database)
    app.host = OnNfs("db1", app.host._options)  # type: ignore[attr-defined]
    with pytest.raises(Refused, match=r"network filesystem \(nfs4\)"):
        checked(app)


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"mode": "wal", "pages": "many", "version": "3"}, UnknownAnswer),
        ({"mode": "", "pages": "3", "version": "3"}, UnknownAnswer),
        ({}, UnknownAnswer),
        ({"missing": "/x"}, Refused),
        ({"refused": "Error: database is locked"}, Refused),
    ],
)
def test_an_answer_that_is_not_understood_is_an_error(facts: dict[str, str], fault: type[Fault]) -> None:
    with pytest.raises(fault):
        parse_database("shop", "/x", Answer(facts, 0, ""))


@pytest.mark.parametrize("databases", [(), ("relative.db",)])
def test_a_policy_without_a_database_is_refused(tmp_path: Path, databases: tuple[str, ...]) -> None:
    with pytest.raises(PolicyFault):
        SQLite("shop", Options(databases=databases), local_host(tmp_path))


# -- the rest --


def test_the_card_says_how_to_recover(tmp_path: Path, database: Path) -> None:
    captured = application(tmp_path, database).capture({"pages": "2"}, Verdict.APPLICATION, soon())
    assert str(database) in " ".join(captured.steps)
    assert "integrity_check" in " ".join(captured.steps)
    assert captured.needs_logs == ""


def test_the_clients_program_is_one_line_that_any_python_runs() -> None:
    code = client_code()
    assert "\n" not in code
    compile(code, "argument", "exec")


def test_a_uri_has_nothing_that_needs_quoting() -> None:
    assert uri("/a b/c'd?e#f%g.db") == "file:/a%20b/c%27d%3Fe%23f%25g.db?mode=rw"


def test_the_client_ends_at_its_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    path = make(tmp_path / "x.db")
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 1, null, 'a';\nrollback;\nselect 'never';\n"))
    assert sqlite_client.main(["-c", uri(str(path))]) == 1  # type: ignore[no-untyped-call]
    said = capsys.readouterr()
    assert said.out == "1||a\n"
    assert "no transaction" in said.err
