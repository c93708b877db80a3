"""The commands of `rbd`."""

import errno
import json
import os
import signal
import sys

import parts
import rbd_images
from rbd_cluster import (
    Stop,
    reason,
    show_devices,
    store,
)
from rbd_devices import device_list, map_, unmap
from rbd_groups import (
    Dead,
    Kept,
    group_create,
    group_image_add,
    group_image_ls,
    group_image_rm,
    group_ls,
    group_rm,
    group_snap_create,
    group_snap_info,
    group_snap_ls,
    group_snap_rm,
)
from rbd_snaps import snap_create, snap_ls, snap_protect, snap_purge, snap_rm, snap_rollback, snap_unprotect
from rbd_words import parse


class Call:
    """One invocation: options, words, state, faults."""

    def __init__(self, state, faults, options, words):
        self.state, self.faults, self.options, self.words = state, faults, options, words

    def show(self, rows, columns, name, plain=None):
        """A list as JSON, or as a table with `columns` = [(header, key, is right aligned)]."""
        if self.options.get("format") in ("json", "xml"):
            print(json.dumps(rows, indent=4 if "pretty" in self.options else None))
            return
        rows = plain if plain is not None else rows
        if not rows:
            return
        cells = [[str(row.get(key, "")) for _, key, _ in columns] for row in rows]
        widths = [max(len(c) for c in (header, *(row[n] for row in cells))) for n, (header, _, _) in enumerate(columns)]
        for row in [[header for header, _, _ in columns], *cells]:
            print(
                "  ".join(
                    c.rjust(w) if right else c.ljust(w)
                    for c, w, (_, _, right) in zip(row, widths, columns, strict=True)
                ).rstrip()
            )

    def progress(self, what, is_good=True):
        if "no-progress" not in self.options:
            print(f"{what}: 100% complete...done." if is_good else f"{what}: 0% complete...failed.", file=sys.stderr)

    def dropped(self, word, rows):
        return rows[1:] if self.faults.take(word, "drop")[0] else rows


TABLE = {
    "snap-create": snap_create,
    "snap-ls": snap_ls,
    "snap-rm": snap_rm,
    "snap-protect": snap_protect,
    "snap-unprotect": snap_unprotect,
    "snap-rollback": snap_rollback,
    "snap-purge": snap_purge,
    "group-create": group_create,
    "group-ls": group_ls,
    "group-rm": group_rm,
    "group-image-add": group_image_add,
    "group-image-ls": group_image_ls,
    "group-image-rm": group_image_rm,
    "group-snap-create": group_snap_create,
    "group-snap-ls": group_snap_ls,
    "group-snap-info": group_snap_info,
    "group-snap-rm": group_snap_rm,
    "map": map_,
    "unmap": unmap,
    "device-list": device_list,
    **rbd_images.TABLE,
}


def main(argv):
    machine = store()
    machine.note(["rbd", *argv])
    faults = parts.Faults(machine)
    try:
        command, options, words = parse(argv)
        kind = faults.before(command)
        if kind in ("fail", "busy"):
            code = errno.EIO if kind == "fail" else errno.EBUSY
            raise Stop(code, f"rbd: {command.replace('-', ' ')} error: {reason(code)}")
        kind_code, value = faults.take(command, "code")
        if kind_code:
            raise Stop(int(value), f"rbd: {command.replace('-', ' ')} error: {reason(int(value))}")
        if kind != "lie":
            perform(machine, faults, command, options, words)
        faults.after(command)
    except Stop as stop:
        sys.stdout.flush()
        if str(stop):
            print(stop, file=sys.stderr)
        return stop.code
    return 0


def perform(machine, faults, command, options, words):
    """Run the command; what Kept and Dead leave behind is written down before they end it."""
    end = None
    with machine.locked() as state:
        show_devices(state)
        try:
            TABLE[command](Call(state, faults, options, words))
        except (Kept, Dead) as stop:
            end = stop
    if isinstance(end, Dead):
        os.kill(os.getpid(), signal.SIGKILL)
    if end:
        raise end
