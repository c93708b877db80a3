"""The words of ``control``. See README.md."""

import argparse
import os
import stat

import parts
from rbd_cluster import new_id, new_image, store

USAGE = "control create|fault|mend|tick|moved|size|pairs|join|leave|watch|unwatch|wrap|log|state: see README.md"
FEATURES = "layering,exclusive-lock,object-map,fast-diff,deep-flatten"


def create(machine, argv):
    parser = argparse.ArgumentParser(prog="control create")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--pool", default="rbd")
    parser.add_argument("--group", default="")
    parser.add_argument("--devices", default=machine.path + ".dev")
    parser.add_argument("--clone-v1", action="store_true")
    parser.add_argument("--torn", action="store_true")
    parser.add_argument("--squid", action="store_true")
    parser.add_argument("--features", default=FEATURES)
    options = parser.parse_args(argv)
    with machine.locked() as state:
        state.update(
            devices=os.path.abspath(options.devices),
            clone_v1=options.clone_v1,
            torn=options.torn,
            squid=options.squid,
            features=options.features.split(","),
        )
        state.setdefault("given", [])
        state.setdefault("images", {})
        state.setdefault("groups", {})
        names = [add(state, f"{options.pool}/{word}") for word in options.images]
        if options.group:
            name = f"{options.pool}/{options.group}"
            state["groups"][name] = {"id": new_id(state), "images": names, "snaps": {}}
            for image in names:
                state["images"][image]["group"] = name


def add(state, word):
    name, _, path = word.partition("=")
    state["images"][name] = new_image(state, os.path.abspath(path))
    state["given"].append(os.path.abspath(path))
    return name


def group_of(state, name):
    return [{"primary": state["images"][image]["data"], "moved": 0} for image in state["groups"][name]["images"]]


def change(machine, word, rest):
    with machine.locked() as state:
        if word == "join":
            pool = rest[0].partition("/")[0]
            word = rest[1] if "/" in rest[1].partition("=")[0] else f"{pool}/{rest[1]}"
            image = add(state, word) if "=" in word else word
            state["groups"][rest[0]]["images"].append(image)
            state["images"][image]["group"] = rest[0]
        elif word == "leave":
            state["groups"][rest[0]]["images"].remove(rest[1])
            state["images"][rest[1]]["group"] = ""
        elif word == "watch":
            state["images"][rest[0]]["watchers"].append(rest[1])
        else:
            state["images"][rest[0]]["watchers"] = []


def wrap(machine, name, folder):
    here = os.path.dirname(os.path.realpath(__file__))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "rbd")
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\nRBD_EMULATOR_STATE={machine.path} RBD_EMULATOR_HOST={name} exec {here}/rbd "$@"\n')
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main(argv):
    machine = store()
    if argv and argv[0] in ("join", "leave", "watch", "unwatch"):
        change(machine, argv[0], argv[1:])
        return 0
    if argv and argv[0] == "wrap":
        wrap(machine, argv[1], argv[2])
        return 0
    return parts.control(machine, argv, create, USAGE, group_of)
