"""Any product or script whose pre- and post-command can be typed: everything is said by option."""

# ruff: noqa: ARG002 - every product has the same signatures, whatever it needs of them
from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Manners, Result
from splitmirror_drivers.kit.errors import UsageFault
from splitmirror_drivers.products.arguments import parse_arguments, status_of_code, streams_of

USAGE = """\
usage: splitmirror-pre  [OPTIONS]          before the backup: make the copy and present it
       splitmirror-post [OPTIONS]          after the backup: withdraw the copy

  --policy NAME        which policy (not needed when the policy file has only one)
  --client NAME  --schedule NAME  --job ID
                       whose backup this is: pre and post of one backup say the same
  --stream N  --streams N
                       this is stream N (from 1) of N that share one copy
  --restarted          this stream goes on with what it began earlier
  --status good|failed|CODE
                       post: how the backup ended (0 is good)
  --limit TIME         how long pre may take, for example 300 or 5m
  --result-file FILE   the exit code is written there too
  --config FILE        the policy file (else SPLITMIRROR_CONFIG, /etc/splitmirror/…)
  --product NAME       read the call as this backup product makes it
  -v                   say more; --version: say which version this is
"""


class Generic:
    """Options in, exit code out."""

    name = "generic"
    manners = Manners()

    def is_calling(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """It has no sign of its own: it is what remains."""
        return False

    def invocation(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
        """Raises UsageFault for an option without its value, nearly an option, or a word that stands alone."""
        if {"--help", "-h"} & set(argv[1:]):
            raise UsageFault("how hooks are called", detail=USAGE)
        arguments = parse_arguments(argv)
        if arguments.words:
            raise UsageFault(f"{arguments.words[0]!r} belongs to no option", hint="splitmirror-pre --help lists them")
        stream, streams = streams_of(arguments)
        return Invocation(
            product=self.name,
            hook=hook,
            policy=arguments.text("--policy"),
            client=arguments.text("--client"),
            schedule=arguments.text("--schedule"),
            job=arguments.text("--job"),
            stream=stream,
            streams=streams,
            status=parse_status(arguments.options.get("--status")) if hook is Hook.POST else BackupStatus.NOT_TOLD,
            is_restarted="--restarted" in arguments.options,
            config=arguments.text("--config"),
            limit_seconds=arguments.seconds("--limit"),
            result_file=arguments.text("--result-file"),
            verbosity=arguments.verbosity,
            extra=arguments.unknown,
        )

    def exit_code(self, hook: Hook, result: Result) -> int:
        """The table of ``splitmirror help exit-codes`` as it stands."""
        return result.value


def parse_status(word: str | None) -> BackupStatus:
    """``good``, ``failed``, or an exit code; None: not told. Raises UsageFault for any other word."""
    if word is None or not word.strip():
        return BackupStatus.NOT_TOLD
    said = word.strip().lower()
    if said in (BackupStatus.GOOD.value, BackupStatus.FAILED.value):
        return BackupStatus(said)
    if said.lstrip("+-").isdecimal() and said.isascii():
        return status_of_code(said)
    raise UsageFault(f"--status {word!r} is not known", hint="write good, failed, or the backup's exit code")
