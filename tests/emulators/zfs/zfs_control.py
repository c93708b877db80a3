"""The words of ``control``. See README.md."""

import argparse
import os
import stat

import parts
from zfs_datasets import below, devices, new_dataset
from zfs_pools import Stop, host, imported, leaves_of, new_guid, store
from zpool_vdevs import pairs_of

USAGE = "control create|fault|mend|tick|moved|size|pairs|add|lose|break|keep|wrap|log|state: see README.md"
DISK_BYTES = 2**20


def create(machine, argv):
    parser = argparse.ArgumentParser(prog="control create")
    parser.add_argument("--pool", required=True)
    parser.add_argument("--mirror", action="append", default=[])
    parser.add_argument("--disk", action="append", default=[])
    parser.add_argument("--volume", action="append", default=[])
    parser.add_argument("--tree", action="append", default=[])
    parser.add_argument("--zvols", default=machine.path + ".zvol")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--old-busy", action="store_true")
    options = parser.parse_args(argv)
    vdevs = [words.split(",") for words in options.mirror] + [[word] for word in options.disk]
    with machine.locked() as state:
        state.update(zvols=os.path.abspath(options.zvols), rate=options.rate, old_busy=options.old_busy)
        state.setdefault("given", [])
        guid = new_guid(state)
        state.setdefault("pools", {})[guid] = pool = {
            "name": options.pool,
            "guid": guid,
            "state": "active",
            "imported": {host(): {"name": options.pool, "readonly": False, "altroot": ""}},
            "txg": 100,
            "vdevs": [],
            "scan": None,
            "datasets": {},
        }
        pool["datasets"][""] = new_dataset(state, pool, "filesystem", "")
        for number, leaves in enumerate(vdevs or [[machine.path + ".disk1", machine.path + ".disk2"]]):
            pool["vdevs"].append({"id": number, "leaves": [new_leaf(state, path) for path in leaves]})
        for word in options.volume:
            add(state, pool, word)
        for word in options.tree:
            name, place, copy = [*word.split("=", 2), ""][:3]
            parents(state, pool, below(name))
            place = os.path.abspath(place)
            os.makedirs(place, exist_ok=True)
            one = new_dataset(state, pool, "filesystem", place, mounted=True, copy=copy and os.path.abspath(copy))
            one["props"]["mountpoint"] = place
            pool["datasets"][below(name)] = one
            state["given"].append(place)
        devices(state, parts.Faults(machine))


def new_leaf(state, path):
    path = os.path.abspath(path)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.truncate(DISK_BYTES)
    return {"path": path, "state": "ONLINE", "guid": new_guid(state), "stale": False}


def parents(state, pool, relative):
    names = relative.split("/")[:-1]
    for number in range(1, len(names) + 1):
        name = "/".join(names[:number])
        if name not in pool["datasets"]:
            pool["datasets"][name] = new_dataset(state, pool, "filesystem", "")


def add(state, pool, word):
    name, image, copy = [*word.split("=", 2), ""][:3]
    parents(state, pool, below(name))
    image = os.path.abspath(image)
    pool["datasets"][below(name)] = new_dataset(state, pool, "volume", image, copy=copy and os.path.abspath(copy))
    state["given"] += [image, os.path.abspath(copy)] if copy else [image]


def group_of(state, name):
    return pairs_of(state, imported(state)[name])


def change(machine, word, rest):
    with machine.locked() as state:
        if word == "add":
            add(state, imported(state)[rest[0].split("/")[0]], rest[0])
        elif word == "lose":
            del imported(state)[rest[0].split("/")[0]]["datasets"][below(rest[0])]
        elif word == "break":
            pool, leaf_path, of = rest
            for leaf in leaves_of(imported(state)[pool]):
                if leaf_path in (leaf["path"], os.path.basename(leaf["path"])):
                    leaf["state"] = of
        else:
            pool, _, snap = rest[0].partition("@")
            for one in imported(state)[pool]["datasets"].values():
                if snap in one["snaps"]:
                    one["snaps"][snap]["holds"][rest[1]] = one["snaps"][snap]["creation"]
        devices(state, parts.Faults(machine))


def wrap(machine, name, folder):
    here = os.path.dirname(os.path.realpath(__file__))
    os.makedirs(folder, exist_ok=True)
    for tool in ("zfs", "zpool"):
        path = os.path.join(folder, tool)
        with open(path, "w") as file:
            file.write(
                f'#!/bin/sh\nZFS_EMULATOR_STATE={machine.path} ZFS_EMULATOR_HOST={name} exec {here}/{tool} "$@"\n'
            )
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main(argv):
    machine = store()
    try:
        if argv and argv[0] in ("add", "lose", "break", "keep"):
            change(machine, argv[0], argv[1:])
            return 0
        if argv and argv[0] == "wrap":
            wrap(machine, argv[1], argv[2])
            return 0
        return parts.control(machine, argv, create, USAGE, group_of)
    except Stop as stop:
        print(stop)
        return stop.code
