"""The emulated OpenZFS in its own terms: refusals, exit codes, layouts, and what becomes of the bytes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "zfs"
SIZE = 512 * 1024
BLOCK = 64 * 1024
CALL_SECONDS = 20


class Site:
    """One pool ``tank`` with volumes ``tank/erp`` and ``tank/log``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        for name in ("p1", "p2"):
            (folder / name).write_bytes(os.urandom(SIZE))
        volumes = [f"--volume=tank/{n}={folder}/p{i}={folder}/c{i}" for i, n in enumerate(("erp", "log"), 1)]
        self.ok("control", "create", "--pool", "tank", *volumes, *options)

    def run(self, tool: str, *words: str, host: str = "db1") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ZFS_EMULATOR_STATE": f"{self.folder}/state", "ZFS_EMULATOR_HOST": host}
        argv = [str(TOOLS / tool), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=CALL_SECONDS, check=False)

    def ok(self, tool: str, *words: str, host: str = "db1") -> str:
        done = self.run(tool, *words, host=host)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, code: int, text: str, tool: str, *words: str, host: str = "db1") -> None:
        done = self.run(tool, *words, host=host)
        assert done.returncode == code, done
        assert text in done.stderr

    def names(self, *words: str) -> list[str]:
        return self.ok("zfs", "list", "-H", "-o", "name", *words).split()

    @property
    def disks(self) -> tuple[str, str]:
        return f"{self.folder}/state.disk1", f"{self.folder}/state.disk2"

    def bytes_of(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def device(self, name: str, host: str = "") -> bytes:
        return (self.folder / f"state.zvol{host and '.' + host}" / name).read_bytes()

    def write(self, name: str, value: bytes, at: int = 0) -> None:
        with (self.folder / name).open("r+b") as file:
            file.seek(at)
            file.write(value)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def slow(tmp_path: Path) -> Site:
    return Site(tmp_path, "--rate", "4")


# -- snapshots --


def test_one_command_snapshots_all_or_none(site: Site) -> None:
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.refused(
        1,
        "cannot create snapshot 'tank/erp@a': dataset already exists\nno snapshots were created",
        "zfs",
        "snapshot",
        "tank/erp@a",
        "tank/log@a",
    )
    assert site.names("-t", "snapshot") == ["tank/erp@a"]
    site.ok("zfs", "snapshot", "tank/erp@b", "tank/log@b")
    txg = site.ok("zfs", "get", "-H", "-o", "value", "createtxg", "tank/erp@b", "tank/log@b").split()
    assert txg[0] == txg[1]


def test_snapshot_keeps_what_was(site: Site) -> None:
    before = site.bytes_of("p1")
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.write("p1", b"new")
    site.ok("zfs", "set", "snapdev=visible", "tank/erp")
    assert site.device("tank/erp@a") == before != site.device("tank/erp")


def test_snapshot_of_what_is_not_there_is_a_usage_error(site: Site) -> None:
    site.refused(2, "cannot open 'tank/none': dataset does not exist", "zfs", "snapshot", "tank/none@a", "tank/erp@a")
    assert site.names("-t", "snapshot") == []


def test_snapshots_of_two_pools_in_one_command_are_refused(site: Site) -> None:
    site.ok("control", "create", "--pool", "other", f"--disk={site.folder}/d", f"--volume=other/x={site.folder}/p2")
    site.refused(1, "no snapshots were created", "zfs", "snapshot", "tank/erp@a", "other/x@a")


def test_recursive_snapshot_takes_all_below(site: Site) -> None:
    site.ok("zfs", "snapshot", "-r", "tank@a")
    assert site.names("-t", "snapshot", "-r", "tank") == ["tank@a", "tank/erp@a", "tank/log@a"]
    assert site.names("-t", "snapshot", "tank") == ["tank@a"]
    assert site.names("-d", "1", "tank") == ["tank", "tank/erp", "tank/log"]


def test_destroy_refuses_for_clones_and_takes_them_with_capital_r(site: Site) -> None:
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.ok("zfs", "clone", "tank/erp@a", "tank/c")
    text = "cannot destroy 'tank/erp@a': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\ntank/c\n"
    site.refused(1, text, "zfs", "destroy", "tank/erp@a")
    site.ok("zfs", "destroy", "-R", "tank/erp@a")
    assert site.names("-t", "all", "-r", "tank") == ["tank", "tank/erp", "tank/log"]


def test_destroy_refuses_for_holds(site: Site) -> None:
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.ok("zfs", "hold", "keep", "tank/erp@a")
    site.refused(1, "tag already exists on this dataset", "zfs", "hold", "keep", "tank/erp@a")
    site.refused(1, "it's being held. Run 'zfs holds -r tank/erp@a' to see holders.", "zfs", "destroy", "tank/erp@a")
    assert site.ok("zfs", "holds", "-H", "tank/erp@a").split("\t")[:2] == ["tank/erp@a", "keep"]
    site.ok("zfs", "destroy", "-d", "tank/erp@a")
    assert site.ok("zfs", "get", "-H", "-o", "value", "defer_destroy", "tank/erp@a") == "on\n"
    site.ok("zfs", "release", "keep", "tank/erp@a")
    assert site.names("-t", "snapshot") == []
    site.refused(1, "could not find any snapshots to destroy", "zfs", "destroy", "tank/erp@a")
    site.refused(1, "dataset does not exist", "zfs", "release", "keep", "tank/erp@a")


def test_destroy_of_an_open_volume_is_refused(site: Site) -> None:
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.ok("zfs", "clone", "-o", "readonly=on", "tank/erp@a", "tank/c")
    with (site.folder / "state.zvol/tank/c").open("rb"):
        site.refused(1, "cannot destroy 'tank/c': dataset is busy", "zfs", "destroy", "tank/c")
    site.ok("zfs", "destroy", "tank/c")
    assert not (site.folder / "state.zvol/tank/c").exists()


def test_clone_is_a_device_of_its_own(site: Site) -> None:
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.ok("zfs", "clone", "tank/erp@a", "tank/c")
    (site.folder / "state.zvol/tank/c").write_bytes(b"mine")
    assert site.bytes_of("p1")[:4] != b"mine"
    site.refused(1, "cannot create 'tank/c': dataset already exists", "zfs", "clone", "tank/erp@a", "tank/c")
    site.refused(1, "parent does not exist", "zfs", "clone", "tank/erp@a", "tank/x/c")
    site.refused(1, "cannot open 'tank/erp@none': dataset does not exist", "zfs", "clone", "tank/erp@none", "tank/d")


def test_rollback_overwrites_the_dataset(site: Site) -> None:
    before = site.bytes_of("p1")
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.write("p1", b"new")
    site.ok("zfs", "snapshot", "tank/erp@b")
    site.refused(1, "more recent snapshots or bookmarks exist", "zfs", "rollback", "tank/erp@a")
    site.ok("zfs", "rollback", "-r", "tank/erp@a")
    assert site.bytes_of("p1") == before
    assert site.names("-t", "snapshot") == ["tank/erp@a"]


def test_filesystem_is_a_tree_and_its_snapshot_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    site = Site(tmp_path, f"--tree=tank/home={home}={tmp_path}/away")
    (home / "rows").write_text("1")
    site.ok("zfs", "snapshot", "tank/home@a", "tank/erp@a")
    (home / "rows").write_text("2")
    assert (home / ".zfs/snapshot/a/rows").read_text() == "1"
    site.ok("zfs", "clone", "-o", f"mountpoint={tmp_path}/look", "tank/home@a", "tank/look")
    assert (tmp_path / "look/rows").read_text() == "1"
    held = (tmp_path / "look/rows").open()
    with held:
        site.refused(1, "pool or dataset is busy", "zfs", "destroy", "tank/look")
    site.ok("zfs", "unmount", "tank/look")
    assert not (tmp_path / "look").exists()
    site.ok("zfs", "mount", "tank/look")
    site.ok("zfs", "destroy", "tank/look")
    site.ok("zpool", "split", "tank", "new")
    assert (tmp_path / "away/rows").read_text() == "2"
    site.ok("zpool", "import", "-R", f"{tmp_path}/alt", "new")
    assert (Path(f"{tmp_path}/alt{home}") / "rows").read_text() == "2"


def test_properties(site: Site) -> None:
    site.refused(1, "must be one of 'on | off'", "zfs", "set", "readonly=maybe", "tank/erp")
    site.refused(1, "'guid' is readonly", "zfs", "set", "guid=1", "tank/erp")
    site.ok("zfs", "set", "readonly=on", "our:run=8850", "tank/erp")
    rows = site.ok(
        "zfs", "get", "-H", "-o", "name,value,source", "readonly,our:run", "tank/erp", "tank/log"
    ).splitlines()
    assert rows == ["tank/erp\ton\tlocal", "tank/erp\t8850\tlocal", "tank/log\toff\tdefault", "tank/log\t-\t-"]
    site.refused(1, "cannot open 'tank/x': dataset does not exist", "zfs", "list", "tank/x")
    site.refused(2, "unrecognized command 'bogus'", "zfs", "bogus")
    site.refused(2, "invalid option 'Z'", "zfs", "list", "-Z")


# -- pools --


def test_status_of_a_mirror(site: Site) -> None:
    one, two = site.disks
    width = len(one) + 4
    assert site.ok("zpool", "status", "tank").splitlines() == [
        "  pool: tank",
        " state: ONLINE",
        "  scan: none requested",
        "config:",
        "",
        f"\t{'NAME':<{width}}  STATE     READ WRITE CKSUM",
        f"\t{'tank':<{width}}  ONLINE       0     0     0",
        f"\t  {'mirror-0':<{width - 2}}  ONLINE       0     0     0",
        f"\t    {one}  ONLINE       0     0     0",
        f"\t    {two}  ONLINE       0     0     0",
        "",
        "errors: No known data errors",
    ]


def test_split_gives_a_pool_of_one_moment(site: Site) -> None:
    before = site.bytes_of("p1"), site.bytes_of("p2")
    plan = site.ok("zpool", "split", "-n", "tank", "new")
    assert plan == f"would create 'new' with the following layout:\n\n\tnew\n\t  {site.disks[1]}\n\n"
    site.ok("zpool", "split", "tank", "new")
    site.write("p1", b"new")
    assert (site.bytes_of("c1"), site.bytes_of("c2")) == before
    assert "new" not in site.ok("zpool", "list", "-H", "-o", "name")
    site.ok("zpool", "import", "-N", "-o", "readonly=on", "new", "look", host="backup")
    assert site.device("look/erp", "backup") == before[0]
    site.refused(1, "cannot open 'new': no such pool", "zpool", "status", "new")
    site.refused(1, "Source pool must be composed only of mirrors", "zpool", "split", "tank", "again")


def test_split_takes_the_disks_that_are_named(tmp_path: Path) -> None:
    names = [f"{tmp_path}/d{n}" for n in range(1, 5)]
    site = Site(tmp_path, f"--mirror={names[0]},{names[1]}", f"--mirror={names[2]},{names[3]}")
    text = "Device list must include at most one disk from each mirror"
    site.refused(1, text, "zpool", "split", "tank", "new", names[0], names[1])
    site.ok("zpool", "split", "tank", "new", names[0])
    status = site.ok("zpool", "status", "tank")
    assert names[1] in status
    assert names[2] in status
    assert names[0] not in status
    assert names[3] not in status


def test_split_is_refused_while_it_resilvers_and_when_a_disk_is_not_online(slow: Site) -> None:
    one, two = slow.disks
    slow.ok("zpool", "detach", "tank", two)
    slow.ok("zpool", "attach", "tank", one, two)
    slow.refused(1, "Unable to split tank: pool is busy", "zpool", "split", "tank", "new")
    slow.ok("control", "tick", "60")
    slow.ok("control", "break", "tank", two, "FAULTED")
    slow.refused(1, "invalid argument for this pool operation", "zpool", "split", "tank", "new")
    assert " state: DEGRADED" in slow.ok("zpool", "status", "tank")
    slow.ok("control", "break", "tank", two, "ONLINE")
    slow.ok("zpool", "split", "tank", "new")


def test_resilver_goes_by_the_clock_and_its_copy_is_garbage_meanwhile(slow: Site) -> None:
    one, two = slow.disks
    slow.ok("zpool", "detach", "tank", two)
    slow.ok("zpool", "attach", "tank", one, two)
    status = slow.ok("zpool", "status", "tank")
    assert "resilver in progress since" in status
    assert "(resilvering)" in status
    assert slow.bytes_of("c1") != slow.bytes_of("p1")
    slow.ok("control", "fault", "wait cancelled")
    slow.ok("zpool", "wait", "-t", "resilver", "tank")
    assert "resilver in progress" in slow.ok("zpool", "status", "tank")
    slow.ok("control", "mend")
    slow.ok("control", "tick", "60")
    slow.ok("zpool", "wait", "-t", "resilver", "tank")
    assert "scan: resilvered 1M in" in slow.ok("zpool", "status", "tank")
    assert slow.ok("control", "moved", "tank") == f"{2 * SIZE}\n"
    assert slow.ok("zpool", "events", "-H").rstrip().endswith("sysevent.fs.zfs.resilver_finish")


def test_disk_of_an_exported_pool_is_attached_by_force_only(site: Site) -> None:
    one, two = site.disks
    site.ok("zpool", "split", "tank", "new")
    site.refused(1, f"{two} is part of exported pool 'new'", "zpool", "attach", "tank", one, two)
    site.refused(1, f'{two} is a member of exported pool "new"', "zpool", "labelclear", two)
    site.ok("zpool", "import", "-N", "new")
    site.refused(1, f"{two} is part of active pool 'new'", "zpool", "attach", "tank", one, two)
    site.ok("zpool", "destroy", "new")
    site.ok("zpool", "attach", "tank", one, two)
    assert "new" not in site.run("zpool", "import", "-D").stdout


def test_destroying_a_pool_imported_read_only_leaves_its_label(site: Site) -> None:
    one, two = site.disks
    site.ok("zpool", "split", "tank", "new")
    site.ok("zpool", "import", "-N", "-o", "readonly=on", "new")
    site.ok("zpool", "destroy", "new")
    site.refused(1, "is part of exported pool 'new'", "zpool", "attach", "tank", one, two)


def test_offline_and_online_copy_what_changed(site: Site) -> None:
    site.ok("zpool", "offline", "tank", site.disks[1])
    site.write("p1", b"new", at=3 * BLOCK)
    site.ok("zpool", "online", "tank", site.disks[1])
    site.ok("zpool", "status")
    assert site.ok("control", "moved", "tank") == f"{BLOCK}\n"
    site.refused(1, "no valid replicas", "zpool", "offline", "tank", *site.disks)


def test_import_refuses_names_that_are_taken_and_pools_in_use_elsewhere(site: Site) -> None:
    site.ok("zpool", "split", "tank", "new")
    site.ok("zpool", "import", "-N", "new")
    site.refused(1, "pool was previously in use from another system", "zpool", "import", "new", host="backup")
    site.refused(1, "cannot import 'none': no such pool available", "zpool", "import", "none")
    with (site.folder / "c1").open("rb"):
        site.refused(1, "cannot export 'new': pool is busy", "zpool", "export", "new")
    site.ok("zpool", "export", "new")
    site.refused(1, "a pool with that name already exists", "zpool", "import", "new", "tank")
    site.ok("zpool", "import", "-N", "new", "look")
    assert site.ok("zpool", "list", "-H", "-o", "name,health").split() == ["look", "ONLINE", "tank", "ONLINE"]


def test_import_looks_where_it_is_told(site: Site) -> None:
    site.ok("zpool", "split", "tank", "new")
    assert site.run("zpool", "import", "-d", "/nowhere").returncode == 1
    assert "  pool: new\n" in site.ok("zpool", "import", "-d", str(site.folder))
    site.ok("zpool", "import", "-d", site.disks[1], "-N", "new")


# -- faults --


def test_faults(site: Site) -> None:
    site.ok("control", "fault", "snapshot fail 1", "status word PUZZLED")
    site.refused(1, "I/O error", "zfs", "snapshot", "tank/erp@a")
    site.ok("zfs", "snapshot", "tank/erp@a")
    assert "PUZZLED" in site.ok("zpool", "status")
    site.ok("control", "fault", "snapshot busy 1", "pool-list word ODD", "list drop", "udev lost")
    site.refused(1, "dataset is busy", "zfs", "snapshot", "tank/erp@b")
    assert site.ok("zpool", "list", "-H", "-o", "name,health") == "tank\tODD\n"
    assert site.names("-t", "volume") == ["tank/log"]
    site.ok("zfs", "clone", "tank/erp@a", "tank/c")
    assert not (site.folder / "state.zvol/tank/c").exists()
    site.ok("control", "fault", "snapshot lie", "split die")
    site.ok("zfs", "snapshot", "tank/erp@d")
    assert site.run("zpool", "split", "tank", "new").returncode < 0
    site.ok("control", "mend")
    assert site.names("-t", "snapshot") == ["tank/erp@a"]
    assert "mirror-0" in site.ok("zpool", "status")


def test_membership_drifts(site: Site) -> None:
    site.ok("control", "lose", "tank/log")
    site.ok("control", "add", f"tank/more={site.folder}/p2")
    assert site.names("-t", "volume") == ["tank/erp", "tank/more"]
    site.ok("zfs", "snapshot", "tank/erp@a")
    site.ok("control", "keep", "tank@a", "theirs")
    site.refused(1, "being held", "zfs", "destroy", "tank/erp@a")


def test_wrapped_tools_run_as_on_another_machine(site: Site) -> None:
    site.ok("control", "wrap", "backup", f"{site.folder}/bin")
    done = subprocess.run([f"{site.folder}/bin/zpool", "list"], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "no pools available\n"
    assert site.ok("control", "log").splitlines()[-1] == "zpool list"
