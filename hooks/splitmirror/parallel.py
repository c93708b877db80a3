"""The same work for several things at once; every failure is kept, none is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from splitmirror_drivers.kit.errors import Fault


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name in the policy file."""


T = TypeVar("T")
N = TypeVar("N", bound=Named)
R = TypeVar("R")


class Faults(Fault):
    """Several failures of one step; ``all`` holds each of them. The message is the first one's, with a count."""

    def __init__(self, faults: list[Fault]) -> None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        detail = "\n".join(fault.full() for fault in faults) if len(faults) > 1 else faults[0].detail
        super().__init__(faults[0].message + more, detail=detail, hint=faults[0].hint)
        self.all = tuple(faults)
        self.retryable = all(fault.retryable for fault in faults)


def by_name(work: Callable[[N], R], things: Iterable[N]) -> dict[str, R]:
    """As ``each``, the results by the things' names."""
    named = list(things)
    return {thing.name: result for thing, result in zip(named, each(work, named), strict=True)}


def together(faults: list[Fault]) -> Fault:
    """One fault as itself, several as one `Faults`."""
    return faults[0] if len(faults) == 1 else Faults(faults)


def each(work: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """`work` for each of `things`, in threads; results in order. Waits for all, then raises what failed."""
    todo = list(things)
    if len(todo) == 1:
        return [work(todo[0])]
    results: dict[int, R] = {}
    faults: list[tuple[int, Exception]] = []

    def one(index: int, thing: T) -> None:
        try:
            results[index] = work(thing)
        except Exception as exc:  # noqa: BLE001 - gathered below; nothing is dropped
            faults.append((index, exc))

    threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(todo)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raised = [exc for _, exc in sorted(faults, key=lambda pair: pair[0])]
        known = [exc for exc in raised if isinstance(exc, Fault)]
        if len(known) < len(raised):
            raise ExceptionGroup("unexpected failures", raised)
        raise together(known)
    return [results[index] for index in range(len(todo))]
