"""What a pass makes of a tree: the copy is the same in everything, whatever was done to either side in between."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.arrays.trees import snapshot

from splitmirror_drivers.arrays import directory_copy as copying
from splitmirror_drivers.arrays import directory_manifest as manifest
from splitmirror_drivers.arrays.directory_file import Account
from splitmirror_drivers.arrays.directory_pass import Pass
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed

MIB = 2**20
ACL = bytes.fromhex(
    "02000000 01000600 ffffffff 02000600 e8030000 04000400 ffffffff 10000600 ffffffff 20000400 ffffffff"
)
"""user::rw-, user:1000:rw-, group::r--, mask::rw-, other::r-- as the kernel keeps it (acl(5), version 2)."""


class Trees:
    """A source, a mirror and the manifest between them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.mirror = folder, folder / "source", folder / "mirror"
        self.manifest = folder / "manifest"
        self.source.mkdir()
        self.mirror.mkdir(mode=0o700)

    def copy(self, *, is_split: bool = False, trusts: bool = True, deadline: Deadline | None = None) -> Account:
        old = manifest.Reader(self.manifest if trusts else None)
        try:
            new = manifest.Writer(self.manifest)
            return Pass(str(self.source), str(self.mirror), old, new, is_split=is_split, deadline=deadline).run()
        finally:
            old.close()

    def assert_same(self) -> None:
        assert snapshot(self.mirror) == snapshot(self.source)

    def cool(self) -> None:
        """Make every entry look as if it had been left alone for long, so that nothing is examined for its age."""
        for folder, folders, files in os.walk(self.source):
            for name in [*folders, *files]:
                os.utime(Path(folder, name), ns=(10**18, 10**18), follow_symlinks=False)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def fill(root: Path) -> None:
    """One of everything an unprivileged account can make."""
    (root / "folder" / "below").mkdir(parents=True)
    (root / "empty folder").mkdir(mode=0o751)
    (root / "folder" / "file").write_bytes(b"content")
    (root / "folder" / "empty").touch(mode=0o600)
    (root / "odd \n name \\ \t").write_bytes(b"odd")
    Path(os.fsdecode(os.fsencode(root) + b"/not-utf8-\xff")).write_bytes(b"bytes")
    (root / "link").symlink_to("folder/file")
    (root / "dangling").symlink_to("/nowhere")
    os.link(root / "folder" / "file", root / "another name")
    os.link(root / "folder" / "file", root / "folder" / "below" / "third name")
    os.mkfifo(root / "pipe", 0o640)
    (root / "set-id").write_bytes(b"x")
    (root / "set-id").chmod(0o4711)
    os.utime(root / "folder", ns=(1, 123456789))
    os.utime(root / "link", ns=(1, 987654321), follow_symlinks=False)


def attributed(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as exc:
        pytest.skip(f"the filesystem of the tests has no {name}: {exc.strerror}")


def test_everything_is_kept(trees: Trees) -> None:
    fill(trees.source)
    trees.copy()
    trees.assert_same()


def test_sockets_are_left_out(trees: Trees) -> None:
    fill(trees.source)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fsencode(os.path.relpath(trees.source / "socket")))
        trees.copy()
    assert not os.path.lexists(trees.mirror / "socket")
    (trees.source / "socket").unlink()
    trees.copy()
    trees.assert_same()


def test_attributes_and_acls_are_kept_and_taken_away_again(trees: Trees) -> None:
    path, folder = trees.source / "file", trees.source / "folder"
    path.write_bytes(b"x")
    folder.mkdir()
    attributed(path, "user.colour", b"red")
    attributed(path, "system.posix_acl_access", ACL)
    attributed(folder, "system.posix_acl_default", ACL)
    (folder / "inherits").write_bytes(b"y")
    trees.copy()
    trees.assert_same()
    assert os.getxattr(trees.mirror / "file", "user.colour") == b"red"
    os.removexattr(path, "user.colour")
    os.removexattr(path, "system.posix_acl_access")
    os.removexattr(folder, "system.posix_acl_default")
    path.chmod(0o604)
    trees.copy(is_split=True)
    trees.assert_same()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owners_are_kept_as_root(trees: Trees) -> None:
    fill(trees.source)
    for name in ("folder", "folder/file", "link", "set-id", "pipe"):
        os.chown(trees.source / name, 1234, 4321, follow_symlinks=False)
    (trees.source / "set-id").chmod(0o6711)
    trees.copy()
    trees.assert_same()
    assert (trees.mirror / "set-id").stat().st_mode & 0o7777 == 0o6711


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Something else at the same name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


@pytest.mark.parametrize("is_split", [False, True], ids=["while it runs", "under the freeze"])
@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "folder" / "file").write_bytes(b"CONTENT"),
        lambda root: (root / "folder" / "file").unlink(),
        lambda root: (root / "folder" / "empty").write_bytes(b"no more"),
        lambda root: (root / "folder").rename(root / "moved"),
        lambda root: (root / "folder" / "empty").rename(root / "a"),
        lambda root: (root / "folder" / "empty").rename(root / "zzz"),
        lambda root: shutil.rmtree(root / "folder"),
        lambda root: replaced(root / "link", lambda path: path.symlink_to("other")),
        lambda root: replaced(root / "link", Path.mkdir),
        lambda root: replaced(root / "link", lambda path: path.write_bytes(b"a file now")),
        lambda root: replaced(root / "folder", lambda path: path.write_bytes(b"a file now")),
        lambda root: replaced(root / "folder", lambda path: path.symlink_to("/etc")),
        lambda root: replaced(root / "set-id", lambda path: (path / "x").mkdir(parents=True)),
        lambda root: (root / "set-id").chmod(0o600),
        lambda root: (root / "empty folder").chmod(0o700),
        lambda root: (root / "empty folder").rmdir(),
        lambda root: (root / "another name").unlink(),
        lambda root: replaced(root / "another name", lambda path: path.write_bytes(b"apart now")),
        lambda root: (root / "another name").write_bytes(b"all three names change"),
        lambda root: os.link(root / "set-id", root / "folder" / "below" / "new link"),
        lambda root: os.link(root / "folder" / "empty", root / "0 first of two"),
        lambda root: replaced(root / "pipe", os.mkfifo),
        lambda root: os.utime(root / "folder" / "file", ns=(5, 5)),
        lambda root: (root / "folder" / "below" / "new" / "newer").mkdir(parents=True),
        lambda root: root.chmod(0o711),
    ],
)
def test_every_change_is_followed(trees: Trees, change: Callable[[Path], object], is_split: bool) -> None:
    fill(trees.source)
    trees.cool()
    trees.copy()
    change(trees.source)
    trees.copy(is_split=is_split)
    trees.assert_same()
    trees.copy()
    trees.assert_same()


def test_what_was_done_to_the_copy_is_repaired(trees: Trees) -> None:
    fill(trees.source)
    trees.cool()
    trees.copy()
    root = trees.mirror
    kept = (root / "folder" / "empty").stat()
    (root / "folder" / "empty").write_bytes(b"written on the copy")
    os.utime(root / "folder" / "empty", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (root / "stranger").mkdir()
    (root / "stranger" / "file").touch()
    (root / "link").unlink()
    (root / "odd \n name \\ \t").unlink()
    (root / "odd \n name \\ \t").mkdir()
    (root / "set-id").chmod(0o777)
    (root / "empty folder").chmod(0o777)
    (root / "another name").unlink()
    (root / "another name").write_bytes(b"content")
    trees.copy()
    trees.assert_same()


def test_nothing_is_written_where_nothing_changed(trees: Trees) -> None:
    fill(trees.source)
    (trees.source / "another name").unlink()
    (trees.source / "folder" / "below" / "third name").unlink()
    (trees.source / "big").write_bytes(os.urandom(3 * MIB))
    trees.copy()
    before = {path: path.lstat().st_ctime_ns for path in trees.mirror.rglob("*")}
    assert trees.copy().written_bytes == 0
    assert {path: path.lstat().st_ctime_ns for path in trees.mirror.rglob("*") if path.is_file()} == {
        path: at for path, at in before.items() if path.is_file()
    }


def test_of_a_large_file_only_what_changed_is_written(trees: Trees) -> None:
    big = trees.source / "big"
    big.write_bytes(os.urandom(16 * MIB))
    assert trees.copy().written_bytes == 16 * MIB
    with big.open("r+b") as file:
        file.seek(5 * MIB + 7)
        file.write(b"changed")
    inode = (trees.mirror / "big").stat().st_ino
    assert trees.copy(is_split=True).written_bytes == copying.PIECE_BYTES
    assert (trees.mirror / "big").stat().st_ino == inode
    trees.assert_same()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
@pytest.mark.parametrize("before", [None, 0, 7, 2 * MIB, 5 * MIB])
def test_files_become_longer_and_shorter(trees: Trees, size: int, before: int | None) -> None:
    if before is not None:
        (trees.source / "file").write_bytes(os.urandom(before))
        trees.copy()
    (trees.source / "file").write_bytes(os.urandom(size))
    trees.copy(is_split=True)
    trees.assert_same()


def test_holes_stay_holes_and_new_holes_read_as_zeros(trees: Trees) -> None:
    path = trees.source / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(40 * MIB)
        file.write(b"end")
        file.truncate(64 * MIB)
    trees.copy()
    trees.assert_same()
    assert (trees.mirror / "sparse").stat().st_blocks * 512 < 2 * MIB
    (trees.source / "dense").write_bytes(os.urandom(4 * MIB))
    trees.copy()
    with (trees.source / "dense").open("r+b") as file:
        file.truncate(0)
        file.truncate(4 * MIB)
    trees.copy()
    trees.assert_same()


def test_a_change_within_the_clocks_grain_is_not_overlooked(trees: Trees) -> None:
    path = trees.source / "file"
    path.write_bytes(b"one")
    trees.copy()
    times = path.stat()
    path.write_bytes(b"two")  # same size, and put back to the same times as far as anybody can
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    rows = trees.manifest.read_bytes().splitlines()
    assert all(row.startswith(manifest.HOT.encode()) for row in rows)
    trees.copy(is_split=True)
    assert (trees.mirror / "file").read_bytes() == b"two"


def test_a_tree_left_alone_is_not_examined_again(trees: Trees) -> None:
    (trees.source / "file").write_bytes(b"one")
    trees.copy()
    rows = trees.manifest.read_text().splitlines()
    cold = [row.replace(f"{manifest.HOT}\t", f"{manifest.look((trees.source / 'file').stat())}\t", 1) for row in rows]
    trees.manifest.write_text("\n".join(cold) + "\n")
    assert trees.copy(is_split=True).read_bytes == 0


def test_a_link_that_takes_a_folders_place_leads_nobody_out_of_the_mirror(trees: Trees, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    (trees.source / "folder" / "below").mkdir(parents=True)
    (trees.source / "folder" / "precious").write_bytes(b"other")
    trees.copy()
    shutil.rmtree(trees.mirror / "folder")
    (trees.mirror / "folder").symlink_to(outside)
    shutil.rmtree(trees.source / "folder")
    trees.copy(is_split=True)  # removes folder/below and folder/precious by name
    assert (outside / "precious").read_bytes() == b"precious"
    assert (outside / "below").is_dir()
    (trees.source / "folder").mkdir()
    trees.copy()
    assert (outside / "precious").read_bytes() == b"precious"
    trees.assert_same()


def test_a_passed_deadline_stops_between_blocks_and_leaves_the_manifest(trees: Trees) -> None:
    (trees.source / "file").write_bytes(b"one")
    trees.copy()
    before = trees.manifest.read_bytes()
    (trees.source / "big").write_bytes(bytes(8 * MIB))
    with pytest.raises(DeadlinePassed, match="not copied in the time"):
        trees.copy(is_split=True, deadline=Deadline.after(0))
    assert trees.manifest.read_bytes() == before
    assert [path.name for path in trees.folder.glob("manifest*")] == ["manifest"]


def test_a_file_written_to_under_the_freeze_is_told(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trees.source / "file"
    path.write_bytes(b"one")
    trees.copy()
    path.write_bytes(b"two")
    content = copying.content

    def and_somebody_writes(*given: object) -> tuple[int, int]:
        done = content(*given)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"!")
        return done

    monkeypatch.setattr(copying, "content", and_somebody_writes)
    with pytest.raises(CommandFailed, match=r"source/file was written to while it was copied"):
        trees.copy(is_split=True)
    trees.copy()  # while the application runs, that is what is expected


def test_a_full_mirror_is_told_with_what_to_do(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> int:
        raise OSError(28, "No space left on device")

    (trees.source / "file").write_bytes(b"one")
    monkeypatch.setattr(copying, "_written", full)
    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(CommandFailed, match=r"source/file cannot be copied: No space") as caught:
        trees.copy()
    assert "make room" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_roots_rights_an_unreadable_file_is_named(trees: Trees, tmp_path: Path) -> None:
    (trees.source / "secret").write_bytes(b"one")
    (trees.source / "secret").chmod(0)
    os.chown(trees.mirror, 65534, 65534)
    tmp_path.chmod(0o777)
    with (
        pytest.raises(CommandFailed, match=r"source/secret cannot be copied: Permission denied") as caught,
        nobody(tmp_path),
    ):
        trees.copy()
    assert "as root" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_roots_rights_folders_that_may_not_be_written_to_are_copied_and_emptied(
    trees: Trees, tmp_path: Path
) -> None:
    closed = trees.source / "closed"
    closed.mkdir()
    (closed / "file").write_bytes(b"one")
    (closed / "file").chmod(0o400)
    closed.chmod(0o500)
    tmp_path.chmod(0o777)
    for path in (trees.source, closed, closed / "file", trees.mirror):
        os.chown(path, 65534, 65534)
    with nobody(tmp_path):
        trees.copy()
        trees.assert_same()
        (closed / "file").chmod(0o600)
        (closed / "file").write_bytes(b"two")
        (closed / "file").chmod(0o400)
        trees.copy()
        trees.assert_same()
        closed.chmod(0o700)
        (closed / "file").unlink()
        closed.rmdir()
        trees.copy()
        trees.assert_same()


class nobody:  # noqa: N801 - reads as the word it is in a with statement
    """This process without root's rights for a block; the way to `folder` is opened."""

    def __init__(self, folder: Path) -> None:
        self.opened = [path for path in folder.parents if not path.stat().st_mode & stat.S_IXOTH]

    def __enter__(self) -> None:
        for path in self.opened:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
        os.setegid(65534)
        os.seteuid(65534)

    def __exit__(self, *exc: object) -> None:
        os.seteuid(0)
        os.setegid(0)
        for path in self.opened:
            path.chmod(path.stat().st_mode & ~stat.S_IXOTH)


NAMES = ["a", "b", "c", "a.b", "d e"]


def mutate(root: Path, choose: random.Random, count: int) -> None:
    """Do `count` things to a tree that a living application might do."""
    for _ in range(count):
        folders = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
        path = choose.choice(folders) / choose.choice(NAMES)
        others = [one for one in root.rglob("*") if one.is_file() and not one.is_symlink()]
        act = choose.choice(["file", "folder", "link", "hard", "gone", "move", "mode"])
        if act in ("file", "folder", "link", "hard", "gone") and os.path.lexists(path) and act != "file":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if act == "file" and not path.is_dir() and not path.is_symlink():
            path.write_bytes(choose.randbytes(choose.choice([0, 3, 70_000])))
        elif act == "folder":
            path.mkdir()
        elif act == "link":
            path.symlink_to(choose.choice(NAMES))
        elif act == "hard" and (still := [one for one in others if one.exists()]):
            os.link(choose.choice(still), path)
        elif act == "move" and others and not os.path.lexists(path):
            choose.choice(others).rename(path)
        elif act == "mode" and path.is_file() and not path.is_symlink():
            path.chmod(choose.choice([0o600, 0o644]))


@pytest.fixture
def many_trees() -> Iterator[list[Path]]:
    made: list[Path] = []
    yield made
    for folder in made:
        shutil.rmtree(folder)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=4))
def test_whatever_is_done_to_a_tree_the_copy_becomes_the_same(
    many_trees: list[Path], seed: int, rounds: list[tuple[int, bool]]
) -> None:
    many_trees.append(Path(tempfile.mkdtemp(prefix="splitmirror-trees-")))
    trees, choose = Trees(many_trees[-1]), random.Random(seed)
    mutate(trees.source, choose, 12)
    trees.copy()
    trees.assert_same()
    for count, also_the_copy in rounds:
        mutate(trees.source, choose, count)
        trees.copy(is_split=True)
        trees.assert_same()
        if also_the_copy:
            mutate(trees.mirror, choose, count)
        mutate(trees.source, choose, 1)
        trees.copy()
        trees.assert_same()
