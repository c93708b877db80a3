"""The SYMCLI emulator in its own terms: what the tools refuse, answer and do to bytes."""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "timefinder"
MEBIBYTE = 2**20
PATIENCE_SECONDS = 20.0


class Host:
    """A folder with images, and the tools over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SYMCLI_EMULATOR_STATE": f"{folder}/state", "PATH": os.environ["PATH"]}
        for number in (1, 2, 3):
            (folder / f"p{number}").write_bytes(os.urandom(MEBIBYTE))

    def run(self, line: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        tool, *words = line.split()
        return subprocess.run(
            [str(TOOLS / tool), *words],
            input=stdin,
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def code(self, line: str, **environment: str) -> int:
        return self.run(line, **environment).returncode

    def good(self, line: str, **environment: str) -> str:
        done = self.run(line, **environment)
        assert done.returncode == 0, (line, done)
        return done.stdout

    def control(self, *words: str) -> None:
        subprocess.run([str(TOOLS / "control"), *words], env=self.environment, cwd=self.folder, check=True)

    def create(self, *options: str) -> None:
        self.control("create", "--group", "erp", "p1=c1", "p2=c2", *options)

    def words(self, group: str = "-g erp") -> list[str]:
        lines = self.good(f"symmir {group} query").splitlines()
        return [line.split()[-1] for line in lines if line.startswith(("DEV", "N/A"))]

    def synchronise(self) -> None:
        self.good("symmir -g erp -full establish -nop")
        assert self.words() == ["Synchronized", "Synchronized"]

    def is_same(self, number: int) -> bool:
        return (self.folder / f"c{number}").read_bytes() == (self.folder / f"p{number}").read_bytes()

    def touch(self, name: str, at: int = 0) -> None:
        with (self.folder / name).open("r+b") as file:
            file.seek(at)
            file.write(os.urandom(4096))

    def moved(self) -> int:
        command = [str(TOOLS / "control"), "moved", "erp"]
        return int(subprocess.check_output(command, env=self.environment, text=True))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def mirror(host: Host) -> Host:
    host.create()
    return host


@pytest.fixture
def synced(mirror: Host) -> Host:
    mirror.synchronise()
    return mirror


# ---- mirror: layout and exit codes ----


def test_query_has_the_tools_columns_and_totals(host: Host) -> None:
    host.create("--rate", "4")
    host.good("symmir -g erp -full establish -nop")
    text = host.good("symmir -g erp query")
    lines = text.splitlines()
    assert "Device Group (DG) Name: erp" in lines
    assert "DG's Symmetrix ID     : 000190100321" in lines
    (first,) = [line for line in lines if line.startswith("DEV001")]
    assert first.split()[:6] == ["DEV001", "01A4", "0", "BCV001", "04C2", "*"]
    assert first.split()[-1] == "SyncInProg"
    tracks = [int(line.split()[6]) for line in lines if line.startswith("DEV0")]
    (total,) = [line.split()[1:] for line in lines if line.startswith("  Track(s)")]
    (megabytes,) = [line.split()[1:] for line in lines if line.startswith("  MB(s)")]
    assert total == ["0", str(sum(tracks))]
    assert megabytes == ["0.0", f"{sum(tracks) / 32:.1f}"]


def test_tracks_shrink_as_the_clock_goes_on(host: Host) -> None:
    host.create("--rate", "4")
    host.good("symmir -g erp establish -full -nop")

    def left() -> int:
        (line,) = [line for line in host.good("symmir -g erp query").splitlines() if "Track(s)" in line]
        return int(line.split()[2])

    before = left()
    host.control("tick", "2")
    between = left()
    host.control("tick", "10")
    assert before > between > left() == 0
    assert host.words() == ["Synchronized", "Synchronized"]


def test_progress_goes_to_standard_error_and_the_exit_code_is_0(mirror: Host) -> None:
    done = mirror.run("symmir -g erp -full establish -noprompt")
    assert (done.returncode, done.stdout) == (0, "")
    assert "successfully initiated" in done.stderr


@pytest.mark.parametrize(("answer", "word"), [("y\n", "Synchronized"), ("n\n", "NeverEstab"), ("", "NeverEstab")])
def test_a_move_asks_unless_it_is_told_not_to(mirror: Host, answer: str, word: str) -> None:
    done = mirror.run("symmir -g erp -full establish", stdin=answer)
    assert done.returncode == 0
    assert "(y/[n]) ?" in done.stdout
    assert mirror.words() == [word, word]


@pytest.mark.parametrize(
    "line",
    [
        "symmir -g none query",
        "symmir query",
        "symmir -g erp",
        "symmir -g erp frobnicate",
        "symmir -g erp -unheard query",
        "symmir -sid 999 -g erp query",
        "symmir -g",
        "symmir -g erp verify -i soon",
        "symdg show none",
        "symclone -g erp query",
    ],
)
def test_what_cannot_be_is_1(mirror: Host, line: str) -> None:
    done = mirror.run(line)
    assert done.returncode == 1
    assert done.stderr.strip()


def test_verify_has_the_codes_of_all_not_all_and_none(synced: Host) -> None:
    assert [synced.code(f"symmir -g erp verify -{what}") for what in ("synched", "split", "syncinprog")] == [0, 26, 28]
    synced.control("word", "erp", "DEV001", "Split")
    assert [synced.code(f"symmir -g erp verify -{what}") for what in ("synched", "split")] == [4, 25]
    synced.control("word", "erp", "DEV002", "Split")
    assert [synced.code(f"symmir -g erp verify -{what}") for what in ("synched", "split")] == [5, 0]


def test_verify_of_what_is_partly_copying(host: Host) -> None:
    host.create("--rate", "1")
    host.good("symmir -g erp -full establish DEV001 -nop")
    assert host.code("symmir -g erp verify -syncinprog") == 27


def test_verify_starts_with_an_empty_line_and_all(synced: Host) -> None:
    assert synced.good("symmir -g erp verify -synched").splitlines()[:2][0] == ""
    assert synced.good("symmir -g erp verify -synched").splitlines()[1].startswith("All")


def test_verify_really_waits(host: Host) -> None:
    host.create("--rate", "40")
    host.good("symmir -g erp -full establish -nop")
    assert host.code("symmir -g erp verify -synched") in (4, 5)
    began = time.monotonic()
    host.good("symmir -g erp verify -synched -i 0.1 -c 100")
    assert time.monotonic() - began > 0.1
    assert host.code("symmir -g erp verify -split -i 0.1 -c 2") == 26


def test_a_host_without_an_array(host: Host) -> None:
    done = host.run("symmir -g erp query")
    assert (done.returncode, done.stderr.strip()) == (1, "No Symmetrix devices were found")


# ---- mirror: moves ----


def test_a_full_establish_copies_all_and_the_next_one_what_changed(synced: Host) -> None:
    assert synced.moved() == 2 * MEBIBYTE
    synced.good("symmir -g erp split -nop")
    synced.touch("p1")
    synced.good("symmir -g erp establish -nop")
    assert synced.words() == ["Synchronized", "Synchronized"]
    assert synced.moved() == 64 * 1024
    assert synced.is_same(1)


def test_writes_to_a_split_bcv_are_repaired_unless_they_are_not_tracked(host: Host) -> None:
    for options, repaired in (((), True), (("--bcv-writes-untracked",), False)):
        host.create(*options)
        for number in (1, 2):
            host.control("word", "erp", f"DEV00{number}", "NeverEstab")
        host.synchronise()
        host.good("symmir -g erp split -nop")
        host.touch("c1")
        host.good("symmir -g erp establish -nop")
        assert host.words() == ["Synchronized", "Synchronized"]
        assert host.is_same(1) is repaired
        host.good("symmir -g erp split -nop")


def test_an_incremental_establish_needs_split(mirror: Host) -> None:
    assert mirror.code("symmir -g erp establish -nop") == 1
    mirror.control("word", "erp", "DEV002", "SplitNoInc")
    mirror.control("word", "erp", "DEV001", "Split")
    assert mirror.code("symmir -g erp establish -nop") == 1
    assert mirror.words() == ["Split", "SplitNoInc"], "a group is refused as a whole"
    mirror.good("symmir -g erp -full establish -nop")


def test_an_incremental_establish_may_become_full_without_a_word(host: Host) -> None:
    host.create("--silent-full")
    host.good("symmir -g erp establish -nop")
    assert host.words() == ["Synchronized", "Synchronized"]
    assert host.moved() == 2 * MEBIBYTE


def test_establish_of_what_is_established_says_so(synced: Host) -> None:
    assert synced.code("symmir -g erp establish -nop") == 18
    assert synced.code("symmir -g erp -full establish -nop") == 18


@pytest.mark.parametrize("options", ["", "-consistent", "-instant", "-differential"])
def test_a_split_fixes_the_copy(synced: Host, options: str) -> None:
    synced.touch("p1", 4096)
    synced.good(f"symmir -g erp split {options} -nop")
    assert synced.is_same(1)
    assert synced.is_same(2)
    synced.touch("p1")
    assert synced.words() == ["Split", "Split"]
    assert not synced.is_same(1)
    assert synced.code("symmir -g erp split -nop") == 18


def test_pairs_of_a_plain_split_have_their_own_moments(host: Host) -> None:
    host.create("--gap", "0.5")
    host.synchronise()
    with subprocess.Popen(
        [str(TOOLS / "symmir"), "-g", "erp", "split", "-nop"],
        env=host.environment,
        stderr=subprocess.DEVNULL,
    ) as splitting:
        end = time.monotonic() + PATIENCE_SECONDS
        while host.words() != ["Split", "Synchronized"]:
            assert time.monotonic() < end
        host.touch("p1")
        host.touch("p2")
    assert splitting.returncode == 0
    assert not host.is_same(1)
    assert host.is_same(2)


def test_a_split_while_it_copies_needs_force_which_leaves_garbage(host: Host) -> None:
    host.create("--rate", "1")
    host.good("symmir -g erp -full establish -nop")
    assert host.code("symmir -g erp split -nop") == 22
    assert host.words() == ["SyncInProg", "SyncInProg"]
    host.good("symmir -g erp split -force -nop")
    assert host.words() == ["SplitBfrSync", "SplitBfrSync"]
    assert b"still being copied" in (host.folder / "c1.dev").read_bytes()
    assert host.code("symmir -g erp establish -nop") == 1


def test_the_background_of_a_split_lasts(host: Host) -> None:
    host.create("--bg", "30")
    host.synchronise()
    host.good("symmir -g erp split -instant -nop")
    assert host.words() == ["SplitInProg", "SplitInProg"]
    assert host.code("symmir -g erp verify -split") == 26
    assert not (host.folder / "c1.dev").exists()
    host.control("tick", "31")
    assert host.code("symmir -g erp verify -split") == 0
    assert (host.folder / "c1.dev").exists()


def test_a_split_waits_for_its_background_when_it_is_told_so(host: Host) -> None:
    host.create("--bg", "0.4")
    host.synchronise()
    host.good("symmir -g erp split -nop", SYMAPI_WAIT_FOR_BCV_BG_SPLIT="TRUE")
    assert host.words() == ["Split", "Split"]


def test_a_late_moment_is_that_of_the_word(host: Host) -> None:
    host.create("--bg", "30", "--late")
    host.synchronise()
    host.good("symmir -g erp split -nop")
    host.touch("p1")
    host.control("tick", "31")
    assert host.words() == ["Split", "Split"]
    assert host.is_same(1)


def test_old_microcode_has_no_consistent_split(host: Host) -> None:
    host.create("--inconsistent")
    host.synchronise()
    assert host.code("symmir -g erp split -consistent -nop") == 1
    assert host.words() == ["Synchronized", "Synchronized"]


def test_the_bcv_is_gone_from_its_host_while_it_is_established(mirror: Host) -> None:
    path = mirror.folder / "c1.dev"
    assert path.exists()
    mirror.good("symmir -g erp -full establish -nop")
    assert not path.exists()
    assert "Not Visible" in mirror.good("symbcv list")
    mirror.good("symmir -g erp verify -synched")
    assert not path.exists()
    mirror.good("symmir -g erp split -not_ready -nop")
    assert not path.exists()
    mirror.good("symmir -g erp establish -nop")
    mirror.good("symmir -g erp verify -synched")
    mirror.good("symmir -g erp split -nop")
    assert path.read_bytes() == (mirror.folder / "p1").read_bytes()


def test_restore_does_what_it_was_asked_to(synced: Host) -> None:
    assert synced.code("symmir -g erp restore -nop") == 1
    synced.good("symmir -g erp split -nop")
    before = (synced.folder / "p1").read_bytes()
    synced.touch("p1")
    synced.good("symmir -g erp restore -nop")
    assert (synced.folder / "p1").read_bytes() == before
    assert synced.words() == ["Restored", "Restored"]


def test_cancel_wants_a_split_first(synced: Host) -> None:
    assert synced.code("symmir -g erp cancel -nop") == 1
    synced.good("symmir -g erp split -nop")
    synced.good("symmir -g erp cancel -nop")
    assert synced.words() == ["NeverEstab", "NeverEstab"]


def test_one_pair_of_a_group(mirror: Host) -> None:
    mirror.good("symmir -g erp -full establish DEV001 BCV ld BCV001 -nop")
    assert mirror.words() == ["Synchronized", "NeverEstab"]
    assert mirror.code("symmir -g erp split DEV009 -nop") == 1


def test_a_file_of_device_numbers(synced: Host) -> None:
    (synced.folder / "pairs").write_text("01A4 04C2\n01a5 04c3\n", encoding="utf-8")
    assert synced.words("-sid 321 -f pairs") == ["Synchronized", "Synchronized"]
    synced.good("symmir -sid 321 -f pairs split -consistent -nop")
    assert synced.words() == ["Split", "Split"]
    (synced.folder / "pairs").write_text("01A4 FFFF\n", encoding="utf-8")
    assert synced.code("symmir -sid 321 -f pairs query") == 1


def test_a_composite_group_is_split_at_one_moment(synced: Host) -> None:
    synced.control("create", "--group", "logs", "p3=c3")
    synced.control("compose", "all", "erp", "logs")
    synced.good("symmir -g logs -full establish -nop")
    assert synced.words("-cg all") == ["Synchronized"] * 3
    synced.good("symmir -cg all split -consistent -nop")
    assert synced.words("-cg all") == ["Split"] * 3
    assert synced.is_same(3)


def test_two_bcvs_of_one_standard(mirror: Host) -> None:
    mirror.control("create", "--group", "second", "p1=d1")
    assert "01A4" in mirror.good("symmir -g second query")
    assert "04C4" in mirror.good("symmir -g second query")


def test_xml(synced: Host) -> None:
    tree = ET.fromstring(synced.good("symmir -g erp query -output xml_e"))
    assert [one.text for one in tree.findall("DG/BCV_Pair/state")] == ["Synchronized", "Synchronized"]
    tree = ET.fromstring(synced.good("symdev -sid 321 list -v -devs 04C2 -output xml_e"))
    assert [one.text for one in tree.findall("Symmetrix/Device/BCV_Pair/state")] == ["Synchronized"]


# ---- locks and faults ----


def test_a_lock_by_another_host_is_2_or_is_waited_for(synced: Host) -> None:
    synced.control("lock", "1")
    assert synced.code("symmir -g erp query") == 2
    assert synced.code("symmir -g erp split -nop") == 2
    synced.good("symmir -g erp split -nop", SYMCLI_WAIT_ON_DB="1")
    synced.control("lock", "60")
    synced.control("lock", "off")
    assert synced.words() == ["Split", "Split"]


def test_faults(synced: Host) -> None:
    synced.control("fault", "split busy 1", "split fail 1", "split code 19", "query word Sideways")
    assert synced.code("symmir -g erp split -nop", SYMCLI_WAIT_ON_DB="1") in (1, 2)
    assert synced.code("symmir -g erp split -nop") in (1, 2)
    assert synced.code("symmir -g erp split -nop") == 19
    assert synced.words() == ["Sideways", "Synchronized"]
    assert synced.code("symmir -g erp verify -synched") == 4
    synced.control("mend")
    assert synced.words() == ["Synchronized", "Synchronized"]
    synced.control("fault", "split lie")
    synced.good("symmir -g erp split -nop")
    assert synced.words() == ["Synchronized", "Synchronized"]
    synced.control("fault", "query drop")
    assert synced.words() == ["Synchronized"]


def test_half_of_a_group_is_split(synced: Host) -> None:
    synced.control("fault", "split half 7")
    assert synced.code("symmir -g erp split -nop") == 7
    assert synced.words() == ["Split", "Synchronized"]
    assert synced.code("symmir -g erp verify -split") == 25
    assert synced.code("symmir -g erp split -nop") == 18
    assert synced.code("symmir -g erp establish -nop") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [("", ["Split", "Synchronized"]), ("-consistent", ["Synchronized", "Synchronized"])],
)
def test_a_split_that_is_killed_half_way(synced: Host, options: str, words: list[str]) -> None:
    synced.control("fault", "split die")
    assert synced.code(f"symmir -g erp split {options} -nop") == -9
    synced.control("mend")
    assert synced.words() == words


def test_a_pair_that_breaks_and_one_that_leaves(synced: Host) -> None:
    synced.control("break", "erp", "DEV001")
    assert synced.words() == ["Invalid", "Synchronized"]
    assert synced.code("symmir -g erp split -nop") == 1
    synced.control("forget", "erp", "DEV001")
    assert synced.words() == ["Synchronized"]
    synced.control("join", "erp", "p3=c3")
    assert synced.words() == ["Synchronized", "NeverEstab"]


def test_every_invocation_is_written_down(synced: Host) -> None:
    command = [str(TOOLS / "control"), "log"]
    log = subprocess.check_output(command, env=synced.environment, text=True)
    assert log.splitlines()[0] == "symmir -g erp -full establish -nop"


# ---- groups, devices ----


def test_groups_are_made_by_the_tools(mirror: Host) -> None:
    mirror.good("symdg create new -type REGULAR")
    assert mirror.code("symdg create new") == 1
    mirror.good("symld -sid 321 -g new add dev 01A4 DEV001")
    mirror.good("symbcv -sid 321 -g new associate dev 04C3 BCV001")
    assert "04C3" in mirror.good("symmir -g new query")
    assert mirror.code("symld -g new add dev 01A4 DEV001") == 1
    assert mirror.code("symdg delete new") == 22
    assert "new" in mirror.good("symdg list")
    shown = mirror.good("symdg show new")
    assert f"DEV001                {mirror.folder}/p1" in shown
    mirror.good("symdg export new -f exported")
    mirror.good("symdg delete new -force")
    assert mirror.code("symmir -g new query") == 1


def test_devices_have_world_wide_names(mirror: Host) -> None:
    assert "60000970000190100321533030314134" in mirror.good("symdev -sid 321 show 01A4")
    assert "04C3" in mirror.good("symdev list")
    assert "000190100321" in mirror.good("symcfg list")
    mirror.good("symcfg discover")


# ---- historic ----


def test_the_historic_form(host: Host) -> None:
    host.create("--historic")
    assert host.code("symmir -g erp query") == 127
    assert not (TOOLS / "historic" / "symmir").exists()
    assert host.code("symbcv establish -g erp -i -noprompt") == 1, "-i is incremental"
    host.good("symbcv establish -g erp -noprompt")
    host.good("symbcv verify -g erp")
    assert host.moved() == 2 * MEBIBYTE, "full is the default"
    host.good("historic/symbcv split -g erp -noprompt")
    host.good("symbcv verify -g erp -split")
    host.touch("p1")
    host.good("symbcv establish -g erp -i -noprompt")
    assert "SyncInProg" in host.good("symbcv list") or "Synchronized" in host.good("symbcv list")
    host.good("symbcv verify -g erp")
    assert host.moved() == 64 * 1024


def test_where_there_is_a_symmir_symbcv_makes_no_move(mirror: Host) -> None:
    assert mirror.code("symbcv establish -g erp -noprompt") == 1
    assert mirror.words() == ["NeverEstab", "NeverEstab"]


# ---- clone ----


@pytest.fixture
def clone(host: Host) -> Host:
    host.create("--product", "clone", "--rate", "1000")
    return host


def clone_words(host: Host) -> list[str]:
    lines = host.good("symclone -g erp query").splitlines()
    return [line.split()[-2] for line in lines if line.startswith("DEV")]


def test_a_group_without_sessions(clone: Host) -> None:
    done = clone.run("symclone -g erp query")
    assert done.returncode == 1
    assert "do not form a Copy session" in done.stderr


def test_a_clone_from_create_to_copied(clone: Host) -> None:
    done = clone.run("symclone -g erp create -diff -precopy -noprompt")
    assert done.returncode == 0
    assert "'Create' operation successfully executed" in done.stderr
    assert not (clone.folder / "c1.dev").exists(), "not ready"
    clone.good("symclone -g erp verify -precopy")
    assert clone_words(clone) == ["Precopy", "Precopy"]
    clone.touch("p1")
    clone.good("symclone -g erp activate -consistent -noprompt")
    assert clone.is_same(1)
    assert (clone.folder / "c1.dev").exists(), "it may be read before it is copied"
    clone.control("tick", "60")
    clone.good("symclone -g erp verify -copied")
    assert clone_words(clone) == ["Copied", "Copied"]
    assert clone.code("symclone -g erp create -nop") == 1


def test_a_session_without_diff_is_not_recreated(clone: Host) -> None:
    clone.good("symclone -g erp create -copy -nop")
    assert clone_words(clone) == ["Created", "Created"]
    assert clone.code("symclone -g erp create -copy -nop") == 18
    assert clone.code("symclone -g erp recreate -nop") == 1
    clone.good("symclone -g erp activate -nop")
    clone.control("tick", "60")
    assert clone.code("symclone -g erp recreate -nop") == 1


def test_recreate_copies_what_changed(clone: Host) -> None:
    clone.good("symclone -g erp establish -full -consistent -nop")
    clone.control("tick", "60")
    assert clone_words(clone) == ["Copied", "Copied"]
    clone.touch("p2")
    clone.good("symclone -g erp recreate -precopy -nop")
    clone.control("tick", "60")
    clone.good("symclone -g erp verify -precopy")
    assert clone.moved() == 64 * 1024
    clone.good("symclone -g erp activate -consistent -nop")
    assert clone.is_same(2)


def test_the_copied_column_moves(host: Host) -> None:
    host.create("--product", "clone", "--rate", "4")
    host.good("symclone -g erp create -diff -nop")
    host.good("symclone -g erp activate -consistent -nop")
    host.control("tick", "1")
    (first, _) = [line for line in host.good("symclone -g erp query -multi").splitlines() if line.startswith("DEV")]
    assert first.split()[-2] == "CopyInProg"
    assert 0 < int(first.split()[-1]) < 100
    assert host.code("symclone -g erp verify -copied") == 5
    assert host.code("symclone -g erp terminate -nop") == 23
    host.good("symclone -g erp terminate -symforce -nop")
    assert not host.is_same(1), "what was not copied is not there"


def test_half_of_an_activate(clone: Host) -> None:
    clone.good("symclone -g erp create -diff -precopy -nop")
    clone.control("fault", "activate half")
    assert clone.code("symclone -g erp activate -consistent -nop") == 1
    clone.control("tick", "60")
    assert clone_words(clone) == ["Copied", "Precopy"]


def test_a_clone_in_xml(clone: Host) -> None:
    clone.good("symclone -g erp create -diff -precopy -nop")
    tree = ET.fromstring(clone.good("symdev -sid 321 list -v -devs 04C2,04C3 -output xml_e"))
    assert [one.text for one in tree.findall("Symmetrix/Device/CLONE_Device/state")] == ["Precopy", "Precopy"]
    assert [one.text for one in tree.findall("Symmetrix/Device/CLONE_Device/SRC/dev_name")] == ["01A4", "01A5"]


# ---- SnapVX ----


@pytest.fixture
def snapvx(host: Host) -> Host:
    host.create("--product", "snapvx")
    return host


def snapshots(host: Host, options: str = "") -> list[dict[str, str | None]]:
    done = host.run(f"symsnapvx -sid 321 -sg erp list {options} -output xml_e")
    if done.returncode:
        assert "No snapshot" in done.stderr
        return []
    found = ET.fromstring(done.stdout).findall("SG/Snapvx/Snapshot")
    return [{field.tag: field.text for field in one} for one in found]


def test_nothing_to_list_is_a_failure(snapvx: Host) -> None:
    done = snapvx.run("symsnapvx -sid 321 list")
    assert done.returncode != 0
    assert "No snapshot" in done.stderr


def test_a_snapshot_of_a_storage_group(snapvx: Host) -> None:
    snapvx.good("symsnapvx -sid 321 -sg erp -name run-1 establish -nop")
    first, second = snapshots(snapvx)
    assert (first["source"], first["snapshot_name"], first["num_generations"]) == ("001A4", "run-1", "1")
    assert second["source"] == "001A5"
    assert (first["link"], first["failed"], first["error_reason"]) == ("No", "No", "NA")
    time.strptime(str(first["last_timestamp"]), "%a %b %d %H:%M:%S %Y")


def test_the_same_name_again_makes_a_generation(snapvx: Host) -> None:
    for _ in range(2):
        snapvx.good("symsnapvx -sid 321 -sg erp establish -name daily -ttl -delta 2 -nop")
    assert [one["num_generations"] for one in snapshots(snapvx)] == ["2", "2"]
    assert [one["generation"] for one in snapshots(snapvx, "-detail")] == ["0", "1", "0", "1"]
    snapvx.good("symsnapvx -sid 321 -sg erp -snapshot_name daily -generation 1 terminate -nop")
    assert [one["num_generations"] for one in snapshots(snapvx)] == ["1", "1"]
    assert snapvx.code("symsnapvx -sid 321 -sg erp -snapshot_name Daily terminate -nop") == 1, "case counts"


@pytest.mark.parametrize("name", ["a" * 33, "with/slash", ""])
def test_names_that_are_not_valid(snapvx: Host, name: str) -> None:
    command = [str(TOOLS / "symsnapvx"), "-sid", "321", "-sg", "erp", "-name", name, "establish", "-nop"]
    assert subprocess.run(command, env=snapvx.environment, capture_output=True, check=False).returncode == 1
    assert snapshots(snapvx) == []


def test_a_linked_snapshot_is_seen_on_its_target_and_is_not_terminated(snapvx: Host) -> None:
    before = (snapvx.folder / "p1").read_bytes()
    snapvx.good("symsnapvx -sid 321 -sg erp -name s1 establish -nop")
    snapvx.touch("p1")
    snapvx.good("symsnapvx -sid 321 -sg erp -lnsg erp_tgt -snapshot_name s1 link -nop")
    assert (snapvx.folder / "c1.dev").read_bytes() == before
    assert snapvx.code("symsnapvx -sid 321 -sg erp -lnsg erp_tgt -snapshot_name s1 link -nop") == 1
    assert snapvx.code("symsnapvx -sid 321 -sg erp -snapshot_name s1 terminate -nop") == 1
    assert [one["link"] for one in snapshots(snapvx)] == ["Yes", "Yes"]
    assert [one["link"] for one in snapshots(snapvx, "-linked")] == ["004C2", "004C3"]
    assert snapvx.code("symsnapvx -sid 321 -lnsg erp_tgt verify -linked -defined") == 0
    assert snapvx.code("symsnapvx -sid 321 -lnsg erp_tgt verify -copied") == 5
    assert "004C2" in snapvx.good("symsnapvx -sid 321 -lnsg erp_tgt list -linked -by_tgt")
    snapvx.good("symsnapvx -sid 321 -sg erp -lnsg erp_tgt -snapshot_name s1 unlink -nop")
    assert b"still being copied" in (snapvx.folder / "c1").read_bytes()
    snapvx.good("symsnapvx -sid 321 -sg erp -snapshot_name s1 terminate -nop")
    assert snapshots(snapvx) == []


def test_a_link_that_is_not_defined_yet(host: Host) -> None:
    host.create("--product", "snapvx", "--define", "30")
    host.good("symsnapvx -sid 321 -devs 001A4,1A5 -name s1 establish -nop")
    host.good("symsnapvx -sid 321 -devs 1A4 -lndevs 4C2 -snapshot_name s1 link -copy -nop")
    assert [one["bgdefinprog"] for one in snapshots(host)] == ["Yes", "No"]
    host.control("tick", "31")
    assert [one["bgdefinprog"] for one in snapshots(host)] == ["No", "No"]
    host.good("symsnapvx -sid 321 -devs 1A4 -lndevs 4C2 -snapshot_name s1 unlink -nop")
    assert host.is_same(1), "it was copied"


def test_membership_of_a_storage_group(snapvx: Host) -> None:
    tree = ET.fromstring(snapvx.good("symsg -sid 321 show erp -output xml_e"))
    assert [one.text for one in tree.findall("SG/DEVS_List/Device/dev_name")] == ["001A4", "001A5"]
    snapvx.control("forget", "erp", "001A4")
    assert "001A4" not in snapvx.good("symsg -sid 321 show erp")


def test_faults_of_snapshots(snapvx: Host) -> None:
    snapvx.control("fault", "establish half")
    assert snapvx.code("symsnapvx -sid 321 -sg erp -name s1 establish -nop") == 1
    assert len(snapshots(snapvx)) == 1
    snapvx.control("fault", "query word Maybe")
    assert snapshots(snapvx)[0]["failed"] == "Maybe"
    snapvx.control("fault", "query drop")
    assert snapshots(snapvx) == []
    snapvx.control("fault", "establish die")
    assert snapvx.code("symsnapvx -sid 321 -sg erp -name s2 establish -nop") == -9
    snapvx.control("mend")
    assert [one["snapshot_name"] for one in snapshots(snapvx)] == ["s1"]


def test_restore_of_a_snapshot_overwrites_its_source(snapvx: Host) -> None:
    before = (snapvx.folder / "p1").read_bytes()
    snapvx.good("symsnapvx -sid 321 -sg erp -name s1 establish -nop")
    snapvx.touch("p1")
    snapvx.good("symsnapvx -sid 321 -sg erp -snapshot_name s1 restore -nop")
    assert (snapvx.folder / "p1").read_bytes() == before
