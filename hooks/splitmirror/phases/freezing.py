"""Which filesystems stand still over the split, which copies are clean therefore, and which may not be presented else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror import coverage
from splitmirror.job import Job
from splitmirror.phases.survey import Covered, Held, Target
from splitmirror_drivers.contracts.application import Application, Facts
from splitmirror_drivers.contracts.array import Atomic
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused

ASK_SECONDS = 60.0


def freezers(
    job: Job, facts: Mapping[str, Facts], targets: Sequence[Target], covered: Mapping[str, Sequence[Covered]]
) -> list[Application]:
    """The filesystem holds that ``freeze-filesystems`` asks for, one application per host."""
    mounts = frozen_mounts(job, facts, targets, covered)
    hosts = {host.name: host for host in job.data_hosts()}
    for app in job.applications:  # what an application freezes itself is not frozen twice: that would be refused
        for hold in app.holds(facts[app.name]):
            mounts.get(app.host.name, set()).difference_update(hold.covers_paths)
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
        known = {(place.host, place.mount) for place in places if not place.is_raw}
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
            if not place.is_raw:
                mounts.setdefault(place.host, set()).add(place.mount)
    return mounts


def frozen_targets(
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
            if any(coverage.touches(place, coverage.as_seen(source, place.host, machines)) for source in sources)
        ]
        if mine and all((place.host, place.mount) in frozen for place in mine):
            found.add(target.key)
    return frozenset(found)


def refuse_writes_to_copy(job: Job, targets: Sequence[Target], frozen: frozenset[str], deadline: Deadline) -> None:
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
