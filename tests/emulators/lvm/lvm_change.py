"""``lvchange`` and ``lvremove``."""

import contextlib
import os

import parts
from lvm_ask import Stop, agreed, no_syntax, not_modelled, one, parse
from lvm_show import name_of
from lvm_state import action, image, is_partial, is_synced, leg_of, use

KNOWN = {"-a": 1, "--activate": 1, "-K": 0, "--ignoreactivationskip": 0, "-p": 1, "--permission": 1, "--syncaction": 1, "--addtag": 1, "--deltag": 1,
         "--refresh": 0, "-k": 1, "--setactivationskip": 1, "--activationmode": 1, "--sysinit": 0, "--resync": 0, "--setautoactivation": 1,
         "--maxrecoveryrate": 1, "--minrecoveryrate": 1, "--reportformat": 1}  # fmt: skip
CHANGES = ("-p", "--addtag", "--deltag", "-k", "--setautoactivation", "--maxrecoveryrate", "--minrecoveryrate")


def lvchange(tool, argv):
    options, words = parse("lvchange", argv, KNOWN)
    if not words or not {"-a", "--syncaction", "--refresh", *CHANGES} & set(options):
        raise no_syntax("lvchange")
    if "--resync" in options:
        raise not_modelled("--resync")
    if (check := one(options, "--syncaction", "check")) not in ("check", "repair"):
        raise Stop(3, f"  Invalid argument for --syncaction: {check}", "  Error during parsing of command line.")
    if one(options, "-a", "y") not in ("y", "n", "ay", "ey", "ly", "en", "ln"):
        raise Stop(
            3, f"  Invalid argument for --activate: {one(options, '-a')}", "  Error during parsing of command line."
        )
    lines = []
    for word in words:
        try:
            _one(tool, options, word)
        except Stop as stop:
            if stop.code != 5:
                raise
            lines += stop.lines
    if lines:
        raise Stop(5, *lines)
    return 0


def _word(options):
    if "-a" in options:
        return "deactivate" if one(options, "-a").endswith("n") else "activate"
    if "--syncaction" in options:
        return "check"
    return "tag" if {"--addtag", "--deltag"} & set(options) else "change"


def _one(tool, options, word):
    name, volume_name = name_of(word)
    if tool.suffer(_word(options), name):
        return
    with tool.state() as state:
        group = tool.group(state, name, to_change=bool({"-p", "-k"} & set(options)))
        for volume in [volume_name] if volume_name else list(group["volumes"]):
            _volume(tool, state, group, volume, options)


def _volume(tool, state, group, name, options):
    part = leg_of(group, name)
    if part and name not in group["volumes"]:
        return _leg(tool, group, name, options, *part)
    volume = tool.volume(group, name)
    tool.about(name)
    if "--syncaction" in options:
        return _check(tool, state, group, volume, one(options, "--syncaction"))
    if set(CHANGES) & set(options):
        _change(group, volume, options)
    if "-a" in options:
        (_deactivate if one(options, "-a").endswith("n") else _activate)(tool, group, volume, options)
    return None


def _activate(tool, group, volume, options):
    if volume["skip"] and "-K" not in options:
        return
    if is_partial(group, volume, tool.machine):
        raise Stop(5, "  device-mapper: reload ioctl on  (253:4) failed: Invalid argument")
    if tool.machine not in volume["active"]:
        volume["active"].append(tool.machine)


def _deactivate(tool, group, volume, options):
    if tool.machine not in volume["active"]:
        return
    bound = [volume]
    if volume["kind"] == "thick":
        others = [
            one
            for one in group["volumes"].values()
            if one.get("origin") == volume["origin"] and one["kind"] == "thick" and one is not volume
        ]
        full, origin = f"{group['name']}/{volume['name']}", f"{group['name']}/{volume['origin']}"
        more = f" and {len(others)} other snapshot(s)" if others else ""
        if not agreed(options, f"Change of snapshot {full} will also change its origin {origin}{more}. Proceed?"):
            raise Stop(5, f"  Logical volume {full} not changed.")
        bound = [group["volumes"][volume["origin"]], *others, volume]
    elif any(one["kind"] == "thick" and one.get("origin") == volume["name"] for one in group["volumes"].values()):
        bound += [
            one for one in group["volumes"].values() if one["kind"] == "thick" and one.get("origin") == volume["name"]
        ]
    for one_volume in bound:
        refuse_use(tool, group, one_volume["name"], image(one_volume))
    for one_volume in bound:
        with contextlib.suppress(ValueError):
            one_volume["active"].remove(tool.machine)


def refuse_use(tool, group, name, path):
    found = use(tool.store, path, tool.machine)
    if found:
        raise Stop(
            5,
            f"  Logical volume {group['name']}/{name} {'contains a filesystem in use' if found == 'mounted' else 'in use'}.",
        )


def _leg(tool, group, name, options, volume, kind, number):
    """A part of a raid volume: with a question, and only what can be seen is done without a yes."""
    if "-a" not in options:
        if "--refresh" in options:
            return
        raise Stop(
            5,
            f"  Operation not permitted on hidden LV {group['name']}/{name}."
            if volume["tracked"] != number
            else f"  Can't change LV {group['name']}/{name} used as RAID device.",
        )
    if kind != "rimage":
        raise not_modelled("activation of metadata")
    tool.about(name)
    if one(options, "-a").endswith("n"):
        if tool.machine in volume["leg_active"]:
            refuse_use(tool, group, name, volume["copy"])
            del volume["leg_active"][tool.machine]
        return
    may = agreed(options, "Do you want to activate component LV in read-only mode?")
    if may:
        print("  Allowing activation of component LV.")
    if is_partial(group, volume, tool.machine, number):
        raise Stop(5, "  device-mapper: reload ioctl on  (253:4) failed: Invalid argument")
    if volume["tracked"] == number or (may and tool.machine not in volume["active"]):
        volume["leg_active"][tool.machine] = number


def _check(tool, state, group, volume, what):
    full = f"{group['name']}/{volume['name']}"
    if volume["kind"] != "raid" or tool.machine not in volume["active"]:
        raise Stop(
            5,
            f"  Command on LV {full} does not accept LV type {volume['kind']}."
            if volume["kind"] != "raid"
            else f"  Unable to send message to an inactive logical volume: {full}.",
        )
    if not is_synced(volume) or volume.get("action"):
        raise Stop(5, f'  {full} state is currently "{action(volume)}".  Unable to switch to "{what}".')
    if volume["tracked"] is None:
        volume["action"] = {"what": what, "began": parts.now(state)}


def _change(group, volume, options):
    full = f"{group['name']}/{volume['name']}"
    if "-p" in options:
        wanted = one(options, "-p") == "r"
        if wanted == volume["read_only"]:
            raise Stop(5, f'  Logical volume "{full}" is already {"read only" if wanted else "writable"}.')
        volume["read_only"] = wanted
    if "-k" in options:
        volume["skip"] = one(options, "-k") == "y"
    retag(volume, options)
    print(f"  Logical volume {full} changed.")


def retag(thing, options):
    thing["tags"] = [tag for tag in thing["tags"] if tag not in options.get("--deltag", [])]
    thing["tags"] += [tag for tag in options.get("--addtag", []) if tag not in thing["tags"]]


def lvremove(tool, argv):
    options, words = parse("lvremove", argv, {"--nohistory": 0, "--noudevsync": 0})
    lines = []
    for word in words:
        name, volume = name_of(word)
        if not volume:
            raise not_modelled("removing all volumes of a group")
        try:
            if tool.suffer("remove", name):
                continue
            with tool.state() as state:
                _remove(tool, tool.group(state, name, to_change=False), volume, options)
        except Stop as stop:
            lines += stop.lines
    if lines:
        raise Stop(5, *lines)
    return 0


def _remove(tool, group, name, options):
    if leg_of(group, name) and name not in group["volumes"]:
        raise Stop(5, f"  Can't remove logical volume {group['name']}/{name} used as RAID device.")
    volume = tool.volume(group, name)
    tool.about(name)
    if tool.machine in volume["active"]:
        refuse_use(tool, group, name, image(volume))
        if not agreed(options, f"Do you really want to remove active logical volume {group['name']}/{name}?"):
            raise Stop(5, f"  Logical volume {group['name']}/{name} not removed.")
    bound = [other["name"] for other in group["volumes"].values() if other.get("origin") == name]
    for snapshot in [other for other in bound if group["volumes"][other]["kind"] == "thick"]:
        _forget(tool, group, snapshot)
    _forget(tool, group, name)


def _forget(tool, group, name):
    volume = group["volumes"].pop(name)
    if volume["image"].startswith(f"{tool.store.path}.images/"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(volume["image"])
    print(f'  Logical volume "{name}" successfully removed.')
