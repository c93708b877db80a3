"""TimeFinder/Clone: a session that is created, activated at one moment, and created anew for what changed.

Activating fixes the moment; what was not copied before is copied in the background from then on, and is read from the
source meanwhile. So "in sync" here means: the session may be activated.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import MOVE_SECONDS, NO_PROMPT, Symcli
from splitmirror_drivers.arrays.timefinder_ids import list_devices
from splitmirror_drivers.arrays.timefinder_pairs import Pairs
from splitmirror_drivers.arrays.timefinder_parse import Row, clone_rows, number_of
from splitmirror_drivers.arrays.timefinder_words import Words, said
from splitmirror_drivers.contracts.array import (
    Action,
    Atomic,
    Family,
    FixedBy,
    Mode,
    Move,
    PairState,
    Receipt,
    Traits,
)
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused

SYMCLONE = "symclone"
NEVER, COPIED, COPYING = "NeverEstab", "Copied", "CopyInProg"

WORDS = Words(
    states={
        NEVER: PairState.UNPAIRED,
        "Created": PairState.SYNCED,
        "Precopy": PairState.SYNCED,
        "Recreated": PairState.SYNCED,
        COPYING: PairState.SPLITTING,
        COPIED: PairState.SPLIT,
        "CopyOnWrite": PairState.SPLIT,
        "CopyOnAccess": PairState.SPLIT,
        "RestInProg": PairState.RESTORING,
        "Restored": PairState.RESTORING,
        "Failed": PairState.BROKEN,
        "Invalid": PairState.BROKEN,
    },
    ready=frozenset({"Created", "Precopy", "Recreated"}),
    begun=frozenset(),
    fixed=frozenset({COPYING, COPIED, "CopyOnWrite", "CopyOnAccess"}),
)


def traits(*, is_consistent: bool) -> Traits:
    """Whether a later session repairs what was written to the target is not documented: taken as no."""
    return Traits(
        family=Family.MIRROR,
        fixed_by=FixedBy.COMPLETE,
        atomic=Atomic.GROUP if is_consistent else Atomic.NOTHING,
        needs_sync=True,
        tracks_changes=True,
        tracks_copy_writes=False,
        keeps_copies=False,
        allows_freeze=True,
        source="Dell Solutions Enabler TimeFinder/Clone CLI User Guide 10.0: -differential keeps track of changes; "
        "activate -consistent suspends writes to the sources and is one moment",
    )


class Clone(Pairs):
    """Sources and their clone targets."""

    words = WORDS

    def __init__(self, symcli: Symcli) -> None:
        super().__init__(symcli)
        self.traits = traits(is_consistent=symcli.options.consistent)

    def look(self, group: str, deadline: Deadline) -> tuple[Row, ...]:
        """``query``. It fails for a group without sessions, and its code does not tell that from another failure."""
        done = self.symcli.look(SYMCLONE, *self.symcli.selection(group), "query", deadline=deadline)
        if done.exit_code == 0:
            self.symcli.require_array(group, done.stdout)
            return clone_rows(done.stdout)
        return self._without_sessions(group, done, deadline)

    def begin_copy(self, group: str, mode: Mode, rows: Sequence[Row], deadline: Deadline) -> None:
        """Create the sessions, or create them anew for what changed."""
        words = {row.word for row in rows}
        if mode is Mode.INCREMENTAL and words != {COPIED}:
            hint = "wait until its background copy is done" if COPYING in words else ""
            raise Refused(
                f"{self.name}/{group}: what changed can only be copied when every pair is {COPIED}",
                detail=said(rows),
                hint=hint or "look at the pairs",
            )
        if mode is Mode.FULL and words != {NEVER}:
            raise Refused(
                f"{self.name}/{group} has clone sessions: they are not ended from here to copy everything",
                detail=said(rows),
                hint="end them by symclone terminate when nobody needs the copy; then establish again",
            )
        done = self.symcli.move(SYMCLONE, *self._create(group, mode), deadline=deadline)
        done.require(f"creating the sessions of {self.name}/{group}")

    def break_off(self, group: str, deadline: Deadline) -> Completed:
        """``activate``."""
        return self.symcli.move(SYMCLONE, *self._activate(group), deadline=deadline)

    def is_verified(self, group: str, deadline: Deadline) -> bool:  # noqa: ARG002
        """The words say all: a session that is created may be activated."""
        return True

    def is_settled(self, rows: Sequence[Row]) -> bool:
        """Once everything is copied; with ``read-while-copying`` at once."""
        return self.options.read_while_copying or all(row.word != COPYING for row in rows)

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002 - has no name
        """What a move will run."""
        if move is Move.SPLIT:
            words, undo = self._activate(group), "recreate: copies what changed"
        elif move in (Move.ESTABLISH, Move.REATTACH):
            words, undo = self._create(group, Mode.INCREMENTAL), "activate"
        else:
            return ()
        return (Action(self.host.name, self.symcli.command(SYMCLONE, *words).line(), MOVE_SECONDS, undo),)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies a clone back."""
        words = self.symcli.command(SYMCLONE, *self.symcli.selection(receipt.group), "restore").line()
        return (
            f"Array {self.name}, group {receipt.group}, copy {receipt.copy}. With the application stopped, everything on "
            f"the sources unmounted and the copy withdrawn, as long as the sessions have not been created anew: "
            f"`{words}` copies the targets over the sources; what was written since is lost. Then "
            "`symclone terminate -restored` ends that."
        )

    def _without_sessions(self, group: str, done: Completed, deadline: Deadline) -> tuple[Row, ...]:
        """Pairs that have no session, when the array says so of every target. Raises CommandFailed otherwise."""
        pairs = self.symcli.group(group).named
        listed = list_devices(self.symcli, list(pairs.values()), deadline)
        words = {listed[number_of(target)].get("CLONE_Device/state", NEVER) for target in pairs.values()}
        if words != {NEVER}:
            raise CommandFailed(f"asking for the sessions of {self.name}/{group} failed", detail=done.tail())
        return tuple(Row(source.upper(), target.upper(), NEVER) for source, target in pairs.items())

    def _create(self, group: str, mode: Mode) -> tuple[str, ...]:
        copying = ("-precopy",) if self.options.precopy else ("-copy",)
        if mode is Mode.FULL:
            return (*self.symcli.selection(group), "create", "-diff", *copying, NO_PROMPT)
        return (*self.symcli.selection(group), "recreate", *(copying if self.options.precopy else ()), NO_PROMPT)

    def _activate(self, group: str) -> tuple[str, ...]:
        return (
            *self.symcli.selection(group),
            "activate",
            *(("-consistent",) if self.options.consistent else ()),
            NO_PROMPT,
        )
