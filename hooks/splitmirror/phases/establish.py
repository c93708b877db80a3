"""Establish: bring every group into sync and wait for it. The application runs on; nothing is held yet."""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror import moves, rotation
from splitmirror.acts import Act
from splitmirror.job import Job, mirror_key
from splitmirror.journal.contract import Event, Journal, Kind, Status
from splitmirror.phases import limits
from splitmirror.phases.survey import Survey, Target
from splitmirror.policy.types import Policy
from splitmirror.run import Run
from splitmirror_drivers.contracts.array import Family, Mode, Move, PairState, Receipt
from splitmirror_drivers.contracts.presentation import Presentation, Presented
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, InUse, NotSynchronised, Refused

ASK_SECONDS = 60.0
POLL_SECONDS = 1.0


def establish(run: Run, survey: Survey) -> None:
    """Start every copy that is needed, wait until all pairs say they are in sync."""
    for chosen in survey.targets:
        target = rotation.again(run.job, chosen, run.journal, run.run_id, Deadline.after(ASK_SECONDS))
        if target.mode is not None:
            start(run, target)
    deadline = run.deadline(run.job.policy.max_establish, spare_seconds=limits.needed_from_arm(run, survey))
    for target in survey.targets:
        if target.array.traits.needs_sync:
            wait_synced(run, target, deadline)
        elif target.array.traits.family is Family.POINT:
            make_room(run, target, keep=run.job.policy.keep if target.array.traits.keeps_copies else 0)


def permit(policy: Policy, survey: Survey, *, is_asked: bool) -> None:
    """A full copy happens only as ``full-copy`` allows: never, the first time when asked for, or always when asked for."""
    for target in survey.targets:
        if target.mode is not Mode.FULL:
            continue
        if policy.full_copy == "never":
            raise Refused(f'{target.key} needs a full copy, and full-copy = "never"')
        if not is_asked:
            raise Refused(f"{target.key} needs a full copy", hint="say so: splitmirror establish --full POLICY")
        if policy.full_copy == "first" and target.state is not PairState.UNPAIRED:
            raise Refused(
                f'{target.key} is {target.state.value} and needs a full copy again; full-copy = "first" allows only '
                "the first one",
                hint='find out why its changes are not tracked; then set full-copy = "always"',
            )


def start(run: Run, target: Target) -> None:
    """Ask the array to copy what changed (or everything), after a last look whether anybody uses the copy."""
    deadline = Deadline.after(ASK_SECONDS)
    assert_unused(run.job, run.journal, target)
    pairs = target.array.query(target.group, deadline)
    mode = target.mode or Mode.INCREMENTAL
    moves.require(Move.ESTABLISH, target.key, pairs, target.array.traits, mode=mode)
    run.append(Event(Kind.INTENT, "establish", target.key, {"mode": mode.value}))
    target.array.establish(target.group, mode, deadline)


def wait_synced(run: Run, target: Target, deadline: Deadline) -> None:
    """Poll until done; decided by every pair's state word, the percentage is only shown."""
    while True:
        run.give_up.check()
        progress = target.array.progress(target.group, Deadline.after(ASK_SECONDS))
        run.teller.progress(progress.fraction, f"{target.key} {progress.remaining}".rstrip())
        if progress.is_done:
            break
        if deadline.is_passed:
            raise DeadlinePassed(
                f"{target.key} is not in sync after the time there was",
                hint="the copying goes on; start `splitmirror establish POLICY` earlier, or raise max-establish",
            )
        run.give_up.wait(min(POLL_SECONDS, deadline.left()))
    require_synced(target)
    run.append(Event(Kind.DONE, "establish", target.key))


def require_synced(target: Target) -> None:
    """Ask the array once more; anything but in sync on every pair is NotSynchronised."""
    pairs = target.array.query(target.group, Deadline.after(ASK_SECONDS))
    state = moves.group_state(pairs, target.array.traits)
    wanted = PairState.SYNCED if target.array.traits.needs_sync else PairState.PREPARED
    if state is not wanted:
        raise NotSynchronised(f"{target.key} is {state.value}, not {wanted.value}", detail=moves.words(pairs))


def assert_unused(job: Job, journal: Journal, target: Target) -> None:
    """P3: nobody may have the newest copy open, wherever a run of ours presented it. Raises InUse naming who."""
    refuse_users(job, target.key, presented_of(journal, target.array.name, target.group))


def refuse_users(job: Job, copy: str, shown: Sequence[Act]) -> None:
    """Ask on every host where a copy was presented who has it open. Raises InUse naming who.

    Where another policy presented it, any presentation of ours of that kind on that host can ask.
    """
    for act in shown:
        intent, deadline = act.value("intent", Presented), Deadline.after(ASK_SECONDS)
        presentation = _who_can_ask(job, act, intent)
        if presentation is None:
            continue
        presentation.host.connect(deadline)
        users = presentation.users(intent, deadline)
        if users:
            raise InUse(
                f"the copy {copy} is in use: {users[0]}",
                detail="\n".join(str(user) for user in users),
                hint="end those programs, then start again; nothing was changed",
            )


def _who_can_ask(job: Job, act: Act, intent: Presented) -> Presentation | None:
    mine = [placed.presentation for placed in job.presented if placed.presentation.driver == intent.driver]
    there = [one for one in mine if one.host.name == act.data.get("host")]
    return next((one for one in mine if one.path == intent.path), there[0] if there else None)


def presented_of(journal: Journal, array: str, group: str) -> list[Act]:
    """How the newest copy of a group that was presented at all was presented, wherever that was.

    A run that failed before it presented says nothing of where the group's devices are seen; an earlier one does.
    """
    for run_id, event in journal.history("split", mirror_key(array, group)):
        if event.kind is Kind.INTENT and (shown := presented_by(journal, run_id)):
            return shown
    return []


def presented_by(journal: Journal, run_id: str) -> list[Act]:
    """Where one run presented, or was about to."""
    intents = [e for e in journal.events(run_id) if e.kind is Kind.INTENT and e.act == "present"]
    return [Act(e.act, e.key, e.data) for e in intents]


def make_room(run: Run, target: Target, keep: int) -> None:
    """Discard all but the `keep` newest copies of closed runs; a pinned group keeps everything."""
    if any((pin.array, pin.group) == (target.array.name, target.group) for pin in run.journal.pins()):
        return
    mine = closed_copies(run.journal, target, run.run_id)
    standing = {pair.copy for pair in target.array.query(target.group, Deadline.after(ASK_SECONDS))}
    for receipt in [receipt for receipt in mine if receipt.copy in standing][keep:]:
        key = f"{target.key}/{receipt.copy}"
        refuse_users(run.job, key, presented_by(run.journal, receipt.copy))
        run.append(Event(Kind.INTENT, "discard", key))
        target.array.discard(receipt, Deadline.after(ASK_SECONDS))
        run.append(Event(Kind.DONE, "discard", key))


def closed_copies(journal: Journal, target: Target, this_run: str) -> list[Receipt]:
    """Receipts of this group's copies whose run is closed: only what our own record names.

    Good ones first, newest first; then what a failed run could not take back, which must not outlive a good one.
    """
    open_runs = {record.run_id for record in journal.open_runs()} - {this_run}
    found: list[tuple[bool, Receipt]] = []
    for run_id, event in journal.history("split", target.key):
        if event.kind is Kind.INTENT and run_id not in open_runs:
            is_bad = journal.run(run_id).status is Status.FAILED
            found.append((is_bad, Act(event.act, event.key, event.data).value("receipt", Receipt)))
    return [receipt for _, receipt in sorted(found, key=lambda pair: pair[0])]
