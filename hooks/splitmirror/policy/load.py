"""A policy file: found, read, decoded and checked. Called at the start of every hook, so it imports only what it needs.

A good file is decoded in one go by msgspec. Only when that fails is the file walked key by key (``explain``), so that
every independent mistake is told at once, with its line and the nearest known key.
"""

from __future__ import annotations

import os
import pwd
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from splitmirror.policy import drivers, rules
from splitmirror.policy.drivers import LOCAL, Section
from splitmirror.policy.problem import KeyPath, Problem, dotted, fault, nearest
from splitmirror.policy.read import SYSTEM_FILE, read_text
from splitmirror.policy.types import Configuration, Policy, Settings
from splitmirror_drivers.kit import units
from splitmirror_drivers.kit.errors import PolicyFault

T = TypeVar("T")
SECTIONS = ("settings", *(section.name for section in drivers.SECTIONS), "policies")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy file that is right. Options are of their driver's own type; ``local`` is always among the hosts."""

    path: Path
    configuration: Configuration
    host_options: Mapping[str, tuple[str, Any]]
    """Host → transport, options."""
    array_options: Mapping[str, tuple[str, Any, str]]
    """Array → driver, options, the host its commands run on."""
    application_options: Mapping[str, tuple[str, Any, str]]
    """Application → driver, options, its data server."""


def find_config(config: str, environment: Mapping[str, str]) -> Path:
    """Which file: `config` (``--config``), SPLITMIRROR_CONFIG, /etc/splitmirror as root, else the user's own (XDG)."""
    given = config or environment.get("SPLITMIRROR_CONFIG", "")
    if given:
        return Path(given).expanduser().absolute()
    if os.geteuid() == 0:
        return SYSTEM_FILE
    base = environment.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = f"{environment.get('HOME') or pwd.getpwuid(os.geteuid()).pw_dir}/.config"
    return Path(base) / "splitmirror" / SYSTEM_FILE.name


def load(path: Path) -> Loaded:
    """The file at `path`. Raises PolicyFault that names every mistake in it."""
    return parse(read_text(path), path)


def parse(text: str, path: Path) -> Loaded:
    """`text` as if it were in the file `path`."""
    reading = _Reading(_toml(text, path))
    loaded = reading.loaded(path)
    if reading.problems:
        raise fault(path, text, reading.problems)
    return loaded


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        said = str(exc)
        place = _TOML_PLACE.search(said)
        where = f"line {place[1]}, column {place[2]}" if place and place[1] else f"the end{_last_key(text)}"
        what = _TOML_PLACE.sub("", said)
        raise PolicyFault(
            f"{path}: {where}: not TOML: {what[:1].lower()}{what[1:]}",
            hint="texts stand in quotes; a table is [a.b]; a list is [ … , … ]; an inline table { a = … } is one line",
        ) from exc


def _last_key(text: str) -> str:
    """Where that began which has no end."""
    from splitmirror.policy.find_line import key_lines

    if not (lines := key_lines(text)):
        return ""
    path, line = max(lines.items(), key=lambda item: (item[1], -len(item[0])))
    return f" (after {dotted(path)} in line {line})"


@dataclass
class _Reading:
    """One file being decoded; what is wrong is gathered and not raised."""

    raw: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def loaded(self, path: Path) -> Loaded:
        self.problems += [
            Problem((key,), "unknown section", nearest(key, SECTIONS, "sections"))
            for key in self.raw
            if key not in SECTIONS
        ]
        settings = self.decoded(Settings, self.raw.get("settings", {}), ("settings",)) or Settings()
        policies = {
            name: policy
            for name, table in self.tables("policies").items()
            if (policy := self.decoded(Policy, table, ("policies", name)))
        }
        raw = {section.name: self.tables(section.name) for section in drivers.SECTIONS}
        built = {section.name: self.driver_tables(section, raw[section.name]) for section in drivers.SECTIONS}
        hosts = {name: (kind, options) for name, (kind, options, _) in built["hosts"].items()}
        if LOCAL not in raw["hosts"] and (kind := drivers.options_type(drivers.HOSTS, LOCAL)):
            hosts[LOCAL] = (LOCAL, kind())
        configuration = Configuration(settings=settings, policies=policies, **raw)
        loaded = Loaded(path, configuration, hosts, built["arrays"], built["applications"])
        self.problems += rules.problems(loaded, [LOCAL, *raw["hosts"]], list(self.tables("policies", quiet=True)))
        return loaded

    def tables(self, section: str, *, quiet: bool = False) -> dict[str, dict[str, Any]]:
        """The named tables of a section; what is none is a problem and left out."""
        found = self.raw.get(section, {})
        if not isinstance(found, dict):
            wrong: dict[KeyPath, object] = {(section,): found}
            found = {}
        else:
            wrong = {(section, name): table for name, table in found.items() if not isinstance(table, dict)}
        if not quiet:
            self.problems += [
                Problem(path, "is not a table", f"write [{path[0]}.{path[1] if len(path) > 1 else 'NAME'}]")
                for path in wrong
            ]
        return {name: table for name, table in found.items() if isinstance(table, dict)}

    def driver_tables(self, section: Section, tables: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, Any, str]]:
        found = {name: self.driver_table(section, name, table) for name, table in tables.items()}
        return {name: entry for name, entry in found.items() if entry}

    def driver_table(self, section: Section, name: str, table: dict[str, Any]) -> tuple[str, Any, str] | None:
        at: KeyPath = (section.name, name)
        rest = {key: value for key, value in table.items() if key != section.key}
        host = rest.pop("host", LOCAL) if section.has_host else LOCAL
        if not isinstance(host, str):
            self.problems.append(Problem((*at, "host"), "is not a text", "name a host of this file, in quotes"))
            host = LOCAL
        kind = self.driver_name(section, table, at)
        options = self.options(section, kind, rest, at) if kind else None
        return (kind, options, host) if options is not None else None

    def driver_name(self, section: Section, table: dict[str, Any], at: KeyPath) -> str:
        kind = table.get(section.key)
        if kind is None:
            known = f'write for example {section.key} = "{"ssh" if section is drivers.HOSTS else "command"}"; '
            self.problems.append(
                Problem(at, f"{section.key} is missing", known + nearest("", drivers.names(section), f"{section.key}s"))
            )
        elif not isinstance(kind, str):
            self.problems.append(Problem((*at, section.key), "is not a text", "write its name in quotes"))
        else:
            return kind
        return ""

    def options(self, section: Section, kind: str, rest: dict[str, Any], at: KeyPath) -> Any:
        try:
            wanted = drivers.options_type(section, kind)
        except PolicyFault as broken:
            self.problems.append(Problem((*at, section.key), broken.message, broken.hint))
            return None
        if wanted is None:
            hint = nearest(kind, drivers.names(section), f"{section.key}s")
            self.problems.append(Problem((*at, section.key), f"there is no {section.key} {kind!r}", hint))
            return None
        return self.decoded(wanted, rest, at)

    def decoded(self, kind: type[T], table: object, at: KeyPath) -> T | None:
        """`table` as a `kind`; None when it is not one, and the problems say why."""
        try:
            return msgspec.convert(table, kind, strict=True, dec_hook=units.decode_hook)
        except msgspec.ValidationError as exc:
            from splitmirror.policy.explain import explain

            self.problems += explain(kind, table, at) or [Problem(at, str(exc))]
            return None
