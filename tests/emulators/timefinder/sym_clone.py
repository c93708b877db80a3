"""TimeFinder/Clone: ``symclone``. A session is a pair whose word is one of the clone's."""

import sys
import time

import parts
import sym_base
import sym_show
import sym_verify
from sym_base import Stop, members_for
from sym_tell import tell

READY = ("Created", "Precopy", "Recreated")
ACTIVE = ("CopyInProg", "Copied", "CopyOnWrite")
CONDITIONS = {
    "-copied": "Copied",
    "-created": "Created",
    "-recreated": "Recreated",
    "-precopy": "Precopy",
    "-copyinprog": "CopyInProg",
    "-copyonwrite": "CopyOnWrite",
    "-restored": "Restored",
}
NO_SESSION = "NeverEstab"


def run(array, call):
    actions = {
        "create": create,
        "recreate": recreate,
        "activate": activate,
        "establish": establish,
        "terminate": terminate,
        "restore": restore,
        "verify": verify,
        "query": query,
        "list": query,
    }
    return actions[call.action](array, call)


# ---- before the point in time ----


def create(array, call):
    with array.open() as state:
        members = sessions(state, call, (NO_SESSION,))
        for member in members:
            prepare(state, member, call, is_full=True)
    tell(call, "Create")
    return sym_base.OK


def recreate(array, call):
    with array.open() as state:
        members = sessions(state, call, ("Copied", "CopyOnWrite"))
        for member in members:
            if "diff" not in member.pair["flags"]:
                raise Stop(sym_base.FAILED, f"{member.std} <=> {member.bcv} was not created with -diff")
        for member in members:
            prepare(state, member, call, is_full=False)
    tell(call, "Recreate")
    return sym_base.OK


def prepare(state, member, call, is_full):
    pair = member.pair
    parts.start_copy(pair, parts.now(state), is_full, not state["settings"]["untracked"])
    if is_full:
        flags = {"-diff": "diff", "-copy": "copy", "-precopy": "copy"}
        pair["flags"] = sorted(
            {flags[flag] for flag in call.flags if flag in flags} | ({"copy"} if "-diff" in call.flags else set())
        )
    pair["word"] = "Precopy" if "-precopy" in call.flags else ("Created" if is_full else "Recreated")


def sessions(state, call, words):
    """The group's pairs, each in one of `words`."""
    members = members_for(state, call)
    if not members:
        raise Stop(sym_base.FAILED, "There are no pairs in the group")
    if (found := {m.pair["word"] for m in members}) <= set(READY) and words == (NO_SESSION,):
        raise Stop(sym_base.ALREADY, f"The copy session exists already: {', '.join(sorted(found))}")
    for member in members:
        if member.pair["word"] not in words:
            word = "no copy session" if member.pair["word"] == NO_SESSION else member.pair["word"]
            raise Stop(sym_base.FAILED, f"{call.action} is not allowed: {member.std} <=> {member.bcv} is {word}")
    return members


# ---- the point in time ----


def activate(array, call):
    half = array.faults.take("activate", "half")
    with array.open() as state:
        members = sessions(state, call, READY)
        settings = state["settings"]
    if "-consistent" in call.flags and settings["inconsistent"]:
        raise Stop(sym_base.FAILED, "A consistent activate is not supported")
    keys = [f"{member.std}:{member.bcv}" for member in members]
    if half[0]:
        turn(array, keys[:1], settings["gap"])
        raise Stop(int(half[1] or 1), "The operation failed for some of the devices")
    if "-consistent" in call.flags:
        at_once(array, keys)
    else:
        turn(array, keys, settings["gap"])
    tell(call, "Activate")
    return sym_base.OK


def at_once(array, keys):
    with array.open() as state:
        pairs = [state["pairs"][key] for key in keys]
        due = [parts.left(pair) for pair in pairs]
        if not parts.take(pairs, lambda: array.faults.half_way("activate")):
            raise Stop(sym_base.FAILED, "Writes to the source devices could not be held")
        for pair, blocks in zip(pairs, due, strict=True):
            mark(state, pair, blocks)


def turn(array, keys, gap):
    for number, key in enumerate(keys):
        if number:
            time.sleep(gap)
        with array.open() as state:
            pair = state["pairs"][key]
            blocks = parts.left(pair)
            parts.take([pair], torn_allowed=True)
            mark(state, pair, blocks)
        if number == 0:
            array.faults.half_way("activate")


def mark(state, pair, blocks):
    """The target may be read from now on; `blocks` of it still come from the source meanwhile."""
    pair["moved"] = pair.get("moved", 0) + blocks * parts.BLOCK
    pair["due"] = []
    if "copy" in pair["flags"]:
        pair.update(word="CopyInProg", until=sym_base.copying_until(state, blocks))
    else:
        pair["word"] = "CopyOnWrite"


def establish(array, call):
    """Create or recreate, and activate, in one."""
    is_full = "-full" in call.flags
    with array.open() as state:
        members = sessions(state, call, (NO_SESSION, "Copied") if is_full else ("Copied",))
        for member in members:
            if not is_full and "diff" not in member.pair["flags"]:
                raise Stop(sym_base.FAILED, f"{member.std} <=> {member.bcv} was not created with -diff")
        call.flags.add("-diff")
        for member in members:
            prepare(state, member, call, is_full)
        settings = state["settings"]
        keys = [f"{member.std}:{member.bcv}" for member in members]
    if "-consistent" in call.flags:
        at_once(array, keys)
    else:
        turn(array, keys, settings["gap"])
    tell(call, "Full Establish" if is_full else "Incremental Establish", "initiated")
    return sym_base.OK


# ---- the other moves ----


def terminate(array, call):
    with array.open() as state:
        members = sessions(state, call, (*READY, *ACTIVE, "Restored", "Failed"))
        copying = [member for member in members if member.pair["word"] in ("CopyInProg", "CopyOnWrite")]
        if any(m.pair["word"] == "CopyInProg" for m in copying) and "-symforce" not in call.flags:
            raise Stop(sym_base.NEEDS_SYMFORCE, "The copy is in progress: symforce is needed")
        for member in members:
            if member in copying or member.pair["word"] in READY:
                spoil(member.pair["copy"])
            member.pair.update(word=NO_SESSION, due=[])
            member.pair.pop("base", None)
    tell(call, "Terminate")
    return sym_base.OK


def spoil(path):
    """What was not copied is not there."""
    size = parts.size_of(path)
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write((parts.GARBAGE * (size // len(parts.GARBAGE) + 1))[: size - size // 2])


def restore(array, call):
    """From the target to the source: what is on the source is lost."""
    with array.open() as state:
        for member in sessions(state, call, ("Copied",)):
            pair = member.pair
            parts.take([{"primary": pair["copy"], "copy": pair["primary"]}], torn_allowed=True)
            pair.update(word="RestInProg", until=sym_base.copying_until(state, parts.blocks_of(pair["primary"])))
    tell(call, "Restore", "initiated")
    return sym_base.OK


# ---- look ----


def query(array, call):
    with array.open() as state:
        members = [m for m in members_for(state, call) if m.pair["word"] != NO_SESSION]
        if not members:
            print("\nThe Source device and the Target device do not form a Copy session\n", file=sys.stderr)
            text = f"{call.target[0].upper()}{call.target[1:]} does not have any devices that are Clone source devices"
            raise Stop(sym_base.FAILED, text)
        rows = list(zip(members, sym_verify.seen(array, members), strict=True))
        if array.faults.take("query", "drop")[0]:
            del rows[0]
        sym_show.clone_query(state, call, rows)
    return sym_base.OK


def verify(array, call):
    wanted = [word for flag, word in CONDITIONS.items() if flag in call.flags] or ["Copied"]

    def look():
        with array.open() as state:
            return [word in wanted for word in sym_verify.seen(array, members_for(state, call))]

    return sym_verify.wait(call, look, " or ".join(wanted), (sym_base.NOT_ALL, sym_base.NONE))
