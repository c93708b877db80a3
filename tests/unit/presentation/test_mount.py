"""What a mount decides from what it sees: read, refused, or unknown. The acts themselves are tried in the lab."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.presentation.recorded import MOUNTINFO, RecordedHost, seen

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation.mount import Mount, Options
from splitmirror_drivers.presentation.raw import Options as RawOptions
from splitmirror_drivers.presentation.raw import Raw
from splitmirror_drivers.presentation.seen import Seen, parse_mountinfo, parse_seen, parse_users, require_absolute

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
COPY = Exposed("device", ("/dev/sdx",), "db1")
PLACES = {"/backup": "drwxr-xr-x\t0\t/backup\t-\tfull", "/dev/sdx": "brw-rw----\t0\t/dev/sdx\t65:112\t-"}
NOBODY = Answer({}, 0, "")
GOOD: dict[str, Any] = {
    "blockdev": (0, ""),
    "blockdev --getro": (0, "0\n"),
    "blkid": (0, "DEVNAME=/dev/sdx\nTYPE=ext4\nUSAGE=filesystem\n"),
    "mkdir": (0, ""),
    "mount": (0, ""),
}


def soon() -> Deadline:
    return Deadline.after(5)


def host(places: dict[str, str] | None = None, **commands: Any) -> RecordedHost:
    return RecordedHost(
        {**GOOD, **commands}, {"filesystem.seen": seen({**PLACES, **(places or {})}), "filesystem.users": NOBODY}
    )


def mount(on: RecordedHost, **options: Any) -> Mount:
    return Mount.from_options("/backup/erp", Options(**options), on, CONTEXT)


# -- what a host shows --


def test_mountinfo_is_read_with_blanks_optional_fields_and_stacked_mounts() -> None:
    lines = [
        "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro",
        r"30 21 8:33 / /data/with\040blank\134and\011tab rw shared:7 master:2 - xfs /dev/sdc1 rw",
        "31 21 0:40 /@db /data/b rw - btrfs /dev/sdd rw,subvol=/@db",
        "32 21 8:49 / /data/b ro,nosuid - ext4 /dev/sde ro",
    ]
    mounts = parse_mountinfo(lines, {"/dev/sdd": "8:48"})
    assert mounts[1].point == "/data/with blank\\and\ttab"
    assert (mounts[2].numbers, mounts[2].device, mounts[2].root) == ("0:40", "8:48", "/@db")
    shown = Seen(0, mounts, {}, {})
    assert shown.top_at("/data/b") is mounts[3]
    assert shown.top_at("/data") is None
    assert shown.holding("/data/b/x") is mounts[3]
    assert shown.holding("/data/bb") is mounts[0]
    assert mounts[3].is_read_only


def test_part_of_a_filesystem_is_known_by_its_place_within() -> None:
    lines = ["21 1 8:1 / / rw - ext4 /dev/sda1 rw", "31 21 0:40 /@db /data rw - btrfs /dev/sdd rw"]
    shown = Seen(0, parse_mountinfo(lines, {}), {}, {})
    assert shown.root_of("/data/copies/run-1") == ("0:40", "/@db/copies/run-1")
    assert shown.root_of("/srv") == ("8:1", "/srv")


@pytest.mark.parametrize("line", ["", "21 1 8:1 / / rw", "21 1 8:1 / rw - ext4", "one two"])
def test_line_of_mountinfo_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_mountinfo([line], {})


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"uid": "root", "mountinfo": MOUNTINFO},
        {"uid": "0", "mountinfo": MOUNTINFO, "place": "/backup\tdrwx"},
        {"uid": "0", "mountinfo": MOUNTINFO, "source": "/dev/sdd"},
    ],
)
def test_answer_that_lacks_something_is_an_error(facts: dict[str, str]) -> None:
    with pytest.raises(UnknownAnswer):
        parse_seen(Answer(facts, 0, ""))


def test_users_are_read_with_any_name_and_path() -> None:
    text = "0\tmount\t/mnt\n17\tmy prog\t/backup/erp/a\tb c\n0\tvg-lv\tblock device 8:1"
    first, second, third = parse_users(Answer({"user": text}, 0, ""))
    assert str(first) == "mount holds /mnt"
    assert str(second) == "my prog (pid 17) has /backup/erp/a\tb c open"
    assert third.pid == 0
    assert parse_users(NOBODY) == ()


@pytest.mark.parametrize("path", ["", "backup", "/", "/backup/", "/backup//erp", "/backup/../etc", "/a\nb"])
def test_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        require_absolute(path)


# -- what is decided before the act --


@pytest.mark.parametrize(
    "options",
    [
        {"options": ("rw",)},
        {"options": ("ro,rw",)},
        {"options": ("suid",)},
        {"options": ("noload",)},
        {"options": ("norecovery",)},
        {"options": ("rescue=all",)},
        {"options": ("remount",)},
        {"options": ("loop",)},
        {"options": ("x y",)},
        {"filesystem": "ntfs"},
        {"fsck": True},
        {"filesystem": "xfs", "fsck": True},
    ],
)
def test_option_that_could_do_harm_is_a_fault_of_the_policy(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyFault, match="/backup/erp"):
        mount(host(), **options)


def test_journal_is_taken_as_clean_only_after_a_freeze() -> None:
    frozen = mount(host()).intend(COPY, "run-1", is_frozen=True)
    assert frozen.data == {"run": "run-1", "journal": "clean", "token": "run-1"}
    assert mount(host()).intend(COPY, "run-1", is_frozen=False).data == {"run": "run-1", "journal": "replay"}


def test_tree_has_neither_journal_nor_token() -> None:
    tree = Exposed("tree", ("/pool/copies/run-1",), "db1")
    assert mount(host()).intend(tree, "run-1", is_frozen=True).data == {"run": "run-1"}


@pytest.mark.parametrize("paths", [(), ("/dev/sdx", "/dev/sdy")])
def test_mount_takes_exactly_one_device(paths: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="devices are exposed"):
        mount(host()).intend(Exposed("device", paths, "db1"), "run-1", is_frozen=True)


# -- what is done, in its order --


def test_frozen_ext4_is_protected_before_it_is_looked_at_and_mounted_without_a_write() -> None:
    on = host()
    one = mount(on, options=("noatime",))
    one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    assert on.acts() == [
        "blockdev --flushbufs /dev/sdx",
        "mkdir -m 0500 /backup/erp",
        "blockdev --setro /dev/sdx",
        "mount -i -t ext4 -o noatime,ro,nosuid,nodev /dev/sdx /backup/erp",
    ]


@pytest.mark.parametrize(
    ("is_frozen", "options"),
    [(True, "ro,nosuid,nodev,nouuid,norecovery"), (False, "ro,nosuid,nodev,nouuid")],
)
def test_xfs_copy_never_keeps_its_originals_uuid_and_skips_its_log_only_after_a_freeze(
    is_frozen: bool, options: str
) -> None:
    on = host(blkid=(0, "TYPE=xfs\n"))
    one = mount(on)
    one.present(one.intend(COPY, "run-1", is_frozen=is_frozen), soon())
    assert on.acts()[-1] == f"mount -i -t xfs -o {options} /dev/sdx /backup/erp"
    assert ("blockdev --setro /dev/sdx" in on.acts()) == is_frozen


def test_protected_copy_is_not_marked_to_be_made_writable() -> None:
    on = host(None, **{"blockdev --getro": (0, "1\n")})
    one = mount(on)
    one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    assert "mkdir -m 0700 /backup/erp" in on.acts()


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        (0, "TYPE=LVM2_member\nUSAGE=raid\n", Refused),
        (0, "TYPE=crypto_LUKS\n", Refused),
        (0, "PTTYPE=gpt\n", Refused),
        (0, "", Refused),
        (2, "", Refused),
        (8, "ambivalent", Refused),
        (4, "usage", UnknownAnswer),
        (127, "not found", UnknownAnswer),
        (-9, "", UnknownAnswer),
    ],
)
def test_device_that_carries_nothing_we_mount_is_refused_or_unknown(code: int, text: str, fault: type) -> None:
    on = host(blkid=(code, text))
    one = mount(on)
    with pytest.raises(fault, match="/dev/sdx"):
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    assert not [line for line in on.asked if line.startswith("mount")]


@pytest.mark.parametrize("word", ["", "yes", "2"])
def test_unknown_word_about_protection_is_an_error_before_anything_is_made(word: str) -> None:
    on = host(None, **{"blockdev --getro": (0, word)})
    one = mount(on)
    with pytest.raises(UnknownAnswer):
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    assert on.acts() == ["blockdev --flushbufs /dev/sdx"]


@pytest.mark.parametrize(
    "failing",
    [{"mount": (32, "cannot mount read-only")}, {"mkdir": (1, "exists")}, {"blockdev --setro": (1, "no")}],
)
def test_command_that_fails_is_a_fault_with_what_it_said(failing: dict[str, Any]) -> None:
    one = mount(host(**failing))
    with pytest.raises(CommandFailed) as caught:
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    assert next(iter(failing.values()))[1] in caught.value.detail


def test_mount_that_hangs_is_said_to_have_passed_its_deadline() -> None:
    one = mount(host(mount=DeadlinePassed("mount gave no answer in 5.0 s")))
    with pytest.raises(DeadlinePassed):
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())


def test_device_that_does_not_appear_is_waited_for_and_then_named() -> None:
    on = host({"/dev/sdx": ""})
    one = mount(on)
    with pytest.raises(DeadlinePassed, match="/dev/sdx"):
        one.present(one.intend(COPY, "run-1", is_frozen=True), Deadline.after(3.6))
    assert len([line for line in on.asked if line.startswith("filesystem.seen")]) > 1
    assert on.acts() == []


def test_path_of_the_device_that_is_a_file_is_refused() -> None:
    one = mount(host({"/dev/sdx": "-rw-r--r--\t0\t/dev/sdx\t-\t-"}))
    with pytest.raises(Refused, match="not a block device"):
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())


def test_held_device_is_refused_and_a_monitor_that_has_it_open_is_not() -> None:
    on = host()
    on.answers["filesystem.users"] = Answer({"user": "77\tmonitor\t/dev/sdx"}, 0, "")
    one = mount(on)
    one.present(one.intend(COPY, "run-1", is_frozen=True), soon())
    on.answers["filesystem.users"] = Answer({"user": "0\tvg-lv\tblock device 65:112"}, 0, "")
    with pytest.raises(InUse, match="vg-lv"):
        one.present(one.intend(COPY, "run-1", is_frozen=True), soon())


def test_host_that_cannot_say_who_uses_a_copy_is_an_error() -> None:
    on = host()
    on.answers["filesystem.users"] = Answer({}, 1, "no /proc")
    one = mount(on)
    with pytest.raises(UnknownAnswer, match="who uses"):
        one.users(one.intend(COPY, "run-1", is_frozen=True), soon())


def test_check_needs_root() -> None:
    on = host()
    on.answers["filesystem.seen"] = seen(PLACES, uid="1000")
    with pytest.raises(Refused, match="needs root"):
        mount(on).check(soon())


@pytest.mark.parametrize(
    "row",
    [
        "drwxr-xr-x\t0\t/backup/erp\t-\tempty",
        "drwx------\t0\t/backup/erp\t-\tfull",
        "drwx------\t1000\t/backup/erp\t-\tempty",
        "lrwxrwxrwx\t0\t/elsewhere\t-\t-",
        "-rw-------\t0\t/backup/erp\t-\t-",
    ],
)
def test_what_is_not_an_empty_mount_point_of_ours_is_refused(row: str) -> None:
    with pytest.raises(Refused, match="/backup/erp"):
        mount(host({"/backup/erp": row})).check(soon())


@pytest.mark.parametrize("mode", ["drwx------", "dr-x------", "drwx------."])
def test_mount_point_that_a_crash_left_is_taken_again(mode: str) -> None:
    mount(host({"/backup/erp": f"{mode}\t0\t/backup/erp\t-\tempty"})).check(soon())


# -- raw --


@pytest.mark.parametrize("options", [{"options": ("ro",)}, {"filesystem": "ext4"}, {"fsck": True}])
def test_raw_has_no_mount_options(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyFault):
        Raw.from_options("/backup/disk", RawOptions(**options), host(), CONTEXT)


def test_raw_names_each_of_several_devices_once() -> None:
    raw = Raw.from_options("/backup/disks", RawOptions(), host(), CONTEXT)
    intent = raw.intend(Exposed("device", ("/dev/sdx", "/dev/sdy"), "db1"), "run-1", is_frozen=False)
    assert intent.data == {"run": "run-1", "/backup/disks/sdx": "/dev/sdx", "/backup/disks/sdy": "/dev/sdy"}
    with pytest.raises(Refused, match="one name"):
        raw.intend(Exposed("device", ("/dev/a/one", "/dev/b/one"), "db1"), "run-1", is_frozen=False)
