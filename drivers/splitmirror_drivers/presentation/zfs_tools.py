"""``zfs`` and ``zpool`` on one host, for the presentation: each question and each act with its sentence."""

from __future__ import annotations

from collections.abc import Sequence

from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.presentation import zfs_words as words
from splitmirror_drivers.presentation.zfs_words import Importable, Status

COMMAND_SECONDS = 90.0
IMPORT = ("-N", "-o", "readonly=on")


class Tools:
    """What the presentation asks and does."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        """One command, whatever comes of it."""
        return self.host.run(Command(tuple(argv), environment={"LC_ALL": "C"}), deadline.sooner(COMMAND_SECONDS))

    def act(self, argv: Sequence[str], deadline: Deadline, what: str, hint: str = "") -> str:
        """One command that must succeed."""
        return self.run(argv, deadline).require(f"{what} on {self.host.name}", hint).stdout

    def imported(self, deadline: Deadline) -> dict[str, str]:
        """The pools that are imported there: number by name."""
        said = self.act(("zpool", "list", "-H", "-o", "name,guid"), deadline, "listing the pools")
        return {row[0]: row[1] for row in words.rows(said, 2, "zpool list")}

    def importable(self, devices: Sequence[str], deadline: Deadline) -> tuple[Importable, ...]:
        """The pools on these devices that are not imported there. That there are none is an exit code too."""
        done = self.run(("zpool", "import", *_only(devices)), deadline)
        if done.exit_code != 0 and not done.stdout.strip():
            return ()
        return words.parse_importable(done.require(f"looking for a pool on {', '.join(devices)}").stdout)

    def take(self, guid: str, name: str, root: str, devices: Sequence[str], deadline: Deadline) -> None:
        """Import one pool by its number under `name`, read-only, nothing mounted, everything below `root`."""
        self.act(take_argv(guid, name, root, devices), deadline, f"importing the copy as {name}", TAKE_HINT)

    def status(self, name: str, deadline: Deadline) -> Status:
        """What an imported pool is made of."""
        return words.parse_status(self.act(("zpool", "status", "-P", name), deadline, f"asking about {name}"))

    def is_read_only(self, name: str, deadline: Deadline) -> bool:
        """Whether the pool was imported so that nothing can be written to it."""
        said = self.act(("zpool", "get", "-H", "-o", "value", "readonly", name), deadline, f"asking about {name}")
        return said.strip() == "on"

    def filesystems(self, name: str, deadline: Deadline) -> dict[str, tuple[str, str, str]]:
        """Its filesystems: mount point, whether they are mounted, and whether they may be."""
        argv = ("zfs", "list", "-H", "-p", "-t", "filesystem", "-o", "name,mountpoint,mounted,canmount", "-r", name)
        said = self.act(argv, deadline, f"listing what is in {name}")
        return {row[0]: (row[1], row[2], row[3]) for row in words.rows(said, 4, "zfs list")}


TAKE_HINT = (
    "a pool that was not exported before its disks were copied is refused, as another host may have it; it is never forced: "
    "use method pool-split, or let a person look and import it by hand"
)


def take_argv(guid: str, name: str, root: str, devices: Sequence[str]) -> tuple[str, ...]:
    """The command that imports a copy."""
    return ("zpool", "import", *IMPORT, "-R", root, *_only(devices), guid, name)


def _only(devices: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for device in devices for word in ("-d", device))
