"""Disks of a pool, and what a resilver and a split do to the bytes of its volumes and trees.

The emulator has one image for a volume on the disks that stay, and one for it on a disk that comes and goes: a pair, as in
``parts``. A resilver copies from one to the other; a split makes them equal and gives the second one away.
"""

import os

import parts
from zfs_datasets import copy_tree, drop_data, images, new_dataset
from zfs_pools import Stop, leaves_of, new_file, note, now


def find_leaf(pool, name, what):
    """(vdev, leaf) by path, by its last part, or by guid."""
    for vdev in pool["vdevs"]:
        for leaf in vdev["leaves"]:
            if name in (leaf["path"], os.path.basename(leaf["path"]), leaf["guid"]):
                return vdev, leaf
    raise Stop(f"{what}: no such device in pool")


def is_resilvering(pool):
    return bool(pool["scan"]) and pool["scan"]["state"] == "scanning"


def pairs_of(state, pool):
    """Every volume has a pair from now on."""
    for one in pool["datasets"].values():
        if one["type"] == "volume" and "pair" not in one:
            copy = one["copy"] if one["copy"] and not is_taken(state, one["copy"]) else new_file(state)
            one["pair"] = {"primary": one["data"], "copy": copy, "done": 0, "moved": 0}
    return images(pool)


def is_taken(state, path):
    """Whether another pool's dataset has its bytes there."""
    return any(one["data"] == path for pool in state["pools"].values() for one in pool["datasets"].values())


def start_resilver(state, pool, full):
    when = now(state)
    pool["scan"] = {"state": "scanning", "start": when, "end": None, "moved": 0}
    for pair in pairs_of(state, pool):
        parts.start_copy(pair, when, full)
    note(state, "sysevent.fs.zfs.resilver_start")


def last_copies(state, pool):
    """What a disk that goes offline has, from which a later resilver goes on."""
    parts.take(pairs_of(state, pool), torn_allowed=True)


def advance(state, faults):
    """Let every resilver get as far as the clock says."""
    for pool in state.get("pools", {}).values():
        if not is_resilvering(pool) or faults.take("resilver", "stuck")[0]:
            continue
        if not any(leaf["stale"] and leaf["state"] == "ONLINE" for leaf in leaves_of(pool)):
            continue
        done = [parts.advance(pair, now(state), state.get("rate", 0.0)) for pair in images(pool)]
        if all(done):
            for leaf in leaves_of(pool):
                leaf["stale"] = leaf["stale"] and leaf["state"] != "ONLINE"
            moved = sum(pair["moved"] for pair in images(pool))
            pool["scan"].update(state="finished", end=now(state), moved=moved)
            note(state, "sysevent.fs.zfs.resilver_finish")


def copies_away(state, pool, half_way):
    """The datasets of the pool that is split off, of one moment."""
    pairs = pairs_of(state, pool)
    half_way()
    if not parts.take(pairs):
        raise Stop("emulator: the volumes never stood still", 70)
    made = {}
    for relative, one in pool["datasets"].items():
        if one["type"] == "volume":
            data = one["pair"]["copy"]
        else:
            is_free = one["copy"] and not is_taken(state, one["copy"])
            data = one["copy"] if is_free else (new_file(state) if one["data"] else "")
            if data:
                drop_data(data)
                copy_tree(one["data"], data)
        made[relative] = new_dataset(state, pool, one["type"], data, props=dict(one["props"]), origin=one["origin"])
        made[relative]["guid"] = one["guid"]
        made[relative]["snaps"] = {name: snapshot_away(state, found) for name, found in one["snaps"].items()}
    for one in pool["datasets"].values():
        one.pop("pair", None)
    return made


def snapshot_away(state, found):
    data = new_file(state)
    if os.path.isdir(found["data"]):
        copy_tree(found["data"], data)
    else:
        parts.take([{"primary": found["data"], "copy": data, "done": 0, "moved": 0}])
    return {**found, "data": data, "holds": dict(found["holds"]), "props": dict(found["props"])}
