"""Holds over real SSH while the link breaks in every way: the data server lets go by itself, and our side is told (P1, P2).

The data server is this machine, so that what it holds is seen on its own side, whatever becomes of the connection.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.contracts.host import FAMILIES
from tests.faults.guard.stage import Stage, eventually
from tests.lab.ssh_server import Lab, Server, laboratory

from splitmirror.giveup import GiveUp
from splitmirror.holding import Guards
from splitmirror_drivers.contracts.host import Blocks, Charge, Kept
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import LinkLost

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
BEAT_SECONDS, BEAT_MISSED_SECONDS = 2.0, 5.0
AT_ONCE_SECONDS = 2.0
RELEASED_SECONDS = 6.0
"""P1: so long after a lost link nothing that blocks is held any more."""
NOTICED_SECONDS = 10.0
"""TCP_USER_TIMEOUT 6 s after the first byte that is not received, which a keepalive sends each 2 s."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as lab:
        yield lab


@pytest.fixture(scope="module")
def near(lab: Lab) -> Server:
    return lab.server("near")


@pytest.fixture(scope="module")
def far(lab: Lab) -> Iterator[Server]:
    """A server whose wire can be cut."""
    server = lab.isolated("far")
    yield server
    server.heal()


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(server: Server, run: str = "run-1") -> Stage:
        host = server.host(guard_dir=str(tmp_path / "state"), family_dirs=(FAMILIES,))
        made.append(Stage(tmp_path, run=run, host=host, beat_missed_seconds=BEAT_MISSED_SECONDS))
        return made[-1]

    yield make
    for stage in made:
        stage.clean_up()
        stage.the_host().disconnect()


def fill(stage: Stage) -> Stage:
    """A database in a session, a hold that blocks nothing, a filesystem on top."""
    stage.add("db", family="client", claim="postgresql:/run/pg 1")
    stage.add("bk", blocks=Blocks.NOTHING)
    stage.add("fs")
    return stage


def held(stage: Stage) -> set[str]:
    return {hold.name for hold in stage.holds if stage.is_held(hold.name)}


@pytest.fixture
def guards(stages: Callable[..., Stage]) -> Iterator[Callable[..., Guards]]:
    """A stage's guard held as a run holds it: by the engine's own code, with its beat."""
    made: list[Guards] = []

    def hold(stage: Stage, beat: float = BEAT_SECONDS, beat_missed_seconds: float = BEAT_MISSED_SECONDS) -> Guards:
        guards = Guards(GiveUp(), beat_seconds=beat)
        made.append(guards)
        charge = Charge(stage.run, stage.owner, tuple(stage.holds), beat_missed_seconds=beat_missed_seconds)
        guards.start({stage.the_host(): charge}, Deadline.after(20))
        guards.ask_all("open", "opened", Deadline.after(20))
        guards.watch("blocking", 60, Deadline.after(20))
        guards.begin_beat()
        guards.enter(guards.holds, Deadline.after(20))
        return guards

    yield hold
    for one in made:
        one.close()


CLIENT = """
import sys
from pathlib import Path
import msgspec
from tests.faults.guard.stage import Stage
from tests.lab.test_ssh_guard import fill
from splitmirror import secrets
from splitmirror_drivers.hosts.ssh import Options, SshHost
host = SshHost("near", msgspec.json.decode(sys.argv[2].encode(), type=Options, strict=False), secrets.resolve)
stage = fill(Stage(Path(sys.argv[1]), host=host))
stage.start()
stage.open()
stage.take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_client_frees_the_data_server_at_once(
    near: Server, tmp_path: Path, stages: Callable[..., Stage]
) -> None:
    seen = fill(stages(near))  # only looks on
    options = near.options(guard_dir=str(tmp_path / "state"), family_dirs=(FAMILIES,))
    words = {name: getattr(options, name) for name in ("addresses", "port", "user", "known_hosts", "guard_dir")}
    text = msgspec.json.encode(
        {name.replace("_", "-"): value for name, value in words.items()}
        | {"family-dirs": [FAMILIES], "key": {"file": str(near.lab.key)}}
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("hooks", "drivers", "."))
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(tmp_path), text.decode()],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin and client.stdout
    with client.stdin, client.stdout:
        assert client.stdout.readline() == b"held\n"
        assert held(seen) == {"db", "bk", "fs"}
        client.kill()
        assert eventually("everything let go", lambda: not held(seen)) < AT_ONCE_SECONDS
        client.wait(10)
    assert seen.ended("fs") == "WAS_HELD rescue"
    seen.leaves_no_guard()


def test_a_killed_sshd_frees_the_data_server_at_once_and_we_are_told(
    near: Server, stages: Callable[..., Stage], guards: Callable[..., Guards]
) -> None:
    stage = fill(stages(near))
    run = guards(stage)
    assert held(stage) == {"db", "bk", "fs"}
    began = time.monotonic()
    near.kick()
    assert eventually("everything let go", lambda: not held(stage)) < AT_ONCE_SECONDS
    run.release()
    run.collect_released(Deadline.after(10))
    assert time.monotonic() - began < AT_ONCE_SECONDS + 1.0
    assert run.lapsed == {"near": "link-lost"}
    assert Kept.WAS_HELD not in run.ended.values()
    stage.leaves_no_guard()


def test_a_silent_cut_releases_what_blocks_in_time_and_we_notice(
    far: Server, stages: Callable[..., Stage], guards: Callable[..., Guards]
) -> None:
    stage = fill(stages(far))
    run = guards(stage)
    assert held(stage) == {"db", "bk", "fs"}
    far.cut()
    began = time.monotonic()
    try:
        released = eventually("what blocks is let go", lambda: not held(stage) & {"db", "fs"}, 20.0)
        assert released < RELEASED_SECONDS
        assert held(stage) == {"bk"}, "a hold that blocks nothing outlives a cut: its lease and its link decide"
        message = run.next(Deadline.after(20))
        while message is not None and message.kind != "link-lost":
            message = run.next(Deadline.after(20))
        assert message is not None
        assert time.monotonic() - began < NOTICED_SECONDS
        with pytest.raises(LinkLost):
            run.guards["far"].send("release")
    finally:
        far.heal()
    assert eventually("the server learns that the link is gone", lambda: not held(stage), 60.0) >= 0
    eventually("its guard goes, and its claims with it", lambda: not stage.guard_pids())
    again = fill(stages(far, "run-2"))
    again.start()  # a new connection, and the claim is free
    again.send("bye")
    again.expect("bye")


def test_an_answer_that_comes_after_the_lapse_proves_nothing(
    far: Server, stages: Callable[..., Stage], guards: Callable[..., Guards]
) -> None:
    """The wire comes back before anybody gave the link up: `released WAS_HELD` arrives, and is not believed."""
    stage = fill(stages(far))
    run = guards(stage, 0.5, 2.0)
    far.cut()
    try:
        run.release()  # stays on our side, and comes when the guard has let go already
        eventually("what blocks is let go", lambda: not held(stage) & {"db", "fs"}, 20.0)
    finally:
        far.heal()
    run.collect_released(Deadline.after(20))
    assert run.lapsed["far"] in ("beat", "link-lost")
    assert run.ended.get(("far", "fs"), Kept.UNKNOWN) is not Kept.WAS_HELD
    assert run.ended.get(("far", "db"), Kept.UNKNOWN) is not Kept.WAS_HELD
    assert stage.ended("fs").startswith("WAS_HELD")


def test_a_good_release_over_ssh_is_proven(
    near: Server, stages: Callable[..., Stage], guards: Callable[..., Guards]
) -> None:
    stage = fill(stages(near))
    run = guards(stage)
    run.release()
    run.collect_released(Deadline.after(10))
    assert run.ended == {("near", "fs"): Kept.WAS_HELD, ("near", "db"): Kept.WAS_HELD}
    assert held(stage) == {"bk"}
    run.leave("good", 5, Deadline.after(10))
    run.say_bye(Deadline.after(10))
    assert run.ended["near", "bk"] is Kept.WAS_HELD
    stage.leaves_no_guard()


def test_the_watcher_frees_a_server_whose_guard_and_sshd_are_both_stopped(
    near: Server, stages: Callable[..., Stage]
) -> None:
    stage = stages(near)
    stage.add("fs")
    stage.start()
    stage.open()
    stage.take()
    stage.send("watch blocking 2")
    stage.expect("watching")
    watcher = int((stage.state / "runs" / stage.run / "watcher.blocking").read_text().split()[0])
    stopped = [pid for pid in (*near.serving(), *stage.guard_pids()) if not of_session(pid, watcher)]
    stage.signal(signal.SIGSTOP, *stopped)
    try:
        eventually("the watcher let go", lambda: not stage.is_held("fs"), 10.0)
        eventually("recorded", lambda: stage.ended("fs") == "WAS_HELD watcher")
    finally:
        stage.signal(signal.SIGCONT, *stopped)


def of_session(pid: int, leader: int) -> bool:
    try:
        return os.getsid(pid) == leader
    except ProcessLookupError:
        return True
