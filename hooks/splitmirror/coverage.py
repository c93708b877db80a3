"""Do an application's files lie on the mirror? Application → files → devices → the group's sources, by name.

The classic loss of split-mirror shops: a data file is added on a new volume, every night is green, the restore lacks
the file. So a file outside is an error with both names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from splitmirror import devices
from splitmirror.phases.survey import RAW, Covered
from splitmirror_drivers.contracts.array import Source
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import NotCovered, UnknownAnswer

FIELDS = 4


def locate(
    host: Host,
    paths: Sequence[str],
    deadline: Deadline,
    *,
    sources: Sequence[Source] = (),
    said: Mapping[str, Sequence[str]] | None = None,
) -> list[Covered]:
    """Where each of `paths` really lies on `host`, and what that stands on. Raises NotCovered for a path that does not exist.

    `sources`: as that host sees them; `said`: what the policy says that a device or disk group stands on.
    """
    said = said or {}
    places = [*_groups(host, paths, said), *_files(host, [path for path in paths if path.startswith("/")], deadline)]
    ids = [source.id for source in sources if source.kind == "device" and source.host == host.name]
    stacks = devices.resolve(host, [place.device for place in places], ids, said, deadline)
    return [replace(place, devices=stacks[place.device]) for place in places]


def _files(host: Host, paths: Sequence[str], deadline: Deadline) -> list[Covered]:
    if not paths:
        return []
    answer = host.call(Verb("host.coverage", tuple(paths)), deadline)
    if answer.exit_code != 0:
        raise UnknownAnswer(f"{host.name} could not say where files lie", detail=answer.said)
    if missing := answer.lines("missing"):
        raise NotCovered(
            f"{host.name}: {missing[0]} does not exist", hint="check the application's settings in the policy"
        )
    rows = [line.split("\t") for line in answer.lines("covers")]
    if len(rows) != len(paths) or any(len(row) != FIELDS for row in rows):
        raise UnknownAnswer(f"{host.name} answered {len(rows)} places for {len(paths)} files", detail=answer.said)
    return [Covered(host.name, path, mount, device, kind) for path, mount, device, kind in rows]


def _groups(host: Host, paths: Sequence[str], said: Mapping[str, Sequence[str]]) -> list[Covered]:
    """Files that no path of the host leads to (``+DATA/erp/system.dbf``): their disk group, as the policy knows it."""
    found = []
    for path in paths:
        if path.startswith("/"):
            continue
        group = path.partition("/")[0]
        if group not in said:
            raise NotCovered(
                f"{host.name}: {path} is not a file of the host, and nothing says which devices {group} stands on",
                hint=f'say it in the policy: devices-below = {{ "{group}" = ["/dev/…", …] }}',
            )
        found.append(Covered(host.name, path, "", group, RAW))
    return found


def is_under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it."""
    folder = folder.rstrip("/") or "/"
    return path == folder or path.startswith(folder if folder == "/" else folder + "/")


def as_seen(source: Source, host: str, machines: Mapping[str, str]) -> Source:
    """The source under the name of `host`, when that is a name of the same machine."""
    if source.host and source.host != host and machines.get(source.host, "?") == machines.get(host, "!"):
        return replace(source, host=host)
    return source


def touches(place: Covered, source: Source) -> bool:
    """Whether a file lies on one mirrored source, or partly: on its device, or in its tree and not on a mount inside it."""
    if source.host not in ("", place.host):
        return False
    if source.kind == "device":
        return any(device.touches({source.id}) for device in place.stands_on)
    return is_under(place.path, source.id) and not (place.mount != source.id and is_under(place.mount, source.id))


def is_covered(place: Covered, sources: Sequence[Source]) -> bool:
    """Whether all of a file lies on these sources: in one tree, or everything that its devices stand on."""
    if any(source.kind != "device" and touches(place, source) for source in sources):
        return True
    ids = {source.id for source in sources if source.kind == "device" and source.host in ("", place.host)}
    return all(device.is_carried_by(ids) for device in place.stands_on)


def require(application: str, places: Sequence[Covered], sources: Sequence[Source], mirrors: str) -> None:
    """Raise NotCovered naming the first file of `application` that the sources of `mirrors` do not carry."""
    outside = [place for place in places if not is_covered(place, sources)]
    if outside:
        named = ", ".join(f"{s.id}" + (f" on {s.host}" if s.host else "") for s in sources) or "nothing"
        raise NotCovered(
            f"{application}: {outside[0].path} on {outside[0].host} does not lie on the mirror {mirrors}",
            detail="\n".join([*map(_outside, outside), f"mirrored: {named}"]),
            hint="add its volume to the mirror group and to the policy, or move the file",
        )


def _outside(place: Covered) -> str:
    """A file with its device, and what that stands on where it is something else."""
    where = f"mounted at {place.mount}" if place.mount and not place.is_raw else "raw"
    bottom = sorted({name for device in place.stands_on for name in device.bottom()} - {place.device})
    below = f", which stands on {', '.join(bottom)}" if bottom else ""
    return f"outside: {place.path} (device {place.device}, {where}{below})"
