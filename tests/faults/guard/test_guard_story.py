"""What a guard does when nothing goes wrong, and what its record says, in every shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults.guard.conftest import MakeStage
from tests.faults.guard.stage import eventually, pids_in

from splitmirror_drivers.contracts.host import Blocks, Kept, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, ForeignHold, LinkLost, Refused
from splitmirror_drivers.kit.secret import Secret


def test_release_unwinds_from_the_top_and_proves_each_hold(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("db", family="client")
    stage.add("backup", blocks=Blocks.NOTHING)
    stage.add("fs1")
    stage.add("fs2")
    stage.start()
    stage.open()
    stage.send("warm")
    stage.expect("warmed", "fs1")
    stage.send("watch blocking 100")
    assert stage.expect("watching").words[0] == "blocking"
    stage.take("backup", "db", "fs1")
    stage.send("hold fs2 10")
    held = stage.expect("held", "fs2")
    assert held.facts == {"position": "17 of log 3", "files": "a\nb"}
    assert all(stage.is_held(hold.name) for hold in stage.holds)
    assert (stage.record("fs2") / "taken").exists()
    stage.send("release")
    assert {name: stage.expect("released", name).kept for name in ("fs2", "fs1", "db")} == dict.fromkeys(
        ("fs2", "fs1", "db"), Kept.WAS_HELD
    )
    assert stage.is_held("backup"), "release ends what blocks, nothing else"
    stage.send("leave backup good 5")
    assert stage.expect("left", "backup").kept is Kept.WAS_HELD
    stage.send("bye")
    stage.expect("bye")
    stage.expect("link-lost")
    assert [line for line in stage.log() if "leave" in line] == [
        "fs2 leave good",
        "fs1 leave good",
        "backup leave good",
    ]
    assert stage.ended("fs2") == "WAS_HELD hand"
    stage.leaves_nothing_behind()


def test_a_hold_that_was_ended_by_somebody_else_is_not_called_held(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("db", family="client")
    stage.add("fs")
    stage.start()
    stage.open()
    stage.take()
    (stage.folder / "fs" / "held").rmdir()
    client = int((stage.record("db") / "dir" / "client.pid").read_text().split()[0])
    stage.signal(stage_signal("SIGKILL"), client)
    eventually("client gone", lambda: not stage.is_held("db"))
    stage.send("release")
    assert stage.expect("released", "fs").kept is Kept.WAS_NOT_HELD
    assert stage.expect("released", "db").kept is Kept.WAS_NOT_HELD


def stage_signal(name: str):  # type: ignore[no-untyped-def]
    import signal

    return signal.Signals[name]


def test_a_failed_open_and_a_failed_enter_say_so_and_own_nothing(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("good")
    stage.add("closed", "open-fails")
    stage.add("refusing", "fails")
    stage.start()
    stage.send("open")
    failed = stage.expect("failed", "closed")
    assert (failed.words, failed.said) == (("open", "7"), "no such instance")
    stage.send("hold refusing 10")
    failed = stage.expect("failed", "refusing")
    assert (failed.words, failed.said) == (("enter", "9"), "cannot, says the server")
    assert "refusing rescue no" in stage.log(), "an enter that failed by itself took nothing that is ours"
    stage.send("hold closed 10")
    assert stage.expect("failed", "closed").words == ("enter", "125")
    stage.send("hold nobody 10")
    assert stage.expect("failed", "nobody").words == ("enter", "125")
    stage.take("good")
    stage.send("bye")
    stage.expect("bye")
    assert not stage.is_held("good"), "bye rescues what is left"
    stage.leaves_nothing_behind()


def test_called_verbs_get_arguments_and_secrets_exactly(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("unused")
    host = stage.the_host()
    host.families(["witness"])
    odd = ("", "two words", "it's", 'a "quote"', "back\\slash", "$(touch x)", "*", "-n", "ünï", " lead", "trail ")
    answer = host.call(Verb("witness.echo", odd, secret=Secret("s3cret'")), Deadline.after(10))
    assert answer.facts["argument"].split("\n") == list(odd)
    assert answer.facts["secret-length"] == "7"
    assert (answer.exit_code, answer.said) == (5, "said aloud")
    assert not any(stage.state.joinpath("calls").iterdir())


def test_an_unknown_verb_is_refused_by_name(shell: str, stages: MakeStage) -> None:
    host = stages(shell).the_host()
    answer = host.call(Verb("witness.nothing"), Deadline.after(10))
    assert answer.exit_code == 126
    assert "has no verb witness.nothing" in answer.said


def test_a_verb_is_ended_at_its_deadline(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    host = stage.the_host()
    host.families(["witness"])
    mark, seconds = stage.folder / "sleeping", str(100_000 + os.getpid())
    with pytest.raises(DeadlinePassed):
        host.call(Verb("witness.sleep", (str(mark), seconds)), Deadline.after(1.0))
    assert mark.exists()
    stage.leaves_nothing_behind()
    eventually("its sleep is gone too", lambda: not pids_in(f"sleep\0{seconds}"))


def test_fetch_brings_bytes_and_keeps_its_limit(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    host = stage.the_host()
    content = bytes(range(256)) * 40
    file = stage.folder / "odd 'name"
    file.write_bytes(content)
    assert host.fetch(str(file), 20_000, Deadline.after(10)) == content
    with pytest.raises(CommandFailed, match="cannot be fetched") as caught:
        host.fetch(str(file), 100, Deadline.after(10))
    assert "more than 100" in caught.value.detail
    with pytest.raises(CommandFailed):
        host.fetch(str(stage.folder / "absent"), 100, Deadline.after(10))


def test_coverage_names_mount_device_and_type_of_each_path(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    (stage.folder / "link").symlink_to(stage.folder)
    answer = stage.the_host().call(
        Verb("host.coverage", (str(stage.folder / "link"), str(stage.folder / "absent"), "/proc")), Deadline.after(10)
    )
    first, second = answer.lines("covers")
    real, point, _device, kind = first.split("\t")
    assert real == str(stage.folder.resolve())
    assert Path(point).is_mount()
    assert kind
    assert second.split("\t") == ["/proc", "/proc", "proc", "proc"]
    assert answer.facts["missing"] == str(stage.folder / "absent")


def test_facts_of_a_host_name_a_proven_way_to_detach(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    facts = stage.the_host().call(Verb("host.facts"), Deadline.after(20)).facts
    assert facts["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts["folder"] == str(stage.state)
    assert facts["shell"] == shell
    assert facts["detach"] in ("systemd-run", "setsid", "perl", "python3", "at", "nohup")


def test_a_claim_of_another_backup_server_is_refused_while_its_guard_lives(shell: str, stages: MakeStage) -> None:
    first = stages(shell)
    first.add("erp", claim="postgresql:/run/pg 1")
    first.start()
    second = stages(shell, run="run-2", owner="backup2")
    second.add("erp", claim="postgresql:/run/pg 1")
    with pytest.raises(ForeignHold, match=r"claimed by backup server backup1 \(run run-1, taken \d+ s ago\)"):
        second.start()
    assert not (second.state / "runs" / "run-2").exists()
    first.signal(stage_signal("SIGKILL"), first.ear())
    eventually("first guard gone", lambda: not first.guard_pids())
    second.start()
    second.send("bye")
    second.expect("bye")
    assert not any((second.state / "claims").iterdir())


def test_two_runs_side_by_side_do_not_touch_each_other(shell: str, stages: MakeStage) -> None:
    one, two = stages(shell, run="run-1"), stages(shell, name="other", run="run-2")
    for stage, claim in ((one, "a"), (two, "b")):
        stage.add(f"fs-{claim}", claim=claim)
        stage.start()
        stage.open()
        stage.take()
    one.close()
    eventually("one's hold rescued", lambda: not one.is_held("fs-a"))
    assert two.is_held("fs-b")
    two.send("release")
    assert two.expect("released").kept is Kept.WAS_HELD


def test_a_run_that_still_has_a_guard_gets_no_second_one(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("fs")
    stage.start()
    with pytest.raises(Refused) as caught:
        stages(shell).start()
    assert "has a guard" in caught.value.detail


def test_records_are_told_rescued_and_forgotten(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("bk", blocks=Blocks.NOTHING)
    stage.add("fs")
    stage.start()
    stage.open()
    stage.take()
    host = stage.the_host()
    stage.signal(stage_signal("SIGSTOP"), *stage.guard_pids())
    rows = [line.split("\t") for line in host.call(Verb("host.records"), Deadline.after(10)).lines("hold")]
    assert [row[:5] for row in rows] == [
        ["run-1", "backup1", "bk", "witness", "taken"],
        ["run-1", "backup1", "fs", "witness", "taken"],
    ]
    refused = host.call(Verb("host.forget", ("run-1",)), Deadline.after(10))
    assert refused.exit_code == 1
    assert (stage.state / "runs" / "run-1").exists()
    rescued = host.call(Verb("host.rescue", ("run-1",)), Deadline.after(10))
    assert rescued.lines("rescued") == ("fs\t0", "bk\t0")
    assert stage.ended("fs") == "WAS_HELD recover"
    assert not stage.is_held("fs")
    stage.signal(stage_signal("SIGKILL"), *stage.guard_pids())
    eventually("guard gone", lambda: not stage.guard_pids())
    assert host.call(Verb("host.forget", ("run-1",)), Deadline.after(10)).exit_code == 0
    assert not (stage.state / "runs" / "run-1").exists()


def test_a_guard_that_is_gone_takes_no_orders(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    stage.add("fs")
    stage.start()
    stage.signal(stage_signal("SIGKILL"), stage.ear())
    stage.expect("link-lost")
    with pytest.raises(LinkLost):
        stage.send("beat")
