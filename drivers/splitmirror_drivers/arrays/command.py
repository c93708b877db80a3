"""Any array by its command lines and state words: nothing is concluded but from exit codes and listed words.

The policy says what the array is (``source`` names where that is documented) and how it is spoken to; the promises are
those of every array. A split is verified by a query: an exit code alone fixes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splitmirror_drivers.arrays.command_calls import Calls, wait
from splitmirror_drivers.arrays.command_options import Options
from splitmirror_drivers.arrays.command_split import READY, SPLIT, Splitter, Standing, words
from splitmirror_drivers.arrays.command_words import fill, fraction
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import (
    Action,
    Exposed,
    Family,
    FixedBy,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
    Source,
)
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    InUse,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret

__all__ = ["CommandArray", "Options"]

UNDO = {Move.ESTABLISH: "split", Move.EXPOSE: "unexpose", Move.SPLIT: "reattach, or discard"}


class CommandArray:
    """An array that is spoken to by configured commands."""

    def __init__(
        self,
        name: str,
        options: Options,
        host: Host,
        secrets: Mapping[str, Secret] | None = None,
        pause: Callable[[float], None] = wait,
    ) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = options.traits()
        known = {key: secret.reveal() for key, secret in (secrets or {}).items()}
        self.calls = Calls(name, options, host, known, pause, options.reading())
        self.splitter = Splitter(self.calls, self.traits)

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> CommandArray:
        """The catalogue's constructor."""
        return cls(name, options, host, {key: context.secret(ref) for key, ref in options.secrets.items()})

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Every pair with its word. Refused when their number is not the policy's."""
        return self.calls.pairs(group, deadline)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:  # noqa: ARG002 - the policy knows
        """The devices or trees that the policy names."""
        of = self.calls.group(group)
        return (
            *(Source("device", device, of.source_host) for device in of.devices),
            *(Source("path", path, of.source_host) for path in of.paths),
        )

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """Done when every pair's word says so. Raises UnknownAnswer or CommandFailed for a pair that will not get there."""
        lines = self.calls.lines(group, deadline)
        for pair in (line.pair for line in lines):
            if pair.state is PairState.UNKNOWN:
                raise UnknownAnswer(f"{self.name}/{group}: {pair.name} says {pair.word!r}, which no table lists")
            if pair.state in (PairState.BROKEN, PairState.RESTORING):
                raise CommandFailed(f"{self.name}/{group}: {pair.name} is {pair.word} ({pair.state.value})")
        open_pairs = [pair for pair in (line.pair for line in lines) if pair.state not in READY]
        if self.traits.family is Family.POINT:
            open_pairs = [pair for pair in open_pairs if pair.state not in SPLIT]
        return Progress(not open_pairs, fraction(lines), words(open_pairs) if open_pairs else "")

    # -- moving --

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:
        """Nothing is sent to a group that is in sync or on its way there."""
        if self.traits.family is Family.POINT:
            return
        states = {pair.state for pair in self.query(group, deadline)}
        on_the_way = {PairState.ATTACHING, *(READY if mode is Mode.INCREMENTAL else ())}
        if states <= on_the_way:
            return
        verb = "establish-full"
        if mode is Mode.INCREMENTAL:
            verb = "reattach" if self.options.commands.reattach and states <= SPLIT else "establish"
        if verb not in self.options.commands.given():
            raise Refused(f"{self.name}: no command {verb} is configured, so {group} cannot be copied in full")
        self.calls.require(
            verb,
            self.calls.run(verb, (group,), "", self.calls.sooner(verb, deadline)),
            f"{verb} of {self.name}/{group}",
        )

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: the policy says nothing of it."""
        return None

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:  # noqa: ARG002
        """A query before, the split itself and a query after it, for each group."""
        self.host.stand_by(3 * len(groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command for all groups where it has ``{groups}``, else one after another; fixed when the query says so."""
        is_again = self.splitter.take(groups, copy, self.calls.sooner("split", deadline))
        return tuple(
            Receipt(self.name, group, copy, is_again, {"pairs": str(self.calls.group(group).pairs)}) for group in groups
        )

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """By the word of every pair, and then by the settle command where there is one."""
        pairs = self.query(receipt.group, deadline)
        standing = self.splitter.standing(receipt.group, pairs, receipt.copy, FixedBy.COMPLETE)
        if standing is Standing.BEGUN:
            return Progress(is_done=False)
        if standing is not Standing.FIXED:
            raise UnknownAnswer(
                f"{self.name}/{receipt.group}: the copy {receipt.copy} is not there", detail=words(pairs)
            )
        if not self.options.commands.settle:
            return Progress(is_done=True)
        done = self.calls.run("settle", (receipt.group,), receipt.copy, self.calls.sooner("settle", deadline))
        if done.exit_code in self.options.not_settled_exit_codes:
            return Progress(is_done=False)
        self.calls.require("settle", done, f"settle of {self.name}/{receipt.group}")
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Run the command where there is one; the policy knows where the copy then appears."""
        of = self.calls.group(receipt.group)
        if not of.tree and not of.copy_devices:
            raise Refused(
                f"{self.name}/{receipt.group}: the policy does not say where its copy appears",
                hint="name copy-devices or tree in the group",
            )
        self._change("expose", receipt, deadline)
        values = {"group": [receipt.group], "copy": [receipt.copy]}
        kind, paths = ("tree", (of.tree,)) if of.tree else ("device", of.copy_devices)
        return Exposed(kind, fill(paths, values), self.options.seen_on or self.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Run the command where there is one. Raises InUse for a code that says so."""
        self._change("unexpose", receipt, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Delete one copy that the query still names; a mirror is never discarded."""
        if self.traits.family is Family.MIRROR:
            raise Refused(f"{self.name} is a mirror: its copy is attached again, never discarded")
        if any(pair.copy == receipt.copy for pair in self.query(receipt.group, deadline)):
            self._change("discard", receipt, deadline)

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """The command line of `move`; none where the policy has none."""
        self.calls.group(group)
        verb = move.value
        if move is Move.REATTACH and not self.options.commands.reattach:
            verb = "establish"
        argv = self.options.commands.given().get(verb)
        if not argv:
            return ()
        command = self.calls.command(verb, (group,), copy)
        return (Action(self.host.name, command.line(), self.calls.seconds(verb), UNDO.get(move, "")),)

    def restore_note(self, receipt: Receipt) -> str:
        """What the policy says, with the names of this copy."""
        what = f"Array {self.name}, group {receipt.group}, copy {receipt.copy}."
        how = self.options.restore_note or (
            "Nothing here copies back to the primary: restore with the array's own tools, as its manual says "
            f"({self.options.source})."
        )
        return f"{what} {how}"

    def _change(self, verb: str, receipt: Receipt, deadline: Deadline) -> None:
        self.calls.group(receipt.group)
        if verb not in self.options.commands.given():
            return
        what = f"{verb} of {self.name}/{receipt.group}"
        done = self.calls.run(verb, (receipt.group,), receipt.copy, self.calls.sooner(verb, deadline))
        if done.exit_code in self.options.in_use_exit_codes:
            raise InUse(f"{what}: the array says that the copy is in use", detail=done.tail())
        self.calls.require(verb, done, what)
