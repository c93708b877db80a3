"""Speaking with the guard program over two byte streams, whatever carries them: a pipe here, an SSH channel elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

from splitmirror_drivers.contracts.host import Answer, Charge, Mailbox, Message
from splitmirror_drivers.kit.command import OUTPUT_LIMIT_BYTES
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, ForeignHold, HostFault, LinkLost, Refused

_CHUNK_BYTES = 65536
_KEPT_BYTES = 64 * 1024
_WITH_FACTS = {"opened", "held", "released", "left", "failed"}
_ABOUT_HOLDS = {*_WITH_FACTS, "warmed", "say", "fact", "foreign"}


class Stream(Protocol):
    """A started program's two ends. Errors of what carries it are HostFaults by the time they leave here."""

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises LinkLost when the program no longer reads."""

    def read(self) -> bytes:
        """The next bytes of its output, waiting for them; empty at the end."""

    @property
    def is_open(self) -> bool:
        """Whether the program still runs and can be reached, as far as this side knows."""

    def errors(self) -> str:
        """What it has printed on standard error, bounded; complete once it has ended."""

    def exit_code(self, deadline: Deadline) -> int | None:
        """Its exit code once it has ended; None when there is none by the deadline or the link is gone."""

    def finish(self) -> None:
        """Close the program's input; its output can still be read. Safe to call twice."""

    def close(self) -> None:
        """Close both ends, so that a reader comes to its end too. Safe to call twice."""


class Tail:
    """Reads a stream to its end in a thread of its own and keeps the last of it."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._run, args=(read,), daemon=True)
        self._thread.start()

    def _run(self, read: Callable[[], bytes]) -> None:
        while chunk := read():
            self._kept += chunk
            del self._kept[: max(0, len(self._kept) - OUTPUT_LIMIT_BYTES)]

    def text(self, patience_seconds: float) -> str:
        """What has come, after waiting a while for the end."""
        self._thread.join(patience_seconds)
        return bytes(self._kept).decode(errors="backslashreplace")


def lines_of(stream: Stream) -> Iterator[str]:
    """The stream's lines as text, without their ends; a last line that was cut off is dropped."""
    rest = b""
    while chunk := stream.read():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="backslashreplace")


@dataclass
class Watchdog:
    """Closes a stream at a deadline, so that whoever reads it comes to its end. Use as a context manager."""

    stream: Stream
    deadline: Deadline
    fired: bool = False
    _timer: threading.Timer | None = None

    def __enter__(self) -> Watchdog:
        self._timer = threading.Timer(self.deadline.left(), self._fire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        self.fired = True
        self.stream.close()


def answer_of(stream: Stream, header: str, what: str, deadline: Deadline) -> Answer:
    """Send a call's header and read its answer. Raises DeadlinePassed, LinkLost."""
    facts: dict[str, list[str]] = defaultdict(list)
    said: list[str] = []
    code: int | None = None
    with contextlib.closing(stream), Watchdog(stream, deadline) as watchdog:
        with contextlib.suppress(LinkLost):  # a program that refused to start has said why
            stream.write(header.encode())
        for line in lines_of(stream):
            kind, _, rest = line.partition(" ")
            if kind == "fact":
                key, _, value = rest.partition(" ")
                facts[key].append(value)
            elif kind == "say":
                said.append(rest)
            elif kind == "exit":
                code = int(rest)
        if watchdog.fired:
            raise DeadlinePassed(f"{what} gave no answer in its time", hint="it was ended; the host may be overloaded")
        if code is None:
            raise ended_early(stream, what)
    return Answer({key: "\n".join(values) for key, values in facts.items()}, code, "\n".join(said))


def ended_early(stream: Stream, what: str) -> HostFault | Refused:
    """The Fault for a program that ended without an answer: its exit code tells a refusal from a lost link."""
    code = stream.exit_code(Deadline.after(2.0))
    said = stream.errors().strip()
    if code is None:
        return LinkLost(f"the link was lost during {what}", detail=said, retryable=True)
    return Refused(f"{what} was refused by the guard program", detail=said or f"exit code {code}")


@dataclass
class GuardChannel:
    """The hook's end of one guard: a reader thread turns lines into messages for the mailbox."""

    host_name: str
    stream: Stream
    mailbox: Mailbox
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hello: threading.Event = field(default_factory=threading.Event)
    _first: list[Message] = field(default_factory=list)
    _ended: bool = False
    _closing: bool = False

    def start(self, charge: Charge, header: str, deadline: Deadline) -> None:
        """Send the header and wait for hello. Raises ForeignHold, Refused, LinkLost, DeadlinePassed."""
        with contextlib.suppress(LinkLost):  # a program that refused to start has said why
            self.stream.write(header.encode())
        threading.Thread(target=self._read, name=f"guard-{self.host_name}", daemon=True).start()
        if not self._hello.wait(deadline.left()):
            self.close()
            raise DeadlinePassed(f"the guard on {self.host_name} did not start in its time")
        first = self._first[0] if self._first else None
        if first is not None and first.kind == "hello":
            return
        self.close()
        if first is not None and first.kind == "foreign":
            raise _foreign(self.host_name, charge, first)
        raise ended_early(self.stream, f"starting the guard on {self.host_name}")

    def send(self, order: str) -> None:
        """Write one order line. Raises LinkLost once the channel has ended."""
        with self._lock:
            if self._ended or self._closing:
                raise LinkLost(f"the guard on {self.host_name} is gone")
            self.stream.write(order.encode() + b"\n")

    def close(self) -> None:
        """Close the channel; the guard rescues whatever is left."""
        self._closing = True
        self.stream.finish()

    def _read(self) -> None:
        parser = Parser(self.host_name)
        with contextlib.suppress(HostFault):  # a broken link and an ended one are told alike
            for line in lines_of(self.stream):
                message = parser.parse(line)
                if message is not None:
                    self._post(message)
        self._ended = True
        self.stream.close()
        self._hello.set()
        self.mailbox(Message(self.host_name, "link-lost", said=self.stream.errors().strip(), at=time.monotonic()))

    def _post(self, message: Message) -> None:
        if not self._hello.is_set():
            self._first.append(message)
            self._hello.set()
        self.mailbox(message)


def _foreign(host: str, charge: Charge, message: Message) -> ForeignHold:
    owner, run, age = (*message.words, "", "", "")[:3]
    whose = "another run" if owner == charge.owner else f"backup server {owner}"
    since = f", taken {age} s ago" if age else ""
    return ForeignHold(
        f"{unquote(message.hold)} on {host} is claimed by {whose} (run {run}{since})",
        hint="wait for that run to end; if its backup server is gone for good, let its record be ended with host.rescue there",
    )


@dataclass
class Parser:
    """Turns a guard's lines into messages; facts and said lines are kept per hold until the message they belong to."""

    host: str
    _facts: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    _said: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def parse(self, line: str) -> Message | None:
        """The line as a message; None for a fact, which belongs to a later message."""
        kind, _, rest = line.partition(" ")
        at = time.monotonic()
        if kind not in _ABOUT_HOLDS:
            return Message(self.host, kind, words=tuple(rest.split()), at=at)
        hold, _, rest = rest.partition(" ")
        if kind == "fact":
            key, _, value = rest.partition(" ")
            self._facts[hold][key].append(value)
            return None
        if kind == "say":
            said = self._said[hold]
            said.append(rest)
            while len(said) > 1 and sum(map(len, said)) > _KEPT_BYTES:
                del said[0]
            return Message(self.host, kind, hold, said=rest, at=at)
        if kind not in _WITH_FACTS:
            return Message(self.host, kind, hold, tuple(rest.split()), at=at)
        facts = {key: "\n".join(values) for key, values in self._facts.pop(hold, {}).items()}
        return Message(self.host, kind, hold, tuple(rest.split()), facts, "\n".join(self._said.pop(hold, [])), at)
