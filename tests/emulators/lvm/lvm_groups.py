"""``vgchange``, ``vgexport``, ``vgimport``, ``vgrename``, ``vgimportclone``, ``pvscan``."""

from lvm_ask import Stop, no_syntax, not_modelled, one, parse
from lvm_change import refuse_use, retag
from lvm_show import not_found
from lvm_state import disk_path, is_partial, sees, uuid, visible

VGCHANGE = {"-a": 1, "--activate": 1, "--addtag": 1, "--deltag": 1, "-K": 0, "--ignoreactivationskip": 0, "--refresh": 0, "--activationmode": 1, "--sysinit": 0,
            "--setautoactivation": 1, "--reportformat": 1, "-S": 1, "--select": 1}  # fmt: skip


def vgchange(tool, argv):
    options, words = parse("vgchange", argv, VGCHANGE)
    changes = {"--addtag", "--deltag", "--setautoactivation"} & set(options)
    if "-a" in options and changes:
        raise Stop(3, f"  Command does not accept option: --activate {one(options, '-a')}.")
    if "-a" not in options and not changes and "--refresh" not in options:
        raise no_syntax("vgchange")
    if tool.suffer("vgchange", words[0] if words else "erp"):
        return 0
    lines = []
    for name in words or sorted(visible(tool.store.read(), tool.machine)):
        with tool.state() as state:
            group = tool.group(state, name, to_change=False)
            if "-a" in options:
                lines += _activate(tool, group, options)
            elif changes:
                retag(group, options)
                print(f'  Volume group "{name}" successfully changed')
    if lines:
        raise Stop(5, *lines)
    return 0


def _activate(tool, group, options):
    lines, machine = [], tool.machine
    is_on = not one(options, "-a").endswith("n")
    for volume in group["volumes"].values():
        if is_on and is_partial(group, volume, machine):
            lines.append("  device-mapper: reload ioctl on  (253:4) failed: Invalid argument")
        elif is_on and machine not in volume["active"] and (not volume["skip"] or "-K" in options):
            volume["active"].append(machine)
        elif not is_on:
            lines += _off(tool, group, volume)
    count = sum(machine in volume["active"] for volume in group["volumes"].values())
    if lines and not is_on:
        lines.append(f'  Can\'t deactivate volume group "{group["name"]}" with {count} open logical volume(s)')
    else:
        print(f'  {count} logical volume(s) in volume group "{group["name"]}" now active')
    return lines


def _off(tool, group, volume):
    try:
        if tool.machine in volume["leg_active"]:
            refuse_use(tool, group, f"{volume['name']}_rimage_{volume['leg_active'][tool.machine]}", volume["copy"])
            del volume["leg_active"][tool.machine]
        if tool.machine in volume["active"]:
            refuse_use(tool, group, volume["name"], volume["image"])
            volume["active"].remove(tool.machine)
    except Stop as stop:
        return list(stop.lines)
    return []


def vgexport(tool, argv):
    _, words = parse("vgexport", argv, {"-a": 0, "--all": 0})
    for name in words:
        if tool.suffer("vgexport", name):
            continue
        with tool.state() as state:
            group = tool.group(state, name)
            if any(volume["active"] or volume["leg_active"] for volume in group["volumes"].values()):
                raise Stop(5, f'  Volume group "{name}" has active logical volumes')
            group["exported"] = True
            print(f'  Volume group "{name}" successfully exported')
    return 0


def vgimport(tool, argv):
    _, words = parse("vgimport", argv, {"-a": 0, "--all": 0})
    for name in words:
        if tool.suffer("vgimport", name):
            continue
        with tool.state() as state:
            group = visible(state, tool.machine).get(name)
            if group is None:
                raise Stop(5, *not_found(name))
            if not group["exported"]:
                raise Stop(5, f'  Volume group "{name}" is not exported')
            group["exported"] = False
            print(f'  Volume group "{name}" successfully imported')
    return 0


def vgrename(tool, argv):
    _, words = parse("vgrename", argv, {})
    if len(words) != 2:
        raise no_syntax("vgrename")
    old, new = words
    if tool.suffer("vgrename", old):
        return 0
    with tool.state() as state:
        known = visible(state, tool.machine)
        old = next((group["name"] for group in known.values() if group["uuid"] == old), old)
        group = tool.group(state, old)
        if new in known:
            raise Stop(5, f'  New volume group "{new}" already exists')
        group["name"] = new
        print(f'  Volume group "{old}" successfully renamed to "{new}"')
    return 0


def vgimportclone(tool, argv):
    """New identities and a new name for the copied disks of one group."""
    options, words = parse(
        "vgimportclone", argv, {"-n": 1, "--basevgname": 1, "-i": 0, "--import": 0, "--importdevices": 0}
    )
    if tool.suffer("vgimportclone", "erp"):
        return 0
    with tool.state() as state:
        group = _meant(tool, state, words)
        known = visible(state, tool.machine)
        base = one(options, "-n", group["name"])
        name, number = base, 0
        while name in known and known[name] is not group:
            number += 1
            name = f"{base}{number}"
        if name == group["name"] and known.get(name) is not group:
            name = f"{base}1"
        if group["exported"] and "-i" not in options:
            raise Stop(5, f"  VG {group['name']} on the devices being imported is exported.")
        group.update(name=name, clone=False, exported=False, uuid=uuid(group["uuid"], name))
        for disk in group["disks"].values():
            disk["uuid"] = uuid(disk["uuid"], name)
    return 0


def _meant(tool, state, paths):
    for path in paths:
        if not any(
            disk_path(state, disk, tool.machine) == path
            for group in state["groups"]
            for disk in group["disks"].values()
        ):
            raise Stop(5, f"  Failed to find PV {path}.")
    found = [
        group
        for group in state["groups"]
        if any(
            disk_path(state, disk, tool.machine) in paths and sees(disk, tool.machine)
            for disk in group["disks"].values()
        )
    ]
    if len(found) != 1:
        raise Stop(5, "  PV is part of different VGs." if found else "  Failed to find PVs.")
    absent = [disk for disk in found[0]["disks"].values() if disk_path(state, disk, tool.machine) not in paths]
    if absent:
        lines = [f"  WARNING: Couldn't find device with uuid {disk['uuid']}." for disk in absent]
        lines += [
            f"  Cannot change VG {found[0]['name']} while PVs are missing.",
            "  See vgreduce --removemissing and vgextend --restoremissing.",
        ]
        raise Stop(5, *lines, f"  Failed to read VG {found[0]['name']} from devices being imported.")
    return found[0]


def pvscan(tool, argv):
    options, _ = parse("pvscan", argv, {"--cache": 0, "-a": 1, "--activate": 1, "--listvg": 0, "--udevoutput": 0})
    if tool.suffer("pvscan", "erp"):
        return 0
    if "-a" in options:
        raise not_modelled("autoactivation")
    with tool.state() as state:
        known = visible(state, tool.machine)
        for group in known.values():
            tool.warn(state, group)
            for disk in group["disks"].values():
                path = disk_path(state, disk, tool.machine) if sees(disk, tool.machine) else "[unknown]"
                if "--cache" not in options:
                    print(
                        f"  PV {path}   VG {group['name']}              lvm2 [{group['room'] / 2**20:.2f} MiB / {group['room'] / 2**21:.2f} MiB free]"
                    )
    return 0
