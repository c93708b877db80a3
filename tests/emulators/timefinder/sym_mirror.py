"""TimeFinder/Mirror: ``symmir``, and ``symbcv`` as it was before there was a ``symmir``."""

import os
import time

import parts
import sym_base
import sym_show
import sym_verify
from sym_base import Stop, members_for
from sym_tell import tell

SPLIT_WORDS = ("Split", "SplitNoInc", "SplitBfrSync", "SplitBfrRest")
CONDITIONS = {
    "-synched": ("Synchronized", (sym_base.NOT_ALL, sym_base.NONE)),
    "-split": ("Split", (25, 26)),
    "-syncinprog": ("SyncInProg", (27, 28)),
    "-splitinprog": ("SplitInProg", (sym_base.NOT_ALL, sym_base.NONE)),
    "-restored": ("Restored", (sym_base.NOT_ALL, sym_base.NONE)),
    "-restinprog": ("RestInProg", (sym_base.NOT_ALL, sym_base.NONE)),
}
BACKGROUND_PAUSE = 0.02


def run(array, call):
    actions = {
        "establish": establish,
        "split": split,
        "query": query,
        "verify": verify,
        "list": everything,
        "cancel": cancel,
        "restore": restore,
    }
    return actions[call.action](array, call)


# ---- establish ----


def establish(array, call):
    is_full = "-full" in call.flags if call.tool == "symmir" else "-i" not in call.flags
    half = array.faults.take("establish", "half")
    with array.open() as state:
        members = require(members_for(state, call))
        words = {member.pair["word"] for member in members}
        if words <= {"SyncInProg", "Synchronized"}:
            raise Stop(sym_base.ALREADY, "The devices are already in the desired state")
        for member in members:
            may_establish(state, member, is_full)
        for member in members[:1] if half[0] else members:
            begin(state, member, is_full)
    if half[0]:
        raise Stop(int(half[1] or 1), "The operation failed for some of the devices")
    tell(call, f"{'Full' if is_full else 'Incremental'} Establish", "initiated")
    return sym_base.OK


def require(members):
    if not members:
        raise Stop(sym_base.FAILED, "There are no BCV pairs in the group")
    return members


def may_establish(state, member, is_full):
    word = member.pair["word"]
    allowed = {*SPLIT_WORDS, "NeverEstab"} if is_full else {"Split"}
    if not is_full and state["settings"]["silent_full"]:
        allowed |= {*SPLIT_WORDS, "NeverEstab"}
    if word not in allowed:
        raise Stop(
            sym_base.FAILED,
            f"The {'full' if is_full else 'incremental'} establish is not allowed: {member.std} <=> {member.bcv} is {word}",
        )


def begin(state, member, is_full):
    is_full = is_full or member.pair["word"] != "Split"
    tracked = not state["settings"]["untracked"]
    parts.start_copy(member.pair, parts.now(state), is_full, tracked)
    member.pair.update(word="SyncInProg", not_ready=False)


# ---- split ----


def split(array, call):
    half = array.faults.take("split", "half")
    with array.open() as state:
        members = require(members_for(state, call))
        settings = state["settings"]
        for member in members:
            may_split(member, call)
    members = [member for member in members if member.pair["word"] in ("Synchronized", "Restored", "SyncInProg")]
    if "-consistent" in call.flags:
        if settings["inconsistent"]:
            raise Stop(sym_base.FAILED, "A consistent split is not supported")
        if not half[0]:
            split_at_once(array, call, members)
    if "-consistent" not in call.flags or half[0]:
        split_in_turn(array, call, members[:1] if half[0] else members, settings["gap"])
    if half[0]:
        raise Stop(int(half[1] or 1), "The operation failed for some of the devices")
    if os.environ.get("SYMAPI_WAIT_FOR_BCV_BG_SPLIT", "").upper() == "TRUE":
        wait_for_background(array, members)
    tell(call, "Split", "initiated" if settings["bg"] else "executed")
    return sym_base.OK


def may_split(member, call):
    word = member.pair["word"]
    is_forced = call.flags & {"-force", "-symforce"}
    if word in ("Synchronized", "Restored"):
        return
    if word == "SyncInProg" and not is_forced:
        raise Stop(sym_base.NEEDS_FORCE, f"{member.std} <=> {member.bcv} is {word}: force is needed")
    if word == "Split" and not is_forced:
        raise Stop(sym_base.ALREADY, f"{member.std} <=> {member.bcv} is already in the desired state")
    if not is_forced:
        raise Stop(sym_base.FAILED, f"The split is not allowed: {member.std} <=> {member.bcv} is {word}")


def split_at_once(array, call, members):
    with array.open() as state:
        pairs = [state["pairs"][f"{m.std}:{m.bcv}"] for m in members]
        whole = [pair for pair in pairs if pair["word"] != "SyncInProg"]
        if not parts.take(whole, lambda: array.faults.half_way("split")):
            raise Stop(sym_base.FAILED, "Writes to the standard devices could not be held")
        for pair in pairs:
            mark(state, pair, call, is_late=False)


def split_in_turn(array, call, members, gap):
    for number, member in enumerate(members):
        if number:
            time.sleep(gap)
        with array.open() as state:
            pair = state["pairs"][f"{member.std}:{member.bcv}"]
            is_late = state["settings"]["late"] and state["settings"]["bg"] > 0
            if not is_late and pair["word"] != "SyncInProg":
                parts.take([pair], torn_allowed=True)
            mark(state, pair, call, is_late)
        if number == 0:
            array.faults.half_way("split")


def mark(state, pair, call, is_late):
    background = state["settings"]["bg"]
    pair["not_ready"] = "-not_ready" in call.flags
    if pair["word"] == "SyncInProg":  # split by force: what is due is never copied
        pair["word"] = "SplitBfrSync"
        pair.pop("base", None)
    elif background:
        pair.update(word="SplitInProg", until=parts.now(state) + background, late=is_late)
    else:
        pair["word"] = "Split"


def wait_for_background(array, members):
    keys = [f"{member.std}:{member.bcv}" for member in members]
    while True:
        with array.open() as state:
            if all(state["pairs"][key]["word"] != "SplitInProg" for key in keys):
                return
        time.sleep(BACKGROUND_PAUSE)


# ---- the other moves ----


def cancel(array, call):
    with array.open() as state:
        members = require(members_for(state, call))
        for member in members:
            if member.pair["word"] not in SPLIT_WORDS:
                raise Stop(sym_base.FAILED, f"{member.std} <=> {member.bcv} is {member.pair['word']}: split it first")
        for member in members:
            member.pair["word"] = "NeverEstab"
            member.pair.pop("base", None)
    tell(call, "Cancel")
    return sym_base.OK


def restore(array, call):
    """From the copy to the standard, as it was asked for: what is on the standard is lost."""
    with array.open() as state:
        members = require(members_for(state, call))
        for member in members:
            if member.pair["word"] != "Split":
                raise Stop(
                    sym_base.FAILED, f"{member.std} <=> {member.bcv} is {member.pair['word']}: restore needs Split"
                )
        for member in members:
            pair = member.pair
            parts.take([{"primary": pair["copy"], "copy": pair["primary"]}], torn_allowed=True)
            until = sym_base.copying_until(state, parts.blocks_of(pair["primary"]))
            pair.update(word="RestInProg", until=until)
    tell(call, "Restore", "initiated")
    return sym_base.OK


# ---- look ----


def query(array, call):
    with array.open() as state:
        members = require(members_for(state, call))
        words = sym_verify.seen(array, members)
        rows = list(zip(members, words, strict=True))
        if array.faults.take("query", "drop")[0]:
            del rows[0]
        if call.is_xml:
            sym_show.mirror_xml(state, call, rows)
        else:
            sym_show.mirror_query(state, call, rows)
    return sym_base.OK


def everything(array, call):
    with array.open() as state:
        members = [sym_base.Member(state, *key.split(":")) for key in state["pairs"]]
        known = [member for member in members if member.pair["word"] != "NeverEstab"]
        sym_show.mirror_list(state, list(zip(known, sym_verify.seen(array, known), strict=True)))
    return sym_base.OK


def verify(array, call):
    flag = next((flag for flag in CONDITIONS if flag in call.flags), "-synched")
    word, codes = CONDITIONS[flag]

    def look():
        with array.open() as state:
            return [one == word for one in sym_verify.seen(array, members_for(state, call))]

    return sym_verify.wait(call, look, word, codes)
