"""The two stories. Read these functions first; each line is a phase, and its file in ``phases/`` says how.

Pre: clear → preflight → establish → arm → [quiesce → split → resume] → prove → capture → present → leave.
Post: withdraw → reattach → leave.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitmirror import recover
from splitmirror.holding import Guards, Window
from splitmirror.journal.contract import Status
from splitmirror.phases import arm, capture, clear, establish, preflight, present, quiesce, resume, split, withdraw
from splitmirror.phases.claim import claimed, release_applications
from splitmirror.phases.survey import Survey
from splitmirror.phases.window import guarded, window
from splitmirror.report import card
from splitmirror.run import Ended, Run, close_failed
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Receipt
from splitmirror_drivers.contracts.product import BackupStatus, Result
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, Fault, HoldFault, HostFault


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a story ended: what the exit code is made of, and the one line that everybody reads."""

    result: Result
    verdict: Verdict | None
    line: str
    windows: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def prepare(run: Run) -> Outcome:
    """`splitmirror-pre`: a copy that is what it is called, presented; or a Fault, and everything at rest."""
    with run.taken_back_on_failure():
        with run.phase("clear"):
            clear.clear(run)
        with run.phase("preflight"):
            preflight.connect_all(run.job)
            survey = preflight.survey(run.job, run.journal, run.run_id)
            preflight.disconnect_all(run.job)
        with claimed(run, survey):  # until the run is closed, in the journal; with the mirrors' locks until we end
            with run.phase("establish"):
                establish.establish(run, survey)
            with guarded(run) as guards:  # every hold ends before this block is left, whatever happens
                with run.phase("arm"):
                    clocks = arm.arm(run, survey, guards)
                receipts, split_at = held_split(run, survey, guards)
                with run.phase("prove"):
                    verdict, doubts = proven(run, survey, guards)
                with run.phase("capture"):
                    findings = capture.capture(run, survey, guards, verdict)
                    contents = make_card(run, guards, receipts, findings, verdict, doubts, split_at, clocks)
                    card.write(contents, run.job.state_folder / "cards" / run.run_id)
            unheard = run.undo(run.standing("hold"))
            with run.phase("present"):
                receipts = [*receipts, *findings.log_receipts]
                present.settle(run, receipts)
                present.present(run, survey, receipts, contents)
            return leave(run, contents, findings, unheard)


def held_split(run: Run, survey: Survey, guards: Guards) -> tuple[list[Receipt], float]:
    """Quiesce, split, resume: the block is the freeze window, and resume is how it is left."""
    try:
        with window(run, survey, guards):
            with run.phase("quiesce"):
                quiesce.quiesce(run, survey, guards)
            with run.phase("split"):
                receipts = split.split(run, survey, guards, split.split_deadline(run, guards))
                split_at = time.time()
    except (HoldFault, HostFault, DeadlinePassed) as fault:
        if run.job.policy.on_quiesce_failure != "crash-consistent" or not survey.is_one_moment or guards.is_split_sent:
            raise
        return crash_split(run, survey, fault)
    run.did(*run.standing("split"))
    return receipts, split_at


def crash_split(run: Run, survey: Survey, fault: Fault) -> tuple[list[Receipt], float]:
    """The policy allows it and one atomic group carries everything: split without holds, and call it so everywhere."""
    run.note("quiesce", "failed", error=str(fault), then="crash-consistent")
    run.intend(split.split_acts(run, survey.data_targets()))
    with run.phase("split"):
        moment = Guards(run.give_up)
        receipts = split.split(run, survey, moment, Deadline.after(float(run.job.policy.max_freeze)))
        split_at = time.time()
    run.did(*run.standing("split"))
    return receipts, split_at


def proven(run: Run, survey: Survey, guards: Guards) -> tuple[Verdict, list[str]]:
    """The verdict; holds that block nothing end with it, and their answers are part of it. Below the best is a failure."""
    verdict, _ = resume.prove(survey, guards, is_split=True)
    resume.end_lasting(guards, verdict if is_enough(run, survey, verdict) else Verdict.UNPROVEN)
    verdict, doubts = resume.prove(survey, guards, is_split=True, with_lasting=True)
    run.note(
        "verdict", verdict.value, doubts=doubts, windows=seconds_of(guards.windows), outages=seconds_of(guards.outages)
    )
    if not is_enough(run, survey, verdict):
        raise HoldFault(
            f"the copy is {verdict.value}, not {survey.best.value}: {doubts[0]}",
            detail="\n".join(doubts),
            hint="nothing is held any more; the next run makes a new copy",
        )
    return verdict, doubts


def is_enough(run: Run, survey: Survey, verdict: Verdict) -> bool:
    """Whether a run may go on with this: the best its policy can reach, or less where the policy says so."""
    may_be_less = run.job.policy.on_quiesce_failure == "crash-consistent"
    return verdict is not Verdict.UNPROVEN and (verdict is survey.best or may_be_less)


def seconds_of(windows: Mapping[str, Window]) -> dict[str, float]:
    """The length of each host's freeze window, or outage, in seconds."""
    return {host: window.seconds for host, window in windows.items() if window.seconds is not None}


def make_card(
    run: Run,
    guards: Guards,
    receipts: list[Receipt],
    findings: capture.Findings,
    verdict: Verdict,
    doubts: list[str],
    split_at: float,
    clocks: Mapping[str, str],
) -> card.Card:
    """The recovery card of this run."""
    notes = [(f"{r.array}/{r.group}", run.job.arrays[r.array].restore_note(r)) for r in receipts]
    return card.Card(
        run.run_id,
        run.job.name,
        split_at,
        verdict,
        tuple(doubts),
        card.mirrors_of(notes),
        seconds_of(guards.windows),
        findings.captured,
        findings.needs,
        tuple(placed.presentation.path for placed in run.job.presented),
        clocks,
    )


def leave(run: Run, contents: card.Card, findings: capture.Findings, unheard: Sequence[Fault]) -> Outcome:
    """The copy is there: say so once, in one line. `unheard`: data servers that have not said that they let go."""
    release_applications(run)
    windows = dict(contents.windows)
    longest = max(windows.values(), default=0.0)
    where = ", ".join(contents.presented) or ", ".join(contents.mirrors)
    line = f"{run.job.name}: {contents.verdict.value} copy at {where}, freeze window {longest * 1000:.0f} ms"
    if findings.log_fault:
        line += "; WITHOUT its logs"
    if unheard:
        line += f"; SOMETHING MAY STILL BE HELD: {unheard[0]}"
    run.status(Status.READY, verdict=contents.verdict.value, windows=windows, line=line)
    result = Result.NEEDS_A_PERSON if findings.log_fault or unheard else Result.DONE
    return Outcome(result, contents.verdict, line, windows, (*findings.needs, *(fault.full() for fault in unheard)))


def establish_ahead(run: Run, *, may_copy_all: bool) -> str:
    """`splitmirror establish`: the first phases of pre, ahead of time; only this may start a full copy."""
    with run.taken_back_on_failure():
        with run.phase("clear"):
            clear.clear(run)
        with run.phase("preflight"):
            preflight.connect_all(run.job)
            survey = preflight.survey(run.job, run.journal, run.run_id, may_copy_all=True)
            establish.permit(run.job.policy, survey, is_asked=may_copy_all)
            preflight.disconnect_all(run.job)
        with claimed(run, survey), run.phase("establish"):
            establish.establish(run, survey)
    line = f"{run.job.name}: in sync: {', '.join(target.key for target in survey.targets)}"
    run.status(Status.GOOD, line=line)
    run.journal.unclaim(run.run_id)
    return line


def finish(run: Run, backup: BackupStatus) -> Outcome:
    """`splitmirror-post`: nothing of this run is held, its copy is withdrawn, and the mirror reattached as the policy says."""
    if not recover.has_made_copy(run.journal.events(run.run_id)):
        return close_without_copy(run)
    run.status(Status.CLOSING)
    with run.phase("withdraw"):
        left = withdraw.withdraw(run)
    if left:
        close_failed(run, left[0], left)
        raise Ended(left[0], left)
    fault = reattach(run, backup)
    line = f"{run.job.name}: backup {backup.value}, copy withdrawn" + (f", NOT reattached: {fault}" if fault else "")
    run.status(Status.GOOD, backup=backup.value, line=line)
    run.journal.unclaim(run.run_id)
    return Outcome(
        Result.NEEDS_A_PERSON if fault else Result.DONE, None, line, warnings=(fault.full(),) if fault else ()
    )


def reattach(run: Run, backup: BackupStatus) -> Fault | None:
    """As the policy says. A mirror that cannot be reattached now spoils neither backup nor copy: the next run tries again."""
    keeps = backup is BackupStatus.FAILED and run.job.policy.on_backup_failure == "keep"
    if run.job.policy.reattach != "after-backup" or keeps:
        return None
    try:
        with claimed(run, None), run.phase("reattach"):
            withdraw.reattach(run)
    except Fault as fault:
        return fault
    return None


def close_without_copy(run: Run) -> Outcome:
    """Its pre failed or died: nothing of it is left, and it is closed as failed. Also a split of unknown outcome ends here."""
    left = recover.bring_to_rest(run, run.record)
    if left:
        raise Ended(left[0], left)
    return Outcome(Result.DONE, None, f"{run.job.name}: run {run.run_id} has made no copy; it is at rest and closed")
