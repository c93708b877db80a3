"""A stage of the `diskshadow` array over the emulated diskshadow, and a host on which files are dealt with as on Unix."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from tests.contracts.array import Wrong
from tests.emulators.emulated import BLOCK_BYTES, VALUE_BYTES, EmulatedStage

from splitmirror_drivers.arrays.diskshadow import DiskShadow, Options
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
FAULTS = {
    Wrong.SPLIT_HANGS: "create hang",
    Wrong.SPLIT_HANGS_AFTER: "create hang-after",
    Wrong.SPLIT_IS_REFUSED: "create fail",
    Wrong.QUERY_HANGS: "list-shadows hang",
    Wrong.LOCKED_FOR_A_MOMENT: "create busy 2",
}
PUT = """\
#!PYTHON
# writes a file; a batch file becomes what does the same here
import os, re, sys
text, path = sys.stdin.read(), sys.argv[1]
if path.endswith(".cmd"):
    checks = [': "${' + name + ':?}"' for name in re.findall(r"if not defined (\\w+) exit /b 1\\r\\n", text)]
    text = "\\n".join(["#!/bin/sh", *checks, ""])
with open(path, "w", newline="") as file:
    file.write(text)
os.chmod(path, 0o700)
"""


class StageHost(LocalHost):
    """This machine, with the environment of the emulated diskshadow."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self.environment = environment
        self.lines: list[str] = []

    def run(self, command: Command, deadline: Deadline) -> Completed:
        self.lines.append(command.line())
        environment = {**self.environment, **command.environment}
        return super().run(Command(command.argv, command.stdin, environment), deadline)


class VssStage(EmulatedStage):
    """Two volumes of one host."""

    group = "erp"
    primaries = 2
    is_tracking = False
    emulator = "diskshadow"
    state_variable = "DISKSHADOW_EMULATOR_STATE"
    faults = FAULTS

    def __init__(self, folder: Path, *more: str, **options: object) -> None:
        super().__init__(folder)
        volumes = [f"{letter}={primary}" for letter, (primary, _) in zip(("D:", "E:"), self.images(), strict=True)]
        self.control("create", "--group", self.group, *volumes, *more)
        self.ours.mkdir()
        put = folder / "put"
        put.write_text(PUT.replace("PYTHON", sys.executable))
        put.chmod(0o700)
        self.given = {"expose": ["P:", "Q:"], "writers": ["SqlServerWriter"], **options}
        self.host = StageHost(self.environment)

    def table(self) -> dict[str, object]:
        return {
            "driver": "diskshadow",
            "folder": str(self.ours),
            "diskshadow": str(self.tools / "diskshadow"),
            "groups": {self.group: {"volumes": ["D:", "E:"], **self.given}},
            "files": {
                "write": [str(self.folder / "put"), "{path}"],
                "list": ["ls", "{folder}"],
                "remove": ["rm", "--", "{path}"],
                "make": ["mkdir", "{folder}"],
                "unmake": ["rmdir", "{folder}"],
            },
        }

    def array(self) -> DiskShadow:
        table = self.table()
        del table["driver"]
        return DiskShadow.from_options("vss", msgspec.convert(table, Options), self.host, CONTEXT)

    @property
    def ours(self) -> Path:
        """The folder of scripts and metadata."""
        return self.folder / "ours"

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        found = []
        for number, path in enumerate(exposed.paths, 1):
            with Path(self.control("where", path).strip()).open("rb") as file:
                file.seek(BLOCK_BYTES * number)
                found.append(file.read(VALUE_BYTES).rstrip())
        return tuple(found)

    def sets(self) -> set[str]:
        """Ids of the shadow copy sets that stand."""
        state = self.state()
        shadows = state["shadows"]
        assert isinstance(shadows, list)
        return {str(one["set"]) for one in shadows}

    def scripts(self) -> list[str]:
        """What diskshadow was told so far, a command a line."""
        return [" ".join(words[1:]) for words in self.calls() if words[0] == "->"]

    def events(self) -> list[str]:
        """What the writers saw."""
        return self.control("events").splitlines()
