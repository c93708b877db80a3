"""What every emulated array has in common: state under a lock, faults, a clock that can be moved, bytes that really move.

For executables that stand on PATH in place of a vendor's tool. Nothing here knows a driver, and nothing is imported from one.

State is one JSON file shared by all invocations. Beside it lie ``STATE.faults`` (what shall go wrong, a line each) and
``STATE.log`` (every invocation's words, as a JSON list a line).

Faults are lines ``COMMAND KIND [VALUE]``; COMMAND is the word an emulator documents for a move (``*``: any), and KIND is
  hang          for ever, before anything is done        hang-after   for ever, after all is done
  slow S        S seconds first                          fail [N]     fails (N times, else always), nothing done
  busy [N]      locked by another host (N times)         lie          exit 0, and nothing done
  die           killed half-way, after the first pair    noise TEXT   one more line of output
and what an emulator adds of its own (an unknown state word, a pair that is lost, half of a group that is split).

A pair is ``{"primary": PATH, "copy": PATH, ...}``, both image files. The emulator is not in the way of the primary's
writes, so it finds out what changed by looking:

* ``start_copy`` fills what is due in the copy with garbage, as a copy that is still being made may hold anything;
* ``advance``, called by every invocation, copies as many of those blocks as the clock says (``rate`` blocks a second);
* ``take`` makes the copies equal to their primaries at one moment, and keeps what each block was then;
* the next ``start_copy`` compares with that: blocks of the primary that changed since are due, and those that were written on
  the copy's side only where the array tracks them. Where it does not, they stay wrong, as on the real thing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import signal
import sys
import time

BLOCK = 64 * 1024
TRIES = 20
FICLONE = 0x40049409
GARBAGE = b"still being copied "
NOT_A_FILE = "0"


class Store:
    """The state file. ``locked()`` gives its content to be changed; what is raised inside leaves it as it was."""

    def __init__(self, path):
        self.path = path

    @contextlib.contextmanager
    def locked(self):
        with open(self.path + ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            with open(self.path + ".new", "w") as file:
                json.dump(state, file, indent=1)
            os.rename(self.path + ".new", self.path)

    def read(self):
        try:
            with open(self.path) as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def note(self, argv):
        """Write down one invocation."""
        with open(self.path + ".log", "a") as file:
            file.write(json.dumps(list(argv)) + "\n")


# ---- faults ----


class Faults:
    """The faults file of one store. ``take`` uses up one that has a count."""

    COUNTED = ("fail", "busy")

    def __init__(self, store):
        self.path = store.path + ".faults"

    def write(self, *lines):
        with open(self.path, "w") as file:
            file.writelines(line + "\n" for line in lines)

    def take(self, command, *kinds):
        """``(kind, value)`` of the first fault of these kinds for `command`, or ``(None, "")``."""
        try:
            file = open(self.path, "r+")
        except FileNotFoundError:
            return None, ""
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = file.read().splitlines()
            for number, line in enumerate(lines):
                name, kind, value = [*line.split(None, 2), "", "", ""][:3]
                if name not in (command, "*") or kind not in kinds:
                    continue
                if kind in self.COUNTED and value.isdigit():
                    left = int(value) - 1
                    lines[number : number + 1] = [f"{name} {kind} {left}"] if left else []
                    file.seek(0)
                    file.truncate()
                    file.writelines(one + "\n" for one in lines)
                return kind, value
        return None, ""

    def before(self, command):
        """What happens before a command does anything: hang, slow; then ``fail``, ``busy`` or ``lie`` as a word, or None."""
        kind, value = self.take(command, "hang", "slow")
        if kind == "hang":
            hang()
        elif kind == "slow":
            time.sleep(float(value))
        return self.take(command, "fail", "busy", "lie")[0]

    def after(self, command):
        """What happens after all is done: hang-after, noise."""
        kind, value = self.take(command, "noise")
        if kind:
            print(value)
        sys.stdout.flush()
        if self.take(command, "hang-after")[0]:
            hang()

    def half_way(self, command):
        """Between the first pair and the others: die."""
        if self.take(command, "die")[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def hang():
    while True:
        signal.pause()


# ---- the clock ----


def now(state):
    """Seconds; ``tick`` moves them ahead."""
    return time.time() + state.get("clock", 0.0)


def tick(state, seconds):
    state["clock"] = state.get("clock", 0.0) + seconds


# ---- bytes ----


def size_of(path):
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def blocks_of(path):
    return -(-size_of(path) // BLOCK)


def digests(path):
    """A short digest of every block; a file that is not there has none."""
    found = []
    with contextlib.suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            found.append(hashlib.blake2b(block, digest_size=8).hexdigest())
    return found


def start_copy(pair, when, full, tracks_copy_side=True):
    """Begin to bring the copy to the primary; what is due is garbage from now on. How many blocks are due."""
    count, base = blocks_of(pair["primary"]), pair.get("base")
    if full or base is None:
        due = list(range(count))
    else:
        primary, copy = digests(pair["primary"]), digests(pair["copy"])
        padded = base + [NOT_A_FILE] * (count - len(base))
        copy += [NOT_A_FILE] * (count - len(copy))
        due = [n for n in range(count) if primary[n] != padded[n] or (tracks_copy_side and copy[n] != padded[n])]
    descriptor = os.open(pair["copy"], os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size = size_of(pair["primary"])
        if os.path.isfile(pair["copy"]):
            file.truncate(size)
        for number in due:
            file.seek(number * BLOCK)
            file.write((GARBAGE * (BLOCK // len(GARBAGE) + 1))[: min(BLOCK, size - number * BLOCK)])
    pair.update(due=due, began=when, done=0, moved=0)
    return len(due)


def advance(pair, when, rate=0.0):
    """Copy what the clock says (`rate` blocks a second; 0: all at once). Whether nothing is due any more."""
    due = pair.get("due") or []
    total = pair["done"] + len(due)
    wanted = total if not rate else min(total, int((when - pair["began"]) * rate))
    for _ in range(wanted - pair["done"]):
        _copy_block(pair, due.pop(0))
        pair["done"] += 1
    pair["due"] = due
    return not due


def _copy_block(pair, number):
    with open(pair["primary"], "rb", buffering=0) as source, open(pair["copy"], "r+b", buffering=0) as target:
        source.seek(number * BLOCK)
        block = source.read(BLOCK)
        target.seek(number * BLOCK)
        target.write(block)
        pair["moved"] += len(block)


def left(pair):
    """Blocks still to copy."""
    return len(pair.get("due") or ())


def percent(pair):
    """How much of what was due is copied, 0 to 100."""
    total = pair.get("done", 0) + left(pair)
    return 100 * pair.get("done", 0) // total if total else 100


def take(pairs, half_way=lambda: None, torn_allowed=False):
    """Make every copy equal to its primary at one moment, and remember what it was. False: they never stood still.

    What the primaries wrote since they came into sync has gone to the copies all along on the real thing, so it does not
    count as moved. With `torn_allowed` each pair is of a moment of its own.
    """
    for _ in range(TRIES):
        cloned = 0
        for number, pair in enumerate(pairs):
            if clone(pair["primary"], pair["copy"]):
                cloned += 1
            else:
                _copy_what_differs(pair["primary"], pair["copy"])
            if number == 0:
                half_way()
        if torn_allowed or cloned == len(pairs) == 1 or all(is_same(p["primary"], p["copy"]) for p in pairs):
            for pair in pairs:
                pair["base"] = digests(pair["copy"])
            return True
    return False


def clone(primary, copy):
    """Whether FICLONE made `copy` the same as `primary` at one moment."""
    if not os.path.isfile(primary) or (os.path.exists(copy) and not os.path.isfile(copy)):
        return False
    with open(primary, "rb") as source, os.fdopen(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as target:
        try:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError:
            return False
    return True


def _copy_what_differs(primary, copy):
    done = 0
    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT, 0o600)
    with open(primary, "rb", buffering=0) as source, os.fdopen(descriptor, "r+b", buffering=0) as target:
        while block := source.read(BLOCK):
            if target.read(len(block)).ljust(len(block), b"\0") != block:
                target.seek(done)
                target.write(block)
            done += len(block)
            target.seek(done)
        if os.path.isfile(copy):
            target.truncate(done)


def is_same(primary, copy):
    if size_of(primary) != size_of(copy):
        return False
    with open(primary, "rb", buffering=0) as one, open(copy, "rb", buffering=0) as other:
        while block := one.read(BLOCK):
            if other.read(len(block)) != block:
                return False
    return True


# ---- devices ----


def as_device(path):
    """What a link to an image leads to: the image, or with EMULATED_DEVICES=loop a loop device over it."""
    if os.environ.get("EMULATED_DEVICES") != "loop" or not os.path.isfile(path):
        return path
    import subprocess  # only where it is needed: every command starts anew

    def losetup(*words):
        return subprocess.run(["losetup", *words], capture_output=True, text=True, check=True).stdout.split()

    return (losetup("--associated", path, "--noheadings", "--output", "NAME") or losetup("--find", "--show", path))[0]


def loops():
    """The image below each loop device that is not one of ours, which would count as somebody's use of it."""
    if os.environ.get("EMULATED_DEVICES") == "loop" or not os.path.isdir("/sys/block"):
        return []
    found = []
    for name in sorted(os.listdir("/sys/block")):
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file") as file:
            found.append(file.read().strip())
    return found


def drop_device(path):
    """The link to it goes away."""
    if os.environ.get("EMULATED_DEVICES") == "loop" and path.startswith("/dev/loop"):
        import subprocess

        subprocess.run(["losetup", "--detach", path], check=True)


# ---- control ----


def control(store, argv, create, usage, group_of):
    """The emulator's ``control`` program: what a test says to it apart from the vendor's own tools.

    ``create …``            what `create(store, words)` makes of it
    ``fault LINE…``         each word is one line of the faults file, in place of what was there
    ``mend``                no faults any more
    ``tick SECONDS``        move the clock
    ``moved GROUP``         bytes that the group's last establish copied (`group_of(state, name)` gives its pairs)
    ``size GROUP``          bytes of all its primaries
    ``pairs GROUP``         the group's pairs as JSON
    ``log``                 every invocation so far, a shell line each
    ``state``               the state as JSON
    """
    word, *rest = argv or ["help"]
    if word == "create":
        create(store, rest)
    elif word == "fault":
        Faults(store).write(*rest)
    elif word == "mend":
        Faults(store).write()
    elif word == "tick":
        with store.locked() as state:
            tick(state, float(rest[0]))
    elif word in ("moved", "size", "pairs"):
        pairs = group_of(store.read(), rest[0])
        if word == "pairs":
            print(json.dumps(pairs))
        else:
            print(sum(pair.get("moved", 0) if word == "moved" else size_of(pair["primary"]) for pair in pairs))
    elif word == "log":
        with contextlib.suppress(FileNotFoundError), open(store.path + ".log") as file:
            for line in file:
                print(shlex.join(json.loads(line)))
    elif word == "state":
        print(json.dumps(store.read(), indent=1))
    else:
        print(usage, file=sys.stderr)
        return 2
    return 0
