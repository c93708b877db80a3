"""The split: one REDUCE for each unit, naming every disk of it, and never SET … REMOVE=.

Before the first one every pair of every unit must be in sync. After each, SHOW must have all of its disks out. Nothing is
known of a moment until then; and what was reduced stays so, whatever becomes of the next unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror_drivers.arrays.hsg80_change import Came, Change, make
from splitmirror_drivers.arrays.hsg80_console import Console
from splitmirror_drivers.arrays.hsg80_look import SPLIT, View, lines_of, look, pairs_of, view_of, words
from splitmirror_drivers.arrays.hsg80_options import Unit
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, NotSynchronised, UnknownAnswer


def line_of(unit: Unit) -> str:
    """The REDUCE of one unit."""
    return f"REDUCE {' '.join(unit.disks)}"


def take(console: Console, groups: Sequence[str], units: Mapping[str, Unit], deadline: Deadline) -> bool:
    """Reduce `units`; whether they were found reduced already. Raises as ``Array.split`` does."""
    names = f"{console.name}/{', '.join(groups)}"
    pairs = pairs_of(_before(console, names, units, deadline))
    states = {pair.state for pair in pairs}
    if states == {SPLIT}:
        return True
    if states != {PairState.SYNCED}:
        raise NotSynchronised(
            f"{names} may not be split: not every third mirror is in sync; nothing was sent",
            detail=words(pairs),
        )
    for number, (name, unit) in enumerate(units.items()):
        try:
            make(console, _reduce(console, name, unit), deadline)
        except CommandFailed as exc:
            if number == 0:
                raise
            raise UnknownAnswer(
                f"{', '.join(list(units)[:number])} of {names} are split, and {name} is not: {exc}", detail=exc.detail
            ) from exc
    return False


def _before(console: Console, names: str, units: Mapping[str, Unit], deadline: Deadline) -> tuple[View, ...]:
    try:
        return look(console, units, deadline)
    except DeadlinePassed as exc:
        raise CommandFailed(f"{names} gave no answer before its split, which was not sent", detail=exc.full()) from exc
    except UnknownAnswer as exc:
        raise CommandFailed(
            f"{names} could not be read before its split, which was not sent: {exc}", detail=exc.detail
        ) from exc


def _reduce(console: Console, name: str, unit: Unit) -> Change[View]:
    def came(view: View) -> Came:
        states = {pair.state for pair in view.pairs()}
        if states == {SPLIT}:
            return Came.DONE
        return Came.NOTHING if states == {PairState.SYNCED} else Came.OTHER

    return Change(
        line_of(unit),
        tuple(lines_of(unit)),
        lambda replies: view_of(name, unit, replies, console.options),
        came,
    )
