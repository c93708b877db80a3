"""`zfs hold`, `release` and `holds`."""

from zfs_datasets import (
    children,
    clones_of,
    destroy_snapshot,
    find,
    full,
)
from zfs_look import spoiled
from zfs_pools import (
    ERROR,
    OK,
    USAGE,
    Stop,
    ctime,
    now,
    options_of,
    say,
)


def each_snapshot(state, names, is_recursive):
    """``(name, pool, relative, snap or None)``; None where the snapshot is not there. Errors are said."""
    for name in names:
        dataset, at, snap = name.partition("@")
        if not at:
            say(f"'{name}' is not a snapshot")
            yield name, None, "", None
            continue
        try:
            pool, relative, _ = find(state, dataset)
        except Stop as stop:
            say(str(stop))
            yield name, None, "", None
            continue
        tree = [relative, *(children(pool, relative) if is_recursive else [])]
        having = [each for each in tree if snap in pool["datasets"][each]["snaps"]]
        for each in having:
            yield full(pool, each, snap), pool, each, snap
        if not having:
            yield name, pool, relative, None


def hold(machine, faults, argv):
    options, words = options_of(argv, "r")
    if len(words) < 2:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    tag, is_bad, wanted = words[0], False, []
    with machine.locked() as state:
        for name, pool, relative, snap in each_snapshot(state, words[1:], "r" in options):
            if pool is None or snap is None:
                if pool is not None:
                    say(f"cannot hold snapshot '{name}': dataset does not exist")
                is_bad = True
            elif tag in pool["datasets"][relative]["snaps"][snap]["holds"]:
                say(f"cannot hold snapshot '{name}': tag already exists on this dataset")
                is_bad = True
            else:
                wanted.append((pool, relative, snap))
        for pool, relative, snap in wanted:
            pool["datasets"][relative]["snaps"][snap]["holds"][tag] = int(now(state))
    return ERROR if is_bad else OK


def release(machine, faults, argv):
    options, words = options_of(argv, "r")
    if len(words) < 2:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    tag, is_bad = words[0], False
    with machine.locked() as state:
        for name, pool, relative, snap in each_snapshot(state, words[1:], "r" in options):
            if pool is None:
                is_bad = True
            elif snap is None or tag not in pool["datasets"][relative]["snaps"][snap]["holds"]:
                why = "dataset does not exist" if snap is None else "no such tag on this dataset"
                say(f"cannot release hold from snapshot '{name}': {why}")
                is_bad = True
            else:
                found = pool["datasets"][relative]["snaps"][snap]
                del found["holds"][tag]
                if found["deferred"] and not found["holds"] and not clones_of(pool, relative, snap):
                    destroy_snapshot(pool, relative, snap)
    return ERROR if is_bad else OK


def holds(machine, faults, argv):
    options, names = options_of(argv, "rHp")
    if not names:
        raise Stop("missing dataset argument\nusage: …", USAGE)
    rows, is_bad = [], False
    with machine.locked() as state:
        for name, pool, relative, snap in each_snapshot(state, names, "r" in options):
            if pool is None or snap is None:
                if pool is not None:
                    say(f"cannot open '{name}': dataset does not exist")
                is_bad = True
                continue
            for tag, when in sorted(pool["datasets"][relative]["snaps"][snap]["holds"].items()):
                rows.append([name, tag, str(when) if "p" in options else ctime(when)[:16] + ctime(when)[19:]])
    rows = spoiled(faults, "holds", rows)
    if "H" in options:
        for row in rows:
            print("\t".join(row))
    else:
        rows.insert(0, ["NAME", "TAG", "TIMESTAMP"])
        widths = [max(len(row[n]) for row in rows) for n in range(3)]
        for row in rows:
            print(f"{row[0].ljust(widths[0])}  {row[1].ljust(widths[1])}  {row[2]}")
    return ERROR if is_bad else OK
