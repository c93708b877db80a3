"""What ``vxsnap print``, ``vxsnap list``, ``vxassist snapprint`` and ``vxtask list`` print."""

import time

import parts
from vxvm_layout import blocks, listed, snap_objects, typed
from vxvm_machine import ATTACHING, USAGE, WRONG_STATE, Stop, mirrors_of, snapshots_of, valid_percent, volume_of

PRINT_HEADER = "NAME     SNAPOBJECT     TYPE    PARENT   SNAPSHOT   %DIRTY   %VALID"
LIST_HEADER = "NAME     DG     OBJTYPE  SNAPTYPE  PARENT  PARENTDG  SNAPDATE        CHANGE_DATA    SYNCED_DATA"


# ---- vxsnap print, list; vxassist snapprint ----


def dirty_percent(state, volume, pair):
    """How much of `volume` changed since the moment that the pair remembers."""
    base = (pair or {}).get("base")
    if not base:
        return 0.0
    return 100.0 * sum(a != b for a, b in zip(parts.digests(volume["image"]), base, strict=False)) / len(base)


def _pair_of(state, volume):
    return volume.get("cached") or state["pairs"].get(volume["plexes"][0]["pair"])


def _wanted(call, config, operands):
    volumes = listed(call, config)
    for name in operands:
        volume_of({**config, "volumes": volumes}, name)
    return [one for one in volumes if not operands or one["name"] in operands]


def snap_print(call, operands):
    if "n" in call.opts:
        snap_list(call, operands)
        return

    def row(*fields):
        widths = (8, 14, 7, 8, 10, 8, 6)
        print(" ".join(f.ljust(w) for f, w in zip(fields, widths, strict=True)).rstrip())

    with call.world() as state:
        config = call.group(state)
        print(PRINT_HEADER + "\n")
        for volume in _wanted(call, config, operands):
            if volume.get("parent"):
                dirty = f"{dirty_percent(state, volume, _pair_of(state, volume)):.2f}"
                valid = f"{valid_percent(state, volume):.2f}" if volume["kind"] != "spaceopt" else dirty
                row(volume["name"], f"{volume['parent_name']}_snp", "volume", volume["parent_name"], "--", dirty, valid)
                continue
            row(volume["name"], "--", "volume", "--", "--", "--", "100")
            for plex in mirrors_of(volume):
                done = 100.0 if plex["state"] not in ATTACHING else parts.percent(state["pairs"][plex["pair"]])
                row(plex["name"], "--", "plex", volume["name"], "--", "--", f"{done:.2f}")
            for _, snap in snapshots_of(state, volume, call.host):
                row(
                    "",
                    f"{snap['name']}_snp",
                    "volume",
                    "--",
                    snap["name"],
                    f"{dirty_percent(state, volume, _pair_of(state, snap)):.2f}",
                    "--",
                )


def snap_list(call, operands):
    def row(*fields):
        widths = (8, 6, 8, 9, 7, 9, 15, 14, 12)
        print(" ".join(str(f).ljust(w) for f, w in zip(fields, widths, strict=True)).rstrip())

    with call.world() as state:
        config = call.group(state)
        print(LIST_HEADER + "\n")
        for volume in _wanted(call, config, operands):
            size = parts.size_of(volume["image"])
            if volume.get("parent"):
                at = time.gmtime(volume["when"])
                when = f"{at.tm_year}/{at.tm_mon}/{at.tm_mday} {at.tm_hour}:{at.tm_min:02d}"
                changed = _figure(size, dirty_percent(state, volume, _pair_of(state, volume)))
                kind = volume.get("word") or volume["kind"]
                done = _figure(size, valid_percent(state, volume) if volume["kind"] != "spaceopt" else 0.0)
                row(
                    volume["name"],
                    config["name"],
                    "vol",
                    kind,
                    volume["parent_name"],
                    volume["parent_dg"],
                    when,
                    changed,
                    done,
                )
                continue
            row(volume["name"], config["name"], "vol", "-", "-", "-", "-", "-", _figure(size, 100.0))
            for plex in mirrors_of(volume):
                done = 100.0 if plex["state"] not in ATTACHING else float(parts.percent(state["pairs"][plex["pair"]]))
                row(
                    plex["name"],
                    config["name"],
                    "plex",
                    plex.get("word") or "snapmir",
                    volume["name"],
                    config["name"],
                    "-",
                    "-",
                    _figure(size, done),
                )


def _figure(size, percent):
    amount = size * percent / 100.0
    text = f"{round(amount / 2**20)}M" if amount >= 2**20 else f"{round(amount / 1024)}K"
    return f"{text} ({percent:g}%)" if percent in (0.0, 100.0) else f"{text} ({percent:.1f}%)"


def snapprint(call, operands):
    with call.world() as state:
        config = call.group(state)
        volumes = _wanted(call, config, operands)
        for name in operands:
            if volume_of(config, name)["model"] == "none":
                raise Stop(WRONG_STATE, f"No FastResync maps are enabled for volume {name}")
        print("V  NAME         USETYPE      LENGTH")
        print("SS SNAPOBJ      NAME         LENGTH   %DIRTY")
        print("DP NAME         VOLUME       LENGTH   %DIRTY")
        for volume in volumes:
            size = blocks(volume["image"])
            print("\n" + typed("v", volume["name"], "fsgen", size))
            for _, snap, name, other in snap_objects(state, config, volume):
                print(typed("ss", name, other, size, round(dirty_percent(state, volume, _pair_of(state, snap)))))


# ---- vxtask ----


def tasks(call, operands):
    if operands and not all(word.isdigit() for word in operands):
        raise Stop(USAGE, "Usage: vxtask [options] list [taskid...]")
    with call.world() as state:
        print("TASKID  PTID TYPE/STATE    PCT   PROGRESS")
        number = 160
        for config in state["configs"].values():
            if call.host not in config["importers"] or call.opts.get("g", config["name"]) != config["name"]:
                continue
            for volume in config["volumes"]:
                for plex in mirrors_of(volume, *ATTACHING):
                    pair, number = state["pairs"][plex["pair"]], number + 1
                    total, size = parts.percent(pair), blocks(volume["image"])
                    where = f"0/{size}/{size * total // 100} PLXSNAP {volume['name']} {plex['name']} {config['name']}"
                    print(f"{number:>6}           PLXSNAP/R  {total:05.2f}% {where}")


VXTASK = {"list": tasks}
