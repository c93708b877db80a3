"""What every application promises. A driver's own test is a subclass of ``ApplicationContract`` that hands over an ``AppStage``.

Its holds are held by the real guard on this machine. What a stage cannot do it leaves as it is here, and the tests that
need it are skipped by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from tests.faults.guard.stage import Stage, eventually

from splitmirror_drivers.contracts.application import Application, Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Blocks, EndsWith, Hold, Host, Kept, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, ForeignHold

PATIENCE_SECONDS = 30.0


def soon() -> Deadline:
    return Deadline.after(PATIENCE_SECONDS)


class AppStage:
    """One application that runs, and a guard's folder of its own."""

    def __init__(self, folder: Path, shell: str = "dash") -> None:
        self.folder = folder
        place = folder / "guard"
        place.mkdir()
        self.guard = Stage(place, shell)

    @property
    def host(self) -> Host:
        return self.guard.the_host()

    def application(self) -> Application:
        """A new driver object, on ``host``."""
        raise NotImplementedError

    def is_held(self) -> bool:
        """Whether the application is in its held state, asked past the driver."""
        raise NotImplementedError

    def foreign(self) -> contextlib.AbstractContextManager[None]:
        """Somebody else holds it while this lasts."""
        pytest.skip("does not apply: this application cannot be held by two")

    def let_go(self) -> None:
        """Somebody else ends our hold."""
        pytest.skip("does not apply: nobody else can end this hold")

    def stop(self) -> None:
        """The application does not run any more."""
        pytest.skip("does not apply: this application has nothing that could be stopped")

    def close(self) -> None:
        """Leave nothing behind; called after the guard is gone."""


class ApplicationContract:
    """Subclass it, with ``make``."""

    def make(self, folder: Path) -> AppStage:
        """A stage that keeps everything in `folder`."""
        raise NotImplementedError

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AppStage]:
        stage = self.make(tmp_path)
        stage.host.families(stage.application().families)
        yield stage
        stage.guard.clean_up()
        stage.close()

    @pytest.fixture
    def held(self, stage: AppStage) -> AppStage:
        """Its guard holds all its holds."""
        self.start(stage)
        stage.guard.take()
        return stage

    def holds(self, stage: AppStage) -> tuple[Hold, ...]:
        app = stage.application()
        holds = app.holds(app.check(soon()))
        if not holds:
            pytest.skip("does not apply: this application is not held")
        return holds

    def start(self, stage: AppStage) -> None:
        stage.guard.holds += self.holds(stage)
        stage.guard.start()
        stage.guard.open()
        stage.guard.send("warm")
        for hold in stage.guard.holds:
            stage.guard.expect("warmed", hold.name)

    def end(self, stage: AppStage, verdict: str = "good") -> dict[str, str]:
        """Release what blocks, leave the rest; every hold must be proven. The facts of the end."""
        facts: dict[str, str] = {}
        stage.guard.send("release")
        for hold in reversed(stage.guard.holds):
            if hold.blocks is Blocks.NOTHING:
                stage.guard.send(f"leave {hold.name} {verdict} 30")
            message = stage.guard.expect("left" if hold.blocks is Blocks.NOTHING else "released", hold.name)
            assert message.kept is Kept.WAS_HELD
            facts |= message.facts
        return facts

    # -- check --

    def test_check_changes_nothing_and_says_the_same_twice(self, stage: AppStage) -> None:
        first = stage.application().check(soon())
        assert stage.application().check(soon()) == first
        assert not stage.is_held()

    def test_check_names_files_that_exist(self, stage: AppStage) -> None:
        facts = stage.application().check(soon())
        assert isinstance(facts, Facts)
        assert facts.files
        named = (*facts.files, *facts.log_files)
        assert all(path.startswith("/") for path in named)
        answer = stage.host.call(Verb("host.coverage", named), soon())
        assert answer.exit_code == 0
        assert not answer.lines("missing")
        assert len(answer.lines("covers")) == len(named)

    def test_facts_are_text(self, stage: AppStage) -> None:
        facts = stage.application().check(soon())
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in facts.values.items())
        assert all(isinstance(text, str) and text for text in facts.warnings)

    def test_an_application_that_does_not_run_is_refused(self, stage: AppStage) -> None:
        stage.stop()
        with pytest.raises(Fault) as caught:
            stage.application().check(soon())
        assert stage.application().name in str(caught.value)

    # -- holds --

    def test_holds_are_named_and_typed(self, stage: AppStage) -> None:
        app = stage.application()
        facts = app.check(soon())
        holds = app.holds(facts)
        assert holds == app.holds(facts)
        if not holds:
            assert facts.needs_atomic, "an application that is not held needs one moment"
        assert len({hold.name for hold in holds}) == len(holds)
        for hold in holds:
            assert hold.name == app.name or hold.name.startswith(f"{app.name}.")
            assert not set(hold.name) & set(" \t/")
            assert hold.family in app.families
            assert files("splitmirror_drivers.applications").joinpath(f"{hold.family}.sh").is_file()
            assert isinstance(hold.blocks, Blocks)
            assert isinstance(hold.ends_with, EndsWith)
            assert hold.enter_seconds > 0
            assert hold.leave_seconds > 0
            assert all(isinstance(word, str) and "\n" not in word for word in hold.arguments)

    def test_opening_and_warming_hold_nothing(self, stage: AppStage) -> None:
        self.start(stage)
        assert not stage.is_held()

    def test_a_hold_is_held_and_its_end_is_proven(self, held: AppStage) -> None:
        assert held.is_held()
        self.end(held)
        assert not held.is_held()

    def test_a_lost_link_ends_every_hold(self, held: AppStage) -> None:
        held.guard.close()
        eventually("nothing is held", lambda: not held.is_held())
        held.guard.leaves_nothing_behind()

    def test_a_hold_ended_by_somebody_else_is_not_proven(self, held: AppStage) -> None:
        held.let_go()
        top = held.guard.holds[-1]
        held.guard.send("release" if top.blocks is not Blocks.NOTHING else f"leave {top.name} good 30")
        kind = "left" if top.blocks is Blocks.NOTHING else "released"
        assert held.guard.expect(kind, top.name).kept is not Kept.WAS_HELD

    def test_what_somebody_else_holds_is_refused_and_left_alone(self, stage: AppStage) -> None:
        holds = self.holds(stage)
        with stage.foreign():
            with contextlib.suppress(ForeignHold):
                stage.application().check(soon())
            stage.guard.holds += holds
            stage.guard.start()
            stage.guard.open()
            for hold in holds:
                stage.guard.send(f"hold {hold.name} 10")
            stage.guard.expect("failed")
            stage.guard.close()
            stage.guard.leaves_nothing_behind()
            assert stage.is_held(), "somebody else's hold was ended"

    # -- capture --

    def test_capture_says_how_to_recover(self, held: AppStage) -> None:
        facts: dict[str, str] = {}
        facts |= self.end(held)
        captured = held.application().capture(facts, Verdict.APPLICATION, soon())
        assert isinstance(captured, Captured)
        assert captured.steps
        assert all(step.strip() for step in captured.steps)
        assert all(isinstance(content, bytes) and not name.startswith("/") for name, content in captured.files.items())
        assert all(isinstance(value, str) for value in captured.facts.values())
