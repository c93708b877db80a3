"""The emulated md in its own terms: exit codes, layouts, what is refused, and which bytes a leg has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "mdadm"
BLOCK = 64 * 1024
SECTORS_OF_A_BLOCK = "128"


class World:
    """Group ``erp``: arrays ``md0`` (disks sda, sdb) and ``md1`` (sdc, sdd)."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.root = folder, folder / "state.root"
        for number in (1, 2):
            (folder / f"p{number}").write_bytes(os.urandom(4 * BLOCK))
        images = (f"{folder}/p{n}={folder}/c{n}" for n in (1, 2))
        self.printed = self.ok("control", "create", "--group", "erp", *images, *options)

    def call(self, tool: str, *words: str, host: str = "db1") -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "MDADM_EMULATOR_STATE": f"{self.folder}/state", "MDADM_EMULATOR_HOST": host}
        return subprocess.run([str(TOOLS / tool), *words], env=env, capture_output=True, text=True, timeout=30)

    def ok(self, tool: str, *words: str, host: str = "db1") -> str:
        done = self.call(tool, *words, host=host)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, code: int, text: str, *words: str, host: str = "db1") -> None:
        done = self.call("mdadm", *words, host=host)
        assert (done.returncode, text in done.stderr) == (code, True), done

    def control(self, *words: str) -> str:
        return self.ok("control", *words)

    def dev(self, name: str, host: str = "db1") -> str:
        return f"{self.root if host == 'db1' else f'{self.root}@{host}'}/dev/{name}"

    def manage(self, *words: str, md: str = "md0") -> str:
        """Manage mode; disks by their short names."""
        done = self.call("mdadm", self.dev(md), *(w if w.startswith("--") else self.dev(w) for w in words))
        assert done.returncode == 0, done.stderr
        return done.stderr

    def refused(self, code: int, text: str, *words: str) -> None:
        self.fails(code, text, self.dev("md0"), *(w if w.startswith("--") else self.dev(w) for w in words))

    def sys(self, name: str, md: str = "md0") -> str:
        return self.ok("cat", f"{self.root}/sys/block/{md}/md/{name}").strip()

    def mdstat(self) -> str:
        return self.ok("cat", f"{self.root}/proc/mdstat")

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, block: int, text: bytes) -> None:
        with self.path(name).open("r+b") as file:
            file.seek(block * BLOCK)
            file.write(text)

    def is_equal(self) -> bool:
        return self.path("p1").read_bytes() == self.path("c1").read_bytes()

    def split(self) -> None:
        self.manage("--fail", "sdb", "--remove", "sdb")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "--mirrored")


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Another process has it open."""
    with path.open("rb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[file.fileno()]) as process:
        file.close()
        try:
            yield
        finally:
            assert process.stdin
            process.stdin.close()


def test_create_prints_where_everything_is(world: World) -> None:
    told = dict(line.split("=", 1) for line in world.printed.splitlines())
    assert told == dict(line.split("=", 1) for line in world.control("roots").splitlines())
    assert (told["dev"], told["md0"]) == (f"{world.root}/dev", world.dev("md0"))
    assert (told["md1.leg"], told["mdstat"]) == (world.dev("sdd"), f"{world.root}/proc/mdstat")
    assert f"MD_UUID={told['md1.uuid']}\n" in world.ok("mdadm", "--detail", "--export", told["md1"])


# -- into sync --


def test_a_leg_that_was_never_in_is_added_with_a_full_copy_only(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.1")
    assert "md0 : active raid1 sda[0]\n      256 blocks super 1.2 [2/1] [U_]\n" in world.mdstat()
    world.refused(1, "--re-add for", "--re-add", "sdb")
    assert "added" in world.manage("--add", "sdb")
    assert (world.sys("sync_action"), world.sys("degraded"), world.sys("dev-sdb/state")) == ("recover", "1", "spare")
    assert "recovery = " in world.mdstat()
    assert "[2/1] [U_]" in world.mdstat()
    assert "clean, degraded, recovering" in world.ok("mdadm", "--detail", world.dev("md0"))
    assert b"still being copied" in world.path("c1").read_bytes()
    world.control("tick", "60")
    assert (world.sys("sync_action"), world.sys("degraded"), world.sys("dev-sdb/state")) == ("idle", "0", "in_sync")
    assert "sdb[2] sda[0]\n      256 blocks super 1.2 [2/2] [UU]" in world.mdstat()
    assert int(world.control("moved", "erp")) == 4 * BLOCK


def test_wait_fails_when_there_is_nothing_to_wait_for(world: World) -> None:
    world.fails(1, "", "--wait", world.dev("md0"))
    world.fails(2, "stat failed", "--wait", world.dev("md9"))
    world.split()
    world.control("stuck", "md0", "37")
    world.manage("--re-add", "sdb")
    assert world.sys("sync_action") == "recover"
    env = {"PATH": os.environ["PATH"], "MDADM_EMULATOR_STATE": f"{world.folder}/state"}
    with subprocess.Popen([str(TOOLS / "mdadm"), "--wait", world.dev("md0")], env=env) as waiting:
        while '"waited_for": true' not in world.control("state"):
            assert waiting.poll() is None
        world.control("stuck", "md0", "off")
        assert waiting.wait(timeout=20) == 0


# -- out and in --


def test_a_failed_leg_is_listed_until_it_is_removed(world: World) -> None:
    assert world.manage("--fail", "sdb") == f"mdadm: set {world.dev('sdb')} faulty in {world.dev('md0')}\n"
    assert "sdb[1](F) sda[0]" in world.mdstat()
    assert world.is_equal()
    assert (world.sys("dev-sdb/state"), world.sys("dev-sdb/slot"), world.sys("degraded")) == ("faulty", "none", "1")
    world.manage("--fail", "sdb")
    world.manage("--remove", "sdb")
    assert "sdb" not in world.mdstat()
    world.refused(1, "No such device or address", "--remove", "sdb")


def test_a_re_add_copies_the_chunks_that_were_written(world: World) -> None:
    world.split()
    world.write("p1", 2, b"later")
    assert not world.is_equal()
    world.manage("--re-add", "sdb")
    assert int(world.control("moved", "erp")) == BLOCK
    assert "[UU]" in world.mdstat()
    world.split()
    assert world.is_equal()


def test_whole_chunks_are_copied(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--chunk", str(64 * 2**20))
    world.split()
    world.write("p1", 2, b"later")
    world.manage("--re-add", "sdb")
    assert int(world.control("moved", "erp")) == 4 * BLOCK


def test_a_re_add_is_refused_without_a_bitmap_that_covers_it(world: World) -> None:
    world.fails(1, "bitmap already present", "--grow", "--bitmap=internal", world.dev("md0"))
    world.split()
    world.ok("mdadm", "--grow", "--bitmap=none", world.dev("md0"))
    world.refused(1, "is not possible", "--re-add", "sdb")
    world.ok("mdadm", "--grow", "--bitmap=internal", world.dev("md0"))
    world.refused(1, "is not possible", "--re-add", "sdb")
    world.manage("--add", "sdb")
    assert int(world.control("moved", "erp")) == 4 * BLOCK


def test_a_re_add_is_refused_when_the_place_is_taken(world: World) -> None:
    world.split()
    world.control("spare", "md0", "sdx")
    world.refused(1, "is not possible", "--re-add", "sdb")
    assert "sdx[2] sda[0]" in world.mdstat()


def test_a_re_add_in_the_middle_of_a_recovery_copies_what_was_still_due(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--rate", "0.01")
    world.split()
    world.write("p1", 2, b"later")
    world.manage("--re-add", "sdb")
    world.refused(1, "hot remove failed", "--fail", "sdb", "--remove", "sdb")
    assert "sdb[1](F)" in world.mdstat()
    world.manage("--remove", "sdb")
    world.manage("--re-add", "sdb")
    world.control("tick", "200")
    world.split()
    assert world.is_equal()


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1, "No such device", ("--fail", "sdc")),
        (1, "No such file or directory", ("--fail", "sdz")),
        (1, "Device or resource busy", ("--remove", "sdb")),
        (1, "Cannot open", ("--re-add", "sdb")),
        (2, "unrecognized option", ("--sideways", "sdb")),
    ],
)
def test_what_manage_mode_refuses(world: World, code: int, text: str, words: tuple[str, ...]) -> None:
    world.refused(code, text, *words)
    assert "[UU]" in world.mdstat()


def test_the_last_disk_that_works_is_refused_and_the_array_is_broken_all_the_same(world: World) -> None:
    world.split()
    world.refused(2, "Device or resource busy", "--fail", "sda")
    assert world.sys("array_state") == "broken"


def test_manage_test_says_whether_anything_changed(world: World) -> None:
    world.fails(2, "", "--manage", "--test", world.dev("md0"), "--remove", "faulty")
    world.manage("--fail", "sdb")
    assert world.call("mdadm", "--manage", "--test", world.dev("md0"), "--remove", "faulty").returncode == 0


# -- silent damage --


def test_what_is_written_to_the_leg_stays_in_it_until_a_repair(world: World) -> None:
    world.split()
    world.write("c1", 3, b"evil")
    world.manage("--re-add", "sdb")
    assert (world.sys("sync_action"), world.sys("mismatch_cnt")) == ("idle", "0"), "nobody notices"
    (world.root / "sys/block/md0/md/sync_action").write_text("check\n")
    assert world.sys("mismatch_cnt") == SECTORS_OF_A_BLOCK
    world.split()
    assert not world.is_equal()
    world.manage("--re-add", "sdb")
    world.ok("mdadm", "--action=repair", world.dev("md0"))
    world.split()
    assert world.is_equal()


def test_a_check_runs_for_a_while(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--rate", "0.1")
    world.ok("mdadm", "--action=check", world.dev("md0"))
    assert world.sys("sync_action") == "check"
    assert "check = " in world.mdstat()
    world.refused(1, "hot remove failed", "--fail", "sdb", "--remove", "sdb")
    world.control("tick", "60")
    assert world.sys("sync_action") == "idle"


# -- the leg elsewhere --


def test_a_leg_is_assembled_read_only_on_the_other_machine(world: World) -> None:
    world.control("wrap", "back", f"{world.folder}/back")
    world.split()
    leg, copy = world.dev("sdb", "back"), world.dev("md/copy", "back")
    assert b"no data" in Path(leg).read_bytes()
    world.fails(1, "already active", "--assemble", "--run", "--readonly", world.dev("md9"), world.dev("sdb"))
    world.fails(1, "need all 2 to start it", "--assemble", "--readonly", copy, leg, host="back")
    world.ok("mdadm", "--assemble", "--run", "--readonly", copy, leg, host="back")
    assert Path(copy).read_bytes() == world.path("p1").read_bytes()
    assert world.ok("blockdev", "--getro", copy, host="back") == "1\n"
    world.fails(2, "is busy - skipping", "--assemble", "--run", "--readonly", copy, leg, host="back")
    with holding(Path(copy)):
        world.fails(1, "Cannot get exclusive access", "--stop", copy, host="back")
        world.manage("--re-add", "sdb")
    world.ok("mdadm", "--stop", copy, host="back")
    assert not Path(copy).exists()


def test_only_the_legs_disks_are_seen_elsewhere(world: World) -> None:
    world.control("wrap", "back", f"{world.folder}/back")
    assert sorted(path.name for path in Path(world.dev("", "back")).iterdir()) == ["sdb", "sdd"]
    world.fails(1, "cannot open", "--examine", world.dev("sda", "back"), host="back")
    told = world.ok("mdadm", "--examine", "--export", world.dev("sdb", "back"), host="back")
    assert "MD_EVENTS=17\n" in told
    world.ok("mdadm", "--assemble", "--run", world.dev("md5", "back"), world.dev("sdb", "back"), host="back")
    told = world.ok("mdadm", "--examine", "--export", world.dev("sdb", "back"), host="back")
    assert "MD_EVENTS=18\n" in told, "read-write writes to the leg"


def test_old_metadata_begins_with_the_data(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--metadata", "1.0")
    world.split()
    assert Path(world.dev("sdb")).read_bytes() == world.path("p1").read_bytes()


def test_a_superblock_may_be_wiped_when_the_disk_is_out(world: World) -> None:
    world.fails(2, "not zeroing", "--zero-superblock", world.dev("sdb"))
    world.split()
    world.ok("mdadm", "--zero-superblock", world.dev("sdb"))
    world.fails(1, "No md superblock detected", "--examine", world.dev("sdb"))
    world.refused(1, "is not possible", "--re-add", "sdb")


# -- looking --


def test_detail_and_its_exit_codes(world: World) -> None:
    shown = world.ok("mdadm", "--detail", world.dev("md0"))
    assert "             State : clean \n" in shown
    assert f"       1       8       16        1      active sync   {world.dev('sdb')}" in shown
    world.split()
    done = world.call("mdadm", "--detail", "--test", world.dev("md0"))
    assert (done.returncode, "             State : clean, degraded \n" in done.stdout) == (1, True)
    world.fails(4, "cannot open", "--detail", "--test", world.dev("md9"))
    world.fails(1, "does not appear to be an md device", "--detail", world.dev("sda"))
    world.fails(2, "cannot be the first option", "--test", "--detail", world.dev("md0"))
    assert world.ok("mdadm", "--detail", "--scan").count("ARRAY ") == 2


def test_an_array_that_is_gone(world: World) -> None:
    world.control("stop", "md0")
    world.fails(1, "cannot open", "--detail", world.dev("md0"))
    world.fails(1, "error opening", world.dev("md0"), "--fail", world.dev("sdb"))
    assert not (world.root / "sys/block/md0").exists()
    assert "md1" in world.mdstat()


# -- faults --


def test_faults(world: World) -> None:
    world.control("fault", "state word sideways", "action word odd")
    assert (world.sys("array_state"), world.sys("sync_action")) == ("sideways", "odd")
    assert "State : sideways" in world.ok("mdadm", "--detail", world.dev("md0"))
    world.control("fault", "cat drop")
    assert "md0" not in world.mdstat()
    world.control("fault", "action word")
    assert "resync=DELAYED" in world.mdstat()
    world.control("fault", "remove busy-now")
    world.refused(1, "hot remove failed", "--fail", "sdb", "--remove", "sdb")
    world.control("mend")
    assert "sdb[1](F)" in world.mdstat()
    world.control("break", "md1", "sdc")
    assert "sdc[0](F)" in world.mdstat()


def test_half_of_a_group_is_split(world: World) -> None:
    world.control("fault", "fail md md1")
    world.split()
    done = world.call("mdadm", world.dev("md1"), "--fail", world.dev("sdd"), "--remove", world.dev("sdd"))
    assert (done.returncode, "Input/output error" in done.stderr) == (1, True)
    assert (world.sys("degraded"), world.sys("degraded", "md1")) == ("1", "0")


def test_killed_between_the_two_steps(world: World) -> None:
    world.control("fault", "fail die")
    done = world.call("mdadm", world.dev("md0"), "--fail", world.dev("sdb"), "--remove", world.dev("sdb"))
    assert done.returncode == -9
    assert "sdb[1](F)" in world.mdstat()


def test_a_bitmap_that_no_longer_covers_it(world: World) -> None:
    world.split()
    world.control("fault", "re-add stale", "re-add busy 1")
    world.refused(1, "Device or resource busy", "--re-add", "sdb")
    world.refused(1, "is not possible", "--re-add", "sdb")


def test_cat_of_other_files_is_the_real_one(world: World) -> None:
    world.path("plain").write_text("plain\n")
    assert world.ok("cat", str(world.path("plain"))) == "plain\n"
    assert world.control("log").splitlines()[-1].startswith("cat ")
