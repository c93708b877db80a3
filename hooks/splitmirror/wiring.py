"""Policy names → drivers, built. Beside ``policy.drivers``, which reads option types, the only importer of the catalogue."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from splitmirror import secrets
from splitmirror.job import Job, MirrorSet, Placed
from splitmirror.policy.load import Loaded
from splitmirror.policy.types import Mirror, Policy, Present
from splitmirror.state import server_name
from splitmirror_drivers import catalogue
from splitmirror_drivers.catalogue import Context, Loader
from splitmirror_drivers.contracts.application import Application
from splitmirror_drivers.contracts.array import Array
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.contracts.presentation import Presentation
from splitmirror_drivers.contracts.product import Product
from splitmirror_drivers.hosts.inheriting import InheritingHost
from splitmirror_drivers.kit.errors import PolicyFault

T = TypeVar("T")
LOCAL = "local"
PLACED_BY_WIRING = frozenset({"mount", "directory", "raw", "host", "mirror", "rescan"})
"""Keys of a present entry that are no option of its driver."""


def products(wanted: str = "") -> Mapping[str, Product]:
    """Every backup product the hooks know, by name; a third party's only when it is the one that is `wanted`."""
    known = dict(catalogue.PRODUCTS)
    with contextlib.suppress(PolicyFault):  # one that cannot be loaded is not known, and the call is answered so
        if wanted and (make := catalogue.find(catalogue.PRODUCTS, "products", wanted)):
            known[wanted] = make
    return {name: make() for name, make in known.items()}


def usage() -> str:
    """How a person or a script calls the hooks."""
    from splitmirror_drivers.products.generic import USAGE

    return USAGE


def job(loaded: Loaded, name: str, state_folder: Path) -> Job:
    """Everything policy `name` needs, built and not yet connected. Raises PolicyFault naming what is missing."""
    policy = loaded.configuration.policies.get(name)
    if policy is None:
        known = ", ".join(sorted(loaded.configuration.policies)) or "none"
        raise PolicyFault(f"there is no policy {name!r}", hint=f"the policies are: {known}")
    return _Wiring(loaded, policy, name, state_folder).job()


class _Wiring:
    """One policy being wired: each host and array is built once, however many name it."""

    def __init__(self, loaded: Loaded, policy: Policy, name: str, state_folder: Path) -> None:
        self.loaded = loaded
        self.policy = policy
        self.name = name
        self.state_folder = state_folder
        self.context = Context(secret=secrets.resolve, state_folder=str(state_folder), host=self.carrier)
        self.hosts: dict[str, Host] = {}
        self.arrays: dict[str, Array] = {}
        self.carried: list[int] = []

    def job(self) -> Job:
        mirrors = [
            *(self.mirror(mirror, is_log=False) for mirror in self.policy.mirrors),
            *(self.mirror(mirror, is_log=True) for mirror in self.policy.log_mirrors),
        ]
        server = self.loaded.configuration.settings.server or server_name()
        applications = tuple(self.application(name) for name in self.policy.applications)
        return Job(
            name=self.name,
            policy=self.policy,
            hosts=self.hosts,
            applications=applications,
            mirrors=tuple(mirrors),
            presented=tuple(self.placed(present, mirrors) for present in self.policy.present),
            arrays=self.arrays,
            server=server,
            state_folder=self.state_folder,
            freezer=self.freezer,
            carried=self.carried,
        )

    def host(self, name: str) -> Host:
        if name not in self.hosts:
            if name not in self.loaded.host_options:
                known = ", ".join(sorted(self.loaded.host_options))
                raise PolicyFault(f"{self.name}: there is no host {name}", hint=f"the hosts are: {known}")
            kind, options = self.loaded.host_options[name]
            self.hosts[name] = _driver(catalogue.HOSTS, "hosts", kind).make(name, options, None, self.context)
        return self.hosts[name]

    def array(self, name: str) -> Array:
        if name not in self.arrays:
            kind, options, host = self.loaded.array_options[name]
            carrier = self.carrier(host)
            self.arrays[name] = _driver(catalogue.ARRAYS, "arrays", kind).make(name, options, carrier, self.context)
        return self.arrays[name]

    def carrier(self, name: str) -> Host:
        """A host as an array driver sees it: its commands inherit the locks that the run carries."""
        return InheritingHost(self.host(name), self.carried)

    def application(self, name: str) -> Application:
        kind, options, host = self.loaded.application_options[name]
        return _driver(catalogue.APPLICATIONS, "applications", kind).make(name, options, self.host(host), self.context)

    def mirror(self, mirror: Mirror, *, is_log: bool) -> MirrorSet:
        return MirrorSet(self.array(mirror.array), mirror.groups, is_log)

    def placed(self, present: Present, mirrors: Sequence[MirrorSet]) -> Placed:
        wanted, _, group = present.mirror.partition("/")
        matching = [
            index
            for index, mirror in enumerate(mirrors)
            if wanted in ("", mirror.array.name) and (not group or group in mirror.groups)
        ]
        if not present.mirror:  # the data, where only one mirror carries data
            matching = [index for index in matching if not mirrors[index].is_log]
        if len(matching) != 1:
            raise PolicyFault(
                f"{self.name}: it is not clear which mirror {present.path} shows",
                hint='say mirror = "ARRAY/GROUP" in that present entry',
            )
        return Placed(self.presentation(present), matching[0], present.rescan)

    def presentation(self, present: Present) -> Presentation:
        driver = _driver(catalogue.PRESENTATIONS, "presentations", present.driver)
        known = {one.name for one in msgspec.structs.fields(driver.options)}
        given = {one.name: one for one in msgspec.structs.fields(Present) if one.name not in PLACED_BY_WIRING}
        set_keys = {name for name, one in given.items() if getattr(present, name) != one.default}
        if strange := sorted(given[name].encode_name for name in set_keys - known):
            raise PolicyFault(
                f"{self.name}: {present.path}: {strange[0]} means nothing for a {present.driver} presentation",
                hint=f"leave out {', '.join(strange)}",
            )
        options = driver.options(**{name: getattr(present, name) for name in known})
        return driver.make(present.path, options, self.host(present.host), self.context)

    def freezer(self, host: Host, mounts: Sequence[str]) -> Application:
        kept = str(self.state_folder) if host.is_local else ""
        return catalogue.freezer(f"filesystems-{host.name}", host, mounts, kept)


def _driver(table: Mapping[str, Loader[T]], group: str, name: str) -> catalogue.Driver[T]:
    loader = catalogue.find(table, group, name)
    if loader is None:
        raise PolicyFault(f"there is no driver {name!r} among the {group}")
    return loader()
