"""``vxdisk``, ``vxvol``, ``vxrecover``, ``vxdctl``, ``vxedit``: what is seen, what is started, what is removed."""

from vxvm_layout import blocks
from vxvm_machine import NO_OBJECT, USAGE, WRONG_STATE, Stop, is_lost, require_closed, volume_of

# ---- vxdisk, vxdctl ----


def list_disks(call, operands):
    with call.world() as state:
        known = state["known"][call.host]
        for da in operands:
            if da not in known:
                raise Stop(NO_OBJECT, f"Device {da}: not found")
            _describe_disk(state, da)
        if operands:
            return
        if "q" not in call.opts:
            print(_disk_row("DEVICE", "TYPE", "DISK", "GROUP", "STATUS"))
        for da in known:
            disk, config = state["disks"][da], config_of(state, da)
            is_here = config is not None and call.host in config["importers"]
            group = config["name"] if is_here else "-"
            if config is not None and not is_here and "alldgs" in call.opts["o"]:
                group = f"({config['written']})"
            status = " ".join(filter(None, ["error" if disk["failed"] else "online", disk["flag"]]))
            print(_disk_row(da, "auto:cdsdisk", disk["dm"] if is_here else "-", group, status))


def _disk_row(*fields):
    return "{:<12} {:<15} {:<12} {:<12} {}".format(*fields)


def config_of(state, da):
    return next((one for one in state["configs"].values() if da in one["disks"]), None)


def _describe_disk(state, da):
    disk, config = state["disks"][da], config_of(state, da)
    print(f"Device:    {da}\ndevicetag: {da}\ntype:      auto\nhostid:    {config['lock'] if config else ''}")
    print(f"disk:      name={disk['dm'] if config else ''} id={disk['id']}")
    print(f"group:     name={config['name'] if config else ''} id={config['dgid'] if config else ''}")
    flags = (
        "online ready private autoconfig"
        + (" imported" if config and config["importers"] else "")
        + (f" {disk['flag']}" if disk["flag"] else "")
    )
    print(f"info:      format=cdsdisk,privoffset=256,pubslice=2,privslice=2\nflags:     {flags}")
    print(f"pubpaths:  block={disk['image']} char={disk['image']}")
    print(f"udid:      EMULATED%5FARRAY%5F{da}")
    if disk["image"]:
        print(f"public:    slice=2 offset=2304 len={blocks(disk['image'])} disk_offset=0")


def scan(call, operands):
    """New disks are known from now on."""
    with call.world() as state:
        state["known"][call.host] = [da for da, disk in state["disks"].items() if call.host in disk["hosts"]]


def hostid(call, operands):
    print(f"Volboot file\nversion: 3/1\nseqno:   0.5\nhostid:  {call.host}")


VXDISK = {"list": list_disks, "scandisks": scan}
VXDCTL = {"enable": scan, "list": hostid}


# ---- vxvol, vxrecover, vxedit ----


def start(call, operands):
    if not operands:
        raise Stop(USAGE, "Usage: vxvol start volume ...")
    with call.world() as state:
        config = call.group(state, changing=True)
        for name in operands:
            volume = volume_of(config, name)
            if volume["enabled"] and state["settings"]["started_fails"]:
                raise Stop(WRONG_STATE, f"Volume {name} is already started")
            if is_lost(state, volume):
                raise Stop(WRONG_STATE, f"Volume {name} has no CLEAN or non-volatile ACTIVE plexes")
            volume["enabled"] = True


def start_all(call, operands):
    with call.world() as state:
        config = call.group(state, changing=True)
        lost = [one["name"] for one in config["volumes"] if is_lost(state, one)]
        for volume in config["volumes"]:
            volume["enabled"] = volume["name"] not in lost
    if lost:
        raise Stop(WRONG_STATE, f"Volume {lost[0]} has no CLEAN or non-volatile ACTIVE plexes")


def stop(call, operands):
    with call.world() as state:
        config = call.group(state, changing=True)
        chosen = config["volumes"] if call.keyword == "stopall" else [volume_of(config, name) for name in operands]
        for volume in chosen:
            require_closed(state, config, volume)
        for volume in chosen:
            volume["enabled"] = False


def recover(call, operands):
    """Starts volumes with ``-s``."""
    if "s" in call.opts:
        (start if operands else start_all)(call, operands)
    else:
        with call.world() as state:
            call.group(state)


def remove(call, operands):
    """``vxedit -r rm``: a volume that is stopped, or with ``-f``."""
    with call.world() as state:
        config = call.group(state, changing=True)
        for name in operands:
            volume = volume_of(config, name)
            require_closed(state, config, volume)
            if volume["enabled"] and "f" not in call.opts:
                raise Stop(WRONG_STATE, f"Volume {name} is enabled")
            config["volumes"].remove(volume)
            for plex in volume["plexes"]:
                state["pairs"].get(plex["pair"], {}).pop("base", None)


VXVOL = {"start": start, "startall": start_all, "stop": stop, "stopall": stop}
VXEDIT = {"rm": remove}
