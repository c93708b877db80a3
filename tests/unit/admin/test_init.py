"""`splitmirror init`: what it writes loads, nothing is lost, and who leaves half-way leaves nothing behind."""

from __future__ import annotations

import argparse
import io
import os
import stat
from pathlib import Path

import pytest
from tests.unit.policy import stranger

from splitmirror.admin import frame, init
from splitmirror.policy.load import load
from splitmirror_drivers.kit.errors import GivenUp, PolicyFault, UsageFault

REHEARSAL = ("--yes", "--application", "none", "--array", "simulator")
SSH = ("--yes", "--application", "postgresql", "--host", "db1", "--address", "10.0.0.7", "--array", "simulator",
       "--array-host", "local")  # fmt: skip


def call(config: Path, *words: str) -> argparse.Namespace:
    return frame.parser("init").parse_args(["--config", str(config), *words])


def made(config: Path, *words: str) -> str:
    """Run it, and hand back what it wrote."""
    assert init.run(call(config, *words)) == 0
    return config.read_text()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "splitmirror.toml"


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_flags_alone_make_a_policy_that_loads(config: Path) -> None:
    made(config, *REHEARSAL, "--name", "shop")
    found = load(config)
    assert list(found.configuration.policies) == ["shop"]
    assert found.array_options["simulator"][1].groups.keys() == {"shop"}
    assert found.configuration.policies["shop"].present[0].directory == "/backup/shop"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_what_else_there_is_stands_behind_comments_with_its_default(config: Path) -> None:
    text = made(config, *SSH)
    assert "# port = 5432" in text
    assert '# max-freeze = "30s"' in text
    assert '# reattach = "before-next"' in text
    assert "The database role." in text
    everything = "\n".join(
        line.removeprefix("# ") if line.startswith("# max-freeze") else line for line in text.splitlines()
    )
    config.write_text(everything)
    assert load(config).configuration.policies["erp"].max_freeze == 30.0


def test_a_new_data_server_gets_its_table(config: Path) -> None:
    made(config, *SSH)
    kind, options = load(config).host_options["db1"]
    assert kind == "ssh"
    assert (options.addresses, options.user, options.sudo) == (("10.0.0.7",), "splitmirror", "root")
    assert options.key.file == "/etc/splitmirror/db1.key"
    assert load(config).application_options["erp"][2] == "db1"


def test_the_login_to_a_new_data_server_is_explained(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(config, *SSH)
    said = capsys.readouterr().out
    assert "ssh-keygen -t ed25519 -N '' -f /etc/splitmirror/db1.key" in said
    assert "authorized_keys of splitmirror@10.0.0.7" in said


def test_a_copy_that_appears_on_the_data_server_has_no_card_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(config, *SSH[:-4], "--array", "btrfs", "--set", "array.groups.erp.subvolume=/srv/pg",
         "--set", "array.groups.erp.snapshots=/srv/sn")  # fmt: skip
    assert load(config).configuration.policies["erp"].present[0].host == "db1"
    said = capsys.readouterr().out
    assert "/backup/erp on db1" in said
    assert ".card" not in said


def test_a_second_policy_is_added_and_the_first_stays_as_it_is(config: Path) -> None:
    before = made(config, *SSH) + "# mine\n"
    config.write_text(before)
    text = made(config, "--yes", "--name", "crm", "--application", "postgresql", "--host", "db1",
                "--array", "simulator", "--groups", "erp")  # fmt: skip
    assert text.startswith(before)
    assert text.count("[hosts.db1]") == 1, "a host of the file is used and not written again"
    assert text.count("[arrays.") == before.count("[arrays."), "so is an array"
    assert list(load(config).configuration.policies) == ["erp", "crm"]


def test_a_policy_of_that_name_is_refused(config: Path) -> None:
    before = made(config, *REHEARSAL)
    with pytest.raises(UsageFault, match="there is a policy erp already"):
        init.run(call(config, *REHEARSAL, "--name", "erp"))
    assert config.read_text() == before


def test_a_file_that_is_wrong_is_not_added_to(config: Path) -> None:
    config.write_text("[policies.erp]\nmirors = []\n")
    config.chmod(0o600)
    with pytest.raises(PolicyFault, match="mirors: unknown key"):
        init.run(call(config, *REHEARSAL, "--name", "crm"))


def test_any_other_key_can_be_set(config: Path) -> None:
    made(config, *REHEARSAL, "--set", "array.groups.erp.pairs=3", "--set", "policy.max-freeze=7s", "--set",
         'array.faults=["split:hang"]')  # fmt: skip
    found = load(config)
    assert found.array_options["simulator"][1].groups["erp"].pairs == 3
    assert found.array_options["simulator"][1].faults == ("split:hang",)
    assert found.configuration.policies["erp"].max_freeze == 7.0


MISTAKES = {
    "no application": (("--yes", "--array", "simulator"), "--application is needed"),
    "unknown application": (("--yes", "--application", "postgres"), "did you mean postgresql"),
    "unknown array": (("--yes", "--application", "none", "--array", "simulatr"), "did you mean simulator"),
    "unknown array host": ((*REHEARSAL, "--array-host", "db9"), "there is no such host"),
    "unknown product": ((*REHEARSAL, "--product", "bakula"), "did you mean bacula"),
    "bad name": ((*REHEARSAL, "--name", "my policy"), "a name has letters"),
    "relative path": ((*REHEARSAL, "--present", "backup"), "write it from the root on"),
    "key that is missing": (("--yes", "--application", "none", "--array", "directory"), "directory needs source"),
    "array of commands": (("--yes", "--application", "none", "--array", "command"), "more than questions can ask"),
    "application of commands": (("--yes", "--application", "command"), "more than questions can ask"),
    "part of what commands need": (
        ("--yes", "--application", "none", "--array", "command", "--set", "array.family=mirror"),
        "more than questions can ask",
    ),
    "set of nothing": ((*REHEARSAL, "--set", "pairs=3"), "is not understood"),
    "set of an unknown key": ((*REHEARSAL, "--set", "policy.max-frezze=3s"), "did you mean|unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("which", MISTAKES)
def test_a_mistake_writes_nothing(which: str, config: Path) -> None:
    words, sentence = MISTAKES[which]
    with pytest.raises(UsageFault, match=sentence):
        init.run(call(config, *words))
    assert not config.exists()
    assert not list(config.parent.iterdir())


def test_a_missing_key_says_how_it_is_given(config: Path) -> None:
    with pytest.raises(UsageFault) as caught:
        init.run(call(config, "--yes", "--application", "none", "--array", "directory"))
    assert caught.value.hint == "say --set array.groups.erp.source=VALUE"


def test_a_person_is_asked_and_asked_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "shop", "sqlit", "sqlite", "", "/srv/a.db, /srv/b.db", "directory", "", "", "/srv/shop",
            "/srv/mirror", "", "", "", "yes")  # fmt: skip
    assert init.run(call(config)) == 0
    found = load(config)
    assert found.application_options["shop"][1].databases == ("/srv/a.db", "/srv/b.db")
    group = found.array_options["directory"][1].groups["shop"]
    assert (group.source, group.mirror) == ("/srv/shop", "/srv/mirror")
    assert "did you mean sqlite?" in capsys.readouterr().out


@pytest.mark.parametrize("given", [(), ("shop",), ("shop", "none", "simulator", "", "", "", "", "")])
def test_leaving_the_questions_leaves_nothing(
    given: tuple[str, ...], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, *given)
    with pytest.raises(GivenUp, match="nothing was written"):
        init.run(call(config))
    assert not list(config.parent.iterdir())


def test_saying_no_at_the_end_leaves_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "shop", "none", "simulator", "", "", "", "", "", "no")
    with pytest.raises(GivenUp):
        init.run(call(config))
    assert not config.exists()


def test_ctrl_c_leaves_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    with pytest.raises(GivenUp):
        init.run(call(config))
    assert not list(config.parent.iterdir())


def test_print_writes_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init.run(call(config, *REHEARSAL, "--print")) == 0
    assert not config.exists()
    assert "[policies.erp]" in capsys.readouterr().out


def test_it_ends_with_the_next_commands(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(config, *REHEARSAL, "--name", "shop")
    said = capsys.readouterr().out
    assert f"splitmirror check --config {config} shop" in said
    assert f"splitmirror establish --config {config} --full shop" in said
    assert f"splitmirror-pre --config {config} --policy shop" in said
    assert "/backup/shop\n  /backup/shop.card" in said


@pytest.mark.parametrize(
    ("product", "words"),
    [("bacula", "--job %i"), ("netbackup", "bpstart_notify.erp"), ("netbackup-strict", "bpend_notify.erp")],
)
def test_each_product_is_told_its_own_way(
    product: str, words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(config, *REHEARSAL, "--product", product)
    assert words in capsys.readouterr().out


def test_a_third_party_can_be_chosen_for_everything_that_drivers_are(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger.install(tmp_path, monkeypatch)
    made(config, "--yes", "--application", "none", "--array", "strange", "--product", "strange-backup",
         "--set", 'array.serial="42"', "--set", "array.groups.erp.source-path=/srv")  # fmt: skip
    assert load(config).array_options["strange"][1].groups["erp"].source_path == "/srv"
    assert "--product strange-backup" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="does not apply: root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(config: Path) -> None:
    config.parent.chmod(0o500)
    with pytest.raises(PolicyFault, match=str(config.parent)):
        init.run(call(config, *REHEARSAL))
