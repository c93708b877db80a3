"""Every program by name: its faults, its state under the lock, its exit code."""

import contextlib
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]

import lvm_change
import lvm_convert
import lvm_create
import lvm_devices
import lvm_groups
import lvm_show
import parts
from lvm_ask import Hang, Stop, no_syntax, parse
from lvm_state import host, relink, settle, visible

VERSION = (
    "  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185 (2022-05-18)\n  Driver version:  4.47.0"
)


class Tool:
    """One invocation on one machine."""

    def __init__(self, name):
        self.name, self.machine = name, host()
        self.store = parts.Store(os.path.abspath(os.environ["LVM_EMULATOR_STATE"]))
        self.faults = parts.Faults(self.store)
        self.word, self.hangs_after, self.warned = name, False, set()

    @contextlib.contextmanager
    def state(self):
        """The state, with everything as far as the clock lets it be."""
        with self.store.locked() as state:
            state.setdefault("groups", [])
            settle(state)
            relink(self.store, state)
            yield state
            relink(self.store, state, is_lost=bool(self.faults.take("udev", "lost")[0]))

    def suffer(self, word, group):
        """What goes wrong with a move before anything is done. Whether the program only pretends."""
        self.word = word
        found = self.faults.before(word)
        if found == "busy":
            raise Stop(5, f"  Can't get lock for {group}", f"  Cannot process volume group {group}")
        if found == "fail":
            raise Stop(5, "  device-mapper: resume ioctl on  (253:4) failed: Input/output error")
        kind, code = self.faults.take(word, "code")
        if kind:
            raise Stop(int(code))
        return found == "lie"

    def about(self, volume):
        """A move is about this volume: what goes wrong with it alone."""
        for kind in ("lv", "lv-hang", "lv-hang-after"):
            found, name = self.faults.take(self.word, kind)
            if found and name == volume:
                if kind == "lv-hang":
                    raise Hang
                if kind == "lv":
                    raise Stop(5, "  device-mapper: resume ioctl on  (253:4) failed: Input/output error")
                self.hangs_after = True

    def group(self, state, name, to_change=True):
        """A group by name, which may be changed."""
        found = visible(state, self.machine).get(name)
        if found is None:
            raise Stop(5, *lvm_show.not_found(name))
        self.warn(state, found)
        if found["exported"]:
            raise Stop(5, f"  Volume group {name} is exported")
        if to_change and lvm_show.warnings(state, found, self.machine):
            raise Stop(
                5,
                f"  Cannot change VG {name} while PVs are missing.",
                "  See vgreduce --removemissing and vgextend --restoremissing.",
                f"  Cannot process volume group {name}",
            )
        return found

    def volume(self, group, name):
        if name not in group["volumes"]:
            raise Stop(5, f'  Failed to find logical volume "{group["name"]}/{name}"')
        return group["volumes"][name]

    def warn(self, state, group):
        self._say(lvm_show.warnings(state, group, self.machine), id(group))

    def warn_of_copy(self, state, group):
        self._say(lvm_show.copy_warnings(state, group, self.machine), id(group))

    def _say(self, lines, key):
        if key not in self.warned:
            self.warned.add(key)
            for line in lines:
                print(line, file=sys.stderr)


def reporter(name):
    def run(tool, argv):
        options, words = parse(name, argv, lvm_show.LVS)
        if tool.suffer(name, words[0] if words else "erp"):
            return 0
        return lvm_show.report(tool, name, options, words)

    return run


TOOLS = {
    **{name: reporter(name) for name in ("lvs", "vgs", "pvs")},
    "lvconvert": lvm_convert.lvconvert,
    "lvcreate": lvm_create.lvcreate,
    "lvchange": lvm_change.lvchange,
    "lvremove": lvm_change.lvremove,
    "vgchange": lvm_groups.vgchange,
    "vgexport": lvm_groups.vgexport,
    "vgimport": lvm_groups.vgimport,
    "vgrename": lvm_groups.vgrename,
    "vgimportclone": lvm_groups.vgimportclone,
    "pvscan": lvm_groups.pvscan,
    "blockdev": lvm_devices.blockdev,
    "dmsetup": lvm_devices.dmsetup,
}


def main(name, argv):
    tool = Tool(name)
    tool.store.note([name, *argv])
    if name == "lvm":
        if not argv or argv[0] not in TOOLS or argv[0] in ("blockdev", "dmsetup"):
            print("  No such command.  Try 'lvm help'.", file=sys.stderr)
            return 2
        name, argv = argv[0], argv[1:]
        tool.name = name
    if "--version" in argv and name not in ("blockdev", "dmsetup"):
        print(VERSION)
        return 0
    try:
        if not argv and name in (
            "lvconvert",
            "lvcreate",
            "lvchange",
            "lvremove",
            "vgexport",
            "vgrename",
            "vgimportclone",
        ):
            raise no_syntax(name)
        code = TOOLS[name](tool, argv)
    except Hang:
        parts.hang()
    except Stop as stop:
        for line in stop.lines:
            print(line, file=sys.stderr)
        code = stop.code
    tool.faults.after(tool.word)
    if tool.hangs_after:
        parts.hang()
    return code or 0
