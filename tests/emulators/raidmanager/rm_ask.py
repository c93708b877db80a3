"""Who is meant by a command: its options, the instance that it speaks to, the group's volumes and the partner's."""

import os
import re

import rm_array
from rm_config import Stop

LOCAL_COPY = ("M", "SI", "BC")
_INSTANCE = re.compile(r"-I(H|M|TC|SI|BC|CA)?(\d*)")


def parse(argv, known):
    """Options by name; `known`: name → (fewest, most) words that follow. ``-I…`` and ``-f…`` may be joined."""
    found, words = {}, list(argv)
    while words:
        word = words.pop(0)
        match = _INSTANCE.fullmatch(word)
        if match:
            found["instance"] = match[2]
            found["local"] = match[1] in LOCAL_COPY if match[1] else None
            continue
        if word not in known:
            raise Stop("EX_UNWOPT", f"'{word}'")
        fewest, most = known[word]
        values = []
        while len(values) < most and words and not words[0].startswith("-"):
            values.append(words.pop(0))
        if len(values) < fewest:
            raise Stop("EX_REQARG", f"'{word}'")
        found[word] = values
    return found


def is_local_copy(options):
    """Whether local copy is meant: by the option, else by the environment."""
    if options.get("local") is not None:
        return options["local"]
    return "HORCC_MRCF" in os.environ


def instance(state, options):
    """The running instance that is spoken to."""
    number = options.get("instance") or os.environ.get("HORCMINST") or "0"
    found = state.get("instances", {}).get(number)
    if found is None:
        raise Stop("EX_ATTHOR")
    return found


class LocalCopy:
    """The pairs of local copy."""

    is_remote_copy = False

    def __init__(self, state):
        self.state = state

    def find(self, ldev, mu):
        return rm_array.find(self.state, ldev, mu)

    def words(self, pair):
        return rm_array.shown(self.state, pair)

    def percent(self, pair):
        return rm_array.percent(self.state, pair)


class RemoteCopy:
    """What a command finds that forgot to say that it means local copy."""

    is_remote_copy = True

    def __init__(self, state):
        self.state = state
        kind = rm_array.settings(state)["truecopy"]
        if kind == "error":
            raise Stop("EX_INVMUN")
        self.pairs = state.get("remote", []) if kind == "pairs" else []

    def find(self, ldev, mu):
        return next((pair for pair in self.pairs if ldev in (pair["p"], pair["s"])), None)

    def words(self, pair):
        if pair is None:
            return "SMPL", "SMPL"
        return pair["word"], "SSUS" if pair["word"] == "PSUS" else pair["word"]

    def percent(self, pair):
        return 100


class Asked:
    """The volumes that a command means. `devices`: the local ones; `partners`: the other instance's, in the same order."""

    def __init__(self, state, options, needs_partner=True):
        self.state, self.options = state, options
        here = instance(state, options)
        if "-g" not in options:
            raise Stop("EX_REQARG", "'-g'")
        group = options["-g"][0]
        if group not in here["groups"]:
            raise Stop("EX_ENOGRP")
        wanted = options.get("-d")
        self.devices = [dict(one, group=group) for one in here["groups"][group] if _is_wanted(one, wanted)]
        if not self.devices:
            raise Stop("EX_ENODEV")
        self.partners = self._partners(here, group) if needs_partner else None
        self.view = LocalCopy(state) if is_local_copy(options) else RemoteCopy(state)
        self.is_whole_group = wanted is None

    def _partners(self, here, group):
        running = self.state["instances"].values()
        there = next((one for one in running if one["service"] == here["remotes"].get(group)), None)
        if there is None:
            raise Stop("EX_ENORMT")
        by_name = {one["name"]: dict(one, group=group) for one in there["groups"].get(group, [])}
        if not all(one["name"] in by_name for one in self.devices):
            raise Stop("EX_ENODEV", "on the remote host")
        return [by_name[one["name"]] for one in self.devices]

    def pairs(self):
        """The pair of each device, None for a volume that has none. The P-VOL's own MU# counts."""
        return [self.view.find(one["ldev"], one["mu"]) for one in self.devices]

    def is_primary(self, device, pair):
        return pair is not None and pair["p"] == device["ldev"]


def _is_wanted(device, wanted):
    if wanted is None:
        return True
    if len(wanted) == 1:
        return device["name"] == wanted[0]
    same = device["serial"] == wanted[0] and device["ldev"] == int(wanted[1], 0)
    return same and (len(wanted) < 3 or device["mu"] == int(wanted[2]))
