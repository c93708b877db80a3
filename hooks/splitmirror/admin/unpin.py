"""`splitmirror unpin`: let a pinned copy go. The next run may establish over it."""

from __future__ import annotations

import argparse
import sys

from splitmirror.admin import frame, naming, pin
from splitmirror.job import mirror_key
from splitmirror.journal.contract import Pin
from splitmirror.office import Office
from splitmirror.report import account
from splitmirror_drivers.kit.errors import Refused, UsageFault

SUMMARY = "let a pinned copy go"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    pin.add_target(parser, "its one pinned copy is let go")


def run(arguments: argparse.Namespace) -> int:
    """0 when what was meant is pinned no more."""
    with frame.office(arguments) as office:
        return unpin(office, arguments.name)


def unpin(office: Office, name: str) -> int:
    """Let go of each mirror that is meant."""
    keys = meant(office, name)
    for key in keys:
        office.journal.unpin(*naming.split_key(key))
    sys.stdout.write(f"unpinned: {', '.join(keys)}\n")
    return 0


def meant(office: Office, name: str) -> list[str]:
    """The pinned mirrors that are meant. Raises Refused when none is, UsageFault when it is not clear which."""
    pins = {mirror_key(one.array, one.group): one for one in office.journal.pins()}
    configuration = office.loaded.configuration
    if naming.is_policy(configuration, name):
        found = [key for key in naming.mirrors_of(configuration, name) if key in pins]
        require_clear(name, {key: pins[key] for key in found})
    elif "/" in name:
        found = [name] if name in pins else []
    else:
        made_by = account.of(office.journal, naming.find_run(office.journal, name))
        found = [key for key in sorted(made_by.receipts()) if key in pins]
    if not found:
        raise Refused(f"nothing of {name} is pinned", hint=f"pinned: {naming.listed(sorted(pins))}")
    return found


def require_clear(policy: str, pins: dict[str, Pin]) -> None:
    """Several pins of one policy are one wish only when they were set together, for one reason."""
    if len({one.reason for one in pins.values()}) > 1:
        listed = "\n".join(f"{key}: {one.reason} ({one.who})" for key, one in pins.items())
        raise UsageFault(
            f"{policy} has {len(pins)} pinned mirrors, for different reasons",
            detail=listed,
            hint="say which one: ARRAY/GROUP",
        )
