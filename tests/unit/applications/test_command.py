"""The `command` application through the real guard, over a pretend application that hangs, is late, fails or is taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.contracts.application import ApplicationContract, AppStage
from tests.faults.guard.stage import SHELLS, eventually

from splitmirror_drivers.applications.command import CommandApplication, Options
from splitmirror_drivers.catalogue import APPLICATIONS, Context
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.host import Hold, Kept
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, ForeignHold, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import decode_hook

QUIESCER = str(Path(__file__).parents[2] / "emulators" / "quiescer")
ODD = 'it\'s "odd" $(id) `id` ; * \\n'
"""A word that every shell would mangle if it read it again."""


def soon() -> Deadline:
    return Deadline.after(20)


def decoded(table: object) -> Options:
    return msgspec.convert(table, Options, dec_hook=decode_hook)


class QuiescerStage(AppStage):
    """The pretend application with its state file in a folder."""

    def __init__(self, folder: Path, shell: str = "dash", **options: object) -> None:
        super().__init__(folder, shell)
        self.state = str(folder / "state")
        Path(f"{self.state}.data").write_bytes(b"")
        self.options = self.usual() | {key.replace("_", "-"): value for key, value in options.items()}
        self.secret: Secret | None = None

    def usual(self) -> dict[str, object]:
        return {
            "files": [str(self.folder)],
            "blocks": "writes",
            "ends-with": "server",
            "tolerates-spread": True,
            "check": [QUIESCER, self.state, "status"],
            "enter": [QUIESCER, self.state, "quiesce", ODD],
            "leave": [QUIESCER, self.state, "resume", "{verdict}"],
            "rescue": [QUIESCER, self.state, "resume", "rescue of {run}"],
            "capture": [QUIESCER, self.state, "info"],
            "not-held-exit-codes": [3],
            "foreign-exit-codes": [4],
            "deadlines": {"enter": "3s", "leave": "3s"},
        }

    def application(self) -> CommandApplication:
        self.host.families(CommandApplication.families)
        return CommandApplication("app", decoded(self.options), self.host, self.secret)

    def is_held(self) -> bool:
        return Path(self.state).exists()

    def owner(self) -> str:
        return Path(self.state).read_text(encoding="utf-8")

    @contextlib.contextmanager
    def foreign(self) -> Iterator[None]:
        Path(self.state).write_text("somebody else", encoding="utf-8")
        yield
        Path(self.state).unlink()

    def let_go(self) -> None:
        Path(self.state).unlink()

    def stop(self) -> None:
        self.fault("status fail")

    def fault(self, *lines: str) -> None:
        Path(f"{self.state}.faults").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def log(self) -> list[str]:
        return Path(f"{self.state}.log").read_text(encoding="utf-8").splitlines()

    def hold(self) -> Hold:
        (hold,) = self.application().holds(self.application().check(soon()))
        return hold

    def start(self) -> None:
        """Start the guard and open the hold."""
        self.guard.holds.append(self.hold())
        self.guard.start()
        self.guard.open()


class SessionStage(QuiescerStage):
    """The same, held by a client's session."""

    def usual(self) -> dict[str, object]:
        return {
            "files": [str(self.folder)],
            "blocks": "writes",
            "ends-with": "session",
            "client": [QUIESCER, self.state, "session"],
            "ready-word": "ready",
            "enter-lines": ["lock"],
            "held-word": "locked",
            "leave-lines": ["unlock {verdict}"],
            "left-word": "unlocked",
            "failed-words": ["busy"],
            "deadlines": {"enter": "3s", "leave": "3s"},
        }

    def is_held(self) -> bool:
        with Path(f"{self.state}.lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def foreign(self) -> Iterator[None]:
        with Path(f"{self.state}.lock").open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def client(self) -> int:
        return int((self.guard.record("app") / "dir" / "client.pid").read_text(encoding="utf-8").split()[0])

    def let_go(self) -> None:
        pid = self.client()
        os.kill(pid, signal.SIGKILL)
        eventually("the client is gone", lambda: not self.is_held())

    def stop(self) -> None:
        pytest.skip("does not apply: a session is only tried when it is opened")


class TestPrograms(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return QuiescerStage(folder)


class TestSession(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return SessionStage(folder)


@pytest.fixture
def stages() -> Iterator[list[QuiescerStage]]:
    made: list[QuiescerStage] = []
    yield made
    for stage in made:
        stage.guard.clean_up()


@pytest.fixture
def stage(tmp_path: Path, stages: list[QuiescerStage]) -> QuiescerStage:
    stages.append(QuiescerStage(tmp_path))
    return stages[-1]


@pytest.fixture
def session(tmp_path: Path, stages: list[QuiescerStage]) -> SessionStage:
    made = SessionStage(tmp_path)
    stages.append(made)
    return made


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    import shutil

    words = str(request.param)
    if shutil.which(words.split()[0]) is None:
        pytest.skip(f"{words.split()[0]} is not installed")
    return words


# ---- words, in every shell ----


def test_words_reach_the_program_as_they_were_written(tmp_path: Path, shell: str, stages: list[QuiescerStage]) -> None:
    stage = QuiescerStage(tmp_path, shell)
    stages.append(stage)
    stage.start()
    stage.guard.send("hold app 10")
    held = stage.guard.expect("held", "app")
    assert stage.owner() == ODD
    assert held.facts == {"position": "17 of log 3"}
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.WAS_HELD
    assert stage.log()[-1] == "resume good"
    stage.guard.send("bye")
    stage.guard.expect("bye")
    stage.guard.leaves_nothing_behind()


def test_a_session_is_told_lines_in_every_shell(tmp_path: Path, shell: str, stages: list[QuiescerStage]) -> None:
    stage = SessionStage(tmp_path, shell)
    stages.append(stage)
    stage.start()
    stage.guard.send("hold app 10")
    assert stage.guard.expect("held", "app").facts["position"] == "17 of log 3"
    assert stage.is_held()
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.WAS_HELD
    assert stage.log()[-2:] == ["session lock", "session unlock good"]
    stage.guard.send("bye")
    stage.guard.expect("bye")
    stage.guard.leaves_nothing_behind()


# ---- check ----


def test_what_check_prints_adds_to_the_facts(stage: QuiescerStage) -> None:
    facts = stage.application().check(soon())
    assert facts.files == (str(stage.folder), f"{stage.state}.data")
    assert facts.version == "1.2"


def test_a_foreign_hold_is_told_as_such(stage: QuiescerStage) -> None:
    with stage.foreign(), pytest.raises(ForeignHold, match="not by us"):
        stage.application().check(soon())


def test_a_program_that_cannot_be_found_is_refused_in_preflight(stage: QuiescerStage) -> None:
    stage.options["rescue"] = ["/no/such/rescue"]
    with pytest.raises(Refused, match="cannot find /no/such/rescue"):
        stage.application().check(soon())


def test_without_its_word_the_copy_must_be_one_moment(stage: QuiescerStage) -> None:
    assert stage.application().check(soon()).needs_atomic == ""
    stage.options["tolerates-spread"] = False
    assert stage.application().check(soon()).needs_atomic


# ---- enter ----


def test_a_state_without_an_owner_is_asked_for_directly_before_it_is_taken(stage: QuiescerStage) -> None:
    """This application's quiesce would take what somebody else holds, without a word."""
    stage.fault("quiesce careless")
    stage.start()
    with stage.foreign():
        stage.guard.send("hold app 10")
        assert stage.guard.expect("failed", "app").words == ("enter", "4")
        assert stage.owner() == "somebody else"
    assert "quiesce" not in " ".join(stage.log())


def test_an_enter_that_fails_by_itself_is_undone_when_nobody_held_it_before(stage: QuiescerStage) -> None:
    stage.fault("quiesce fail-after")
    stage.start()
    stage.guard.send("hold app 10")
    stage.guard.expect("failed", "app")
    assert not stage.is_held()
    assert stage.log()[-1] == "resume rescue of run-1"


def test_an_enter_that_fails_when_taken_leaves_it_alone(stage: QuiescerStage) -> None:
    del stage.options["foreign-exit-codes"], stage.options["check"]
    stage.options["enter-fails-when-taken"] = True
    stage.start()
    with stage.foreign():
        stage.guard.send("hold app 10")
        assert stage.guard.expect("failed", "app").words == ("enter", "4")
        stage.guard.close()
        stage.guard.leaves_nothing_behind()
        assert stage.owner() == "somebody else"
    assert not [line for line in stage.log() if line.startswith("resume")]


@pytest.mark.parametrize("fault", ["quiesce hang", "quiesce hang-after"])
def test_an_enter_that_hangs_is_ended_and_rescued(stage: QuiescerStage, fault: str) -> None:
    stage.fault(fault)
    stage.start()
    stage.guard.send("hold app 10")
    assert stage.guard.expect("failed", "app").words == ("enter", "124")
    eventually("rescued", lambda: not stage.is_held() and "resume rescue of run-1" in stage.log())


def test_a_late_answer_is_waited_for_within_its_time(stage: QuiescerStage) -> None:
    stage.fault("quiesce late")
    stage.start()
    stage.guard.send("hold app 10")
    stage.guard.expect("held", "app")
    assert stage.is_held()


# ---- leave ----


def start_held(stage: QuiescerStage) -> None:
    stage.start()
    stage.guard.take("app")
    assert stage.is_held()


def test_a_code_that_no_list_names_proves_nothing_and_the_hold_is_ended_all_the_same(stage: QuiescerStage) -> None:
    start_held(stage)
    stage.fault("resume fail")
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.UNKNOWN
    assert stage.is_held()
    stage.fault()
    stage.guard.send("bye")
    eventually("rescued later", lambda: not stage.is_held())


def test_a_leave_that_hangs_does_not_leave_it_held(stage: QuiescerStage) -> None:
    stage.options["rescue"] = [QUIESCER, stage.state, "forget"]
    start_held(stage)
    stage.fault("resume hang")
    stage.guard.send("release")
    assert stage.guard.expect("released", "app", seconds=30).kept is not Kept.WAS_HELD
    assert not stage.is_held()


def test_verify_is_asked_directly_before_leave(tmp_path: Path, stages: list[QuiescerStage]) -> None:
    """For a leave that says 0 whether or not anything was held."""
    script = tmp_path / "verify"
    script.write_text('#!/bin/sh\n[ -e "$1" ] || exit 3\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    stage = QuiescerStage(tmp_path)
    stages.append(stage)
    stage.options |= {"verify": [str(script), stage.state], "leave": [QUIESCER, stage.state, "forget"]}
    start_held(stage)
    stage.let_go()
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.WAS_NOT_HELD
    assert "forget" not in stage.log(), "what is not held is not ended"


def test_a_verify_that_fails_still_leaves_but_proves_nothing(stage: QuiescerStage) -> None:
    stage.options["verify"] = ["/bin/false"]
    start_held(stage)
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.UNKNOWN
    assert not stage.is_held()


def test_the_verdict_reaches_a_hold_that_blocks_nothing(stage: QuiescerStage) -> None:
    stage.options["blocks"] = "nothing"
    start_held(stage)
    stage.guard.send("leave app bad 5")
    assert stage.guard.expect("left", "app").kept is Kept.WAS_HELD
    assert stage.log()[-1] == "resume bad"


def test_the_watcher_rescues_what_the_guard_left_when_it_was_killed(stage: QuiescerStage) -> None:
    stage.start()
    stage.guard.send("watch blocking 2")
    stage.guard.expect("watching")
    stage.guard.take("app")
    pids = [stage.guard.ear(), stage.guard.hand("app")]
    stage.guard.signal(signal.SIGKILL, *pids)
    eventually("rescued", lambda: not stage.is_held())
    assert stage.log()[-1] == "resume rescue of run-1"


# ---- sessions ----


def test_a_client_that_says_no_fails_at_once(session: SessionStage) -> None:
    session.fault("session refuse")
    session.start()
    session.guard.send("hold app 10")
    assert session.guard.expect("failed", "app").words == ("enter", "1")
    assert "busy" in session.guard.expect("say", "app").said


def test_a_client_that_dies_says_why(session: SessionStage) -> None:
    session.start()
    session.fault("session die")
    session.guard.send("hold app 10")
    assert "something is wrong here" in session.guard.expect("say", "app").said
    session.guard.expect("failed", "app")


def test_a_client_that_hangs_is_ended(session: SessionStage) -> None:
    session.fault("session hang")
    session.start()
    session.guard.send("hold app 10")
    assert session.guard.expect("failed", "app").words == ("enter", "124")
    session.guard.close()
    session.guard.leaves_nothing_behind()


def test_a_client_that_does_not_answer_at_the_end_is_ended(session: SessionStage) -> None:
    start_held(session)
    session.fault("session mute")
    session.guard.send("release")
    assert session.guard.expect("released", "app", seconds=30).kept is not Kept.WAS_HELD
    eventually("nothing is held", lambda: not session.is_held())


def test_a_client_that_cannot_start_fails_in_open(session: SessionStage) -> None:
    session.options["ready-word"] = "never"
    session.options["failed-words"] = ["ready"]
    session.guard.holds.append(session.hold())
    session.guard.start()
    session.guard.send("open")
    assert session.guard.expect("failed", "app").words == ("open", "1")


def test_what_outlives_its_client_is_ended_by_the_rescue(session: SessionStage) -> None:
    session.options |= {"ends-with": "server", "rescue": [QUIESCER, session.state, "forget"]}
    start_held(session)
    Path(session.state).write_text("left by the client", encoding="utf-8")
    session.let_go()
    session.guard.send("release")
    session.guard.expect("released", "app")
    eventually("forgotten", lambda: not Path(session.state).exists())


# ---- secrets and accounts ----


def test_a_secret_reaches_programs_by_environment_and_no_list(stage: QuiescerStage) -> None:
    stage.options |= {"secret": {"env": "X"}, "secret-variable": "QUIESCER_SECRET"}
    stage.secret = Secret("pass'word")
    start_held(stage)
    stage.guard.send("release")
    assert stage.guard.expect("released", "app").kept is Kept.WAS_HELD
    assert f"quiesce {ODD} [secret of 9]" in stage.log()
    assert stage.log()[-1] == "resume good [secret of 9]"
    assert "pass'word" not in " ".join(stage.hold().arguments)
    assert not [path for path in stage.guard.state.rglob("*") if path.is_file() and b"pass'word" in path.read_bytes()]


def test_a_session_has_the_secret_too(session: SessionStage) -> None:
    session.options |= {"secret": {"env": "X"}, "secret-variable": "QUIESCER_SECRET"}
    session.secret = Secret("four")
    start_held(session)
    assert "session [secret of 4]" in session.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_programs_run_as_the_account_also_when_the_watcher_rescues(stage: QuiescerStage) -> None:
    script = stage.folder / "who"
    script.write_text(f'#!/bin/sh\nid -un >>"{stage.folder}/who.log"\nexec "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    for path in (stage.folder, *stage.folder.parents):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o077)
    log = stage.folder / "who.log"
    log.touch()
    log.chmod(0o666)
    for key in ("check", "enter", "leave", "rescue"):
        words = stage.options[key]
        assert isinstance(words, list)
        stage.options[key] = [str(script), *words]
    stage.options["os-user"] = "nobody"
    stage.start()
    stage.guard.send("watch blocking 2")
    stage.guard.expect("watching")
    stage.guard.take("app")
    stage.guard.signal(signal.SIGKILL, stage.guard.ear(), stage.guard.hand("app"))
    eventually("rescued", lambda: not stage.is_held())
    assert set(log.read_text(encoding="utf-8").split()) == {"nobody"}


# ---- capture ----


def test_capture_keeps_what_the_program_printed(stage: QuiescerStage) -> None:
    captured = stage.application().capture({"position": "17"}, Verdict.APPLICATION, soon())
    assert captured.files == {"capture.txt": b"checkpoint 17\n  in log 3\n"}
    assert captured.facts == {"position": "17"}


def test_a_capture_that_fails_is_said(stage: QuiescerStage) -> None:
    stage.fault("info fail")
    with pytest.raises(CommandFailed, match="capture failed") as caught:
        stage.application().capture({}, Verdict.APPLICATION, soon())
    assert "no, said the server" in caught.value.detail


# ---- what is refused with the policy ----

P = "/bin/p"
PROGRAMS: dict[str, object] = {
    "files": ["/data"],
    "blocks": "writes",
    "ends-with": "server",
    "check": [P],
    "enter": [P],
    "leave": [P],
    "not-held-exit-codes": [3],
    "foreign-exit-codes": [4],
}
CLIENT: dict[str, object] = {
    "files": ["/data"],
    "blocks": "writes",
    "ends-with": "session",
    "client": [P],
    "enter-lines": ["lock"],
    "held-word": "locked",
    "leave-lines": ["unlock"],
    "left-word": "unlocked",
}
WRONG: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "no files": (PROGRAMS, {"files": []}, "name at least one"),
    "relative file": (PROGRAMS, {"files": ["data"]}, "absolute"),
    "no leave": (PROGRAMS, {"leave": []}, "enter and leave, or client"),
    "session without a client": (PROGRAMS, {"ends-with": "session"}, "without a client there is no session"),
    "nothing says not held": (PROGRAMS, {"not-held-exit-codes": []}, "else nothing proves it"),
    "one code says both": (PROGRAMS, {"not-held-exit-codes": [0]}, "either was-held or not-held"),
    "foreign holds unnoticed": (PROGRAMS, {"foreign-exit-codes": []}, "somebody else's hold"),
    "foreign codes without check": (PROGRAMS, {"check": []}, "check, which is missing"),
    "secret without a variable": (PROGRAMS, {"secret": {"env": "X"}}, "belong together"),
    "variable that is none": (PROGRAMS, {"secret": {"env": "X"}, "secret-variable": "A B"}, "not the name"),
    "rescue would need the secret": (PROGRAMS, {"secret": {"env": "X"}, "secret-variable": "A"}, "without the secret"),
    "line break": (PROGRAMS, {"enter": [P, "a\nb"]}, "no line break"),
    "verdict before there is one": (PROGRAMS, {"check": [P, "{verdict}"]}, "only known to enter"),
    "both ways": (CLIENT, {"enter": [P]}, "either client, or enter and leave"),
    "no word": (CLIENT, {"held-word": ""}, "it needs enter-lines"),
    "outlives its client": (CLIENT, {"ends-with": "server"}, "outlives the client"),
    "rescue of a session": (CLIENT, {"rescue": [P]}, "ending the client"),
    "unknown key": (CLIENT, {"held": "x"}, "unknown field `held`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_policy_is_refused_when_it_is_read(name: str) -> None:
    base, change, says = WRONG[name]
    decoded(base)
    with pytest.raises(msgspec.ValidationError) as caught:
        decoded(base | change)
    assert says in str(caught.value)


def test_the_catalogue_builds_it(stage: QuiescerStage, tmp_path: Path) -> None:
    context = Context(secret=lambda reference: Secret("x"), state_folder=str(tmp_path))
    app = APPLICATIONS["command"]().make("app", decoded(stage.options), stage.host, context)
    assert app.families == ("command",)
    assert app.driver == "command"
