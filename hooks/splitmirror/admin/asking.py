"""Ask data servers what is held there now, and arrays in which state the mirrors are: in parallel, each for a short time.

Nothing is changed. One that does not answer is an answer too: it is said, and nobody else waits for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from splitmirror import moves
from splitmirror.job import Job, mirror_key
from splitmirror_drivers.contracts.array import Array, Pair, PairState, Traits
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Fault, UnknownAnswer

ANSWER_SECONDS = 15.0
SLACK_SECONDS = 3.0
"""Beyond the deadline that a driver was given: one that does not keep it must not keep us."""
STANDING_STATES = frozenset({"taking", "taken"})

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Held:
    """One hold as the record on its data server tells it. `boot` is that server's boot when it was taken."""

    host: str
    run: str
    owner: str
    name: str
    family: str
    state: str
    boot: str

    @property
    def stands(self) -> bool:
        """Whether the record does not say that it ended."""
        return self.state in STANDING_STATES


@dataclass(frozen=True, slots=True)
class HostSaid:
    """What a data server answered. `boot` is only asked for when something stands; "" else."""

    records: tuple[Held, ...]
    boot: str = ""

    def standing(self) -> tuple[Held, ...]:
        """The holds that may be in force now."""
        return tuple(held for held in self.records if held.stands)


@dataclass(frozen=True, slots=True)
class MirrorSaid:
    """What an array answered of one group."""

    pairs: tuple[Pair, ...]
    state: PairState
    traits: Traits

    @property
    def words(self) -> str:
        """The vendor's words, each once."""
        return ", ".join(dict.fromkeys(pair.word or pair.state.value for pair in self.pairs)) or "no pairs"

    def carries(self, copy: str) -> bool:
        """Whether a copy stands there that can be read: of an array that keeps several, the one named `copy`."""
        pairs = [pair for pair in self.pairs if pair.copy == copy] if self.traits.keeps_copies else list(self.pairs)
        return bool(pairs) and all(pair.state in moves.EXPOSABLE for pair in pairs)

    @property
    def is_at_rest(self) -> bool:
        """Whether every pair shows a state in which it may stay."""
        return bool(self.pairs) and all(pair.state in moves.RESTING for pair in self.pairs)


def each_answer(
    work: Callable[[T, Deadline], R], things: Mapping[str, T], seconds: float = ANSWER_SECONDS
) -> dict[str, R | Fault]:
    """`work` for each thing in a thread of its own; its result, or the Fault that says why there is none in time."""
    answers: queue.SimpleQueue[tuple[str, R | Fault]] = queue.SimpleQueue()
    deadline = Deadline.after(seconds)

    def one(name: str, thing: T) -> None:
        try:
            answers.put((name, work(thing, deadline)))
        except Fault as fault:
            answers.put((name, fault))
        except Exception as exc:  # noqa: BLE001 - a thread's failure is an answer: one broken driver, not no status
            answers.put((name, Fault(f"{name} cannot be asked: {exc!r}")))

    for name, thing in things.items():
        threading.Thread(target=one, args=(name, thing), daemon=True).start()
    found: dict[str, R | Fault] = {}
    patience = Deadline.after(seconds + SLACK_SECONDS)
    while len(found) < len(things):
        try:
            name, answer = answers.get(timeout=max(0.001, patience.left()))
        except queue.Empty:
            break
        found[name] = answer
    late = {name: DeadlinePassed(f"{name} gave no answer within {seconds:.0f} s") for name in things}
    return {name: found.get(name, late[name]) for name in things}


def ask_hosts(jobs: Iterable[Job]) -> dict[str, HostSaid | Fault]:
    """What the record of every data server says, each server once however many policies name it."""
    hosts: dict[str, tuple[Host, tuple[str, ...]]] = {}
    for job in jobs:
        for host in job.data_hosts():
            hosts.setdefault(host.name, (host, families_of(job, host)))
    return each_answer(lambda pair, deadline: _ask_host(*pair, deadline), hosts)


def families_of(job: Job, host: Host) -> tuple[str, ...]:
    """The verb families of a run, so that a data server that has its guard program already is not sent another one."""
    return tuple(
        sorted({"filesystem", *(f for app in job.applications if app.host.name == host.name for f in app.families)})
    )


def _ask_host(host: Host, families: tuple[str, ...], deadline: Deadline) -> HostSaid:
    """The connection stays: an array may be asked over it at the same time. Whoever asks closes it when all is said."""
    host.families(families)
    host.connect(deadline)
    answer = host.call(Verb("host.records"), deadline)
    if answer.exit_code != 0:
        raise CommandFailed(f"{host.name} cannot say what is held there", detail=answer.said)
    records = tuple(parse_record(host.name, line) for line in answer.lines("hold"))
    if not any(held.stands for held in records):
        return HostSaid(records)
    return HostSaid(records, host.call(Verb("host.facts"), deadline).facts.get("boot", ""))


def parse_record(host: str, line: str) -> Held:
    """One ``hold`` fact of ``host.records``: RUN, OWNER, NAME, FAMILY, STATE, BOOT between tabs. Raises UnknownAnswer."""
    fields = line.split("\t")
    state = fields[4].partition(" ")[0] if len(fields) == 6 else ""
    if state not in {*STANDING_STATES, "ended"}:
        raise UnknownAnswer(f"{host} answered a record that is not understood: {line!r}")
    run, owner, name, family, whole, boot = fields
    return Held(host, run, owner, name, family, whole, boot)


def ask_mirrors(jobs: Iterable[Job]) -> dict[str, MirrorSaid | Fault]:
    """The state of every group, each once."""
    groups: dict[str, tuple[Array, str]] = {}
    for job in jobs:
        for mirror in job.mirrors:
            for group in mirror.groups:
                groups.setdefault(mirror_key(mirror.array.name, group), (mirror.array, group))
    return each_answer(lambda pair, deadline: ask_mirror(*pair, deadline), groups)


def ask_mirror(array: Array, group: str, deadline: Deadline) -> MirrorSaid:
    pairs = array.query(group, deadline)
    return MirrorSaid(pairs, moves.group_state(pairs, array.traits), array.traits)
