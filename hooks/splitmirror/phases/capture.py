"""Capture: what recovery from this copy will need, and the log mirrors' own split; all of it after the resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror.holding import Guards
from splitmirror.parallel import by_name
from splitmirror.phases import establish, split
from splitmirror.phases.survey import Survey, Target
from splitmirror.run import Run
from splitmirror_drivers.contracts.application import Application, Captured, Verdict
from splitmirror_drivers.contracts.array import Receipt
from splitmirror_drivers.kit.errors import Fault

LOG_SPLIT_SECONDS = 120.0
SLACK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What each application captured, and the log mirrors' receipts; `needs`: what a full recovery still lacks."""

    captured: Mapping[str, Captured]
    log_receipts: tuple[Receipt, ...]
    needs: tuple[str, ...]
    log_fault: Fault | None = None


def facts_of(survey: Survey, guards: Guards, application: str) -> dict[str, str]:
    """Everything the holds of one application answered, in the order they were entered."""
    facts: dict[str, str] = {}
    for one in survey.held:
        if one.application == application:
            facts |= guards.facts.get((one.host.name, one.hold.name), {})
    return facts


def capture(run: Run, survey: Survey, guards: Guards, verdict: Verdict) -> Findings:
    """Ask every application for what recovery takes; then split the log mirrors, which must hold the log's end."""
    deadline = run.deadline(float(run.job.policy.max_archive_wait) + SLACK_SECONDS)

    def one(app: Application) -> Captured:
        return app.capture(facts_of(survey, guards, app.name), verdict, deadline)

    captured = by_name(one, survey.applications)
    needs = [f"{name}: {found.needs_logs}" for name, found in captured.items() if found.needs_logs]
    targets = survey.log_targets()
    if not targets:
        return Findings(captured, (), tuple(needs))
    acts = split.split_acts(run, targets)
    run.intend(acts)
    try:
        receipts = split_logs(run, targets)
    except Fault as fault:  # the data copy is good; what it lacks is said, and a person is asked
        names = ", ".join(target.key for target in targets)
        return Findings(captured, (), (*needs, f"the logs from {names}, whose split failed: {fault}"), fault)
    run.did(*acts)
    return Findings(captured, receipts, tuple(needs))


def split_logs(run: Run, targets: Sequence[Target]) -> tuple[Receipt, ...]:
    """The log mirrors, each found in sync before it is split now, and not by somebody earlier."""
    receipts: list[Receipt] = []
    for target in targets:
        establish.require_synced(target)
        receipts += split.split_array(target.array, [target.group], run.run_id, run.deadline(LOG_SPLIT_SECONDS))
    return tuple(split.require_new(receipts))
