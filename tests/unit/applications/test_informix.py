"""The informix driver through the real guard over an emulated server, and what it reads and refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.contracts.application import ApplicationContract, AppStage
from tests.faults.guard.stage import SHELLS, eventually, is_alive

from splitmirror_drivers.applications.informix import Informix, Options
from splitmirror_drivers.applications.informix_server import is_backed_up, parse_chunks, parse_logs, parse_server
from splitmirror_drivers.catalogue import APPLICATIONS, Context
from splitmirror_drivers.contracts.application import Captured, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Kept
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, ForeignHold, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import decode_hook

CONTROL = Path(__file__).parents[2] / "emulators" / "informix" / "control"


def soon() -> Deadline:
    return Deadline.after(30)


def decoded(table: object) -> Options:
    return msgspec.convert(table, Options, dec_hook=decode_hook)


class InformixStage(AppStage):
    """One emulated server; its tools know their state by wrappers, as the guard hands no environment on."""

    def __init__(self, folder: Path, shell: str = "dash", *create: str, **options: object) -> None:
        super().__init__(folder, shell)
        self.state, self.dir = folder / "ifx", folder / "informixdir"
        self.control(
            "create", "--server", "ol_erp", "--dir", str(self.dir),
            "--chunk", f"rootdbs={folder}/root.img", "--chunk", f"data={folder}/data.img", *create,
        )  # fmt: skip
        for tool in ("onmode", "onstat", "ontape", "onbar"):
            real = (self.dir / "bin" / tool).resolve()
            if (self.dir / "bin" / tool).is_symlink():
                (self.dir / "bin" / tool).unlink()
            wrapper = self.dir / "bin" / tool
            wrapper.write_text(f'#!/bin/sh\nINFORMIX_EMULATOR_STATE="{self.state}" exec "{real.parent / tool}" "$@"\n')
            wrapper.chmod(0o755)
        usual = {"informixdir": str(self.dir), "server": "ol_erp", "onconfig": "onconfig.ol_erp", "os-user": ""}
        waits = {"block-wait": "6s", "unblock-wait": "6s"}
        self.options = usual | waits | {key.replace("_", "-"): value for key, value in options.items()}

    def control(self, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "INFORMIX_EMULATOR_STATE": str(self.state)}
        done = subprocess.run([str(CONTROL), *words], env=env, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def writer(self, text: str) -> subprocess.Popen[bytes]:
        env = {"PATH": os.environ["PATH"], "INFORMIX_EMULATOR_STATE": str(self.state)}
        return subprocess.Popen([str(CONTROL), "write", "ol_erp", text], env=env, stdout=subprocess.DEVNULL)

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "INFORMIXDIR": str(self.dir), "INFORMIXSERVER": "ol_erp"}
        env["ONCONFIG"] = "onconfig.ol_erp"
        path = str(self.dir / "bin" / words[0])
        return subprocess.run([path, *words[1:]], env=env, capture_output=True, text=True, timeout=30)

    def application(self) -> Informix:
        self.host.families(Informix.families)
        return Informix("erp", decoded(self.options), self.host)

    def is_held(self) -> bool:
        """Asked past the driver and past what faults make the tools say: whether a writer waits."""
        writer = self.writer("probe")
        try:
            writer.wait(0.6)
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
            return True
        return False

    @contextlib.contextmanager
    def foreign(self) -> Iterator[None]:
        assert self.tool("onmode", "-c", "block").returncode == 0
        yield
        self.tool("onmode", "-c", "unblock")

    def let_go(self) -> None:
        self.tool("onmode", "-c", "unblock")

    def stop(self) -> None:
        self.control("mode", "ol_erp", "off-line")

    def fault(self, *lines: str) -> None:
        self.control("fault", *lines)

    def sent(self, word: str) -> int:
        """How many times ``onmode -c WORD`` was called."""
        return sum(line.split()[-2:] == ["-c", word] for line in self.control("log").splitlines())

    def start(self) -> None:
        app = self.application()
        self.guard.holds += app.holds(app.check(soon()))
        self.guard.start()
        self.guard.open()

    def hold(self) -> None:
        self.start()
        self.guard.take()


class TestDash(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return InformixStage(folder)


class TestBusybox(ApplicationContract):
    def make(self, folder: Path) -> AppStage:
        return InformixStage(folder, "busybox sh")


@pytest.fixture
def stages() -> Iterator[list[InformixStage]]:
    made: list[InformixStage] = []
    yield made
    for stage in made:
        stage.guard.clean_up()


@pytest.fixture
def stage(tmp_path: Path, stages: list[InformixStage]) -> InformixStage:
    stages.append(InformixStage(tmp_path))
    return stages[-1]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    words = str(request.param)
    if shutil.which(words.split()[0]) is None:
        pytest.skip(f"{words.split()[0]} is not installed")
    return words


def made(
    stages: list[InformixStage], folder: Path, *create: str, shell: str = "dash", **options: object
) -> InformixStage:
    stages.append(InformixStage(folder, shell, *create, **options))
    return stages[-1]


# ---- the hold ----


def test_writers_wait_and_go_on_and_the_chunks_have_all_rows(
    tmp_path: Path, shell: str, stages: list[InformixStage]
) -> None:
    stage = made(stages, tmp_path, shell=shell)
    stage.control("write", "ol_erp", "before")
    stage.start()
    stage.guard.send("hold erp 10")
    held = stage.guard.expect("held", "erp")
    assert held.facts["blocked"] == "ARCHIVE"
    assert held.facts["log"].isdigit()
    writer = stage.writer("during")
    time.sleep(0.3)
    assert writer.poll() is None
    copy = json.loads(stage.control("look", str(tmp_path / "data.img")))
    assert [row for row in copy["rows"] if "before" in str(row)]
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_HELD
    assert writer.wait(10) == 0
    assert (stage.sent("block"), stage.sent("unblock")) == (1, 1)


def test_the_hold_is_sticky_blocking_and_without_an_owner(stage: InformixStage) -> None:
    app = stage.application()
    (hold,) = app.holds(app.check(soon()))
    assert (hold.blocks, hold.ends_with) == (Blocks.WRITES, EndsWith.SERVER)
    assert hold.tolerates_spread
    assert hold.survives_restart, "not documented, so the worse is assumed"
    assert hold.claim == "informix-ol_erp"


def test_a_block_that_takes_over_a_foreign_one_without_a_word_is_never_sent(stage: InformixStage) -> None:
    """This server accepts a second block; so the look before it is all there is."""
    stage.start()
    with stage.foreign():
        stage.guard.send("hold erp 10")
        assert stage.guard.expect("failed", "erp").words == ("enter", "4")
        stage.guard.close()
        stage.guard.leaves_nothing_behind()
        assert stage.is_held()
        assert (stage.sent("block"), stage.sent("unblock")) == (1, 0)


def test_a_server_that_went_down_before_the_hold_is_not_blocked(stage: InformixStage) -> None:
    stage.start()
    stage.control("mode", "ol_erp", "quiescent")
    stage.guard.send("hold erp 10")
    assert stage.guard.expect("failed", "erp").words == ("enter", "1")
    assert stage.sent("block") == 0


@pytest.mark.parametrize(
    "fault", ["block hang", "block hang-after", "block half", "block fail", "block lie", "block die", "block slow 30"]
)
def test_whatever_the_block_does_its_end_is_a_free_server(stage: InformixStage, fault: str) -> None:
    stage.start()
    stage.fault(fault)
    began = time.monotonic()
    stage.guard.send("hold erp 3")
    stage.guard.expect("failed", "erp", seconds=20)
    eventually("writers go on", lambda: not stage.is_held())
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("early", ["ignored", "cancels", "waits"])
def test_a_block_that_hangs_in_its_checkpoint_is_ended_when_it_comes(
    tmp_path: Path, stages: list[InformixStage], early: str
) -> None:
    """The server carries out its request although onmode was ended long before."""
    stage = made(stages, tmp_path, "--checkpoint", "7", "--early", early)
    stage.options["block-wait"] = "2s"
    stage.start()
    stage.guard.send("hold erp 2")
    assert stage.guard.expect("failed", "erp", seconds=30).words == ("enter", "124")
    stage.guard.close()
    eventually("the checkpoint is over", lambda: "(CKPT" not in stage.tool("onstat", "-").stdout, 30)
    eventually("writers go on", lambda: not stage.is_held(), 30)
    eventually("the guard is gone", lambda: not stage.guard.guard_pids(), 60)
    assert not stage.is_held()


def test_a_slow_checkpoint_within_its_time_is_waited_for(tmp_path: Path, stages: list[InformixStage]) -> None:
    stage = made(stages, tmp_path, "--checkpoint", "1.5")
    stage.hold()
    assert stage.is_held()
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_HELD


@pytest.mark.parametrize("words", ["CKPT", "CKPT ARCHIVE", "SOMETHING_NEW"])
def test_any_reason_after_our_own_block_is_accepted(tmp_path: Path, stages: list[InformixStage], words: str) -> None:
    stage = made(stages, tmp_path, "--words", words)
    stage.hold()
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_HELD
    assert not stage.is_held()


# ---- leave ----


def test_a_block_ended_by_somebody_else_is_not_held_and_no_unblock_is_sent(stage: InformixStage) -> None:
    stage.hold()
    stage.let_go()
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_NOT_HELD
    assert stage.sent("unblock") == 1, "only that of somebody else"


def test_a_reason_that_changed_proves_nothing(stage: InformixStage) -> None:
    stage.hold()
    stage.let_go()
    stage.control("blocked", "ol_erp", "LONGTX")
    stage.guard.send("release")
    stage.guard.expect("say", "erp")
    assert stage.guard.expect("released", "erp", seconds=40).kept is not Kept.WAS_HELD
    stage.control("blocked", "ol_erp", "off")


@pytest.mark.parametrize("fault", ["status banner nonsense", "status code 5", "status fail", "status hang"])
def test_without_a_look_nothing_is_proven_and_one_unblock_is_sent(stage: InformixStage, fault: str) -> None:
    stage.hold()
    stage.fault(fault)
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp", seconds=60).kept is Kept.UNKNOWN
    assert stage.sent("unblock") == 1
    stage.control("mend")
    assert not stage.is_held()


@pytest.mark.parametrize("fault", ["unblock lie", "unblock fail 1", "unblock hang"])
def test_an_unblock_that_did_nothing_is_sent_again_after_a_look(stage: InformixStage, fault: str) -> None:
    stage.hold()
    stage.fault(fault)
    stage.guard.send("release")
    time.sleep(1)
    stage.control("mend")
    assert stage.guard.expect("released", "erp", seconds=60).kept is not Kept.WAS_NOT_HELD
    eventually("writers go on", lambda: not stage.is_held())


def test_an_unblock_that_hangs_after_it_was_done_is_proven_by_the_looks(stage: InformixStage) -> None:
    stage.hold()
    stage.fault("unblock hang-after")
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp", seconds=60).kept is not Kept.WAS_NOT_HELD
    assert not stage.is_held()


def test_a_server_that_refuses_a_second_unblock_is_never_asked_twice(
    tmp_path: Path, stages: list[InformixStage]
) -> None:
    stage = made(stages, tmp_path, "--again-unblock", "hang")
    stage.hold()
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_HELD
    stage.guard.send("bye")
    stage.guard.leaves_nothing_behind()
    assert stage.sent("unblock") == 1


# ---- rescue ----


@pytest.mark.parametrize("create", [(), ("--survives",)])
def test_a_restart_of_the_server_under_the_block_is_not_proven(
    tmp_path: Path, stages: list[InformixStage], create: tuple[str, ...]
) -> None:
    stage = made(stages, tmp_path, *create)
    stage.hold()
    stage.control("restart", "ol_erp")
    stage.guard.send("release")
    kept = stage.guard.expect("released", "erp", seconds=40).kept
    assert kept is (Kept.WAS_HELD if create else Kept.WAS_NOT_HELD)
    assert not stage.is_held()


def test_a_server_that_is_down_may_come_up_blocked_and_is_ended_then(
    tmp_path: Path, stages: list[InformixStage]
) -> None:
    stage = made(stages, tmp_path, "--survives", unblock_wait="2s")
    stage.hold()
    stage.control("crash", "ol_erp")
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp", seconds=40).kept is Kept.UNKNOWN
    stage.control("start", "ol_erp")
    stage.guard.close()
    eventually("writers go on", lambda: not stage.is_held(), 40)


def test_a_policy_that_knows_better_does_not_wait_for_it(tmp_path: Path, stages: list[InformixStage]) -> None:
    stage = made(stages, tmp_path, survives_restart=False)
    stage.hold()
    stage.control("crash", "ol_erp")
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp", seconds=40).kept is Kept.WAS_NOT_HELD


def test_the_watcher_unblocks_when_guard_and_hand_are_killed(
    tmp_path: Path, shell: str, stages: list[InformixStage]
) -> None:
    stage = made(stages, tmp_path, shell=shell)
    stage.start()
    stage.guard.send("watch blocking 2")
    stage.guard.expect("watching")
    stage.guard.take()
    pids = [stage.guard.ear(), stage.guard.hand("erp")]
    stage.guard.signal(signal.SIGKILL, *pids)
    eventually("guard is gone", lambda: not any(map(is_alive, pids)))
    eventually("writers go on", lambda: not stage.is_held(), 30)


def test_an_enter_that_never_got_to_its_block_ends_nothing(stage: InformixStage) -> None:
    """Cut while it looked; then somebody else blocks: that is not ours, whatever the record says."""
    stage.start()
    stage.fault("status hang")
    stage.guard.send("hold erp 2")
    stage.guard.expect("failed", "erp", seconds=20)
    stage.control("mend")
    with stage.foreign():
        stage.guard.close()
        stage.guard.leaves_nothing_behind()
        assert stage.is_held()
        assert stage.sent("unblock") == 0


# ---- check ----


def test_chunks_are_the_files_raw_or_not(stage: InformixStage) -> None:
    stage.control("add", "ol_erp", f"data={stage.folder}/more.img")
    facts = stage.application().check(soon())
    assert facts.files == tuple(f"{stage.folder}/{name}.img" for name in ("data", "more", "root"))
    assert facts.version == "14.10.FC7"
    assert facts.values["server-number"] == "0"
    assert [text for text in facts.warnings if "no log-backup" in text]


def test_what_is_blocked_is_a_foreign_hold(stage: InformixStage) -> None:
    with stage.foreign(), pytest.raises(ForeignHold, match=r"Blocked:ARCHIVE"):
        stage.application().check(soon())
    stage.control("blocked", "ol_erp", "MEDIA_FAILURE")
    with pytest.raises(ForeignHold, match="MEDIA_FAILURE"):
        stage.application().check(soon())


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("quiescent", "is quiescent, not on-line"),
        ("recovery", "is in recovery"),
        ("administration", r"is in single-user"),
        ("read-only", "calls itself Read-Only"),
        ("off-line", "is off-line"),
        ("shutdown", "is shutting down"),
    ],
)
def test_every_mode_but_on_line_is_refused_by_its_name(stage: InformixStage, mode: str, said: str) -> None:
    stage.control("mode", "ol_erp", mode)
    with pytest.raises(Refused, match=said):
        stage.application().check(soon())


@pytest.mark.parametrize("flags", ["PD-B--", "PI-B--"])
def test_a_chunk_that_is_not_on_line_is_refused(stage: InformixStage, flags: str) -> None:
    stage.control("chunk", "ol_erp", "2", flags)
    with pytest.raises(Refused, match=r"chunk 2 .*data\.img"):
        stage.application().check(soon())


def test_the_configuration_of_another_server_is_refused(tmp_path: Path, stages: list[InformixStage]) -> None:
    """Where INFORMIXSERVER is not compared, ONCONFIG alone decides whom onmode would block."""
    stage = made(stages, tmp_path, "--loose", server="ol_other")
    with pytest.raises(Refused, match="is that of ol_erp, not of ol_other"):
        stage.application().check(soon())


def test_an_alias_will_do(tmp_path: Path, stages: list[InformixStage]) -> None:
    stage = made(stages, tmp_path, "--alias", "erp_tcp", server="erp_tcp")
    assert stage.application().check(soon()).values["server-name"] == "ol_erp"


def test_what_is_not_there_is_named(tmp_path: Path, stages: list[InformixStage]) -> None:
    stage = made(stages, tmp_path, onconfig="onconfig.none")
    with pytest.raises(Refused, match=r"cannot use .*onconfig\.none"):
        stage.application().check(soon())
    stage.options |= {"informixdir": "/no/such"}
    with pytest.raises(Refused, match="cannot use /no/such/bin/onstat"):
        stage.application().check(soon())


@pytest.mark.parametrize(
    "fault",
    ["status banner something else", "status code 9", "status lie", "spaces code 5", "spaces noise 44bbccdd 9 1 odd"],
)
def test_unknown_answers_are_errors(stage: InformixStage, fault: str) -> None:
    stage.fault(fault)
    with pytest.raises((UnknownAnswer, Refused)):
        stage.application().check(soon())


def test_a_look_that_hangs_ends_with_its_deadline(stage: InformixStage) -> None:
    stage.fault("status hang")
    with pytest.raises(Fault):
        stage.application().check(Deadline.after(2))


# ---- capture ----


def captured(stage: InformixStage) -> Captured:
    stage.start()
    stage.guard.send("hold erp 10")
    facts = dict(stage.guard.expect("held", "erp").facts)
    stage.guard.send("release")
    assert stage.guard.expect("released", "erp").kept is Kept.WAS_HELD
    return stage.application().capture(facts, Verdict.APPLICATION, soon())


@pytest.mark.parametrize("words", [["ontape", "-a", "-d"], ["onbar", "-b", "-l"]])
def test_the_log_of_the_block_is_backed_up_after_the_unblock(
    tmp_path: Path, stages: list[InformixStage], words: list[str]
) -> None:
    stage = made(stages, tmp_path, log_backup=words)
    card = captured(stage)
    assert card.needs_logs == ""
    assert "is backed up" in card.facts["log-backup"]
    assert list((stage.dir / "logs").iterdir())
    assert set(card.files) >= {"onstat-d.txt", "onstat-l.txt", "onconfig.ol_erp", "sqlhosts", "oncfg_ol_erp.0"}
    text = "\n".join(card.steps)
    assert f"chunk 2 of data: {tmp_path}/data.img offset 0" in text
    assert "`ontape -p -e`" in text
    assert "ixbar.0" in text, "what could not be had is named"


def test_logs_that_are_not_backed_up_are_needed_and_spoil_nothing(stage: InformixStage) -> None:
    stage.options["log-backup"] = ["ontape", "-a", "-d"]
    stage.fault("archive fail")
    card = captured(stage)
    assert "ontape ended with 1" in card.needs_logs
    assert card.steps


def test_a_log_backup_that_does_not_come_is_not_waited_for_for_ever(stage: InformixStage) -> None:
    stage.options |= {"log-backup": ["onbar", "-b", "-l"], "log-backup-wait": "2s"}
    stage.fault("archive hang")
    assert "not done within 2s" in captured(stage).needs_logs


def test_a_log_backup_that_lies_is_found_out(stage: InformixStage) -> None:
    stage.options["log-backup"] = ["onbar", "-b", "-l"]
    stage.fault("archive lie")
    assert "does not say that it is backed up" in captured(stage).needs_logs


# ---- reading ----

SPACES = """
IBM Informix Dynamic Server Version 14.10.FC7 -- On-Line -- Up 00:00:00 -- 167608 Kbytes

Dbspaces
address          number   flags      fchunk   nchunks  pgsize   flags    owner    name
4484b028         1        0x10020002 1        1        2048     M  BA    informix rootdbs
4484c028         2        0x2001     3        1        2048     N TBA    informix tmp1
 2 active, 2047 maximum

Chunks
address          chunk/dbs     offset     size       free       bpages     flags pathname
4484b268         1      1      50         128        64                    PO-B-D /dev/ifx/root one
4484b268         1      1      0          128        64                    MD-B-- /dev/ifx/mirror
4484c268         2      2      0          128        ~64        12         PO-B-- /dev/ifx/tmp
 2 active, 32766 maximum
"""


def test_mirrors_and_temporary_spaces_are_told_apart() -> None:
    chunks = parse_chunks(SPACES)
    assert [(one.path, one.is_primary, one.is_temporary, one.offset) for one in chunks] == [
        ("/dev/ifx/root one", True, False, 50),
        ("/dev/ifx/mirror", False, False, 0),
        ("/dev/ifx/tmp", True, True, 0),
    ]
    facts = {"code": "5", "status": SPACES.splitlines()[1], "spaces": SPACES, "account": "joe\ndrwxr-x 2 informix x"}
    server = parse_server(Answer(facts, 0, ""))
    assert server.files(temporary=False) == ("/dev/ifx/mirror", "/dev/ifx/root one")
    assert len(server.files(temporary=True)) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" 2 active, 32766", " 4 active, 32766"),
        (" 2 active, 2047", " 3 active, 2047"),
        ("PO-B-- /dev/ifx/tmp", "?? /dev/ifx/tmp"),
        ("4484c268         2      2 ", "4484c268         2      7 "),
        (" 3        1 ", " 3        2 "),
        ("\nChunks", "\nOther"),
    ],
)
def test_a_list_that_does_not_add_up_is_an_error(old: str, new: str) -> None:
    assert old in SPACES
    with pytest.raises(UnknownAnswer):
        parse_chunks(SPACES.replace(old, new))


def test_logs_are_read_and_judged() -> None:
    logs = parse_logs(
        "a517f70          1        U---C-L  7        1:763                 500        0     0.00\n"
        "a517fb0          2        U-B----  6        1:1263                500      500   100.00\n"
        "a517ff0          3        U------  5        1:1763                500      500   100.00\n"
    )
    assert [is_backed_up(logs, number) for number in (4, 5, 6, 7, 8)] == [True, False, True, False, False]
    assert not is_backed_up((), 4)


# ---- options ----


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"informixdir": "opt/informix"}, "not an absolute path"),
        ({"sqlhosts": "hosts"}, "not an absolute path"),
        ({"server": ""}, "is not a name"),
        ({"onconfig": "etc/onconfig"}, "is not a name"),
        ({"log-backup": ["onbar", ""]}, "none of them empty"),
        ({"sever": "x"}, "unknown field"),
    ],
)
def test_a_wrong_policy_is_refused_when_it_is_read(change: dict[str, object], said: str) -> None:
    usual: dict[str, object] = {"informixdir": "/opt/informix", "server": "ol_erp"}
    decoded(usual)
    with pytest.raises(msgspec.ValidationError, match=said):
        decoded(usual | change)


def test_the_catalogue_builds_it(stage: InformixStage, tmp_path: Path) -> None:
    context = Context(secret=lambda reference: Secret("x"), state_folder=str(tmp_path))
    app = APPLICATIONS["informix"]().make("erp", decoded(stage.options), stage.host, context)
    assert (app.families, app.driver) == (("informix",), "informix")
