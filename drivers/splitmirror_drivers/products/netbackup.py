"""NetBackup: ``bpstart_notify`` and ``bpend_notify`` on the client. See docs/products/netbackup.md for what is unverified.

Sources: Administrator's Guide, Volume II, 8.2, "bpstart_notify script", "bpend_notify script" (UNIX and Windows);
article 100025004 (the Windows arguments); Volume I, "BPSTART_TIMEOUT" (300 s).
"""

# ruff: noqa: ARG002 - every product has the same signatures, whatever it needs of them
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath

from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Manners, Result
from splitmirror_drivers.kit.errors import UsageFault
from splitmirror_drivers.products.arguments import Arguments, parse_arguments, status_of_code

PROGRAM_NAMES = {Hook.PRE: "bpstart_notify", Hook.POST: "bpend_notify"}
SCHEDULE_TYPES = frozenset({"FULL", "INCR", "CINC", "UBAK", "UARC"})
LIMIT_SECONDS = 300.0
WINDOWS_WORDS = 6
IDENTITY_WORDS = 4
KEPT_VARIABLES = ("BACKUPID", "BACKUPTIME", "UNIXBACKUPTIME", "STREAM_PID", "STREAM_NUMBER", "STREAM_COUNT")


class NetBackup:
    """CLIENT POLICY SCHEDULE TYPE [STATUS], on Windows with a result file behind them. Nothing on standard output.

    `tells_post`: post's failure is told by exit code. By default it is not, since NetBackup then throws a good backup
    away; it is in `splitmirror status`, the log and syslog.
    """

    manners = Manners(progress_to_stdout=False, error_to_stderr=False)

    def __init__(self, name: str = "netbackup", *, tells_post: bool = False) -> None:
        self.name = name
        self.tells_post = tells_post

    def is_calling(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """By the program's name, or by a schedule type where NetBackup puts it and the right number of arguments."""
        if argv and PureWindowsPath(argv[0]).name.startswith(PROGRAM_NAMES[hook]):
            return True
        words = argv[1:]
        return len(words) in (_unix_words(hook), WINDOWS_WORDS) and words[3] in SCHEDULE_TYPES

    def invocation(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
        """Raises UsageFault when there are fewer than four arguments. ``--policy`` beats NetBackup's own policy name.

        Where the number of streams is unknown (no variables; Windows) it stays 0: see Invocation.
        """
        arguments = parse_arguments(argv)
        words = arguments.words
        if len(words) < IDENTITY_WORDS:
            raise UsageFault(
                f"{PROGRAM_NAMES[hook]} was called with {len(words)} arguments, not with client, policy, schedule and type",
                hint='hand all of NetBackup\'s arguments on: "$@" in sh, %* in a batch file',
            )
        client, policy, schedule, kind = words[:IDENTITY_WORDS]
        stream, streams = streams_of(arguments, environment)
        return Invocation(
            product=self.name,
            hook=hook,
            policy=arguments.text("--policy") or policy,
            client=client,
            schedule=schedule,
            job=arguments.text("--job"),
            stream=stream,
            streams=streams,
            status=parse_status(hook, words),
            is_restarted=environment.get("RESTARTED", "").strip() == "1",
            config=arguments.text("--config"),
            limit_seconds=arguments.seconds("--limit", LIMIT_SECONDS),
            result_file=words[5] if len(words) >= WINDOWS_WORDS else arguments.text("--result-file"),
            verbosity=arguments.verbosity,
            extra={
                **arguments.unknown,
                "type": kind,
                "netbackup-policy": policy,
                **{name: environment[name] for name in KEPT_VARIABLES if environment.get(name)},
            },
        )

    def exit_code(self, hook: Hook, result: Result) -> int:
        """Start: anything but 0 ends the job with status 73. End: 0, unless this product was told to tell."""
        if hook is Hook.POST and not self.tells_post:
            return Result.DONE.value
        return result.value


def parse_status(hook: Hook, words: Sequence[str]) -> BackupStatus:
    """Argument 5 of ``bpend_notify``: the client's own verdict, 0 or not. 1 (partly successful) is not good either."""
    if hook is Hook.PRE or len(words) <= IDENTITY_WORDS:
        return BackupStatus.NOT_TOLD
    return status_of_code(words[IDENTITY_WORDS])


def streams_of(arguments: Arguments, environment: Mapping[str, str]) -> tuple[int, int]:
    """STREAM_NUMBER (from 1; 0 or -1: no streams) and STREAM_COUNT; what is no number says nothing."""
    stream = arguments.count("--stream") or _number(environment.get("STREAM_NUMBER", ""))
    streams = arguments.count("--streams") or _number(environment.get("STREAM_COUNT", ""))
    return stream, max(streams, stream) if streams else 0


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _unix_words(hook: Hook) -> int:
    return IDENTITY_WORDS if hook is Hook.PRE else IDENTITY_WORDS + 1
