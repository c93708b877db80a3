"""What the tools print: the layouts of the administrator's guides."""

import parts
from vxvm_machine import (
    NO_OBJECT,
    Stop,
    mirrors_of,
)

SECTOR = 512
HEADERS = """\
DG NAME         NCONFIG      NLOG     MINORS   GROUP-ID
ST NAME         STATE        DM_CNT   SPARE_CNT         APPVOL_CNT
DM NAME         DEVICE       TYPE     PRIVLEN  PUBLEN   STATE
RV NAME         RLINK_CNT    KSTATE   STATE    PRIMARY  DATAVOLS  SRL
RL NAME         RVG          KSTATE   STATE    REM_HOST REM_DG    REM_RLNK
CO NAME         CACHEVOL     KSTATE   STATE
VT NAME         RVG          KSTATE   STATE    NVOLUME
V  NAME         RVG/VSET/CO  KSTATE   STATE    LENGTH   READPOL   PREFPLEX UTYPE
PL NAME         VOLUME       KSTATE   STATE    LENGTH   LAYOUT    NCOL/WID MODE
SD NAME         PLEX         DISK     DISKOFFS LENGTH   [COL/]OFF DEVICE   MODE
SV NAME         PLEX         VOLNAME  NVOLLAYR LENGTH   [COL/]OFF AM/NM    MODE
SC NAME         PLEX         CACHE    DISKOFFS LENGTH   [COL/]OFF DEVICE   MODE
DC NAME         PARENTVOL    LOGVOL
SP NAME         SNAPVOL      DCO
"""
SHORT_HEADER = "TY NAME         ASSOC        KSTATE   LENGTH   PLOFFS   STATE    TUTIL0  PUTIL0"


def typed(kind, *fields):
    """A line of ``vxprint -t``: short fields keep their columns, long ones push the rest."""
    widths = (12, 12, 8, 8, 8, 9, 8, 8)
    padded = " ".join(str(value).ljust(width) for value, width in zip(fields, widths, strict=False))
    return f"{kind:<2} {padded}".rstrip()


def blocks(image):
    return parts.size_of(image) // SECTOR


# ---- what is to be listed ----


def listed(call, config):
    """The group's volumes as this command shows them."""
    volumes = [dict(one, plexes=[dict(plex) for plex in one["plexes"]]) for one in config["volumes"]]
    if call.fault("drop")[0]:
        volumes = volumes[1:]
    kind, word = call.fault("word")
    if kind:
        mirrors = [plex for one in volumes for plex in mirrors_of(one) if not one.get("parent")]
        snapshots = [one for one in volumes if one.get("parent")]
        for record in (mirrors or snapshots)[:1]:
            record["word"] = word
    return volumes


def volume_states(volume):
    return ("ENABLED" if volume["enabled"] else "DISABLED"), volume.get("word") or "ACTIVE"


def plex_states(state, volume, plex):
    disk = state["disks"].get(plex["disk"])
    if disk and disk["failed"]:
        return "DISABLED", plex.get("word") or "NODEVICE", "RW"
    kernel = "ENABLED" if volume["enabled"] else "DISABLED"
    word = plex.get("word") or plex["state"]
    return kernel, word, "RW" if plex["state"] == "ACTIVE" else "WO"


def device_of(state, plex):
    return next((da for da in (plex["disk"],) if da in state["disks"]), "-")


# ---- vxprint ----


def vxprint(call, operands):
    opts = call.opts
    with call.world() as state:
        if "A" in opts:
            configs = [one for one in state["configs"].values() if call.host in one["importers"]]
        else:
            configs = [call.group(state)]
        for number, config in enumerate(configs):
            volumes = listed(call, config)
            wanted = [one for one in volumes if not operands or one["name"] in operands]
            missing = set(operands) - {one["name"] for one in wanted}
            if missing:
                raise Stop(NO_OBJECT, f"Record {min(missing)} not found")
            if "q" not in opts:
                print(("\n" if number else "") + f"Disk group: {config['name']}\n")
                print(HEADERS if "t" in opts else SHORT_HEADER)
            if not operands and not {"v", "p"} & set(opts):
                _group_lines(state, config, "t" in opts)
            for volume in wanted:
                _volume_lines(state, config, volume, opts)


def _group_lines(state, config, is_typed):
    if is_typed:
        print(typed("dg", config["name"], "default", "default", "12000", config["dgid"]) + "\n")
    else:
        print(typed("dg", config["name"], config["name"], "-", "-", "-", "-", "-", "-"))
    for da in config["disks"]:
        disk = state["disks"][da]
        size = "-" if disk["failed"] or not disk["image"] else blocks(disk["image"])
        if is_typed:
            print(
                typed(
                    "dm",
                    disk["dm"],
                    "-" if disk["failed"] else da,
                    "auto",
                    1024,
                    size,
                    "NODEVICE" if disk["failed"] else "-",
                )
            )
        else:
            print(typed("dm", disk["dm"], da, "-", size, "-", "-", "-", "-"))
    print()


def _volume_lines(state, config, volume, opts):
    kernel, word = volume_states(volume)
    size, name = blocks(volume["image"]), volume["name"]
    if "p" not in opts:
        _line(
            opts,
            "v",
            (name, "-", kernel, word, size, "SELECT", "-", "fsgen"),
            (name, "fsgen", kernel, size, "-", word, "-", "-"),
        )
    if "v" in opts:
        return
    for plex in volume["plexes"]:
        kstate, pword, mode = plex_states(state, volume, plex)
        _line(
            opts,
            "pl",
            (plex["name"], name, kstate, pword, size, "CONCAT", "-", mode),
            (plex["name"], name, kstate, size, "-", pword, "-", "-"),
        )
        if "p" in opts:
            continue
        disk = state["disks"].get(plex["disk"], {"dm": "-"})
        sd = f"{disk['dm']}-01"
        _line(
            opts,
            "sd",
            (sd, plex["name"], disk["dm"], 0, size, 0, device_of(state, plex), "ENA"),
            (sd, plex["name"], kstate, size, 0, "-", "-", "-"),
        )
    if "p" not in opts and volume["model"] != "none":
        _line(opts, "dc", (f"{name}_dco", name, f"{name}_dcl"), (f"{name}_dco", name, "-", "-", "-", "-", "-", "-"))
        for _, _, object_name, other in snap_objects(state, config, volume):
            _line(opts, "sp", (object_name, other, f"{name}_dco"), (object_name, name, "-", "-", "-", "-", "-", "-"))
    print()


def _line(opts, kind, long, short):
    print(typed(kind, *(long if "t" in opts else short)))


def snap_objects(state, config, volume):
    """Config, volume, name of the snap object in `volume`, and the other volume's name: what was made of it, and its source.

    The object stays when the snapshot went to another group; where that is not imported here, its volume is ``-``.
    """
    found = []
    for other in state["configs"].values():
        is_seen = set(config["importers"]) & set(other["importers"])
        made = [one for one in other["volumes"] if one.get("parent") == volume["uid"]]
        found += [(other, one, f"{one['name']}_snp", one["name"] if is_seen else "-") for one in made]
    if volume.get("parent"):
        found.append((config, volume, f"{volume['parent_name']}_snp", volume["parent_name"]))
    return found
