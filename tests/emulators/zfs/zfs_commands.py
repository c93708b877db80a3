"""The subcommands of `zfs`."""

from zfs_datasets import (
    children,
    devices,
    find,
    find_snapshot,
    full,
    mount,
    mountpoint,
    unmount,
)
from zfs_destroy import destroy
from zfs_holds import hold, holds, release
from zfs_look import get, list_, properties
from zfs_pools import (
    USAGE,
    Stop,
    imported,
    options_of,
    require_writable,
    run,
    store,
)
from zfs_snapshots import clone_, rollback, snapshot


def set_(machine, faults, argv):
    pairs = [word for word in argv if "=" in word]
    names = argv[len(pairs) :]
    if not pairs or not names:
        raise Stop("missing property=value argument\nusage: …", USAGE)
    with machine.locked() as state:
        for name in names:
            what = f"cannot set property for '{name}'"
            values = properties(pairs, what)
            if "@" in name:
                pool, relative, one, snap = find_snapshot(state, name)
                if any(":" not in prop for prop in values):
                    raise Stop(f"{what}: this property can not be modified for snapshots")
                one["snaps"][snap]["props"].update(values)
                continue
            pool, relative, one = find(state, name)
            require_writable(pool, what)
            was_mounted = one["mounted"]
            if "mountpoint" in values:
                unmount(state, pool, relative)
            one["props"].update(values)
            if "mountpoint" in values and was_mounted:
                mount(pool, relative)
        devices(state, faults)


def inherit(machine, faults, argv):
    options, words = options_of(argv, "rS")
    if len(words) < 2:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    with machine.locked() as state:
        for name in words[1:]:
            pool, relative, _ = find(state, name)
            for each in [relative, *(children(pool, relative) if "r" in options else [])]:
                pool["datasets"][each]["props"].pop(words[0], None)
        devices(state, faults)


def mount_(machine, faults, argv):
    options, names = options_of(argv, "av", "o")
    with machine.locked() as state:
        if not names and "a" not in options:
            for pool in imported(state).values():
                for relative, one in sorted(pool["datasets"].items()):
                    if one["mounted"]:
                        print(f"{full(pool, relative):<30}  {one['data']}")
        for name in names:
            pool, relative, one = find(state, name)
            if one["type"] != "filesystem":
                raise Stop(f"cannot open '{name}': operation not applicable to datasets of this type")
            if one["mounted"]:
                raise Stop(f"cannot mount '{name}': filesystem already mounted")
            if not mountpoint(pool, relative):
                raise Stop(f"cannot mount '{name}': no mountpoint set")
            mount(pool, relative)


def unmount_(machine, faults, argv):
    options, names = options_of(argv, "afu")
    if len(names) != 1:
        raise Stop("missing filesystem argument\nusage: …", USAGE)
    with machine.locked() as state:
        name = names[0]
        if name.startswith("/"):
            mounted = {
                one["data"]: full(p, r)
                for p in imported(state).values()
                for r, one in p["datasets"].items()
                if one["mounted"]
            }
            if name not in mounted:
                raise Stop(f"cannot unmount '{name}': not a ZFS filesystem")
            name = mounted[name]
        pool, relative, one = find(state, name)
        if not one["mounted"]:
            raise Stop(f"cannot unmount '{name}': not currently mounted")
        unmount(state, pool, relative, "f" in options)


def version(machine, faults, argv):
    print("zfs-2.2.2-1\nzfs-kmod-2.2.2-1")


COMMANDS = {
    "list": list_,
    "get": get,
    "set": set_,
    "inherit": inherit,
    "snapshot": snapshot,
    "destroy": destroy,
    "clone": clone_,
    "rollback": rollback,
    "hold": hold,
    "holds": holds,
    "release": release,
    "mount": mount_,
    "unmount": unmount_,
    "version": version,
}


ALIASES = {"snap": "snapshot", "umount": "unmount", "--version": "version", "-V": "version"}


def main(argv):
    store().note(["zfs", *argv])
    return run(argv, COMMANDS, ALIASES, lambda name: name, "dataset is busy")
