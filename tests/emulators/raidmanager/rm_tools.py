"""Every tool by name: what it prints and its exit code, which is data for some of them."""

import contextlib
import os
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]

import parts
import rm_array
import rm_config
import rm_moves
import rm_show
from rm_ask import Asked, instance, parse
from rm_config import NAMES, Stop
from rm_moves import COMMON

WAIT_CODES = {"SMPL": 1, "COPY": 2, "RCPY": 2, "PAIR": 3, "PSUS": 4, "SSUS": 4, "PSUE": 5, "SSUE": 5}
CHECK_CODES = {"COPY": 2, "RCPY": 2, "PAIR": 3, "PSUS": 4, "SSUS": 4, "PSUE": 5, "SSUE": 5}
WAITED = {
    "smpl": {"SMPL"},
    "copy": {"COPY", "RCPY"},
    "pair": {"PAIR"},
    "psus": {"PSUS"},
    "ssus": {"SSUS"},
    "psue": {"PSUE", "SSUE"},
}
WAITED["psuse"] = WAITED["psus"] | WAITED["psue"]
POLL_SECONDS = 0.05


class Tool:
    """One invocation."""

    def __init__(self, name):
        self.name = name
        self.store = parts.Store(os.path.abspath(os.environ["RAIDMANAGER_EMULATOR_STATE"]))
        self.faults = parts.Faults(self.store)

    @contextlib.contextmanager
    def state(self):
        """The state, with all copies as far as the clock lets them be."""
        with self.store.locked() as state:
            rm_array.settle(state)
            yield state

    def suffer(self):
        """What goes wrong before anything is done. Whether the tool only pretends."""
        word = self.faults.before(self.name)
        if word == "busy":
            raise Stop("EX_CMDRJE", rm_array.rejected(self.store.read(), "0x2E11,0x2205"))
        if word == "fail":
            raise Stop("EX_INVVOL")
        kind, code = self.faults.take(self.name, "code")
        if kind:
            raise Stop(NAMES[int(code)])
        return word == "lie"


def main(name, argv):
    tool = Tool(name)
    tool.store.note([name, *argv])
    try:
        code = 0 if tool.suffer() else TOOLS[name](tool, argv)
    except Stop as stop:
        print(f"{name}: [{stop.name}] {stop.text}", file=sys.stderr)
        if stop.more:
            print(stop.more, file=sys.stderr)
        code = stop.code
    tool.faults.after(name)
    return code


# ---- looking ----


def pairdisplay(tool, argv):
    letters = [word for word in argv if word.startswith("-f") and set(word[2:]) <= set("xcdme") and word[2:]]
    rest = [word for word in argv if word not in letters]
    options = parse(rest, {**COMMON, "-CLI": (0, 0), "-m": (1, 1)})
    options["f"] = "".join(word[2:] for word in letters)
    options["all_mirrors"] = options.get("-m") == ["all"]
    with tool.state() as state:
        asked = Asked(state, options, needs_partner="-l" not in options)
        found = rm_show.rows(state, asked.view, asked.partners, asked.devices, options)
    kind, word = tool.faults.take("pairdisplay", "word")
    if kind:
        found[0].update(status=word, is_paired=True)
    if tool.faults.take("pairdisplay", "drop")[0]:
        found = [row for row in found if row["name"] != found[0]["name"]]
    print((rm_show.cli if "-CLI" in options else rm_show.table)(found, options, asked.view.is_remote_copy))
    return 0


def _verdict(words):
    """What a whole group says: a half-split one says PAIR."""
    if "SMPL" in words:
        if set(words) != {"SMPL"}:
            raise Stop("EX_ENQVOL")
        return "SMPL"
    for group in (("COPY", "RCPY"), ("PSUE", "SSUE"), ("PAIR",)):
        for word in group:
            if word in words:
                return word
    return words[0]


def pairvolchk(tool, argv):
    options = parse(argv, {**COMMON, "-ss": (0, 0), "-s": (0, 0), "-c": (0, 0)})
    with tool.state() as state:
        asked = Asked(state, options, needs_partner="-c" in options)
        volumes = asked.partners if "-c" in options else asked.devices
        pairs = [asked.view.find(one["ldev"], one["mu"]) for one in volumes]
        sides = {
            "SMPL" if pair is None else asked.is_primary(one, pair) for one, pair in zip(volumes, pairs, strict=True)
        }
        words = [
            asked.view.words(pair)[0 if asked.is_primary(one, pair) else 1]
            for one, pair in zip(volumes, pairs, strict=True)
        ]
    if len(sides) != 1:
        raise Stop("EX_ENQVOL")
    (side,) = sides
    word = _verdict(words)
    attribute = "SMPL" if side == "SMPL" else "P-VOL" if side else "S-VOL"
    if "-nomsg" not in options:
        status = f"[status = {word}]" if "-ss" in options and side != "SMPL" else ""
        print(f"pairvolchk : Volstat is {attribute}.{status}")
    if "-ss" not in options:
        return {"SMPL": 1, "P-VOL": 2, "S-VOL": 3}[attribute]
    return 11 if side == "SMPL" else (20 if side else 30) + CHECK_CODES[word]


def pairevtwait(tool, argv):
    known = {"-s": (1, 9), "-ss": (1, 9), "-t": (1, 2), "-nowait": (0, 0), "-nowaits": (0, 0)}
    options = parse(argv, {**COMMON, **known})
    if "-nowait" in options or "-nowaits" in options:
        word = _verdict(_sides(tool, options)["-nowaits" in options])
        if "-nomsg" not in options:
            print(f"pairevtwait : Wait status {word}.")
        return WAIT_CODES[word]
    if "-t" not in options or not {"-s", "-ss"} & set(options):
        raise Stop("EX_REQARG", "'-s' and '-t'")
    wanted = [_wanted(options, name) for name in ("-s", "-ss")]
    end = time.monotonic() + float(options["-t"][0])
    while True:
        sides = _sides(tool, options)
        if all(set(words) <= one for words, one in zip(sides, wanted, strict=True) if one):
            print("pairevtwait : Wait status done.")
            return 0
        if "PSUE" in sides[0]:
            raise Stop("EX_EWSUSE")
        if time.monotonic() >= end:
            raise Stop("EX_EWSTOT")
        time.sleep(POLL_SECONDS)


def _wanted(options, name):
    words = options.get(name, [])
    if not set(words) <= set(WAITED):
        raise Stop("EX_INVARG", f"'{name}'")
    return set().union(*(WAITED[word] for word in words))


def _sides(tool, options):
    """The words of all P-VOLs, and of all S-VOLs."""
    with tool.state() as state:
        asked = Asked(state, options, needs_partner="-l" not in options)
        both = [asked.view.words(pair) for pair in asked.pairs()]
    return [[one[0] for one in both], [one[1] for one in both]]


def raidqry(tool, argv):
    if argv == ["-h"]:
        print("Model  : RAID-Manager/Linux/x64\nVer&Rev: 01-33-03/06")
        return 0
    options = parse(argv, {"-l": (0, 0), "-g": (0, 0), "-r": (1, 1)})
    with tool.state() as state:
        here = instance(state, options)
        if "-r" in options:
            Asked(state, {**options, "-g": options["-r"]})
    if "-g" in options:
        print("GNo  Group             RAID_type   IV-H IV-M MODE")
        for number, group in enumerate(here["groups"], 1):
            print(f"{number:>3}  {group:17} {'RAID700':11} {'9':4} {'9':4} -")
    elif "-l" in options or "-r" in options:
        group = options["-r"][0] if "-r" in options else "---"
        print("No  Group    Hostname     HORCM_ver   Uid   Serial#   Micro        Cache(MB)")
        print(f" 1  {group:8} {'emulated':12} 01-33-03/06   0    {state.get('serial', 0):<9} 70-06-00/00  160256")
    else:
        raise Stop("EX_REQARG")
    return 0


# ---- instances ----


def horcmstart(tool, argv):
    failed = 0
    for number in argv or [os.environ.get("HORCMINST", "0")]:
        print(f"starting HORCM inst {number}")
        with tool.state() as state:
            here = rm_config.read(tool.store, number)
            if here is None or number in state.setdefault("instances", {}):
                print(f"HORCM inst {number} has failed to start.")
                failed = 1
                continue
            state["instances"][number] = here
        print(f"HORCM inst {number} starts successfully.")
    return failed


def horcmshutdown(tool, argv):
    failed = 0
    for number in argv or [os.environ.get("HORCMINST", "0")]:
        print(f"inst {number}:")
        with tool.state() as state:
            if state.setdefault("instances", {}).pop(number, None) is None:
                print("HORCM has already been shut down.")
                failed = 1
                continue
        print(f"HORCM Shutdown inst {number} !!!")
    return failed


def horcmgr(tool, argv):
    if argv != ["-check"]:
        raise Stop("EX_UNWOPT")
    return int(os.environ.get("HORCMINST", "0") in tool.store.read().get("instances", {}))


TOOLS = {
    "pairdisplay": pairdisplay,
    "pairvolchk": pairvolchk,
    "pairevtwait": pairevtwait,
    "paircreate": rm_moves.paircreate,
    "pairresync": rm_moves.pairresync,
    "pairsplit": rm_moves.pairsplit,
    "raidqry": raidqry,
    "horcmstart.sh": horcmstart,
    "horcmshutdown.sh": horcmshutdown,
    "horcmgr": horcmgr,
}
