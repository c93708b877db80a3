"""Does the frozen folder work?  smoke.py FOLDER   (make smoke)

A freezer that ends well proves nothing: what it left out is missed when it is asked for. So every executable is started
here, as backup products and schedulers start them: without environment, with closed streams, from the root folder, by a
link of another name; every driver is loaded; and the demo runs, which is the whole story. Each check is also a test in
tests/frozen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import freezing
import glibc

sys.path.append(str(freezing.ROOT / "drivers"))

SECONDS = 180
SIZE_LIMIT_MIB = 70

POLICY = """
[settings]
state = "{root}/state"
syslog = false
[arrays.tree]
driver = "directory"
[arrays.tree.groups.tree]
source = "{root}/missing"
mirror = "{root}/mirror"
[policies.tree]
mirrors = [{{ array = "tree", groups = ["tree"] }}]
present = [{{ {kind} = "{root}/presented" }}]
"""


class Wrong(Exception):
    """A check that failed."""


@dataclass(frozen=True)
class Frozen:
    """The folder under test, and a scratch folder that is empty at the beginning of each check."""

    folder: Path
    scratch: Path

    def run(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        program: Path | None = None,
    ) -> str:
        """Standard output of one executable that ends with 0; raises Wrong with what it said otherwise."""
        argv = [str(program or self.folder / name), *arguments]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
            cwd=cwd or self.scratch, env=None if environment is None else dict(environment), check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Wrong(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def refuses(self, name: str, *arguments: str) -> None:
        """Raises Wrong unless the executable ends with a Fault of its own: no success, no unhandled error, no missing module."""
        argv = [str(self.folder / name), *arguments]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=self.scratch,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode == 0 or "Traceback" in said or "internal error" in said or "No module" in said:
            raise Wrong(f"{' '.join(argv)} ended with {done.returncode}\n{said[-4000:]}")


def version() -> str:
    """What --version must print."""
    text = (freezing.ROOT / "hooks/splitmirror/__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def drivers() -> dict[str, list[str]]:
    """Section of the policy file → names of the catalogue's drivers, read from the source tree."""
    from splitmirror_drivers import catalogue

    return {
        "hosts": list(catalogue.HOSTS),
        "arrays": list(catalogue.ARRAYS),
        "applications": list(catalogue.APPLICATIONS),
    }


def every_executable_says_its_version(frozen: Frozen) -> None:
    for name in freezing.scripts():
        expect(frozen.run(name, "--version"), f"{name} {version()}\n")


def nothing_but_the_executables_lies_beside_them(frozen: Frozen) -> None:
    found = sorted(path.name for path in frozen.folder.iterdir())
    expect(found, sorted([*freezing.scripts(), "_internal"]))


def help_lists_the_commands(frozen: Frozen) -> None:
    for word in ("usage: splitmirror COMMAND", "status", "recover", "demo"):
        contains(frozen.run("splitmirror", "--help"), word)


def exit_codes_are_told(frozen: Frozen) -> None:
    contains(frozen.run("splitmirror", "help", "exit-codes"), "75 is never used")


def every_command_has_its_help(frozen: Frozen) -> None:
    commands = [line.split()[0] for line in frozen.run("splitmirror", "--help").splitlines() if line.startswith("  ")]
    contains(" ".join(commands), "status")
    for command in commands:
        contains(frozen.run("splitmirror", command, "--help"), f"usage: splitmirror {command}")


def every_driver_is_loaded_for_the_schema(frozen: Frozen) -> None:
    schema = json.loads(frozen.run("splitmirror", "schema"))
    for section, names in drivers().items():
        told = json.dumps(schema["properties"][section])
        for name in names:
            contains(told, f'"const": "{name}"')


def every_product_and_presentation_is_loaded(frozen: Frozen) -> None:
    from splitmirror_drivers import catalogue

    for name in catalogue.PRODUCTS:
        frozen.refuses("splitmirror-pre", "--product", name, "--config", str(frozen.scratch / "missing.toml"))
    for kind in ("mount", "raw", "directory"):
        config = frozen.scratch / f"{kind}.toml"
        config.write_text(POLICY.format(root=frozen.scratch, kind=kind), encoding="utf-8")
        frozen.refuses("splitmirror", "plan", "--config", str(config), "tree")


def the_schema_is_that_of_the_source_tree(frozen: Frozen) -> None:
    path = os.pathsep.join(str(freezing.ROOT / one) for one in ("hooks", "drivers"))
    told = subprocess.run(
        [sys.executable, "-m", "splitmirror.admin", "schema"],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS, check=True,
    ).stdout  # fmt: skip
    if json.loads(frozen.run("splitmirror", "schema")) != json.loads(told):
        raise Wrong("the frozen program's schema differs from that of the source tree (descriptions lost?)")


def an_empty_environment_is_enough(frozen: Frozen) -> None:
    for name in freezing.scripts():
        expect(frozen.run(name, "--version", environment={}), f"{name} {version()}\n")
    frozen.run("splitmirror", "schema", environment={})


def a_link_of_another_name_starts_it(frozen: Frozen) -> None:
    for name in freezing.scripts():
        link = frozen.scratch / f"another-{name}"
        link.symlink_to(frozen.folder / name)
        expect(frozen.run("", "--version", program=link), f"{name} {version()}\n")


def closed_streams_do_not_stop_it(frozen: Frozen) -> None:
    for name in freezing.scripts():
        expect(without_streams([str(frozen.folder / name), "--version"], frozen.scratch), 0)
    expect(without_streams([str(frozen.folder / "splitmirror"), "help", "exit-codes"], frozen.scratch), 0)


def the_demo_succeeds(frozen: Frozen) -> None:
    demo_succeeded(frozen.run("splitmirror", "demo"))


def the_demo_succeeds_in_the_root_folder_without_environment(frozen: Frozen) -> None:
    demo_succeeded(frozen.run("splitmirror", "demo", "--rounds", "1", environment={}, cwd=Path("/")))


def the_demo_succeeds_through_a_link(frozen: Frozen) -> None:
    link = frozen.scratch / "sm"
    link.symlink_to(frozen.folder / "splitmirror")
    demo_succeeded(frozen.run("", "demo", "--rounds", "1", program=link))


def the_demo_succeeds_with_closed_streams(frozen: Frozen) -> None:
    report = frozen.scratch / "report"
    argv = [str(frozen.folder / "splitmirror"), "demo", "--rounds", "1", "--report", str(report)]
    expect(without_streams(argv, frozen.scratch), 0)
    demo_succeeded(report.read_text(encoding="utf-8"))


def it_is_not_large(frozen: Frozen) -> None:
    if size_mib(frozen.folder) > SIZE_LIMIT_MIB:
        raise Wrong(f"{size_mib(frozen.folder):.0f} MiB, more than {SIZE_LIMIT_MIB}: what came in?")


def nothing_unwanted_came_in(frozen: Frozen) -> None:
    names = {path.name.partition(".")[0] for path in (frozen.folder / "_internal").rglob("*")}
    unwanted = names & {"libreadline", "libgdbm", "libtk8", "libtcl8", "numpy", "pytest", "hypothesis", "pip"}
    expect(sorted(unwanted), [])


CHECKS: Sequence[Callable[[Frozen], None]] = (
    every_executable_says_its_version,
    nothing_but_the_executables_lies_beside_them,
    help_lists_the_commands,
    exit_codes_are_told,
    every_command_has_its_help,
    every_driver_is_loaded_for_the_schema,
    every_product_and_presentation_is_loaded,
    the_schema_is_that_of_the_source_tree,
    an_empty_environment_is_enough,
    a_link_of_another_name_starts_it,
    closed_streams_do_not_stop_it,
    the_demo_succeeds,
    the_demo_succeeds_in_the_root_folder_without_environment,
    the_demo_succeeds_through_a_link,
    the_demo_succeeds_with_closed_streams,
    it_is_not_large,
    nothing_unwanted_came_in,
)


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"expected {wanted!r}, found {found!r}")


def contains(text: str, wanted: str) -> None:
    if wanted not in text:
        raise Wrong(f"{wanted!r} is not in what it said:\n{text[:2000]}")


def demo_succeeded(report: str) -> None:
    contains(report, "the demo succeeded")


def without_streams(argv: Sequence[str], cwd: Path) -> int:
    """The exit code of a command whose three standard streams are closed, as some schedulers start theirs."""
    shell = ["/bin/sh", "-c", '"$@" <&- >&- 2>&-', "sh", *argv]
    return subprocess.run(shell, cwd=cwd, timeout=SECONDS, check=False).returncode


def size_mib(folder: Path) -> float:
    """What the folder takes on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 2**20


def check(one: Callable[[Frozen], None], folder: Path) -> None:
    """Run one check in a scratch folder of its own. Raises Wrong."""
    scratch = Path(tempfile.mkdtemp(prefix="splitmirror-smoke-"))
    try:
        one(Frozen(folder, scratch))
    finally:
        shutil.rmtree(scratch)


def main(argv: Sequence[str]) -> int:
    """Run every check, also when one failed; 0 when all is well."""
    folder = Path(argv[0] if argv else freezing.ROOT / "build/frozen/splitmirror").resolve()
    failed = 0
    for one in CHECKS:
        began, said = time.monotonic(), one.__name__.replace("_", " ")
        try:
            check(one, folder)
        except (Wrong, OSError, subprocess.SubprocessError, ValueError) as exc:
            failed += 1
            print(f"FAILED  {said}\n{exc}")
        else:
            print(f"ok      {said} ({time.monotonic() - began:.1f} s)")
    highest, files = glibc.needed(folder)
    print(f"glibc {'.'.join(map(str, highest))} or later is needed, by {', '.join(files)}")
    print(f"{size_mib(folder):.1f} MiB in {folder}; {f'{failed} FAILED' if failed else 'all well'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
