"""`zfs snapshot`, `clone` and `rollback`."""

import os

import parts
from zfs_datasets import (
    below,
    children,
    clone,
    clones_of,
    destroy_snapshot,
    devices,
    find,
    find_snapshot,
    full,
    take,
)
from zfs_destroy import destroy_tree
from zfs_look import properties
from zfs_pools import (
    USAGE,
    Stop,
    imported,
    options_of,
    require_writable,
)


def snapshot(machine, faults, argv):
    options, names = options_of(argv, "r", "o")
    if not names:
        raise Stop("missing snapshot argument\nusage: …", USAGE)
    with machine.locked() as state:
        wanted, pools = [], {}
        for name in names:
            dataset, at, snap = name.partition("@")
            if not at:
                raise Stop("usage: …", USAGE)
            try:
                pool, relative, _ = find(state, dataset)
            except Stop as stop:
                raise Stop(f"{stop}\nusage: …", USAGE) from stop
            pools[pool["guid"]] = pool
            wanted += [(each, snap) for each in [relative, *(children(pool, relative) if "r" in options else [])]]
        is_several = len(names) > 1 or "r" in options
        tail = "\nno snapshots were created" if is_several else ""
        props = properties(options.get("o", []), "cannot create snapshots ")
        if len(pools) > 1 or len({name for name, _ in wanted}) < len(wanted):
            raise Stop(f"cannot create snapshots : multiple snapshots of same fs not allowed{tail}")
        (pool,) = pools.values()
        require_writable(pool, "cannot create snapshots ")
        taken = [full(pool, name, snap) for name, snap in wanted if snap in pool["datasets"][name]["snaps"]]
        if taken:
            raise Stop("\n".join(f"cannot create snapshot '{n}': dataset already exists" for n in taken) + tail)
        if any(not snap or set(snap) & set("@/ ") for _, snap in wanted):
            raise Stop(f"cannot create snapshot '{names[0]}': invalid character in name{tail}")
        take(state, pool, [(name, snap, props) for name, snap in wanted], lambda: faults.half_way("snapshot"))
        devices(state, faults)


def clone_(machine, faults, argv):
    options, words = options_of(argv, "pu", "o")
    if len(words) != 2:
        raise Stop(
            "missing target dataset argument\nusage: …" if len(words) < 2 else "too many arguments\nusage: …", USAGE
        )
    with machine.locked() as state:
        pool, relative, _, snap = find_snapshot(state, words[0])
        what = f"cannot create '{words[1]}'"
        props = properties(options.get("o", []), what)
        target_pool = imported(state).get(words[1].split("/")[0])
        if target_pool is None:
            raise Stop(f"{what}: no such pool '{words[1].split('/')[0]}'")
        if target_pool is not pool:
            raise Stop(f"{what}: source and target pools differ")
        require_writable(pool, what)
        target = below(words[1])
        if not target or target in pool["datasets"]:
            if "p" in options and target:
                return
            raise Stop(f"{what}: dataset already exists")
        if target.rpartition("/")[0] not in pool["datasets"]:
            raise Stop(f"{what}: parent does not exist")
        clone(state, pool, relative, snap, target, props, "u" in options)
        devices(state, faults)


def rollback(machine, faults, argv):
    options, names = options_of(argv, "rRf")
    if len(names) != 1:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    with machine.locked() as state:
        pool, relative, one, snap = find_snapshot(state, names[0])
        newer = [s for s, f in one["snaps"].items() if f["createtxg"] > one["snaps"][snap]["createtxg"]]
        if newer and not options.keys() & {"r", "R"}:
            raise Stop(
                f"cannot rollback to '{names[0]}': more recent snapshots or bookmarks exist\nuse '-r' to force deletion "
                "of the following snapshots and bookmarks:\n" + "\n".join(full(pool, relative, s) for s in newer)
            )
        for name in newer:
            for each in clones_of(pool, relative, name):
                if "R" not in options:
                    raise Stop(f"cannot rollback to '{names[0]}': clones of previous snapshots exist")
                destroy_tree(state, pool, each, "f" in options)
            destroy_snapshot(pool, relative, name)
        if one["type"] == "volume":
            parts.take([{"primary": one["snaps"][snap]["data"], "copy": one["data"], "done": 0, "moved": 0}])
        else:
            restore_tree(one, one["snaps"][snap]["data"])


def restore_tree(one, data):
    import shutil

    for name in os.listdir(one["data"]):
        if name != ".zfs":
            path = os.path.join(one["data"], name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    shutil.copytree(data, one["data"], symlinks=True, dirs_exist_ok=True)
