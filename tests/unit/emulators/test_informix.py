"""The emulated Informix in its own terms: banner, exit codes, what a block holds up, and what becomes of the rows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "informix"
CALL_SECONDS = 20
ONLINE = 5
OFFLINE = 255
Done = subprocess.CompletedProcess[str]


class Site:
    """One server ``erp`` with a root chunk and a data chunk."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.create("erp", *options)

    def create(self, server: str, *options: str) -> None:
        chunks = [f"--chunk=rootdbs={self.folder}/{server}.root", f"--chunk=data={self.folder}/{server}.data"]
        self.ok("create", "--server", server, "--dir", f"{self.folder}/{server}", *chunks, *options)

    def environment(self, server: str = "erp", **changes: str) -> dict[str, str]:
        named = {
            "INFORMIX_EMULATOR_STATE": f"{self.folder}/state",
            "INFORMIXDIR": f"{self.folder}/{server}",
            "INFORMIXSERVER": server,
            "ONCONFIG": f"onconfig.{server}",
        }
        return {**os.environ, **named, **changes}

    def run(self, *words: str, server: str = "erp", says: str = "", **changes: str) -> Done:
        argv = [str(TOOLS / words[0]), *words[1:]]
        return subprocess.run(
            argv,
            env=self.environment(server, **changes),
            input=says,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [str(TOOLS / words[0]), *words[1:]]
        return subprocess.Popen(argv, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ok(self, *words: str) -> str:
        done = self.run("control", *words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def silent(self, *words: str) -> None:
        done = self.run(*words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done

    def blocked(self) -> str:
        lines = self.run("onstat", "-").stdout.splitlines()
        return next((line.partition(":")[2] for line in lines if line.startswith("Blocked:")), "")

    def look(self, data: str = "erp.data", root: str = "erp.root") -> dict[str, object]:
        found: dict[str, object] = json.loads(self.ok("look", f"{self.folder}/{data}", f"{self.folder}/{root}"))
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def waits(client: subprocess.Popen[str]) -> bool:
    """Whether it is still there after a while that is long beside what it needs when nothing is in its way."""
    try:
        client.wait(0.3)
    except subprocess.TimeoutExpired:
        return True
    return False


def ends(client: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = client.communicate(timeout=CALL_SECONDS)
    return client.returncode, out


# -- the environment --


def test_the_banner_and_the_exit_code_of_a_healthy_server(site: Site) -> None:
    done = site.run("onstat", "-")
    assert done.returncode == ONLINE
    assert done.stdout.startswith("\nIBM Informix Dynamic Server Version 14.10.FC7 -- On-Line -- Up 00:00:0")
    assert "Blocked" not in done.stdout


@pytest.mark.parametrize("tool", [("onstat", "-"), ("onmode", "-c", "block"), ("ontape", "-a", "-d")])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"INFORMIXSERVER": ""}, "'<NULL>'"),
        ({"INFORMIXDIR": ""}, "'erp'"),
        ({"ONCONFIG": ""}, "'erp'"),
        ({"ONCONFIG": "onconfig.none"}, "'erp'"),
        ({"INFORMIXSERVER": "other"}, "'other'"),
    ],
)
def test_without_the_whole_environment_it_is_offline(
    site: Site, tool: tuple[str, ...], changes: dict[str, str], said: str
) -> None:
    done = site.run(*tool, **changes)
    assert (done.returncode, done.stdout.strip()) == (
        OFFLINE,
        f"shared memory not initialized for INFORMIXSERVER {said}",
    )
    assert site.blocked() == ""


def test_an_alias_leads_to_the_server_too(tmp_path: Path) -> None:
    site = Site(tmp_path, "--alias", "erp_tcp", "--alias", "erp_shm")
    assert site.run("onstat", "-", INFORMIXSERVER="erp_shm").returncode == ONLINE


def test_of_several_servers_only_the_named_one_is_blocked(site: Site) -> None:
    site.create("crm")
    site.silent("onmode", "-c", "block")
    assert "Blocked:ARCHIVE" in site.run("onstat", "-").stdout
    assert "Blocked" not in site.run("onstat", "-", server="crm").stdout


@pytest.mark.parametrize("is_loose", [True, False])
def test_a_wrong_onconfig_may_hit_another_server(tmp_path: Path, is_loose: bool) -> None:
    site = Site(tmp_path)
    site.create("crm", *(["--loose"] if is_loose else []))
    done = site.run("onmode", "-c", "block", INFORMIXDIR=f"{tmp_path}/crm", ONCONFIG="onconfig.crm")
    assert done.returncode == (0 if is_loose else OFFLINE)
    assert ("Blocked" in site.run("onstat", "-", server="crm").stdout) is is_loose


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("initialization", 0),
        ("quiescent", 1),
        ("recovery", 2),
        ("backup", 3),
        ("shutdown", 4),
        ("on-line", 5),
        ("read-only", 5),
        ("abort", 6),
        ("administration", 7),
        ("off-line", 255),
    ],
)
def test_the_exit_code_of_onstat_is_the_mode(site: Site, mode: str, code: int) -> None:
    site.ok("mode", "erp", mode)
    assert site.run("onstat", "-").returncode == code
    assert site.run("onstat", "-d").returncode == code
    if mode != "on-line":
        assert site.run("onmode", "-c", "block").returncode in (1, OFFLINE)


# -- the block --


def test_a_block_is_silent_and_shows(site: Site) -> None:
    site.silent("onmode", "-c", "block")
    done = site.run("onstat", "-")
    assert done.returncode == ONLINE
    assert done.stdout.splitlines()[2] == "Blocked:ARCHIVE"
    site.silent("onmode", "-c", "unblock")
    assert site.blocked() == ""


def test_the_words_of_a_block_are_what_the_test_says(tmp_path: Path) -> None:
    site = Site(tmp_path, "--words", "CKPT ARCHIVE")
    site.silent("onmode", "-c", "block")
    assert site.blocked() == "CKPT ARCHIVE"


def test_a_writer_waits_for_the_unblock_and_goes_on_while_readers_see_nothing(site: Site) -> None:
    site.ok("write", "erp", "before")
    site.silent("onmode", "-c", "block")
    writer = site.start("control", "write", "erp", "after")
    assert waits(writer)
    assert json.loads(site.ok("read", "erp")) == ["before"]
    assert site.look()["log"] == ["before"]
    site.silent("onmode", "-c", "unblock")
    assert ends(writer) == (0, "written 2\n")
    assert json.loads(site.ok("read", "erp")) == ["before", "after"]


def test_a_block_brings_every_row_into_the_chunks_and_without_it_they_lack(site: Site) -> None:
    site.ok("write", "erp", "one")
    assert site.look() == {"checkpoint": 1, "flushed": 0, "rows": [], "log": ["one"]}
    site.silent("onmode", "-c", "block")
    assert site.look() == {"checkpoint": 2, "flushed": 1, "rows": ["one"], "log": ["one"]}


def test_the_block_outlives_its_onmode_and_ends_with_a_restart(site: Site) -> None:
    site.silent("onmode", "-c", "block")
    writer = site.start("control", "write", "erp", "lost")
    assert waits(writer)
    site.ok("crash", "erp")
    assert ends(writer)[0] == 1
    assert site.run("onstat", "-").returncode == OFFLINE
    site.ok("start", "erp")
    assert site.blocked() == ""
    assert site.ok("write", "erp", "kept") == "written 1\n"


def test_a_block_can_be_made_to_outlive_a_restart(tmp_path: Path) -> None:
    site = Site(tmp_path, "--survives")
    site.silent("onmode", "-c", "block")
    site.ok("restart", "erp")
    assert site.blocked() == "ARCHIVE"


def test_a_start_brings_back_what_the_log_has(site: Site) -> None:
    site.ok("write", "erp", "one")
    site.silent("onmode", "-c")
    site.ok("write", "erp", "two")
    site.ok("restart", "erp")
    assert json.loads(site.ok("read", "erp")) == ["one", "two"]
    assert site.look()["rows"] == ["one", "two"]


def test_without_logs_a_crash_costs_what_no_checkpoint_wrote(tmp_path: Path) -> None:
    site = Site(tmp_path, "--nolog")
    site.ok("write", "erp", "one")
    site.silent("onmode", "-c")
    site.ok("write", "erp", "two")
    site.ok("restart", "erp")
    assert json.loads(site.ok("read", "erp")) == ["one"]


# -- again --


@pytest.mark.parametrize(("word", "code"), [("accept", 0), ("refuse", 1), ("count", 0)])
def test_a_second_block(tmp_path: Path, word: str, code: int) -> None:
    site = Site(tmp_path, "--again-block", word)
    site.silent("onmode", "-c", "block")
    assert site.run("onmode", "-c", "block").returncode == code
    site.silent("onmode", "-c", "unblock")
    assert site.blocked() == ("ARCHIVE" if word == "count" else "")


@pytest.mark.parametrize(("word", "code"), [("accept", 0), ("refuse", 1)])
def test_a_second_unblock(tmp_path: Path, word: str, code: int) -> None:
    site = Site(tmp_path, "--again-unblock", word)
    assert site.run("onmode", "-c", "unblock").returncode == code


@pytest.mark.parametrize("move", ["block", "unblock"])
def test_a_second_move_may_hang(tmp_path: Path, move: str) -> None:
    site = Site(tmp_path, f"--again-{move}", "hang")
    if move == "block":
        site.silent("onmode", "-c", "block")
    client = site.start("onmode", "-c", move)
    assert waits(client)
    client.kill()
    client.communicate()


# -- the checkpoint --


def test_while_its_checkpoint_runs_the_server_says_ckpt_and_writers_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, "--checkpoint", "1000")
    site.ok("write", "erp", "one")
    client = site.start("onmode", "-c", "block")
    while not site.blocked():
        assert client.poll() is None
    assert "-- On-Line (CKPT REQ) --" in site.run("onstat", "-").stdout
    assert site.blocked() == "CKPT"
    writer = site.start("control", "write", "erp", "two")
    assert waits(writer)
    assert client.poll() is None
    site.ok("tick", "1000")
    assert ends(client) == (0, "")
    assert site.blocked() == "ARCHIVE"
    assert writer.poll() is None
    site.silent("onmode", "-c", "unblock")
    assert ends(writer) == (0, "written 2\n")


@pytest.mark.parametrize(("word", "after"), [("ignored", "ARCHIVE"), ("cancels", "")])
def test_a_killed_onmode_leaves_its_request_with_the_server(tmp_path: Path, word: str, after: str) -> None:
    site = Site(tmp_path, "--checkpoint", "1000", "--early", word)
    client = site.start("onmode", "-c", "block")
    while not site.blocked():
        assert client.poll() is None
    client.kill()
    client.communicate()
    assert site.blocked() == "CKPT"
    site.silent("onmode", "-c", "unblock")
    site.ok("tick", "1000")
    assert site.blocked() == after


def test_an_early_unblock_may_wait_for_the_checkpoint(tmp_path: Path) -> None:
    site = Site(tmp_path, "--checkpoint", "1000", "--early", "waits")
    blocking = site.start("onmode", "-c", "block")
    while not site.blocked():
        assert blocking.poll() is None
    unblocking = site.start("onmode", "-c", "unblock")
    assert waits(unblocking)
    site.ok("tick", "1000")
    assert ends(unblocking) == (0, "")
    assert ends(blocking)[0] == 0
    assert site.blocked() == ""


@pytest.mark.parametrize("words", [("onmode", "-c"), ("onmode", "-l"), ("ontape", "-a", "-d"), ("onbar", "-b", "-l")])
def test_what_needs_the_log_waits_for_the_unblock(site: Site, words: tuple[str, ...]) -> None:
    site.silent("onmode", "-c", "block")
    client = site.start(*words)
    assert waits(client)
    site.silent("onmode", "-c", "unblock")
    assert ends(client)[0] == 0


def test_what_blocks_the_server_itself_is_not_ended_by_unblock(site: Site) -> None:
    site.ok("blocked", "erp", "LONGTX")
    site.silent("onmode", "-c", "unblock")
    assert site.blocked() == "LONGTX"
    writer = site.start("control", "write", "erp", "x")
    assert waits(writer)
    site.ok("blocked", "erp", "off")
    assert ends(writer)[0] == 0


# -- what onstat lists --


def test_chunks_are_listed_with_their_paths(site: Site) -> None:
    site.ok("add", "erp", f"data={site.folder}/more")
    site.ok("chunk", "erp", "2", "PD-B--")
    lines = site.run("onstat", "-d").stdout.splitlines()
    rows = [line.split() for line in lines[lines.index("Chunks") + 2 :] if line.count("/") > 1]
    assert [(row[1], row[2], row[-2], row[-1]) for row in rows] == [
        ("1", "1", "PO-B--", f"{site.folder}/erp.root"),
        ("2", "2", "PD-B--", f"{site.folder}/erp.data"),
        ("3", "2", "PO-B--", f"{site.folder}/more"),
    ]
    assert " 2 active, 2047 maximum" in lines
    assert " 3 active, 32766 maximum" in lines


def current(site: Site) -> str:
    rows = [line.split() for line in site.run("onstat", "-l").stdout.splitlines() if "U---C-L" in line]
    assert len(rows) == 1
    return rows[0][3]


def test_a_log_switch_moves_the_current_log(site: Site) -> None:
    assert current(site) == "7"
    site.silent("onmode", "-l")
    assert current(site) == "8"
    assert [line.split()[3] for line in site.run("onstat", "-l").stdout.splitlines() if "U------" in line] == ["7"]


def test_ontape_asks_for_the_current_log_unless_told_not_to(site: Site) -> None:
    site.silent("onmode", "-l")
    assert "(y/n)" in site.run("ontape", "-a", says="n\n").stdout
    logs = site.folder / "erp" / "logs"
    assert [p.name[-4:] for p in sorted(logs.iterdir())] == ["0007"]
    site.run("ontape", "-a", "-d")
    assert [p.name[-4:] for p in sorted(logs.iterdir())] == ["0007", "0008"]
    assert current(site) == "9"


def test_onbar_backs_up_full_logs_and_with_c_the_current_one(site: Site) -> None:
    site.silent("onmode", "-l")
    site.silent("onbar", "-b", "-l")
    site.silent("onbar", "-b", "-l", "-c")
    assert len(list((site.folder / "erp" / "logs").iterdir())) == 2


def test_the_configuration_is_shown(site: Site) -> None:
    assert f"ROOTPATH {site.folder}/erp.root" in site.run("onstat", "-c").stdout
    assert site.run("onstat", "-V", INFORMIXSERVER="").returncode == 0


def test_the_tools_stand_in_informixdir_as_well(site: Site) -> None:
    for tool in ("onmode", "onstat", "ontape", "onbar"):
        assert shutil.which(tool, path=str(site.folder / "erp" / "bin"))
    done = subprocess.run(
        [str(site.folder / "erp" / "bin" / "onbar"), "-b", "-l"], env=site.environment(), check=False, timeout=20
    )
    assert done.returncode == 0


# -- refusals and faults --


def test_who_may_not_administer_may_still_look(site: Site) -> None:
    site.ok("deny", "erp", "on")
    assert site.run("onmode", "-c", "block").returncode == 1
    assert site.run("ontape", "-a", "-d").returncode == 1
    assert site.run("onstat", "-").returncode == ONLINE
    assert site.blocked() == ""


@pytest.mark.parametrize("words", [("onmode", "-c", "bock"), ("onmode",), ("onstat", "-q"), ("ontape", "-s")])
def test_unknown_options_print_the_usage(site: Site, words: tuple[str, ...]) -> None:
    done = site.run(*words)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


@pytest.mark.parametrize(
    ("fault", "code", "is_blocked"),
    [
        ("block fail", 1, False),
        ("block lie", 0, False),
        ("block code 39", 39, False),
        ("block half", 1, True),
        ("block die", -9, True),
        ("block noise something new", 0, True),
    ],
)
def test_a_block_that_goes_wrong(site: Site, fault: str, code: int, is_blocked: bool) -> None:
    site.ok("fault", fault)
    assert site.run("onmode", "-c", "block").returncode == code
    site.ok("mend")
    assert bool(site.blocked()) is is_blocked


@pytest.mark.parametrize(("fault", "is_blocked"), [("block hang", False), ("block hang-after", True)])
def test_a_block_that_hangs(site: Site, fault: str, is_blocked: bool) -> None:
    site.ok("fault", fault)
    client = site.start("onmode", "-c", "block")
    assert waits(client)
    assert bool(site.blocked()) is is_blocked
    client.kill()
    client.communicate()


def test_an_unblock_that_lies_leaves_it_blocked(site: Site) -> None:
    site.silent("onmode", "-c", "block")
    site.ok("fault", "unblock lie")
    site.silent("onmode", "-c", "unblock")
    assert site.blocked() == "ARCHIVE"


def test_output_that_nobody_knows(site: Site) -> None:
    site.ok("fault", "status banner Informix reborn", "status blocked SOMETHING_NEW")
    site.silent("onmode", "-c", "block")
    assert site.run("onstat", "-").stdout == "\nInformix reborn\nBlocked:SOMETHING_NEW\n\n"


def test_every_invocation_is_in_the_log(site: Site) -> None:
    site.silent("onmode", "-c", "block")
    site.run("onstat", "-")
    assert site.ok("log").splitlines()[-2:] == ["onmode -c block", "onstat -"]
