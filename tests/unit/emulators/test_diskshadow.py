"""The emulated diskshadow in its own terms: scripts, writers, shadow copies, and what goes wrong with them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "diskshadow"
BLOCK = 64 * 1024
ID = r"\{[0-9a-f-]{36}\}"
PATIENCE_SECONDS = 20.0


@dataclass
class Stage:
    """A machine with D: and E:."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DISKSHADOW_EMULATOR_STATE": f"{self.folder}/state"}

    def control(self, *words: str) -> str:
        done = subprocess.run(
            [TOOLS / "control", *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def create(self, *options: str) -> Stage:
        volumes = []
        for letter in "DE":
            path = self.folder / letter.lower()
            path.write_bytes(os.urandom(2 * BLOCK))
            volumes.append(f"{letter}:={path}")
        self.control("create", "--group", "erp", *volumes, *options)
        return self

    def run(self, *lines: str, code: int = 0, end: str = "\r\n", encoding: str = "cp437") -> str:
        """What a script printed."""
        script = self.folder / "script.dsh"
        script.write_bytes("".join(line + end for line in lines).encode(encoding))
        done = subprocess.run(
            [TOOLS / "diskshadow", "/s", script],
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            cwd=self.folder,
        )
        said = done.stdout.decode(encoding)
        assert done.returncode == code, f"{done.returncode}: {said}{done.stderr.decode()}"
        return said.replace("\r\n", "\n")

    def copies(self) -> list[str]:
        """The ids of all shadow copies, by a session of its own."""
        return re.findall(rf"\* Shadow copy ID = ({ID})", self.run("list shadows all"))

    def events(self) -> list[str]:
        return self.control("events").splitlines()


SET = ("set context persistent", "add volume D: alias data", "add volume E: alias log")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path).create()


# -- the usual way --


def test_a_persistent_set_is_one_moment_and_outlives_the_session(stage: Stage) -> None:
    was = [(stage.folder / name).read_bytes() for name in "de"]
    said = stage.run(*SET, "create", "expose %data% P:", "expose %log% Q:")
    assert "Original count of shadow copies = 2" in said
    assert "The shadow copy was successfully exposed as P:\\." in said
    assert re.search(rf"Alias data for shadow ID ({ID}) set as environment variable\.", said)
    for name in "de":
        (stage.folder / name).write_bytes(os.urandom(2 * BLOCK))
    assert [Path(stage.control("where", place)).read_bytes() for place in ("P:", "Q:")] == was
    assert len(stage.copies()) == 2


def test_a_folder_as_a_volume_has_its_files_in_the_shadow_copy(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (tmp_path / "f" / "data").mkdir(parents=True)
    (tmp_path / "f" / "data" / "erp.mdf").write_text("then")
    (tmp_path / "state.drives" / "C" / "mnt").mkdir(parents=True)
    stage.control("create", "--group", "erp", f"F:={tmp_path}/f")
    stage.run("set context persistent", "add volume f:", "create", "expose %VSS_SHADOW_1% C:\\mnt\\")
    (tmp_path / "f" / "data" / "erp.mdf").write_text("now")
    assert (Path(stage.control("where", "C:\\mnt")) / "data" / "erp.mdf").read_text() == "then"
    stage.run("unexpose C:\\mnt\\")
    assert list((tmp_path / "state.drives" / "C" / "mnt").iterdir()) == []


def test_another_session_sees_the_copies_without_aliases(stage: Stage) -> None:
    stage.run(*SET, "create")
    assert "%data%" not in stage.run("list shadows all")
    assert "not found" in stage.run("expose %data% P:")


def test_volatile_copies_go_with_the_process(stage: Stage) -> None:
    said = stage.run("add volume D:", "create", "list shadows all")
    assert "Number of shadow copies listed: 1" in said
    assert "No shadow copies found in system." in stage.run("list shadows all")


def test_a_killed_session_leaves_no_volatile_copy_and_its_persistent_ones(stage: Stage) -> None:
    stage.control("fault", "create orphan")
    stage.run("add volume D:", "create", code=-9)
    assert stage.copies() == []
    stage.run(*SET, "create", code=-9)
    assert len(stage.copies()) == 2


def test_typed_commands_go_on_after_an_error(stage: Stage) -> None:
    done = subprocess.run(
        [TOOLS / "diskshadow"],
        env=stage.environment,
        input=b"nonsense\r\nlist providers\r\nexit\r\n",
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    said = done.stdout.decode()
    assert said.count("DISKSHADOW> ") == 3 and "1 provider registered." in said and "\r\n" in said


def test_exec_has_the_aliases_and_its_failure_ends_the_script(stage: Stage) -> None:
    script = stage.folder / "state.drives" / "C" / "backup.cmd"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "it is $data"\nexit "$1"\n')
    script.chmod(0o755)
    said = stage.run(*SET, "create", "exec C:\\backup.cmd 0", "end backup")
    assert re.search(rf"it is {ID}", said)
    said = stage.run(*SET, "create", "exec C:\\backup.cmd 3", "end backup")
    assert "-> end backup" not in said
    assert "The script file name is not valid." in stage.run('exec "C:\\backup.cmd" 0')


# -- writers --


def test_writers_freeze_and_thaw_around_the_moment(stage: Stage) -> None:
    said = stage.run("set verbose on", "begin backup", *SET, "create", "list writers status", "end backup")
    assert '* Including writer "SqlServerWriter":' in said
    assert "Status: 5 (VSS_WS_WAITING_FOR_BACKUP_COMPLETE)" in said
    assert stage.events() == [f"{word} SqlServerWriter" for word in ("freeze", "frozen", "thaw", "complete full")]


def test_nowriters_and_clientaccessible_freeze_nobody(stage: Stage) -> None:
    stage.run("set context persistent nowriters", "add volume D:", "create")
    stage.run("set context clientaccessible", "add volume D:", "create")
    assert stage.events() == []


def test_a_session_without_end_backup_shuts_the_writers_down(stage: Stage) -> None:
    stage.run(*SET, "create")
    assert stage.events()[-1] == "shutdown SqlServerWriter"
    assert "No backup is in progress." in stage.run("end backup")


def test_a_writer_that_is_left_out_is_only_missed_when_it_is_verified(stage: Stage) -> None:
    alone = ("set context persistent", "add volume D:")
    assert "SqlServerWriter" not in stage.run(*alone, "create")
    assert len(stage.copies()) == 1
    said = stage.run("writer verify {a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}", *alone, "create")
    assert "is not included in the backup" in said
    assert len(stage.copies()) == 1
    stage.control("writer", "SqlServerWriter", "missing")
    assert "is not included" in stage.run("writer verify SqlServerWriter", *SET, "create")
    assert "SqlServerWriter" not in stage.run("list writers status")


def test_a_slow_writer_aborts_all_at_the_limit(tmp_path: Path) -> None:
    stage = Stage(tmp_path).create("--freeze", "SqlServerWriter=61")
    said = stage.run(*SET, "create")
    assert "VSS_E_PROVIDER_VETO" in said and stage.copies() == []
    assert stage.events() == ["freeze SqlServerWriter", "abort SqlServerWriter"]
    status = stage.run("list writers status")
    assert "9 (VSS_WS_FAILED_AT_FREEZE)" in status and "0x800423f2 (VSS_E_WRITERERROR_TIMEOUT)" in status


@pytest.mark.parametrize(
    ("fault", "made", "is_told"), [("writer-fail", 0, True), ("writer-fail-late", 2, True), ("writer-quiet", 2, False)]
)
def test_a_failing_writer_with_and_without_shadow_copies(stage: Stage, fault: str, made: int, *, is_told: bool) -> None:
    stage.control("fault", f"create {fault} SqlServerWriter")
    said = stage.run(*SET, "create", "list writers status")
    assert ("The last operation failed." in said) == is_told
    assert ("(VSS_WS_FAILED_AT_POST_SNAPSHOT)" in said) == (not is_told)
    assert len(stage.copies()) == made


# -- refusals, exit codes --


def test_no_source_says_the_exit_codes_so_they_can_be_set(tmp_path: Path) -> None:
    stage = Stage(tmp_path).create("--failed-code", "1", "--syntax-code", "2", "--exec-code", "3")
    (tmp_path / "no.cmd").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "no.cmd").chmod(0o755)
    stage.run("expose {no-such} P:", code=1)
    stage.run("set context sideways", code=2)
    stage.run(f"exec {tmp_path}/no.cmd", code=3)


def test_of_a_line_with_lf_alone_the_last_character_is_lost(stage: Stage, tmp_path: Path) -> None:
    said = stage.run("set context persistent nowriters", "list providers", end="\n")
    assert "-> set context persistent nowriter\n" in said and "SET CONTEXT {" in said
    assert "provider registered" not in said
    (other := tmp_path / "other").mkdir()
    fine = Stage(other).create("--lf-ok").run("set context persistent nowriters", "list providers", end="\n")
    assert "provider registered" in fine


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("create",), "No volumes in Shadow Copy Set."),
        (("add volume X:",), "was not found"),
        (("add volume D:", "create", "expose %VSS_SHADOW_1% P:"), "not persistent"),
        ((*SET, "create", "expose %data% E:"), "in use"),
        ((*SET, "create", "expose %data% P:", "expose %log% P:"), "in use"),
        (("list shadows id {00000000-0000-0000-0000-000000000000}",), "not found"),
        (("delete shadows id {00000000-0000-0000-0000-000000000000}",), "not found"),
        (("import",), "No metadata"),
        (("load metadata C:\\none.cab",), "cannot be read"),
        (("set option transportable", "add volume D:", "create"), "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER"),
        (("set option noautorecover txfrecover",), "SET OPTION {"),
        (("unexpose P:",), "not found"),
    ],
)
def test_what_cannot_be_is_refused_and_ends_the_script(stage: Stage, lines: tuple[str, ...], said: str) -> None:
    told = stage.run(*lines, "list providers")
    assert said in told and "provider registered" not in told


def test_who_is_not_an_administrator_adds_no_volume(tmp_path: Path) -> None:
    assert "InitializeForBackup" in Stage(tmp_path).create("--no-admin").run("add volume D:")


# -- delete --


def test_delete_reaches_as_far_as_its_words_do(stage: Stage) -> None:
    foreign = stage.control("foreign", "D:")
    said = stage.run(*SET, "create", "delete shadows set %VSS_SHADOW_SET%")
    assert "Number of shadow copies deleted: 2" in said
    assert stage.copies() == [foreign]
    stage.run(*SET, "create", "expose %log% Q:", "delete shadows exposed Q:")
    assert len(stage.copies()) == 2
    stage.run(*SET, "create", "delete shadows volume %data%")
    assert foreign not in stage.copies()
    (left,) = stage.copies()
    assert "1 shadow copy deleted." in stage.run(f"delete shadows id {left}")
    assert "No shadow copies found in system." in stage.run("delete shadows all")


def test_oldest_is_one_of_that_volume(stage: Stage) -> None:
    stage.run(*SET, "create")
    first = stage.copies()
    stage.control("tick", "10")
    stage.run(*SET, "create")
    stage.run("delete shadows oldest D:")
    assert len(stage.copies()) == 3 and first[0] not in stage.copies()


# -- transportable, metadata --


def test_a_transportable_set_is_there_once_it_is_imported(tmp_path: Path) -> None:
    stage = Stage(tmp_path).create("--hardware")
    (tmp_path / "state.drives" / "C").mkdir()
    stage.run("set option transportable", "set metadata C:\\run.cab", *SET, "create")
    assert stage.copies() == []
    assert "overwritten" in stage.run("set metadata C:\\run.cab")
    said = stage.run("load metadata C:\\run.cab", "import", "expose %data% P:")
    assert "Transportable" in said and "successfully exposed" in said
    assert len(stage.copies()) == 2


# -- language --


@pytest.mark.parametrize(
    ("language", "code_page", "word"), [("zh", "cp936", "卷影副本 ID"), ("de", "cp850", "Ursprüngliche Anzahl")]
)
def test_a_localised_machine_prints_other_words_in_its_code_page(
    tmp_path: Path, language: str, code_page: str, word: str
) -> None:
    stage = Stage(tmp_path).create("--language", language)
    said = stage.run(*SET, "create", encoding=code_page)
    assert word in said and "Shadow copy ID =" not in said
    assert len(re.findall(r"HarddiskVolumeShadowCopy\d", said)) == 2


# -- faults --


def test_faults_by_command_word(stage: Stage) -> None:
    stage.control("fault", "create fail 1")
    assert "80042306" in stage.run(*SET, "create")
    stage.control("fault", "create busy")
    assert "VSS_E_SNAPSHOT_SET_IN_PROGRESS" in stage.run(*SET, "create")
    stage.control("fault", "create lie")
    assert "Alias" not in stage.run(*SET, "create")
    stage.control("fault", "create die")
    stage.run(*SET, "create", code=-9)
    stage.control("mend")
    assert stage.copies() == []


def test_a_set_may_lose_a_copy_and_rows_may_lie(stage: Stage) -> None:
    stage.control("fault", "create half")
    said = stage.run(*SET, "create")
    assert "Original count of shadow copies = 2" in said and "listed: 1" in said
    stage.control("fault", "list-shadows word Sideways", "list-writers word VSS_WS_ODD")
    assert "Attributes:  Sideways" in stage.run("list shadows all")
    assert "99 (VSS_WS_ODD)" in stage.run("list writers status")
    stage.control("fault", "list-shadows drop")
    assert stage.copies() == []
    stage.control("mend")
    stage.control("vanish", stage.copies()[0])
    assert stage.copies() == []


def test_every_line_is_in_the_log(stage: Stage) -> None:
    stage.run("list providers")
    assert "'->' list providers" in stage.control("log")


def test_revert_overwrites_the_volume_as_it_is_told(stage: Stage) -> None:
    was = (stage.folder / "d").read_bytes()
    stage.run(*SET, "create")
    (stage.folder / "d").write_bytes(os.urandom(2 * BLOCK))
    stage.run(f"revert {stage.copies()[0]}")
    assert (stage.folder / "d").read_bytes() == was
