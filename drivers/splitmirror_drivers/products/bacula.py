"""Bacula and Bareos: RunScript resources, with `%` codes expanded into arguments.

Sources: Bacula 9.6.7 main manual, "Configuring the Director" (RunScript); the words of ``%e`` are those of the manual and
of the file daemon's library. Bareos: core/src/lib/runscript.cc. See docs/products/bacula.md.
"""

# ruff: noqa: ARG002 - every product has the same signatures, whatever it needs of them
from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Manners, Result
from splitmirror_drivers.products.arguments import parse_arguments, streams_of

GOOD_WORDS = frozenset({"OK", "OK -- with warnings"})
"""Every other word (Error, Fatal Error, Canceled, Differences, …), also one that nobody knows yet, is not a good backup."""


class Bacula:
    """``--product bacula --policy P --job %i --job-name %n --client %c --level %l --status "%e"``."""

    name = "bacula"
    manners = Manners()

    def is_calling(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Never: nothing but what the administrator typed reaches the command. ``--product bacula`` says it."""
        return False

    def invocation(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
        """Raises UsageFault for an option without its value, or nearly an option.

        A run belongs to client and job name; the job id names the one run that a post may close. There is no limit:
        the pipe to the command is read without one.
        """
        arguments = parse_arguments(argv)
        stream, streams = streams_of(arguments)
        extra = {**arguments.unknown, "level": arguments.text("--level"), "words": " ".join(arguments.words)}
        return Invocation(
            product=self.name,
            hook=hook,
            policy=arguments.text("--policy"),
            client=arguments.text("--client"),
            schedule=arguments.text("--job-name") or arguments.text("--schedule"),
            job=arguments.text("--job"),
            stream=stream,
            streams=streams,
            status=parse_status(arguments.options.get("--status")) if hook is Hook.POST else BackupStatus.NOT_TOLD,
            is_restarted="--restarted" in arguments.options,
            config=arguments.text("--config"),
            limit_seconds=arguments.seconds("--limit"),
            result_file=arguments.text("--result-file"),
            verbosity=arguments.verbosity,
            extra={key: value for key, value in extra.items() if value},
        )

    def exit_code(self, hook: Hook, result: Result) -> int:
        """Before: anything but 0 cancels the job. After: a warning, or an error where FailJobOnError says so."""
        return result.value


def parse_status(word: str | None) -> BackupStatus:
    """What a word of ``%e`` says; None, or a ``%e`` that came unexpanded or empty: nothing was told."""
    if word is None or word.strip() in ("", "%e"):
        return BackupStatus.NOT_TOLD
    return BackupStatus.GOOD if word.strip() in GOOD_WORDS else BackupStatus.FAILED
