"""``vxsnap`` and ``vxassist``: their keywords; snapshots that are broken off, and let go."""

import os
import time

import parts
import vxvm_tables
from vxvm_attach import (
    INSTANT,
    TRADITIONAL,
    attach,
    attributes,
    first,
    reattach,
    refresh,
    remove_mirror,
    require_model,
    restore,
    snapback,
    snapwait,
    syncwait,
)
from vxvm_machine import (
    FAILED,
    USAGE,
    WRONG_STATE,
    Stop,
    mirrors_of,
    new_uid,
    require_name_free,
    require_started,
    snapshots_of,
    valid_percent,
    volume_of,
)

# ---- break off ----


def make(call, operands):
    """``vxsnap make``: all of them are looked at, then each is broken off."""
    _, _ = first(operands, "source")
    tuples = []
    for word in operands:
        given = attributes(word.split("/"), "source", "newvol", "nmirror", "plex", "cache", "cachesize")
        if "source" not in given or "newvol" not in given:
            raise Stop(USAGE, f"{word}: source= and newvol= are needed")
        tuples.append((given["source"], given["newvol"], given))
    _break_all(call, tuples, INSTANT)


def snapshot(call, operands):
    """``vxassist snapshot``: one volume and a name, or several volumes."""
    with call.world() as state:
        config = call.group(state)
        names = list(operands)
        if "allvols" in call.opts["o"]:
            names = [one["name"] for one in config["volumes"] if not one.get("parent")]
        if not names:
            raise Stop(USAGE, "No volume specified")
        known = {one["name"] for one in config["volumes"]}
        if len(names) == 2 and names[1] not in known:
            tuples = [(names[0], names[1], {})]
        else:
            pattern = next((o.removeprefix("name=") for o in call.opts["o"] if o.startswith("name=")), "SNAP-%v")
            tuples = [(n, pattern.replace("%v", n).replace("%d", str(k)), {}) for k, n in enumerate(names, 1)]
    _break_all(call, tuples, TRADITIONAL)


def _break_all(call, tuples, model):
    settings = call.store.read()["settings"]
    with call.world() as state:
        config = call.group(state, changing=True)
        if len({new for _, new, _ in tuples}) < len(tuples):
            raise Stop(USAGE, "A snapshot name is given twice")
        for source, new, given in tuples:
            _breakable(call, state, config, source, new, given, model)
        if settings["moment"] == "one":
            _half_way(call)
            _break(call, state, config, tuples, model)
            return
    half = call.fault("half")[0]
    for number, one in enumerate(tuples):
        with call.world() as state:
            _break(call, state, call.group(state), [one], model)
        if number == 0 and half:
            raise Stop(FAILED, f"Snapshot of volume {tuples[-1][0]} failed: I/O error")
        if number == 0:
            _half_way(call)
        if one is not tuples[-1]:
            time.sleep(settings["gap"])


def _half_way(call):
    for name in call.names:
        call.faults.half_way(name)


def _breakable(call, state, config, source, new, given, model):
    """The plex that will be the snapshot; None for one in a cache."""
    volume = volume_of(config, source)
    require_model(volume, model, call.keyword)
    require_started(volume)
    require_name_free(config, new)
    if "cache" in given:
        return None
    if given.get("nmirror", "1") != "1":
        raise Stop(USAGE, "Only nmirror=1 is modelled")
    ready = [p for p in mirrors_of(volume, "SNAPDONE") if given.get("plex") in (None, p["name"])]
    if not ready:
        raise Stop(WRONG_STATE, f"Volume {source} has no snapshot mirror in state SNAPDONE")
    return ready[0]


def _break(call, state, config, tuples, model):
    """One moment for all of `tuples`."""
    found = [(volume_of(config, s), _breakable(call, state, config, s, n, g, model), n) for s, n, g in tuples]
    pairs = []
    for volume, plex, new in found:
        if plex:
            pairs.append(state["pairs"][plex["pair"]])
        else:
            folder = f"{call.store.path}.cache"
            os.makedirs(folder, exist_ok=True)
            pairs.append({"primary": volume["image"], "copy": f"{folder}/{new}", "moved": 0})
    if not parts.take(pairs, torn_allowed=len(pairs) == 1):
        raise Stop(FAILED, "Volumes did not stand still")
    for (volume, plex, new), pair in zip(found, pairs, strict=True):
        if plex:
            volume["plexes"].remove(plex)
            plex = {**plex, "state": "ACTIVE"}
        config["volumes"].append(
            {
                "name": new,
                "uid": new_uid(state),
                "parent": volume["uid"],
                "parent_name": volume["name"],
                "parent_dg": config["name"],
                "image": pair["copy"],
                "plexes": [plex or {"name": f"{new}-P01", "disk": "", "pair": "", "state": "ACTIVE"}],
                "enabled": True,
                "model": volume["model"],
                "kind": "mirbrk" if plex else "spaceopt",
                "when": parts.now(state),
                "cached": None if plex else pair,
            }
        )


# ---- let go ----


def dissociate(call, operands):
    """dis, split, snapclear: the snapshot is a volume of its own from now on."""
    name, _ = first(operands, "snapshot")
    with call.world() as state:
        config = call.group(state, changing=True)
        snap = volume_of(config, name)
        if not snap.get("parent"):
            raise Stop(WRONG_STATE, f"Volume {name} is not a snapshot")
        require_model(snap, TRADITIONAL if call.tool == "vxassist" else INSTANT, call.keyword)
        if snap["kind"] == "spaceopt" or valid_percent(state, snap) < 100.0:
            raise Stop(WRONG_STATE, f"Volume {name} is not fully synchronized")
        snap["parent"], snap["kind"] = "", ""
        for plex in snap["plexes"]:
            state["pairs"][plex["pair"]].pop("base", None)
            plex["pair"] = ""


def prepare(call, operands):
    name, rest = first(operands)
    attributes(rest, "regionsize", "ndcomirs", "ndcomirror", "drl", "alloc", "dcoversion")
    with call.world() as state:
        volume = volume_of(call.group(state, changing=True), name)
        if volume["model"] == INSTANT:
            raise Stop(WRONG_STATE, f"Volume {name} is already prepared")
        if volume["model"] == TRADITIONAL and mirrors_of(volume):
            raise Stop(WRONG_STATE, f"Volume {name} has snapshot mirrors of the other kind")
        volume["model"] = INSTANT


def unprepare(call, operands):
    name, _ = first(operands)
    with call.world() as state:
        volume = volume_of(call.group(state, changing=True), name)
        if mirrors_of(volume) or snapshots_of(state, volume, call.host):
            raise Stop(WRONG_STATE, f"Volume {name} has snapshots")
        volume["model"] = "none"


VXSNAP = {
    "prepare": prepare,
    "unprepare": unprepare,
    "addmir": lambda call, words: attach(call, words, INSTANT),
    "snapwait": snapwait,
    "syncwait": syncwait,
    "make": make,
    "reattach": reattach,
    "refresh": refresh,
    "restore": restore,
    "dis": dissociate,
    "split": dissociate,
    "rmmir": remove_mirror,
    "print": vxvm_tables.snap_print,
    "list": vxvm_tables.snap_list,
}
VXASSIST = {
    "snapstart": lambda call, words: attach(call, words, TRADITIONAL),
    "snapwait": snapwait,
    "snapshot": snapshot,
    "snapback": snapback,
    "snapclear": dissociate,
    "snapabort": remove_mirror,
    "snapprint": vxvm_tables.snapprint,
}
