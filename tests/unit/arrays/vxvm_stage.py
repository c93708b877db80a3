"""A stage over the emulated Volume Manager: the disk group is on ``db1``, and ``backup`` imports the copies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from tests.contracts.array import Wrong
from tests.emulators.emulated import EmulatedStage

from splitmirror_drivers import catalogue
from splitmirror_drivers.arrays.vxvm import VxvmArray
from splitmirror_drivers.arrays.vxvm_options import Options
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.kit import command
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.secret import Secret

FAULTS = {
    Wrong.SPLIT_HANGS: "break hang",
    Wrong.SPLIT_HANGS_AFTER: "break hang-after",
    Wrong.SPLIT_IS_REFUSED: "break fail",
    Wrong.QUERY_HANGS: "query hang",
    Wrong.UNKNOWN_WORD: "query word SIDEWAYS",
    Wrong.ESTABLISH_HANGS: "attach hang",
    Wrong.LOCKED_FOR_A_MOMENT: "break busy 2",
}
OWNER, OTHER = "db1", "backup"
AWAY = "erp_copy"
HERE = "local"


def other_host(name: str) -> Host:
    """The host that imports copies, by its name in the policy."""
    assert name == OTHER
    return LocalHost(OTHER)


class VxvmStage(EmulatedStage):
    """Two volumes of the disk group ``erp``, whose snapshots are split off into ``erp_copy``."""

    group = "erp"
    primaries = 2
    emulator = "vxvm"
    state_variable = "VXVM_EMULATOR_STATE"
    faults = FAULTS
    is_away = True

    def __init__(self, folder: Path, *more: str, **options: Any) -> None:
        super().__init__(folder)
        pairs = [f"{primary}={copy}" for primary, copy in self.images()]
        self.control("create", "--group", self.group, *pairs, *more)
        for host in (OWNER, OTHER):
            (folder / host).mkdir()
            self.control("tools", host, str(folder / host))
        self.options: dict[str, Any] = options

    def table(self) -> dict[str, object]:
        volumes = [f"erp0{number}" for number in range(1, self.primaries + 1)]
        group: dict[str, object] = {"disk-group": "erp", "volumes": volumes}
        away: dict[str, object] = {}
        if self.is_away:
            group["copy-disk-group"] = AWAY
            away["copy-host"] = OTHER
        return {"driver": "vxvm", "tools": f"{self.folder}/{OWNER}", "groups": {"erp": group}, **away, **self.options}

    def array(self) -> VxvmArray:
        table = self.table()
        driver = catalogue.ARRAYS[str(table.pop("driver"))]()
        context = Context(secret=lambda reference: Secret(""), state_folder=str(self.folder), host=other_host)
        made = driver.make("vx", msgspec.convert(table, Options), LocalHost(), context)
        assert isinstance(made, VxvmArray)
        return made

    def tool(self, host: str, *words: str) -> Completed:
        """One command of the Volume Manager on one of the hosts."""
        return command.run(Command((f"{self.folder}/{host}/{words[0]}", *words[1:])), Deadline.after(20))

    def ok(self, host: str, *words: str) -> str:
        return self.tool(host, *words).require(words[0]).stdout

    @contextlib.contextmanager
    def imported(self, exposed: Exposed) -> Iterator[Mapping[str, str]]:
        """As a presentation would: the disk group is imported on its host and its volumes are started. Images by volume."""
        host = OTHER if self.is_away else OWNER
        (group,) = {path.split("/")[4] for path in exposed.paths}
        assert exposed.host == (OTHER if self.is_away else HERE)
        names = [path.rpartition("/")[2] for path in exposed.paths]
        if self.is_away:
            self.ok(host, "vxdg", "import", group)
            self.tool(host, "vxvol", "-g", group, "start", *names)  # which fails where the import has started them
        yield {name: f"{self.folder}/state.dev/{host}/dsk/{group}/{name}" for name in names}
        if self.is_away:
            self.ok(host, "vxvol", "-g", group, "stop", *names)
            self.ok(host, "vxdg", "deport", group)

    def read(self, exposed: Exposed) -> tuple[bytes, ...]:
        with self.imported(exposed) as images:
            return super().read(Exposed("device", tuple(images.values()), exposed.host))

    @contextlib.contextmanager
    def in_use(self, exposed: Exposed) -> Iterator[None]:
        with self.imported(exposed) as images:
            host, (*_, group, volume) = (OTHER if self.is_away else OWNER), next(iter(images.values())).split("/")
            self.control("open", host, group, volume)
            yield
            self.control("close", host, group, volume)


class AtHomeStage(VxvmStage):
    """One volume, whose snapshot stays in its disk group."""

    primaries = 1
    is_away = False


class SpareStage(VxvmStage):
    """Each volume has two disks for mirrors: erpdg02, erpdg03; erpdg05, erpdg06."""

    def images(self) -> list[tuple[str, str]]:
        return [(f"{self.folder}/p{n}", f"{self.folder}/c{n}={self.folder}/d{n}") for n in (1, 2)]
