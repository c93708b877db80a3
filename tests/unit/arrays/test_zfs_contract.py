"""The `zfs` array keeps the promises of an array, over emulated pools: volumes, filesystems, and a pool that is split."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.array import ArrayContract, Stage, Wrong
from tests.emulators.emulated import BLOCK_BYTES, VALUE_BYTES, EmulatedStage
from tests.lab.disks import opened

from splitmirror_drivers.arrays.zfs import Group, Options, from_options
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array, Exposed
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
SNAPSHOT_FAULTS = {
    Wrong.SPLIT_HANGS: "snapshot hang",
    Wrong.SPLIT_HANGS_AFTER: "snapshot hang-after",
    Wrong.SPLIT_IS_REFUSED: "snapshot fail",
    Wrong.QUERY_HANGS: "list hang",
    Wrong.UNKNOWN_WORD: "pool-list word SIDEWAYS",
}
SPLIT_FAULTS = {
    Wrong.SPLIT_HANGS: "split hang",
    Wrong.SPLIT_HANGS_AFTER: "split hang-after",
    Wrong.SPLIT_IS_REFUSED: "split fail",
    Wrong.QUERY_HANGS: "status hang",
    Wrong.UNKNOWN_WORD: "status word SIDEWAYS",
}


class StageHost(LocalHost):
    """This machine, with the environment in which the programs find their emulated pools."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__("db1", HostOptions(guard_dir=f"{folder}/guard"))
        self.environment = environment

    def run(self, command: Command, deadline: Deadline) -> Completed:
        return super().run(Command(command.argv, command.stdin, {**self.environment, **command.environment}), deadline)


class ZfsStage(EmulatedStage):
    """What all of them share."""

    group = "erp"
    emulator = "zfs"
    state_variable = "ZFS_EMULATOR_STATE"
    is_tracking = False
    options: Options

    def array(self) -> Array:
        return from_options("pool", self.options, StageHost(self.folder, self.environment), CONTEXT)

    def volumes(self) -> list[str]:
        return [f"tank/v{number}" for number in range(1, self.primaries + 1)]

    def given(self, **more: Any) -> dict[str, Any]:
        return {"pool": "tank", "tools": str(self.tools), "devices": f"{self.folder}/state.zvol", **more}

    def create(self, *more: str) -> None:
        pairs = zip(self.volumes(), self.images(), strict=True)
        words = [word for name, (p, c) in pairs for word in ("--volume", f"{name}={p}={c}")]
        self.control("create", "--pool", "tank", *words, *more)

    def in_use(self, exposed: Exposed) -> contextlib.AbstractContextManager[None]:
        @contextlib.contextmanager
        def using() -> Any:
            with opened(exposed.paths[0]):
                yield

        return using()


class VolumesStage(ZfsStage):
    """Two volumes, shown as clones or as their snapshots' own devices."""

    primaries = 2

    def __init__(self, folder: Path, show: str = "clone") -> None:
        super().__init__(folder)
        self.faults = SNAPSHOT_FAULTS
        spare = folder / "spare"
        spare.write_bytes(b"\0" * BLOCK_BYTES)
        self.create("--volume", f"tank/copies/nothing={spare}")
        groups = {"erp": Group(volumes=tuple(self.volumes()), show=show)}  # type: ignore[arg-type]
        self.options = Options(**self.given(groups=groups, clones="tank/copies"))
        if show == "snapshot":
            for name in self.volumes():
                command = Command((str(self.tools / "zfs"), "set", "snapdev=visible", name))
                StageHost(folder, self.environment).run(command, Deadline.after(20)).require("snapdev")


class TreeStage(ZfsStage):
    """One filesystem."""

    primaries = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults = SNAPSHOT_FAULTS
        (folder / "data").mkdir()
        (folder / "mounts").mkdir(mode=0o700)
        spare = folder / "spare"
        spare.write_bytes(b"\0" * BLOCK_BYTES)
        self.control(
            "create", "--pool", "tank", "--tree", f"tank/data={folder}/data", "--volume", f"tank/copies/x={spare}"
        )
        groups = {"erp": Group(dataset="tank/data")}
        self.options = Options(**self.given(groups=groups, clones="tank/copies", mountpoint=f"{folder}/mounts"))

    def write(self, value: bytes) -> None:
        (self.folder / "data" / "file").write_bytes(value)

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        assert exposed.kind == "tree"
        return ((Path(exposed.paths[0]) / "file").read_bytes(),)


class PoolStage(ZfsStage):
    """A pool with two volumes whose second disk was never in it."""

    primaries = 2

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults = SPLIT_FAULTS
        self.create("--disk", f"{folder}/disk1")
        (folder / "disk2").write_bytes((folder / "disk1").read_bytes()[:0] + b"\0" * BLOCK_BYTES)
        groups = {"erp": Group(legs={f"{folder}/disk1": f"{folder}/disk2"})}
        self.options = Options(**self.given(groups=groups, method="pool-split"))

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        """What the volumes hold on the disk that left: that disk is a file without their bytes, which lie beside it."""
        assert exposed == Exposed("device", (f"{self.folder}/disk2",), "db1")
        found = []
        for number, (_, copy) in enumerate(self.images(), 1):
            with Path(copy).open("rb") as file:
                file.seek(BLOCK_BYTES * number)
                found.append(file.read(VALUE_BYTES).rstrip())
        return tuple(found)

    def in_use(self, exposed: Exposed) -> contextlib.AbstractContextManager[None]:
        @contextlib.contextmanager
        def imported() -> Any:
            environment = {**os.environ, **self.environment}
            host, soon = StageHost(self.folder, environment), Deadline.after(20)
            zpool = str(self.tools / "zpool")
            take = Command((zpool, "import", "-N", "-o", "readonly=on", "-d", exposed.paths[0], "tank-run-1"))
            host.run(take, soon).require("import")
            yield
            host.run(Command((zpool, "export", "tank-run-1")), soon).require("export")

        return imported()


class TestVolumesAsClones(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return VolumesStage(folder)


class TestVolumesAsSnapshots(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return VolumesStage(folder, "snapshot")


class TestFilesystem(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return TreeStage(folder)


class TestPoolThatIsSplit(ArrayContract):
    def make(self, folder: Path) -> Stage:
        return PoolStage(folder)


def test_the_stages_are_what_their_names_say(tmp_path: Path) -> None:
    for number, make in enumerate((VolumesStage, TreeStage, PoolStage)):
        folder = tmp_path / str(number)
        folder.mkdir()
        stage = make(folder)
        pairs = stage.array().query("erp", Deadline.after(20))
        assert pairs
        assert all(pair.word for pair in pairs)
    with pytest.raises(AssertionError):
        stage.read(Exposed("tree", ("/",), "db1"))
