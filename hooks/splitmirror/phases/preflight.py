"""Preflight: everything is asked, nothing is changed. What it finds decides whether the run may go on at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror import best, coverage, moves, rotation
from splitmirror.job import Job
from splitmirror.journal.contract import Journal
from splitmirror.parallel import by_name, each
from splitmirror.phases.survey import Covered, Held, Survey, Target
from splitmirror_drivers.contracts.application import Application, Facts, Verdict
from splitmirror_drivers.contracts.array import Atomic, Move
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import NotCovered, PolicyFault, Refused

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
        rotation.choose(job, index, mirror, journal, run_id, deadline) for index, mirror in enumerate(job.mirrors)
    )
    for target in targets:
        if not may_copy_all:
            rotation.refuse_full(target)
        if target.mode is None:
            moves.require(Move.SPLIT, target.key, target.array.query(target.group, deadline), target.array.traits)
    machines = known_machines(job, deadline)
    covered = _coverage(job, found, targets, machines, deadline)
    _refuse_slow_split(job, targets)
    freezers = tuple(_freezers(job, found, targets, covered))
    freezer_facts = {app.name: app.check(deadline) for app in freezers}
    held = [*_holds(job.applications, found), *_holds(freezers, freezer_facts, belongs=False)]
    verdict, one_moment, reasons = _best(job, found, targets, held, covered, deadline)
    frozen = _frozen_targets(targets, held, covered, machines, deadline)
    _refuse_writes_to_copy(job, targets, frozen, deadline)
    each(lambda placed: placed.presentation.check(deadline), job.presented)
    facts = found | freezer_facts
    return Survey(job.applications, facts, targets, tuple(held), freezers, verdict, one_moment, reasons, frozen, machines)


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
        places = coverage.locate(app.host, facts[app.name].files, deadline)
        coverage.require(app.name, places, seen, names)
        log_places = coverage.locate(app.host, facts[app.name].log_files, deadline)
        coverage.require(app.name, log_places, [*seen, *also], names)
        return [*places, *log_places]

    return by_name(one, job.applications)


def _refuse_slow_split(job: Job, targets: Sequence[Target]) -> None:
    """An array that copies during the split (a directory mirror) says how long; over max-freeze it is refused."""
    for target in targets:
        estimate = getattr(target.array, "split_estimate", None)
        seconds = estimate(target.group) if callable(estimate) else None
        if seconds is not None and seconds > job.policy.max_freeze:
            raise Refused(
                f"{target.key}: its split would take about {seconds:.0f} s, longer than max-freeze "
                f"({job.policy.max_freeze})",
                hint="raise max-freeze if writers can wait that long, or use an array that splits at once",
            )


def _freezers(
    job: Job, facts: Mapping[str, Facts], targets: Sequence[Target], covered: Mapping[str, Sequence[Covered]]
) -> list[Application]:
    """The filesystem holds that ``freeze-filesystems`` asks for, one application per host."""
    mounts = frozen_mounts(job, facts, targets, covered)
    hosts = {host.name: host for host in job.data_hosts()}
    return [job.freezer(hosts[name], sorted(paths)) for name, paths in mounts.items() if paths]


def frozen_mounts(
    job: Job, facts: Mapping[str, Facts], targets: Sequence[Target], covered: Mapping[str, Sequence[Covered]]
) -> dict[str, set[str]]:
    """Mount points to freeze, by host name.

    ``auto``: every filesystem on mirrored block devices, for a clean copy; of a mirrored tree, whose copy has a
    filesystem of its own, only where an application needs one moment that the array does not give.
    """
    wish = job.policy.freeze_filesystems
    mounts: dict[str, set[str]] = {}
    if wish == "none":
        return mounts
    places = [place for app_places in covered.values() for place in app_places]
    if not isinstance(wish, str):
        known = {(place.host, place.mount) for place in places}
        for entry in wish:
            host, _, path = entry.rpartition(":")
            matching = {(h, m) for h, m in known if m == path and host in ("", h)}
            if not matching:
                raise PolicyFault(
                    f"freeze-filesystems names {entry}, where no file of {job.name} lies",
                    detail="mounted: " + ", ".join(sorted(f"{h}:{m}" for h, m in known)),
                )
            for name, mount in matching:
                mounts.setdefault(name, set()).add(mount)
        return mounts
    data = [target for target in targets if not target.is_log]
    if not all(target.array.traits.allows_freeze for target in data):
        return mounts
    on_devices = any(
        source.kind == "device"
        for target in data
        for source in target.array.sources(target.group, Deadline.after(ASK_SECONDS))
    )
    splits_at_once = all(t.array.traits.atomic in (Atomic.GROUP, Atomic.GROUPS) for t in data)
    for app in job.applications:
        needs = on_devices or (bool(facts[app.name].needs_atomic) and not splits_at_once)
        for place in covered[app.name] if needs else ():
            mounts.setdefault(place.host, set()).add(place.mount)
    return mounts


def _frozen_targets(
    targets: Sequence[Target],
    held: Sequence[Held],
    covered: Mapping[str, Sequence[Covered]],
    machines: Mapping[str, str],
    deadline: Deadline,
) -> frozenset[str]:
    """Targets on whose devices every filesystem with a file of ours is frozen over their split."""
    frozen = {(one.host.name, path) for one in held for path in one.hold.covers_paths}
    places = [place for app_places in covered.values() for place in app_places]
    found = set()
    for target in targets:
        sources = [] if target.is_log else target.array.sources(target.group, deadline)
        mine = [
            place
            for place in places
            if any(coverage.is_covered(place, coverage.as_seen(source, place.host, machines)) for source in sources)
        ]
        if mine and all((place.host, place.mount) in frozen for place in mine):
            found.add(target.key)
    return frozenset(found)


def _refuse_writes_to_copy(job: Job, targets: Sequence[Target], frozen: frozenset[str], deadline: Deadline) -> None:
    """Replaying a journal writes to the copy: only where the array repairs that at the next establish."""
    for placed in job.presented:
        target = next(target for target in targets if target.mirror == placed.mirror)
        is_safe = target.key in frozen or target.array.traits.tracks_copy_writes
        sources = target.array.sources(target.group, deadline)
        if placed.presentation.writes_to_copy and not is_safe and any(source.kind == "device" for source in sources):
            raise Refused(
                f"presenting {target.key} at {placed.presentation.path} would write to the copy (journal replay), "
                "and its array does not track that",
                hint='let its filesystems be frozen: freeze-filesystems = "auto"',
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
    deadline: Deadline,
) -> tuple[Verdict, bool, tuple[str, ...]]:
    data = [target for target in targets if not target.is_log]
    counts = {target.key: len(target.array.sources(target.group, deadline)) for target in data}
    devices = [s for t in data for s in t.array.sources(t.group, deadline) if s.kind == "device"]
    one_moment = best.is_one_moment(data, counts)
    verdict, reasons = best.at_best(
        job.applications, facts, held, covered, one_moment=one_moment, spans_devices=len(devices) > 1
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


def require_same(before: Survey, after: Mapping[str, Facts]) -> None:
    """Arm asks again: files that moved since preflight are an error, hours later as well as seconds."""
    for name, facts in after.items():
        if facts.files != before.facts[name].files or facts.log_files != before.facts[name].log_files:
            raise NotCovered(
                f"{name}: its files changed while the mirror was being established",
                hint="run it again; if a volume was added, add it to the mirror first",
            )
