"""The subcommands of `zpool`."""

import time

from zfs_pools import (
    USAGE,
    Stop,
    imported,
    leaves_of,
    options_of,
    pool_of,
    run,
    store,
)
from zpool_disks import attach, detach, labelclear, offline, online, split, wait_for
from zpool_imports import destroy, export, import_
from zpool_show import list_rows, print_status
from zpool_vdevs import (
    advance,
    is_resilvering,
)


def one_pool(words):
    if not words:
        raise Stop("missing pool name argument\nusage: …", USAGE)
    return words[0]


def status(machine, faults, argv):
    options, names = options_of(argv, "DdegiLPpstvx", "cT")
    with machine.locked() as state:
        advance(state, faults)
        pools = [(name, pool_of(state, name)) for name in names if not name.isdigit()] or list(imported(state).items())
        word = {kind: faults.take("status", kind)[1] for kind in ("word", "scan")}
        is_dropped = bool(faults.take("status", "drop")[0])
        if not pools:
            print("no pools available")
        for number, (name, pool) in enumerate(pools):
            if number:
                print()
            if "x" in options and not is_resilvering(pool) and all(one["state"] == "ONLINE" for one in leaves_of(pool)):
                print(f"pool '{name}' is healthy" if names else "all pools are healthy")
                continue
            print_status(state, pool, options, word, is_dropped)


def list_(machine, faults, argv):
    options, names = options_of(argv, "gHLpPv", "oT")
    columns = ",".join(options.get("o", ["name,size,alloc,free,ckpoint,expandsz,frag,cap,dedup,health,altroot"])).split(
        ","
    )
    with machine.locked() as state:
        advance(state, faults)
        pools = [(name, pool_of(state, name)) for name in names] or list(imported(state).items())
        rows = list_rows(pools, columns, "p" in options)
    kind, value = faults.take("pool-list", "word")
    if kind and rows and "health" in columns:
        rows[0][columns.index("health")] = value
    if not rows and "H" not in options:
        print("no pools available")
        return
    if "H" not in options:
        rows.insert(0, [column.upper() for column in columns])
        widths = [max(len(row[n]) for row in rows) for n in range(len(columns))]
        rows = [
            ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()] for row in rows
        ]
    for row in rows:
        print("\t".join(row))


def get(machine, faults, argv):
    options, words = options_of(argv, "Hp", "o")
    if not words:
        raise Stop("missing property argument\nusage: …", USAGE)
    columns = ",".join(options.get("o", ["name,property,value,source"])).split(",")
    with machine.locked() as state:
        advance(state, faults)
        table = []
        for name, pool in [(n, pool_of(state, n)) for n in words[1:]] or list(imported(state).items()):
            for prop in words[0].split(","):
                value = list_rows([(name, pool)], [prop], "p" in options)[0][0]
                cells = {"name": name, "property": prop, "value": value, "source": "-"}
                table.append([cells[column] for column in columns])
    if "H" not in options:
        table.insert(0, [column.upper() for column in columns])
        widths = [max(len(row[n]) for row in table) for n in range(len(columns))]
        table = [
            ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()] for row in table
        ]
    for row in table:
        print("\t".join(row))


def wait(machine, faults, argv):
    options, words = options_of(argv, "Hp", "tT")
    known = {
        "discard",
        "free",
        "initialize",
        "replace",
        "remove",
        "resilver",
        "scrub",
        "trim",
        "raidz_expand",
        "condense",
    }
    for activity in ",".join(options.get("t", ["resilver"])).split(","):
        if activity not in known:
            raise Stop(f"invalid activity '{activity}'\nusage: …", USAGE)
    guid = pool_of(machine.read(), one_pool(words))["guid"]
    if faults.take("wait", "cancelled")[0]:
        return
    if "resilver" in ",".join(options.get("t", ["resilver"])):
        wait_for(machine, faults, guid)


def events(machine, faults, argv):
    options, _ = options_of(argv, "vHfc")
    with machine.locked() as state:
        advance(state, faults)
        if "H" not in options:
            print(f"{'TIME':<30} CLASS")
        for when, cls in state.get("events", []):
            text = time.strftime("%b %d %Y %H:%M:%S", time.localtime(when)) + f".{int(when % 1 * 1e9):09}"
            print(f"{text}{chr(9) if 'H' in options else ' '}{cls}")


def version(machine, faults, argv):
    print("zfs-2.2.2-1\nzfs-kmod-2.2.2-1")


COMMANDS = {
    "status": status,
    "list": list_,
    "get": get,
    "attach": attach,
    "detach": detach,
    "offline": offline,
    "online": online,
    "split": split,
    "labelclear": labelclear,
    "wait": wait,
    "import": import_,
    "export": export,
    "destroy": destroy,
    "events": events,
    "version": version,
}


SHARED = {"list": "pool-list", "get": "pool-get", "destroy": "pool-destroy"}


def main(argv):
    store().note(["zpool", *argv])
    return run(
        argv, COMMANDS, {"--version": "version", "-V": "version"}, lambda name: SHARED.get(name, name), "pool is busy"
    )
