"""``lvconvert``: a leg more, a leg split off, merged back, one less."""

import sys

import parts
from lvm_ask import Stop, agreed, no_syntax, not_modelled, one, parse
from lvm_damage import note_damage, take
from lvm_show import name_of
from lvm_state import disk_path, is_synced, leg_of, new_pair, use

KNOWN = {"--splitmirrors": 1, "--trackchanges": 0, "-n": 1, "--name": 1, "--merge": 0, "--mergemirrors": 0, "--mergesnapshot": 0, "--type": 1, "-m": 1,
         "--mirrors": 1, "-i": 1, "--interval": 1, "-b": 0, "--background": 0, "-R": 1, "--regionsize": 1}  # fmt: skip


def lvconvert(tool, argv):
    options, words = parse("lvconvert", argv, KNOWN)
    if not words:
        raise no_syntax("lvconvert")
    if "--merge" in options:
        return merge(tool, options, words)
    if "--mergesnapshot" in options:
        raise not_modelled("--mergesnapshot")
    if "--splitmirrors" in options:
        if "--trackchanges" in options and "-n" in options:
            raise Stop(3, "  Command does not accept option: --trackchanges.")
        if "--trackchanges" not in options and "-n" not in options:
            raise no_syntax("lvconvert")
        return split(tool, options, *words)
    if one(options, "--type", "raid1") != "raid1":
        raise not_modelled(f"type {one(options, '--type')}")
    return mirror(tool, options, *words)


def _raid(tool, state, word):
    name, volume = name_of(word)
    if not volume:
        raise no_syntax("lvconvert")
    group = tool.group(state, name)
    return group, tool.volume(group, volume)


def _places(tool, state, group, paths):
    found = []
    for path in paths:
        disk = next((disk for disk in group["disks"].values() if disk_path(state, disk, tool.machine) == path), None)
        if disk is None:
            raise Stop(5, f'  Physical Volume "{path}" not found in Volume Group "{group["name"]}".')
        found.append(disk["name"])
    return found


def split(tool, options, word, *disks):
    """Of the legs that lie on `disks`, or of all, the last one goes."""
    move = "split" if "--trackchanges" in options else "split-name"
    if tool.suffer(move, name_of(word)[0]):
        return 0
    with tool.state() as state:
        group, volume = _raid(tool, state, word)
        full = f"{group['name']}/{volume['name']}"
        places = _places(tool, state, group, disks)
        number = _may_split(tool, group, volume, options, places)
        question = (
            "split and track raid1 LV {} losing resilience for any newly written data"
            if move == "split"
            else "convert raid1 LV {} to linear losing all resilience"
        )
        has_two = len(volume["places"]) == 2
        if has_two and not agreed(options, f"Are you sure you want to {question.format(full)}?"):
            raise Stop(5, f"  Logical volume {full} NOT split.")
        tool.about(volume["name"])
        if not take(volume, lambda: tool.faults.half_way(move)):
            raise Stop(5, "  device-mapper: suspend ioctl on  (253:4) failed: Device or resource busy")
        if move == "split":
            _track(tool, volume, full, number, has_two)
        else:
            _let_go(tool, group, volume, one(options, "-n"), number)
    return 0


def _may_split(tool, group, volume, options, places):
    full = f"{group['name']}/{volume['name']}"
    if volume["kind"] != "raid":
        raise Stop(
            5,
            f"  Operation not permitted on LV {full} type {volume['kind']}.",
            "  Command on LV is invalid on LV with properties: lv_is_visible.",
        )
    _refuse_tracking(group, volume)
    if one(options, "--splitmirrors") != "1":
        raise Stop(
            5,
            "  Unable to split images by specified amount."
            if "--trackchanges" in options
            else "  Exactly one image must be split off",
        )
    if tool.machine not in volume["active"]:
        raise Stop(
            5,
            f"  Unable to determine sync status of {full}.",
            f"  Unable to split image from {full} while not in-sync.",
        )
    if not is_synced(volume) or volume.get("action"):
        what = f"image from {full} while" if "--trackchanges" in options else f"{full} while it is"
        raise Stop(5, f"  WARNING: Sync status for {full} is inconsistent.", f"  Unable to split {what} not in-sync.")
    found = [n for n, place in enumerate(volume["places"]) if not places or place in places]
    if not found:
        raise Stop(5, f"  Unable to find image to split from {full} on specified devices.")
    return found[-1]


def _refuse_tracking(group, volume):
    if volume["tracked"] is not None:
        raise Stop(5, f"  Conversion of tracking raid1 LV {group['name']}/{volume['name']} is not supported.")


def _track(tool, volume, full, number, has_two):
    volume.update(tracked=number, copied=number)
    volume["leg_active"][tool.machine] = number
    print(f"  {full}_rimage_{number} split from {full} for read-only purposes.")
    print(f"  Use 'lvconvert --merge {full}_rimage_{number}' to merge back into {full}.")
    if has_two:
        print(
            f"  WARNING: Any newly written data will be non-resilient on LV {full} during the split!", file=sys.stderr
        )


def _let_go(tool, group, volume, name, number):
    if name in group["volumes"]:
        raise Stop(5, f'  Logical Volume "{name}" already exists in volume group "{group["name"]}"')
    place = volume["places"].pop(number)
    new = {
        **volume,
        "name": name,
        "kind": "linear",
        "image": volume["copy"],
        "copy": f"{volume['copy']}.2",
        "places": [place],
        "tags": [],
    }
    group["volumes"][name] = {
        **new,
        "active": [tool.machine],
        "leg_active": {},
        "damaged": {},
        "mismatches": 0,
        "pair": new_pair(volume["copy"], new["copy"]),
    }
    volume["copy"] = f"{volume['copy']}.1"
    volume.update(pair=new_pair(volume["image"], volume["copy"]), damaged={}, mismatches=0)
    if len(volume["places"]) == 1:
        volume["kind"] = "linear"


def merge(tool, options, words):
    """Back into the mirror: what the parent wrote meanwhile is copied. Each of several by itself."""
    if tool.suffer("merge", name_of(words[0])[0]):
        return 0
    failed, lines = False, []
    for word in words:
        try:
            with tool.state() as state:
                _merge(tool, state, word)
        except Stop as stop:
            failed, lines = True, [*lines, *stop.lines]
    if failed:
        raise Stop(5, *lines)
    return 0


def _merge(tool, state, word):
    name, part = name_of(word)
    group = tool.group(state, name)
    found = leg_of(group, part)
    full = f"{name}/{part}"
    if found is None or found[1] != "rimage" or found[0]["tracked"] != found[2]:
        if found is None and part not in group["volumes"]:
            raise Stop(5, f'  Failed to find logical volume "{full}"')
        raise Stop(5, f"  {full} cannot be merged because --trackchanges was not used.")
    volume, number = found[0], found[2]
    tool.about(volume["name"])
    here = use(tool.store, volume["copy"], tool.machine) if volume["leg_active"].get(tool.machine) == number else ""
    if tool.faults.take("merge", "mounted")[0] or here:
        is_mounted = here != "open"
        raise Stop(
            5,
            f"  Logical volume {full} {'contains a filesystem in use' if is_mounted else 'in use'}.",
            f"  Failed to deactivate {full} before merging.",
        )
    volume["leg_active"].pop(tool.machine, None)
    parts.start_copy(volume["pair"], parts.now(state), full=False, tracks_copy_side=False)
    note_damage(volume)
    volume.update(tracked=None, is_first=False)
    print(f"  {full} successfully merged back into {name}/{volume['name']}.")


def mirror(tool, options, word, *disks):
    """``-m N``, ``-m +N``, ``-m -N``: more legs are filled in full, fewer are gone."""
    asked = one(options, "-m")
    move = "mirror" if asked is None or (asked[0] != "-" and asked != "0") else "linear"
    if tool.suffer(move, name_of(word)[0]):
        return 0
    with tool.state() as state:
        group, volume = _raid(tool, state, word)
        full, places = f"{group['name']}/{volume['name']}", _places(tool, state, group, disks)
        _refuse_tracking(group, volume)
        if volume["kind"] not in ("linear", "raid"):
            raise not_modelled(f"conversion of {volume['kind']}")
        now = len(volume["places"])
        wanted = now + int(asked) if asked and asked[0] in "+-" else int(asked or 1) + 1
        tool.about(volume["name"])
        if wanted == now:
            print(f"  Logical volume {full} successfully converted.")
            print(f"  WARNING: {full} already has image count of {now}.", file=sys.stderr)
            return 0
        (_more if wanted > now else _fewer)(tool, state, group, volume, options, wanted, places)
        print(f"  Logical volume {full} successfully converted.")
    return 0


def _more(tool, state, group, volume, options, wanted, places):
    full = f"{group['name']}/{volume['name']}"
    if volume["kind"] == "raid" and not is_synced(volume):
        raise Stop(
            5,
            f"  WARNING: Sync status for {full} is inconsistent.",
            "  Can't add image to RAID LV that is still initializing.",
        )
    if volume["kind"] == "linear" and not agreed(
        options,
        f"Are you sure you want to convert linear LV {full} to raid1 with {wanted} images enhancing resilience?",
    ):
        raise Stop(5, f"  Logical volume {full} NOT converted.")
    free = [name for name in group["disks"] if name not in volume["places"] and (not places or name in places)]
    more = wanted - len(volume["places"])
    if len(free) < more:
        raise Stop(
            5,
            f"  Insufficient suitable allocatable extents for logical volume : {26 * (more - len(free))} more required",
        )
    volume["places"] += free[:more]
    volume.update(kind="raid", copied=wanted - 1, damaged={}, mismatches=0, is_first=False, nosync=False)
    parts.start_copy(volume["pair"], parts.now(state), full=True)


def _fewer(tool, state, group, volume, options, wanted, places):
    full = f"{group['name']}/{volume['name']}"
    if wanted < 1:
        raise Stop(5, f"  Unable to remove all images from {full}.")
    if wanted == 1 and not agreed(
        options, f"Are you sure you want to convert raid1 LV {full} to type linear losing all resilience?"
    ):
        raise Stop(5, f'  Logical volume {full} NOT converted to "linear".')
    for _ in range(len(volume["places"]) - wanted):
        number = max(n for n, place in enumerate(volume["places"]) if not places or place in places)
        volume["places"].pop(number)
    volume.update(
        kind="linear" if wanted == 1 else "raid",
        pair=new_pair(volume["image"], volume["copy"]),
        damaged={},
        mismatches=0,
    )
