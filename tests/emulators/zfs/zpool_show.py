"""What `zpool` prints: status, layouts, lists."""

import os

import parts
from zfs_datasets import images, size_of
from zfs_pools import ctime, dhms, here, leaves_of, nicebytes, now
from zpool_vdevs import is_resilvering

OFFLINE_TEXT = """status: One or more devices has been taken offline by the administrator.
\tSufficient replicas exist for the pool to continue functioning in a
\tdegraded state.
action: Online the device using 'zpool online' or replace the device with
\t'zpool replace'."""
RESILVER_TEXT = """status: One or more devices is currently being resilvered.  The pool will
\tcontinue to function, possibly in a degraded state.
action: Wait for the resilver to complete."""
FAULTED_TEXT = """status: One or more devices are faulted in response to persistent errors.
\tSufficient replicas exist for the pool to continue functioning in a
\tdegraded state.
action: Replace the faulted device, or use 'zpool clear' to mark the device
\trepaired."""


def health(pool):
    states = [[leaf["state"] for leaf in vdev["leaves"]] for vdev in pool["vdevs"]]
    if any("ONLINE" not in of for of in states):
        return "UNAVAIL"
    return "ONLINE" if all(set(of) == {"ONLINE"} for of in states) else "DEGRADED"


def vdev_health(vdev):
    states = {leaf["state"] for leaf in vdev["leaves"]}
    return "ONLINE" if states == {"ONLINE"} else "DEGRADED" if "ONLINE" in states else "UNAVAIL"


def leaf_name(leaf, options):
    if "g" in options:
        return leaf["guid"]
    is_device = leaf["path"].startswith("/dev/")
    return os.path.basename(leaf["path"]) if is_device and "P" not in options else leaf["path"]


def rows_of(pool, options, word, is_dropped):
    """``[(depth, name, state, note)]`` of the config table."""
    rows = [(0, here(pool)["name"], health(pool), "")]
    leaves = leaves_of(pool)[:1]
    for vdev in pool["vdevs"]:
        depth = 2
        if len(vdev["leaves"]) > 1:
            rows.append((2, f"mirror-{vdev['id']}", vdev_health(vdev), ""))
            depth = 4
        for leaf in vdev["leaves"]:
            state = word if word and leaf in leaves else leaf["state"]
            tail = "  (resilvering)" if leaf["stale"] and leaf["state"] == "ONLINE" and is_resilvering(pool) else ""
            if not (is_dropped and leaf in leaves):
                rows.append((depth, leaf_name(leaf, options), state, tail))
    return rows


def print_status(state, pool, options, word, is_dropped):
    print(f"  pool: {here(pool)['name']}")
    print(f" state: {health(pool)}")
    states = {leaf["state"] for leaf in leaves_of(pool)}
    if is_resilvering(pool):
        print(RESILVER_TEXT)
    elif "OFFLINE" in states:
        print(OFFLINE_TEXT)
    elif states != {"ONLINE"}:
        print(FAULTED_TEXT)
    print(f"  scan: {word['scan'] or scan_text(state, pool)}")
    print("config:\n")
    rows = rows_of(pool, options, word["word"], is_dropped)
    width = max(10, *(depth + len(name) for depth, name, _, _ in rows))
    print(f"\t{'NAME':<{width}}  {'STATE':<8} {'READ':>5} {'WRITE':>5} {'CKSUM':>5}")
    for depth, name, of, tail in rows:
        print(f"\t{' ' * depth}{name:<{width - depth}}  {of:<8} {0:>5} {0:>5} {0:>5}{tail}")
    print("\nerrors: No known data errors")


def scan_text(state, pool):
    scan = pool["scan"]
    if not scan:
        return "none requested"
    if scan["state"] == "canceled":
        return f"resilver canceled on {ctime(scan['end'])}"
    if scan["state"] == "finished":
        took = dhms(scan["end"] - scan["start"])
        return f"resilvered {nicebytes(scan['moved'])} in {took} with 0 errors on {ctime(scan['end'])}"
    pairs = images(pool)
    moved = sum(pair["moved"] for pair in pairs)
    total = moved + sum(parts.left(pair) * parts.BLOCK for pair in pairs)
    seconds = max(1, int(now(state) - scan["start"]))
    left = parts.left
    percent = 100.0 if sum(map(left, pairs)) <= 1 else 100 * moved / total
    rate = f" at {nicebytes(moved // seconds)}/s" if moved // seconds else ""
    return (
        f"resilver in progress since {ctime(scan['start'])}\n"
        f"\t{nicebytes(total)} / {nicebytes(total)} scanned, {nicebytes(moved)} / {nicebytes(total)} issued{rate}\n"
        f"\t{nicebytes(moved)} resilvered, {percent:.2f}% done, no estimated completion time"
    )


def print_layout(name, leaves):
    print(f"\t{name}")
    for leaf in leaves:
        print(f"\t  {leaf_name(leaf, {})}")
    print()


def print_import(pool):
    print(f"  pool: {pool['name']}")
    print(f"    id: {pool['guid']}")
    tail = " (DESTROYED)" if pool["state"] == "destroyed" else ""
    print(f" state: {health(pool)}{tail}")
    if pool["imported"]:
        print("status: The pool was last accessed by another system.")
        print("action: The pool can be imported using its name or numeric identifier and\n\tthe '-f' flag.")
    else:
        print("action: The pool can be imported using its name or numeric identifier.")
    print("config:\n")
    rows = [(0, pool["name"], health(pool))]
    for vdev in pool["vdevs"]:
        if len(vdev["leaves"]) > 1:
            rows.append((2, f"mirror-{vdev['id']}", vdev_health(vdev)))
        rows += [(4 if len(vdev["leaves"]) > 1 else 2, leaf_name(leaf, {}), leaf["state"]) for leaf in vdev["leaves"]]
    width = max(10, *(depth + len(name) for depth, name, _ in rows))
    for depth, name, of in rows:
        print(f"\t{' ' * depth}{name:<{width - depth}}  {of}")


def list_rows(pools, columns, is_exact):
    rows = []
    for name, pool in pools:
        used = sum(size_of(one) for one in pool["datasets"].values() if one["data"])
        number = str if is_exact else nicebytes
        values = {
            "name": name,
            "guid": pool["guid"],
            "health": health(pool),
            "size": number(10 * 2**30),
            "alloc": number(used),
            "allocated": number(used),
            "free": number(10 * 2**30 - used),
            "altroot": here(pool)["altroot"] or "-",
            "readonly": "on" if here(pool)["readonly"] else "off",
            "cap": "0" if is_exact else "0%",
            "capacity": "0" if is_exact else "0%",
            "frag": "0" if is_exact else "0%",
            "dedup": "1.00x",
        }
        rows.append([values.get(column, "-") for column in columns])
    return rows
