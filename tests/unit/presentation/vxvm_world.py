"""A host whose Volume Manager is the emulated one, and whose mounts are kept in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulators.emulated import HERE
from tests.unit.presentation.recorded import RecordedHost, seen

from splitmirror_drivers.contracts.host import Answer, Verb
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline

IMAGE_BYTES = 256 * 1024
BACKUP, OWNER = "backup", "db1"
POINT = "/backup/erp"
LOOKS = ("vxdisk -o", "vxdisk list", "vxprint", "vxdg list", "vxdctl", "vxdisk scandisks")
GOOD = {"blockdev": (0, ""), "blockdev --getro": (0, "0\n"), "fsck": (0, "")}


@dataclass
class World:
    """Disk group ``erp`` on ``db1``: volumes erp01, erp02 on p1, p2; spare disks c1, c2. Everything lies in `folder`."""

    folder: Path
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("p1", "p2", "q1", "q2", "q3", "q4"):
            (self.folder / name).write_bytes(os.urandom(IMAGE_BYTES))
        pairs = [f"{self.folder}/p{n}={self.folder}/c{n}" for n in (1, 2)]
        self.control("create", "--group", "erp", *pairs, *self.options)
        for host in (OWNER, BACKUP):
            (self.folder / host).mkdir()
            self.control("tools", host, str(self.folder / host))

    def control(self, *words: str) -> str:
        environment = {"VXVM_EMULATOR_STATE": f"{self.folder}/state"}
        asked = Command((str(HERE / "vxvm" / "control"), *words), environment=environment)
        return command.run(asked, Deadline.after(20)).require("control").stdout

    def tool(self, host: str, *words: str) -> Completed:
        return command.run(Command((f"{self.folder}/{host}/{words[0]}", *words[1:])), Deadline.after(20))

    def ok(self, host: str, *words: str) -> str:
        return self.tool(host, *words).require(words[0]).stdout

    def devices(self, host: str) -> str:
        """Where the devices of volumes are on a host."""
        return f"{self.folder}/state.dev/{host}/dsk"

    def split_off(self) -> None:
        """Snapshots of both volumes, in the deported disk group ``erp_copy``."""
        for name in ("erp01", "erp02"):
            self.ok(OWNER, "vxsnap", "-g", "erp", "addmir", name, "nmirror=1")
        tuples = [f"source={name}/newvol={name}_copy/nmirror=1" for name in ("erp01", "erp02")]
        self.ok(OWNER, "vxsnap", "-g", "erp", "make", *tuples)
        self.ok(OWNER, "vxdg", "split", "erp", "erp_copy", "erp01_copy", "erp02_copy")
        self.ok(OWNER, "vxdg", "deport", "erp_copy")

    def twin(self, *words: str) -> tuple[str, ...]:
        """A bit copy of every disk of ``erp``; the devices that the array exposes."""
        images = {
            f"{self.folder}/{a}": f"{self.folder}/{b}" for a, b in zip(("p1", "p2", "c1", "c2"), COPIES, strict=True)
        }
        self.control("twin", "erp", *(f"{a}={b}" for a, b in images.items()), *words)
        return tuple(images.values())

    def imported(self, host: str = BACKUP) -> list[str]:
        """Names of the disk groups that are imported on a host."""
        return [line.split()[0] for line in self.ok(host, "vxdg", "list").splitlines()[1:]]


COPIES = ("q1", "q2", "q3", "q4")


@dataclass
class HalfHost(RecordedHost):
    """Commands of the Volume Manager go to the emulated one on host `name`; mounts are remembered; the rest is recorded."""

    world: World | None = None
    kind: str = "ext4"
    points: dict[str, str] = field(default_factory=dict)
    mounted: dict[str, str] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)

    def run(self, asked: Command, deadline: Deadline) -> Completed:
        assert self.world is not None
        words = asked.argv
        if words[0].startswith("vx"):
            self.asked.append(" ".join(words))
            if words[:2] == ("vxdisk", "clearimport"):
                return self.clear(words)
            return LocalHost().run(Command((f"{self.world.folder}/{self.name}/{words[0]}", *words[1:])), deadline)
        done = super().run(asked, deadline)
        if done.exit_code == 0:
            self.remember(words)
        return done

    def clear(self, words: tuple[str, ...]) -> Completed:
        """The emulated one has no ``clearimport``: the same comes of an import that clears locks, and a deport."""
        assert self.world is not None
        self.world.ok(self.name, "vxdg", "-C", "-o", "useclonedev=on", "import", "erp")
        self.world.ok(self.name, "vxdg", "deport", "erp")
        return Completed(words, 0, "", "", 0.0)

    def remember(self, words: tuple[str, ...]) -> None:
        point = words[-1]
        if words[0] == "mkdir":
            self.points[point] = "drwx------" if "0700" in words else "dr-x------"
        elif words[0] == "mount":
            self.mounted[point] = words[-2]
        elif words[0] == "umount":
            del self.mounted[point]
        elif words[0] == "rmdir":
            del self.points[point]

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        if verb.name == "filesystem.users":
            self.asked.append(" ".join((verb.name, *verb.arguments)))
            rows = [row for row in self.users if any(path in row for path in verb.arguments)]
            rows += [
                f"0\tmount\t{point}"
                for point, device in self.mounted.items()
                if device in verb.arguments and point not in verb.arguments
            ]
            return Answer({"user": "\n".join(rows)} if rows else {}, 0, "")
        return seen(self.places(verb.arguments), self.lines())

    def places(self, paths: tuple[str, ...]) -> Mapping[str, str]:
        found = {"/backup": "drwxr-xr-x\t0\t/backup\t-\tfull"}
        for path in paths:
            if path in self.points:
                found[path] = f"{self.points[path]}\t0\t{path}\t-\tempty"
            elif Path(path).exists() and not path.startswith("/backup"):
                found[path] = f"brw-rw----\t0\t{path}\t{numbers(path)}\t-"
        return found

    def lines(self) -> list[str]:
        return [
            f"{number} 21 {numbers(device)} / {point} ro,nosuid,nodev - {self.kind} {device} ro"
            for number, (point, device) in enumerate(self.mounted.items(), 40)
        ]

    def changes(self) -> list[str]:
        """What was asked that changes anything."""
        return [line for line in self.acts() if not line.startswith(LOOKS)]


def numbers(path: str) -> str:
    """A device number for an image: its inode."""
    return f"199:{Path(path).stat().st_ino}"


def make_host(world: World, name: str = BACKUP, kind: str = "ext4") -> HalfHost:
    """A host of the world on which filesystems of one kind are mounted."""
    found = {"blkid": (0, f"TYPE={kind}\n"), "mkdir": (0, ""), "mount": (0, ""), "umount": (0, ""), "rmdir": (0, "")}
    return HalfHost(commands={**GOOD, **found}, name=name, world=world, kind=kind)
