"""Exit codes are one table, kept for ever, and the manual shows that table."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitmirror import exits
from splitmirror_drivers.contracts.product import Result
from splitmirror_drivers.kit import errors
from splitmirror_drivers.kit.errors import Fault

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def every_fault(kind: type[Fault] = Fault) -> list[type[Fault]]:
    found = [kind]
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            found += every_fault(below)
    return found


def test_the_page_shows_the_table_as_it_is() -> None:
    assert f"```\n{exits.table()}\n```" in PAGE.read_text(encoding="utf-8")


def test_codes_are_these_for_ever() -> None:
    assert [(row.code, row.sentence.partition(":")[0].partition(",")[0]) for row in exits.HOOKS] == [
        (0, "done; also when the call belongs to no open run and nothing had to be done"),
        (1, "failed or refused"),
        (2, "failed"),
        (3, "the command line or the policy is wrong; nothing was touched"),
    ]
    assert [row.code for row in exits.STATUS] == [0, 1, 2, 3]


def test_75_is_never_used() -> None:
    # a product takes it for "skip this backup quietly"
    assert 75 not in {row.code for row in (*exits.HOOKS, *exits.STATUS)}
    assert 75 not in {exits.exit_code(kind("x")) for kind in every_fault()}


@pytest.mark.parametrize("kind", every_fault(), ids=lambda kind: kind.__name__)
def test_every_fault_has_a_code_of_the_table_that_is_not_success(kind: type[Fault]) -> None:
    assert exits.exit_code(kind("x")) in {row.code for row in exits.HOOKS} - {0}


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (errors.UsageFault("x"), Result.WRONG),
        (errors.PolicyFault("x"), Result.WRONG),
        (errors.Refused("x"), Result.FAILED),
        (errors.JournalFault("x"), Result.FAILED),
        (errors.SplitUnknown("x"), Result.NEEDS_A_PERSON),
    ],
)
def test_what_is_wrong_what_failed_and_what_needs_a_person(fault: Fault, result: Result) -> None:
    assert exits.result_of(fault) is result


def test_a_failed_run_that_left_something_needs_a_person() -> None:
    from splitmirror.run import Ended

    assert exits.result_of(Ended(Fault("x"), [])) is Result.FAILED
    assert exits.result_of(Ended(Fault("x"), [Fault("still mounted")])) is Result.NEEDS_A_PERSON
