"""Which group of a mirror a run takes: the one used longest ago that is free, not pinned and at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from splitmirror import acts, moves
from splitmirror.job import Job, MirrorSet, mirror_key
from splitmirror.journal.contract import Journal, Kind
from splitmirror.phases.survey import Target
from splitmirror.policy.types import Policy
from splitmirror_drivers.contracts.array import Mode, PairState, Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse, Refused

USABLE = moves.RESTING | {PairState.ATTACHING}
"""States in which a group may be taken: at rest, or on its way into sync."""


def last_used(journal: Journal) -> Mapping[str, float]:
    """When each mirror was last split, by its key (seconds since the epoch; only their order is used)."""
    found: dict[str, float] = {}
    for _, event in journal.history("split"):
        if event.kind is Kind.DONE and event.key:
            found[event.key] = max(found.get(event.key, 0.0), event.at)
    return found


def owned(journal: Journal, except_run: str = "") -> Mapping[str, str]:
    """Mirrors whose copy belongs to a run that is not closed: key → run."""
    found: dict[str, str] = {}
    for record in journal.open_runs():
        if record.run_id == except_run:
            continue
        for act in acts.standing(journal.events(record.run_id)):
            if act.name == "split":
                receipt = act.value("receipt", Receipt)
                found[mirror_key(receipt.array, receipt.group)] = record.run_id
    return found


def claimed(journal: Journal, except_run: str) -> frozenset[str]:
    """Mirrors that other runs claim, by key."""
    return frozenset(claim.resource.removeprefix("mirror:") for claim in journal.claims() if claim.run_id != except_run)


def choose(
    job: Job,
    index: int,
    mirror: MirrorSet,
    journal: Journal,
    run_id: str,
    deadline: Deadline,
    *,
    is_ahead: bool = False,
) -> Target:
    """The target this run uses of one mirror set; one that another run claims only when there is no other.

    `is_ahead`: for `splitmirror establish`. Raises InUse naming every group and why it cannot be taken.
    """
    used, busy = last_used(journal), claimed(journal, run_id)
    keys = {group: mirror_key(mirror.array.name, group) for group in mirror.groups}
    why_not: list[str] = []
    for group in sorted(mirror.groups, key=lambda name: (keys[name] in busy, used.get(keys[name], 0.0))):
        why = why_taken(mirror, group, journal, run_id)
        if not why:
            target = _target(index, mirror, group, deadline)
            why = why_unfit(target, job.policy, deadline, is_ahead=is_ahead)
            if not why:
                return target
        why_not.append(why)
    raise InUse(
        f"no mirror of {job.name} is free: {why_not[0] if why_not else 'none is named'}",
        detail="\n".join(why_not),
        hint="wait for that run's post, close it with `splitmirror recover RUN --close`, or unpin the copy; "
        "a mirror that is not at rest is a case for the array's own tools",
    )


def why_taken(mirror: MirrorSet, group: str, journal: Journal, run_id: str) -> str:
    """Why nobody may establish over the copy on a group now; "" when this run may."""
    key = mirror_key(mirror.array.name, group)
    pins = {mirror_key(pin.array, pin.group): pin for pin in journal.pins()}
    owners = owned(journal, run_id)
    if key in pins:
        return f"{key} is pinned: {pins[key].reason}"
    if key in owners and not mirror.array.traits.keeps_copies:
        return f"{key} carries the copy of run {owners[key]}, which is not closed"
    return ""


def why_unfit(target: Target, policy: Policy, deadline: Deadline, *, is_ahead: bool) -> str:
    """Why a group that is free is not used all the same; "" when it may be."""
    if target.state not in USABLE:
        pairs = target.array.query(target.group, deadline)
        if target.state is not PairState.MIXED or not moves.may_start_anew(pairs, target.array.traits):
            return f"{target.key} is {target.state.value} ({moves.words(pairs)})"
    is_split = target.state in moves.EXPOSABLE and target.array.traits.needs_sync
    if is_split and policy.reattach == "manual" and not is_ahead:
        return f'{target.key} is split, and reattach = "manual": `splitmirror establish` brings it into sync when you want it'
    return ""


def again(job: Job, target: Target, journal: Journal, run_id: str, deadline: Deadline) -> Target:
    """A chosen target once it is claimed and locked, as it is now: the wait for that may have been long.

    Raises InUse when it was taken or pinned meanwhile; Refused when what it needs now is not what was agreed.
    """
    mirror = job.mirrors[target.mirror]
    now = replace(_target(target.mirror, mirror, target.group, deadline), is_log=target.is_log)
    why = why_taken(mirror, target.group, journal, run_id)
    if not why and now.mode is not target.mode:
        refuse_full(now)
        why = why_unfit(now, job.policy, deadline, is_ahead=target.mode is not None)
    if why:
        raise InUse(f"{target.key} cannot be used any more: {why}", hint="start again; nothing was changed")
    return now


def _target(index: int, mirror: MirrorSet, group: str, deadline: Deadline) -> Target:
    array = mirror.array
    pairs = array.query(group, deadline)
    state = moves.group_state(pairs, array.traits)
    mode = needed_mode(state, needs_sync=array.traits.needs_sync, tracks=array.traits.tracks_changes)
    return Target(array, group, state, mode, index, mirror.is_log)


def needed_mode(state: PairState, *, needs_sync: bool, tracks: bool) -> Mode | None:
    """What establish has to copy from `state`; None: nothing."""
    if not needs_sync or state is PairState.SYNCED:
        return None
    if state is PairState.ATTACHING:
        return Mode.INCREMENTAL
    if state is PairState.SPLIT and tracks:
        return Mode.INCREMENTAL
    return Mode.FULL


def refuse_full(target: Target) -> None:
    """Pre never starts a full copy: it would run for hours inside a backup window."""
    if target.mode is Mode.FULL:
        raise Refused(
            f"{target.key} is {target.state.value}: bringing it into sync means a full copy, which pre never starts",
            hint="run `splitmirror establish --full POLICY` ahead of time",
        )
