"""Resume and prove: one message to every host at once, then the verdict from what they answer."""

from __future__ import annotations

from splitmirror.holding import Guards
from splitmirror.phases.survey import Survey
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.host import Kept
from splitmirror_drivers.kit.deadline import Deadline

LEAVE_SLACK_SECONDS = 5.0


def resume(guards: Guards) -> None:
    """Let every blocking hold go. Sends to all before it waits for anybody; called on every way out, never raises."""
    if not guards.ordered:
        return
    guards.release()
    longest = max((guards.holds[which].leave_seconds for which in guards.blocking()), default=0.0)
    guards.collect_released(Deadline.after(longest + LEAVE_SLACK_SECONDS))


def prove(survey: Survey, guards: Guards, *, is_split: bool, with_lasting: bool = False) -> tuple[Verdict, list[str]]:
    """What the copy may be called, from the answers alone, and a sentence for each hold that does not prove.

    Without `with_lasting`, holds that block nothing still stand and count unless they are known to be lost.
    """
    if not is_split:
        return Verdict.UNPROVEN, ["the split was not seen to be fixed"]
    if not survey.held:
        return survey.best, []
    asked = set(guards.holds) if with_lasting else guards.blocking() | _lasting_lost(guards)
    doubts = [doubt for which in sorted(asked) if (doubt := doubt_of(guards, which))]
    if not doubts:
        return survey.best, []
    return (Verdict.CRASH if survey.is_one_moment else Verdict.UNPROVEN), doubts


def doubt_of(guards: Guards, which: tuple[str, str]) -> str:
    """Why one hold does not prove that it stood over the split; "" when it does."""
    where = f"{which[0]}: {which[1]}"
    ended = guards.ended.get(which, Kept.UNKNOWN)
    if ended is Kept.WAS_NOT_HELD:
        return f"{where} was not in force when it was to be released"
    if ended is not Kept.WAS_HELD:
        return f"{where} has not said whether it was held until the release"
    return "" if which in guards.held_at_split else f"{where} was not known to be held when the split was sent"


def _lasting_lost(guards: Guards) -> set[tuple[str, str]]:
    """Holds that have ended already, or whose host is gone: they were not held over the split."""
    return {which for which in guards.holds if which in guards.ended or which[0] in guards.lapsed}


def end_lasting(guards: Guards, verdict: Verdict) -> None:
    """Holds that block nothing end with the verdict of the whole run."""
    word = "bad" if verdict is Verdict.UNPROVEN else "good"
    seconds = max((hold.leave_seconds for hold in guards.holds.values()), default=0.0)
    guards.leave(word, seconds, Deadline.after(seconds + LEAVE_SLACK_SECONDS))
