"""Stages over the emulated HSG80's console: one stripe, and two units."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.contracts.array import Wrong, soon
from tests.emulators.emulated import EmulatedStage

from splitmirror_drivers.contracts.array import Mode

FAULTS = {
    Wrong.SPLIT_HANGS: "reduce hang",
    Wrong.SPLIT_HANGS_AFTER: "reduce hang-after",
    Wrong.SPLIT_IS_REFUSED: "reduce fail",
    Wrong.QUERY_HANGS: "show hang",
    Wrong.UNKNOWN_WORD: "show word SIDEWAYS",
    Wrong.ESTABLISH_HANGS: "set hang",
    Wrong.LOCKED_FOR_A_MOMENT: "reduce busy 2",
}


class ConsoleStage(EmulatedStage):
    """Two mirrorsets in one stripe, unit D101; the copy is D201."""

    group = "erp"
    primaries = 2
    driver = "hsg80"
    emulator = "hsg80"
    state_variable = "HSG80_EMULATOR_STATE"
    faults = FAULTS
    more_faults: ClassVar[dict[str, str]] = {
        "a member is lost": "show drop",
        "replies are spoiled": "show garbage",
        "only one disk is reduced": "reduce half",
    }
    words: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.create()
        (folder / "tools").mkdir()
        self.control("wrap", f"{folder}/tools")

    def create(self, *more: str) -> None:
        pairs = (f"{primary}={copy}" for primary, copy in self.images())
        self.control("create", "--group", self.group, *pairs, *self.words, *more)

    def units(self) -> dict[str, object]:
        unit = {
            "stripeset": "STRIPE1",
            "mirrorsets": {
                "MIRR1": {"disk": "DISK30000", "copy": "CMIRR1"},
                "MIRR2": {"disk": "DISK30100", "copy": "CMIRR2"},
            },
            "copy-unit": "D201",
            "copy-stripeset": "CSTRIPE1",
            "devices": [f"{self.folder}/p1", f"{self.folder}/p2"],
            "copy-devices": [f"{self.folder}/state.dev/D201.1", f"{self.folder}/state.dev/D201.2"],
        }
        return {"D101": unit}

    def table(self) -> dict[str, object]:
        return {
            "driver": "hsg80",
            "console": [f"{self.folder}/tools/console"],
            "groups": {self.group: {"source-host": "local", "units": self.units()}},
        }

    def unsynchronised(self) -> None:
        """A copy that has hardly begun."""
        self.create_slow()
        self.array().establish(self.group, Mode.FULL, soon())

    def create_slow(self) -> None:
        """Another controller in a state of its own, that copies a block in a hundred seconds."""
        for path in self.folder.glob("state*"):
            if path.is_file():
                path.unlink()
        self.create("--rate", "0.01")


class UnitsStage(ConsoleStage):
    """Two units of one mirrorset each: two REDUCE, two moments."""

    words: ClassVar[tuple[str, ...]] = ("--units", "each")

    def units(self) -> dict[str, object]:
        return {
            f"D10{n}": {
                "mirrorsets": {f"MIRR{n}": {"disk": f"DISK30{n - 1}00", "copy": f"CMIRR{n}"}},
                "copy-unit": f"D20{n}",
                "devices": [f"{self.folder}/p{n}"],
                "copy-devices": [f"{self.folder}/state.dev/D20{n}.1"],
            }
            for n in (1, 2)
        }
