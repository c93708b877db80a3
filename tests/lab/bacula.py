"""A whole Bacula for one test: director, storage daemon, file daemon and catalogue, out of one folder on loopback ports.

The daemons run in the foreground as our children, as root, with the sparse environment that a service has. What a test
learns comes from the catalogue (status letter, joblog, what was saved), never from prose of the console. The names that
jobs refer to (client, storage, pool, messages, schedule) are those of samples/products/bacula.

Sources: bacula-doc 9.6.7, main manual (director, file daemon and storage daemon resources; console commands); the job
status letters: its developers' guide, "Catalog Services".
"""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.need import find, need

PROGRAMS = ("bacula-dir", "bacula-sd", "bacula-fd", "bconsole", "sqlite3")
TABLES = Path("/usr/share/bacula-director/make_sqlite3_tables")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
PASSWORD = "lab-only"
START_SECONDS = STOP_SECONDS = 15.0
JOB_SECONDS = 120.0
CONSOLE_SECONDS = 60.0
POLL_SECONDS = 0.1

ENDED = frozenset("TWEfAID")
"""Status letters of a job that has ended: good, with warnings, error, fatal error, cancelled, incomplete, differences."""

DIRECTOR = """\
Director {{
  Name = lab-dir; DIRport = {dir}; DirAddress = 127.0.0.1; QueryFile = /dev/null; WorkingDirectory = {folder}/var
  PidDirectory = {folder}/run; Maximum Concurrent Jobs = 8; Password = {password}; Messages = Standard
  SD Connect Timeout = 20 seconds; FD Connect Timeout = 20 seconds
}}
Catalog {{ Name = Catalog; dbname = bacula; dbuser = ""; dbpassword = "" }}
Client {{
  Name = backup1-fd; Address = 127.0.0.1; FDPort = {fd}; Catalog = Catalog; Password = {password}
  Maximum Concurrent Jobs = 8
}}
Storage {{
  Name = Tape; Address = 127.0.0.1; SDPort = {sd}; Password = {password}; Device = Device; Media Type = File
  Maximum Concurrent Jobs = 8
}}
Pool {{ Name = Default; Pool Type = Backup; Recycle = yes; AutoPrune = yes; Label Format = Volume }}
Schedule {{
  Name = WeeklyCycle
  Run = Level=Full 1st sun at 23:05
}}
Messages {{ Name = Standard; append = "{folder}/bacula.log" = all, !skipped; catalog = all, !skipped, !saved }}
FileSet {{ Name = Nothing; Include {{ Options {{ signature = MD5 }} }} }}
Job {{
  Name = Restore; Type = Restore; Client = backup1-fd; FileSet = Nothing; Storage = Tape; Pool = Default
  Messages = Standard; Where = /nowhere
}}
"""

STORAGE = """\
Storage {{
  Name = lab-sd; SDPort = {sd}; SDAddress = 127.0.0.1; WorkingDirectory = {folder}/var; Pid Directory = {folder}/run
  Maximum Concurrent Jobs = 8
}}
Director {{ Name = lab-dir; Password = {password} }}
Device {{
  Name = Device; Media Type = File; Archive Device = {folder}/volumes; LabelMedia = yes; Random Access = yes
  AutomaticMount = yes; RemovableMedia = no; AlwaysOpen = no; Maximum Concurrent Jobs = 8
}}
Messages {{ Name = Standard; director = lab-dir = all }}
"""

CLIENT = """\
FileDaemon {{
  Name = backup1-fd; FDport = {fd}; FDAddress = 127.0.0.1; WorkingDirectory = {folder}/var; Pid Directory = {folder}/run
  Maximum Concurrent Jobs = 8
}}
Director {{ Name = lab-dir; Password = {password} }}
Messages {{ Name = Standard; director = lab-dir = all, !skipped, !restored }}
"""

CONSOLE = """\
Director {{ Name = lab-dir; DIRport = {dir}; address = 127.0.0.1; Password = {password} }}
"""

CONFIGURATIONS = {"sd": STORAGE, "fd": CLIENT, "dir": DIRECTOR}


@dataclass
class Bacula:
    """The three daemons over one folder. `jobs`: Job and FileSet resources as they stand in a director's file."""

    folder: Path
    jobs: str
    ports: dict[str, int] = field(default_factory=lambda: free_ports("dir", "fd", "sd"))
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    # -- up and down --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write the configuration, make the catalogue, start all three and wait until each listens."""
        for name in ("var", "run", "volumes"):
            (self.folder / name).mkdir(parents=True)
        values = {**self.ports, "folder": self.folder, "password": PASSWORD}
        for name, text in {**CONFIGURATIONS, "console": CONSOLE}.items():
            jobs = self.jobs if name == "dir" else ""
            self.configuration(name).write_text(text.format(**values) + jobs, encoding="utf-8")
            self.configuration(name).chmod(0o600)
        make_catalogue(self.folder / "var")
        for name in CONFIGURATIONS:
            self.start_daemon(name)

    def start_daemon(self, name: str) -> None:
        """Start ``dir``, ``sd`` or ``fd`` and wait until it listens."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                [find(f"bacula-{name}") or name, "-f", "-c", str(self.configuration(name))],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        until(lambda: self.is_up(name), f"bacula-{name} listens", START_SECONDS)

    def is_up(self, name: str) -> bool:
        """Whether a daemon listens; AssertionError with what it said when it has ended."""
        assert self.daemons[name].poll() is None, (self.folder / f"{name}.out").read_text(encoding="utf-8")
        return is_listening(self.ports[name])

    def stop_daemon(self, name: str) -> None:
        """End one daemon: TERM, and KILL when it does not mind it."""
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(timeout=STOP_SECONDS)
        daemon.kill()
        daemon.wait(timeout=STOP_SECONDS)

    def kill_daemon(self, name: str) -> None:
        """End one daemon at once, as a crash does."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait(timeout=STOP_SECONDS)

    def stop(self) -> None:
        """End all daemons, the director first."""
        for name in ("dir", "fd", "sd"):
            self.stop_daemon(name)

    def configuration(self, name: str) -> Path:
        """The configuration file of a daemon or of the console."""
        return self.folder / f"{name}.conf"

    # -- jobs ---------------------------------------------------------------------------------------------------

    def console(self, *lines: str) -> str:
        """What the console answers to some commands."""
        done = subprocess.run(
            [find("bconsole") or "bconsole", "-n", "-c", str(self.configuration("console"))],
            input="".join(f"{line}\n" for line in lines),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
            timeout=CONSOLE_SECONDS,
        )
        return done.stdout

    def queue(self, job: str, level: str = "Full") -> int:
        """Start a job; its id. It does not wait for it."""
        return self._queued(self.console(f"run job={job} level={level} yes"))

    def run(self, job: str, level: str = "Full") -> Ended:
        """Run a job to its end."""
        return self.wait(self.queue(job, level))

    def wait(self, job_id: int, seconds: float = JOB_SECONDS) -> Ended:
        """Wait until a job has ended and said so."""
        until(lambda: self.status(job_id) in ENDED, f"job {job_id} ends", seconds, lambda: self.log(job_id))
        # the summary is the last thing of a job that comes into the catalogue
        until(lambda: "Termination:" in self.log(job_id), f"the summary of job {job_id}", seconds)
        return Ended(job_id, self.status(job_id), self.log(job_id))

    def cancel(self, job_id: int) -> None:
        """Cancel a job, as an operator does."""
        self.console(f"cancel jobid={job_id} yes")

    def restore(self, job: str, where: Path) -> Ended:
        """Restore everything that the newest backups of `job` saved (the last full one and what came after) to `where`."""
        ids = ",".join(str(number) for number in self.newest(job))
        answer = self.console(f"restore client=backup1-fd jobid={ids} where={where} all done yes")
        return self.wait(self._queued(answer))

    def _queued(self, answer: str) -> int:
        found = re.search(r"Job queued\. JobId=(\d+)", answer)
        assert found, answer
        return int(found[1])

    # -- the catalogue ------------------------------------------------------------------------------------------

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of the catalogue; read only."""
        address = f"file:{self.folder}/var/bacula.db?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as catalogue:
            return list(catalogue.execute(query, values))

    def status(self, job_id: int) -> str:
        """A job's status letter; C for one that the catalogue does not know yet."""
        rows = self.ask("select JobStatus from Job where JobId = ?", job_id)
        return str(rows[0][0]) if rows else "C"

    def log(self, job_id: int) -> str:
        """What a job's log says."""
        return "".join(
            str(row[0]) for row in self.ask("select LogText from Log where JobId = ? order by LogId", job_id)
        )

    def newest(self, job: str) -> list[int]:
        """The newest full backup of a job and the good ones after it."""
        rows = self.ask("select JobId, Level from Job where Name = ? and JobStatus in ('T', 'W') order by JobId", job)
        full = max(int(str(row[0])) for row in rows if row[1] == "F")
        return [int(str(row[0])) for row in rows if int(str(row[0])) >= full]

    def saved(self, job_id: int) -> set[str]:
        """The paths that a job saved."""
        rows = self.ask(
            "select Path.Path || Filename.Name from File join Path using (PathId) join Filename using (FilenameId)"
            " where JobId = ?",
            job_id,
        )
        return {str(row[0]) for row in rows}


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended: its status letter and its log."""

    job_id: int
    status: str
    log: str


@contextmanager
def bacula(folder: Path, jobs: str) -> Iterator[Bacula]:
    """A Bacula for the time of the block; skipped with the reason where this machine has none."""
    need(*PROGRAMS)
    made = Bacula(folder, jobs)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def make_catalogue(folder: Path) -> None:
    """The packaged script makes the tables, in our folder and under our name."""
    script = re.sub(r"(?m)^cd .*", f"cd {folder}", TABLES.read_text(encoding="utf-8")).replace(
        "XXX_DBNAME_XXX", "bacula"
    )
    subprocess.run(["/bin/sh"], input=script, text=True, check=True, capture_output=True, timeout=CONSOLE_SECONDS)


def free_ports(*names: str) -> dict[str, int]:
    """A free loopback port for each name."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in names]
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return {name: int(one.getsockname()[1]) for name, one in zip(names, opened, strict=True)}


def is_listening(port: int) -> bool:
    """Whether anybody listens on a loopback port; asked of the kernel, since a bare connection is an alert in its log."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def until(
    is_so: Callable[[], bool], what: str, seconds: float = JOB_SECONDS, seen: Callable[[], str] | None = None
) -> None:
    """Wait for a condition; AssertionError that says what did not come, and what was seen instead."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}\n{seen() if seen else ''}"
        time.sleep(POLL_SECONDS)
