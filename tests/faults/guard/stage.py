"""A guard on this machine with visible holds, and waiting with deadlines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from splitmirror_drivers.contracts.host import Blocks, Charge, EndsWith, Guard, Hold, Host, Message
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.deadline import Deadline

FAMILIES = str(Path(__file__).with_name("families"))
SHELLS = ("dash", "bash --posix", "busybox sh", "mksh")
PATIENCE = 15.0


def eventually(what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait until `condition` holds; how long it took. The wait is polling, its end is a deadline."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def pids_in(environment_or_argument: str) -> list[int]:
    """The pids of all processes whose command line contains this text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if environment_or_argument.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


@dataclass
class Stage:
    """One guard's surroundings: a folder with a sub-folder for each hold, the messages that came."""

    folder: Path
    shell: str = "dash"
    run: str = "run-1"
    owner: str = "backup1"
    beat_missed_seconds: float = 600.0
    blocking_lease_seconds: float = 600.0
    host: Host | None = None
    holds: list[Hold] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    box: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    started: Guard | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def add(
        self,
        name: str,
        mode: str = "plain",
        *,
        family: str = "witness",
        blocks: Blocks = Blocks.WRITES,
        seconds: float = 10.0,
        claim: str = "",
    ) -> None:
        """Put one more hold on top of the stack."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        ends = EndsWith.SESSION if family == "client" else EndsWith.SERVER
        self.holds.append(Hold(name, family, (str(place), mode), blocks, ends, seconds, seconds, claim=claim))

    def the_host(self) -> Host:
        if self.host is None:
            self.host = LocalHost("db1", Options(shell=self.shell, guard_dir=str(self.state), family_dirs=(FAMILIES,)))
        return self.host

    def start(self) -> None:
        """Start the guard and open every hold."""
        charge = Charge(
            self.run,
            self.owner,
            tuple(self.holds),
            beat_missed_seconds=self.beat_missed_seconds,
            blocking_lease_seconds=self.blocking_lease_seconds,
        )
        self.started = self.the_host().guard(charge, self.box.put, Deadline.after(PATIENCE))
        self.expect("hello")

    def open(self) -> None:
        self.send("open")
        for hold in self.holds:
            self.expect("opened", hold.name)

    def take(self, *names: str) -> None:
        """Enter the named holds (all, without a name) and wait for each."""
        for name in names or [hold.name for hold in self.holds]:
            self.send(f"hold {name} 10")
            self.expect("held", name)

    def send(self, order: str) -> None:
        assert self.started is not None
        self.started.send(order)

    def close(self) -> None:
        assert self.started is not None
        self.started.close()

    def expect(self, kind: str, hold: str = "", seconds: float = PATIENCE) -> Message:
        """The next message of this kind (about this hold), whether it came before or comes now."""
        end = time.monotonic() + seconds
        while True:
            for message in self.messages:
                if message.kind == kind and (not hold or message.hold == hold):
                    self.messages.remove(message)
                    return message
            try:
                self.messages.append(self.box.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(
                    f"no {kind} {hold} within {seconds} s; came: {self.messages}; running: {self.processes()}"
                ) from None

    def is_held(self, name: str) -> bool:
        """Whether a hold stands: its folder is there, or somebody keeps its lock."""
        hold = next(h for h in self.holds if h.name == name)
        if hold.family == "witness":
            return (self.folder / name / "held").is_dir()
        with (self.folder / name / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def record(self, name: str) -> Path:
        number = [h.name for h in self.holds].index(name) + 1
        return self.state / "runs" / self.run / f"{number}.{name}"

    def ended(self, name: str) -> str:
        path = self.record(name) / "ended"
        return path.read_text().strip() if path.exists() else ""

    def hand(self, name: str) -> int:
        return int((self.record(name) / "pid").read_text().split()[0])

    def ear(self) -> int:
        return int((self.state / "runs" / self.run / "guard").read_text().split()[0])

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def guard_pids(self) -> list[int]:
        """Every process of this stage: guard, hands, watchers, clients."""
        return pids_in(str(self.folder))

    def processes(self) -> list[str]:
        """What is running of this stage, for messages: pid, parent, state, what it waits in, command."""
        pids = ",".join(map(str, self.guard_pids()))
        shown = ["ps", "-ww", "-o", "pid=,ppid=,stat=,wchan:20=,args=", "-p", pids]
        return subprocess.run(shown, capture_output=True, text=True).stdout.splitlines() if pids else []

    def signal(self, number: signal.Signals, *pids: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def leaves_nothing_behind(self) -> None:
        """Every process of this stage is gone."""
        eventually("all processes gone", lambda: not self.guard_pids())

    def leaves_no_guard(self) -> None:
        """Every process of this run is gone, whatever else goes on in the folder."""
        folder = self.state / "runs" / self.run
        noted = [folder / name for name in ("guard", "watcher.blocking", "watcher.lasting")]
        noted += [self.record(hold.name) / name for hold in self.holds for name in ("pid", "dir/client.pid")]
        pids = [int(path.read_text().split()[0]) for path in noted if path.exists()]
        eventually("the guard is gone", lambda: not any(map(is_alive, pids)))

    def clean_up(self) -> None:
        """For a fixture's end: whatever a failed test left."""
        if self.started is not None:
            self.started.close()
        self.signal(signal.SIGKILL, *self.guard_pids())
