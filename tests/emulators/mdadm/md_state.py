"""The arrays of every machine: which disks are where in them, and what has to be copied."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "lvm")]

import lvm_damage
import parts
from lvm_state import HOME, own, use, uuid

PERSONALITIES = "Personalities : [raid6] [raid5] [raid4] [raid1] "
BITMAP_BYTES = 64 * 2**10


def host():
    return os.environ.get("MDADM_EMULATOR_HOST") or HOME


def root(state, machine):
    return state["root"] if machine == HOME else f"{state['root']}@{machine}"


def md_uuid(*words):
    """Four groups of eight hexadecimal digits."""
    digits = "".join(f"{ord(letter):02x}" for letter in uuid(*words) if letter != "-")[:32]
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))


# ---- arrays ----


def here(state, machine):
    return [array for array in state["arrays"] if array["host"] == machine]


def find(state, machine, path):
    """The running array that a path under this machine's /dev names, or None."""
    base = f"{root(state, machine)}/dev/"
    name = path.removeprefix(base)
    return next((array for array in here(state, machine) if name in (array["name"], array["alias"])), None)


def disk_of(state, machine, path):
    """The name of a disk that this machine sees, or None."""
    name = path.removeprefix(f"{root(state, machine)}/dev/")
    disk = state["disks"].get(name)
    return name if disk and (machine == HOME or disk["shared"]) else None


def disk_path(state, machine, name):
    return f"{root(state, machine)}/dev/{name}"


def new_array(name, machine, group, image, **more):
    array = {
        "name": name,
        "alias": "",
        "host": machine,
        "group": group,
        "image": image,
        "places": [],
        "faulty": [],
        "spares": [],
    }
    array.update(
        numbers={}, bitmap=True, bitmap_since=0, chunk=parts.BLOCK, metadata="1.2", rate=0.0, events=17, action=None
    )
    array.update(
        mismatches=0, last_action="idle", state="clean", read_only=False, stuck=None, leg=None, pending=[], damaged={}
    )
    return {
        **array,
        "pair": {"primary": image, "copy": "", "due": [], "began": 0.0, "done": 0, "moved": 0},
        "copy": "",
        **more,
    }


def is_recovering(array):
    return bool(array["leg"] in array["places"] and (parts.left(array["pair"]) or array["stuck"] is not None))


def working(array):
    """Disks that hold everything."""
    return [name for name in array["places"] if name and not (name == array["leg"] and is_recovering(array))]


def degraded(array):
    return len(array["places"]) - len(working(array))


def action(array):
    if is_recovering(array):
        return "recover"
    return array["action"]["what"] if array["action"] else "idle"


def percent(array):
    if array["stuck"] is not None:
        return float(array["stuck"])
    return float(parts.percent(array["pair"])) if is_recovering(array) else 0.0


def settle(state):
    """Let everything be as far as the clock says."""
    when = parts.now(state)
    for array in state["arrays"]:
        if array["leg"] in array["places"] and array["stuck"] is None and array["copy"]:
            parts.advance(array["pair"], when, array["rate"])
        check = array["action"]
        if check and (not array["rate"] or when - check["began"] >= parts.blocks_of(array["image"]) / array["rate"]):
            if check["what"] == "repair":
                lvm_damage.mend(array)
            array["mismatches"] = parts.BLOCK // 512 * len(lvm_damage.still_damaged(array))
            array["action"] = None


def start(state, array, what):
    """``check``, ``repair`` or ``idle``, as written into sync_action."""
    if what == "idle":
        array["action"] = None
    elif what in ("check", "repair") and not is_recovering(array) and not array["action"]:
        array.update(action={"what": what, "began": parts.now(state)}, last_action=what, mismatches=0)


# ---- the leg ----


def leave(state, array, name):
    """A disk works no more: from now on the bitmap notes what it misses."""
    array["places"][array["places"].index(name)] = None
    array["faulty"].append(name)
    state["disks"][name]["superblock"]["events"] = array["events"]
    array["events"] += 2
    if name != array["leg"]:
        return True
    if is_recovering_pair(array):
        array["pending"] = list(array["pair"]["due"])
    elif not lvm_damage.take(array, lambda: None):
        return False
    array["pair"]["due"] = []
    return True


def is_recovering_pair(array):
    return bool(parts.left(array["pair"]))


def come_back(state, array, name):
    """The chunks that were written meanwhile are copied; what the leg wrote itself is not seen."""
    array["places"][state["disks"][name]["superblock"]["role"]] = name
    if name != array["leg"]:
        return
    pair = array["pair"]
    parts.start_copy(pair, parts.now(state), full=False, tracks_copy_side=False)
    blocks = max(1, array["chunk"] // parts.BLOCK)
    chunks = {n // blocks for n in [*pair["due"], *array["pending"]]}
    last = parts.blocks_of(array["image"])
    pair["due"] = [n for chunk in sorted(chunks) for n in range(chunk * blocks, min(last, (chunk + 1) * blocks))]
    array["pending"] = []
    lvm_damage.note_damage(array)
    array["last_action"] = "recovery"


def fill(state, array, name):
    """A disk that is new here, or whose past is not known, gets everything."""
    place = array["places"].index(None)
    array["places"][place] = name
    array["numbers"][name] = max([len(array["places"]) - 1, *array["numbers"].values()]) + 1
    state["disks"][name]["superblock"] = {
        "uuid": array["uuid"],
        "role": place,
        "events": array["events"],
        "array": array["name"],
    }
    if name == array["leg"]:
        array.update(pending=[], damaged={}, last_action="recovery")
        parts.start_copy(array["pair"], parts.now(state), full=True)


def in_use(store, array, machine):
    return use(store, array["image"], machine)


# ---- /dev ----


def relink(store, state):
    """Make the devices of every machine what they have to be."""
    for machine in sorted({*state["machines"], HOME}):
        base = f"{root(state, machine)}/dev"
        wanted = dict(_links(store, state, machine))
        for folder, _, files in os.walk(base):
            for name in files:
                path = f"{folder}/{name}"
                if path not in wanted or os.readlink(path) != wanted[path]:
                    os.unlink(path)
        for path, target in wanted.items():
            if not os.path.islink(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink(target, path)


def _links(store, state, machine):
    for name, disk in state["disks"].items():
        if machine == HOME or disk["shared"]:
            target = own(store, disk["image"], machine) if disk["image"] else f"{store.path}.disks/{name}"
            yield disk_path(state, machine, name), target
    for array in here(state, machine):
        for name in (array["name"], array["alias"]):
            if name:
                yield f"{root(state, machine)}/dev/{name}", own(store, array["image"], machine)
