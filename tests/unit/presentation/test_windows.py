"""A place on a Windows host: free before, there and write-protected after; every other number is an error."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from tests.unit.presentation.recorded import RecordedHost

from splitmirror_drivers import catalogue
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, Fault, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation.windows import Options, Windows

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
COPY = Exposed("tree", ("P:\\", "Q:\\"), "db1")


@dataclass
class Codes(RecordedHost):
    """A host that answers one question after another with these exit codes; it keeps the questions as they were meant."""

    codes: Iterator[int] = field(default_factory=lambda: iter(()))
    questions: list[str] = field(default_factory=list)

    def run(self, command: Command, deadline: Deadline) -> Completed:
        *argv, encoded = command.argv
        assert argv == ["powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand"]
        self.questions.append(base64.b64decode(encoded).decode("utf-16-le"))
        assert len(encoded) < 8191 - 100, "longer than a command line may be"
        return Completed(command.argv, next(self.codes), "", "", 0.0)


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


def at(path: str, *codes: int) -> tuple[Windows, Codes]:
    host = Codes(codes=iter(codes))
    return Windows.from_options(path, Options(drive=path), host, CONTEXT), host


def intent(path: str = "P:") -> Presented:
    return Presented("windows", path, COPY, {"run": "erp-20261124-220000-1"})


@pytest.mark.parametrize(
    "drive", ["", "P", "PP:", "/backup", r"\\server\share", r"C:\with blank", r"C:\it's", "C:\\mnt\\"]
)
def test_place_that_is_none_of_windows_is_a_fault_of_the_policy(drive: str) -> None:
    with pytest.raises(PolicyFault):
        Windows.from_options(drive, Options(drive=drive), RecordedHost(), CONTEXT)


def test_catalogue_makes_it() -> None:
    driver = catalogue.PRESENTATIONS["windows"]()
    options = msgspec.convert({"drive": "P:"}, driver.options)
    assert driver.make("P:", options, RecordedHost(), CONTEXT).driver == "windows"


def test_place_must_be_free_before() -> None:
    windows, host = at("P:", 2)
    windows.check(soon())
    assert "[IO.Directory]::Exists('P:\\')" in host.questions[0]
    windows, _ = at("P:", 0)
    with pytest.raises(Refused, match="P:") as caught:
        windows.check(soon())
    assert caught.value.hint


def test_array_must_show_the_copy_at_this_place_of_this_host() -> None:
    for path in ("p:", "Q:\\"):
        windows, _ = at(path)
        assert windows.intend(COPY, "run-1", is_frozen=False).data == {"run": "run-1"}
    windows, _ = at("R:")
    with pytest.raises(Refused, match="R:"):
        windows.intend(COPY, "run-1", is_frozen=False)
    windows, _ = at("P:")
    with pytest.raises(Refused, match="another-host"):
        windows.intend(Exposed("tree", ("P:\\",), "another-host"), "run-1", is_frozen=False)


def test_it_is_waited_for_and_then_seen_to_refuse_a_write() -> None:
    windows, host = at("P:", 2, 2, 0, 19)
    windows.present(intent(), soon())
    assert len(host.questions) == 4
    assert r"'P:\splitmirror-erp-20261124-220000-1.probe'" in host.questions[-1]
    assert "CreateNew" in host.questions[-1]
    windows, _ = at("P:", 2, 2, 2, 2)
    with pytest.raises(DeadlinePassed, match="P:"):
        windows.present(intent(), soon(1.2))


@pytest.mark.parametrize(
    ("code", "fault", "said"),
    [
        (2, Refused, "missing"),
        (3, Refused, "can be written to"),
        (5, UnknownAnswer, "error 5"),
        (0, UnknownAnswer, "error 0"),
        (1, UnknownAnswer, "cannot say"),
        (-1, UnknownAnswer, "cannot say"),
        (4294967295, UnknownAnswer, "cannot say"),
    ],
)
def test_anything_but_write_protected_is_an_error(code: int, fault: type[Fault], said: str) -> None:
    windows, _ = at("P:", code)
    with pytest.raises(fault, match=said):
        windows.verify(intent(), soon())


def test_nothing_is_taken_away_and_nobody_is_seen() -> None:
    windows, host = at("P:")
    windows.withdraw(intent(), soon())
    assert windows.users(intent(), soon()) == ()
    assert host.questions == []
    assert "P:" in windows.actions(None)[0].what


def test_run_whose_name_cannot_go_into_a_files_name_is_refused() -> None:
    windows, _ = at("P:")
    with pytest.raises(Refused):
        windows.verify(Presented("windows", "P:", COPY, {"run": "x'; rm"}), soon())
