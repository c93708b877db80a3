"""What a test says to the emulated volume groups. See README.md."""

import argparse
import contextlib
import os
import shlex

import parts
from lvm_state import HOME, host, new_pair, new_volume, relink, settle, uuid

HERE = os.path.dirname(os.path.realpath(__file__))
PROGRAMS = ("lvm", "lvs", "vgs", "pvs", "pvscan", "lvconvert", "lvcreate", "lvchange", "lvremove", "vgchange", "vgexport", "vgimport", "vgrename",
            "vgimportclone", "blockdev", "dmsetup")  # fmt: skip
USAGE = (
    "create --group NAME [NAME=]P=C … | break GROUP LV LETTER | lose GROUP LV | gain GROUP NAME=P=C | stuck GROUP PERCENT|off | crash [--lose-map] | "
    "clone GROUP DISK… | wrap HOST FOLDER | fault | mend | tick | moved | size | pairs | log | state"
)
EXTENT, ROOM = 4 * 2**20, 2**30


def create(store, words):
    top = argparse.ArgumentParser(prog="control create")
    top.add_argument("--group", required=True)
    top.add_argument("images", nargs="+")
    for flag in ("--mirrored", "--nosync", "--thin"):
        top.add_argument(flag, action="store_true")
    top.add_argument("--legs", type=int, default=2)
    top.add_argument("--rate", type=float, default=0.0)
    top.add_argument("--extent", type=int, default=EXTENT)
    top.add_argument("--devices", default=f"{store.path}.dev")
    top.add_argument("--shared")
    options = top.parse_args(words)
    with store.locked() as state:
        state.setdefault("groups", [])
        state.setdefault("machines", [HOME])
        state.setdefault("devices", os.path.abspath(options.devices))
        group = {
            "name": options.group,
            "uuid": uuid("group", options.group),
            "rate": options.rate,
            "extent": options.extent,
            "room": ROOM,
        }
        group.update(tags=[], exported=False, clone=False, volumes={}, disks=_disks(store, state, options))
        state["groups"].append(group)
        for number, text in enumerate(options.images, 1):
            _volume(state, group, text, number, options)
        if options.thin:
            _pool(group)
        relink(store, state)


def _disks(store, state, options):
    """As many disks as there are legs, named after those of the groups before."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    first = sum(len(group["disks"]) for group in state["groups"])
    names = [f"sd{letters[first + n]}" for n in range(options.legs)]
    shared = options.shared.split(",") if options.shared is not None else names[1:]
    os.makedirs(f"{store.path}.disks", exist_ok=True)
    found = {}
    for name in names:
        with open(f"{store.path}.disks/{name}", "wb") as file:
            file.truncate(parts.BLOCK)
        found[name] = {
            "name": name,
            "path": "",
            "uuid": uuid("disk", options.group, name),
            "hosts": None if name in shared else [HOME],
        }
    return found


def _volume(state, group, text, number, options):
    pieces = text.split("=")
    name, primary, copy = (
        pieces if len(pieces) == 3 else (f"lv{number}", *pieces, "") if len(pieces) == 1 else (f"lv{number}", *pieces)
    )
    primary, copy = os.path.abspath(primary), os.path.abspath(copy or f"{primary}.leg")
    volume = new_volume(name, primary, copy, [next(iter(group["disks"]))])
    if options and options.thin:
        volume["kind"] = "thin"
    if options and options.mirrored:
        volume.update(kind="raid", places=list(group["disks"]), copied=len(group["disks"]) - 1, nosync=options.nosync)
        if not parts.take([volume["pair"]]):
            raise SystemExit("control: the primary never stood still")
    group["volumes"][name] = volume


def _pool(group):
    pool = new_volume("pool", "", "", [next(iter(group["disks"]))])
    group["volumes"]["pool"] = {**pool, "kind": "pool", "room": ROOM // 4}


# ---- what happens to it ----


def _group(state, name):
    return next(group for group in state["groups"] if group["name"] == name and not group["clone"])


def broken(store, state, words):
    group, name, letter = words
    _group(state, group)["volumes"][name]["health"] = letter


def lose(store, state, words):
    del _group(state, words[0])["volumes"][words[1]]


def gain(store, state, words):
    group = _group(state, words[0])
    _volume(state, group, words[1], len(group["volumes"]) + 1, None)


def stuck(store, state, words):
    for volume in _group(state, words[0])["volumes"].values():
        volume["stuck"] = None if words[1] == "off" else float(words[1])


def crash(store, state, words):
    """Power failure of the data server: everything is closed and comes up again."""
    for group in state["groups"]:
        for volume in group["volumes"].values():
            if volume["tracked"] is not None:
                volume["leg_active"][HOME] = volume["tracked"]
                if "--lose-map" in words:
                    volume["pair"]["base"] = parts.digests(volume["image"])
            if HOME not in volume["active"] and not volume["skip"]:
                volume["active"].append(HOME)
            volume["action"] = None


def clone(store, state, words):
    """Copies of all disks of a group appear on this machine, with the volumes' bytes as they are now."""
    name, *paths = words
    original = _group(state, name)
    if len(paths) != len(original["disks"]):
        raise SystemExit(f"control: {name} has {len(original['disks'])} disks")
    number = len(state["groups"])
    group = {**original, "clone": True, "tags": list(original["tags"]), "volumes": {}, "exported": False, "disks": {}}
    for path, disk in zip(paths, original["disks"].values(), strict=True):
        group["disks"][disk["name"]] = {**disk, "path": os.path.abspath(path), "hosts": [host()]}
    for volume in original["volumes"].values():
        copied = {**volume, "active": [], "leg_active": {}, "tags": list(volume["tags"])}
        if volume["image"]:
            image = f"{store.path}.images/clone-{number}-{volume['name']}"
            os.makedirs(os.path.dirname(image), exist_ok=True)
            parts.take([{"primary": volume["image"], "copy": image}])
            copied.update(image=image, copy=f"{image}.leg", pair=new_pair(image, f"{image}.leg"))
        group["volumes"][volume["name"]] = copied
    state["groups"].append(group)


def wrap(store, machine, folder):
    os.makedirs(folder, exist_ok=True)
    with store.locked() as state:
        state.setdefault("groups", [])
        state.setdefault("devices", f"{store.path}.dev")
        state["machines"] = sorted({*state.get("machines", [HOME]), machine})
        relink(store, state)
    for name in PROGRAMS:
        path = f"{folder}/{name}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "w") as file:
            file.write(
                f"#!/bin/sh\n# EMULATOR of lvm2 as on {machine}\nLVM_EMULATOR_STATE={shlex.quote(store.path)} LVM_EMULATOR_HOST={shlex.quote(machine)}\n"
            )
            file.write(f'export LVM_EMULATOR_STATE LVM_EMULATOR_HOST\nexec {shlex.quote(f"{HERE}/{name}")} "$@"\n')
        os.chmod(path, 0o755)


def group_of(state, name):
    return [
        volume["pair"] for volume in _group(state, name)["volumes"].values() if volume["kind"] in ("raid", "linear")
    ]


def main(argv):
    store = parts.Store(os.path.abspath(os.environ["LVM_EMULATOR_STATE"]))
    own = {"break": broken, "lose": lose, "gain": gain, "stuck": stuck, "crash": crash, "clone": clone}
    if argv and argv[0] == "wrap":
        wrap(store, argv[1], os.path.abspath(argv[2]))
        return 0
    if argv and argv[0] in own:
        with store.locked() as state:
            settle(state)
            own[argv[0]](store, state, argv[1:])
            state["machines"] = sorted({*state["machines"], host()})
            relink(store, state)
        return 0
    if argv and argv[0] in ("moved", "pairs"):
        with store.locked() as state:
            settle(state)
    return parts.control(store, argv, create, USAGE, group_of)
