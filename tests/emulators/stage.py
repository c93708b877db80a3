"""The `command` array over ``imagearray``, as a stage for the contract of arrays and as a policy for other tests."""

from __future__ import annotations

import contextlib
import os
import signal
import tomllib
from pathlib import Path

import msgspec
from tests.contracts.array import Stage, Wrong

from splitmirror_drivers.arrays.command import CommandArray, Options
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.units import decode_hook

IMAGEARRAY = str(Path(__file__).with_name("imagearray"))
IMAGE_BYTES = 2 * 2**20
BLOCK_BYTES = 64 * 1024

MIRROR = """
family             = "mirror"
fixed-by           = "complete"
atomic             = "groups"
tracks-changes     = true
tracks-copy-writes = true
allows-freeze      = true
source             = "tests/emulators/imagearray, its own text"
busy-exit-codes    = [2]
busy-pause         = "50ms"
in-use-exit-codes  = [16]
environment        = {{ IMAGEARRAY_STATE = "{folder}/state" }}
pattern            = '(?P<pair>DEV\\d+)\\s+(?P<primary>\\S+)\\s+(?P<copy>\\S+)\\s+(?P<state>\\w+)\\s+(?P<percent>\\S+)'
ignore             = ['Group \\(G\\) Name: .*', 'Device .*', '-+']

[commands]
query          = ["{program}", "query", "{{group}}"]
establish      = ["{program}", "establish", "{{group}}"]
establish-full = ["{program}", "establish", "{{group}}", "--full"]
split          = ["{program}", "split", "{{groups}}"]
expose         = ["{program}", "expose", "{{group}}"]
unexpose       = ["{program}", "unexpose", "{{group}}"]

[words]
NeverEstab   = "unpaired"
SyncInProg   = "attaching"
Synchronized = "synced"
SplitInProg  = "splitting"
Split        = "split"
Invalid      = "broken"

[groups.erp]
pairs        = 2
devices      = ["{folder}/p1", "{folder}/p2"]
copy-devices = ["{folder}/c1.dev", "{folder}/c2.dev"]
"""

SNAPSHOT = (
    MIRROR.replace('"mirror"', '"point-in-time"\nkeeps-copies = true')
    .replace(
        '"{{groups}}"]',
        '"{{groups}}", "--copy", "{{copy}}"]\ndiscard = ["{program}", "discard", "{{group}}", "--copy={{copy}}"]',
    )
    .replace('expose", "{{group}}"', 'expose", "{{group}}", "--copy", "{{copy}}"')
    .replace('NeverEstab   = "unpaired"', 'Ready = "prepared"')
    .replace("/c1.dev", "/c1.{{copy}}.dev")
    .replace("/c2.dev", "/c2.{{copy}}.dev")
)

FAULTS = {
    Wrong.SPLIT_HANGS: "split hang",
    Wrong.SPLIT_HANGS_AFTER: "split hang-after",
    Wrong.SPLIT_IS_REFUSED: "split fail",
    Wrong.QUERY_HANGS: "query hang",
    Wrong.UNKNOWN_WORD: "query word Sideways",
    Wrong.ESTABLISH_HANGS: "establish hang",
    Wrong.LOCKED_FOR_A_MOMENT: "split busy 2",
}


def decoded(table: object) -> Options:
    """A policy's table as the driver's options."""
    return msgspec.convert(table, Options, dec_hook=decode_hook)


class ImageStage(Stage):
    """A group of two image files."""

    group = "erp"
    primaries = 2

    def __init__(self, folder: Path, text: str = MIRROR, *more: str) -> None:
        self.folder = folder
        self.table = tomllib.loads(text.format(folder=folder, program=IMAGEARRAY))
        for number in (1, 2):
            (folder / f"p{number}").write_bytes(os.urandom(IMAGE_BYTES))
        family = "mirror" if self.table["family"] == "mirror" else "snapshot"
        images = [f"{folder}/p{number}={folder}/c{number}" for number in (1, 2)]
        self.call("create", "erp", *images, "--family", family, *more)

    def call(self, *words: str, seconds: float = 20.0) -> command.Completed:
        """Run imagearray by itself."""
        environment = {"IMAGEARRAY_STATE": f"{self.folder}/state"}
        return command.run(Command((IMAGEARRAY, *words), environment=environment), Deadline.after(seconds))

    def array(self) -> CommandArray:
        return CommandArray("images", decoded(self.table), LocalHost())

    def write(self, value: bytes) -> None:
        for number in (1, 2):
            with (self.folder / f"p{number}").open("r+b") as file:
                file.seek(BLOCK_BYTES * number)
                file.write(value.ljust(16))

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        assert exposed.kind == "device"
        found = []
        for number, path in enumerate(exposed.paths, 1):
            with Path(path).open("rb") as file:
                file.seek(BLOCK_BYTES * number)
                found.append(file.read(16).rstrip())
        return tuple(found)

    def state(self) -> dict[str, object]:
        """The group as imagearray has it."""
        found = msgspec.json.decode((self.folder / "state").read_bytes())["groups"]["erp"]
        assert isinstance(found, dict)
        return found

    def copied_bytes(self) -> int:
        pairs = msgspec.convert(self.state()["pairs"], dict[str, dict[str, object]])
        return sum(int(str(pair["moved"])) for pair in pairs.values())

    def size_bytes(self) -> int:
        return 2 * IMAGE_BYTES

    def fault(self, *lines: str) -> None:
        """Write the faults file."""
        (self.folder / "state.faults").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def wrong(self, what: Wrong) -> None:
        self.fault(FAULTS[what])

    def mend(self) -> None:
        self.fault()

    def close(self) -> None:
        """Ends a background copy that still runs."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                environment = (process / "environ").read_bytes().split(b"\0")
                if b"worker" in words and f"IMAGEARRAY_STATE={self.folder}/state".encode() in environment:
                    os.kill(int(process.name), signal.SIGKILL)
