"""``/proc/mdstat`` and the folders in ``/sys``, as files: written after every command, and read for what was written into them."""

import os

import parts
from lvm_state import HOME
from md_state import PERSONALITIES, action, degraded, here, is_recovering, percent, root, start, working

MDSTAT_WORDS = {"recover": "recovery", "check": "check", "repair": "resync", "resync": "resync"}
KIB = 1024


def kib(array):
    return parts.size_of(array["image"]) // KIB


def heed(state):
    """Act on what somebody wrote into a sync_action."""
    for array in state["arrays"]:
        path = f"{folder(state, array)}/md/sync_action"
        try:
            with open(path) as file:
                word = file.read().strip()
        except FileNotFoundError:
            continue
        if word != array.get("shown_action", word):
            start(state, array, word)


def folder(state, array):
    return f"{root(state, array['host'])}/sys/block/{array['name']}"


def render(tool, state):
    for machine in sorted({*state["machines"], HOME}):
        _stale(state, machine)
        for number, array in enumerate(here(state, machine)):
            _folder(tool, state, array, is_first=number == 0)
        _write(f"{root(state, machine)}/proc/mdstat", mdstat(tool, state, machine))


def _stale(state, machine):
    base, names = f"{root(state, machine)}/sys/block", {array["name"] for array in here(state, machine)}
    for name in os.listdir(base) if os.path.isdir(base) else ():
        if name not in names:
            for place, folders, files in os.walk(f"{base}/{name}", topdown=False):
                for file in files:
                    os.unlink(f"{place}/{file}")
                for one in folders:
                    os.rmdir(f"{place}/{one}")
            os.rmdir(f"{base}/{name}")


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def _folder(tool, state, array, is_first):
    base, md = folder(state, array), f"{folder(state, array)}/md"
    word = action(array)
    if is_first and (told := tool.faults.take("action", "word"))[0] and told[1]:
        word = told[1]
    now_state = array["state"] if not array["read_only"] else "readonly"
    if is_first and (told := tool.faults.take("state", "word"))[0]:
        now_state = told[1]
    sectors = kib(array) * 2
    values = {
        "array_state": now_state, "sync_action": word, "last_sync_action": array["last_action"], "degraded": degraded(array), "mismatch_cnt": array["mismatches"],
        "sync_completed": f"{int(sectors * percent(array) / 100)} / {sectors}" if word != "idle" else "none", "raid_disks": len(array["places"]), "level": "raid1",
        "metadata_version": array["metadata"], "component_size": kib(array), "uuid": _dashed(array["uuid"]), "consistency_policy": "bitmap" if array["bitmap"] else "resync",
    }  # fmt: skip
    for name, value in values.items():
        _write(f"{md}/{name}", f"{value}\n")
    array["shown_action"] = str(word)
    _write(f"{base}/ro", f"{int(array['read_only'])}\n")
    _write(f"{base}/size", f"{sectors}\n")
    _disks(array, md)


def _disks(array, md):
    present = [name for name in array["places"] if name] + array["faulty"] + array["spares"]
    for name in os.listdir(md):
        if name.startswith("dev-") and name[4:] not in present:
            for file in os.listdir(f"{md}/{name}"):
                os.unlink(f"{md}/{name}/{file}")
            os.rmdir(f"{md}/{name}")
    for name in present:
        word = "faulty" if name in array["faulty"] else "in_sync" if name in working(array) else "spare"
        slot = array["places"].index(name) if name in array["places"] else "none"
        for field, value in {"state": word, "slot": slot, "errors": 0, "size": kib(array)}.items():
            _write(f"{md}/dev-{name}/{field}", f"{value}\n")


def _dashed(uuid):
    digits = uuid.replace(":", "")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def mdstat(tool, state, machine):
    lines = [PERSONALITIES]
    for number, array in enumerate(here(state, machine)):
        if number == 0 and tool.faults.take("cat", "drop")[0]:
            continue
        lines += _block(tool, array, is_first=number == 0)
    return "\n".join([*lines, "unused devices: <none>", ""])


def _block(tool, array, is_first):
    names = [name for name in array["places"] if name] + array["faulty"] + array["spares"]
    names.sort(key=lambda name: -array["numbers"].get(name, 0))
    marks = {**dict.fromkeys(array["faulty"], "(F)"), **dict.fromkeys(array["spares"], "(S)")}
    disks = " ".join(f"{name}[{array['numbers'].get(name, 0)}]{marks.get(name, '')}" for name in names)
    good = working(array)
    letters = "".join("U" if name in good else "_" for name in array["places"])
    version = "" if array["metadata"] == "0.90" else f"super {array['metadata']} "
    how = "active (read-only)" if array["read_only"] else "active"
    lines = [f"{array['name']} : {how} raid1 {disks}"]
    lines.append(f"      {kib(array)} blocks {version}[{len(array['places'])}/{len(good)}] [{letters}]")
    kind, word = tool.faults.take("action", "word") if is_first else (None, "")
    if kind and not word:
        lines.append("      \tresync=DELAYED")
    elif action(array) != "idle" or kind:
        lines.append(_bar(array, word or MDSTAT_WORDS[action(array)]))
    if array["bitmap"]:
        return [
            *lines,
            f"      bitmap: {int(is_recovering(array))}/1 pages [{4 * is_recovering(array)}KB], {array['chunk'] // KIB}KB chunk",
            "",
        ]
    return [*lines, "      "]


def _bar(array, word):
    done, whole = percent(array), kib(array)
    filled = int(done / 5)
    return f"      [{'=' * filled}>{'.' * (20 - filled)}]  {word} = {done:4.1f}% ({int(whole * done / 100)}/{whole}) finish=0.1min speed=2048K/sec"
