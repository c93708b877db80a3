"""Which filesystems are frozen and in which order, and which never are; read from what a data server answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.fakes import World, hold, make_job
from tests.unit.presentation.recorded import RecordedHost

from splitmirror.phases import freezing
from splitmirror.phases.survey import Covered, Target
from splitmirror_drivers.applications.filesystem import Filesystem, Options, plan
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Verdict
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret

CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/srv/state")
TABLE = [
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw",
    "23 21 0:22 / /run rw,nosuid - tmpfs tmpfs rw",
    "30 21 8:17 / /data rw,relatime shared:3 - xfs /dev/sdb1 rw,noquota",
    "31 30 8:33 / /data/log rw,relatime - ext4 /dev/sdc1 rw",
    "32 21 8:17 /erp /srv/erp rw,relatime - xfs /dev/sdb1 rw,noquota",
    r"33 21 7:0 / /mnt/in\040file rw - ext4 /dev/loop0 rw",
    "34 21 8:49 / /archive ro,relatime - ext4 /dev/sdd1 ro",
    "35 21 0:50 / /net rw - nfs4 filer:/vol rw",
    "36 21 8:65 /part /part rw - ext4 /dev/sde1 rw",
    "37 21 8:81 / /home rw - ext4 /dev/sdf1 rw",
]
VITAL = "the root filesystem\t/\nthe guard's folder\t/var/lib/splitmirror\nthe home of the login's account\t/home/splitmirror"


def answer(*paths: str, vital: str = VITAL, **facts: str) -> Answer:
    """What `filesystem.check` says of `paths` on this machine."""
    said = {
        "uid": "0",
        "program": "/usr/sbin/fsfreeze",
        "mountinfo": "\n".join(TABLE),
        "real": "\n".join(f"{path}\t{path}" for path in paths),
        "vital": vital,
        "backing": "7:0\t/data/images/disk.img",
    }
    return Answer({key: value for key, value in {**said, **facts}.items() if value}, 0, "")


def points(*mounts: str, paths: tuple[str, ...] = ()) -> list[str]:
    return [one.point for one in plan("fs", answer(*mounts, *paths), Options(mounts=mounts, paths=paths))]


def app(said: Answer, *mounts: str, paths: tuple[str, ...] = ()) -> Filesystem:
    host = RecordedHost(answers={"filesystem.check": said})
    return Filesystem.from_options("fs", Options(mounts=mounts, paths=paths), host, CONTEXT)


def soon() -> Deadline:
    return Deadline.after(5)


@pytest.mark.parametrize(
    ("mounts", "order"),
    [
        (("/data",), ["/data"]),
        (("/data", "/data/log"), ["/data/log", "/data"]),
        (("/data", "/mnt/in file"), ["/mnt/in file", "/data"]),
        (("/mnt/in file", "/data/log", "/data"), ["/mnt/in file", "/data/log", "/data"]),
    ],
)
def test_innermost_is_frozen_first(mounts: tuple[str, ...], order: list[str]) -> None:
    assert points(*mounts) == order


def test_filesystem_with_two_mounts_is_frozen_once() -> None:
    (one,) = plan("fs", answer("/data", "/srv/erp"), Options(mounts=("/data", "/srv/erp")))
    assert (one.numbers, one.points) == ("8:17", ("/data", "/srv/erp"))


def test_token_goes_to_the_top_of_the_filesystem() -> None:
    (one,) = plan("fs", answer("/srv/erp"), Options(mounts=("/srv/erp",)))
    assert (one.point, one.token) == ("/srv/erp", "/data")
    (one,) = plan("fs", answer("/part"), Options(mounts=("/part",)))
    assert one.token == "/part"


def test_paths_stand_for_the_filesystems_they_lie_on() -> None:
    assert points(paths=("/data/erp/file", "/data/log/x")) == ["/data/log", "/data"]


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("/", "it holds the root filesystem"),
        ("/home", "it holds the home of the login's account"),
        ("/run", "tmpfs, which cannot be frozen"),
        ("/net", "nfs4, which cannot be frozen"),
        ("/archive", "mounted read-only"),
        ("/data/erp", "is not a mount point, it lies on /data"),
        ("/var/lib/mysql", "is not a mount point, it lies on /"),
    ],
)
def test_what_must_not_or_cannot_be_frozen_is_refused(mount: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        points(mount)


@pytest.mark.parametrize("what", ["swap space", "the journal", "the program fsfreeze", "/var/log"])
def test_whatever_the_way_out_needs_is_refused_with_its_name(what: str) -> None:
    with pytest.raises(Refused, match=f"{what} \\(/data/it\\)"):
        plan("fs", answer("/data", vital=f"{what}\t/data/it"), Options(mounts=("/data",)))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"uid": "1000"}, "needs root"),
        ({"program": ""}, "no fsfreeze"),
        ({"missing": "/data"}, "/data does not exist"),
    ],
)
def test_machine_that_cannot_freeze_is_refused(facts: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan("fs", answer("/data", **facts), Options(mounts=("/data",)))


def test_machine_that_gives_no_answer_is_an_error() -> None:
    with pytest.raises(UnknownAnswer):
        app(Answer({}, 1, "no /proc"), "/data").check(soon())
    with pytest.raises(UnknownAnswer):
        app(Answer({}, 0, ""), "/data").check(soon())


def test_holds_block_writes_until_thawed_and_carry_what_the_verbs_need() -> None:
    one = app(answer("/data", "/data/log"), "/data", "/data/log")
    facts = one.check(soon())
    inner, outer = one.holds(facts)
    assert inner.arguments == ("/data/log", "8:33", "/data/log")
    assert outer.arguments == ("/data", "8:17", "/data")
    assert inner.rank < outer.rank
    assert inner.name != outer.name
    for one_hold in (inner, outer):
        assert (one_hold.blocks, one_hold.ends_with, one_hold.family) == (Blocks.WRITES, EndsWith.SERVER, "filesystem")
        assert one_hold.tolerates_spread
        assert not one_hold.survives_restart
        assert " " not in one_hold.name
    assert outer.covers_paths == ("/data", "/srv/erp")
    assert {inner.claim, outer.claim} == {"filesystem-8:33", "filesystem-8:17"}
    assert facts.files == ("/data", "/data/log")


def test_mounts_that_the_policy_freezes_are_held_the_same_way() -> None:
    host = RecordedHost(answers={"filesystem.check": answer("/data")})
    freezer = Filesystem.for_mounts("filesystems-db1", host, ["/data"], "/srv/state")
    assert [one.name for one in freezer.holds(freezer.check(soon()))] == ["filesystems-db1.0"]
    assert host.asked == ["filesystem.check /srv/state /data"]


def test_state_folder_of_a_hook_on_the_same_machine_is_asked_about() -> None:
    for is_local, kept in ((True, "/srv/state"), (False, "")):
        host = RecordedHost(answers={"filesystem.check": answer("/data")}, is_local=is_local)
        Filesystem.from_options("fs", Options(mounts=("/data",)), host, CONTEXT).check(soon())
        assert host.asked == [f"filesystem.check {kept} /data"]


@pytest.mark.parametrize("options", [Options(), Options(mounts=("data",)), Options(paths=("data/erp",))])
def test_policy_that_names_nothing_to_freeze_is_a_fault(options: Options) -> None:
    with pytest.raises(PolicyFault):
        Filesystem.from_options("fs", options, RecordedHost(), CONTEXT)


@pytest.mark.parametrize(("verdict", "words"), [(Verdict.APPLICATION, "was frozen"), (Verdict.CRASH, "power failure")])
def test_recovery_card_says_how_the_files_were_copied(verdict: Verdict, words: str) -> None:
    captured = app(answer("/data"), "/data").capture({"frozen": "/data"}, verdict, soon())
    assert words in captured.steps[0]
    assert captured.needs_logs == ""


def test_what_an_application_freezes_itself_is_not_frozen_a_second_time(tmp_path: Path) -> None:
    world = World()
    job = make_job(world, tmp_path, holds=[[hold("own", covers_paths=("/data", "/srv/erp"))]])
    job = replace(job, policy=msgspec.structs.replace(job.policy, freeze_filesystems="auto"))
    facts = {app.name: app.check(soon()) for app in job.applications}
    target = Target(job.mirrors[0].array, "a", PairState.SYNCED, None, 0, is_log=False)
    places = [Covered("db1", f"{mount}/x", mount, "/dev/sdb", "ext4") for mount in ("/data", "/log")]
    (freezer,) = freezing.freezers(job, facts, [target], {"app1": places})
    assert [one.covers_paths for one in freezer.holds(freezer.check(soon()))] == [("/log",)]
