"""Mount and raw presentations on real filesystems: every promise of the contract, and the traps of real copies."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.presentation import RUN, PresentationContract, Shown, soon
from tests.lab.disks import Disk, Disks, freeze, mounts, opened, run, thaw
from tests.lab.need import need

from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.hosts.local import LocalHost, Options
from splitmirror_drivers.kit.errors import CommandFailed, InUse, Refused
from splitmirror_drivers.presentation.mount import TOKEN, Mount
from splitmirror_drivers.presentation.mount import Options as MountOptions
from splitmirror_drivers.presentation.raw import Raw

pytestmark = pytest.mark.lab


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    need("losetup", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "fsfreeze", "blkid", loop=True)
    with Disks(tmp_path) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost("local", Options(guard_dir=str(tmp_path / "state")))


def frozen_copy(disks: Disks, kind: str, token: str = RUN, *, keeps_deleted: bool = True) -> Disk:
    """A copy taken while frozen, with files, a token, and (or not) a file that was open and deleted at that moment."""
    disk = disks.make(kind)
    (disk.point / "rows").write_text("1\n2\n3\n")
    (disk.point / TOKEN).write_text(f"{token}\n")
    deleted = disk.point / "deleted"
    with deleted.open("w") as file:
        file.write("held open")
        file.flush()
        if keeps_deleted:
            deleted.unlink()
        freeze(disk.point)
        copy = disks.copy(disk)
        thaw(disk.point)
    return copy


def unfrozen_copy(disks: Disks, kind: str) -> Disk:
    """A copy taken while files come and go: its journal has to be replayed."""
    disk = disks.make(kind)
    (disk.point / "rows").write_text("1\n2\n3\n")
    run("sync", "-f", str(disk.point))
    for number in range(300):
        (disk.point / f"file{number % 20}").write_text(str(number))
        with (disk.point / f"file{number % 20}").open() as file:
            os.fsync(file.fileno())
    return disks.copy(disk)


def shown(
    host: LocalHost, disks: Disks, copy: Disk, *, is_frozen: bool = True, options: MountOptions | None = None
) -> Shown:
    above = disks.folder / "backup"
    above.mkdir(exist_ok=True)
    mount = Mount(str(above / "erp"), options or MountOptions(), host)
    return Shown(mount, Exposed("device", (copy.device,), "local"), "rows", is_frozen)


def digest(copy: Disk) -> str:
    run("sync", "-f", str(copy.image))
    return hashlib.sha256(copy.image.read_bytes()).hexdigest()


class TestFrozenExt4(PresentationContract):
    @pytest.fixture
    def shown(self, host: LocalHost, disks: Disks) -> Shown:
        return shown(host, disks, frozen_copy(disks, "ext4"))


class TestTree(PresentationContract):
    @pytest.fixture
    def shown(self, host: LocalHost, disks: Disks) -> Shown:
        tree = disks.folder / "copies" / "with a blank"
        tree.mkdir(parents=True)
        (tree / "rows").write_text("1\n")
        above = disks.folder / "backup"
        above.mkdir()
        return Shown(Mount(str(above / "erp"), MountOptions(), host), Exposed("tree", (str(tree),), "local"), "rows")

    def test_tree_is_seen_and_cannot_be_written_to(self, shown: Shown) -> None:
        shown.present()
        with pytest.raises(OSError, match="Read-only"):
            (shown.path / "new").write_text("x")
        mount = next(one for one in mounts() if one.point == str(shown.path))
        assert {"ro", "nosuid", "nodev"} <= mount.options

    def test_bind_that_a_crash_left_writable_is_made_read_only(self, shown: Shown) -> None:
        shown.path.mkdir(mode=0o700)
        run("mount", "--bind", shown.exposed.paths[0], str(shown.path))
        with pytest.raises(Refused, match="without ro"):
            shown.presentation.verify(shown.intent, soon())
        shown.present()
        with pytest.raises(OSError, match="Read-only"):
            (shown.path / "new").write_text("x")
        shown.withdraw()

    def test_second_bind_of_the_tree_is_named(self, shown: Shown) -> None:
        intent = shown.present()
        second = shown.path.parent / "second"
        second.mkdir()
        run("mount", "--bind", shown.exposed.paths[0], str(second))
        assert [user.path for user in shown.presentation.users(intent, soon())] == [str(second)]
        with pytest.raises(InUse, match=str(second)):
            shown.withdraw()


class TestRawDevice(PresentationContract):
    @pytest.fixture
    def shown(self, host: LocalHost, disks: Disks) -> Shown:
        above = disks.folder / "backup"
        above.mkdir()
        copy = frozen_copy(disks, "ext4")
        return Shown(Raw(str(above / "disk"), host), Exposed("device", (copy.device,), "local"), "")

    def test_link_leads_to_the_device(self, shown: Shown) -> None:
        shown.present()
        assert shown.path.readlink() == Path(shown.exposed.paths[0])

    def test_mounted_copy_is_in_use(self, shown: Shown) -> None:
        intent = shown.present()
        point = shown.path.parent / "by-hand"
        point.mkdir()
        run("mount", "-o", "ro", shown.exposed.paths[0], str(point))
        assert str(point) in {user.path for user in shown.presentation.users(intent, soon())}
        with pytest.raises(InUse, match=str(point)):
            shown.withdraw()

    def test_link_that_leads_elsewhere_is_left_alone(self, shown: Shown) -> None:
        shown.path.symlink_to("/dev/null")
        for refused in (shown.present, shown.withdraw):
            with pytest.raises(Refused, match=str(shown.path)):
                refused()
        assert shown.path.readlink() == Path("/dev/null")


class TestRawDevices(PresentationContract):
    @pytest.fixture
    def shown(self, host: LocalHost, disks: Disks) -> Shown:
        above = disks.folder / "backup"
        above.mkdir()
        devices = [disks.make("ext4", name, mount=False).device for name in ("one", "two")]
        return Shown(Raw(str(above / "disks"), host), Exposed("device", tuple(devices), "local"), Path(devices[1]).name)


def test_raw_refuses_a_tree(host: LocalHost, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no block device"):
        Raw(str(tmp_path / "raw"), host).intend(Exposed("tree", ("/srv",), "local"), RUN, is_frozen=True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_frozen_copy_is_mounted_with_right_data_beside_its_original_and_not_one_byte_of_it_changes(
    kind: str, host: LocalHost, disks: Disks
) -> None:
    copy = frozen_copy(disks, kind)
    before = digest(copy)
    scene = shown(host, disks, copy)
    scene.present()
    assert (scene.path / "rows").read_text() == "1\n2\n3\n"
    with pytest.raises(OSError, match="Read-only"):
        (scene.path / "new").write_text("x")
    scene.withdraw()
    assert digest(copy) == before
    assert run("blockdev", "--getro", copy.device) == "0"


def test_btrfs_copy_is_mounted_where_the_kernel_still_knows_another_filesystem_on_that_device(
    host: LocalHost, disks: Disks
) -> None:
    """It remembers whatever it was shown once of a btrfs over several devices, by the device's number."""
    copy = frozen_copy(disks, "btrfs")
    other = disks.folder / "other.img"
    with other.open("wb") as file:
        file.truncate(128 * 2**20)
    kept = Path(copy.image).read_bytes()
    run("mkfs.btrfs", "-q", "-f", "-d", "single", copy.device, disks.attach(other))
    run("btrfs", "device", "scan", copy.device)
    Path(copy.device).write_bytes(kept)  # what the array does when it establishes the mirror
    scene = shown(host, disks, copy)
    scene.present()
    assert (scene.path / "rows").read_text() == "1\n2\n3\n"
    scene.withdraw()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_copy_that_was_not_frozen_is_replayed_and_then_read(kind: str, host: LocalHost, disks: Disks) -> None:
    copy = unfrozen_copy(disks, kind)
    scene = shown(host, disks, copy, is_frozen=False)
    assert "token" not in scene.intent.data
    scene.present()
    assert (scene.path / "rows").read_text() == "1\n2\n3\n"
    assert (scene.path / "file19").read_text() == "299"
    scene.withdraw()


def test_ext4_that_was_said_to_be_frozen_and_was_not_is_refused_by_its_own_journal(
    host: LocalHost, disks: Disks
) -> None:
    copy = unfrozen_copy(disks, "ext4")
    before = digest(copy)
    scene = shown(host, disks, copy, is_frozen=True)
    with pytest.raises(CommandFailed, match="mounting") as caught:
        scene.present()
    assert "not frozen" in caught.value.hint
    scene.withdraw()
    assert not scene.path.exists()
    assert digest(copy) == before
    assert run("blockdev", "--getro", copy.device) == "0"


def test_write_protected_copy_whose_journal_needs_replay_is_refused(host: LocalHost, disks: Disks) -> None:
    copy = unfrozen_copy(disks, "ext4")
    run("blockdev", "--setro", copy.device)
    scene = shown(host, disks, copy, is_frozen=False)
    with pytest.raises(Refused, match="write-protected"):
        scene.present()
    scene.withdraw()
    assert run("blockdev", "--getro", copy.device) == "1"


def test_protection_that_somebody_else_set_stays(host: LocalHost, disks: Disks) -> None:
    copy = frozen_copy(disks, "ext4")
    run("blockdev", "--setro", copy.device)
    scene = shown(host, disks, copy)
    scene.present()
    scene.withdraw()
    assert run("blockdev", "--getro", copy.device) == "1"


@pytest.mark.parametrize("token", ["erp-20261123-220000-1", ""])
def test_yesterdays_copy_is_refused(token: str, host: LocalHost, disks: Disks) -> None:
    scene = shown(host, disks, frozen_copy(disks, "ext4", token))
    with pytest.raises(Refused, match="not tonight's copy"):
        scene.present()
    scene.withdraw()


def test_copy_without_a_token_is_refused(host: LocalHost, disks: Disks) -> None:
    disk = disks.make("ext4")
    freeze(disk.point)
    copy = disks.copy(disk)
    thaw(disk.point)
    scene = shown(host, disks, copy)
    with pytest.raises(Refused, match=f"{TOKEN} is missing"):
        scene.present()
    scene.withdraw()


@pytest.fixture
def monitored(disks: Disks) -> Iterator[Disk]:
    """A device whose content the array has changed since a monitor, which still has it open, read it: the trap is set."""
    tonight = frozen_copy(disks, "ext4")
    image = disks.folder / "mirror.img"
    with image.open("wb") as file:
        file.truncate(tonight.image.stat().st_size)
    mirror = Disk("ext4", image, disks.attach(image), disks.folder / "mirror")
    with Path(mirror.device).open("rb") as monitor:
        while monitor.read(2**20):
            pass
        run("dd", f"if={tonight.image}", f"of={image}", "bs=1M", "conv=notrunc,fsync", "oflag=direct")
        monitor.seek(0)
        assert not any(monitor.read(2**20)), "the trap is not set: what was there before is not read any more"
        yield mirror


def test_filesystem_is_looked_for_on_the_device_and_not_in_stale_buffers(
    host: LocalHost, disks: Disks, monitored: Disk
) -> None:
    scene = shown(host, disks, monitored)
    scene.present()
    assert (scene.path / "rows").read_text() == "1\n2\n3\n"
    with pytest.raises(InUse, match="python"):
        scene.withdraw()


def test_raw_device_is_read_without_stale_buffers(host: LocalHost, disks: Disks, monitored: Disk) -> None:
    (disks.folder / "backup").mkdir()
    raw = Raw(str(disks.folder / "backup" / "disk"), host)
    scene = Shown(raw, Exposed("device", (monitored.device,), "local"), "")
    scene.present()
    assert scene.path.read_bytes() == monitored.image.read_bytes()
    with pytest.raises(InUse, match="python"):
        scene.withdraw()


def test_mount_of_the_device_elsewhere_is_named_and_nothing_is_presented(host: LocalHost, disks: Disks) -> None:
    copy = frozen_copy(disks, "ext4")
    copy.point.mkdir()
    run("mount", "-o", "ro", copy.device, str(copy.point))
    scene = shown(host, disks, copy)
    with pytest.raises(InUse, match=str(copy.point)):
        scene.present()
    scene.withdraw()
    assert not scene.path.exists()


def test_other_device_mounted_at_the_path_is_neither_verified_nor_unmounted(host: LocalHost, disks: Disks) -> None:
    copy, other = frozen_copy(disks, "ext4"), disks.make("ext4", "other", mount=False)
    scene = shown(host, disks, copy)
    scene.path.mkdir()
    run("mount", other.device, str(scene.path))
    with pytest.raises(Refused, match=other.device):
        scene.presentation.check(soon())
    for refused in (scene.present, scene.withdraw):
        with pytest.raises(Refused, match=other.device):
            refused()
    assert [one.source for one in mounts() if one.point == str(scene.path)] == [other.device]


def test_what_is_mounted_below_the_copy_keeps_it(host: LocalHost, disks: Disks) -> None:
    disk = disks.make("ext4")
    (disk.point / TOKEN).write_text(RUN)
    (disk.point / "inner").mkdir()
    freeze(disk.point)
    copy = disks.copy(disk)
    thaw(disk.point)
    scene = shown(host, disks, copy)
    scene.present()
    run("mount", "-t", "tmpfs", "none", str(scene.path / "inner"))
    with pytest.raises(InUse, match="inner"):
        scene.withdraw()
    run("umount", str(scene.path / "inner"))
    scene.withdraw()


def test_copy_that_another_mount_namespace_keeps_is_not_called_withdrawn(host: LocalHost, disks: Disks) -> None:
    need("unshare")
    copy = frozen_copy(disks, "ext4")
    scene = shown(host, disks, copy)
    scene.present()
    argv = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", "echo ready; read -r line"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdout.readline()
        for _ in range(2):  # asked again, it still knows
            with pytest.raises(InUse, match="its own namespace"):
                scene.withdraw()
        keeper.stdin.close()
        keeper.wait(30)
    scene.withdraw()
    assert not scene.path.exists()


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_fsck_lets_a_sound_copy_pass_and_stops_a_damaged_one(kind: str, host: LocalHost, disks: Disks) -> None:
    copy = frozen_copy(disks, kind, keeps_deleted=False)
    scene = shown(host, disks, copy, options=MountOptions(filesystem=kind, fsck=True))
    scene.present()
    scene.withdraw()
    damage(copy)
    with pytest.raises(Refused, match="not in order"):
        scene.present()
    scene.withdraw()
    assert not scene.path.exists()


def test_fsck_of_an_ext4_with_a_file_that_was_deleted_while_open_says_why_it_is_refused(
    host: LocalHost, disks: Disks
) -> None:
    scene = shown(host, disks, frozen_copy(disks, "ext4"), options=MountOptions(filesystem="ext4", fsck=True))
    with pytest.raises(Refused, match="not in order") as caught:
        scene.present()
    assert "deleted while open" in caught.value.hint
    scene.withdraw()


def damage(copy: Disk) -> None:
    """Bytes overwritten so that the filesystem is still recognised and no longer sound."""
    if copy.kind == "ext4":
        run("debugfs", "-w", "-R", "clri /rows", copy.device)
        return
    text = run("btrfs", "inspect-internal", "dump-tree", "-t", "csum", copy.device)
    assert text
    tree = next(line for line in text.splitlines() if line.startswith("leaf "))
    logical = int(tree.split()[1])
    mapped = run("btrfs-map-logical", "-l", str(logical), copy.device).splitlines()
    for line in mapped:
        physical = int(line.split("physical ")[1].split()[0])
        with Path(copy.device).open("r+b") as device:
            device.seek(physical + 200)
            device.write(b"damage!!")
    run("blockdev", "--flushbufs", copy.device)


def test_unexpected_filesystem_is_refused_by_name(host: LocalHost, disks: Disks) -> None:
    scene = shown(host, disks, frozen_copy(disks, "ext4"), options=MountOptions(filesystem="xfs"))
    with pytest.raises(Refused, match="carries ext4, not xfs"):
        scene.present()
    scene.withdraw()


def test_empty_device_is_refused(host: LocalHost, disks: Disks) -> None:
    image = disks.folder / "empty.img"
    with image.open("wb") as file:
        file.truncate(2**24)
    scene = shown(host, disks, Disk("ext4", image, disks.attach(image), disks.folder / "x"))
    with pytest.raises(Refused, match="nothing that is known"):
        scene.present()
    scene.withdraw()


@pytest.mark.parametrize("begun", ["made", "protected", "mounted"])
def test_crash_between_any_two_steps_is_withdrawn_and_presented_again(
    begun: str, host: LocalHost, disks: Disks
) -> None:
    copy = frozen_copy(disks, "ext4")
    scene = shown(host, disks, copy)

    def crash() -> None:
        scene.path.mkdir(mode=0o500)
        if begun in ("protected", "mounted"):
            run("blockdev", "--setro", copy.device)
        if begun == "mounted":
            run("mount", "-o", "ro,nosuid,nodev", copy.device, str(scene.path))

    crash()
    scene.withdraw()
    assert not scene.path.exists()
    assert run("blockdev", "--getro", copy.device) == "0"
    crash()
    scene.present()
    scene.withdraw()
    assert run("blockdev", "--getro", copy.device) == "0"


def test_mapped_file_working_folder_and_loop_device_are_all_users(host: LocalHost, disks: Disks) -> None:
    disk = disks.make("ext4")
    (disk.point / TOKEN).write_text(RUN)
    (disk.point / "sleep").write_bytes(Path("/bin/sleep").read_bytes())
    (disk.point / "sleep").chmod(0o755)
    (disk.point / "image").write_bytes(bytes(2**20))
    freeze(disk.point)
    copy = disks.copy(disk)
    thaw(disk.point)
    scene = shown(host, disks, copy)
    intent = scene.present()
    looped = run("losetup", "--find", "--show", "--read-only", str(scene.path / "image"))
    with (
        subprocess.Popen([str(scene.path / "sleep"), "600"]) as runs,
        subprocess.Popen(["/bin/sleep", "600"], cwd=scene.path) as stands,
    ):
        try:
            found = {(user.pid, user.name) for user in scene.presentation.users(intent, soon())}
            assert {(runs.pid, "sleep"), (stands.pid, "sleep"), (0, Path(looped).name)} <= found
        finally:
            runs.kill()
            stands.kill()
            run("losetup", "--detach", looped)
    scene.withdraw()


def test_copy_read_on_its_device_is_in_use(host: LocalHost, disks: Disks) -> None:
    copy = frozen_copy(disks, "ext4")
    scene = shown(host, disks, copy)
    intent: Presented = scene.present()
    with opened(copy.device) as pid:
        assert [user.pid for user in scene.presentation.users(intent, soon())] == [pid]
