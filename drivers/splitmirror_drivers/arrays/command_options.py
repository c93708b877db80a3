"""What a policy says of a `command` array, checked while the policy is read: wrong placeholders never reach a night."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.arrays.command_words import Reading, placeholders
from splitmirror_drivers.contracts.array import Atomic, Family, FixedBy, PairState, Traits
from splitmirror_drivers.kit.units import Duration, SecretReference

Argv = tuple[str, ...]

ATOMIC = {"nothing": Atomic.NOTHING, "pair": Atomic.PAIR, "group": Atomic.GROUP, "groups": Atomic.GROUPS}
OF_GROUP = frozenset({"group", "device", "copy-device"})
OF_COPY = OF_GROUP | {"copy"}
ALLOWED = {
    "query": OF_GROUP,
    "establish": OF_GROUP,
    "establish-full": OF_GROUP,
    "reattach": OF_GROUP,
    "split": OF_COPY | {"groups"},
    "settle": OF_COPY,
    "expose": OF_COPY,
    "unexpose": OF_COPY,
    "discard": OF_COPY,
}
"""Which placeholders each command may have: what is not known when it runs is refused."""

OVERRIDES = frozenset({"force", "symforce", "restore", "override"})
"""Words that override an array's own refusal, or copy back to the primary: with or without dashes they are refused."""

KNOWN_GROUPS = frozenset({"pair", "state", "primary", "copy", "group", "percent"})


class Commands(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The array's command lines, each a list of words; what is left out is not done."""

    query: Argv
    split: Argv
    establish: Argv = ()
    establish_full: Argv = ()
    reattach: Argv = ()
    """Establishing a group that is split; empty: `establish`."""
    settle: Argv = ()
    expose: Argv = ()
    unexpose: Argv = ()
    discard: Argv = ()

    def __post_init__(self) -> None:
        for name, argv in self.given().items():
            if not argv:
                raise ValueError(f"{name}: at least one word, the program")
            unknown = placeholders(argv) - ALLOWED[name]
            if unknown:
                known = ", ".join(sorted("{" + one + "}" for one in ALLOWED[name]))
                raise ValueError(f"{name}: unknown placeholder {{{min(unknown)}}}; it may have {known}")
            if argv[0] == "" or placeholders(argv[:1]):
                raise ValueError(f"{name}: its first word is a program, without a placeholder")
            for word in argv[1:]:
                if word.lstrip("-").lower().partition("=")[0] in OVERRIDES:
                    raise ValueError(f"{name}: {word!r} overrides what the array refuses, or copies to the primary")

    def given(self) -> dict[str, Argv]:
        """The commands that are configured, by their name in a policy."""
        every = {name: getattr(self, name.replace("-", "_")) for name in ALLOWED}
        return {name: argv for name, argv in every.items() if argv or name in ("query", "split")}


class ExitCodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The exit codes of each command that mean: done."""

    query: tuple[int, ...] = (0,)
    split: tuple[int, ...] = (0,)
    establish: tuple[int, ...] = (0,)
    establish_full: tuple[int, ...] = (0,)
    reattach: tuple[int, ...] = (0,)
    settle: tuple[int, ...] = (0,)
    expose: tuple[int, ...] = (0,)
    unexpose: tuple[int, ...] = (0,)
    discard: tuple[int, ...] = (0,)


class Deadlines(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How long each command may take at most; the engine's own deadline may be shorter, and for a split always counts."""

    query: Duration = Duration(60)
    split: Duration = Duration(120)
    establish: Duration = Duration(120)
    establish_full: Duration = Duration(120)
    reattach: Duration = Duration(120)
    settle: Duration = Duration(60)
    expose: Duration = Duration(120)
    unexpose: Duration = Duration(120)
    discard: Duration = Duration(600)


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One group of the array."""

    pairs: int
    """How many pairs it has; any other number in an answer is refused."""
    devices: tuple[str, ...] = ()
    """The primary devices as the data server's mount table names them, for coverage."""
    paths: tuple[str, ...] = ()
    """Or the directory trees that are mirrored."""
    source_host: str = ""
    """The host whose devices and paths these are; empty: any host's."""
    copy_devices: tuple[str, ...] = ()
    """Where the copy appears once exposed; ``{group}`` and ``{copy}`` are replaced."""
    tree: str = ""
    """Or the directory where it can be seen."""

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError("pairs: a group has at least one pair")
        if self.tree and self.copy_devices:
            raise ValueError("a copy appears either as copy-devices or as a tree")
        unknown = placeholders([*self.copy_devices, self.tree]) - {"group", "copy"}
        if unknown:
            raise ValueError(f"unknown placeholder {{{min(unknown)}}}; copy-devices and tree may have group and copy")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Any array, by its command lines and its words."""

    family: Literal["mirror", "point-in-time"]
    fixed_by: Literal["accept", "complete"]
    atomic: Literal["nothing", "pair", "group", "groups"]
    tracks_changes: bool
    tracks_copy_writes: bool
    allows_freeze: bool
    keeps_copies: bool = False
    source: str
    """Where these claims are documented: manual, chapter, release."""
    limit: Duration = Duration(0)
    """The array's own limit between accepting and fixing a split; 0: none."""

    commands: Commands
    exit_codes: ExitCodes = ExitCodes()
    busy_exit_codes: tuple[int, ...] = ()
    """Codes that say: locked, nothing was done. Tried again within the deadline."""
    busy_pause: Duration = Duration(1)
    in_use_exit_codes: tuple[int, ...] = ()
    """Codes of unexpose and discard that say: somebody uses the copy."""
    not_settled_exit_codes: tuple[int, ...] = ()
    """Codes of settle that say: not yet."""
    deadlines: Deadlines = Deadlines()
    environment: dict[str, str] = {}
    secrets: dict[str, SecretReference] = {}
    """Environment variables whose values are secrets."""

    pattern: str = r"(?P<pair>\S+)\s+(?P<state>\S+)"
    """A whole line of the query that is a pair; names pair and state, and where it can primary, copy, group, percent."""
    ignore: tuple[str, ...] = ()
    """Whole lines of the query that say nothing of a pair."""
    words: dict[str, PairState]
    """The array's state words in the common ones."""
    always_prepared: bool = False
    """Family point-in-time: the array has no word for it; a query that succeeds says that a copy may be taken."""
    seen_on: str = ""
    """The host on which an exposed copy appears; empty: the array's host."""
    restore_note: str = ""
    """For the recovery card: how a person restores from the copy with the array's own tools."""
    groups: dict[str, Group]

    def __post_init__(self) -> None:
        self._check_claims()
        self._check_words()
        for name in self.groups:
            if name.startswith("-") or not name.strip():
                raise ValueError(f"groups: {name!r} would be read as an option of the array's command")
        for name, argv in self.commands.given().items():
            for place, lists in {"device": "devices", "copy-device": "copy_devices"}.items():
                lacking = [key for key, group in self.groups.items() if not getattr(group, lists)]
                if place in placeholders(argv) and lacking:
                    raise ValueError(f"{name} has {{{place}}}, and group {lacking[0]} names none")
                if (
                    place in placeholders(argv) - {"device"}
                    and "copy" not in ALLOWED[name]
                    and self._copies_have_names()
                ):
                    raise ValueError(f"{name} has {{{place}}}, which is only known once a copy has its name")

    def _copies_have_names(self) -> bool:
        return any("copy" in placeholders(group.copy_devices) for group in self.groups.values())

    def _check_claims(self) -> None:
        if not self.source.strip():
            raise ValueError("source: say where family, fixed-by, atomic and the other claims are documented")
        if self.atomic == "groups" and "groups" not in placeholders(self.commands.split):
            raise ValueError('atomic = "groups" needs {groups} in split: one command for all of them')
        if self.family == "mirror" and not self.commands.establish:
            raise ValueError("commands: a mirror needs establish")
        if self.family == "mirror" and (self.keeps_copies or self.commands.discard or self.always_prepared):
            raise ValueError('keeps-copies, discard and always-prepared belong to family = "point-in-time"')
        if self.family == "point-in-time" and not self.commands.discard:
            raise ValueError("commands: a point-in-time array needs discard")

    def _check_words(self) -> None:
        try:
            named = set(re.compile(self.pattern).groupindex)
            for one in self.ignore:
                re.compile(one)
        except re.error as exc:
            raise ValueError(f"{exc.pattern!r} is no regular expression: {exc}") from exc
        needed = {"pair", "state"} | ({"copy"} if self.family == "point-in-time" else set())
        if needed - named or named - KNOWN_GROUPS:
            raise ValueError(
                f"pattern: it must name {', '.join(sorted(needed))}, and may name {', '.join(KNOWN_GROUPS)}"
            )
        if not self.words or {PairState.UNKNOWN, PairState.MIXED} & set(self.words.values()):
            raise ValueError("words: name the array's words; unknown and mixed are conclusions, not words")
        meanings = set(self.words.values())
        if not meanings & {PairState.SPLIT, PairState.SPLIT_UNTRACKED}:
            raise ValueError("words: no word means split")
        if not meanings & {PairState.SYNCED, PairState.PREPARED} and not self.always_prepared:
            raise ValueError("words: no word means synced (or prepared)")

    def traits(self) -> Traits:
        """The claims as the engine reads them."""
        family = Family(self.family)
        return Traits(
            family=family,
            fixed_by=FixedBy(self.fixed_by),
            atomic=ATOMIC[self.atomic],
            needs_sync=family is Family.MIRROR,
            tracks_changes=self.tracks_changes,
            tracks_copy_writes=self.tracks_copy_writes,
            keeps_copies=self.keeps_copies,
            allows_freeze=self.allows_freeze,
            source=self.source,
            limit_seconds=float(self.limit),
        )

    def reading(self) -> Reading:
        """How a query is read."""
        return Reading(re.compile(self.pattern), tuple(map(re.compile, self.ignore)), self.words)
