"""Images as such: info, list, usage, clones, flatten, removal."""

import errno
import json

import parts
from rbd_cluster import (
    OBJECT_BYTES,
    Stop,
    children_of,
    copy_bytes,
    ctime,
    drop,
    forget_parent,
    human,
    image_of,
    new_file,
    new_image,
    reason,
    snap_by_id,
    snap_of,
)
from rbd_words import done, spec, with_snap, without_snap


def info(call):
    name, snap = spec(call.options, call.words)
    done(call.words)
    image = image_of(call.state, name)
    found = snap_of(image, snap) if snap else None
    if snap and found is None:
        raise Stop(errno.ENOENT, f"rbd: error setting snapshot context: {reason(errno.ENOENT)}")
    size = parts.size_of(found["data"] if found else image["data"])
    kind, word = call.faults.take("info", "word")
    row = {
        "name": name.partition("/")[2],
        "id": image["id"],
        "size": size,
        "objects": -(-size // OBJECT_BYTES),
        "order": 22,
        "object_size": OBJECT_BYTES,
        "snapshot_count": len(image["snaps"]),
        "block_name_prefix": f"rbd_data.{image['id']}",
        "format": 2,
        "features": image["features"],
        "op_features": [word] if kind else image["op_features"],
        "flags": [],
        "create_timestamp": ctime(image["created"]),
        "access_timestamp": ctime(image["created"]),
        "modify_timestamp": ctime(image["created"]),
    }
    if found:
        row["protected"] = "true" if found["protected"] else "false"
    if image["parent"]:
        pool, _, short = image["parent"]["image"].partition("/")
        parent = snap_by_id(
            call.state["images"].get(image["parent"]["image"], {"snaps": []}), image["parent"]["snap_id"]
        )
        row["parent"] = {
            "pool": pool,
            "pool_namespace": "",
            "image": short,
            "id": call.state["images"][image["parent"]["image"]]["id"],
            "snapshot": parent["name"] if parent else "",
            "trash": bool(parent) and parent["type"] == "trash",
            "overlap": size,
        }
    if call.options.get("format") == "json":
        print(json.dumps(row, indent=4 if "pretty" in call.options else None))
        return
    print(f"rbd image '{row['name']}':\n\tsize {human(size)} in {row['objects']} objects\n\torder 22 (4 MiB objects)")
    print(
        f"\tsnapshot_count: {row['snapshot_count']}\n\tid: {row['id']}\n\tblock_name_prefix: {row['block_name_prefix']}"
    )
    print(
        f"\tformat: 2\n\tfeatures: {', '.join(row['features'])}\n\top_features: {', '.join(row['op_features'])}\n\tflags: "
    )
    for key in ("create_timestamp", "access_timestamp", "modify_timestamp"):
        print(f"\t{key}: {row[key]}")
    if found:
        print(f"\tprotected: {'True' if found['protected'] else 'False'}")
    if image["parent"]:
        print(f"\tparent: {image['parent']['image']}@{row['parent']['snapshot']}\n\toverlap: {human(size)}")


def ls(call):
    pool = call.words.pop(0) if call.words else call.options.get("pool", "rbd")
    names = sorted(name for name in call.state.get("images", {}) if name.startswith(f"{pool}/"))
    names = call.dropped("ls", names)
    if "long" in call.options:
        rows = []
        for name in names:
            image = call.state["images"][name]
            short = name.partition("/")[2]
            rows.append({"image": short, "id": image["id"], "size": parts.size_of(image["data"]), "format": 2})
            rows += [
                {
                    "image": short,
                    "id": image["id"],
                    "snapshot": one["name"],
                    "size": parts.size_of(one["data"]),
                    "format": 2,
                }
                for one in image["snaps"]
                if one["type"] == "user"
            ]
        plain = [
            {**r, "image": r["image"] + (f"@{r['snapshot']}" if "snapshot" in r else ""), "size": human(r["size"])}
            for r in rows
        ]
        call.show(rows, [("NAME", "image", False), ("SIZE", "size", True), ("FMT", "format", True)], "images", plain)
        return
    short = [name.partition("/")[2] for name in names]
    if call.options.get("format") == "json":
        print(json.dumps(short))
    elif short:
        print("\n".join(short))


def du(call):
    names = (
        [spec(call.options, call.words)[0]] if call.words or "image" in call.options else sorted(call.state["images"])
    )
    rows, total = [], 0
    for name in names:
        image = image_of(call.state, name)
        size = parts.size_of(image["data"])
        short = name.partition("/")[2]
        for one in image["snaps"]:
            if one["type"] == "user":
                each = parts.size_of(one["data"])
                rows.append(
                    {
                        "name": short,
                        "id": image["id"],
                        "snapshot": one["name"],
                        "snapshot_id": one["id"],
                        "provisioned_size": each,
                        "used_size": each,
                    }
                )
        rows.append({"name": short, "id": image["id"], "provisioned_size": size, "used_size": size})
        total += size
    rows = call.dropped("du", rows)
    if call.options.get("format") == "json":
        print(json.dumps({"images": rows, "total_provisioned_size": total, "total_used_size": total}))
        return
    plain = [
        {
            "name": r["name"] + (f"@{r['snapshot']}" if "snapshot" in r else ""),
            "p": human(r["provisioned_size"]),
            "u": human(r["used_size"]),
        }
        for r in rows
    ]
    if len(plain) > 1:
        plain.append({"name": "<TOTAL>", "p": human(total), "u": human(total)})
    call.show(rows, [("NAME", "name", False), ("PROVISIONED", "p", True), ("USED", "u", True)], "images", plain)


def clone(call):
    name, snap = spec(call.options, call.words)
    options = {key: value for key, value in call.options.items() if key not in ("image", "snap", "pool")}
    target = without_snap(spec(options, call.words, prefix="dest-"))
    done(call.words)
    image = image_of(call.state, name)
    if "snap-id" in call.options:
        if not call.state.get("squid"):
            raise Stop(1, "rbd: unrecognised option '--snap-id'")
        found = snap_by_id(image, int(call.options["snap-id"]))
    else:
        found = snap_of(image, with_snap((name, snap))[1])
    if found is None or found["type"] == "trash":
        raise Stop(errno.ENOENT, f"rbd: clone error: {reason(errno.ENOENT)}")
    if call.state.get("clone_v1") and not found["protected"]:
        raise Stop(errno.EINVAL, f"librbd: parent snapshot must be protected\nrbd: clone error: {reason(errno.EINVAL)}")
    if target in call.state["images"]:
        raise Stop(errno.EEXIST, f"rbd: clone error: {reason(errno.EEXIST)}")
    data = new_file(call.state)
    copy_bytes([(found["data"], data)])
    made = new_image(call.state, data, {"image": name, "snap_id": found["id"]})
    if not call.state.get("clone_v1"):
        made["op_features"] = ["clone-child"]
    call.state["images"][target] = made


def children(call):
    name, snap = spec(call.options, call.words)
    image = image_of(call.state, name)
    wanted = [snap_of(image, snap)] if snap else image["snaps"]
    if wanted == [None]:
        raise Stop(errno.ENOENT, f"rbd: error setting snapshot context: {reason(errno.ENOENT)}")
    names = sorted({child for one in wanted for child in children_of(call.state, name, one["id"])})
    names = call.dropped("children", names)
    if call.options.get("format") == "json":
        rows = [{"pool": n.partition("/")[0], "pool_namespace": "", "image": n.partition("/")[2]} for n in names]
        print(json.dumps(rows))
    elif names:
        print("\n".join(names))


def flatten_image(state, name):
    image = state["images"][name]
    parent, image["parent"] = image["parent"], None
    forget_parent(state, parent)


def flatten(call):
    name = without_snap(spec(call.options, call.words))
    if not image_of(call.state, name)["parent"]:
        call.progress("Image flatten", False)
        raise Stop(errno.EINVAL, f"rbd: flatten error: {reason(errno.EINVAL)}")
    flatten_image(call.state, name)
    call.progress("Image flatten")


def rm(call):
    name = without_snap(spec(call.options, call.words))
    done(call.words)
    image = image_of(call.state, name, "delete error: image")
    if image["snaps"]:
        call.progress("Removing image", False)
        raise Stop(
            errno.ENOTEMPTY,
            "rbd: image has snapshots - these must be deleted with 'rbd snap purge' before the image can be removed.",
        )
    if image["watchers"] or mappings(call.state, name):
        call.progress("Removing image", False)
        raise Stop(
            errno.EBUSY,
            "rbd: error: image still has watchers\nThis means the image is still open or the client using it crashed. Try "
            "again after closing/unmapping it or waiting 30s for the crashed client to timeout.",
        )
    if image["group"]:
        call.progress("Removing image", False)
        raise Stop(
            errno.EBUSY,
            f"rbd: error: image belongs to a group\n  group: {image['group']}\nRemove the image from the group and try again.",
        )
    del call.state["images"][name]
    if image["parent"]:
        forget_parent(call.state, image["parent"])
    if image["data"] not in call.state["given"]:
        drop(image["data"])
    call.progress("Removing image")


def mappings(state, name):
    return [
        (machine, one)
        for machine, every in sorted(state.get("mapped", {}).items())
        for one in every
        if f"{one['pool']}/{one['name']}" == name and one["snap"] == "-"
    ]


def status(call):
    name = without_snap(spec(call.options, call.words))
    image = image_of(call.state, name)
    rows = [{"address": address, "client": 4100 + n, "cookie": n} for n, address in enumerate(image["watchers"], 1)]
    rows += [
        {
            "address": f"{machine}:0/{100 + one['id']}",
            "client": 4200 + one["id"],
            "cookie": 18446462598732840961 + one["id"],
        }
        for machine, one in mappings(call.state, name)
    ]
    rows = call.dropped("status", rows)
    if call.options.get("format") == "json":
        print(json.dumps({"watchers": rows}))
    elif rows:
        print("Watchers:")
        for row in rows:
            print(f"\twatcher={row['address']} client.{row['client']} cookie={row['cookie']}")
    else:
        print("Watchers: none")


def trash_ls(call):
    if call.options.get("format") == "json":
        print("[]")


TABLE = {
    "info": info,
    "ls": ls,
    "du": du,
    "clone": clone,
    "children": children,
    "flatten": flatten,
    "rm": rm,
    "status": status,
    "trash-ls": trash_ls,
}
