"""A policy file decides which commands run: who may have written it, and what can be wrong with the file itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from splitmirror.policy import read
from splitmirror.policy.load import load
from splitmirror.policy.read import read_text, require_trusted
from splitmirror_drivers.kit.errors import PolicyFault


def made(folder: Path, content: bytes = b"[settings]\n", mode: int = 0o600) -> Path:
    path = folder / "splitmirror.toml"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        read_text(path)
    return caught.value


def found(uid: int, mode: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


def test_a_private_file_is_read(tmp_path: Path) -> None:
    assert read_text(made(tmp_path)) == "[settings]\n"
    assert load(made(tmp_path)).path == tmp_path / "splitmirror.toml"


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    fault = refusal(tmp_path / "no.toml")
    assert "there is no policy file" in fault.message
    assert "splitmirror init" in fault.hint


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path).message


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a regular file" in refusal(tmp_path / "pipe").message


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    fault = refusal(made(tmp_path, b"# ok\n# M\xfcller\n"))
    assert fault.message.endswith("line 2: not UTF-8")


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    assert "byte order mark" in refusal(made(tmp_path, b"\xef\xbb\xbf[settings]\n")).message


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert "longer than" in refusal(made(tmp_path, b"#" * (read.LIMIT_BYTES + 1))).message


OWNERS = [
    # who we are, whose file, mode, is it trusted
    (0, 0, 0o644, True),
    (0, 0, 0o600, True),
    (0, 0, 0o664, False),
    (0, 0, 0o602, False),
    (0, 1000, 0o600, False),
    (1000, 1000, 0o644, True),
    (1000, 1000, 0o664, True),
    (1000, 1000, 0o666, False),
    (1000, 0, 0o644, True),
    (1000, 1001, 0o644, False),
]


@pytest.mark.parametrize(("me", "owner", "mode", "is_trusted"), OWNERS)
def test_only_a_file_that_nobody_else_could_write_is_trusted(
    me: int, owner: int, mode: int, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: me)
    if is_trusted:
        require_trusted(Path("/p"), found(owner, mode))
        return
    with pytest.raises(PolicyFault) as caught:
        require_trusted(Path("/p"), found(owner, mode))
    assert "then: chown" in caught.value.hint or "then: chmod go-w /p" in caught.value.hint


def test_a_file_that_everybody_may_write_is_refused_for_real(tmp_path: Path) -> None:
    fault = refusal(made(tmp_path, mode=0o666))
    assert "may be written to by others (mode 0666)" in fault.message
    assert "chmod go-w" in fault.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused_for_real(tmp_path: Path) -> None:
    path = made(tmp_path)
    os.chown(path, 12345, -1)
    assert "belongs to uid 12345" in refusal(path).message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else and back")
def test_a_file_that_we_may_not_read_names_who_we_are(tmp_path: Path) -> None:
    path = made(tmp_path)
    os.seteuid(65534)
    try:
        fault = refusal(path)
    finally:
        os.seteuid(0)
    assert "cannot be read: Permission denied" in fault.message
    assert "hooks run as" in fault.hint
