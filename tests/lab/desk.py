"""A backup server's desk: a policy file that is written table by table, and the hooks as a product would start them.

They are processes of their own, configured by the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from splitmirror.journal.contract import Event, RunRecord
from splitmirror.journal.sqlite import SqliteJournal

ROOT = Path(__file__).parents[2]
HOOK_SECONDS = 180.0


@dataclass
class Desk:
    """One backup server with its policy file. `tables` are those of the file, by their titles."""

    folder: Path
    tables: dict[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def config(self) -> Path:
        return self.folder / "splitmirror.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def add(self, title: str, **values: object) -> None:
        """Add one table of the policy file; values are written as TOML (JSON is, for what is used here).

        Names of arguments are written with dashes, keys of inner tables as they are.
        """
        lines = [f"{key.replace('_', '-')} = {toml(value)}" for key, value in values.items()]
        self.tables[title] = "\n".join([f"[{title}]", *lines, ""])
        text = f'[settings]\nstate = "{self.state}"\nsyslog = false\nserver = "backup1"\n\n'
        self.config.write_text(text + "\n".join(self.tables.values()))

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "SPLITMIRROR_CONFIG": str(self.config), "PYTHONPATH": f"{ROOT}/hooks:{ROOT}/drivers"}

    def start(self, hook: str, *arguments: str) -> subprocess.Popen[str]:
        """Start ``pre``, ``post`` or a subcommand of ``splitmirror``."""
        module = f"splitmirror.{hook}" if hook in ("pre", "post") else "splitmirror.admin"
        words = [sys.executable, "-m", module, *(() if hook in ("pre", "post") else (hook,)), *arguments]
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(self.environment()),
            cwd="/",
        )

    def run(self, hook: str, *arguments: str, code: int | None = 0) -> str:
        """Run one to its end; what it printed. `code` None: any exit code will do."""
        process = self.start(hook, *arguments)
        out, err = process.communicate(timeout=HOOK_SECONDS)
        said = f"splitmirror {hook} {' '.join(arguments)} ended with {process.returncode}\n{out}\n{err}"
        assert code is None or process.returncode == code, f"{said}\n{self.logs()}"
        return out + err

    def logs(self) -> str:
        """The logs of all runs."""
        return "\n".join(path.read_text() for path in sorted((self.state / "log").glob("*.log")))

    def journal(self) -> SqliteJournal:
        """The journal, to be read."""
        return SqliteJournal(self.state)

    def last_run(self, policy: str) -> RunRecord:
        """The newest run of a policy."""
        return self.journal().runs(policy, limit=1)[0]

    def events(self, policy: str) -> tuple[Event, ...]:
        """Everything the journal says of the newest run."""
        return self.journal().events(self.last_run(policy).run_id)

    def windows(self, policy: str) -> dict[str, float]:
        """The freeze window of each host in the newest run, in seconds."""
        note = next(event for event in self.events(policy) if event.act == "verdict")
        found = note.data["windows"]
        assert isinstance(found, dict)
        return {str(host): float(seconds) for host, seconds in found.items()}


def toml(value: object) -> str:
    """A value as TOML: JSON but for tables, which are written inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value)
