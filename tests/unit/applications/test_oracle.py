"""The oracle driver's pure parts: what it reads, refuses and warns of, options, logs, the words of a recovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from splitmirror_drivers.applications.oracle import Options, Oracle
from splitmirror_drivers.applications.oracle_instance import beside, parse_instance, refuse, refuse_unasked, warnings
from splitmirror_drivers.applications.oracle_steps import (
    Recovery,
    Span,
    backup_steps,
    blind_steps,
    snapshot_steps,
    spans_of,
)
from splitmirror_drivers.catalogue import APPLICATIONS, Context
from splitmirror_drivers.contracts.application import Facts
from splitmirror_drivers.contracts.host import Answer, Blocks
from splitmirror_drivers.kit.errors import ForeignHold, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import SecretReference

FACTS = {
    "home": "/u01/app/oracle/product/19",
    "client": "sqlplus",
    "status": "OPEN",
    "version": "19.0.0.0.0",
    "io": "ACTIVE",
    "parallel": "NO",
    "database.name": "ERP",
    "database.dbid": "1234567890",
    "database.log_mode": "ARCHIVELOG",
    "database.open_mode": "READ WRITE",
    "database.role": "PRIMARY",
    "file": "SYSTEM|READ WRITE|/data/system01.dbf\nONLINE|READ WRITE|/data/users 01|x.dbf\nONLINE|READ ONLY|/old/old01.dbf",
    "redo": "/redo/redo01.log",
    "control": "/redo/control01.ctl",
    "archive": "/arch",
    "parameter.audit_file_dest": "/u01/app/oracle/admin/ERP/adump",
    "parameter.diagnostic_dest": "/u01/app/oracle",
}


def answer(**changes: str) -> Answer:
    return Answer({**FACTS, **{key.replace("__", "."): value for key, value in changes.items()}}, 0, "said")


# ---- reading ----


def test_an_instance_is_read_with_whatever_stands_in_its_file_names() -> None:
    at = parse_instance(answer())
    assert at.version == (19, 0)
    assert at.data == ("/data/system01.dbf", "/data/users 01|x.dbf", "/old/old01.dbf")
    assert at.way == "database"
    assert at.archive_folders == ("/arch",)


@pytest.mark.parametrize(
    ("version", "way"), [("8.1.7.4.0", "tablespace"), ("9.2.0.8.0", "tablespace"), ("10.2.0.5.0", "database")]
)
def test_before_10g_it_goes_tablespace_by_tablespace(version: str, way: str) -> None:
    assert parse_instance(answer(version=version)).way == way


@pytest.mark.parametrize(("key", "value"), [("version", "nineteen"), ("file", ""), ("file", "ONLINE|/data/x")])
def test_what_cannot_be_read_is_not_guessed_at(key: str, value: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_instance(answer(**{key: value}))


def test_a_view_that_may_not_be_seen_is_named_with_its_number() -> None:
    with pytest.raises(Refused, match=r"may not see backup .*ORA-00942"):
        parse_instance(answer(failed="archive ORA-00904\nbackup ORA-00942"))
    parse_instance(answer(failed="archive ORA-00904"))


def test_the_recovery_area_stands_for_its_word() -> None:
    at = parse_instance(answer(archive="USE_DB_RECOVERY_FILE_DEST", parameter__db_recovery_file_dest="+RECO"))
    assert at.archive_folders == ("+RECO",)


def test_an_audit_folder_that_is_not_set_lies_in_the_home() -> None:
    facts = {key: value for key, value in FACTS.items() if "audit" not in key}
    at = parse_instance(Answer(facts, 0, ""))
    assert "/u01/app/oracle/product/19/rdbms/audit" in at.kept_writable.values()
    shown = parse_instance(answer(parameter__audit_file_dest="?/rdbms/audit"))
    assert "/u01/app/oracle/product/19/rdbms/audit" in shown.kept_writable.values()


# ---- refusing ----


@pytest.mark.parametrize(
    ("changes", "fault", "message"),
    [
        ({"status": "MOUNTED", "io": "ACTIVE"}, Refused, "erp is MOUNTED"),
        ({"status": "STARTED"}, Refused, "erp is STARTED"),
        ({"io": "SUSPENDED"}, ForeignHold, "I/O is suspended"),
        ({"io": "PAUSED"}, UnknownAnswer, "PAUSED"),
        ({"status": "ASLEEP"}, UnknownAnswer, "ASLEEP"),
        ({"io": ""}, UnknownAnswer, "not known"),
    ],
)
def test_of_what_cannot_be_asked_the_reason_is_told(
    changes: Mapping[str, str], fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message):
        refuse_unasked("erp", answer(**changes))


def test_an_open_instance_may_be_asked() -> None:
    refuse_unasked("erp", answer())
    refuse("erp", parse_instance(answer()), "backup", "")


@pytest.mark.parametrize(
    ("changes", "mode", "user", "message"),
    [
        ({"version": "7.3.4.0.0"}, "backup", "", "older than 8i"),
        ({"database.log_mode": "NOARCHIVELOG"}, "backup", "", "NOARCHIVELOG"),
        ({"database.log_mode": "NOARCHIVELOG"}, "snapshot", "", "NOARCHIVELOG"),
        ({"database.open_mode": "READ ONLY"}, "backup", "", "open READ ONLY, and not for writing"),
        ({"database.role": "PHYSICAL STANDBY"}, "backup", "", "a physical standby"),
        ({"version": "9.2.0.8.0", "parameter.log_archive_start": "FALSE"}, "backup", "", "does not archive by itself"),
        ({"file": "RECOVER|READ WRITE|/data/a"}, "backup", "", "/data/a is RECOVER"),
        ({"file": "OFFLINE|READ WRITE|/data/a"}, "snapshot", "", "/data/a is OFFLINE"),
        ({"recover": "7 /data/old.dbf"}, "backup", "", "file 7 needs media recovery: /data/old.dbf"),
        ({"version": "11.2.0.4.0"}, "snapshot", "", "since 12.1"),
        ({}, "backup", "backup", "/ as sysdba"),
    ],
)
def test_a_database_that_cannot_be_recovered_from_a_copy_is_refused(
    changes: Mapping[str, str], mode: str, user: str, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        refuse("erp", parse_instance(answer(**changes)), mode, user)


def test_an_offline_tablespace_is_not_a_lost_file() -> None:
    changes = {"file": "OFFLINE|DISABLED|/data/a\nONLINE|READ WRITE|/data/b"}
    refuse("erp", parse_instance(answer(**changes)), "backup", "")


def test_backup_mode_of_somebody_else_is_foreign_but_in_nobodys_way_of_a_snapshot() -> None:
    at = parse_instance(answer(active="/data/a\n/data/b"))
    with pytest.raises(ForeignHold, match="2 of its files are in backup mode, and not by us: /data/a"):
        refuse("erp", at, "backup", "")
    refuse("erp", at, "snapshot", "")
    assert any(
        "2 files are in backup mode by somebody else" in text for text in warnings(at, "snapshot", suspends=False)
    )


def test_an_account_is_good_when_sysdba_can_rescue() -> None:
    refuse("erp", parse_instance(answer(**{"may-rescue": "yes"})), "backup", "backup")


def test_what_a_login_writes_to_is_found_beside_data() -> None:
    at = parse_instance(answer())
    mounts = dict.fromkeys(("/data/system01.dbf", "/data/users 01|x.dbf"), "/dev/sdb /data")
    assert beside(at, mounts | {"/u01/app/oracle/admin/ERP/adump": "/dev/sda /"}) == ()
    found = beside(at, mounts | {"/u01/app/oracle/admin/ERP/adump": "/dev/sdb /data", at.home: "/dev/sdb /data"})
    assert len(found) == 2
    assert any("audit_file_dest" in text for text in found)


def test_what_a_person_should_look_at_is_said() -> None:
    at = parse_instance(answer(parallel="YES", archive="", file="SYSTEM|READ WRITE|+DATA/erp/system.dbf"))
    told = warnings(at, "backup", suspends=True)
    assert [any(part in text for text in told) for part in ("cluster", "ASM", "archived logs")] == [True] * 3
    assert warnings(parse_instance(answer()), "backup", suspends=True) == ()


# ---- options and holds ----


def context() -> Context:
    return Context(secret=lambda reference: Secret("s"), state_folder="/state")


def made(**options: Any) -> Oracle:
    return Oracle.from_options("erp", Options(**{"sid": "ERP", **options}), None, context())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sid": "ERP; exit"}, "not the name of an instance"),
        ({"sid": ""}, "not the name of an instance"),
        ({"user": 'a"b', "password": SecretReference(env="X")}, "not the name of a database account"),
        ({"user": "backup"}, "go together"),
        ({"password": SecretReference(env="X")}, "go together"),
        ({"suspend": True, "mode": "snapshot"}, "no substitute for backup mode"),
        ({"oracle_home": "u01"}, "oracle-home must be an absolute path"),
        ({"copy_folder": "/a'b"}, "copy-folder must be an absolute path"),
    ],
)
def test_what_would_end_in_a_statement_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(PolicyFault, match=message):
        made(**options)


def test_suspension_lies_on_top_of_backup_mode() -> None:
    app = made(suspend=True)
    backup, suspend = app.holds(Facts(files=(), values={"way": "tablespace"}))
    assert (backup.blocks, backup.survives_restart, backup.tolerates_spread) == (Blocks.NOTHING, True, True)
    assert backup.arguments[-2:] == ("backup", "tablespace")
    assert (suspend.blocks, suspend.survives_restart, suspend.tolerates_spread) == (Blocks.WRITES, False, False)
    assert suspend.rank > backup.rank
    assert {backup.claim, suspend.claim} == {"oracle-ERP", "oracle-ERP.suspend"}
    assert made(mode="snapshot").holds(Facts(files=())) == ()


def test_the_catalogue_knows_it() -> None:
    assert APPLICATIONS["oracle"]().options is Options


# ---- logs ----


def test_the_logs_of_every_thread_are_counted() -> None:
    assert spans_of("1 43\n2 7", "1 45\n2 7") == (Span(1, 43, 45), Span(2, 7, 7))
    assert str(Span(1, 43, 45)) == "thread 1 sequence 43 to 45"
    assert Span(1, 43, 45).argument == "1:43:45"


def test_a_thread_that_came_or_went_counts_where_it_was_seen() -> None:
    assert spans_of("1 43", "1 44\n2 9") == (Span(1, 43, 44), Span(2, 9, 9))
    assert spans_of("1 43\n2 9", "1 44") == (Span(1, 43, 44), Span(2, 9, 9))


@pytest.mark.parametrize(("begin", "end"), [("", "1 44"), ("1 43", ""), ("", "")])
def test_without_begin_or_end_nothing_is_claimed(begin: str, end: str) -> None:
    assert spans_of(begin, end) == ()


@pytest.mark.parametrize("text", ["1", "one 43", "1 43 44", "1 -43"])
def test_what_is_no_sequence_is_an_error(text: str) -> None:
    with pytest.raises(UnknownAnswer, match="is no thread"):
        spans_of(text, "1 44")


# ---- the words ----


def recovery(**changes: Any) -> Recovery:
    given: dict[str, Any] = {
        "name": "erp",
        "sid": "ERP",
        "home": "/u01/19",
        "os_user": "oracle",
        "control": ("/redo/control01.ctl", "/data/control02.ctl"),
        "spans": (Span(1, 43, 45),),
        "files": {"control.ctl": b"x", "init.ora": b"y"},
        "control_at": "/u01/19/dbs/splitmirror_ERP.ctl",
    }
    return Recovery(**(given | changes))


def test_recovery_from_backup_mode_names_its_commands_logs_and_the_way_that_destroys() -> None:
    text = " ".join(backup_steps(recovery()))
    for part in (
        "thread 1 sequence 43 to 45",
        "install -o oracle -m 640 CARD/erp/control.ctl /redo/control01.ctl",
        "/data/control02.ctl",
        "STARTUP NOMOUNT pfile='CARD/erp/init.ora'",
        "RECOVER DATABASE USING BACKUP CONTROLFILE UNTIL CANCEL;",
        "ALTER DATABASE OPEN RESETLOGS",
        "Never use ALTER DATABASE END BACKUP on the copy",
    ):
        assert part in text


def test_what_is_not_on_the_card_is_told_where_it_is() -> None:
    text = " ".join(backup_steps(recovery(files={}, spans=(), os_user="")))
    assert "find /u01/19/dbs/splitmirror_ERP.ctl" in text
    assert "which are not known" in text
    assert "pfile" not in text


def test_a_database_that_could_not_be_asked_has_words_all_the_same() -> None:
    text = " ".join(blind_steps("erp", (Span(2, 1, 3),), "ORA-01034"))
    assert "thread 2 sequence 1 to 3" in text
    assert "ORA-01034" in text


def test_a_snapshot_is_recovered_with_its_time() -> None:
    text = " ".join(snapshot_steps(recovery(spans=()), "2026-11-25 03:00:00"))
    assert "SNAPSHOT TIME '2026-11-25 03:00:00'" in text
    assert "END BACKUP" not in text
