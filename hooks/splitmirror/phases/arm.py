"""Arm: connect anew, ask again what may have changed, start the guards, warm. The last free exit."""

from __future__ import annotations

import time
from dataclasses import dataclass

from splitmirror.holding import Guards
from splitmirror.parallel import by_name
from splitmirror.phases import establish, limits, preflight, split
from splitmirror.phases.survey import Held, Survey
from splitmirror.run import Run
from splitmirror_drivers.contracts.host import Blocks, Charge, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline

GUARD_SECONDS = 30.0
WARM_SECONDS = 120.0
MARGIN_SECONDS = 5.0
CLOCK_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Leases:
    """How long holds may last before the data server ends them by itself, in seconds; they nest."""

    blocking: float
    lasting: float


def leases(run: Run, held: tuple[Held, ...]) -> Leases:
    """Blocking: time to take every blocking hold, max-freeze, a margin. Lasting: outages and everything after the split."""
    blocking = [one.hold for one in held if one.hold.blocks is not Blocks.NOTHING]
    services = any(hold.blocks is Blocks.SERVICE for hold in blocking)
    entering = sum(hold.enter_seconds for hold in blocking if hold.blocks is Blocks.WRITES)
    outage = float(run.job.policy.max_outage) if services else 0.0
    window = min(entering, float(run.job.policy.max_freeze)) + float(run.job.policy.max_freeze) + MARGIN_SECONDS
    return Leases(window + outage, max(7200.0, 2 * (window + outage)))


def arm(run: Run, survey: Survey, guards: Guards) -> dict[str, str]:
    """Everything slow that is still to be done before the first hold. Nothing is held when this returns.

    Returns how far each data server's clock is off, for the card: positions in a log may be told by that clock.
    """
    preflight.connect_all(run.job)
    deadline = run.deadline(WARM_SECONDS)
    preflight.require_same(survey, by_name(lambda app: app.check(deadline), survey.applications))
    clocks = by_name(clock_of, run.job.data_hosts())
    charges = charges_of(run, survey)
    guards.start(charges, run.deadline(GUARD_SECONDS))
    guards.ask_all("open", "opened", run.deadline(GUARD_SECONDS))
    guards.watch("lasting", leases(run, survey.held).lasting, run.deadline(GUARD_SECONDS))
    guards.ask_all("warm", "warmed", run.deadline(WARM_SECONDS))
    for target in survey.data_targets():
        establish.require_synced(target)
    for array, groups in split.by_array(survey):
        array.stand_by(groups, run.run_id, run.deadline(GUARD_SECONDS))
    limits.require_time(run, survey)
    run.give_up.check()
    return {name: said for name, said in clocks.items() if said}


def clock_of(host: Host) -> str:
    """How a data server's clock differs from ours, told to people; "" when it cannot say. Nothing is decided by it."""
    asked = time.time()
    told = host.call(Verb("host.facts"), Deadline.after(CLOCK_SECONDS)).facts.get("time", "")
    if not told.isdigit():
        return ""
    off = float(told) - (asked + time.time()) / 2
    return (
        "agrees with ours to a second or two"
        if abs(off) <= 2
        else f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} ours"
    )


def charges_of(run: Run, survey: Survey) -> dict[Host, Charge]:
    """Each data server's guard: its stack bottom first, that is in the order in which its holds are entered."""
    lease = leases(run, survey.held)
    charges = {}
    for host in run.job.data_hosts():
        mine = sorted((one for one in survey.held if one.host.name == host.name), key=stack_order)
        if mine:
            stack = tuple(one.hold for one in mine)
            charges[host] = Charge(
                run.run_id,
                run.job.server,
                stack,
                blocking_lease_seconds=lease.blocking,
                lasting_lease_seconds=lease.lasting,
            )
    return charges


def kind_order(one: Held) -> int:
    """Holds that block nothing, services, holds that block writes, filesystems: the barrier lies between these."""
    if one.hold.covers_paths:
        return 3
    return {Blocks.NOTHING: 0, Blocks.SERVICE: 1, Blocks.WRITES: 2}[one.hold.blocks]


def stack_order(one: Held) -> tuple[int, int]:
    """The place of a hold in its host's stack."""
    return (kind_order(one), one.hold.rank)
