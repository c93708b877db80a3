"""Mirrors of ``vxsnap`` and ``vxassist``: attached, waited for, attached again, given up."""

import parts
from vxvm_machine import (
    ATTACHING,
    FAILED,
    NO_OBJECT,
    USAGE,
    WRONG_STATE,
    Stop,
    by_uid,
    free_pair,
    mirrors_of,
    require_closed,
    require_started,
    valid_percent,
    volume_of,
)

INSTANT, TRADITIONAL = "instant", "traditional"


def attributes(words, *known):
    """``name=value`` operands."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise Stop(USAGE, f"Invalid attribute or operand: {word}")
        found[name] = value
    return found


def first(operands, what="volume"):
    if not operands:
        raise Stop(USAGE, f"No {what} specified")
    return operands[0], operands[1:]


def require_model(volume, model, word):
    if model == INSTANT and volume["model"] != INSTANT:
        raise Stop(WRONG_STATE, f"Volume {volume['name']} is not prepared for instant snapshot operations")
    if model == TRADITIONAL and volume["model"] == INSTANT:
        raise Stop(WRONG_STATE, f"{word}: Volume {volume['name']} is prepared for instant snapshots; use vxsnap")


# ---- attach ----


def attach(call, operands, model):
    """addmir, snapstart: a mirror is made on a free disk, and copied in full."""
    name, rest = first(operands)
    given = attributes(rest, "nmirror", "alloc", "layout")
    made = []
    with call.world() as state:
        config = call.group(state, changing=True)
        volume = volume_of(config, name)
        require_model(volume, model, call.keyword)
        require_started(volume)
        for _ in range(int(given.get("nmirror", 1))):
            key = free_pair(state, config, volume, given.get("alloc"))
            plex = {"name": _plex_name(volume), "disk": state["pairs"][key]["disk"], "pair": key, "state": "SNAPATT"}
            volume["plexes"].append(plex)
            parts.start_copy(state["pairs"][key], parts.now(state), full=True)
            made.append(plex["name"])
    if "b" not in call.opts:
        call.wait(lambda state: not _attaching(volume_of(call.group(state), name), made))


def _plex_name(volume):
    used = {plex["name"] for plex in volume["plexes"]}
    return next(n for n in (f"{volume['name']}-{k:02d}" for k in range(1, 100)) if n not in used)


def _attaching(volume, plexes=None):
    return [p for p in mirrors_of(volume, *ATTACHING) if plexes is None or p["name"] in plexes]


def snapwait(call, operands):
    name, rest = first(operands)
    wanted = int(attributes(rest, "nmirror").get("nmirror", 1))

    def is_done(state):
        volume = volume_of(call.group(state), name)
        ready = mirrors_of(volume, "SNAPDONE")
        if len(ready) >= wanted:
            return True
        if len(ready) + len(_attaching(volume)) < wanted:
            raise Stop(NO_OBJECT, f"Volume {name} has no {wanted} snapshot mirror(s) that are attaching or ready")
        return False

    call.wait(is_done)


def remove_mirror(call, operands):
    """rmmir, snapabort: the newest mirror is given up."""
    name, rest = first(operands)
    attributes(rest, "nmirror")
    with call.world() as state:
        volume = volume_of(call.group(state, changing=True), name)
        mirrors = mirrors_of(volume)
        if not mirrors:
            raise Stop(NO_OBJECT, f"Volume {name} has no snapshot mirror")
        volume["plexes"].remove(mirrors[-1])
        state["pairs"][mirrors[-1]["pair"]].pop("base", None)


# ---- attach again ----


def reattach(call, operands):
    name, rest = first(operands, "snapshot")
    given = attributes(rest, "source", "nmirror")
    if "source" not in given:
        raise Stop(USAGE, "reattach: source= is needed")
    _rejoin(call, [name], INSTANT, given["source"])


def snapback(call, operands):
    first(operands, "snapshot")
    if "resyncfromreplica" in call.opts["o"]:
        for name in operands:
            restore(call, [], name)
    _rejoin(call, operands, TRADITIONAL, None)


def _rejoin(call, names, model, source):
    with call.world() as state:
        config = call.group(state, changing=True)
        pairs = []
        for name in names:
            snap = volume_of(config, name)
            if snap.get("kind") != "mirbrk":
                raise Stop(WRONG_STATE, f"Volume {name} is not a snapshot volume that can be reattached")
            require_model(snap, model, call.keyword)
            require_closed(state, config, snap)
            home, parent = by_uid(state, snap["parent"], call.host)
            if home is not config or (source and parent["name"] != source):
                raise Stop(WRONG_STATE, f"Volume {source or snap['parent_name']} is not the source of {name}")
            if state["disks"][snap["plexes"][0]["disk"]]["failed"]:
                raise Stop(FAILED, f"Plex {snap['plexes'][0]['name']}: device failed")
            pairs.append(_back(state, config, snap, parent))
    if "b" not in call.opts:
        call.wait(lambda state: all(not parts.left(state["pairs"][key]) for key in pairs))


def _back(state, config, snap, parent):
    config["volumes"].remove(snap)
    plex = {**snap["plexes"][0], "state": "SNAPTMP"}
    if plex["name"] in {one["name"] for one in parent["plexes"]}:
        plex["name"] = _plex_name(parent)
    parent["plexes"].append(plex)
    tracking = state["settings"]["fastresync"]
    full = tracking == "off" or parent["model"] == "none" or (tracking == "memory" and snap.get("has_moved", False))
    parts.start_copy(state["pairs"][plex["pair"]], parts.now(state), full=full)
    return plex["pair"]


def refresh(call, operands):
    name, rest = first(operands, "snapshot")
    given = attributes(rest, "source", "syncing")
    with call.world() as state:
        config = call.group(state, changing=True)
        snap = volume_of(config, name)
        if not snap.get("parent"):
            raise Stop(WRONG_STATE, f"Volume {name} is not a snapshot")
        require_closed(state, config, snap)
        home, parent = by_uid(state, snap["parent"], call.host)
        if home is not config or given.get("source", parent["name"]) != parent["name"]:
            raise Stop(WRONG_STATE, f"Volume {given.get('source')} is not the source of {name}")
        pair = snap["cached"] or state["pairs"][snap["plexes"][0]["pair"]]
        parts.take([pair], torn_allowed=True)
        snap["when"] = parts.now(state)
        if snap["kind"] != "spaceopt" and given.get("syncing") != "no":
            snap["sync"] = {"began": parts.now(state), "blocks": parts.blocks_of(snap["image"])}


def syncwait(call, operands):
    name, _ = first(operands, "snapshot")
    call.wait(lambda state: valid_percent(state, volume_of(call.group(state), name)) >= 100.0)


def restore(call, operands, snap_name=None):
    """Copies the snapshot over its source: what nobody should send who does not mean it."""
    if snap_name is None:
        _, rest = first(operands)
        snap_name = attributes(rest, "source", "destroy", "syncing").get("source", "")
    with call.world() as state:
        config = call.group(state, changing=True)
        snap = volume_of(config, snap_name)
        _, parent = by_uid(state, snap.get("parent"), call.host)
        if parent is None:
            raise Stop(WRONG_STATE, f"Volume {snap_name} has no source here")
        parts.take([{"primary": snap["image"], "copy": parent["image"]}], torn_allowed=True)
