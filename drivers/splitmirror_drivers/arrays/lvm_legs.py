"""The legs of a host's raid1 volumes: where each stands, and what is done to it.

A volume's note about its legs is a tag on it, which lies in the volume group's metadata and survives every restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays import mirror_proof as proof
from splitmirror_drivers.arrays.lvm_calls import Calls, group_of
from splitmirror_drivers.arrays.lvm_options import Options
from splitmirror_drivers.arrays.lvm_report import Lv, Mirrored, mirrored
from splitmirror_drivers.arrays.mirror_proof import Kind, Note, Step
from splitmirror_drivers.contracts.array import Mode, PairState
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

MERGE = ("lvconvert", "-y", "--merge")
STEPS = 2
"""Begin a comparison; note that it is over, where it was a short one."""
MIRROR = ("lvconvert", "-y", "--type", "raid1", "-m", "1")


@dataclass(frozen=True, slots=True)
class Standing:
    """One volume and its state."""

    volume: Mirrored
    state: PairState

    @property
    def name(self) -> str:
        """VG/LV."""
        return self.volume.lv.volume

    @property
    def word(self) -> str:
        """LVM's own words."""
        return self.volume.word

    @property
    def leg(self) -> Lv:
        """The leg that is split off. Raises UnknownAnswer where there is none."""
        if self.volume.leg is None:
            raise UnknownAnswer(f"{self.name} has no leg split off: {self.word}")
        return self.volume.leg


@dataclass(frozen=True, slots=True)
class Legs:
    """The legs of one array's groups. `shown_by`: LVM on the host where legs are shown."""

    name: str
    options: Options
    calls: Calls
    shown_by: Calls

    def standing(self, group: str, deadline: Deadline) -> list[Standing]:
        """Every volume of a group. Raises Refused when they, or their legs, are not those of the policy."""
        table = group_of(self.name, self.options, group)
        rows = self.calls.rows(table.volumes, deadline)
        found = []
        for volume in table.volumes:
            one = mirrored(rows, volume)
            if one is None:
                raise Refused(
                    f"{self.name}/{group}: {volume} is not on {self.calls.host.name}, and the policy names it",
                    hint="correct the policy, or find out who removed or renamed the volume",
                )
            found.append(one)
        if table.leg and any(one.images for one in found):
            disks = self._disks_of(table.leg, found, deadline)
            for one in found:
                self._require_leg(group, one, table.leg, disks)
        boot = self.calls.boot(deadline) if any(one.lv.note.needs_boot for one in found) else ""
        return [Standing(one, self._state(one, boot)) for one in found]

    def gone_on(self, group: str, deadline: Deadline) -> list[Standing]:
        """How a group stands once comparisons that are due were begun, and those that are over ended."""
        found = self.standing(group, deadline)
        for _ in range(STEPS):
            if not self._go_on(found, deadline):
                break
            found = self.standing(group, deadline)
        return found

    def _go_on(self, found: Sequence[Standing], deadline: Deadline) -> bool:
        volumes = [each.volume for each in found]
        at_rest = [each for each in volumes if each.state() is PairState.SYNCED and each.lv.mismatches.isdigit()]
        boot = self.calls.boot(deadline) if at_rest else ""
        did = False
        for each in at_rest:
            step = proof.step(self.options.verify_after_merge, each.lv.note, boot, int(each.lv.is_differing))
            if step is Step.COMPARE:
                argv = ("lvchange", "--syncaction", "check", each.lv.volume)
                self.calls.require(argv, deadline, f"comparing the legs of {each.lv.volume}")
                self.calls.note(each.lv, Note(Kind.CHECKING, boot), deadline)
            elif step is Step.CALL_WHOLE:
                self.calls.note(each.lv, Note(Kind.WHOLE, boot), deadline)
            did = did or step is not Step.NOTHING
        return did

    def release(self, each: Standing, deadline: Deadline) -> None:
        """A leg that is split off is taken away from where it is shown. Raises InUse."""
        if each.volume.leg is None:
            return
        if self.shown_by is not self.calls:
            for leg in self.shown((each.leg,), deadline):
                if leg.is_active:
                    self.shown_by.deactivate(leg, deadline)
        if each.leg.is_active:
            self.calls.refuse_users((each.leg.dm_path,), deadline)

    def merge(self, each: Standing, mode: Mode, boot: str, deadline: Deadline) -> None:
        """What has to be compared afterwards is noted before, so that no crash can lose it."""
        if proof.is_needed(self.options.verify_after_merge, mode, each.volume.lv.note, boot):
            self.calls.note(each.volume.lv, Note(Kind.DUE), deadline)
        self.calls.require((*MERGE, each.leg.volume), deadline, f"merging {each.leg.volume}")

    def mirror(self, each: Standing, leg: str, deadline: Deadline) -> None:
        """Give a linear volume its second leg, by a full copy. To repeat it changes nothing."""
        self.calls.note(each.volume.lv, Note(), deadline)
        argv = (*MIRROR, each.name, *filter(None, (leg,)))
        self.calls.require(argv, deadline, f"mirroring {each.name}")

    def shown(self, legs: Sequence[Lv], deadline: Deadline) -> list[Lv]:
        """The legs as the host sees them where they are shown. Raises Refused for one that it does not see."""
        rows = {row.volume: row for row in self.shown_by.rows((leg.volume for leg in legs), deadline)}
        if missing := [leg.volume for leg in legs if leg.volume not in rows]:
            raise Refused(
                f"{self.name}: {missing[0]} is not seen on {self.shown_by.host.name}",
                hint="that host must see the disk of the leg",
            )
        return [rows[leg.volume] for leg in legs]

    def _disks_of(self, leg: str, found: Sequence[Mirrored], deadline: Deadline) -> frozenset[str]:
        """The disks that the policy's leg means; LVM is asked where it does not print that very path."""
        itself = frozenset({leg})
        if all(any(image.disks == itself for image in one.images) for one in found if one.images):
            return itself
        return self.calls.disks(leg, deadline)

    def _require_leg(self, group: str, volume: Mirrored, leg: str, disks: frozenset[str]) -> None:
        """The leg that the policy means must be there, and no other one split off."""
        there = [image for image in volume.images if image.disks and image.disks <= disks]
        if volume.images and len(there) != 1:
            raise Refused(
                f"{self.name}/{group}: {len(there)} legs of {volume.lv.volume} are on {leg}, not one",
                detail="\n".join(f"{image.name}: {', '.join(sorted(image.disks))}" for image in volume.images),
                hint="name in the policy the disk that carries the leg to be split off",
            )
        if volume.leg is not None and volume.leg not in there:
            raise Refused(
                f"{self.name}/{group}: {volume.leg.volume} is split off, and not the leg on {leg}",
                hint=f"somebody else split it; when nobody needs it: lvconvert --merge {volume.leg.volume}",
            )

    def _state(self, volume: Mirrored, boot: str) -> PairState:
        state = volume.state()
        if state is not PairState.SYNCED:
            return state
        if not volume.lv.mismatches.isdigit():
            return PairState.UNKNOWN
        return proof.state(self.options.verify_after_merge, volume.lv.note, boot, int(volume.lv.is_differing))
