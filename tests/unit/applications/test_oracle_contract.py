"""The oracle driver over the stand-in client and database, under the real guard: the contract, and all that may go wrong."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.application import ApplicationContract, AppStage, soon
from tests.faults.guard.stage import eventually

from splitmirror_drivers.applications.oracle import Options, Oracle
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.host import Blocks, Hold, Kept, Verb
from splitmirror_drivers.kit.errors import CommandFailed, Fault, ForeignHold, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration

TOOLS = Path(__file__).parents[2] / "emulators" / "oracle"
CALL_SECONDS = 30


class OracleStage(AppStage):
    """One emulated database ERP, and a driver for it."""

    def __init__(self, folder: Path, shell: str = "dash", *create: str, password: str = "", **options: object) -> None:
        super().__init__(folder, shell)
        self.options = {"archive_wait": Duration(15), "may_lie_beside_data": True, **options}
        self.password = Secret(password) if password else None
        self.control("create", *create)
        self.home = folder / "home"
        self.control("wrap", str(self.home))

    def control(self, *words: str) -> str:
        done = subprocess.run(
            [str(TOOLS / "control"), *words],
            env={"PATH": "/usr/bin:/bin", "ORACLE_EMULATOR_STATE": str(self.folder / "ora")},
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
        if words[0] == "is-suspended":
            return "yes" if done.returncode == 0 else ""
        assert done.returncode == 0, done
        return done.stdout

    def refused(self, *words: str) -> str:
        """What `control` says when the database refuses it."""
        argv = [str(TOOLS / "control"), *words]
        environment = {"PATH": "/usr/bin:/bin", "ORACLE_EMULATOR_STATE": str(self.folder / "ora")}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=CALL_SECONDS, check=False)
        assert done.returncode == 1, done
        return done.stdout + done.stderr

    def application(self) -> Oracle:
        given = {"sid": "ERP", "oracle_home": str(self.home), "os_user": "", **self.options}
        return Oracle("erp", Options(**given), self.host, self.password)  # type: ignore[arg-type]

    def active(self) -> list[str]:
        return self.control("active").split()

    def is_suspended(self) -> bool:
        return bool(self.control("is-suspended"))

    def is_held(self) -> bool:
        return bool(self.active()) or self.is_suspended()

    @contextlib.contextmanager
    def foreign(self) -> Iterator[None]:
        self.control("begin")
        yield
        self.control("end")

    def let_go(self) -> None:
        self.control("resume" if self.options.get("suspend") else "end")

    def stop(self) -> None:
        self.control("crash")

    def close(self) -> None:
        self.control("crash")

    def sql(self, statement: str) -> str:
        """What somebody else's client answers."""
        done = subprocess.run(
            [str(self.home / "bin" / "sqlplus"), "-S", "/nolog"],
            env={
                "PATH": "/usr/bin:/bin",
                "ORACLE_SID": str(self.options.get("sid", "ERP")),
                "ORACLE_HOME": str(self.home),
            },
            input=f"set pagesize 0 feedback off\nconnect / as sysdba\n{statement}\n",
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
        return done.stdout.strip()

    def log(self) -> str:
        return self.control("log")


class TestBackupMode(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder)


class TestBackupModeInBusybox(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder, "busybox sh")


class TestTablespaceByTablespace(ApplicationContract):
    """Oracle 9i."""

    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder, "dash", "--version", "9i")


class TestServerManager(ApplicationContract):
    """Oracle 8i, whose client is svrmgrl."""

    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder, "dash", "--version", "8i")


class TestSuspended(ApplicationContract):
    """Backup mode, and I/O suspended on top of it."""

    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder, "dash", suspend=True)

    def test_what_somebody_else_holds_is_refused_and_left_alone(self, stage: AppStage) -> None:
        assert isinstance(stage, OracleStage)
        holds = self.holds(stage)
        stage.control("suspend")
        with pytest.raises(ForeignHold, match="suspended"):
            stage.application().check(soon())
        stage.guard.holds += holds[1:]
        stage.guard.start()
        stage.guard.open()
        stage.guard.send(f"hold {holds[1].name} 10")
        assert "not by us" in stage.guard.expect("failed").said
        stage.guard.close()
        stage.guard.leaves_nothing_behind()
        assert stage.is_suspended()
        stage.control("resume")


class TestSnapshot(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return OracleStage(folder, mode="snapshot")


# ---- what may go wrong, over the same stage ----


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[OracleStage]:
    yield from staged(OracleStage(tmp_path))


@pytest.fixture
def suspending(tmp_path: Path) -> Iterator[OracleStage]:
    yield from staged(OracleStage(tmp_path, suspend=True))


def staged(stage: OracleStage) -> Iterator[OracleStage]:
    stage.host.families(stage.application().families)
    yield stage
    stage.guard.clean_up()
    stage.close()


staging = contextlib.contextmanager(staged)


def armed(stage: OracleStage) -> tuple[Hold, ...]:
    """A guard with the holds of the driver, clients logged in."""
    app = stage.application()
    holds = app.holds(app.check(soon()))
    stage.guard.holds += holds
    stage.guard.start()
    stage.guard.open()
    return holds


def leave(stage: OracleStage, name: str = "erp") -> Kept:
    stage.guard.send(f"leave {name} good 30")
    return stage.guard.expect("left", name).kept


def test_a_writer_goes_on_in_backup_mode_and_waits_while_suspended(suspending: OracleStage) -> None:
    holds = armed(suspending)
    assert [(h.name, h.blocks, h.survives_restart) for h in holds] == [
        ("erp", Blocks.NOTHING, True),
        ("erp.suspend", Blocks.WRITES, False),
    ]
    suspending.guard.take("erp")
    suspending.control("write", "in backup mode")
    suspending.guard.take("erp.suspend")
    writer = subprocess.Popen(
        [str(TOOLS / "control"), "write", "waits"],
        env={"PATH": "/usr/bin:/bin", "ORACLE_EMULATOR_STATE": str(suspending.folder / "ora")},
        stdout=subprocess.DEVNULL,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(0.5)
    suspending.guard.send("release")
    assert suspending.guard.expect("released").kept is Kept.WAS_HELD
    assert writer.wait(CALL_SECONDS) == 0
    assert suspending.active()
    assert leave(suspending) is Kept.WAS_HELD
    assert not suspending.is_held()


def test_nothing_logs_in_between_open_and_the_end(suspending: OracleStage) -> None:
    armed(suspending)
    suspending.control("set", "adump", "frozen")
    suspending.guard.take()
    suspending.guard.send("release")
    assert suspending.guard.expect("released").kept is Kept.WAS_HELD
    assert leave(suspending) is Kept.WAS_HELD
    suspending.control("set", "adump", "thawed")


def test_a_link_that_is_lost_while_suspended_frees_writers_and_files(suspending: OracleStage) -> None:
    armed(suspending)
    suspending.guard.take()
    assert suspending.is_suspended()
    suspending.guard.close()
    eventually("nothing is held", lambda: not suspending.is_held())
    suspending.guard.leaves_nothing_behind()


@pytest.mark.parametrize("way", ["database", "tablespace"])
def test_somebody_elses_part_of_a_mixed_state_is_left_alone(tmp_path: Path, way: str) -> None:
    stage = OracleStage(tmp_path, "dash", "--version", "10g" if way == "database" else "9i")
    with staging(stage) as made:
        armed(made)
        made.guard.take()
        everything = made.active()
        made.control("end")
        made.control("begin", "USERS")
        theirs = made.active()
        assert leave(made) is Kept.WAS_NOT_HELD
        assert made.active() == theirs
        assert set(theirs) < set(everything)
        made.control("end")


@pytest.mark.parametrize("mixed", ["ends", "refused"])
def test_a_state_that_somebody_else_ended_in_part_is_healed_and_not_proven(stage: OracleStage, mixed: str) -> None:
    stage.control("set", "mixed-end", mixed)
    armed(stage)
    stage.guard.take()
    everything = stage.active()
    assert stage.sql("alter tablespace users end backup;") == ""
    assert stage.active() == everything[:-1]
    assert leave(stage) is Kept.WAS_NOT_HELD
    assert not stage.active()


def test_an_open_that_finds_files_active_owns_nothing(stage: OracleStage) -> None:
    armed(stage)
    stage.control("begin", "USERS")
    stage.guard.send("hold erp 10")
    failed = stage.guard.expect("failed")
    assert failed.words == ("enter", "2")
    assert "not by us" in failed.said
    assert stage.active()
    stage.control("end")


def test_a_refusal_half_way_through_the_tablespaces_ends_those_before(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, "dash", "--version", "9i")) as stage:
        armed(stage)
        stage.control("file", "3", "rman")
        stage.guard.send("hold erp 10")
        failed = stage.guard.expect("failed")
        assert failed.words == ("enter", "1")
        assert "ORA-01253" in failed.said
        assert not stage.active()
        assert stage.sql("select max(change#) from v$backup;") != "0"


@pytest.mark.parametrize(
    "fault",
    ["begin after 600", "begin die-after", "begin lost-after", "begin lost", "begin garbage what is this", "begin die"],
)
def test_a_begin_whose_outcome_is_unknown_is_taken_back(stage: OracleStage, fault: str) -> None:
    armed(stage)
    stage.control("fault", fault)
    stage.guard.send("hold erp 10")
    assert stage.guard.expect("failed").words[0] == "enter"
    stage.guard.close()
    eventually("nothing is held", lambda: not stage.active())
    stage.guard.leaves_nothing_behind()


@pytest.mark.parametrize("number", [1031, 1123, 1128, 1146, 1253])
def test_a_begin_that_is_refused_by_its_number_owns_nothing(stage: OracleStage, number: int) -> None:
    armed(stage)
    stage.control("fault", f"begin error {number}")
    stage.guard.send("hold erp 10")
    failed = stage.guard.expect("failed")
    assert failed.words == ("enter", "2" if number == 1146 else "1")
    assert f"ORA-0{number}" in failed.said
    assert not stage.active()


def test_a_begin_that_says_done_and_is_not_is_not_believed(stage: OracleStage) -> None:
    armed(stage)
    stage.control("fault", "begin lie")
    stage.guard.send("hold erp 10")
    failed = stage.guard.expect("failed")
    assert "not in backup mode, though it may be written" in failed.said


@pytest.mark.parametrize("fault", ["begin hang", "begin hang-after", "begin slow 60"])
def test_a_begin_that_hangs_is_ended_within_its_time(tmp_path: Path, fault: str) -> None:
    with staging(OracleStage(tmp_path, begin_wait=Duration(2))) as stage:
        armed(stage)
        stage.control("fault", fault)
        began = time.monotonic()
        stage.guard.send("hold erp 2")
        assert stage.guard.expect("failed").words == ("enter", "124")
        assert time.monotonic() - began < 15.0
        stage.guard.close()
        eventually("nothing is held", lambda: not stage.active())
        stage.guard.leaves_nothing_behind()


def test_what_the_server_does_for_a_dead_client_is_ended_as_well(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, begin_wait=Duration(1))) as stage:
        armed(stage)
        stage.control("fault", "begin late 3")
        stage.guard.send("hold erp 1")
        assert stage.guard.expect("failed").words == ("enter", "124")
        stage.guard.close()
        eventually("it came late", lambda: stage.sql("select min(change#) from v$backup;") != "0", 10.0)
        eventually("nothing is held", lambda: not stage.active())


@pytest.mark.parametrize(
    "fault", ["suspend hang-after", "suspend lost-after", "suspend after 600", "suspend garbage x"]
)
def test_a_suspend_that_goes_wrong_frees_the_writers(suspending: OracleStage, fault: str) -> None:
    armed(suspending)
    suspending.guard.take("erp")
    suspending.control("fault", fault)
    suspending.guard.send("hold erp.suspend 20")
    if "hang" in fault:
        eventually("it is suspended", suspending.is_suspended)
        suspending.guard.close()
    else:
        assert suspending.guard.expect("failed").hold == "erp.suspend"
        suspending.guard.close()
    eventually("nothing is held", lambda: not suspending.is_held())
    suspending.guard.leaves_nothing_behind()


@pytest.mark.parametrize("fault", ["end lost", "end error 600", "end die-after", "end lie"])
def test_an_end_that_goes_wrong_once_is_ended_after_all(stage: OracleStage, fault: str) -> None:
    armed(stage)
    stage.guard.take()
    stage.control("fault", fault)
    assert leave(stage) is not Kept.WAS_HELD
    stage.control("mend")
    stage.guard.close()
    eventually("nothing is held", lambda: not stage.active())


def test_a_client_that_died_meanwhile_costs_nothing(stage: OracleStage) -> None:
    """Backup mode outlives it: another client proves it and ends it."""
    armed(stage)
    stage.guard.take()
    pid = int((stage.guard.record("erp") / "dir" / "client.pid").read_text().split()[0])
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert leave(stage) is Kept.WAS_HELD
    assert not stage.active()


def test_another_process_ends_what_the_record_says_is_ours(stage: OracleStage) -> None:
    armed(stage)
    stage.guard.take()
    answer = stage.host.call(Verb("host.rescue", (stage.guard.run,)), soon())
    assert answer.lines("rescued") == ("erp\t0",)
    assert not stage.active()


@pytest.mark.parametrize("version", ["19c", "9i", "8i"])
def test_a_crash_of_the_instance_leaves_backup_mode_to_be_ended_while_mounted(tmp_path: Path, version: str) -> None:
    with staging(OracleStage(tmp_path, "dash", "--version", version)) as stage:
        armed(stage)
        stage.guard.take()
        stage.control("crash")
        refused = stage.refused("start")  # it stays mounted
        assert "ORA-10873" in refused or "ORA-01113" in refused
        assert stage.active()
        stage.guard.close()
        eventually("nothing is held", lambda: not stage.active())
        stage.control("start")


# ---- check ----


@pytest.mark.parametrize(
    ("create", "control", "fault", "message"),
    [
        (("--noarchivelog",), (), Refused, "NOARCHIVELOG"),
        (("--state", "mounted"), (), Refused, "MOUNTED"),
        (("--state", "down"), (), Refused, "does not run"),
        (("--standby",), (), Refused, "standby|not open|not for writing"),
        ((), ("begin", "USERS"), ForeignHold, "1 of its files are in backup mode"),
        ((), ("suspend",), ForeignHold, "suspended"),
        ((), ("file", "4", "offline"), Refused, "users01.dbf is"),
        ((), ("file", "4", "recover"), Refused, "is RECOVER|needs media recovery"),
        ((), ("set", "osdba", "off"), CommandFailed, "ORA-01031"),
    ],
)
def test_what_cannot_be_held_is_refused(
    tmp_path: Path, create: tuple[str, ...], control: tuple[str, ...], fault: type[Fault], message: str
) -> None:
    with staging(OracleStage(tmp_path, "dash", *create)) as stage:
        if control:
            stage.control(*control)
        with pytest.raises(fault, match=message):
            stage.application().check(soon())
        if control == ("suspend",):
            stage.control("resume")


def test_offline_and_read_only_tablespaces_are_in_nobodys_way(tmp_path: Path) -> None:
    paths = [f"--tablespace={name}={tmp_path}/{name}.dbf" for name in ("OLD", "GONE")]
    for version in ("19c", "9i"):
        folder = tmp_path / version
        folder.mkdir()
        with staging(OracleStage(folder, "dash", "--version", version, *paths)) as stage:
            stage.control("tablespace", "OLD", "readonly")
            stage.control("tablespace", "GONE", "offline")
            assert f"{tmp_path}/OLD.dbf" in stage.application().check(soon()).files
            armed(stage)
            stage.guard.take()
            assert stage.active()
            assert leave(stage) is Kept.WAS_HELD


def test_folders_that_must_not_be_frozen_are_refused_beside_the_data(stage: OracleStage) -> None:
    stage.options["may_lie_beside_data"] = False
    with pytest.raises(Refused, match="which may be frozen") as refused:
        stage.application().check(soon())
    assert "audit_file_dest" in refused.value.detail


def test_an_account_with_a_password_holds_and_its_password_shows_nowhere(tmp_path: Path) -> None:
    rights = "alter database,alter system,alter tablespace,select any dictionary"
    create = ("--user", f"backup/p&w d:{rights}")
    with staging(OracleStage(tmp_path, "dash", *create, password="p&w d", user="backup")) as stage:
        stage.control("set", "grace", "on")
        armed(stage)
        stage.guard.take()
        assert stage.active()
        assert leave(stage) is Kept.WAS_HELD
        assert "p&w d" not in "".join(line for line in stage.log().splitlines() if "--user" not in line)
        stage.control("set", "osdba", "off")
        with pytest.raises(Refused, match="/ as sysdba"):
            stage.application().check(soon())


def test_a_begin_that_came_to_nothing_does_not_end_what_others_begin_much_later(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, begin_wait=Duration(1))) as stage:
        armed(stage)
        stage.control("fault", "begin hang", "connect error 1034")
        stage.guard.send("hold erp 1")
        assert stage.guard.expect("failed").words == ("enter", "124")
        stage.control("mend")
        stage.control("tick", "20000")
        stage.control("begin", "USERS")
        stage.guard.close()
        stage.guard.leaves_nothing_behind()
        assert stage.active()
        stage.control("end")


def test_a_suspension_after_a_restart_of_the_instance_is_not_ours(suspending: OracleStage) -> None:
    armed(suspending)
    suspending.guard.take()
    suspending.control("crash")
    suspending.control("tick", "100")
    suspending.refused("start")
    suspending.control("suspend")
    suspending.guard.close()
    eventually("ours is ended", (suspending.guard.record("erp.suspend") / "ended").exists)
    assert suspending.is_suspended()
    suspending.control("resume")
    eventually("backup mode is ended", lambda: not suspending.active())


def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    create = ("--user", "backup/right:select any dictionary")
    with staging(OracleStage(tmp_path, "dash", *create, password="wr0ng", user="backup")) as stage:
        with pytest.raises(CommandFailed, match="ORA-01017") as refused:
            stage.application().check(soon())
        assert "wr0ng" not in refused.value.full()


def test_numbers_and_not_words_decide(stage: OracleStage) -> None:
    stage.control("set", "language", "german")
    armed(stage)
    stage.guard.take()
    assert leave(stage) is Kept.WAS_HELD


def test_one_instance_of_a_cluster_is_enough_and_all_threads_are_on_the_card(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, "dash", "--rac", sid="ERP1", suspend=True)) as stage:
        facts = stage.application().check(soon())
        assert any("cluster" in text for text in facts.warnings)
        armed(stage)
        stage.guard.send("hold erp 10")
        assert [line.split()[0] for line in stage.guard.expect("held").facts["begin-log"].splitlines()] == ["1", "2"]
        stage.guard.take("erp.suspend")
        stage.guard.send("release")
        assert stage.guard.expect("released").kept is Kept.WAS_HELD
        assert leave(stage) is Kept.WAS_HELD


def test_an_instance_that_starts_while_io_is_suspended_spoils_the_proof(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, "dash", "--rac", sid="ERP1", suspend=True)) as stage:
        stage.control("crash", "ERP2")
        armed(stage)
        stage.guard.take()
        stage.control("start", "ERP2")
        stage.guard.send("release")
        assert stage.guard.expect("released").kept is Kept.WAS_NOT_HELD
        assert not stage.is_suspended()


# ---- capture ----


def captured_after(stage: OracleStage, between: tuple[str, ...] = ()) -> tuple[dict[str, str], str]:
    armed(stage)
    stage.guard.send("hold erp 10")
    facts = dict(stage.guard.expect("held").facts)
    stage.guard.send("leave erp good 30")
    facts |= stage.guard.expect("left").facts
    if between:
        stage.control(*between)
    captured = stage.application().capture(facts, Verdict.APPLICATION, soon())
    return {name: content.decode(errors="replace") for name, content in captured.files.items()} | {
        "needs": captured.needs_logs
    }, " ".join(captured.steps)


def test_the_card_has_control_file_parameters_and_archived_logs(stage: OracleStage) -> None:
    (stage.home / "dbs").mkdir()
    files, steps = captured_after(stage)
    assert {"control.ctl", "init.ora", "data-files.txt", "archived-logs.txt"} <= files.keys()
    assert files["needs"] == "archived logs of thread 1 sequence 43 to 43 (all archived)"
    assert "1_43_" in files["archived-logs.txt"]
    assert "system01.dbf" in files["data-files.txt"]
    assert "CARD/erp/control.ctl" in steps
    assert "thread 1 sequence 43 to 43" in steps


def test_a_control_file_of_another_night_is_not_taken_for_tonights(stage: OracleStage) -> None:
    (stage.home / "dbs").mkdir()
    old = stage.home / "dbs" / "splitmirror_ERP.ctl"
    old.write_text("old")
    stage.control("fault", "controlfile lie")
    files, _ = captured_after(stage)
    assert "control.ctl" not in files
    assert not old.exists()


def test_without_a_folder_to_copy_to_the_card_says_so(stage: OracleStage) -> None:
    files, steps = captured_after(stage)
    assert "control.ctl" not in files
    assert "could not be put on this card" in steps


def test_a_stuck_archiver_is_waited_for_only_so_long(stage: OracleStage) -> None:
    stage.options["archive_wait"] = Duration(2)
    began = time.monotonic()
    files, _ = captured_after(stage, ("set", "archiver", "stuck"))
    assert time.monotonic() - began < 30.0
    assert "not seen to be archived" in files["needs"] or "not archived within" in files["needs"]


def test_an_instance_that_went_down_after_the_split_costs_words_and_not_the_copy(stage: OracleStage) -> None:
    files, steps = captured_after(stage, ("crash",))
    assert "thread 1 sequence 43 to 43" in files["needs"]
    assert "could not be asked after the split" in steps


def test_a_snapshot_has_the_database_s_own_time(tmp_path: Path) -> None:
    with staging(OracleStage(tmp_path, mode="snapshot")) as stage:
        facts = stage.application().check(soon())
        assert facts.needs_atomic
        assert {name.rpartition("/")[2] for name in facts.files} >= {"redo01.log", "control01.ctl", "users01.dbf"}
        captured = stage.application().capture({}, Verdict.CRASH, soon())
        taken = captured.facts["snapshot-time"]
        assert f"SNAPSHOT TIME '{taken}'" in " ".join(captured.steps)


def test_archived_logs_may_have_to_lie_on_a_mirror(stage: OracleStage) -> None:
    stage.options["archived_logs"] = "mirrored"
    facts = stage.application().check(soon())
    assert [path.rpartition("/")[2] for path in facts.log_files] == ["arch"]
