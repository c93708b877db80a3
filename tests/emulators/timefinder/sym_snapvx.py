"""SnapVX: ``symsnapvx``. A snapshot of one source has a name and a generation, 0 being the newest of that name."""

import os
import re
import time

import parts
import sym_base
import sym_clone
import sym_snapvx_show
import sym_verify
from sym_base import Stop
from sym_tell import tell

NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
MOST = 256


def run(array, call):
    actions = {
        "establish": establish,
        "list": listing,
        "link": link,
        "relink": link,
        "unlink": unlink,
        "terminate": terminate,
        "restore": restore,
        "verify": verify,
    }
    return actions[call.action](array, call)


# ---- what a command is about ----


def storage_group(state, name):
    if name not in state["sgs"]:
        raise Stop(sym_base.FAILED, f"The storage group '{name}' does not exist")
    return state["sgs"][name]


def devices(state, text):
    numbers = [number.strip().upper().zfill(5) for number in text.split(",")]
    if unknown := [number for number in numbers if number not in state["devices"]]:
        raise Stop(sym_base.FAILED, f"Device {unknown[0]} is not a device of this array")
    return numbers


def sources(state, call, must=True):
    if "-sg" in call.values:
        return storage_group(state, call.values["-sg"])
    if "-devs" in call.values:
        return devices(state, call.values["-devs"])
    if must:
        raise Stop(sym_base.FAILED, "A storage group or devices must be given")
    return [number for number in state["devices"] if any(s["source"] == number for s in state["snapshots"])]


def targets(state, call, count):
    if "-lnsg" in call.values:
        found = storage_group(state, call.values["-lnsg"])
    elif "-lndevs" in call.values:
        found = devices(state, call.values["-lndevs"])
    else:
        raise Stop(sym_base.FAILED, "A link storage group or link devices must be given")
    if len(found) != count:
        raise Stop(sym_base.FAILED, "The numbers of source and link devices differ")
    return found


def generations(state, source, name):
    """Snapshots of one source and name, the newest first."""
    return [one for one in state["snapshots"] if one["source"] == source and one["name"] == name]


def snapshot(state, source, call):
    name, generation = call.values.get("-snapshot_name", ""), int(call.values.get("-generation", 0))
    found = generations(state, source, name)
    if generation >= len(found):
        raise Stop(sym_base.FAILED, f"No snapshot '{name}' of generation {generation} exists for {source}")
    return found[generation]


# ---- moves ----


def establish(array, call):
    half = array.faults.take("establish", "half")
    name = call.values.get("-name", "")
    if not NAME.fullmatch(name):
        raise Stop(sym_base.FAILED, f"The snapshot name '{name}' is not valid")
    with array.open() as state:
        numbers = sources(state, call)
        for number in numbers:
            if sum(one["source"] == number for one in state["snapshots"]) >= MOST:
                raise Stop(sym_base.FAILED, f"{number} has the most snapshots that are possible")
        made = [new(array, state, number, call) for number in (numbers[:1] if half[0] else numbers)]
        pairs = [{"primary": state["devices"][one["source"]]["image"], "copy": one["file"]} for one in made]
        if not parts.take(pairs, lambda: array.faults.half_way("establish")):
            raise Stop(sym_base.FAILED, "Writes to the source devices could not be held")
        state["snapshots"][:0] = made
    if half[0]:
        raise Stop(int(half[1] or 1), "The operation failed for some of the devices")
    tell(call, "Establish")
    return sym_base.OK


def new(array, state, number, call):
    folder = array.store.path + ".snapshots"
    os.makedirs(folder, exist_ok=True)
    state["last_snapshot"] = serial = state.get("last_snapshot", 0) + 1
    return {
        "id": serial,
        "source": number,
        "name": call.values["-name"],
        "file": f"{folder}/{number}.{serial}",
        "taken": parts.now(state),
        "delta": call.values.get("-delta", "") if "-ttl" in call.flags else "",
    }


def link(array, call):
    """Link, or link anew to another snapshot."""
    with array.open() as state:
        numbers = sources(state, call)
        found = [snapshot(state, number, call) for number in numbers]
        to = targets(state, call, len(numbers))
        for target in to:
            if (target in state["links"]) != (call.action == "relink"):
                raise Stop(sym_base.FAILED, f"{target} is {'not ' if call.action == 'relink' else ''}linked already")
        for one, target in zip(found, to, strict=True):
            image = state["devices"][target]["image"]
            parts.take([{"primary": one["file"], "copy": image}], torn_allowed=True)
            is_copy = "-copy" in call.flags
            state["links"][target] = {
                "id": one["id"],
                "copy": is_copy,
                "defined": parts.now(state) + state["settings"]["define"],
                "copied": sym_base.copying_until(state, parts.blocks_of(image)) if is_copy else None,
            }
    tell(call, call.action.capitalize())
    return sym_base.OK


def unlink(array, call):
    with array.open() as state:
        numbers = sources(state, call)
        found = {snapshot(state, number, call)["id"] for number in numbers}
        to = [t for t in targets(state, call, len(numbers)) if state["links"].get(t, {}).get("id") in found]
        if len(to) != len(numbers):
            raise Stop(sym_base.FAILED, "The devices are not linked to that snapshot")
        for target in to:
            gone = state["links"].pop(target)
            if not is_copied(state, gone):
                sym_clone.spoil(state["devices"][target]["image"])
    tell(call, "Unlink")
    return sym_base.OK


def terminate(array, call):
    with array.open() as state:
        found = [snapshot(state, number, call) for number in sources(state, call)]
        ids = {one["id"] for one in found}
        if any(one["id"] in ids for one in state["links"].values()):
            raise Stop(sym_base.FAILED, "The snapshot is linked")
        for one in found:
            os.unlink(one["file"])
        state["snapshots"] = [one for one in state["snapshots"] if one["id"] not in ids]
    tell(call, "Terminate")
    return sym_base.OK


def restore(array, call):
    """To the source: what is on it is lost."""
    with array.open() as state:
        for one in [snapshot(state, number, call) for number in sources(state, call)]:
            parts.take([{"primary": one["file"], "copy": state["devices"][one["source"]]["image"]}], torn_allowed=True)
    tell(call, "Restore")
    return sym_base.OK


# ---- look ----


def is_copied(state, one):
    return one["copied"] is not None and parts.now(state) >= one["copied"]


def is_defined(state, one):
    return parts.now(state) >= one["defined"]


def listing(array, call):
    with array.open() as state:
        if "-lnsg" in call.values:
            rows = linked(state, lambda target, _: target in storage_group(state, call.values["-lnsg"]))
        elif "-linked" in call.flags:
            numbers = sources(state, call, must=False)
            rows = linked(state, lambda _, one: one["source"] in numbers)
        else:
            rows = standing(state, sources(state, call, must=False), "-detail" in call.flags)
        rows = [row for row in rows if matches(call, row)]
        kind, word = array.faults.take("query", "word")
        if kind and rows:
            rows[0]["failed"] = word
        if array.faults.take("query", "drop")[0]:
            del rows[:1]
        if not rows:
            raise Stop(sym_base.FAILED, "No snapshot information found")
        sym_snapvx_show.show(state, call, rows)
    return sym_base.OK


def matches(call, row):
    name, generation = call.values.get("-snapshot_name"), call.values.get("-generation")
    return (name is None or row["snapshot_name"] == name) and (
        generation is None or str(row.get("generation", 0)) == generation
    )


def standing(state, numbers, is_detailed):
    rows = []
    for number in numbers:
        names = dict.fromkeys(one["name"] for one in state["snapshots"] if one["source"] == number)
        for name in names:
            found = generations(state, number, name)
            if is_detailed:
                rows += [row(state, one, len(found), generation) for generation, one in enumerate(found)]
            else:
                rows.append(row(state, found[0], len(found), None))
    return rows


def row(state, one, count, generation):
    all_of_it = [one] if generation is not None else generations(state, one["source"], one["name"])
    ids = {each["id"] for each in all_of_it}
    links = [each for each in state["links"].values() if each["id"] in ids]
    found = {
        "source": one["source"],
        "snapshot_name": one["name"],
        "last_timestamp": time.ctime(one["taken"]),
        "num_generations": count,
        "link": "Yes" if links else "No",
        "restore": "No",
        "failed": "No",
        "error_reason": "NA",
        "GCM": "False",
        "zDP": "False",
        "secured": "No",
        "expanded": "No",
        "bgdefinprog": "No" if all(is_defined(state, each) for each in links) else "Yes",
        "policy": "No",
        "persistent": "No",
        "cloud": "No",
    }
    return found if generation is None else {**found, "generation": generation}


def linked(state, wanted):
    rows = []
    for target, each in state["links"].items():
        one = next(one for one in state["snapshots"] if one["id"] == each["id"])
        if wanted(target, one):
            generation = generations(state, one["source"], one["name"]).index(one)
            rows.append(
                {
                    "source": one["source"],
                    "snapshot_name": one["name"],
                    "generation": generation,
                    "link": target,
                    "last_timestamp": time.ctime(one["taken"]),
                    "copied": "Yes" if is_copied(state, each) else "No",
                    "defined": "Yes" if is_defined(state, each) else "No",
                    "bgdefinprog": "No" if is_defined(state, each) else "Yes",
                    "failed": "No",
                }
            )
    return rows


def verify(array, call):
    def look():
        with array.open() as state:
            if "-lnsg" in call.values:
                numbers = storage_group(state, call.values["-lnsg"])
            else:
                ids = [snapshot(state, number, call)["id"] for number in sources(state, call)]
                numbers = [target for target, one in state["links"].items() if one["id"] in ids] or ["none"]
            return [holds(state, call, state["links"].get(number)) for number in numbers]

    return sym_verify.wait(call, look, "Linked", (sym_base.NOT_ALL, sym_base.NONE))


def holds(state, call, one):
    if one is None:
        return False
    if "-copied" in call.flags and not is_copied(state, one):
        return False
    return "-defined" not in call.flags or is_defined(state, one)
