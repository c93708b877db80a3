"""A backup server for the Bacula tests: a database, its mirror, the policy, and the job of samples/products/bacula.

The mirror is a script of a few lines that moves real bytes and is driven by the `command` array; files beside it hold it
back (``gate``) or let it refuse a split (``refuse``). The job is the sample itself with its paths replaced, so that what
is proven here is what an administrator copies.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.bacula import ENDED, Bacula, bacula, until
from tests.lab.need import is_required, need

from splitmirror.journal.contract import Event, Kind, RunRecord
from splitmirror.journal.sqlite import SqliteJournal
from splitmirror.locks import RunLock

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "products" / "bacula" / "job-splitmirror.conf"
FROZEN = ROOT / "build" / "frozen" / "splitmirror"
JOB = "erp-nightly"
"""The job of the sample."""
ADMIN_SECONDS = 60.0

MIRROR = """\
#!/bin/sh
# A mirror of one directory tree: its state is a word in a file, its bytes are real.
#   gate    while this file exists, the mirror is not in sync
#   refuse  while this file exists, a split is refused
set -eu
here=${0%/*}
echo "$1" >>"$here/calls"
case $1 in
query)
    word=$(cat "$here/state")
    case $word in
    copying) if [ ! -e "$here/gate" ]; then word=synced; fi ;;
    synced) if [ -e "$here/gate" ]; then word=copying; fi ;;
    esac
    echo "pair1 $word"
    if [ "$word" = synced ]; then echo synced >"$here/state"; fi
    ;;
establish)
    rm -rf "$here/copy"
    echo copying >"$here/state"
    ;;
split)
    [ ! -e "$here/refuse" ] || exit 5
    cp -a "$2" "$here/copy"
    echo split >"$here/state"
    ;;
esac
"""

LATE = """\
#!/bin/sh
# Post, when the test lets it: while FOLDER/JOB exists it waits; FOLDER/JOB.done says with which code it ended.
folder=$1 job=
shift
for word; do
    if [ "$job" = next ]; then job=$word; break; fi
    if [ "$word" = --job ]; then job=next; fi
done
while [ -e "$folder/$job" ]; do sleep 0.1; done
"$@"
code=$?
echo $code >"$folder/$job.done"
exit $code
"""

SLOW = """\
#!/bin/sh
# Pre, and then time passes before it ends: while FILE exists. Its exit code is pre's.
file=$1
shift
"$@"
code=$?
while [ -e "$file" ]; do sleep 0.1; done
exit $code
"""

SETTINGS = """\
[settings]
state = "{folder}/state"
syslog = false

[hosts.local]
transport = "local"
guard-dir = "{folder}/guard"

[applications.shop]
driver = "sqlite"
databases = ["{folder}/data/shop.db"]
"""

SCRIPTED = """
[arrays.mirror]
driver = "command"
family = "mirror"
fixed-by = "complete"
atomic = "group"
tracks-changes = true
tracks-copy-writes = true
allows-freeze = true
source = "the test's own script"
words = {{ copying = "attaching", synced = "synced", split = "split" }}

[arrays.mirror.commands]
query = ["{folder}/mirror/run", "query"]
establish = ["{folder}/mirror/run", "establish"]
split = ["{folder}/mirror/run", "split", "{folder}/data"]

[arrays.mirror.groups.erp]
pairs = 1
paths = ["{folder}/data"]
tree = "{folder}/mirror/copy"
"""

DIRECTORY = """
[arrays.mirror]
driver = "directory"

[arrays.mirror.groups.erp]
source = "{folder}/data"
mirror = "{folder}/mirror/copy"
"""

BTRFS = """
[arrays.mirror]
driver = "btrfs"

[arrays.mirror.groups.erp]
subvolume = "{folder}/data"
snapshots = "{folder}/mirror"
"""

POLICY = """
[policies.erp]
applications = ["shop"]
mirrors = [{{ array = "mirror", groups = ["erp"] }}]
present = [{{ {present} = "{folder}/backup/erp" }}]
"""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The command lines of both hooks and of the program for people, without arguments."""

    pre: str
    post: str
    admin: str


def kinds() -> list[str]:
    """Frozen hooks are what a product starts: they are taken where they were built, and where nothing may be left out."""
    return ["frozen"] if is_required() or (FROZEN / "splitmirror-pre").exists() else ["python"]


def hooks(kind: str) -> Hooks:
    """``python``: this environment's; ``frozen``: the built folder's, which CI must have."""
    if kind == "frozen":
        need(str(FROZEN / "splitmirror-pre"), str(FROZEN / "splitmirror-post"))
        return Hooks(f"{FROZEN}/splitmirror-pre", f"{FROZEN}/splitmirror-post", f"{FROZEN}/splitmirror")
    run = f"/usr/bin/env PYTHONPATH={ROOT}/hooks:{ROOT}/drivers {sys.executable} -m splitmirror"
    return Hooks(f"{run}.pre", f"{run}.post", f"{run}.admin")


@dataclass(frozen=True, slots=True)
class Site:
    """Everything of one backup server in one folder."""

    folder: Path
    bacula: Bacula
    called: Hooks

    # -- the data server's side ---------------------------------------------------------------------------------

    @property
    def database(self) -> Path:
        """The application's database."""
        return self.folder / "data" / "shop.db"

    def sell(self, count: int = 1) -> None:
        """Write as the application does; an exception when writers have to wait."""
        with closing(sqlite3.connect(self.database, timeout=5)) as shop, shop:
            shop.executemany("insert into sales (what) values (?)", [("thing",)] * count)

    # -- the mirror ---------------------------------------------------------------------------------------------

    @property
    def gate(self) -> Path:
        """While it exists, the mirror does not come into sync."""
        return self.folder / "mirror" / "gate"

    @property
    def refuse(self) -> Path:
        """While it exists, a split is refused."""
        return self.folder / "mirror" / "refuse"

    def mirror_state(self) -> str:
        """The mirror's own word."""
        return (self.folder / "mirror" / "state").read_text(encoding="utf-8").strip()

    def mirror_calls(self, what: str) -> int:
        """How often the mirror was told to do something."""
        return (self.folder / "mirror" / "calls").read_text(encoding="utf-8").split().count(what)

    # -- the backup server --------------------------------------------------------------------------------------

    @property
    def presented(self) -> Path:
        """Where the copy is presented."""
        return self.folder / "backup" / "erp"

    @property
    def card(self) -> Path:
        """The recovery card beside it."""
        return self.folder / "backup" / "erp.card"

    def is_absent(self) -> bool:
        """Whether nothing at all is left where a copy and its card are presented."""
        return list(self.presented.parent.iterdir()) == []

    @contextmanager
    def journal(self) -> Iterator[SqliteJournal]:
        """The journal of this installation."""
        with closing(SqliteJournal(self.folder / "state")) as opened:
            yield opened

    def run_of(self, job_id: int) -> RunRecord:
        """The run of one Bacula job."""
        with self.journal() as journal:
            (found,) = [record for record in journal.runs() if record.job == str(job_id)]
            return found

    def events_of(self, job_id: int) -> tuple[Event, ...]:
        """What the journal says of one job's run."""
        with self.journal() as journal:
            return journal.events(self.run_of(job_id).run_id)

    def acts_of(self, job_id: int, kind: Kind) -> list[str]:
        """The names of one kind of event of one job's run, in order; none while it has no run."""
        if not (self.folder / "state" / "locks").is_dir():
            return []
        with self.journal() as journal:
            runs = [record for record in journal.runs() if record.job == str(job_id)]
            return [event.act for record in runs for event in journal.events(record.run_id) if event.kind is kind]

    def is_at_work(self, job_id: int) -> bool:
        """Whether a hook works on the run of one job now."""
        return RunLock(self.folder / "state", self.run_of(job_id).run_id).is_alive()

    def claims(self) -> int:
        """How many mirrors and applications are claimed."""
        with self.journal() as journal:
            return len(journal.claims())

    def admin(self, *arguments: str) -> None:
        """Run `splitmirror` as a person does; it must succeed."""
        argv = [*shlex.split(self.called.admin), *arguments, "--config", str(self.folder / "splitmirror.toml")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=ADMIN_SECONDS, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def slow(self) -> Path:
        """While it exists, pre does not end; only where the site was made with `slow`."""
        return self.folder / "slow"

    # -- jobs ---------------------------------------------------------------------------------------------------

    def queue_until_pre_waits(self) -> int:
        """Start a job and wait until its pre waits for a mirror that the gate holds back."""
        assert self.gate.exists()
        job_id = self.bacula.queue(JOB)
        until(
            lambda: self.is_establishing(job_id),
            f"the pre of job {job_id} waits for the mirror",
            seen=lambda: self.bacula.log(job_id),
        )
        return job_id

    def is_establishing(self, job_id: int) -> bool:
        """Whether a job's pre has come to the mirror; AssertionError when the job has ended instead."""
        assert self.bacula.status(job_id) not in ENDED, self.bacula.log(job_id)
        return self.acts_of(job_id, Kind.STARTED)[-1:] == ["establish"]

    def let_everything_go(self) -> None:
        """However a test ended: no hook waits for it any more, and none is left behind."""
        for held in (self.gate, self.slow, *(path for path in (self.folder / "late").iterdir() if not path.suffix)):
            held.unlink(missing_ok=True)
        until(lambda: not hooks_at_work(self.folder), "every hook ends", ADMIN_SECONDS)

    def hold_back_post(self, job_id: int) -> None:
        """The post of this job waits until `let_post_go`; only where the site was made with `late`."""
        (self.folder / "late" / str(job_id)).touch()

    def let_post_go(self, job_id: int) -> int:
        """Let it go on; its exit code when it has ended."""
        (self.folder / "late" / str(job_id)).unlink(missing_ok=True)
        done = self.folder / "late" / f"{job_id}.done"
        until(
            lambda: done.exists() and done.read_text(encoding="ascii").endswith("\n"), f"the post of job {job_id} ends"
        )
        return int(done.read_text(encoding="ascii"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is made of, where it is not the usual. `policy`: more lines of the policy."""

    array: str = SCRIPTED
    present: str = "directory"
    policy: str = ""
    late: bool = False
    slow: bool = False


@contextmanager
def site(folder: Path, called: Hooks, plan: Plan = Plan()) -> Iterator[Site]:
    """A backup server that works, with Bacula running."""
    for name in ("data", "mirror", "backup", "late"):
        (folder / name).mkdir(exist_ok=True)
    if plan.array == SCRIPTED:
        script(folder / "mirror" / "run", MIRROR)
        (folder / "mirror" / "state").write_text("split\n", encoding="utf-8")
        (folder / "mirror" / "calls").touch()
    (folder / "data" / "notes.txt").write_text("never changed\n", encoding="utf-8")
    with closing(sqlite3.connect(folder / "data" / "shop.db")) as shop, shop:
        shop.execute("create table sales (id integer primary key, what text)")
    config = folder / "splitmirror.toml"
    text = (SETTINGS + plan.array + POLICY).format(folder=folder, present=plan.present)
    config.write_text(text + plan.policy, encoding="utf-8")
    config.chmod(0o600)
    pre, post = called.pre, called.post
    if plan.slow:
        pre = f"{script(folder / 'slow.sh', SLOW)} {folder}/slow {pre}"
    if plan.late:
        post = f"{script(folder / 'late.sh', LATE)} {folder}/late {post}"
    with bacula(folder / "bacula", job_text(folder, pre, post, str(config))) as running:
        made = Site(folder, running, called)
        made.sell(3)
        try:
            yield made
        finally:
            made.let_everything_go()


def job_text(folder: Path, pre: str, post: str, config: str) -> str:
    """The sample with this site's places; each replacement must meet something."""
    text = SAMPLE.read_text(encoding="utf-8")
    for old, new in {
        "/opt/splitmirror/splitmirror-pre": f"{pre} --config {config}",
        "/opt/splitmirror/splitmirror-post": f"{post} --config {config}",
        '"/backup/erp"': f'"{folder}/backup/erp"',
        '"/backup/erp.card"': f'"{folder}/backup/erp.card"',
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def script(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def hooks_at_work(folder: Path) -> list[str]:
    """The command lines of hooks that still run for the policy file of this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if f"{folder}/splitmirror.toml" in line and "bacula-" not in line.partition(" ")[0]:
                found.append(line)
    return found


def restored(where: Path, path: Path) -> Path:
    """Where a restore to `where` puts `path`."""
    return where / path.relative_to("/")


def sales(database: Path) -> int:
    """How many rows a restored database has; it must be whole."""
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("pragma integrity_check").fetchall() == [("ok",)]
        return int(opened.execute("select count(*) from sales").fetchone()[0])
