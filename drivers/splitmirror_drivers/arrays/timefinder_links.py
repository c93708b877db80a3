"""Showing a SnapVX snapshot: it is linked to the devices of a target storage group, which a host already sees."""

from __future__ import annotations

from splitmirror_drivers.arrays.timefinder_calls import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    NO_PROMPT,
    SYMSNAPVX,
    XML,
    Symcli,
)
from splitmirror_drivers.arrays.timefinder_listing import has_none
from splitmirror_drivers.arrays.timefinder_names import snapshot_name
from splitmirror_drivers.arrays.timefinder_parse import Snapshot, number_of, snapshots
from splitmirror_drivers.contracts.array import Exposed, Receipt
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, Refused, UnknownAnswer


class Links:
    """The links of one array's snapshots."""

    def __init__(self, symcli: Symcli) -> None:
        self.symcli, self.name, self.options = symcli, symcli.name, symcli.options

    def expose(self, receipt: Receipt, deadline: Deadline) -> Exposed:
        """Link, unless it is linked already; back when every device is linked and defined."""
        of = self.symcli.group(receipt.group)
        if not of.target_group:
            raise Refused(
                f"{self.name}/{receipt.group}: the policy does not say on which devices a snapshot is shown",
                hint="name a storage group of as many devices in target-group, and its devices in copy-devices",
            )
        if len(self._linked(receipt, deadline)) < of.count:
            done = self.symcli.move(SYMSNAPVX, *self.link(receipt.group, receipt.copy), deadline=deadline)
            if done.exit_code != 0 and len(self._linked(receipt, deadline)) < of.count:
                raise CommandFailed(
                    f"{self.name}/{receipt.group}: linking {snapshot_name(receipt.copy)} to {of.target_group} failed",
                    detail=done.tail(),
                    hint="when another snapshot is linked there, take that away first, once nobody reads it",
                )
        links = self._await_defined(receipt, deadline)
        seen = {number_of(device): path for device, path in of.copy_devices.items()}
        paths = tuple(seen[number_of(link.link)] for link in sorted(links, key=lambda one: number_of(one.source)))
        return Exposed("device", paths, self.options.copy_host or self.symcli.host.name)

    def unexpose(self, receipt: Receipt, deadline: Deadline) -> None:
        """Unlink, when it is linked. Safe to repeat."""
        of = self.symcli.group(receipt.group)
        if not of.target_group or not self._linked(receipt, deadline):
            return
        what = f"{self.name}/{receipt.group}: unlinking {snapshot_name(receipt.copy)} from {of.target_group}"
        self.symcli.move(SYMSNAPVX, *self.unlink(receipt.group, receipt.copy), deadline=deadline).require(what)
        if self._linked(receipt, deadline):
            raise UnknownAnswer(f"{what}: it is still linked")

    def link(self, group: str, copy: str) -> tuple[str, ...]:
        """The words that link."""
        return self._words(group, copy, "link")

    def unlink(self, group: str, copy: str) -> tuple[str, ...]:
        """The words that unlink."""
        return self._words(group, copy, "unlink")

    def _words(self, group: str, copy: str, action: str) -> tuple[str, ...]:
        of = self.symcli.group(group)
        groups = ("-sg", of.storage_group or group, "-lnsg", of.target_group)
        return ("-sid", self.options.sid, *groups, "-snapshot_name", snapshot_name(copy), action, NO_PROMPT)

    def _linked(self, receipt: Receipt, deadline: Deadline) -> list[Snapshot]:
        """The links of this copy to devices of the target group; others' links to other devices do not count."""
        of, name = self.symcli.group(receipt.group), snapshot_name(receipt.copy)
        words = ("-sid", self.options.sid, "-sg", of.storage_group or receipt.group, "-snapshot_name", name, "list")
        done = self.symcli.look(SYMSNAPVX, *words, "-linked", *XML, deadline=deadline)
        if has_none(done):
            return []
        listed = snapshots(done.require(f"asking what {name} is linked to").stdout)
        ours = {number_of(device) for device in of.copy_devices}
        return [one for one in listed if one.name == name and number_of(one.link) in ours]

    def _await_defined(self, receipt: Receipt, deadline: Deadline) -> list[Snapshot]:
        """Look until every device of the target group shows this copy, each of one source."""
        pause, count = FIRST_PAUSE_SECONDS, self.symcli.group(receipt.group).count
        while True:
            links = self._linked(receipt, deadline)
            pairs = {(number_of(one.source), number_of(one.link)) for one in links}
            ends = [{pair[side] for pair in pairs} for side in (0, 1)]
            if len(links) == len(ends[0]) == len(ends[1]) == count and not any(one.is_defining for one in links):
                return links
            if deadline.is_passed:
                raise DeadlinePassed(
                    f"{self.name}/{receipt.group}: {receipt.copy} is not wholly linked: {len(links)} links"
                )
            self.symcli.pause(min(pause, deadline.left()))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
