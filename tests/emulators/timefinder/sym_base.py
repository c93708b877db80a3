"""The emulated Symmetrix: devices, groups, pairs, what a host sees of them, and what the clock brings about."""

import contextlib
import os

import parts

OK, FAILED, LOCKED, NOT_ALL, NONE, ALREADY, NEEDS_FORCE, NEEDS_SYMFORCE, NO_PROGRAM = 0, 1, 2, 4, 5, 18, 22, 23, 127
TRACKS_A_BLOCK = parts.BLOCK // (32 * 1024)
DEFAULTS = {
    "rate": 0.0,
    "gap": 0.02,
    "bg": 0.0,
    "late": False,
    "inconsistent": False,
    "silent_full": False,
    "untracked": False,
    "historic": False,
    "define": 0.0,
    "sid": "000190100321",
}
READABLE = {"NeverEstab", "Split", "SplitNoInc", "SplitBfrSync", "SplitBfrRest", "CopyInProg", "Copied", "CopyOnWrite"}
"""Words of a pair whose copy a host may see."""
FIRST_STANDARD, FIRST_COPY = 0x1A4, 0x4C2


class Stop(Exception):
    """The command ends here; `code` is its exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Array:
    """One invocation's view of the state file."""

    def __init__(self, path):
        self.store = parts.Store(path)
        self.faults = parts.Faults(self.store)

    @contextlib.contextmanager
    def open(self):
        """The state, with everything done in it that the clock says; what a host sees follows when it is closed."""
        with self.store.locked() as state:
            if "settings" not in state:
                raise Stop(FAILED, "No Symmetrix devices were found")
            advance(state)
            yield state
            show_to_host(state)


# ---- devices ----


def device(state, path, first, width=4, link=""):
    """The number of the device with this image, which is given one at first sight."""
    for number, one in state["devices"].items():
        if one["image"] == path:
            return number
    taken = {int(number, 16) for number in state["devices"]}
    number = f"{next(n for n in range(first, first + 0x10000) if n not in taken):0{width}X}"
    state["devices"][number] = {"image": path, "link": link, "target": path}
    return number


def wwn_of(state, number):
    return "60000970" + state["settings"]["sid"] + ("S" + number.zfill(5)).encode().hex().upper()


def physical(state, number):
    """The device's path on this host, or what is printed in its place."""
    one = state["devices"][number]
    path = one["link"] or one["image"]
    return path if os.path.exists(path) else "Not Visible"


def show_to_host(state):
    for number, one in state["devices"].items():
        if not one["link"]:
            continue
        pairs = [pair for key, pair in state["pairs"].items() if key.endswith(":" + number)]
        visible = all(pair["word"] in READABLE and not pair.get("not_ready") for pair in pairs)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(one["link"])
        if visible:
            os.symlink(one["target"], one["link"])


def tracks_of(path):
    return parts.blocks_of(path) * TRACKS_A_BLOCK


# ---- groups and pairs ----


class Member:
    """One pair of a group: numbers and logical names of both devices, and the pair's own record."""

    def __init__(self, state, std, bcv, std_ld="N/A", bcv_ld="N/A", group=""):
        self.std, self.bcv, self.std_ld, self.bcv_ld, self.group = std, bcv, std_ld, bcv_ld, group
        new = {
            "primary": state["devices"][std]["image"],
            "copy": state["devices"][bcv]["image"],
            "word": "NeverEstab",
        }
        self.pair = state["pairs"].setdefault(f"{std}:{bcv}", new)


def group_of(state, name):
    if name not in state["groups"]:
        raise Stop(FAILED, f"The device group name '{name}' does not exist")
    return state["groups"][name]


def members_of_group(state, name):
    group = group_of(state, name)
    return [
        Member(state, std, bcv, std_ld, bcv_ld, name)
        for (std_ld, std), (bcv_ld, bcv) in zip(group["std"], group["bcv"], strict=False)
    ]


def members_for(state, call):
    """The pairs that a command names: -g, -cg or -f, and perhaps one pair of them."""
    if "-cg" in call.values:
        if (names := state["composites"].get(call.values["-cg"])) is None:
            raise Stop(FAILED, f"The composite group name '{call.values['-cg']}' does not exist")
        members = [member for name in names for member in members_of_group(state, name)]
    elif "-f" in call.values:
        members = members_of_file(state, call.values["-f"])
    elif "-g" in call.values:
        members = members_of_group(state, call.values["-g"])
    else:
        raise Stop(FAILED, "A device group, a composite group or a device file must be given")
    return chosen(state, members, call) if call.rest else members


def chosen(state, members, call):
    """``DEV001``, ``DEV001 BCV ld BCV001``, ``DEV001 sym ld DEV002``."""
    names = [word for word in call.rest if word.lower() not in ("bcv", "sym", "ld", "symld", "dev")]
    found = [member for member in members if member.std_ld == names[0] and names[1:] in ([], [member.bcv_ld])]
    if found:
        return found
    known = [one for key in ("std", "bcv") for one in group_of(state, call.values.get("-g", ""))[key]]
    numbers = [number for name in names for ld, number in known if ld == name]
    if len(numbers) != 2:
        raise Stop(FAILED, f"The device name '{' '.join(names)}' could not be located in the group")
    return [Member(state, *numbers, *names, call.values["-g"])]


def members_of_file(state, path):
    try:
        with open(path) as file:
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    except OSError as exc:
        raise Stop(FAILED, f"The device file {path} cannot be read: {exc.strerror}") from exc
    for line in lines:
        if len(line) != 2 or any(number.upper() not in state["devices"] for number in line):
            raise Stop(FAILED, f"The device file {path} has a line that names no two devices")
    return [Member(state, std.upper(), bcv.upper()) for std, bcv in lines]


# ---- the clock ----


def copying_until(state, blocks):
    """When so many blocks will have been copied."""
    rate = state["settings"]["rate"]
    return parts.now(state) + (blocks / rate if rate else 0.0)


def advance(state):
    """Everything that is due by now."""
    when, rate = parts.now(state), state["settings"]["rate"]
    for pair in state["pairs"].values():
        word = pair["word"]
        if word == "SyncInProg" and parts.advance(pair, when, rate):
            pair["word"] = "Synchronized"
        elif word == "Precopy":
            parts.advance(pair, when, rate)
        elif word in ("SplitInProg", "RestInProg", "CopyInProg") and when >= pair["until"]:
            if pair.pop("late", False):
                parts.take([pair], torn_allowed=True)
            pair["word"] = {"SplitInProg": "Split", "RestInProg": "Restored", "CopyInProg": "Copied"}[word]
