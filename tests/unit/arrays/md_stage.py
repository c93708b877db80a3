"""Stages over mdadm's emulated tools. Superblocks lie at the end, so that a leg's disk is the copy itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.contracts.array import Wrong
from tests.emulators.emulated import EmulatedStage
from tests.unit.arrays.lvm_stage import OTHER, OWNER, EmulatedHost

from splitmirror_drivers.arrays.md import Group, Md, Options, PairOptions
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.kit.secret import Secret

FAULTS = {
    Wrong.SPLIT_HANGS: "fail hang",
    Wrong.SPLIT_HANGS_AFTER: "remove md-hang-after md1",
    Wrong.SPLIT_IS_REFUSED: "fail fail",
    Wrong.QUERY_HANGS: "cat hang",
    Wrong.UNKNOWN_WORD: "state word sideways",
    Wrong.ESTABLISH_HANGS: "re-add hang",
}


class MdStage(EmulatedStage):
    """Two arrays on ``db1``; ``backup`` is a second machine that sees the legs' disks."""

    group = "erp"
    primaries = 2
    emulator = "mdadm"
    state_variable = "MDADM_EMULATOR_STATE"
    driver = "md"
    faults = FAULTS
    made_with: ClassVar[tuple[str, ...]] = ()
    copy_host: ClassVar[str] = ""
    more_faults: ClassVar[dict[str, str]] = {
        "the first array is not running": "cat drop",
        "an array's state is a word that nobody knows": "state word puzzled",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        pairs = [f"{primary}={copy}" for primary, copy in self.images()]
        made = self.control("create", "--group", "erp", *pairs, "--metadata", "1.0", *self.made_with)
        self.roots = dict(line.split("=", 1) for line in made.splitlines())
        self.hosts = {name: self.host(name) for name in (OWNER, OTHER)}
        self.options: Options = Options(
            groups={"erp": Group(pairs=tuple(self.pair(f"md{number}") for number in range(self.primaries)))},
            copy_host=self.copy_host,
            show="disk",
            notes=f"{folder}/notes",
            proc=str(Path(self.roots["mdstat"]).parent),
            sys=self.roots["sys"],
        )

    def pair(self, name: str) -> PairOptions:
        """One array and its leg, as the policy names them."""
        root = str(Path(self.roots["dev"]).parent)
        leg = self.roots[f"{name}.leg"]
        elsewhere = leg.replace(root, f"{root}@{OTHER}", 1) if self.copy_host else ""
        return PairOptions(array=self.roots[name], leg=leg, copy_leg=elsewhere)

    def host(self, name: str) -> EmulatedHost:
        """One of the emulated machines."""
        tools = f"{self.folder}/tools.{name}"
        self.control("wrap", name, tools)
        return EmulatedHost(name, tools, f"{self.folder}/guard.{name}")

    def array(self) -> Md:
        context = Context(secret=lambda _: Secret(""), state_folder=str(self.folder), host=self.hosts.__getitem__)
        return Md.from_options("arrays", self.options, self.hosts[OWNER], context)

    @contextlib.contextmanager
    def in_use(self, exposed: Exposed) -> Iterator[None]:
        with Path(exposed.paths[0]).open("rb"):
            yield


class SlowStage(MdStage):
    """Copying takes its time."""

    made_with = ("--rate", "200")


class ShownElsewhere(MdStage):
    """The legs are shown on the backup server."""

    copy_host = OTHER
