"""``--detail``, ``--examine``, ``--query``: for people, and as ``KEY=value``."""

import time

import parts
from md_files import kib
from md_state import degraded, disk_path, here, is_recovering, percent, working

MIB, MB, NUMBER = 2**20, 10**6, "   {:>5}   {:>5}    {:>5}    {:>5}      {}"


def when(state):
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(parts.now(state)))


def sizes(array):
    whole = kib(array) * 1024
    return f"{kib(array)} ({whole / MIB:.2f} MiB {whole / MB:.2f} MB)"


def state_line(tool, array):
    kind, word = tool.faults.take("state", "word")
    if kind:
        return word
    words = [array["state"] if array["state"] != "broken" else "broken", *(["degraded"] if degraded(array) else [])]
    return ", ".join(
        words + (["recovering"] if is_recovering(array) else []) + (["checking"] if array["action"] else [])
    )


def detail(tool, state, machine, array):
    total = len([name for name in array["places"] if name]) + len(array["faulty"]) + len(array["spares"])
    head = [f"{disk_path(state, machine, array['name'])}:", f"           Version : {array['metadata']}", f"     Creation Time : {when(state)}", "        Raid Level : raid1",
            f"        Array Size : {sizes(array)}", f"     Used Dev Size : {sizes(array)}", f"      Raid Devices : {len(array['places'])}", f"     Total Devices : {total}",
            "       Persistence : Superblock is persistent", ""]  # fmt: skip
    if array["bitmap"]:
        head += ["     Intent Bitmap : Internal", ""]
    head += [f"       Update Time : {when(state)}", f"             State : {state_line(tool, array)} ", f"    Active Devices : {len(working(array))}",
             f"   Working Devices : {total - len(array['faulty'])}", f"    Failed Devices : {len(array['faulty'])}", f"     Spare Devices : {len(array['spares']) + is_recovering(array)}",
             "", f"Consistency Policy : {'bitmap' if array['bitmap'] else 'resync'}", ""]  # fmt: skip
    if is_recovering(array):
        head += [f"    Rebuild Status : {int(percent(array))}% complete", ""]
    if array["action"]:
        head += [f"      Check Status : {int(percent(array))}% complete", ""]
    head += [
        f"              Name : {array['origin']}:{array['number']}",
        f"              UUID : {array['uuid']}",
        f"            Events : {array['events']}",
        "",
    ]
    return "\n".join([*head, "    Number   Major   Minor   RaidDevice State", *_rows(tool, state, machine, array)])


def _rows(tool, state, machine, array):
    def path(name):
        return disk_path(state, machine, name)

    rows = []
    for slot, name in enumerate(array["places"]):
        if name is None:
            rows.append(NUMBER.format("-", 0, 0, slot, "removed"))
        elif name == array["leg"] and tool.faults.take("detail", "drop")[0]:
            continue
        else:
            word = "active sync" if name in working(array) else "spare rebuilding"
            rows.append(
                NUMBER.format(
                    array["numbers"][name], 8, 16 * (ord(name[-1]) - ord("a")), slot, f"{word}   {path(name)}"
                )
            )
    others = [(name, "faulty") for name in array["faulty"]] + [(name, "spare") for name in array["spares"]]
    if others:
        rows.append("")
    return rows + [
        NUMBER.format(array["numbers"].get(name, 0), 8, 16, "-", f"{word}   {path(name)}") for name, word in others
    ]


def export(state, machine, array):
    lines = [
        "MD_LEVEL=raid1",
        f"MD_DEVICES={len(array['places'])}",
        f"MD_METADATA={array['metadata']}",
        f"MD_UUID={array['uuid']}",
        f"MD_NAME={array['origin']}:{array['number']}",
    ]
    names = [name for name in array["places"] if name] + array["faulty"] + array["spares"]
    for name in names:
        path = disk_path(state, machine, name)
        key = path.lstrip("/").replace("/", "_").replace("-", "_").replace(".", "_").replace("@", "_")
        role = array["places"].index(name) if name in array["places"] else "spare"
        lines += [f"MD_DEVICE_{key}_ROLE={role}", f"MD_DEVICE_{key}_DEV={path}"]
    return "\n".join(lines)


def scan(state, machine):
    return [
        f"ARRAY {disk_path(state, machine, one['name'])} metadata={one['metadata']} name={one['origin']}:{one['number']} UUID={one['uuid']}"
        for one in here(state, machine)
    ]


def examine(state, machine, name, array):
    block = state["disks"][name]["superblock"]
    letters = "".join("A" if one else "." for one in array["places"]) if array else "A."
    own = [f"{disk_path(state, machine, name)}:", "          Magic : a92b4efc", f"        Version : {array['metadata']}", f"    Feature Map : 0x{int(array['bitmap'])}",
           f"     Array UUID : {block['uuid']}", f"           Name : {array['origin']}:{array['number']}", f"  Creation Time : {when(state)}", "     Raid Level : raid1",
           f"   Raid Devices : {len(array['places'])}", "", f" Avail Dev Size : {kib(array) * 2} sectors ({kib(array) / 1024:.2f} MiB)", f"     Array Size : {kib(array)} KiB",
           "    Data Offset : 2048 sectors", "   Super Offset : 8 sectors", "          State : clean", f"    Device UUID : {state['disks'][name]['uuid']}", ""]  # fmt: skip
    if array["bitmap"]:
        own.append("Internal Bitmap : 8 sectors from superblock")
    own += [f"    Update Time : {when(state)}", "       Checksum : 1d7be56c - correct", f"         Events : {block['events']}", "", "",
            f"   Device Role : Active device {block['role']}", f"   Array State : {letters} ('A' == active, '.' == missing, 'R' == replacing)"]  # fmt: skip
    return "\n".join(own)


def examine_export(state, name, array):
    block = state["disks"][name]["superblock"]
    lines = [
        "MD_LEVEL=raid1",
        f"MD_DEVICES={len(array['places'])}",
        f"MD_NAME={array['origin']}:{array['number']}",
        f"MD_ARRAY_SIZE={kib(array) * 1024 / MB:.2f}MB",
    ]
    lines += [
        f"MD_UUID={block['uuid']}",
        f"MD_UPDATE_TIME={int(parts.now(state))}",
        f"MD_DEV_UUID={state['disks'][name]['uuid']}",
        f"MD_EVENTS={block['events']}",
    ]
    return "\n".join(lines)


def brief(array, name):
    return f"ARRAY /dev/md/{array['number']}  metadata={array['metadata']} UUID={array['uuid']} name={array['origin']}:{array['number']}"


def query(state, machine, array):
    return f"{disk_path(state, machine, array['name'])}: {kib(array) / 1024:.2f}MiB raid1 {len(array['places'])} devices, {len(array['spares'])} spares. Use mdadm --detail for more detail."
