"""What every tool of the pretend Volume Manager shares: the state, objects in it, options, faults, refusals.

A disk group is a `config`: what its disks have written on them. It is imported on the hosts of its `importers`; a bit copy
of its disks is a config of its own with the same id. A volume has plexes; a plex that is a snapshot mirror belongs to a
`pair` of parts.py. A snapshot volume is what such a plex becomes. Objects know each other by `uid`, which no rename changes.
"""

import contextlib
import getopt
import os
import sys
import time

import parts

USAGE, NO_KEYWORD, SILENT, WRONG_STATE, FAILED = 1, 2, 3, 4, 5
NO_GROUP, LOCKED, NO_OBJECT, NAME_TAKEN, NO_DISK, OPEN = 9, 10, 11, 12, 13, 20
ATTACHING = ("SNAPATT", "SNAPTMP")
POLL_SECONDS = 0.05
FAMILIES = {
    "query": (
        "vxprint",
        "vxsnap.print",
        "vxsnap.list",
        "vxassist.snapprint",
        "vxtask.list",
        "vxdg.list",
        "vxdisk.list",
    ),
    "attach": ("vxsnap.addmir", "vxsnap.reattach", "vxassist.snapstart", "vxassist.snapback"),
    "break": ("vxsnap.make", "vxassist.snapshot"),
}


class Stop(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Call:
    """One invocation. `opts`: options by letter; ``-o`` gives a list of words."""

    def __init__(self, tool, store):
        self.tool, self.store, self.faults = tool, store, parts.Faults(store)
        self.host = os.environ.get("VXVM_EMULATOR_HOST") or store.read().get("settings", {}).get("hosts", ["db1"])[0]
        self.keyword, self.opts = "", {"o": []}

    @property
    def names(self):
        """What a line of the faults file may call this invocation."""
        name = f"{self.tool}.{self.keyword}" if self.keyword else self.tool
        return [name, *(family for family, members in FAMILIES.items() if name in members)]

    def fault(self, *kinds):
        for name in self.names:
            found = self.faults.take(name, *kinds)
            if found[0]:
                return found
        return None, ""

    def suffer(self):
        """What happens before anything is done; whether the rest is to be a lie."""
        for name in self.names:
            kind = self.faults.before(name)
            if kind == "fail":
                raise Stop(FAILED, "Unexpected kernel error in configuration update")
            if kind == "busy":
                raise Stop(LOCKED, "The volume is locked by another utility")
            if kind == "lie":
                return True
        kind, value = self.fault("code")
        if kind:
            raise Stop(int(value), "Operation failed")
        return False

    @contextlib.contextmanager
    def world(self):
        """The state, brought up to date, to be changed."""
        with self.store.locked() as state:
            if self.host not in state.get("known", {}):
                raise Stop(SILENT, "Configuration daemon is not accessible")
            advance(state)
            yield state
            sync_links(state, self.store.path)

    def group(self, state, name=None, changing=False):
        """The disk group of ``-g`` (or `name`) that is imported here."""
        name = name or self.opts.get("g")
        if not name:
            raise Stop(NO_GROUP, "No disk group could be determined: use -g")
        for config in state["configs"].values():
            if self.host in config["importers"] and name in (config["name"], config["dgid"]):
                if changing:
                    spoil_if_shared(config)
                return config
        raise Stop(NO_GROUP, f"Disk group {name}: No such disk group")

    def wait(self, is_done):
        """Look again until ``is_done(state)``."""
        while True:
            with self.world() as state:
                if is_done(state):
                    return
            time.sleep(POLL_SECONDS)


def main(tool, keywords, options, argv):
    """Run one invocation; its exit code. `keywords`: handlers by word, or one handler for a tool without words."""
    store = parts.Store(os.environ["VXVM_EMULATOR_STATE"])
    store.note([tool, *argv])
    call = Call(tool, store)
    try:
        _run(call, keywords, options, argv)
    except Stop as stop:
        print(f"VxVM {tool} ERROR V-5-1-{10000 + stop.code} {stop.text}", file=sys.stderr)
        return store.read().get("settings", {}).get("code") or stop.code
    except BrokenPipeError:
        return FAILED
    for name in call.names:
        call.faults.after(name)
    return 0


def _run(call, keywords, options, argv):
    try:
        given, operands = getopt.getopt(argv, options)
    except getopt.GetoptError as error:
        raise Stop(USAGE, f"{error}; Usage: {call.tool} [options] keyword ...") from None
    for letter, value in given:
        if letter == "-o":
            call.opts["o"] += value.split(",")
        else:
            call.opts[letter[1:]] = value or True
    handler = keywords
    if isinstance(keywords, dict):
        if not operands:
            raise Stop(USAGE, f"Usage: {call.tool} [options] keyword ...")
        call.keyword, *operands = operands
        handler = keywords.get(call.keyword)
        if handler is None:
            word, call.keyword = call.keyword, ""
            raise Stop(NO_KEYWORD, f"Keyword {word} not recognized")
    if not call.suffer():
        handler(call, operands)


# ---- objects ----


def new_uid(state):
    state["serial"] = state.get("serial", 1000) + 1
    return f"0.{state['serial']}"


def volume_of(config, name):
    for volume in config["volumes"]:
        if volume["name"] == name:
            return volume
    raise Stop(NO_OBJECT, f"Volume {name} is not in disk group {config['name']}")


def by_uid(state, uid, host):
    """The config and volume of an uid, as `host` can see them; ``(None, None)`` where it is elsewhere."""
    for config in state["configs"].values():
        if host in config["importers"]:
            for volume in config["volumes"]:
                if volume["uid"] == uid:
                    return config, volume
    return None, None


def snapshots_of(state, volume, host):
    """Config and volume of everything that was broken off `volume`, as far as this host has it imported."""
    found = []
    for config in state["configs"].values():
        if host in config["importers"]:
            found += [(config, one) for one in config["volumes"] if one.get("parent") == volume["uid"]]
    return found


def mirrors_of(volume, *states):
    """Its snapshot plexes, oldest first; of these states, when any are named."""
    return [plex for plex in volume["plexes"] if plex["pair"] and (not states or plex["state"] in states)]


def require_started(volume):
    if not volume["enabled"]:
        raise Stop(WRONG_STATE, f"Volume {volume['name']} is not started (DISABLED)")


def require_closed(state, config, volume):
    for host, dgid, uid in state["open"]:
        if uid == volume["uid"] and dgid == config["dgid"]:
            raise Stop(OPEN, f"Volume {volume['name']} is in use (open on {host})")


def require_name_free(config, name):
    taken = {one["name"] for one in config["volumes"]} | {p["name"] for v in config["volumes"] for p in v["plexes"]}
    if name in taken:
        raise Stop(NAME_TAKEN, f"Record {name}: Record already exists in disk group")


def free_pair(state, config, volume, disk=None):
    """A disk of the group on which a mirror of `volume` may be made, as the pair that it then is."""
    images = {one["image"] for one in config["volumes"]}
    used = {plex["pair"] for one in config["volumes"] for plex in one["plexes"]}
    for key, pair in state["pairs"].items():
        if (
            pair["volume"] != volume["uid"]
            or key in used
            or pair["copy"] in images
            or pair["disk"] not in config["disks"]
        ):
            continue
        on = state["disks"][pair["disk"]]
        if not on["failed"] and disk in (None, on["dm"]):
            return key
    raise Stop(NO_DISK, f"Cannot allocate space for a mirror of volume {volume['name']}")


def valid_percent(state, volume):
    """How far a refreshed snapshot is synchronised; 100 for one that was broken off."""
    sync = volume.get("sync")
    rate = state["settings"]["rate"]
    if not sync or not rate:
        return 100.0
    return min(100.0, 100.0 * (parts.now(state) - sync["began"]) * rate / max(1, sync["blocks"]))


def is_lost(state, volume):
    return all(plex["disk"] in state["disks"] and state["disks"][plex["disk"]]["failed"] for plex in volume["plexes"])


# ---- what time does ----


def advance(state):
    """Plexes get on as the clock says."""
    for config in state["configs"].values():
        for volume in config["volumes"]:
            for plex in mirrors_of(volume, *ATTACHING):
                pair = state["pairs"][plex["pair"]]
                if parts.advance(pair, parts.now(state), state["settings"]["rate"]):
                    plex["state"] = "SNAPDONE"


def spoil_if_shared(config):
    """Two hosts that both think that the group is theirs: what is on it suffers."""
    if len(config["importers"]) < 2:
        return
    for volume in config["volumes"]:
        size = parts.size_of(volume["image"])
        with open(volume["image"], "r+b") as file:
            file.seek(max(0, size - parts.BLOCK))
            file.write(b"written by two hosts".ljust(min(size, parts.BLOCK), b"!"))


def sync_links(state, path):
    """``STATE.dev/HOST/dsk/GROUP/VOLUME`` is there for what that host may open, and for nothing else."""
    wanted = {}
    for config in state["configs"].values():
        for host in config["importers"]:
            for volume in config["volumes"]:
                if volume["enabled"]:
                    wanted[f"{path}.dev/{host}/dsk/{config['name']}/{volume['name']}"] = volume["image"]
    for folder, _, names in os.walk(f"{path}.dev"):
        for name in names:
            link = f"{folder}/{name}"
            if wanted.get(link) != os.readlink(link):
                os.unlink(link)
    for link, image in wanted.items():
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(image, link)
