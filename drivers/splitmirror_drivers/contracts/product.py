"""A backup product: how it calls the hooks, and how it wants to be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Hook(Enum):
    """Which of the two executables this is."""

    PRE = "pre"
    POST = "post"


class BackupStatus(Enum):
    """What the product says of the backup when it calls post."""

    GOOD = "good"
    FAILED = "failed"
    NOT_TOLD = "not told"


class Result(Enum):
    """How a hook ended, for the exit code: see ``splitmirror.exits``."""

    DONE = 0
    FAILED = 1
    NEEDS_A_PERSON = 2
    WRONG = 3


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a hook, free of the product's own forms.

    Runs are joined by policy + client + schedule, never by a backup id. `stream` 0: the product said nothing of
    streams. `limit_seconds` 0: the product has no limit of its own, or none is known.
    """

    product: str
    hook: Hook
    policy: str = ""
    client: str = ""
    schedule: str = ""
    job: str = ""
    stream: int = 0
    streams: int = 0
    status: BackupStatus = BackupStatus.NOT_TOLD
    is_restarted: bool = False
    config: str = ""
    limit_seconds: float = 0.0
    result_file: str = ""
    verbosity: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manners:
    """Where a product lets a hook speak: progress lines on stdout, one error line on stderr, seconds between lines."""

    progress_to_stdout: bool = True
    error_to_stderr: bool = True
    line_every_seconds: float = 60.0


class Product(Protocol):
    """One product's contract with its hooks. Pure: reads argv and environment, runs nothing."""

    name: str
    manners: Manners

    def is_calling(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether this call has the product's own signs (program name, arguments, variables)."""

    def invocation(self, hook: Hook, argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
        """The call as an Invocation; unknown arguments and variables are read without failing. Raises UsageFault."""

    def exit_code(self, hook: Hook, result: Result) -> int:
        """What the product must be told by exit code."""
