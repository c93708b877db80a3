"""TimeFinder/Mirror: standards and BCVs, by ``symmir``, or by ``symbcv`` where the programs are older than that.

The two have opposite defaults: ``symmir establish`` copies what changed unless ``-full`` is given, ``symbcv establish``
copies everything unless ``-i`` is.
"""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import MOVE_SECONDS, NO_PROMPT, Symcli
from splitmirror_drivers.arrays.timefinder_pairs import Pairs
from splitmirror_drivers.arrays.timefinder_parse import Row, mirror_rows
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
from splitmirror_drivers.kit.errors import Refused

SYMMIR, SYMBCV = "symmir", "symbcv"

WORDS = Words(
    states={
        "NeverEstab": PairState.UNPAIRED,
        "SyncInProg": PairState.ATTACHING,
        "Synchronized": PairState.SYNCED,
        "SplitInProg": PairState.SPLITTING,
        "Split": PairState.SPLIT,
        "SplitNoInc": PairState.SPLIT_UNTRACKED,
        "SplitBfrSync": PairState.SPLIT_UNTRACKED,
        "SplitBfrRest": PairState.SPLIT_UNTRACKED,
        "RestInProg": PairState.RESTORING,
        "Restored": PairState.RESTORING,
        "Invalid": PairState.BROKEN,
        "Unknown": PairState.BROKEN,
    },
    ready=frozenset({"Synchronized"}),
    begun=frozenset({"SplitInProg"}),
    fixed=frozenset({"Split", "SplitNoInc"}),
)
"""A pair that was split before it was in sync (SplitBfrSync) or restored is no copy of one moment: never fixed."""

COPIED_IN_FULL = frozenset({PairState.UNPAIRED, PairState.SPLIT, PairState.SPLIT_UNTRACKED})


def traits(*, is_consistent: bool) -> Traits:
    """A consistent split is one moment for its group; of a plain one nothing says that even a pair is."""
    return Traits(
        family=Family.MIRROR,
        fixed_by=FixedBy.COMPLETE,
        atomic=Atomic.GROUP if is_consistent else Atomic.NOTHING,
        needs_sync=True,
        tracks_changes=True,
        tracks_copy_writes=True,
        keeps_copies=False,
        allows_freeze=True,
        source="EMC Solutions Enabler TimeFinder Family CLI guide; W. Curtis Preston, SAN Backup and Recovery: blocks that "
        "changed on the BCV are refreshed too. No source says that accepting a split fixes its moment, so its completion "
        "counts",
    )


class Mirror(Pairs):
    """Standards and their BCVs."""

    words = WORDS

    def __init__(self, symcli: Symcli) -> None:
        super().__init__(symcli)
        self.traits = traits(is_consistent=symcli.options.consistent)
        self._found: str = "" if symcli.options.command == "auto" else symcli.options.command

    def look(self, group: str, deadline: Deadline) -> tuple[Row, ...]:
        """``query``. A standard's row shows the BCV that it is paired with, also one that is not of this group."""
        tool = self.tool(deadline)
        done = self.symcli.look(tool, *self._of(tool, group), "query", deadline=deadline)
        text = done.require(f"asking for the pairs of {self.name}/{group}").stdout
        self.symcli.require_array(group, text)
        rows, of = mirror_rows(text), self.symcli.group(group)
        strangers = [row for row in rows if row.copy and not row.is_marked]
        if strangers and not of.named and not of.pair_file:
            raise Refused(
                f"{self.name}/{group} is paired with BCVs of another group",
                detail=said(strangers),
                hint="associate them with this group, or name its pairs in the policy",
            )
        return rows

    def begin_copy(self, group: str, mode: Mode, rows: Sequence[Row], deadline: Deadline) -> None:
        """``establish``. An incremental one only from Split, as from other words the array would copy everything."""
        if mode is Mode.INCREMENTAL and {row.word for row in rows} != {"Split"}:
            raise Refused(
                f"{self.name}/{group}: what changed can only be copied when every pair is Split",
                detail=said(rows),
                hint="look at the pairs; a full copy is made by `splitmirror establish --full`",
            )
        if mode is Mode.FULL and not {self.words.states.get(row.word) for row in rows} <= COPIED_IN_FULL:
            raise Refused(f"{self.name}/{group} cannot be copied in full now", detail=said(rows))
        tool = self.tool(deadline)
        done = self.symcli.move(tool, *self._establish(tool, group, mode), deadline=deadline)
        done.require(f"establishing {self.name}/{group}")

    def break_off(self, group: str, deadline: Deadline) -> Completed:
        """``split``."""
        tool = self.tool(deadline)
        return self.symcli.move(tool, *self._split_words(tool, group), deadline=deadline)

    def is_verified(self, group: str, deadline: Deadline) -> bool:
        """``verify``: only its 0 is true, any other code says that it is not so, or not so yet."""
        tool = self.tool(deadline)
        condition = ("-synched",) if tool == SYMMIR else ()
        done = self.symcli.look(tool, *self._of(tool, group), "verify", *condition, deadline=deadline)
        return done.exit_code == 0

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Find out which program there is, so that the split need not ask."""
        self.tool(deadline)
        super().stand_by(groups, copy, deadline)

    def tool(self, deadline: Deadline) -> str:
        """The program that establishes and splits. Raises Refused when there is none, or it cannot do what is asked."""
        if not self._found:
            self._found = next((tool for tool in (SYMMIR, SYMBCV) if self.symcli.has(tool, deadline)), "")
            if not self._found:
                raise Refused(
                    f"{self.name}: neither symmir nor symbcv is in {self.options.path} on {self.host.name}",
                    hint="install Solutions Enabler there, or set path",
                )
        if self._found == SYMBCV and (self.options.consistent or self.options.instant):
            raise Refused(
                f"{self.name}: there is only symbcv on {self.host.name}, which knows no consistent and no instant split",
                hint="take consistent and instant out of the policy",
            )
        return self._found

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:  # noqa: ARG002 - has no name
        """What a move will run; where the program is still to be found, in the words of symmir."""
        tool = SYMMIR if self.options.command == "auto" else self.options.command
        if move is Move.SPLIT:
            words, undo = self._split_words(tool, group), "establish: copies back what changed"
        elif move in (Move.ESTABLISH, Move.REATTACH):
            words, undo = self._establish(tool, group, Mode.INCREMENTAL), "split"
        else:
            return ()
        return (Action(self.host.name, self.symcli.command(tool, *words).line(), MOVE_SECONDS, undo),)

    def restore_note(self, receipt: Receipt) -> str:
        """How a person copies a BCV back."""
        words = self.symcli.command(SYMMIR, *self.symcli.selection(receipt.group), "restore").line()
        return (
            f"Array {self.name}, group {receipt.group}, copy {receipt.copy}. With the application stopped, everything on "
            f"the standards unmounted and the copy withdrawn, as long as the group has not been established again: "
            f"`{words}` copies the BCVs over the standards, what differs only; what was written since is lost."
        )

    def _of(self, tool: str, group: str) -> tuple[str, ...]:
        """How `tool` is told which pairs are meant. Raises Refused for what symbcv cannot be told."""
        of = self.symcli.group(group)
        if tool == SYMBCV and (of.composite_group or of.pair_file):
            raise Refused(f"{self.name}/{group}: symbcv works on device groups only", hint="name a device-group")
        return self.symcli.selection(group)

    def _establish(self, tool: str, group: str, mode: Mode) -> tuple[str, ...]:
        if tool == SYMBCV:
            return (
                "establish",
                *self._of(tool, group),
                *(("-i",) if mode is Mode.INCREMENTAL else ()),
                NO_PROMPT,
            )
        return (*self._of(tool, group), *(("-full",) if mode is Mode.FULL else ()), "establish", NO_PROMPT)

    def _split_words(self, tool: str, group: str) -> tuple[str, ...]:
        if tool == SYMBCV:
            return ("split", *self._of(tool, group), NO_PROMPT)
        asked = {"-consistent": self.options.consistent, "-instant": self.options.instant}
        return (*self._of(tool, group), "split", *(word for word, is_set in asked.items() if is_set), NO_PROMPT)
