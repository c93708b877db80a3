"""The mysql driver: what it reads, what it refuses, and MySQL 8 by a stand-in client under the real guard."""

from __future__ import annotations

import contextlib
import fcntl
import json
import queue
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from splitmirror_drivers.applications.mysql import MySQL, Options, noted, replica_of
from splitmirror_drivers.applications.mysql_server import lacking, parse_server, refuse, unescaped, warnings, way
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.host import Answer, Charge, Guard, Kept, Message
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, ForeignHold, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, decode_hook

EMULATOR = Path(__file__).parents[2] / "emulators/mysql"
PATIENCE_SECONDS = 20.0
MARIADB = {
    "version": "10.11.19-MariaDB-0+deb12u1-log",
    "account": "sm@localhost",
    "privilege": "RELOAD\nPROCESS\nSHOW VIEW\nBINLOG MONITOR\nSLAVE MONITOR",
    "variable.datadir": "/srv/my/",
    "variable.log_bin": "ON",
    "variable.log_bin_basename": "/srv/my/binlog",
    "variable.sync_binlog": "1",
    "variable.innodb_flush_log_at_trx_commit": "1",
    "engine": "InnoDB 12 shop.orders",
    "links": "known",
    "replica": "known",
    "encrypted": "0",
}
MYSQL = MARIADB | {
    "version": "8.0.36",
    "privilege": "RELOAD\nPROCESS\nSHOW VIEW\nBACKUP_ADMIN\nREPLICATION CLIENT",
    "log-status": "yes",
}


def answer(facts: Mapping[str, str], **changes: str) -> Answer:
    return Answer({**facts, **{key.replace("__", "."): value for key, value in changes.items()}}, 0, "")


# ---- reading ----


def test_a_server_without_a_version_or_data_folder_is_not_guessed_at() -> None:
    for key, value in (("version", "ten"), ("variable.datadir", "")):
        with pytest.raises(UnknownAnswer, match="version or data folder"):
            parse_server(Answer({**MARIADB, key: value}, 0, "odd"))


@pytest.mark.parametrize(
    ("printed", "meant"),
    [(r"a\tb", "a\tb"), (r"a\\nb", r"a\nb"), (r"a\nb", "a\nb"), ("plain", "plain"), (r"a\xb", r"a\xb")],
)
def test_what_batch_mode_escapes_is_read_back(printed: str, meant: str) -> None:
    assert unescaped(printed) == meant


def test_everything_that_lies_outside_the_data_folder_is_a_file_of_its_own() -> None:
    server = parse_server(
        answer(
            MARIADB,
            variable__innodb_log_group_home_dir="/redo",
            variable__innodb_undo_directory="./",
            variable__innodb_data_home_dir="",
            variable__log_bin_basename="/binlogs/my\\\\odd",
            place="/far/shop/big.ibd\n../beside/x.ibd",
            link="/srv/my/archive",
        )
    )
    assert server.files == ("/far/shop/big.ibd", "/redo", "/srv/beside/x.ibd", "/srv/my", "/srv/my/archive")
    assert server.log_files == ("/binlogs",)


def test_a_relay_log_counts_only_on_a_replica() -> None:
    changes = {"variable__relay_log_basename": "/relay/log"}
    assert parse_server(answer(MARIADB, **changes)).log_files == ()
    assert parse_server(answer(MARIADB, **changes, **{"replica-columns": "A\tB"})).log_files == ("/relay",)


@pytest.mark.parametrize(
    ("facts", "engines", "mode", "expected"),
    [
        (MARIADB, "InnoDB 1 a.b", "backup-lock", "stage"),
        (MARIADB, "MyISAM 1 a.b", "backup-lock", "stage"),
        (MYSQL, "InnoDB 1 a.b", "backup-lock", "instance"),
        (MYSQL, "InnoDB 1 a.b\nMyISAM 1 a.c", "backup-lock", "instance-read"),
        (MYSQL, "InnoDB 1 a.b\nMEMORY 1 a.c", "backup-lock", "instance"),
        (MYSQL, "InnoDB 1 a.b", "read-lock", "read"),
        (MARIADB, "InnoDB 1 a.b", "atomic", ""),
    ],
)
def test_the_lock_fits_the_server_and_its_tables(
    facts: Mapping[str, str], engines: str, mode: str, expected: str
) -> None:
    assert way(parse_server(answer(facts, engine=engines)), mode) == expected


# ---- refusing ----


@pytest.mark.parametrize(
    ("version", "title"),
    [("10.3.39-MariaDB", "MariaDB 10.3.39, older than MariaDB 10.4"), ("5.7.44", "MySQL 5.7.44, older than MySQL 8.0")],
)
def test_a_server_too_old_is_refused(version: str, title: str) -> None:
    with pytest.raises(Refused, match=title):
        refuse("shop", parse_server(answer(MARIADB, version=version)), "backup-lock")


@pytest.mark.parametrize(
    ("facts", "privileges", "mode", "missing"),
    [
        (MARIADB, "USAGE", "backup-lock", ("SHOW VIEW", "PROCESS", "RELOAD", "BINLOG MONITOR")),
        (MARIADB, "USAGE", "atomic", ("SHOW VIEW", "PROCESS")),
        (MARIADB, "SELECT\nPROCESS\nRELOAD\nSUPER", "read-lock", ()),
        (MYSQL, "SELECT\nPROCESS\nRELOAD\nREPLICATION CLIENT", "backup-lock", ("BACKUP_ADMIN",)),
        (MYSQL, "SELECT\nPROCESS\nRELOAD\nREPLICATION CLIENT", "read-lock", ()),
        (MYSQL, "SELECT\nPROCESS\nRELOAD", "read-lock", ("REPLICATION CLIENT",)),
        (MARIADB | {"version": "10.4.34-MariaDB"}, "SELECT\nPROCESS\nRELOAD", "read-lock", ("REPLICATION CLIENT",)),
    ],
)
def test_missing_privileges_are_named_as_one_grants_them(
    facts: Mapping[str, str], privileges: str, mode: str, missing: tuple[str, ...]
) -> None:
    assert lacking(parse_server(answer(facts, privilege=privileges)), mode) == missing


def test_somebody_elses_lock_is_refused_but_never_in_atomic_mode() -> None:
    waiting = parse_server(answer(MARIADB, waits="12 7 Waiting for backup lock"))
    with pytest.raises(ForeignHold, match="thread 12 has been waiting for backup lock for 7 s"):
        refuse("shop", waiting, "backup-lock")
    with pytest.raises(ForeignHold, match=r"thread 15 holds a lock that stops writes \(SHARED\)"):
        refuse("shop", parse_server(answer(MYSQL, lock="15 SHARED")), "read-lock")
    refuse("shop", waiting, "atomic")


def test_what_a_person_should_look_at_is_said() -> None:
    server = parse_server(
        answer(
            MARIADB,
            engine="Aria 1 shop.a\nInnoDB 3 shop.b\nSPIDER 2 shop.c",
            variable__sync_binlog="0",
            variable__innodb_flush_log_at_trx_commit="2",
            variable__innodb_doublewrite="OFF",
            encrypted="4",
            links="unknown",
        )
    )
    assert warnings(server, "backup-lock", data_checks=True) == (
        "1 table of Aria (shop.a): it cannot be rolled back or forward; CHECK TABLE after a recovery",
        "2 tables of SPIDER (shop.c): its rows do not lie in the data folder and are not in the copy",
        "4 tablespaces are encrypted: without their key the copy cannot be read",
        "/srv/my cannot be looked into for symbolic links: a database behind one may not be covered",
        "innodb_flush_log_at_trx_commit is 2: a crash loses commits",
        "sync_binlog is 0: after a crash the binary log may end too soon",
        "innodb_doublewrite is off: a page torn by a split cannot be mended",
    )
    assert len(warnings(server, "backup-lock", data_checks=False)) == 4


def test_options_are_read_and_an_unknown_mode_is_an_error() -> None:
    def read(text: str) -> Options:
        return msgspec.toml.decode(text.encode(), type=Options, dec_hook=decode_hook)

    assert read('mode = "read-lock"\nlong-query = "3s"\nos-user = "mysql"').long_query == 3.0
    with pytest.raises(msgspec.ValidationError, match="mode"):
        read('mode = "flush"')


def test_log_status_that_is_no_json_is_an_error() -> None:
    with pytest.raises(UnknownAnswer, match="log_status"):
        noted({"log-status": "binlog.000001 4"})


def test_a_replica_row_that_does_not_fit_its_columns_is_kept_as_it_is() -> None:
    assert replica_of({"replica-row": "a\tb"}, ("X", "Y")) == {"replica-source": "a b"}
    assert replica_of({}, ("X",)) == {}


# ---- MySQL 8, by the stand-in ----


class Stage:
    """A stand-in server in a folder, the real guard, and players of DDL and commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.messages: list[Message] = []
        self.guard: Guard | None = None
        self.facts: dict[str, str] = {}
        self.server()

    def server(self, **settings: Any) -> None:
        (self.folder / "server.json").write_text(json.dumps(settings))

    def app(self, secret: str = "", **options: Any) -> MySQL:
        host = LocalHost("db1", HostOptions(guard_dir=str(self.folder / "guard")))
        given = Options(address=str(self.folder / "mysql.sock"), client=str(EMULATOR), **options)
        app = MySQL("shop", given, host, Secret(secret) if secret else None)
        host.families(app.families)
        return app

    def start(self, app: MySQL) -> None:
        """Check, start the guard, open and warm, order the hold."""
        (hold,) = app.holds(app.check(Deadline.after(PATIENCE_SECONDS)))
        charge = Charge("run-1", "backup1", (hold,), beat_missed_seconds=600.0, blocking_lease_seconds=600.0)
        self.guard = app.host.guard(charge, self.box.put, Deadline.after(PATIENCE_SECONDS))
        for order, kind in (("open", "opened"), ("warm", "warmed")):
            self.guard.send(order)
            self.expect(kind)
        self.guard.send(f"hold shop {round(hold.enter_seconds)}")

    def expect(self, kind: str) -> Message:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            for message in self.messages:
                if message.kind == kind:
                    self.messages.remove(message)
                    self.facts |= message.facts
                    return message
            try:
                self.messages.append(self.box.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {kind}; came: {self.messages}") from None

    def let_go(self) -> Kept:
        assert self.guard is not None
        self.guard.send("release")
        return self.expect("released").kept

    def is_blocked(self, lock: str) -> bool:
        """Whether DDL (``backup``) or a commit (``commit``) would wait now."""
        with (self.folder / f"{lock}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def ddl(self) -> Iterator[None]:
        """Somebody's long ALTER TABLE."""
        with (self.folder / "backup.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def log(self) -> list[str]:
        return [line.partition(" ")[2] for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    it = Stage(tmp_path)
    yield it
    if it.guard is not None:
        it.guard.close()


def test_mysql_with_innodb_alone_is_held_by_its_backup_lock_and_commits_go_on(stage: Stage) -> None:
    app = stage.app()
    stage.start(app)
    stage.expect("held")
    assert stage.is_blocked("backup")
    assert not stage.is_blocked("commit")
    assert stage.let_go() is Kept.WAS_HELD
    assert not stage.is_blocked("backup")
    assert "flush tables with read lock" not in stage.log()
    captured = app.capture(stage.facts, Verdict.APPLICATION, Deadline.after(PATIENCE_SECONDS))
    assert (captured.facts["binlog-file"], captured.facts["binlog-position"]) == ("binlog.000007", "1308")
    assert captured.facts["gtid-executed"].endswith("429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-9")
    text = " ".join(captured.steps)
    assert "The copy ends at" not in text, "commits went on: the position is not the copy's end"
    assert "auto.cnf" in text


def test_tables_of_other_engines_on_mysql_need_the_read_lock_too(stage: Stage) -> None:
    stage.server(engines=[["shop", "orders", "InnoDB"], ["shop", "notes", "MyISAM"]])
    app = stage.app()
    stage.start(app)
    stage.expect("held")
    assert stage.is_blocked("backup")
    assert stage.is_blocked("commit")
    assert stage.let_go() is Kept.WAS_HELD
    assert not stage.is_blocked("backup")
    assert not stage.is_blocked("commit")
    assert "The copy ends at `binlog.000007` position 1308" in " ".join(
        app.capture(stage.facts, Verdict.APPLICATION, Deadline.after(PATIENCE_SECONDS)).steps
    )


@pytest.mark.parametrize(
    ("version", "statement"),
    [("8.0.36", "show master status"), ("8.4.3", "show binary log status"), ("9.1.0", "show binary log status")],
)
def test_the_binary_logs_position_is_asked_for_in_the_words_of_its_version(
    version: str, statement: str, stage: Stage
) -> None:
    stage.server(version=version)
    stage.start(stage.app(mode="read-lock"))
    assert stage.expect("held").facts["binlog-position"] == "1308"
    assert statement in stage.log()
    assert stage.let_go() is Kept.WAS_HELD


@pytest.mark.parametrize("version", ["8.0.20", "8.0.36", "8.4.3"])
def test_a_replica_says_where_its_source_stood(version: str, stage: Stage) -> None:
    row = {
        "Replica_IO_State": "Waiting for source to send event",
        "Source_Host": "db0",
        "Source_Port": 3306,
        "Relay_Source_Log_File": "binlog.000042",
        "Exec_Source_Log_Pos": 777,
    }
    stage.server(version=version, replica=row)
    app = stage.app(mode="read-lock")
    stage.start(app)
    stage.expect("held")
    assert stage.let_go() is Kept.WAS_HELD
    captured = app.capture(stage.facts, Verdict.APPLICATION, Deadline.after(PATIENCE_SECONDS))
    assert captured.facts["replica-source"] == "db0:3306 binlog.000042 777"


def test_a_backup_lock_behind_a_long_alter_gives_up(stage: Stage) -> None:
    with stage.ddl():
        began = time.monotonic()
        stage.start(stage.app(lock_wait=Duration(1)))
        failed = stage.expect("failed")
        assert "ERROR 1205" in failed.said
        assert time.monotonic() - began < 8.0
    assert not stage.is_blocked("backup")


def test_a_read_lock_behind_a_long_select_is_not_asked_for_since_it_would_stop_everybody(stage: Stage) -> None:
    stage.server(running=[[31, "report", 900, "select * from orders where name = 'Smith'"]])
    stage.start(stage.app(mode="read-lock", long_query=Duration(10)))
    failed = stage.expect("failed")
    assert failed.words == ("enter", "4")
    assert "thread 31 of report for 900 s: select * from orders where name = \n" in failed.said
    assert "Smith" not in failed.said
    assert "flush tables with read lock" not in stage.log()
    assert not stage.is_blocked("commit")


def test_a_statement_that_came_too_late_to_be_seen_costs_lock_wait_at_most(stage: Stage) -> None:
    stage.server(running=[[31, "report", 1, "select 1"]])
    began = time.monotonic()
    stage.start(stage.app(mode="read-lock", lock_wait=Duration(1)))
    assert "ERROR 1205" in stage.expect("failed").said
    assert time.monotonic() - began < 8.0
    assert not stage.is_blocked("commit")


@pytest.mark.parametrize("fault", ["die", "ERROR 1290 (HY000) at line 1: The server is running with an option"])
@pytest.mark.parametrize("statement", ["lock instance", "flush tables", "select concat('gtid", "flush local"])
def test_a_client_that_fails_half_way_leaves_nothing(statement: str, fault: str, stage: Stage) -> None:
    engines = [["shop", "notes", "MyISAM"]]
    stage.server(engines=engines)
    app = stage.app()
    app.check(Deadline.after(PATIENCE_SECONDS))
    stage.server(engines=engines, faults={statement: fault})
    if statement == "flush local":
        with contextlib.suppress(AssertionError):
            stage.start(app)
    else:
        stage.start(app)
    failed = stage.expect("failed")
    assert failed.words[0] == "enter"
    assert not stage.is_blocked("backup")
    assert not stage.is_blocked("commit")


def test_an_enter_that_hangs_is_ended_and_leaves_nothing(stage: Stage) -> None:
    stage.server(engines=[["shop", "notes", "MyISAM"]], faults={"show binary log": "hang"})
    stage.start(stage.app())
    while not stage.is_blocked("commit"):
        time.sleep(0.01)
    assert stage.guard is not None
    stage.guard.close()
    end = time.monotonic() + 6.0
    while stage.is_blocked("commit") or stage.is_blocked("backup"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_leave_that_fails_is_not_called_held(stage: Stage) -> None:
    stage.server(faults={"unlock instance": "ERROR 2006 (HY000): Server has gone away"})
    stage.start(stage.app())
    stage.expect("held")
    assert stage.let_go() is Kept.WAS_NOT_HELD
    assert not stage.is_blocked("backup")


def test_without_log_status_the_position_is_left_out_and_check_says_how_to_get_it(stage: Stage) -> None:
    stage.server(may_see_log_status=False)
    app = stage.app()
    assert any("performance_schema.log_status" in w for w in app.check(Deadline.after(PATIENCE_SECONDS)).warnings)
    stage.start(app)
    assert "binlog-file" not in stage.expect("held").facts
    assert stage.let_go() is Kept.WAS_HELD


def test_check_asks_mysql_for_everything(stage: Stage) -> None:
    stage.server(
        engines=[["shop", "orders", "InnoDB"], ["shop", "notes", "MyISAM"]],
        variables={
            "innodb_redo": "x",
            "innodb_undo_directory": "/undo",
            "log_bin_basename": "/logs/binlog",
            "sync_binlog": 0,
        },
        datafiles=["/far/shop/big.ibd"],
        encrypted=2,
        password="a b'c\"d$e\\f",
    )
    facts = stage.app("a b'c\"d$e\\f").check(Deadline.after(PATIENCE_SECONDS))
    assert facts.version == "MySQL 8.4.3"
    assert facts.files == ("/far/shop/big.ibd", "/undo", "/var/lib/mysql")
    assert facts.log_files == ("/logs",)
    assert facts.needs_atomic
    assert any(w.startswith("2 tablespaces are encrypted") for w in facts.warnings)
    assert any(w.startswith("1 table of MyISAM (shop.notes)") for w in facts.warnings)
    assert any(w.startswith("sync_binlog is 0") for w in facts.warnings)


def test_where_commits_go_on_the_binary_log_must_be_of_the_same_moment(stage: Stage) -> None:
    stage.server(variables={"log_bin_basename": "/logs/binlog"})
    facts = stage.app().check(Deadline.after(PATIENCE_SECONDS))
    assert facts.files == ("/logs", "/var/lib/mysql")
    assert facts.log_files == ()


def test_a_lock_that_the_server_keeps_book_of_is_foreign(stage: Stage) -> None:
    stage.server(locks=[[44, "GLOBAL", "SHARED"]])
    with pytest.raises(ForeignHold, match="thread 44 holds a lock"):
        stage.app().check(Deadline.after(PATIENCE_SECONDS))
    stage.server(locks=[[44, "BACKUP LOCK", "SHARED"]])
    stage.app().check(Deadline.after(PATIENCE_SECONDS))  # several sessions may hold the backup lock


def test_a_login_that_is_refused_says_so_without_the_password(stage: Stage) -> None:
    stage.server(password="right")
    with pytest.raises(CommandFailed, match="account splitmirror cannot log in") as refused:
        stage.app("wr0ng-one").check(Deadline.after(PATIENCE_SECONDS))
    assert "wr0ng-one" not in refused.value.full()


def test_the_server_that_is_gone_after_the_resume_costs_words_and_not_the_copy(stage: Stage) -> None:
    app = stage.app(mode="read-lock")
    stage.start(app)
    stage.expect("held")
    assert stage.let_go() is Kept.WAS_HELD
    (stage.folder / "server.json").unlink()
    captured = app.capture(stage.facts, Verdict.APPLICATION, Deadline.after(PATIENCE_SECONDS))
    assert "The copy ends at `binlog.000007` position 1308" in " ".join(captured.steps)
