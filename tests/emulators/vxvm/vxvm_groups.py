"""``vxdg``: groups that are divided, joined, and move between hosts; and the bit copies that an array makes of them."""

import os

import parts
from vxvm_machine import (
    FAILED,
    NAME_TAKEN,
    NO_DISK,
    NO_GROUP,
    OPEN,
    USAGE,
    WRONG_STATE,
    Stop,
    is_lost,
    require_closed,
    require_name_free,
    spoil_if_shared,
    valid_percent,
    volume_of,
)

CLONE, MISMATCH = "clone_disk", "udid_mismatch"


def failed_to_import(name, why, code=FAILED):
    return Stop(code, f"Disk group {name}: import failed: {why}")


# ---- vxdg list ----


def list_groups(call, operands):
    with call.world() as state:
        here = [one for one in state["configs"].values() if call.host in one["importers"]]
        if operands:
            for name in operands:
                _describe(state, call.group(state, name))
            return
        if "q" not in call.opts:
            print("NAME         STATE           ID")
        for config in here:
            flags = "enabled,cds" + (",cloned" if config["is_clone"] else "")
            print(f"{config['name']:<12} {flags:<20} {config['dgid']}")


def _describe(state, config):
    print(f"Group:     {config['name']}\ndgid:      {config['dgid']}\nimport-id: 1024.1\nflags:     cds")
    print("version:   140\nalignment: 8192 (bytes)\nlocal-activation: read-write\nssb:            on")
    print(
        "detach-policy: global\ncopies:    nconfig=default nlog=default\nconfig:    seqno=0.1183 permlen=1280 free=1260 templen=8 loglen=192"
    )
    for da in config["disks"]:
        print(f"config disk {da} copy 1 len=1280 state={'failed' if state['disks'][da]['failed'] else 'clean online'}")


# ---- vxdg split, join ----


def split(call, operands):
    if len(operands) < 3:
        raise Stop(USAGE, "Usage: vxdg split sourcedg targetdg object ...")
    source_name, target, *names = operands
    with call.world() as state:
        source = call.group(state, source_name, changing=True)
        _require_group_name_free(call, state, target)
        moving = [volume_of(source, name) for name in names]
        disks = {plex["disk"] for one in moving for plex in one["plexes"]}
        beside = [v for v in source["volumes"] if v not in moving and disks & {p["disk"] for p in v["plexes"]}]
        if beside and "expand" not in call.opts["o"]:
            raise Stop(
                WRONG_STATE, f"Disk for {beside[0]['name']} would be divided: not all objects of a disk are moved"
            )
        moving += beside
        for volume in moving:
            _require_movable(state, source, volume)
        if not set(source["disks"]) - disks:
            raise Stop(WRONG_STATE, "No disk would be left in the source disk group")
        state["configs"][_new_config(state, call.host, target, sorted(disks), moving)]["is_clone"] = source["is_clone"]
        source["disks"] = [da for da in source["disks"] if da not in disks]
        source["volumes"] = [one for one in source["volumes"] if one not in moving]
        for volume in moving:
            volume.update(enabled=False, has_moved=True)


def _require_movable(state, config, volume):
    require_closed(state, config, volume)
    if "" in {plex["disk"] for plex in volume["plexes"]}:
        raise Stop(WRONG_STATE, f"Volume {volume['name']} uses a cache object that is not moved")
    if valid_percent(state, volume) < 100.0:
        raise Stop(WRONG_STATE, f"Volume {volume['name']} is not fully synchronized")


def _require_group_name_free(call, state, name, but=None):
    for config in state["configs"].values():
        if config is not but and call.host in config["importers"] and config["name"] == name:
            raise Stop(NAME_TAKEN, f"Disk group {name}: Disk group exists and is imported")


def _new_config(state, host, name, disks, volumes):
    state["serial"] += 1
    key = f"dg{state['serial']}"
    state["configs"][key] = {
        "name": name,
        "written": name,
        "dgid": f"{1034108846 + state['serial']}.{state['serial']}.{host}",
        "lock": host,
        "importers": [host],
        "disks": disks,
        "volumes": volumes,
        "is_clone": False,
    }
    return key


def join(call, operands):
    if len(operands) != 2:
        raise Stop(USAGE, "Usage: vxdg join sourcedg targetdg")
    with call.world() as state:
        source, target = (call.group(state, name, changing=True) for name in operands)
        if source is target:
            raise Stop(USAGE, "Source and target are the same disk group")
        for volume in source["volumes"]:
            require_closed(state, source, volume)
            require_name_free(target, volume["name"])
            volume.update(enabled=False, has_moved=True)
        target["disks"] += source["disks"]
        target["volumes"] += source["volumes"]
        _drop(state, source)


def _drop(state, config):
    for key in [key for key, one in state["configs"].items() if one is config]:
        del state["configs"][key]


# ---- vxdg deport, import ----


def deport(call, operands):
    if not operands:
        raise Stop(USAGE, "Usage: vxdg deport diskgroup ...")
    with call.world() as state:
        for name in operands:
            config = call.group(state, name)
            if any(host == call.host and dgid == config["dgid"] for host, dgid, _ in state["open"]):
                raise Stop(OPEN, f"Disk group {name}: Some volumes in the disk group are in use")
            spoil_if_shared(config)
            config["importers"].remove(call.host)
            config["written"] = call.opts.get("n", config["written"])
            config["name"] = config["written"]
            config["lock"] = call.opts.get("h", "") if not config["importers"] else config["importers"][0]
            for volume in config["volumes"]:
                volume.update(enabled=volume["enabled"] and bool(config["importers"]), has_moved=True)


def import_group(call, operands):
    if not operands:
        raise Stop(USAGE, "Usage: vxdg import diskgroup ...")
    with call.world() as state:
        for name in operands:
            _import(call, state, name)


def _import(call, state, name):
    settings, opts = state["settings"], call.opts
    wants_clone, gets_id = "useclonedev=on" in opts["o"], "updateid" in opts["o"]
    if (wants_clone or gets_id) and not settings["has_udid"]:
        raise Stop(USAGE, "-o: unknown option; Usage: vxdg [-Cfst] [-n newname] import diskgroup")
    config = _candidate(call, state, name, wants_clone, settings["has_udid"])
    if config["lock"] not in ("", call.host) and "C" not in opts:
        raise failed_to_import(name, "Disk is in use by another host")
    here = [one for one in state["configs"].values() if call.host in one["importers"]]
    if config["dgid"] in {one["dgid"] for one in here} and not gets_id:
        raise failed_to_import(name, "Disk group exists and is imported", NAME_TAKEN)
    new = opts.get("n", config["written"])
    _require_group_name_free(call, state, new)
    if any(state["disks"][da]["failed"] for da in config["disks"]) and "f" not in opts:
        raise failed_to_import(name, "Disk for disk group not found", NO_DISK)
    if gets_id and wants_clone:
        state["serial"] += 1
        config["dgid"] = f"{1034108846 + state['serial']}.{state['serial']}.{call.host}"
    config["name"] = new
    if "t" not in opts:
        config["written"] = new
    if wants_clone:
        for da in config["disks"]:
            state["disks"][da]["flag"] = CLONE
    config["importers"].append(call.host)
    config["lock"] = call.host
    for volume in config["volumes"]:
        volume["enabled"] = volume["enabled"] or (settings["autostart"] and not is_lost(state, volume))
    spoil_if_shared(config)


def _candidate(call, state, name, wants_clone, has_udid):
    """What a name or id means on this host. Groups that are imported here already are no candidates."""
    known = set(state["known"][call.host])
    seen = [one for one in state["configs"].values() if known & set(one["disks"])]
    named = [one for one in seen if name in (one["written"], one["dgid"]) and call.host not in one["importers"]]
    if not wants_clone and any(name in (one["name"], one["dgid"]) for one in seen if call.host in one["importers"]):
        raise failed_to_import(name, "Disk group exists and is imported", NAME_TAKEN)
    twins = [one for one in named if one["is_clone"]]
    found = twins if wants_clone else [one for one in named if not one["is_clone"]]
    if twins and not wants_clone:
        beside = [one for one in seen if one["dgid"] == twins[0]["dgid"] and not one["is_clone"]]
        if (not found and has_udid) or (beside and not has_udid):
            raise failed_to_import(name, "DG import duplicate clone detected")
        found = found or twins
    if not found:
        raise failed_to_import(name, "No valid disk found containing disk group", NO_GROUP)
    if len(found) > 1:
        raise failed_to_import(name, "Multiple disk groups have that name: use the disk group id", NO_GROUP)
    return found[0]


def flush(call, operands):
    with call.world() as state:
        for name in operands:
            call.group(state, name)


VXDG = {"list": list_groups, "split": split, "join": join, "deport": deport, "import": import_group, "flush": flush}


# ---- what an array does ----


def twin(state, config, images, hosts):
    """A bit copy of every disk of `config`: same names and ids, other disks, seen by `hosts` once they look."""
    state["serial"] += 1
    number = state["serial"]
    devices = {}
    for k, da in enumerate(config["disks"]):
        disk = state["disks"][da]
        image = images.get(disk["image"], "")
        flag = MISMATCH if state["settings"]["has_udid"] else ""
        devices[da] = f"c{number}t{k}d0"
        state["disks"][devices[da]] = {**disk, "image": image, "hosts": hosts, "flag": flag, "failed": not image}
    volumes = []
    for volume in config["volumes"]:
        plexes = [
            {**p, "disk": devices.get(p["disk"], ""), "pair": ""} for p in volume["plexes"] if p["state"] == "ACTIVE"
        ]
        image = images.get(volume["image"], "")
        if image:
            volumes.append(
                {
                    **volume,
                    "image": image,
                    "plexes": plexes,
                    "enabled": False,
                    "uid": f"{volume['uid']}.{number}",
                    "parent": "",
                }
            )
    written = {
        **config,
        "name": config["written"],
        "importers": [],
        "disks": list(devices.values()),
        "volumes": volumes,
    }
    state["configs"][f"dg{number}"] = {**written, "is_clone": True}
    for primary, copy in images.items():
        if not os.path.exists(copy):
            parts.take([{"primary": primary, "copy": copy}], torn_allowed=True)
