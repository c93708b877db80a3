"""``blockdev`` and ``dmsetup`` for the emulated devices; `blockdev` passes any other path on to the real one."""

import os
import shutil

import parts
from lvm_ask import Stop, not_modelled
from lvm_state import devices, own, use

HERE = os.path.dirname(os.path.realpath(__file__))


def _devices(tool, state):
    """``(names in /dev, image, key)`` of each device that stands on this machine."""
    base = devices(state, tool.machine)
    for folder, _, files in os.walk(base):
        for name in files:
            path = f"{folder}/{name}"
            yield path, os.path.realpath(path)


def blockdev(tool, argv):
    with tool.state() as state:
        known = dict(_devices(tool, state))
        images = {
            own(tool.store, one["image"], tool.machine)
            for group in state["groups"]
            for one in group["volumes"].values()
        }
    return answer(tool, argv, known, images, set())


def answer(tool, argv, known, images, read_only):
    """`known`: device → image; `images`: files that are devices too; `read_only`: images that nobody can write to."""
    wanted = os.path.abspath(argv[-1]) if argv else ""
    if wanted not in known and os.path.realpath(wanted) not in known.values() and wanted not in images:
        _real(argv)
    if tool.suffer("blockdev", "erp"):
        return 0
    if not os.path.exists(wanted):
        raise Stop(1, f"blockdev: cannot open {wanted}: No such file or directory")
    with tool.state() as state:
        write_protected = state.setdefault("write_protected", [])
        key = [os.path.realpath(wanted), tool.machine]
        for word in argv[:-1]:
            _ask(word, key, [*write_protected, key] if key[0] in read_only else write_protected, wanted)
    return 0


def _ask(word, key, write_protected, path):
    if word in ("--setro", "--setrw"):
        if key in write_protected:
            write_protected.remove(key)
        if word == "--setro":
            write_protected.append(key)
    elif word == "--getro":
        print(int(key in write_protected))
    elif word == "--getsize64":
        print(parts.size_of(path))
    elif word in ("--getsz", "--getsize"):
        print(parts.size_of(path) // 512)
    elif word == "--getss":
        print(512)
    elif word != "--flushbufs":
        raise not_modelled(f"blockdev {word}")


def _real(argv):
    """Become the first other program of that name on PATH."""
    path = os.pathsep.join(
        folder for folder in os.environ.get("PATH", "").split(os.pathsep) if not _is_emulator(folder)
    )
    program = shutil.which("blockdev", path=f"{path}:/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise Stop(127, "blockdev: not found")
    os.execv(program, ["blockdev", *argv])


def _is_emulator(folder):
    """Whether a folder's ``blockdev`` is an emulator's: this one, another's, or one that ``wrap`` wrote."""
    try:
        with open(f"{folder}/blockdev", "rb") as file:
            return b"EMULATOR" in file.read(400) or os.path.realpath(folder) == HERE
    except OSError:
        return False


def dmsetup(tool, argv):
    if tool.suffer("dmsetup", "erp"):
        return 0
    with tool.state() as state:
        found = {}
        for group in state["groups"]:
            for volume in group["volumes"].values():
                if tool.machine in volume["active"] and volume["kind"] != "pool":
                    found[f"{group['name'].replace('-', '--')}-{volume['name'].replace('-', '--')}"] = volume["image"]
                if tool.machine in volume["leg_active"]:
                    leg = f"{volume['name']}_rimage_{volume['leg_active'][tool.machine]}"
                    found[f"{group['name'].replace('-', '--')}-{leg.replace('-', '--')}"] = volume["copy"]
    word, *rest = argv or ["help"]
    if word == "ls":
        for number, name in enumerate(sorted(found)):
            print(f"{name}\t(253:{number})")
        return 0
    if word != "info" or len(rest) != 1:
        raise not_modelled(f"dmsetup {' '.join(argv)}")
    name = os.path.basename(rest[0])
    if name not in found:
        raise Stop(1, "Device does not exist.", "Command failed.")
    count = int(bool(use(tool.store, found[name], tool.machine)))
    print(
        f"Name:              {name}\nState:             ACTIVE\nRead Ahead:        256\nTables present:    LIVE\nOpen count:        {count}"
    )
    print(f"Event number:      0\nMajor, minor:      253, {sorted(found).index(name)}\nNumber of targets: 1\n")
    return 0
