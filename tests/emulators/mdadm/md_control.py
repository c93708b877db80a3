"""What a test says to the emulated arrays. See README.md."""

import argparse
import contextlib
import os
import shlex

import lvm_damage
import parts
from lvm_state import HOME
from md_state import BITMAP_BYTES, disk_path, find, leave, md_uuid, new_array, root
from md_tools import Tool, prepare

HERE = os.path.dirname(os.path.realpath(__file__))
USAGE = (
    "create --group NAME P=C … | roots | break MD DISK | spare MD DISK | stop MD | stuck MD PERCENT|off | wrap HOST FOLDER | "
    "fault | mend | tick | moved | size | pairs | log | state"
)


def create(store, words):
    top = argparse.ArgumentParser(prog="control create")
    top.add_argument("--group", required=True)
    top.add_argument("images", nargs="+")
    for flag in ("--mirrored", "--no-bitmap"):
        top.add_argument(flag, action="store_true")
    top.add_argument("--legs", type=int, default=2)
    top.add_argument("--chunk", type=int, default=BITMAP_BYTES)
    top.add_argument("--metadata", default="1.2", choices=("1.2", "1.1", "1.0", "0.90"))
    top.add_argument("--rate", type=float, default=0.0)
    top.add_argument("--root", default=f"{store.path}.root")
    options = top.parse_args(words)
    with store.locked() as state:
        prepare(state, store)
        state["root"] = os.path.abspath(options.root)
        for text in options.images:
            _array(store, state, options, *(os.path.abspath(path) for path in text.split("=", 1)))
        tool = Tool("control")
        tool.keep(state)
    roots(store, [])


def _array(store, state, options, primary, copy):
    number = len(state["arrays"])
    name = f"md{number}"
    array = new_array(
        name, HOME, options.group, primary, uuid=md_uuid(options.group, name), origin=HOME, number=number, copy=copy
    )
    array.update(chunk=options.chunk, metadata=options.metadata, rate=options.rate, bitmap=not options.no_bitmap)
    array["pair"].update(copy=copy)
    for place in range(options.legs):
        is_leg = place == options.legs - 1
        disk = _disk(store, state, (copy if is_leg else primary) if options.metadata in ("1.0", "0.90") else "", is_leg)
        array["numbers"][disk] = place
        if is_leg:
            array["leg"] = disk
        if is_leg and not options.mirrored:
            array["places"].append(None)
        else:
            array["places"].append(disk)
            state["disks"][disk]["superblock"] = {
                "uuid": array["uuid"],
                "role": place,
                "events": array["events"],
                "array": name,
            }
    if options.mirrored and not lvm_damage.take(array, lambda: None):
        raise SystemExit("control: the primary never stood still")
    if not os.path.exists(copy):
        open(copy, "wb").close()
    state["arrays"].append(array)


def _disk(store, state, image, is_shared):
    name = f"sd{'abcdefghijklmnopqrstuvwxyz'[len(state['disks'])]}"
    os.makedirs(f"{store.path}.disks", exist_ok=True)
    with open(f"{store.path}.disks/{name}", "w") as file:
        file.write(f"a header of {name}, and no data\n")
    state["disks"][name] = {"image": image, "shared": is_shared, "superblock": None, "uuid": md_uuid("disk", name)}
    return name


def roots(store, words):
    state = store.read()
    base = root(state, HOME)
    print(f"dev={base}/dev\nsys={base}/sys\nmdstat={base}/proc/mdstat")
    for array in state["arrays"]:
        if array["host"] == HOME:
            name = array["name"]
            print(
                f"{name}={base}/dev/{name}\n{name}.leg={disk_path(state, HOME, array['leg'])}\n{name}.uuid={array['uuid']}"
            )


def _at(state, name):
    return find(state, HOME, f"{root(state, HOME)}/dev/{name}")


def broken(store, state, words):
    leave(state, _at(state, words[0]), words[1])


def spare(store, state, words):
    array, name = _at(state, words[0]), words[1]
    if name not in state["disks"]:
        with open(f"{store.path}.disks/{name}", "w") as file:
            file.write(f"a header of {name}, and no data\n")
        state["disks"][name] = {"image": "", "shared": False, "superblock": None, "uuid": md_uuid("disk", name)}
    array["numbers"][name] = max(array["numbers"].values()) + 1
    if None not in array["places"]:
        array["spares"].append(name)
        return
    place = array["places"].index(None)
    array["places"][place] = name
    state["disks"][name]["superblock"] = {
        "uuid": array["uuid"],
        "role": place,
        "events": array["events"],
        "array": array["name"],
    }


def stopped(store, state, words):
    array = _at(state, words[0])
    state["arrays"].remove(array)
    state["gone"][array["uuid"]] = array


def stuck(store, state, words):
    _at(state, words[0])["stuck"] = None if words[1] == "off" else float(words[1])


def wrap(store, machine, folder):
    os.makedirs(folder, exist_ok=True)
    with store.locked() as state:
        prepare(state, store)
        state["machines"] = sorted({*state["machines"], machine})
        Tool("control").keep(state)
    for name in ("mdadm", "cat", "blockdev"):
        path = f"{folder}/{name}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "w") as file:
            file.write(
                f"#!/bin/sh\n# EMULATOR of md as on {machine}\nMDADM_EMULATOR_STATE={shlex.quote(store.path)} MDADM_EMULATOR_HOST={shlex.quote(machine)}\n"
            )
            file.write(f'export MDADM_EMULATOR_STATE MDADM_EMULATOR_HOST\nexec {shlex.quote(f"{HERE}/{name}")} "$@"\n')
        os.chmod(path, 0o755)


def group_of(state, name):
    return [array["pair"] for array in state["arrays"] if array["group"] == name]


def main(argv):
    store = parts.Store(os.path.abspath(os.environ["MDADM_EMULATOR_STATE"]))
    own = {"break": broken, "spare": spare, "stop": stopped, "stuck": stuck}
    if argv and argv[0] == "wrap":
        wrap(store, argv[1], os.path.abspath(argv[2]))
        return 0
    if argv and argv[0] == "roots":
        roots(store, [])
        return 0
    if argv and argv[0] in own:
        with Tool("control").state() as state:
            own[argv[0]](store, state, argv[1:])
        return 0
    code = parts.control(store, argv, create, USAGE, group_of) if argv[:1] not in (["moved"], ["pairs"]) else None
    if code is None or argv[0] in ("tick", "fault", "mend"):
        with Tool("control").state():
            pass
    return parts.control(store, argv, create, USAGE, group_of) if code is None else code
