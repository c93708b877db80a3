"""What the simulator knows between processes: one JSON file in the state folder, changed under a lock, replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import JournalFault


class GroupState(msgspec.Struct, kw_only=True):
    """One pretend group. `since` and `split_at` are seconds since the epoch; `copies` maps a copy's name to its split."""

    state: PairState
    since: float = 0.0
    bytes_to_copy: int = 0
    copies: dict[str, float] = {}
    exposed: list[str] = []


class State(msgspec.Struct, kw_only=True):
    """All groups, and how often each scripted fault that happens only so many times has happened."""

    groups: dict[str, GroupState] = {}
    happened: dict[str, int] = {}


class Store:
    """The state file of one simulator."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def changing(self) -> Iterator[State]:
        """The state, written back when the block ends without an exception."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with Path(f"{self.path}.lock").open("a", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                state = self.read()
                yield state
                self._write(state)
        except OSError as exc:
            raise JournalFault(f"the simulator cannot keep its state in {self.path}: {exc.strerror}") from exc

    def read(self) -> State:
        """The state as it was last written."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.DecodeError as exc:
            raise JournalFault(
                f"{self.path} is not a simulator's state: {exc}", hint="remove it: it describes no real array"
            ) from exc

    def _write(self, state: State) -> None:
        new = Path(f"{self.path}.new")
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state)))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
