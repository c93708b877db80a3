"""Which copies stand on a policy's mirrors, what each may be called, and the last good one. Pure, as ``situation`` is."""

from __future__ import annotations

from splitmirror.admin.asking import MirrorSaid
from splitmirror.admin.view import Copy, Level, Line, View
from splitmirror.report.account import GOOD_VERDICTS, Account
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import Fault


def mirror_line(view: View, key: str) -> Line:
    """State in the vendor's word, whose copy it carries, and its marks."""
    marks = [f"pinned: {view.pins[key].reason}"] if key in view.pins else []
    said = view.mirrors[key] if view.mirrors is not None else None
    if said is None:
        return Line(key, "; ".join(["not asked", *marks]))
    if isinstance(said, Fault):
        return Line(key, "; ".join([f"CANNOT BE ASKED: {said.message}", *marks]), Level.WARNING)
    words = f"{said.words} ({said.state.value})"
    if not said.is_at_rest and said.state is not PairState.ATTACHING and not _is_busy(view, key):
        do = f"look at {key} with the array's own tools; no command is sent to it before it is at rest"
        return Line(key, "; ".join([words, "QUARANTINED: not at rest", *marks]), Level.WARNING, do)
    return Line(key, "; ".join([words, *copies(view, key, said), *marks]))


def _is_busy(view: View, key: str) -> bool:
    account = view.carriers.get(key)
    return account is not None and account.run_id in view.living


def copies(view: View, key: str, said: MirrorSaid) -> list[str]:
    """Which copies stand on a mirror and what they may be called."""
    if said.traits.keeps_copies:
        by_name = {account.run_id: account for account in view.accounts}
        names = dict.fromkeys(pair.copy for pair in said.pairs if pair.copy and said.carries(pair.copy))
        return [called(view, by_name.get(name), name) for name in names]
    return [called(view, view.carriers.get(key), "")] if said.carries("") else []


def called(view: View, account: Account | None, name: str) -> str:
    """What a copy that stands may be called."""
    if account is None:
        return f"copy {name} of no run in the journal" if name else "a copy that no run in the journal made"
    if account.run_id in view.living:
        return f"copy of run {account.run_id}, which is at work"
    if account.is_good_copy:
        return f"{account.verdict} copy of run {account.run_id}"
    if account.verdict in GOOD_VERDICTS:
        return f"{account.verdict} copy of run {account.run_id}, which failed: not to be relied on"
    return f"UNPROVEN copy of run {account.run_id}"


def good_copy(view: View) -> Copy | None:
    """The newest copy that was proven and still stands; failing that, the newest of which nobody could be asked."""
    unknown: Copy | None = None
    for account in view.accounts:
        keys = sorted(account.split_keys())
        if not account.is_good_copy or not keys or any(_is_overwritten(view, account, key) for key in keys):
            continue
        stands = [_stands(view, account, key) for key in keys]
        if False in stands:
            continue
        found = Copy(
            account.run_id,
            account.ready_at or account.ended_at,
            account.verdict,
            tuple(keys),
            account.presented(),
            None not in stands,
        )
        if found.is_known:
            return found
        unknown = unknown or found
    return unknown


def _stands(view: View, account: Account, key: str) -> bool | None:
    said = view.mirrors.get(key) if view.mirrors is not None else None
    return said.carries(account.receipts()[key].copy) if isinstance(said, MirrorSaid) else None


def _is_overwritten(view: View, account: Account, key: str) -> bool:
    """Whether a later run split the same mirror; an array that keeps copies answers by their names instead."""
    said = view.mirrors.get(key) if view.mirrors is not None else None
    keeps = isinstance(said, MirrorSaid) and said.traits.keeps_copies
    carrier = view.carriers.get(key)
    return not keeps and carrier is not None and carrier.run_id != account.run_id
