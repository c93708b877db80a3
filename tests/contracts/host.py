"""What every host promises. A host's own test is a subclass that opens it, and says how its link is lost."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.guard.stage import FAMILIES, Stage, eventually, is_alive, pids_in

from splitmirror_drivers.contracts.host import Blocks, Host, Kept, Verb
from splitmirror_drivers.kit.command import OUTPUT_LIMIT_BYTES, Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, ForeignHold, LinkLost, Refused
from splitmirror_drivers.kit.secret import Secret

ODD = (
    "",
    "two words",
    "it's",
    'a "quote"',
    "back\\slash",
    "$(touch x)",
    "`x`",
    "*",
    "-n",
    "ünï",
    " lead",
    "trail ",
    "!",
)
SOON = 20.0
__all__ = ["FAMILIES", "HostContract", "RunContract"]


def soon(seconds: float = SOON) -> Deadline:
    return Deadline.after(seconds)


class HostContract:
    """Verbs, guards and files: what every host does, installed or not. Subclass it with ``open`` and ``lose_link``."""

    def open(self, folder: Path) -> Host:
        """A host on this machine whose guard keeps its records in ``folder/state``, with the families of FAMILIES."""
        raise NotImplementedError

    def lose_link(self, stage: Stage) -> None:
        """End what carries a guard's two ends, without a word to either."""
        raise NotImplementedError

    def may_fetch(self, folder: Path) -> None:
        """Allow files of `folder` to be fetched, where that has to be allowed."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[Host]:
        host = self.open(tmp_path)
        host.families(["witness", "client"])
        yield host
        host.disconnect()

    @pytest.fixture
    def make(self, host: Host, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
        made: list[Stage] = []

        def one(run: str = "run-1", **settings: object) -> Stage:
            made.append(Stage(tmp_path, run=run, host=host, **settings))  # type: ignore[arg-type]
            return made[-1]

        yield one
        for stage in made:
            stage.clean_up()

    # -- calls --

    def test_a_called_verb_gets_its_arguments_and_secret_exactly(self, host: Host) -> None:
        answer = host.call(Verb("witness.echo", ODD, secret=Secret("s3cret'")), soon())
        assert answer.facts["argument"].split("\n") == list(ODD)
        assert answer.facts["secret-length"] == "7"
        assert (answer.exit_code, answer.said) == (5, "said aloud")

    def test_an_unknown_verb_is_an_answer_that_names_it(self, host: Host) -> None:
        answer = host.call(Verb("witness.nothing"), soon())
        assert answer.exit_code == 126
        assert "witness.nothing" in answer.said

    def test_long_facts_and_bytes_that_are_no_text_come_through(self, host: Host) -> None:
        answer = host.call(Verb("witness.odd"), soon())
        assert answer.facts["bytes"] == "a\\xffb"
        assert answer.said == "said \\xff"
        assert answer.facts["long"] == "x" * 300_000

    def test_a_verb_is_ended_at_its_deadline(self, host: Host, tmp_path: Path) -> None:
        host.connect(soon())
        seconds = str(200_000 + os.getpid())
        with pytest.raises(DeadlinePassed):
            host.call(Verb("witness.sleep", (str(tmp_path / "sleeping"), seconds)), soon(1.5))
        pid = int((tmp_path / "sleeping").read_text())
        eventually("the verb is gone", lambda: not is_alive(pid))
        eventually("what it started too", lambda: not pids_in(f"sleep\0{seconds}"))

    def test_a_deadline_that_has_passed_already_is_said(self, host: Host) -> None:
        host.connect(soon())
        with pytest.raises(DeadlinePassed):
            host.call(Verb("host.facts"), soon(0.0))
        assert host.call(Verb("host.facts"), soon()).exit_code == 0

    def test_many_calls_at_once(self, host: Host) -> None:
        host.connect(soon())
        with ThreadPoolExecutor(24) as pool:
            words = [str(number) for number in range(24)]
            answers = pool.map(lambda word: host.call(Verb("witness.echo", (word,)), soon(60)), words)
            assert [answer.facts["argument"] for answer in answers] == words

    def test_built_in_verbs_need_no_family(self, tmp_path: Path) -> None:
        host = self.open(tmp_path)
        facts = host.call(Verb("host.facts"), soon()).facts
        host.disconnect()
        assert facts["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert facts["folder"] == str(tmp_path / "state")

    def test_a_family_that_is_named_later_is_there(self, tmp_path: Path) -> None:
        host = self.open(tmp_path)
        host.call(Verb("host.facts"), soon())
        host.families(["witness"])
        host.connect(soon())
        assert host.call(Verb("witness.echo"), soon()).exit_code == 5
        host.disconnect()

    # -- files --

    def test_fetch_brings_bytes_and_keeps_its_limit(self, host: Host, tmp_path: Path) -> None:
        self.may_fetch(tmp_path)
        content = bytes(range(256)) * 4000
        file = tmp_path / "odd 'name"
        file.write_bytes(content)
        assert host.fetch(str(file), 2_000_000, soon()) == content
        with pytest.raises(CommandFailed, match="cannot be fetched") as caught:
            host.fetch(str(file), 100, soon())
        assert "more than 100" in caught.value.detail
        with pytest.raises(CommandFailed, match="cannot be fetched"):
            host.fetch(str(tmp_path / "absent"), 100, soon())

    # -- connections --

    def test_a_call_after_disconnect_connects_anew(self, host: Host) -> None:
        host.disconnect()
        assert host.call(Verb("host.facts"), soon()).exit_code == 0
        host.disconnect()
        host.disconnect()
        host.connect(soon())
        host.connect(soon())
        assert host.call(Verb("host.facts"), soon()).exit_code == 0

    # -- guards --

    def test_a_guard_holds_and_releases(self, make: Callable[..., Stage]) -> None:
        stage = make()
        stage.add("db", family="client")
        stage.add("bk", blocks=Blocks.NOTHING)
        stage.add("fs")
        stage.start()
        stage.open()
        stage.send("watch blocking 300")
        stage.expect("watching")
        stage.take("bk", "db")
        stage.send("hold fs 10")
        assert stage.expect("held", "fs").facts == {"position": "17 of log 3", "files": "a\nb"}
        assert all(stage.is_held(hold.name) for hold in stage.holds)
        stage.send("release")
        assert [stage.expect("released", name).kept for name in ("fs", "db")] == [Kept.WAS_HELD] * 2
        stage.send("leave bk good 5")
        assert stage.expect("left", "bk").kept is Kept.WAS_HELD
        stage.send("bye")
        stage.expect("bye")
        stage.expect("link-lost")
        with pytest.raises(LinkLost):
            stage.send("beat")
        stage.leaves_no_guard()

    def test_a_closed_guard_lets_go(self, make: Callable[..., Stage]) -> None:
        stage = make()
        stage.add("db", family="client")
        stage.add("fs")
        stage.start()
        stage.open()
        stage.take()
        stage.close()
        stage.close()
        eventually("let go", lambda: not stage.is_held("fs") and not stage.is_held("db"), 3.0)
        assert stage.expect("released", "fs").kept is Kept.WAS_HELD
        with pytest.raises(LinkLost):
            stage.send("release")
        stage.leaves_no_guard()

    def test_a_lost_link_is_told_and_lets_go(self, make: Callable[..., Stage]) -> None:
        stage = make()
        stage.add("db", family="client")
        stage.add("fs")
        stage.start()
        stage.open()
        stage.take()
        self.lose_link(stage)
        stage.expect("link-lost")
        with pytest.raises(LinkLost):
            stage.send("release")
        eventually("let go", lambda: not stage.is_held("fs") and not stage.is_held("db"), 3.0)
        stage.leaves_no_guard()

    def test_two_guards_and_calls_beside_them(self, host: Host, make: Callable[..., Stage]) -> None:
        one, two = make("run-1"), make("run-2")
        for stage, name in ((one, "a"), (two, "b")):
            stage.add(name)
            stage.start()
            stage.open()
            stage.take()
        assert host.call(Verb("witness.echo", ("x",)), soon()).facts["argument"] == "x"
        one.close()
        eventually("one let go", lambda: not one.is_held("a"), 3.0)
        assert two.is_held("b")

    def test_what_another_backup_server_claims_is_refused(self, make: Callable[..., Stage]) -> None:
        first, second = make("run-1"), make("run-2", owner="backup2")
        for stage in (first, second):
            stage.add("erp", claim="postgresql:/run/pg 1")
        first.start()
        with pytest.raises(ForeignHold, match="claimed by backup server backup1"):
            second.start()

    def test_a_second_guard_of_a_run_is_refused_with_its_reason(self, make: Callable[..., Stage]) -> None:
        make().start()
        with pytest.raises(Refused) as caught:
            make().start()
        assert "has a guard" in caught.value.detail


class RunContract(HostContract):
    """Commands as well: a host whose guard is sent."""

    def test_exit_code_and_both_streams(self, host: Host) -> None:
        done = host.run(Command(("sh", "-c", "echo out; echo err >&2; exit 3")), soon())
        assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")

    def test_arguments_input_and_environment_arrive_exactly(self, host: Host) -> None:
        done = host.run(Command(("printf", "<%s>", *ODD)), soon())
        assert done.stdout == "".join(f"<{word}>" for word in ODD)
        for given in ("", "no end", "an end\n", "it's\n\n $HOME `x`\n"):
            assert host.run(Command(("cat",), stdin=given), soon()).stdout == given
        order = Command(("sh", "-c", 'echo "$A-$B"'), environment={"A": "it's"}, secret_environment={"B": "$x \\y"})
        assert host.run(order, soon()).stdout == "it's-$x \\y\n"

    def test_nothing_secret_is_in_a_process_list(self, host: Host, tmp_path: Path) -> None:
        mark = tmp_path / "running"
        order = Command(("sh", "-c", 'echo x >"$1"; sleep 1000', "sh", str(mark)), secret_environment={"B": "s3cretX"})
        host.connect(soon())
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(host.run, order, soon(3.0))
            eventually("it runs", mark.exists)
            assert pids_in("s3cretX") == []
            assert isinstance(running.exception(), DeadlinePassed)

    def test_more_output_than_is_kept_ends_well(self, host: Host) -> None:
        script = f"yes line | head -c {OUTPUT_LIMIT_BYTES + 2**20}; yes err | head -c {2**20} >&2; echo last"
        done = host.run(Command(("sh", "-c", script)), soon(60))
        assert done.exit_code == 0
        assert len(done.stdout) == OUTPUT_LIMIT_BYTES
        assert done.stdout.endswith("\nlast\n")
        assert len(done.stderr) == 2**20

    def test_output_that_is_no_text_is_kept_as_escapes(self, host: Host) -> None:
        done = host.run(Command(("printf", "a\\377\\000b\\n")), soon())
        assert done.stdout == "a\\xff\x00b\n"

    def test_a_command_is_ended_at_its_deadline_with_all_below_it(self, host: Host, tmp_path: Path) -> None:
        mark = tmp_path / "pid"
        host.connect(soon())
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            host.run(Command(("sh", "-c", 'sleep 1000 & echo "$$ $!" >"$1"; wait', "sh", str(mark))), soon(1.5))
        assert time.monotonic() - began < 5.0
        pids = [int(word) for word in mark.read_text().split()]
        eventually("the command and what it started are gone", lambda: not any(map(is_alive, pids)))

    def test_a_command_for_which_no_time_is_left_is_not_started(self, host: Host, tmp_path: Path) -> None:
        host.connect(soon())
        with pytest.raises(DeadlinePassed, match="no time was left for touch"):
            host.run(Command(("touch", str(tmp_path / "begun"))), soon(0.0))
        assert host.run(Command(("true",)), soon()).exit_code == 0
        assert not (tmp_path / "begun").exists()

    def test_commands_that_stand_by_run_as_any_other_and_end_with_the_connection(
        self, host: Host, tmp_path: Path
    ) -> None:
        host.connect(soon())
        host.stand_by(12, soon())
        for number in range(3):
            done = host.run(Command(("sh", "-c", "cat; exit 4"), stdin=f"{number}"), soon())
            assert (done.exit_code, done.stdout) == (4, str(number))
        host.disconnect()
        eventually("nothing stands by any more", lambda: not pids_in(f"{tmp_path}/state/lib"))
        assert host.run(Command(("echo", "on")), soon()).stdout == "on\n"

    def test_a_command_that_is_not_there_is_a_failure(self, host: Host) -> None:
        with pytest.raises(CommandFailed):
            host.run(Command(("no-such-command-anywhere",)), soon()).require("it")

    def test_what_a_command_makes_has_the_logins_umask(self, host: Host, tmp_path: Path) -> None:
        """The guard's own files are private; a mount point that a command makes is not the guard's."""
        before = os.umask(0o022)
        try:
            host.run(Command(("mkdir", str(tmp_path / "made"))), soon()).require("mkdir")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o755
