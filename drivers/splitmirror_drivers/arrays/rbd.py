"""Ceph RBD: snapshots of images, or of an rbd group, shown mapped or as clones.

A snapshot is of one image and of one moment. Images of one group are snapped one after another. An rbd group is snapped by
one command; whether that is one moment over its images also for those that the kernel maps is not documented, so it counts
as such only where the policy vouches for it. Sources: rbd(8); Ceph documentation, Snapshots, Snapshot layering, and the
release notes of 19 (clones of a group's snapshot).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splitmirror_drivers.arrays.rbd_calls import COMMAND_SECONDS, Calls, Snapshot, copy_of, snap_name
from splitmirror_drivers.arrays.rbd_look import WHOLE, Look, named, state_of
from splitmirror_drivers.arrays.rbd_options import Group, Options
from splitmirror_drivers.arrays.rbd_show import Shown
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import (
    Action,
    Exposed,
    Mode,
    Move,
    Pair,
    PairState,
    Progress,
    Receipt,
    Source,
)
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused, UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

__all__ = ["Group", "Options", "Rbd"]

ANSWERS: Mapping[str, str] = {"--no-progress": "only keeps a progress bar off standard error"}
"""Flags that answer a prompt, rename a copy or change what is printed."""
S = PairState


class Rbd:
    """The images of one cluster."""

    def __init__(self, name: str, options: Options, host: Host, copy_host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        self.traits = options.traits()
        self.calls = Calls(name, options, host, copy_host)
        self.look = Look(self.calls)
        self.shown = Shown(self.calls)
        copy_host.families((look_at.FAMILY,))

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Rbd:
        """The catalogue's constructor. Raises PolicyFault."""
        options.check(name)
        return cls(name, options, host, context.host(options.copy_host) if options.copy_host else host)

    # -- looking --

    def query(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """PREPARED for each image, and one SPLIT pair for each snapshot of ours."""
        of = self.calls.group(group)
        pairs = list(self.look.prepared(group, deadline))
        if of.group:
            found = ((one, copy_of(one.snapshot)) for one in self.calls.group_snapshots(of.group, deadline))
            pairs += [
                Pair(f"{of.group}@{one.snapshot}", state_of(one.state), one.state, of.group, copy)
                for one, copy in found
                if copy
            ]
            return tuple(pairs)
        for image in of.images:
            snapshots = self.calls.snapshots(image, deadline)
            names = [one.name for one in snapshots if one.namespace.type == "user" and copy_of(one.name)]
            pairs += [Pair(f"{image}@{name}", S.SPLIT, "snapshot", image, copy_of(name)) for name in names]
        return tuple(pairs)

    def sources(self, group: str, deadline: Deadline) -> tuple[Source, ...]:
        """The images as the policy maps them, else as this host has them mapped; else by a name that no host knows."""
        of, found = self.calls.group(group), []
        self.look.prepared(group, deadline)
        mapped = {
            f"{one.pool}/{one.name}": one.device
            for one in self.calls.mappings(self.host, deadline)
            if one.snap in ("-", "")
        }
        for image in of.images:
            device = of.devices.get(image, "")
            if device:
                found.append(Source("device", device, of.source_host if device.startswith("/") else ""))
            elif image in mapped:
                found.append(Source("device", mapped[image], self.host.name))
            else:
                found.append(Source("device", f"rbd:{image}"))
        return tuple(found)

    def establish(self, group: str, mode: Mode, deadline: Deadline) -> None:  # noqa: ARG002 - nothing is copied
        """Nothing has to be copied ahead; asked for all the same, it looks."""
        self.look.prepared(group, deadline)

    def progress(self, group: str, deadline: Deadline) -> Progress:
        """There is nothing to wait for."""
        return Progress(is_done=all(pair.state is S.PREPARED for pair in self.look.prepared(group, deadline)))

    def split_estimate(self, group: str) -> float | None:  # noqa: ARG002
        """None: it copies nothing."""
        return None

    # -- moving --

    def stand_by(self, groups: Sequence[str], copy: str, deadline: Deadline) -> None:
        """Every image can be snapped, and the copy's name is free."""
        name = named(copy)
        for group in groups:
            if strange := [pair for pair in self.look.prepared(group, deadline) if pair.state is not S.PREPARED]:
                raise Refused(f"{self.name}/{group}: {strange[0].name} is {strange[0].word}")
            if taken := self.look.parts(group, name, deadline):
                raise Refused(
                    f"{self.name}: {min(taken)}@{name} is there already", hint="look at it; it is not overwritten"
                )
        self.host.stand_by(sum(len(self._split_lines(group, copy)) for group in groups), deadline)

    def split(self, groups: Sequence[str], copy: str, deadline: Deadline) -> tuple[Receipt, ...]:
        """One command an image, one after another, or one for an rbd group."""
        return tuple(self._split(group, copy, deadline) for group in groups)

    def settle(self, receipt: Receipt, deadline: Deadline) -> Progress:
        """A snapshot may be read at once."""
        self.look.whole(receipt.group, receipt.copy, deadline)
        return Progress(is_done=True)

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Mapped on the host that reads it; nodes may appear a little later."""
        parts = self.look.whole(receipt.group, receipt.copy, deadline)
        paths = [self.shown.show(receipt.group, image, part, receipt.copy, deadline) for image, part in parts.items()]
        return Exposed("device", tuple(paths), self.calls.copy_host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Unmap, and remove the clones. Raises InUse, naming who. Safe to repeat."""
        named(receipt.copy)
        for image in self.calls.group(receipt.group).images:
            self.shown.hide(receipt.group, image, receipt.copy, deadline)

    def discard(self, receipt: Receipt, deadline: Deadline) -> None:
        """Remove the snapshots that are ours, when nothing was made of them and they are not mapped. Safe to repeat."""
        of, name = self.calls.group(receipt.group), named(receipt.copy)
        self._refuse_shown(receipt, deadline)
        if of.group:
            if name in {one.snapshot for one in self.calls.group_snapshots(of.group, deadline)}:
                self.calls.act(deadline, f"removing {of.group}@{name}", "group", "snap", "rm", f"{of.group}@{name}")
        else:
            for image, part in self.look.parts(receipt.group, name, deadline).items():
                self._remove(f"{image}@{name}", part, deadline)
        if left := self.look.parts(receipt.group, name, deadline):
            raise UnknownAnswer(f"{self.name}: {min(left)}@{name} is still there after it was removed")

    # -- telling --

    def actions(self, move: Move, group: str, copy: str) -> tuple[Action, ...]:
        """The command lines of `move`."""
        of, name = self.calls.group(group), snap_name(copy)
        if move is Move.SPLIT:
            targets = [of.group] if of.group else list(of.images)
            undo = ["group", "snap", "rm"] if of.group else ["snap", "rm"]
            undos = [self.calls.line(*undo, f"{target}@{name}") for target in targets]
            lines = [self.calls.line(*words) for words in self._split_lines(group, copy)]
            return tuple(
                Action(self.host.name, line, COMMAND_SECONDS, back) for line, back in zip(lines, undos, strict=True)
            )
        if move is Move.EXPOSE:
            return self.shown.actions(group, copy)
        if move is Move.DISCARD:
            words = ("group", "snap", "rm") if of.group else ("snap", "rm")
            targets = [of.group] if of.group else list(of.images)
            return tuple(
                Action(self.host.name, self.calls.line(*words, f"{one}@{name}"), COMMAND_SECONDS) for one in targets
            )
        return ()

    def restore_note(self, receipt: Receipt) -> str:
        """How a person gets it back."""
        of, name = self.calls.group(receipt.group), snap_name(receipt.copy)
        if of.group:
            how = self.calls.line("group", "snap", "rollback", f"{of.group}@{name}")
        else:
            how = " && ".join(self.calls.line("snap", "rollback", f"{image}@{name}") for image in of.images)
        return (
            f"With the images of {receipt.group} unmapped everywhere and their virtual machines off: `{how}` overwrites them with "
            f"the copy {receipt.copy}; it writes every object and takes its time. Or clone the snapshots and copy files back."
        )

    # -- split --

    def _split_lines(self, group: str, copy: str) -> list[tuple[str, ...]]:
        of, name = self.calls.group(group), named(copy)
        if of.group:
            return [("group", "snap", "create", f"{of.group}@{name}")]
        return [("snap", "create", "--no-progress", f"{image}@{name}") for image in of.images]

    def _split(self, group: str, copy: str, deadline: Deadline) -> Receipt:
        for words in self._split_lines(group, copy):
            done = self.calls.run(deadline, *words)
            if done.exit_code != 0:
                return self._after_failure(group, copy, done, deadline)
        return Receipt(self.name, group, copy)

    def _after_failure(self, group: str, copy: str, done: Completed, deadline: Deadline) -> Receipt:
        """What a command that failed left: all of a copy, which is one found again; nothing; or a part."""
        of, name = self.calls.group(group), named(copy)
        parts = self.look.parts(group, name, deadline)
        words = self.look.words_of(of, name, deadline) if of.group else set()
        if len(parts) == len(of.images) and words <= WHOLE:
            return Receipt(self.name, group, copy, is_again=True)
        if not parts and not words:
            raise CommandFailed(f"{self.name}/{group}: making the snapshot {name} failed", detail=done.tail())
        raise UnknownAnswer(
            f"{self.name}/{group}: {name} is there for {', '.join(sorted(parts)) or of.group} and not for the rest",
            detail=done.tail(),
            hint="remove it after a look; a part is no copy",
        )

    def _refuse_shown(self, receipt: Receipt, deadline: Deadline) -> None:
        """A copy that is mapped, or whose clone is there, is not discarded. Raises Refused."""
        images = self.calls.group(receipt.group).images
        specs = {self.shown.spec(receipt.group, image, receipt.copy) for image in images}
        for spec in sorted(one for one in specs if "@" not in one):
            pool, name = spec.split("/", 1)
            if name in self.calls.images(pool, deadline):
                raise Refused(
                    f"{self.name}: the clone {spec} is still there", hint="it goes when the copy is unexposed"
                )
        for one in self.calls.mappings(self.calls.copy_host, deadline):
            spec = f"{one.pool}/{one.name}" + (f"@{one.snap}" if one.snap not in ("-", "") else "")
            if spec in specs:
                raise Refused(f"{self.name}: {spec} is mapped at {one.device}", hint="unmap it; it is never forced")

    def _remove(self, snapshot: str, part: Snapshot, deadline: Deadline) -> None:
        if children := self.calls.children(snapshot, deadline):
            named = ", ".join(f"{one.pool}/{one.image}" for one in children)
            raise Refused(
                f"{self.name}: {snapshot} has clones: {named}",
                hint="flatten or remove them after a look; nothing goes along with a copy",
            )
        if part.is_protected:
            self.calls.act(deadline, f"ending the protection of {snapshot}", "snap", "unprotect", snapshot)
        self.calls.act(deadline, f"removing {snapshot}", "snap", "rm", "--no-progress", snapshot)
