"""An application: what it needs to be quiesced, how it is held, and how a copy of it is recovered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from splitmirror_drivers.contracts.host import Hold, Host
from splitmirror_drivers.kit.deadline import Deadline


class Verdict(Enum):
    """What was proven of a copy, best first."""

    APPLICATION = "application"
    CRASH = "crash"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Facts:
    """What `check` found. `files`: every absolute path that must lie on the mirror (data, logs, tablespaces).

    `log_files`: those that may lie on a log mirror instead. `values` goes to `holds` and to the journal (text only).
    `needs_atomic`: why the copy must be one moment over all files ("" when the holds alone make it recoverable).
    `quiesced_by`: the name of what brings it to rest inside the array's split (a VSS writer), where no hold of ours does.
    """

    files: tuple[str, ...]
    log_files: tuple[str, ...] = ()
    version: str = ""
    warnings: tuple[str, ...] = ()
    needs_atomic: str = ""
    quiesced_by: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """What is needed to recover this application from the copy.

    `files` are written to the card folder byte for byte (name → content); `steps` are the paragraphs of RECOVERY.md;
    `needs_logs`: what must still come from elsewhere for a complete recovery ("" for none).
    """

    steps: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    needs_logs: str = ""


class Application(Protocol):
    """One application instance on one data server. `name` is its name in the policy file, `driver` its driver's."""

    name: str
    driver: str
    host: Host
    families: tuple[str, ...]
    """The verb families (``.sh`` files) this needs on its host."""

    def check(self, deadline: Deadline) -> Facts:
        """Ask every precondition for real and change nothing.

        Raises Refused (not open, wrong mode), ForeignHold (frozen or in backup mode by somebody else), CommandFailed.
        """

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """The holds this contributes, bottom of the stack first; several where several places of the order need one."""

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:
        """After the resume: log switch, waits for archiving (bounded), metadata. `facts` are those of all its holds."""
