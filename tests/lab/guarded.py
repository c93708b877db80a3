"""One application held by a real guard on this machine, for lab tests: the steps of a run, without its engine."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.lab.databases import eventually

from splitmirror_drivers.contracts.application import Application, Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Blocks, Charge, Guard, Hold, Message
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.deadline import Deadline

PATIENCE_SECONDS = 30.0


def local_host(folder: Path, shell: str = "/bin/sh") -> LocalHost:
    """This machine, with the guard's records in `folder`."""
    return LocalHost("db1", Options(shell=shell, guard_dir=str(folder / "guard")))


class Guarded:
    """A guard with one application's holds. Every wait has a deadline, and says what came instead."""

    def __init__(self, app: Application, run: str = "run-1", owner: str = "backup1") -> None:
        self.app = app
        app.host.families(app.families)
        self.facts: Facts = app.check(Deadline.after(PATIENCE_SECONDS))
        self.holds: tuple[Hold, ...] = app.holds(self.facts)
        self.held: dict[str, str] = {}
        self.messages: list[Message] = []
        self._box: queue.SimpleQueue[Message] = queue.SimpleQueue()
        charge = Charge(run, owner, self.holds, beat_missed_seconds=600.0, blocking_lease_seconds=600.0)
        self.guard: Guard = app.host.guard(charge, self._box.put, Deadline.after(PATIENCE_SECONDS))
        self.expect("hello")

    @property
    def folder(self) -> Path:
        """Where the guard keeps its record."""
        assert isinstance(self.app.host, LocalHost)
        return Path(self.app.host._options.guard_dir)

    def open(self) -> None:
        """Log in and warm up."""
        for order, answer in (("open", "opened"), ("warm", "warmed")):
            self.guard.send(order)
            for hold in self.holds:
                self.expect(answer, hold.name)

    def ask_to_hold(self) -> None:
        """Send the order, and do not wait."""
        for hold in self.holds:
            self.guard.send(f"hold {hold.name} {round(hold.enter_seconds)}")

    def hold(self) -> None:
        """Take every hold, and keep the facts of that moment."""
        self.ask_to_hold()
        for hold in self.holds:
            self.held |= self.expect("held", hold.name).facts

    def let_go(self) -> Message:
        """Release what blocks, leave what does not; the answer of the (one) hold, whose facts are kept."""
        (hold,) = self.holds
        if hold.blocks is Blocks.NOTHING:
            self.guard.send(f"leave {hold.name} good {round(hold.leave_seconds)}")
            answer = self.expect("left", hold.name)
        else:
            self.guard.send("release")
            answer = self.expect("released", hold.name)
        self.held |= answer.facts
        return answer

    def capture(self, verdict: Verdict = Verdict.APPLICATION, facts: Mapping[str, str] | None = None) -> Captured:
        """What recovery needs, from the facts of the hold."""
        return self.app.capture(self.held if facts is None else facts, verdict, Deadline.after(PATIENCE_SECONDS))

    def client(self) -> int:
        """The pid of the (one) hold's client."""
        (path,) = self.folder.glob("runs/*/1.*/dir/client.pid")
        return int(path.read_text().split()[0])

    def processes(self) -> list[int]:
        """The guard's processes that still run: each was started with the guard's folder in its command line, or below it."""
        mark = str(self.folder).encode()
        return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if mark in _content(p)]

    def expect(self, kind: str, hold: str = "", seconds: float = PATIENCE_SECONDS) -> Message:
        """The next message of this kind (about this hold), whether it came before or comes now."""
        end = time.monotonic() + seconds
        while True:
            for message in self.messages:
                if message.kind == kind and (not hold or message.hold == hold):
                    self.messages.remove(message)
                    return message
            try:
                self.messages.append(self._box.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {kind} {hold} within {seconds} s; came: {self.messages}") from None

    def bye(self) -> None:
        """The end in good order."""
        self.guard.send("bye")
        self.expect("bye")
        self.guard.close()


def _content(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


@contextlib.contextmanager
def guarded(app: Application, *, is_open: bool = True) -> Iterator[Guarded]:
    """A guard for the block; whatever is left is rescued when its channel is closed."""
    it = Guarded(app)
    try:
        if is_open:
            it.open()
        yield it
    finally:
        it.guard.close()
        eventually("the guard and all of it are gone", lambda: not it.processes())
