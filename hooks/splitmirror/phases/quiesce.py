"""Quiesce: holds are taken kind by kind with a barrier between the kinds, hosts in parallel."""

from __future__ import annotations

import time
from itertools import groupby

from splitmirror.holding import Guards, Which
from splitmirror.phases.arm import leases, stack_order
from splitmirror.phases.survey import Survey
from splitmirror.run import Run
from splitmirror_drivers.contracts.host import Blocks
from splitmirror_drivers.kit.deadline import Deadline

WATCH_SECONDS = 10.0
SLACK_SECONDS = 3.0
"""Beyond the verb's own limit: the guard answers `failed` at the limit, which says more than our own deadline."""


def steps(survey: Survey) -> list[list[Which]]:
    """The holds in the order they are taken: each inner list at once on all hosts, a barrier between two lists."""
    ordered = sorted(survey.held, key=stack_order)
    return [[(one.host.name, one.hold.name) for one in step] for _, step in groupby(ordered, key=stack_order)]


def quiesce(run: Run, survey: Survey, guards: Guards) -> None:
    """Take every hold; each answer carries the facts of its moment. Raises with everything still to be released."""
    lease = leases(run, survey.held)
    is_watched = False
    for step in steps(survey):
        run.give_up.check()
        blocks = any(guards.holds[which].blocks is not Blocks.NOTHING for which in step)
        if blocks and not is_watched:
            guards.watch("blocking", lease.blocking, Deadline.after(WATCH_SECONDS))
            guards.begin_beat()
            is_watched = True
        guards.enter(step, step_deadline(run, guards, step))


def step_deadline(run: Run, guards: Guards, step: list[Which]) -> Deadline:
    """The longest verb of the step, and never past max-freeze once writes wait, or max-outage once services are down."""
    deadline = Deadline.after(max(guards.holds[which].enter_seconds for which in step) + SLACK_SECONDS)
    for windows, limit in ((guards.windows, run.job.policy.max_freeze), (guards.outages, run.job.policy.max_outage)):
        if windows:
            began = min(window.began for window in windows.values())
            deadline = deadline.sooner(max(0.0, began + float(limit) - time.monotonic()))
    return deadline
