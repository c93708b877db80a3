"""The emulated LVM in its own terms: attributes, exit codes, what is refused, and which bytes a copy has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "lvm"
BLOCK = 64 * 1024
SPLIT = ("lvconvert", "-y", "--splitmirrors", "1", "--trackchanges")
SECTORS_OF_A_BLOCK = "128"


class World:
    """A group ``erp`` with two volumes, ``lv1`` and ``lv2``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        for number in (1, 2):
            (folder / f"p{number}").write_bytes(os.urandom(4 * BLOCK))
        self.control("create", "--group", "erp", *(f"{folder}/p{n}={folder}/c{n}" for n in (1, 2)), *options)

    def call(self, tool: str, *words: str, host: str = "db1", answer: str = "") -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "LVM_EMULATOR_STATE": f"{self.folder}/state", "LVM_EMULATOR_HOST": host}
        return subprocess.run(
            [str(TOOLS / tool), *words], env=env, capture_output=True, text=True, timeout=30, input=answer
        )

    def control(self, *words: str) -> str:
        return self.ok("control", *words)

    def ok(self, tool: str, *words: str, host: str = "db1", answer: str = "") -> str:
        done = self.call(tool, *words, host=host, answer=answer)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, code: int, text: str, tool: str, *words: str, host: str = "db1") -> None:
        done = self.call(tool, *words, host=host)
        assert (done.returncode, text in done.stderr) == (code, True), done

    def volumes(self, *fields: str, host: str = "db1") -> dict[str, list[str]]:
        """The fields of every volume and part, by name."""
        text = self.ok("lvs", "-a", "--reportformat", "json", "-o", ",".join(("lv_name", *fields)), "erp", host=host)
        return {row["lv_name"]: [row[one] for one in fields] for row in json.loads(text)["report"][0]["lv"]}

    def attributes(self, host: str = "db1") -> dict[str, str]:
        return {name: attr for name, (attr,) in self.volumes("lv_attr", host=host).items() if "rmeta" not in name}

    def state(self, name: str = "lv1") -> list[str]:
        return self.volumes("sync_percent", "raid_sync_action", "raid_mismatch_count")[name]

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, block: int, text: bytes) -> None:
        with self.path(name).open("r+b") as file:
            file.seek(block * BLOCK)
            file.write(text)

    def is_equal(self, number: int = 1) -> bool:
        return self.path(f"p{number}").read_bytes() == self.path(f"c{number}").read_bytes()


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


# -- mirrors --


def test_a_mirror_is_filled_in_full_before_it_may_be_split(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.1")
    assert world.attributes() == {"lv1": "-wi-a-----", "lv2": "-wi-a-----"}
    world.fails(5, "NOT converted", "lvconvert", "--type", "raid1", "-m", "+1", "erp/lv1")
    world.ok("lvconvert", "-y", "--type", "raid1", "-m", "+1", "erp/lv1", f"{tmp_path}/state.dev/sdb")
    assert world.state() == ["0.00", "recover", "0"]
    assert world.attributes()["[lv1_rimage_1]"] == "Iwi-aor---"
    assert not world.is_equal()
    world.fails(5, "Unable to split image from erp/lv1 while not in-sync.", *SPLIT, "erp/lv1")
    world.fails(5, "still initializing", "lvconvert", "-y", "--type", "raid1", "-m", "+1", "erp/lv1")
    world.control("tick", "20")
    assert world.state()[:2] == ["50.00", "recover"]
    world.control("tick", "30")
    assert world.state() == ["100.00", "idle", "0"]
    assert world.attributes()["[lv1_rimage_1]"] == "iwi-aor---"
    assert int(world.control("moved", "erp")) == 4 * BLOCK


def test_a_tracked_split_shows_the_leg_and_a_merge_copies_what_changed(world: World) -> None:
    printed = world.ok(*SPLIT, "erp/lv1", f"{world.folder}/state.dev/sdb")
    assert printed.startswith("  erp/lv1_rimage_1 split from erp/lv1 for read-only purposes.\n")
    assert world.attributes()["lv1_rimage_1"] == "Iri-a-r---"
    assert world.state() == ["100.00", "idle", "0"]
    assert world.volumes("lv_path", "lv_permissions")["lv1_rimage_1"] == [
        f"{world.folder}/state.dev/erp/lv1_rimage_1",
        "read-only",
    ]
    assert world.is_equal()
    world.write("p1", 2, b"later")
    assert world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1").endswith("merged back into erp/lv1.\n")
    assert int(world.control("moved", "erp")) == BLOCK
    assert "lv1_rimage_1" not in world.attributes()
    world.ok(*SPLIT, "erp/lv1")
    assert world.is_equal()


def test_a_leg_between_merge_and_end_of_copying_holds_garbage(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--rate", "0.1")
    world.ok(*SPLIT, "erp/lv1")
    world.write("p1", 2, b"later")
    world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
    assert world.state()[1] == "recover"
    world.fails(5, "not in-sync", *SPLIT, "erp/lv1")
    assert b"still being copied" in world.path("c1").read_bytes()


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (5, "NOT split", ("--splitmirrors", "1", "--trackchanges", "erp/lv1")),
        (
            3,
            "Command does not accept option: --trackchanges.",
            ("-y", "--splitmirrors", "1", "--trackchanges", "-n", "x", "erp/lv1"),
        ),
        (5, "specified amount", ("-y", "--splitmirrors", "2", "--trackchanges", "erp/lv1")),
        (5, 'Failed to find logical volume "erp/lv9"', ("-y", "--splitmirrors", "1", "--trackchanges", "erp/lv9")),
        (5, 'Volume group "crm" not found', ("-y", "--splitmirrors", "1", "--trackchanges", "crm/lv1")),
        (5, "not found in Volume Group", ("-y", "--splitmirrors", "1", "--trackchanges", "erp/lv1", "/dev/sdz")),
        (5, "--trackchanges was not used", ("--merge", "erp/lv1_rimage_1")),
        (3, "unrecognized option '--sideways'", ("--sideways", "erp/lv1")),
        (3, "No command with matching syntax", ("-y",)),
    ],
)
def test_what_lvconvert_refuses(world: World, code: int, text: str, words: tuple[str, ...]) -> None:
    world.fails(code, text, "lvconvert", *words)
    assert world.attributes()["[lv1_rimage_1]"] == "iwi-aor---"


def test_a_volume_that_tracks_accepts_a_merge_only_but_may_be_removed(world: World) -> None:
    world.ok(*SPLIT, "erp/lv1")
    for words in (SPLIT, ("lvconvert", "-y", "-m", "0"), ("lvconvert", "-y", "--splitmirrors", "1", "-n", "x")):
        world.fails(5, "Conversion of tracking raid1 LV erp/lv1 is not supported.", *words, "erp/lv1")
    world.fails(5, "used as RAID device", "lvremove", "-y", "erp/lv1_rimage_1")
    world.ok("lvremove", "-y", "erp/lv1")
    assert set(world.attributes()) == {"lv2", "[lv2_rimage_0]", "[lv2_rimage_1]"}


def test_a_leg_in_use_here_is_not_merged_and_elsewhere_it_is(world: World) -> None:
    world.control("wrap", "back", f"{world.folder}/back")
    world.ok(*SPLIT, "erp/lv1")
    with holding(world.path("c1")):
        world.fails(5, "Logical volume erp/lv1_rimage_1 in use.", "lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
        assert world.attributes()["lv1_rimage_1"] == "Iri-aor---"
    world.ok("lvchange", "-y", "-ay", "erp/lv1_rimage_1", host="back")
    with holding(world.folder / "state.dev@back/erp/lv1_rimage_1"):
        world.fails(5, "in use.", "lvchange", "-an", "erp/lv1_rimage_1", host="back")
        world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1")


def test_a_split_with_a_name_is_another_volume_for_good(world: World) -> None:
    world.ok("lvconvert", "-y", "--splitmirrors", "1", "--name", "mine", "erp/lv1")
    assert world.attributes()["mine"] == world.attributes()["lv1"] == "-wi-a-----"
    world.fails(5, "--trackchanges was not used", "lvconvert", "--merge", "erp/mine")
    assert world.is_equal()


def test_of_three_legs_the_one_on_the_disk_goes_without_a_question(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--legs", "3")
    printed = world.ok("lvconvert", "--splitmirrors", "1", "--trackchanges", "erp/lv1", f"{tmp_path}/state.dev/sdb")
    assert "lv1_rimage_1 split from" in printed
    assert world.attributes()["[lv1_rimage_2]"] == "iwi-aor---"


def test_an_inactive_mirror_does_not_say_whether_it_is_in_sync(world: World) -> None:
    world.ok("lvchange", "-an", "erp/lv1")
    assert world.state()[0] == ""
    assert world.attributes()["[lv1_rimage_1]"] == "Iwi---r---"
    world.fails(5, "Unable to determine sync status", *SPLIT, "erp/lv1")


# -- silent damage --


def test_what_is_written_to_the_leg_stays_in_it_until_a_repair(world: World) -> None:
    world.ok(*SPLIT, "erp/lv1")
    leg = f"{world.folder}/state.dev/erp/lv1_rimage_1"
    assert world.ok("blockdev", "--getro", leg) == "0\n"
    world.write("c1", 3, b"evil")
    world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
    assert world.state() == ["100.00", "idle", "0"], "nobody notices"
    world.ok("lvchange", "--syncaction", "check", "erp/lv1")
    assert world.state()[2] == SECTORS_OF_A_BLOCK
    assert world.attributes()["lv1"] == "rwi-a-r-m-"
    world.ok(*SPLIT, "erp/lv1")
    assert not world.is_equal()
    world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
    world.ok("lvchange", "--syncaction", "repair", "erp/lv1")
    world.ok("lvchange", "--syncaction", "check", "erp/lv1")
    assert world.state()[2] == "0"
    world.ok(*SPLIT, "erp/lv1")
    assert world.is_equal()


@pytest.mark.parametrize("loses_map", [False, True])
def test_a_power_failure_may_lose_what_changed_while_split(world: World, loses_map: bool) -> None:
    world.ok(*SPLIT, "erp/lv1")
    world.write("p1", 2, b"later")
    world.control("crash", *(["--lose-map"] if loses_map else []))
    world.ok("lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
    assert world.state() == ["100.00", "idle", "0"]
    world.ok("lvchange", "--syncaction", "check", "erp/lv1")
    assert world.state()[2] == (SECTORS_OF_A_BLOCK if loses_map else "0")


def test_write_protection_is_remembered_until_the_device_goes(world: World) -> None:
    world.ok(*SPLIT, "erp/lv1")
    leg = f"{world.folder}/state.dev/mapper/erp-lv1_rimage_1"
    world.ok("blockdev", "--setro", leg)
    assert world.ok("blockdev", "--getro", "--getsize64", leg) == f"1\n{4 * BLOCK}\n"
    world.ok("lvchange", "-an", "erp/lv1_rimage_1")
    world.fails(1, "cannot open", "blockdev", "--getro", leg)
    world.ok("lvchange", "-ay", "-y", "erp/lv1_rimage_1")
    assert world.ok("blockdev", "--getro", leg) == "0\n"


def test_blockdev_of_other_paths_is_the_real_one(world: World) -> None:
    done = world.call("blockdev", "--getro", "/dev/null")
    assert done.returncode == 1
    assert "EMULATOR" not in done.stderr
    assert "blockdev" in done.stderr


# -- the other machine --


def test_the_other_machine_sees_the_leg_alone_and_may_do_harm(world: World) -> None:
    world.control("wrap", "back", f"{world.folder}/back")
    world.ok(*SPLIT, "erp/lv1")
    assert world.attributes("back")["lv1"] == "rwi---r-p-"
    assert world.attributes("back")["lv1_rimage_1"] == "Iri---r---"
    assert " wz-pn-" in world.ok("vgs", host="back")
    assert "Couldn't find device with uuid" in world.call("lvs", "erp", host="back").stderr
    for words in (("lvconvert", "-y", "--merge", "erp/lv1_rimage_1"), ("vgexport", "erp"), ("vgrename", "erp", "x")):
        world.fails(5, "Cannot change VG erp while PVs are missing.", *words, host="back")
    world.fails(5, "reload ioctl", "lvchange", "-ay", "erp/lv1", host="back")
    world.ok("lvchange", "-y", "-ay", "erp/lv1_rimage_1", host="back")
    assert world.attributes("back")["lv1_rimage_1"] == "Iri-a-r-r-"
    assert (world.folder / "state.dev@back/erp/lv1_rimage_1").read_bytes() == world.path("p1").read_bytes()
    world.ok("lvchange", "-an", "erp/lv1_rimage_1", host="back")
    assert not (world.folder / "state.dev@back/erp/lv1_rimage_1").exists()
    world.ok("vgchange", "--addtag", "seen", "erp", host="back")
    world.ok("lvremove", "-y", "erp/lv1", host="back")
    assert set(world.attributes()) == {"lv2", "[lv2_rimage_0]", "[lv2_rimage_1]"}


def test_a_hidden_leg_without_a_yes_is_exit_0_and_nothing_done(world: World) -> None:
    done = world.call("lvchange", "-ay", "erp/lv1_rimage_1", host="back")
    assert (done.returncode, "[y/n]: [n]" in done.stderr) == (0, True)
    assert world.attributes("back")["[lv1_rimage_1]"] == "Iwi---r---"


# -- snapshots --


def test_a_thick_snapshot_fills_and_then_is_invalid(tmp_path: Path) -> None:
    world = World(tmp_path, "--extent", str(2 * BLOCK))
    world.fails(5, "Please specify either size or extents", "lvcreate", "-s", "-n", "s1", "erp/lv1")
    world.ok("lvcreate", "-s", "-n", "s1", "-L", "128k", "--addtag", "ours", "erp/lv1")
    world.fails(5, "already exists in volume group", "lvcreate", "-s", "-n", "s1", "-l", "1", "erp/lv1")
    before = world.path("p1").read_bytes()
    assert world.volumes("lv_attr", "origin", "lv_tags", "data_percent")["s1"] == ["swi-a-s---", "lv1", "ours", "0.00"]
    assert world.attributes()["lv1"] == "owi-a-s---"
    device = Path(world.volumes("lv_path")["s1"][0])
    world.write("p1", 0, b"one")
    assert device.read_bytes() == before
    assert world.volumes("data_percent")["s1"] == ["50.00"]
    world.write("p1", 1, b"two")
    assert world.volumes("lv_attr", "data_percent", "lv_snapshot_invalid")["s1"] == [
        "swi-I-s---",
        "100.00",
        "snapshot invalid",
    ]
    with pytest.raises(OSError, match="No such file"):
        device.read_bytes()
    world.fails(5, "not removed", "lvremove", "erp/s1")
    world.ok("lvremove", "-y", "erp/s1")
    world.fails(5, 'Failed to find logical volume "erp/s1"', "lvremove", "-y", "erp/s1")


def test_a_thick_snapshot_goes_with_its_origin(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ok("lvcreate", "-s", "-n", "s1", "-l", "50%ORIGIN", "erp/lv1")
    world.fails(5, "will also change its origin erp/lv1", "lvchange", "-an", "erp/s1")
    assert "owi-a-s---" in world.attributes().values()
    assert "s1" in world.ok("lvremove", "-y", "erp/lv1")
    assert set(world.attributes()) == {"lv2"}


def test_a_thin_snapshot_wants_to_be_activated_by_name(tmp_path: Path) -> None:
    world = World(tmp_path, "--thin")
    world.ok("lvcreate", "-s", "-n", "t1", "erp/lv1")
    assert world.attributes()["t1"] == "Vwi---tz-k"
    assert world.attributes()["lv1"] == "owi-a-tz--"
    world.ok("lvchange", "-ay", "erp/t1")
    assert world.attributes()["t1"] == "Vwi---tz-k"
    world.ok("lvchange", "-ay", "-K", "erp/t1")
    assert world.attributes()["t1"] == "Vwi-a-tz-k"
    assert Path(world.volumes("lv_path")["t1"][0]).read_bytes() == world.path("p1").read_bytes()
    world.ok("lvchange", "-p", "r", "erp/t1")
    world.fails(5, "already read only", "lvchange", "-p", "r", "erp/t1")
    with holding(world.folder / "state.dev/erp/t1"):
        world.fails(5, "in use.", "lvchange", "-an", "erp/t1")
        world.fails(5, "in use.", "lvremove", "-y", "erp/t1")


# -- groups --


def test_a_copied_group_is_used_under_a_new_name_only(world: World) -> None:
    disks = [f"{world.folder}/x1", f"{world.folder}/x2"]
    world.control("clone", "erp", *disks)
    assert "Not using device" in world.call("vgs").stderr
    world.fails(5, "while PVs are missing", "vgimportclone", "-n", "copy", disks[0])
    world.ok("vgimportclone", "-n", "copy", *disks)
    assert world.ok("vgs", "--noheadings", "-o", "vg_name").split() == ["copy", "erp"]
    world.ok("vgchange", "-ay", "copy")
    assert (world.folder / "state.dev/copy/lv1").read_bytes() == world.path("p1").read_bytes()
    with holding(world.folder / "state.dev/copy/lv1"):
        world.fails(5, "in use.", "vgchange", "-an", "copy")
        world.fails(5, "has active logical volumes", "vgexport", "copy")
    world.ok("vgchange", "-an", "copy")
    world.ok("vgexport", "copy")
    world.fails(5, "Volume group copy is exported", "vgchange", "-ay", "copy")
    world.fails(5, "Volume group copy is exported", "lvs", "copy")
    world.ok("vgimport", "copy")
    world.ok("vgrename", "copy", "other")
    world.fails(5, 'New volume group "erp" already exists', "vgrename", "other", "erp")


def test_a_copied_group_alone_on_its_machine_keeps_its_name(tmp_path: Path) -> None:
    world = World(tmp_path, "--mirrored", "--shared", "")
    world.ok("control", "clone", "erp", "/x1", "/x2", host="far")
    done = world.call("vgs", "--noheadings", "-o", "vg_name", host="far")
    assert (done.stdout.split(), done.stderr) == (["erp"], "")
    world.ok("vgchange", "-ay", "erp", host="far")
    world.write("p1", 0, b"later")
    assert (tmp_path / "state.dev@far/erp/lv1").read_bytes() != world.path("p1").read_bytes()


# -- text --


def test_text_output(world: World) -> None:
    shown = world.ok("lvs", "--noheadings", "--separator", "|", "-o", "lv_name,attr,tags", "erp/lv1")
    assert shown == "  lv1|rwi-a-r---|\n"
    assert world.ok("lvs", "erp/lv1").splitlines()[0].split()[:4] == ["LV", "VG", "Attr", "LSize"]
    assert world.ok("lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "size", "erp/lv1").strip() == str(
        4 * BLOCK
    )
    world.ok("lvchange", "--addtag", "ours", "erp/lv2")
    assert world.ok("lvs", "--noheadings", "-o", "name", "@ours").split() == ["lv2"]
    assert world.ok("lvs", "--noheadings", "-o", "name", "-S", "lv_tags=ours").split() == ["lv2"]
    world.ok("lvchange", "--deltag", "ours", "erp/lv2")
    assert world.ok("lvs", "--noheadings", "-o", "name", "@ours") == ""


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (5, "Unrecognised field: sideways", ("lvs", "-o", "sideways")),
        (3, "Error during parsing", ("lvs", "--sideways")),
        (3, "requires an argument", ("lvs", "-o")),
        (3, "Invalid argument for --reportformat", ("lvs", "--reportformat", "xml")),
        (5, 'Volume group "crm" not found', ("lvs", "crm")),
        (5, 'Failed to find logical volume "erp/x"', ("lvs", "erp/lv1", "erp/x")),
        (5, "device not found", ("pvs", "/dev/sdz")),
        (2, "No such command", ("lvm", "sideways")),
        (3, "matching syntax", ("lvchange", "erp/lv1")),
        (3, "Invalid argument for --syncaction", ("lvchange", "--syncaction", "sideways", "erp/lv1")),
        (99, "not modelled", ("lvconvert", "--test", "-y", "-m", "0", "erp/lv1")),
    ],
)
def test_exit_codes(world: World, code: int, text: str, words: tuple[str, ...]) -> None:
    world.fails(code, text, *words)


# -- faults --


def test_faults_of_looking(world: World) -> None:
    world.control("fault", "lvs attr odd", "lvs action sideways")
    assert world.volumes("lv_attr")["lv1"] == ["odd"]
    world.control("fault", "lvs action sideways")
    assert world.state()[1] == "sideways"
    world.control("fault", "lvs percent 37.00")
    assert world.state()[0] == "37.00"
    world.control("fault", "lvs drop")
    assert set(world.attributes()) == {"lv2", "[lv2_rimage_0]", "[lv2_rimage_1]"}
    world.control("mend")
    world.control("break", "erp", "lv1", "p")
    assert world.attributes()["lv1"] == "rwi-a-r-p-"
    world.control("stuck", "erp", "37")
    assert world.state()[:2] == ["37.00", "recover"]
    world.control("lose", "erp", "lv2")
    assert "lv2" not in world.attributes()


def test_half_of_a_group_is_split(world: World) -> None:
    world.control("fault", "split lv lv2")
    world.ok(*SPLIT, "erp/lv1")
    world.fails(5, "Input/output error", *SPLIT, "erp/lv2")
    assert {"lv1_rimage_1", "[lv2_rimage_1]"} < set(world.attributes())


def test_faults_of_moves(world: World) -> None:
    world.control("fault", "split busy 1", "merge mounted")
    world.fails(5, "Can't get lock for erp", *SPLIT, "erp/lv1")
    world.ok(*SPLIT, "erp/lv1")
    world.fails(5, "contains a filesystem in use", "lvconvert", "-y", "--merge", "erp/lv1_rimage_1")
    world.control("fault", "split lie")
    world.ok(*SPLIT, "erp/lv2")
    assert "[lv2_rimage_1]" in world.attributes()
    world.control("fault", "split die")
    assert world.call(*SPLIT, "erp/lv2").returncode == -9
    assert "[lv2_rimage_1]" in world.attributes()
    assert world.control("log").split()[:2] == ["lvconvert", "-y"]
