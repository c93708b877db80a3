"""What the presentation of a volume group decides from what LVM and device-mapper say; the acts themselves: tests/lab."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.presentation.recorded import RecordedHost, Said, seen

from splitmirror_drivers import catalogue
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.host import Answer, Verb
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import (
    CommandFailed,
    DeadlinePassed,
    Fault,
    InUse,
    PolicyFault,
    Refused,
    UnknownAnswer,
)
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.presentation.lvm import Lvm, Options
from splitmirror_drivers.presentation.lvm_labels import Volume, configuration, parse_labels, parse_volumes
from splitmirror_drivers.presentation.lvm_nodes import Node, is_only_on, name_of, parse_nodes, standing_on, tops

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
COPY = Exposed("device", ("/dev/sdx", "/dev/sdy"), "db1")
RUN = "erp-20261124-220000-1"
VG, PV1, PV2 = (f"{name}-5678-90ab-cdef-ghij-klmn-opqrst" for name in ("VG1234", "PV1234", "PV2345"))
LABELS = f"  /dev/sdx|{PV1}|erpvg|{VG}\n  /dev/sdy|{PV2}|erpvg|{VG}\n"
DM = f"LVM-{VG.replace('-', '')}"
NODE = f"erpvg-data|{DM}aaaa|Read-only|253:0|65:112,65:128"
RAID = """\
two-r1|LVM-xa|Writeable|253:4|253:3,253:2,253:1,253:0
two-r1_rimage_0|LVM-xb|Writeable|253:1|98:34
two-r1_rimage_1|LVM-xc|Writeable|253:3|98:48
two-r1_rmeta_0|LVM-xd|Writeable|253:0|98:34
two-r1_rmeta_1|LVM-xe|Writeable|253:2|98:48
two-thin|LVM-xf|Writeable|253:9|253:7
two-pool-tpool|LVM-xg-tpool|Writeable|253:7|98:34
mpatha|mpath-3600|Writeable|253:8|8:16,8:32
"""
DEVICES = {
    "/backup": "drwxr-xr-x\t0\t/backup\t-\tfull",
    "/dev/sdx": "brw-rw----\t0\t/dev/sdx\t65:112\t-",
    "/dev/sdy": "brw-rw----\t0\t/dev/sdy\t65:128\t-",
    "/dev/sda": "brw-rw----\t0\t/dev/sda\t8:0\t-",
}
LISTED = "/dev/sdx disk 65:112\n/dev/sdy disk 65:128\n"


def soon() -> Deadline:
    return Deadline.after(5)


class LvmHost(RecordedHost):
    """A host with the copy on /dev/sdx and /dev/sdy. What a command changes is seen by the next: `nodes`, `label`, `marks`."""

    def __init__(self, **commands: Said) -> None:
        super().__init__(answers={"filesystem.seen": self.places, "filesystem.users": Answer({}, 0, "")})
        self.given = {key.replace("_", " "): said for key, said in commands.items()}
        self.nodes, self.label, self.marks, self.own = "", "erpvg", set[str](), ""
        self.visible = ""

    def places(self, verb: Verb) -> Answer:
        rows = dict(DEVICES)
        for path in verb.arguments:
            if path in self.marks:
                rows[path] = f"drwx------\t0\t{path}\t-\tempty"
            if path.startswith("/dev/mapper/") and path.rpartition("/")[2] in self.nodes:
                rows[path] = f"brw-rw----\t0\t{path}\t253:0\t-"
        return seen({path: row for path, row in rows.items() if path in verb.arguments})

    def run(self, command: Any, deadline: Deadline) -> Any:
        words = command.argv
        line = " ".join(word for word in words if "filter=" not in word and word != "--config")
        self.commands = {
            "lsblk": (0, LISTED),
            "dmsetup info": (0, self.nodes or "No devices found\n"),
            "pvs": (0, LABELS.replace("erpvg", self.label)),
            "pvs --readonly --all": (0, self.visible),
            "lvs": (0, "  data|-wi-------|striped\n  log-a|-wi-------|linear\n"),
            "blockdev": (0, ""),
            "blockdev --getro": (0, "0\n0\n" if "sdx" in line else "1\n"),
            "blkid": (0, "TYPE=ext4\n"),
            "ls": (0, "\n".join(path.rpartition("/")[2] for path in self.marks if path.count("/") == 4)),
            **dict.fromkeys(
                ("mkdir", "rmdir", "mount", "lvchange", "vgchange", "vgimportclone", "lvm version"), (0, "")
            ),
            **self.given,
        }
        known = [key for key in self.commands if line == key or line.startswith(f"{key} ")]
        if known and not isinstance(said := self.commands[max(known, key=len)], Fault) and said[0] == 0:
            self._change(words, line)
        return super().run(type(command)(tuple(line.split(" "))), deadline)

    def _change(self, words: tuple[str, ...], line: str) -> None:
        if words[0] == "mkdir":
            self.marks |= {word for word in words if word.startswith("/run/splitmirror/")}
        elif words[0] == "rmdir":
            self.marks -= set(words)
        elif words[0] == "vgimportclone":
            self.label = words[words.index("--basevgname") + 1]
        elif "-ay" in words:
            self.nodes = NODE if self.label == "erpvg" else self._imported()
        elif "-an" in words:
            self.nodes = ""

    def _imported(self) -> str:
        return NODE.replace("erpvg", self.label).replace("Read-only", "Writeable").replace(DM, "LVM-own")


def lvm(host: RecordedHost, **options: Any) -> Lvm:
    return Lvm.from_options(
        "/backup/erp", Options(**{"volume_group": "erpvg", "volume": "data", **options}), host, CONTEXT
    )


def intent(one: Lvm, *, may_write: bool = False, is_frozen: bool = True) -> Presented:
    return one.intend(COPY, RUN, is_frozen=is_frozen, may_write=may_write)


# -- what LVM and device-mapper say --


def test_names_of_nodes_are_made_and_read_with_hyphens_doubled() -> None:
    assert name_of("erp-vg", "log-a") == "erp--vg-log--a"
    (node,) = parse_nodes("erp--vg-log--a|LVM-x|Writeable|253:1|8:16\n")
    assert node.is_of("erp-vg")
    assert not node.is_of("erp")
    assert node.volume_of("erp-vg") == "log-a"
    (other,) = parse_nodes("erp-vg--log|LVM-x|Writeable|253:1|8:16\n")
    assert other.is_of("erp")
    assert not other.is_of("erp-vg")


def test_what_stands_on_a_device_is_found_through_all_that_lies_between() -> None:
    every = parse_nodes(RAID)
    standing = standing_on(every, {"98:48"})
    assert {node.name for node in standing} == {"two-r1_rimage_1", "two-r1_rmeta_1", "two-r1"}
    assert {node.name for node in tops(standing_on(every, {"98:34"}))} == {"two-r1", "two-thin"}
    by_name = {node.name: node for node in every}
    assert is_only_on(every, by_name["two-r1"], {"98:34", "98:48"})
    assert not is_only_on(every, by_name["two-r1"], {"98:34"})
    assert not is_only_on(every, Node("empty", "", False, "253:20", frozenset()), {"98:34"})
    assert parse_nodes("No devices found\n") == ()


@pytest.mark.parametrize(
    "line", ["erpvg-data", "a|b|Writable|253:0|8:0", "a|b|Writeable|253|8:0", "a|b|Writeable|253:0"]
)
def test_line_of_dmsetup_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_nodes(line)


def test_labels_and_volumes_are_read() -> None:
    text = f"  /dev/sdx|{PV1}|erpvg|{VG}\n  [unknown]|{PV2}|erpvg|{VG}\n  /dev/sdz|||\n  /dev/sdw|PV-free||\n"
    assert [(label.device, label.group) for label in parse_labels(text)] == [
        ("/dev/sdx", "erpvg"),
        ("[unknown]", "erpvg"),
        ("/dev/sdw", ""),
    ]
    volumes = parse_volumes("  data|-wi-XX----|linear\n  data|-wi-XX----|striped\n  [pool_tdata]|Twi-XX----|linear\n")
    assert volumes == (
        Volume("data", "-", frozenset({"linear", "striped"}), False),
        Volume("pool_tdata", "T", frozenset({"linear"}), True),
    )


@pytest.mark.parametrize("line", ["/dev/sdx", "/dev/sdx|a|b", "|a|b|c", "/dev/sdx|a|erpvg|", "/dev/sdx|a|b|c|d"])
def test_line_of_pvs_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_labels(line)


@pytest.mark.parametrize("line", ["data", "data|-wi", "data||linear", "|-wi|linear"])
def test_line_of_lvs_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(UnknownAnswer):
        parse_volumes(line)


def test_lvm_is_let_see_exactly_the_copys_devices() -> None:
    assert configuration(["/dev/sdx", "/dev/disk/by-id/a.b+c"]) == (
        'devices { filter=["a|^/dev/sdx$|","a|^/dev/disk/by-id/a[.]b[+]c$|","r|.*|"] '
        'global_filter=["a|^/dev/sdx$|","a|^/dev/disk/by-id/a[.]b[+]c$|","r|.*|"] '
        'use_devicesfile=0 obtain_device_list_from_udev=0 hints="none" } '
        "global { use_lvmetad=0 use_lvmpolld=0 } activation { monitoring=0 } backup { backup=0 archive=0 }"
    )
    assert 'metadata_read_only=1 } activation { monitoring=0 read_only_volume_list=["erpvg"] }' in configuration(
        [], "erpvg"
    )
    for strange in ("/dev/a|b", '/dev/a"b', "/dev/a b", "sdx", "/tmp/x"):
        with pytest.raises(Refused):
            configuration([strange])


# -- the policy --


@pytest.mark.parametrize(
    "options",
    [
        {"volume_group": ""},
        {"volume_group": "-x"},
        {"volume_group": "a b"},
        {"volume_group": ".."},
        {"volume": "a/b"},
        {"volume": "@tag"},
        {"options": ("rw",)},
        {"filesystem": "ntfs"},
        {"fsck": True},
    ],
)
def test_option_that_cannot_be_is_a_fault_of_the_policy(options: dict[str, Any]) -> None:
    with pytest.raises(PolicyFault, match="/backup/erp"):
        lvm(RecordedHost(), **options)


def test_catalogue_makes_it() -> None:
    driver = catalogue.PRESENTATIONS["lvm"]()
    options = msgspec.convert({"volume-group": "erpvg"}, driver.options)
    assert driver.make("/backup/erp", options, RecordedHost(), CONTEXT).driver == "lvm"


def test_intent_has_a_name_of_the_runs_own_only_where_the_labels_may_change() -> None:
    one = lvm(LvmHost())
    kept, own = intent(one).data, intent(one, may_write=True).data
    assert (kept["name"], kept["way"], kept["journal"], kept["token"]) == ("erpvg", "protected", "clean", RUN)
    assert own["way"] == "imported"
    assert own["name"].startswith("erpvg_erp_20261124_220000_1_")
    elsewhere = Exposed("device", ("/dev/sdp",), "db1")
    assert one.intend(elsewhere, RUN, is_frozen=True, may_write=True).data["name"] != own["name"]
    assert kept["key"] == own["key"]


def test_name_of_the_runs_own_leaves_room_for_a_volumes() -> None:
    one = lvm(LvmHost(), volume_group="v" * 100)
    assert len(one.intend(COPY, "r" * 64, is_frozen=True, may_write=True).data["name"]) <= 90


@pytest.mark.parametrize("exposed", [Exposed("tree", ("/x",), "db1"), Exposed("device", (), "db1")])
def test_copy_without_devices_is_refused(exposed: Exposed) -> None:
    with pytest.raises(Refused, match="erpvg"):
        lvm(LvmHost()).intend(exposed, RUN, is_frozen=True)


def test_check_wants_lvm_and_device_mapper() -> None:
    lvm(LvmHost()).check(soon())
    with pytest.raises(Refused, match="mapped devices"):
        lvm(LvmHost(dmsetup_info=(1, "/dev/mapper/control: open failed"))).check(soon())
    with pytest.raises(CommandFailed) as caught:
        lvm(LvmHost(lvm_version=(127, "not found"))).check(soon())
    assert "lvm2" in caught.value.hint


# -- what is done, in its order --

LOOKS = ("filesystem.", "lsblk", "dmsetup info", "pvs", "lvs", "blkid", "blockdev --getro", "ls ", "fetch")


def acts(host: RecordedHost) -> list[str]:
    return [line for line in host.asked if not line.startswith(LOOKS)]


def test_protected_copy_is_flushed_noted_protected_and_only_then_brought_up() -> None:
    host = LvmHost()
    one = lvm(host)
    one.present(intent(one), soon())
    folder = f"/run/splitmirror/{intent(one).data['key']}"
    assert acts(host)[:5] == [
        "blockdev --flushbufs /dev/sdx /dev/sdy",
        f"mkdir -p -m 0700 /run/splitmirror {folder} {folder}/at-%2Fbackup%2Ferp",
        f"mkdir -p -m 0700 /run/splitmirror {folder} {folder}/protected-65:112 {folder}/protected-65:128",
        "blockdev --setro /dev/sdx /dev/sdy",
        "lvchange -ay --poll n erpvg/data",
    ]
    assert acts(host)[-1].endswith("/dev/mapper/erpvg-data /backup/erp")
    assert host.asked.index("blockdev --flushbufs /dev/sdx /dev/sdy") < min(
        index for index, line in enumerate(host.asked) if line.startswith("pvs")
    )


def test_imported_copy_gets_its_name_before_it_is_brought_up() -> None:
    host = LvmHost()
    one = lvm(host)
    given = intent(one, may_write=True)
    one.present(given, soon())
    name = given.data["name"]
    assert [line for line in acts(host) if line.split()[0] in ("vgimportclone", "lvchange")] == [
        f"vgimportclone --basevgname {name} /dev/sdx /dev/sdy",
        f"lvchange -ay --poll n {name}/data",
    ]
    assert "blockdev --setro /dev/sdx /dev/sdy" not in acts(host)
    assert acts(host)[-1].endswith(f"/dev/mapper/{name}-data /backup/erp")


@pytest.mark.parametrize("may_write", [True, False])
def test_what_is_done_already_is_not_done_twice(may_write: bool) -> None:
    host = LvmHost()
    one = lvm(host)
    one.present(intent(one, may_write=may_write), soon())
    host.asked.clear()
    one.present(intent(one, may_write=may_write), soon())
    assert not [line for line in acts(host) if line.startswith(("vgimportclone", "lvchange")) or "protected-" in line]


@pytest.mark.parametrize("may_write", [True, False])
def test_last_mount_takes_down_exactly_what_it_brought_up(may_write: bool) -> None:
    host = LvmHost()
    one = lvm(host)
    given = intent(one, may_write=may_write)
    one.present(given, soon())
    host.asked.clear()
    one.withdraw(given, soon())
    down = f"vgchange -an {given.data['name']}" if may_write else "lvchange -an erpvg/data"
    assert down in acts(host)
    assert ("blockdev --setrw /dev/sdx /dev/sdy" in acts(host)) == (not may_write)
    assert host.marks == set()
    host.asked.clear()
    one.withdraw(given, soon())
    assert acts(host) == []


def test_twin_by_name_or_uuid_of_a_node_is_refused_before_anything_is_noted() -> None:
    for node in (f"erpvg-log|{DM}bbbb|Writeable|253:5|8:0", f"other-x|{DM}bbbb|Writeable|253:5|8:0"):
        host = LvmHost()
        host.nodes = node
        one = lvm(host)
        with pytest.raises(Refused, match="twin"):
            one.present(intent(one), soon())
        assert acts(host) == ["blockdev --flushbufs /dev/sdx /dev/sdy"]
        one.withdraw(intent(one), soon())
        assert host.nodes == node


@pytest.mark.parametrize(
    "row", [f"/dev/sda|{PV1}|other|X", "/dev/sda|PV9|erpvg|X", f"/dev/sda|PV9|other|{VG}"], ids=["pv", "name", "group"]
)
def test_twin_by_any_of_its_labels_is_refused_and_named(row: str) -> None:
    host = LvmHost()
    host.visible = f"  {row}\n"
    one = lvm(host)
    with pytest.raises(Refused, match="/dev/sda"):
        one.present(intent(one), soon())
    one.present(intent(one, may_write=True), soon())


def test_older_lvm_is_asked_again_without_the_copys_own_devices() -> None:
    host = LvmHost(**{"pvs --readonly --all": (0, LABELS)})
    one = lvm(host)
    one.present(intent(one), soon())
    assert len([line for line in host.asked if line.startswith("pvs --readonly --all")]) == 2


def test_copy_that_somebody_else_brought_up_is_in_use() -> None:
    host = LvmHost()
    host.nodes = NODE
    one = lvm(host)
    with pytest.raises(InUse, match="erpvg-data"):
        one.present(intent(one), soon())
    one.withdraw(intent(one), soon())
    assert host.nodes == NODE


def test_volume_that_came_up_on_other_devices_is_refused() -> None:
    host = LvmHost()
    one = lvm(host)
    host._change = lambda words, line: setattr(  # type: ignore[method-assign]
        host, "nodes", NODE.replace("65:128", "8:0") if "-ay" in words else host.nodes
    )
    with pytest.raises(Refused, match="devices of the copy alone"):
        one.present(intent(one), soon())


def test_volume_that_came_up_writable_is_refused() -> None:
    host = LvmHost()
    one = lvm(host)
    host._change = lambda words, line: setattr(  # type: ignore[method-assign]
        host, "nodes", NODE.replace("Read-only", "Writeable") if "-ay" in words else host.nodes
    )
    with pytest.raises(Refused, match="can be written to"):
        one.present(intent(one), soon())


@pytest.mark.parametrize(
    ("command", "said", "fault", "why"),
    [
        ("pvs", (0, f"/dev/sdx|{PV1}|othervg|{VG}\n"), Refused, "othervg"),
        ("pvs", (0, ""), Refused, "no volume group"),
        ("pvs", (0, f"/dev/sdx|{PV1}|erpvg|{VG}\n[unknown]|{PV2}|erpvg|{VG}\n"), Refused, "lacks 1 of 2"),
        ("pvs", (0, f"/dev/sdx|{PV1}|erpvg|{VG}\n/dev/sdy|{PV2}|erpvg|VG9\n"), Refused, "several volume groups"),
        ("pvs", (5, "locked"), CommandFailed, "reading the LVM labels"),
        ("lvs", (0, "  other|-wi|linear\n"), Refused, "has no volume data"),
        ("lvs", (0, "  data|rwi|raid1\n"), Refused, "no plain volume"),
        ("lvs", (0, "  data|owi|linear\n"), Refused, "no plain volume"),
        ("lvs", (0, "  data|-wi|linear\n  [pvmove0]|p-C|mirror\n"), Refused, "pvmove"),
        ("lvchange", (5, "cannot"), CommandFailed, "activating"),
        ("lsblk", (0, "/dev/sdx disk\n"), UnknownAnswer, "lsblk"),
        ("blockdev --getro", (0, "0\n"), UnknownAnswer, "protected"),
        ("dmsetup info", (0, "what\n"), UnknownAnswer, "dmsetup"),
        ("lvchange", DeadlinePassed("lvchange gave no answer"), DeadlinePassed, "no answer"),
    ],
)
def test_every_answer_that_does_not_fit_is_an_error(command: str, said: Said, fault: type[Fault], why: str) -> None:
    host = LvmHost(**{command: said})
    one = lvm(host)
    with pytest.raises(fault, match=why):
        one.present(intent(one), soon())
    assert not [line for line in host.asked if line.startswith("mount")]


def test_volume_without_a_name_must_be_the_only_one() -> None:
    host = LvmHost()
    one = lvm(host, volume="")
    with pytest.raises(Refused, match="data, log-a"):
        one.present(intent(one), soon())
    host = LvmHost(lvs=(0, "  data|-wi|linear\n  [data_x]|-wi|linear\n"))
    one = lvm(host, volume="")
    one.present(intent(one), soon())
    assert host.nodes == NODE


def test_open_volume_is_not_taken_down_and_named() -> None:
    host = LvmHost()
    one = lvm(host)
    given = intent(one, may_write=True)
    one.present(given, soon())
    busy = Answer({"user": "77\treader\t/dev/dm-0"}, 0, "")
    host.answers["filesystem.users"] = lambda verb: busy if "/dev/mapper" in verb.arguments[0] else Answer({}, 0, "")
    with pytest.raises(InUse, match="pid 77"):
        one.withdraw(given, soon())
    assert host.nodes


def test_volume_that_stays_up_after_it_was_taken_down_is_told() -> None:
    host = LvmHost()
    one = lvm(host)
    given = intent(one)
    one.present(given, soon())
    host._change = lambda words, line: None  # type: ignore[method-assign]
    with pytest.raises(InUse, match="erpvg-data"):
        one.withdraw(given, soon())
    assert host.marks


def test_folder_of_notes_that_is_not_ours_is_refused() -> None:
    host = LvmHost()
    one = lvm(host)
    folder = f"/run/splitmirror/{intent(one).data['key']}"
    host.answers["filesystem.seen"] = lambda verb: seen(
        {
            path: row
            for path, row in {**DEVICES, folder: f"drwxrwxrwx\t1000\t{folder}\t-\tempty"}.items()
            if path in verb.arguments
        }
    )
    with pytest.raises(Refused, match=folder):
        one.present(intent(one), soon())
