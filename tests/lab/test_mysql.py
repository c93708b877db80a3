"""MariaDB held by the real guard over a snapshot of one moment, recovered by the card's own lines; and what goes wrong."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.lab.databases import MariaDB, Writer, eventually, own_folder, room
from tests.lab.disks import btrfs, snapshot, subvolume
from tests.lab.guarded import Guarded, guarded, local_host
from tests.lab.need import need

from splitmirror_drivers.applications.mysql import MySQL, Options
from splitmirror_drivers.contracts.application import Captured, Verdict
from splitmirror_drivers.contracts.host import Kept
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, ForeignHold, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration

pytestmark = pytest.mark.lab

PASSWORD = "Kn0wn-to-n0body"
GRANTS = Path(__file__).parents[2] / "docs/applications/mysql.md"


@dataclass
class Shop:
    """One MariaDB on a btrfs subvolume, and folders for its copies."""

    folder: Path
    server: MariaDB
    _number: Iterator[int] = field(default_factory=itertools.count)

    def app(self, **options: object) -> MySQL:
        given = {"address": str(self.server.socket), "user": "root"} | options
        return MySQL("shop", Options(**given), local_host(self.folder))  # type: ignore[arg-type]

    def new(self, kind: str) -> Path:
        return self.folder / f"{kind}{next(self._number)}"

    def copy(self) -> Path:
        """A snapshot of everything the server has; the data folder in it."""
        copy = self.folder / "disk" / f"copy{next(self._number)}"
        snapshot(self.server.data.parent, copy)
        return copy / self.server.data.name


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    need("mariadbd", "mariadb", "mariadb-install-db", "mariadb-binlog", "mkfs.btrfs", "setpriv", loop=True)
    with room() as folder, btrfs(folder / "disk") as disk:
        subvolume(disk / "live")
        server = MariaDB.make(disk / "live" / "data", own_folder(folder / "run", "mysql"))
        with server.running():
            server.sql("create database lab; create table lab.rows(n int primary key) engine=innodb;")
            server.sql(
                "create table lab.loose(n int primary key) engine=myisam; create table lab.aria(n int primary key) engine=aria;"
            )
            yield Shop(folder, server)


@pytest.fixture
def writer(shop: Shop) -> Iterator[Writer]:
    shop.server.sql("truncate lab.rows; truncate lab.loose; truncate lab.aria")
    with Writer(shop.server, "lab.rows").writing() as it:
        yield it


def restored(copy: Path, captured: Captured, server: MariaDB, to: Path) -> MariaDB:
    """A second server on `to`, made by the card's own command lines."""
    own_folder(to, "mysql")
    lines = [line for step in captured.steps for line in re.findall(r"`(cp [^`]*|rm [^`]*)`", step)]
    assert lines, captured.steps
    for line in lines:
        command = line.replace("COPY", str(copy)).replace(str(server.data), str(to))
        subprocess.run(["sh", "-ec", command], check=True)
    return MariaDB(to, server.run, server.settings)


def numbers(server: MariaDB, table: str = "rows") -> tuple[int, int]:
    """How many rows, and the highest."""
    count, highest = server.sql(f"select count(*), coalesce(max(n), 0) from lab.{table}").split("\t")
    return int(count), int(highest)


# ---- the promise: what the copy holds ----


@pytest.mark.parametrize("mode", ["backup-lock", "read-lock"])
def test_the_copy_holds_exactly_what_was_committed_when_it_was_held(mode: str, shop: Shop, writer: Writer) -> None:
    loose, aria = Writer(shop.server, "lab.loose"), Writer(shop.server, "lab.aria")
    with loose.writing(), aria.writing(), guarded(shop.app(mode=mode)) as it:
        began = time.monotonic()
        it.hold()
        at_hold = [numbers(shop.server, table) for table in ("rows", "loose", "aria")]
        copy = shop.copy()
        assert [numbers(shop.server, table) for table in ("rows", "loose", "aria")] == at_hold
        assert it.let_go().kept is Kept.WAS_HELD
        window = time.monotonic() - began
        for one in (writer, loose, aria):
            one.wait_for_more()
        assert writer.longest_gap(began) < window + 1.0
        captured = it.capture()
        it.bye()
    second = restored(copy, captured, shop.server, shop.new("restored"))
    with second.running():
        assert [numbers(second, table) for table in ("rows", "loose", "aria")] == at_hold
        assert at_hold[0] == (at_hold[0][1],) * 2, "no row is missing before the last"
        checked = second.sql("check table lab.rows, lab.loose, lab.aria")
        assert [line.split("\t")[-1] for line in checked.splitlines()] == ["OK"] * 3
        roll_forward(shop.server, second, captured)
        assert numbers(second)[0] > at_hold[0][0]
        writer.stop()
        roll_forward_again = numbers(shop.server)
        assert numbers(second)[1] <= roll_forward_again[1]


def roll_forward(live: MariaDB, second: MariaDB, captured: Captured) -> None:
    """Apply what the live server wrote since, from the position the card names."""
    binlog = live.data / captured.facts["binlog-file"]
    position = captured.facts["binlog-position"]
    written = subprocess.run(
        ["mariadb-binlog", f"--start-position={position}", str(binlog)], check=True, capture_output=True, text=True
    )
    applied = second.try_sql(written.stdout)
    assert applied.returncode == 0, f"a row was applied twice or missing: {applied.stderr}"


def test_an_atomic_split_without_any_lock_recovers_every_committed_row(shop: Shop, writer: Writer) -> None:
    app = shop.app(mode="atomic")
    app.host.families(app.families)
    facts = app.check(Deadline.after(30))
    assert app.holds(facts) == ()
    assert facts.needs_atomic
    before = writer.last
    copy = shop.copy()
    captured = app.capture({}, Verdict.CRASH, Deadline.after(30))
    second = restored(copy, captured, shop.server, shop.new("restored"))
    with second.running():
        count, highest = numbers(second)
        assert count == highest >= before


def test_nothing_is_left_prepared_in_a_copy_made_under_the_lock(shop: Shop, writer: Writer) -> None:
    """What was committed last is flushed under the lock: the copy starts even where its binary log was lost."""
    with guarded(shop.app()) as it:
        it.hold()
        at_hold = numbers(shop.server)
        copy = shop.copy()
        assert it.let_go().kept is Kept.WAS_HELD
        captured = it.capture()
        it.bye()
    second = restored(copy, captured, shop.server, shop.new("restored"))
    second.settings = ("--skip-log-bin",)
    with second.running():
        assert numbers(second) == at_hold


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh", "mksh"])
def test_every_shell_of_a_data_server_can_hold_it(shell: str, shop: Shop) -> None:
    need(shell.split()[0])
    app = MySQL("shop", Options(address=str(shop.server.socket), user="root"), local_host(shop.new("guard"), shell))
    with guarded(app) as it:
        it.hold()
        assert shop.server.try_sql("set lock_wait_timeout = 1; insert into lab.rows values (-1)").returncode == 1
        assert it.let_go().kept is Kept.WAS_HELD
        assert it.held["binlog-file"] == "binlog.000001"
        it.bye()
    shop.server.sql("insert into lab.rows values (-1); delete from lab.rows where n = -1")


# ---- a lock request never stalls the site ----


@contextlib.contextmanager
def busy(shop: Shop, sql: str, sign: str, seconds: int = 0) -> Iterator[None]:
    """Somebody's session that runs `sql`, seen to be at `sign` for so many seconds; ended in the server after the block."""
    client = shop.server.begin(f"select connection_id(); {sql}")
    assert client.stdout is not None
    thread = client.stdout.readline().strip()
    seen = f"select count(*) from information_schema.processlist where id = {thread} and time >= {seconds} and concat(command, ' ', coalesce(info, '')) like '{sign}'"
    try:
        eventually(f"{sign} runs", lambda: shop.server.sql(seen) == "1")
        yield
    finally:
        shop.server.try_sql(f"kill {thread}")
        client.kill()
        client.communicate()
        eventually(
            "it is gone",
            lambda: shop.server.sql(f"select count(*) from information_schema.processlist where id = {thread}") == "0",
        )


def test_a_read_lock_is_not_even_asked_for_behind_a_long_statement(shop: Shop, writer: Writer) -> None:
    secret = "select sleep(60), 'somebody''s data' from lab.rows limit 1"
    with (
        busy(shop, f"{secret};", "Query select sleep%", seconds=2),
        guarded(shop.app(mode="read-lock", long_query=Duration(2))) as it,
    ):
        began = time.monotonic()
        it.ask_to_hold()
        failed = it.expect("failed")
        assert failed.words == ("enter", "4")
        assert re.search(r"thread \d+ of root for \d+ s: select sleep\(60\)", failed.said)
        assert "data" not in failed.said, "what stands in quotes may be somebody's secret"
        writer.wait_for_more()
        assert writer.longest_gap(began) < 1.0
        it.bye()


def test_a_read_lock_that_waits_gives_up_and_the_site_goes_on(shop: Shop, writer: Writer) -> None:
    """LOCK TABLES of a sleeping session cannot be seen as a statement; writers wait for lock-wait at most."""
    with (
        busy(shop, "lock tables lab.aria write;", "Sleep%"),
        guarded(shop.app(mode="read-lock", lock_wait=Duration(1))) as it,
    ):
        began = time.monotonic()
        it.ask_to_hold()
        failed = it.expect("failed")
        assert "ERROR 1205" in failed.said
        assert time.monotonic() - began < 4.0
        writer.wait_for_more()
        assert writer.longest_gap(began) < 3.0
        it.bye()


def test_a_backup_lock_that_waits_lets_innodb_writers_go_on(shop: Shop, writer: Writer) -> None:
    long = "insert into lab.loose select 1000000 + sleep(60);"
    with busy(shop, long, "Query insert%"), guarded(shop.app(lock_wait=Duration(2))) as it:
        began = time.monotonic()
        it.ask_to_hold()
        failed = it.expect("failed")
        assert "ERROR 1205" in failed.said
        assert "insert into lab.loose" in failed.said, "who was in the way is named"
        writer.wait_for_more()
        assert 1.5 < time.monotonic() - began < 6.0
        assert writer.longest_gap(began) < 1.0
        it.bye()


def test_a_long_select_does_not_cost_the_backup_under_the_backup_lock(shop: Shop, writer: Writer) -> None:
    with busy(shop, "select sleep(60) from lab.rows limit 1;", "Query select%"), guarded(shop.app()) as it:
        it.hold()
        assert it.let_go().kept is Kept.WAS_HELD
        it.bye()


@pytest.mark.parametrize("how", ["end-of-file", "release"])
def test_an_enter_that_is_cut_while_it_waits_leaves_nothing(how: str, shop: Shop, writer: Writer) -> None:
    waiting = "select count(*) from information_schema.processlist where info like 'flush tables with read lock'"
    with (
        busy(shop, "lock tables lab.aria write;", "Sleep%"),
        guarded(shop.app(mode="read-lock", lock_wait=Duration(60))) as it,
    ):
        it.ask_to_hold()
        eventually("the request waits", lambda: shop.server.sql(waiting) == "1")
        if how == "release":
            it.guard.send("release")
        else:
            it.guard.close()
        cut = time.monotonic()
        writer.wait_for_more()
        assert time.monotonic() - cut < 5.0
        eventually("the request is gone", lambda: shop.server.sql(waiting) == "0", 5.0)


# ---- what ends a hold is never called held ----


@pytest.mark.parametrize("cause", ["client killed", "connection killed", "server killed"])
def test_a_hold_that_was_lost_is_not_called_held(cause: str, shop: Shop) -> None:
    with guarded(shop.app()) as it:
        it.hold()
        if cause == "client killed":
            os.kill(it.client(), signal.SIGKILL)
            shop.server.sql("insert into lab.rows values (-2); delete from lab.rows where n = -2")
        elif cause == "connection killed":
            shop.server.sql(f"kill {it.held['connection']}")
        else:
            shop.server.stop(signal.SIGKILL)
        try:
            assert it.let_go().kept is Kept.WAS_NOT_HELD
            it.bye()
        finally:
            if shop.server.process is None:
                shop.server.start()
    shop.server.sql("set lock_wait_timeout = 5; insert into lab.rows values (-2); delete from lab.rows where n = -2")


def test_the_server_itself_lets_go_when_the_client_stands_still(shop: Shop, writer: Writer) -> None:
    with guarded(shop.app(lease=Duration(2))) as it:
        it.hold()
        os.kill(it.client(), signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            writer.wait_for_more()
            assert time.monotonic() - stopped < 5.0
        finally:
            os.kill(it.client(), signal.SIGCONT)
        assert it.let_go().kept is Kept.WAS_NOT_HELD
        it.bye()


# ---- refusals ----


def checked(app: MySQL) -> object:
    app.host.families(app.families)
    return app.check(Deadline.after(30))


def test_a_wrong_password_and_an_absent_server_are_told_apart_and_show_no_secret(shop: Shop) -> None:
    shop.server.sql(f"create or replace user sm@localhost identified by '{PASSWORD}'")
    wrong = MySQL(
        "shop", Options(address=str(shop.server.socket), user="sm"), local_host(shop.folder), Secret("wr0ng-one")
    )
    with pytest.raises(CommandFailed, match=r"account sm cannot log in to .*/s-") as refused:
        checked(wrong)
    assert "wr0ng-one" not in refused.value.full()
    with pytest.raises(CommandFailed, match="/nowhere on db1 could not be asked") as absent:
        checked(shop.app(address="/nowhere"))
    assert "ERROR 2002" in absent.value.detail


def test_an_account_without_rights_is_refused_by_name_before_anything_is_held(shop: Shop) -> None:
    shop.server.sql(f"create or replace user sm@localhost identified by '{PASSWORD}'")
    app = MySQL("shop", Options(address=str(shop.server.socket), user="sm"), local_host(shop.folder), Secret(PASSWORD))
    with pytest.raises(Refused, match="sm@localhost lacks SHOW VIEW, PROCESS, RELOAD, BINLOG MONITOR, SLAVE MONITOR"):
        checked(app)


def test_the_documented_grants_are_enough_and_the_password_shows_nowhere(shop: Shop) -> None:
    text = GRANTS.read_text()
    grants = re.search(r"```sql\n(-- MariaDB.*?)```", text, re.DOTALL)
    assert grants
    shop.server.sql("drop user if exists splitmirror@localhost")
    shop.server.sql(grants[1].replace("SECRET", PASSWORD))
    options = Options(address=str(shop.server.socket))
    with guarded(MySQL("shop", options, local_host(shop.folder), Secret(PASSWORD))) as it:
        it.hold()
        assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if PASSWORD.encode() in content(p)]
        kept = [p for p in (shop.folder / "guard").rglob("*") if p.is_file()]
        assert kept and not [p for p in kept if PASSWORD.encode() in content(p)]
        assert it.held["binlog-position"].isdigit()
        assert it.let_go().kept is Kept.WAS_HELD
        it.bye()


def content(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_somebody_elses_lock_is_named_and_left_alone(shop: Shop) -> None:
    with busy(shop, "flush tables with read lock;", "Sleep%"):
        blocked = shop.server.begin(
            "set lock_wait_timeout = 60; insert into lab.rows values (-3); delete from lab.rows where n = -3;"
        )
        waits = "select count(*) from information_schema.processlist where state like 'Waiting for backup lock' and time >= 2"
        eventually("a writer waits", lambda: shop.server.sql(waits) == "1")
        with pytest.raises(ForeignHold, match=r"thread \d+ has been waiting for backup lock for \d+ s"):
            checked(shop.app())
        blocked.kill()
        blocked.communicate()


def test_files_outside_the_data_folder_are_named(shop: Shop) -> None:
    outside = own_folder(shop.new("outside"), "mysql")
    place = outside / "lab"
    shop.server.sql(f"create table lab.far(n int primary key) engine=innodb data directory='{outside}'")
    shop.server.sql(f"create table lab.link(n int primary key) engine=myisam data directory='{outside}'")
    try:
        facts = shop.app()
        facts.host.families(facts.families)
        files = facts.check(Deadline.after(30)).files
        assert {str(shop.server.data), f"{place}/far.ibd", f"{shop.server.data}/lab/link.MYD"} <= set(files)
    finally:
        shop.server.sql("drop table lab.far, lab.link")


def test_a_replicas_place_in_its_sources_log_is_noted_under_the_lock(shop: Shop) -> None:
    shop.server.sql(
        "create or replace user repl@'127.0.0.1' identified by 'r'; grant replication slave on *.* to repl@'127.0.0.1'"
    )
    at = shop.server.sql("show master status").split("\t")
    replica = MariaDB.make(shop.new("replica"), shop.server.run, "--server-id=7", "--log-bin=binlog")
    with replica.running():
        replica.sql(
            f"change master to master_host='127.0.0.1', master_port={shop.server.port}, master_user='repl', "
            f"master_password='r', master_log_file='{at[0]}', master_log_pos={at[1]}; start slave"
        )
        shop.server.sql("create database followed; create table followed.replicated(n int primary key)")
        arrived = "select count(*) from information_schema.tables where table_name = 'replicated'"
        eventually("the replica follows", lambda: replica.sql(arrived) == "1")
        app = MySQL("copy", Options(address=str(replica.socket), user="root"), local_host(shop.new("guard")))
        with guarded(app) as it:
            assert it.facts.values["replica"] == "yes"
            it.hold()
            now = shop.server.sql("show master status").split("\t")
            assert it.let_go().kept is Kept.WAS_HELD
            captured = it.capture()
            it.bye()
        assert captured.facts["replica-source"] == f"127.0.0.1:{shop.server.port} {now[0]} {now[1]}"
        assert any("It was a replica" in step for step in captured.steps)


def test_an_unproven_run_claims_no_exact_position(shop: Shop) -> None:
    with guarded(shop.app()) as it:
        it.hold()
        it.let_go()
        steps = " ".join(it.capture(Verdict.CRASH).steps)
        it.bye()
    assert "The copy ends at" not in steps
    assert "its own binary log tells" in steps


def test_another_backup_server_is_refused_before_any_lock_is_asked_for(shop: Shop) -> None:
    with guarded(shop.app()) as it:
        with pytest.raises(ForeignHold, match=r"^mysql-.* on db1 is claimed by backup server backup1 \(run run-1"):
            Guarded(shop.app(), "run-2", "other")
        it.hold()
        assert it.let_go().kept is Kept.WAS_HELD
        it.bye()
