"""``paircreate``, ``pairresync``, ``pairsplit``: what moves data."""

import time

import rm_array
from rm_ask import Asked, parse
from rm_config import NAMES, Stop

COMMON = {"-g": (1, 1), "-d": (1, 3), "-nomsg": (0, 0), "-l": (0, 0)}


def paircreate(tool, argv):
    known = {"-vl": (0, 0), "-vr": (0, 0), "-c": (1, 1), "-split": (0, 0), "-fq": (1, 1), "-m": (1, 2), "-f": (1, 2)}
    options = parse(argv, {**COMMON, **known})
    if not {"-vl", "-vr"} & set(options):
        raise Stop("EX_REQARG", "'-vl' or '-vr'")
    _require_pace(options)
    with tool.state() as state:
        asked = Asked(state, options)
        if asked.view.is_remote_copy:
            _remote(asked, "PAIR", needs="-f")
            return 0
        pairs = asked.pairs()
        does = rm_array.legal(state, "create-split" if "-split" in options else "create", pairs)
        ctg = _consistency_group(state, options)
        made = []
        for device, partner, pair, is_done in zip(asked.devices, asked.partners, pairs, does, strict=True):
            if pair is None and is_done:
                p, s = (device, partner) if "-vl" in options else (partner, device)
                pair = rm_array.create(state, p["ldev"], s["ldev"], p["mu"], ctg)
            if is_done:
                made.append(pair)
        if "-split" in options and made:
            rm_array.split(state, made, quick=options.get("-fq") == ["quick"])
    return 0


def _consistency_group(state, options):
    if options.get("-m", [""])[0] != "grp":
        return None
    return int(options["-m"][1]) if len(options["-m"]) > 1 else rm_array.next_group(state)


def _require_pace(options):
    if "-c" in options and not (options["-c"][0].isdigit() and 1 <= int(options["-c"][0]) <= 15):
        raise Stop("EX_ERANGE", "'-c'")


def _remote(asked, word, needs=None):
    """A move of remote copy: obeyed, and it has nothing to do with the copy."""
    if needs and needs not in asked.options:
        raise Stop("EX_REQARG", f"'{needs}'")
    pairs = asked.pairs()
    if None in pairs:
        raise Stop("EX_INVVOL")
    for pair in pairs:
        pair["word"] = word


def pairresync(tool, argv):
    options = parse(argv, {**COMMON, "-c": (1, 1), "-restore": (0, 0), "-fq": (1, 1)})
    _require_pace(options)
    move = "restore" if "-restore" in options else "resync"
    with tool.state() as state:
        asked = Asked(state, options)
        if asked.view.is_remote_copy:
            _remote(asked, "PAIR")
            return 0
        pairs = asked.pairs()
        for pair, is_done in zip(pairs, rm_array.legal(state, move, pairs), strict=True):
            if is_done:
                (rm_array.restore if move == "restore" else rm_array.resync)(state, pair)
    return 0


def pairsplit(tool, argv):
    known = {
        "-S": (0, 0),
        "-E": (0, 0),
        "-C": (0, 1),
        "-P": (0, 0),
        "-r": (0, 0),
        "-rw": (0, 0),
        "-fq": (1, 1),
        "-t": (1, 1),
    }
    options = parse(argv, {**COMMON, **known})
    with tool.state() as state:
        asked = Asked(state, options, needs_partner="-l" not in options)
        if asked.view.is_remote_copy:
            _remote(asked, "PSUS")
            return 0
        pairs = asked.pairs()
        if "-l" in options and not all(
            pair and asked.is_primary(one, pair) for one, pair in zip(asked.devices, pairs, strict=True)
        ):
            raise Stop("EX_INVVOL")
        move = "delete" if "-S" in options else "suspend" if "-E" in options else "split"
        does = rm_array.legal(state, move, pairs)
        chosen = [pair for pair, is_done in zip(pairs, does, strict=True) if is_done]
        for pair in chosen:
            if move == "delete":
                rm_array.delete(state, pair)
            elif move == "suspend":
                rm_array.suspend(pair)
        if move != "split":
            return 0
        at_once = _at_one_time(state, asked, chosen)
    return _split(tool, chosen, at_once, options)


def _at_one_time(state, asked, chosen):
    """The consistency group that all of them are in, when the whole group is split; None for one after another."""
    groups = {pair["ctg"] for pair in asked.pairs()}
    if not chosen or not asked.is_whole_group or len(groups) != 1 or None in groups:
        return None
    (group,) = groups
    rm_array.require_at_time(state, group)
    return group


def _split(tool, chosen, group, options):
    quick, (half, code) = options.get("-fq") == ["quick"], tool.faults.take("pairsplit", "half")
    if half:
        chosen, group = chosen[:1], None
    if group is not None:
        with tool.state() as state:
            members = [pair for pair in state["pairs"] if pair["ctg"] == group]
            does = rm_array.legal(state, "split", members)
            todo = [pair for pair, is_done in zip(members, does, strict=True) if is_done]
            rm_array.split(state, todo, quick, lambda: tool.faults.half_way("pairsplit"))
        return 0
    for number, one in enumerate(chosen):
        if number:
            tool.faults.half_way("pairsplit")
            time.sleep(rm_array.settings(tool.store.read())["gap"])
        with tool.state() as state:
            rm_array.split(state, [rm_array.find(state, one["p"], one["mu"])], quick)
    if half and code != "0":
        raise Stop(NAMES.get(int(code or 236), "EX_ENQVOL"))
    return 0
