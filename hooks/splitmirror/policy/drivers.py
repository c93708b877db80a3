"""What a policy file needs of the catalogue: which drivers there are, and the type of a driver's own table.

Beside ``wiring``, which builds drivers, the only importer of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitmirror_drivers import catalogue

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Section:
    """One section of named driver tables. `key` names the driver in it; `has_host`: its drivers work on a host."""

    name: str
    one: str
    key: str
    has_host: bool
    table: Mapping[str, catalogue.Loader[Any]]


HOSTS = Section("hosts", "host", "transport", False, catalogue.HOSTS)
ARRAYS = Section("arrays", "array", "driver", True, catalogue.ARRAYS)
APPLICATIONS = Section("applications", "application", "driver", True, catalogue.APPLICATIONS)
SECTIONS = (HOSTS, ARRAYS, APPLICATIONS)


def names(section: Section) -> list[str]:
    """Every driver of a section, installed third parties' too."""
    return catalogue.names(section.table, section.name)


def options_type(section: Section, kind: str) -> type[Any] | None:
    """The option type of one driver; imports that driver and no other. None: there is no such driver."""
    loader = catalogue.find(section.table, section.name, kind)
    return None if loader is None else loader().options
