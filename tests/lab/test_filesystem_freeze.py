"""Real ext4 and XFS frozen by the guard: who waits, who thaws when something dies, and what a copy made meanwhile holds."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contracts.presentation import soon
from tests.faults.guard.stage import SHELLS, Stage, eventually
from tests.lab.disks import Disk, Disks, freeze, is_frozen, run, thaw
from tests.lab.need import need

from splitmirror_drivers.applications.filesystem import Filesystem, Options
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.host import Kept
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.errors import Refused
from splitmirror_drivers.presentation.mount import TOKEN, Mount
from splitmirror_drivers.presentation.mount import Options as MountOptions

pytestmark = pytest.mark.lab


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    need("losetup", "mkfs.ext4", "mkfs.xfs", "fsfreeze", loop=True)
    folder = tmp_path / "disks"
    folder.mkdir()
    with Disks(folder) as made:
        yield made


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    words = str(request.param)
    if shutil.which(words.split()[0]) is None:
        pytest.skip(f"{words.split()[0]} is not installed")
    return words


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """A guard with a hold for each filesystem; ended with the test, before its disks are taken down."""
    made: list[Stage] = []

    def make(*points: Path, shell: str = "dash") -> Stage:
        folder = tmp_path / f"stage{len(made)}"
        folder.mkdir()
        stage = Stage(folder, shell, run=f"erp-{len(made)}")
        made.append(stage)
        host = stage.the_host()
        app = Filesystem.for_mounts("fs", host, [str(point) for point in points])
        host.connect(soon())
        stage.holds += app.holds(app.check(soon()))
        stage.start()
        return stage

    yield make
    for stage in made:
        stage.clean_up()


class Writer:
    """Appends to a file without end, and keeps the longest time it had to wait."""

    def __init__(self, path: Path) -> None:
        self.count, self.longest, self._path, self._is_stopped = 0, 0.0, path, False
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        eventually("the writer writes", lambda: self.count > 10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_stopped = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        with self._path.open("a") as file:
            while not self._is_stopped:
                began = time.monotonic()
                file.write(f"{self.count}\n")
                file.flush()
                self.longest = max(self.longest, time.monotonic() - began)
                self.count += 1
                time.sleep(0.001)

    def waits(self) -> bool:
        """Whether not one write is done in a while: by a count, not by a clock."""
        before = self.count
        time.sleep(0.3)
        return self.count == before


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_writers_wait_from_held_to_released_and_reads_go_on(
    kind: str, disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make(kind)
    (disk.point / "rows").write_text("1\n")
    stage = stages(disk.point)
    stage.open()
    stage.send("warm")
    stage.expect("warmed", "fs.0")
    with Writer(disk.point / "log") as writer:
        stage.take()
        eventually("the writer waits", writer.waits)
        assert (disk.point / "rows").read_text() == "1\n"
        stage.send("release")
        assert stage.expect("released", "fs.0").kept is Kept.WAS_HELD
        before = writer.count
        eventually("the writer goes on", lambda: writer.count > before + 10)
    print(f"the writer's longest wait on {kind}: {writer.longest * 1000:.0f} ms")
    assert not is_frozen(disk.point)


def test_every_shell_freezes_thaws_and_writes_the_token(shell: str, disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make("ext4", "with a blank")
    stage = stages(disk.point, shell=shell)
    stage.open()
    token = disk.point / TOKEN
    assert (token.read_text(), token.stat().st_mode & 0o777, token.stat().st_uid) == ("erp-0\n", 0o600, 0)
    stage.send("warm")
    stage.expect("warmed", "fs.0")
    stage.take()
    assert is_frozen(disk.point)
    stage.send("release")
    assert stage.expect("released", "fs.0").kept is Kept.WAS_HELD
    assert not is_frozen(disk.point)


def test_freeze_of_somebody_else_is_refused_and_left_as_it_is(disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    stage.open()
    freeze(disk.point)
    stage.send("hold fs.0 10")
    failed = stage.expect("failed", "fs.0")
    assert failed.words == ("enter", "2")
    assert "not by us" in failed.said
    stage.send("release")
    stage.send("bye")
    stage.expect("bye")
    assert is_frozen(disk.point)
    thaw(disk.point)


def test_filesystem_frozen_before_open_is_noticed_there_and_nothing_hangs(
    disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    freeze(disk.point)
    stage.send("open")
    failed = stage.expect("failed", "fs.0", seconds=30)
    assert "frozen already" in failed.said
    stage.close()
    eventually("the guard is gone", lambda: not stage.started or not Path(f"/proc/{stage.ear()}").exists())
    assert is_frozen(disk.point)
    thaw(disk.point)


def test_thaw_by_somebody_else_is_not_called_held(disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make("xfs")
    stage = stages(disk.point)
    stage.open()
    stage.take()
    thaw(disk.point)
    stage.send("release")
    assert stage.expect("released", "fs.0").kept is Kept.WAS_NOT_HELD


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_killed_guard_leaves_nothing_frozen(kind: str, disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make(kind)
    stage = stages(disk.point)
    stage.open()
    with Writer(disk.point / "log") as writer:
        stage.take()
        stage.signal(signal.SIGKILL, stage.ear())
        before = writer.count
        eventually("the writer goes on", lambda: writer.count > before + 10)
    eventually("it is recorded", lambda: stage.ended("fs.0") == "WAS_HELD rescue")


def test_watcher_thaws_when_every_process_of_the_guard_is_killed(disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    stage.open()
    stage.send("watch blocking 3")
    stage.expect("watching")
    stage.take()
    stage.signal(signal.SIGKILL, stage.hand("fs.0"), stage.ear())  # the hand first: it thaws when its ear is gone
    eventually("it is thawed", lambda: stage.ended("fs.0") == "WAS_HELD watcher", seconds=30)
    assert not is_frozen(disk.point)


def test_lost_link_thaws(disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    stage.open()
    stage.take()
    stage.close()
    eventually("it is thawed", lambda: stage.ended("fs.0") == "WAS_HELD rescue")
    assert not is_frozen(disk.point)


def test_filesystem_unmounted_while_frozen_is_thawed_through_another_mount_of_it(
    disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make("ext4")
    second = disks.folder / "second"
    second.mkdir()
    run("mount", "--bind", str(disk.point), str(second))
    stage = stages(disk.point)
    assert set(stage.holds[0].covers_paths) == {str(disk.point), str(second)}
    stage.open()
    stage.take()
    run("umount", str(disk.point))
    stage.send("release")
    assert stage.expect("released", "fs.0").kept is Kept.WAS_HELD
    assert not is_frozen(second)


def test_filesystem_unmounted_while_frozen_is_named_and_thawed_when_it_is_mounted_again(
    disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    stage.open()
    stage.take()
    run("umount", str(disk.point))
    stage.send("release")
    released = stage.expect("released", "fs.0")
    assert released.kept is Kept.UNKNOWN
    assert "mount it again" in released.said
    run("mount", disk.device, str(disk.point))
    stage.close()  # the guard tries again, and finds it
    eventually("it is thawed", lambda: stage.ended("fs.0").startswith("WAS_HELD"), seconds=30)
    assert not is_frozen(disk.point)


def test_path_that_is_no_longer_the_mount_does_not_freeze_what_lies_below(
    disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make("ext4")
    stage = stages(disk.point)
    stage.open()
    run("umount", str(disk.point))
    stage.send("hold fs.0 10")
    assert "not the mount that it was" in stage.expect("failed", "fs.0").said
    (disk.point / "written").write_text("the filesystem below is not frozen")


def test_filesystem_in_a_file_on_another_one_is_frozen_first(disks: Disks, stages: Callable[..., Stage]) -> None:
    outer = disks.make("ext4", "z-outer")
    inner = Disks(outer.point)
    with inner:
        disk = _small(inner)
        stage = stages(outer.point, disk.point)
        assert [hold.arguments[0] for hold in stage.holds] == [str(disk.point), str(outer.point)]
        stage.open()
        stage.take()
        assert is_frozen(disk.point)
        assert is_frozen(outer.point)
        stage.send("release")
        for name in ("fs.1", "fs.0"):
            assert stage.expect("released", name).kept is Kept.WAS_HELD
        stage.clean_up()


def _small(disks: Disks) -> Disk:
    image = disks.folder / "small.img"
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    run("mkfs.ext4", "-q", str(image))
    disk = Disk("ext4", image, disks.attach(image), disks.folder / "small")
    disk.point.mkdir()
    run("mount", disk.device, str(disk.point))
    return disk


def test_planted_link_does_not_lead_the_token_elsewhere(
    disks: Disks, stages: Callable[..., Stage], tmp_path: Path
) -> None:
    disk = disks.make("ext4")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for target in (victim, tmp_path):
        (disk.point / TOKEN).unlink(missing_ok=True)
        (disk.point / TOKEN).symlink_to(target)
        stage = stages(disk.point)
        stage.open()
        assert not (disk.point / TOKEN).is_symlink()
        assert victim.read_text() == "precious"
        stage.close()


def test_filesystem_that_takes_no_token_fails_before_anything_is_held(
    disks: Disks, stages: Callable[..., Stage]
) -> None:
    disk = disks.make("ext4")
    (disk.point / TOKEN).mkdir()
    stage = stages(disk.point)
    stage.send("open")
    assert TOKEN in stage.expect("failed", "fs.0").said


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_copy_made_while_frozen_is_presented_as_tonights(kind: str, disks: Disks, stages: Callable[..., Stage]) -> None:
    disk = disks.make(kind)
    stage = stages(disk.point)
    stage.open()
    with Writer(disk.point / "log") as writer:
        stage.take()
        eventually("the writer waits", writer.waits)
        count = len((disk.point / "log").read_text().splitlines())
        copy = disks.copy(disk)
        stage.send("release")
        stage.expect("released", "fs.0")
    above = disks.folder / "backup"
    above.mkdir()
    mount = Mount(str(above / "erp"), MountOptions(), stage.the_host())
    intent = mount.intend(Exposed("device", (copy.device,), "db1"), "erp-0", is_frozen=True)
    mount.present(intent, soon())
    mount.verify(intent, soon())
    assert len((above / "erp" / "log").read_text().splitlines()) == count
    with pytest.raises(Refused, match="not tonight's copy"):
        mount.verify(mount.intend(intent.exposed, "erp-1", is_frozen=True), soon())
    mount.withdraw(intent, soon())


class TestCheck:
    """What is refused on a real machine, with nothing changed."""

    def check(self, tmp_path: Path, *mounts: str, paths: tuple[str, ...] = (), state: str = "") -> Filesystem:
        host = LocalHost("db1", HostOptions(guard_dir=state or str(tmp_path / "state")))
        host.families(("filesystem",))
        host.connect(soon())
        app = Filesystem("fs", Options(mounts=mounts, paths=paths), host)
        app.check(soon())
        return app

    def test_root_filesystem(self, tmp_path: Path) -> None:
        need("fsfreeze")
        with pytest.raises(Refused, match="must not be frozen: it holds the root filesystem"):
            self.check(tmp_path, "/")

    def test_folder_that_is_not_a_mount_point(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        (disk.point / "sub").mkdir()
        with pytest.raises(Refused, match="is not a mount point"):
            self.check(tmp_path, f"{disk.point}/sub")

    def test_filesystem_without_freeze(self, tmp_path: Path, disks: Disks) -> None:
        point = disks.folder / "memory"
        point.mkdir()
        run("mount", "-t", "tmpfs", "none", str(point))
        with pytest.raises(Refused, match="tmpfs, which cannot be frozen"):
            self.check(tmp_path, str(point))

    def test_guards_own_folder(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        with pytest.raises(Refused, match="it holds the guard's folder"):
            self.check(tmp_path, str(disk.point), state=str(disk.point / "guard"))

    def test_journal_of_a_hook_on_the_same_machine(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        host = LocalHost("local", HostOptions(guard_dir=str(tmp_path / "state")))
        (disk.point / "journal").mkdir()
        app = Filesystem.for_mounts("fs", host, [str(disk.point)], str(disk.point / "journal"))
        host.connect(soon())
        with pytest.raises(Refused, match="it holds the journal"):
            app.check(soon())

    def test_swap_file(self, tmp_path: Path, disks: Disks) -> None:
        need("mkswap", "swapon")
        disk = disks.make("ext4")
        swap = disk.point / "swap"
        swap.write_bytes(bytes(4 * 2**20))
        swap.chmod(0o600)
        run("mkswap", str(swap))
        run("swapon", str(swap))
        try:
            with pytest.raises(Refused, match="it holds swap space"):
                self.check(tmp_path, str(disk.point))
        finally:
            run("swapoff", str(swap))

    def test_read_only_filesystem(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        run("mount", "-o", "remount,ro", str(disk.point))
        with pytest.raises(Refused, match="read-only"):
            self.check(tmp_path, str(disk.point))

    def test_path_is_found_on_its_filesystem_through_links(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        (disk.point / "erp").mkdir()
        link = tmp_path / "link"
        link.symlink_to(disk.point / "erp")
        app = self.check(tmp_path, paths=(str(link),))
        (hold,) = app.holds(app.check(soon()))
        assert hold.arguments[0] == str(disk.point)
        assert app.check(soon()).files == (str(link),)

    def test_nothing_was_changed(self, tmp_path: Path, disks: Disks) -> None:
        disk = disks.make("ext4")
        before = sorted(disk.point.iterdir())
        self.check(tmp_path, str(disk.point))
        assert sorted(disk.point.iterdir()) == before
        assert not is_frozen(disk.point)
