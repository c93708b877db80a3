"""Stages over emulated SYMCLI: a mirror, a clone, a storage group with snapshots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from tests.contracts.array import Wrong
from tests.emulators.emulated import HERE, EmulatedStage

from splitmirror_drivers.arrays import timefinder
from splitmirror_drivers.arrays.timefinder_options import Group, Options
from splitmirror_drivers.contracts.array import Array
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.units import Duration

SID = "000190100321"
HISTORIC = HERE / "timefinder" / "historic"
PAIRS = {"01A4": "04C2", "01A5": "04C3"}


class EmulatedHost(LocalHost):
    """This machine, with the variables that the emulated tools need."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self.variables = environment

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        given = {**command_.environment, **self.variables}
        return super().run(replace(command_, environment=given), deadline)


class SymcliStage(EmulatedStage):
    """A group of two pairs. `options`: the policy's, beside the group; `created`: more words for the emulator."""

    emulator = driver = "timefinder"
    state_variable = "SYMCLI_EMULATOR_STATE"
    group = "erp"
    primaries = 2
    split_word = "split"
    establish_word = "establish"
    query_word = "query"
    options: Options
    more_faults: ClassVar[dict[str, str]] = {"a pair is lost": "query drop"}

    def __init__(self, folder: Path, created: tuple[str, ...] = (), **options: object) -> None:
        super().__init__(folder)
        self.faults = {
            Wrong.SPLIT_HANGS: f"{self.split_word} hang",
            Wrong.SPLIT_HANGS_AFTER: f"{self.split_word} hang-after",
            Wrong.SPLIT_IS_REFUSED: f"{self.split_word} fail",
            Wrong.QUERY_HANGS: f"{self.query_word} hang",
            Wrong.UNKNOWN_WORD: "query word Sideways",
            Wrong.ESTABLISH_HANGS: f"{self.establish_word} hang",
            Wrong.LOCKED_FOR_A_MOMENT: f"{self.split_word} busy 2",
        }
        self.control("create", "--group", self.group, *(f"{p}={c}" for p, c in self.images()), *created)
        table: dict[str, Any] = {"path": str(self.tools), **options}
        self.options = Options(groups={self.group: self.of_group()}, busy_pause=Duration(0.05), **table)

    def of_group(self) -> Group:
        """The policy's group."""
        return Group(
            pairs=PAIRS,
            devices={"01A4": f"{self.folder}/p1", "01A5": f"{self.folder}/p2"},
            source_host="local",
            copy_devices={"04C2": f"{self.folder}/c1.dev", "04C3": f"{self.folder}/c2.dev"},
        )

    def array(self) -> Array:
        return timefinder.build("symm", self.options, EmulatedHost(self.environment))


class CloneStage(SymcliStage):
    """Clone sessions: created, activated, created anew."""

    split_word = "activate"
    establish_word = "recreate"

    def __init__(self, folder: Path, **options: object) -> None:
        super().__init__(folder, ("--product", "clone"), product="clone", sid=SID, **options)


class SnapStage(SymcliStage):
    """A storage group, its snapshots, and a second one on which they are shown."""

    split_word = "establish"
    query_word = "list"

    def __init__(self, folder: Path, **options: object) -> None:
        super().__init__(folder, ("--product", "snapvx"), product="snapvx", sid=SID, **options)

    def of_group(self) -> Group:
        return Group(
            pairs=2,
            storage_group="erp",
            target_group="erp_tgt",
            devices={"001A4": f"{self.folder}/p1", "001A5": f"{self.folder}/p2"},
            source_host="local",
            copy_devices={"004C2": f"{self.folder}/c1.dev", "004C3": f"{self.folder}/c2.dev"},
        )

    def wrong(self, what: Wrong) -> None:
        """A word can only be strange where there is a snapshot: one of another run of ours."""
        if what is Wrong.UNKNOWN_WORD:
            self.array().split([self.group], "another", Deadline.after(20))
            self.control("fault", self.faults[what])
        else:
            super().wrong(what)
