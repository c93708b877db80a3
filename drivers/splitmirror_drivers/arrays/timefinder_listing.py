"""What the array says of a storage group: its devices, and their snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import SYMSNAPVX, XML, Symcli
from splitmirror_drivers.arrays.timefinder_names import copy_name, snapshot_name
from splitmirror_drivers.arrays.timefinder_parse import Row, Snapshot, elements, number_of, snapshots
from splitmirror_drivers.arrays.timefinder_words import require_members
from splitmirror_drivers.contracts.array import Pair, PairState
from splitmirror_drivers.kit.command import Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, NotSynchronised, UnknownAnswer

NO, YES = "No", "Yes"
_NONE = "No snapshot"


def has_none(done: Completed) -> bool:
    """Whether a list failed since it has nothing to show: how its error begins, as it has no exit code of its own."""
    return done.exit_code != 0 and done.stderr.strip().startswith(_NONE)


class Listing:
    """Looks at storage groups."""

    def __init__(self, symcli: Symcli) -> None:
        self.symcli, self.name, self.options = symcli, symcli.name, symcli.options

    def selection(self, group: str) -> tuple[str, ...]:
        """How the programs are told which devices are meant."""
        return ("-sid", self.options.sid, "-sg", self.symcli.group(group).storage_group or group)

    def devices(self, group: str, deadline: Deadline) -> dict[str, str]:
        """The devices of the storage group, each with its kind. Raises Refused when they are not the policy's."""
        of = self.symcli.group(group)
        words = ("-sid", self.options.sid, "show", of.storage_group or group, *XML)
        what = f"{self.name}/{group}"
        done = self.symcli.look("symsg", *words, deadline=deadline).require(f"asking for the devices of {what}")
        listed = elements(done.stdout, "SG/DEVS_List/Device", "symsg show")
        found = {one.get("dev_name", ""): one.get("configuration", "") or "device" for one in listed}
        if not found or "" in found or len(found) != len(listed):
            raise UnknownAnswer(f"{what}: symsg does not name each device once", detail=done.stdout)
        require_members(what, of, [Row(device, "", word) for device, word in found.items()])
        return found

    def snapshots(self, group: str, deadline: Deadline) -> tuple[Snapshot, ...]:
        """All snapshots of the storage group, whosever they are."""
        done = self.symcli.look(SYMSNAPVX, *self.selection(group), "list", *XML, deadline=deadline)
        if has_none(done):
            return ()
        return snapshots(done.require(f"asking for the snapshots of {self.name}/{group}").stdout)

    def named(self, listed: Sequence[Snapshot], copy: str) -> list[Snapshot]:
        """Those of one copy."""
        name = snapshot_name(copy)
        return [one for one in listed if one.name == name]

    def require_known(self, group: str, listed: Sequence[Snapshot]) -> None:
        """Raise NotSynchronised when one of our snapshots says something that no table lists."""
        strange = [pair_of(one) for one in listed if copy_name(one.name)]
        strange = [pair for pair in strange if pair.state is PairState.UNKNOWN]
        if strange:
            said = ", ".join(f"{pair.name} {pair.word}" for pair in strange)
            raise NotSynchronised(
                f"{self.name}/{group} has a snapshot whose word is not known; nothing is sent", detail=said
            )

    def require_none(self, group: str, copy: str, deadline: Deadline, why: CommandFailed) -> None:
        """After a lock that stayed: raise UnknownAnswer when devices have this copy. Where nobody answers, so be it."""
        with contextlib.suppress(CommandFailed, DeadlinePassed):
            if left := self.named(self.snapshots(group, deadline), copy):
                count = self.symcli.group(group).count
                raise UnknownAnswer(f"{why}; but {len(left)} of {count} devices have it", detail=why.detail)

    def require_whole(self, group: str, copy: str, listed: Sequence[Snapshot]) -> None:
        """Raise UnknownAnswer unless every device has this copy, once and well."""
        mine = [pair_of(one) for one in self.named(listed, copy)]
        devices = {number_of(pair.primary) for pair in mine}
        is_whole = len(mine) == len(devices) == self.symcli.group(group).count
        if not is_whole or any(pair.state is not PairState.SPLIT for pair in mine):
            said = ", ".join(f"{pair.name} {pair.word}" for pair in mine) or "no device has it"
            raise UnknownAnswer(f"{self.name}/{group}: the copy {copy} does not stand", detail=said)


def pair_of(one: Snapshot) -> Pair:
    """One device's snapshot with its state."""
    copy = copy_name(one.name)
    words = {"failed": one.failed, "restore": one.restore, "generations": one.generations}
    well = {"failed": NO, "restore": NO, "generations": "1"}
    states = {("failed", YES): PairState.BROKEN, ("restore", YES): PairState.RESTORING}
    for key, word in words.items():
        if word != well[key]:
            state = states.get((key, word), PairState.UNKNOWN)
            return Pair(f"{one.source}@{copy}", state, f"{key}={word}", one.source, copy)
    return Pair(f"{one.source}@{copy}", PairState.SPLIT, f"failed={NO}", one.source, copy)
