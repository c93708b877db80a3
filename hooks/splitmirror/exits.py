"""Exit codes: one table, kept for ever. A product's adapter may map them to what that product understands.

75 is never used: one product takes it for "skip this backup quietly", and a failed split must not be quiet.
"""

from __future__ import annotations

from dataclasses import dataclass

from splitmirror_drivers.contracts.product import Result
from splitmirror_drivers.kit.errors import Fault, SplitUnknown, UsageFault


@dataclass(frozen=True, slots=True)
class Row:
    """One exit code and the sentence of the manual."""

    code: int
    sentence: str


HOOKS: tuple[Row, ...] = (
    Row(Result.DONE.value, "done; also when the call belongs to no open run and nothing had to be done"),
    Row(Result.FAILED.value, "failed or refused, and everything is at rest: what was begun has been taken back"),
    Row(Result.NEEDS_A_PERSON.value, "failed, and something is left that a person must look at; `splitmirror status` names it"),
    Row(Result.WRONG.value, "the command line or the policy is wrong; nothing was touched"),
)  # fmt: skip

STATUS: tuple[Row, ...] = (
    Row(0, "well: the last run of every policy ended well, nothing is held"),
    Row(1, "look: a run failed or waits for longer than it should; nobody is frozen"),
    Row(2, "somebody may be frozen: a hold stands, or a data server could not be asked"),
    Row(3, "cannot tell: the policy file or the journal cannot be read"),
)


def result_of(fault: Fault) -> Result:
    """Wrong: nothing was touched. Needs a person: something could not be taken back. Else failed, and all is at rest."""
    if isinstance(fault, UsageFault):
        return Result.WRONG
    if getattr(fault, "left", ()) or isinstance(fault, SplitUnknown):
        return Result.NEEDS_A_PERSON
    return Result.FAILED


def exit_code(fault: Fault) -> int:
    """The exit code that tells a fault."""
    return result_of(fault).value


def table() -> str:
    """Both tables as text, for `splitmirror help exit-codes` and the manual."""
    return "\n".join(
        [
            "splitmirror-pre, splitmirror-post and splitmirror:",
            *_lines(HOOKS),
            "",
            "splitmirror status, as monitoring plug-ins answer:",
            *_lines(STATUS),
            "",
            "75 is never used. A backup product's adapter may tell its product another code.",
        ]
    )


def _lines(rows: tuple[Row, ...]) -> list[str]:
    return [f"  {row.code}  {row.sentence}" for row in rows]
