"""What a policy says of an SSH host: mistakes are found before anything is connected, and nothing is loaded for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from splitmirror_drivers.hosts.ssh import Options
from splitmirror_drivers.kit.units import decode_hook

ROOT = Path(__file__).parents[3]
GOOD: dict[str, Any] = {
    "addresses": ["db1.example.com"],
    "user": "splitmirror",
    "key": {"file": "/etc/splitmirror/db1.key"},
}


def decoded(**changes: Any) -> Options:
    given = {key.replace("_", "-"): value for key, value in {**GOOD, **changes}.items() if value is not None}
    return msgspec.convert(given, Options, dec_hook=decode_hook)


def test_the_tables_of_the_documentation_are_read() -> None:
    options = decoded(
        jump={"addresses": ["gate"], "user": "hop", "agent": True},
        guard="installed",
        connect_timeout="5s",
        host_key=["SHA256:abc", "ssh-ed25519 AAAA"],
        known_hosts="/etc/splitmirror/known_hosts",
    )
    assert options.jump is not None
    assert options.jump.addresses == ("gate",)
    assert float(options.connect_timeout) == 5.0
    assert options.trust().pinned == ("SHA256:abc", "ssh-ed25519 AAAA")
    assert decoded(host_key="SHA256:abc").trust().pinned == ("SHA256:abc",)
    assert decoded().trust().files == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"addresses": []}, "at least one host name"),
        ({"addresses": [""]}, "at least one host name"),
        ({"addresses": None}, "addresses"),
        ({"user": None}, "user"),
        ({"user": ""}, "user is empty"),
        ({"port": 0}, "port 0"),
        ({"key": None}, "no way to log in"),
        ({"key": {"file": "/k", "env": "K"}}, "one reference"),
        ({"host_key": "abc"}, "fingerprint SHA256"),
        ({"guard": "somewhere"}, "guard"),
        ({"jump": {"addresses": ["gate"], "user": "hop"}}, "no way to log in"),
        ({"jump": "gate"}, "jump"),
        ({"adresses": ["x"]}, "adresses"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        decoded(**changes)


@pytest.mark.parametrize(
    "program",
    [
        "from splitmirror_drivers.catalogue import HOSTS; HOSTS['ssh'](); HOSTS['local']()",
        "from splitmirror_drivers.hosts.ssh import Options, SshHost\n"
        "from splitmirror_drivers.kit.units import SecretReference\n"
        "host = SshHost('a', Options(addresses=('a',), user='u', key=SecretReference(env='K')), None)\n"
        "host.families(['postgresql']); host.disconnect()",
    ],
)
def test_nothing_heavy_is_loaded_before_a_connection_is_made(program: str) -> None:
    check = "import sys; print([name for name in ('paramiko', 'cryptography', 'invoke') if name in sys.modules])"
    path = f"import sys; sys.path[:0] = [{str(ROOT / 'hooks')!r}, {str(ROOT / 'drivers')!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{path}{program}\n{check}"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_paramiko_works_where_invoke_is_not_there() -> None:
    """As in the frozen folder."""
    program = f"""
import sys
sys.path[:0] = [{str(ROOT / "hooks")!r}, {str(ROOT / "drivers")!r}]
sys.modules["invoke"] = None
from splitmirror_drivers.hosts.ssh import Options, SshHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Unreachable
from splitmirror_drivers.kit.units import SecretReference
host = SshHost("a", Options(addresses=("127.0.0.1",), port=1, user="u", key=SecretReference(env="K")), None)
try:
    host.connect(Deadline.after(5))
except Unreachable as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "a (127.0.0.1 port 1) cannot be reached: Connection refused\n", done.stderr
