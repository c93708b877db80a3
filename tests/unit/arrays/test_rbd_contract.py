"""The `rbd` array keeps the promises of an array, over an emulated cluster: images one by one, and an rbd group."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from tests.contracts.array import ArrayContract, Stage, Wrong
from tests.emulators.emulated import EmulatedStage
from tests.lab.disks import opened

from splitmirror_drivers.arrays.rbd import Group, Options, Rbd
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array, Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")


class StageHost(LocalHost):
    """This machine, with the environment in which the program finds its emulated cluster."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__("db1", HostOptions(guard_dir=f"{folder}/guard"))
        self.environment = environment

    def run(self, command: Command, deadline: Deadline) -> Completed:
        return super().run(Command(command.argv, command.stdin, {**self.environment, **command.environment}), deadline)


class RbdStage(EmulatedStage):
    """`primaries` images, in a group of rbd's own or not."""

    group = "erp"
    emulator = "rbd"
    state_variable = "RBD_EMULATOR_STATE"
    is_tracking = False

    options: Options

    def __init__(self, folder: Path, primaries: int, *more: str, **options: Any) -> None:
        self.primaries = primaries
        super().__init__(folder)
        word = "group-snap-create" if "group" in options else "snap-create"
        self.faults = {
            Wrong.SPLIT_HANGS: f"{word} hang",
            Wrong.SPLIT_HANGS_AFTER: f"{word} hang-after",
            Wrong.SPLIT_IS_REFUSED: f"{word} fail",
            Wrong.QUERY_HANGS: "info hang",
            Wrong.UNKNOWN_WORD: "info word sideways",
        }
        if primaries > 1 and "group" not in options:
            del self.faults[
                Wrong.SPLIT_HANGS_AFTER
            ]  # it would be the first image's command, and the second is not snapped
        names = [f"v{number}" for number in range(1, primaries + 1)]
        pairs = [f"{name}={primary}" for name, (primary, _) in zip(names, self.images(), strict=True)]
        self.control("create", *pairs, *more)
        of = Group(images=tuple(f"rbd/{name}" for name in names), **options)
        self.options = Options(
            groups={"erp": of},
            rbd=str(self.tools / "rbd"),
            devices=f"{folder}/state.dev/rbd",
            consistent_groups=bool(of.group),
        )

    def array(self) -> Array:
        return Rbd.from_options("ceph", self.options, StageHost(self.folder, self.environment), CONTEXT)

    def in_use(self, exposed: Exposed) -> contextlib.AbstractContextManager[None]:
        @contextlib.contextmanager
        def using() -> Any:
            with opened(exposed.paths[0]):
                yield

        return using()


class TestOneImage(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return RbdStage(folder, 1)


class TestImagesAsClones(ArrayContract):
    """Of a cluster whose clones need protection."""

    def make(self, folder: Path) -> Stage:
        return RbdStage(folder, 2, "--clone-v1", show="clone")


class TestGroup(ArrayContract):
    """Of a release whose group snapshots can be cloned."""

    def make(self, folder: Path) -> Stage:
        return RbdStage(folder, 2, "--group", "erp", "--squid", group="rbd/erp", show="clone")
