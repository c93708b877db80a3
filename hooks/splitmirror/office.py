"""The office: configuration, state folder, journal and jobs of this installation, opened once for a command.

Hooks and admin commands begin here; nothing is opened before it is asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from splitmirror import log, wiring
from splitmirror.giveup import GiveUp
from splitmirror.job import Job
from splitmirror.journal.contract import Journal, RunRecord
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.log import Teller
from splitmirror.policy.load import Loaded, find_config, load
from splitmirror.run import Run
from splitmirror.state import StateFolder
from splitmirror_drivers.contracts.product import Invocation
from splitmirror_drivers.kit.deadline import Deadline


class Office:
    """What a command needs of this installation; `config` is what --config said ("" for the default places)."""

    def __init__(self, config: str, environment: Mapping[str, str]) -> None:
        self.path: Path = find_config(config, environment)
        self.environment = environment
        self._jobs: dict[str, Job] = {}

    @cached_property
    def loaded(self) -> Loaded:
        """The policy file, checked."""
        return load(self.path)

    @cached_property
    def state(self) -> StateFolder:
        """The state folder, made if it is missing, refused if it is not ours."""
        return StateFolder.open(self.loaded.configuration.settings.state, self.environment)

    @cached_property
    def journal(self) -> Journal:
        """The journal of this installation."""
        return SqliteJournal(self.state.path)

    def job(self, policy: str) -> Job:
        """One policy with everything it names."""
        if policy not in self._jobs:
            self._jobs[policy] = wiring.job(self.loaded, policy, self.state.path)
        return self._jobs[policy]

    def only_policy(self) -> str:
        """The one policy of the file; "" when there are several or none."""
        names = list(self.loaded.configuration.policies)
        return names[0] if len(names) == 1 else ""

    def logger(self, run_id: str) -> logging.Logger:
        """The log of one run."""
        settings = self.loaded.configuration.settings
        return log.run_logger(Path(settings.log) if settings.log else self.state.path / "log", run_id)

    def run(self, job: Job, record: RunRecord, teller: Teller, give_up: GiveUp, limit_seconds: float = 0.0) -> Run:
        """A run over a record of the journal. `limit_seconds` 0: the product waits for ever."""
        last = Deadline.after(limit_seconds) if limit_seconds > 0 else None
        return Run(job, self.journal, record, self.logger(record.run_id), teller, give_up, last, time.time)

    def limit(self, job: Job, call: Invocation) -> float:
        """Seconds the product waits for a hook: the policy's word, else the product's own default; 0 for ever."""
        return float(job.policy.product_limit) or call.limit_seconds

    def close(self) -> None:
        """Give the journal's files back, if they were opened."""
        if "journal" in self.__dict__:
            self.journal.close()
