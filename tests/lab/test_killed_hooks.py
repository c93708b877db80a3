"""P1 and P4 on real parts: the hook dies, hangs or loses its link in every phase in which something may be held.

A live MariaDB is held over SSH beside an application that stops in whichever phase a test wants; the mirror is a script of
a few lines over btrfs. Whatever happens: writes flow again within seconds, the run is not called good, and the next run is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.databases import Writer, eventually
from tests.lab.need import need
from tests.lab.site import Site, mariadb, site, writing
from tests.lab.ssh_server import descendants

from splitmirror.journal.contract import Status

pytestmark = pytest.mark.lab

PHASES = ("arm", "quiesce", "split", "resume")
LINK_SECONDS = 6.0
"""What is promised after a lost link; a busy test machine is given as much again."""
MAX_FREEZE_SECONDS = 6

GATE = """\
#!/bin/sh
# Says that a step was reached, and stays in it while the test holds it.
here=${0%/*}
: >"$here/reached-$1"
while [ -e "$here/hold-$1" ]; do sleep 0.05; done
"""

MIRROR = """\
#!/bin/sh
# A mirror: its state is a word in a file, its bytes are a snapshot.
set -eu
here=${0%/*}
case $1 in
query) echo "pair1 $(cat "$here/state")" ;;
establish)
    [ ! -d "$here/copy" ] || btrfs -q subvolume delete "$here/copy"
    echo synced >"$here/state"
    ;;
split)
    "$here/gate" split
    btrfs -q subvolume snapshot -r "$2" "$here/copy"
    echo split >"$here/state"
    ;;
esac
"""


@dataclass
class Stage:
    """The site with its gate, and a writer at work."""

    site: Site
    room: Path
    writer: Writer

    def hold(self, step: str) -> None:
        (self.room / f"hold-{step}").touch()

    def open(self) -> None:
        for path in self.room.glob("hold-*"):
            path.unlink()
        for path in self.room.glob("reached-*"):
            path.unlink()

    def reached(self, step: str) -> None:
        eventually(f"phase {step}", (self.room / f"reached-{step}").exists)

    def seconds_until_a_commit(self, since: float) -> float:
        """How long after `since` the next row was committed."""
        eventually("writes flow again", lambda: self.writer.commits[-1].at > since or bool(self.writer.failure))
        assert not self.writer.failure, self.writer.failure
        return next(commit.at for commit in self.writer.commits if commit.at > since) - since

    def guard_processes(self) -> list[int]:
        """Everything that serves the guard on the data server, the detached watcher not."""
        server = self.site.servers["db1"]
        return [pid for pid in descendants(server.process.pid) if pid not in server.serving()]

    def next_run_is_good(self) -> None:
        """The next pre brings to rest what the dead one left, and makes a good copy; post closes it."""
        eventually("the orphaned split command ends", lambda: not self.splitting())
        self.site.run("pre", "--policy", "erp", "--job", "next")
        self.site.run("post", "--policy", "erp", "--job", "next", "--status", "good")
        assert not (self.site.folder / "backup" / "my").exists()
        self.writer.wait_for_more()

    def splitting(self) -> list[str]:
        found = subprocess.run(["pgrep", "-f", f"{self.room}/mirror split"], capture_output=True, text=True)
        return found.stdout.split()


@pytest.fixture(scope="module")
def built() -> Iterator[Stage]:
    need("sshd", "mkfs.btrfs", "mariadbd", "pgrep", loop=True)
    with site() as here:
        here.data_server("db1", here.lab.isolated("db1"))
        with mariadb(here, "my", "db1") as server, writing(server) as (writer,):
            yield Stage(here, prepare(here), writer)


def prepare(here: Site) -> Path:
    """The gate, the mirror's script and the policy over both."""
    room = here.pool / "room"
    room.mkdir()
    for name, text in (("gate", GATE), ("mirror", MIRROR)):
        (room / name).write_text(text)
        (room / name).chmod(0o755)
    (room / "state").write_text("synced\n")
    steps = {name: [str(room / "gate"), name] for name in ("check", "warm", "enter", "leave", "rescue")}
    steps |= {"warm": [str(room / "gate"), "arm"], "enter": [str(room / "gate"), "quiesce"]}
    steps |= {"leave": [str(room / "gate"), "resume"]}
    here.add(
        "applications.gate",
        driver="command",
        host="db1",
        files=[str(here.pool / "my")],
        blocks="writes",
        ends_with="server",
        tolerates_spread=True,
        not_held_exit_codes=[3],
        enter_fails_when_taken=True,
        rank=10,
        deadlines={"enter": "30s", "leave": "3s", "rescue": "3s"},
        **steps,
    )
    here.add(
        "arrays.mirror",
        driver="command",
        family="mirror",
        fixed_by="complete",
        atomic="group",
        tracks_changes=True,
        tracks_copy_writes=True,
        allows_freeze=False,
        source="the test's own script",
        words={"synced": "synced", "split": "split"},
    )
    here.add(
        "arrays.mirror.commands",
        query=[str(room / "mirror"), "query"],
        establish=[str(room / "mirror"), "establish"],
        split=[str(room / "mirror"), "split", str(here.pool / "my")],
    )
    here.add(
        "arrays.mirror.groups.erp", pairs=1, paths=[str(here.pool / "my")], source_host="db1", tree=str(room / "copy")
    )
    here.add(
        "policies.erp",
        applications=["my", "gate"],
        mirrors=[{"array": "mirror", "groups": ["erp"]}],
        present=[{"mount": str(here.folder / "backup" / "my")}],
        max_freeze=f"{MAX_FREEZE_SECONDS}s",
    )
    return room


@pytest.fixture
def stage(built: Stage) -> Iterator[Stage]:
    built.open()
    yield built
    built.open()


def begin(stage: Stage, phase: str) -> subprocess.Popen[str]:
    """A pre that has come to `phase` and stays there."""
    stage.hold(phase)
    pre = stage.site.start("pre", "--policy", "erp", "--job", "doomed")
    stage.reached(phase)
    return pre


def ended_badly(stage: Stage, pre: subprocess.Popen[str]) -> None:
    """The hook did not say that all was well, nor does the journal."""
    out, err = pre.communicate(timeout=120)
    assert pre.returncode != 0, out + err
    assert stage.site.last_run("erp").status in (Status.WORKING, Status.FAILED, Status.STUCK), out + err


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_hook_leaves_nobody_frozen(phase: str, stage: Stage) -> None:
    pre = begin(stage, phase)
    pre.kill()
    assert stage.seconds_until_a_commit(time.monotonic()) < 2 * LINK_SECONDS
    ended_badly(stage, pre)
    stage.open()
    stage.next_run_is_good()


@pytest.mark.parametrize("phase", PHASES)
def test_a_hung_backup_server_leaves_nobody_frozen(phase: str, stage: Stage) -> None:
    pre = begin(stage, phase)
    pre.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        assert stage.seconds_until_a_commit(began) < 2 * LINK_SECONDS
    finally:
        stage.open()
        if phase == "arm":  # nothing was held: such a hook may go on and end well, or not
            pre.kill()
        pre.send_signal(signal.SIGCONT)
    if phase == "resume":
        pre.communicate(timeout=120)  # its holds had covered the split: late or not, the answers decide
        stage.site.run("post", "--policy", "erp", "--job", "doomed", code=None)
    else:
        ended_badly(stage, pre)
    stage.next_run_is_good()


@pytest.mark.parametrize("phase", PHASES)
def test_a_silently_cut_link_leaves_nobody_frozen(phase: str, stage: Stage) -> None:
    pre = begin(stage, phase)
    server = stage.site.servers["db1"]
    server.cut()
    began = time.monotonic()
    try:
        assert stage.seconds_until_a_commit(began) < 2 * LINK_SECONDS
        ended_badly(stage, pre)
    finally:
        server.heal()
        stage.open()
    stage.next_run_is_good()


@pytest.mark.parametrize("phase", ("quiesce", "split", "resume"))
def test_a_killed_guard_leaves_nobody_frozen(phase: str, stage: Stage) -> None:
    pre = begin(stage, phase)
    for pid in stage.guard_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lease = 3 * MAX_FREEZE_SECONDS
    assert stage.seconds_until_a_commit(time.monotonic()) < lease + LINK_SECONDS
    stage.open()
    ended_badly(stage, pre)
    stage.next_run_is_good()


def test_a_split_that_hangs_is_left_at_its_deadline_and_its_copy_is_never_called_good(stage: Stage) -> None:
    pre = begin(stage, "split")
    assert stage.seconds_until_a_commit(time.monotonic()) < 2 * LINK_SECONDS
    ended_badly(stage, pre)
    stage.open()
    stage.next_run_is_good()


@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c_gives_up_properly(phase: str, stage: Stage) -> None:
    pre = begin(stage, phase)
    pre.send_signal(signal.SIGINT)
    if phase != "quiesce":  # there the holds go at once; elsewhere it goes on to where stopping is safe
        stage.open()
    assert stage.seconds_until_a_commit(time.monotonic()) < 2 * LINK_SECONDS
    out, err = pre.communicate(timeout=120)
    assert pre.returncode == 1, out + err
    assert "given up on SIGINT" in err
    assert stage.site.last_run("erp").status is Status.FAILED
    stage.open()
    stage.next_run_is_good()
