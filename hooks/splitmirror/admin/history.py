"""`splitmirror history`: runs, newest first."""

from __future__ import annotations

import argparse
import sys

from splitmirror.admin import frame
from splitmirror.locks import RunLock
from splitmirror.office import Office
from splitmirror.report import account, text
from splitmirror.report.account import Account
from splitmirror_drivers.kit.errors import UsageFault

SUMMARY = "runs, newest first"
HEADS = ("run", "began", "result", "verdict", "freeze", "took", "mirror")
DEFAULT_LIMIT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("policy", nargs="?", default="", help="which policy (default: all)")
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help="how many (default 20)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """0; an unknown policy is a mistake."""
    if arguments.limit < 1:
        raise UsageFault(f"--limit {arguments.limit} would show nothing", hint="write 1 or more")
    with frame.office(arguments) as office:
        return tell(office, arguments)


def tell(office: Office, arguments: argparse.Namespace) -> int:
    """The runs of a policy, also of one that the file no longer has."""
    found = account.accounts(office.journal, arguments.policy, arguments.limit)
    if arguments.policy and not found:
        office.job(arguments.policy)
    rows = [(one, result_of(office, one)) for one in found]
    if arguments.json:
        frame.write_json({"version": 1, "runs": [as_data(one, result) for one, result in rows]})
    elif rows:
        sys.stdout.write(text.table(HEADS, [as_row(one, result) for one, result in rows]))
    else:
        sys.stdout.write("no run yet\n")
    return 0


def result_of(office: Office, one: Account) -> str:
    """Its status; a run whose process is gone in the middle died."""
    status = one.record.status.value
    if status in ("working", "closing") and not RunLock(office.state.path, one.run_id).is_alive():
        return "died"
    return status


def took(one: Account) -> float:
    """Seconds from its begin to where its copy was there, or to its end when it never was."""
    return max(0.0, (one.ready_at or one.ended_at) - one.record.began_at)


def as_row(one: Account, result: str) -> tuple[str, ...]:
    """One line of the table."""
    kind = one.verdict or ("-" if one.is_backup else "establish")
    return (
        one.run_id,
        text.clock(one.record.began_at),
        result,
        kind,
        text.window(one.longest_window),
        text.span(took(one)),
        ", ".join(sorted(one.receipts())) or "-",
    )


def as_data(one: Account, result: str) -> dict[str, object]:
    """The same for programs."""
    longest = one.longest_window
    return {
        "run": one.run_id,
        "number": one.record.number,
        "policy": one.record.policy,
        "began_at": text.utc(one.record.began_at),
        "result": result,
        "verdict": one.verdict,
        "freeze_window_ms": None if longest is None else round(longest * 1000, 1),
        "took_seconds": round(took(one), 3),
        "mirrors": sorted(one.receipts()),
        "product": one.record.product,
        "client": one.record.client,
        "schedule": one.record.schedule,
        "job": one.record.job,
        "error": one.error,
    }
