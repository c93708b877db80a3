"""The cluster: images, snapshots, clones, groups, mappings, and their bytes.

``images``: ``POOL/NAME`` → ``{"id", "data", "features", "op_features", "parent": {...} or None, "snaps": [...], "group",
"watchers", "created"}``; a snapshot is ``{"id", "name", "data", "protected", "when", "type": user|group|trash, ...}``.
``groups``: ``POOL/NAME`` → ``{"id", "images": [POOL/NAME], "snaps": {NAME: {"id", "state", "image_snap_name", "of": {IMAGE: ID}}}}``.
``mapped``: machine → ``[{"id", "pool", "name", "snap", "ro", "file"}]``.
"""

import contextlib
import errno
import os
import time

import parts

OBJECT_BYTES = 4 * 2**20
TEXTS = {
    errno.ENOENT: "No such file or directory",
    errno.EIO: "Input/output error",
    errno.EBUSY: "Device or resource busy",
    errno.EEXIST: "File exists",
    errno.EINVAL: "Invalid argument",
    errno.EROFS: "Read-only file system",
    errno.ENOTEMPTY: "Directory not empty",
    errno.ENXIO: "No such device or address",
    errno.EPERM: "Operation not permitted",
}


class Stop(Exception):
    """The end of a command: an errno, and what it says on standard error."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code


def reason(code):
    return f"({code}) {TEXTS.get(code) or os.strerror(code)}"


def store():
    path = os.environ.get("RBD_EMULATOR_STATE")
    if not path:
        raise SystemExit("RBD_EMULATOR_STATE is not set")
    return parts.Store(path)


def host():
    return os.environ.get("RBD_EMULATOR_HOST", "db1")


def next_number(state, what):
    state[what] = state.get(what, 0) + 1
    return state[what]


def new_id(state):
    return f"{0x10AB0000 + next_number(state, 'ids') * 0x1A3:x}"


def new_file(state):
    folder = store().path + ".data"
    os.makedirs(folder, exist_ok=True)
    return f"{folder}/{next_number(state, 'files')}"


def new_image(state, data, parent=None):
    return {
        "id": new_id(state),
        "data": data,
        "features": list(state["features"]),
        "op_features": [],
        "parent": parent,
        "snaps": [],
        "group": "",
        "watchers": [],
        "created": int(parts.now(state)),
    }


def ctime(when):
    return time.ctime(when)


# ---- finding ----


def image_of(state, name, what="error opening image"):
    """An image, or Stop as `rbd` says it."""
    if name not in state.get("images", {}):
        short = name.partition("/")[2]
        raise Stop(errno.ENOENT, f"rbd: {what} {short}: {reason(errno.ENOENT)}")
    return state["images"][name]


def snap_of(image, name):
    """A snapshot in the user's namespace, or None."""
    return next((one for one in image["snaps"] if one["name"] == name and one["type"] == "user"), None)


def snap_by_id(image, number):
    return next((one for one in image["snaps"] if one["id"] == number), None)


def group_of(state, name, what):
    if name not in state.get("groups", {}):
        raise Stop(errno.ENOENT, f"rbd: {what}: {reason(errno.ENOENT)}")
    return state["groups"][name]


def children_of(state, name, number):
    """Images that are clones of that snapshot."""
    return sorted(
        child
        for child, one in state["images"].items()
        if one["parent"] and (one["parent"]["image"], one["parent"]["snap_id"]) == (name, number)
    )


# ---- bytes ----


def copy_bytes(pairs, half_way=lambda: None, torn=False):
    if not parts.take([{"primary": a, "copy": b, "done": 0, "moved": 0} for a, b in pairs], half_way, torn):
        raise Stop(errno.EIO, "emulator: the images never stood still")


def drop(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def new_snap(state, name, data, kind="user", **more):
    os.chmod(data, 0o400)
    return {
        "id": next_number(state, "snap_ids"),
        "name": name,
        "data": data,
        "protected": False,
        "when": int(parts.now(state)),
        "type": kind,
        **more,
    }


def remove_snap(state, image_name, image, snap):
    """Take a snapshot away, or keep it in the trash while clones of the second version hang on it."""
    if children_of(state, image_name, snap["id"]):
        snap.update(type="trash", original_name=snap["name"], original_type=snap["type"], name=f"{new_id(state)}-trash")
        return
    image["snaps"].remove(snap)
    drop(snap["data"])


def forget_parent(state, parent):
    """A clone is gone or flattened: a snapshot that waited in the trash for that goes too."""
    image = state["images"].get(parent["image"])
    snap = snap_by_id(image, parent["snap_id"]) if image else None
    if snap and snap["type"] == "trash" and not children_of(state, parent["image"], snap["id"]):
        image["snaps"].remove(snap)
        drop(snap["data"])


# ---- devices ----


def device_folder(state):
    return state["devices"] if host() == "db1" else f"{state['devices']}.{host()}"


def show_devices(state, is_late=False):
    """Make the folder of devices show what is mapped here."""
    folder, wanted = device_folder(state), {}
    for one in state.get("mapped", {}).get(host(), []):
        device = parts.as_device(one["file"])
        wanted[f"rbd{one['id']}"] = device
        at = f"@{one['snap']}" if one["snap"] != "-" else ""
        wanted[f"rbd/{one['pool']}/{one['name']}{at}"] = device
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if wanted.get(os.path.relpath(path, folder)) != os.readlink(path):
                if top == folder:  # the other link is to the same device
                    parts.drop_device(os.readlink(path))
                os.unlink(path)
    for name, data in wanted.items():
        path = os.path.join(folder, name)
        if not os.path.lexists(path) and not is_late:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(data, path)


def is_open(path):
    """Whether a process has the file open, or a loop device lies over it."""
    real = os.path.realpath(path)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(pid) != os.getpid() and any(
                os.readlink(f"/proc/{pid}/fd/{n}") == real for n in os.listdir(f"/proc/{pid}/fd")
            ):
                return True
    return real in parts.loops()


# ---- numbers ----


def human(size):
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1 and size % 1024 == 0:
        size //= 1024
        units.pop(0)
    while size >= 10240 and len(units) > 1:
        size //= 1024
        units.pop(0)
    return f"{size} {units[0]}"
