"""`splitmirror status`: the first screen at three in the morning. What is held now is asked, not remembered."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from splitmirror.admin import asking, frame, status_page
from splitmirror.admin.asking import HostSaid, MirrorSaid
from splitmirror.admin.situation import judge
from splitmirror.admin.view import Level, Situation, View, worst
from splitmirror.job import Job, mirror_key
from splitmirror.locks import RunLock
from splitmirror.office import Office
from splitmirror.report import account
from splitmirror.report.account import Account
from splitmirror.state import boot_id
from splitmirror_drivers.kit.errors import Fault, JournalFault

SUMMARY = "what happened, what is held now, the last good copy, what to do"
REMEMBERED_RUNS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("policy", nargs="?", default="", help="which policy (default: all)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--offline", action="store_true", help="ask no host and no array: the journal alone")


@dataclass(frozen=True, slots=True)
class Asked:
    """What hosts and arrays answered; None when nobody was asked."""

    hosts: Mapping[str, HostSaid | Fault] | None = None
    mirrors: Mapping[str, MirrorSaid | Fault] | None = None


def run(arguments: argparse.Namespace) -> int:
    """0 all well; 1 a person should look; 2 somebody may be frozen, or something is stuck; 3 cannot tell."""
    try:
        with frame.office(arguments) as office:
            return tell(office, arguments)
    except Fault as fault:
        sys.stderr.write(f"splitmirror status: cannot tell: {fault.full()}\n")
        return Level.CANNOT_TELL


def tell(office: Office, arguments: argparse.Namespace) -> int:
    """Ask, judge, show. Without a journal, data servers are still asked."""
    names = policies(office, arguments.policy)
    try:
        history = tuple(account.accounts(office.journal, limit=REMEMBERED_RUNS))
    except JournalFault as fault:
        return without_journal(office, fault, is_offline=arguments.offline)
    now = time.time()
    jobs, broken = wired(office, names)
    asked = Asked() if arguments.offline else ask(list(jobs.values()))
    found = [judged(office, job, history, asked, now) for job in jobs.values()]
    if arguments.json:
        frame.write_json(status_page.as_data(found, broken, now, is_asked=not arguments.offline))
    else:
        sys.stdout.write(status_page.as_text(found, broken, now, str(office.path)))
    return worst([*(one.level for one in found), *(Level.CANNOT_TELL for _ in broken)])


def policies(office: Office, wanted: str) -> list[str]:
    """The policies to show. Raises a PolicyFault naming them when the wanted one is not in the file."""
    if wanted:
        office.job(wanted)
        return [wanted]
    return list(office.loaded.configuration.policies)


def wired(office: Office, names: Sequence[str]) -> tuple[dict[str, Job], dict[str, Fault]]:
    """The jobs that can be built, and why the others cannot: one broken policy must not hide the rest."""
    jobs: dict[str, Job] = {}
    broken: dict[str, Fault] = {}
    for name in names:
        try:
            jobs[name] = office.job(name)
        except Fault as fault:
            broken[name] = fault
    return jobs, broken


def ask(jobs: Sequence[Job]) -> Asked:
    """Hosts and arrays at the same time; afterwards the connections of those that answered are closed."""
    with ThreadPoolExecutor(2) as pool:
        hosts_to_come = pool.submit(asking.ask_hosts, jobs)
        mirrors_to_come = pool.submit(asking.ask_mirrors, jobs)
        hosts, mirrors = hosts_to_come.result(), mirrors_to_come.result()
    for job in jobs:
        for host in job.all_hosts():
            if not isinstance(hosts.get(host.name), Fault):
                host.disconnect()
    return Asked(hosts, mirrors)


def judged(office: Office, job: Job, history: tuple[Account, ...], asked: Asked, now: float) -> Situation:
    """The situation of one policy, with where its newest log lies."""
    state = job.state_folder
    mine = tuple(account.accounts(office.journal, job.name, REMEMBERED_RUNS))
    known = {one.run_id: one for one in (*history, *mine)}
    view = View(
        policy=job.name,
        server=job.server,
        now=now,
        boot=boot_id(),
        longest_backup=float(job.policy.longest_backup),
        accounts=mine,
        carriers=account.carriers(sorted(known.values(), key=lambda one: -one.record.number)),
        living=frozenset(run for run, one in known.items() if one.is_open and RunLock(state, run).is_alive()),
        host_names=tuple(host.name for host in job.data_hosts()),
        mirror_keys=tuple(dict.fromkeys(mirror_key(m.array.name, group) for m in job.mirrors for group in m.groups)),
        pins={mirror_key(pin.array, pin.group): pin for pin in office.journal.pins()},
        hosts=asked.hosts,
        mirrors=asked.mirrors,
    )
    found = judge(view)
    return replace(found, log=str(log_file(office, found.run_id))) if found.run_id else found


def log_folder(office: Office) -> Path:
    """Where the logs of this installation lie."""
    settings = office.loaded.configuration.settings
    return Path(settings.log) if settings.log else office.state.path / "log"


def log_file(office: Office, run_id: str) -> Path:
    """The log of one run."""
    return log_folder(office) / f"{run_id}.log"


def without_journal(office: Office, fault: Fault, *, is_offline: bool) -> int:
    """The journal cannot be read, but data servers keep records of their own: what they say is held is said."""
    sys.stderr.write(f"splitmirror status: cannot tell what happened: {fault.full()}\n")
    jobs, _ = wired(office, list(office.loaded.configuration.policies))
    if is_offline or not jobs:
        return Level.CANNOT_TELL
    level = Level.CANNOT_TELL
    for name, said in asking.ask_hosts(jobs.values()).items():
        if isinstance(said, Fault):
            says, level = f"cannot be asked: {said.message}", Level.FROZEN
        elif standing := said.standing():
            says, level = "held: " + ", ".join(f"{h.name} by run {h.run} of {h.owner}" for h in standing), Level.FROZEN
        else:
            says = "nothing is held"
        sys.stderr.write(f"  {name}: {says}\n")
    return level
