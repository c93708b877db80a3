"""A product's state words, and whether the array's pairs are those of the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from splitmirror_drivers.arrays.timefinder_options import Group
from splitmirror_drivers.arrays.timefinder_parse import Row, number_of
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import Refused


@dataclass(frozen=True, slots=True)
class Words:
    """A product's words: their states, those from which it may be split, those of a split that is under way or fixed."""

    states: Mapping[str, PairState]
    ready: frozenset[str]
    begun: frozenset[str]
    fixed: frozenset[str]


class Standing(Enum):
    """What the pairs of a group say about its split."""

    READY = "may be split"
    BEGUN = "under way"
    FIXED = "fixed"
    OTHER = "anything else"


def said(rows: Sequence[Row]) -> str:
    """Each pair with the array's own word."""
    return ", ".join(f"{row.name} {row.word}" for row in rows) or "no pairs"


def require_members(what: str, of: Group, rows: Sequence[Row]) -> None:
    """Raise Refused, naming both, when the array's pairs are not those of the policy."""
    if isinstance(of.pairs, int):
        if len(rows) != of.pairs:
            raise _other_members(what, f"{len(rows)} pairs ({said(rows)})", f"{of.pairs} pairs")
        return
    wanted = {number_of(primary): number_of(copy) for primary, copy in of.pairs.items()}
    found = {number_of(row.primary): number_of(row.copy) if row.copy else "" for row in rows}
    unpaired = {primary: wanted[primary] for primary, copy in found.items() if not copy and primary in wanted}
    if found | unpaired != wanted:
        named = ", ".join(f"{primary}/{copy}" for primary, copy in of.pairs.items())
        raise _other_members(what, said(rows), named)


def _other_members(what: str, found: str, wanted: str) -> Refused:
    return Refused(
        f"{what} has other pairs than the policy says",
        detail=f"the array: {found}\nthe policy: {wanted}",
        hint="look at what was added to the group or removed; then mend `pairs` and the devices of the policy",
    )
