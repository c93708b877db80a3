"""Command lines of SYMCLI: options before or after the action, in any order."""

import sym_base
from sym_base import Stop

VALUES = {
    "-g", "-cg", "-sid", "-f", "-file", "-i", "-c", "-output", "-name", "-snapshot_name", "-generation", "-gen", "-sg",
    "-lnsg", "-devs", "-lndevs", "-delta", "-type", "-range",
}  # fmt: skip
COMMON = {"-noprompt", "-nop", "-v"}
MIRROR = {
    "-full", "-instant", "-consistent", "-force", "-symforce", "-differential", "-diff", "-not_ready", "-percent", "-synched",
    "-split", "-syncinprog", "-splitinprog", "-restored", "-restinprog", "-protect", "-exact", "-multi",
}  # fmt: skip
CLONE = {
    "-full", "-diff", "-precopy", "-copy", "-nocopy", "-consistent", "-force", "-symforce", "-multi", "-copied", "-created",
    "-recreated", "-copyinprog", "-copyonwrite", "-restored", "-tgt", "-not_ready", "-exact",
}  # fmt: skip
SNAPVX = {
    "-ttl", "-linked", "-detail", "-by_tgt", "-gb", "-mb", "-copy", "-nocopy", "-copied", "-defined", "-force", "-symforce",
    "-restored", "-summary",
}  # fmt: skip
GROUPS = {"-force", "-symforce", "-bcv"}
TOOLS = {
    "symmir": (MIRROR, ("establish", "split", "query", "verify", "list", "cancel", "restore")),
    "symclone": (
        CLONE,
        ("create", "activate", "recreate", "establish", "restore", "terminate", "verify", "query", "list"),
    ),
    "symsnapvx": (
        SNAPVX,
        ("establish", "list", "link", "relink", "unlink", "terminate", "restore", "verify"),
    ),
    "symbcv": (
        MIRROR | GROUPS,
        ("list", "associate", "add", "disassociate", "establish", "verify", "split", "query"),
    ),
    "symdg": (GROUPS, ("create", "list", "show", "export", "delete", "addall")),
    "symcg": (GROUPS, ("create", "list", "show")),
    "symld": (GROUPS, ("add", "remove")),
    "symsg": (GROUPS, ("list", "show")),
    "symcfg": (GROUPS, ("discover", "list")),
    "symdev": (GROUPS, ("list", "show")),
}
OLD_FLAGS = {"-i"}
"""In the historic ``symbcv`` this is a word without a value: incremental."""


class Call:
    """One command line. `values`: options that have one; `flags`: the others; `rest`: what follows the action."""

    def __init__(self, tool, argv, is_historic):
        self.tool, self.action, self.values, self.flags, self.rest = tool, "", {}, set(), []
        known, actions = TOOLS[tool]
        is_old = is_historic and tool == "symbcv"
        words = iter(argv)
        for word in words:
            low = word.lower()
            if low in VALUES and not (is_old and low in OLD_FLAGS):
                self.values[low] = self._value(low, words)
            elif low.startswith("-"):
                if low not in known | COMMON | (OLD_FLAGS if is_old else set()):
                    raise Stop(sym_base.FAILED, f"Unknown option: {word}\n\nUsage: {tool} [options] ACTION")
                self.flags.add(low)
            elif not self.action:
                if word not in actions:
                    raise Stop(sym_base.FAILED, f"Unknown action: {word}\n\nUsage: {tool} [options] ACTION")
                self.action = word
            else:
                self.rest.append(word)
        for long, short in (("-file", "-f"), ("-gen", "-generation")):
            if long in self.values:
                self.values[short] = self.values.pop(long)
        if not self.action:
            raise Stop(sym_base.FAILED, f"Usage: {tool} [options] ACTION")

    @staticmethod
    def _value(option, words):
        value = next(words, None)
        if value is None:
            raise Stop(sym_base.FAILED, f"The option {option} needs a value")
        return value

    @property
    def is_xml(self):
        return self.values.get("-output", "").lower().startswith("xml")

    @property
    def is_silent(self):
        """Whether nobody is to be asked."""
        return bool(self.flags & {"-noprompt", "-nop"})

    @property
    def target(self):
        """What the command is for, in the tool's words."""
        for option, kind in (("-cg", "composite group"), ("-sg", "storage group"), ("-f", "device file")):
            if option in self.values:
                return f"{kind} '{self.values[option]}'"
        return f"device group '{self.values.get('-g', '')}'"
