"""``lvs``, ``vgs``, ``pvs``: which rows and fields, as text or JSON."""

import json
import re

from lvm_ask import Stop, not_modelled, one
from lvm_fields import DEFAULT, HEADS, KINDS, NUMBERS, REAL_TOO, SIZES
from lvm_rows import Look
from lvm_state import copies, missing, visible

LVS = {"-a!": 0, "-a": 0, "--all": 0, "-o": 1, "--options": 1, "-S": 1, "--select": 1, "-O": 1, "--sort": 1, "--segments": 0, "--aligned": 0, "--binary": 0,
       "--noheadings": 0, "--nosuffix": 0, "--nameprefixes": 0, "--unquoted": 0, "--reportformat": 1, "--separator": 1, "--units": 1, "--rows": 0,
       "--unbuffered": 0, "--foreign": 0, "--shared": 0}  # fmt: skip


def report(tool, name, options, words):
    """One of the three, with what goes wrong in it."""
    if (form := one(options, "--reportformat", "basic")) not in ("basic", "json"):
        raise Stop(3, f"  Invalid argument for --reportformat: {form}", "  Error during parsing of command line.")
    for refused in ("--rows", "--binary", "--segments"):
        if refused in options:
            raise not_modelled(refused)
    columns = fields(name, one(options, "-o"))
    with tool.state() as state:
        look = Look(tool.store, state, tool.machine)
        rows, faults = chosen(tool, name, look, options, words)
    if rows and name == "lvs":
        _lie(tool, rows)
    rows = [row for row in rows if _selected(row, name, one(options, "-S"))]
    (as_json if form == "json" else as_text)(name, columns, rows, options)
    if faults:
        raise Stop(5, *faults)
    return 0


def _lie(tool, rows):
    kind, word = tool.faults.take("lvs", "attr", "action", "percent")
    if kind:
        rows[0].update(
            {
                "attr": {"lv_attr": word},
                "action": {"raid_sync_action": word},
                "percent": {"sync_percent": word, "copy_percent": word},
            }[kind]
        )
    if tool.faults.take("lvs", "drop")[0]:
        gone = rows[0]["lv_name"]
        rows[:] = [row for row in rows if not row["lv_name"].strip("[]").startswith(gone)]
    if tool.faults.take("lvs", "early")[0]:
        for row in rows:
            if row.get("raid_sync_action") in ("recover", "resync"):
                row.update(sync_percent="100.00", copy_percent="100.00", raid_sync_action="idle")
            elif row.get("lv_attr", "").startswith("Iwi-a"):
                row.update(lv_attr="i" + row["lv_attr"][1:], lv_image_synced="image synced")


def fields(name, text):
    """The fields that ``-o`` asks for, by their full names."""
    known, prefix = KINDS[name]
    wanted = [] if text and not text.startswith("+") else list(DEFAULT[name])
    for word in (text or "").lstrip("+").split(","):
        full = next((one for one in (word, prefix + word, "vg_" + word) if one in known), None)
        if full:
            wanted.append(full)
        elif word in REAL_TOO or prefix + word in REAL_TOO:
            raise not_modelled(f"field {word}")
        elif word:
            raise Stop(
                5,
                "  Logical Volume Fields",
                "  ---------------------",
                *(f"    {one}" for one in known),
                "   ",
                f"  Unrecognised field: {word}",
            )
    return wanted


def chosen(tool, name, look, options, words):
    """The rows that are meant, and what there is to say about words that mean nothing."""
    groups, faults = visible(look.state, look.machine), []
    for group in groups.values():
        if not words or name == "pvs" or group["name"] in (name_of(word)[0] for word in words):
            tool.warn(look.state, group)
    for copy in copies(look.state, look.machine):
        tool.warn_of_copy(look.state, copy)
    if name == "vgs":
        wanted = words or sorted(groups)
        faults = [line for one in wanted if one not in groups for line in not_found(one)]
        return [look.group(groups[one]) for one in wanted if one in groups], faults
    if name == "pvs":
        rows = [row for one in sorted(groups) for row in look.disks(groups[one])]
        faults = [
            f"  Cannot use {one}: device not found" for one in words if one not in [row["pv_name"] for row in rows]
        ]
        return [row for row in rows if not words or row["pv_name"] in words], faults
    return _volumes(look, groups, options, words)


def _volumes(look, groups, options, words):
    rows, faults = [], []
    for word in words or sorted(groups):
        if word.startswith("@"):
            rows += [
                row for group in groups.values() for row in look.volumes(group) if word[1:] in row["lv_tags"].split(",")
            ]
            continue
        name, volume = name_of(word)
        if name not in groups:
            faults += not_found(name)
        elif groups[name]["exported"]:
            faults.append(f"  Volume group {name} is exported")
        else:
            shown = [
                row
                for row in look.volumes(groups[name])
                if "-a" in options or "-a!" in options or not look.is_hidden(row)
            ]
            found = [row for row in shown if volume in ("", row["lv_name"].strip("[]"))]
            rows += found
            faults += [f'  Failed to find logical volume "{name}/{volume}"'] if volume and not found else []
    return rows, faults


def name_of(word):
    """``(group, volume)`` of ``group``, ``group/volume`` or a path under /dev."""
    pieces = word.rstrip("/").split("/")
    return (pieces[-2], pieces[-1]) if len(pieces) > 1 else (word, "")


def not_found(name):
    return [f'  Volume group "{name}" not found', f"  Cannot process volume group {name}"]


def _selected(row, name, text):
    if not text:
        return True
    for part in re.split(r"&&|,", text):
        match = re.fullmatch(r"\s*(\w+)\s*(=~|!=|=)\s*\"?([^\"]*)\"?\s*", part)
        if not match:
            raise not_modelled(f"selection {text}")
        (field,) = fields(name, match[1])
        value = row[field].strip("[]") if field == "lv_name" else str(row[field])
        is_so = (
            bool(re.search(match[3], value))
            if match[2] == "=~"
            else match[3] in ([value, *value.split(",")] if field in ("lv_tags", "lv_role", "vg_tags") else [value])
        )
        if is_so == (match[2] == "!="):
            return False
    return True


# ---- output ----


def text_of(field, value, options):
    if field not in SIZES:
        return value
    unit, suffix = one(options, "--units", "r")[0], "" if "--nosuffix" in options else None
    scale = {"b": 1, "s": 512, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    if unit in ("b", "s"):
        return f"{value // scale[unit]}{suffix if suffix is not None else unit.upper()}"
    if unit in ("r", "h"):
        unit = next((one for one in "tgmk" if value >= scale[one]), "k")
    return "0 " if not value else f"{value / scale[unit]:.2f}{suffix if suffix is not None else unit}"


def as_json(name, columns, rows, options):
    top = {"lvs": "lv", "vgs": "vg", "pvs": "pv"}[name]
    lines = [
        "{"
        + ", ".join(f"{json.dumps(field)}:{json.dumps(text_of(field, row[field], options))}" for field in columns)
        + "}"
        for row in rows
    ]
    body = ",\n".join(f"                  {line}" for line in lines)
    print(f'  {{\n      "report": [\n          {{\n              "{top}": [')
    print(body + ("\n" if body else "") + "              ]\n          }\n      ]\n  }")


def as_text(name, columns, rows, options):
    separator = one(options, "--separator", " ")
    table = [[text_of(field, row[field], options) for field in columns] for row in rows]
    if "--nameprefixes" in options:
        quote = "" if "--unquoted" in options else "'"
        table = [
            [f"LVM2_{field.upper()}={quote}{value}{quote}" for field, value in zip(columns, line, strict=True)]
            for line in table
        ]
    if rows and "--noheadings" not in options:
        table.insert(0, [HEADS[field] for field in columns])
    is_aligned = "--separator" not in options or "--aligned" in options
    widths = [max(len(line[n]) for line in table) for n in range(len(columns))] if table else []
    for line in table:
        if is_aligned:
            line = [
                value.rjust(width) if field in NUMBERS else value.ljust(width)
                for value, width, field in zip(line, widths, columns, strict=True)
            ]
        print("  " + separator.join(line))


def warnings(state, group, machine):
    """What is said of a group some disks of which are not here."""
    gone = missing(group, machine)
    lines = [f"  WARNING: Couldn't find device with uuid {disk['uuid']}." for disk in gone]
    return lines + [
        f"  WARNING: VG {group['name']} is missing PV {disk['uuid']} (last written to {state['devices']}/{disk['name']})."
        for disk in gone
    ]


def copy_warnings(state, group, machine):
    lines = []
    original = visible(state, machine)[group["name"]]
    for copied, disk in zip(group["disks"].values(), original["disks"].values(), strict=True):
        path = copied["path"] or f"{state['devices']}/{copied['name']}"
        lines.append(f"  WARNING: Not using device {path} for PV {disk['uuid']}.")
        lines.append(
            f"  WARNING: PV {disk['uuid']} prefers device {state['devices']}/{disk['name']} because device is used by LV."
        )
    return lines
