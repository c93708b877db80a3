"""Pools that come and go: `zpool import`, `export`, `destroy`."""

import os

from zfs_datasets import devices, mount_all, unmount
from zfs_pools import (
    ERROR,
    OK,
    USAGE,
    Stop,
    ctime,
    host,
    imported,
    note,
    now,
    options_of,
    pool_of,
    say,
    users_of,
)
from zpool_show import print_import
from zpool_vdevs import (
    advance,
)


def import_(machine, faults, argv):
    options, words = options_of(argv, "DaflmNnFst", "dcoR")
    with machine.locked() as state:
        found = importable(state, options)
        if not words:
            if not found:
                return ERROR
            for number, pool in enumerate(found):
                if number:
                    print()
                print_import(pool)
            return OK
        pool = wanted_pool(state, found, words)
        name = words[1] if len(words) > 1 else pool["name"]
        if name in imported(state):
            raise Stop(
                f"cannot import '{words[0]}': a pool with that name already exists\n"
                "use the form 'zpool import <pool | id> <newpool>' to give it a new name"
            )
        if pool["imported"] and "f" not in options:
            (machine_name, *_) = pool["imported"]
            raise Stop(
                f"cannot import '{pool['name']}': pool was previously in use from another system.\nLast accessed by "
                f"{machine_name} (hostid=7f0101) at {ctime(now(state))}\nThe pool can be imported, use 'zpool import -f' "
                "to import the pool."
            )
        props = [value for value in options.get("o", []) if "=" in value]
        is_read_only = "readonly=on" in props
        altroot = options["R"][-1] if "R" in options else ""
        pool["imported"][host()] = {"name": name, "readonly": is_read_only, "altroot": altroot}
        if not is_read_only:
            pool.update(state="active", name=pool["name"] if "t" in options else name)
        note(state, "sysevent.fs.zfs.pool_import")
        if "N" not in options and not mount_all(pool):
            say("Import was successful, but unable to mount some datasets")
        devices(state, faults)
    return OK


def importable(state, options):
    """Pools whose every vdev has a disk where it is looked for, that are not imported here."""
    places = [os.path.abspath(place) for place in options.get("d", [])]
    found = []
    for pool in state.get("pools", {}).values():
        wanted = "destroyed" if "D" in options else None
        if host() in pool["imported"] or (pool["state"] == "destroyed") != (wanted is not None):
            continue
        if all(any(is_seen(leaf, places) for leaf in vdev["leaves"]) for vdev in pool["vdevs"]):
            found.append(pool)
    return found


def is_seen(leaf, places):
    path = leaf["path"]
    if leaf.get("gone") or not os.path.exists(path):
        return False
    return not places or any(place in (path, os.path.dirname(path)) for place in places)


def wanted_pool(state, found, words):
    hits = [pool for pool in found if words[0] in (pool["name"], pool["guid"])]
    if not hits and words[0] in imported(state):
        raise Stop(
            f"cannot import '{words[0]}': a pool with that name is already created/imported,\n"
            "and no additional pools with that name were found"
        )
    if not hits:
        raise Stop(f"cannot import '{words[0]}': no such pool available")
    if len(hits) > 1:
        raise Stop(f"cannot import '{words[0]}': more than one matching pool\nimport by numeric ID instead")
    return hits[0]


def export(machine, faults, argv):
    options, names = options_of(argv, "afF")
    if not names:
        raise Stop("missing pool argument\nusage: …", USAGE)
    with machine.locked() as state:
        advance(state, faults)
        for name in names:
            pool = pool_of(state, name)
            close_all(state, pool, f"cannot export '{name}'", "f" in options)
            was = pool["imported"].pop(host())
            if not was["readonly"] and not pool["imported"]:
                pool["state"] = "exported"
            note(state, "sysevent.fs.zfs.pool_export")
        devices(state, faults)


def close_all(state, pool, what, is_forced):
    if users_of([one["data"] for one in pool["datasets"].values() if one["type"] == "volume"]):
        raise Stop(f"{what}: pool is busy")
    for relative in sorted(pool["datasets"], reverse=True):
        unmount(state, pool, relative, is_forced)


def destroy(machine, faults, argv):
    options, names = options_of(argv, "f")
    if len(names) != 1:
        raise Stop("missing pool argument\nusage: …" if not names else "too many arguments\nusage: …", USAGE)
    with machine.locked() as state:
        pool = pool_of(state, names[0])
        try:
            close_all(state, pool, f"cannot destroy '{names[0]}'", "f" in options)
        except Stop as stop:
            raise Stop(f"{stop}\ncould not destroy '{names[0]}': could not unmount datasets") from stop
        was = pool["imported"].pop(host())
        if not was["readonly"]:
            pool["state"] = "destroyed"
        note(state, "sysevent.fs.zfs.pool_destroy")
        devices(state, faults)
