"""SET and REDUCE; and the table of all other commands that change something. Each is checked as a whole before it is done."""

import time

from hsg_containers import (
    do_add,
    do_delete,
    do_initialize,
    do_mirror,
    do_unmirror,
    set_switches,
    set_unit,
    unused_disk,
)
from hsg_language import MIRRORSET_SWITCHES, UNIT_SWITCHES, switches
from hsg_machine import (
    COPYING,
    MOST_MEMBERS,
    NORMAL,
    NORMALIZING,
    Stop,
    blocks_of,
    join,
    leave,
    member_of,
    normal_members,
    take,
    top,
)

# ---- SET ----


def do_set(state, words):
    name = words[0] if words else ""
    if name in state["units"]:
        set_unit(state["units"][name], switches(words[1:], UNIT_SWITCHES))
    elif name in state["mirrorsets"]:
        if len(words) < 2:
            raise Stop("a switch is missing")
        set_mirrorset(state, name, switches(words[1:], MIRRORSET_SWITCHES))
    else:
        raise Stop(f"{name or 'nothing'} is not a unit or mirrorset")


def set_mirrorset(state, name, asked):
    one = state["mirrorsets"][name]
    for alone in ("REPLACE", "REMOVE"):
        if alone in asked and len(asked) > 1:
            raise Stop(f"no other switch may be given with {alone}")
    if "POLICY" in asked and "NOPOLICY" in asked:
        raise Stop("POLICY and NOPOLICY exclude each other")
    if "MEMBERSHIP" in asked:
        count = asked["MEMBERSHIP"]
        if not count.isdigit() or not 1 <= int(count) <= MOST_MEMBERS:
            raise Stop(f"{count} is not a number of members")
        if int(count) < len(one["members"]):
            raise Stop(f"{name} has {len(one['members'])} members; remove members before the membership is decreased")
    if "REPLACE" in asked:
        replace(state, name, asked["REPLACE"])
    elif "REMOVE" in asked:
        remove(state, name, asked["REMOVE"])
    else:
        one["nominal"] = int(asked.get("MEMBERSHIP", one["nominal"]))
        set_switches(one, asked)


def replace(state, name, disk):
    one = state["mirrorsets"][name]
    if one["policy"]:
        raise Stop(f"the replacement policy of {name} is not NOPOLICY")
    if len(one["members"]) >= one["nominal"]:
        raise Stop(f"{name} is not missing a member")
    unused_disk(state, disk)
    if (blocks_of(state, disk) or blocks_of(state, name)) < blocks_of(state, name):
        raise Stop(f"{disk} is smaller than {name}")
    join(state, name, disk, COPYING)


def remove(state, name, disk):
    one = state["mirrorsets"][name]
    if disk not in [member["disk"] for member in one["members"]]:
        raise Stop(f"{disk} is not a member of {name}")
    if not [m for m in one["members"] if m["word"] in (NORMAL, NORMALIZING) and m["disk"] != disk]:
        raise Stop(f"{name} would have no normal or normalizing member left")
    leave(state, name, disk)
    state["failedset"].append(disk)


# ---- REDUCE ----


def do_reduce(state, words, half_way, is_half=False):
    if not words:
        raise Stop("a disk is missing")
    found = {}
    for disk in words:
        name, member = member_of(state, disk)
        if member["word"] != NORMAL:
            raise Stop(f"{disk} is not a normal member of {name}")
        found[disk] = name
    if len({top(state, name) for name in found.values()}) > 1:
        raise Stop("the disks are not part of the same unit")
    for name in found.values():
        kept = [m for m in normal_members(state["mirrorsets"][name]) if m["disk"] not in found]
        if not kept:
            raise Stop(f"{name} would have no normal member left")
    disks = list(found)[:1] if is_half else list(found)
    take(state, disks, half_way)
    time.sleep(state["settings"]["gap"])
    for disk in disks:
        leave(state, found[disk], disk)
        state["mirrorsets"][found[disk]]["nominal"] -= 1
    return ["A device has reported a failure"] if is_half else None


MOVES = {
    "SET": do_set,
    "ADD": do_add,
    "INITIALIZE": do_initialize,
    "DELETE": do_delete,
    "MIRROR": do_mirror,
    "UNMIRROR": do_unmirror,
}
