"""`splitmirror pin`: keep a copy. Nobody establishes over it, reattaches it or discards it until it is unpinned."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from splitmirror.admin import asking, frame, naming
from splitmirror.admin.who import who_is_asking
from splitmirror.job import Job
from splitmirror.journal.contract import Kind
from splitmirror.locks import Lock, mirror_lock
from splitmirror.office import Office
from splitmirror.report import account
from splitmirror.report.account import Account
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse, Refused, UsageFault

SUMMARY = "keep a copy: nobody may establish over it"
LOCK_SECONDS = 2.0
REMEMBERED_RUNS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_target(parser, "its newest copy is kept")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for whoever finds it in the way")


def add_target(parser: argparse.ArgumentParser, what: str) -> None:
    """The argument that names mirrors."""
    parser.add_argument("name", metavar="POLICY|RUN|ARRAY/GROUP", help=f"a policy ({what}), a run, or one mirror")


def run(arguments: argparse.Namespace) -> int:
    """0 when every mirror that was meant is pinned now."""
    with frame.office(arguments) as office:
        return pin(office, arguments)


def pin(office: Office, arguments: argparse.Namespace) -> int:
    """Under the mirrors' locks: what is pinned is what the array says stands there."""
    if not arguments.reason.strip():
        raise UsageFault("--reason is empty", hint="say in a few words why the copy is kept, and until when")
    keys, made_by = carrying(office, arguments.name)
    warnings: list[str] = []
    with locked(office, keys):
        for key in keys:
            warnings += require_copy(office, key, made_by)
        pin_all(office, keys, arguments.reason.strip())
    for warning in warnings:
        sys.stdout.write(f"warning: {warning}\n")
    whose = f", the copy of run {made_by.run_id}" if made_by else ""
    sys.stdout.write(f"pinned: {', '.join(keys)}{whose}\n")
    return 0


def carrying(office: Office, name: str) -> tuple[list[str], Account | None]:
    """The mirrors that are meant, and the run whose copy they carry (None when a mirror was named)."""
    configuration = office.loaded.configuration
    if naming.is_policy(configuration, name):
        return newest_copy(office, name)
    if "/" in name:
        if not naming.policies_with(configuration, name):
            known = sorted(
                {key for policy in configuration.policies for key in naming.mirrors_of(configuration, policy)}
            )
            raise UsageFault(f"no policy has a mirror {name}", hint=f"the mirrors are: {naming.listed(known)}")
        return [name], None
    told = account.of(office.journal, naming.find_run(office.journal, name))
    if not told.split_keys():
        raise Refused(f"run {told.run_id} made no copy", hint="`splitmirror history` shows which did")
    return sorted(told.split_keys()), told


def newest_copy(office: Office, policy: str) -> tuple[list[str], Account]:
    """The mirrors of the newest copy of a policy."""
    for told in account.accounts(office.journal, policy, REMEMBERED_RUNS):
        if told.split_keys():
            return sorted(told.split_keys()), told
    raise Refused(f"no run of {policy} has made a copy yet")


@contextmanager
def locked(office: Office, keys: Sequence[str]) -> Iterator[None]:
    """The mirrors' locks, so that no run is changing them while they are pinned."""
    taken: list[Lock] = []
    try:
        for key in keys:
            lock = mirror_lock(office.state.path, key)
            try:
                lock.acquire(Deadline.after(LOCK_SECONDS))
            except Fault as fault:
                hint = "`splitmirror status` shows it; pin when it is done"
                raise InUse(f"a run is at work on {key}", detail=fault.full(), hint=hint) from fault
            taken.append(lock)
        yield
    finally:
        for lock in taken:
            lock.release()


def require_copy(office: Office, key: str, made_by: Account | None) -> list[str]:
    """Refuse to pin what is no longer the copy that was meant; what cannot be asked is said, not guessed."""
    if made_by:
        require_not_overwritten(office, key, made_by)
    policy = naming.policies_with(office.loaded.configuration, key)
    if not policy:
        return [f"{key} is in no policy any more; its array was not asked"]
    said = ask(office.job(policy[0]), key)
    if isinstance(said, Fault):
        return [f"{key} could not be asked whether the copy stands: {said.message}"]
    copy = made_by.receipts()[key].copy if made_by else ""
    stands = said.carries(copy) if made_by or not said.traits.keeps_copies else True
    if stands:
        return []
    if made_by:
        raise Refused(
            f"the copy of run {made_by.run_id} is not on {key}: it is {said.words} ({said.state.value})",
            hint="`splitmirror status` shows which copies stand",
        )
    return [f"{key} carries no copy now: it is {said.words} ({said.state.value}); it is kept out of the rotation"]


def require_not_overwritten(office: Office, key: str, made_by: Account) -> None:
    """Of an array that keeps one copy a group, a later run's establish has ended this one."""
    for told in account.accounts(office.journal, limit=REMEMBERED_RUNS):
        if told.record.number <= made_by.record.number:
            return
        if any(event.kind is Kind.INTENT and (event.act, event.key) == ("establish", key) for event in told.events):
            raise Refused(
                f"the copy of run {made_by.run_id} is no longer there: run {told.run_id} established {key} again",
                hint=f"`splitmirror pin {key}` keeps what is there now",
            )


def ask(job: Job, key: str) -> asking.MirrorSaid | Fault:
    """What the array says of one mirror."""
    array, group = naming.split_key(key)
    return asking.each_answer(
        lambda pair, deadline: asking.ask_mirror(*pair, deadline), {key: (job.arrays[array], group)}
    )[key]


def pin_all(office: Office, keys: Sequence[str], reason: str) -> None:
    """All or none: what was pinned here is unpinned again when a later one is refused."""
    done: list[str] = []
    try:
        for key in keys:
            office.journal.pin(*naming.split_key(key), reason, who_is_asking(), time.time())
            done.append(key)
    except Fault:
        for key in done:
            office.journal.unpin(*naming.split_key(key))
        raise
