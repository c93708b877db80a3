"""The pools: what is in the state file, how it is found, and what every command of `zfs` and `zpool` has in common.

A pool is known by its guid. ``imported`` lists the machines on which it is; its label is on each of its disks::

    {"name", "guid", "state": active|exported|destroyed, "imported": {HOST: {"name", "readonly", "altroot"}}, "txg",
     "vdevs": [{"id", "leaves": [{"path", "state", "guid", "stale": bool}]}], "scan": {...} or None,
     "datasets": {NAME below the pool ("" for the pool itself): {...}}}
"""

import os
import sys
import time

import parts

OK, ERROR, USAGE = 0, 1, 2
SETTABLE = (
    "readonly",
    "mountpoint",
    "canmount",
    "snapdev",
    "volmode",
    "compression",
    "atime",
    "sync",
    "exec",
    "setuid",
)
DEFAULTS = {
    "readonly": "off",
    "canmount": "on",
    "snapdev": "hidden",
    "volmode": "default",
    "compression": "on",
    "atime": "on",
    "sync": "standard",
    "exec": "on",
    "setuid": "on",
}
INHERITED = ("readonly", "snapdev", "volmode", "compression", "atime", "sync", "exec", "setuid")
VALUES = {
    "readonly": ("on", "off"),
    "canmount": ("on", "off", "noauto"),
    "snapdev": ("hidden", "visible"),
    "volmode": ("default", "full", "geom", "dev", "none"),
}


class Stop(Exception):
    """The end of a command: its exit code and what it says on standard error."""

    def __init__(self, text, code=ERROR):
        super().__init__(text)
        self.code = code


def store():
    path = os.environ.get("ZFS_EMULATOR_STATE")
    if not path:
        sys.exit("ZFS_EMULATOR_STATE is not set")
    return parts.Store(path)


def host():
    return os.environ.get("ZFS_EMULATOR_HOST", "db1")


def say(text):
    print(text, file=sys.stderr)


# ---- pools ----


def imported(state):
    """Pools that are imported on this machine, by the name they have here."""
    found = {}
    for pool in state.get("pools", {}).values():
        here = pool["imported"].get(host())
        if here:
            found[here["name"]] = pool
    return dict(sorted(found.items()))


def here(pool):
    return pool["imported"][host()]


def pool_of(state, name):
    pool = imported(state).get(name.split("/")[0].split("@")[0])
    if pool is None:
        raise Stop(f"cannot open '{name}': no such pool")
    return pool


def require_writable(pool, what):
    if here(pool)["readonly"]:
        raise Stop(f"{what}: pool is read-only")


def leaves_of(pool):
    return [leaf for vdev in pool["vdevs"] for leaf in vdev["leaves"]]


def label_of(state, path):
    """The pool whose label a disk carries, or None."""
    for pool in state.get("pools", {}).values():
        if any(leaf["path"] == path and not leaf.get("gone") for leaf in leaves_of(pool)):
            return pool
    return None


def new_guid(state):
    state["guids"] = state.get("guids", 0) + 1
    return str(4611686018427387904 + state["guids"] * 982451653 * 7919 % 4611686018427387904)


def next_txg(pool):
    pool["txg"] += 1
    return pool["txg"]


def now(state):
    return parts.now(state)


def note(state, cls):
    """An event, as `zpool events` lists it."""
    state.setdefault("events", []).append([now(state), cls])
    del state["events"][:-200]


# ---- files ----


def new_file(state):
    """A path of our own for bytes that no test named."""
    folder = store().path + ".data"
    os.makedirs(folder, exist_ok=True)
    state["files"] = state.get("files", 0) + 1
    return f"{folder}/{state['files']}"


def users_of(paths):
    """Pids that have one of these files, or anything below one of these folders, open."""
    wanted = {os.path.realpath(path) for path in paths}
    below = tuple(path + "/" for path in wanted if os.path.isdir(path))
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        links = []
        for kind in ("fd", "cwd"):
            place = f"/proc/{pid}/{kind}"
            try:
                links += (
                    [os.readlink(f"{place}/{n}") for n in os.listdir(place)] if kind == "fd" else [os.readlink(place)]
                )
            except OSError:
                continue
        if any(link in wanted or link.startswith(below) for link in links):
            found.append(int(pid))
    return found + [0 for image in parts.loops() if image in wanted]


# ---- numbers ----


def nicebytes(number):
    if number < 1024:
        return f"{number}B"
    power, units = 0, "BKMGTPE"
    whole = number
    while whole >= 1024:
        whole //= 1024
        power += 1
    if number % (1 << 10 * power) == 0:
        return f"{whole}{units[power]}"
    for digits in (2, 1, 0):
        text = f"{number / (1 << 10 * power):.{digits}f}{units[power]}"
        if len(text) <= 5:
            break
    return text


def dhms(seconds):
    days, rest = divmod(int(seconds), 86400)
    text = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days} days {text}" if days else text


def ctime(when):
    return time.ctime(when)


# ---- running a command ----


def options_of(argv, flags, valued=""):
    """getopt: ({flag: value, list of values, or True}, the rest). Unknown: usage."""
    found, words = {}, list(argv)
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in valued:
                if letters:
                    value, letters = letters, ""
                elif words:
                    value = words.pop(0)
                else:
                    raise Stop(f"missing argument for '{letter}' option\nusage: …", USAGE)
                found.setdefault(letter, []).append(value)
            elif letter in flags:
                found[letter] = True
            else:
                raise Stop(f"invalid option '{letter}'\nusage: …", USAGE)
    return found, words


def run(argv, commands, aliases, fault_word, busy_text):
    """One command line of `zfs` or `zpool`, with its faults."""
    if not argv:
        say("missing command\nusage: …")
        return USAGE
    name = aliases.get(argv[0], argv[0])
    if name not in commands:
        say(f"unrecognized command '{argv[0]}'\nusage: …")
        return USAGE
    word = fault_word(name)
    machine = store()
    faults = parts.Faults(machine)
    kind = faults.before(word)
    if kind in ("fail", "busy"):
        say(f"cannot {name}: {'I/O error' if kind == 'fail' else busy_text}")
        return ERROR
    code = OK
    if kind != "lie":
        try:
            code = commands[name](machine, faults, argv[1:]) or OK
        except Stop as stop:
            sys.stdout.flush()
            if str(stop):
                say(str(stop))
            code = stop.code
    faults.after(word)
    return code
