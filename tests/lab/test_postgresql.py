"""PostgreSQL in backup mode under the real guard while its files are copied one after another, recovered by the card's own lines."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.lab.databases import PostgreSQL as Server
from tests.lab.databases import Writer, eventually, own_folder, room
from tests.lab.disks import btrfs, snapshot, subvolume
from tests.lab.guarded import guarded, local_host
from tests.lab.need import need

from splitmirror_drivers.applications.postgresql import Options, PostgreSQL
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Kept
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, Size

pytestmark = pytest.mark.lab

PASSWORD = "Kn0wn-to-n0body"
PAGE = Path(__file__).parents[2] / "docs/applications/postgresql.md"


@dataclass
class Erp:
    """One PostgreSQL, and folders for its copies."""

    folder: Path
    server: Server
    _number: Iterator[int] = field(default_factory=itertools.count)

    def app(self, secret: str = "", **options: object) -> PostgreSQL:
        given = {"address": str(self.server.run), "port": self.server.port} | options
        host = local_host(self.new("guard"))
        return PostgreSQL("erp", Options(**given), host, Secret(secret) if secret else None)  # type: ignore[arg-type]

    def new(self, kind: str) -> Path:
        return self.folder / f"{kind}{next(self._number)}"


def made(folder: Path, name: str, *settings: str) -> Erp:
    server = Server.make(folder / name, own_folder(folder / f"run-{name}", "postgres"), *settings)
    return Erp(folder, server)


@pytest.fixture(scope="module")
def erp() -> Iterator[Erp]:
    """One that archives nothing."""
    need("setpriv", Server.program("postgres"))
    with room() as folder:
        it = made(folder, "plain", "max_wal_size=32MB", "min_wal_size=32MB")
        with it.server.running():
            it.server.sql("create table rows(n int primary key)")
            yield it


@pytest.fixture(scope="module")
def archived() -> Iterator[Erp]:
    """One that archives into a folder, by a command that fails while ``broken`` is there."""
    need("setpriv", Server.program("postgres"))
    with room() as folder:
        archive = own_folder(folder / "archive", "postgres")
        command = f"test ! -e {archive}/broken && test ! -e {archive}/%f && cp %p {archive}/%f"
        it = made(folder, "archived", "archive_mode=on", f"archive_command={command}")
        with it.server.running():
            it.server.sql("create table rows(n int primary key)")
            yield it


@contextlib.contextmanager
def writing(erp: Erp) -> Iterator[Writer]:
    erp.server.sql("truncate rows")
    with Writer(erp.server).writing() as writer:
        yield writer


def checked(app: PostgreSQL) -> Facts:
    app.host.families(app.families)
    return app.check(Deadline.after(30))


def copied(erp: Erp, writer: Writer) -> Path:
    """A copy whose files are of many moments: file by file, with commits in between."""
    copy = own_folder(erp.new("copy"), "postgres")
    for entry in sorted(erp.server.data.iterdir()):
        done = subprocess.run(["cp", "-a", str(entry), str(copy)], capture_output=True, text=True)
        vanished = [line for line in done.stderr.splitlines() if "No such file" not in line]
        assert done.returncode == 0 or not vanished, done.stderr
        writer.wait_for_more(2)
    return copy


def card(folder: Path, captured: Captured) -> Path:
    """The recovery card's folder, with this application's files as the hook lays them down."""
    for name, content in captured.files.items():
        path = folder / "erp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def restored(erp: Erp, copy: Path, captured: Captured, others: Mapping[str, str] | None = None) -> Server:
    """A second server, made by the command lines of the card with COPY, CARD and places filled in."""
    to = own_folder(erp.new("restored"), "postgres")
    places = {"COPY": str(copy), "CARD": str(card(erp.new("card"), captured)), str(erp.server.data): str(to)} | dict(
        others or {}
    )
    lines = [line for step in captured.steps for line in re.findall(r"`((?:cp|rm|install|touch|for) [^`]*)`", step)]
    assert len(lines) >= 2, captured.steps
    for line in lines:
        for word, meaning in places.items():
            line = line.replace(word, meaning)
        subprocess.run(["sh", "-ec", line], check=True)
    settings = [line for step in captured.steps for line in re.findall(r"`(re\w+ = '[^`]*')`", step)]
    with (to / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{line}\n".replace("/ARCHIVE", str(erp.folder / "archive")) for line in settings)
    return Server(to, erp.server.run)


def numbers(server: Server) -> tuple[int, int]:
    count, highest = server.sql("select count(*), coalesce(max(n), 0) from rows").split("|")
    return int(count), int(highest)


def holds_all(server: Server, committed: int) -> None:
    """Every row committed before the end of the backup is there, none is missing in between, no page is damaged."""
    with server.running():
        eventually("out of recovery", lambda: server.sql("select pg_is_in_recovery()") == "f")
        count, highest = numbers(server)
        assert count == highest >= committed
        assert "completed backup recovery" in server.said()
        server.sql(
            "create extension amcheck; select bt_index_check(c.oid, true) from pg_class c where relkind = 'i' and relam = 403"
        )


# ---- the promise ----


def test_a_copy_of_many_moments_holds_everything_committed_before_the_end(erp: Erp) -> None:
    with writing(erp) as writer, guarded(erp.app()) as it:
        it.hold()
        since = writer.commits[-1].at
        copy = copied(erp, writer)
        assert writer.longest_gap(since) < 3.0, "backup mode blocks nothing"
        committed = writer.last
        assert it.let_go().kept is Kept.WAS_HELD
        captured = it.capture()
        it.bye()
    assert captured.needs_logs == ""
    assert captured.files["backup_label"].startswith(b"START WAL LOCATION: ")
    assert captured.files["backup_label"].endswith(b"\n")
    assert any(name.startswith("pg_wal/0000") for name in captured.files)
    holds_all(restored(erp, copy, captured), committed)


def test_with_an_archive_the_card_names_the_log_files_and_they_are_there(archived: Erp) -> None:
    with writing(archived) as writer, guarded(archived.app()) as it:
        it.hold()
        copy = copied(archived, writer)
        committed = writer.last
        assert it.let_go().kept is Kept.WAS_HELD
        captured = it.capture()
        it.bye()
    named = re.search(r"log files (\w{24}) to (\w{24}) from the archive", captured.needs_logs)
    assert named
    assert (archived.folder / "archive" / named[2]).exists()
    assert list(captured.files) == ["backup_label"]
    subprocess.run(["find", str(copy / "pg_wal"), "-type", "f", "-delete"], check=True)
    holds_all(restored(archived, copy, captured), committed)


def test_log_files_stay_until_they_are_on_the_card_however_much_is_written(erp: Erp) -> None:
    with writing(erp) as writer, guarded(erp.app()) as it:
        it.hold()
        copy = copied(erp, writer)
        for _ in range(4):  # far more than max_wal_size; every checkpoint would recycle what is not reserved
            erp.server.sql(
                "create table if not exists junk(n int); insert into junk select generate_series(1, 1000); select pg_switch_wal(); checkpoint"
            )
        committed = writer.last
        assert it.let_go().kept is Kept.WAS_HELD
        captured = it.capture()
        it.bye()
    assert len([name for name in captured.files if name.startswith("pg_wal/")]) >= 5
    assert captured.needs_logs == ""
    holds_all(restored(erp, copy, captured), committed)
    assert erp.server.sql("select count(*) from pg_replication_slots") == "0"


def test_more_log_than_wal_limit_is_named_and_not_taken(erp: Erp) -> None:
    with guarded(erp.app(wal_limit=Size(2**20))) as it:
        it.hold()
        it.let_go()
        captured = it.capture()
        it.bye()
    assert list(captured.files) == ["backup_label"]
    assert re.search(
        r"log files \w{24} to \w{24} of .*pg_wal \(1 files of 16777216 bytes are more than wal-limit\)",
        captured.needs_logs,
    )


def test_tablespaces_are_covered_and_put_back_in_their_place_by_the_map(erp: Erp) -> None:
    space = own_folder(erp.new("space"), "postgres")
    erp.server.sql(f"create tablespace far location '{space}'")
    erp.server.sql(
        "create table afar(n int primary key) tablespace far; insert into afar select generate_series(1, 1000)"
    )
    try:
        with writing(erp) as writer, guarded(erp.app()) as it:
            assert {str(space), str(erp.server.data)} == set(it.facts.files)
            it.hold()
            copy, far = copied(erp, writer), own_folder(erp.new("far"), "postgres")
            subprocess.run(["cp", "-a", f"{space}/.", str(far)], check=True)
            committed = writer.last
            assert it.let_go().kept is Kept.WAS_HELD
            captured = it.capture()
            it.bye()
        line = captured.files["tablespace_map"].decode()
        assert line.endswith(f" {space}\n")
        moved = {**captured.files, "tablespace_map": line.replace(str(space), str(far)).encode()}
        second = restored(erp, copy, Captured(captured.steps, moved))
        for link in (second.data / "pg_tblspc").iterdir():
            link.unlink()  # the map makes them anew
        holds_all(second, committed)
        with second.running():
            assert second.sql("select count(*) from afar") == "1000"
    finally:
        erp.server.sql("drop table afar; drop tablespace far")


def test_an_atomic_split_needs_no_backup_mode(erp: Erp) -> None:
    need("mkfs.btrfs", loop=True)
    with room() as folder, btrfs(folder / "disk") as disk:
        subvolume(disk / "live")
        own = Erp(folder, Server.make(disk / "live/data", own_folder(folder / "run", "postgres")))
        with own.server.running():
            own.server.sql("create table rows(n int primary key)")
            app = own.app(mode="atomic")
            facts = checked(app)
            assert app.holds(facts) == ()
            assert facts.needs_atomic
            with writing(own) as writer:
                committed = writer.last
                snapshot(disk / "live", disk / "copy")
            captured = app.capture({}, Verdict.CRASH, Deadline.after(30))
            second = restored(own, disk / "copy/data", captured)
            with second.running():
                count, highest = numbers(second)
                assert count == highest >= committed


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh", "mksh"])
def test_every_shell_of_a_data_server_can_hold_it(shell: str, erp: Erp) -> None:
    need(shell.split()[0])
    app = PostgreSQL(
        "erp", Options(address=str(erp.server.run), port=erp.server.port), local_host(erp.new("guard"), shell)
    )
    with guarded(app) as it:
        it.hold()
        assert it.let_go().kept is Kept.WAS_HELD
        assert {"label", "start-lsn", "stop-lsn", "start-timeline", "stop-timeline"} <= set(it.held)
        it.bye()


# ---- what ends a backup is never called held ----


@pytest.mark.parametrize("cause", ["client killed", "backend ended", "server stopped", "server killed"])
def test_a_backup_that_was_aborted_is_not_called_held_and_has_no_label(cause: str, erp: Erp) -> None:
    with guarded(erp.app()) as it:
        it.hold()
        if cause == "client killed":
            os.kill(it.client(), signal.SIGKILL)
        elif cause == "backend ended":
            erp.server.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'splitmirror'"
            )
        else:
            erp.server.stop(signal.SIGINT if cause == "server stopped" else signal.SIGQUIT)
        try:
            assert it.let_go().kept is Kept.WAS_NOT_HELD
        finally:
            if erp.server.process is None:
                erp.server.start()
        captured = it.capture(Verdict.UNPROVEN)
        it.bye()
    assert not captured.files
    assert "not recoverable" in captured.needs_logs


def test_the_server_itself_ends_a_backup_whose_client_says_nothing(erp: Erp) -> None:
    with guarded(erp.app(lease=Duration(1))) as it:
        it.hold()
        ours = "select count(*) from pg_stat_activity where application_name = 'splitmirror'"
        eventually("the session is ended", lambda: erp.server.sql(ours) == "0", 10.0)
        assert it.let_go().kept is Kept.WAS_NOT_HELD
        it.bye()


def test_the_guards_end_ends_the_backup(erp: Erp) -> None:
    with guarded(erp.app()) as it:
        it.hold()
        it.guard.close()
        ours = "select count(*) from pg_stat_activity where application_name = 'splitmirror'"
        eventually("the session is ended", lambda: erp.server.sql(ours) == "0", 6.0)


# ---- archiving that fails ----


def test_capture_waits_no_longer_than_archive_wait_and_takes_the_log_itself(archived: Erp) -> None:
    broken = archived.folder / "archive" / "broken"
    broken.touch()
    try:
        with writing(archived) as writer, guarded(archived.app(archive_wait=Duration(2))) as it:
            it.hold()
            copy = copied(archived, writer)
            committed = writer.last
            assert it.let_go().kept is Kept.WAS_HELD, "the end of the backup does not wait for the archive"
            captured = it.capture()
            it.bye()
        assert captured.needs_logs == ""
        assert any(name.startswith("pg_wal/") for name in captured.files)
        holds_all(restored(archived, copy, captured), committed)
        eventually("check says so", lambda: any("archiving fails" in w for w in checked(archived.app()).warnings))
    finally:
        broken.unlink()


# ---- refusals ----


def test_an_absent_server_and_a_wrong_password_are_named_and_show_no_secret(erp: Erp) -> None:
    erp.server.sql(f"drop role if exists sm; create role sm login password '{PASSWORD}'")
    with pytest.raises(CommandFailed, match="role postgres cannot log in to /nowhere port") as absent:
        checked(erp.app(address="/nowhere"))
    assert "/nowhere" in absent.value.detail
    with pytest.raises(CommandFailed, match=r"role sm cannot log in to 127\.0\.0\.1") as wrong:
        checked(erp.app("wr0ng-one", address="127.0.0.1", user="sm"))
    assert "password authentication failed" in wrong.value.detail
    assert "wr0ng-one" not in wrong.value.full()


def test_a_role_without_rights_is_refused_with_the_grant_that_it_lacks(erp: Erp) -> None:
    erp.server.sql(f"drop role if exists sm; create role sm login password '{PASSWORD}'")
    with pytest.raises(Refused, match="may not see where the data directory is"):
        checked(erp.app(PASSWORD, address="127.0.0.1", user="sm"))
    erp.server.sql("grant pg_monitor to sm")
    with pytest.raises(Refused, match="role sm may not execute pg_backup_start") as refused:
        checked(erp.app(PASSWORD, address="127.0.0.1", user="sm"))
    assert "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean)" in refused.value.hint


def test_the_documented_grants_are_enough_and_the_password_shows_nowhere(erp: Erp) -> None:
    grants = re.search(r"```sql\n(-- PostgreSQL 15.*?)```", PAGE.read_text(), re.DOTALL)
    assert grants
    erp.server.sql("drop role if exists splitmirror")
    erp.server.sql(grants[1].replace("SECRET", PASSWORD))
    with guarded(erp.app(PASSWORD, address="127.0.0.1", user="splitmirror")) as it:
        it.hold()
        assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if PASSWORD.encode() in content(p)]
        kept = [p for p in it.folder.rglob("*") if p.is_file()]
        assert kept
        assert not [p for p in kept if PASSWORD.encode() in content(p)]
        assert it.let_go().kept is Kept.WAS_HELD
        captured = it.capture()
        it.bye()
    assert "backup_label" in captured.files


def content(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_settings_files_outside_the_data_directory_are_named(erp: Erp) -> None:
    """Debian keeps them in /etc: they are not in the copy."""
    outside = erp.new("conf")
    outside.mkdir()
    hba = outside / "pg_hba.conf"
    hba.write_bytes((erp.server.data / "pg_hba.conf").read_bytes())
    hba.chmod(0o644)
    own = Erp(erp.folder, Server.make(erp.new("own"), erp.server.run, f"hba_file={hba}"))
    with own.server.running():
        assert f"{hba} lies outside the data directory and is not in the copy" in checked(own.app()).warnings
