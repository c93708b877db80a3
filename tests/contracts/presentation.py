"""What every presentation promises, on a real host. A driver's own test is a subclass that sets the stage; nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.lab.disks import opened

from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presentation, Presented
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, Fault, InUse, Refused

RUN = "erp-20261124-220000-1"
SECONDS = 60.0


@dataclass
class Shown:
    """A presentation with a copy for it. `inside`: a file of the copy below the path, or "" where the path itself is read."""

    presentation: Presentation
    exposed: Exposed
    inside: str
    is_frozen: bool = True

    @property
    def path(self) -> Path:
        return Path(self.presentation.path)

    @property
    def intent(self) -> Presented:
        return self.presentation.intend(self.exposed, RUN, is_frozen=self.is_frozen)

    def present(self) -> Presented:
        intent = self.intent
        self.presentation.present(intent, soon())
        self.presentation.verify(intent, soon())
        return intent

    def withdraw(self) -> None:
        self.presentation.withdraw(self.intent, soon())

    @contextlib.contextmanager
    def in_use(self) -> Iterator[int]:
        """Somebody reads the copy; the pid."""
        with opened(self.path / self.inside if self.inside else self.path) as pid:
            yield pid


def soon() -> Deadline:
    return Deadline.after(SECONDS)


class PresentationContract:
    """Subclass it with a fixture ``shown``."""

    def test_check_passes_where_the_path_is_free_and_changes_nothing(self, shown: Shown) -> None:
        shown.presentation.check(soon())
        assert not shown.path.exists()

    def test_check_refuses_what_somebody_else_has_put_at_the_path(self, shown: Shown) -> None:
        shown.path.mkdir()
        (shown.path / "notes").write_text("mine")
        with pytest.raises(Refused, match=str(shown.path)):
            shown.presentation.check(soon())
        assert (shown.path / "notes").read_text() == "mine"

    def test_check_refuses_a_missing_folder_above(self, shown: Shown) -> None:
        shown.path.parent.rename(shown.path.parent.with_name("elsewhere"))
        with pytest.raises(Refused, match=str(shown.path.parent)):
            shown.presentation.check(soon())

    def test_check_refuses_a_folder_above_that_anybody_may_write_to(self, shown: Shown) -> None:
        shown.path.parent.chmod(0o777)
        with pytest.raises(Refused, match=str(shown.path.parent)):
            shown.presentation.check(soon())
        shown.path.parent.chmod(0o1777)
        shown.presentation.check(soon())

    def test_intent_is_decided_before_the_act_and_survives_the_journal(self, shown: Shown) -> None:
        intent = shown.intent
        again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(intent))), Presented)
        assert again == intent
        assert not shown.path.exists()
        shown.presentation.present(again, soon())
        shown.presentation.verify(again, soon())
        shown.presentation.withdraw(again, soon())

    def test_copy_on_another_host_is_refused(self, shown: Shown) -> None:
        elsewhere = Exposed(shown.exposed.kind, shown.exposed.paths, "another-host")
        with pytest.raises(Refused, match="another-host"):
            shown.presentation.intend(elsewhere, RUN, is_frozen=True)

    def test_presented_copy_is_seen_and_nobody_uses_it(self, shown: Shown) -> None:
        intent = shown.present()
        assert (shown.path / shown.inside).exists()
        assert shown.presentation.users(intent, soon()) == ()

    def test_presenting_twice_is_presenting_once(self, shown: Shown) -> None:
        shown.present()
        shown.present()
        shown.withdraw()
        assert not shown.path.exists()

    def test_nothing_is_verified_before_it_is_presented(self, shown: Shown) -> None:
        with pytest.raises(Refused):
            shown.presentation.verify(shown.intent, soon())

    def test_withdraw_leaves_an_absent_path_and_may_be_repeated(self, shown: Shown) -> None:
        shown.present()
        shown.withdraw()
        assert not shown.path.exists()
        shown.withdraw()
        shown.presentation.check(soon())

    def test_withdraw_of_what_was_intended_and_never_begun_does_nothing(self, shown: Shown) -> None:
        shown.withdraw()
        assert not shown.path.exists()

    def test_copy_can_be_presented_again_after_it_was_withdrawn(self, shown: Shown) -> None:
        shown.present()
        shown.withdraw()
        shown.present()
        shown.withdraw()

    def test_withdraw_names_who_reads_the_copy_and_takes_nothing_away(self, shown: Shown) -> None:
        intent = shown.present()
        with shown.in_use() as pid:
            assert pid in {user.pid for user in shown.presentation.users(intent, soon())}
            with pytest.raises(InUse, match=f"pid {pid}"):
                shown.withdraw()
            shown.presentation.verify(intent, soon())
        shown.withdraw()
        assert not shown.path.exists()

    def test_what_came_in_the_way_since_check_is_left_alone(self, shown: Shown) -> None:
        shown.presentation.check(soon())
        shown.path.mkdir()
        (shown.path / "notes").write_text("mine")
        with pytest.raises(Refused, match=str(shown.path)):
            shown.presentation.present(shown.intent, soon())
        with contextlib.suppress(Refused):  # to say that it is still there is allowed; to touch it is not
            shown.withdraw()
        assert (shown.path / "notes").read_text() == "mine"

    def test_absent_copy_is_a_fault_and_an_absent_path(self, shown: Shown) -> None:
        gone = Exposed(shown.exposed.kind, (f"{shown.path.parent}/no-such-copy",), shown.exposed.host)
        intent = shown.presentation.intend(gone, RUN, is_frozen=True)
        with pytest.raises((Refused, DeadlinePassed), match="no-such-copy"):
            shown.presentation.present(intent, Deadline.after(6.0))
        shown.presentation.withdraw(intent, soon())
        assert not shown.path.exists()

    def test_plan_says_what_would_be_done_and_how_it_is_taken_back(self, shown: Shown) -> None:
        for exposed in (None, shown.exposed):
            actions = shown.presentation.actions(exposed)
            assert actions
            assert all(str(shown.path) in action.what + action.undo for action in actions)

    def test_faults_say_what_to_do(self, shown: Shown) -> None:
        shown.path.mkdir()
        (shown.path / "notes").write_text("mine")
        with pytest.raises(Fault) as caught:
            shown.presentation.check(soon())
        assert caught.value.hint
