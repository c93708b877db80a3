"""The emulated RAID Manager in its own terms: layouts, exit codes, what is refused, and which bytes a copy has."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "raidmanager"
BLOCK = 64 * 1024
LOCAL = {"HORCC_MRCF": "1"}


class World:
    """An array with group ``erp`` of two pairs, and two instances."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        for number in (1, 2):
            (folder / f"p{number}").write_bytes(os.urandom(4 * BLOCK))
        self.control("create", "--group", "erp", *(f"{folder}/p{n}={folder}/c{n}" for n in (1, 2)), *options)

    def call(self, tool: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a tool; local copy is meant unless `environment` is given."""
        env = {"PATH": os.environ["PATH"], "RAIDMANAGER_EMULATOR_STATE": f"{self.folder}/state"}
        env |= environment or LOCAL
        return subprocess.run([str(TOOLS / tool), *words], env=env, capture_output=True, text=True, timeout=30)

    def control(self, *words: str) -> str:
        done = self.call("control", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ok(self, tool: str, *words: str, **environment: str) -> str:
        done = self.call(tool, *words, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, name: str, tool: str, *words: str, **environment: str) -> int:
        done = self.call(tool, *words, **environment)
        assert done.stderr.startswith(f"{tool}: [{name}] ")
        return done.returncode

    def synchronise(self, *words: str) -> None:
        self.ok("paircreate", "-g", "erp", "-vl", *words)
        self.ok("pairevtwait", "-g", "erp", "-s", "pair", "-ss", "pair", "-t", "5")

    def words(self) -> list[str]:
        """State of every P-VOL and S-VOL in turn."""
        lines = self.ok("pairdisplay", "-g", "erp", "-CLI").splitlines()[1:]
        return [line.split()[10] for line in lines]

    def write(self, number: int, block: int, text: bytes) -> None:
        with (self.folder / f"p{number}").open("r+b") as file:
            file.seek(block * BLOCK)
            file.write(text)

    def is_same(self, number: int) -> bool:
        return (self.folder / f"p{number}").read_bytes() == (self.folder / f"c{number}").read_bytes()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_both_layouts(world: World) -> None:
    world.synchronise()
    table = world.ok("pairdisplay", "-g", "erp", "-fcx").splitlines()
    assert table[0] == "Group   PairVol(L/R) (Port#,TID, LU-M) ,Seq#,LDEV#.P/S,Status,   % ,P-LDEV# M"
    assert table[1] == "erp     erp01(L) (CL1-A-0, 0,   0-0 )412233  0110.P-VOL PAIR,   99    0210 -"
    assert len(table) == 5
    header, *lines = [line.split() for line in world.ok("pairdisplay", "-g", "erp", "-CLI").splitlines()]
    assert (len(header), {len(line) for line in lines}) == (13, {14})
    assert " ".join(lines[0]) == "erp erp01 L CL1-A-0 0 0 0 412233 272 P-VOL PAIR 412233 528 -"
    assert [line[2] for line in lines] == ["L", "R", "L", "R"]
    assert len(world.ok("pairdisplay", "-g", "erp", "-CLI", "-l").splitlines()) == 3
    assert " % P-LDEV# M CTG " in world.ok("pairdisplay", "-g", "erp", "-fce", "-CLI")
    assert f"{world.folder}/p1" in world.ok("pairdisplay", "-g", "erp", "-fd")
    assert world.ok("pairdisplay", "-g", "erp", "-m", "all", "-l").count("-------") == 4
    assert world.ok("pairdisplay", "-g", "erp", "-d", "erp02", "-l", "-CLI").count("erp02") == 1
    assert world.ok("pairdisplay", "-g", "erp", "-d", "412233", "273", "-l", "-CLI").count("erp02") == 1


def test_a_life_of_a_pair(world: World) -> None:
    assert world.words() == ["-"] * 4
    world.synchronise()
    assert world.words() == ["PAIR"] * 4
    assert world.control("moved", "erp").strip() == str(8 * BLOCK)
    world.ok("pairsplit", "-g", "erp")
    assert world.words() == ["PSUS", "SSUS"] * 2
    assert world.is_same(1)
    assert world.is_same(2)
    world.write(1, 2, b"later")
    assert not world.is_same(1)
    world.ok("pairresync", "-g", "erp")
    world.ok("pairevtwait", "-g", "erp", "-s", "pair", "-t", "5")
    assert world.control("moved", "erp").strip() == str(BLOCK)
    assert world.control("size", "erp").strip() == str(8 * BLOCK)
    world.ok("pairsplit", "-g", "erp")
    assert world.is_same(1)
    world.ok("pairsplit", "-g", "erp", "-S")
    assert world.words() == ["-"] * 4


@pytest.mark.parametrize("options", [(), ("--copy-side-untracked",)])
def test_what_is_written_to_the_copy(tmp_path: Path, options: tuple[str, ...]) -> None:
    world = World(tmp_path, *options)
    world.synchronise()
    world.ok("pairsplit", "-g", "erp")
    with (tmp_path / "c1").open("r+b") as file:
        file.write(b"written here")
    world.ok("pairresync", "-g", "erp")
    world.ok("pairevtwait", "-g", "erp", "-s", "pair", "-t", "5")
    assert world.is_same(1) is (not options)


def test_a_steady_split_drains(tmp_path: Path) -> None:
    world = World(tmp_path, "--drain", "60", "--p-lag", "10")
    world.synchronise()
    world.write(1, 1, b"of the moment")
    world.ok("pairsplit", "-g", "erp")
    world.write(1, 1, b"after the moment")
    assert world.words() == ["COPY"] * 4
    world.control("tick", "20")
    assert world.words() == ["PSUS", "COPY"] * 2
    assert b"still being copied" in (tmp_path / "c1").read_bytes()
    assert world.call("pairevtwait", "-g", "erp", "-s", "psus", "-t", "0").returncode == 0, "the trap"
    assert world.call("pairevtwait", "-g", "erp", "-s", "psus", "-ss", "ssus", "-t", "0").returncode == 233
    world.ok("pairresync", "-g", "erp")
    assert world.words() == ["PSUS", "COPY"] * 2, "accepted, and nothing done"
    assert world.fails("EX_INVVOL", "pairsplit", "-g", "erp", "-S") == 222
    assert [world.call("pairvolchk", "-g", "erp", "-ss", *one).returncode for one in ([], ["-c"])] == [24, 32]
    assert [world.call("pairevtwait", "-g", "erp", one).returncode for one in ("-nowait", "-nowaits")] == [4, 2]
    world.control("tick", "60")
    assert world.words() == ["PSUS", "SSUS"] * 2
    content = (tmp_path / "c1").read_bytes()
    assert content[BLOCK:].startswith(b"of the moment")
    assert b"still being copied" not in content
    assert not list(tmp_path.glob("*.moment"))


def test_a_quick_split_may_be_read_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, "--drain", "60")
    world.synchronise()
    world.ok("pairsplit", "-g", "erp", "-fq", "quick")
    assert world.words() == ["PSUS", "SSUS"] * 2
    assert world.is_same(1)
    assert world.fails("EX_INVVOL", "pairsplit", "-g", "erp", "-S") == 222


def test_progress_by_the_clock(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.01")
    world.ok("paircreate", "-g", "erp", "-vl", "-c", "3")
    assert world.words() == ["COPY"] * 4
    assert world.call("pairevtwait", "-g", "erp", "-s", "pair", "-t", "0").returncode == 233
    world.control("tick", "250")
    assert "COPY,   50" in world.ok("pairdisplay", "-g", "erp", "-fc")
    world.control("stuck", "37")
    world.control("tick", "1000")
    assert world.ok("pairdisplay", "-g", "erp", "-fc").count("COPY,   37") == 4
    world.control("stuck", "off")
    assert world.words() == ["PAIR"] * 4


def test_a_split_while_copying_is_accepted_and_drains(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.01")
    world.ok("paircreate", "-g", "erp", "-vl")
    world.ok("pairsplit", "-g", "erp")
    world.write(1, 0, b"after")
    assert world.words() == ["PSUS", "COPY"] * 2
    world.control("tick", "1000")
    assert world.words() == ["PSUS", "SSUS"] * 2
    assert not (tmp_path / "c1").read_bytes().startswith(b"after")


def moments(world: World) -> list[bytes]:
    """Split while a writer counts in both P-VOLs: what each copy has."""
    process = subprocess.Popen(
        [str(TOOLS / "pairsplit"), "-g", "erp"],
        env={"PATH": os.environ["PATH"], "RAIDMANAGER_EMULATOR_STATE": f"{world.folder}/state", **LOCAL},
    )
    count = 0
    while process.poll() is None:
        count += 1
        for number in (1, 2):
            world.write(number, 0, b"%08d" % count)
        time.sleep(0.05)
    return [(world.folder / f"c{number}").read_bytes()[:8] for number in (1, 2)]


def test_without_a_consistency_group_each_pair_has_its_own_moment(tmp_path: Path) -> None:
    world = World(tmp_path, "--gap", "0.5")
    world.synchronise()
    first, second = moments(world)
    assert first < second


def test_a_consistency_group_is_one_moment(tmp_path: Path) -> None:
    world = World(tmp_path, "--gap", "0.5")
    world.synchronise("-m", "grp")
    began = time.monotonic()
    world.ok("pairsplit", "-g", "erp")
    assert time.monotonic() - began < 0.5
    world.ok("pairresync", "-g", "erp")
    world.ok("pairevtwait", "-g", "erp", "-s", "pair", "-t", "5")
    world.control("fault", "pairsplit die")
    assert world.call("pairsplit", "-g", "erp").returncode < 0
    assert world.words() == ["PAIR"] * 4, "nothing is split"


def test_a_consistency_group_in_resync_is_not_split(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.01")
    world.ok("paircreate", "-g", "erp", "-vl", "-m", "grp", "7")
    world.control("tick", "1000")
    world.ok("pairsplit", "-g", "erp")
    world.write(1, 0, b"two")
    world.ok("pairresync", "-g", "erp")
    assert world.fails("EX_CMDRJE", "pairsplit", "-g", "erp") == 221


def test_a_consistency_group_splits_all_its_pairs_whatever_group_they_are_in(world: World, tmp_path: Path) -> None:
    (tmp_path / "p3").write_bytes(bytes(BLOCK))
    world.control("create", "--group", "log", f"{tmp_path}/p3={tmp_path}/c3")
    world.synchronise("-m", "grp", "5")
    world.ok("paircreate", "-g", "log", "-vl", "-m", "grp", "5")
    world.ok("pairsplit", "-g", "erp")
    assert "SSUS" in world.ok("pairdisplay", "-g", "log", "-CLI")


def test_killed_half_way_leaves_half_a_split_that_the_group_verdict_hides(world: World) -> None:
    world.synchronise()
    world.control("fault", "pairsplit die")
    assert world.call("pairsplit", "-g", "erp").returncode < 0
    world.control("mend")
    assert world.words() == ["PSUS", "SSUS", "PAIR", "PAIR"]
    done = world.call("pairvolchk", "-g", "erp", "-ss")
    assert (done.returncode, done.stdout.strip()) == (23, "pairvolchk : Volstat is P-VOL.[status = PAIR]")
    assert world.call("pairevtwait", "-g", "erp", "-nowait").returncode == 3
    assert world.fails("EX_ENQVOL", "pairresync", "-g", "erp", "-restore") == 236


def test_exit_codes_as_data(world: World) -> None:
    assert world.call("pairvolchk", "-g", "erp").returncode == 1
    assert world.call("pairvolchk", "-g", "erp", "-ss").returncode == 11
    assert world.call("pairevtwait", "-g", "erp", "-nowait").returncode == 1
    world.synchronise()
    assert world.call("pairvolchk", "-g", "erp").returncode == 2
    assert world.call("pairvolchk", "-g", "erp", "-c").returncode == 3
    assert world.call("pairvolchk", "-g", "erp", "-ss").returncode == 23
    assert world.call("pairvolchk", "-g", "erp", "-ss", "-c").returncode == 33
    world.control("break", "erp", "erp02")
    assert world.call("pairvolchk", "-g", "erp", "-ss").returncode == 25
    assert world.fails("EX_EWSUSE", "pairevtwait", "-g", "erp", "-s", "pair", "-t", "5") == 234
    assert world.fails("EX_ENQVOL", "pairsplit", "-g", "erp") == 236


def test_what_is_refused(world: World) -> None:
    assert world.fails("EX_INVVOL", "pairsplit", "-g", "erp") == 222
    assert world.fails("EX_INVVOL", "pairresync", "-g", "erp") == 222
    assert world.fails("EX_REQARG", "paircreate", "-g", "erp") == 254
    assert world.fails("EX_ERANGE", "paircreate", "-g", "erp", "-vl", "-c", "16") == 244
    assert world.fails("EX_ENOGRP", "pairdisplay", "-g", "other") == 239
    assert world.fails("EX_ENODEV", "pairdisplay", "-g", "erp", "-d", "erp09") == 246
    assert world.fails("EX_UNWOPT", "pairdisplay", "-g", "erp", "-I", "M0") == 252
    assert world.fails("EX_REQARG", "pairevtwait", "-g", "erp", "-s", "pair") == 254
    assert world.fails("EX_INVARG", "pairevtwait", "-g", "erp", "-s", "split", "-t", "1") == 253
    world.synchronise()
    assert world.ok("paircreate", "-g", "erp", "-vl") == "", "accepted, and nothing done"
    world.ok("pairsplit", "-g", "erp")
    assert world.fails("EX_INVVOL", "paircreate", "-g", "erp", "-vl") == 222
    world.write(1, 0, b"later")
    world.ok("pairsplit", "-g", "erp")
    assert not world.is_same(1), "a second split is exit 0 and does nothing"


def test_thin_image_has_its_own_table(tmp_path: Path) -> None:
    world = World(tmp_path, "--thin", "--drain", "60")
    world.synchronise()
    assert world.fails("EX_INVVOL", "pairsplit", "-g", "erp", "-E") == 222
    world.ok("pairsplit", "-g", "erp")
    assert world.words() == ["PSUS", "SSUS"] * 2
    assert world.is_same(1)
    world.control("break", "erp")
    assert world.fails("EX_INVVOL", "pairresync", "-g", "erp", "-restore") == 222
    world.ok("pairresync", "-g", "erp")


def test_the_direction_is_the_instances(world: World) -> None:
    """``-vl`` where the S-VOLs are local overwrites production."""
    before = (world.folder / "p1").read_bytes()
    for number in (1, 2):
        (world.folder / f"c{number}").write_bytes(bytes(4 * BLOCK))
    world.ok("paircreate", "-g", "erp", "-vl", "-IM1")
    world.ok("pairevtwait", "-g", "erp", "-s", "pair", "-t", "5")
    assert (world.folder / "p1").read_bytes() != before
    assert world.ok("pairdisplay", "-g", "erp", "-CLI", "-l").split()[22] == "S-VOL"


def test_a_restore_copies_to_production(world: World) -> None:
    world.synchronise()
    world.ok("pairsplit", "-g", "erp")
    world.write(1, 0, b"new")
    world.ok("pairresync", "-g", "erp", "-restore")
    world.ok("pairevtwait", "-g", "erp", "-s", "pair", "-t", "5")
    assert not (world.folder / "p1").read_bytes().startswith(b"new")


@pytest.mark.parametrize("kind", ["pairs", "smpl", "error"])
def test_a_command_that_does_not_mean_local_copy(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, "--truecopy", kind)
    world.synchronise()
    plain = {"HORCMINST": "0"}
    if kind == "error":
        assert world.fails("EX_INVMUN", "pairsplit", "-g", "erp", **plain) == 220
    elif kind == "smpl":
        assert world.call("pairvolchk", "-g", "erp", "-ss", **plain).returncode == 11
        assert world.fails("EX_INVVOL", "pairsplit", "-g", "erp", "-ITC0") == 222
    else:
        world.ok("pairsplit", "-g", "erp", **plain)
        assert world.call("pairvolchk", "-g", "erp", "-ss", **plain).returncode == 24, "all looks well"
        assert world.call("pairvolchk", "-g", "erp", "-ss", "-ISI0", **plain).returncode == 23
    assert world.words() == ["PAIR"] * 4, "and nothing happened to the copy"


def test_a_dead_partner(world: World) -> None:
    world.synchronise()
    world.ok("horcmshutdown.sh", "1")
    assert world.call("horcmgr", "-check", HORCMINST="1").returncode == 0
    assert world.call("horcmgr", "-check", HORCMINST="0").returncode == 1
    for tool, *words in (["pairdisplay"], ["pairsplit"], ["pairresync"], ["pairevtwait", "-nowait"]):
        assert world.fails("EX_ENORMT", tool, "-g", "erp", *words) == 242
    assert world.call("pairvolchk", "-g", "erp", "-ss").returncode == 23
    assert len(world.ok("pairdisplay", "-g", "erp", "-l", "-CLI").splitlines()) == 3
    assert world.fails("EX_ATTHOR", "pairdisplay", "-g", "erp", "-IM1") == 251
    world.ok("pairsplit", "-g", "erp", "-l")
    assert world.ok("horcmstart.sh", "1").splitlines() == ["starting HORCM inst 1", "HORCM inst 1 starts successfully."]
    assert world.words() == ["PSUS", "SSUS"] * 2
    assert world.call("horcmstart.sh", "7").returncode == 1


def test_configuration_files_are_read_when_an_instance_starts(world: World) -> None:
    file = world.folder / "state.etc" / "horcm0.conf"
    assert "erp erp01 412233 01:10 0" in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8").replace("erp erp02 412233 01:11 0\n", ""), encoding="utf-8")
    assert len(world.words()) == 4
    world.ok("horcmshutdown.sh", "0")
    world.ok("horcmstart.sh", "0")
    assert len(world.words()) == 2
    world.control("forget", "erp", "erp01")
    assert "erp01" not in world.ok("pairdisplay", "-g", "erp", "-CLI")


def test_a_second_mirror_of_the_same_volumes(world: World, tmp_path: Path) -> None:
    world.synchronise()
    world.control("create", "--group", "erpb", f"{tmp_path}/p1={tmp_path}/d1", "--mu", "1")
    world.ok("paircreate", "-g", "erpb", "-vl")
    assert world.words() == ["PAIR"] * 4
    world.ok("pairsplit", "-g", "erpb")
    assert world.words() == ["PAIR"] * 4
    assert world.ok("pairdisplay", "-g", "erp", "-m", "all", "-l", "-d", "erp01").count("P-VOL") == 2


def test_faults(world: World) -> None:
    world.synchronise()
    world.control("fault", "pairsplit busy 1")
    done = world.call("pairsplit", "-g", "erp")
    assert done.returncode == 221
    assert "SSB=0x2E11,0x2205" in done.stderr
    world.control("fault", "pairsplit half")
    assert world.fails("EX_ENQVOL", "pairsplit", "-g", "erp") == 236
    assert world.words() == ["PSUS", "SSUS", "PAIR", "PAIR"]
    world.control("fault", "pairdisplay word SIDEWAYS")
    assert world.words()[0] == "SIDEWAYS"
    world.control("fault", "pairdisplay drop")
    assert len(world.words()) == 2
    world.control("fault", "pairsplit lie", "pairvolchk code 242")
    world.ok("pairsplit", "-g", "erp")
    assert world.fails("EX_ENORMT", "pairvolchk", "-g", "erp") == 242
    world.control("mend")
    assert world.words()[2] == "PAIR"
    assert "pairsplit -g erp" in world.control("log")
    assert json.loads(world.control("state"))["serial"] == "412233"


def test_what_raidqry_says(world: World) -> None:
    assert "HORCM_ver" in world.ok("raidqry", "-l")
    assert "erp" in world.ok("raidqry", "-g")
    assert "Ver&Rev" in world.ok("raidqry", "-h")
    world.ok("horcmshutdown.sh", "1")
    assert world.fails("EX_ENORMT", "raidqry", "-r", "erp") == 242
