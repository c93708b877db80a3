"""Copies of a real volume group presented beside its original; run where there is device-mapper, with four spare disks.

``test_lvm_presentation`` runs this file inside a lab host: SPLITMIRROR_LVM_DISKS names the disks there. The first two carry
a volume group ``erpvg``, the other two are its copy, made byte by byte while its filesystem was frozen.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.contracts.presentation import RUN, Shown, soon
from tests.lab.disks import freeze, mounts, run, thaw

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as LocalOptions
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse, LinkLost, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation.lvm import Lvm, Options
from splitmirror_drivers.presentation.lvm_marks import ABOVE
from splitmirror_drivers.presentation.mount import TOKEN

DISKS = tuple(os.environ["SPLITMIRROR_LVM_DISKS"].split())
ORIGINAL, COPY = DISKS[:2], DISKS[2:4]
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
GROUP = "erpvg"
HIDING = Path("/etc/lvm/lvm.conf")


ACTS = frozenset({"mkdir", "rmdir", "vgimportclone", "lvchange", "vgchange", "mount", "umount"})
WHOLE = 10**6


class Cut(LocalHost):
    """A host whose link is lost before its n-th command that changes anything."""

    left: int = WHOLE

    def run(self, command: Command, deadline: Deadline) -> Completed:
        self.left -= command.argv[0] in ACTS or command.argv[1] in ("--setro", "--setrw")
        if self.left < 0:
            raise LinkLost("the link was lost")
        return super().run(command, deadline)


class Imported(Shown):
    """A copy whose array repairs what is written to it."""

    @property
    def intent(self) -> Presented:
        return self.presentation.intend(self.exposed, RUN, is_frozen=self.is_frozen, may_write=True)


@dataclass
class Site:
    """The two disks, their copy, and where things are mounted."""

    folder: Path
    host: Cut

    @property
    def point(self) -> Path:
        return self.folder / "original"

    def original(self, *more: str) -> None:
        """A volume group with `data` on both disks and `log`, filesystems on both; `data` is mounted."""
        run("pvcreate", "-q", *ORIGINAL)
        run("vgcreate", "-q", GROUP, *ORIGINAL)
        run("lvcreate", "-q", "-Wn", "-i", "2", "-L", "16M", "-n", "data", GROUP)
        run("lvcreate", "-q", "-Wn", "-L", "12M", "-n", "log-a", GROUP)
        for arguments in more:
            run("lvcreate", "-q", "-Wn", *arguments.split(), GROUP)
        for name in ("data", "log-a"):
            run("mkfs.ext4", "-qF", "-E", "lazy_itable_init=0,lazy_journal_init=0", f"/dev/{GROUP}/{name}")
            self.fill(name, "1\n2\n3\n")

    def fill(self, name: str, rows: str) -> None:
        """Write rows and the run's token into a volume of the original."""
        self.mount_original(name)
        (self.point / "rows").write_text(rows)
        (self.point / TOKEN).write_text(RUN)
        run("umount", str(self.point))

    def mount_original(self, name: str = "data") -> None:
        self.point.mkdir(exist_ok=True)
        run("mount", f"/dev/{GROUP}/{name}", str(self.point))

    def split(self, *, is_frozen: bool = True) -> None:
        """Copy both disks while `data` is mounted and (or not) frozen; it is mounted afterwards."""
        self.mount_original()
        (self.point / "open").write_text("x")
        if is_frozen:
            freeze(self.point)
        else:
            run("sync", "-f", str(self.point))
            for number in range(30):
                (self.point / f"file{number % 5}").write_text(str(number))
                with (self.point / f"file{number % 5}").open() as file:
                    os.fsync(file.fileno())
        for disk, copy in zip(ORIGINAL, COPY, strict=True):
            run("dd", f"if={disk}", f"of={copy}", "bs=1M", "iflag=direct", "oflag=direct", "conv=fsync", "status=none")
        if is_frozen:
            thaw(self.point)

    def split_again(self, *, is_frozen: bool = True) -> None:
        """The next night: the copy is made anew."""
        run("umount", str(self.point))
        self.split(is_frozen=is_frozen)

    def original_elsewhere(self) -> None:
        """The original is on another host: nothing of it is seen here."""
        run("umount", str(self.point))
        run("vgchange", "-q", "-an", GROUP)
        for disk in ORIGINAL:
            wipe(disk)

    def lvm(self, name: str = "erp", volume: str = "data", **options: object) -> Lvm:
        above = self.folder / "backup"
        above.mkdir(exist_ok=True)
        made = Options(volume_group=GROUP, volume=volume, **options)  # type: ignore[arg-type]
        return Lvm.from_options(str(above / name), made, self.host, CONTEXT)

    def shown(self, *, imported: bool, is_frozen: bool = True, name: str = "erp", volume: str = "data") -> Shown:
        kind = Imported if imported else Shown
        return kind(self.lvm(name, volume), Exposed("device", COPY, "local"), "rows", is_frozen)

    def clean(self) -> None:
        for mount in reversed(mounts()):
            if mount.point.startswith(str(self.folder)):
                subprocess.run(["fsfreeze", "--unfreeze", mount.point], capture_output=True)
                run("umount", mount.point)
        run("blockdev", "--setrw", *DISKS)
        run("dmsetup", "remove_all")
        for disk in DISKS:
            wipe(disk)
        subprocess.run(["rm", "-rf", ABOVE, f"/dev/{GROUP}", str(self.folder / "backup")], check=True)


def wipe(disk: str) -> None:
    run("wipefs", "-qaf", disk)
    run("dd", "if=/dev/zero", f"of={disk}", "bs=1M", "count=2", "conv=fsync", "oflag=direct", "status=none")
    run("blockdev", "--rereadpt", disk)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, Cut("local", LocalOptions(guard_dir=str(tmp_path / "state"))))
    site.clean()
    before = HIDING.read_text()
    yield site
    HIDING.write_text(before)
    site.clean()


def digest() -> list[str]:
    run("blockdev", "--flushbufs", *COPY)
    return [hashlib.sha256(Path(disk).read_bytes()).hexdigest() for disk in COPY]


def nodes() -> set[str]:
    listed = run("dmsetup", "ls")
    return {line.split()[0] for line in listed.splitlines() if "\t" in line}


def nodes_on_copy() -> set[str]:
    """Names of the nodes right on the copy's disks."""
    listed = run("lsblk", "-nrpo", "NAME,TYPE", *COPY).splitlines()
    return {line.split()[0].rpartition("/")[2] for line in listed if line.endswith(" lvm")}


def marks() -> list[str]:
    return sorted(path.name for path in Path(ABOVE).iterdir()) if Path(ABOVE).exists() else []


def hide(*disks: str) -> None:
    """What an administrator writes so that the host's own LVM does not see disks."""
    rules = ",".join(f'"r|^{disk}$|"' for disk in disks)
    HIDING.write_text(HIDING.read_text().replace("devices {", f"devices {{ global_filter = [ {rules} ]"))


def nothing_is_left(site: Site) -> None:
    assert nodes_on_copy() == set()
    assert marks() == []
    assert run("blockdev", "--getro", *COPY).split() == ["0", "0"]
    assert not [one for one in mounts() if one.point.startswith(str(site.folder / "backup"))]


def test_imported_copy_shows_its_own_moment_beside_its_original_which_is_in_use(site: Site) -> None:
    site.original()
    site.split()
    (site.point / "rows").write_text("later\n")
    shown = site.shown(imported=True)
    for _ in range(2):
        intent = shown.present()
        assert (shown.path / "rows").read_text() == "1\n2\n3\n"
        assert shown.presentation.users(intent, soon()) == ()
        with shown.in_use() as pid, pytest.raises(InUse, match=f"pid {pid}"):
            shown.withdraw()
        shown.withdraw()
        nothing_is_left(site)
    assert (site.point / "rows").read_text() == "later\n"
    assert f"{GROUP}-data" in nodes(), "the original was taken down"


@pytest.fixture
def alone(site: Site) -> Iterator[Shown]:
    """A copy where nothing of the original is seen: it is write-protected, and not one byte of it changes."""
    site.original()
    site.split()
    site.original_elsewhere()
    before = digest()
    yield site.shown(imported=False)
    assert digest() == before


def test_protected_copy_comes_up_under_its_own_name_and_cannot_be_written_to(alone: Shown, site: Site) -> None:
    for _ in range(2):
        alone.present()
        assert (alone.path / "rows").read_text() == "1\n2\n3\n"
        assert nodes_on_copy() == {f"{GROUP}-data"}
        assert run("blockdev", "--getro", *COPY, f"/dev/mapper/{GROUP}-data").split() == ["1", "1", "1"]
        with alone.in_use() as pid, pytest.raises(InUse, match=f"pid {pid}"):
            alone.withdraw()
        alone.withdraw()
        nothing_is_left(site)


def test_protection_that_somebody_else_set_stays(alone: Shown) -> None:
    run("blockdev", "--setro", COPY[0])
    alone.present()
    alone.withdraw()
    assert run("blockdev", "--getro", *COPY).split() == ["1", "0"]
    assert marks() == []


# -- several mounts of one group --


@pytest.mark.parametrize(("imported", "first_out"), [(True, 0), (False, 1)])
def test_last_mount_that_goes_takes_the_group_down(site: Site, imported: bool, first_out: int) -> None:
    site.original()
    site.split()
    if not imported:
        site.original_elsewhere()
    both = [site.shown(imported=imported), site.shown(imported=imported, name="log", volume="log-a")]
    for one in both:
        one.present()
        assert (one.path / "rows").read_text() == "1\n2\n3\n"
    for one in both:
        one.presentation.verify(one.intent, soon())
        assert one.presentation.users(one.intent, soon()) == ()
    staying = both.pop(1 - first_out)
    both[0].withdraw()
    assert not both[0].path.exists()
    staying.presentation.verify(staying.intent, soon())
    assert (staying.path / "rows").read_text() == "1\n2\n3\n"
    staying.withdraw()
    nothing_is_left(site)


def test_volume_that_somebody_else_mounted_keeps_the_group_up_and_is_named(site: Site) -> None:
    site.original()
    site.split()
    one, other = site.shown(imported=True), site.shown(imported=True, name="log", volume="log-a")
    one.present()
    other.present()
    node = next(name for name in nodes_on_copy() if name.endswith("log--a"))
    by_hand = site.folder / "by-hand"
    by_hand.mkdir()
    run("mount", "-o", "ro", f"/dev/mapper/{node}", str(by_hand))
    one.withdraw()
    with pytest.raises(InUse, match=str(by_hand)):
        other.withdraw()
    run("umount", str(by_hand))
    other.withdraw()
    nothing_is_left(site)


# -- twins --


def test_active_twin_is_refused_and_left_alone(site: Site) -> None:
    site.original()
    site.split()
    hide(*ORIGINAL)  # LVM does not see it; its nodes are there all the same
    shown = site.shown(imported=False)
    with pytest.raises(Refused, match="twin"):
        shown.present()
    shown.withdraw()
    assert (site.point / "rows").read_text() == "1\n2\n3\n"
    assert {f"{GROUP}-data", f"{GROUP}-log--a"} <= nodes()
    nothing_is_left(site)


def test_inactive_twin_that_the_host_sees_is_refused_and_a_hidden_one_is_not(site: Site) -> None:
    site.original()
    site.split()
    run("umount", str(site.point))
    run("vgchange", "-q", "-an", GROUP)
    shown = site.shown(imported=False)
    with pytest.raises(Refused, match=ORIGINAL[0]):
        shown.present()
    shown.withdraw()
    nothing_is_left(site)
    hide(*ORIGINAL, *COPY)
    shown.present()
    assert (shown.path / "rows").read_text() == "1\n2\n3\n"
    shown.withdraw()
    nothing_is_left(site)


def test_copy_that_came_up_by_itself_is_in_use_and_left_alone(site: Site) -> None:
    site.original()
    site.split()
    site.original_elsewhere()
    run("vgchange", "-q", "-ay", GROUP)
    shown = site.shown(imported=False)
    assert {user.name for user in shown.presentation.users(shown.intent, soon())} == {
        f"{GROUP}-data",
        f"{GROUP}-log--a",
    }
    with pytest.raises(InUse, match=GROUP) as caught:
        shown.present()
    assert "global_filter" in caught.value.hint
    shown.withdraw()
    assert nodes_on_copy() == {f"{GROUP}-data", f"{GROUP}-log--a"}
    run("vgchange", "-q", "-an", GROUP)
    nothing_is_left(site)


# -- what cannot be shown --


def test_copy_with_a_missing_disk_is_refused_with_its_count(site: Site) -> None:
    site.original()
    site.split()
    for imported in (True, False):
        shown = site.shown(imported=imported)
        shown.exposed = Exposed("device", COPY[:1], "local")
        with pytest.raises(Refused, match="lacks 1 of 2"):
            shown.present()
        shown.withdraw()
        nothing_is_left(site)


def test_filesystem_that_was_not_frozen_is_replayed_where_that_is_repaired_and_refused_where_not(site: Site) -> None:
    site.original()
    site.split(is_frozen=False)
    shown = site.shown(imported=True, is_frozen=False)
    shown.present()
    assert (shown.path / "file4").read_text() == "29"
    shown.withdraw()
    nothing_is_left(site)
    site.split_again(is_frozen=False)
    site.original_elsewhere()
    before = digest()
    shown = site.shown(imported=False, is_frozen=False)
    with pytest.raises(Refused, match="not frozen"):
        shown.present()
    shown.withdraw()
    nothing_is_left(site)
    assert digest() == before


@pytest.mark.parametrize(
    ("made", "volume"),
    [
        ("--type raid1 -m1 -L 8M -n mirrored", "mirrored"),
        ("-T -L 12M -V 8M -n thin --thinpool pool", "thin"),
        ("-s -L 4M -n before", "data"),
    ],
)
def test_volume_that_cannot_be_active_without_a_write_needs_an_array_that_repairs_it(
    site: Site, made: str, volume: str
) -> None:
    site.original()
    if made.startswith("-s"):
        run("lvcreate", "-q", *made.split(), f"{GROUP}/data")
    else:
        run("lvcreate", "-q", "-Wn", *made.split(), GROUP)
        run("mkfs.ext4", "-qF", f"/dev/{GROUP}/{volume}")
        site.fill(volume, "1\n2\n3\n")
    site.split()
    shown = site.shown(imported=True, volume=volume)
    shown.present()
    assert (shown.path / "rows").read_text() == "1\n2\n3\n"
    shown.withdraw()
    nothing_is_left(site)
    site.split_again()
    site.original_elsewhere()
    before = digest()
    shown = site.shown(imported=False, volume=volume)
    with pytest.raises(Refused, match=f"{volume} is no plain volume"):
        shown.present()
    shown.withdraw()
    nothing_is_left(site)
    assert digest() == before


def test_group_on_a_partition_is_found(site: Site) -> None:
    for disk in ORIGINAL:
        subprocess.run(["sfdisk", "-q", disk], input="label: gpt\n2M,4M\n8M,\n", text=True, check=True)
    run("pvcreate", "-q", f"{ORIGINAL[0]}2", f"{ORIGINAL[1]}2")
    run("vgcreate", "-q", GROUP, f"{ORIGINAL[0]}2", f"{ORIGINAL[1]}2")
    run("lvcreate", "-q", "-Wn", "-L", "16M", "-n", "data", GROUP)
    run("mkfs.ext4", "-qF", f"/dev/{GROUP}/data")
    site.fill("data", "1\n2\n3\n")
    site.split()
    run("blockdev", "--rereadpt", COPY[0])
    run("blockdev", "--rereadpt", COPY[1])
    shown = site.shown(imported=True)
    shown.present()
    assert (shown.path / "rows").read_text() == "1\n2\n3\n"
    shown.withdraw()
    nothing_is_left(site)


# -- crashes --


@pytest.mark.parametrize("imported", [True, False])
def test_present_and_withdraw_that_are_cut_off_after_each_act_come_to_their_end(site: Site, imported: bool) -> None:
    site.original()
    site.split()
    if not imported:
        site.original_elsewhere()
    shown = site.shown(imported=imported)
    grown = itertools.count()  # what is only made sure of is done again each time
    assert len(list(cut_off(site, shown.present, lambda: next(grown)))) >= 4
    assert len(list(cut_off(site, shown.withdraw, lambda: 2))) >= 2
    nothing_is_left(site)


def test_present_that_was_cut_off_anywhere_can_be_taken_back(alone: Shown, site: Site) -> None:
    allowed = itertools.count()
    for _ in cut_off(site, alone.present, lambda: next(allowed)):
        alone.withdraw()
        nothing_is_left(site)
    alone.withdraw()


def cut_off(site: Site, act: Callable[[], object], allowed: Callable[[], int]) -> Iterator[None]:
    """Cut `act` off after as many changes as are allowed, over and over, until it comes to its end."""
    for _ in range(20):
        site.host.left = allowed()
        try:
            act()
        except LinkLost:
            site.host.left = WHOLE
            yield
        else:
            site.host.left = WHOLE
            return
    raise AssertionError("it never ends")


def test_after_a_restart_of_the_host_nothing_is_taken_for_ours_that_is_not(site: Site) -> None:
    site.original()
    site.split()
    site.original_elsewhere()
    shown = site.shown(imported=False)
    shown.present()
    run("umount", str(shown.path))  # what a restart leaves: a folder, and what LVM brings up by itself
    run("rm", "-r", ABOVE)
    run("blockdev", "--setrw", *COPY)
    shown.withdraw()
    assert not shown.path.exists()
    assert nodes_on_copy() == {f"{GROUP}-data"}
    assert {user.name for user in shown.presentation.users(shown.intent, soon())} == {f"{GROUP}-data"}
    run("vgchange", "-q", "-an", GROUP)


def test_import_that_fails_says_what_lvm_said(site: Site) -> None:
    site.original()
    site.split()
    run("blockdev", "--setro", *COPY)
    shown = site.shown(imported=True)
    with pytest.raises(CommandFailed, match="a name of its own") as caught:
        shown.present()
    assert "Failed to update VG" in caught.value.detail
    run("blockdev", "--setrw", *COPY)
    shown.withdraw()
    nothing_is_left(site)
