"""Do an application's files lie on the mirror? Application → files → devices → the group's sources, by name.

The classic loss of split-mirror shops: a data file is added on a new volume, every night is green, the restore lacks
the file. So a file outside is an error with both names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from splitmirror.phases.survey import Covered
from splitmirror_drivers.contracts.array import Source
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import NotCovered, UnknownAnswer

FIELDS = 4


def locate(host: Host, paths: Sequence[str], deadline: Deadline) -> list[Covered]:
    """Where each of `paths` really lies on `host`. Raises NotCovered for a path that does not exist."""
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


def is_under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it."""
    folder = folder.rstrip("/") or "/"
    return path == folder or path.startswith(folder if folder == "/" else folder + "/")


def as_seen(source: Source, host: str, machines: Mapping[str, str]) -> Source:
    """The source under the name of `host`, when that is a name of the same machine."""
    if source.host and source.host != host and machines.get(source.host, "?") == machines.get(host, "!"):
        return replace(source, host=host)
    return source


def is_covered(place: Covered, source: Source) -> bool:
    """Whether one file lies on one mirrored source: on its device, or in its tree and not on a mount inside it."""
    if source.host not in ("", place.host):
        return False
    if source.kind == "device":
        return place.device == source.id
    return is_under(place.path, source.id) and not (place.mount != source.id and is_under(place.mount, source.id))


def require(application: str, places: Sequence[Covered], sources: Sequence[Source], mirrors: str) -> None:
    """Raise NotCovered naming the first file of `application` that no source of `mirrors` carries."""
    outside = [place for place in places if not any(is_covered(place, source) for source in sources)]
    if outside:
        named = ", ".join(f"{s.id}" + (f" on {s.host}" if s.host else "") for s in sources) or "nothing"
        raise NotCovered(
            f"{application}: {outside[0].path} on {outside[0].host} does not lie on the mirror {mirrors}",
            detail="\n".join(
                [f"outside: {p.path} (device {p.device}, mounted at {p.mount})" for p in outside]
                + [f"mirrored: {named}"]
            ),
            hint="add its volume to the mirror group and to the policy, or move the file",
        )
