"""The plan of a run: every act with its host, deadline and undo, printed by the same objects that a run executes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from splitmirror.job import Job
from splitmirror.phases import quiesce
from splitmirror.phases.survey import Survey
from splitmirror_drivers.contracts.array import Action, Move
from splitmirror_drivers.contracts.host import Blocks, Hold

LONGEST_ARGUMENT = 100
COPY_NAME = "RUN"
"""Stands for the run's id, which is the copy's name."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan; ``deadline_seconds`` 0: it does not wait for anything."""

    phase: str
    host: str
    what: str
    deadline_seconds: float
    undo: str


def plan(job: Job, survey: Survey) -> list[Step]:
    """What a run of this policy would do now, in its order."""
    return [
        *_array_steps("establish", Move.ESTABLISH, survey),
        *_hold_steps(survey),
        *_array_steps("split", Move.SPLIT, survey),
        *_release_steps(survey),
        *_array_steps("present", Move.EXPOSE, survey),
        *(_step("present", action) for placed in job.presented for action in placed.presentation.actions(None)),
        *_array_steps("post", Move.UNEXPOSE, survey),
        *(_array_steps("post", Move.REATTACH, survey) if job.policy.reattach == "after-backup" else ()),
    ]


def _step(phase: str, action: Action) -> Step:
    return Step(phase, action.host, action.what, action.deadline_seconds, action.undo)


def _array_steps(phase: str, move: Move, survey: Survey) -> Iterator[Step]:
    for target in survey.targets:
        if move is Move.ESTABLISH and target.mode is None:
            continue
        late = " (log mirror, after the resume)" if target.is_log and move is Move.SPLIT else ""
        for action in target.array.actions(move, target.group, COPY_NAME):
            yield _step(phase + late, action)


def _hold_steps(survey: Survey) -> Iterator[Step]:
    holds = {(one.host.name, one.hold.name): one.hold for one in survey.held}
    for step in quiesce.steps(survey):
        for which in step:
            hold = holds[which]
            yield Step(
                "quiesce", which[0], _says(hold, "enter"), hold.enter_seconds, f"{hold.family}.leave, or .rescue"
            )


def _release_steps(survey: Survey) -> Iterator[Step]:
    for one in survey.held:
        if one.hold.blocks is not Blocks.NOTHING:
            yield Step("resume", one.host.name, _says(one.hold, "leave"), one.hold.leave_seconds, "")
    for one in survey.held:
        if one.hold.blocks is Blocks.NOTHING:
            yield Step("prove", one.host.name, _says(one.hold, "leave"), one.hold.leave_seconds, "")


def _says(hold: Hold, verb: str) -> str:
    blocks = "" if hold.blocks is Blocks.NOTHING else f" [{hold.blocks.value} wait]"
    return f"{hold.family}.{verb} {' '.join(map(_short, hold.arguments))}{blocks}"


def _short(argument: str) -> str:
    """An argument as a person reads it: a program that is sent as one word is named by its beginning and its length."""
    if len(argument) <= LONGEST_ARGUMENT:
        return argument
    return f"{argument[: LONGEST_ARGUMENT // 2]!r}… ({len(argument)} characters)"
