"""One run: the journal's record, the acts that stand, the phases' names and times. It knows no vendor and no phase.

*Keep*: an act that is post's business when all goes well (split, expose, present), taken back here when it does not.
*Bracket*: what must be taken back before this process ends whatever happens (holds).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from splitmirror import acts
from splitmirror.acts import Act
from splitmirror.giveup import GiveUp
from splitmirror.job import Job, mirror_key
from splitmirror.journal.contract import Event, Journal, Kind, RunRecord, Status
from splitmirror.log import Teller
from splitmirror.parallel import together
from splitmirror.redaction import redacted
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, JournalFault, Refused

UNDO_SECONDS = 120.0
DETAIL_CHARACTERS = 4000


@dataclass
class Run:
    """What every phase is handed. `last_moment`: when the product stops waiting for us (None: it never does)."""

    job: Job
    journal: Journal
    record: RunRecord
    log: logging.Logger
    teller: Teller
    give_up: GiveUp
    last_moment: Deadline | None = None
    now: Callable[[], float] = time.time
    _standing: list[Act] = field(default_factory=list)
    _kept_back: list[Event] | None = None
    _unsaid: list[Callable[[], None]] | None = None

    @property
    def run_id(self) -> str:
        """The run's name in every message."""
        return self.record.run_id

    def deadline(self, seconds: float, *, spare_seconds: float = 0.0) -> Deadline:
        """`seconds` from now, or the product's last moment less `spare_seconds` if that is sooner."""
        if self.last_moment is None:
            return Deadline.after(seconds)
        return Deadline.after(min(seconds, max(0.0, self.last_moment.left() - spare_seconds)))

    def append(self, *events: Event) -> None:
        """Write events to the journal in one commit, stamped with the time for people; kept back inside the window."""
        stamp = self.now()
        stamped = [Event(e.kind, e.act, e.key, e.data, e.at or stamp) for e in events]
        if self._kept_back is not None:
            self._kept_back.extend(stamped)
        else:
            self.journal.append(self.run_id, stamped)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Inside: no journal, no log, no output, since any of them may wait. Afterwards all of it, in one commit."""
        self._kept_back, self._unsaid = [], []
        try:
            yield
        finally:
            events, self._kept_back = self._kept_back, None
            unsaid, self._unsaid = self._unsaid, None
            try:
                if events:
                    self.journal.append(self.run_id, events)
            finally:
                for speak in unsaid:
                    speak()

    def _say(self, speak: Callable[[], None]) -> None:
        if self._unsaid is not None:
            self._unsaid.append(speak)
        else:
            speak()

    def note(self, act: str, key: str = "", **data: object) -> None:
        """A fact for the history."""
        self.append(Event(Kind.NOTE, act, key, data))

    def status(self, status: Status, **data: object) -> None:
        """Where the run stands from now on."""
        self.append(Event(Kind.STATUS, "run", "", {"status": status.value, **data}))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One line of the story: started, then done or failed, in journal, log and on the screen alike."""
        began = time.monotonic()
        self.append(Event(Kind.STARTED, name))
        self._say(lambda: self.log.info("phase=%s event=started", name))
        self._say(lambda: self.teller.phase(name))
        try:
            yield
        except BaseException as exc:
            took = round((time.monotonic() - began) * 1000)
            said = str(exc)
            self._say(lambda: self.log.error("phase=%s event=failed took_ms=%d error=%s", name, took, said))
            with contextlib.suppress(JournalFault):  # what failed first is told; a journal that is full says so later
                self.append(Event(Kind.FAILED, name, "", {"took_ms": took, "error": str(exc)}))
            raise
        took = round((time.monotonic() - began) * 1000)
        self._say(lambda: self.log.info("phase=%s event=done took_ms=%d", name, took))
        self.append(Event(Kind.DONE, name, "", {"took_ms": took}))

    def intend(self, planned: Sequence[Act]) -> None:
        """Journal the intents of `planned` in one commit; from here on each of them is taken back if we fail."""
        self.append(*(act.event(Kind.INTENT) for act in planned))
        self._standing.extend(planned)

    def keep(self, act: Act, do: Callable[[], None]) -> None:
        """Intent, act, outcome: something that stays when all goes well."""
        self.intend([act])
        do()
        self.did(act)

    def did(self, *done: Act, **more: object) -> None:
        """Journal that acts are done."""
        self.append(*(act.event(Kind.DONE, **more) for act in done))
        self._standing = [replace(act, is_done=True) if act in done else act for act in self._standing]

    def standing(self, name: str) -> list[Act]:
        """The acts of one name that stand."""
        return [act for act in self._standing if act.name == name]

    def forget(self, act: Act) -> None:
        """The act has been taken back already (a released hold), or was never begun (a split that was not sent)."""
        self.append(act.event(Kind.UNDONE))
        self._standing.remove(act)

    def undo_all(self) -> list[Fault]:
        """Take back everything that stands; each is tried whatever happens to another. What failed."""
        return self.undo(self._standing)

    def undo(self, standing: Sequence[Act]) -> list[Fault]:
        """The same for some of what stands."""
        faults = take_back(self, standing)
        left = [act for act, _ in faults]
        self._standing = [act for act in self._standing if act not in standing or any(act is stays for stays in left)]
        return [fault for _, fault in faults]

    @contextmanager
    def taken_back_on_failure(self) -> Iterator[None]:
        """When the block fails, everything that stands is taken back and the run is closed as failed, or as stuck."""
        try:
            yield
        except Exception as exc:
            self.teller.phase("undo")
            left = self.undo_all()
            fault = exc if isinstance(exc, Fault) else Fault(f"unexpected failure: {exc!r}")
            try:
                close_failed(self, fault, left)
            except Fault as unwritten:  # the next command finds the run as one that died, and looks again
                left = [*left, unwritten]
            raise Ended(fault, left) from exc


class Ended(Fault):
    """A run that failed: the fault that ended it, and what could not be taken back (`left`; empty when all is at rest)."""

    def __init__(self, fault: Fault, left: Sequence[Fault]) -> None:
        whole = together([fault, *(one for one in left if one is not fault)])
        super().__init__(fault.message, detail=whole.detail, hint=whole.hint, retryable=fault.retryable and not left)
        self.fault = fault
        self.left = tuple(left)


def close_failed(run: Run, fault: Fault, left: Sequence[Fault]) -> None:
    """Say in the journal how the run ended, and give its claims back when nothing of it is left."""
    status = Status.STUCK if left else Status.FAILED
    seen = redacted(fault.detail)[-DETAIL_CHARACTERS:]
    run.log.error("event=ended status=%s error=%s seen=%s", status.value, fault, seen)
    run.status(status, error=str(fault), seen=seen, hint=fault.hint, left=[str(one) for one in left])
    if not left:
        run.journal.unclaim(run.run_id)


def take_back(run: Run, standing: Sequence[Act]) -> list[tuple[Act, Fault]]:
    """Undo `standing`, holds first, else newest first; journal each; return what could not be undone.

    Nothing is done to a copy that could not be withdrawn (somebody reads it), and a pinned one is not discarded.
    """
    faults: list[tuple[Act, Fault]] = []
    for act in acts.in_undo_order(standing):
        try:
            _refuse_shown(act, [left for left, _ in faults])
            _refuse_pinned(run, act)
            acts.undo(act, run.job, run.run_id, Deadline.after(UNDO_SECONDS))
            run.append(act.event(Kind.UNDONE))
        except Exception as exc:  # noqa: BLE001 - one failing undo must not keep the others from being tried
            faults.append((act, exc if isinstance(exc, Fault) else Fault(f"undo of {act.name} {act.key}: {exc!r}")))
            run.log.error("undo=%s key=%s event=failed error=%s", act.name, act.key, exc)
        else:
            run.log.info("undo=%s key=%s event=done", act.name, act.key)
    return faults


def _refuse_shown(act: Act, left: Sequence[Act]) -> None:
    if any(one.mirror and one.mirror == act.mirror for one in left if one is not act):
        raise Refused(f"{act.name} {act.key} stays as it is, since its copy could not be withdrawn")


def _refuse_pinned(run: Run, act: Act) -> None:
    pins = {mirror_key(pin.array, pin.group): pin.reason for pin in run.journal.pins()} if act.name == "split" else {}
    if act.key in pins and acts.discards(act, run.job):
        raise Refused(
            f"the copy on {act.key} is pinned: {pins[act.key]}",
            hint=f"`splitmirror unpin {act.key}` when it is no longer needed, then recover again",
        )
