"""One copy: its shadow copy set found again, shown at its places, taken back, deleted.

diskshadow unexposes and deletes what somebody reads without a word, and who reads cannot be seen from here; so a copy is
deleted only when it is not exposed. What came of a command is asked afterwards, never read out of its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays import diskshadow_copies as copies
from splitmirror_drivers.arrays.diskshadow_copies import ACT, FIND, stem
from splitmirror_drivers.arrays.diskshadow_options import Group
from splitmirror_drivers.arrays.diskshadow_session import METADATA, SCRIPT, Session
from splitmirror_drivers.arrays.diskshadow_split import GATE
from splitmirror_drivers.arrays.diskshadow_words import Shadow, is_drive, place
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse, Refused


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy `name` of a group; `known`: its set, where a receipt still says so."""

    session: Session
    group: str
    name: str
    table: Group
    known: str

    def __str__(self) -> str:
        return f"the copy {self.name} of {self.group} on {self.session.host.name}"

    def standing(self, deadline: Deadline) -> tuple[Shadow, ...]:
        """Its shadow copies. Raises Refused when there is none, UnknownAnswer when it is not whole."""
        if not (set_id := self._set(deadline)):
            raise Refused(f"{self} is not there")
        shadows = self._of(set_id, deadline)
        copies.require_whole(str(self), self.table, shadows)
        return shadows

    def expose(self, deadline: Deadline) -> tuple[str, ...]:
        """Show each at its place; the places."""
        places, said = self._places(), ""
        for shadow in self.standing(deadline):
            wanted = places[shadow.volume.lower()]
            if shadow.exposed.lower() == wanted.lower():
                continue
            if shadow.exposed:
                raise Refused(
                    f"{self}: {shadow.volume} is exposed at {shadow.exposed}, not at {wanted}",
                    hint=f"diskshadow: unexpose {shadow.exposed}, after a look",
                )
            if not is_drive(wanted):
                self.session.make_folder(wanted, deadline)
            said += self._act([f"expose {shadow.id} {_as_argument(wanted)}"], deadline)
        for shadow in self.standing(deadline):
            if shadow.exposed.lower() != places[shadow.volume.lower()].lower():
                raise CommandFailed(
                    f"{self}: {shadow.volume} could not be exposed at {places[shadow.volume.lower()]}",
                    detail=said.strip(),
                    hint="is the letter taken, or the folder not empty?",
                )
        return tuple(places.values())

    def unexpose(self, deadline: Deadline) -> None:
        """Take every place back."""
        if set_id := self._set(deadline):
            said = ""
            for shadow in self._of(set_id, deadline):
                if shadow.exposed:
                    said += self._act([f"unexpose {shadow.id}"], deadline)
            for shadow in self._of(set_id, deadline) if said else ():
                if shadow.exposed:
                    raise CommandFailed(
                        f"{self}: {shadow.volume} is still exposed at {shadow.exposed}", detail=said.strip()
                    )
        for wanted in self.table.expose:
            if not is_drive(wanted):
                self.session.unmake_folder(place(wanted), deadline)

    def discard(self, deadline: Deadline) -> None:
        """Delete it, then its files; the metadata last of all, since it is what tells whose the set is."""
        if set_id := self._set(deadline):
            shadows = self._of(set_id, deadline)
            if exposed := [shadow for shadow in shadows if shadow.exposed]:
                raise InUse(f"{self} is exposed at {exposed[0].exposed}", hint="withdraw it first")
            said = self._act([f"delete shadows set {set_id}"], deadline) if shadows else ""
            if shadows and self._of(set_id, deadline):
                raise CommandFailed(f"{self} is still there after it was deleted", detail=said.strip())
        name = stem(self.group, self.name)
        self.session.remove([name + ending for ending in (SCRIPT, GATE, FIND + SCRIPT, ACT + SCRIPT)], deadline)
        self.session.remove([name + METADATA], deadline)

    def _places(self) -> dict[str, str]:
        if not self.table.expose:
            raise Refused(f"{self.group} has no place to be seen at", hint='say expose = ["P:", …] in that group')
        pairs = zip(self.table.volumes, self.table.expose, strict=True)
        return {place(volume).lower(): place(wanted) for volume, wanted in pairs}

    def _set(self, deadline: Deadline) -> str:
        """Its set; "" when there is surely none. Raises Refused for a split of which nobody knows the end."""
        if self.known:
            return self.known
        names = self.session.names(deadline)
        if stem(self.group, self.name) + METADATA in names:
            return copies.set_of(self.session, self.group, self.name, deadline)
        if stem(self.group, self.name) + SCRIPT in names:
            seen = copies.look(self.session, self.table, deadline)
            if left := copies.begun(self.session, self.group, self.name, self.table, seen, deadline):
                raise copies.unfinished(self.session, self.group, self.name, left)
        return ""

    def _of(self, set_id: str, deadline: Deadline) -> tuple[Shadow, ...]:
        return copies.look(self.session, self.table, deadline).of_set(set_id)

    def _act(self, lines: Sequence[str], deadline: Deadline) -> str:
        """Run commands; what they printed."""
        said = self.session.run(stem(self.group, self.name) + ACT, lines, deadline)
        return "".join(f"-> {one.command}\n{one.text}\n" for one in said) or "nothing was said"


def _as_argument(path: str) -> str:
    """A place as ``expose`` wants it: a drive without its backslash."""
    return path.rstrip("\\") if is_drive(path) else path
