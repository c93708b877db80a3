"""P5 and claims: what a guard's record may be read to own, and who may touch an instance that a run has."""

from __future__ import annotations

import signal

import pytest
from tests.faults.guard.conftest import MakeStage
from tests.faults.guard.stage import Stage, eventually

from splitmirror_drivers.contracts.host import Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import ForeignHold

CLAIM = "postgresql:/run/pg 1"


def left_at_taking(stage: Stage) -> None:
    """An enter that failed by itself since somebody else holds it, and a rescue that could not say how that ended."""
    stage.add("fs", "not-ours")
    stage.start()
    stage.open()
    (stage.folder / "fs" / "held").mkdir()  # somebody else's
    stage.send("hold fs 10")
    stage.expect("failed", "fs")
    stage.signal(signal.SIGKILL, stage.ear(), stage.hand("fs"))
    eventually("the guard is gone", lambda: not stage.guard_pids())


def test_what_an_enter_that_failed_by_itself_left_is_never_ended_by_the_record(shell: str, stages: MakeStage) -> None:
    stage = stages(shell)
    left_at_taking(stage)
    assert (stage.record("fs") / "taking").exists()
    assert stage.ended("fs") == ""
    stage.the_host().call(Verb("host.rescue", ("run-1",)), Deadline.after(10))
    assert stage.is_held("fs")
    assert "fs rescue yes" not in stage.log()


def test_a_claim_of_another_run_of_this_server_is_refused_while_its_guard_lives(shell: str, stages: MakeStage) -> None:
    """Two policies may know one instance by two names, so that the journal's claims do not meet."""
    first = stages(shell)
    first.add("erp", claim=CLAIM)
    first.start()
    second = stages(shell, run="run-2")
    second.add("sales", claim=CLAIM)
    with pytest.raises(ForeignHold, match=r"claimed by another run \(run run-1, taken \d+ s ago\)"):
        second.start()
    first.send("bye")
    first.expect("bye")
    second.start()
    second.send("bye")
    second.expect("bye")
    assert not any((second.state / "claims").iterdir())


def test_a_claim_that_a_dead_run_of_this_server_left_is_taken_over(shell: str, stages: MakeStage) -> None:
    first = stages(shell)
    first.add("erp", claim=CLAIM)
    first.start()
    first.signal(signal.SIGKILL, *first.guard_pids())
    eventually("first guard gone", lambda: not first.guard_pids())
    assert any((first.state / "claims").iterdir())
    second = stages(shell, run="run-2")
    second.add("erp", claim=CLAIM)
    second.start()
    second.send("bye")
    second.expect("bye")
    assert not any((second.state / "claims").iterdir())


def test_a_guard_whose_run_is_rescued_goes_and_frees_its_claims(shell: str, stages: MakeStage) -> None:
    """Its link may be cut silently: it waits for an end of file that nobody sends any more."""
    stage = stages(shell)
    stage.add("erp", claim=CLAIM)
    stage.start()
    stage.open()
    stage.take("erp")
    rescued = stage.the_host().call(Verb("host.rescue", ("run-1",)), Deadline.after(15))
    assert rescued.exit_code == 0
    assert not stage.is_held("erp")
    eventually("the guard is gone", lambda: not stage.guard_pids())
    assert not any((stage.state / "claims").iterdir())
