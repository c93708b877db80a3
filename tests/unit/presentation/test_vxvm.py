"""Disk groups of copies imported and given back, with the emulated Volume Manager beneath."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.presentation.vxvm_world import BACKUP, OWNER, POINT, World, make_host

from splitmirror_drivers.catalogue import PRESENTATIONS, Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, PolicyFault, Refused
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation import vxvm, vxvm_group
from splitmirror_drivers.presentation.vxvm import Options, Vxvm

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
RUN = "erp-20261124-220000-1"
TOKEN = {"journal": "clean", "token": RUN}


def soon(seconds: float = 30.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Shown:
    """One presentation on one host of the world."""

    def __init__(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        paths: tuple[str, ...] = (),
        host: str = BACKUP,
        kind: str = "ext4",
        **options: Any,
    ) -> None:
        self.world, self.host = world, make_host(world, host, kind)
        for module in (vxvm, vxvm_group):
            monkeypatch.setattr(module, "DEVICES", world.devices(host))
        self.devices = world.devices(host)
        given = {"disk_group": "erp_copy" if not paths else "erp", "volume": "erp01" if paths else "erp01_copy"}
        self.presentation = self.another(POINT, **{**given, **options})
        self.paths = paths or tuple(f"{self.devices}/erp_copy/{name}_copy" for name in ("erp01", "erp02"))

    def another(self, point: str, **options: Any) -> Vxvm:
        """A presentation of the same copy at another place."""
        return Vxvm.from_options(point, Options(**options), self.host, CONTEXT)

    def intend(self, *, may_write: bool = True, is_frozen: bool = False, run: str = RUN) -> Presented:
        exposed = Exposed("device", self.paths, self.host.name)
        return self.presentation.intend(exposed, run, is_frozen=is_frozen, may_write=may_write)

    def present(self, **how: Any) -> Presented:
        intent = self.intend(**how)
        self.presentation.present(intent, soon())
        self.presentation.verify(intent, soon())
        return intent

    def withdraw(self, intent: Presented) -> None:
        self.presentation.withdraw(intent, soon())


# -- what the policy may say --


@pytest.mark.parametrize(
    "options",
    [
        {"disk_group": ""},
        {"disk_group": "-C"},
        {"disk_group": "a" * 32},
        {"disk_group": "erp", "volume": "a/b"},
        {"disk_group": "erp", "filesystem": "ntfs"},
        {"disk_group": "erp", "filesystem": "vxfs", "fsck": True},
        {"disk_group": "erp", "options": ("rw",)},
    ],
)
def test_what_cannot_be_meant_is_a_fault_of_the_policy(world: World, options: dict[str, Any]) -> None:
    with pytest.raises(PolicyFault, match=POINT):
        Vxvm.from_options(POINT, Options(**options), make_host(world), CONTEXT)


def test_the_catalogue_has_it_with_its_options() -> None:
    driver = PRESENTATIONS["vxvm"]()
    found = msgspec.convert({"disk-group": "erp", "filesystem": "vxfs"}, driver.options)
    assert (found.disk_group, found.volume) == ("erp", "")


def test_intent_says_which_way_the_group_comes_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Shown(world, monkeypatch).intend(is_frozen=True)
    assert split.data == {
        "run": RUN,
        **TOKEN,
        "group": "erp_copy",
        "volume": "erp01_copy",
        "name": "erp_copy",
        "way": "split-off",
    }
    copy = Shown(world, monkeypatch, ("/dev/sdx", "/dev/sdy"))
    own = copy.intend(may_write=False).data
    assert (own["way"], own["name"]) == ("own", "erp")
    one, other = copy.intend().data, copy.intend(run="another").data
    assert one["way"] == "imported"
    assert one["name"].startswith("erp_")
    assert one["name"] != other["name"]
    assert len(one["name"]) <= 31
    with pytest.raises(Refused, match="elsewhere"):
        copy.presentation.intend(Exposed("device", ("/dev/sdx",), "elsewhere"), RUN, is_frozen=True)
    with pytest.raises(Refused, match="no devices"):
        copy.presentation.intend(Exposed("tree", ("/tree",), BACKUP), RUN, is_frozen=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"disk_group": "other"}, "is to present the disk group other"),
        ({"volume": ""}, "erp01_copy, erp02_copy"),
        ({"volume": "erp01"}, "can mount one"),
    ],
)
def test_what_the_array_split_off_must_be_what_the_policy_names(
    world: World, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(Refused, match=text):
        Shown(world, monkeypatch, **options).intend()


# -- a disk group that the array has split off --


def test_group_that_was_split_off_is_imported_and_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    shown.presentation.check(soon())
    intent = shown.present()
    assert world.imported() == ["erp_copy"]
    device = f"{shown.devices}/erp_copy/erp01_copy"
    assert shown.host.mounted == {POINT: device}
    shown.presentation.present(intent, soon())
    shown.withdraw(intent)
    shown.withdraw(intent)
    assert world.imported() == []
    assert shown.host.points == {}
    assert shown.host.changes() == [
        "vxdg import erp_copy",
        "vxvol -g erp_copy start erp01_copy",
        f"blockdev --flushbufs {device}",
        f"mkdir -m 0700 {POINT}",
        f"mount -i -t ext4 -o ro,nosuid,nodev {device} {POINT}",
        f"umount {POINT}",
        f"rmdir {POINT}",
        "vxvol -g erp_copy stop erp01_copy",
        "vxdg deport erp_copy",
    ]


def test_last_mount_of_a_group_has_it_deported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    other = shown.another("/backup/log", disk_group="erp_copy", volume="erp02_copy")
    first = shown.present()
    second = other.intend(Exposed("device", shown.paths, BACKUP), RUN, is_frozen=False, may_write=True)
    other.present(second, soon())
    other.verify(second, soon())
    shown.withdraw(first)
    assert world.imported() == ["erp_copy"]
    other.verify(second, soon())
    other.withdraw(second, soon())
    assert world.imported() == []


def test_group_that_another_host_has_is_in_use(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    world.ok(OWNER, "vxdg", "import", "erp_copy")
    shown = Shown(world, monkeypatch)
    with pytest.raises(InUse, match="db1"):
        shown.present()
    assert shown.host.changes() == []


def test_production_is_never_deported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots that stay in their disk group, and a policy that names that one."""
    shown = Shown(world, monkeypatch, host=OWNER, disk_group="erp", volume="erp01_copy")
    shown.paths = (f"{shown.devices}/erp/erp01_copy",)
    intent = shown.intend()
    with pytest.raises(Refused, match="not the copy's alone"):
        shown.presentation.present(intent, soon())
    shown.withdraw(intent)
    assert world.imported(OWNER) == ["erp"]
    assert not [line for line in shown.host.asked if "deport" in line or "stop" in line]


# -- a bit copy --


def test_bit_copy_gets_a_name_of_this_run_where_it_may_be_written_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(world, monkeypatch, world.twin(), host=OWNER)
    intent = shown.present()
    name = intent.data["name"]
    assert world.imported(OWNER) == ["erp", name]
    assert f"vxdg -n {name} -o useclonedev=on -o updateid import erp" in shown.host.changes()
    assert not [line for line in shown.host.asked if "clearimport" in line or " -C " in line]
    shown.withdraw(intent)
    assert world.imported(OWNER) == ["erp"]
    shown.present()


def test_lock_that_a_copy_has_from_its_original_is_cleared_on_the_copy_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(world, monkeypatch, world.twin())
    intent = shown.present()
    (cleared,) = [line.split()[2:] for line in shown.host.asked if "clearimport" in line]
    rows = [line.split() for line in world.ok(BACKUP, "vxdisk", "-o", "alldgs", "list").splitlines()[1:]]
    assert set(cleared) == {row[0] for row in rows if row[3] == intent.data["name"]}
    assert len(cleared) == 4
    assert world.imported(OWNER) == ["erp"]
    shown.withdraw(intent)
    assert world.imported() == []


def test_copy_that_may_not_be_written_to_is_refused_beside_its_original(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(world, monkeypatch, world.twin(), host=OWNER)
    with pytest.raises(Refused, match="erp is imported on db1"):
        shown.present(may_write=False)
    assert world.imported(OWNER) == ["erp"]
    assert shown.host.changes() == []


def test_copy_that_may_not_be_written_to_comes_up_under_its_own_name_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(world, monkeypatch, world.twin())
    intent = shown.present(may_write=False, is_frozen=False)
    assert world.imported() == ["erp"]
    assert "vxdg -o useclonedev=on import erp" in shown.host.changes()
    shown.withdraw(intent)
    assert world.imported() == []


def test_name_of_a_run_that_was_cut_short_is_taken_up_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(world, monkeypatch, world.twin())
    intent = shown.present()
    shown.withdraw(intent)
    shown.present()
    assert shown.host.changes().count("vxdg -o useclonedev=on import " + intent.data["name"]) == 1
    assert world.imported() == [intent.data["name"]]


def test_release_that_cannot_tell_copies_apart_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, ("--release", "3.5"))
    shown = Shown(world, monkeypatch, world.twin())
    with pytest.raises(Refused, match="cannot tell"):
        shown.present()
    assert shown.host.changes() == []


def test_disks_that_are_not_there_are_waited_for_and_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(world, monkeypatch, world.twin("--seen", OWNER))
    intent = shown.intend()
    with pytest.raises(DeadlinePassed, match="no disk of the disk group erp"):
        shown.presentation.present(intent, soon(8))
    assert len([line for line in shown.host.asked if line == "vxdisk scandisks"]) > 1
    assert shown.host.changes() == []
    shown.withdraw(intent)


def test_volume_must_be_clear_and_a_group_that_came_up_for_nothing_goes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(world, monkeypatch, world.twin(), volume="")
    intent = shown.intend()
    with pytest.raises(Refused, match="several volumes"):
        shown.presentation.present(intent, soon())
    assert world.imported() == [intent.data["name"]]
    shown.withdraw(intent)
    assert world.imported() == []


def test_volumes_that_the_import_has_started_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, ("--autostart", "--started-fails"))
    shown = Shown(world, monkeypatch, world.twin())
    intent = shown.present()
    assert not [line for line in shown.host.changes() if " start " in line]
    shown.withdraw(intent)
    assert world.imported() == []


# -- who has it open --


def test_reader_is_named_and_nothing_is_taken_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    intent = shown.present()
    assert shown.presentation.users(intent, soon()) == ()
    shown.host.users = [f"77\ttar\t{POINT}"]
    with pytest.raises(InUse, match="pid 77"):
        shown.withdraw(intent)
    assert shown.host.mounted
    shown.host.users = []
    shown.withdraw(intent)


def test_volume_that_is_open_is_not_stopped_by_force(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    intent = shown.present()
    world.control("open", BACKUP, "erp_copy", "erp01_copy")
    with pytest.raises(InUse, match="in use"):
        shown.withdraw(intent)
    assert world.imported() == ["erp_copy"]
    world.control("close", BACKUP, "erp_copy", "erp01_copy")
    shown.withdraw(intent)
    assert world.imported() == []


def test_other_volume_that_a_program_reads_keeps_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, ("--autostart",))
    world.split_off()
    shown = Shown(world, monkeypatch)
    intent = shown.present()
    shown.host.users = [f"78\tdd\t{shown.devices}/erp_copy/erp02_copy"]
    assert [user.pid for user in shown.presentation.users(intent, soon())] == [78]
    with pytest.raises(InUse, match="pid 78"):
        shown.withdraw(intent)
    assert world.imported() == ["erp_copy"]


# -- filesystems --


@pytest.mark.parametrize(
    ("how", "log"),
    [({"is_frozen": True}, True), ({"is_frozen": False}, True), ({"is_frozen": True, "may_write": False}, False)],
)
def test_log_of_a_vxfs_is_replayed_where_the_copy_may_be_written_to(
    world: World, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], log: bool
) -> None:
    shown = Shown(world, monkeypatch, world.twin(), kind="vxfs", filesystem="vxfs")
    intent = shown.intend(**how)
    shown.presentation.present(intent, soon())
    device = f"{shown.devices}/{intent.data['name']}/erp01"
    assert (f"fsck -t vxfs {device}" in shown.host.changes()) is log
    assert (f"blockdev --setro {device}" in shown.host.changes()) is not log
    assert f"mount -t vxfs -o ro,nosuid,nodev {device} {POINT}" in shown.host.changes()
    assert ("token" in intent.data) is how["is_frozen"]


def test_vxfs_is_found_where_none_is_named_and_refused_where_another_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch, kind="vxfs")
    shown.present()
    other = Shown(world, monkeypatch, kind="vxfs", filesystem="ext4")
    with pytest.raises(Refused, match="carries vxfs"):
        other.presentation.present(other.intend(), soon())
    third = Shown(world, monkeypatch, kind="ext4", filesystem="vxfs")
    with pytest.raises(Refused, match="does not carry vxfs"):
        third.presentation.present(third.intend(), soon())


def test_vxfs_that_is_not_mounted_says_what_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch, kind="vxfs")
    shown.host.commands["mount"] = (32, "needs checking")
    with pytest.raises(CommandFailed, match="mounting") as caught:
        shown.present(is_frozen=True)
    assert 'filesystem = "vxfs"' in caught.value.hint


# -- what goes wrong --


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("vxdg.import fail", 30.0), ("vxvol.start fail", 30.0), ("query hang", 4.0), ("vxdisk.scandisks fail", 30.0)],
)
def test_fault_is_told_and_withdrawing_mends(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str, seconds: float
) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    intent = shown.intend()
    world.control("fault", fault)
    with pytest.raises((CommandFailed, DeadlinePassed)):
        shown.presentation.present(intent, soon(seconds))
    assert not shown.host.mounted
    world.control("mend")
    shown.withdraw(intent)
    assert world.imported() == []
    shown.present()


def test_nothing_is_verified_before_it_is_presented(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split_off()
    shown = Shown(world, monkeypatch)
    with pytest.raises(Refused, match="not imported"):
        shown.presentation.verify(shown.intend(), soon())


def test_plan_says_what_would_be_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(world, monkeypatch)
    for exposed in (None, Exposed("device", shown.paths, BACKUP)):
        (action,) = shown.presentation.actions(exposed)
        assert POINT in action.what
        assert "vxdg deport" in action.undo


def test_every_answer_that_is_given_has_its_reason() -> None:
    assert all(vxvm_group.ANSWERS.values())
    source = Path(vxvm_group.__file__).read_text(encoding="utf-8")
    assert not [flag for flag in ('"-C"', '"-f"', '"-o", "force') if flag in source]
