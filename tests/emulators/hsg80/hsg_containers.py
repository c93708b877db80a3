"""Commands about containers: ADD, INITIALIZE, DELETE, MIRROR, UNMIRROR; and which names may be used."""

import os
import re

from hsg_language import ADD_MIRRORSET_SWITCHES, ADDED, UNIT_SWITCHES, keyword, switches
from hsg_machine import (
    BEST,
    FAILEDSET,
    GARBAGE,
    NORMAL,
    NORMALIZING,
    SPARESET,
    Stop,
    is_container,
    join,
    leave,
    member_of,
    normal_members,
    owner,
    take,
)

UNIT = re.compile(r"D\d{1,4}")
NAME = re.compile(r"[A-Z][A-Z0-9_.]{0,8}")


def unused(state, name, what="container"):
    """`name`, when it is there and nothing uses it. Raises Stop."""
    if not is_container(state, name):
        raise Stop(f"{name} is not a {what}")
    if above := owner(state, name):
        raise Stop(f"{name} is in use by {above}")
    return name


def unused_disk(state, name):
    if name not in state["disks"]:
        raise Stop(f"{name} is not a disk")
    return unused(state, name)


def new_name(state, name):
    if not NAME.fullmatch(name):
        raise Stop(f"{name} is not a name for a container")
    if is_container(state, name) or name in state["units"]:
        raise Stop(f"{name} is in use already")
    return name


def set_switches(one, asked):
    """Switches of a mirrorset that only change how it is treated."""
    one["copy"], one["read"] = asked.get("COPY", one["copy"]), asked.get("READ_SOURCE", one["read"])
    one["policy"] = "" if "NOPOLICY" in asked else asked.get("POLICY", one["policy"])


def set_unit(one, asked):
    for name, value in asked.items():
        if name == "DISABLE_ACCESS_PATH":
            one["access"] = [] if value == "ALL" else [host for host in one["access"] if host != value]
        elif name == "ENABLE_ACCESS_PATH":
            one["access"] = ["ALL"] if value == "ALL" else [*one["access"], value]
        elif name.removeprefix("NO") == "RUN":
            one["run"] = name == "RUN"
        else:
            one["switches"] = [word for word in one["switches"] if word.removeprefix("NO") != name.removeprefix("NO")]
            one["switches"].append(name)


# ---- ADD, INITIALIZE, DELETE ----


def do_add(state, words):
    if len(words) < 2:
        raise Stop("what to add is missing")
    kind = keyword(words[0], ADDED)
    adders = {"MIRRORSET": add_mirrorset, "STRIPESET": add_stripeset, "UNIT": add_unit, "SPARESET": add_spare}
    if kind not in adders:
        raise Stop(f"ADD {kind} is not available")
    adders[kind](state, words[1], words[2:])


def mirrorset(image, layout=None):
    return {
        "image": image,
        "layout": layout,
        "members": [],
        "nominal": 0,
        "policy": BEST,
        "copy": "NORMAL",
        "read": "LEAST_BUSY",
        "ready": False,
    }


def add_mirrorset(state, name, words):
    disks = [word for word in words if word in state["disks"]]
    asked = switches([word for word in words if word not in disks], ADD_MIRRORSET_SWITCHES)
    if not disks:
        raise Stop("a disk is missing")
    new_name(state, name)
    for disk in disks:
        unused_disk(state, disk)
    first = state["disks"][disks[0]]
    if not os.path.exists(first["path"]):
        open(first["path"], "wb").close()
    one = mirrorset(first["path"], first.get("layout"))
    state["mirrorsets"][name] = one
    one["members"].append({"disk": disks[0], "word": NORMAL})
    first["pair"] = first.get("pair") or {"primary": first["path"], "copy": first["path"]}
    for disk in disks[1:]:
        join(state, name, disk, NORMALIZING)
    one["nominal"] = len(disks)
    set_switches(one, asked)


def add_stripeset(state, name, words):
    if len(words) < 2:
        raise Stop("a stripeset has two or more members")
    new_name(state, name)
    for word in words:
        if word in state["stripesets"]:
            raise Stop(f"{word} cannot be part of a stripeset")
        unused(state, word)
    if len(set(words)) != len(words):
        raise Stop("a member is there twice")
    state["stripesets"][name] = {"members": words, "ready": False}


def add_unit(state, name, words):
    if not UNIT.fullmatch(name):
        raise Stop(f"{name} is not a unit number")
    if name in state["units"]:
        raise Stop(f"{name} is in use already")
    if not words:
        raise Stop("a container is missing")
    asked = switches(words[1:], UNIT_SWITCHES)
    container = unused(state, words[0])
    if not is_ready(state, container):
        raise Stop(f"{container} is not initialized")
    one = {"container": container, "access": ["ALL"], "run": True, "switches": []}
    set_unit(one, asked)
    state["units"][name] = one


def is_ready(state, name):
    if name in state["disks"]:
        return state["disks"][name].get("ready", False)
    return {**state["mirrorsets"], **state["stripesets"]}[name]["ready"]


def add_spare(state, name, words):
    unused_disk(state, name)
    state["spareset"].append(name)


def do_initialize(state, words):
    """With NODESTROY the data stays. Without, it is gone."""
    if not words:
        raise Stop("a container is missing")
    asked = switches(words[1:], {"DESTROY": (), "NODESTROY": (), "SAVE_CONFIGURATION": (), "NOSAVE_CONFIGURATION": ()})
    name = unused(state, words[0])
    if "NODESTROY" in asked and name not in state["mirrorsets"] and name not in state["stripesets"]:
        raise Stop("NODESTROY is for mirrorsets and striped mirrorsets")
    initialize(state, name, "NODESTROY" not in asked)


def initialize(state, name, destroys):
    if name in state["stripesets"]:
        one = state["stripesets"][name]
        for member in one["members"]:
            initialize(state, member, destroys)
    else:
        one = state["disks"].get(name) or state["mirrorsets"][name]
        if destroys:
            overwrite(one.get("image") or one["path"])
            one["layout"] = None
    one["ready"] = True


def overwrite(image):
    with open(image, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(0)
        file.write((GARBAGE.upper() * (size // len(GARBAGE) + 1))[:size])


def do_delete(state, words):
    name = words[0] if words else ""
    for kind in (FAILEDSET, SPARESET):
        if len(words) == 2 and len(name) > 3 and kind.startswith(name):
            if words[1] not in state[kind.lower()]:
                raise Stop(f"{words[1]} is not in the {kind}")
            state[kind.lower()].remove(words[1])
            return
    if len(words) != 1:
        raise Stop("one name is needed")
    if name in state["units"]:
        del state["units"][name]
        return
    unused(state, name, "unit or container")
    if name in state["mirrorsets"]:
        disks = [member["disk"] for member in normal_members(state["mirrorsets"][name])]
        take(state, [disk for disk in disks if state["disks"][disk]["path"] != state["mirrorsets"][name]["image"]])
        for member in list(state["mirrorsets"][name]["members"]):
            leave(state, name, member["disk"])
            state["disks"][member["disk"]]["layout"] = state["mirrorsets"][name]["layout"] or [0, 1]
            state["disks"][member["disk"]]["ready"] = False
        del state["mirrorsets"][name]
    elif name in state["stripesets"]:
        del state["stripesets"][name]
    else:
        del state["disks"][name]


# ---- MIRROR, UNMIRROR ----


def do_mirror(state, words):
    if len(words) < 2 or words[0] not in state["disks"]:
        raise Stop("a disk and the name of its mirrorset are needed")
    disk, name = words[:2]
    if owner(state, disk) in (FAILEDSET, SPARESET) or owner(state, disk) in state["mirrorsets"]:
        raise Stop(f"{disk} is in use by {owner(state, disk)}")
    asked = switches(words[2:], ADD_MIRRORSET_SWITCHES)
    new_name(state, name)
    put_in_place_of(state, disk, name)
    path = state["disks"][disk]["path"]
    state["mirrorsets"][name] = mirrorset(path)
    state["mirrorsets"][name].update(ready=True, nominal=1, members=[{"disk": disk, "word": NORMAL}])
    state["disks"][disk].update(pair={"primary": path, "copy": path})
    set_switches(state["mirrorsets"][name], asked)


def do_unmirror(state, words):
    if len(words) != 1:
        raise Stop("one disk is needed")
    disk = words[0]
    name, _ = member_of(state, disk)
    one = state["mirrorsets"][name]
    if len(one["members"]) != 1 or one["nominal"] != 1:
        raise Stop(f"{name} has more than one member")
    put_in_place_of(state, name, disk)
    state["disks"][disk].update(path=one["image"], ready=one["ready"], layout=None)
    del state["mirrorsets"][name]


def put_in_place_of(state, old, new):
    for one in state["stripesets"].values():
        one["members"] = [new if member == old else member for member in one["members"]]
    for one in state["units"].values():
        if one["container"] == old:
            one["container"] = new
