"""Real OpenSSH servers on this machine for one test: keys, configuration and known_hosts of their own, ports chosen free.

Several servers play several data servers. An isolated one lives in a network namespace of its own: `cut` drops every
packet silently (no FIN, no RST: a pulled cable), `heal` lets them through again. `kick` kills the processes that serve
connections. Nothing has a name outside the lab's folder but a login user, where one is asked for; when the test
process dies, listeners and namespaces die with it.

Sources: sshd(8), sshd_config(5) (the first value of a keyword counts), nft(8), unshare(1), setpriv(1) --pdeathsig.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.need import find, need

from splitmirror import secrets
from splitmirror_drivers.hosts.ssh import Options, SshHost
from splitmirror_drivers.kit.units import SecretReference

PROGRAMS = ("sshd", "ssh-keygen", "setpriv")
PROGRAMS_ISOLATED = ("ip", "nft", "unshare", "nsenter")
PASSWORD = "lab-only"
START_SECONDS = 15.0
PREFIX = "splitmirror-lab-"
SUDOERS = Path("/etc/sudoers.d")
_RUN_FOLDER = Path("/run/sshd")
_DYING = ("setpriv", "--pdeathsig", "KILL")


@dataclass
class Server:
    """One sshd. `namespace` holds the words that enter its network; empty for this machine's own."""

    lab: Lab
    name: str
    address: str
    port: int
    process: subprocess.Popen[bytes]
    namespace: tuple[str, ...] = ()

    def options(self, **changes: Any) -> Options:
        """How a policy would name it: root, the lab's key, the lab's known_hosts, a guard folder of its own."""
        given: dict[str, Any] = {
            "addresses": (self.address,),
            "port": self.port,
            "user": "root",
            "key": SecretReference(file=str(self.lab.key)),
            "known_hosts": str(self.lab.known_hosts),
            "guard_dir": str(self.lab.folder / f"guard-{self.name}"),
        }
        return Options(**{**given, **changes})

    def host(self, **changes: Any) -> SshHost:
        """A host of the product that logs in here; the lab disconnects it."""
        host = SshHost(self.name, self.options(**changes), secrets.resolve)
        self.lab.hosts.append(host)
        return host

    def log(self) -> str:
        """What it has logged."""
        return (self.lab.folder / f"{self.name}.log").read_text(errors="replace")

    def serving(self) -> list[int]:
        """The pids of the processes that serve its connections."""
        return [pid for pid in descendants(self.process.pid) if is_sshd(pid)]

    def kick(self) -> None:
        """Kill what serves connections, the listener not: the kernel then closes them."""
        for pid in reversed(self.serving()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cut(self) -> None:
        """Drop every packet to and from it, silently."""
        rules = "table inet cut { chain i { type filter hook input priority 0; policy drop; }\n"
        rules += "chain o { type filter hook output priority 0; policy drop; }\n}"
        self._nft(rules)

    def heal(self) -> None:
        """Let packets through again."""
        self._nft("table inet cut\ndelete table inet cut")

    def _nft(self, rules: str) -> None:
        assert self.namespace, f"{self.name} has no network of its own"
        call(*self.namespace, find("nft") or "nft", "-f", "-", given=rules)

    def stop(self) -> None:
        """End listener and connections."""
        self.kick()
        self.process.kill()
        self.process.wait(START_SECONDS)


@dataclass
class Lab:
    """The servers of one test, in one folder that others may enter: sshd reads keys as the user who logs in."""

    folder: Path
    servers: list[Server] = field(default_factory=list)
    hosts: list[SshHost] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    holders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def home(self) -> Path:
        """Root's home behind these servers: empty."""
        return self.folder / "home"

    def server(self, name: str = "db1", *settings: str, host_key: str = "host_key") -> Server:
        """A server on loopback. `settings` are lines of sshd_config that go before ours."""
        return self._serve(name, "127.0.0.1", free_port(), (), settings, host_key)

    def forced(self, command: str, name: str = "db1", *settings: str) -> Server:
        """A server where the lab's key may only run `command`."""
        return self.locked(f'restrict,command="{command}" {self._public()}', name, *settings)

    def locked(self, line: str, name: str = "db1", *settings: str) -> Server:
        """A server with this line as its authorized_keys."""
        keys = self.folder / f"authorized_keys.{name}"
        keys.write_text(line + "\n")
        return self.server(name, f"AuthorizedKeysFile {keys}", *settings)

    def password(self, name: str = "db1") -> Server:
        """A server that lets in by password only; log in as a `user()` with PASSWORD."""
        return self.server(name, "PubkeyAuthentication no", "PasswordAuthentication yes")

    def isolated(self, name: str = "db1", *settings: str) -> Server:
        """A server in a network namespace of its own."""
        need(*PROGRAMS_ISOLATED)
        holder = subprocess.Popen([*_DYING, "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.holders.append(holder)
        own = Path("/proc/self/ns/net").readlink()
        await_("a network namespace", lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own)
        number = random.SystemRandom().randrange(25_000)  # what a former lab had may not be gone from the kernel yet
        net, link = f"10.{number // 250 + 100}.{number % 250}", f"sm{number}"
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        call("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        call("ip", "addr", "add", f"{net}.1/30", "dev", link)
        call("ip", "link", "set", link, "up")
        call(*inside, "ip", "addr", "add", f"{net}.2/30", "dev", "eth0")
        call(*inside, "ip", "link", "set", "eth0", "up")
        call(*inside, "ip", "link", "set", "lo", "up")
        return self._serve(name, f"{net}.2", 22, inside, settings, "host_key")

    def user(self) -> str:
        """A login user of this machine with PASSWORD, its home in the lab; removed with it."""
        need("useradd", "userdel", "openssl")
        name = f"smlab{os.getpid()}{'abcdefgh'[len(self.users)]}"
        secret = call("openssl", "passwd", "-6", PASSWORD).strip()
        call(find("useradd") or "useradd", "-m", "-d", str(self.folder / name), "-s", "/bin/sh", "-p", secret, name)
        self.users.append(name)
        return name

    def new_key(self, name: str, *options: str) -> Path:
        """A key pair of the lab; Ed25519 without a passphrase unless `options` say otherwise."""
        call("ssh-keygen", "-q", *(options or ("-t", "ed25519", "-N", "")), "-C", name, "-f", str(self.folder / name))
        return self.folder / name

    def _public(self) -> str:
        return self.key.with_name("user_key.pub").read_text().strip()

    def know(self, server: Server, host_key: str = "host_key") -> None:
        """Write a server's key into known_hosts."""
        kind, blob = (self.folder / f"{host_key}.pub").read_text().split()[:2]
        name = server.address if server.port == 22 else f"[{server.address}]:{server.port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{name} {kind} {blob}\n")

    def _serve(
        self, name: str, address: str, port: int, inside: tuple[str, ...], settings: tuple[str, ...], host_key: str
    ) -> Server:
        config = self.folder / f"{name}.conf"
        config.write_text("\n".join([*settings, *self._settings(address, port, host_key), ""]))
        sshd = find("sshd") or "sshd"
        words = [*_DYING, *inside, sshd, "-D", "-f", str(config), "-E", str(self.folder / f"{name}.log")]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        server = Server(self, name, address, port, process, inside)
        self.servers.append(server)
        self.know(server, host_key)
        await_(f"sshd {name}", lambda: process.poll() is not None or answers(address, port))
        assert process.poll() is None, server.log()
        return server

    def _settings(self, address: str, port: int, host_key: str) -> list[str]:
        return [
            f"ListenAddress {address}",
            f"Port {port}",
            f"HostKey {self.folder / host_key}",
            "PidFile none",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "PrintMotd no",
            "UseDNS no",
            "LogLevel VERBOSE",
            # what this machine's root has in its shell's start-up files is not part of the lab
            "Match User root",
            f"SetEnv HOME={self.home}",
        ]

    def close(self) -> None:
        """End everything, and remove what was made."""
        for host in self.hosts:
            host.disconnect()
        for server in self.servers:
            server.stop()
        for holder in self.holders:
            holder.kill()
            holder.wait(START_SECONDS)
        for name in self.users:
            for pid in pids_of(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await_(f"processes of {name} gone", lambda name=name: not pids_of(name))  # type: ignore[misc]
            call(find("userdel") or "userdel", name)
        shutil.rmtree(self.folder)


@contextmanager
def laboratory() -> Iterator[Lab]:
    """A lab without servers yet; skips where it cannot be."""
    need(*PROGRAMS)
    has_made_run_folder = not _RUN_FOLDER.exists()
    _RUN_FOLDER.mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation asks for it
    sweep()
    lab = Lab(Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")))
    try:
        lab.folder.chmod(0o755)
        lab.home.mkdir(mode=0o700)
        lab.new_key("host_key")
        lab.new_key("user_key")
        shutil.copy(lab.folder / "user_key.pub", lab.folder / "authorized_keys")
        yield lab
    finally:
        lab.close()
        if has_made_run_folder:
            with contextlib.suppress(OSError):
                _RUN_FOLDER.rmdir()


@contextmanager
def sudoers(text: str) -> Iterator[None]:
    """Rules for sudo, for as long as they are needed."""
    need("sudo", "visudo")
    rules = SUDOERS / f"{PREFIX}{os.getpid()}"
    rules.write_text(text)
    rules.chmod(0o440)
    try:
        call("visudo", "-cf", str(rules))
        yield
    finally:
        rules.unlink()


def sweep() -> None:
    """Remove what labs left behind whose process was killed: their servers died with it, names on disk do not."""
    for path in (*Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"), *SUDOERS.glob(f"{PREFIX}*")):
        if not is_process(path.name.removeprefix(PREFIX).split("-")[0]):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for entry in pwd.getpwall():
        match = re.fullmatch(r"smlab(\d+)[a-h]", entry.pw_name)
        if match and not is_process(match[1]):
            call(find("userdel") or "userdel", "-f", entry.pw_name)


# -- small tools --


def is_process(pid: str) -> bool:
    """Whether there is a process of this number; what is no number is somebody's, and left alone."""
    return not pid.isdigit() or Path(f"/proc/{pid}").exists()


def call(*argv: str, given: str = "") -> str:
    """Run a command of the lab itself; what it printed."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=START_SECONDS)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def await_(what: str, condition: Callable[[], bool], seconds: float = START_SECONDS) -> float:
    """Wait until `condition` holds; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(address: str, port: int) -> bool:
    """Whether a connection is accepted."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 0.5):
        return True
    return False


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def is_sshd(pid: int) -> bool:
    """Whether a process is one of sshd's own, not what it started."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
    return False


def pids_of(user: str) -> list[int]:
    """The processes of a user that are not only waiting to be reaped."""
    uid = pwd.getpwnam(user).pw_uid
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.stat().st_uid == uid and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(int(entry.name))
    return found
