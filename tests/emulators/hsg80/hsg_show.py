"""What SHOW says."""

import re

import parts
from hsg_language import KINDS, keyword
from hsg_machine import FAILEDSET, NORMAL, NORMALIZING, SPARESET, Stop, blocks_of, images, is_container, owner

RULE = "-" * 78
SETS = f"{'Name':<14}{'Storageset':<31}{'Uses':<17}Used by"
DEVICES = f"{'Name':<13}{'Type':<26}Port Targ  Lun{'Used by':>23}"
UNITS = f"    {'LUN':<41}{'Uses':<17}Used by"


def show(state, words, twist):
    """Lines. `twist`: what a fault makes of members, ``{"word": W, "drop": True}``."""
    if not words:
        raise Stop("what to show is missing")
    full = len(words) > 1 and "FULL".startswith(words[-1])
    words = words[:-1] if full else words
    if len(words) == 1 and (is_container(state, words[0]) or words[0] in state["units"]):
        return one(state, words[0], twist)
    kind = keyword(words[0], KINDS)
    if len(words) == 2 and kind == "MIRRORSETS" and words[1] in state["mirrorsets"]:
        return one(state, words[1], twist)
    if len(words) > 1:
        raise Stop(f"{words[1]} is not known here")
    if kind.endswith("_CONTROLLER"):
        return ["Controller:", "        HSG80 ZG00000000 Software V84F-0, Hardware E03"]
    if kind in (FAILEDSET, SPARESET):
        return simple_set(state, kind)
    return listing(state, kind, full, twist)


def listing(state, kind, full, twist):
    if kind == "UNITS":
        rows = [line for name in sorted(state["units"]) for line in unit(state, name, full)]
        return [UNITS, RULE, "", *rows]
    if kind in ("DISKS", "DEVICES"):
        return [DEVICES, RULE, "", *(line for name in sorted(state["disks"]) for line in disk(state, name, full))]
    rows = []
    if kind in ("STORAGESETS", "MIRRORSETS"):
        rows += [line for name in sorted(state["mirrorsets"]) for line in mirrorset(state, name, full, twist)]
    if kind in ("STORAGESETS", "STRIPESETS"):
        rows += [line for name in sorted(state["stripesets"]) for line in stripeset(state, name, full)]
    if kind == "STORAGESETS":
        rows += [line for name in (SPARESET, FAILEDSET) for line in simple_set(state, name)[3:]]
    return [SETS, RULE, "", *rows]


def one(state, name, twist):
    if name in state["units"]:
        return [UNITS, RULE, "", *unit(state, name, True)]
    if name in state["disks"]:
        return [DEVICES, RULE, "", *disk(state, name, True)]
    if name in state["mirrorsets"]:
        return [SETS, RULE, "", *mirrorset(state, name, True, twist)]
    return [SETS, RULE, "", *stripeset(state, name, True)]


def uses(name, kind, members, above):
    members = members or [""]
    lines = [f"{name:<14}{kind:<31}{members[0]:<17}{above}".rstrip()]
    return lines + [f"{'':<45}{member}" for member in members[1:]]


def simple_set(state, kind):
    return [SETS, RULE, "", *uses(kind, kind.lower(), state[kind.lower()], "")]


def mirrorset(state, name, full, twist):
    this = state["mirrorsets"][name]
    members = list(this["members"])
    if twist.get("drop"):
        members = members[:-1]
    lines = uses(name, "mirrorset", [member["disk"] for member in members], owner(state, name))
    if not full:
        return lines
    policy = f"POLICY (for replacement) = {this['policy']}" if this["policy"] else "NOPOLICY (for replacement)"
    lines += [
        "        Switches:",
        f"          {policy}",
        f"          COPY (priority) = {this['copy']}",
        f"          READ_SOURCE = {this['read']}",
        f"          MEMBERSHIP = {this['nominal']}, {len(members)} members present",
        "        State:",
        f"          {'NORMAL' if len(members) >= this['nominal'] else 'REDUCED'}",
    ]
    for number, member in enumerate(members):
        word = member_words(state, member)
        if twist.get("word") and member is members[-1]:
            word = twist["word"]
        lines.append(f"          {member['disk']}  (member {number}) is {word}")
    return [*lines, f"        Size:             {blocks_of(state, name)} blocks"]


def member_words(state, member):
    if member["word"] == NORMAL:
        return "NORMAL"
    settings, pair = state["settings"], state["disks"][member["disk"]]["pair"]
    word = "NORMALIZING" if member["word"] == NORMALIZING else settings["copy_word"]
    return word if settings["no_percent"] else f"{word} ({parts.percent(pair):3d}% complete)"


def stripeset(state, name, full):
    this = state["stripesets"][name]
    lines = uses(name, "stripeset", this["members"], owner(state, name))
    if full:
        lines += ["        Switches:", "          CHUNKSIZE = 256 blocks", "        State:"]
        lines += [f"          {'NORMAL' if this['ready'] else 'UNINITIALIZED'}"]
        for number, member in enumerate(this["members"]):
            lines.append(f"          {member}  (member {number}) is NORMAL")
        blocks = sum(parts.size_of(image) // 512 for image, _ in images(state, name))
        lines += [f"        Size:             {blocks} blocks"]
    return lines


def disk(state, name, full):
    digits = re.sub(r"\D", "", name).rjust(5, "0")
    port, target, lun = int(digits[-5]), int(digits[-4:-2]), int(digits[-2:])
    lines = [f"{name:<13}{'disk':<25}{port:>5}{target:>5}{lun:>5}{'':<16}{owner(state, name)}".rstrip()]
    if full:
        lines += ["          DEC      RZ1CB-CA (C) DEC LYJ0", "        Switches:", "          NOTRANSPORTABLE"]
        lines += [f"        Size:             {blocks_of(state, name)} blocks"]
    return lines


def unit(state, name, full):
    this = state["units"][name]
    lines = [f"  {name:<43}{this['container']}"]
    if full:
        words = {word.removeprefix("NO"): word for word in ("NOWRITE_PROTECT", "READ_CACHE", "WRITEBACK_CACHE")}
        words |= {word.removeprefix("NO"): word for word in this["switches"]}
        lines += ["        LUN ID:      6000-1FE1-0000-0001-0009-0000-0000-" + name[1:].rjust(4, "0")]
        lines += ["        Switches:", "          " + "  ".join(["RUN" if this["run"] else "NORUN", *words.values()])]
        lines += ["        Access:", *(f"                {host}" for host in this["access"] or ["NONE"])]
        lines += ["        State:", "          ONLINE to this controller" if this["run"] else "          NORUN"]
        blocks = sum(parts.size_of(image) // 512 for image, _ in images(state, this["container"]))
        lines += [f"        Size:             {blocks} blocks"]
    return lines
