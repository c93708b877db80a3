"""Which move is legal from which state: the engine asks here before a driver is asked to act.

A refused move never reaches the array. Sources for the table: the common state machine of mirrors and snapshots; a
state that is broken, mixed or unknown allows no automatic move at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.contracts.array import Family, Mode, Move, Pair, PairState, Traits
from splitmirror_drivers.kit.errors import Refused

S = PairState

INCREMENTAL_FROM = frozenset({S.SPLIT, S.ATTACHING, S.SYNCED})
FULL_FROM = frozenset({S.UNPAIRED, S.SPLIT, S.SPLIT_UNTRACKED, S.ATTACHING})
SPLIT_FROM = frozenset({S.SYNCED, S.PREPARED})
RESTING = frozenset({S.UNPAIRED, S.SYNCED, S.PREPARED, S.SPLIT, S.SPLIT_UNTRACKED})
EXPOSABLE = frozenset({S.SPLIT, S.SPLIT_UNTRACKED})


def group_state(pairs: Sequence[Pair], traits: Traits, copy: str = "") -> PairState:
    """The state of a whole group: what all its pairs share, else MIXED; an empty answer is UNKNOWN.

    A group whose pairs are partly in sync and partly still copying is ATTACHING. With `copy` only the pairs of that
    copy count; without it, of a group that keeps copies, only those that say whether the next split may be taken: an old
    copy that broke (a snapshot that ran full) does not stand in the way of a new one. One with an unknown word does.
    """
    if copy:
        pairs = [pair for pair in pairs if pair.copy == copy]
    elif traits.family is Family.POINT:
        pairs = [pair for pair in pairs if not _is_old_copy(pair)] or list(pairs)
    states = {pair.state for pair in pairs}
    if not states:
        return S.UNKNOWN
    if len(states) == 1:
        return states.pop()
    if states <= {S.ATTACHING, S.SYNCED}:
        return S.ATTACHING
    return S.MIXED


def _is_old_copy(pair: Pair) -> bool:
    """A copy that stands or broke, and no say in whether the next one may be taken."""
    return pair.state in EXPOSABLE or (bool(pair.copy) and pair.state is S.BROKEN)


def may_start_anew(pairs: Sequence[Pair], traits: Traits) -> bool:
    """Whether a full establish may go on where one was cut short half-way: some pairs attached, some not yet.

    Only for an array that tracks no changes: there it is several commands, and no pair loses by being attached.
    """
    if traits.family is not Family.MIRROR or traits.tracks_changes:
        return False
    return {pair.state for pair in pairs} <= {S.UNPAIRED, S.SPLIT_UNTRACKED, S.ATTACHING, S.SYNCED}


def words(pairs: Sequence[Pair]) -> str:
    """Each pair with the array's own word, for messages."""
    return ", ".join(f"{pair.name}: {pair.word or pair.state.value}" for pair in pairs) or "no pairs"


def require(move: Move, what: str, pairs: Sequence[Pair], traits: Traits, *, mode: Mode | None = None) -> PairState:
    """The group's state when `move` is legal from it, else Refused. `what` names array and group."""
    state = group_state(pairs, traits)
    if state is S.MIXED and move is Move.ESTABLISH and mode is Mode.FULL and may_start_anew(pairs, traits):
        return state
    if state in (S.BROKEN, S.MIXED, S.UNKNOWN, S.RESTORING):
        raise Refused(
            f"{what} is {state.value}: no move is made from there",
            detail=words(pairs),
            hint="look at the array with its own tools; when it is at rest again, the next run goes on by itself",
        )
    allowed = {
        Move.ESTABLISH: FULL_FROM if mode is Mode.FULL else INCREMENTAL_FROM,
        Move.REATTACH: INCREMENTAL_FROM,
        Move.SPLIT: SPLIT_FROM,
        Move.DISCARD: RESTING,
    }.get(move, frozenset(S))
    if traits.family is Family.POINT and move is Move.SPLIT:
        allowed = SPLIT_FROM | {S.SPLIT}
    if state not in allowed:
        raise Refused(f"{what} is {state.value}: {move.value} is not a legal move from there", detail=words(pairs))
    return state
