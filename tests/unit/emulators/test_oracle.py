"""The emulated Oracle in its own terms: states, refusals, texts, exit codes, what waits and what stays."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "oracle"
PLAIN = ("set pagesize 0 linesize 1000 feedback off heading off numwidth 20",)
BEGIN, END = "alter database begin backup;", "alter database end backup;"


class World:
    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.root = folder, folder / "state.root"
        self.control("create", *options)

    def environment(self, **more: str) -> dict[str, str]:
        known = {"PATH": os.environ["PATH"], "ORACLE_HOME": "/opt/oracle", "ORACLE_SID": "ERP"}
        return known | {"ORACLE_EMULATOR_STATE": f"{self.folder}/state"} | more

    def call(self, tool: str, *words: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(TOOLS / tool), *words],
            input=text,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=30,
        )

    def control(self, *words: str) -> str:
        done = self.call("control", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def plus(self, *lines: str, logon: str = "/ as sysdba", **more: str) -> subprocess.CompletedProcess[str]:
        return self.call("sqlplus", "-S", "-L", logon, text="\n".join(lines) + "\n", **more)

    def ask(self, sql: str, **more: str) -> list[str]:
        return self.plus(*PLAIN, sql + ";", **more).stdout.splitlines()

    def says(self, *lines: str, **more: str) -> str:
        return self.plus(*lines, **more).stdout

    def start(self, tool: str, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [str(TOOLS / tool), *words], stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment(), text=True
        )

    def session(self) -> subprocess.Popen[str]:
        """A client that is logged in."""
        client = self.start("sqlplus", "-S", "-L", "/", "as", "sysdba")
        assert self.answer(client, "prompt READY") == "READY\n"
        return client

    def answer(self, client: subprocess.Popen[str], line: str) -> str:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(line + "\n")
        client.stdin.flush()
        return client.stdout.readline()

    def active(self) -> list[str]:
        return self.control("active").split()

    def is_suspended(self) -> bool:
        return self.call("control", "is-suspended").returncode == 0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def still_waits(process: subprocess.Popen[str]) -> bool:
    time.sleep(0.4)
    return process.poll() is None


# ---- backup mode ----


def test_backup_mode_belongs_to_the_files_and_outlives_its_client(world: World) -> None:
    assert world.says(BEGIN) == "\nDatabase altered.\n\n"
    assert world.active() == ["1", "2", "3", "4"]
    assert world.ask("select count(*) from v$backup where status = 'ACTIVE'") == ["                   4"]
    assert world.says(END) == "\nDatabase altered.\n\n"
    assert world.active() == []


def test_begin_twice_is_refused_as_a_whole(world: World) -> None:
    world.control("begin", "USERS")
    said = world.says(BEGIN)
    assert said.startswith(
        "alter database begin backup\n*\nERROR at line 1:\n"
        "ORA-01146: cannot start online backup - file 4 is already in backup\n"
        f"ORA-01110: data file 4: '{world.root}/oradata/users01.dbf'\n"
    )
    assert world.active() == ["4"]
    assert "Database altered." in world.says(END)
    assert "ORA-01142" in world.says(END)


def test_a_mixed_state_may_also_refuse_its_end(world: World) -> None:
    world.control("begin", "USERS")
    world.control("set", "mixed-end", "refused")
    assert "ORA-01142" in world.says(END)
    assert world.active() == ["4"]


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (("file", "4", "offline"), "ORA-01128: cannot start online backup - file 4 is offline\nORA-01110"),
        (("file", "4", "rman"), "ORA-01253: cannot start online backup - file 4 in recovery manager backup\nORA-01110"),
        (("file", "4", "missing"), "ORA-01157"),
    ],
)
def test_one_file_refuses_all(world: World, change: tuple[str, ...], number: str) -> None:
    world.control(*change)
    assert number in world.says(BEGIN)
    assert world.active() == []


def test_a_proxy_backup_can_not_be_ended_either(world: World) -> None:
    world.control("file", "4", "rman")
    assert "ORA-01254" in world.says(END)


def test_without_archiving_there_is_no_backup_mode(tmp_path: Path) -> None:
    world = World(tmp_path, "--noarchivelog")
    assert "ORA-01123: cannot start online backup; media recovery not enabled" in world.says(BEGIN)
    assert world.ask("select log_mode from v$database") == ["NOARCHIVELOG"]
    assert "No Archive Mode" in world.says("archive log list")


def test_tablespaces_one_by_one(world: World) -> None:
    world.control("tablespace", "USERS", "readonly")
    assert "ORA-01642: begin backup not needed for read-only tablespace 'USERS'" in world.says(
        "alter tablespace users begin backup;"
    )
    assert "ORA-01140" in world.says("alter tablespace users end backup;")
    assert "Tablespace altered." in world.says('alter tablespace "SYSTEM" begin backup;')
    assert "ORA-03217" in world.says("alter tablespace temp begin backup;")
    assert "ORA-00959" in world.says("alter tablespace nothing begin backup;")
    world.control("tablespace", "USERS", "offline")
    assert "ORA-01128" in world.says("alter tablespace users begin backup;")
    assert world.ask("select status from v$backup order by file#")[-1].strip() == "OFFLINE NORMAL"
    assert world.active() == ["1"]
    assert "Database altered." in world.says("alter database datafile 1 end backup;")


def test_read_only_tablespaces_are_left_out_of_the_whole(world: World) -> None:
    world.control("tablespace", "USERS", "readonly")
    world.says(BEGIN)
    assert world.active() == ["1", "2", "3"]


def test_the_headers_stand_still_in_backup_mode(world: World) -> None:
    users = world.root / "oradata" / "users01.dbf"
    world.says(BEGIN)
    header = users.read_text().splitlines()[0]
    world.control("write", "one more")
    world.says("alter system checkpoint;")
    assert users.read_text().splitlines()[0] == header
    assert users.read_text().endswith("one more\n")
    world.says(END)
    assert users.read_text().splitlines()[0] != header


# ---- crash, shutdown, states ----


def test_a_crash_in_backup_mode_refuses_the_open_until_it_is_ended(world: World) -> None:
    world.says(BEGIN)
    for how in ("shutdown", "shutdown immediate", "shutdown transactional"):
        assert "ORA-01149: cannot shutdown - file 1 has online backup set\nORA-01110" in world.says(how)
    world.control("crash")
    assert "ORA-01034" in world.says(END)
    assert "ORA-10873" in world.call("control", "start").stderr
    assert world.ask("select status from v$instance")[0].strip() == "MOUNTED"
    assert "ORA-01109" in world.says("alter tablespace users end backup;")
    assert "Database altered." in world.says(END)
    assert "Database altered." in world.says("alter database open;")
    assert world.ask("select status from v$instance")[0].strip() == "OPEN"


def test_abort_goes_through_and_startup_says_what_is_wrong(world: World) -> None:
    world.says(BEGIN)
    assert "ORACLE instance shut down." in world.says("shutdown abort")
    said = world.says("startup")
    assert "Database mounted.\nORA-10873: file 1 needs to be either taken out" in said


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("10g", "ORA-01113: file 1 needs media recovery"),
        ("11g", "ORA-10873: file 1 needs end backup before opening a database"),
        ("12.2", "ORA-10873: file 1 needs to be either taken out of backup mode or media recovered"),
    ],
)
def test_the_refusal_has_the_words_of_its_release(tmp_path: Path, version: str, text: str) -> None:
    world = World(tmp_path, "--version", version)
    world.says(BEGIN)
    world.control("crash")
    assert text in world.call("control", "start").stderr


def test_a_session_learns_of_a_crash(world: World) -> None:
    client = world.session()
    world.control("crash")
    said = client.communicate(f"{END}\n{END}\n")[0]
    assert "ORA-03113" in said
    assert "SP2-0640: Not connected" in said


def test_a_mounted_database_shows_its_fixed_views_only(tmp_path: Path) -> None:
    world = World(tmp_path, "--state", "mounted")
    assert world.ask("select count(*) from v$datafile")[0].strip() == "4"
    assert "ORA-01219" in world.says("select file_name from dba_data_files;")
    assert "ORA-01109" in world.says(BEGIN)


# ---- suspend and frozen filesystems ----


def test_a_suspended_database_lets_writers_wait_and_go_on(world: World) -> None:
    world.says(BEGIN)
    assert world.control("write").strip().isdigit()
    world.says("alter system suspend;")
    assert world.is_suspended()
    writer = world.start("control", "write", "late row")
    assert still_waits(writer)
    assert world.ask("select database_status from v$instance") == ["SUSPENDED"]
    world.says("alter system resume;")
    writer.communicate(timeout=10)
    assert writer.returncode == 0
    assert "late row" in (world.root / "oradata" / "users01.dbf").read_text()


def test_end_and_views_wait_while_suspended(world: World) -> None:
    world.says(BEGIN)
    world.control("suspend")
    ends = world.start("sqlplus", "-S", "-L", "/ as sysdba")
    assert ends.stdin is not None
    ends.stdin.write(END + "\n")
    ends.stdin.flush()
    looks = world.start("sqlplus", "-S", "-L", "/ as sysdba")
    assert looks.stdin is not None
    looks.stdin.write("select * from v$backup;\n")
    looks.stdin.flush()
    assert still_waits(ends)
    assert still_waits(looks)
    world.control("resume")
    assert "altered" in ends.communicate()[0]
    assert looks.communicate()[0]


def test_suspension_is_lost_in_a_crash(world: World) -> None:
    world.says("alter system suspend;")
    world.control("crash")
    world.control("start")
    assert not world.is_suspended()


def test_a_login_waits_for_its_audit_file_and_a_session_does_not(world: World) -> None:
    client = world.session()
    world.control("set", "adump", "frozen")
    late = world.start("sqlplus", "-S", "-L", "/ as sysdba")
    assert still_waits(late)
    assert world.answer(client, f"{BEGIN}\nprompt NOW") == "\n"
    assert world.active()
    files = len(list((world.root / "adump").iterdir()))
    world.control("set", "adump", "thawed")
    late.communicate(timeout=10)
    assert len(list((world.root / "adump").iterdir())) == files + 1
    client.communicate(timeout=10)


def test_frozen_data_files_let_backup_mode_wait(world: World) -> None:
    world.control("set", "data", "frozen")
    client = world.session()
    assert client.stdin is not None
    client.stdin.write(f"{BEGIN}\n")
    client.stdin.flush()
    assert still_waits(client)
    assert world.active() == []
    world.control("set", "data", "thawed")
    client.communicate(timeout=10)
    assert world.active()


# ---- RAC ----


def test_one_instance_is_enough_for_both(tmp_path: Path) -> None:
    world = World(tmp_path, "--rac")
    world.says(BEGIN, "alter system suspend;", ORACLE_SID="ERP1")
    assert world.ask("select database_status from v$instance", ORACLE_SID="ERP2") == ["SUSPENDED"]
    world.says("alter system resume;", "alter system archive log current;", ORACLE_SID="ERP2")
    assert [one.split() for one in world.ask("select thread#, max(sequence#) from v$archived_log group by thread#", ORACLE_SID="ERP1")] == [["1", "43"], ["2", "43"]]  # fmt: skip
    world.control("crash", "ERP1")
    world.control("start", "ERP1")
    assert world.ask("select status from v$instance", ORACLE_SID="ERP1")[0].strip() == "OPEN"
    assert "ORA-01034" in world.says("select 1 from dual;", ORACLE_SID="ERP")


def test_an_instance_that_starts_later_is_not_suspended(tmp_path: Path) -> None:
    world = World(tmp_path, "--rac")
    world.control("crash", "ERP2")
    world.says("alter system suspend;", ORACLE_SID="ERP1")
    world.control("start", "ERP2")
    asked = "select instance_name || ' ' || database_status from gv$instance order by 1"
    assert world.ask(asked, ORACLE_SID="ERP2") == ["ERP1 SUSPENDED", "ERP2 ACTIVE"]


# ---- logs and control file ----


def test_a_switch_does_not_wait_for_the_archiver_and_archive_current_does(world: World) -> None:
    world.control("set", "archiver", "stuck")
    assert "System altered." in world.says("alter system switch logfile;")
    client = world.session()
    assert client.stdin is not None
    client.stdin.write("alter system archive log current;\n")
    client.stdin.flush()
    assert still_waits(client)
    world.control("set", "archiver", "0")
    assert "System altered." in client.communicate(timeout=10)[0]
    names = world.ask("select name from v$archived_log order by sequence#")
    assert [Path(name.strip()).name for name in names] == ["1_43_900000001.dbf", "1_44_900000001.dbf"]
    assert all(Path(name.strip()).exists() for name in names)


def test_the_control_file_is_backed_up_to_a_real_file(world: World) -> None:
    path = world.folder / "cf.bak"
    assert "Database altered." in world.says(f"alter database backup controlfile to '{path}';")
    assert path.read_text().startswith("ORACLE CONTROL FILE BACKUP\nDBNAME ERP\n")
    assert "ORA-01580" in world.says(f"alter database backup controlfile to '{path}';")
    assert "Database altered." in world.says(f"alter database backup controlfile to '{path}' reuse;")
    assert "ORA-27040" in world.says("alter database backup controlfile to '/nonexistent/cf';")


def test_the_scn_grows_with_writes(world: World) -> None:
    first = int(world.ask("select current_scn from v$database")[0])
    world.control("write")
    assert int(world.ask("select current_scn from v$database")[0]) > first


# ---- releases ----


def test_the_whole_database_form_came_with_10g(tmp_path: Path) -> None:
    world = World(tmp_path, "--version", "9i")
    assert "ORA-02231" in world.says(BEGIN)
    assert "ORA-01126" in world.says(END)
    assert 'ORA-00904: "CURRENT_SCN": invalid identifier' in world.says("select current_scn from v$database;")
    assert "Tablespace altered." in world.says("alter tablespace users begin backup;")
    world.control("crash")
    world.control("crash")
    assert world.call("control", "start").returncode == 1
    assert "Database altered." in world.says(END)


def test_server_manager_of_8i(tmp_path: Path) -> None:
    world = World(tmp_path, "--version", "8i")
    lines = ["connect internal", "alter tablespace USERS begin backup;", "alter tablespace USERS begin backup;"]
    done = world.call("svrmgrl", text="\n".join([*lines, "select 'DONE' from dual;", "exit"]))
    assert done.returncode == 0
    assert "SVRMGR> Connected.\nSVRMGR> Statement processed.\nSVRMGR> ORA-01146: cannot start" in done.stdout
    assert "\nDONE\n1 row selected.\nSVRMGR> Server Manager complete.\n" in done.stdout
    assert world.active() == ["3"]
    assert world.plus("exit").returncode == 1, "-L is not known"


def test_server_manager_is_gone_in_9i(tmp_path: Path) -> None:
    world = World(tmp_path, "--version", "9i")
    assert world.call("svrmgrl").returncode == 127
    assert "ORA-09275" in world.call("sqlplus", "-S", "/nolog", text="connect internal\n").stdout


# ---- logins ----


@pytest.mark.parametrize(
    ("logon", "number"),
    [("a/b", "ORA-01017"), ("sm/x@nowhere", "ORA-12154"), ("sm/wrong", "ORA-01017"), ("sm/x as sysdba", "ORA-01031")],
)
def test_a_refused_login_ends_the_client(tmp_path: Path, logon: str, number: str) -> None:
    world = World(tmp_path, "--user", "sm/x:alter database")
    done = world.plus("select 1 from dual;", logon=logon)
    assert done.returncode == 1
    assert done.stdout.startswith(f"ERROR:\n{number}: ")
    assert "SP2-0751: Unable to connect to Oracle.  Exiting SQL*Plus" in done.stdout


def test_without_l_the_next_lines_are_eaten(world: World) -> None:
    done = world.call("sqlplus", "-S", "a/b", text=f"{BEGIN}\n{BEGIN}\n{BEGIN}\n{BEGIN}\n{BEGIN}\n")
    assert done.returncode == 1
    assert "SP2-0157" in done.stdout
    assert world.active() == []


def test_an_account_may_do_what_it_was_granted(tmp_path: Path) -> None:
    world = World(tmp_path, "--user", "sm/x:alter tablespace,select any dictionary", "--user", "bare/x")
    assert "ORA-01031" in world.says(BEGIN, logon="sm/x")
    assert "Tablespace altered." in world.says("alter tablespace users begin backup;", logon="sm/x@ERP")
    assert "ORA-01031" in world.says("alter system suspend;", logon="sm/x")
    assert "ORA-00942" in world.says("select * from v$backup;", logon="bare/x")
    world.control("set", "grace", "on")
    assert "ORA-28002" in world.says("prompt DONE", logon="sm/x")
    assert world.plus("prompt DONE", logon="sm/x").returncode == 0


@pytest.mark.parametrize(("version", "code"), [("10g", 0), ("11g", 5)])
def test_a_failed_connect_triggers_whenever_from_11g_on(tmp_path: Path, version: str, code: int) -> None:
    world = World(tmp_path, "--version", version)
    done = world.call("sqlplus", "-S", "/nolog", text="whenever sqlerror exit 5\nconnect a/b\n")
    assert done.returncode == code
    assert "ORA-01017" in done.stdout


def test_system_logins_can_be_refused_and_need_an_instance(world: World) -> None:
    assert "ORA-12162" in world.says("exit", ORACLE_SID="")
    assert world.plus("exit", ORACLE_HOME="").returncode == 1
    world.control("set", "osdba", "off")
    assert "ORA-01031" in world.says("exit")


# ---- the client ----


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (1034, 10),
        (1031, 7),
        (1109, 85),
        (1123, 99),
        (1128, 104),
        (1140, 116),
        (1142, 118),
        (1146, 122),
        (1149, 125),
        (1154, 130),
        (1157, 133),
        (1253, 229),
        (1254, 230),
        (1642, 106),
        (10873, 121),
        (12154, 122),
        (1536, 0),
    ],
)
def test_exit_codes_have_eight_bits(world: World, number: int, code: int) -> None:
    world.control("fault", f"begin error {number}")
    assert world.plus("whenever sqlerror exit sql.sqlcode", BEGIN).returncode == code


@pytest.mark.parametrize(("words", "code"), [("failure", 1), ("2", 2), ("success", 0), ("300", 44), ("warning", 2)])
def test_whenever_has_its_words(world: World, words: str, code: int) -> None:
    done = world.plus(f"whenever sqlerror exit {words} rollback", END, "prompt not reached")
    assert (done.returncode, "not reached" in done.stdout) == (code, False)
    assert world.plus(END, f"exit {words}").returncode == code


def test_errors_go_on_without_whenever_and_exit_says_nothing_of_them(world: World) -> None:
    done = world.plus(END, "prompt SENTINEL")
    assert done.returncode == 0
    assert done.stdout.endswith("\nSENTINEL\n")
    assert world.plus(END, "exit sql.sqlcode").returncode == 118


def test_an_ampersand_eats_the_next_line(world: World) -> None:
    world.says("select 'a&b' from dual;", BEGIN)
    assert world.active() == []
    world.says("set define off", "select 'a&b' from dual;", BEGIN)
    assert world.active()


def test_an_empty_line_ends_a_statement_without_running_it(world: World) -> None:
    world.says("alter database", "", "begin backup;")
    assert world.active() == []
    world.says("alter database", "begin backup", "/")
    assert world.active()


def test_the_layout_bites_who_does_not_set_it(world: World) -> None:
    world.control("tick", str(10**11))
    assert "E+11" in world.says("select current_scn from v$database;")
    long = world.says(f"select '{'x' * 100}' from dual;")
    assert f"{'x' * 80}\n{'x' * 20}\n\n" in long
    assert "no rows selected" in world.says("select * from v$recover_file;")


def test_messages_are_in_the_language_of_the_client(world: World) -> None:
    said = world.says(END, NLS_LANG="GERMAN_GERMANY.WE8ISO8859P1")
    assert "FEHLER in Zeile 1:\nORA-01142: Meldung auf Deutsch" in said
    world.control("set", "language", "german")
    assert "Datenbank wurde geändert." in world.says(BEGIN)
    assert "Database altered." in world.says(END, NLS_LANG="AMERICAN_AMERICA.US7ASCII")


# ---- SQL ----


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("select 'x=' || file# || ' ' || b.status from sys.v_$backup b where file# < 3", ["x=1 NOT ACTIVE", "x=2 NOT ACTIVE"]),
        ("select nvl(null, 'n') || '' || null || chr(65) from dual", ["nA"]),
        ("select decode(count(*), 0, 'none', 'some') from v$recover_file", ["none"]),
        ("select case when log_mode = 'ARCHIVELOG' then 'y' else 'n' end || ';' from v$database", ["y;"]),
        ("select tablespace_name from dba_tablespaces where contents <> 'TEMPORARY' and status = 'ONLINE' minus select 'USERS' from dual", ["SYSAUX", "SYSTEM", "UNDOTBS1"]),
        ("select 'T' || t.name from v$datafile d, v$tablespace t where d.ts# = t.ts# and d.file# in (select max(file#) from v$datafile)", ["TUSERS"]),
        ("select file# || '' from v$datafile where rownum <= 2", ["1", "2"]),
        ("select thread# || '/' || max(sequence#) from v$log group by thread#", ["1/43"]),
        ("select value from v$parameter where name = 'db_name'", ["ERP"]),
        ("select 'no' from dual where '' is not null", []),
        ("select to_char(7, 'FM999') || length(to_char(sysdate, 'YYYY-MM-DD HH24:MI:SS')) from dual", ["719"]),
        ('select "NAME" from v$database', ["ERP"]),
        ("select user || sys_context('userenv', 'instance_name') from dual", ["SYSERP"]),
    ],
)  # fmt: skip
def test_queries_mean_what_they_mean_to_oracle(world: World, sql: str, answer: list[str]) -> None:
    assert [line.strip() for line in world.ask(sql)] == answer


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("select x from v$nothing", "ORA-00942"),
        ("select d.nothing# from v$database d", 'ORA-00904: "D"."NOTHING#"'),
        ("select 1", "ORA-00923"),
        ("select (1 from dual", "ORA-00933"),
        ("select 1 from dual where", "ORA-00933"),
        ("select ? from dual", "ORA-00911"),
        ("alter database nothing", "ORA-02231"),
        ("alter system nothing", "ORA-00922"),
    ],
)
def test_what_is_not_understood_is_an_error(world: World, sql: str, number: str) -> None:
    assert number in world.says(sql + ";")


# ---- faults ----


def test_a_client_that_is_killed_half_way_leaves_half(world: World) -> None:
    world.control("fault", "begin die")
    assert world.plus(BEGIN).returncode == -9
    assert world.active() == ["1"]


def test_the_server_goes_on_when_its_client_was_killed(world: World) -> None:
    world.control("fault", "begin late 0.5")
    client = world.session()
    assert client.stdin is not None
    client.stdin.write(BEGIN + "\n")
    client.stdin.flush()
    assert still_waits(client)
    client.kill()
    client.communicate()
    assert world.active() == []
    eventually(lambda: world.active() == ["1", "2", "3", "4"])


@pytest.mark.parametrize(
    ("fault", "said", "done"),
    [
        ("begin fail", "ORA-00600", False),
        ("begin error 1154", "ORA-01154", False),
        ("begin after 1154", "ORA-01154", True),
        ("begin lost", "ORA-03113", False),
        ("begin lost-after", "ORA-03113", True),
        ("begin lie", "Database altered.", False),
        ("begin garbage odd words", "odd words", True),
        ("begin noise more words", "Database altered.\nmore words", True),
        ("begin slow 0.1", "Database altered.", True),
    ],
)
def test_faults_do_what_they_say(world: World, fault: str, said: str, done: bool) -> None:
    world.control("fault", fault)
    assert said in world.says(BEGIN)
    assert bool(world.active()) is done


@pytest.mark.parametrize(
    ("fault", "done"), [("begin hang", False), ("begin hang-after", True), ("connect hang", False)]
)
def test_a_hang_has_no_end(world: World, fault: str, done: bool) -> None:
    world.control("fault", fault)
    client = world.start("sqlplus", "-S", "-L", "/ as sysdba")
    assert client.stdin is not None
    client.stdin.write(BEGIN + "\n")
    client.stdin.flush()
    assert still_waits(client)
    client.kill()
    client.communicate()
    assert bool(world.active()) is done


def test_names_of_asm_are_no_files(tmp_path: Path) -> None:
    world = World(tmp_path, "--asm", "DATA=/dev/sdq,/dev/sdr")
    assert world.ask("select name from v$datafile where file# = 1")[0].strip() == "+DATA/ERP/system01.dbf"
    assert world.ask("select path from v$asm_disk") == ["/dev/sdq", "/dev/sdr"]
    world.says(BEGIN)
    world.control("write")
    assert world.active()


def test_a_home_has_the_programs_of_its_release(world: World) -> None:
    world.control("wrap", f"{world.folder}/home")
    done = subprocess.run(
        [f"{world.folder}/home/bin/sqlplus", "-V"],
        env={"PATH": os.environ["PATH"], "ORACLE_HOME": f"{world.folder}/home"},
        capture_output=True,
        text=True,
    )
    assert "SQL*Plus: Release 19.0.0.0.0 - Production" in done.stdout
    assert not (world.folder / "home" / "bin" / "svrmgrl").exists()
