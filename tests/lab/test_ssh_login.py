"""Logging in over real SSH: who is let in, who is refused and why, and that no host key is ever taken on trust."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.lab.need import need
from tests.lab.ssh_server import PASSWORD, Lab, Server, await_, call, free_port, laboratory

from splitmirror import secrets
from splitmirror_drivers.contracts.host import Verb
from splitmirror_drivers.hosts.ssh import Jump, SshHost
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed, HostKeyRefused, LoginRefused, Unreachable
from splitmirror_drivers.kit.units import Duration, SecretReference

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as lab:
        yield lab


@pytest.fixture(scope="module")
def plain(lab: Lab) -> Server:
    return lab.server("plain")


@pytest.fixture(scope="module")
def user(lab: Lab) -> str:
    return lab.user()


def who(host: SshHost) -> str:
    return host.run(Command(("id", "-un")), Deadline.after(20)).require("id").stdout.strip()


# -- host keys --


def fingerprint(key: Path) -> str:
    return call("ssh-keygen", "-lf", f"{key}.pub").split()[1]


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_how_to_add_it(
    lab: Lab, plain: Server, tmp_path: Path
) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    with pytest.raises(HostKeyRefused, match="is not known") as caught:
        plain.host(known_hosts=str(empty)).connect(Deadline.after(10))
    assert fingerprint(lab.folder / "host_key") in caught.value.detail
    assert str(empty) in caught.value.hint
    assert empty.read_text() == "", "nothing is ever added by us"
    line = next(part for part in caught.value.hint.splitlines() if "ssh-ed25519" in part).split(": ")[-1]
    empty.write_text(line + "\n")
    assert who(plain.host(known_hosts=str(empty))) == "root"


def test_a_changed_host_key_is_refused_with_both_fingerprints(lab: Lab, plain: Server) -> None:
    lab.new_key("impostor_key")
    impostor = lab.server("impostor", host_key="impostor_key")
    known = lab.folder / "known_hosts.old"
    known.write_text(f"# before\n[127.0.0.1]:{impostor.port} {(lab.folder / 'host_key.pub').read_text()}")
    with pytest.raises(HostKeyRefused, match="not the one that is known") as caught:
        impostor.host(known_hosts=str(known)).connect(Deadline.after(10))
    assert fingerprint(lab.folder / "impostor_key") in caught.value.detail
    assert f"{fingerprint(lab.folder / 'host_key')} ({known}:2)" in caught.value.detail
    assert "Accepted" not in impostor.log(), "nothing of ours was shown to it"


@pytest.mark.parametrize("form", ["fingerprint", "line"])
def test_a_pinned_host_key_needs_no_file(form: str, lab: Lab, plain: Server) -> None:
    pin = fingerprint(lab.folder / "host_key")
    if form == "line":
        pin = " ".join((lab.folder / "host_key.pub").read_text().split()[:2])
    host = plain.host(known_hosts="", host_key=pin)
    assert who(host) == "root"
    other = lab.new_key(f"other_{form}")
    wrong = fingerprint(other) if form == "fingerprint" else other.with_name(f"{other.name}.pub").read_text().strip()
    with pytest.raises(HostKeyRefused) as caught:
        plain.host(host_key=wrong).connect(Deadline.after(10))
    assert fingerprint(other) in caught.value.detail
    assert fingerprint(lab.folder / "host_key") in caught.value.detail


def test_a_server_of_several_keys_is_asked_for_the_one_that_is_known(lab: Lab) -> None:
    lab.new_key("rsa_host_key", "-t", "rsa", "-b", "2048", "-N", "")
    server = lab.server("two-keys", f"HostKey {lab.folder / 'rsa_host_key'}")
    known = lab.folder / "known_hosts.rsa"
    known.write_text(f"[127.0.0.1]:{server.port} {(lab.folder / 'rsa_host_key.pub').read_text()}")
    assert who(server.host(known_hosts=str(known))) == "root"


def test_a_hashed_known_hosts_is_read(lab: Lab, plain: Server) -> None:
    known = lab.folder / "known_hosts.hashed"
    known.write_text(lab.known_hosts.read_text())
    call("ssh-keygen", "-Hf", str(known))
    assert "127.0.0.1" not in known.read_text()
    assert who(plain.host(known_hosts=str(known))) == "root"


# -- keys, agent, password --

KEYS = {
    "ed25519": ("-t", "ed25519", "-N", ""),
    "ed25519-passphrase": ("-t", "ed25519", "-N", "a phrase"),
    "rsa": ("-t", "rsa", "-b", "2048", "-N", ""),
    "rsa-pem-passphrase": ("-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "a phrase"),
    "rsa-pkcs8-passphrase": ("-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "a phrase"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256", "-N", ""),
    "ecdsa-521-pkcs8": ("-t", "ecdsa", "-b", "521", "-m", "PKCS8", "-N", ""),
}


@pytest.mark.parametrize("kind", KEYS)
def test_every_common_kind_of_key_logs_in(kind: str, lab: Lab, plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    key = lab.new_key(f"user_{kind}", *KEYS[kind])
    with (lab.folder / "authorized_keys").open("a") as file:
        file.write(key.with_name(f"{key.name}.pub").read_text())
    monkeypatch.setenv("LAB_PHRASE", "a phrase")
    phrase = {"passphrase": SecretReference(env="LAB_PHRASE")} if "passphrase" in kind else {}
    assert who(plain.host(key=SecretReference(file=str(key)), **phrase)) == "root"
    monkeypatch.setenv("LAB_KEY", key.read_text())
    assert who(plain.host(key=SecretReference(env="LAB_KEY"), **phrase)) == "root"


def test_a_key_signed_by_an_authority_logs_in(lab: Lab, plain: Server) -> None:
    authority, key = lab.new_key("authority"), lab.new_key("signed")
    call("ssh-keygen", "-q", "-s", str(authority), "-I", "lab", "-n", "root", f"{key}.pub")
    server = lab.server("authority", f"TrustedUserCAKeys {authority}.pub", "AuthorizedKeysFile none")
    assert who(server.host(key=SecretReference(file=str(key)))) == "root"


def test_a_key_that_is_open_to_others_is_not_used(lab: Lab, plain: Server) -> None:
    key = lab.new_key("open_key")
    key.chmod(0o644)
    with pytest.raises(Exception, match="open to others"):
        plain.host(key=SecretReference(file=str(key))).connect(Deadline.after(10))


@contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """An SSH agent with keys; its socket."""
    need("ssh-agent", "ssh-add", root=False)
    path = keys[0].parent / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        await_("an agent", path.exists)
        for key in keys:
            environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, timeout=10)
        yield str(path)
    finally:
        process.terminate()
        process.wait(10)


def test_an_agent_logs_in(lab: Lab, plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with agent(lab.new_key("stranger"), lab.key) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert who(plain.host(key=None, agent=True)) == "root"


def test_an_agent_that_is_not_there_is_named(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(LoginRefused) as caught:
        plain.host(key=None, agent=True).connect(Deadline.after(10))
    assert "agent (it has no keys" in caught.value.detail


def test_a_password_logs_in_and_a_wrong_one_is_refused(lab: Lab, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = lab.password("password")
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    known = {"user": user, "key": None, "password": SecretReference(env="LAB_PASSWORD"), "guard_dir": ""}
    assert who(server.host(**known)) == user
    monkeypatch.setenv("LAB_PASSWORD", "wrong-one")
    with pytest.raises(LoginRefused, match=f"refused the login of {user}") as caught:
        server.host(**known).connect(Deadline.after(10))
    assert "tried: password" in caught.value.detail
    assert "the server allows: password" in caught.value.detail
    assert "wrong-one" not in caught.value.full()


def test_key_and_password_together_where_the_server_wants_both(
    lab: Lab, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = lab.server("both", "PasswordAuthentication yes", "AuthenticationMethods publickey,password")
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    assert who(server.host(user=user, password=SecretReference(env="LAB_PASSWORD"), guard_dir="")) == user
    with pytest.raises(LoginRefused):
        server.host(user=user, guard_dir="").connect(Deadline.after(10))


def test_a_refused_key_names_user_key_and_what_is_allowed(lab: Lab, plain: Server) -> None:
    stranger = lab.new_key("refused_key")
    with pytest.raises(LoginRefused, match=r"plain \(127\.0\.0\.1 port \d+\) refused the login of root") as caught:
        plain.host(key=SecretReference(file=str(stranger))).connect(Deadline.after(10))
    assert f"tried: key {fingerprint(stranger)}" in caught.value.detail
    assert "the server allows: publickey" in caught.value.detail
    assert "authorized_keys" in caught.value.hint


# -- addresses --


def test_a_cluster_takes_the_first_node_that_lets_us_in(lab: Lab, plain: Server) -> None:
    host = plain.host(addresses=("no-such-host.invalid", "127.0.0.1"))
    assert who(host) == "root"


def test_when_no_node_can_be_used_each_is_named_with_its_cause(plain: Server) -> None:
    port = free_port()
    host = SshHost(
        "erp",
        plain.options(addresses=("127.0.0.1", "no-such-host.invalid", "127.0.0.2"), port=port),
        secrets.resolve,
    )
    with pytest.raises(Unreachable, match="no address of erp") as caught:
        host.connect(Deadline.after(10))
    detail = caught.value.detail
    assert f"127.0.0.1 port {port}) cannot be reached: Connection refused" in detail
    assert "no-such-host.invalid" in detail
    assert "127.0.0.2" in detail


def test_a_node_once_found_is_kept_until_disconnect(lab: Lab, plain: Server) -> None:
    """A run never wanders between the nodes of a cluster, whatever becomes of a connection."""
    host = plain.host(addresses=("127.0.0.1", "127.0.0.2"))
    assert who(host) == "root"
    other = lab.server("second", f"ListenAddress 127.0.0.2:{plain.port}")
    lab.know(Server(lab, "second", "127.0.0.2", plain.port, other.process))
    plain.process.send_signal(19)  # SIGSTOP: it accepts and does not answer
    try:
        plain.kick()
        await_("the link is gone", lambda: not any(link.is_alive for link in host._links))
        with pytest.raises(Unreachable):
            host.call(Verb("host.facts"), Deadline.after(2))
        host.disconnect()
        host._options = plain.options(addresses=("127.0.0.1", "127.0.0.2"), connect_timeout=Duration(1))
        assert who(host) == "root"
        assert host._node == "127.0.0.2"
    finally:
        plain.process.send_signal(18)


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_its_time(plain: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = plain.options(port=silent.getsockname()[1], connect_timeout=Duration(1))
        began = time.monotonic()
        with pytest.raises(Unreachable, match="cannot be reached"):
            SshHost("db1", options, secrets.resolve).connect(Deadline.after(30))
        assert time.monotonic() - began < 3.0


def test_what_is_no_ssh_server_is_said(plain: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            with suppress(OSError):  # closed: the test is over
                while True:
                    connection, _ = web.accept()
                    with connection:
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        options = plain.options(port=web.getsockname()[1], connect_timeout=Duration(5))
        with pytest.raises(Unreachable, match="not as an SSH server should"):
            SshHost("db1", options, secrets.resolve).connect(Deadline.after(30))
        web.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_stopped_server_keeps_no_call_beyond_its_deadline(lab: Lab) -> None:
    server = lab.server("stopped")
    host = server.host()
    host.call(Verb("host.facts"), Deadline.after(20))
    pids = server.serving()
    for pid in pids:
        os.kill(pid, 19)
    try:
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            host.call(Verb("host.facts"), Deadline.after(1.5))
        assert time.monotonic() - began < 4.0
    finally:
        for pid in pids:
            os.kill(pid, 18)


def test_a_server_that_refuses_every_session_is_named(lab: Lab) -> None:
    server = lab.server("no-sessions", "MaxSessions 0")
    with pytest.raises(LoginRefused, match="refuses every session"):
        server.host().call(Verb("host.facts"), Deadline.after(20))


# -- jump host --


def jump_of(server: Server) -> Jump:
    options = server.options()
    return Jump(
        addresses=options.addresses,
        port=options.port,
        user=options.user,
        key=options.key,
        known_hosts=options.known_hosts,
    )


def test_a_server_behind_a_jump_host(lab: Lab) -> None:
    inner, jump = lab.isolated("inner"), lab.server("jump", "LogLevel DEBUG1")
    host = inner.host(jump=jump_of(jump))
    assert who(host) == "root"
    assert f"target {inner.address} port 22" in jump.log()
    assert host.fetch("/etc/hostname", 1000, Deadline.after(10)) == Path("/etc/hostname").read_bytes()


def test_a_cut_behind_the_jump_host_is_noticed_too(lab: Lab, plain: Server) -> None:
    inner = lab.isolated("behind")
    host = inner.host(jump=jump_of(plain))
    assert who(host) == "root"
    inner.cut()
    try:
        took = await_("the link is given up", lambda: not any(link.is_alive for link in host._links), 20.0)
        assert took < 10.0
    finally:
        inner.heal()
    assert who(host) == "root"


def test_a_jump_host_that_cannot_reach_the_server_says_so(lab: Lab, plain: Server) -> None:
    with pytest.raises(Unreachable, match="cannot reach it") as caught:
        plain.host(port=free_port(), jump=jump_of(plain)).connect(Deadline.after(10))
    assert "jump host of plain" in caught.value.message


def test_an_unknown_jump_host_is_refused(lab: Lab, plain: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    jump = Jump(addresses=("127.0.0.1",), port=plain.port, user="root", key=plain.options().key, known_hosts=str(known))
    with pytest.raises(HostKeyRefused, match="jump host of plain"):
        plain.host(jump=jump).connect(Deadline.after(10))


def test_many_hosts_through_one_jump_host_do_not_overrun_it(lab: Lab) -> None:
    """This sshd drops every connection beyond ten that are not logged in yet; twenty-four hosts start at once."""
    jump, wide = lab.server("narrow", "MaxStartups 10:100:10"), lab.server("wide", "MaxStartups 100")
    hosts = [wide.host(jump=jump_of(jump)) for _ in range(24)]
    with ThreadPoolExecutor(len(hosts)) as pool:
        attempts = [pool.submit(host.connect, Deadline.after(60)) for host in hosts]
        assert [attempt.exception() for attempt in attempts] == [None] * len(hosts)
    # sshd counts a guest as logged in a little later than the guest does, so that a few may be dropped, and try again
    assert jump.log().count("drop connection") <= 4


def guest(server: Server) -> socket.socket:
    """Somebody who was let in, and does not log in."""
    end = Deadline.after(10)
    while not end.is_passed:
        connection = socket.create_connection((server.address, server.port), 5)
        if connection.recv(4) == b"SSH-":
            return connection
        connection.close()
    raise AssertionError("never let in")


def test_a_server_that_has_too_many_guests_is_tried_again(lab: Lab) -> None:
    server = lab.server("full", "MaxStartups 1:100:1", "LoginGraceTime 2")
    with guest(server):
        assert who(server.host()) == "root"
    assert "drop connection" in server.log()
