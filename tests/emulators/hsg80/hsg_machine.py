"""The emulated HSG80: disks, mirrorsets, stripesets and units, what hosts see of them, and what the clock brings about."""

import contextlib
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]

import parts

NORMAL, COPYING, NORMALIZING = "normal", "copying", "normalizing"
FAILEDSET, SPARESET = "FAILEDSET", "SPARESET"
BEST = "BEST_PERFORMANCE"
MOST_MEMBERS = 6
SECTOR = 512
GARBAGE = b"a unit that is put together in another way than its disks were "
DEFAULTS = {
    "rate": 0.0,
    "gap": 0.02,
    "copy_word": "COPYING",
    "no_percent": False,
    "prompt": "CLI>",
    "banner": "",
    "events": False,
    "page": 0,
    "no_echo": False,
    "lf": False,
    "error": "Error 4000: ",
    "mute": False,
    "chatty": False,
    "bare": False,
}


class Stop(Exception):
    """The command is refused; nothing was done."""


class Controller:
    """The state file as one invocation sees it."""

    def __init__(self, path):
        self.store = parts.Store(path)
        self.faults = parts.Faults(self.store)

    @contextlib.contextmanager
    def open(self):
        """The state, with everything done in it that the clock says; what hosts see follows when it is closed."""
        with self.store.locked() as state:
            begin(state)
            settle(state)
            yield state
            settle(state)
            show_to_hosts(state, self.store.path)

    def settings(self):
        return {**DEFAULTS, **self.store.read().get("settings", {})}


def begin(state):
    for kind in ("disks", "mirrorsets", "stripesets", "units", "groups", "settings"):
        state.setdefault(kind, {})
    state.setdefault("spareset", [])
    state.setdefault("failedset", [])


def controller():
    return Controller(os.path.abspath(os.environ["HSG80_EMULATOR_STATE"]))


# ---- what uses what ----


def owner(state, name):
    """What a disk or container is part of, or "" for one that is unused."""
    if name in state["failedset"]:
        return FAILEDSET
    if name in state["spareset"]:
        return SPARESET
    for mirrorset, one in state["mirrorsets"].items():
        if any(member["disk"] == name for member in one["members"]):
            return mirrorset
    for stripeset, one in state["stripesets"].items():
        if name in one["members"]:
            return stripeset
    return next((unit for unit, one in state["units"].items() if one["container"] == name), "")


def top(state, name):
    """The unit (or the highest container, where there is none) that something belongs to."""
    while above := owner(state, name):
        name = above
    return name


def is_container(state, name):
    return name in state["disks"] or name in state["mirrorsets"] or name in state["stripesets"]


def member_of(state, disk):
    """Mirrorset and member record of a disk. Raises Stop when it is no member."""
    for name, one in state["mirrorsets"].items():
        for member in one["members"]:
            if member["disk"] == disk:
                return name, member
    raise Stop(f"{disk} is not a member of a mirrorset")


def normal_members(one):
    return [member for member in one["members"] if member["word"] == NORMAL]


# ---- disks come and go ----


def blocks_of(state, name):
    """How many sectors a disk or a mirrorset has."""
    if name in state["disks"]:
        one = state["disks"][name]
        path = one["path"]
        return one.get("blocks") or (parts.size_of(path) // SECTOR if os.path.exists(path) else 0)
    return parts.size_of(state["mirrorsets"][name]["image"]) // SECTOR


def join(state, mirrorset, disk, word):
    """A disk becomes a member, and everything is copied to it."""
    one = state["mirrorsets"][mirrorset]
    pair = {"primary": one["image"], "copy": state["disks"][disk]["path"]}
    parts.start_copy(pair, parts.now(state), full=True)
    state["disks"][disk]["pair"] = pair
    one["members"].append({"disk": disk, "word": word})


def leave(state, mirrorset, disk):
    """A disk is a member no more. It remembers how it was put together with others."""
    one = state["mirrorsets"][mirrorset]
    one["members"] = [member for member in one["members"] if member["disk"] != disk]
    stripeset = state["stripesets"].get(owner(state, mirrorset), {"members": [mirrorset]})
    layout = [stripeset["members"].index(mirrorset), len(stripeset["members"])]
    state["disks"][disk].update(layout=layout, ready=False)


def take(state, disks, half_way=lambda: None):
    """The bytes of NORMAL members become those of their mirrorset, all at one moment."""
    for disk in disks:
        one = state["disks"][disk]
        if one["path"] == one["pair"]["primary"]:  # the image stays the mirrorset's, so this disk gets one of its own
            one["path"] = one["pair"]["copy"] = f"{one['path']}.{disk}"
    pairs = [state["disks"][disk]["pair"] for disk in disks]
    if not parts.take(pairs, half_way):
        raise Stop("the data did not stand still")


def settle(state):
    """What the clock and the policies bring about."""
    for name, one in state["mirrorsets"].items():
        while one["policy"] and len(one["members"]) < one["nominal"] and state["spareset"]:
            join(state, name, state["spareset"].pop(0), COPYING)
        for member in one["members"]:
            pair = state["disks"][member["disk"]].get("pair")
            if member["word"] != NORMAL and parts.advance(pair, parts.now(state), state["settings"]["rate"]):
                member["word"] = NORMAL


# ---- what hosts see ----


def images(state, container):
    """Image and layout of each part of a container, in order; a layout is where its disk was when it left a mirrorset."""
    if container in state["disks"]:
        one = state["disks"][container]
        return [(one["path"], one.get("layout") and "a disk without its mirrorset")]
    if container in state["mirrorsets"]:
        one = state["mirrorsets"][container]
        return [(one["image"], one.get("layout"))]
    return [part for name in state["stripesets"][container]["members"] for part in images(state, name)]


def show_to_hosts(state, path):
    folder = f"{path}.dev"
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    for unit, one in state["units"].items():
        if not one["run"] or not one["access"]:
            continue
        found = images(state, one["container"])
        is_right = all(layout in (None, [number, len(found)]) for number, (_, layout) in enumerate(found))
        for number, (image, _) in enumerate(found, 1):
            os.symlink(image if is_right else garbage(path, image), f"{folder}/{unit}.{number}")


def garbage(path, image):
    os.makedirs(f"{path}.garbage", exist_ok=True)
    name = f"{path}.garbage/{os.path.basename(image)}"
    size = parts.size_of(image)
    with open(name, "wb") as file:
        file.write((GARBAGE * (size // len(GARBAGE) + 1))[:size])
    return name
