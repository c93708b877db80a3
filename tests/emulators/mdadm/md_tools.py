"""Every program by name: its command line, its faults, its state under the lock."""

import contextlib
import os
import shutil
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "lvm")]

import lvm_devices
import md_files
import md_manage
import md_modes
import parts
from lvm_ask import Hang, Stop
from lvm_state import own
from md_state import here, host, relink, root, settle

USAGE = ("Usage: mdadm --help", "  for help")
MODES = {
    "--detail": md_modes.detail, "-D": md_modes.detail, "--examine": md_modes.examine, "-E": md_modes.examine, "--wait": md_modes.wait, "-W": md_modes.wait,
    "--grow": md_modes.grow, "-G": md_modes.grow, "--assemble": md_modes.assemble, "-A": md_modes.assemble, "--stop": md_modes.stop, "-S": md_modes.stop,
    "--query": md_modes.query, "-Q": md_modes.query, "--zero-superblock": md_modes.zero_superblock, "--readonly": md_modes.read_only, "-o": md_modes.read_only,
    "--readwrite": md_modes.read_write, "-w": md_modes.read_write, "--action": md_modes.act,
}  # fmt: skip
VALUED = ("--bitmap", "--bitmap-chunk", "--uuid", "--name", "--action", "--config")
PLAIN = (
    "--export",
    "--test",
    "--scan",
    "--brief",
    "--run",
    "--readonly",
    "--force",
    "--quiet",
    "--verbose",
    "--no-degraded",
    "--prefer",
    "--manage",
    "--all",
)
SHORT = {
    "-Y": "--export",
    "-t": "--test",
    "-s": "--scan",
    "-R": "--run",
    "-o": "--readonly",
    "-q": "--quiet",
    "-v": "--verbose",
    "-u": "--uuid",
    "-b": "--bitmap",
    "-c": "--config",
}


class Tool:
    """One invocation on one machine."""

    def __init__(self, name):
        self.name, self.machine = name, host()
        self.store = parts.Store(os.path.abspath(os.environ["MDADM_EMULATOR_STATE"]))
        self.faults = parts.Faults(self.store)
        self.word, self.hangs_after, self.refusal = name, False, None

    @contextlib.contextmanager
    def state(self):
        """The state, with everything as far as the clock lets it be, and the files as they are then."""
        with self.store.locked() as state:
            prepare(state, self.store)
            md_files.heed(state)
            settle(state)
            relink(self.store, state)
            yield state
            self.keep(state)

    def keep(self, state):
        settle(state)
        relink(self.store, state)
        md_files.render(self, state)

    def suffer(self, word, _=""):
        """What goes wrong with a step before anything is done. Whether the program only pretends."""
        self.word = word
        found = self.faults.before(word) or (self.faults.before("mdadm") if self.name == "mdadm" else None)
        if found in ("busy", "fail"):
            raise Stop(1, f"mdadm: {word}: {'Device or resource busy' if found == 'busy' else 'Input/output error'}")
        kind, code = self.faults.take(word, "code")
        if kind:
            raise Stop(int(code))
        return found == "lie"

    def about(self, array):
        """A step is about this array: what goes wrong with it alone."""
        for kind in ("md", "md-hang", "md-hang-after"):
            found, name = self.faults.take(self.word, kind)
            if found and name == array:
                if kind == "md-hang":
                    raise Hang
                if kind == "md":
                    raise Stop(1, f"mdadm: {self.word}: Input/output error")
                self.hangs_after = True


def prepare(state, store):
    for key, value in (
        ("arrays", []),
        ("disks", {}),
        ("gone", {}),
        ("machines", ["db1"]),
        ("root", f"{store.path}.root"),
    ):
        state.setdefault(key, value)


def mdadm(tool, argv):
    if argv == ["--version"]:
        raise Stop(0, "mdadm - v4.2 - 2021-12-30 - Debian 4.2-5")
    if not argv:
        raise Stop(2, *USAGE)
    first = argv[0].split("=")[0]
    if first in ("--test", "-t", "--export", "--run", "--scan", "--bitmap"):
        raise Stop(2, f"mdadm: {first} does not set the mode, and so cannot be the first option.")
    if not first.startswith("-") or first == "--manage":
        words = argv[1:] if first == "--manage" else argv
        return _manage(tool, words)
    if first not in MODES:
        raise Stop(
            2,
            f"mdadm: unrecognized option '{first}'"
            if first not in md_manage.SPELT
            else f"mdadm: {argv[-1]} does not appear to be an md device",
            *USAGE,
        )
    words, options = _split(argv if first == "--action" else argv[1:])
    if not words and "--scan" not in options:
        raise Stop(2, "mdadm: No devices given.")
    return MODES[first](tool, words, options)


def _split(argv):
    words, options, rest = [], {}, list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if not word.startswith("-"):
            words.append(word)
        elif name in VALUED:
            options[name] = value if equals else rest.pop(0)
        elif name in PLAIN:
            options[name] = ""
        else:
            raise Stop(2, f"mdadm: unrecognized option '{word}'", *USAGE)
    return words, options


def _manage(tool, argv):
    """``ARRAY [--fail D…] [--remove D…] …``: a word stands for all the disks that follow it."""
    steps, word, is_test, path = [], None, False, None
    for one in argv:
        if one in md_manage.SPELT:
            word = md_manage.SPELT[one]
        elif one in ("--test", "-t", "--quiet", "-q", "--verbose", "-v"):
            is_test |= one in ("--test", "-t")
        elif one.startswith("-"):
            raise Stop(2, f"mdadm: unrecognized option '{one}'", *USAGE)
        elif path is None:
            path = one
        elif word is None:
            raise Stop(2, f"mdadm: Must give one of -a/-r/-f for subsequent devices at {one}")
        else:
            steps.append((word, one))
    if path is None:
        raise Stop(2, "mdadm: an md device must be given in this mode")
    return md_manage.manage(tool, path, steps, is_test) if steps else md_modes.query(tool, [path], {})


def cat(tool, argv):
    with tool.state() as state:
        base = root(state, tool.machine)
    if any(os.path.abspath(word).startswith(f"{base}/") for word in argv) and tool.suffer("cat"):
        return 0
    sys.stdout.flush()
    return os.execv(shutil.which("cat", path="/usr/bin:/bin"), ["cat", *argv])


def blockdev(tool, argv):
    with tool.state() as state:
        base = f"{root(state, tool.machine)}/dev"
        known = {
            f"{folder}/{name}": os.path.realpath(f"{folder}/{name}")
            for folder, _, files in os.walk(base)
            for name in files
        }
        running = [
            (os.path.realpath(own(tool.store, one["image"], tool.machine)), one["read_only"])
            for one in here(state, tool.machine)
        ]
    images, read_only = {image for image, _ in running}, {image for image, is_so in running if is_so}
    return lvm_devices.answer(tool, argv, known, images, read_only)


TOOLS = {"mdadm": mdadm, "cat": cat, "blockdev": blockdev}


def main(name, argv):
    tool = Tool(name)
    tool.store.note([name, *argv])
    try:
        code = TOOLS[name](tool, argv)
    except Hang:
        parts.hang()
    except Stop as stop:
        for line in stop.lines:
            print(line, file=sys.stderr)
        code = stop.code
    tool.faults.after(tool.word)
    if tool.hangs_after:
        parts.hang()
    return code or 0
