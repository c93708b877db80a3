"""A tree presented by being moved: after a crash at any point it is at one of two places, and withdraw brings it home."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Exposed
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.hosts.local import LocalHost
from splitmirror_drivers.hosts.local import Options as HostOptions
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, InUse, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.presentation.directory import Directory, Options

SOON = 30.0


def soon() -> Deadline:
    return Deadline.after(SOON)


class Scripted(LocalHost):
    """This machine, which can be told what one of its commands does instead."""

    instead: dict[str, Completed | Exception]

    def run(self, command_: Command, deadline: Deadline) -> Completed:
        answer = self.instead.get(command_.argv[0])
        if isinstance(answer, Exception):
            raise answer
        return answer or super().run(command_, deadline)


class Stage:
    """A tree, a place for it, and a presentation as a new process would build it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree, self.path = folder / "arrays" / "mirror", folder / "backup" / "shop"
        self.tree.mkdir(parents=True)
        (self.tree / "file").write_bytes(b"content")
        self.path.parent.mkdir()
        self.host = Scripted("local", HostOptions(guard_dir=str(folder / "guard")))
        self.host.instead = {}
        self.exposed = Exposed("tree", (str(self.tree),), "local")

    def presentation(self) -> Directory:
        return Directory(str(self.path), self.host)

    def intent(self) -> Presented:
        return self.presentation().intend(self.exposed, "run-1", is_frozen=False)

    def presented(self) -> Presented:
        intent = self.intent()
        self.presentation().present(intent, soon())
        return intent


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_path_exists_only_while_the_copy_is_presented(stage: Stage) -> None:
    stage.presentation().check(soon())
    assert not stage.path.exists()
    intent = stage.presented()
    assert (stage.path / "file").read_bytes() == b"content"
    assert not stage.tree.exists()
    stage.presentation().verify(intent, soon())
    stage.presentation().withdraw(intent, soon())
    assert not stage.path.exists()
    assert (stage.tree / "file").read_bytes() == b"content"


def test_both_may_be_repeated_after_a_crash(stage: Stage) -> None:
    intent = stage.intent()
    for _ in range(2):
        stage.presentation().present(intent, soon())
    assert stage.path.is_dir()
    for _ in range(2):
        stage.presentation().withdraw(intent, soon())
    assert stage.tree.is_dir()


def test_what_was_intended_and_never_done_is_withdrawn_by_leaving_everything_alone(stage: Stage) -> None:
    intent = stage.intent()
    stage.path.mkdir()
    (stage.path / "somebody's").touch()
    stage.presentation().withdraw(intent, soon())
    assert (stage.path / "somebody's").exists()
    assert stage.tree.is_dir()


@pytest.mark.parametrize("kind", ["folder", "file", "link", "dangling link"])
def test_whatever_lies_at_the_path_is_in_the_way(stage: Stage, kind: str) -> None:
    intent = stage.intent()
    if kind == "folder":
        stage.path.mkdir()
    elif kind == "file":
        stage.path.touch()
    else:
        stage.path.symlink_to("/tmp" if kind == "link" else "/nowhere")
    with pytest.raises(Refused, match="exists already"):
        stage.presentation().check(soon())
    with pytest.raises(Refused, match="exists already"):
        stage.presentation().present(intent, soon())
    assert stage.tree.is_dir()


def test_a_missing_parent_is_refused(stage: Stage) -> None:
    stage.path.parent.rmdir()
    with pytest.raises(Refused, match=r"backup on local is not a folder"):
        stage.presentation().check(soon())


def test_a_parent_that_everybody_may_write_to_is_refused(stage: Stage) -> None:
    stage.path.parent.chmod(0o777)
    with pytest.raises(Refused, match="anybody may write"):
        stage.presentation().check(soon())
    stage.path.parent.chmod(0o1777)
    stage.presentation().check(soon())


def test_a_parent_that_may_not_be_written_to_is_refused(stage: Stage) -> None:
    stage.host.instead["test"] = Completed(("test",), 1, "", "", 0.0)
    with pytest.raises(Refused, match="may not be written to by this account"):
        stage.presentation().check(soon())


@pytest.mark.parametrize(
    "exposed",
    [
        Exposed("device", ("/dev/sdb",), "local"),
        Exposed("tree", ("/a", "/b"), "local"),
        Exposed("tree", ("/a",), "db1"),
    ],
)
def test_only_one_tree_of_this_host_can_be_presented(stage: Stage, exposed: Exposed) -> None:
    with pytest.raises(Refused):
        stage.presentation().intend(exposed, "run-1", is_frozen=False)


def test_a_tree_that_is_not_there_is_refused(stage: Stage) -> None:
    gone = replace(stage.exposed, paths=(str(stage.tree) + "-gone",))
    with pytest.raises(Refused, match="there is no tree"):
        stage.presentation().intend(gone, "run-1", is_frozen=False)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second filesystem is at hand")
def test_another_filesystem_is_refused_with_what_to_use_instead(stage: Stage) -> None:
    if Path("/dev/shm").stat().st_dev == stage.tree.stat().st_dev:
        pytest.skip("the tests run in /dev/shm")
    presentation = Directory(f"/dev/shm/splitmirror-test-{os.getpid()}", stage.host)
    with pytest.raises(Refused, match="different filesystems") as caught:
        presentation.intend(stage.exposed, "run-1", is_frozen=False)
    assert "`mount`" in caught.value.hint


def test_another_tree_at_the_old_place_is_not_presented(stage: Stage) -> None:
    intent = stage.intent()
    stage.tree.rename(stage.folder / "kept")
    stage.tree.mkdir()
    with pytest.raises(Refused, match="not the one that was split"):
        stage.presentation().present(intent, soon())


def test_another_tree_at_the_path_is_not_the_copy(stage: Stage) -> None:
    intent = stage.presented()
    stage.path.rename(stage.folder / "kept")
    stage.path.mkdir()
    with pytest.raises(Refused, match="not the copy of this run"):
        stage.presentation().verify(intent, soon())
    with pytest.raises(Refused, match="not the copy of this run"):
        stage.presentation().withdraw(intent, soon())
    assert stage.path.is_dir()


def test_after_a_restart_the_tree_is_known_by_its_inode_unless_many_trees_have_it(stage: Stage) -> None:
    intent = stage.presented()
    restarted = replace(intent, data={**intent.data, "device": "1"})
    stage.presentation().withdraw(restarted, soon())
    assert stage.tree.is_dir()
    subvolume = replace(intent, data={**intent.data, "device": "1", "inode": "256"})
    stage.host.instead["stat"] = Completed(("stat",), 0, "2 256\n", "", 0.0)
    with pytest.raises(Refused, match="not the one that was split"):
        stage.presentation().present(subvolume, soon())


def test_a_tree_that_was_made_in_the_old_place_is_not_overwritten(stage: Stage) -> None:
    intent = stage.presented()
    stage.tree.mkdir()
    (stage.tree / "precious").touch()
    with pytest.raises(Refused, match="made anew"):
        stage.presentation().verify(intent, soon())
    with pytest.raises(Refused, match="in the way"):
        stage.presentation().withdraw(intent, soon())
    assert (stage.tree / "precious").exists()
    assert (stage.path / "file").exists()


@pytest.mark.parametrize("use", ["file", "folder"])
def test_a_copy_in_use_is_not_withdrawn_and_the_user_is_named(stage: Stage, use: str) -> None:
    intent = stage.presented()
    argv = ["tail", "-f", str(stage.path / "file")] if use == "file" else ["tail", "-f", "/dev/null"]
    with subprocess.Popen(argv, cwd=stage.path if use == "folder" else "/", stdout=subprocess.PIPE) as reader:
        try:
            if use == "file":
                assert reader.stdout
                assert reader.stdout.read(1) == b"c"
            users = stage.presentation().users(intent, soon())
            assert reader.pid in [user.pid for user in users]
            with pytest.raises(InUse, match="tail"):
                stage.presentation().withdraw(intent, soon())
            assert stage.path.is_dir()
        finally:
            reader.kill()
    stage.presentation().withdraw(intent, soon())
    assert not stage.path.exists()


def test_users_are_also_seen_when_the_tree_is_home(stage: Stage) -> None:
    intent = stage.intent()
    assert stage.presentation().users(intent, soon()) == ()
    with subprocess.Popen(["tail", "-f", "/dev/null"], cwd=stage.tree) as reader:
        assert reader.pid in [user.pid for user in stage.presentation().users(intent, soon())]
        reader.kill()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Completed(("mv",), 1, "", "mv: cannot move", 0.1), CommandFailed),
        (Completed(("mv",), 0, "", "", 0.1), Refused),
        (DeadlinePassed("mv gave no answer"), DeadlinePassed),
    ],
    ids=["fails", "lies", "hangs"],
)
def test_a_move_that_did_not_happen_is_not_taken_for_one(
    stage: Stage, answer: Completed | Exception, fault: type[Exception]
) -> None:
    intent = stage.intent()
    stage.host.instead["mv"] = answer
    with pytest.raises(fault):
        stage.presentation().present(intent, soon())
    stage.host.instead.clear()
    stage.presentation().withdraw(intent, soon())
    assert stage.tree.is_dir()


def test_an_identity_that_cannot_be_read_is_no_identity(stage: Stage) -> None:
    stage.host.instead["stat"] = Completed(("stat",), 0, "sideways\n", "", 0.0)
    with pytest.raises(UnknownAnswer, match="does not say which file"):
        stage.intent()


@pytest.mark.parametrize("options", [Options(options=("ro",)), Options(filesystem="ext4"), Options(fsck=True)])
def test_mount_options_are_refused(stage: Stage, options: Options) -> None:
    context = Context(secret=lambda reference: pytest.fail("no secret is needed"), state_folder="/")
    with pytest.raises(PolicyFault, match="moved, not mounted"):
        Directory.from_options(str(stage.path), options, stage.host, context)
    assert isinstance(Directory.from_options(str(stage.path), Options(), stage.host, context), Directory)


def test_a_plan_shows_the_command_and_the_way_back(stage: Stage) -> None:
    (action,) = stage.presentation().actions(stage.exposed)
    words: Sequence[str] = action.what.split()
    assert words[-2:] == [str(stage.tree), str(stage.path)]
    assert action.undo.split()[-2:] == [str(stage.path), str(stage.tree)]
    assert stage.presentation().actions(None)
