"""From what a person types to the run or mirror that is meant: a run by its whole name, a prefix, or its number."""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror.journal.contract import Journal, RunRecord
from splitmirror.policy.types import Configuration
from splitmirror_drivers.kit.errors import UsageFault

FEW_RUNS = 200
MANY_RUNS = 100_000
SHOWN = 8


def find_run(journal: Journal, name: str) -> RunRecord:
    """The one run that `name` means. Raises UsageFault when there is none, or more than one."""
    found = matching_runs(journal, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageFault(
            f"{name} can mean {len(found)} runs",
            detail="\n".join(record.run_id for record in found[:SHOWN]),
            hint="write more of the name, or its number (the last part)",
        )
    raise UsageFault(f"there is no run {name}", hint=nearest(journal, name))


def matching_runs(journal: Journal, name: str) -> list[RunRecord]:
    """An exact name or number beats a prefix; a prefix may mean several."""
    records: Sequence[RunRecord] = ()
    for limit in (FEW_RUNS, MANY_RUNS):  # most often the night's own run is meant
        records = journal.runs(limit=limit)
        if exact := [record for record in records if name in (record.run_id, str(record.number))]:
            return exact
    return [record for record in records if name and record.run_id.startswith(name)]


def nearest(journal: Journal, name: str) -> str:
    """A hint with the runs that look most like `name`, else the newest ones."""
    from difflib import get_close_matches

    newest = [record.run_id for record in journal.runs(limit=200)]
    close = get_close_matches(name, newest, 3) or newest[:3]
    return f"the nearest are: {', '.join(close)}" if close else "this installation has had no run yet"


def is_policy(configuration: Configuration, name: str) -> bool:
    """Whether `name` is a policy of the file: where a name is both, the policy is meant."""
    return name in configuration.policies


def mirrors_of(configuration: Configuration, policy: str) -> list[str]:
    """The mirror keys that a policy names, log mirrors too, in the file's order."""
    wanted = configuration.policies[policy]
    return [f"{m.array}/{group}" for m in (*wanted.mirrors, *wanted.log_mirrors) for group in m.groups]


def policies_with(configuration: Configuration, key: str) -> list[str]:
    """The policies that name a mirror."""
    return [name for name in configuration.policies if key in mirrors_of(configuration, name)]


def split_key(key: str) -> tuple[str, str]:
    """``array/group``; a group's own name may have more slashes."""
    array, _, group = key.partition("/")
    return array, group


def listed(keys: Sequence[str]) -> str:
    """Names for a sentence."""
    return ", ".join(keys) or "none"
