"""Groups and their snapshots: `rbd group …`."""

import errno
import json
import time

from rbd_cluster import (
    Stop,
    copy_bytes,
    group_of,
    image_of,
    new_file,
    new_id,
    new_snap,
    reason,
    remove_snap,
    snap_by_id,
)
from rbd_words import spec, with_snap, without_snap


def group_create(call):
    name = without_snap(spec(call.options, call.words, "group"))
    if name in call.state.setdefault("groups", {}):
        raise Stop(errno.EEXIST, f"rbd: create error: {reason(errno.EEXIST)}")
    call.state["groups"][name] = {"id": new_id(call.state), "images": [], "snaps": {}}


def group_ls(call):
    pool = call.words.pop(0) if call.words else call.options.get("pool", "rbd")
    names = [name.partition("/")[2] for name in sorted(call.state.get("groups", {})) if name.startswith(f"{pool}/")]
    names = call.dropped("group-ls", names)
    if call.options.get("format") == "json":
        print(json.dumps(names))
    elif names:
        print("\n".join(names))


def group_rm(call):
    name = without_snap(spec(call.options, call.words, "group"))
    group = group_of(call.state, name, "remove error")
    for snap in list(group["snaps"]):
        remove_group_snap(call.state, group, snap)
    for image in group["images"]:
        call.state["images"][image]["group"] = ""
    del call.state["groups"][name]


def group_image_add(call):
    name = without_snap(spec(call.options, call.words, "group"))
    image_name = without_snap(spec(call.options, call.words))
    group = group_of(call.state, name, "add image error")
    image = image_of(call.state, image_name, "add image error:")
    if image["group"]:
        code = errno.EEXIST if image["group"] == name else errno.EBUSY
        raise Stop(code, f"rbd: add image error: {reason(code)}")
    image["group"] = name
    group["images"].append(image_name)


def group_image_rm(call):
    name = without_snap(spec(call.options, call.words, "group"))
    image_name = without_snap(spec(call.options, call.words))
    group = group_of(call.state, name, "remove image error")
    if image_name not in group["images"]:
        raise Stop(errno.ENOENT, f"rbd: remove image error: {reason(errno.ENOENT)}")
    group["images"].remove(image_name)
    call.state["images"][image_name]["group"] = ""


def group_image_ls(call):
    name = without_snap(spec(call.options, call.words, "group"))
    images = sorted(call.state.get("groups", {}).get(name, {"images": []})["images"])
    rows = [{"image": i.partition("/")[2], "pool": i.partition("/")[0], "namespace": "", "state": 0} for i in images]
    rows = call.dropped("group-image-ls", rows)
    if call.options.get("format") == "json":
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['pool']}/{row['image']} ")


def group_snap_create(call):
    name, snap = with_snap(spec(call.options, call.words, "group"))
    group = group_of(call.state, name, "failed to create group snapshot")
    if snap in group["snaps"]:
        raise Stop(errno.EEXIST, f"rbd: failed to create group snapshot: {reason(errno.EEXIST)}")
    snap_id = new_id(call.state)
    record = {"id": snap_id, "state": "incomplete", "image_snap_name": f".group.2_{group['id']}_{snap_id}", "of": {}}
    is_half, dies = call.faults.take("group-snap-create", "half")[0], call.faults.take("group-snap-create", "die")[0]
    images = group["images"][:1] if is_half or dies else group["images"]
    files = [(call.state["images"][image]["data"], new_file(call.state)) for image in images]
    if call.state.get("torn"):
        for pair in files:
            copy_bytes([pair])
            time.sleep(0.05)
    else:
        copy_bytes(files)
    for image, (_, data) in zip(images, files, strict=True):
        made = new_snap(call.state, record["image_snap_name"], data, "group", group=name, group_snap=snap)
        call.state["images"][image]["snaps"].append(made)
        record["of"][image] = made["id"]
    group["snaps"][snap] = record
    if dies:
        raise Dead
    if is_half:
        raise Kept(errno.EIO, f"rbd: failed to create group snapshot: {reason(errno.EIO)}")
    record["state"] = "complete"


class Kept(Stop):
    """The end of a command that failed and has changed something all the same."""


class Dead(Exception):
    """Killed; what it did stays."""


def state_word(state, record):
    return "ok" if record["state"] == "complete" and not state.get("squid") else record["state"]


def group_snap_ls(call):
    name = without_snap(spec(call.options, call.words, "group"))
    if name not in call.state.get("groups", {}) and call.state.get("squid"):
        raise Stop(errno.ENOENT)
    snaps = call.state.get("groups", {}).get(name, {"snaps": {}})["snaps"]
    rows = [{"id": one["id"], "snapshot": snap, "state": state_word(call.state, one)} for snap, one in snaps.items()]
    kind, word = call.faults.take("group-snap-ls", "word")
    if kind and rows:
        rows[0]["state"] = word
    rows = call.dropped("group-snap-ls", rows)
    if call.state.get("squid"):
        call.show(rows, [("ID", "id", False), ("NAME", "snapshot", False), ("STATE", "state", True)], "group_snaps")
        return
    rows = [{"snapshot": row["snapshot"], "state": row["state"]} for row in rows]
    call.show(rows, [("NAME", "snapshot", False), ("STATUS", "state", True)], "group_snaps")


def group_snap_info(call):
    if not call.state.get("squid"):
        raise Stop(1, "error: unknown option 'group snap info'")
    name, snap = with_snap(spec(call.options, call.words, "group"))
    found = group_of(call.state, name, "failed to show group snapshot")["snaps"].get(snap)
    if found is None:
        raise Stop(errno.ENOENT, f"rbd: failed to show group snapshot: {reason(errno.ENOENT)}")
    images = [
        {"pool_name": i.partition("/")[0], "namespace": "", "image_name": i.partition("/")[2], "snap_id": number}
        for i, number in sorted(found["of"].items())
    ]
    if call.options.get("format") == "json":
        print(
            json.dumps(
                {
                    "id": found["id"],
                    "name": snap,
                    "state": found["state"],
                    "image_snap_name": found["image_snap_name"],
                    "images": images,
                }
            )
        )
        return
    print(f"rbd group snapshot '{snap}':\n\tid: {found['id']}\n\tstate: {found['state']}")
    print(f"\timage snap: {found['image_snap_name']}\n\timages:")
    for one in images:
        print(f"\t\t{one['pool_name']}/{one['image_name']} (snap id: {one['snap_id']})")


def remove_group_snap(state, group, snap):
    record = group["snaps"].pop(snap)
    for name, number in record["of"].items():
        image = state["images"].get(name)
        found = snap_by_id(image, number) if image else None
        if found:
            remove_snap(state, name, image, found)


def group_snap_rm(call):
    name, snap = with_snap(spec(call.options, call.words, "group"))
    group = group_of(call.state, name, "failed to remove group snapshot")
    if snap not in group["snaps"]:
        raise Stop(errno.ENOENT, f"rbd: failed to remove group snapshot: {reason(errno.ENOENT)}")
    remove_group_snap(call.state, group, snap)
