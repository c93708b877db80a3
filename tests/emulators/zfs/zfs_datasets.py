"""Datasets, snapshots, clones and holds of a pool, and their bytes.

A dataset is ``{"type", "data": image or folder, "copy": where it goes when its disks are split off, "props": {},
"origin": "DATASET@SNAP" or "", "guid", "creation", "createtxg", "mounted": bool, "snaps": {NAME: {...}}}``, a snapshot
``{"data", "guid", "creation", "createtxg", "holds": {TAG: time}, "props": {}, "deferred": bool}``. Names are below the pool.
"""

import contextlib
import os
import shutil

import parts
from zfs_pools import (
    DEFAULTS,
    INHERITED,
    Stop,
    here,
    host,
    imported,
    new_file,
    new_guid,
    next_txg,
    now,
    say,
    users_of,
)


def below(name):
    """``POOL/A/B`` without its pool."""
    return name.partition("/")[2]


def full(pool, relative, snap=""):
    name = here(pool)["name"] + (f"/{relative}" if relative else "")
    return f"{name}@{snap}" if snap else name


def find(state, name):
    """(pool, name below it, dataset). Raises Stop as `zfs` says it."""
    pool = imported(state).get(name.split("/")[0])
    if pool is None or below(name) not in pool["datasets"]:
        raise Stop(f"cannot open '{name}': dataset does not exist")
    return pool, below(name), pool["datasets"][below(name)]


def find_snapshot(state, name):
    dataset, _, snap = name.partition("@")
    pool, relative, found = find(state, dataset)
    if snap not in found["snaps"]:
        raise Stop(f"cannot open '{name}': dataset does not exist")
    return pool, relative, found, snap


def children(pool, relative):
    prefix = f"{relative}/" if relative else ""
    return sorted(name for name in pool["datasets"] if name and name != relative and name.startswith(prefix))


def clones_of(pool, relative, snap):
    return sorted(n for n, one in pool["datasets"].items() if one["origin"] == f"{relative}@{snap}")


def new_dataset(state, pool, kind, data, **more):
    return {
        "type": kind,
        "data": data,
        "copy": "",
        "props": {},
        "origin": "",
        "guid": new_guid(state),
        "creation": int(now(state)),
        "createtxg": next_txg(pool),
        "mounted": False,
        "snaps": {},
        **more,
    }


# ---- properties ----


def value_of(pool, relative, prop):
    """(value, source) of a property that can be set."""
    name = relative
    while True:
        if prop in pool["datasets"].get(name, {"props": {}})["props"]:
            value = pool["datasets"][name]["props"][prop]
            if prop == "mountpoint" and name != relative and value not in ("none", "legacy"):
                value += relative[len(name) :] if name else f"/{relative}"
            return value, "local" if name == relative else f"inherited from {full(pool, name)}"
        if not name or (prop not in INHERITED and prop != "mountpoint" and ":" not in prop):
            break
        name = name.rpartition("/")[0]
    if prop == "mountpoint":
        return f"/{full(pool, relative)}", "default"
    return DEFAULTS.get(prop, "-"), "default" if prop in DEFAULTS else "-"


def mountpoint(pool, relative):
    """Where a filesystem is mounted when it is; "" for none and legacy."""
    value = value_of(pool, relative, "mountpoint")[0]
    root = here(pool)["altroot"]
    return "" if value in ("none", "legacy") else root.rstrip("/") + value


def size_of(dataset):
    if os.path.isfile(dataset["data"]) or os.path.islink(dataset["data"]):
        return parts.size_of(dataset["data"])
    return sum(os.lstat(os.path.join(top, n)).st_size for top, _, names in os.walk(dataset["data"]) for n in names)


# ---- bytes ----


def images(pool):
    """The pool's volumes as pairs, for resilvers and splits."""
    return [one["pair"] for _, one in sorted(pool["datasets"].items()) if one["type"] == "volume" and "pair" in one]


def copy_tree(source, target):
    """A folder's content, without the emulator's ``.zfs``."""
    if not source or not os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        return
    shutil.copytree(
        source, target, symlinks=True, dirs_exist_ok=True, ignore=lambda top, _: [".zfs"] if top == source else []
    )


def take(state, pool, wanted, half_way=lambda: None):
    """Snapshots ``[(relative, snap, props)]`` of one moment."""
    pairs, trees, found = [], [], []
    for relative, snap, props in wanted:
        dataset = pool["datasets"][relative]
        if dataset["type"] == "volume":
            data = new_file(state)
            pairs.append({"primary": dataset["data"], "copy": data, "done": 0, "moved": 0})
        elif dataset["mounted"]:
            data = f"{dataset['data']}/.zfs/snapshot/{snap}"
            trees.append((dataset["data"], data))
        else:
            data = new_file(state)
            trees.append((dataset["data"], data))
        found.append((relative, snap, props, data))
    half_way()
    if not parts.take(pairs):
        raise Stop("emulator: the volumes never stood still", 70)
    for source, target in trees:
        copy_tree(source, target)
    txg, when = next_txg(pool), int(now(state))
    for relative, snap, props, data in found:
        pool["datasets"][relative]["snaps"][snap] = {
            "data": data,
            "guid": new_guid(state),
            "creation": when,
            "createtxg": txg,
            "holds": {},
            "props": props,
            "deferred": False,
        }


def drop_data(path):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


# ---- devices and mounts ----


def devices(state, faults):
    """Make the folder of volumes show what is imported here and may be seen."""
    folder, wanted = state["zvols"], {}
    if host() != "db1":
        folder = f"{folder}.{host()}"
    for pool in imported(state).values():
        for relative, one in pool["datasets"].items():
            if one["type"] != "volume" or value_of(pool, relative, "volmode")[0] == "none":
                continue
            wanted[full(pool, relative)] = parts.as_device(one["data"])
            if value_of(pool, relative, "snapdev")[0] == "visible":
                snaps = one["snaps"].items()
                wanted.update({full(pool, relative, snap): parts.as_device(found["data"]) for snap, found in snaps})
    is_lost = bool(faults.take("udev", "lost")[0])
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if wanted.get(os.path.relpath(path, folder)) != os.readlink(path):
                parts.drop_device(os.readlink(path))
                os.unlink(path)
    for name, data in wanted.items():
        path = os.path.join(folder, name)
        if not os.path.lexists(path) and not is_lost:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(data, path)


def mount(pool, relative):
    """Put a filesystem's tree where its mount point says."""
    one, point = pool["datasets"][relative], mountpoint(pool, relative)
    if one["type"] != "filesystem" or one["mounted"] or not point:
        return
    if (
        os.path.isdir(point)
        and os.listdir(point)
        and os.path.realpath(point) != os.path.realpath(one["data"] or "/nowhere")
    ):
        raise Stop(f"cannot mount '{point}': directory is not empty")
    if not one["data"]:
        os.makedirs(point, exist_ok=True)
    elif os.path.realpath(one["data"]) != os.path.realpath(point):
        os.makedirs(os.path.dirname(point), exist_ok=True)
        if os.path.isdir(point):
            os.rmdir(point)
        shutil.move(one["data"], point)
        _follow(one, one["data"], point)
    one.update(data=point, mounted=True)


def unmount(state, pool, relative, force=False):
    one = pool["datasets"][relative]
    if one["type"] != "filesystem" or not one["mounted"]:
        return
    if not force and users_of([one["data"]]):
        raise Stop(f"cannot unmount '{one['data']}': pool or dataset is busy")
    store = new_file(state)
    shutil.move(one["data"], store)
    _follow(one, one["data"], store)
    one.update(data=store, mounted=False)


def _follow(one, old, new):
    for snap in one["snaps"].values():
        if snap["data"].startswith(old + "/"):
            snap["data"] = new + snap["data"][len(old) :]


def mount_all(pool):
    """What import does. False: some could not be."""
    is_good = True
    for relative in sorted(pool["datasets"]):
        if not pool["datasets"][relative]["data"] or value_of(pool, relative, "canmount")[0] != "on":
            continue
        try:
            mount(pool, relative)
        except (Stop, OSError) as stop:
            say(str(stop))
            is_good = False
    return is_good


# ---- snapshots and clones ----


def require_volume_free(pool, relative):
    if users_of([pool["datasets"][relative]["data"]]):
        raise Stop(f"cannot destroy '{full(pool, relative)}': dataset is busy")


def destroy_dataset(state, pool, relative, force=False):
    one = pool["datasets"][relative]
    if one["type"] == "volume":
        require_volume_free(pool, relative)
    unmount(state, pool, relative, force)
    origin = one["origin"]
    if one["data"] and state["given"].count(one["data"]) == 0:
        drop_data(one["data"])
    del pool["datasets"][relative]
    if origin:
        parent, _, snap = origin.partition("@")
        found = pool["datasets"].get(parent, {"snaps": {}})["snaps"].get(snap)
        if found and found["deferred"] and not found["holds"] and not clones_of(pool, parent, snap):
            destroy_snapshot(pool, parent, snap)


def destroy_snapshot(pool, relative, snap):
    found = pool["datasets"][relative]["snaps"].pop(snap)
    drop_data(found["data"])


def clone(state, pool, relative, snap, target, props, is_unmounted):
    source = pool["datasets"][relative]
    found = source["snaps"][snap]
    data = new_file(state)
    one = new_dataset(state, pool, source["type"], data, origin=f"{relative}@{snap}")
    one["props"].update(props)
    if source["type"] == "volume":
        if not parts.take([{"primary": found["data"], "copy": data, "done": 0, "moved": 0}]):
            raise Stop("emulator: a snapshot changed", 70)
    else:
        copy_tree(found["data"], data)
    pool["datasets"][target] = one
    if source["type"] == "filesystem" and not is_unmounted and value_of(pool, target, "canmount")[0] == "on":
        mount(pool, target)
