"""The emulated Volume Manager in its own terms: layouts, refusals, moves between hosts, twins, and which bytes a copy has."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "vxvm"
BLOCK = 64 * 1024
BLOCKS = 4


class World:
    """The disk group ``erp`` with two volumes, each with a free disk for a mirror, seen by two hosts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        for number in (1, 2):
            (folder / f"p{number}").write_bytes(os.urandom(BLOCKS * BLOCK))
        self.control("create", "--group", "erp", *(f"{folder}/p{n}={folder}/c{n}" for n in (1, 2)), *options)

    def start(self, tool: str, *words: str, host: str = "") -> subprocess.Popen[str]:
        env = {"PATH": os.environ["PATH"], "VXVM_EMULATOR_STATE": f"{self.folder}/state"}
        env |= {"VXVM_EMULATOR_HOST": host} if host else {}
        return subprocess.Popen([str(TOOLS / tool), *words], env=env, stdout=-1, stderr=-1, text=True)

    def call(self, line: str, host: str = "") -> tuple[int, str, str]:
        process = self.start(*line.split(), host=host)
        stdout, stderr = process.communicate(timeout=30)
        return process.returncode, stdout, stderr

    def control(self, *words: str) -> str:
        stdout, stderr = (process := self.start("control", *words)).communicate(timeout=30)
        assert process.returncode == 0, stderr
        return stdout

    def ok(self, line: str, host: str = "") -> str:
        code, stdout, stderr = self.call(line, host)
        assert code == 0, stderr
        return stdout

    def refused(self, line: str, code: int, text: str, host: str = "") -> None:
        """The command fails with `code` and `text`, and no record has changed."""
        before = self.records()
        found, _, stderr = self.call(line, host)
        assert (found, stderr.startswith(f"VxVM {line.split()[0]} ERROR V-5-1-")) == (code, True)
        assert text in stderr
        assert self.records() == before

    def records(self) -> object:
        state = json.loads((self.folder / "state").read_bytes())
        return state["configs"], state["open"], state["disks"]

    def attach(self, *options: str) -> None:
        for volume in ("erp01", "erp02"):
            self.ok(f"vxsnap -g erp {' '.join(options)} addmir {volume}")

    def make(self) -> None:
        self.ok("vxsnap -g erp make source=erp01/newvol=s1/nmirror=1 source=erp02/newvol=s2/nmirror=1")

    def ready(self) -> None:
        self.attach()
        self.make()

    def write(self, name: str, block: int, text: bytes) -> None:
        with (self.folder / name).open("r+b") as file:
            file.seek(block * BLOCK)
            file.write(text)

    def read(self, name: str, block: int, size: int) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(block * BLOCK)
            return file.read(size)

    def is_copy(self, number: int) -> bool:
        return (self.folder / f"p{number}").read_bytes() == (self.folder / f"c{number}").read_bytes()

    def states(self, group: str = "erp", host: str = "") -> dict[str, str]:
        """Kernel state and state of every volume and plex of ``vxprint -ht``."""
        lines = [line.split() for line in self.ok(f"vxprint -g {group} -ht", host).splitlines()]
        return {words[1]: f"{words[3]} {words[4]}" for words in lines if words and words[0] in ("v", "pl")}

    def devices(self) -> list[str]:
        root = self.folder / "state.dev"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# ---- what is printed ----


def test_vxprint_has_the_header_and_the_columns_of_the_guides(world: World) -> None:
    world.attach()
    lines = world.ok("vxprint -g erp -ht").splitlines()
    assert lines[:2] == ["Disk group: erp", ""]
    assert "V  NAME         RVG/VSET/CO  KSTATE   STATE    LENGTH   READPOL   PREFPLEX UTYPE" in lines
    assert "PL NAME         VOLUME       KSTATE   STATE    LENGTH   LAYOUT    NCOL/WID MODE" in lines
    assert "v  erp01        -            ENABLED  ACTIVE   512      SELECT    -        fsgen" in lines
    assert "pl erp01-02     erp01        ENABLED  SNAPDONE 512      CONCAT    -        WO" in lines
    assert "sd erpdg02-01   erp01-02     erpdg02  0        512      0         c1t2d0   ENA" in lines
    assert "dc erp01_dco    erp01        erp01_dcl" in lines


def test_vxprint_lists_named_volumes_only_and_knows_no_others(world: World) -> None:
    assert [line.split()[1] for line in world.ok("vxprint -g erp -qvt erp02").splitlines() if line] == ["erp02"]
    world.refused("vxprint -g erp -ht erp03", 11, "erp03")


def test_snap_print_and_list_have_the_guides_words(world: World) -> None:
    world.ready()
    world.write("p1", 1, b"new")
    lines = [line.split() for line in world.ok("vxsnap -g erp print erp01").splitlines() if line]
    assert lines == [
        ["NAME", "SNAPOBJECT", "TYPE", "PARENT", "SNAPSHOT", "%DIRTY", "%VALID"],
        ["erp01", "--", "volume", "--", "--", "--", "100"],
        ["s1_snp", "volume", "--", "s1", "25.00", "--"],
    ]
    words = world.ok("vxsnap -g erp -vx list s1").splitlines()[-1].split()
    assert words[:6] == ["s1", "erp", "vol", "mirbrk", "erp01", "erp"]
    assert words[-2:] == ["256K", "(100%)"]


def test_snapprint_and_the_task_list(tmp_path: Path) -> None:
    world = World(tmp_path, "--model", "traditional", "--rate", "1")
    world.ok("vxassist -g erp -b snapstart erp01")
    assert "PLXSNAP/R" in world.ok("vxtask list").splitlines()[1]
    world.control("tick", "60")
    world.ok("vxassist -g erp snapshot erp01 s1")
    assert ["ss", "s1_snp", "s1", "512", "0"] in [
        line.split() for line in world.ok("vxassist -g erp snapprint").splitlines()
    ]
    assert len(world.ok("vxtask list").splitlines()) == 1


# ---- attach, break off, attach again ----


def test_a_mirror_attaches_as_the_clock_says_and_is_garbage_until_then(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "2")
    world.attach("-b")
    assert world.states()["erp01-02"] == "ENABLED SNAPATT"
    assert not world.is_copy(1)
    world.refused("vxsnap -g erp make source=erp01/newvol=s1/nmirror=1", 4, "SNAPDONE")
    world.control("tick", "10")
    assert world.states()["erp01-02"] == "ENABLED SNAPDONE"
    assert world.is_copy(1)


def test_addmir_and_snapwait_wait_for_the_end(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "1")
    waiting = [world.start("vxsnap", "-g", "erp", "addmir", "erp01")]
    end = time.monotonic() + 20
    while "SNAPATT" not in world.ok("vxprint -g erp -ht"):
        assert time.monotonic() < end
    waiting.append(world.start("vxsnap", "-g", "erp", "snapwait", "erp01", "nmirror=1"))
    with pytest.raises(subprocess.TimeoutExpired):
        waiting[1].wait(timeout=0.4)
    world.control("tick", "60")
    for process in waiting:
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_snapwait_fails_where_nothing_attaches(world: World) -> None:
    world.refused("vxsnap -g erp snapwait erp01", 11, "no 1 snapshot mirror")


def test_a_snapshot_is_of_the_moment_and_the_volume_keeps_its_own_plex(world: World) -> None:
    world.attach()
    world.write("p1", 1, b"one")
    world.make()
    world.write("p1", 1, b"two")
    assert world.read("c1", 1, 3) == b"one"
    assert world.states() == {
        "erp01": "ENABLED ACTIVE",
        "erp01-01": "ENABLED ACTIVE",
        "erp02": "ENABLED ACTIVE",
        "erp02-01": "ENABLED ACTIVE",
        "s1": "ENABLED ACTIVE",
        "erp01-02": "ENABLED ACTIVE",
        "s2": "ENABLED ACTIVE",
        "erp02-02": "ENABLED ACTIVE",
    }
    assert world.devices() == [f"db1/dsk/erp/{name}" for name in ("erp01", "erp02", "s1", "s2")]


def test_make_is_refused_as_a_whole(world: World) -> None:
    world.ok("vxsnap -g erp addmir erp01")
    world.refused("vxsnap -g erp make source=erp01/newvol=s1/nmirror=1 source=erp02/newvol=s2/nmirror=1", 4, "erp02")
    world.refused("vxsnap -g erp make source=erp01/newvol=erp02/nmirror=1", 12, "erp02")
    world.refused("vxsnap -g erp make source=erp01", 1, "newvol=")
    world.refused("vxsnap make source=erp01/newvol=s1/nmirror=1", 9, "-g")


def moments(world: World) -> list[bytes]:
    """What a counter on both volumes was, on each of the snapshots."""
    world.attach()
    is_over = threading.Event()
    (world.folder / "p1").chmod(0o600)

    def count() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            for name in ("p1", "p2"):
                world.write(name, 1, b"%08d" % number)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        world.call("vxsnap -g erp make source=erp01/newvol=s1/nmirror=1 source=erp02/newvol=s2/nmirror=1")
    finally:
        is_over.set()
        thread.join()
    return [world.read(name, 1, 8) for name in ("c1", "c2")]


def test_several_volumes_in_one_command_have_a_moment_each(tmp_path: Path) -> None:
    one, two = moments(World(tmp_path, "--gap", "0.3"))
    assert int(two) - int(one) > 1


def test_one_moment_is_taken_while_the_volumes_stand_still(tmp_path: Path) -> None:
    world = World(tmp_path, "--moment", "one", "--gap", "5")
    world.attach()
    began = time.monotonic()
    world.make()
    assert time.monotonic() - began < 4
    assert world.is_copy(1)
    assert world.is_copy(2)


@pytest.mark.parametrize(("tracking", "moved"), [("on", 2), ("memory", 2), ("off", BLOCKS)])
def test_reattach_copies_what_changed_on_both_sides_or_all(tmp_path: Path, tracking: str, moved: int) -> None:
    world = World(tmp_path, "--fastresync", tracking)
    world.ready()
    world.write("p1", 1, b"primary")
    world.write("c1", 2, b"copy")
    world.ok("vxsnap -g erp reattach s1 source=erp01 nmirror=1")
    world.ok("vxsnap -g erp snapwait erp01 nmirror=1")
    assert int(world.control("moved", "erp")) == moved * BLOCK + BLOCKS * BLOCK
    assert world.states()["erp01-02"] == "ENABLED SNAPDONE"
    assert world.is_copy(1)


def test_a_reattaching_mirror_says_snaptmp(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "1")
    world.attach("-b")
    world.control("tick", "60")
    world.make()
    world.write("p1", 0, b"new")
    world.ok("vxsnap -g erp -b reattach s1 source=erp01")
    assert world.states()["erp01-02"] == "ENABLED SNAPTMP"
    assert "s1" not in world.states()


def test_an_open_snapshot_is_neither_reattached_nor_refreshed_nor_moved(world: World) -> None:
    world.ready()
    world.control("open", "db1", "erp", "s1")
    world.refused("vxsnap -g erp reattach s1 source=erp01", 20, "in use")
    world.refused("vxsnap -g erp refresh s1 source=erp01", 20, "in use")
    world.refused("vxdg split erp snap s1 s2", 20, "in use")
    world.refused("vxvol -g erp stop s1", 20, "in use")
    world.control("close", "db1", "erp", "s1")
    world.ok("vxsnap -g erp reattach s1 source=erp01")


def test_reattach_knows_its_source(world: World) -> None:
    world.ready()
    world.refused("vxsnap -g erp reattach s1 source=erp02", 4, "erp02")
    world.refused("vxsnap -g erp reattach erp01 source=erp02", 4, "not a snapshot")
    world.refused("vxsnap -g erp reattach s1", 1, "source=")


def test_refresh_takes_a_new_moment_and_synchronises_behind_it(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "1")
    world.attach("-b")
    world.control("tick", "60")
    world.make()
    world.write("p1", 1, b"new")
    world.ok("vxsnap -g erp refresh s1 source=erp01 syncing=yes")
    assert world.read("c1", 1, 3) == b"new"
    for line in ("vxsnap -g erp dis s1", "vxsnap -g erp split s1", "vxdg split erp snap s1"):
        world.refused(line, 4, "not fully synchronized")
    world.control("tick", "60")
    world.ok("vxsnap -g erp syncwait s1")
    world.ok("vxsnap -g erp dis s1")
    world.refused("vxsnap -g erp reattach s1 source=erp01", 4, "not a snapshot")


def test_a_space_optimised_snapshot_can_be_read_and_refreshed_but_not_let_go(world: World) -> None:
    world.ok("vxsnap -g erp make source=erp01/newvol=space/cache=store")
    assert "spaceopt" in world.ok("vxsnap -g erp list")
    link = world.folder / "state.dev/db1/dsk/erp/space"
    before = link.read_bytes()
    world.write("p1", 1, b"new")
    assert link.read_bytes() == before
    world.ok("vxsnap -g erp refresh space source=erp01")
    assert link.read_bytes() == (world.folder / "p1").read_bytes()
    world.refused("vxsnap -g erp dis space", 4, "synchronized")
    world.refused("vxdg split erp snap space", 4, "cache")
    world.refused("vxedit -g erp -r rm space", 4, "enabled")
    world.ok("vxvol -g erp stop space")
    world.ok("vxedit -g erp -r rm space")


def test_mirrors_are_given_up_and_their_disks_are_free_again(world: World) -> None:
    world.ok("vxsnap -g erp addmir erp01")
    world.refused("vxsnap -g erp addmir erp01", 13, "Cannot allocate")
    world.ok("vxsnap -g erp rmmir erp01")
    world.refused("vxsnap -g erp rmmir erp01", 11, "no snapshot mirror")
    world.ok("vxsnap -g erp addmir erp01 alloc=erpdg02")


def test_the_two_models_refuse_each_other(tmp_path: Path) -> None:
    instant, traditional = (
        World(make_folder(tmp_path / "i")),
        World(make_folder(tmp_path / "t"), "--model", "traditional"),
    )
    instant.refused("vxassist -g erp snapstart erp01", 4, "prepared")
    traditional.refused("vxsnap -g erp addmir erp01", 4, "not prepared")
    traditional.ok("vxsnap -g erp prepare erp01")
    traditional.ok("vxsnap -g erp addmir erp01")
    traditional.refused("vxsnap -g erp unprepare erp01", 4, "snapshots")


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_vxassist_snapshot_names_one_volume_or_several(tmp_path: Path) -> None:
    world = World(tmp_path, "--model", "traditional")
    world.ok("vxassist -g erp snapstart erp01")
    world.refused("vxassist -g erp -o allvols snapshot", 4, "erp02")
    world.ok("vxassist -g erp snapstart erp02")
    world.ok("vxassist -g erp snapshot erp01 erp02")
    assert {"SNAP-erp01", "SNAP-erp02"} <= set(world.states())
    world.ok("vxassist -g erp snapback SNAP-erp01 SNAP-erp02")
    world.ok("vxassist -g erp -o allvols,name=night%d-%v snapshot")
    assert {"night1-erp01", "night2-erp02"} <= set(world.states())
    world.ok("vxassist -g erp snapclear night1-erp01")
    world.refused("vxassist -g erp snapback night1-erp01", 4, "not a snapshot")
    world.refused("vxassist -g erp snapabort erp02", 11, "no snapshot mirror")


def test_restore_overwrites_production_without_a_question(world: World) -> None:
    world.ready()
    world.write("p1", 1, b"lost")
    world.ok("vxsnap -g erp restore erp01 source=s1")
    assert world.read("p1", 1, 4) != b"lost"


# ---- between hosts ----


def test_a_snapshot_goes_to_another_host_and_comes_back_incrementally(world: World) -> None:
    world.ready()
    world.ok("vxdg split erp snap s1 s2")
    assert set(world.states("snap").values()) == {"DISABLED ACTIVE"}
    assert ["sp", "s1_snp", "s1"] in [line.split()[:3] for line in world.ok("vxprint -g erp -ht").splitlines()]
    world.ok("vxdg deport snap")
    world.refused("vxprint -g snap -ht", 9, "No such disk group")
    assert ["sp", "s1_snp", "-"] in [line.split()[:3] for line in world.ok("vxprint -g erp -ht").splitlines()]
    world.ok("vxdg import snap", host="backup")
    assert not any(name.startswith("backup/") for name in world.devices())
    world.ok("vxvol -g snap startall", host="backup")
    assert [name for name in world.devices() if "/snap/" in name] == ["backup/dsk/snap/s1", "backup/dsk/snap/s2"]
    world.write("p1", 1, b"meanwhile")
    world.ok("vxdg deport snap", host="backup")
    world.ok("vxdg import snap")
    world.ok("vxdg join snap erp")
    assert world.states()["s1"] == "DISABLED ACTIVE"
    world.ok("vxvol -g erp startall")
    world.ok("vxsnap -g erp reattach s1 source=erp01")
    assert int(world.control("moved", "erp")) == BLOCK + BLOCKS * BLOCK


def test_memory_only_fastresync_forgets_a_snapshot_that_was_moved(tmp_path: Path) -> None:
    world = World(tmp_path, "--fastresync", "memory")
    world.ready()
    world.ok("vxdg split erp snap s1")
    world.ok("vxdg join snap erp")
    world.ok("vxsnap -g erp reattach s1 source=erp01")
    assert int(world.control("moved", "erp")) == 2 * BLOCKS * BLOCK


def test_an_imported_group_is_refused_on_another_host(world: World) -> None:
    world.refused("vxdg import erp", 5, "Disk is in use by another host", host="backup")
    world.refused("vxdg import erp", 12, "exists and is imported")
    world.refused("vxdg import nothing", 9, "No valid disk found", host="backup")


def test_clearing_the_lock_of_an_imported_group_spoils_it(world: World) -> None:
    before = (world.folder / "p1").read_bytes()
    world.ok("vxdg -C import erp", host="backup")
    world.ok("vxvol -g erp startall", host="backup")
    assert (world.folder / "p1").read_bytes() != before
    assert b"written by two hosts" in (world.folder / "p1").read_bytes()


def test_only_whole_disks_are_moved(tmp_path: Path) -> None:
    world = World(tmp_path, "--same-disk")
    world.ready()
    world.refused("vxdg split erp snap s1", 4, "s2")
    world.ok("vxdg -o expand split erp snap s1")
    assert {"s1", "s2"} < set(world.states("snap"))


def test_an_open_volume_keeps_its_group(world: World) -> None:
    world.control("open", "db1", "erp", "erp01")
    world.refused("vxdg deport erp", 20, "Some volumes in the disk group are in use")
    world.refused("vxdg split erp erp", 1, "Usage")


def test_temporary_names_end_with_the_import(world: World) -> None:
    world.ready()
    world.ok("vxdg split erp snap s1 s2")
    world.ok("vxdg deport snap")
    world.ok("vxdg -t -n run7 import snap", host="backup")
    assert "run7" in world.ok("vxdg -q list", host="backup")
    world.ok("vxdg deport run7", host="backup")
    assert "(snap)" in world.ok("vxdisk -o alldgs list")
    world.ok("vxdg -n other import snap")
    world.ok("vxdg -n third deport other")
    world.ok("vxdg import third", host="backup")


@pytest.mark.parametrize(("options", "state"), [((), "DISABLED ACTIVE"), (("--autostart",), "ENABLED ACTIVE")])
def test_volumes_start_with_the_import_or_later(tmp_path: Path, options: tuple[str, ...], state: str) -> None:
    world = World(tmp_path, *options)
    world.ok("vxdg deport erp")
    world.ok("vxdg import erp", host="backup")
    assert set(world.states("erp", "backup").values()) == {state}


def test_starting_what_runs_is_an_error_where_it_is_one(tmp_path: Path) -> None:
    world = World(tmp_path, "--started-fails")
    world.refused("vxvol -g erp start erp01", 4, "already started")
    world.ok("vxvol -g erp startall")


# ---- twins ----


def twins(world: World, *seen: str) -> None:
    words = [word for host in seen for word in ("--seen", host)]
    copies = [f"{world.folder}/p{n}={world.folder}/t{n}" for n in (1, 2)]
    world.control("twin", "erp", *copies, *(f"{world.folder}/c{n}={world.folder}/u{n}" for n in (1, 2)), *words)


def test_a_twin_is_seen_after_a_scan_and_has_the_same_ids(world: World) -> None:
    world.attach()
    twins(world)
    assert "udid_mismatch" not in world.ok("vxdisk list", host="backup")
    world.ok("vxdisk scandisks", host="backup")
    rows = [line.split() for line in world.ok("vxdisk -o alldgs list", host="backup").splitlines()[1:]]
    assert [row[3:] for row in rows] == [["(erp)", "online"]] * 4 + [["(erp)", "online", "udid_mismatch"]] * 4
    ids = {
        line
        for row in rows
        for line in world.ok(f"vxdisk list {row[0]}", host="backup").splitlines()
        if line[:6] == "group:"
    }
    assert len(ids) == 1
    assert f"block={world.folder}/t1 " in world.ok(f"vxdisk list {rows[4][0]}", host="backup")


def test_a_twin_beside_its_original_needs_another_id_and_another_name(world: World) -> None:
    world.attach()
    twins(world)
    world.ok("vxdctl enable")
    world.refused("vxdg -C import erp", 12, "exists and is imported")
    world.refused("vxdg -C -o useclonedev=on import erp", 12, "exists and is imported")
    world.refused("vxdg -C -o useclonedev=on -n run7 import erp", 12, "exists and is imported")
    world.refused("vxdg -C -o useclonedev=on -o updateid import erp", 12, "exists and is imported")


def test_a_twin_is_imported_beside_its_original_by_useclonedev_updateid_and_name(world: World) -> None:
    world.attach()
    twins(world)
    world.ok("vxdctl enable")
    world.ok("vxdg -C -o useclonedev=on -o updateid -n run7 import erp")
    world.ok("vxvol -g run7 startall")
    assert (world.folder / "state.dev/db1/dsk/run7/erp01").read_bytes() == (world.folder / "p1").read_bytes()
    rows = [line.split() for line in world.ok("vxdg list").splitlines()[1:]]
    assert [row[0] for row in rows] == ["erp", "run7"]
    assert rows[0][2] != rows[1][2]
    assert "clone_disk" in world.ok("vxdisk list")


def test_a_lone_twin_is_refused_unless_it_is_meant(world: World) -> None:
    world.attach()
    twins(world, "backup")
    world.ok("vxdisk scandisks", host="backup")
    world.ok("vxdg deport erp")
    world.ok("vxdg import erp")
    world.refused("vxdg -o useclonedev=on import erp", 5, "in use by another host", host="backup")
    world.ok("vxdg -C -o useclonedev=on import erp", host="backup")


def test_old_releases_have_no_mark_for_a_twin(tmp_path: Path) -> None:
    world = World(tmp_path, "--release", "3.5")
    world.attach()
    twins(world)
    world.ok("vxdctl enable", host="backup")
    world.refused("vxdg -o updateid import erp", 1, "unknown option", host="backup")
    world.refused("vxdg -C -n run7 import erp", 5, "duplicate", host="backup")
    world.ok("vxdg deport erp")
    world.refused("vxdg import erp", 5, "duplicate", host="backup")
    world.ok("vxdg import erp")


def test_a_twin_that_lacks_a_disk_is_refused(world: World) -> None:
    world.control("twin", "erp", f"{world.folder}/p1={world.folder}/t1")
    world.ok("vxdisk scandisks")
    world.refused("vxdg -C -o useclonedev=on -o updateid -n run7 import erp", 13, "Disk for disk group not found")
    world.control("untwin", "erp")
    assert len(world.ok("vxdisk list").splitlines()) == 5


# ---- faults ----


def test_faults_of_every_emulator(world: World) -> None:
    world.attach()
    line = "vxsnap -g erp make source=erp01/newvol=s1/nmirror=1"
    for fault, code in (("break fail", 5), ("vxsnap.make busy", 10), ("break code 37", 37)):
        world.control("fault", fault)
        world.refused(line, code, "")
    world.control("fault", "break lie")
    world.ok(line)
    assert "s1" not in world.states()
    world.control("fault", "query fail 1")
    assert world.call("vxprint -g erp")[0] == 5
    world.control("fault", "query noise something else")
    assert world.ok("vxprint -g erp").splitlines()[-1] == "something else"


def test_a_command_hangs_before_or_after_it_is_done(world: World) -> None:
    world.attach()
    for fault, is_done in (("break hang", False), ("break hang-after", True)):
        world.control("fault", fault)
        process = world.start("vxsnap", "-g", "erp", "make", "source=erp01/newvol=s1/nmirror=1")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.kill()
        process.communicate()
        world.control("mend")
        assert ("s1" in world.states()) == is_done


@pytest.mark.parametrize("fault", ["break half", "break die"])
def test_half_of_a_command_is_done(world: World, fault: str) -> None:
    world.attach()
    world.control("fault", fault)
    code, _, _ = world.call("vxsnap -g erp make source=erp01/newvol=s1/nmirror=1 source=erp02/newvol=s2/nmirror=1")
    assert code in (5, -9)
    assert "s1" in world.states()
    assert "s2" not in world.states()


def test_a_strange_word_a_lost_volume_and_a_failed_disk(world: World) -> None:
    world.attach()
    world.control("fault", "query word SIDEWAYS")
    assert world.states()["erp01-02"] == "ENABLED SIDEWAYS"
    world.control("fault", "query drop")
    assert "erp01" not in world.states()
    world.control("mend")
    world.control("break", "erp", "erp02")
    assert world.states()["erp02-02"] == "DISABLED NODEVICE"
    world.refused("vxsnap -g erp make source=erp02/newvol=s2/nmirror=1", 4, "SNAPDONE")
    world.control("forget", "erp", "erp01")
    assert "erp01" not in world.states()


def test_every_failure_may_have_the_same_code(tmp_path: Path) -> None:
    world = World(tmp_path, "--code", "1")
    world.refused("vxsnap -g erp snapwait erp01", 1, "no 1 snapshot")
    world.refused("vxdg import erp", 1, "in use", host="backup")


def test_unknown_words_options_and_hosts(world: World) -> None:
    world.refused("vxsnap -g erp destroy erp01", 2, "destroy")
    world.refused("vxsnap -Z print", 1, "-Z")
    world.refused("vxsnap addmir erp01 -g erp", 1, "-g")
    world.refused("vxprint -g erp", 3, "not accessible", host="nowhere")


def test_wrappers_carry_host_and_state(world: World) -> None:
    world.control("tools", "backup", f"{world.folder}/tools")
    done = subprocess.run([f"{world.folder}/tools/vxdctl", "list"], capture_output=True, text=True, check=True)
    assert "hostid:  backup" in done.stdout
    assert "vxdctl list" in world.control("log")
