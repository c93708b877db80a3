"""The main job on an array that knows nothing of files: databases on ext4 and XFS, frozen over the split of their devices.

The array is pretend, its bytes are real: each split clones the image below a live filesystem. A second server is started
on every restored copy and must have each row that was committed before the split.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.databases import PostgreSQL, Server, eventually
from tests.lab.disks import mounts, run
from tests.lab.images import Images, images
from tests.lab.need import need
from tests.lab.site import (
    Site,
    committed_before_split,
    mariadb,
    policy,
    postgresql,
    restored_mariadb,
    restored_postgresql,
    rows_of,
    site,
    writing,
)

from splitmirror.journal.contract import Status

pytestmark = pytest.mark.lab

ROUNDS = 2
MAX_FREEZE_SECONDS = 5
SLACK_SECONDS = 4
"""For a busy test machine."""
HOSTS = {"pg": "db1", "my": "db2", "pgx": "db1"}


@dataclass
class Here:
    """Three databases, each on a filesystem of its own whose device is a group of the pretend array."""

    site: Site
    images: Images
    servers: dict[str, Server]

    def policy(self, name: str, applications: Sequence[str], array: str = "images", **more: object) -> None:
        """The only policy of the file: two that present at one place are refused."""
        self.site.tables = {title: text for title, text in self.site.tables.items() if "policies" not in title}
        policy(self.site, name, applications, array, **more)

    def fresh(self, name: str) -> Server:
        """The server with no rows yet."""
        server = self.servers[name]
        server.sql(f"delete from {'rows' if isinstance(server, PostgreSQL) else 'shop.rows'}")
        return server

    def presented(self, name: str) -> Path:
        return self.site.folder / "backup" / name

    def is_presented(self, name: str) -> bool:
        return self.presented(name).exists() or self.presented(f"{name}.card").exists()

    def restored(self, name: str, to: str) -> Server:
        """The copy of one database as the product would bring it back."""
        restore = restored_postgresql if isinstance(self.servers[name], PostgreSQL) else restored_mariadb
        return restore(self.site, name, self.site.folder / to)

    def pre(self, name: str, job: str = "night") -> None:
        self.site.run("pre", "--policy", name, "--job", job)

    def post(self, name: str, job: str = "night") -> None:
        self.site.run("post", "--policy", name, "--job", job, "--status", "good")


@pytest.fixture(scope="module")
def built() -> Iterator[Here]:
    need("sshd", "mkfs.btrfs", "mkfs.ext4", "mkfs.xfs", "mariadbd", "psql", "fsfreeze", "losetup", loop=True)
    with site() as made, images(made) as array, ExitStack() as stack:
        made.data_server("db1")
        made.data_server("db2")
        array.add("ext4", "pg", HOSTS["pg"], stands=True)
        array.add("ext4", "my", HOSTS["my"])
        array.add("xfs", "pgx", HOSTS["pgx"])
        array.array("images", {name: one.group for name, one in array.mirrored.items()})
        servers: dict[str, Server] = {}
        for name, host in HOSTS.items():
            start = mariadb if name == "my" else postgresql
            folder = array.mirrored[name].disk.point
            servers[name] = stack.enter_context(start(made, name, host, folder=folder))
        policy(made, "all", list(HOSTS), "images")
        made.run("establish", "--full", "all")
        yield Here(made, array, servers)


@pytest.fixture
def here(built: Here) -> Iterator[Here]:
    """The same for every test; what one that failed left presented is withdrawn before the next."""
    yield built
    if built.site.journal().open_runs():
        built.site.run("post", "--policy", "erp", "--status", "good")


@pytest.mark.parametrize("name", list(HOSTS))
def test_a_database_is_backed_up_from_its_frozen_filesystem_twice(name: str, here: Here) -> None:
    here.policy("erp", [name])
    mirrored = here.images.mirrored[name]
    with writing(here.fresh(name)) as (writer,):
        for number in range(ROUNDS):
            here.pre("erp", str(number))
            assert 0 < here.images.moved_bytes(name) < mirrored.bytes / 4, "only what changed is copied"
            needed = committed_before_split(here.site, "erp", writer.commits)
            assert_read_only(here, name)
            copy = here.restored(name, f"restored-{name}-{number}")
            here.post("erp", str(number))
            run("sync", "-f", str(mirrored.copy))
            assert mirrored.is_untouched(), "not one byte of a presented copy is written"
            rows = rows_of(copy)
            assert rows == list(range(1, len(rows) + 1))
            assert len(rows) >= needed
            writer.wait_for_more()
    assert set(here.site.windows("erp")) == {HOSTS[name]}, "the filesystem was frozen, whoever else held nothing"
    assert not here.is_presented(name)
    if Path(mirrored.copy_device).exists():
        assert run("blockdev", "--getro", mirrored.copy_device) == "0", "as it was found"


def assert_read_only(here: Here, name: str) -> None:
    """The copy of this run, with the device below it protected."""
    point = here.presented(name)
    (mount,) = [one for one in mounts() if one.point == str(point)]
    assert "ro" in mount.options
    assert "ro" in mount.super_options
    assert run("blockdev", "--getro", mount.source) == "1"
    assert (point / ".splitmirror-run").read_text().strip() == here.site.last_run("erp").run_id
    with pytest.raises(OSError, match="ead-only") as failed:
        (point / "new").touch()
    assert failed.value.errno == errno.EROFS


@pytest.mark.parametrize("array", ["images", "pairs"])
def test_two_data_servers_are_frozen_in_one_run(array: str, here: Here) -> None:
    """`pairs` splits one device after the other: only the freeze makes that one moment."""
    groups = {name: here.images.mirrored[name].group for name in ("pg", "my")}
    here.images.array("pairs", groups, atomic="pair", split="{group}")
    here.policy("erp", ["pg", "my"], array)
    with writing(here.fresh("pg"), here.fresh("my")) as (of_pg, of_my):
        here.pre("erp")
        needed = [committed_before_split(here.site, "erp", writer.commits) for writer in (of_pg, of_my)]
        copies = [here.restored(name, f"restored-{array}-{name}") for name in ("pg", "my")]
        here.post("erp")
        for writer in (of_pg, of_my):
            writer.wait_for_more()
    for copy, least in zip(copies, needed, strict=True):
        rows = rows_of(copy)
        assert rows == list(range(1, len(rows) + 1))
        assert len(rows) >= least
    assert set(here.site.windows("erp")) == {"db1", "db2"}


def test_last_nights_copy_is_not_presented_tonight(here: Here) -> None:
    """Every state word of the array says that all is well; not one byte was copied."""
    here.policy("erp", ["pg"])
    here.pre("erp")
    here.post("erp")
    with writing(here.fresh("pg")) as (writer,):
        with here.images.faults("worker skip", "split skip"):
            said = here.site.run("pre", "--policy", "erp", code=None)
        assert "this is not tonight's copy" in said
        assert_failed(here, "pg")
        writer.wait_for_more()


def test_an_xfs_copied_before_it_was_frozen_is_not_presented(here: Here) -> None:
    """The split changed words and no bytes; such an XFS can even be mounted."""
    here.policy("erp", ["pgx"])
    with writing(here.fresh("pgx")) as (writer,):
        with here.images.faults("split skip"):
            said = here.site.run("pre", "--policy", "erp", code=None)
        assert "this is not tonight's copy" in said
        assert_failed(here, "pgx")
        writer.wait_for_more()


def test_a_split_that_hangs_leaves_no_filesystem_frozen_and_the_next_run_is_good(here: Here) -> None:
    here.policy("erp", ["my"], max_freeze=f"{MAX_FREEZE_SECONDS}s")
    with writing(here.fresh("my")) as (writer,):
        with here.images.faults("split hang"):
            said = here.site.run("pre", "--policy", "erp", code=None)
        assert "the outcome of the split on images is unknown" in said
        writer.wait_for_more()
        assert MAX_FREEZE_SECONDS / 2 < writer.longest_gap() < MAX_FREEZE_SECONDS + SLACK_SECONDS
        assert not here.is_presented("my")
        here.pre("erp", "next night")
        assert here.presented("my").exists()
        here.post("erp", "next night")


def assert_failed(here: Here, name: str) -> None:
    """The newest run is closed as failed, nothing is presented and nothing exposed."""
    assert here.site.last_run("erp").status is Status.FAILED
    assert not here.is_presented(name)
    assert not here.images.exposed(name)


REFUSED = {
    "two devices that are not of one moment": ("wide", "may span devices"),
    "one device that is not of one moment in itself": ("pg", "the split of its filesystem's device is not one moment"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_only_a_freeze_could_make_good_is_refused_without_one(case: str, here: Here) -> None:
    group, says = REFUSED[case]
    mirrored = here.images.mirrored["pg"]
    devices = [mirrored.disk.device]
    if group == "wide":
        devices.append(spare_device(here, group))
    table = {**mirrored.group, "pairs": len(devices), "devices": devices, "copy-devices": []}
    here.images.array("torn", {group: table}, atomic="nothing")
    wanted = {"applications": ["pg"], "mirrors": [{"array": "torn", "groups": [group]}]}
    here.policy("thawed", ["pg"])
    here.site.add("policies.thawed", **wanted, freeze_filesystems="none")
    here.site.add("policies.frozen", **wanted)
    before = here.images.call("query", group)
    for hook in (("pre", "--policy", "thawed"), ("plan", "thawed")):
        said = here.site.run(*hook, code=None)
        assert "the copy of thawed could not be called good whatever happens" in said
        assert says in said
    assert here.images.call("query", group) == before
    assert here.site.last_run("thawed").status is Status.FAILED
    assert "its copy can be called: application" in here.site.run("plan", "frozen")


def spare_device(here: Here, group: str) -> str:
    """A second device for `group`, with nothing on it; both pairs in sync."""
    image = here.images.folder / "spare"
    with image.open("wb") as file:
        file.truncate(2**20)
    primary = here.images.mirrored["pg"].disk.image
    here.images.call("create", group, f"{primary}={image}.copy1", f"{image}={image}.copy2")
    here.images.call("establish", group, "--full")
    eventually("in sync", lambda: here.images.call("query", group).count("Synchronized") == 2)
    return here.images.disks.attach(image)
