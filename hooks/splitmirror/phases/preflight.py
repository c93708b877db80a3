"""Preflight: everything is asked, nothing is changed. What it finds decides whether the run may go on at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from splitmirror import best, coverage, moves, rotation
from splitmirror.job import Job
from splitmirror.journal.contract import Journal
from splitmirror.parallel import by_name, each
from splitmirror.phases import freezing
from splitmirror.phases.survey import Covered, Held, Survey, Target
from splitmirror_drivers.contracts.application import Application, Facts, Verdict
from splitmirror_drivers.contracts.array import Atomic, Move, Source
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import NotCovered, Refused

CONNECT_SECONDS = 30.0
ASK_SECONDS = 60.0


def connect_all(job: Job) -> None:
    """Connect every host of the policy at once, having said which verb families each will need."""
    needed: dict[str, set[str]] = {host.name: set() for host in job.all_hosts()}
    for app in job.applications:
        needed[app.host.name] |= set(app.families)
        needed[app.host.name].add("filesystem")

    def connect(host: Host) -> None:
        host.families(sorted(needed[host.name]))
        host.connect(Deadline.after(CONNECT_SECONDS))

    each(connect, job.all_hosts())


def disconnect_all(job: Job) -> None:
    """End every connection."""
    for host in job.all_hosts():
        host.disconnect()


def survey(job: Job, journal: Journal, run_id: str = "", *, may_copy_all: bool = False) -> Survey:
    """Ask hosts (which must be connected), applications, arrays and presentations for real. Raises what must be mended first."""
    deadline = Deadline.after(ASK_SECONDS)
    found = by_name(lambda app: app.check(deadline), job.applications)
    targets = tuple(
        rotation.choose(job, index, mirror, journal, run_id, deadline, is_ahead=may_copy_all)
        for index, mirror in enumerate(job.mirrors)
    )
    for target in targets:
        if not may_copy_all:
            rotation.refuse_full(target)
        if target.mode is None:
            moves.require(Move.SPLIT, target.key, target.array.query(target.group, deadline), target.array.traits)
    machines = known_machines(job, deadline)
    covered = _coverage(job, found, targets, machines, deadline)
    _refuse_slow_split(job, targets)
    freezers = tuple(freezing.freezers(job, found, targets, covered))
    freezer_facts = {app.name: app.check(deadline) for app in freezers}
    held = [*_holds(job.applications, found), *_holds(freezers, freezer_facts, belongs=False)]
    _refuse_frozen_split(targets, held)
    verdict, one_moment, reasons = _best(job, found, targets, held, covered, machines, deadline)
    frozen = freezing.frozen_targets(targets, held, covered, machines, deadline)
    freezing.refuse_writes_to_copy(job, targets, frozen, deadline)
    each(lambda placed: placed.presentation.check(deadline), job.presented)
    facts = found | freezer_facts
    return Survey(
        job.applications, facts, targets, tuple(held), freezers, verdict, one_moment, reasons, frozen, machines
    )


def known_machines(job: Job, deadline: Deadline) -> dict[str, str]:
    """Which machine is behind each host's name: one that is reached as itself and over SSH is still one."""
    hosts = job.all_hosts() if len(job.all_hosts()) > 1 else ()
    said = by_name(lambda host: host.call(Verb("host.machine"), deadline).facts.get("machine", ""), hosts)
    return {name: machine for name, machine in said.items() if machine}


def _coverage(
    job: Job, facts: Mapping[str, Facts], targets: Sequence[Target], machines: Mapping[str, str], deadline: Deadline
) -> dict[str, list[Covered]]:
    data = [s for t in targets if not t.is_log for s in t.array.sources(t.group, deadline)]
    logs = [s for t in targets if t.is_log for s in t.array.sources(t.group, deadline)]
    names = ", ".join(target.key for target in targets)

    def one(app: Application) -> list[Covered]:
        seen, also = ([coverage.as_seen(s, app.host.name, machines) for s in sources] for sources in (data, logs))
        said = job.policy.said_below(app.host.name)
        places = coverage.locate(app.host, facts[app.name].files, deadline, sources=seen, said=said)
        coverage.require(app.name, places, seen, names)
        every = [*seen, *also]
        log_places = coverage.locate(app.host, facts[app.name].log_files, deadline, sources=every, said=said)
        coverage.require(app.name, log_places, every, names)
        return [*places, *(replace(place, is_log=True) for place in log_places)]

    return by_name(one, job.applications)


def _refuse_slow_split(job: Job, targets: Sequence[Target]) -> None:
    """An array that copies during the split (a directory mirror) says how long; over max-freeze it is refused."""
    for target in targets:
        seconds = target.array.split_estimate(target.group)
        if seconds is not None and seconds > job.policy.max_freeze:
            raise Refused(
                f"{target.key}: its split would take about {seconds:.0f} s, longer than max-freeze "
                f"({job.policy.max_freeze})",
                hint="raise max-freeze if writers can wait that long, or use an array that splits at once",
            )


def _refuse_frozen_split(targets: Sequence[Target], held: Sequence[Held]) -> None:
    """An array that writes to the primary's own filesystem when it splits would wait for ever while that is frozen."""
    frozen = [one.hold.name for one in held if one.hold.covers_paths]
    bad = [target.key for target in targets if not target.is_log and not target.array.traits.allows_freeze]
    if frozen and bad:
        raise Refused(
            f"{bad[0]} cannot split while a filesystem is frozen ({frozen[0]})",
            hint='set freeze-filesystems = "none", and name no filesystem application in this policy',
        )


def _holds(applications: Sequence[Application], facts: Mapping[str, Facts], *, belongs: bool = True) -> list[Held]:
    return [
        Held(app.host, hold, app.name if belongs else "") for app in applications for hold in app.holds(facts[app.name])
    ]


def _best(
    job: Job,
    facts: Mapping[str, Facts],
    targets: Sequence[Target],
    held: Sequence[Held],
    covered: Mapping[str, Sequence[Covered]],
    machines: Mapping[str, str],
    deadline: Deadline,
) -> tuple[Verdict, bool, tuple[str, ...]]:
    data = [target for target in targets if not target.is_log]
    sources = {target.key: target.array.sources(target.group, deadline) for target in data}
    is_all = len(data) == len(targets)  # a log mirror is split later: then no one moment carries everything
    one_moment = is_all and best.is_one_moment(data, {key: len(found) for key, found in sources.items()})
    carriers = {app.name: _carrier(covered[app.name], data, sources, machines) for app in job.applications}
    quiesces = _quiesced(data)
    verdict, reasons = best.at_best(
        job.applications, facts, held, covered, carriers=carriers, is_whole=one_moment, quiesces=quiesces
    )
    if verdict is Verdict.UNPROVEN:
        raise Refused(
            f"the copy of {job.name} could not be called good whatever happens",
            detail="\n".join(reasons),
            hint="use an array that splits the whole group at one moment, or let the filesystems be frozen",
        )
    if job.policy.on_quiesce_failure == "crash-consistent" and not one_moment:
        raise Refused(
            f'{job.name}: on-quiesce-failure = "crash-consistent" needs one atomic group that carries everything',
            hint='use "fail", or an array that splits the whole group at one moment',
        )
    return verdict, one_moment, reasons


def _carrier(
    places: Sequence[Covered],
    targets: Sequence[Target],
    sources: Mapping[str, Sequence[Source]],
    machines: Mapping[str, str],
) -> best.Carrier:
    """The groups that one application's files (not its logs) lie on, as one."""

    def carrying(some: Sequence[Covered]) -> list[Target]:
        return [
            target
            for target in targets
            if any(
                coverage.touches(p, coverage.as_seen(s, p.host, machines)) for p in some for s in sources[target.key]
            )
        ]

    mine = [place for place in places if not place.is_log]
    on = carrying(mine)
    if best.is_one_moment(on, {target.key: len(sources[target.key]) for target in on}):
        return best.Carrier(is_one_moment=True, quiesces=_quiesced(on))
    structured = carrying([place for place in mine if place.has_structure])
    devices = [target for target in structured for source in sources[target.key] if source.kind == "device"]
    if len(devices) > 1:
        return best.Carrier(False, "its filesystem or disk group may span devices that are not split at one moment")
    is_torn = any(target.array.traits.atomic is Atomic.NOTHING for target in devices)
    return best.Carrier(False, "the split of its filesystem's device is not one moment" if is_torn else "")


def _quiesced(targets: Sequence[Target]) -> frozenset[str]:
    """What every one of these splits brings to rest by itself."""
    every = [frozenset(target.array.traits.quiesces) for target in targets]
    return frozenset.intersection(*every) if every else frozenset()


def require_same(before: Survey, after: Mapping[str, Facts]) -> None:
    """Arm asks again: files that moved since preflight are an error, hours later as well as seconds."""
    for name, facts in after.items():
        if facts.files != before.facts[name].files or facts.log_files != before.facts[name].log_files:
            raise NotCovered(
                f"{name}: its files changed while the mirror was being established",
                hint="run it again; if a volume was added, add it to the mirror first",
            )
