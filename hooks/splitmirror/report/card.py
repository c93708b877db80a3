"""The recovery card: what was split when, what was proven, and exactly how to recover each application from this copy.

Two files say the same: ``RECOVERY.md`` for a person at night, ``card.json`` for programs. Beside them, one folder per
application with the files recovery needs, byte for byte. A copy stays in the state folder with the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from splitmirror_drivers.contracts.application import Captured, Verdict
from splitmirror_drivers.kit.errors import JournalFault

CALLED = {
    Verdict.APPLICATION: "application-consistent: every application was held until the split was fixed",
    Verdict.CRASH: "crash-consistent only: it recovers as after a power failure",
    Verdict.UNPROVEN: "UNPROVEN: do not rely on it",
}


@dataclass(frozen=True, slots=True)
class Card:
    """Everything the card says. Times are UTC seconds for people; windows are seconds by host."""

    run_id: str
    policy: str
    split_at: float
    verdict: Verdict
    doubts: tuple[str, ...]
    mirrors: Mapping[str, str]
    """Each mirror's key and the array's own restore note."""
    windows: Mapping[str, float]
    captured: Mapping[str, Captured]
    needs: tuple[str, ...] = ()
    presented: tuple[str, ...] = ()
    clocks: Mapping[str, str] = field(default_factory=dict)


def folder_beside(path: str) -> Path:
    """``/backup/erp`` → ``/backup/erp.card``: beside the mount point, since the mount itself is read-only."""
    return Path(path.rstrip("/") + ".card")


def utc(at: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def as_data(card: Card) -> dict[str, object]:
    """The card as JSON data; files are named, not included."""
    return {
        "run": card.run_id,
        "policy": card.policy,
        "split_at": utc(card.split_at),
        "verdict": card.verdict.value,
        "doubts": list(card.doubts),
        "mirrors": dict(card.mirrors),
        "freeze_window_ms": {host: round(seconds * 1000, 1) for host, seconds in card.windows.items()},
        "needs": list(card.needs),
        "presented": list(card.presented),
        "clocks": dict(card.clocks),
        "applications": {
            name: {"facts": dict(c.facts), "steps": list(c.steps), "files": sorted(c.files), "needs_logs": c.needs_logs}
            for name, c in card.captured.items()
        },
    }


def as_text(card: Card) -> str:
    """RECOVERY.md."""
    lines = [
        f"# Recovery from the copy of {card.policy}",
        "",
        f"* Run `{card.run_id}`, split at {utc(card.split_at)}.",
        f"* This copy is **{CALLED[card.verdict]}**.",
        *[f"* Doubt: {doubt}" for doubt in card.doubts],
        *[f"* Still needed from elsewhere: {need}" for need in card.needs],
        *[f"* It was presented at `{path}`." for path in card.presented],
        *[f"* Writes waited on {host} for {seconds * 1000:.1f} ms." for host, seconds in card.windows.items()],
        *[f"* Clock of {host}: {clock}." for host, clock in card.clocks.items()],
    ]
    for name, captured in card.captured.items():
        lines += ["", f"## {name}", ""]
        lines += [f"{number}. {step}" for number, step in enumerate(captured.steps, 1)]
        if captured.files:
            lines += ["", "Files beside this page: " + ", ".join(f"`{name}/{file}`" for file in sorted(captured.files))]
        if captured.facts:
            lines += ["", *[f"* {key}: {_short(value)}" for key, value in captured.facts.items()]]
    if card.mirrors:
        lines += ["", "## Restoring from the mirror itself", "", "For a person; splitmirror never runs these.", ""]
        lines += [f"* {key}: {note}" for key, note in card.mirrors.items()]
    return "\n".join(lines) + "\n"


def _short(value: str) -> str:
    first, *rest = value.splitlines() or [""]
    return f"{first} … ({len(rest) + 1} lines, see card.json)" if rest else first


def write(card: Card, folder: Path) -> None:
    """Write the card into `folder` (made here, mode 0700). Raises JournalFault with the cause when it cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
        for name, captured in card.captured.items():
            for file, content in captured.files.items():
                _put(folder / name / _inside(file), content)
        _put(folder / "card.json", (json.dumps(as_data(card), indent=2) + "\n").encode())
        _put(folder / "RECOVERY.md", as_text(card).encode())
    except OSError as exc:
        raise JournalFault(
            f"the recovery card cannot be written to {folder}: {exc.strerror}",
            hint="a copy without its card is not good",
        ) from exc


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise JournalFault(f"a driver named a card file outside the card: {name}")
    return path


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("wb") as file:
        path.chmod(0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def mirrors_of(notes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Restore notes by mirror key, without empty ones."""
    return {key: note for key, note in notes if note}
