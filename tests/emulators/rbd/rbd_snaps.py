"""Snapshots of one image: `rbd snap …`."""

import errno

import parts
import rbd_images
from rbd_cluster import (
    Stop,
    children_of,
    copy_bytes,
    ctime,
    image_of,
    new_file,
    new_snap,
    reason,
    remove_snap,
    snap_by_id,
    snap_of,
)
from rbd_words import done, spec, with_snap, without_snap


def snap_create(call):
    name, snap = with_snap(spec(call.options, call.words))
    done(call.words)
    image = image_of(call.state, name)
    what = "rbd: failed to create snapshot: "
    if snap_of(image, snap):
        call.progress("Creating snap", False)
        raise Stop(errno.EEXIST, what + reason(errno.EEXIST))
    data = new_file(call.state)
    copy_bytes([(image["data"], data)], lambda: call.faults.half_way("snap-create"))
    image["snaps"].append(new_snap(call.state, snap, data))
    call.progress("Creating snap")


def snap_ls(call):
    name = without_snap(spec(call.options, call.words))
    done(call.words)
    image = image_of(call.state, name)
    rows = []
    for one in image["snaps"]:
        if one["type"] != "user" and "all" not in call.options:
            continue
        row = {
            "id": one["id"],
            "name": one["name"],
            "size": parts.size_of(one["data"]),
            "protected": "true" if one["protected"] else "false",
            "timestamp": ctime(one["when"]),
        }
        if "all" in call.options:
            row["namespace"] = {"type": one["type"]}
            if one["type"] == "group":
                pool, _, group = one["group"].partition("/")
                row["namespace"].update({"pool": pool, "group": group, "group snap": one["group_snap"]})
            elif one["type"] == "trash":
                row["namespace"].update(
                    original_namespace_type=one["original_type"], original_name=one["original_name"]
                )
        rows.append(row)
    rows = call.dropped("snap-ls", rows)
    columns = [
        ("SNAPID", "id", True),
        ("NAME", "name", False),
        ("SIZE", "size", True),
        ("PROTECTED", "protected", False),
        ("TIMESTAMP", "timestamp", True),
    ]
    plain = [
        {**row, "size": rbd_images.human(row["size"]), "protected": "yes" if row["protected"] == "true" else ""}
        for row in rows
    ]
    if "all" in call.options:
        columns.append(("NAMESPACE", "namespace", False))
        plain = [{**row, "namespace": row["namespace"]["type"]} for row in plain]
    call.show(rows, columns, "snapshots", plain)


def snap_rm(call):
    name, snap = spec(call.options, call.words)
    done(call.words)
    image = image_of(call.state, name)
    if "snap-id" in call.options:
        found = snap_by_id(image, int(call.options["snap-id"]))
        if found and found["type"] == "group":
            raise Stop(errno.EINVAL, f"rbd: failed to remove snapshot: {reason(errno.EINVAL)}")
    else:
        found = snap_of(image, with_snap((name, snap))[1])
    what = "rbd: failed to remove snapshot: "
    if found is None:
        call.progress("Removing snap", False)
        raise Stop(errno.ENOENT, what + reason(errno.ENOENT))
    children = children_of(call.state, name, found["id"])
    if "force" in call.options:
        for child in children:
            rbd_images.flatten_image(call.state, child)
        found["protected"] = False
    elif found["protected"]:
        call.progress("Removing snap", False)
        raise Stop(errno.EBUSY, f"rbd: snapshot '{snap}' is protected from removal.")
    remove_snap(call.state, name, image, found)
    call.progress("Removing snap")


def snap_protect(call):
    found = named_snap(call, "rbd: protecting snap failed: ")[2]
    if found["protected"]:
        raise Stop(errno.EBUSY, f"rbd: protecting snap failed: {reason(errno.EBUSY)}")
    found["protected"] = True


def snap_unprotect(call):
    name, _, found = named_snap(call, "rbd: unprotecting snap failed: ")
    if not found["protected"]:
        raise Stop(errno.EINVAL, f"rbd: unprotecting snap failed: {reason(errno.EINVAL)}")
    if children_of(call.state, name, found["id"]):
        raise Stop(errno.EBUSY, f"rbd: unprotecting snap failed: {reason(errno.EBUSY)}")
    found["protected"] = False


def named_snap(call, what):
    name, snap = with_snap(spec(call.options, call.words))
    done(call.words)
    image = image_of(call.state, name)
    found = snap_of(image, snap)
    if found is None:
        raise Stop(errno.ENOENT, what + reason(errno.ENOENT))
    return name, image, found


def snap_rollback(call):
    _, image, found = named_snap(call, "rbd: rollback failed: ")
    copy_bytes([(found["data"], image["data"])])
    call.progress("Rolling back to snapshot")


def snap_purge(call):
    name = without_snap(spec(call.options, call.words))
    image = image_of(call.state, name)
    for one in [one for one in image["snaps"] if one["type"] == "user" and not one["protected"]]:
        remove_snap(call.state, name, image, one)
    call.progress("Removing all snapshots")
