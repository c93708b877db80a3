"""Changing a file that a person wrote: comments stay, and at every moment there is a whole file that loads."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from splitmirror.policy import edit, load
from splitmirror_drivers.kit.errors import PolicyFault

TEXT = """\
# our backup server
[settings]
syslog = false   # too loud

# the ERP's server
[hosts.db1]
transport = "local"     # for now
shell     = "/bin/sh"

[applications.erp]
driver = "postgresql"
host   = "db1"          # see above
"""
MORE = """\
# added
[applications.crm]
driver = "postgresql"  # as erp
# port = 5432
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "splitmirror.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_value_is_replaced_and_everything_else_stays_as_it_was(file: Path) -> None:
    edit.put(file, ("applications", "erp", "host"), "local")
    assert file.read_text() == TEXT.replace('"db1"          # see', '"local"          # see')


def test_a_value_is_added_where_it_belongs(file: Path) -> None:
    edit.put(file, ("applications", "erp", "port"), 5433)
    assert load.load(file).application_options["erp"][1].port == 5433
    assert all(line in file.read_text() for line in TEXT.splitlines())


def test_tables_on_the_way_are_made(file: Path) -> None:
    edit.put(file, ("hosts", "db2", "transport"), "local")
    edit.put(file, ("settings", "server"), "backup1")
    found = load.load(file)
    assert "db2" in found.host_options
    assert found.configuration.settings.server == "backup1"
    assert "[hosts.db2]" in file.read_text()


def test_a_fragment_is_added_with_its_comments(file: Path) -> None:
    edit.add(file, MORE)
    assert file.read_text() == f"{TEXT}\n{MORE}"
    assert set(load.load(file).application_options) == {"erp", "crm"}


def test_a_fragment_is_added_to_inline_tables_too(file: Path) -> None:
    file.write_text('# mine\napplications = { erp = { driver = "postgresql" } }  # short\n')
    edit.add(file, MORE)
    assert set(load.load(file).application_options) == {"erp", "crm"}
    assert "# mine" in file.read_text()


def test_a_fragment_is_added_to_an_empty_file(file: Path) -> None:
    file.write_text("")
    edit.add(file, MORE)
    assert file.read_text() == MORE


def test_a_name_that_is_taken_is_refused(file: Path) -> None:
    with pytest.raises(PolicyFault, match=r"has applications.erp already"):
        edit.add(file, MORE.replace("crm", "erp"))
    assert file.read_text() == TEXT


@pytest.mark.parametrize("value", ["db7", 7])
def test_what_would_not_load_is_never_written(file: Path, value: object) -> None:
    with pytest.raises(PolicyFault, match=str(file)):
        edit.put(file, ("applications", "erp", "host"), value)
    assert file.read_text() == TEXT
    assert names(file.parent) == ["splitmirror.toml"]


def test_a_value_is_no_table(file: Path) -> None:
    with pytest.raises(PolicyFault, match=r"hosts.db1.shell is not a table"):
        edit.put(file, ("hosts", "db1", "shell", "path"), "x")


def test_mode_and_owner_stay(file: Path) -> None:
    if os.geteuid() == 0:
        os.chown(file, -1, 12345)
    before = file.stat()
    edit.put(file, ("settings", "server"), "backup1")
    after = file.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert after.st_ino != before.st_ino, "it was replaced by a whole new file"
    assert names(file.parent) == ["splitmirror.toml"]


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.toml")
    link.symlink_to(file.name)
    edit.put(link, ("settings", "server"), "backup1")
    assert link.is_symlink()
    assert tomllib.loads(file.read_text())["settings"]["server"] == "backup1"


def test_what_somebody_else_wrote_meanwhile_is_not_lost(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = load.parse

    def slow(text: str, path: Path) -> load.Loaded:
        file.write_text(TEXT + "# by hand\n")
        return checked(text, path)

    monkeypatch.setattr(load, "parse", slow)
    with pytest.raises(PolicyFault, match="changed by somebody else meanwhile"):
        edit.put(file, ("settings", "server"), "backup1")
    assert file.read_text().endswith("# by hand\n")
    assert names(file.parent) == ["splitmirror.toml"]


def test_a_full_disk_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PolicyFault, match="No space left"):
        edit.put(file, ("settings", "server"), "backup1")
    assert file.read_text() == TEXT
    assert names(file.parent) == ["splitmirror.toml"]


def test_a_new_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "splitmirror.toml"
    edit.write_new(path, TEXT)
    assert path.read_text() == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path.parent) == ["splitmirror.toml"]


def test_a_new_file_never_replaces_one_that_is_there(file: Path) -> None:
    with pytest.raises(PolicyFault, match="is there already"):
        edit.write_new(file, "[settings]\n")
    assert file.read_text() == TEXT
    assert names(file.parent) == ["splitmirror.toml"]


def test_a_new_file_that_would_not_load_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(PolicyFault, match="unknown key"):
        edit.write_new(tmp_path / "splitmirror.toml", "[settings]\nsyslg = true\n")
    assert names(tmp_path) == []
