"""Manage mode: ``--fail``, ``--remove``, ``--re-add``, ``--add``, in the order in which they are given."""

import sys

from lvm_ask import Stop
from md_state import come_back, disk_of, disk_path, fill, find, here, is_recovering, leave, working

SPELT = {"-f": "fail", "--fail": "fail", "--set-faulty": "fail", "-r": "remove", "--remove": "remove", "--re-add": "re-add", "-a": "add", "--add": "add",
         "--add-spare": "add"}  # fmt: skip


def manage(tool, path, steps, is_test):
    """`steps`: ``(word, disk)`` each. Exit code: 2 with --test when nothing changed."""
    changed, busy = False, False
    with tool.state() as state:
        if find(state, tool.machine, path) is None:
            raise Stop(1, f"mdadm: error opening {path}: No such file or directory")
    for word, disk in steps:
        if tool.suffer(word):
            continue
        with tool.state() as state:
            array = find(state, tool.machine, path)
            tool.about(array["name"])
            if word == "remove" and disk in ("faulty", "failed", "detached"):
                changed |= _remove_all(tool, state, array, disk)
                continue
            busy = _STEPS[word](tool, state, array, path, disk, busy)
            changed = True
        if tool.refusal:
            raise tool.refusal
        if word == "fail":
            tool.faults.half_way("fail")
    return 2 if is_test and not changed else 0


def say(line):
    print(line, file=sys.stderr)


def _fail(tool, state, array, path, disk, _):
    name = _short(state, tool, disk)
    if name is None:
        raise Stop(1, f"mdadm: stat failed for {disk}: No such file or directory")
    if name not in array["faulty"]:
        if name not in array["places"]:
            raise Stop(1, f"mdadm: set device faulty failed for {disk}:  No such device")
        if working(array) == [name]:
            array["state"] = "broken"
            tool.refusal = Stop(2, f"mdadm: set device faulty failed for {disk}:  Device or resource busy")
            return False
        was_busy = is_recovering(array) or bool(array["action"])
        if not leave(state, array, name):
            raise Stop(1, f"mdadm: set device faulty failed for {disk}:  Device or resource busy")
        array["stuck"] = None
        say(f"mdadm: set {disk} faulty in {path}")
        return was_busy
    say(f"mdadm: set {disk} faulty in {path}")
    return False


def _short(state, tool, disk):
    return disk if disk in state["disks"] else disk_of(state, tool.machine, disk)


def _remove(tool, state, array, path, disk, busy):
    name = _short(state, tool, disk)
    if name in array["places"] or busy or tool.faults.take("remove", "busy-now")[0]:
        raise Stop(1, f"mdadm: hot remove failed for {disk}: Device or resource busy")
    for held in (array["faulty"], array["spares"]):
        if name in held:
            held.remove(name)
            array["events"] += 1
            say(f"mdadm: hot removed {disk} from {path}")
            return False
    raise Stop(1, f"mdadm: hot remove failed for {disk}: No such device or address")


def _remove_all(tool, state, array, which):
    gone = list(array["faulty"]) if which != "detached" else []
    for name in gone:
        array["faulty"].remove(name)
        say(f"mdadm: hot removed {disk_path(state, tool.machine, name)} from {array['name']}")
    return bool(gone)


def _is_busy(tool, state, name):
    return any(name in one["places"] or name in one["spares"] for one in here(state, tool.machine))


def _may_come_back(tool, state, array, name):
    block = state["disks"][name]["superblock"]
    if not block or block["uuid"] != array["uuid"] or array["places"][block["role"]] is not None:
        return False
    is_whole = name != array["leg"] or "base" in array["pair"]
    is_known = array["bitmap"] and block["events"] >= array["bitmap_since"] and is_whole
    return is_known and not tool.faults.take("re-add", "stale")[0]


def _re_add(tool, state, array, path, disk, _):
    name = _short(state, tool, disk)
    if name is None:
        raise Stop(1, f"mdadm: Cannot find {disk}: No such file or directory")
    if _is_busy(tool, state, name):
        raise Stop(1, f"mdadm: Cannot open {disk}: Device or resource busy")
    if not _may_come_back(tool, state, array, name):
        raise Stop(1, f"mdadm: --re-add for {disk} to {path} is not possible")
    was_listed = name in array["faulty"]
    if was_listed:
        array["faulty"].remove(name)
    come_back(state, array, name)
    array["events"] += 1
    say(f"mdadm: re-add {disk} to {array['name']} succeed" if was_listed else f"mdadm: re-added {disk}")
    return False


def _add(tool, state, array, path, disk, _):
    name = _short(state, tool, disk)
    if name is None:
        raise Stop(1, f"mdadm: Cannot find {disk}: No such file or directory")
    if _is_busy(tool, state, name) or name in array["faulty"]:
        raise Stop(1, f"mdadm: Cannot open {disk}: Device or resource busy")
    if _may_come_back(tool, state, array, name):
        return _re_add(tool, state, array, path, disk, _)
    if None in array["places"]:
        fill(state, array, name)
    else:
        array["spares"].append(name)
        array["numbers"][name] = max(array["numbers"].values()) + 1
    array["events"] += 1
    say(f"mdadm: added {disk}")
    return False


_STEPS = {"fail": _fail, "remove": _remove, "re-add": _re_add, "add": _add}
