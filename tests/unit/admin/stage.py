"""An office over the fake world: admin commands as they run, with a real journal, real locks and hosts that keep records."""

from __future__ import annotations

import argparse
import io
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.engine import make_run, state_folder
from tests.fakes import FakeHost, World, make_job

from splitmirror import story
from splitmirror.admin import frame
from splitmirror.job import Job
from splitmirror.journal.contract import Journal
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.office import Office
from splitmirror.policy.types import Configuration, Settings
from splitmirror.run import Run
from splitmirror.state import boot_id
from splitmirror_drivers.contracts.host import Answer, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault


@dataclass(eq=False)
class RecordingHost(FakeHost):
    """A data server whose record can be asked; `records` are lines as the guard's own verb answers them."""

    records: list[str] = field(default_factory=list)
    booted: str = "boot-1"
    hangs: bool = False
    rescued: list[str] = field(default_factory=list)
    cannot_rescue: bool = False

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        if verb.name == "host.records":
            if self.hangs:
                deadline.left()
                raise_when_passed(deadline)
            return Answer({"hold": "\n".join(self.records)} if self.records else {}, 0, "")
        if verb.name == "host.facts":
            return Answer({"boot": self.booted}, 0, "")
        if verb.name == "host.rescue":
            (run,) = verb.arguments
            mine = [line for line in self.records if line.startswith(f"{run}\t")]
            code = "1" if self.cannot_rescue else "0"
            if not self.cannot_rescue:
                self.records = [line for line in self.records if line not in mine]
                self.world.held.pop(self.name, None)
            self.rescued.append(run)
            return Answer({"rescued": "\n".join(f"{line.split(chr(9))[2]}\t{code}" for line in mine)}, 0, "")
        return super().call(verb, deadline)

    def hold(self, run: str, name: str = "app1", owner: str = "backup1", state: str = "taken", boot: str = "") -> None:
        """A record that stands there."""
        self.records.append(f"{run}\t{owner}\t{name}\tfake\t{state}\t{boot or self.booted}")


def raise_when_passed(deadline: Deadline) -> None:
    """A host that never answers, as a driver that keeps its deadline shows it."""
    import threading

    from splitmirror_drivers.kit.errors import DeadlinePassed

    threading.Event().wait(deadline.left())
    raise DeadlinePassed("no answer in its time")


@dataclass
class PolicyFile:
    """What an office needs of a loaded policy file."""

    configuration: Configuration


class StagedOffice(Office):
    """An office whose jobs are given instead of wired."""

    def __init__(self, jobs: dict[str, Job], journal: Journal, folder: Path) -> None:
        self.path = folder / "splitmirror.toml"
        self.environment = {}
        self._jobs = jobs
        policies = {name: job.policy for name, job in jobs.items()}
        configuration = Configuration(settings=Settings(state=str(folder), log=str(folder / "log")), policies=policies)
        self.__dict__["loaded"] = PolicyFile(configuration)
        self.__dict__["journal"] = journal

    def job(self, policy: str) -> Job:
        if policy not in self._jobs:
            raise PolicyFault(f"there is no policy {policy!r}")
        return self._jobs[policy]


@dataclass
class Stage:
    """World, job, journal and office of one test."""

    world: World
    job: Job
    journal: Journal
    office: StagedOffice
    hosts: list[RecordingHost]

    def run(self) -> Run:
        """A run whose process is gone (nobody holds its lock)."""
        return make_run(self.job, self.journal)

    def prepared(self) -> Run:
        """A run whose copy is READY."""
        run = self.run()
        story.prepare(run)
        return run

    def reread(self, run: Run) -> Run:
        """The same run with its record as it is now."""
        run.record = self.journal.run(run.run_id)
        return run


def make_stage(folder: Path, *, groups: tuple[str, ...] = ("a",), hosts: int = 1, **options: object) -> Stage:
    """A stage with recording data servers."""
    world = World()
    job = make_job(world, folder, groups=groups, hosts=hosts, **options)  # type: ignore[arg-type]
    recording = [RecordingHost(world, host.name) for host in job.data_hosts()]
    for app, host in zip(job.applications, recording, strict=True):
        app.host = host
    job = replace(job, hosts={**job.hosts, **{host.name: host for host in recording}})
    journal = SqliteJournal(state_folder(folder))
    return Stage(world, job, journal, StagedOffice({job.name: job}, journal, folder), recording)


def arguments(command: str, *words: str) -> argparse.Namespace:
    """The arguments of a subcommand as its own parser reads them."""
    return frame.parser(command).parse_args(words)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """One policy, one data server, one mirror."""
    return make_stage(tmp_path)


def said(work: object, *given: object) -> tuple[int, str]:
    """Exit code and standard output of a command."""
    into = io.StringIO()
    with redirect_stdout(into):
        code = work(*given)  # type: ignore[operator]
    return int(code), into.getvalue()


THIS_BOOT = boot_id()
