"""The worker that establishes a directory mirror: a process of its own, so that copying goes on when the hook has ended.

It is a child without exec, since a frozen program has no interpreter to start: it lets go of everything it was given
but the mirror's lock, and never returns. However it ends, the next establish goes on from there.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace

import msgspec

from splitmirror_drivers.arrays import directory_manifest as manifest
from splitmirror_drivers.arrays.directory_file import Account
from splitmirror_drivers.arrays.directory_names import translated
from splitmirror_drivers.arrays.directory_pass import Pass
from splitmirror_drivers.arrays.directory_place import Place, State, Word, boot_id, uptime
from splitmirror_drivers.kit.errors import CommandFailed, Fault

FIRST_KEPT = 10
MOST_PASSES = 6
SHORT_SECONDS = 0.5
"""A pass this short is not followed by another: the split will not be much shorter for it."""
WORTH = 0.7
"""Another pass is made as long as the last one took less than this part of the one before."""


def detach(place: Place, state: State, lock: int, *, trusts: bool) -> None:
    """Start the worker; it holds `lock` from the first moment to its end. Raises CommandFailed when none can be started."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no lock that another thread may hold
            child = os.fork()
    except OSError as exc:
        raise CommandFailed(
            f"no process can be started to copy {place.source}: {exc.strerror}", retryable=True
        ) from exc
    if child == 0:
        code = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _let_go(lock)
                work(place, state, trusts=trusts)
            code = 0
        finally:
            os._exit(code)  # nothing of the hook's own clean-up may run here
    _, status = os.waitpid(child, 0)
    if status:
        raise CommandFailed(f"no process could be started to copy {place.source}", retryable=True)


def work(place: Place, state: State, *, trusts: bool) -> None:
    """Pass after pass until nothing is to be gained, then `synced`; or `failed`, and why. `trusts`: the manifest holds."""
    try:
        place.write(_in_sync(place, state, trusts=trusts))
    except Fault as fault:
        place.write_failed(place.read() or state, str(fault), fault.hint)
    except Exception as exc:  # noqa: BLE001 - the top of a process: what went wrong is told by its state
        place.write_failed(state, f"internal error: {exc!r}", "please report this")


def _in_sync(place: Place, state: State, *, trusts: bool) -> State:
    done: list[Account] = []

    def report(now: Account) -> None:
        place.write(msgspec.structs.replace(state, last=now, establish=total([*done, now])), durable=False)

    while True:
        done.append(_one_pass(place, report, trusts=trusts or bool(done)))
        if len(done) > 1 and not _is_worth_more(done):
            break
    return msgspec.structs.replace(
        state,
        word=Word.SYNCED,
        is_complete=True,
        boot=boot_id(),
        uptime=uptime() - done[-1].seconds,
        last=done[-1],
        establish=total(done),
        expected=done[-1].entries,
    )


def _is_worth_more(done: list[Account]) -> bool:
    before, last = done[-2].seconds, done[-1].seconds
    return len(done) < MOST_PASSES and last > SHORT_SECONDS and last < WORTH * before


def _one_pass(place: Place, report: Callable[[Account], None], *, trusts: bool) -> Account:
    old = manifest.Reader(place.manifest if trusts else None)
    try:
        with translated(str(place.manifest), "cannot be written"):
            new = manifest.Writer(place.manifest)
        return Pass(str(place.source), str(place.mirror), old, new, report=report).run()
    finally:
        old.close()


def total(accounts: list[Account]) -> Account:
    """Several passes as one; the entries are those of the last."""
    return replace(
        accounts[-1],
        changed=sum(one.changed for one in accounts),
        removed=sum(one.removed for one in accounts),
        read_bytes=sum(one.read_bytes for one in accounts),
        written_bytes=sum(one.written_bytes for one in accounts),
        seconds=sum(one.seconds for one in accounts),
    )


def _let_go(lock: int) -> None:
    """Nothing of the hook's is kept: pipes (the product waits for their end), journal, other locks, signals, folder."""
    gc.freeze()  # nor is anything of its objects ever ended here
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    kept = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, FIRST_KEPT)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
