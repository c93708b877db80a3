"""`splitmirror install-guard`: put the guard program on a data server, once, so that a login there can run nothing else.

The program and its boot job are put in place over the inline login that the host has now. The two lines that decide
who may log in and become whom – authorized_keys and sudoers – are printed for a person and never written by us.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splitmirror.admin import frame
from splitmirror.office import Office
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.hosts import program
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import UnknownAnswer, UsageFault

SUMMARY = "install the guard on a data server"
FOLDER = "/usr/local/libexec"
PROGRAM = f"{FOLDER}/splitmirror-guard"
UNIT = "/etc/systemd/system/splitmirror-guard.service"
WORDS = ("call", "guard", "fetch", "hello")
"""What the forced command lets through; the sudoers line allows the same and nothing else."""
STEP_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("host", metavar="HOST", help="a host of the policy file")
    parser.add_argument(
        "--print", dest="is_print", action="store_true", help="change nothing: print what belongs where"
    )
    parser.add_argument("--program", default="", metavar="FILE", help="with --print: write the program to FILE as well")


@dataclass(frozen=True, slots=True)
class Login:
    """How the hooks log in to a data server: the account, whom it becomes there ("": nobody else), its public key."""

    user: str
    account: str
    state: str
    public_key: str
    family_dirs: tuple[str, ...] = ()

    @property
    def runs_as(self) -> str:
        """The account that the guard runs as."""
        return self.account or self.user


def run(arguments: argparse.Namespace) -> int:
    """0 when the installed program answers with this version's checksum, or when it was printed."""
    with frame.office(arguments) as office:
        return install(office, arguments)


def install(office: Office, arguments: argparse.Namespace) -> int:
    """Print, or put in place and print what is left to a person."""
    login = login_of(office, arguments.host)
    if arguments.is_print:
        if arguments.program:
            Path(arguments.program).write_text(composed(login).text, encoding="utf-8")
        sys.stdout.write(as_text(login, done=()))
        return 0
    done = put_in_place(host_of(office, arguments.host), login)
    sys.stdout.write(as_text(login, done=done))
    return 0


def login_of(office: Office, name: str) -> Login:
    """From the host's table in the policy file. Raises UsageFault for a name that is not in it."""
    hosts = office.loaded.host_options
    if name not in hosts:
        known = ", ".join(sorted(hosts)) or "none"
        raise UsageFault(f"there is no host {name!r} in the policy file", hint=f"the hosts are: {known}")
    _, options = hosts[name]
    key = getattr(options, "key", None)
    return Login(
        user=str(getattr(options, "user", "") or "root"),
        account=str(getattr(options, "sudo", "") or ""),
        state=str(getattr(options, "guard_dir", "") or ""),
        public_key=public_half(getattr(key, "file", None)),
        family_dirs=tuple(getattr(options, "family_dirs", ())),
    )


def public_half(key_file: str | None) -> str:
    """The line of ``KEY.pub`` beside the private key; a place to fill in when it is not there."""
    beside = Path(f"{key_file}.pub") if key_file else None
    if beside is not None and beside.is_file():
        return beside.read_text(encoding="ascii", errors="replace").strip()
    return "THE-PUBLIC-KEY-OF-THIS-BACKUP-SERVER"


def composed(login: Login) -> program.Program:
    """The program with every verb family, locked to verbs."""
    return program.installed(login.family_dirs, state=login.state)


def host_of(office: Office, name: str) -> Host:
    """The host as a policy that uses it builds it."""
    for policy in office.loaded.configuration.policies:
        job = office.job(policy)
        if name in job.hosts:
            return job.hosts[name]
    raise UsageFault(f"no policy uses the host {name}", hint="name it in an application first, or use --print")


def put_in_place(host: Host, login: Login) -> tuple[str, ...]:
    """Program and boot job; the program is complete before its name is. Raises what failed, with a hint to --print."""
    wanted = composed(login)
    host.connect(Deadline.after(STEP_SECONDS))
    try:
        step(host, ("mkdir", "-p", "-m", "0755", FOLDER))  # the login has to get there, whatever root's umask is
        write(host, PROGRAM, wanted.text, "0755")
        answered = step(host, (PROGRAM, "hello")).split()
        if answered[:1] != ["hello"] or wanted.checksum not in answered:
            raise UnknownAnswer(f"{PROGRAM} on {host.name} does not answer as this version's guard: {answered}")
        done = [f"{PROGRAM} is in place on {host.name}, checksum {wanted.checksum[:12]}"]
        is_systemd = host.run(Command(("test", "-d", "/run/systemd/system")), Deadline.after(STEP_SECONDS))
        if is_systemd.exit_code == 0:
            write(host, UNIT, unit(login), "0644")
            step(host, ("systemctl", "daemon-reload"))
            step(host, ("systemctl", "enable", "splitmirror-guard.service"))
            done.append(f"{UNIT} is enabled")
    finally:
        host.disconnect()
    return tuple(done)


def write(host: Host, path: str, content: str, mode: str) -> None:
    """A file under another name first; renamed when it is whole."""
    part = f"{path}.new"
    step(host, ("tee", part), content)
    step(host, ("chmod", mode, part))
    step(host, ("mv", "-f", part, path))


def step(host: Host, argv: Sequence[str], content: str = "") -> str:
    """One command on the data server; what it printed."""
    done = host.run(Command(tuple(argv), stdin=content), Deadline.after(STEP_SECONDS))
    hint = "this needs an inline login that is or becomes root; else: splitmirror install-guard HOST --print, and do it by hand"
    return done.require(f"{argv[0]} on {host.name}", hint).stdout


# -- what belongs where ---------------------------------------------------------------------------------------------


def authorized_keys(login: Login) -> str:
    """The line that locks the key to the guard: no terminal, no forwarding, no other command."""
    entry = f"{PROGRAM} entry {login.account}".rstrip()
    return f'restrict,command="{entry}" {login.public_key}'


def sudoers(login: Login) -> str:
    """One rule for four commands; "" when the login becomes nobody else. A pseudo terminal would hide a lost link."""
    if not login.account:
        return ""
    commands = ", ".join(f"{PROGRAM} {word}" for word in WORDS)
    return f"Defaults!{PROGRAM} !requiretty, !use_pty\n{login.user} ALL=({login.account}) NOPASSWD: {commands}\n"


def unit(login: Login) -> str:
    """The boot job: ends what outlived a restart; it waits in the background for what has to start first."""
    return f"""\
[Unit]
Description=splitmirror: end the holds that outlived a restart of this server
After=local-fs.target network.target

[Service]
Type=simple
User={login.runs_as}
ExecStart={PROGRAM} boot

[Install]
WantedBy=multi-user.target
"""


def as_text(login: Login, done: Sequence[str]) -> str:
    """What was done, and what a person puts where."""
    lines = [f"done: {one}" for one in done]
    if not done:
        lines += [
            f"program: {PROGRAM}, owner root, mode 0755",
            f"    sha256 of its parts {composed(login).checksum}; --program FILE writes it",
        ]
    lines += [
        "",
        f"authorized_keys of {login.user} on the data server, instead of the line with this key:",
        f"    {authorized_keys(login)}",
    ]
    if rule := sudoers(login):
        lines += ["", "/etc/sudoers.d/splitmirror, mode 0440 (check it with visudo -cf):"]
        lines += [f"    {line}" for line in rule.splitlines()]
    lines += [
        "",
        f"files that a recovery card may fetch lie in folders named, one a line, in {state_of(login)}/fetch-folders",
    ]
    if len(done) < 2:
        lines += ["", f"boot job, {UNIT} (then: systemctl enable splitmirror-guard):"]
        lines += [f"    {line}".rstrip() for line in unit(login).splitlines()]
        lines += ["", f"where there is no systemd, in the crontab of {login.runs_as}:", f"    @reboot {PROGRAM} boot"]
    lines += ["", 'then say guard = "installed" in the host\'s table, and: splitmirror check']
    return "\n".join(lines).lstrip("\n") + "\n"


def state_of(login: Login) -> str:
    """The guard's folder on the data server."""
    if login.state:
        return login.state
    return "/var/lib/splitmirror" if login.runs_as == "root" else f"~{login.runs_as}/.splitmirror"
