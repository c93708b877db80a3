"""`zfs destroy`: what it refuses, and what it takes along."""

from zfs_datasets import (
    children,
    clones_of,
    destroy_dataset,
    destroy_snapshot,
    devices,
    find,
    full,
)
from zfs_pools import (
    USAGE,
    Stop,
    options_of,
    require_writable,
)


def snaps_named(one, spec):
    """Names of a dataset's snapshots that ``a,b`` or ``a%b`` means."""
    order = sorted(one["snaps"], key=lambda s: one["snaps"][s]["createtxg"])
    found = []
    for word in spec.split(","):
        if "%" in word:
            first, _, last = word.partition("%")
            if (first and first not in order) or (last and last not in order):
                continue
            start = order.index(first) if first else 0
            end = order.index(last) if last else len(order) - 1
            found += order[start : end + 1]
        elif word in order:
            found.append(word)
    return list(dict.fromkeys(found))


def destroy(machine, faults, argv):
    options, names = options_of(argv, "vpndfrR")
    if not names:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    if len(names) > 1:
        raise Stop("too many arguments\nusage: …", USAGE)
    with machine.locked() as state:
        if "@" in names[0]:
            destroy_snapshots(state, options, names[0])
        else:
            destroy_datasets(state, options, names[0])
        devices(state, faults)


def destroy_snapshots(state, options, name):
    dataset, _, spec = name.partition("@")
    pool, relative, _ = find(state, dataset)
    is_below = "r" in options or "R" in options
    wanted = [
        (each, snap)
        for each in [relative, *(children(pool, relative) if is_below else [])]
        for snap in snaps_named(pool["datasets"][each], spec)
    ]
    if not wanted:
        raise Stop("could not find any snapshots to destroy; check snapshot names.")
    for each, snap in wanted:
        dependent = clones_of(pool, each, snap)
        if dependent and "R" not in options and "d" not in options:
            raise Stop(
                f"cannot destroy '{full(pool, each, snap)}': snapshot has dependent clones\n"
                "use '-R' to destroy the following datasets:\n" + "\n".join(full(pool, n) for n in dependent)
            )
    require_writable(pool, "cannot destroy snapshots")
    if "v" in options or "p" in options:
        for each, snap in wanted:
            print(f"destroy\t{full(pool, each, snap)}" if "p" in options else f"would destroy {full(pool, each, snap)}")
    if "n" in options:
        return
    held = [(each, snap) for each, snap in wanted if pool["datasets"][each]["snaps"][snap]["holds"]]
    if held and "d" not in options:
        raise Stop("\n".join(held_text(state, full(pool, *one)) for one in held))
    for each, snap in wanted:
        found = pool["datasets"][each]["snaps"][snap]
        dependent = clones_of(pool, each, snap)
        if "d" in options and "R" not in options and (found["holds"] or dependent):
            found["deferred"] = True
            continue
        for one in dependent:
            destroy_tree(state, pool, one, "f" in options)
        destroy_snapshot(pool, each, snap)


def held_text(state, name):
    if state.get("old_busy"):
        return f"cannot destroy snapshot {name}: dataset is busy"
    return f"cannot destroy snapshot {name}: it's being held. Run 'zfs holds -r {name}' to see holders."


def destroy_tree(state, pool, relative, force):
    """A dataset with all that depends on it, clones elsewhere too."""
    for each in reversed([relative, *children(pool, relative)]):
        for snap in list(pool["datasets"][each]["snaps"]):
            for one in clones_of(pool, each, snap):
                destroy_tree(state, pool, one, force)
            destroy_snapshot(pool, each, snap)
        destroy_dataset(state, pool, each, force)


def destroy_datasets(state, options, name):
    pool, relative, one = find(state, name)
    if not relative and "r" not in options and "R" not in options:
        raise Stop(
            f"cannot destroy '{name}': operation does not apply to pools\nuse 'zfs destroy -r {name}' to destroy all "
            f"datasets in the pool\nuse 'zpool destroy {name}' to destroy the pool itself"
        )
    require_writable(pool, f"cannot destroy '{name}'")
    inside = [full(pool, each) for each in children(pool, relative)]
    inside += [
        full(pool, each, s) for each in [relative, *children(pool, relative)] for s in pool["datasets"][each]["snaps"]
    ]
    if inside and "r" not in options and "R" not in options:
        raise Stop(
            f"cannot destroy '{name}': {one['type']} has children\nuse '-r' to destroy the following datasets:\n"
            + "\n".join(inside)
        )
    tree = [relative, *children(pool, relative)]
    outside = [
        full(pool, c)
        for each in tree
        for s in pool["datasets"][each]["snaps"]
        for c in clones_of(pool, each, s)
        if c not in tree
    ]
    if outside and "R" not in options:
        raise Stop(
            f"cannot destroy '{name}': {one['type']} has dependent clones\nuse '-R' to destroy the following datasets:\n"
            + "\n".join(outside)
        )
    held = [full(pool, each, s) for each in tree for s, f in pool["datasets"][each]["snaps"].items() if f["holds"]]
    if held:
        raise Stop("\n".join(held_text(state, one) for one in held))
    if "n" in options:
        return
    if relative:
        destroy_tree(state, pool, relative, "f" in options)
    else:
        for each in [n for n in list(pool["datasets"]) if n and "/" not in n]:
            if each in pool["datasets"]:
                destroy_tree(state, pool, each, "f" in options)
