"""The state folder belongs to one user and to nobody else; a boot has one name."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from splitmirror import state
from splitmirror.state import StateFolder
from splitmirror_drivers.kit.errors import JournalFault, PolicyFault

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user are made")


def test_it_is_made_for_us_alone_with_its_rooms(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        opened = StateFolder.open(str(tmp_path / "new" / "state"), {})
    finally:
        os.umask(before)
    assert opened.path == tmp_path / "new" / "state"
    for folder in (opened.path, opened.locks, opened.cards, opened.log):
        assert folder.stat().st_mode & 0o7777 == 0o700
    assert StateFolder.open(str(opened.path), {}) == opened


def test_what_others_could_only_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    StateFolder.open(str(tmp_path / "state"), {})
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_what_others_could_have_written_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    with pytest.raises(JournalFault, match="may be written to by others") as fault:
        StateFolder.open(str(tmp_path / "state"), {})
    assert f"chmod 0700 {tmp_path / 'state'}" in fault.value.hint
    assert (tmp_path / "state").stat().st_mode & 0o7777 == mode


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(JournalFault, match="is not a folder of its own"):
        StateFolder.open(str(tmp_path / "state"), {})
    (tmp_path / "file").touch()
    with pytest.raises(JournalFault, match="is not a folder of its own"):
        StateFolder.open(str(tmp_path / "file"), {})


def test_a_room_that_is_a_link_is_refused_too(tmp_path: Path) -> None:
    opened = StateFolder.open(str(tmp_path / "state"), {})
    opened.cards.rmdir()
    opened.cards.symlink_to(tmp_path)
    with pytest.raises(JournalFault, match="cards is not a folder of its own"):
        StateFolder.open(str(opened.path), {})


@as_root
def test_another_users_folder_is_refused_and_the_way_to_its_owner_is_shown(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 65534, 65534)
    owner = pwd.getpwuid(65534).pw_name
    with pytest.raises(JournalFault, match=f"belongs to {owner}, and this is root") as fault:
        StateFolder.open(str(tmp_path / "state"), {})
    assert fault.value.hint == f"run it as the owner: sudo -u {owner} COMMAND"


def test_a_user_who_is_not_the_owner_is_shown_one_sudoers_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/splitmirror/splitmirror-pre"])
    assert (
        "`backup ALL=(root) NOPASSWD: /opt/splitmirror/splitmirror-pre, /opt/splitmirror/splitmirror-post, "
        "/opt/splitmirror/splitmirror`"
    ) in state.reach("backup", "root")


def test_a_relative_path_is_refused_since_hooks_start_anywhere(tmp_path: Path) -> None:
    with pytest.raises(PolicyFault, match="is not an absolute path"):
        StateFolder.open("state", {})


def test_the_default_place_is_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state.place("", {"XDG_STATE_HOME": "/x"}) == Path("/var/lib/splitmirror")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state.place("", {"XDG_STATE_HOME": "/x", "HOME": "/home/jo"}) == Path("/x/splitmirror")
    assert state.place("", {"XDG_STATE_HOME": "x", "HOME": "/home/jo"}) == Path("/home/jo/.local/state/splitmirror")
    assert state.place("/srv/s", {}) == Path("/srv/s")


def test_what_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalFault, match="cannot be made: File exists"):
        StateFolder.open(str(tmp_path / "file" / "state"), {})


def test_a_boot_has_one_name() -> None:
    assert state.boot_id() == state.boot_id()
    assert len(state.boot_id()) == 36


def test_a_boot_without_its_name_is_never_guessed(tmp_path: Path) -> None:
    # a guess would pass for a restart, and a restart frees what a living backup reads
    with pytest.raises(JournalFault, match="cannot be read"):
        state.boot_id(tmp_path / "missing")


def test_a_server_has_a_name() -> None:
    assert state.server_name() == os.uname().nodename
