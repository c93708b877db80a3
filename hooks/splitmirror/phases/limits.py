"""The product's patience: what is not begun because it could not be finished, and what is not shown once nobody waits."""

from __future__ import annotations

from splitmirror.phases.survey import Survey
from splitmirror.run import Run
from splitmirror_drivers.kit.errors import Refused

AFTER_RESUME_SECONDS = 30.0
"""What capture and presenting take at least; counted when deciding whether there is time for all the rest."""
HINT = "run `splitmirror establish POLICY` ahead of the backup, or raise the product's limit and product-limit"


def needed_from_arm(run: Run, survey: Survey) -> float:
    """Seconds that everything from the first hold on may take."""
    holding = sum(one.hold.enter_seconds for one in survey.held)
    return AFTER_RESUME_SECONDS + float(run.job.policy.max_freeze) + holding


def require_time(run: Run, survey: Survey) -> None:
    """Refuse to begin what could not be finished before the product stops waiting."""
    needed = needed_from_arm(run, survey)
    if run.last_moment is not None and run.last_moment.left() < needed:
        raise Refused(
            f"only {run.last_moment.left():.0f} s are left until the product stops waiting; up to {needed:.0f} s "
            "are needed from here",
            hint=HINT,
        )


def require_awaited(run: Run) -> None:
    """Refuse to present a copy after the product has stopped waiting: it would be shown to nobody, or to the wrong job."""
    if run.last_moment is not None and run.last_moment.is_passed:
        raise Refused("the product has stopped waiting: the copy is not presented", hint=HINT)
