"""Which pool is on the copy's devices, and whether what is imported is that one and nobody else's."""

from __future__ import annotations

import re

from splitmirror_drivers.contracts.presentation import Presented, User
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused
from splitmirror_drivers.presentation import seen as look_at
from splitmirror_drivers.presentation.seen import look
from splitmirror_drivers.presentation.zfs_tools import Tools
from splitmirror_drivers.presentation.zfs_words import ONLINE, Importable


class Identify:
    """Looks only. `pool`: the name that the policy gives."""

    def __init__(self, tools: Tools, pool: str) -> None:
        self.tools, self.pool = tools, pool

    def pool_on(self, intent: Presented, deadline: Deadline) -> Importable:
        """The one pool on the copy's devices, by the names that it may have. Raises Refused."""
        devices, wanted = ", ".join(intent.exposed.paths), (self.pool, intent.data["pool"])
        taken = {guid: name for name, guid in self.tools.imported(deadline).items()}
        found = self.tools.importable(intent.exposed.paths, deadline)
        if len(found) != 1:
            raise Refused(
                f"{len(found)} pools are on {devices} on {self.tools.host.name}, not one",
                detail="\n".join(f"{one.name} {one.guid} {one.state}" for one in found),
                hint="is the pool imported already, or is one of its devices missing?",
            )
        pool = found[0]
        if pool.guid in taken:
            raise Refused(
                f"{taken[pool.guid]} is imported on {self.tools.host.name} and has the number {pool.guid} of the copy",
                hint="a pool and its twin cannot be told apart: present it on another host, or use method pool-split",
            )
        if pool.name not in wanted:
            raise Refused(
                f"the pool on {devices} is {pool.name}, and neither {' nor '.join(wanted)}",
                hint="the array shows another copy, or the policy names another pool",
            )
        if pool.state != ONLINE:
            raise Refused(f"the pool {pool.name} on {devices} is {pool.state}, not {ONLINE}")
        return pool

    def require_ours(self, intent: Presented, deadline: Deadline) -> None:
        """The imported pool is on the copy's devices and on no others, and cannot be written to. Raises Refused."""
        name = intent.data["pool"]
        status = self.tools.status(name, deadline)
        leaves = [leaf.name for leaf in status.leaves]
        seen = look(self.tools.host, deadline, *leaves, *intent.exposed.paths)
        real = {path: place.real for path, place in seen.places.items()}
        devices = [real.get(device, device) for device in intent.exposed.paths]
        if strange := [leaf for leaf in leaves if not any(_is_on(real.get(leaf, leaf), one) for one in devices)]:
            raise Refused(
                f"{name} on {self.tools.host.name} is on {', '.join(strange)}, which the array did not expose",
                hint=f"look at it: zpool status {name}",
            )
        if status.state != ONLINE:
            raise Refused(f"{name} on {self.tools.host.name} is {status.state}, not {ONLINE}")
        if not self.tools.is_read_only(name, deadline):
            raise Refused(f"{name} on {self.tools.host.name} is not imported read-only", hint=f"zpool export {name}")

    def other_mounts(self, intent: Presented, point: str, deadline: Deadline) -> tuple[User, ...]:
        """Mounts of the pool that are not of our making."""
        name, seen = intent.data["pool"], look(self.tools.host, deadline)
        ours = (point, intent.path)
        mine = [one for one in seen.mounts if one.kind == "zfs" and look_at.is_under(one.source, name)]
        return tuple(User(0, "mount", one.point) for one in mine if one.point not in ours)


def _is_on(leaf: str, device: str) -> bool:
    """Whether a disk of a pool is a device, or a partition of it."""
    return leaf == device or bool(re.fullmatch(re.escape(device) + r"(-part|p)?\d+", leaf))
