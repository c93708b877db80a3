"""Disks that come and go: `zpool attach`, `detach`, `offline`, `online`, `labelclear`, `split`."""

import os
import time

from zfs_datasets import devices, mount_all
from zfs_pools import (
    USAGE,
    Stop,
    host,
    imported,
    label_of,
    leaves_of,
    new_guid,
    next_txg,
    note,
    now,
    options_of,
    pool_of,
    require_writable,
    say,
    users_of,
)
from zpool_show import print_layout
from zpool_vdevs import (
    advance,
    copies_away,
    find_leaf,
    is_resilvering,
    last_copies,
    start_resilver,
)

POLL_SECONDS = 0.05


def require_free(state, path, is_forced):
    """What attach asks of a disk's label. The pool that loses it by force, or None."""
    other = label_of(state, path)
    if other is None or other["state"] == "destroyed":
        return other
    is_active = bool(other["imported"])
    if is_active or not is_forced:
        what = (
            "the following errors must be manually repaired"
            if is_forced
            else "use '-f' to override the following errors"
        )
        kind = "active" if is_active else "exported"
        raise Stop(f"invalid vdev specification\n{what}:\n{path} is part of {kind} pool '{other['name']}'")
    return other


def attach(machine, faults, argv):
    options, words = options_of(argv, "fsw", "o")
    if len(words) != 3:
        raise Stop(
            "missing <new_device> specification\nusage: …" if len(words) < 3 else "too many arguments\nusage: …", USAGE
        )
    with machine.locked() as state:
        advance(state, faults)
        name, old, new = words
        pool = pool_of(state, name)
        what = f"cannot attach {new} to {old}"
        if not os.path.exists(new):
            raise Stop(f"cannot resolve path '{new}'")
        other = require_free(state, os.path.abspath(new), "f" in options)
        require_writable(pool, what)
        vdev, _ = find_leaf(pool, old, what)
        if users_of([new]):
            raise Stop(f"{what}: {new} is busy, or device removal is in progress")
        if other is not None:
            lose_disk(state, other, os.path.abspath(new))
        leaf = {"path": os.path.abspath(new), "state": "ONLINE", "guid": new_guid(state), "stale": True}
        vdev["leaves"].append(leaf)
        note(state, "sysevent.fs.zfs.vdev_attach")
        start_resilver(state, pool, full=True)
        advance(state, faults)
        guid = pool["guid"]
    if "w" in options:
        wait_for(machine, faults, guid)


def lose_disk(state, pool, path):
    """A disk of a pool that is not imported is taken for something else; a pool without a whole vdev is no more."""
    for leaf in leaves_of(pool):
        if leaf["path"] == path:
            leaf["gone"] = True
    if any(all(leaf.get("gone") for leaf in vdev["leaves"]) for vdev in pool["vdevs"]):
        for snap in (found for one in pool["datasets"].values() for found in one["snaps"].values()):
            snap["holds"] = {}
        del state["pools"][pool["guid"]]


def detach(machine, faults, argv):
    _, words = options_of(argv, "")
    if len(words) != 2:
        raise Stop("missing <device> specification\nusage: …", USAGE)
    with machine.locked() as state:
        advance(state, faults)
        pool = pool_of(state, words[0])
        what = f"cannot detach {words[1]}"
        require_writable(pool, what)
        vdev, leaf = find_leaf(pool, words[1], what)
        if len(vdev["leaves"]) < 2:
            raise Stop(f"{what}: only applicable to mirror and replacing vdevs")
        if not any(one["state"] == "ONLINE" and not one["stale"] for one in vdev["leaves"] if one is not leaf):
            raise Stop(f"{what}: no valid replicas")
        vdev["leaves"].remove(leaf)
        note(state, "sysevent.fs.zfs.vdev_remove")
        if leaf["stale"] and not any(one["stale"] for one in leaves_of(pool)) and is_resilvering(pool):
            pool["scan"].update(state="canceled", end=now(state))


def offline(machine, faults, argv):
    options, words = options_of(argv, "ft")
    if len(words) < 2:
        raise Stop("missing device name\nusage: …", USAGE)
    with machine.locked() as state:
        advance(state, faults)
        pool = pool_of(state, words[0])
        for name in words[1:]:
            what = f"cannot offline {name}"
            require_writable(pool, what)
            vdev, leaf = find_leaf(pool, name, what)
            if not any(one["state"] == "ONLINE" and not one["stale"] for one in vdev["leaves"] if one is not leaf):
                raise Stop(f"{what}: no valid replicas")
            if not leaf["stale"]:
                last_copies(state, pool)
            leaf["state"] = "FAULTED" if "f" in options else "OFFLINE"


def online(machine, faults, argv):
    _, words = options_of(argv, "e")
    if len(words) < 2:
        raise Stop("missing device name\nusage: …", USAGE)
    with machine.locked() as state:
        advance(state, faults)
        pool = pool_of(state, words[0])
        for name in words[1:]:
            _, leaf = find_leaf(pool, name, f"cannot online {name}")
            if leaf["state"] == "OFFLINE":
                leaf.update(state="ONLINE", stale=True)
                start_resilver(state, pool, full=False)
        note(state, "sysevent.fs.zfs.vdev_online")
        advance(state, faults)


def labelclear(machine, faults, argv):
    options, words = options_of(argv, "f")
    if len(words) != 1:
        raise Stop("missing vdev name\nusage: …" if not words else "too many arguments\nusage: …", USAGE)
    path = os.path.abspath(words[0])
    with machine.locked() as state:
        if not os.path.exists(path):
            raise Stop(f"failed to open {path}: No such file or directory")
        pool = label_of(state, path)
        if pool is None:
            raise Stop(f"failed to read label from {path}")
        if pool["imported"]:
            tail = ". Offline the disk first to clear its label." if "f" in options else ""
            raise Stop(f'{path} is a member (ACTIVE) of pool "{pool["name"]}"{tail}')
        if pool["state"] == "exported" and "f" not in options:
            raise Stop(
                f"use '-f' to override the following error:\n{path} is a member of exported pool \"{pool['name']}\""
            )
        lose_disk(state, pool, path)


def split(machine, faults, argv):
    options, words = options_of(argv, "gLlnP", "oR")
    if len(words) < 2:
        raise Stop("Missing new pool name\nusage: …" if words else "Missing pool name\nusage: …", USAGE)
    if "R" not in options and any("=" not in value for value in options.get("o", [])):
        raise Stop("setting mntopts is only valid when importing the pool\nusage: …", USAGE)
    with machine.locked() as state:
        advance(state, faults)
        pool, new, named = pool_of(state, words[0]), words[1], words[2:]
        what = f"Unable to split {words[0]}"
        if any(value.replace(" ", "") == "readonly=on" for value in options.get("o", [])):
            raise Stop(f"{what}: property readonly can only be set at import time")
        leaving = leaving_of(pool, named, what)
        if "n" in options:
            print(f"would create '{new}' with the following layout:\n")
            print_layout(new, leaving)
            return
        require_writable(pool, what)
        if new in imported(state):
            raise Stop(f"{what}: pool already exists")
        if any(leaf["state"] != "ONLINE" for leaf in leaving):
            raise Stop(f"{what}: invalid argument for this pool operation")
        if any(leaf["stale"] for leaf in leaves_of(pool)):
            raise Stop(f"{what}: pool is busy")
        datasets = copies_away(state, pool, lambda: faults.half_way("split"))
        for vdev in pool["vdevs"]:
            vdev["leaves"] = [leaf for leaf in vdev["leaves"] if leaf not in leaving]
        guid = new_guid(state)
        state["pools"][guid] = made = {
            "name": new,
            "guid": guid,
            "state": "exported",
            "imported": {},
            "txg": next_txg(pool),
            "vdevs": [{"id": n, "leaves": [leaf]} for n, leaf in enumerate(leaving)],
            "scan": None,
            "datasets": datasets,
        }
        note(state, "sysevent.fs.zfs.pool_create")
        if "R" in options:
            made.update(
                state="active", imported={host(): {"name": new, "readonly": False, "altroot": options["R"][-1]}}
            )
            if not mount_all(made):
                say("Split was successful, but some datasets could not be mounted")
                say("Try doing 'zpool import' with a different altroot")
        devices(state, faults)


def leaving_of(pool, named, what):
    """The disk of each mirror that goes: the one named, else the last."""
    leaving, found = [], 0
    for vdev in pool["vdevs"]:
        if len(vdev["leaves"]) < 2:
            raise Stop(f"{what}: Source pool must be composed only of mirrors\n")
        hits = [
            leaf
            for name in named
            for leaf in vdev["leaves"]
            if name in (leaf["path"], os.path.basename(leaf["path"]), leaf["guid"])
        ]
        found += 1 if hits else 0
        leaving.append(hits[0] if hits else vdev["leaves"][-1])
    if found != len(named):
        raise Stop(f"{what}: Device list must include at most one disk from each mirror")
    return leaving


def wait_for(machine, faults, guid):
    while True:
        with machine.locked() as state:
            advance(state, faults)
            pool = state["pools"].get(guid)
            if pool is None or host() not in pool["imported"] or not is_resilvering(pool):
                return
        time.sleep(POLL_SECONDS)
