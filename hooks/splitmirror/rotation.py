"""Which group of a mirror a run takes: the one used longest ago that is free, not pinned and at rest."""

from __future__ import annotations

from collections.abc import Mapping

from splitmirror import acts, moves
from splitmirror.job import Job, MirrorSet, mirror_key
from splitmirror.journal.contract import Journal, Kind
from splitmirror.phases.survey import Target
from splitmirror_drivers.contracts.array import Mode, PairState, Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import InUse, Refused

REMEMBERED_RUNS = 500


def last_used(journal: Journal) -> Mapping[str, float]:
    """When each mirror was last split, by its key (seconds since the epoch; only their order is used)."""
    found: dict[str, float] = {}
    for record in journal.runs(limit=REMEMBERED_RUNS):
        for event in journal.events(record.run_id):
            if event.act == "split" and event.kind is Kind.DONE:
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


def choose(job: Job, index: int, mirror: MirrorSet, journal: Journal, run_id: str, deadline: Deadline) -> Target:
    """The target this run uses of one mirror set. Raises InUse naming every group and why it cannot be taken."""
    pins = {mirror_key(pin.array, pin.group): pin for pin in journal.pins()}
    owners = owned(journal, run_id)
    used = last_used(journal)
    why_not: list[str] = []
    for group in sorted(mirror.groups, key=lambda name: used.get(mirror_key(mirror.array.name, name), 0.0)):
        key = mirror_key(mirror.array.name, group)
        if key in pins:
            why_not.append(f"{key} is pinned: {pins[key].reason}")
        elif key in owners and not mirror.array.traits.keeps_copies:
            why_not.append(f"{key} carries the copy of run {owners[key]}, which is not closed")
        else:
            return _target(index, mirror, group, deadline)
    raise InUse(
        f"no mirror of {job.name} is free: {why_not[0] if why_not else 'none is named'}",
        detail="\n".join(why_not),
        hint="wait for that run's post, close it with `splitmirror recover RUN --close`, or unpin the copy",
    )


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
