"""What `local` and `ssh` share: the guard program is put in place once, then every call is one start of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Protocol

from splitmirror_drivers.contracts.host import Answer, Charge, Guard, Mailbox, Verb
from splitmirror_drivers.hosts import program
from splitmirror_drivers.hosts.channel import GuardChannel, Stream, Watchdog, answer_of, ended_early, lines_of
from splitmirror_drivers.kit.command import OUTPUT_LIMIT_BYTES, Command, Completed, not_started
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, DeadlinePassed, HostFault, LinkLost, Refused
from splitmirror_drivers.kit.secret import redact

_END = "# end of the guard program"

# One line, so that a login shell of any family passes it on: put the program in the guard's own folder unless a file
# with its checksum is there. It is read up to the end mark, written under another name and renamed.
_PLACE = (
    "umask 077; LC_ALL=C; export LC_ALL; cd / || exit 1; d=$1; f=$2.sh; t=.$2.$$; e=$3; "
    'if [ -z "$d" ]; then if [ "$(id -u)" = 0 ]; then d=/var/lib/splitmirror; else d=$HOME/.splitmirror; fi; fi; '
    'mkdir -p "$d" || exit 1; [ -d "$d/lib" ] || mkdir "$d/lib" || exit 1; '
    'for p in "$d" "$d/lib"; do set -- $(ls -ldn "$p"); '
    'case $1 in d????-??-*) [ "$3" = "$(id -u)" ];; *) false;; esac || '
    '{ echo "$p must be a folder of our own that nobody else can write to" >&2; exit 1; }; done; '
    'if [ -f "$d/lib/$f" ]; then :; else echo want; n=; '
    'while IFS= read -r l; do if [ "$l" = "$e" ]; then n=1; break; fi; printf "%s\\n" "$l"; done > "$d/lib/$t.part" || exit 1; '
    'while [ -z "$n" ] && IFS= read -r l; do if [ "$l" = "$e" ]; then n=1; break; fi; done; '
    '[ -n "$n" ] && mv -f "$d/lib/$t.part" "$d/lib/$f" || { rm -f "$d/lib/$t.part"; exit 1; }; fi; echo "have $d/lib/$f"'
)


class ShellOptions(Protocol):
    """The options that both hosts have."""

    @property
    def shell(self) -> str:
        """The POSIX shell that runs the program."""

    @property
    def guard_dir(self) -> str:
        """The guard's folder there; empty for the usual one."""

    @property
    def sudo(self) -> str:
        """The account commands and guard run as; empty for the login's own."""

    @property
    def family_dirs(self) -> tuple[str, ...]:
        """Folders here that are searched for verb families before the package."""


class ShellHost:
    """A host that runs the guard program with a POSIX shell. Subclasses start argument lists and know the link."""

    name: str

    def __init__(self, name: str, options: ShellOptions) -> None:
        self.name = name
        self._shell_options = options
        self._families: tuple[str, ...] = ()
        self._placed = ""
        self._placing = threading.Lock()
        self._waiting: list[Stream] = []

    def _start(self, argv: Sequence[str], deadline: Deadline) -> Stream:
        """Start an argument list there (as the login's own account). Raises a HostFault."""
        raise NotImplementedError

    @property
    def _is_installed(self) -> bool:
        return False

    def families(self, families: Sequence[str]) -> None:
        """Say which verb families are needed; what was said before stays."""
        with self._placing:
            known = {*self._families, *families}
            if known != set(self._families):
                self._families, self._placed = tuple(sorted(known)), ""

    def stand_by(self, commands: int, deadline: Deadline) -> None:
        """Start the program as often as commands are to be run soon: each waits for the header that says which."""
        while not self._is_installed and len(self._waiting) < commands:
            self._waiting.append(self._word("run", deadline))

    def _way(self, deadline: Deadline) -> Stream:
        """A started program that waits for its command; one that stands by, where there is one."""
        while self._waiting:
            with contextlib.suppress(IndexError):  # another thread may have taken the last
                stream = self._waiting.pop()
                if stream.is_open:
                    return stream
                stream.close()
        return self._word("run", deadline)

    def _dismiss(self) -> None:
        """End what stood by and was not used."""
        while self._waiting:
            self._waiting.pop().close()

    def call(self, verb: Verb, deadline: Deadline) -> Answer:
        """Call one verb to its end. A non-zero exit code is an answer. Raises LinkLost, DeadlinePassed, Refused."""
        stream = self._word("call", deadline)
        header = program.verb_header(verb, deadline.left(), *self._state_and_shell())
        answer = answer_of(stream, header, f"{verb.name} on {self.name}", deadline)
        if verb.secret is None:
            return answer
        return Answer(answer.facts, answer.exit_code, redact(answer.said, verb.secret))

    def guard(self, charge: Charge, mailbox: Mailbox, deadline: Deadline) -> Guard:
        """Start a guard; returns once it said hello. Raises ForeignHold, Refused, LinkLost, DeadlinePassed."""
        self.families([hold.family for hold in charge.holds])
        header = program.charge_header(charge, *self._state_and_shell())
        channel = GuardChannel(self.name, self._word("guard", deadline), mailbox)
        channel.start(charge, header, deadline)
        return channel

    def fetch(self, path: str, limit_bytes: int, deadline: Deadline) -> bytes:
        """The content of a file there. Raises CommandFailed when it is missing or longer than `limit_bytes`."""
        header = program.fetch_header(path, limit_bytes, *self._state_and_shell())
        content = bytearray()
        with contextlib.closing(self._word("fetch", deadline)) as stream, Watchdog(stream, deadline) as watchdog:
            with contextlib.suppress(LinkLost):  # a program that refused to start has said why
                stream.write(header.encode())
            while len(content) <= limit_bytes + 64 and (chunk := stream.read()):
                content += chunk
            if watchdog.fired:
                raise DeadlinePassed(f"{path} did not come from {self.name} in its time")
            head, _, body = bytes(content).partition(b"\n")
            if not head.startswith(b"size ") or len(body) != int(head[5:]):
                raise self._not_fetched(stream, path)
        return body

    def _not_fetched(self, stream: Stream, path: str) -> HostFault | CommandFailed:
        code = stream.exit_code(Deadline.after(2.0))
        if code is None:
            return LinkLost(f"the link to {self.name} was lost while {path} was fetched", retryable=True)
        detail = stream.errors().strip() or "it changed while it was read"
        return CommandFailed(f"{path} cannot be fetched from {self.name}", detail=detail)

    def _run_there(self, command: Command, deadline: Deadline) -> Completed:
        """Run an argument list through the program: what is secret goes by standard input, the channel's end ends it."""
        if self._is_installed:
            raise Refused(
                f"{self.name} runs verbs only, since its guard is installed behind a forced command",
                hint='use guard = "inline" for a host that has to run commands of an array or of a presentation',
            )
        if command.inherit:
            raise Refused(f"descriptors cannot be handed to a command on {self.name}")
        if deadline.is_passed:
            raise not_started(command)
        began = deadline.clock()
        header = program.run_header(command, *self._state_and_shell())
        output = bytearray()
        with contextlib.closing(self._way(deadline)) as stream, Watchdog(stream, deadline) as watchdog:
            with contextlib.suppress(LinkLost):
                stream.write(header.encode())
            while chunk := stream.read():
                output += chunk
                del output[: max(0, len(output) - OUTPUT_LIMIT_BYTES)]
            code = None if watchdog.fired else stream.exit_code(deadline)
            if code is None:
                raise self._no_exit_code(command, watchdog.fired or deadline.is_passed)
            text = bytes(output).decode(errors="backslashreplace")
            return Completed(command.argv, code, text, stream.errors(), deadline.clock() - began)

    def _no_exit_code(self, command: Command, is_late: bool) -> LinkLost | DeadlinePassed:
        detail, hint = f"$ {command.line()}", "what it did is unknown until it is asked"
        if is_late:
            return DeadlinePassed(
                f"{command.argv[0]} on {self.name} gave no answer in its time", detail=detail, hint=hint
            )
        return LinkLost(f"the link to {self.name} was lost during {command.argv[0]}", detail=detail, hint=hint)

    # -- starting the program --

    def _word(self, word: str, deadline: Deadline) -> Stream:
        if self._is_installed:
            return self._start(("splitmirror", word), deadline)
        return self._start(
            (*self._as_account(), *self._shell_options.shell.split(), self._place(deadline), word), deadline
        )

    def _as_account(self) -> tuple[str, ...]:
        account = self._shell_options.sudo
        return ("sudo", "-n", "-H", "-u", account, "--") if account else ()

    def _state_and_shell(self) -> tuple[str, str]:
        return self._shell_options.guard_dir, self._shell_options.shell

    def _place(self, deadline: Deadline) -> str:
        """The program's path there; it is sent unless a file with its checksum is there."""
        with self._placing:
            if not self._placed:
                self._placed = self._send_program(deadline)
            return self._placed

    def _send_program(self, deadline: Deadline) -> str:
        text = program.compose(self._families, self._shell_options.family_dirs)
        mark = f"{_END} {text.checksum}"
        argv = (*self._as_account(), "/bin/sh", "-c", _PLACE, "sh", self._shell_options.guard_dir, text.checksum, mark)
        with contextlib.closing(self._start(argv, deadline)) as stream, Watchdog(stream, deadline) as watchdog:
            for line in lines_of(stream):
                if line == "want":
                    stream.write(f"{text.text}{mark}\n".encode())
                elif line.startswith("have "):
                    return line[5:]
            if watchdog.fired:
                raise DeadlinePassed(f"the guard program could not be put on {self.name} in its time")
            raise ended_early(stream, f"putting the guard program on {self.name}")
