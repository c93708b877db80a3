"""A stage over an emulated array: what all of them have in common, by the emulator's ``control`` program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import ClassVar

import msgspec
from tests.contracts.array import Stage, Wrong

from splitmirror_drivers import catalogue
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array, Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import decode_hook

HERE = Path(__file__).parent
IMAGE_BYTES = 2 * 2**20
BLOCK_BYTES = 64 * 1024
VALUE_BYTES = 16
CALL_SECONDS = 20.0


class EmulatedStage(Stage):
    """One group of `primaries` image files in `folder`: ``p1``, ``p2`` … and their copies ``c1``, ``c2`` ….

    A driver's own stage gives `emulator` (the folder below tests/emulators), `state_variable` (the environment variable
    that names the state file), `faults` and ``table``; and calls ``control("create", …)`` with ``images`` when it is
    made. ``p1`` and so on may be links to block devices.
    """

    emulator: str
    state_variable: str
    faults: dict[Wrong, str]
    more_faults: ClassVar[dict[str, str]] = {}
    """Others that the driver must answer with an error, by a sentence: a pair is lost, half of the group is split …"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(1, self.primaries + 1):
            (folder / f"p{number}").write_bytes(os.urandom(IMAGE_BYTES))

    driver: str
    options: object
    """The driver's options, where a stage has them rather than a ``table``."""

    def table(self) -> dict[str, object]:
        """The array's table in a policy file, ``driver`` and all."""
        plain = msgspec.to_builtins(self.options, enc_hook=lambda value: f"{float(value)}s")
        return {"driver": self.driver, **plain}

    def array(self) -> Array:
        table = self.table()
        driver = catalogue.ARRAYS[str(table.pop("driver"))]()
        table.pop("host", None)
        options = msgspec.convert(table, driver.options, dec_hook=decode_hook)
        context = Context(secret=lambda reference: Secret(""), state_folder=str(self.folder))
        return driver.make("images", options, LocalHost(), context)

    @property
    def tools(self) -> Path:
        """The folder of the vendor's tools."""
        return HERE / self.emulator

    @property
    def environment(self) -> dict[str, str]:
        """What the vendor's tools need in their environment."""
        return {self.state_variable: f"{self.folder}/state"}

    def control(self, *words: str, seconds: float = CALL_SECONDS) -> str:
        """What the ``control`` program printed."""
        asked = Command((str(self.tools / "control"), *words), environment=self.environment)
        return command.run(asked, Deadline.after(seconds)).require("control").stdout

    def images(self) -> list[tuple[str, str]]:
        """Paths of each primary and its copy."""
        return [(f"{self.folder}/p{n}", f"{self.folder}/c{n}") for n in range(1, self.primaries + 1)]

    def write(self, value: bytes) -> None:
        for number, (primary, _) in enumerate(self.images(), 1):
            with Path(primary).open("r+b") as file:
                file.seek(BLOCK_BYTES * number)
                file.write(value.ljust(VALUE_BYTES))

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        assert exposed.kind == "device"
        found = []
        for number, path in enumerate(exposed.paths, 1):
            with Path(path).open("rb") as file:
                file.seek(BLOCK_BYTES * number)
                found.append(file.read(VALUE_BYTES).rstrip())
        return tuple(found)

    def copied_bytes(self) -> int:
        return int(self.control("moved", self.group))

    def size_bytes(self) -> int:
        return self.primaries * IMAGE_BYTES

    def wrong(self, what: Wrong) -> None:
        if what not in self.faults:
            super().wrong(what)
        self.control("fault", self.faults[what])

    def mend(self) -> None:
        self.control("mend")

    def calls(self) -> list[list[str]]:
        """Every invocation of the vendor's tools so far."""
        return [shlex.split(line) for line in self.control("log").splitlines()]

    def state(self) -> dict[str, object]:
        """The emulator's state."""
        return msgspec.json.decode(self.control("state"), type=dict[str, object])
