"""`rbd device map`, `unmap`, `list`."""

import errno

from rbd_cluster import (
    Stop,
    device_folder,
    host,
    is_open,
    reason,
    show_devices,
    snap_of,
)
from rbd_words import done, spec

KERNEL_FEATURES = {"layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "data-pool"}


def map_(call):
    if call.options.get("device-type", "krbd") != "krbd":
        raise Stop(errno.EINVAL, "emulator: only krbd is modelled")
    name, snap = spec(call.options, call.words)
    done(call.words)
    if name not in call.state["images"]:
        raise Stop(errno.ENOENT, f"rbd: error opening image {name.partition('/')[2]}: {reason(errno.ENOENT)}")
    image = call.state["images"][name]
    found = snap_of(image, snap) if snap else None
    if snap and found is None:
        raise Stop(errno.ENOENT, f"rbd: error setting snapshot context: {reason(errno.ENOENT)}")
    unknown = sorted(set(image["features"]) - KERNEL_FEATURES)
    if unknown:
        raise Stop(
            errno.ENXIO,
            "rbd: sysfs write failed\nRBD image feature set mismatch. You can disable features unsupported by the kernel "
            f'with "rbd feature disable {name} {" ".join(unknown)}".\nIn some cases useful info is found in syslog - try '
            f'"dmesg | tail".\nrbd: map failed: {reason(errno.ENXIO)}',
        )
    mapped = call.state.setdefault("mapped", {}).setdefault(host(), [])
    pool, _, short = name.partition("/")
    wanted = call.options.get("options", "").split(",")
    one = {
        "id": min(set(range(len(mapped) + 1)) - {each["id"] for each in mapped}),
        "pool": pool,
        "name": short,
        "snap": snap or "-",
        "ro": bool(snap) or "read-only" in call.options or "ro" in wanted,
        "file": found["data"] if found else image["data"],
    }
    mapped.append(one)
    show_devices(call.state, bool(call.faults.take("map", "late")[0]))
    print(f"{device_folder(call.state)}/rbd{one['id']}")


def unmap(call):
    mapped = call.state.setdefault("mapped", {}).setdefault(host(), [])
    folder = device_folder(call.state)
    word = call.words[0] if call.words else ""
    if word.startswith(f"{folder}/"):
        call.words.pop(0)
        hits = [one for one in mapped if word in names_of(folder, one)]
    else:
        name, snap = spec(call.options, call.words)
        hits = [one for one in mapped if (f"{one['pool']}/{one['name']}", one["snap"]) == (name, snap or "-")]
    if not hits:
        raise Stop(
            errno.EINVAL,
            f"rbd: {word or name}: not a mapped image or snapshot\nrbd: unmap failed: {reason(errno.EINVAL)}",
        )
    one = hits[0]
    if is_open(one["file"]) and "force" not in call.options.get("options", "").split(","):
        raise Stop(errno.EBUSY, f"rbd: sysfs write failed\nrbd: unmap failed: {reason(errno.EBUSY)}")
    mapped.remove(one)
    show_devices(call.state)


def names_of(folder, one):
    at = f"@{one['snap']}" if one["snap"] != "-" else ""
    return f"{folder}/rbd{one['id']}", f"{folder}/rbd/{one['pool']}/{one['name']}{at}"


def device_list(call):
    folder = device_folder(call.state)
    rows = [
        {
            "id": str(one["id"]),
            "pool": one["pool"],
            "namespace": "",
            "name": one["name"],
            "snap": one["snap"],
            "device": f"{folder}/rbd{one['id']}",
        }
        for one in sorted(call.state.get("mapped", {}).get(host(), []), key=lambda one: one["id"])
    ]
    rows = call.dropped("device-list", rows)
    columns = [
        ("id", "id", False),
        ("pool", "pool", False),
        ("namespace", "namespace", False),
        ("image", "name", False),
        ("snap", "snap", False),
        ("device", "device", False),
    ]
    call.show(rows, columns, "devices")
