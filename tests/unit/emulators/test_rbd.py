"""The emulated RBD in its own terms: refusals, exit codes, and what becomes of the bytes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[2] / "emulators" / "rbd"
SIZE = 256 * 1024
CALL_SECONDS = 20


class Site:
    """Images ``rbd/erp`` and ``rbd/log`` in the group ``rbd/erp``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        for name in ("p1", "p2"):
            (folder / name).write_bytes(os.urandom(SIZE))
        self.control("create", f"erp={folder}/p1", f"log={folder}/p2", "--group", "erp", *options)

    def call(self, tool: str, *words: str, host: str = "db1") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "RBD_EMULATOR_STATE": f"{self.folder}/state", "RBD_EMULATOR_HOST": host}
        argv = [str(TOOLS / tool), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=CALL_SECONDS, check=False)

    def control(self, *words: str) -> str:
        done = self.call("control", *words)
        assert done.returncode == 0, done
        return done.stdout

    def rbd(self, *words: str, host: str = "db1") -> str:
        done = self.call("rbd", "--no-progress", *words, host=host)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *words: str, host: str = "db1") -> Any:
        return json.loads(self.rbd(*words, "--format", "json", host=host))

    def refused(self, code: int, text: str, *words: str, host: str = "db1") -> None:
        done = self.call("rbd", *words, host=host)
        assert done.returncode == code, done
        assert text in done.stderr

    def bytes_of(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, value: bytes) -> None:
        with (self.folder / name).open("r+b") as file:
            file.write(value)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def squid(tmp_path: Path) -> Site:
    return Site(tmp_path, "--squid")


# -- snapshots of images --


def test_snapshot_keeps_what_was_and_is_mapped_read_only(site: Site) -> None:
    before = site.bytes_of("p1")
    site.rbd("snap", "create", "erp@a")
    site.write("p1", b"new")
    device = site.rbd("map", "rbd/erp@a").strip()
    assert device == f"{site.folder}/state.dev/rbd0"
    assert Path(device).read_bytes() == Path(f"{site.folder}/state.dev/rbd/rbd/erp@a").read_bytes() == before
    assert Path(device).stat().st_mode & 0o777 == 0o400
    row = {"id": "0", "pool": "rbd", "namespace": "", "name": "erp", "snap": "a", "device": device}
    assert site.json("device", "list") == [row]
    assert site.json("device", "list", host="backup") == []
    site.rbd("unmap", device)
    assert not Path(device).exists()
    site.refused(errno.EINVAL, "not a mapped image or snapshot", "device", "unmap", "erp@a")


def test_snapshot_name_is_taken_once(site: Site) -> None:
    site.rbd("snap", "create", "--pool", "rbd", "--image", "erp", "--snap", "a")
    site.refused(errno.EEXIST, "rbd: failed to create snapshot: (17) File exists", "snap", "create", "erp@a")
    assert [one["name"] for one in site.json("snap", "ls", "erp")] == ["a"]
    site.refused(errno.ENOENT, "(2) No such file or directory", "snap", "create", "none@a")
    site.refused(errno.EINVAL, "snap name was not specified", "snap", "create", "erp")
    site.refused(errno.EINVAL, "snapshot name specified for a command that doesn't use it", "snap", "ls", "erp@a")
    site.refused(1, "unknown option", "snap", "conjure", "erp@a")


def test_open_device_is_not_unmapped_without_force(site: Site) -> None:
    device = Path(site.rbd("map", "--read-only", "erp").strip())
    with device.open("rb"):
        site.refused(errno.EBUSY, "rbd: sysfs write failed\nrbd: unmap failed: (16)", "unmap", str(device))
        site.rbd("unmap", "-o", "force", str(device))


def test_first_clones_need_protection_and_keep_it(tmp_path: Path) -> None:
    site = Site(tmp_path, "--clone-v1")
    site.rbd("snap", "create", "erp@a")
    site.refused(errno.EINVAL, "parent snapshot must be protected", "clone", "erp@a", "copy")
    site.rbd("snap", "protect", "erp@a")
    site.refused(errno.EBUSY, "(16)", "snap", "protect", "erp@a")
    site.rbd("clone", "erp@a", "copy")
    assert site.json("children", "erp@a") == [{"pool": "rbd", "pool_namespace": "", "image": "copy"}]
    site.refused(errno.EBUSY, "protected from removal", "snap", "rm", "erp@a")
    site.refused(errno.EBUSY, "unprotecting snap failed", "snap", "unprotect", "erp@a")
    site.rbd("rm", "copy")
    site.rbd("snap", "unprotect", "erp@a")
    site.rbd("snap", "rm", "erp@a")


def test_second_clones_put_their_snapshot_into_the_trash(site: Site) -> None:
    site.rbd("snap", "create", "erp@a")
    site.rbd("clone", "erp@a", "copy")
    site.refused(errno.EEXIST, "clone error: (17)", "clone", "erp@a", "copy")
    site.rbd("snap", "rm", "erp@a")
    assert site.json("snap", "ls", "erp") == []
    assert [one["namespace"]["type"] for one in site.json("snap", "ls", "--all", "erp")] == ["trash"]
    assert site.json("info", "copy")["parent"]["trash"] is True
    site.rbd("flatten", "copy")
    assert site.json("snap", "ls", "--all", "erp") == []
    assert "parent" not in site.json("info", "copy")


def test_clone_has_bytes_of_its_own(site: Site) -> None:
    site.rbd("snap", "create", "erp@a")
    site.rbd("clone", "erp@a", "rbd/copy")
    device = Path(site.rbd("device", "map", "copy").strip())
    assert device.read_bytes() == site.bytes_of("p1")
    with device.open("r+b") as file:
        file.write(b"mine")
    assert site.bytes_of("p1")[:4] != b"mine"
    site.refused(errno.EBUSY, "image still has watchers", "rm", "copy")
    assert [one["address"].split(":")[0] for one in site.json("status", "copy")["watchers"]] == ["db1"]
    site.rbd("unmap", "copy")
    site.rbd("rm", "copy")
    site.refused(errno.ENOTEMPTY, "image has snapshots", "rm", "erp")


def test_image_with_a_feature_that_the_kernel_lacks_is_not_mapped(tmp_path: Path) -> None:
    site = Site(tmp_path, "--features", "layering,journaling")
    site.refused(errno.ENXIO, "RBD image feature set mismatch", "map", "erp")


def test_rollback_overwrites_the_image(site: Site) -> None:
    before = site.bytes_of("p1")
    site.rbd("snap", "create", "erp@a")
    site.write("p1", b"new")
    site.rbd("snap", "rollback", "erp@a")
    assert site.bytes_of("p1") == before


# -- groups --


def test_group_snapshot_is_in_every_image_and_only_there_by_id(squid: Site) -> None:
    before = squid.bytes_of("p2")
    squid.rbd("group", "snap", "create", "rbd/erp@run-1")
    squid.refused(errno.EEXIST, "(17)", "group", "snap", "create", "erp@run-1")
    squid.write("p2", b"new")
    (listed,) = squid.json("group", "snap", "ls", "erp")
    assert (listed["snapshot"], listed["state"]) == ("run-1", "complete")
    info = squid.json("group", "snap", "info", "erp@run-1")
    assert info["id"] == listed["id"]
    ids = {one["image_name"]: str(one["snap_id"]) for one in info["images"]}
    assert squid.json("snap", "ls", "log") == []
    assert squid.json("snap", "ls", "--all", "log")[0]["namespace"] == {
        "type": "group",
        "pool": "rbd",
        "group": "erp",
        "group snap": "run-1",
    }
    squid.refused(errno.ENOENT, "clone error", "clone", "log@run-1", "copy")
    squid.refused(errno.ENOENT, "(2)", "map", "log@run-1")
    squid.rbd("clone", "--snap-id", ids["log"], "log", "copy")
    assert Path(squid.rbd("map", "copy").strip()).read_bytes() == before
    squid.refused(errno.EINVAL, "failed to remove snapshot", "snap", "rm", "--snap-id", ids["log"], "log")
    squid.rbd("group", "snap", "rm", "erp@run-1")
    squid.refused(errno.ENOENT, "(2)", "group", "snap", "rm", "erp@run-1")


def test_older_release_has_no_ids(site: Site) -> None:
    site.rbd("group", "snap", "create", "erp@run-1")
    assert site.json("group", "snap", "list", "erp") == [{"snapshot": "run-1", "state": "ok"}]
    assert site.rbd("group", "snap", "list", "erp").split() == ["NAME", "STATUS", "run-1", "ok"]
    site.refused(1, "unknown option", "group", "snap", "info", "erp@run-1")
    site.refused(1, "unrecognised option", "clone", "--snap-id", "1", "erp", "copy")


def test_image_is_in_one_group(site: Site) -> None:
    site.rbd("group", "create", "other")
    site.refused(errno.EBUSY, "add image error: (16)", "group", "image", "add", "other", "erp")
    site.refused(errno.EEXIST, "add image error: (17)", "group", "image", "add", "erp", "erp")
    assert site.json("group", "ls") == ["erp", "other"]
    site.rbd("group", "image", "rm", "erp", "log")
    assert [one["image"] for one in site.json("group", "image", "ls", "erp")] == ["erp"]
    site.refused(errno.EBUSY, "image belongs to a group", "rm", "erp")
    site.refused(errno.EEXIST, "create error: (17)", "group", "create", "other")


def test_membership_drifts(site: Site) -> None:
    site.control("join", "rbd/erp", f"more={site.folder}/p2")
    site.control("leave", "rbd/erp", "rbd/log")
    assert [one["image"] for one in site.json("group", "image", "ls", "rbd/erp")] == ["erp", "more"]


# -- what is shown --


def test_info_and_usage(site: Site) -> None:
    site.rbd("snap", "create", "erp@a")
    info = site.json("info", "rbd/erp")
    assert (info["name"], info["size"], info["snapshot_count"], info["format"]) == ("erp", SIZE, 1, 2)
    text = site.rbd("info", "erp@a").splitlines()
    assert text[:2] == ["rbd image 'erp':", "\tsize 256 KiB in 1 objects"]
    assert "\tprotected: False" in text
    usage = site.json("du", "erp")
    assert [one.get("snapshot") for one in usage["images"]] == ["a", None]
    assert usage["total_provisioned_size"] == SIZE
    assert site.rbd("ls").split() == ["erp", "log"]
    assert site.rbd("showmapped") == ""


def test_progress_goes_to_standard_error(site: Site) -> None:
    done = site.call("rbd", "snap", "create", "erp@a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "Creating snap: 100% complete...done.\n")


def test_watchers_of_others(site: Site) -> None:
    site.control("watch", "rbd/erp", "10.0.0.7:0/12")
    assert site.json("status", "erp")["watchers"][0]["address"] == "10.0.0.7:0/12"
    site.control("unwatch", "rbd/erp")
    assert site.rbd("status", "erp") == "Watchers: none\n"


# -- faults --


def test_faults(site: Site) -> None:
    site.control("fault", "group-snap-create fail 1", "group-snap-ls word odd", "map late", "info code 22")
    site.refused(errno.EIO, "(5) Input/output error", "group", "snap", "create", "erp@a")
    site.rbd("group", "snap", "create", "erp@a")
    assert site.json("group", "snap", "ls", "erp")[0]["state"] == "odd"
    device = Path(site.rbd("map", "erp").strip())
    assert not device.exists()
    site.rbd("showmapped")
    assert device.exists()
    site.refused(errno.EINVAL, "(22) Invalid argument", "info", "erp")
    site.control("fault", "group-snap-create lie", "snap-ls drop")
    site.rbd("group", "snap", "create", "erp@b")
    site.control("mend")
    assert [one["snapshot"] for one in site.json("group", "snap", "ls", "erp")] == ["a"]


@pytest.mark.parametrize("kind", ["half", "die"])
def test_group_snapshot_that_is_half_made(site: Site, kind: str) -> None:
    site.control("fault", f"group-snap-create {kind}")
    assert site.call("rbd", "group", "snap", "create", "erp@a").returncode == (errno.EIO if kind == "half" else -9)
    site.control("mend")
    assert site.json("group", "snap", "ls", "erp") == [{"snapshot": "a", "state": "incomplete"}]
    assert len(site.json("snap", "ls", "--all", "erp")) == 1
    assert site.json("snap", "ls", "--all", "log") == []


def test_torn_group_snapshot_is_made_image_by_image(tmp_path: Path) -> None:
    site = Site(tmp_path, "--torn")
    site.rbd("group", "snap", "create", "erp@a")
    assert len(site.json("snap", "ls", "--all", "log")) == 1


def test_wrapped_tool_runs_as_on_another_machine(site: Site) -> None:
    site.control("wrap", "backup", f"{site.folder}/bin")
    done = subprocess.run(
        [f"{site.folder}/bin/rbd", "map", "erp"], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == f"{site.folder}/state.dev.backup/rbd0\n"
    assert site.json("showmapped") == []
    assert site.control("size", "rbd/erp") == f"{2 * SIZE}\n"
    assert "rbd map erp" in site.control("log")
