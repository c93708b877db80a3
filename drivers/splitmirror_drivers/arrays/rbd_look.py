"""What stands in a cluster: which images a group has, whether they may be snapped, which parts of a copy there are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from splitmirror_drivers.arrays.rbd_calls import Calls, Snapshot, of_group, snap_name
from splitmirror_drivers.arrays.rbd_options import Group
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused

S = PairState
AT_REST = frozenset({"clone-parent", "clone-child", "group", "snap-trash"})
"""What an image may be, beside nothing, while it is snapped (rbd info, op_features)."""
MOVING = "migrating"
WHOLE = frozenset({"ok", "complete"})
"""The word of a group's snapshot that is whole: until 18, and since 19."""
TORN = "incomplete"
_COPY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


class Look:
    """Asks only."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def prepared(self, group: str, deadline: Deadline) -> tuple[Pair, ...]:
        """Each image with what rbd says of it, once the group was seen to have these images. Raises Refused."""
        of = self.calls.group(group)
        if of.group:
            self._compare(group, of, deadline)
        return tuple(image_pair(image, self.calls.info(image, deadline).op_features) for image in of.images)

    def _compare(self, group: str, of: Group, deadline: Deadline) -> None:
        members = self.calls.members(of.group, deadline)
        found = {f"{one.pool}/{one.image}" for one in members}
        if found != set(of.images):
            raise Refused(
                f"{self.calls.name}/{group}: {of.group} has {', '.join(sorted(found)) or 'no images'}, "
                f"and the policy names {', '.join(of.images)}",
                hint="put the policy or the group right",
            )
        if broken := [one.image for one in members if one.state != 0]:
            raise Refused(
                f"{self.calls.name}/{group}: {broken[0]} is not whole in {of.group} (state {members[0].state})"
            )

    def parts(self, group: str, name: str, deadline: Deadline) -> dict[str, Snapshot]:
        """Which images have their part of a copy."""
        of, found = self.calls.group(group), {}
        for image in of.images:
            snapshots = self.calls.snapshots(image, deadline)
            if of.group:
                part = of_group(snapshots, of.group, name)
            else:
                part = next((one for one in snapshots if one.name == name and one.namespace.type == "user"), None)
            if part is not None:
                found[image] = part
        return found

    def whole(self, group: str, copy: str, deadline: Deadline) -> dict[str, Snapshot]:
        """All parts of a copy. Raises Refused when one is missing, or when the group's snapshot is not whole."""
        of, name = self.calls.group(group), named(copy)
        parts = self.parts(group, name, deadline)
        if missing := [image for image in of.images if image not in parts]:
            raise Refused(f"{self.calls.name}: there is no copy {missing[0]}@{name}")
        if of.group and not (words := self.words_of(of, name, deadline)) <= WHOLE:
            raise Refused(f"{self.calls.name}: {of.group}@{name} is {', '.join(sorted(words))}: it is no copy")
        return parts

    def words_of(self, of: Group, name: str, deadline: Deadline) -> set[str]:
        """The words of a group's snapshot of that name."""
        return {one.state for one in self.calls.group_snapshots(of.group, deadline) if one.snapshot == name}


def named(copy: str) -> str:
    """The name of a copy's snapshots. Raises Refused for what can be none."""
    if not _COPY.fullmatch(copy):
        raise Refused(f"{copy!r} is not the name of a copy")
    return snap_name(copy)


def state_of(word: str) -> PairState:
    """The state of a group's snapshot by its word."""
    return S.SPLIT if word in WHOLE else S.BROKEN if word == TORN else S.UNKNOWN


def image_pair(image: str, features: Sequence[str]) -> Pair:
    """An image by what rbd says that it takes part in."""
    word = ",".join(sorted(features)) or "ready"
    if MOVING in features:
        return Pair(image, S.BROKEN, word, image)
    return Pair(image, S.PREPARED if set(features) <= AT_REST else S.UNKNOWN, word, image)
