"""What no type can say: names that must exist, paths that must be absolute and distinct, numbers with a least value."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from splitmirror.policy.drivers import LOCAL
from splitmirror.policy.problem import KeyPath, Problem, nearest
from splitmirror.policy.types import Configuration, Mirror, Policy, Present

if TYPE_CHECKING:
    from splitmirror.policy.load import Loaded

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
"""Names become parts of file names, copy names and the guard's words, here and on data servers."""
PRESENT_KINDS = ("mount", "directory", "raw", "drive")
VOLUME_MANAGERS = ("volume-group", "disk-group", "pool")
CARD_SUFFIX = ".card"
_LEAST = {"streams": 1, "keep": 1, "retries": 0}
_MUST_LAST = ("max_freeze", "max_outage", "max_establish", "longest_backup")


def problems(loaded: Loaded, hosts: Collection[str], policies: Collection[str]) -> list[Problem]:
    """Every rule that `loaded` breaks. `hosts`, `policies`: all names in the file, also of tables that are wrong."""
    return list(_Rules(loaded, hosts, policies).all())


class _Rules:
    def __init__(self, loaded: Loaded, hosts: Collection[str], policies: Collection[str]) -> None:
        self.loaded = loaded
        self.configuration: Configuration = loaded.configuration
        self.hosts = hosts
        self.policies = policies

    def all(self) -> Iterator[Problem]:
        yield from self.names()
        yield from self.settings()
        yield from self.host_names()
        for name, policy in self.configuration.policies.items():
            yield from self.policy(policy, ("policies", name))
        yield from self.presented()

    def names(self) -> Iterator[Problem]:
        c = self.configuration
        sections: Mapping[str, Collection[str]] = {
            "hosts": c.hosts, "arrays": c.arrays, "applications": c.applications, "policies": self.policies,
        }  # fmt: skip
        for section, names in sections.items():
            for name in names:
                if not NAME.fullmatch(name):
                    yield Problem((section, name), "is not a name", "use letters, digits, '.', '_' and '-', at most 64")
        transport = self.loaded.host_options.get(LOCAL, (LOCAL,))[0]
        if transport != LOCAL:
            yield Problem(("hosts", LOCAL, "transport"), f'the host "{LOCAL}" is this machine', "use another name")

    def settings(self) -> Iterator[Problem]:
        s = self.configuration.settings
        for key, value in (("state", s.state), ("log", s.log)):
            if value and not value.startswith(("/", "~/")):
                yield Problem(("settings", key), f'"{value}" is not an absolute path', "write it from the root on")
        if s.server and not NAME.fullmatch(s.server):
            yield Problem(("settings", "server"), f'"{s.server}" is not a name', "use letters, digits, '.', '_', '-'")

    def host_names(self) -> Iterator[Problem]:
        c = self.configuration
        for section, tables in (("arrays", c.arrays), ("applications", c.applications)):
            for name, table in tables.items():
                if isinstance(host := table.get("host", LOCAL), str):
                    yield from self.known(host, self.hosts, "host", (section, name, "host"))

    def policy(self, policy: Policy, at: KeyPath) -> Iterator[Problem]:
        yield from _numbers(policy, at)
        if isinstance(policy.freeze_filesystems, tuple):
            yield from _paths(policy.freeze_filesystems, (*at, "freeze-filesystems"))
        for number, app in enumerate(policy.applications):
            where = (*at, "applications", number)
            yield from self.known(app, self.configuration.applications, "application", where)
            if app in policy.applications[:number]:
                yield Problem(where, f'"{app}" is named twice')
        yield from self.mirrors(policy, at)
        for number, present in enumerate(policy.present):
            yield from self.present(policy, present, (*at, "present", number))

    def mirrors(self, policy: Policy, at: KeyPath) -> Iterator[Problem]:
        if not policy.mirrors:
            yield Problem((*at, "mirrors"), "is empty", 'write mirrors = [{ array = "…", groups = ["…"] }]')
        seen: set[str] = set()
        for key, mirrors in (("mirrors", policy.mirrors), ("log-mirrors", policy.log_mirrors)):
            for number, mirror in enumerate(mirrors):
                where = (*at, key, number)
                if not mirror.groups:
                    yield Problem((*where, "groups"), "is empty", "name at least one group of that array")
                yield from self.known(mirror.array, self.configuration.arrays, "array", (*where, "array"))
                yield from self.groups(mirror, (*where, "groups"), seen)

    def groups(self, mirror: Mirror, at: KeyPath, seen: set[str]) -> Iterator[Problem]:
        known = known_groups(self.loaded, mirror.array)
        for number, group in enumerate(mirror.groups):
            if known is not None:
                yield from self.known(group, known, f"group of {mirror.array}", (*at, number))
            key = f"{mirror.array}/{group}"
            if key in seen:
                yield Problem(
                    (*at, number), f"{key} is named twice in this policy", "each mirror has one task in a run"
                )
            seen.add(key)

    def present(self, policy: Policy, present: Present, at: KeyPath) -> Iterator[Problem]:
        given = [kind for kind in PRESENT_KINDS if getattr(present, kind)]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "says not where"
            yield Problem(at, f"{what}: it wants exactly one of {', '.join(PRESENT_KINDS)}")
        for kind in given:
            if kind != "drive":
                yield from _paths([getattr(present, kind)], (*at, kind))
        yield from _managed(present, at)
        yield from self.known(present.host, self.hosts, "host", (*at, "host"))
        if present.mirror:
            every = (*policy.mirrors, *policy.log_mirrors)
            words = [m.array for m in every] + [f"{m.array}/{group}" for m in every for group in m.groups]
            yield from self.known(present.mirror, words, "mirror of this policy", (*at, "mirror"))

    def presented(self) -> Iterator[Problem]:
        """Places of copies: two at one place, and another's backup is taken for one's own when that one is absent."""
        places = [
            (present.host, path, ("policies", name, "present", number))
            for name, policy in self.configuration.policies.items()
            for number, present in enumerate(policy.present)
            if (path := place(present)).startswith("/")
        ]
        for (host, path, first), (other_host, other, second) in combinations(places, 2):
            if host == other_host and _collide(path, other):
                what = f"{other} is presented twice" if path == other else f"{other} and {path} are in each other's way"
                first_name = f"policy {first[1]}, entry {first[3]}"
                yield Problem(second, what, f"give each copy a place of its own; the other one is {first_name}")

    def known(self, name: str, names: Collection[str], kind: str, at: KeyPath) -> Iterator[Problem]:
        if name not in names:
            one, _, rest = kind.partition(" ")
            yield Problem(at, f'there is no {kind} "{name}"', nearest(name, names, f"{one}s {rest}".strip()))


def _managed(present: Present, at: KeyPath) -> Iterator[Problem]:
    """A volume manager on the copy's devices: one, under a mount."""
    named = [key for key in VOLUME_MANAGERS if getattr(present, key.replace("-", "_"))]
    if len(named) > 1:
        yield Problem(at, f"{' and '.join(named)} are given: one copy has one volume manager")
    if named and not present.mount:
        yield Problem(
            (*at, named[0]), "belongs to a mount", f'write mount = "{present.path}" in place of what is there'
        )
    if present.volume and not named:
        yield Problem(
            (*at, "volume"), f"says which volume of what? It wants one of {', '.join(VOLUME_MANAGERS)} beside it"
        )


def known_groups(loaded: Loaded, array: str) -> Collection[str] | None:
    """The groups that an array's own table lists; None when its driver knows them only by asking the array."""
    _, options, _ = loaded.array_options.get(array, ("", None, ""))
    groups = getattr(options, "groups", None)
    return groups if isinstance(groups, Mapping) else None


def place(present: Present) -> str:
    """Where a copy is presented."""
    return present.path


def _collide(one: str, other: str) -> bool:
    """Whether one lies in the other, or in the folder of the recovery card beside it."""
    pairs = [(one, other), (other, one), (one + CARD_SUFFIX, other), (other + CARD_SUFFIX, one)]
    return any(inner == outer or inner.startswith(outer + "/") for outer, inner in pairs)


def _numbers(policy: Policy, at: KeyPath) -> Iterator[Problem]:
    for name, least in _LEAST.items():
        if getattr(policy, name) < least:
            yield Problem((*at, name), f"{getattr(policy, name)} is less than {least}")
    for name in _MUST_LAST:
        if getattr(policy, name) <= 0:
            yield Problem((*at, name.replace("_", "-")), "must be more than 0", 'write a duration such as "30s"')
    limit = float(policy.product_limit)
    if 0 < limit <= float(policy.max_freeze):
        yield Problem(
            (*at, "product-limit"),
            f"{policy.product_limit} leaves no time beside max-freeze ({policy.max_freeze})",
            "a run that may not end in time never begins to quiesce: raise it, in the product too",
        )


def _paths(paths: Sequence[str], at: KeyPath) -> Iterator[Problem]:
    for number, path in enumerate(paths):
        where = at if len(paths) == 1 and at[-1] in PRESENT_KINDS else (*at, number)
        if not path.startswith("/"):
            yield Problem(where, f'"{path}" is not an absolute path', "write it from the root on")
        elif posixpath.normpath(path) != path:
            yield Problem(where, f'"{path}" is not written plainly', f'write "{posixpath.normpath(path)}"')
        elif path == "/":
            yield Problem(where, "the root of this machine is no place for that")
