"""What a copy can be at best, derived from the policy before anything is touched. Pure: no host or array is asked here.

``application``: every application is held, and its files are of one moment, or recoverable although they are not, or
lie on filesystems that stand still over the split. ``crash``: one atomic split carries everything. Else: nothing, and
the policy is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror.phases.survey import Covered, Held, Target
from splitmirror_drivers.contracts.application import Application, Facts, Verdict
from splitmirror_drivers.contracts.array import Atomic


@dataclass(frozen=True, slots=True)
class Carrier:
    """How the groups that carry one application's files are split.

    `tears`: why the structure of a mirrored filesystem is only sound when it is frozen, where that may be so: its blocks
    are copied at different moments. It is nothing that an application's hold could mend. `quiesces`: what the splits
    themselves bring to rest.
    """

    is_one_moment: bool
    tears: str = ""
    quiesces: frozenset[str] = frozenset()


def is_one_moment(targets: Sequence[Target], pair_counts: Mapping[str, int]) -> bool:
    """Whether these groups are split at one moment as far as their array says so."""
    arrays = {target.array.name for target in targets}
    if len(arrays) != 1:
        return False
    atomic = targets[0].array.traits.atomic
    if len(targets) > 1:
        return atomic is Atomic.GROUPS
    if atomic is Atomic.PAIR:
        return pair_counts[targets[0].key] == 1
    return atomic in (Atomic.GROUP, Atomic.GROUPS)


def at_best(
    applications: Sequence[Application],
    facts: Mapping[str, Facts],
    held: Sequence[Held],
    covered: Mapping[str, Sequence[Covered]],
    *,
    carriers: Mapping[str, Carrier],
    is_whole: bool,
    quiesces: frozenset[str] = frozenset(),
) -> tuple[Verdict, tuple[str, ...]]:
    """The best verdict this policy can reach, and a sentence for each thing that decides it.

    `covered`: each application's files; `carriers`: how what carries them is split; `is_whole`: whether one split that
    is one moment carries everything; `quiesces`: what all the splits themselves bring to rest.
    """
    frozen = {(one.host.name, path) for one in held for path in one.hold.covers_paths}
    verdicts, reasons = [], []
    for app in applications:
        stands_still = bool(covered.get(app.name)) and all((c.host, c.mount) in frozen for c in covered[app.name])
        holds = [one.hold for one in held if one.application == app.name]
        on = carriers[app.name]
        verdict, reason = _one(app, facts[app.name], holds, on, stands_still=stands_still)
        if on.tears and not stands_still and verdict is not Verdict.UNPROVEN:
            verdict, reason = Verdict.UNPROVEN, f"{app.name}: {on.tears}, and it is not frozen"
        verdicts.append(verdict)
        reasons.append(reason)
    if not applications and is_whole and quiesces:
        verdicts.append(Verdict.APPLICATION)
        reasons.append(f"no application is named; the split itself brings to rest: {', '.join(sorted(quiesces))}")
    elif not applications:
        verdicts.append(Verdict.CRASH if is_whole else Verdict.UNPROVEN)
        reasons.append("no application is named; the split is " + ("one moment" if is_whole else "not one moment"))
    order = [Verdict.APPLICATION, Verdict.CRASH, Verdict.UNPROVEN]
    return max(verdicts, key=order.index), tuple(reasons)


def _one(
    app: Application, facts: Facts, holds: Sequence[object], on: Carrier, *, stands_still: bool
) -> tuple[Verdict, str]:
    one_moment = on.is_one_moment
    if not holds:
        if facts.quiesced_by and facts.quiesced_by in on.quiesces and one_moment:
            return Verdict.APPLICATION, f"{app.name}: brought to rest by {facts.quiesced_by} inside the split"
        if facts.quiesced_by:
            return Verdict.UNPROVEN, f"{app.name}: {facts.quiesced_by} takes no part in the split of what carries it"
        if one_moment:
            return Verdict.CRASH, f"{app.name}: not held; one atomic split carries it (crash-consistent)"
        return Verdict.UNPROVEN, f"{app.name}: not held, and its files are not split at one moment"
    if one_moment:
        return Verdict.APPLICATION, f"{app.name}: held, and split at one moment"
    if stands_still:
        return Verdict.APPLICATION, f"{app.name}: held, and its filesystems are frozen over the split"
    if facts.needs_atomic:
        return Verdict.UNPROVEN, f"{app.name}: {facts.needs_atomic}"
    return Verdict.APPLICATION, f"{app.name}: held in a state that may be copied at different moments"
