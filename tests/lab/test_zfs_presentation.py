"""A pool presented: every promise of the contract, with real mounts over emulated pools (no kernel here has ZFS)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.contracts.presentation import RUN, PresentationContract, Shown, soon
from tests.lab.need import need

from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, Refused
from splitmirror_drivers.presentation.zfs import Options, Zfs

pytestmark = pytest.mark.lab

TOOLS = Path(__file__).parents[1] / "emulators" / "zfs"
MACHINE = "back"


class PoolHost(LocalHost):
    """This machine, as the emulated backup host: the emulated programs are first on its PATH."""

    def __init__(self, folder: Path) -> None:
        super().__init__("local", HostOptions(guard_dir=f"{folder}/guard"))
        self.environment = {"PATH": f"{folder}/{MACHINE}:{os.environ['PATH']}"}

    def run(self, command: Command, deadline: Deadline) -> Completed:
        return super().run(Command(command.argv, command.stdin, {**self.environment, **command.environment}), deadline)


@dataclass
class Pools:
    """Pool ``tank`` of one mirror on machine db1; its second disk was split off as ``tank-RUN``."""

    folder: Path
    machine: str = "db1"

    def call(self, *words: str, machine: str = "") -> str:
        tool, *rest = words
        environment = {"ZFS_EMULATOR_STATE": f"{self.folder}/state", "ZFS_EMULATOR_HOST": machine or self.machine}
        done = subprocess.run(
            [str(TOOLS / tool), *rest], env={**os.environ, **environment}, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def leg(self) -> str:
        return f"{self.folder}/disk2"


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[Pools]:
    need("mount", "umount")
    made = Pools(tmp_path)
    for name in ("erp", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(f"{name}\n")
    trees = [
        word
        for name in ("erp", "other")
        for word in ("--tree", f"tank/{name}={tmp_path}/{name}={tmp_path}/copy-{name}")
    ]
    made.call("control", "create", "--pool", "tank", "--mirror", f"{tmp_path}/disk1,{made.leg}", *trees)
    made.call("control", "wrap", MACHINE, f"{tmp_path}/{MACHINE}")
    made.call("zpool", "split", "tank", f"tank-{RUN}", made.leg)
    yield made
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{tmp_path}/"):
            subprocess.run(["umount", line.split()[1]], check=True, timeout=30)


def shown_of(pools: Pools, volume: str = "erp") -> Shown:
    above = pools.folder / "backup"
    above.mkdir(exist_ok=True)
    zfs = Zfs(f"{above}/erp", Options(pool="tank", volume=volume), PoolHost(pools.folder))
    return Shown(zfs, Exposed("device", (pools.leg,), "local"), "rows")


class TestSplitPool(PresentationContract):
    @pytest.fixture
    def shown(self, pools: Pools) -> Shown:
        return shown_of(pools)


def test_the_pool_is_imported_read_only_under_the_runs_name_and_exported_again(pools: Pools) -> None:
    shown = shown_of(pools)
    shown.present()
    listed = pools.call("zpool", "list", "-H", "-o", "name,readonly", machine=MACHINE)
    assert listed.split() == [f"tank-{RUN}", "on"]
    assert (shown.path / "rows").read_text() == "erp\n"
    with pytest.raises(OSError, match="Read-only file system"):
        (shown.path / "new").write_text("x")
    shown.withdraw()
    assert pools.call("zpool", "list", "-H", "-o", "name", machine=MACHINE) == ""
    assert not (shown.path.parent / ".erp.pool").exists()
    said = pools.call("control", "log")
    assert "import -N -o readonly=on -R" in said
    assert not [line for line in said.splitlines() if {"-f", "-F", "-R"} & set(line.split()) and "import" not in line]


@pytest.mark.parametrize("volume", ["tank/erp", "erp"])
def test_a_volume_is_named_with_or_without_its_pool(pools: Pools, volume: str) -> None:
    shown = shown_of(pools, volume=volume)
    shown.present()
    assert (shown.path / "rows").read_text() == "erp\n"
    shown.withdraw()


def test_several_filesystems_want_a_name_and_what_was_imported_goes_again(pools: Pools) -> None:
    for volume in ("", "nothing"):
        shown = shown_of(pools, volume=volume)
        with pytest.raises(Refused, match="cannot be told"):
            shown.present()
        shown.withdraw()
        assert pools.call("zpool", "list", "-H", "-o", "name", machine=MACHINE) == ""


def test_a_pool_of_another_run_is_not_this_copy(pools: Pools) -> None:
    shown = shown_of(pools)
    intent = shown.presentation.intend(shown.exposed, "erp-20261125-220000-2", is_frozen=True)
    with pytest.raises(Refused, match=f"tank-{RUN}"):
        shown.presentation.present(intent, soon())
    assert not shown.path.exists()


def test_a_pool_that_another_host_has_is_never_forced(pools: Pools) -> None:
    pools.call("zpool", "import", "-N", "-d", pools.leg, f"tank-{RUN}")
    shown = shown_of(pools)
    with pytest.raises(Fault, match="importing the copy") as caught:
        shown.present()
    assert "never forced" in caught.value.hint
    shown.withdraw()
    assert not shown.path.exists()


def test_a_twin_that_is_imported_there_is_refused(pools: Pools) -> None:
    pools.call("zpool", "import", "-N", "-d", pools.leg, f"tank-{RUN}", "mine", machine=MACHINE)
    with pytest.raises(Refused, match="0 pools are on"):
        shown_of(pools).present()
    assert pools.call("zpool", "list", "-H", "-o", "name", machine=MACHINE).split() == ["mine"]


def test_a_pool_under_our_name_on_other_disks_is_refused(pools: Pools) -> None:
    pools.call("zpool", "import", "-N", "-o", "readonly=on", "-d", pools.leg, f"tank-{RUN}", machine=MACHINE)
    shown = shown_of(pools)
    other = Exposed("device", (f"{pools.folder}/disk1",), "local")
    intent = shown.presentation.intend(other, RUN, is_frozen=True)
    with pytest.raises(Refused, match="did not expose"):
        shown.presentation.present(intent, soon())


def test_a_pool_that_can_be_written_to_is_refused(pools: Pools) -> None:
    pools.call("zpool", "import", "-N", "-d", pools.leg, f"tank-{RUN}", machine=MACHINE)
    with pytest.raises(Refused, match="not imported read-only"):
        shown_of(pools).present()


@pytest.mark.parametrize("word", ["DEGRADED", "UNAVAIL"])
def test_a_pool_that_lacks_something_is_no_copy(pools: Pools, word: str) -> None:
    shown = shown_of(pools)
    intent = shown.present()
    pools.call("control", "break", f"tank-{RUN}", pools.leg, word, machine=MACHINE)
    with pytest.raises(Refused, match="not ONLINE"):
        shown.presentation.verify(intent, soon())
    shown.withdraw()
    assert not shown.path.exists()


def test_after_a_crash_between_import_and_mount_it_goes_on_or_back(pools: Pools) -> None:
    shown = shown_of(pools)
    intent: Presented = shown.intent
    take = ("-N", "-o", "readonly=on", "-R", intent.data["root"], "-d", pools.leg, f"tank-{RUN}")
    pools.call("zpool", "import", *take, machine=MACHINE)
    shown.present()
    shown.withdraw()
    pools.call("zpool", "import", *take, machine=MACHINE)
    shown.withdraw()
    assert pools.call("zpool", "list", "-H", "-o", "name", machine=MACHINE) == ""
    assert sorted(one.name for one in shown.path.parent.iterdir()) == []


def test_somebody_in_the_pool_beside_the_path_keeps_it(pools: Pools) -> None:
    shown = shown_of(pools)
    shown.present()
    pools.call("zfs", "mount", f"tank-{RUN}/other", machine=MACHINE)
    inside = f"{shown.path.parent}/.erp.pool{pools.folder}/other/rows"
    with Path(inside).open(), pytest.raises(Fault, match="exporting"):
        shown.withdraw()
    pools.call("zfs", "unmount", f"tank-{RUN}/other", machine=MACHINE)
    shown.withdraw()
    assert not shown.path.exists()
