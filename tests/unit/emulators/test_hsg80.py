"""The emulated HSG80 in its own terms: what a terminal shows, what is refused, and which bytes a copy has."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import msgspec
import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "hsg80"
BLOCK = 64 * 1024
ATTACH = (
    "set mirr1 nopolicy",
    "set mirr1 membership=3",
    "set mirr1 replace=disk30000",
    "set mirr2 nopolicy",
    "set mirr2 membership=3",
    "set mirr2 replace=disk30100",
)
SPLIT = "reduce disk30000 disk30100"
SHOWN = (
    "add mirrorset mc1 disk30000",
    "add mirrorset mc2 disk30100",
    "add stripeset sc mc1 mc2",
    "initialize sc nodestroy",
    "add unit d205 sc",
)


class World:
    """A controller with group ``erp``: one unit over two mirrorsets."""

    def __init__(self, folder: Path, *options: str, pairs: int = 2) -> None:
        self.folder = folder
        self.numbers = range(1, pairs + 1)
        for number in self.numbers:
            (folder / f"p{number}").write_bytes(os.urandom(4 * BLOCK))
        self.control("create", "--group", "erp", *(f"{folder}/p{n}={folder}/c{n}" for n in self.numbers), *options)

    def call(self, tool: str, *words: str, typed: str = "") -> str:
        env = {"PATH": os.environ["PATH"], "HSG80_EMULATOR_STATE": f"{self.folder}/state"}
        done = subprocess.run(
            [str(TOOLS / tool), *words], env=env, input=typed.encode(), capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout.decode("latin-1")

    def control(self, *words: str) -> str:
        return self.call("control", *words)

    def say(self, *lines: str) -> list[str]:
        """What the controller answers to each line."""
        shown = self.call("console", typed="".join(f"{line}\r" for line in lines))
        assert shown.startswith("CLI> ")
        replies = shown.removesuffix("\r\nCLI> ").split("\r\nCLI> ")
        return ["\n".join(reply.split("\r\n")[1:]) for reply in replies]

    def ok(self, *lines: str) -> None:
        assert self.say(*lines) == [""] * len(lines)

    def refused(self, line: str, text: str) -> None:
        (answer,) = self.say(line)
        assert answer.startswith("Error 4000: ")
        assert text in answer

    def members(self, mirrorset: str = "mirr1") -> dict[str, str]:
        (shown,) = self.say(f"show {mirrorset}")
        rows = [line.strip().split("  (member ") for line in shown.splitlines() if "(member" in line]
        return {disk: rest.partition(" is ")[2] for disk, rest in rows}

    def write(self, number: int, text: bytes) -> None:
        with (self.folder / f"p{number}").open("r+b") as file:
            file.seek(2 * BLOCK)
            file.write(text)

    def is_same(self, number: int) -> bool:
        return (self.folder / f"p{number}").read_bytes() == (self.folder / f"c{number}").read_bytes()

    def seen(self) -> dict[str, bytes]:
        """What hosts see of every unit."""
        return {path.name: path.read_bytes() for path in (self.folder / "state.dev").iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- the session --


def test_a_session_is_prompt_echo_reply_prompt(world: World) -> None:
    assert world.call("console") == "CLI> "
    assert world.call("console", typed="\r\r\n\n") == "CLI> \r\nCLI> \r\nCLI> \r\nCLI> "
    shown = world.call("console", typed="Show SPARESET\r\nexit\rshow units\r")
    assert shown.splitlines()[0] == "CLI> Show SPARESET"
    assert shown.endswith("\r\nCLI> exit\r\n")
    assert world.control("log").splitlines() == ["console Show SPARESET", "console exit"]


def test_what_was_typed_is_thrown_away_by_attention(world: World) -> None:
    assert world.call("console", typed="delete d101\x03show sparese") == "CLI> ^C\r\nCLI> "


def test_words_are_cut_short_as_long_as_they_are_clear(world: World) -> None:
    world.ok("set MIRR1 nopol members=3", "SET mirr1 Policy = best_f", "s" + "et mirr1 nopolicy")
    world.refused("set mirr1 policy=best", "ambiguous")
    world.refused("set mirr1 re=disk30000", "ambiguous")
    world.refused("set mirr", "is not a unit or mirrorset")
    world.refused("re disk30000", "ambiguous")
    world.refused("frobnicate", "is not a keyword")
    world.refused("set mirr1 membership=3 membership=4", "twice")
    world.refused("show nothing", "NOTHING")
    assert world.say("sho mirrorset mirr1") == world.say("show MIRR1")


@pytest.mark.parametrize("tool", ["console", "cmdscript"])
def test_layouts(world: World, tool: str) -> None:
    lines = world.call(tool, typed="show mirr1\n").split("\r\n")
    assert lines[1] == "Name          Storageset                     Uses             Used by"
    assert lines[4:6] == [
        "MIRR1         mirrorset                      DISK10000        STRIPE1",
        "                                             DISK20000",
    ]
    assert "          MEMBERSHIP = 2, 2 members present" in lines
    assert "          DISK10000  (member 0) is NORMAL" in lines
    shown = dict(zip(("d", "u", "s"), world.say("show disks", "show units full", "show stor"), strict=True))
    assert "DISK30100    disk                         3    1    0" in shown["d"]
    assert "  D101                                       STRIPE1" in shown["u"]
    assert "STRIPE1       stripeset                      MIRR1            D101" in shown["s"]


def test_options_of_the_terminal(tmp_path: Path) -> None:
    world = World(tmp_path, "--prompt", "HSG80>", "--banner", "Hello\\nYou", "--no-echo", "--lf", "--chatty", pairs=1)
    assert world.call("console", typed="set mirr1 nopolicy\n") == (
        "Hello\nYou\n\nHSG80> The command has been carried out\nHSG80> "
    )


def test_refusals_may_be_mute(tmp_path: Path) -> None:
    world = World(tmp_path, "--mute")
    assert world.say("set mirr1 replace=disk30000", "nonsense") == ["", ""]
    assert len(world.members()) == 2


def test_events_come_in_the_middle_and_look_like_a_prompt(tmp_path: Path) -> None:
    world = World(tmp_path, "--events")
    shown = world.call("console", typed="show mirr1\r")
    assert "%EVL--CLI> --13-JAN-1999" in shown
    assert shown.index("Name ") < shown.index("%EVL") < shown.index("(member 1)")
    assert shown.count("CLI> ") == 4


def test_a_page_waits_for_a_key_and_eats_it(tmp_path: Path) -> None:
    world = World(tmp_path, "--page", "10")
    assert world.call("console", typed="show mirr1\r").endswith(" -- more -- ")
    shown = world.call("console", typed="show mirr1\rxyexit\r")
    assert "(member 1)" in shown
    assert shown.endswith("CLI> yexit\r\nError 4000: YEXIT is not a keyword\r\nCLI> ")


def test_cmdscript_takes_commands_in_three_ways(tmp_path: Path) -> None:
    world = World(tmp_path, "--bare")
    (tmp_path / "file").write_text("show sparese\nshow failedset\n")
    shown = world.call("cmdscript", "show spareset", "show failedset")
    assert shown == world.call("cmdscript", "-f", f"{tmp_path}/file")
    assert shown == world.call("cmdscript", typed="show spareset\nshow failedset\n")
    assert "CLI>" not in shown
    assert shown.count("SPARESET") == 1


def test_wrapped_tools_know_their_state(world: World, tmp_path: Path) -> None:
    world.control("wrap", str(tmp_path))
    done = subprocess.run([f"{tmp_path}/cmdscript", "exit"], env={"PATH": os.environ["PATH"]}, capture_output=True)
    assert done.stdout == b"CLI> exit\r\n"


# -- a copy's life --


def test_a_life_of_a_copy(world: World) -> None:
    world.ok(*ATTACH)
    assert world.members() == {"DISK10000": "NORMAL", "DISK20000": "NORMAL", "DISK30000": "NORMAL"}
    assert world.control("moved", "erp").strip() == str(8 * BLOCK)
    world.write(1, b"before")
    world.ok(SPLIT)
    assert world.is_same(1)
    assert world.is_same(2)
    assert list(world.members("mirr2")) == ["DISK10100", "DISK20100"]
    assert "MEMBERSHIP = 2, 2 members present" in world.say("show mirr1")[0]
    world.write(1, b"after")
    world.ok(*SHOWN)
    assert world.seen()["D205.1"] == (world.folder / "c1").read_bytes() != (world.folder / "p1").read_bytes()
    assert world.seen()["D205.2"] == (world.folder / "p2").read_bytes()
    world.ok("delete d205", "delete sc", "delete mc1", "delete mc2")
    assert set(world.seen()) == {"D101.1", "D101.2"}
    world.ok(*ATTACH, SPLIT)
    assert world.control("moved", "erp").strip() == str(8 * BLOCK), "a full copy each time"
    assert world.is_same(1)


def test_a_copy_takes_its_time_and_is_garbage_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, "--rate", "0.001", pairs=1)
    world.ok(*ATTACH[:3])
    assert world.members()["DISK30000"] == "COPYING (  0% complete)"
    assert b"still being copied" in (tmp_path / "c1").read_bytes()
    world.refused("reduce disk30000", "not a normal member")
    world.control("tick", "2000")
    assert world.members()["DISK30000"] == "COPYING ( 50% complete)"
    world.control("tick", "9000")
    world.ok("reduce disk30000")


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--copy-word", "NORMALIZING", "--no-percent"), "NORMALIZING"), (("--no-percent",), "COPYING")],
)
def test_words_of_a_member_that_is_copied_to(tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    world = World(tmp_path, "--rate", "0.001", *options, pairs=1)
    world.ok(*ATTACH[:3])
    assert world.members()["DISK30000"] == word


@pytest.mark.parametrize("lines", [(SPLIT,), ("reduce disk30000", "reduce disk30100")])
def test_one_reduce_is_one_moment_and_two_are_two(tmp_path: Path, lines: tuple[str, ...]) -> None:
    world = World(tmp_path, "--gap", "0.2")
    world.ok(*ATTACH)
    ended = threading.Event()

    def keep_writing() -> None:
        for number in range(10000):
            for image in (1, 2):
                world.write(image, b"%05d" % number)
            if ended.wait(0.01):
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        world.ok(*lines)
    finally:
        ended.set()
        writer.join()
    one, two = (int((tmp_path / f"c{n}").read_bytes()[2 * BLOCK : 2 * BLOCK + 5]) for n in (1, 2))
    assert (abs(one - two) <= 1) is (len(lines) == 1)


def test_single_disks_are_mirrored_and_unmirrored(tmp_path: Path) -> None:
    world = World(tmp_path, "--plain", pairs=1)
    world.ok("mirror disk10000 m1 nopolicy", "set m1 membership=2", "set m1 replace=disk30000", "reduce disk30000")
    assert world.is_same(1)
    world.refused("mirror disk10000 m2", "in use by M1")
    world.ok("unmirror disk10000")
    assert "DISK10000" in world.say("show units")[0]
    assert world.seen()["D101.1"] == (tmp_path / "p1").read_bytes()


# -- what is refused --


def test_replace_wants_no_policy_a_free_place_and_a_line_of_its_own(world: World) -> None:
    world.refused("set mirr1 replace=disk30000", "NOPOLICY")
    world.refused("set mirr1 nopolicy membership=3 replace=disk30000", "no other switch")
    world.ok("set mirr1 nopolicy")
    world.refused("set mirr1 replace=disk30000", "not missing a member")
    world.ok("set mirr1 membership=3")
    world.refused("set mirr1 replace=disk10100", "in use by MIRR2")
    world.refused("set mirr1 replace=disk99999", "not a disk")
    world.control("disk", "DISK40000", f"{world.folder}/small", "8")
    world.refused("set mirr1 replace=disk40000", "smaller")
    world.ok("set mirr1 replace=disk30000")
    world.refused("set mirr1 replace=disk40000", "not missing a member")


def test_membership_stays_above_the_members(world: World) -> None:
    world.refused("set mirr1 membership=1", "has 2 members")
    for count in ("0", "7", "many"):
        world.refused(f"set mirr1 membership={count}", "not a number of members")
    world.refused("set mirr1", "switch is missing")


def test_what_is_refused_is_refused_as_a_whole(world: World) -> None:
    world.refused("set mirr1 nopolicy membership=1", "has 2 members")
    assert "POLICY (for replacement) = BEST_PERFORMANCE" in world.say("show mirr1")[0]


def test_reduce_is_refused_across_units_and_for_the_last_normal_member(tmp_path: Path) -> None:
    world = World(tmp_path, "--units", "each")
    world.ok(*ATTACH)
    world.refused(SPLIT, "same unit")
    world.refused("reduce disk10000 disk20000 disk30000", "no normal member")
    world.refused("reduce disk30000 disk40000", "not a member")
    world.refused("reduce", "missing")
    assert len(world.members()) == 3
    world.ok("reduce disk30000", "reduce disk30100")
    world.refused("reduce disk30000", "not a member")


def test_remove_puts_a_disk_aside_and_a_spare_comes_in(tmp_path: Path) -> None:
    world = World(tmp_path, "--spares", "1", pairs=1)
    world.refused("set mirr1 remove=disk20000 nopolicy", "no other switch")
    world.ok("set mirr1 remove=disk20000")
    assert list(world.members()) == ["DISK10000", "DISK40000"]
    world.refused("add spareset disk20000", "in use by FAILEDSET")
    world.ok("set mirr1 nopolicy", "set mirr1 remove=disk40000")
    assert "MEMBERSHIP = 2, 1 members present" in (shown := world.say("show mirr1")[0])
    assert "REDUCED" in shown
    world.refused("set mirr1 remove=disk10000", "no normal or normalizing")
    world.ok("delete failedset disk20000", "set mirr1 replace=disk20000")


def test_a_policy_eats_the_spare_when_there_is_room(tmp_path: Path) -> None:
    world = World(tmp_path, "--spares", "1", pairs=1)
    world.ok("set mirr1 membership=3")
    assert list(world.members()) == ["DISK10000", "DISK20000", "DISK40000"]


def test_initialize_without_nodestroy_destroys(world: World) -> None:
    world.ok(*ATTACH, SPLIT, *SHOWN[:3])
    world.refused("add unit d205 sc", "not initialized")
    world.refused("initialize mc1 nodestroy", "in use by SC")
    world.refused("initialize stripe1", "in use by D101")
    world.ok("init sc", "add unit d205 sc")
    assert not world.is_same(1)
    assert b"PUT TOGETHER" in world.seen()["D205.1"]


@pytest.mark.parametrize(
    "lines",
    [
        ("add stripeset sc mc2 mc1", "initialize sc nodestroy", "add unit d205 sc"),
        ("initialize mc1 nodestroy", "add unit d205 mc1"),
    ],
)
def test_a_copy_that_is_put_together_in_another_way_is_garbage(world: World, lines: tuple[str, ...]) -> None:
    world.ok(*ATTACH, SPLIT, *SHOWN[:2], *lines)
    assert b"put together" in world.seen()["D205.1"]


def test_a_unit_without_access_is_not_seen(world: World) -> None:
    world.ok("set d101 disable_access_path=all")
    assert world.seen() == {}
    world.ok("set d101 enable=backup write_protect")
    assert set(world.seen()) == {"D101.1", "D101.2"}
    assert "WRITE_PROTECT" in world.say("show d101")[0]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("add unit d101 mirr1", "in use already"),
        ("add unit d7 mirr1", "in use by STRIPE1"),
        ("add unit e7 mirr1", "unit number"),
        ("add unit d7", "missing"),
        ("add mirrorset mirr1 disk30000", "in use already"),
        ("add mirrorset 1m disk30000", "not a name"),
        ("add mirrorset m", "missing"),
        ("add stripeset s mirr1 mirr2", "in use by STRIPE1"),
        ("add stripeset s disk30000", "two or more"),
        ("add raidset r disk30000", "not available"),
        ("delete mirr1", "in use by STRIPE1"),
        ("delete stripe1", "in use by D101"),
        ("delete nothing", "not a unit or container"),
        ("delete spareset disk30000", "not in the SPARESET"),
        ("initialize disk30000 nodestroy", "NODESTROY is for"),
        ("unmirror disk10000", "more than one member"),
        ("run clone", "not available"),
    ],
)
def test_other_refusals(world: World, line: str, text: str) -> None:
    world.refused(line, text)


# -- what goes wrong --


def test_a_disk_breaks_and_one_is_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path, "--policy", "NOPOLICY", pairs=1)
    world.control("break", "DISK20000")
    assert list(world.members()) == ["DISK10000"]
    assert "DISK20000" in world.say("show failedset")[0]
    world.ok("delete disk30000")
    assert "DISK30000" not in world.say("show disks")[0]
    assert world.control("type", "show", "spareset").startswith("Name ")


def test_faults_of_commands(world: World) -> None:
    world.control("fault", "set.membership fail 1", "show word SIDEWAYS", "add busy 1")
    world.refused("set mirr1 membership=3", "could not be carried out")
    world.ok("set mirr1 membership=3")
    world.refused("add stripeset s", "other controller")
    assert world.members() == {"DISK10000": "NORMAL", "DISK20000": "SIDEWAYS"}
    world.control("fault", "show drop")
    assert list(world.members()) == ["DISK10000"]
    world.control("fault", "set lie")
    world.ok("set mirr1 nopolicy")
    world.control("mend")
    assert "NOPOLICY" not in world.say("show mirr1")[0]


def test_half_a_unit_is_reduced(world: World) -> None:
    world.ok(*ATTACH)
    world.control("fault", "reduce half")
    world.refused(SPLIT, "reported a failure")
    assert (len(world.members()), len(world.members("mirr2"))) == (2, 3)


@pytest.mark.parametrize(
    ("fault", "typed", "shown"),
    [
        ("show lost-before", "show d101\r", "CLI> show d101\r\n"),
        ("console taken", "show d101\r", "Connection to the port is in use\r\n"),
        ("console silent", "", ""),
        (
            "console half-line SHOW UN",
            "show d101\r",
            "CLI> SHOW UNshow d101\r\nError 4000: UNSHOW is not a keyword\r\nCLI> ",
        ),
        ("set prompt Password:", "set mirr1 nopolicy\r", "CLI> set mirr1 nopolicy\r\nPassword: "),
        ("set garbage", "set mirr1 nopolicy\r", "CLI> set mirr1 nopolicy\r\n\x11\xee{\r\nCLI> "),
        ("set noise hello", "set mirr1 nopolicy\r", "CLI> set mirr1 nopolicy\r\nhello\r\nCLI> "),
    ],
)
def test_faults_of_the_line(world: World, fault: str, typed: str, shown: str) -> None:
    world.control("fault", fault)
    assert world.call("console", typed=typed) == shown


def test_a_session_is_lost_in_the_middle_and_what_was_done_is_done(world: World) -> None:
    world.ok(*ATTACH)
    world.control("fault", "reduce lost", "show lost")
    assert world.call("console", typed=f"{SPLIT}\rshow units\r") == f"CLI> {SPLIT}\r\n"
    shown = world.call("console", typed="show mirr1\r")
    assert "mirrorset" in shown
    assert not shown.endswith("CLI> ")
    world.control("mend")
    assert len(world.members()) == 2


def test_somebody_else_types_on_the_line(world: World) -> None:
    world.control("fault", "show foreign")
    shown = world.call("console", typed="show mirr1\r")
    assert shown.index("CLI> show mirr1") < shown.index("show units") < shown.index("MIRR1         mirrorset")
    assert shown.count("CLI> ") == 3


def test_a_command_that_hangs_is_done_or_not(world: World) -> None:
    for fault, members in (("set.nothing fail", 2), ("reduce hang", 3), ("reduce hang-after", 2)):
        world.ok(*ATTACH) if members == 3 else None
        world.control("fault", fault)
        env = {"PATH": os.environ["PATH"], "HSG80_EMULATOR_STATE": f"{world.folder}/state"}
        with subprocess.Popen(
            [str(TOOLS / "cmdscript"), SPLIT], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            if fault.startswith("reduce"):
                end = time.monotonic() + 10
                while (f"cmdscript {SPLIT}" not in world.control("log") or len(world.members()) != members) and (
                    time.monotonic() < end
                ):
                    time.sleep(0.05)
                assert process.poll() is None
                process.kill()
            process.communicate()
        assert len(world.members()) == members


def test_a_session_that_is_killed_has_reduced_nothing(world: World) -> None:
    world.ok(*ATTACH)
    world.control("fault", "reduce die")
    env = {"PATH": os.environ["PATH"], "HSG80_EMULATOR_STATE": f"{world.folder}/state"}
    done = subprocess.run([str(TOOLS / "cmdscript"), SPLIT], env=env, capture_output=True)
    assert done.returncode == -9
    assert (len(world.members()), len(world.members("mirr2"))) == (3, 3)


def test_control_tells_of_pairs(world: World) -> None:
    pairs = msgspec.json.decode(world.control("pairs", "erp"))
    assert [(one["unit"], one["mirrorset"], one["disk"]) for one in pairs] == [
        ("D101", "MIRR1", "DISK30000"),
        ("D101", "MIRR2", "DISK30100"),
    ]
    assert world.control("size", "erp").strip() == str(8 * BLOCK)
    world.control("create", "--group", "crm", f"{world.folder}/p1={world.folder}/c9")
    (pair,) = msgspec.json.decode(world.control("pairs", "crm"))
    assert (pair["unit"], pair["mirrorset"], pair["disk"]) == ("D102", "MIRR3", "DISK30200")
