"""What a line means: keywords cut short, switches, and which command it is."""

import re

from hsg_machine import Stop

VERBS = [
    "ADD",
    "CLEAR_ERRORS",
    "CONFIGURATION",
    "CREATE_PARTITION",
    "DELETE",
    "DESTROY_PARTITION",
    "DIRECTORY",
    "EXIT",
    "HELP",
    "INITIALIZE",
    "LOCATE",
    "MIRROR",
    "POWEROFF",
    "REDUCE",
    "RENAME",
    "RESTART",
    "RETRY_ERRORS",
    "RUN",
    "SELFTEST",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "UNMIRROR",
]
KINDS = [
    "DEVICES",
    "DISKS",
    "FAILEDSET",
    "MIRRORSETS",
    "OTHER_CONTROLLER",
    "SPARESET",
    "STORAGESETS",
    "STRIPESETS",
    "THIS_CONTROLLER",
    "UNITS",
]
ADDED = ["CONNECTIONS", "DISK", "MIRRORSET", "RAIDSET", "SNAPSHOT_UNITS", "SPARESET", "STRIPESET", "UNIT"]
POLICIES = ["BEST_FIT", "BEST_PERFORMANCE"]
MIRRORSET_SWITCHES = {
    "COPY": ["FAST", "NORMAL"],
    "MEMBERSHIP": None,
    "NOPOLICY": (),
    "POLICY": POLICIES,
    "READ_SOURCE": None,
    "REMOVE": None,
    "REPLACE": None,
}
"""Each with its values: a list of keywords, None for anything, () for a switch that has none."""
ADD_MIRRORSET_SWITCHES = {name: MIRRORSET_SWITCHES[name] for name in ("COPY", "NOPOLICY", "POLICY", "READ_SOURCE")}
UNIT_SWITCHES = {
    "DISABLE_ACCESS_PATH": None,
    "ENABLE_ACCESS_PATH": None,
    "IDENTIFIER": None,
    "MAXIMUM_CACHED_TRANSFER": None,
    "NOIDENTIFIER": (),
    "NOPREFERRED_PATH": (),
    "NOREAD_CACHE": (),
    "NORUN": (),
    "NOWRITEBACK_CACHE": (),
    "NOWRITE_PROTECT": (),
    "PARENT_WWID": None,
    "PREFERRED_PATH": None,
    "READ_CACHE": (),
    "RUN": (),
    "WRITEBACK_CACHE": (),
    "WRITE_PROTECT": (),
}


def words_of(line):
    """A line's words in capitals; blanks around = do not count."""
    return re.sub(r"\s*=\s*", "=", line.upper()).split()


def keyword(word, known, what="keyword"):
    """The one of `known` that `word` is or begins. Raises Stop."""
    if word in known:
        return word
    found = [one for one in known if one.startswith(word)]
    if len(found) != 1:
        raise Stop(f"{word} is {'an ambiguous' if found else 'not a'} {what}")
    return found[0]


def switches(words, known):
    """Switches by name. Raises Stop for one that is not known, or twice there."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = keyword(name, list(known), "switch")
        values = known[name]
        if bool(equals) is (values == ()) or (equals and not value):
            raise Stop(f"the switch {name} {'takes no value' if equals else 'needs a value'}")
        if name in found:
            raise Stop(f"the switch {name} is there twice")
        found[name] = keyword(value, values, "value") if isinstance(values, list) else value
    return found


def names_of(line):
    """What a fault may call this line: the most exact first."""
    words = words_of(line)
    try:
        verb = keyword(words[0], VERBS)
    except (IndexError, Stop):
        return ["none"]
    names = [verb.lower()]
    try:
        if verb == "SET" and len(words) > 2:
            name = keyword(words[2].partition("=")[0], list(MIRRORSET_SWITCHES))
            names.insert(0, f"set.{name.removeprefix('NO').lower()}")
        elif verb == "ADD" and len(words) > 1:
            names.insert(0, f"add.{keyword(words[1], ADDED).lower()}")
    except Stop:
        pass
    return names
