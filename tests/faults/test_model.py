"""Random nights: two policies share one array with two mirrors, and whatever may go wrong does, in any order.

Hypothesis drives the hooks and commands over the world of ``tests.fakes``, which also keeps watch by itself: it notes each
establish or discard that no promise allows. The hooks are killed at any commit and at any act, links are lost, verbs
fail, the array hangs or breaks, people pin, read, close and recover. After every step the promises hold. Reproducible:
the examples are derived from the test itself.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.engine import state_folder
from tests.fakes import FakeApplication, FakeArray, FakeHost, FakePresentation, World, hold, make_job
from tests.unit.engine.test_story import changed

from splitmirror import acts, enter, recover, rotation, story
from splitmirror.admin import recover as by_hand
from splitmirror.giveup import GiveUp
from splitmirror.job import Job, MirrorSet, Placed
from splitmirror.journal.contract import ESTABLISH, OPEN_STATUSES, Event, Kind, RunRecord, Status
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.locks import RunLock
from splitmirror.log import Teller
from splitmirror.phases import clear, quiesce, resume
from splitmirror.run import Run
from splitmirror_drivers.contracts.array import Mode, PairState, Receipt
from splitmirror_drivers.contracts.host import Answer, Blocks, Verb
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Manners
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of commits, each synced
POLICIES = ("erp", "crm")
GROUPS = ("a", "b")
HOLDS = {"erp": ("erp-log", "erp-db", "erp-fs"), "crm": ("crm-db",)}


class Killed(BaseException):
    """The hook is gone: kill -9, or power."""


@dataclass
class WatchedWorld(World):
    """What is true, and what should never have happened."""

    made_by: dict[str, str] = field(default_factory=dict)
    """Which run split each group last."""
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What is seen at each path: group and run."""
    was_shown: set[tuple[str, str]] = field(default_factory=set)
    """The same, of all times: whoever knows the devices may open them later too."""
    readers: set[str] = field(default_factory=set)
    """Groups whose copy somebody has open."""
    violations: list[str] = field(default_factory=list)
    acts_left: int = -1
    """How many acts a hook lives for; -1: for ever."""

    def note(self, what: str) -> str:
        # the split runs in a thread of its own, and the beat too: the hook dies in its main thread
        if self.acts_left >= 0 and not what.startswith(("split", "beat")):
            self.acts_left -= 1
            if self.acts_left < 0:
                self.hook_dies()
                raise Killed
        return super().note(what)


@dataclass
class WatchedArray(FakeArray):
    """Notes whatever no promise allows."""

    world: WatchedWorld
    journal: SqliteJournal | None = None
    at_work: str = ""

    def watch(self, group: str, what: str) -> None:
        assert self.journal is not None
        owner = rotation.owned(self.journal, self.at_work).get(f"array/{group}")
        pinned = any(pin.group == group for pin in self.journal.pins())
        seen = [path for path, (shown, _) in self.world.shown.items() if shown == group]
        for is_wrong, why in (
            (self.world.is_dead, "by a dead hook"),
            (bool(owner), f"while run {owner} owns its copy"),
            (pinned, "while it is pinned"),
            (bool(seen), f"while it is presented at {seen}"),
            (group in self.world.readers, "while somebody reads it"),
            (self.pair(group).state in acts.UNSETTLED, f"while it is {self.pair(group).state.value}"),
        ):
            if is_wrong:
                self.world.violations.append(f"{what} of {group} {why}")

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        self.watch(group, "establish")
        super().establish(group, mode, deadline)
        self.world.made_by.pop(group, None)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        if any(shown == receipt.group for shown, _ in self.world.shown.values()):
            self.world.violations.append(f"unexpose of {receipt.group} while it is presented")
        super().unexpose(receipt, deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        for group in groups:
            self.world.made_by[group] = copy
        try:
            return super().split(groups, copy, deadline)
        finally:
            for group in groups:
                if self.pair(group).state is not PairState.SPLIT:
                    self.world.made_by.pop(group, None)


@dataclass
class WatchedPresentation(FakePresentation):
    """Shows one group's copy at its path; knows who reads it."""

    world: WatchedWorld

    def present(self, intent: Presented, deadline: Deadline) -> None:
        super().present(intent, deadline)
        group = Path(intent.exposed.paths[0]).name
        self.world.shown[self.path] = (group, intent.data["run"])
        self.world.was_shown.add((group, intent.data["run"]))

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        group = Path(intent.exposed.paths[0]).name
        return (User(7, "tar", self.path),) if group in self.world.readers else ()

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        self.world.note("withdraw")
        if self.world.shown.get(self.path, ("", ""))[1] != intent.data["run"]:
            return
        if self.users(intent, deadline):
            raise InUse(f"{self.path} is in use")
        self.world.presented.discard(self.path)
        del self.world.shown[self.path]


class OwnHost(FakeHost):
    """Its rescue ends what the guards of that run took there, and nothing else."""

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        if verb.name != "host.rescue":
            return super().call(verb, deadline)
        if self.world.note(f"host.rescue:{self.name}") == "fail":
            return Answer({}, 1, "cannot")
        mine = [
            guard for guard in self.world.guards if (guard.host_name, guard.charge.run) == (self.name, *verb.arguments)
        ]
        names = sorted(
            {one.name for guard in mine for one in guard.charge.holds} & self.world.held.get(self.name, set())
        )
        self.world.held.get(self.name, set()).difference_update(names)
        return Answer({"rescued": "\n".join(f"{name}\t0" for name in names)}, 0, "")


def made_jobs(world: WatchedWorld, array: WatchedArray, folder: Path) -> dict[str, Job]:
    """Policy `erp`: three kinds of hold, crash-consistent where need be. Policy `crm`: one, and it reattaches."""
    blocks = {"erp-log": Blocks.NOTHING}
    jobs = {}
    for name in POLICIES:
        host = OwnHost(world, f"{name}-host")
        local = FakeHost(world, "local")
        made = [
            hold(one, blocks.get(one, Blocks.WRITES), **({"covers_paths": ("/data",)} if one.endswith("fs") else {}))
            for one in HOLDS[name]
        ]
        base = make_job(world, folder, holds=[made], groups=GROUPS)
        jobs[name] = replace(
            base,
            name=name,
            hosts={host.name: host, "local": local},
            applications=(FakeApplication(name, host, tuple(made)),),
            mirrors=(MirrorSet(array, GROUPS),),
            presented=(Placed(WatchedPresentation(world, str(folder / "present" / name), local), 0),),
            arrays={"array": array},
        )
    erp, crm = jobs["erp"], jobs["crm"]
    return {
        "erp": replace(erp, policy=changed(erp.policy, on_quiesce_failure="crash-consistent")),
        "crm": replace(crm, policy=changed(crm.policy, reattach="after-backup", on_backup_failure="reattach")),
    }


every_hold = [one for names in HOLDS.values() for one in names]
ills = st.one_of(  # each kind as likely as any other
    st.sampled_from([f"enter:{one}=late" for one in every_hold]),
    st.sampled_from([f"enter:{one}={how}" for one in every_hold for how in ("fail", "link", "hang")]),
    st.sampled_from([f"leave:{one}={how}" for one in every_hold for how in ("not-held", "link")]),
    st.sampled_from([f"split:{group}={how}" for group in GROUPS for how in ("refuse", "fail", "unknown", "lose-link")]),
    st.sampled_from([f"host.rescue:{name}-host=fail" for name in POLICIES]),
    st.sampled_from(["present=fail", "watch:lasting=none", *(f"open:{names[0]}=fail" for names in HOLDS.values())]),
)
fates = st.one_of(
    st.just(()),
    st.tuples(st.just("ill"), st.lists(ills, min_size=1, max_size=2)),
    st.tuples(st.just("dies at commit"), st.integers(1, 45), st.booleans()),
    st.tuples(st.just("dies at act"), st.integers(0, 25)),
)


class Nights(RuleBasedStateMachine):
    """One installation, for a few nights."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = state_folder(Path(tempfile.mkdtemp(prefix="nights-", dir=MEMORY)))
        self.world = WatchedWorld()
        self.journal = SqliteJournal(self.folder)
        self.array = WatchedArray(self.world, journal=self.journal)
        self.jobs = made_jobs(self.world, self.array, self.folder)
        self.log = logging.Logger("nights")  # noqa: LOG001 - one of its own, which nobody hears
        self.log.addHandler(logging.NullHandler())

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    # -- a hook or command, and how it ends

    def run_of(self, policy: str, record: RunRecord) -> Run:
        self.array.at_work = record.run_id
        teller = Teller(Manners(), io.StringIO())
        return Run(self.jobs[policy], self.journal, record, self.log, teller, GiveUp())

    @contextmanager
    def lived(self, fate: tuple[object, ...]) -> Iterator[None]:
        """A process that may fare ill or be killed. Afterwards it is gone, and the world is as it left it."""
        append, self.world.script = self.journal.append, {}
        if fate and fate[0] == "ill":
            self.world.script = dict(one.split("=") for one in fate[1])  # type: ignore[attr-defined]
        elif fate and fate[0] == "dies at act":
            self.world.acts_left = int(str(fate[1]))
        elif fate:
            self.journal.append = self.dying(append, int(str(fate[1])), after=bool(fate[2]))  # type: ignore[method-assign]
        try:
            yield
        except Fault:
            pass  # told to whoever called the hook; what is true afterwards is checked below
        except Killed:
            pass
        finally:
            self.world.hook_dies()
            self.journal.append = append  # type: ignore[method-assign]
            self.world.acts_left = -1
            self.world.revive()
            self.world.guards = [guard for guard in self.world.guards if not guard.is_closed]

    def dying(self, append: Callable[..., None], number: int, *, after: bool) -> Callable[..., None]:
        commits = 0

        def one(run_id: str, events: list[Event]) -> None:
            nonlocal commits
            commits += 1
            if self.world.is_dead or (commits == number and not after):
                self.world.hook_dies()
                raise Killed
            append(run_id, events)
            if commits == number:
                self.world.hook_dies()
                raise Killed

        return one

    @contextmanager
    def alone(self, run_id: str) -> Iterator[None]:
        lock = RunLock(self.folder, run_id)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @rule(policy=st.sampled_from(POLICIES), fate=fates)
    def pre(self, policy: str, fate: tuple[object, ...]) -> None:
        call = Invocation("generic", Hook.PRE, policy=policy)
        entered = enter.begin_or_join(self.jobs[policy], self.journal, call, 0.0)
        try:
            with self.lived(fate):
                story.prepare(self.run_of(policy, entered.record))
        finally:
            assert entered.lock is not None
            entered.lock.release()

    @rule(policy=st.sampled_from(POLICIES), status=st.sampled_from(list(BackupStatus)))
    def a_good_night(self, policy: str, status: BackupStatus) -> None:
        self.pre(policy, ())
        self.post(policy, status, ())

    @rule(policy=st.sampled_from(POLICIES), before=fates, status=st.sampled_from(list(BackupStatus)), after=fates)
    def a_bad_night(
        self, policy: str, before: tuple[object, ...], status: BackupStatus, after: tuple[object, ...]
    ) -> None:
        self.pre(policy, before)
        self.post(policy, status, after)

    @rule()
    def a_quiet_day(self) -> None:
        """Nobody reads, nothing is pinned any more, the array is well, and a person brings all to rest."""
        self.world.readers.clear()
        for pin in self.journal.pins():
            self.journal.unpin(pin.array, pin.group)
        for group in GROUPS:
            if self.array.pair(group).state in acts.UNSETTLED:
                self.array_trouble(group, PairState.BROKEN)
        self.recover()
        for record in self.journal.open_runs():
            with self.lived(()), self.alone(record.run_id):
                by_hand.close_ready(self.run_of(record.policy, record))
        assert self.journal.open_runs() == ()
        assert not self.world.shown
        assert not self.journal.claims()

    @rule(policy=st.sampled_from(POLICIES), status=st.sampled_from(list(BackupStatus)), fate=fates)
    def post(self, policy: str, status: BackupStatus, fate: tuple[object, ...]) -> None:
        call = Invocation("generic", Hook.POST, policy=policy)
        record = enter.find_own(self.jobs[policy], self.journal, call)
        if record is None:
            return
        with self.lived(fate), self.alone(record.run_id):
            if enter.strike_off(self.jobs[policy], self.journal, record, call, 0.0):
                story.finish(self.run_of(policy, record), status)

    @rule(policy=st.sampled_from(POLICIES), fate=fates)
    def establish(self, policy: str, fate: tuple[object, ...]) -> None:
        call = Invocation(ESTABLISH, Hook.PRE)
        entered = enter.begin(self.jobs[policy], self.journal, call, 0.0)
        try:
            with self.lived(fate):
                story.establish_ahead(self.run_of(policy, entered.record), may_copy_all=False)
        finally:
            assert entered.lock is not None
            entered.lock.release()

    # -- people

    @rule(fate=fates)
    def recover_dies_or_not(self, fate: tuple[object, ...]) -> None:
        with self.lived(fate):
            self.recover_all()

    @rule()
    def recover(self) -> None:
        """With nothing in its way a recover brings everything to rest that nobody waits for."""
        with self.lived(()):
            self.recover_all()
        is_free = not self.world.readers and not any(self.array.pair(g).state in acts.UNSETTLED for g in GROUPS)
        for record in self.journal.open_runs() if is_free else ():
            assert record.status is Status.READY, f"{record.run_id} is {record.status.value} after a recover"

    def recover_all(self) -> None:
        for record in sorted(self.journal.open_runs(), key=lambda record: record.number):
            run = self.run_of(record.policy, record)
            if record.status is not Status.READY or not clear.is_awaited(run, record):
                with self.alone(record.run_id):
                    recover.bring_to_rest(run, record)

    @precondition(lambda self: self.world.shown)
    @rule(data=st.data(), fate=fates)
    def close(self, data: st.DataObject, fate: tuple[object, ...]) -> None:
        _, run_id = data.draw(st.sampled_from(sorted(self.world.shown.values())))
        record = self.journal.run(run_id)
        if record.status is Status.READY:
            with self.lived(fate), self.alone(run_id):
                by_hand.close_ready(self.run_of(record.policy, record))

    @rule(group=st.sampled_from(GROUPS))
    def pin_or_unpin(self, group: str) -> None:
        if any(pin.group == group for pin in self.journal.pins()):
            self.journal.unpin("array", group)
        else:
            self.journal.pin("array", group, "for a restore", "ann", 0.0)

    @rule(group=st.sampled_from(GROUPS))
    def open_or_close_a_copy(self, group: str) -> None:
        if group in self.world.readers or (group, self.world.made_by.get(group)) in self.world.was_shown:
            self.world.readers ^= {group}

    @rule(group=st.sampled_from(GROUPS), state=st.sampled_from([PairState.BROKEN, PairState.SPLITTING]))
    def array_trouble(self, group: str, state: PairState) -> None:
        """It breaks or hangs, and the next time it is well again; what was copied is still there."""
        is_split = group in self.world.made_by
        well = PairState.SPLIT if is_split else PairState.SYNCED
        self.world.states[group] = state if self.array.pair(group).state not in acts.UNSETTLED else well

    # -- the promises

    @invariant()
    def nothing_is_frozen_when_no_hook_is_alive(self) -> None:
        assert not self.world.is_frozen()

    @invariant()
    def nothing_was_overwritten(self) -> None:
        assert self.world.violations == []

    @invariant()
    def what_is_presented_is_what_it_is_called(self) -> None:
        for path, (group, run_id) in self.world.shown.items():
            record, events = self.journal.run(run_id), self.journal.events(run_id)
            assert record.status in OPEN_STATUSES, f"{path} is presented by a run that is closed"
            assert self.world.made_by.get(group) == run_id, f"{path} shows another run's copy"
            (verdict,) = [event.key for event in events if event.kind is Kind.NOTE and event.act == "verdict"]
            assert verdict in ("application", "crash"), f"{path} shows what is {verdict}"
            if verdict == "application":
                assert set(HOLDS[record.policy]) <= self.world.copied_while[group], (
                    f"{path} is called better than it is"
                )

    @invariant()
    def a_closed_run_has_left_nothing(self) -> None:
        for record in self.journal.runs(limit=1000):
            if record.status not in OPEN_STATUSES:
                left = [act.name for act in acts.standing(self.journal.events(record.run_id)) if act.name != "split"]
                assert left == [], f"{record.run_id} is closed and has left {left}"

    @invariant()
    def no_copy_belongs_to_two_runs(self) -> None:
        opened = [acts.standing(self.journal.events(record.run_id)) for record in self.journal.open_runs()]
        owned = [act.key for standing in opened for act in standing if act.name == "split"]
        assert len(owned) == len(set(owned))
        assert all(job.carried == [] for job in self.jobs.values())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "LOOK_APART_SECONDS", 0.0)
    monkeypatch.setattr(quiesce, "SLACK_SECONDS", 0.0)
    monkeypatch.setattr(resume, "LEAVE_SLACK_SECONDS", 0.2)


TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=200,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
