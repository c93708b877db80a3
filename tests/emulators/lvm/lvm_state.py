"""The volume groups: which disks and volumes they have, which machine sees what, and where the bytes are."""

import contextlib
import hashlib
import os
import re

import parts
from lvm_damage import mend, still_damaged

HOME = "db1"
SECTORS = parts.BLOCK // 512
_LEG = re.compile(r"(.+)_(rimage|rmeta)_(\d+)")


def host():
    return os.environ.get("LVM_EMULATOR_HOST") or HOME


def uuid(*words):
    """An identity as lvm2 writes it, always the same for the same words."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    raw = hashlib.blake2b("/".join(words).encode(), digest_size=32).digest()
    text = "".join(letters[byte % len(letters)] for byte in raw)
    cuts = (6, 4, 4, 4, 4, 4, 6)
    return "-".join(text[sum(cuts[:n]) : sum(cuts[:n]) + length] for n, length in enumerate(cuts))


# ---- who sees what ----


def sees(disk, machine):
    return machine in disk["hosts"] if disk["hosts"] is not None else True


def devices(state, machine):
    """The folder that stands for /dev there."""
    return state["devices"] if machine == HOME else f"{state['devices']}@{machine}"


def disk_path(state, disk, machine):
    return disk["path"] or f"{devices(state, machine)}/{disk['name']}"


def missing(group, machine):
    return [disk for disk in group["disks"].values() if not sees(disk, machine)]


def visible(state, machine):
    """The groups that this machine knows, by name; a copy whose original is here too is not one, but a warning."""
    found = {}
    for group in state.get("groups", []):
        if any(sees(disk, machine) for disk in group["disks"].values()):
            name = group["name"]
            if name not in found or found[name].get("clone"):
                found[name] = group
    return found


def copies(state, machine):
    """Copied groups that are hidden here by their originals."""
    known = visible(state, machine)
    here = (group for group in state.get("groups", []) if any(sees(disk, machine) for disk in group["disks"].values()))
    return [group for group in here if known[group["name"]] is not group]


def is_partial(group, volume, machine, leg=None):
    places = volume["places"] if leg is None else [volume["places"][leg]]
    return any(not sees(group["disks"][place], machine) for place in places)


def leg_of(group, name):
    """``(volume, "rimage" or "rmeta", number)`` when `name` is a part of a raid volume."""
    match = _LEG.fullmatch(name)
    volume = group["volumes"].get(match[1]) if match else None
    if volume and volume["kind"] == "raid" and int(match[3]) < len(volume["places"]):
        return volume, match[2], int(match[3])
    return None


# ---- devices ----


def image(volume):
    return volume["image"]


def new_pair(primary, copy):
    return {"primary": primary, "copy": copy, "due": [], "began": 0.0, "done": 0, "moved": 0}


def new_volume(name, image, copy, places, **more):
    volume = {
        "name": name,
        "kind": "linear",
        "image": image,
        "copy": copy,
        "places": places,
        "pair": new_pair(image, copy),
    }
    volume.update(
        tracked=None, copied=None, origin=None, nosync=False, tags=[], read_only=False, skip=False, active=[HOME]
    )
    volume.update(leg_active={}, health="-", stuck=None, action=None, mismatches=0, damaged={}, is_first=False)
    return {**volume, "invalid": False, "filled": [], "room": 0, **more}


def mapper(group, name):
    return f"mapper/{group['name'].replace('-', '--')}-{name.replace('-', '--')}"


def paths(state, group, name, machine):
    base = devices(state, machine)
    return f"{base}/{group['name']}/{name}", f"{base}/{mapper(group, name)}"


def relink(store, state, is_lost=False):
    """Make the links under /dev of every machine what they have to be."""
    for machine in sorted(set(state["machines"]) | {HOME}):
        wanted = dict(_links(store, state, machine))
        base = devices(state, machine)
        for link in _standing(base):
            if link not in wanted or os.readlink(link) != wanted[link]:
                os.unlink(link)
        for link, target in wanted.items():
            if not os.path.islink(link) and not is_lost:
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(target, link)
        kept = {os.path.realpath(target) for target in wanted.values()}
        protected = state.get("write_protected", [])
        state["write_protected"] = [one for one in protected if one[1] != machine or one[0] in kept]


def _standing(base):
    for folder, _, files in os.walk(base):
        for name in files:
            if os.path.islink(f"{folder}/{name}"):
                yield f"{folder}/{name}"


def _links(store, state, machine):
    for group in state["groups"]:
        for disk in group["disks"].values():
            if sees(disk, machine) and not disk["path"]:
                yield f"{devices(state, machine)}/{disk['name']}", f"{store.path}.disks/{disk['name']}"
        for volume in group["volumes"].values():
            if machine in volume["active"] and volume["kind"] != "pool":
                target = f"{volume['image']}.invalid" if volume.get("invalid") else own(store, volume["image"], machine)
                for link in paths(state, group, volume["name"], machine):
                    yield link, target
            if machine in volume["leg_active"] and volume["kind"] == "raid":
                number = volume["leg_active"][machine]
                near, far = paths(state, group, f"{volume['name']}_rimage_{number}", machine)
                target = own(store, volume["copy"], machine)
                yield far, target
                if volume["tracked"] == number:
                    yield near, target


def own(store, path, machine):
    """The name under which a machine opens an image: its own, so that one can tell by whom it is open."""
    if machine == HOME or not os.path.exists(path):
        return path
    name = f"{store.path}.seen/{machine}{path}"
    if not os.path.exists(name) or not os.path.samefile(name, path):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        try:
            os.link(path, name)
        except OSError:
            return path
    return name


def opened():
    """The files that processes have open, and those under loop devices: path → whether that is mounted."""
    loops, files = {}, set()
    with open("/proc/self/mounts") as mounts:
        mounted = {line.split()[0] for line in mounts}
    for loop in os.listdir("/sys/block"):
        with contextlib.suppress(OSError), open(f"/sys/block/{loop}/loop/backing_file") as file:
            path = file.read().strip()
            loops[path] = loops.get(path, False) or f"/dev/{loop}" in mounted
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            with contextlib.suppress(OSError):
                files |= set(_links_of(f"/proc/{process}/fd"))
    return loops, files


def _links_of(folder):
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            yield os.readlink(f"{folder}/{number}")


def use(store, path, machine, known=None):
    """``"mounted"``, ``"open"`` or "": what is done with an image on a machine."""
    loops, files = known or opened()
    wanted = os.path.realpath(own(store, path, machine))
    if wanted in loops:
        return "mounted" if loops[wanted] else "open"
    return "open" if wanted in files else ""


# ---- time ----


def settle(state):
    """Let everything be as far as the clock says."""
    when = parts.now(state)
    for group in state["groups"]:
        for volume in group["volumes"].values():
            if volume["kind"] == "raid" and volume.get("stuck") is None:
                parts.advance(volume["pair"], when, group["rate"])
                _settle_check(volume, group, when)
            if volume["kind"] == "thick":
                _fill(group, volume)


def _settle_check(volume, group, when):
    action = volume.get("action")
    if action and (not group["rate"] or when - action["began"] >= parts.blocks_of(volume["image"]) / group["rate"]):
        if action["what"] == "repair":
            mend(volume)
        volume["mismatches"] = SECTORS * len(still_damaged(volume))
        volume["action"] = None


def _fill(group, volume):
    """A thick snapshot fills with each block of its origin and of itself that is written."""
    if volume.get("invalid"):
        return
    origin = group["volumes"][volume["origin"]]
    for path in (origin["image"], volume["image"]):
        now = parts.digests(path)
        volume["filled"] = sorted({n for n, one in enumerate(now) if one != volume["base"][n]} | set(volume["filled"]))
    volume["invalid"] = len(volume["filled"]) * parts.BLOCK >= volume["room"]


def is_synced(volume):
    return not parts.left(volume["pair"]) and volume.get("stuck") is None


def action(volume):
    if not is_synced(volume):
        return "resync" if volume.get("is_first") else "recover"
    return volume["action"]["what"] if volume.get("action") else "idle"
