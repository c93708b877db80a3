"""A lock is free only when everybody who has it open is gone; whoever is refused is told who has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from splitmirror.locks import Lock, RunLock
from splitmirror_drivers.kit.command import Command, run
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, GivenUp, InUse

ROOT = Path(__file__).parents[2]
HOLDER = f"""
import subprocess, sys
sys.path[:0] = [{str(ROOT / "hooks")!r}, {str(ROOT / "drivers")!r}]
from pathlib import Path
from splitmirror.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
given = (lock.descriptor,) if sys.argv[2] == "inherit" else ()
child = subprocess.Popen(["sleep", "300"], pass_fds=given, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mirror-symm-erp_a.lock"


def holder(path: Path, how: str) -> tuple[subprocess.Popen[str], int]:
    """A process that has the lock, and the pid of a command that it has started."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.kill()


def free_within(path: Path, seconds: float) -> bool:
    lock = Lock(path)
    try:
        lock.acquire(Deadline.after(seconds))
    except InUse:
        return False
    lock.release()
    return True


def test_the_second_is_refused_at_once_and_told_who_has_it(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    first.acquire()
    with pytest.raises(InUse, match=rf"mirror-symm-erp_a is locked by pid {os.getpid()} \(") as fault:
        second.acquire()
    assert "wait for it" in fault.value.hint
    assert not fault.value.retryable
    assert not second.is_held
    first.release()
    second.acquire()
    second.release()


def test_a_waiter_gets_it_when_it_is_given_back(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    first.acquire()
    waits: list[float] = []

    def give_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.release()

    second.acquire(Deadline.after(60), give_back)
    assert second.is_held
    assert len(waits) == 3
    assert all(0 < seconds <= 0.1 for seconds in waits)
    second.release()


def test_a_waiter_that_gives_up_leaves_nothing_open(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    first.acquire()
    before = len(list(Path("/proc/self/fd").iterdir()))

    def give_up(seconds: float) -> None:
        raise GivenUp("given up on SIGTERM")

    with pytest.raises(GivenUp):
        second.acquire(Deadline.after(60), give_up)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not second.is_held
    first.release()


def test_a_lock_lives_while_a_command_that_inherited_it_lives(path: Path) -> None:
    process, command = holder(path, "inherit")
    kill(process)
    try:
        with pytest.raises(InUse, match=rf"pid {command} \(sleep\)") as fault:
            Lock(path).acquire()
        assert f"the hook that took it (pid {process.pid}) is gone" in fault.value.hint
        assert Lock(path).holders() == (command,)
    finally:
        os.kill(command, signal.SIGKILL)
    assert free_within(path, 30)


def test_a_command_that_did_not_inherit_it_keeps_nobody_out(path: Path) -> None:
    process, command = holder(path, "nothing")
    kill(process)
    try:
        assert free_within(path, 0)
    finally:
        os.kill(command, signal.SIGKILL)


def test_giving_it_back_takes_it_from_no_command_that_inherited_it(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    with subprocess.Popen(["sleep", "300"], pass_fds=(lock.descriptor,)) as command:
        try:
            lock.release()
            with pytest.raises(InUse, match=rf"pid {command.pid} \(sleep\)"):
                Lock(path).acquire()
        finally:
            command.kill()
    assert free_within(path, 30)


def test_commands_inherit_exactly_what_they_are_given(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    look = ("sh", "-c", "ls -l /proc/self/fd | grep -c 'mirror-symm-erp_a.lock' ; true")
    assert run(Command(look), Deadline.after(30)).stdout.strip() == "0"
    assert run(Command(look, inherit=(lock.descriptor,)), Deadline.after(30)).stdout.strip() == "1"
    lock.release()


def test_a_lock_ends_with_its_process(path: Path) -> None:
    process, command = holder(path, "nothing")
    assert not free_within(path, 0)
    kill(process)
    assert free_within(path, 30)
    os.kill(command, signal.SIGKILL)


def test_it_is_neither_taken_nor_asked_for_twice(path: Path) -> None:
    lock = Lock(path)
    with pytest.raises(ValueError, match="is not held"):
        _ = lock.descriptor
    lock.acquire()
    with pytest.raises(ValueError, match="held already"):
        lock.acquire()
    lock.release()
    lock.release()
    assert not lock.is_held


def test_a_link_in_place_of_a_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Fault, match="cannot be opened"):
        Lock(path).acquire()
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "locks").mkdir()
    return tmp_path


def test_a_run_is_alive_while_somebody_has_its_lock(folder: Path) -> None:
    lock, asker = RunLock(folder, "erp-1"), RunLock(folder, "erp-1")
    assert not asker.is_alive()
    lock.acquire()
    assert asker.is_alive()
    assert lock.is_alive()
    assert not RunLock(folder, "erp-2").is_alive()
    lock.release()
    assert not asker.is_alive()


def test_asking_leaves_nothing_behind(folder: Path) -> None:
    RunLock(folder, "erp-1").is_alive()
    assert list((folder / "locks").iterdir()) == []


def test_a_killed_run_is_not_alive(folder: Path) -> None:
    process, command = holder(folder / "locks" / "run-erp-1.lock", "nothing")
    assert RunLock(folder, "erp-1").is_alive()
    kill(process)
    assert free_within(folder / "locks" / "run-erp-1.lock", 30)
    assert not RunLock(folder, "erp-1").is_alive()
    os.kill(command, signal.SIGKILL)


def test_askers_never_keep_a_run_from_its_own_lock(folder: Path) -> None:
    (folder / "locks" / "run-erp-1.lock").touch()
    done, asked = threading.Event(), [0]

    def ask() -> None:
        asker = RunLock(folder, "erp-1")
        while not done.is_set():
            asker.is_alive()
            asked[0] += 1

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            lock = RunLock(folder, "erp-1")
            lock.acquire()
            lock.release()
    finally:
        done.set()
        for asker in askers:
            asker.join(30)
    assert asked[0] > 0
