"""`splitmirror init`: ask, and write a commented policy; or add one to the file that is there.

Every answer can be given by a flag, and with ``--yes`` nobody is asked. Nothing is written before the last answer, and
what is written has been loaded as a hook would load it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from splitmirror import wiring
from splitmirror.admin import next_steps
from splitmirror.admin.answers import Asker, can_ask, decoded, required, settings, wrong_value
from splitmirror.policy import drivers, edit, load, rules
from splitmirror.policy.draft import Draft, Entry
from splitmirror.policy.drivers import APPLICATIONS, ARRAYS, HOSTS, LOCAL, Section
from splitmirror.policy.load import Loaded, find_config
from splitmirror_drivers.kit.errors import GivenUp, UsageFault

SUMMARY = "ask, and write a commented policy"
NONE = "none"
COMMAND = "command"
TREES = ("btrfs", "directory", "simulator")
"""Arrays whose copies are directories already; the copies of all others are mounted."""
SETS = ("host", "application", "array", "policy")
FLAGS: Mapping[str, str] = {
    "name": "name of the policy",
    "application": "what is quiesced: an application driver, or none",
    "host": "where it runs: local, a host of the file, or the name of a new one",
    "address": "new host: its address",
    "user": "new host: the account we log in as",
    "sudo": "new host: the account that commands run as there",
    "key": "new host: file of the private key",
    "array": "what makes the mirror: an array driver, or an array of the file",
    "array-host": "where the array's commands run",
    "groups": "the array's groups that take turns, with commas",
    "present": "the path at which the copy appears",
    "present-as": "mount, directory or raw",
    "product": "the backup product",
}
HEAD = """\
# Policy file of splitmirror. `splitmirror check` tries it for real; lines behind # show what else there is.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    for flag, text in FLAGS.items():
        parser.add_argument(f"--{flag}", default="", metavar="TEXT", help=text)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="any other key, for example application.port=5433, array.groups.erp.source=/srv/erp, policy.max-freeze=10s",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="ask nothing: flags and defaults only")
    parser.add_argument(
        "--print", action="store_true", dest="is_print", help="write no file: print what would be added"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when a policy was written (or printed); then the next commands have been printed too."""
    given = {flag: getattr(arguments, flag.replace("-", "_")) for flag in FLAGS}
    path = find_config(arguments.config, os.environ)
    asker = Asker(given, takes_defaults=arguments.yes)
    known = load.load(path) if path.exists() else None
    questions = Questions(known, asker, settings(arguments.sets, SETS))
    if not arguments.yes:
        sys.stdout.write(f"A policy for {path}; Enter takes what stands in [ ], Ctrl-C leaves nothing behind.\n")
    draft = questions.draft()
    product = questions.product()
    text = draft.text() if known else HEAD + draft.text()
    if arguments.is_print:
        sys.stdout.write(text)
        return 0
    if not asker.agrees(f"\n{text}\nWrite this to {path}?"):
        raise GivenUp("given up: nothing was written")
    if known:
        edit.add(path, text)
    else:
        edit.write_new(path, text)
    hooks_find = find_config("", {**os.environ, "SPLITMIRROR_CONFIG": ""})  # a product's environment has not ours
    sys.stdout.write(next_steps.text(draft, product, path, is_default=path == hooks_find))
    return 0


class Questions:
    """The questions, in the order of the story: what, where, which mirror, where to. `known`: the file that is there."""

    def __init__(self, known: Loaded | None, asker: Asker, sets: Mapping[str, Any]) -> None:
        self.known = known
        self.asker = asker
        self.sets = sets
        self.entries: list[Entry] = []

    def draft(self) -> Draft:
        """Everything asked. Raises GivenUp or UsageFault."""
        name = self.asker.ask("name", "name of the policy", "erp" if not self.known else None, self.wrong_name)
        application, host = self.application(name)
        array, groups, kind, at = self.array(name, host)
        policy: dict[str, Any] = {"applications": [application]} if application else {}
        policy["mirrors"] = [{"array": array, "groups": groups}]
        policy["present"] = [self.present(name, kind, at)]
        return Draft(name, self.entries, {**policy, **self.sets["policy"]})

    def wrong_name(self, name: str) -> str:
        """Why this cannot be the new policy's name."""
        if not rules.NAME.fullmatch(name):
            return "a name has letters, digits, '.', '_' and '-'"
        return f"there is a policy {name} already" if self.known and name in self.known.configuration.policies else ""

    def application(self, name: str) -> tuple[str, str]:
        """The application's name and its host; "" and this machine when none is quiesced."""
        words = [*drivers.names(APPLICATIONS), NONE]
        kind = self.asker.choose("application", "what is quiesced", words, None)
        if kind == NONE:
            return "", LOCAL
        host = self.host()
        entry = Entry(APPLICATIONS, self.free(APPLICATIONS, name), kind, dict(self.sets["application"]), host)
        self.fill(entry)
        return entry.name, host

    def host(self) -> str:
        """A host's name; a new one's table too."""
        known = set(self.known.host_options) if self.known else {LOCAL}
        name = self.asker.ask(
            "host",
            f"where it runs ({', '.join(sorted(known))}, or the name of a new data server)",
            LOCAL,
            lambda said: "" if rules.NAME.fullmatch(said) else "a name has letters, digits, '.', '_' and '-'",
        )
        if name not in known:
            values: dict[str, Any] = {
                "addresses": [self.asker.ask("address", f"address of {name}", name)],
                "user": self.asker.ask("user", f"account we log in to {name} as", "splitmirror"),
            }
            if sudo := self.asker.ask("sudo", f"account that commands on {name} run as, by sudo", "root"):
                values["sudo"] = sudo
            key = self.asker.ask("key", "file of the private key", f"/etc/splitmirror/{name}.key", _absolute)
            self.entries.append(Entry(HOSTS, name, "ssh", {**values, "key": {"file": key}, **self.sets["host"]}))
        return name

    def array(self, name: str, host: str) -> tuple[str, list[str], str, str]:
        """The array's name, the groups, the driver and its host."""
        known = self.known.array_options if self.known else {}
        words = [*known, *(one for one in drivers.names(ARRAYS) if one not in known)]
        chosen = self.asker.choose("array", "what makes the mirror", words, None)
        wants_groups = self.asker.ask("groups", "its groups that take turns, with commas", name)
        groups = [group.strip() for group in wants_groups.split(",") if group.strip()]
        if chosen in known:
            return chosen, groups, known[chosen][0], known[chosen][2]
        default = host if chosen in TREES else LOCAL
        where = self.asker.ask("array-host", "where its commands run", default, self.wrong_host)
        entry = Entry(ARRAYS, self.free(ARRAYS, chosen), chosen, dict(self.sets["array"]), where)
        self.fill(entry, groups)
        return entry.name, groups, chosen, where

    def wrong_host(self, name: str) -> str:
        """Why an array's commands cannot run there."""
        new = {entry.name for entry in self.entries if entry.section is HOSTS}
        hosts = new | set(self.known.host_options if self.known else [LOCAL])
        return "" if name in hosts else f"there is no such host; there are: {', '.join(sorted(hosts))}"

    def free(self, section: Section, wanted: str) -> str:
        """`wanted`, or with a number where the file has one of that name."""
        taken = getattr(self.known.configuration, section.name) if self.known else {}
        return next(name for name in (wanted, *(f"{wanted}{n}" for n in range(2, 1000))) if name not in taken)

    def fill(self, entry: Entry, groups: Sequence[str] = ()) -> None:
        """Ask for the keys that the entry's driver cannot be without, and keep the entry."""
        kind = drivers.options_type(entry.section, entry.kind)
        wanted = required(kind) if kind is not None and issubclass(kind, msgspec.Struct) else {}
        has_groups = get_origin(wanted.get("groups")) is dict
        to_ask = [key for key in wanted if key not in entry.values and not (key == "groups" and has_groups)]
        hopeless = [key for key in to_ask if not can_ask(wanted[key])]
        if hopeless or (entry.kind == COMMAND and not entry.values):
            raise UsageFault(
                f"what the {entry.section.one} driver {entry.kind} needs is more than questions can ask",
                hint=f"start from a file in samples/policies, or say it all with --set {entry.section.one}.KEY=VALUE",
            )
        for key in to_ask:
            entry.values[key] = self.value(entry, key, wanted[key])
        if has_groups:
            self.fill_groups(entry, groups, get_args(wanted["groups"])[1])
        self.entries.append(entry)

    def fill_groups(self, entry: Entry, groups: Sequence[str], kind: type[Any]) -> None:
        """The array's own tables of its groups."""
        tables = entry.values.setdefault("groups", {})
        for group in groups:
            table = tables.setdefault(group, {})
            for key, of in required(kind).items():
                if key not in table:
                    table[key] = self.value(entry, key, of, group)

    def value(self, entry: Entry, key: str, kind: Any, of: str = "") -> object:
        """One key that must be given; by flag it is ``--set``."""
        if self.asker.takes_defaults:
            path = f"{entry.section.one}.{f'groups.{of}.' if of else ''}{key}"
            raise UsageFault(f"{entry.kind} needs {key}", hint=f"say --set {path}=VALUE")
        said = self.asker.ask(
            "", f"{entry.kind}: {f'{of}: ' if of else ''}{key}", None, lambda text: wrong_value(kind, text)
        )
        return decoded(kind, said)

    def present(self, name: str, array: str, at: str) -> dict[str, Any]:
        """Where the copy appears: one that is a directory, on the host that has it."""
        is_tree = array in TREES
        host = at if is_tree else LOCAL
        machine = "this machine" if host == LOCAL else host
        path = self.asker.ask("present", f"where the copy appears on {machine}", f"/backup/{name}", _absolute)
        kind = self.asker.choose("present-as", "as what", rules.PRESENT_KINDS, "directory" if is_tree else "mount")
        return {kind: path, **({"host": host} if host != LOCAL else {})}

    def product(self) -> str:
        """The backup product, for the commands that are printed."""
        known = wiring.products(self.asker.given.get("product", ""))
        return self.asker.choose("product", "the backup product", sorted(known), "generic")


def _absolute(path: str) -> str:
    return "" if Path(path).is_absolute() else "write it from the root on"
