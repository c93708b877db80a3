"""The array: its pairs, what each may be asked in which state, and their bytes.

A pair's ``raw`` is the array's own state: COPY(PD) initial copy, COPY(RS) resync, PAIR, COPY(SP) steady split, PSUS(SP) quick
split, PSUS, RCPY restore, PSUE. Tools show less: see ``shown``.
"""

import contextlib
import os

import parts
from rm_config import Stop

DEFAULTS = {
    "rate": 0.0,
    "drain": 0.0,
    "p_lag": 0.0,
    "gap": 0.02,
    "percent": 99,
    "thin": False,
    "truecopy": "pairs",
    "untracked": False,
    "ssue": False,
}
COPYING = ("COPY(PD)", "COPY(RS)", "COPY(SP)", "RCPY")
NOTHING, REJECT, DO = "nop", "reject", "do"

SHADOW_IMAGE = {
    "create": {"SMPL": DO, "COPY": NOTHING, "PAIR": NOTHING, "PSUS": REJECT, "PSUE": REJECT},
    "create-split": {"SMPL": DO, "COPY": DO, "PAIR": DO, "PSUS": NOTHING, "PSUE": REJECT},
    "split": {"SMPL": REJECT, "COPY": DO, "PAIR": DO, "PSUS": NOTHING, "PSUE": REJECT},
    "suspend": {"SMPL": REJECT, "COPY": DO, "PAIR": DO, "PSUS": DO, "PSUE": NOTHING},
    "delete": {"SMPL": NOTHING, "COPY": DO, "PAIR": DO, "PSUS": DO, "PSUE": DO},
    "resync": {"SMPL": REJECT, "COPY": NOTHING, "PAIR": NOTHING, "PSUS": DO, "PSUE": DO},
    "restore": {"SMPL": REJECT, "COPY": REJECT, "PAIR": REJECT, "PSUS": DO, "PSUE": REJECT},
}
THIN_IMAGE = {
    "create": {"SMPL": DO, "COPY": NOTHING, "PAIR": NOTHING, "PSUS": REJECT, "PSUE": REJECT},
    "create-split": {"SMPL": REJECT, "COPY": REJECT, "PAIR": DO, "PSUS": NOTHING, "PSUE": REJECT},
    "split": {"SMPL": REJECT, "COPY": REJECT, "PAIR": DO, "PSUS": NOTHING, "PSUE": REJECT},
    "suspend": {"SMPL": REJECT, "COPY": REJECT, "PAIR": REJECT, "PSUS": REJECT, "PSUE": REJECT},
    "delete": {"SMPL": NOTHING, "COPY": REJECT, "PAIR": DO, "PSUS": DO, "PSUE": DO},
    "resync": {"SMPL": REJECT, "COPY": NOTHING, "PAIR": NOTHING, "PSUS": DO, "PSUE": DO},
    "restore": {"SMPL": REJECT, "COPY": NOTHING, "PAIR": NOTHING, "PSUS": DO, "PSUE": REJECT},
}


def settings(state):
    return {**DEFAULTS, **state.get("settings", {})}


def find(state, ldev, mu):
    """The local-copy pair of a volume: a P-VOL is meant with its MU#, an S-VOL has one pair only, at MU# 0."""
    for pair in state.get("pairs", []):
        if (pair["p"], pair["mu"]) == (ldev, mu) or (pair["s"], 0) == (ldev, mu):
            return pair
    return None


def shown(state, pair):
    """(status of the P-VOL, status of the S-VOL) as tools print them."""
    if pair is None:
        return "SMPL", "SMPL"
    raw, known = pair["raw"], settings(state)
    if raw == "COPY(SP)":
        is_late = parts.now(state) - pair["since"] < known["p_lag"]
        return ("COPY" if is_late else "PSUS"), "COPY"
    if raw in ("PSUS", "PSUS(SP)"):
        return "PSUS", "SSUS"
    if raw == "PSUE":
        return "PSUE", "SSUE" if known["ssue"] else "PSUE"
    word = "RCPY" if raw == "RCPY" else "COPY" if raw in COPYING else raw
    return word, word


def percent(state, pair):
    if pair is None:
        return "-"
    if state.get("stuck") is not None and pair["raw"] in COPYING:
        return state["stuck"]
    if pair["raw"] == "PAIR":
        return settings(state)["percent"]
    if pair["raw"] == "COPY(SP)":
        return int(100 * (parts.now(state) - pair["since"]) / max(pair["until"] - pair["since"], 0.001))
    return parts.percent(pair["back"] if pair["raw"] == "RCPY" else pair)


def settle(state):
    """Let every copy go as far as the clock says."""
    known, now = settings(state), parts.now(state)
    if state.get("stuck") is not None:
        return
    for pair in state.get("pairs", []):
        raw = pair["raw"]
        if raw == "COPY(SP)" and now >= pair["until"]:
            parts.advance(pair["drains"], now)
            _forget_drain(pair)
            pair["raw"] = "PSUS"
        elif raw == "PSUS(SP)" and now >= pair["until"]:
            pair["raw"] = "PSUS"
        elif raw in ("COPY(PD)", "COPY(RS)") and parts.advance(pair, now, 0.0 if known["thin"] else known["rate"]):
            pair["raw"] = "PAIR"
        elif raw == "RCPY" and parts.advance(pair["back"], now, known["rate"]):
            pair.update(raw="PAIR", back=None)


# ---- what may be done ----


def legal(state, move, pairs):
    """For each pair whether a move is done. Raises Stop when one of them may not make it; nothing is done then."""
    table = THIN_IMAGE if settings(state)["thin"] else SHADOW_IMAGE
    verdicts = [_verdict(state, table, move, pair) for pair in pairs]
    if REJECT in verdicts:
        raise Stop("EX_INVVOL" if set(verdicts) == {REJECT} else "EX_ENQVOL")
    return [verdict == DO for verdict in verdicts]


def _verdict(state, table, move, pair):
    if pair is None:
        return table[move]["SMPL"]
    raw = pair["raw"]
    if raw in ("COPY(SP)", "PSUS(SP)") and move in ("delete", "restore"):
        return REJECT
    word = "COPY" if raw in COPYING else raw.partition("(")[0]
    return NOTHING if raw == "COPY(SP)" and move in ("split", "create-split") else table[move][word]


def require_at_time(state, group):
    """Raises Stop when a consistency group cannot be split at one time."""
    for pair in state["pairs"]:
        if pair["ctg"] == group and pair["raw"] in ("COPY(RS)", "RCPY", "PSUE"):
            raise Stop("EX_CMDRJE", rejected(state))


def rejected(state, ssb="0xB9E1,0xB901"):
    serial = state.get("serial", 0)
    return f"It was rejected due to SKEY=0x05, ASC=0x26, ASCQ=0x00, SSB={ssb} on Serial#({serial})"


# ---- doing it ----


def create(state, p, s, mu, ctg):
    """A new pair, copying."""
    paths = [state["ldevs"][str(ldev)]["path"] for ldev in (p, s)]
    if os.path.exists(paths[1]) and not os.path.isfile(paths[1]) and parts.size_of(paths[0]) != parts.size_of(paths[1]):
        raise Stop("EX_ENQSIZ")
    pair = {
        "p": p,
        "s": s,
        "mu": mu,
        "ctg": ctg,
        "primary": paths[0],
        "copy": paths[1],
        "raw": "COPY(PD)",
        "base": None,
    }
    pair.update(since=parts.now(state), until=0.0, drains=None, back=None)
    parts.start_copy(pair, parts.now(state), full=True)
    state["pairs"].append(pair)
    return pair


def resync(state, pair):
    full = pair["raw"] == "PSUE"
    parts.start_copy(pair, parts.now(state), full, tracks_copy_side=not settings(state)["untracked"])
    pair.update(raw="COPY(RS)", since=parts.now(state))


def restore(state, pair):
    """Copy back to the production volume."""
    back = {"primary": pair["copy"], "copy": pair["primary"], "base": pair["base"]}
    parts.start_copy(back, parts.now(state), full=False)
    pair.update(raw="RCPY", since=parts.now(state), back=back)


def suspend(pair):
    _forget_drain(pair)
    pair["raw"] = "PSUE"


def delete(state, pair):
    _forget_drain(pair)
    state["pairs"].remove(pair)


def split(state, pairs, quick=False, half_way=lambda: None):
    """All of `pairs` at one moment."""
    known, now = settings(state), parts.now(state)
    for pair in pairs:
        if pair["raw"] == "RCPY":
            parts.advance(pair["back"], now)
            pair.update(raw="PAIR", back=None)
    if known["thin"] or quick or (not known["drain"] and all(pair["raw"] == "PAIR" for pair in pairs)):
        if not parts.take(pairs, half_way):
            raise Stop("EX_CMDIOE", "the volumes were written faster than they can be looked at")
        for pair in pairs:
            pair.update(raw="PSUS(SP)" if quick else "PSUS", since=now, until=now + known["drain"], due=[])
        return
    images = [{"primary": pair["primary"], "copy": pair["copy"] + ".moment"} for pair in pairs]
    if not parts.take(images, half_way):
        raise Stop("EX_CMDIOE", "the volumes were written faster than they can be looked at")
    for pair, image in zip(pairs, images, strict=True):
        _drain(pair, image, now, known)


def _drain(pair, image, when, known):
    """What the S-VOL lacks of that moment is copied from here on, and is garbage until then."""
    drains = {"primary": image["copy"], "copy": pair["copy"], "base": image["base"]}
    lacking = parts.start_copy(drains, when, full=False)
    seconds = known["drain"]
    if pair["raw"] != "PAIR" and known["rate"]:
        seconds = max(seconds, lacking / known["rate"])
    pair.update(base=image["base"], raw="COPY(SP)", since=when, until=when + seconds, drains=drains, due=[])


def _forget_drain(pair):
    if pair.get("drains"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pair["drains"]["primary"])
        pair["drains"] = None


def next_group(state):
    used = {pair["ctg"] for pair in state["pairs"]}
    for number in range(256):
        if number not in used:
            return number
    raise Stop("EX_ENOCTG")
