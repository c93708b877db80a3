"""The bracket around everything that is held, and the freeze window inside it: whatever happens, holds end here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from splitmirror.acts import Act
from splitmirror.holding import Guards
from splitmirror.phases import resume, split
from splitmirror.phases.survey import Survey
from splitmirror.run import Run
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.kit.deadline import Deadline

BYE_SECONDS = 15.0


@contextmanager
def guarded(run: Run) -> Iterator[Guards]:
    """Guards for the time of the block. On the way out every hold ends, and hosts known to be at rest are struck off."""
    guards = Guards(run.give_up)
    try:
        yield guards
    finally:
        if guards.ordered and not guards.is_released:
            resume.resume(guards)
        if guards.unanswered(guards.holds):
            resume.end_lasting(guards, Verdict.UNPROVEN)
        guards.say_bye(Deadline.after(BYE_SECONDS))
        guards.close()
        for act in run.standing("hold"):
            if guards.at_rest(act.key):
                run.forget(act)


@contextmanager
def window(run: Run, survey: Survey, guards: Guards) -> Iterator[None]:
    """The freeze window: its intents are one commit before it opens; inside nothing waits for journal, log or screen."""
    holds = [
        Act("hold", host, {"holds": [name for where, name in guards.holds if where == host]}) for host in guards.guards
    ]
    run.intend([*holds, *split.split_acts(run, survey.data_targets())])
    try:
        with run.silence():
            try:
                yield
            finally:
                with run.phase("resume"):
                    resume.resume(guards)
    finally:
        if not guards.is_split_sent:
            for act in run.standing("split"):
                run.forget(act)
