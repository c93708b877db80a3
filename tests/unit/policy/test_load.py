"""What a policy file may say, and what each mistake is answered with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.policy import stranger

from splitmirror.policy.load import Loaded, find_config, parse
from splitmirror_drivers.kit.errors import PolicyFault
from splitmirror_drivers.kit.units import Duration

FILE = Path("/etc/splitmirror/splitmirror.toml")
GOOD = """\
[hosts.db1]
transport = "local"
shell     = "/bin/dash"

[arrays.symm]
driver = "strange"
serial = "42"
groups.erp_a.source-path = "/srv/a"
groups.erp_b.source-path = "/srv/b"

[applications.erp]
driver = "postgresql"
host   = "db1"
port   = 5433

[policies.erp]
applications = ["erp"]
mirrors      = [{ array = "symm", groups = ["erp_a", "erp_b"] }]
present      = [{ mount = "/backup/erp" }]
max-freeze   = "1m30s"
"""


@pytest.fixture(autouse=True)
def strange_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger.install(tmp_path, monkeypatch)


def loaded(text: str = GOOD) -> Loaded:
    return parse(text, FILE)


def refused(text: str) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        loaded(text)
    return caught.value


def told(text: str) -> list[str]:
    """Every mistake with its hint, without the file's name."""
    fault = refused(text)
    if fault.detail:
        return fault.detail.splitlines()
    message = fault.message.removeprefix(f"{FILE}: ")
    return [f"{message}; {fault.hint}" if fault.hint else message]


def test_a_good_file_becomes_typed_values() -> None:
    found = loaded()
    policy = found.configuration.policies["erp"]
    assert policy.max_freeze == 90.0
    assert isinstance(policy.max_freeze, Duration)
    assert policy.mirrors[0].groups == ("erp_a", "erp_b")
    kind, options, host = found.application_options["erp"]
    assert (kind, options.port, options.os_user, host) == ("postgresql", 5433, "postgres", "db1")
    kind, options, host = found.array_options["symm"]
    assert (kind, options.serial, options.groups["erp_a"].source_path, host) == ("strange", "42", "/srv/a", "local")
    assert found.host_options["db1"][1].shell == "/bin/dash"


def test_this_machine_is_always_a_host() -> None:
    kind, options = loaded("").host_options["local"]
    assert kind == "local"
    assert options == type(options)()


def test_this_machine_can_be_given_options_and_stays_this_machine() -> None:
    assert loaded('[hosts.local]\ntransport = "local"\nsudo = "root"\n').host_options["local"][1].sudo == "root"


def replaced(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


MISTAKES = {
    "unknown key of a policy": (
        replaced("max-freeze ", "max-frezze "),
        "line 20: policies.erp.max-frezze: unknown key; did you mean max-freeze?",
    ),
    "unknown key inside a list of tables": (
        replaced('{ mount = "/backup/erp" }', '{ mount = "/backup/erp", owner = "oracle" }'),
        "line 19: policies.erp.present[0].owner: unknown key; the other keys are: device, directory, disk-group, drive, "
        "filesystem, fsck, host, mirror, options, pool, raw, rescan, …",
    ),
    "unknown key of a driver": (
        replaced("port   =", "prot   ="),
        "line 14: applications.erp.prot: unknown key; did you mean port?",
    ),
    "unknown key of a third party's driver, in a table of its own": (
        replaced("groups.erp_b.source-path", "groups.erp_b.source-pth"),
        "line 9: arrays.symm.groups.erp_b.source-pth: unknown key; did you mean source-path?",
    ),
    "unknown section": (
        replaced("[policies.erp]", "[policy.erp]"),
        "line 16: policy: unknown section; did you mean policies?",
    ),
    "missing key": (replaced('serial = "42"\n', ""), 'line 5: arrays.symm: serial is missing; write serial = "…"'),
    "missing driver": (
        replaced('driver = "strange"\n', ""),
        'line 5: arrays.symm: driver is missing; write for example driver = "command"; the drivers are: ',
    ),
    "missing transport": (
        replaced('transport = "local"\n', ""),
        'line 1: hosts.db1: transport is missing; write for example transport = "ssh"; the transports are: local, ssh',
    ),
    "unknown driver": (
        replaced('"postgresql"', '"postgres"'),
        "line 12: applications.erp.driver: there is no driver 'postgres'; did you mean postgresql?",
    ),
    "unknown transport": (
        replaced('"local"', '"shh"'),
        "line 2: hosts.db1.transport: there is no transport 'shh'; did you mean ssh?",
    ),
    "driver that is no text": (
        replaced('"postgresql"', "7"),
        "line 12: applications.erp.driver: is not a text; write its name in quotes",
    ),
    "a stranger's driver that cannot be loaded": (
        replaced('"strange"', '"broken"'),
        "line 6: arrays.symm.driver: the driver broken (strange_array_that_is_gone:driver) cannot be loaded: "
        "ModuleNotFoundError",
    ),
    "wrong type": (replaced("5433", '"5433"'), "line 14: applications.erp.port: expected a whole number, got a text"),
    "list instead of a text": (replaced('serial = "42"', "serial = []"), "expected a text in quotes, got a list"),
    "text instead of a list": (
        replaced('["erp"]', '"erp"'),
        "line 17: policies.erp.applications: expected a list, got a text in quotes",
    ),
    "number without its unit": (
        replaced('"1m30s"', "90"),
        'line 20: policies.erp.max-freeze: 90 has no unit; write for example "30s"',
    ),
    "text without its unit": (
        replaced('"1m30s"', '"30"'),
        "'30' is not a duration; write for example 30s, 5m or 1h30m",
    ),
    "word that is not known": (
        GOOD + 'reattach = "after-bakcup"\n',
        'line 21: policies.erp.reattach: "after-bakcup" is not known here; did you mean after-backup?',
    ),
    "secret kept in two places": (
        replaced("port   = 5433", 'password = { env = "A", file = "/b" }'),
        "line 14: applications.erp.password: a secret is one reference: env, file, keyring or command",
    ),
    "unknown host": (replaced('"db1"', '"bd1"'), 'applications.erp.host: there is no host "bd1"; did you mean db1?'),
    "unknown application": (
        replaced('["erp"]', '["epr"]'),
        'line 17: policies.erp.applications[0]: there is no application "epr"; did you mean erp?',
    ),
    "unknown array": (
        replaced('array = "symm"', 'array = "simm"'),
        'policies.erp.mirrors[0].array: there is no array "simm"; did you mean symm?',
    ),
    "unknown group": (
        replaced('["erp_a", "erp_b"]', '["erp_a", "erp_c"]'),
        'line 18: policies.erp.mirrors[0].groups[1]: there is no group of symm "erp_c"; did you mean erp_b?',
    ),
    "unknown mirror of a presentation": (
        replaced('mount = "/backup/erp"', 'mount = "/backup/erp", mirror = "symm/erp_x"'),
        'policies.erp.present[0].mirror: there is no mirror of this policy "symm/erp_x"; did you mean symm/erp_',
    ),
    "unknown host of a presentation": (
        replaced('mount = "/backup/erp"', 'mount = "/backup/erp", host = "db7"'),
        'policies.erp.present[0].host: there is no host "db7"; did you mean db1?',
    ),
    "group named twice": (
        replaced('["erp_a", "erp_b"]', '["erp_a", "erp_a"]'),
        "policies.erp.mirrors[0].groups[1]: symm/erp_a is named twice in this policy",
    ),
    "application named twice": (replaced('["erp"]', '["erp", "erp"]'), '"erp" is named twice'),
    "group that is a mirror and a log mirror": (
        GOOD + 'log-mirrors = [{ array = "symm", groups = ["erp_b"] }]\n',
        "line 21: policies.erp.log-mirrors[0].groups[0]: symm/erp_b is named twice in this policy",
    ),
    "no mirrors": (
        replaced('[{ array = "symm", groups = ["erp_a", "erp_b"] }]', "[]"),
        "line 18: policies.erp.mirrors: is empty",
    ),
    "no groups": (replaced('["erp_a", "erp_b"]', "[]"), "policies.erp.mirrors[0].groups: is empty"),
    "two places in one presentation": (
        replaced('mount = "/backup/erp"', 'mount = "/backup/erp", raw = "/dev/x"'),
        "policies.erp.present[0]: mount and raw are given: it wants exactly one of mount, directory, raw",
    ),
    "no place in a presentation": (replaced('mount = "/backup/erp"', "fsck = true"), "says not where"),
    "relative path": (replaced('"/backup/erp"', '"backup/erp"'), 'mount: "backup/erp" is not an absolute path'),
    "path that is not plain": (replaced('"/backup/erp"', '"/backup/erp/"'), 'written plainly; write "/backup/erp"'),
    "path with dots": (replaced('"/backup/erp"', '"/backup/../erp"'), 'written plainly; write "/erp"'),
    "root as a mount point": (replaced('"/backup/erp"', '"/"'), "the root of this machine is no place for that"),
    "presented twice": (
        replaced('[{ mount = "/backup/erp" }]', '[{ mount = "/b/a" }, { directory = "/b/a" }]'),
        "policies.erp.present[1]: /b/a is presented twice",
    ),
    "presented in another presentation": (
        replaced('[{ mount = "/backup/erp" }]', '[{ mount = "/b/a" }, { mount = "/b/a/c" }]'),
        "policies.erp.present[1]: /b/a/c and /b/a are in each other's way",
    ),
    "presented where another's card lies": (
        replaced('[{ mount = "/backup/erp" }]', '[{ mount = "/b/a" }, { mount = "/b/a.card" }]'),
        "policies.erp.present[1]: /b/a.card and /b/a are in each other's way",
    ),
    "presented where another policy presents": (
        GOOD + '[policies.x]\nmirrors = [{array="symm", groups=["erp_b"]}]\npresent = [{ raw = "/backup/erp" }]\n',
        "line 23: policies.x.present[0]: /backup/erp is presented twice; give each copy a place of its own; "
        "the other one is policy erp, entry 0",
    ),
    "relative filesystem": (
        GOOD + 'freeze-filesystems = ["srv"]\n',
        'line 21: policies.erp.freeze-filesystems[0]: "srv" is not an absolute path',
    ),
    "root to be frozen": (GOOD + 'freeze-filesystems = ["/"]\n', "the root of this machine is no place for that"),
    "freezing neither auto nor a list": (GOOD + 'freeze-filesystems = "all"\n', "the words are: auto, none"),
    "no freeze": (replaced('"1m30s"', '"0s"'), "policies.erp.max-freeze: must be more than 0"),
    "no outage": (GOOD + 'max-outage = "0s"\n', "line 21: policies.erp.max-outage: must be more than 0"),
    "less than no retries": (GOOD + "retries = -1\n", "line 21: policies.erp.retries: -1 is less than 0"),
    "no streams": (GOOD + "streams = 0\n", "line 21: policies.erp.streams: 0 is less than 1"),
    "no copies kept": (GOOD + "keep = 0\n", "line 21: policies.erp.keep: 0 is less than 1"),
    "no time beside the freeze": (
        GOOD + 'product-limit = "60s"\n',
        "line 21: policies.erp.product-limit: 1m leaves no time beside max-freeze (1m30s)",
    ),
    "relative state folder": ('[settings]\nstate = "var"\n', 'line 2: settings.state: "var" is not an absolute path'),
    "name that is no word": (
        GOOD.replace("[policies.erp]", '[policies."erp one"]'),
        'line 16: policies."erp one": is not a name',
    ),
    "name that would leave its folder": (GOOD.replace("[policies.erp]", '[policies."../erp"]'), "is not a name"),
    "server that is no word": ('[settings]\nserver = "backup one"\n', 'line 2: settings.server: "backup one" is not'),
    "this machine by ssh": (
        '[hosts.local]\ntransport = "strange"\n',
        "line 2: hosts.local.transport: there is no transport 'strange'",
    ),
    "section that is no table": ("hosts = 3\n", "line 1: hosts: is not a table; write [hosts.NAME]"),
    "entry that is no table": ("[arrays]\nsymm = 3\n", "line 2: arrays.symm: is not a table; write [arrays.symm]"),
    "list of tables": ("[[policies]]\nname = 'erp'\n", "line 1: policies: is not a table; write [policies.NAME]"),
    "settings that are no table": ("settings = 3\n", "line 1: settings: expected a table, got a whole number"),
}


@pytest.mark.parametrize("which", MISTAKES)
def test_each_mistake_is_one_sentence_with_place_and_cure(which: str) -> None:
    text, wanted = MISTAKES[which]
    said = told(text)
    assert len(said) == 1, said
    assert wanted in said[0]


def test_all_mistakes_are_told_at_once_and_in_order_the_first_is_the_message() -> None:
    text = replaced("port   =", "prot   =").replace("1m30s", "30").replace('"42"', "42").replace('"erp_b"]', '"x"]')
    fault = refused(text)
    assert (
        fault.message
        == f"{FILE}: line 7: arrays.symm.serial: expected a text in quotes, got a whole number (and 2 more)"
    )
    assert [line.split(":")[0] for line in fault.detail.splitlines()] == ["line 7", "line 14", "line 20"]


def test_a_table_that_is_wrong_is_not_missing_too() -> None:
    said = told(replaced("port   =", "prot   ="))
    assert len(said) == 1, "the application that the policy names is there, though wrong"


def test_bad_toml_is_told_with_line_and_column() -> None:
    fault = refused('[policies.erp]\nmax-freeze = "30s\n')
    assert fault.message.startswith(f"{FILE}: line 2, column 18: not TOML: ")
    assert refused("a = 1\n= 2\n").message.startswith(f"{FILE}: line 2, column 1: not TOML: ")
    assert refused("a = 'b").message.startswith(f"{FILE}: the end (after a in line 1): not TOML: ")


def test_a_third_party_is_only_asked_for_what_is_in_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def never(**_: object) -> object:
        raise AssertionError("entry points were read")

    monkeypatch.setattr(importlib.metadata, "entry_points", never)
    text = '[applications.erp]\ndriver = "postgresql"\n[hosts.db1]\ntransport = "local"\n'
    assert loaded(text).application_options["erp"][0] == "postgresql"


def test_only_the_drivers_that_the_file_names_are_imported(tmp_path: Path) -> None:
    config = tmp_path / "splitmirror.toml"
    config.write_text('[hosts.db1]\ntransport = "local"\n')
    program = (
        "import sys; from pathlib import Path; from splitmirror.policy.load import load; load(Path(sys.argv[1]));"
        "print(*sorted(m for m in sys.modules if m.startswith(('splitmirror_drivers.', 'tomlkit', 'rich', 'difflib',"
        " 'paramiko', 'importlib.metadata', 'splitmirror.policy.explain', 'splitmirror.policy.schema'))))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(config)], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip
    found = set(done.stdout.split())
    assert "splitmirror_drivers.hosts.local" in found
    strangers = {name for name in found if not name.startswith("splitmirror_drivers.")}
    assert not strangers
    assert not {name for name in found if ".arrays." in name or ".applications." in name or name.endswith(".ssh")}


def test_where_the_file_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {"SPLITMIRROR_CONFIG": "/from/variable.toml", "HOME": "/home/op"}
    assert find_config("/said.toml", variable) == Path("/said.toml")
    assert find_config("", variable) == Path("/from/variable.toml")
    assert find_config("said.toml", {}) == Path.cwd() / "said.toml"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert find_config("", {}) == Path("/etc/splitmirror/splitmirror.toml")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert find_config("", {"HOME": "/home/op"}) == Path("/home/op/.config/splitmirror/splitmirror.toml")
    assert find_config("", {"HOME": "/home/op", "XDG_CONFIG_HOME": "/x"}) == Path("/x/splitmirror/splitmirror.toml")
    assert find_config("", {"HOME": "/home/op", "XDG_CONFIG_HOME": "x"}) == Path(
        "/home/op/.config/splitmirror/splitmirror.toml"
    )
