"""Throwaway Linux hosts with a real 6.1 kernel by user-mode Linux: LVM, md, dm-thin, XFS, whatever this machine's kernel lacks.

A host boots in about five seconds and needs no image: its root filesystem is this machine's own, read-only and under an
overlay in memory, so it has the programs that are installed here, and forgets at a crash all but its disks. Disks are
sparse files; a shared one is a SAN's: every host that has it sees the others' writes. Each host has sshd, an address
on a network of its own, and a cable that can be pulled.

    @pytest.fixture(scope="module")                  # boot once a module, not once a test
    def lab():
        with hosts() as made:
            own, leg = made.disk("own", mib=128), made.disk("leg", mib=128, shared=True)
            made.up("data", [own, leg], wait=False)  # /dev/ubda, /dev/ubdb, in this order
            made.up("back", [leg])                   # /dev/ubda
            yield made

    lab.ssh("data", "pvcreate /dev/ubda; …")         # bash -euo pipefail as root; what it printed; must end with 0
    lab.try_ssh("data", "…")                         # whatever comes of it: its exit code and what it printed
    lab.carry("data", folder, "/srv/erp")            # a folder of this machine becomes one there
    lab.cut("data"), lab.heal("data")                # silently: no FIN, no RST
    lab.crash("data"), lab.up("data")                # power failure: the disks keep what was written; boot again
    desk.add("hosts.data", **lab.transport("data"))  # its table in a policy file
    lab.host("data")                                 # or a host of the product that logs in there
    lab.written("data", leg)                         # bytes written to a disk by that host since it booted

Without udev (the usual) LVM makes /dev/VG/LV itself; a component such as a split leg is only in /dev/mapper. With
``udev=True`` all links are there as on a real server, and a boot takes three seconds more. There is one CPU, no systemd,
and a ``ps`` that cannot say when a process started. Nothing but processes keeps any of it alive: they are in process and
network namespaces that the kernel ends when the test process dies.

Sources: kernel Documentation/virt/uml/user_mode_linux_howto_v2.rst (ubd's flag c: no lock on the file), unshare(1)
--kill-child, setpriv(1) --pdeathsig.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import paramiko
from tests.lab.need import find, need
from tests.lab.ssh_server import answers, await_, call, descendants, is_process

from splitmirror import secrets
from splitmirror_drivers.hosts.ssh import Options, SshHost
from splitmirror_drivers.kit.units import decode_hook

PROGRAMS = ("linux.uml", "sshd", "ssh-keygen", "ip", "unshare", "nsenter", "setpriv", "insmod")
PREFIX = "splitmirror-uml-"
INIT = Path(__file__).with_name("guest-init.sh")
SECTOR = 512
"""The kernel counts in these, whatever the disk has (kernel Documentation/block/stat.rst)."""
BOOT_SECONDS = 60.0
SCRIPT_SECONDS = 60.0
_DYING = ("setpriv", "--pdeathsig", "KILL")
_PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of `mib` MiB. `shared`: several hosts may have it at once."""

    image: Path
    mib: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Done:
    """How a script ended."""

    exit_code: int
    output: str


@dataclass
class Guest:
    """One host, up or not."""

    name: str
    number: int
    address: str
    disks: tuple[Disk, ...]
    memory_mib: int
    udev: bool
    process: subprocess.Popen[bytes] | None = None
    client: paramiko.SSHClient | None = None

    @property
    def cable(self) -> str:
        """Its network interface on this side."""
        return f"t{self.number}"

    def device(self, disk: Disk) -> str:
        """A disk's path in it."""
        return f"/dev/ubd{'abcdefghijklmnop'[self.disks.index(disk)]}"


@dataclass
class Hosts:
    """The hosts of one module: one network, one pair of keys."""

    folder: Path
    holder: subprocess.Popen[bytes]
    net: str
    guests: dict[str, Guest] = field(default_factory=dict)
    logins: list[SshHost] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    # -- up and down --

    def disk(self, name: str, mib: int, *, shared: bool = False) -> Disk:
        """A new disk, all zeros."""
        image = self.folder / f"{name}.img"
        with image.open("xb") as file:
            file.truncate(mib * 2**20)
        return Disk(image, mib, shared)

    def up(
        self, name: str, disks: Sequence[Disk] = (), *, memory_mib: int = 384, udev: bool = False, wait: bool = True
    ) -> None:
        """Boot a host; one that was up before has the disks that it had. Without `wait` the first use waits."""
        if name not in self.guests:
            number = len(self.guests) + 11
            self.guests[name] = Guest(name, number, f"{self.net}.{number}", tuple(disks), memory_mib, udev)
            self._know(self.guests[name])
        guest = self.guests[name]
        assert guest.process is None, f"{name} is up"
        self._boot(guest)
        if wait:
            self.ready(name)

    def ready(self, *names: str) -> None:
        """Wait until these hosts let us in; all of them without names."""
        for name in names or tuple(self.guests):
            self._login(self.guests[name])

    def crash(self, name: str) -> None:
        """Power failure. Returns when nothing of the host is left."""
        guest = self.guests[name]
        if guest.client is not None:
            guest.client.close()
            guest.client = None
        if guest.process is not None:
            _end(guest.process)
            guest.process = None
            self._inside("ip", "link", "delete", guest.cable)

    def cut(self, name: str) -> None:
        """Pull its cable."""
        self._inside("ip", "link", "set", self.guests[name].cable, "nomaster")

    def heal(self, name: str) -> None:
        """Put it back."""
        self._inside("ip", "link", "set", self.guests[name].cable, "master", "br0")

    def close(self) -> None:
        """End everything, and remove what was made."""
        for login in self.logins:
            login.disconnect()
        for name in self.guests:
            self.crash(name)
        _end(self.holder)
        shutil.rmtree(self.folder)

    # -- in them --

    def ssh(self, name: str, script: str, *, given: str = "", seconds: float = SCRIPT_SECONDS) -> str:
        """Run a script there that must succeed; what it printed, without the last line's end."""
        done = self.try_ssh(name, script, given=given, seconds=seconds)
        assert done.exit_code == 0, f"on {name} ({done.exit_code}): {script}\n{done.output}"
        return done.output.rstrip("\n")

    def try_ssh(self, name: str, script: str, *, given: str = "", seconds: float = SCRIPT_SECONDS) -> Done:
        """Run a script there, its standard input being `given`; both streams are in the output."""
        channel = self._login(self.guests[name]).open_session(timeout=seconds)
        with contextlib.closing(channel):
            channel.set_combine_stderr(True)
            channel.settimeout(1)
            channel.exec_command(shlex.join(["env", "LC_ALL=C", "bash", "--norc", "-euo", "pipefail", "-c", script]))
            channel.sendall(given.encode())
            channel.shutdown_write()
            return _ended(channel, f"on {name}: {script}", time.monotonic() + seconds)

    def carry(self, name: str, folder: Path, to: str) -> None:
        """Copy a folder of this machine into a host as a new folder `to`, owners and modes too."""
        here = "/run/lab/carried"
        self.ssh(
            name,
            f"mkdir {here}; mount -t hostfs -o {shlex.quote(str(folder))} none {here}; "
            f"cp -a {here} {shlex.quote(to)}; umount {here}; rmdir {here}",
        )

    def device(self, name: str, disk: Disk) -> str:
        """A disk's path on a host."""
        return self.guests[name].device(disk)

    def written(self, name: str, disk: Disk) -> int:
        """How many bytes a host has written to a disk since it booted."""
        block = self.device(name, disk).rpartition("/")[2]
        return int(self.ssh(name, f"cat /sys/block/{block}/stat").split()[6]) * SECTOR

    def console(self, name: str) -> str:
        """What its kernel and its first process printed."""
        return (self.folder / f"{name}.console").read_text(errors="replace")

    def transport(self, name: str) -> dict[str, Any]:
        """Its table in a policy file."""
        return {
            "transport": "ssh",
            "addresses": [self.guests[name].address],
            "user": "root",
            "key": {"file": str(self.key)},
            "known-hosts": str(self.known_hosts),
        }

    def openssh(self, name: str, command: str) -> list[str]:
        """Words that run a command there by OpenSSH's client: a process here with pipes to it."""
        options = ("IdentitiesOnly=yes", "BatchMode=yes", f"UserKnownHostsFile={self.known_hosts}", "LogLevel=ERROR")
        given = [word for option in (*options, "GlobalKnownHostsFile=/dev/null") for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", "-i", str(self.key), *given, f"root@{self.guests[name].address}", command]

    def host(self, name: str, **changes: object) -> SshHost:
        """A host of the product that logs in there; the lab disconnects it."""
        table = {**self.transport(name), **changes}
        del table["transport"]
        host = SshHost(name, msgspec.convert(table, Options, dec_hook=decode_hook), secrets.resolve)
        self.logins.append(host)
        return host

    # -- how --

    def _inside(self, *argv: str) -> None:
        call("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *argv)

    def _know(self, guest: Guest) -> None:
        kind, blob = (self.folder / "guest" / "host_key.pub").read_text().split()[:2]
        with self.known_hosts.open("a") as file:
            file.write(f"{guest.address} {kind} {blob}\n")

    def _boot(self, guest: Guest) -> None:
        self._inside("ip", "tuntap", "add", guest.cable, "mode", "tap")
        self._inside("ip", "link", "set", guest.cable, "master", "br0", "up")
        own = self.folder / f"{guest.name}.uml"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        alone = [*_DYING, "unshare", "--pid", "--fork", "--kill-child=KILL"]
        words = [*alone, "nsenter", f"--net=/proc/{self.holder.pid}/ns/net", find("linux.uml") or "linux.uml"]
        with (self.folder / f"{guest.name}.console").open("ab") as console:
            guest.process = subprocess.Popen(
                [*words, *self._arguments(guest, own)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=_PLAIN,
                start_new_session=True,
            )

    def _arguments(self, guest: Guest, own: Path) -> list[str]:
        """The kernel's command line."""
        disks = [f"ubd{n}{'c' if disk.shared else ''}={disk.image}" for n, disk in enumerate(guest.disks)]
        return [
            f"mem={guest.memory_mib}M",
            f"uml_dir={own}",
            f"umid={guest.name}",
            *("rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}", "quiet"),
            *("con0=null,fd:1", "con=null", "ssl=null"),
            f"eth0=tuntap,{guest.cable},02:00:00:00:00:{guest.number}",
            f"lab_name={guest.name}",
            f"lab_address={guest.address}/24",
            f"lab_folder={self.folder}",
            f"lab_udev={int(guest.udev)}",
            *disks,
        ]

    def _login(self, guest: Guest) -> paramiko.Transport:
        """A connection that stands."""
        process = guest.process
        assert process is not None, f"{guest.name} is not up"
        transport = guest.client.get_transport() if guest.client else None
        if transport is not None and transport.is_active():
            return transport
        await_(
            f"{guest.name} is up",
            lambda: process.poll() is not None or answers(guest.address, 22),
            BOOT_SECONDS,
        )
        assert process.poll() is None, f"{guest.name} ended:\n{self.console(guest.name)[-3000:]}"
        guest.client = client = paramiko.SSHClient()
        client.load_host_keys(str(self.known_hosts))
        client.connect(
            guest.address,
            username="root",
            key_filename=str(self.key),
            allow_agent=False,
            look_for_keys=False,
            timeout=BOOT_SECONDS,
            banner_timeout=BOOT_SECONDS,
            auth_timeout=BOOT_SECONDS,
        )
        transport = client.get_transport()
        assert transport is not None
        return transport


@contextmanager
def hosts() -> Iterator[Hosts]:
    """A network without hosts yet; skips where it cannot be."""
    need(*PROGRAMS)
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    holder = subprocess.Popen([*_DYING, "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    number = random.SystemRandom().randrange(12_500)
    lab = Hosts(folder, holder, f"10.{number // 250 + 200}.{number % 250}")
    try:
        _keys(folder)
        _network(lab, f"smu{number}")
        yield lab
    finally:
        lab.close()


def _keys(folder: Path) -> None:
    """A key of the lab's user, and what every host gets: a host key, who may log in, sshd's settings."""
    guest = folder / "guest"
    guest.mkdir(mode=0o700)
    for path in (folder / "user_key", guest / "host_key"):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path))
    shutil.copy(folder / "user_key.pub", guest / "authorized_keys")
    settings = (
        "HostKey /run/lab/host_key",
        "AuthorizedKeysFile /run/lab/authorized_keys",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "UseDNS no",
        "MaxSessions 100",
        "PrintMotd no",
        "LogLevel VERBOSE",
    )
    (guest / "sshd_config").write_text("\n".join((*settings, "")))


def _network(lab: Hosts, link: str) -> None:
    """A bridge in a network namespace of its own, with one leg out here."""
    own = Path("/proc/self/ns/net").readlink()
    await_("a network namespace", lambda: Path(f"/proc/{lab.holder.pid}/ns/net").readlink() != own)
    lab._inside("ip", "link", "add", "br0", "type", "bridge")
    lab._inside("ip", "link", "set", "br0", "up")
    call("ip", "link", "add", link, "type", "veth", "peer", "name", "out", "netns", str(lab.holder.pid))
    lab._inside("ip", "link", "set", "out", "master", "br0", "up")
    call("ip", "address", "add", f"{lab.net}.1/24", "dev", link)
    call("ip", "link", "set", link, "up")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started, and wait until they are gone.

    The first one below is the first of its namespace: it ends when all the others have.
    """
    for pid in descendants(process.pid)[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait(BOOT_SECONDS)


def _ended(channel: paramiko.Channel, what: str, end: float) -> Done:
    """Everything that a script prints, to its end."""
    output = b""
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            if not (block := channel.recv(65536)):
                return Done(channel.recv_exit_status(), output.decode(errors="replace"))
            output += block
    raise AssertionError(f"not in its time {what}\n{output.decode(errors='replace')}")


def _sweep() -> None:
    """Remove the folders of labs whose process was killed; hosts and network died with it."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        if not is_process(path.name.removeprefix(PREFIX).split("-")[0]):
            shutil.rmtree(path)
