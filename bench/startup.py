"""Start-up of the frozen executables against an empty frozen program:  bench/startup.py [FOLDER]   (make bench)

Both are built by the same freezer with the same settings and started in turns, so that what else the machine does hits
both alike. Printed are medians and the ratio; the promise is TARGET_RATIO, and a miss is exit code 1.

The memory is what the kernel reports for the ended process; for the commands of a whole run it is that of the largest of
all processes they started. A process begins as a copy of the one that starts it, so the number can never be less than this script's own;
`/bin/true` measured the same way shows that floor.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET_RATIO = 1.4
TARGET_MIB = 45.0
ROUNDS = 40
WARM_UP = 3
POLICY = """
[settings]
state = "{root}/state"
syslog = false
[arrays.tree]
driver = "directory"
[arrays.tree.groups.shop]
source = "{root}/data"
mirror = "{root}/mirror"
[applications.shop]
driver = "sqlite"
databases = ["{root}/data/shop.db"]
[policies.shop]
applications = ["shop"]
mirrors = [{{ array = "tree", groups = ["shop"] }}]
present = [{{ directory = "{root}/backup" }}]
"""
NAMES = ("splitmirror-pre", "splitmirror-post", "splitmirror")


def main(argv: Sequence[str]) -> int:
    """0 when every executable keeps both promises."""
    frozen = Path(argv[0] if argv else ROOT / "build/frozen/splitmirror").resolve()
    empty = build_empty(ROOT / "build/bench")
    programs: dict[str, tuple[str, ...]] = {"/bin/true": ("/bin/true",), "empty frozen program": (str(empty),)}
    programs |= {f"{name} --version": (str(frozen / name), "--version") for name in NAMES}
    times, memory = measure(programs)
    return report(times, memory, whole_run(frozen))


def build_empty(folder: Path) -> Path:
    """The empty program, built anew: its settings may have changed."""
    subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR",
         "--distpath", str(folder), "--workpath", str(folder / "work"),
         str(ROOT / "packaging/pyinstaller/empty.spec")],
        env={**os.environ, "PYI_LOG_LEVEL": "ERROR"},
        check=True,
        timeout=600,
    )  # fmt: skip
    return folder / "empty" / "empty"


def measure(programs: dict[str, tuple[str, ...]]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds of each start, and the largest memory in MiB, of each program."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    memory: dict[str, float] = dict.fromkeys(programs, 0.0)
    for number in range(WARM_UP + ROUNDS):
        for name, argv in programs.items():
            took, used = start(argv)
            if number >= WARM_UP:
                times[name].append(took)
                memory[name] = max(memory[name], used)
    return times, memory


def start(argv: tuple[str, ...]) -> tuple[float, float]:
    """One start: milliseconds until it has ended, MiB at its largest."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    took = (time.perf_counter() - began) * 1000
    if status != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return took, usage.ru_maxrss / 1024


def whole_run(frozen: Path) -> dict[str, float]:
    """MiB that each command of a whole run takes, with all that it starts: a small SQLite database on this machine."""
    with tempfile.TemporaryDirectory(prefix="splitmirror-bench-") as folder:
        root = Path(folder)
        (root / "data").mkdir()
        with contextlib.closing(sqlite3.connect(root / "data" / "shop.db")) as connection:
            connection.execute("create table sale(id integer)")
        (root / "splitmirror.toml").write_text(POLICY.format(root=root), encoding="utf-8")
        commands = {
            "establish": ("splitmirror", "establish", "--full", "shop"),
            "pre": ("splitmirror-pre", "--policy", "shop"),
            "post": ("splitmirror-post", "--policy", "shop", "--status", "good"),
        }
        os.environ["SPLITMIRROR_CONFIG"] = str(root / "splitmirror.toml")
        return {name: start((str(frozen / argv[0]), *argv[1:]))[1] for name, argv in commands.items()}


def report(times: dict[str, list[float]], memory: dict[str, float], run: dict[str, float]) -> int:
    """The table; 1 when a promise is not kept."""
    floor = statistics.median(times["empty frozen program"])
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, {ROUNDS} starts each")
    print(f"{'':<28}{'median':>9}{'least':>9}{'ratio':>8}{'memory':>10}")
    is_kept = True
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<28}{median:>6.1f} ms{min(taken):>6.1f} ms{median / floor:>8.2f}{memory[name]:>6.1f} MiB")
        if name.startswith("splitmirror"):
            is_kept = is_kept and median <= TARGET_RATIO * floor and memory[name] <= TARGET_MIB
    for name, used in run.items():
        print(f"{'a whole run: ' + name:<53}{used:>6.1f} MiB")
        is_kept = is_kept and used <= TARGET_MIB
    verdict = "kept" if is_kept else "NOT KEPT"
    print(f"promise: at most {TARGET_RATIO} × the empty program and {TARGET_MIB:.0f} MiB: {verdict}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
