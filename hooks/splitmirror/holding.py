"""All guards of a run: one order to every host at once, one queue for what they answer.

Proof is the order of messages on this side: a hold was *held* before the split was sent, the split was fixed before
*release* was sent, and the answer to release says WAS_HELD. Whatever a guard says after it *lapsed* proves nothing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from splitmirror.giveup import GiveUp
from splitmirror.parallel import each
from splitmirror_drivers.contracts.host import Blocks, Charge, Guard, Hold, Host, Kept, Message
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, Fault, HoldFault, LinkLost

FATAL = frozenset({"failed", "lapsed", "link-lost", "foreign"})
Which = tuple[str, str]
"""A host's name and a hold's name."""


@dataclass
class Window:
    """When writes waited, or services were down, on one host, by our own monotonic clock, in seconds."""

    began: float
    ended: float | None = None

    @property
    def seconds(self) -> float | None:
        """Its length; None while it has not been seen to end."""
        return None if self.ended is None else self.ended - self.began


@dataclass
class Guards:
    """The guards of one run and what is known of their holds. Used by one thread; the beat has its own."""

    give_up: GiveUp
    beat_seconds: float = 2.0
    guards: dict[str, Guard] = field(default_factory=dict)
    holds: dict[Which, Hold] = field(default_factory=dict)
    held: dict[Which, Message] = field(default_factory=dict)
    ended: dict[Which, Kept] = field(default_factory=dict)
    facts: dict[Which, dict[str, str]] = field(default_factory=dict)
    lapsed: dict[str, str] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    outages: dict[str, Window] = field(default_factory=dict)
    held_at_split: frozenset[Which] = frozenset()
    ordered: set[Which] = field(default_factory=set)
    unwatched: set[str] = field(default_factory=set)
    is_released: bool = False
    is_split_sent: bool = False
    inbox: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.give_up.listen(lambda: self.inbox.put(Message("", "give-up")))

    # -- starting and ending ------------------------------------------------------------------------------------

    def start(self, charges: Mapping[Host, Charge], deadline: Deadline) -> None:
        """Start a guard on every host at once."""

        def one(pair: tuple[Host, Charge]) -> None:
            host, charge = pair
            self.guards[host.name] = host.guard(charge, self.inbox.put, deadline)

        for host, charge in charges.items():
            self.holds |= {(host.name, hold.name): hold for hold in charge.holds}
        each(one, charges.items())

    def close(self) -> None:
        """Stop the beat and close every channel: a guard that still holds anything sees end of file and lets go."""
        self._stop.set()
        for guard in self.guards.values():
            guard.close()

    def begin_beat(self) -> None:
        """Beat to every host until closed or `release` was answered; a host that cannot be reached says so by itself."""
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def _beat(self) -> None:
        while not self._stop.wait(self.beat_seconds):
            for host in self.guards:
                self.order(host, "beat")

    # -- orders and answers -------------------------------------------------------------------------------------

    def order(self, host: str, line: str) -> None:
        """One order to one host. A lost link is put where the answers come, so that one place decides."""
        try:
            self.guards[host].send(line)
        except Exception as exc:  # noqa: BLE001 - whatever one host's channel raises, the others get their order
            self.inbox.put(Message(host, "link-lost", said=str(exc)))

    def everywhere(self, line: str) -> None:
        """One order to every host at once."""
        for host in self.guards:
            self.order(host, line)

    def ask_all(self, line: str, answer: str, deadline: Deadline) -> None:
        """One order to every host; wait until every hold answered with `answer`."""
        self.everywhere(line)
        self.collect(answer, self.holds, deadline)

    def watch(self, kind: str, seconds: float, deadline: Deadline) -> None:
        """Arm the detached watcher of every host for one kind of hold; wait until each says that it stands."""
        self.everywhere(f"watch {kind} {seconds:.0f}")
        self.collect("watching", {(host, "") for host in self.guards}, deadline)
        if self.unwatched:
            raise HoldFault(
                f"{min(self.unwatched)}: no watcher could be detached there, which ends a hold when all else is dead",
                hint="install one of systemd-run, setsid, perl, python3, at or nohup there; `splitmirror check` tries them",
            )

    def collect(self, kind: str, wanted: Iterable[Which], deadline: Deadline) -> None:
        """Wait until every one of `wanted` has answered `kind`. Raises HoldFault on the first failure, lapse or lost link."""
        waiting = set(wanted)
        while waiting:
            message = self.next(deadline)
            if message is None:
                names = ", ".join(f"{host}: {hold}" for host, hold in sorted(waiting))
                raise DeadlinePassed(f"no answer ({kind}) in time from {names}")
            self.notice(message)
            if message.kind == "give-up":
                self.give_up.check()
            if message.kind in FATAL:
                raise self.fault(message)
            if message.kind == kind:
                waiting.discard((message.host, "" if kind == "watching" else message.hold))

    def next(self, deadline: Deadline) -> Message | None:
        """The next message, or None at the deadline."""
        try:
            return self.inbox.get(timeout=max(0.001, deadline.left()))
        except queue.Empty:
            return None

    def notice(self, message: Message) -> None:
        """Keep what a message says of its hold."""
        which = (message.host, message.hold)
        if message.facts:
            self.facts.setdefault(which, {}).update(message.facts)
        if message.kind in ("lapsed", "link-lost"):
            self.lapsed.setdefault(message.host, " ".join(message.words) or message.kind)
        elif message.kind == "held":
            self.held[which] = message
        elif message.kind == "watching" and message.words[-1:] == ("none",):
            self.unwatched.add(message.host)
        elif message.kind == "failed" and message.words[:1] == ("enter",):
            self.ended.setdefault(which, Kept.WAS_NOT_HELD)
        elif message.kind in ("released", "left"):
            proves = message.host not in self.lapsed and (self.is_released or message.kind == "left")
            self.ended[which] = message.kept if proves or message.kept is not Kept.WAS_HELD else Kept.WAS_NOT_HELD
            self._close_windows(message.host)

    def fault(self, message: Message) -> Fault:
        """The sentence for a fatal message."""
        where = f"{message.host}: {message.hold}" if message.hold else message.host
        said = message.said
        if message.kind == "failed":
            verb, code = (*message.words, "?", "?")[:2]
            return HoldFault(f"{where}: {verb} failed (exit code {code})", detail=said)
        if message.kind == "lapsed":
            return HoldFault(f"{where}: the guard let go by itself ({' '.join(message.words)})", detail=said)
        if message.kind == "foreign":
            return HoldFault(
                f"{where} is claimed by somebody else: {' '.join(message.words)}",
                detail=said,
                hint="wait for it to end, or look at that backup server; nothing of it was touched",
            )
        return LinkLost(f"the link to {where} was lost", detail=said, hint="its guard lets go by itself within seconds")

    # -- blocking holds -----------------------------------------------------------------------------------------

    def blocking(self) -> set[Which]:
        """Holds during which writes or a service wait."""
        return {which for which, hold in self.holds.items() if hold.blocks is not Blocks.NOTHING}

    def enter(self, step: Iterable[Which], deadline: Deadline) -> None:
        """Order one step of holds, bottom of each stack first, and wait until all are held."""
        wanted = list(step)
        for host, name in wanted:
            hold = self.holds[host, name]
            if hold.blocks is not Blocks.NOTHING:
                self._kept_waiting(hold).setdefault(host, Window(time.monotonic()))
            self.ordered.add((host, name))
            self.order(host, f"hold {name} {hold.enter_seconds:.0f}")
        self.collect("held", wanted, deadline)

    def split_is_sent(self) -> None:
        """What is known to be held now is what the split may be said to have covered; what comes later proves nothing."""
        self.is_split_sent = True
        self.held_at_split = frozenset(w for w in self.held if w not in self.ended and w[0] not in self.lapsed)

    def release(self) -> None:
        """One `release` to every host at once; waits for nothing."""
        self.everywhere("release")
        self.is_released = True

    def collect_released(self, deadline: Deadline) -> None:
        """Wait until every blocking hold that was ordered has said how it ended, or its link is gone; never raises."""
        while self.unanswered(self.blocking()):
            message = self.next(deadline)
            if message is None:
                break
            self.notice(message)
        self._stop.set()

    def leave(self, word: str, seconds: float, deadline: Deadline) -> None:
        """End the holds that block nothing, telling them `good` or `bad`; waits for their answers; never raises."""
        lasting = {which for which in self.ordered if self.holds[which].blocks is Blocks.NOTHING}
        for host, name in sorted(lasting):
            self.order(host, f"leave {name} {word} {seconds:.0f}")
        while self.unanswered(lasting):
            message = self.next(deadline)
            if message is None:
                break
            self.notice(message)

    def unanswered(self, which: Iterable[Which]) -> set[Which]:
        """Those of `which` that were ordered, have not said how they ended, and whose host can still say so."""
        lost = {host for host, why in self.lapsed.items() if why == "link-lost"}
        return {w for w in which if w in self.ordered and w not in self.ended and w[0] not in lost}

    def at_rest(self, host: str) -> bool:
        """Whether every hold that was ordered on `host` is known to be held no more."""
        mine = {which for which in self.ordered if which[0] == host}
        return all(self.ended.get(which, Kept.UNKNOWN) is not Kept.UNKNOWN for which in mine)

    def say_bye(self, deadline: Deadline) -> None:
        """Dismiss the guards whose link stands and wait for their `bye`; never raises."""
        self.everywhere("bye")
        waiting = set(self.guards) - {host for host, why in self.lapsed.items() if why == "link-lost"}
        while waiting:
            message = self.next(deadline)
            if message is None:
                break
            self.notice(message)
            if message.kind in ("bye", "link-lost"):
                waiting.discard(message.host)

    def _kept_waiting(self, hold: Hold) -> dict[str, Window]:
        return self.outages if hold.blocks is Blocks.SERVICE else self.windows

    def _close_windows(self, host: str) -> None:
        mine = [self.holds[w] for w in self.blocking() & self.ordered if w[0] == host and w not in self.ended]
        for windows in (self.windows, self.outages):
            window = windows.get(host)
            if window and window.ended is None and not any(self._kept_waiting(hold) is windows for hold in mine):
                window.ended = time.monotonic()
