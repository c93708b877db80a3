"""What the journal says of one run, put together for status, history and show. Nothing is asked here but the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror import acts
from splitmirror.acts import Act
from splitmirror.journal.contract import ESTABLISH, OPEN_STATUSES, Event, Journal, Kind, RunRecord, Status
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import Receipt

GOOD_VERDICTS = frozenset({Verdict.APPLICATION.value, Verdict.CRASH.value})


@dataclass(frozen=True, slots=True)
class Account:
    """One run as the journal tells it. Times are UTC seconds, for people only."""

    record: RunRecord
    events: tuple[Event, ...]

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.record.run_id

    @property
    def is_backup(self) -> bool:
        """Whether this run was to make a copy."""
        return self.record.product != ESTABLISH

    @property
    def is_open(self) -> bool:
        """Whether the run is still somebody's business."""
        return self.record.status in OPEN_STATUSES

    @property
    def verdict(self) -> str:
        """What was proven of its copy; "" when it never came so far."""
        note = self._newest("verdict", Kind.NOTE)
        return note.key if note else ""

    @property
    def is_good_copy(self) -> bool:
        """Whether its copy was proven to be something one may rely on, and the run was not closed as failed."""
        return self.verdict in GOOD_VERDICTS and self.record.status in (Status.READY, Status.CLOSING, Status.GOOD)

    @property
    def doubts(self) -> tuple[str, ...]:
        """A sentence for each hold that did not prove."""
        note = self._newest("verdict", Kind.NOTE)
        return as_texts(note.data.get("doubts")) if note else ()

    @property
    def windows(self) -> Mapping[str, float]:
        """The freeze window of each host, in seconds."""
        note = self._newest("verdict", Kind.NOTE)
        found = note.data.get("windows") if note else None
        return {str(host): float(seconds) for host, seconds in found.items()} if isinstance(found, dict) else {}

    @property
    def longest_window(self) -> float | None:
        """The longest freeze window in seconds; None when nothing was frozen."""
        return max(self.windows.values(), default=None)

    @property
    def line(self) -> str:
        """The one line the run ended with, when it ended well."""
        return self.said("line")

    @property
    def error(self) -> str:
        """Why it failed, in the first place; "" when it did not. What a later recover met does not hide it."""
        failure = self._failure()
        return str(failure.data.get("error", "")) if failure else ""

    @property
    def seen(self) -> tuple[str, ...]:
        """What was seen when it failed, line by line: a command with its exit code and last lines, a list of doubts."""
        failure = self._failure()
        return tuple(str(failure.data.get("seen", "")).splitlines()) if failure else ()

    @property
    def hint(self) -> str:
        """What the failure said is to be done."""
        failure = self._failure()
        return str(failure.data.get("hint", "")) if failure else ""

    @property
    def left(self) -> tuple[str, ...]:
        """What could not be taken back."""
        last = self._newest("run", Kind.STATUS)
        return as_texts(last.data.get("left")) if last else ()

    @property
    def ended_at(self) -> float:
        """When it came to its present status, or when it began."""
        last = self._newest("run", Kind.STATUS)
        return last.at if last and last.at else self.record.began_at

    @property
    def ready_at(self) -> float:
        """When its copy was there; 0 when it never was."""
        for event in reversed(self.events):
            if event.kind is Kind.STATUS and event.data.get("status") == Status.READY.value:
                return event.at
        return 0.0

    @property
    def phase(self) -> str:
        """The phase that was begun last."""
        started = [event.act for event in self.events if event.kind is Kind.STARTED]
        return started[-1] if started else ""

    @property
    def boot(self) -> str:
        """The boot id of this server when the run began; "" when it was not written down."""
        notes = (event for event in self.events if event.kind is Kind.NOTE and event.act == "process")
        return next((str(note.data.get("boot", "")) for note in notes), "")

    def said(self, key: str) -> str:
        """One text of the newest status; "" when it says nothing of the kind."""
        last = self._newest("run", Kind.STATUS)
        return str(last.data.get(key, "")) if last else ""

    def standing(self) -> list[Act]:
        """The acts that were intended and not yet taken back."""
        return acts.standing(self.events)

    def standing_holds(self) -> tuple[str, ...]:
        """The hosts on which something may still be held, as far as the journal knows."""
        return tuple(act.key for act in self.standing() if act.name == "hold")

    def presented(self) -> tuple[str, ...]:
        """Where its copy is presented now, as far as the journal knows."""
        return tuple(act.key for act in self.standing() if act.name == "present")

    def receipts(self) -> dict[str, Receipt]:
        """The copies this run made or meant to make, by mirror key; the newest of each."""
        found: dict[str, Receipt] = {}
        for event in self.events:
            if event.kind is Kind.INTENT and event.act == "split":
                found[event.key] = Act(event.act, event.key, event.data).value("receipt", Receipt)
        return found

    def split_keys(self) -> frozenset[str]:
        """The mirrors whose split is known to be fixed (the phase of that name has no key)."""
        done = (event for event in self.events if event.kind is Kind.DONE and event.act == "split")
        return frozenset(event.key for event in done if event.key)

    def _failure(self) -> Event | None:
        """The first status with an error since the run was last begun well."""
        found: Event | None = None
        for event in self.events:
            if event.kind is Kind.STATUS and event.data.get("error"):
                found = found or event
            elif event.kind is Kind.STATUS:
                found = None
        return found

    def _newest(self, act: str, kind: Kind) -> Event | None:
        return next((event for event in reversed(self.events) if event.kind is kind and event.act == act), None)


def as_texts(value: object) -> tuple[str, ...]:
    """A JSON list as texts."""
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else ()


def of(journal: Journal, record: RunRecord) -> Account:
    """The account of one run."""
    return Account(record, journal.events(record.run_id))


def accounts(journal: Journal, policy: str = "", limit: int = 50) -> list[Account]:
    """Newest first."""
    return [of(journal, record) for record in journal.runs(policy, limit)]


def carriers(newest_first: Sequence[Account]) -> dict[str, Account]:
    """By mirror key: the run that was the last to split it, or to mean to. A copy there can be no other run's."""
    found: dict[str, Account] = {}
    for account in newest_first:
        for key in account.receipts():
            found.setdefault(key, account)
    return found
