"""A small world in memory that passes for hosts, guards, an array, an application and a presentation.

It implements the contracts, keeps real state (what is held, in which state the mirror is, what is presented) and can
be told to fail, hang, lie or lose its link at any verb. Tests ask the world afterwards what is true.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from splitmirror.job import Job, MirrorSet, Placed
from splitmirror.policy.types import Mirror, Policy, Present
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.array import (
    Action,
    Atomic,
    Exposed,
    Family,
    FixedBy,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
    Source,
    Traits,
)
from splitmirror_drivers.contracts.host import Answer, Blocks, Charge, EndsWith, Hold, Host, Mailbox, Message, Verb
from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, LinkLost, NotSynchronised, Unreachable

MIRROR = Traits(
    family=Family.MIRROR,
    fixed_by=FixedBy.COMPLETE,
    atomic=Atomic.GROUP,
    needs_sync=True,
    tracks_changes=True,
    tracks_copy_writes=True,
    keeps_copies=False,
    allows_freeze=True,
    source="made up for tests",
)


@dataclass
class World:
    """What is true outside the hook. `script` maps ``verb:hold`` or ``move`` to what goes wrong there."""

    script: dict[str, str] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    states: dict[str, PairState] = field(default_factory=dict)
    exposed: set[str] = field(default_factory=set)
    presented: set[str] = field(default_factory=set)
    users: list[User] = field(default_factory=list)
    copied_while: dict[str, set[str]] = field(default_factory=dict)
    is_dead: bool = False
    guards: list[FakeGuard] = field(default_factory=list)

    def note(self, what: str) -> str:
        """Trace one event; what the script says goes wrong there ("" for nothing)."""
        self.trace.append(what)
        return self.script.get(what, "")

    def is_frozen(self) -> bool:
        """Whether anything is held anywhere."""
        return any(self.held.values())

    def hook_dies(self) -> None:
        """The hook is gone at once: every guard sees end of file; nothing the dead process still says counts."""
        self.is_dead = True
        for guard in self.guards:
            guard.end_of_file()

    def revive(self) -> None:
        """A new process may speak with this world."""
        self.is_dead = False
        self.script = {}


@dataclass
class FakeGuard:
    """A guard that answers at once, through the mailbox, as the real protocol does."""

    world: World
    host_name: str
    charge: Charge
    mailbox: Mailbox
    is_lost: bool = False
    is_closed: bool = False

    def send(self, order: str) -> None:
        if self.is_lost or self.world.is_dead:
            raise LinkLost(f"the link to {self.host_name} is lost")
        word, *rest = order.split()
        getattr(self, f"on_{word}")(*rest)

    def close(self) -> None:
        if not self.is_closed and not self.world.is_dead:
            self.end_of_file()
        self.is_closed = True

    def end_of_file(self) -> None:
        """Rescue everything, top down, and say nothing to anybody."""
        for hold in reversed(self.charge.holds):
            if hold.name in self.mine():
                self.world.trace.append(f"rescue:{hold.name}")
                self.mine().discard(hold.name)
        self.is_lost = True

    def mine(self) -> set[str]:
        return self.world.held.setdefault(self.host_name, set())

    def say(self, kind: str, hold: str = "", *words: str, facts: Mapping[str, str] | None = None) -> None:
        self.mailbox(Message(self.host_name, kind, hold, words, facts or {}))

    def lose_link(self) -> None:
        self.end_of_file()
        self.say("link-lost")

    def on_open(self) -> None:
        for hold in self.charge.holds:
            wrong = self.world.note(f"open:{hold.name}")
            self.say(*(("failed", hold.name, "open", "1") if wrong else ("opened", hold.name)))

    def on_warm(self) -> None:
        for hold in self.charge.holds:
            self.world.note(f"warm:{hold.name}")
            self.say("warmed", hold.name)

    def on_watch(self, kind: str, seconds: str) -> None:
        wrong = self.world.note(f"watch:{kind}")
        self.say("watching", "", kind, "none" if wrong else "setsid")

    def on_hold(self, name: str, seconds: str) -> None:
        wrong = self.world.note(f"enter:{name}")
        if wrong == "fail":
            self.say("failed", name, "enter", "1")
        elif wrong == "link":
            self.mine().add(name)
            self.lose_link()
        elif wrong == "late":
            self.mine().add(name)  # and says so only when it is asked to let go
        elif wrong.startswith("after "):
            threading.Timer(float(wrong[6:]), self.take, (name,)).start()
        elif wrong != "hang":
            self.take(name)

    def take(self, name: str) -> None:
        self.mine().add(name)
        self.say("held", name, facts={"position": f"{name}-at-hold"})

    def on_beat(self) -> None:
        self.world.note("beat")

    def on_release(self) -> None:
        for hold in reversed(self.charge.holds):
            if hold.blocks is Blocks.NOTHING:
                continue
            wrong = self.world.note(f"leave:{hold.name}")
            if wrong == "link":
                self.lose_link()
                return
            was = hold.name in self.mine()
            self.mine().discard(hold.name)
            word = "WAS_NOT_HELD" if wrong == "not-held" or not was else "WAS_HELD"
            self.say("released", hold.name, word)

    def on_leave(self, name: str, word: str, seconds: str) -> None:
        wrong = self.world.note(f"leave:{name}")
        self.world.trace.append(f"verdict:{name}:{word}")
        was = name in self.mine()
        self.mine().discard(name)
        self.say("left", name, "WAS_NOT_HELD" if wrong == "not-held" or not was else "WAS_HELD", facts={"end": "yes"})

    def on_bye(self) -> None:
        self.end_of_file()
        self.say("bye")


@dataclass(eq=False)
class FakeHost:
    """A data server of the world."""

    world: World
    name: str
    is_local: bool = True
    is_down: bool = False

    def connect(self, deadline: Deadline) -> None:
        if self.is_down:
            raise Unreachable(f"{self.name} does not answer", hint=f"is {self.name} up?")

    def disconnect(self) -> None:
        return

    def families(self, families: Sequence[str]) -> None:
        return

    def run(self, command: Command, deadline: Deadline) -> Completed:
        raise CommandFailed("the fake host runs nothing")

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        return

    def fetch(self, path: str, limit_bytes: int, deadline: Deadline) -> bytes:
        raise CommandFailed(f"the fake host has no {path}")

    def guard(self, charge: Charge, mailbox: Mailbox, deadline: Deadline) -> FakeGuard:
        guard = FakeGuard(self.world, self.name, charge, mailbox)
        self.world.guards.append(guard)
        return guard

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        if verb.name == "host.coverage":
            rows = "\n".join(f"{path}\t/data\t/dev/sdb\text4" for path in verb.arguments)
            return Answer({"covers": rows}, 0, "")
        if verb.name == "host.devices":
            return Answer({"device": "\n".join(f"{device}\t-" for device in verb.arguments)}, 0, "")
        if verb.name == "host.rescue":
            if self.world.note(f"host.rescue:{self.name}") == "fail":
                return Answer({}, 1, "cannot")
            names = sorted(self.world.held.get(self.name, ()))
            self.world.held.pop(self.name, None)
            return Answer({"rescued": "\n".join(f"{name}\t0" for name in names)}, 0, "")
        return Answer({}, 127, f"no verb {verb.name}")


@dataclass
class FakeApplication:
    """An application with the holds it is given."""

    name: str
    host: Host
    made: tuple[Hold, ...]
    needs_atomic: str = ""
    driver: str = "fake"
    families: tuple[str, ...] = ()
    files: tuple[str, ...] = ("/data/db/file",)
    quiesced_by: str = ""

    def check(self, deadline: Deadline) -> Facts:
        return Facts(files=self.files, needs_atomic=self.needs_atomic, quiesced_by=self.quiesced_by)

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        return self.made

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:
        return Captured(steps=(f"recover {self.name}",), facts=facts, files={"label": b"a label\n"})


@dataclass
class FakeArray:
    """A mirror that is in sync as soon as it is established; every group is one pair."""

    world: World
    name: str = "array"
    traits: Traits = MIRROR

    def pair(self, group: str) -> Pair:
        state = self.world.states.setdefault(group, PairState.SYNCED)
        return Pair(group, state, state.value.upper())

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        return (self.pair(group),)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        return (Source("device", "/dev/sdb"),)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        self.world.note(f"establish:{group}:{mode.value}")
        self.world.states[group] = PairState.SYNCED

    def progress(self, group: str, deadline: Deadline) -> Progress:
        return Progress(is_done=self.pair(group).state is PairState.SYNCED)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        for group in groups:
            wrong = self.world.note(f"split:{group}")
            if wrong == "fail":
                raise CommandFailed(f"{group} cannot be split")
            if wrong == "refuse":
                raise NotSynchronised(f"{group} is not in sync")
            self.world.states[group] = PairState.SPLIT
            self.world.copied_while[group] = {name for names in self.world.held.values() for name in names}
            if wrong == "unknown":
                raise DeadlinePassed("the array gave no answer")
            if wrong == "lose-link":
                self.world.guards[0].lose_link()
        return tuple(Receipt(self.name, group, copy) for group in groups)

    def split_estimate(self, group: str) -> float | None:
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        self.world.note(f"stand-by:{','.join(groups)}")

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        self.world.note(f"expose:{receipt.group}")
        self.world.exposed.add(receipt.group)
        return Exposed("tree", (f"/copies/{receipt.group}",), "local")

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        self.world.note(f"unexpose:{receipt.group}")
        self.world.exposed.discard(receipt.group)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        self.world.note(f"discard:{receipt.group}:{receipt.copy}")

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        return (Action("local", f"{move.value} {group} {copy}", 10.0, "nothing"),)

    def restore_note(self, receipt: Receipt) -> str:
        return f"restore {receipt.group} by hand"


@dataclass
class FakePresentation:
    """Presents into the world's set."""

    world: World
    path: str
    host: Host
    driver: str = "fake"
    writes_to_copy: bool = False

    def check(self, deadline: Deadline) -> None:
        return

    def intend(self, exposed: Exposed, run: str, *, is_frozen: bool, may_write: bool = False) -> Presented:
        return Presented(self.driver, self.path, exposed, {"run": run, "frozen": str(is_frozen)})

    def present(self, intent: Presented, deadline: Deadline) -> None:
        if self.world.note("present") == "fail":
            raise CommandFailed("mount failed")
        self.world.presented.add(self.path)

    def verify(self, intent: Presented, deadline: Deadline) -> None:
        assert self.path in self.world.presented

    def users(self, intent: Presented, deadline: Deadline) -> tuple[User, ...]:
        return tuple(self.world.users)

    def withdraw(self, intent: Presented, deadline: Deadline) -> None:
        self.world.note("withdraw")
        if self.world.users:
            raise InUse(f"{self.path} is in use: {self.world.users[0]}")
        self.world.presented.discard(self.path)

    def actions(self, exposed: Exposed | None) -> tuple[Action, ...]:
        return (Action("local", f"present {self.path}", 10.0, "withdraw"),)


def hold(name: str, blocks: Blocks = Blocks.WRITES, **more: object) -> Hold:
    """A hold of the fake family, with short deadlines."""
    made = Hold(name, "fake", (), blocks, EndsWith.SESSION, enter_seconds=0.3, leave_seconds=0.3)
    for key, value in more.items():
        object.__setattr__(made, key, value)
    return made


def make_job(
    world: World,
    folder: Path,
    *,
    hosts: int = 1,
    holds: Sequence[Sequence[Hold]] = (),
    groups: tuple[str, ...] = ("a",),
    policy: Policy | None = None,
    traits: Traits = MIRROR,
) -> Job:
    """A job of this world: one application per host, one array, one presentation."""
    machines = [FakeHost(world, f"db{number}") for number in range(1, hosts + 1)]
    given = holds or [[hold(f"app{number}")] for number in range(1, hosts + 1)]
    applications = tuple(
        FakeApplication(f"app{number}", machine, tuple(mine))
        for number, (machine, mine) in enumerate(zip(machines, given, strict=True), 1)
    )
    array = FakeArray(world, traits=traits)
    local = FakeHost(world, "local")
    (folder / "present").mkdir(exist_ok=True)
    path = str(folder / "present" / "erp")
    made = policy or Policy(
        mirrors=(Mirror(array="array", groups=groups),), present=(Present(directory=path),), freeze_filesystems="none"
    )
    return Job(
        name="erp",
        policy=made,
        hosts={machine.name: machine for machine in [*machines, local]},
        applications=applications,
        mirrors=(MirrorSet(array, groups),),
        presented=(Placed(FakePresentation(world, path, local), 0),) if made.present else (),
        arrays={"array": array},
        server="backup1",
        state_folder=folder,
        freezer=lambda host, mounts: FakeApplication(
            "fs", machines[0], tuple(hold(f"fs{i}", covers_paths=(mount,)) for i, mount in enumerate(mounts))
        ),
        carried=[],
    )
