"""``lvcreate -s``: snapshots, thick and thin."""

import os

import parts
from lvm_ask import Stop, no_syntax, not_modelled, one, parse, size
from lvm_show import name_of
from lvm_state import new_volume

KNOWN = {"-s": 0, "--snapshot": 0, "-n": 1, "--name": 1, "-L": 1, "--size": 1, "-l": 1, "--extents": 1, "-p": 1, "--permission": 1, "--addtag": 1, "-k": 1,
         "--setactivationskip": 1, "-a": 1, "--activate": 1, "-K": 0, "--ignoreactivationskip": 0, "-c": 1, "--chunksize": 1, "--type": 1, "--thinpool": 1,
         "-W": 1, "--wipesignatures": 1, "-Z": 1, "--zero": 1, "-T": 0, "--thin": 0, "-V": 1, "--virtualsize": 1, "-r": 1, "--readahead": 1,
         "--setautoactivation": 1}  # fmt: skip


def lvcreate(tool, argv):
    options, words = parse("lvcreate", argv, KNOWN)
    if "-s" not in options:
        raise not_modelled("lvcreate without -s")
    if not words:
        print("  lvcreate -s|--snapshot -L|--size Size[m|UNIT] LV\n  Create a COW snapshot LV of an origin LV.\n   ")
        stop = no_syntax("lvcreate")
        raise Stop(3, *stop.lines, "  Nearest similar command has syntax:")
    group_name, origin_name = name_of(words[0])
    if tool.suffer("snapshot", group_name):
        return 0
    with tool.state() as state:
        group = tool.group(state, group_name)
        name = one(options, "-n") or f"lvol{len(group['volumes'])}"
        if name in group["volumes"]:
            raise Stop(5, f'  Logical Volume "{name}" already exists in volume group "{group_name}"')
        if origin_name not in group["volumes"]:
            raise Stop(5, f"  Snapshot origin LV {origin_name} not found in Volume group {group_name}.")
        _snapshot(tool, state, group, group["volumes"][origin_name], name, options)
    return 0


def _snapshot(tool, state, group, origin, name, options):
    room = _room(group, origin, options)
    if origin["kind"] == "thick" or (room and tool.machine not in origin["active"]):
        raise Stop(
            5,
            "  Snapshots of snapshots are not supported."
            if origin["kind"] == "thick"
            else "  Snapshot origin must be active.",
        )
    tool.about(origin["name"])
    image = f"{tool.store.path}.images/{group['name']}-{name}"
    os.makedirs(os.path.dirname(image), exist_ok=True)
    pair = {"primary": origin["image"], "copy": image}
    if not parts.take([pair], lambda: tool.faults.half_way("snapshot")):
        raise Stop(5, "  device-mapper: suspend ioctl on  (253:4) failed: Device or resource busy")
    skips = one(options, "-k", "n" if room else "y") == "y"
    is_active = one(options, "-a", "y") != "n" and (not skips or "-K" in options)
    volume = new_volume(
        name, image, f"{image}.leg", [origin["places"][0]], origin=origin["name"], room=room, base=pair["base"]
    )
    volume.update(kind="thick" if room else "thin", skip=skips, read_only=one(options, "-p") == "r")
    volume.update(tags=list(options.get("--addtag", [])), active=[tool.machine] if is_active else [])
    group["volumes"][name] = volume
    if not room:
        print("  WARNING: You have not turned on protection against thin pools running out of space.")
        print(
            "  WARNING: Set activation/thin_pool_autoextend_threshold below 100 to trigger automatic extension of thin pools before they get full."
        )
    print(f'  Logical volume "{name}" created.')


def _room(group, origin, options):
    """Bytes of a thick snapshot, 0 for a thin one."""
    extent, whole = group["extent"], parts.size_of(origin["image"])
    if "-L" in options:
        room = size(one(options, "-L"))
    elif "-l" in options:
        number, percent, of = one(options, "-l").partition("%")
        if percent and of.upper() not in ("ORIGIN", "FREE", "VG"):
            raise not_modelled(f"-l {one(options, '-l')}")
        room = (
            int(number) * extent
            if not percent
            else whole * int(number) // 100
            if of.upper() == "ORIGIN"
            else group["room"] * int(number) // 100
        )
    elif origin["kind"] == "thin":
        return 0
    else:
        raise Stop(5, "  Please specify either size or extents with snapshots.")
    room = -(-room // extent) * extent
    most = -(-whole // extent) * extent + extent
    if room > most:
        print(f"  Reducing COW size {room / 2**20:.2f} MiB down to maximum usable size {most / 2**20:.2f} MiB.")
    return min(room, most)
