"""A host that answers from a table: what was recorded of real ones, or what goes wrong. It notes what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from splitmirror_drivers.contracts.host import Answer, Charge, Guard, Mailbox, Verb
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Fault

Said = tuple[int, str] | Fault
MOUNTINFO = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw
23 21 8:17 / /data rw,relatime shared:3 - xfs /dev/sdb1 rw,noquota"""


@dataclass
class RecordedHost:
    """`commands`: exit code and output by the first words of a command line (the longest that fits counts)."""

    commands: dict[str, Said] = field(default_factory=dict)
    answers: dict[str, Answer | Callable[[Verb], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    name: str = "db1"
    is_local: bool = True

    def connect(self, deadline: Deadline) -> None:
        return

    def disconnect(self) -> None:
        return

    def families(self, families: Sequence[str]) -> None:
        return

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        return

    def run(self, command: Command, deadline: Deadline) -> Completed:
        line = " ".join(command.argv)
        self.asked.append(line)
        known = [words for words in self.commands if line == words or line.startswith(f"{words} ")]
        if not known:
            raise AssertionError(f"nobody said what this answers: {line}")
        said = self.commands[max(known, key=len)]
        if isinstance(said, Fault):
            raise said
        code, text = said
        return Completed(command.argv, code, text if code == 0 else "", "" if code == 0 else text, 0.0)

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        self.asked.append(" ".join((verb.name, *verb.arguments)))
        answer = self.answers[verb.name]
        return answer if isinstance(answer, Answer) else answer(verb)

    def guard(self, charge: Charge, mailbox: Mailbox, deadline: Deadline) -> Guard:
        raise CommandFailed("this host has no guard")

    def fetch(self, path: str, limit_bytes: int, deadline: Deadline) -> bytes:
        self.asked.append(f"fetch {path}")
        raise CommandFailed(f"{path} is no file that can be read")

    def acts(self) -> list[str]:
        """What was asked that changes anything."""
        looks = ("filesystem.", "blkid", "blockdev --getro", "fetch", "readlink", "find", "btrfs subvolume show")
        return [line for line in self.asked if not line.startswith(looks) and "subvolume list" not in line]


def seen(places: Mapping[str, str], mounts: Sequence[str] = (), uid: str = "0", sources: str = "") -> Answer:
    """`filesystem.seen`: `places` gives mode, owner, real path, numbers and content by path ("" of a missing one)."""
    rows = [f"{path}\t{row}" for path, row in places.items() if row]
    facts = {"uid": uid, "mountinfo": "\n".join([MOUNTINFO, *mounts]), "place": "\n".join(rows), "source": sources}
    return Answer({key: value for key, value in facts.items() if value}, 0, "")
