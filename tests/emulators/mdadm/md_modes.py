"""The other modes: wait, grow, assemble, stop, look, and what changes a running array."""

import re
import time

import md_show
from lvm_ask import Stop, not_modelled
from md_manage import say
from md_state import action, degraded, disk_of, disk_path, find, here, in_use, new_array, root, start, working

POLL_SECONDS = 0.05


def array_at(tool, state, path, sentence="mdadm: error opening {}: No such file or directory", code=1):
    array = find(state, tool.machine, path)
    if array is None:
        raise Stop(code, sentence.format(path))
    tool.about(array["name"])
    return array


def detail(tool, words, options):
    if tool.suffer("detail"):
        return 0
    with tool.state() as state:
        if "--scan" in options:
            for line in md_show.scan(state, tool.machine):
                print(line)
            return 0
        code = 0
        for path in words:
            if disk_of(state, tool.machine, path):
                raise Stop(1, f"mdadm: {path} does not appear to be an md device")
            array = array_at(
                tool, state, path, "mdadm: cannot open {}: No such file or directory", 4 if "--test" in options else 1
            )
            print(
                md_show.export(state, tool.machine, array)
                if "--export" in options
                else md_show.detail(tool, state, tool.machine, array)
            )
            if "--test" in options:
                code = max(code, 2 if not working(array) else int(bool(degraded(array))))
    return code


def examine(tool, words, options):
    if tool.suffer("examine"):
        return 0
    with tool.state() as state:
        names = (
            [name for name in state["disks"] if disk_of(state, tool.machine, disk_path(state, tool.machine, name))]
            if "--scan" in options
            else [disk_of(state, tool.machine, path) for path in words]
        )
        for path, name in zip(words or names, names, strict=True):
            block = state["disks"][name]["superblock"] if name else None
            if block is None:
                if "--scan" in options:
                    continue
                raise Stop(
                    1,
                    f"mdadm: No md superblock detected on {path}."
                    if name
                    else f"mdadm: cannot open {path}: No such file or directory",
                )
            array = (
                next((one for one in state["arrays"] if one["uuid"] == block["uuid"]), None)
                or state["gone"][block["uuid"]]
            )
            if "--export" in options:
                print(md_show.examine_export(state, name, array))
            elif {"--brief", "--scan"} & set(options):
                print(md_show.brief(array, name))
            else:
                print(md_show.examine(state, tool.machine, name, array))
    return 0


def wait(tool, words, options):
    """Really waits. Exit 1 when there was nothing to wait for."""
    if tool.suffer("wait"):
        return 0
    waited = 1
    for path in words:
        while True:
            with tool.state() as state:
                array = array_at(tool, state, path, "mdadm: stat failed for {}: No such file or directory", 2)
                if action(array) == "idle":
                    break
                array["waited_for"] = True
            waited = 0
            time.sleep(POLL_SECONDS)
    return waited


def grow(tool, words, options):
    if tool.suffer("grow"):
        return 0
    if set(options) - {"--bitmap", "--bitmap-chunk"}:
        raise not_modelled(f"--grow {' '.join(options)}")
    with tool.state() as state:
        array = array_at(tool, state, words[0])
        wanted = options["--bitmap"]
        if wanted == "none":
            if not array["bitmap"]:
                raise Stop(1, f"mdadm: no bitmap found on {words[0]}")
            array["bitmap"] = False
        elif array["bitmap"]:
            raise Stop(1, f"mdadm: bitmap already present on {words[0]}")
        elif wanted != "internal":
            raise not_modelled(f"bitmap {wanted}")
        else:
            array["events"] += 1
            array.update(bitmap=True, bitmap_since=array["events"])
            for name in filter(None, array["places"]):
                state["disks"][name]["superblock"]["events"] = array["events"]
    return 0


def assemble(tool, words, options):
    if tool.suffer("assemble"):
        return 0
    if "--scan" in options or len(words) < 2:
        raise not_modelled("--assemble --scan")
    path, *disks = words
    with tool.state() as state:
        names = [_disk(tool, state, path, disk) for disk in disks]
        block = state["disks"][names[0]]["superblock"]
        if any(array["uuid"] == block["uuid"] for array in here(state, tool.machine)):
            running = next(array for array in here(state, tool.machine) if array["uuid"] == block["uuid"])
            if set(names) & set(running["places"]):
                raise Stop(2, *(f"mdadm: {disk} is busy - skipping" for disk in disks))
            raise Stop(
                1,
                f"mdadm: Found some drive for an array that is already active: {disk_path(state, tool.machine, running['name'])}",
                "mdadm: giving up.",
            )
        if options.get("--uuid", block["uuid"]) != block["uuid"]:
            raise Stop(2, f"mdadm: {disks[0]} has wrong uuid.")
        _run(tool, state, path, names, block, options)
    return 0


def _disk(tool, state, path, disk):
    name = disk_of(state, tool.machine, disk)
    if name is None:
        raise Stop(
            1,
            f"mdadm: cannot open device {disk}: No such file or directory",
            f"mdadm: {disk} has no superblock - assembly aborted",
        )
    if not state["disks"][name]["superblock"]:
        raise Stop(
            1, f"mdadm: no recogniseable superblock on {disk}", f"mdadm: {disk} has no superblock - assembly aborted"
        )
    return name


def _run(tool, state, path, names, block, options):
    original = (
        next((one for one in state["arrays"] if one["uuid"] == block["uuid"]), None) or state["gone"][block["uuid"]]
    )
    needed = len(original["places"])
    if len(names) < needed and "--run" not in options:
        raise Stop(
            1,
            f"mdadm: {path} assembled from {len(names)} drive{'s' * (len(names) > 1)} - need all {needed} to start it (use --run to insist).",
        )
    name, alias = _names(tool, state, path)
    image = original["copy"] if names == [original["leg"]] else original["image"]
    array = new_array(
        name,
        tool.machine,
        None,
        image,
        uuid=block["uuid"],
        origin=original["origin"],
        number=original["number"],
        alias=alias,
    )
    array.update(
        metadata=original["metadata"],
        bitmap=original["bitmap"],
        chunk=original["chunk"],
        read_only="--readonly" in options,
        copy=original["copy"],
    )
    array["places"] = [None] * needed
    for one in names:
        own_block = state["disks"][one]["superblock"]
        array["places"][own_block["role"]] = one
        array["numbers"][one] = own_block["role"]
        own_block["events"] += not array["read_only"]
    array["events"] = block["events"]
    state["arrays"].append(array)
    say(
        f"mdadm: {path} has been started with {len(names)} drive{'s' * (len(names) > 1)}{f' (out of {needed})' if len(names) < needed else ''}."
    )


def _names(tool, state, path):
    """The kernel's name, and the other one under /dev/md/ where that is asked for."""
    name = path.removeprefix(f"{root(state, tool.machine)}/dev/")
    taken = {array["name"] for array in here(state, tool.machine)}
    if re.fullmatch(r"md\d+", name):
        if name in taken:
            raise Stop(1, f"mdadm: {path} is already in use.")
        return name, ""
    if re.fullmatch(r"md/[\w.:-]+", name):
        return next(f"md{number}" for number in range(127, 0, -1) if f"md{number}" not in taken), name
    raise Stop(1, f"mdadm: {path} is an invalid name for an md device - ignoring.")


def stop(tool, words, options):
    if tool.suffer("stop"):
        return 0
    for path in words:
        with tool.state() as state:
            array = array_at(tool, state, path)
            if in_use(tool.store, array, tool.machine):
                raise Stop(
                    1,
                    f"mdadm: Cannot get exclusive access to {path}:Perhaps a running process, mounted filesystem or active volume group?",
                )
            state["arrays"].remove(array)
            state["gone"].setdefault(array["uuid"], array)
            say(f"mdadm: stopped {path}")
    return 0


def query(tool, words, options):
    with tool.state() as state:
        for path in words:
            array = find(state, tool.machine, path)
            print(md_show.query(state, tool.machine, array) if array else f"{path}: is not an md array")
    return 0


def zero_superblock(tool, words, options):
    for path in words:
        with tool.state() as state:
            name = disk_of(state, tool.machine, path)
            if name is None or any(name in one["places"] or name in one["faulty"] for one in here(state, tool.machine)):
                raise Stop(2, f"mdadm: Couldn't open {path} for write - not zeroing")
            if not state["disks"][name]["superblock"]:
                raise Stop(2, f"mdadm: Unrecognised md component device - {path}")
            state["disks"][name]["superblock"] = None
    return 0


def read_only(tool, words, options):
    with tool.state() as state:
        array_at(tool, state, words[0])["read_only"] = True
    return 0


def read_write(tool, words, options):
    with tool.state() as state:
        array_at(tool, state, words[0])["read_only"] = False
    return 0


def act(tool, words, options):
    if options["--action"] not in ("idle", "check", "repair"):
        raise Stop(2, f"mdadm: bad action {options['--action']}")
    with tool.state() as state:
        start(state, array_at(tool, state, words[0]), options["--action"])
    return 0
