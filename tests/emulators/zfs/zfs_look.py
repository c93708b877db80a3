"""`zfs list` and `zfs get`: what is there, and its properties."""

from zfs_datasets import (
    children,
    clones_of,
    find,
    find_snapshot,
    full,
    mountpoint,
    size_of,
    value_of,
)
from zfs_pools import (
    ERROR,
    OK,
    SETTABLE,
    USAGE,
    VALUES,
    Stop,
    ctime,
    here,
    imported,
    nicebytes,
    options_of,
    say,
)

TYPES = {"fs": "filesystem", "snap": "snapshot", "vol": "volume"}


ALL = ("filesystem", "volume", "snapshot")


LIST_COLUMNS = "name,used,avail,refer,mountpoint"


SHORT = {"avail": "available", "refer": "referenced", "mountpoint": "mountpoint", "rdonly": "readonly"}


HEADERS = {"available": "AVAIL", "referenced": "REFER", "readonly": "RDONLY", "createtxg": "CREATETXG"}


NUMBERS = ("used", "available", "referenced", "volsize", "written")


READ_ONLY = (
    "type",
    "creation",
    "used",
    "available",
    "referenced",
    "volsize",
    "mounted",
    "origin",
    "clones",
    "userrefs",
    "defer_destroy",
    "guid",
    "createtxg",
    "written",
)


OF_SNAPSHOTS = (
    "type",
    "creation",
    "used",
    "referenced",
    "volsize",
    "clones",
    "userrefs",
    "defer_destroy",
    "guid",
    "createtxg",
    "written",
)


FREE_BYTES = 8 * 2**30


def property_of(pool, relative, snap, prop, exact):
    """(value, source) of one property of a dataset or snapshot."""
    one = pool["datasets"][relative]
    thing = one["snaps"][snap] if snap else one
    if prop == "name":
        return full(pool, relative, snap), "-"
    if snap and prop not in OF_SNAPSHOTS and ":" not in prop:
        return "-", "-"
    if prop in ("guid", "createtxg"):
        return str(thing[prop]), "-"
    if prop == "creation":
        return str(thing["creation"]) if exact else ctime(thing["creation"])[:16] + ctime(thing["creation"])[19:], "-"
    if prop == "type":
        return "snapshot" if snap else one["type"], "-"
    if prop in NUMBERS:
        return number_of(one, thing, snap, prop, exact), "-"
    if prop == "mounted":
        return ("yes" if one["mounted"] else "no") if one["type"] == "filesystem" else "-", "-"
    if prop == "origin":
        parent, _, of = one["origin"].partition("@")
        return full(pool, parent, of) if of else "-", "-"
    if prop == "clones":
        return ",".join(full(pool, n) for n in clones_of(pool, relative, snap)) if snap else "-", "-"
    if prop == "userrefs":
        return str(len(thing["holds"])) if snap else "-", "-"
    if prop == "defer_destroy":
        return ("on" if thing["deferred"] else "off") if snap else "-", "-"
    if snap and ":" in prop and prop in thing["props"]:
        return thing["props"][prop], "local"
    return setting_of(pool, relative, prop)


def setting_of(pool, relative, prop):
    kind = pool["datasets"][relative]["type"]
    if prop not in SETTABLE and ":" not in prop:
        raise Stop(f"bad property list: invalid property '{prop}'\nusage: …", USAGE)
    if kind == "volume" and prop in ("mountpoint", "canmount", "atime", "exec", "setuid"):
        return "-", "-"
    if kind == "filesystem" and prop in ("snapdev", "volmode"):
        return value_of(pool, relative, prop)
    if prop == "readonly" and here(pool)["readonly"]:
        return "on", "temporary"
    if prop == "mountpoint" and mountpoint(pool, relative):
        return mountpoint(pool, relative), value_of(pool, relative, prop)[1]
    return value_of(pool, relative, prop)


def number_of(one, thing, snap, prop, exact):
    if prop == "volsize" and one["type"] != "volume":
        return "-"
    if prop == "available":
        number = FREE_BYTES
    elif prop == "written" or (prop == "used" and snap):
        number = 0
    elif one["type"] == "filesystem" and not thing["data"]:
        number = 24576
    else:
        number = size_of(thing)
    return str(number) if exact else nicebytes(number)


def selected(state, names, types, depth):
    """``[(pool, relative, snap)]`` in order, and whether a name was not there."""
    found, is_missing = [], False
    if not names:
        names, depth = list(imported(state)), 999 if depth is None else depth
    for name in names:
        try:
            if "@" in name:
                pool, relative, _, snap = find_snapshot(state, name)
                found.append((pool, relative, snap))
                continue
            pool, relative, _ = find(state, name)
        except Stop as stop:
            say(str(stop))
            is_missing = True
            continue
        levels = (1 if set(types) == {"snapshot"} else 0) if depth is None else depth
        bottom = relative.count("/") + 1 if relative else 0
        for each in [relative, *children(pool, relative)]:
            level = (each.count("/") + 1 if each else 0) - bottom
            if level > levels:
                continue
            if pool["datasets"][each]["type"] in types:
                found.append((pool, each, ""))
            if "snapshot" in types and level < levels:
                snaps = pool["datasets"][each]["snaps"]
                found += [(pool, each, s) for s in sorted(snaps, key=lambda s, of=snaps: (of[s]["createtxg"], s))]
    return found, is_missing


def types_of(options, default):
    if "t" not in options:
        return default
    found = []
    for word in ",".join(options["t"]).split(","):
        kind = TYPES.get(word, word)
        if kind not in (*ALL, "all", "bookmark"):
            raise Stop(f"invalid type '{word}'\nusage: …", USAGE)
        found += ALL if kind == "all" else [kind]
    return tuple(found)


def depth_of(options):
    return 999 if "r" in options else int(options["d"][-1]) if "d" in options else None


def list_(machine, faults, argv):
    options, names = options_of(argv, "Hpr", "dostS")
    columns = [SHORT.get(c, c) for c in ",".join(options.get("o", [LIST_COLUMNS])).split(",")]
    is_exact = "p" in options
    with machine.locked() as state:
        default = ("filesystem", "volume")
        if any("@" in name for name in names) and "t" not in options:
            default = ALL
        rows, is_missing = selected(state, names, types_of(options, default), depth_of(options))
        if "s" in options and options["s"] == ["creation"]:
            rows.sort(key=lambda row: int(property_of(*row, "creation", True)[0]))
        table = [[property_of(*row, column, is_exact)[0] for column in columns] for row in rows]
    table = spoiled(faults, "list", table)
    if "H" in options:
        for row in table:
            print("\t".join(row))
    elif table:
        headers = [HEADERS.get(column, column.upper()) for column in columns]
        widths = [max(len(row[n]) for row in [headers, *table]) for n in range(len(columns))]
        for row in [headers, *table]:
            cells = [
                cell.rjust(width) if column in NUMBERS else cell if n == len(row) - 1 else cell.ljust(width)
                for n, (cell, width, column) in enumerate(zip(row, widths, columns, strict=True))
            ]
            print("  ".join(cells))
    elif not is_missing:
        say("no datasets available")
    return ERROR if is_missing else OK


def spoiled(faults, word, table):
    kind, value = faults.take(word, "word", "drop")
    if kind == "word" and table:
        table[0][-1] = value
    return table[1:] if kind == "drop" else table


def get(machine, faults, argv):
    options, words = options_of(argv, "Hpr", "dost")
    if not words:
        raise Stop("missing property=value argument\nusage: …", USAGE)
    columns = ",".join(options.get("o", ["name,property,value,source"])).split(",")
    wanted, names = words[0].split(","), words[1:]
    with machine.locked() as state:
        default = ALL if any("@" in name for name in names) else ("filesystem", "volume")
        rows, is_missing = selected(state, names, types_of(options, default), depth_of(options))
        table = []
        for pool, relative, snap in rows:
            thing = pool["datasets"][relative]
            own = thing["snaps"][snap]["props"] if snap else thing["props"]
            every = [*READ_ONLY, *SETTABLE, *sorted(p for p in own if ":" in p)] if wanted == ["all"] else wanted
            for prop in every:
                value, source = property_of(pool, relative, snap, prop, "p" in options)
                cells = {"name": full(pool, relative, snap), "property": prop, "value": value, "source": source}
                if wanted != ["all"] or value != "-":
                    table.append([cells[column] for column in columns])
    table = spoiled(faults, "get", table)
    if "H" not in options and table:
        table.insert(0, [column.upper() for column in columns])
        widths = [max(len(row[n]) for row in table) for n in range(len(columns))]
        table = [
            ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()] for row in table
        ]
    for row in table:
        print("\t".join(row))
    return ERROR if is_missing else OK


def properties(values, what):
    found = {}
    for word in values:
        prop, equals, value = word.partition("=")
        if not equals:
            raise Stop("missing '=' for property=value argument\nusage: …", USAGE)
        if prop in READ_ONLY:
            raise Stop(f"{what}: '{prop}' is readonly")
        if prop not in SETTABLE and ":" not in prop:
            raise Stop(f"{what}: invalid property '{prop}'")
        if prop in VALUES and value not in VALUES[prop]:
            raise Stop(f"{what}: '{prop}' must be one of '{' | '.join(VALUES[prop])}'")
        if prop == "mountpoint" and value not in ("none", "legacy") and not value.startswith("/"):
            raise Stop(f"{what}: '{prop}' must be an absolute path, 'none', or 'legacy'")
        found[prop] = value
    return found
