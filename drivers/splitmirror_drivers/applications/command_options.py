"""What a policy says of a `command` application, checked while the policy is read."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from splitmirror_drivers.kit.units import Duration, SecretReference

Argv = tuple[str, ...]
KNOWN_WHEN_HELD = ("{run}", "{verdict}", "{seconds}")


class Deadlines(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How long each may take; rescue has the longer of leave's and its own."""

    check: Duration = Duration(60)
    enter: Duration = Duration(10)
    leave: Duration = Duration(10)
    rescue: Duration = Duration(10)
    capture: Duration = Duration(60)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Any application, by its command lines."""

    files: tuple[str, ...]
    """Every path that must lie on the mirror."""
    log_files: tuple[str, ...] = ()
    """Those that may lie on a log mirror instead."""
    blocks: Literal["nothing", "writes", "service"]
    ends_with: Literal["session", "server"]
    tolerates_spread: bool = False
    """Files copied at different moments while it is held can be recovered."""
    survives_restart: bool = False
    """The held state outlives a crash of the data server."""

    check: Argv = ()
    """Whether it may be held: exit code 0. It must change nothing."""
    warm: Argv = ()
    enter: Argv = ()
    verify: Argv = ()
    """Asked directly before leave: 0 says that it is still held."""
    leave: Argv = ()
    rescue: Argv = ()
    """Ends the hold from any process, without the secret; empty: `leave`."""
    capture: Argv = ()
    """Run after the resume; what it prints goes to the recovery card."""

    client: Argv = ()
    """Instead of enter and leave: one program that is told lines and answers words."""
    ready_word: str = ""
    enter_lines: tuple[str, ...] = ()
    held_word: str = ""
    leave_lines: tuple[str, ...] = ()
    left_word: str = ""
    failed_words: tuple[str, ...] = ()

    held_exit_codes: tuple[int, ...] = (0,)
    """Of enter: it is held."""
    was_held_exit_codes: tuple[int, ...] = (0,)
    """Of leave and rescue: it was held until now."""
    not_held_exit_codes: tuple[int, ...] = ()
    """Of leave, rescue and verify: it was not held."""
    foreign_exit_codes: tuple[int, ...] = ()
    """Of check: somebody else holds it. Check is then also asked directly before enter."""
    enter_fails_when_taken: bool = False
    """Enter itself fails, and changes nothing, when somebody else holds it."""

    os_user: str = ""
    secret: SecretReference | None = None
    secret_variable: str = ""
    """The environment variable in which every program finds the secret."""
    claim: str = ""
    """What this holds, when several policies name it differently; empty: the application's name."""
    rank: int = 0
    deadlines: Deadlines = Deadlines()
    recovery: tuple[str, ...] = ()
    """Paragraphs for the recovery card."""
    needs_logs: str = ""
    """What must still come from elsewhere for a complete recovery."""

    def __post_init__(self) -> None:
        if not self.files or not all(path.startswith("/") for path in (*self.files, *self.log_files)):
            raise ValueError("files: name at least one, by absolute paths")
        if bool(self.secret) != bool(self.secret_variable):
            raise ValueError("secret and secret-variable belong together")
        if self.secret_variable and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.secret_variable):
            raise ValueError(f"secret-variable: {self.secret_variable!r} is not the name of a variable")
        self._check_session() if self.client else self._check_programs()
        if self.ends_with == "server" and self.secret and not self.rescue:
            raise ValueError("rescue: it runs without the secret, so it cannot be leave's; write it down")
        if self.foreign_exit_codes and not self.check:
            raise ValueError("foreign-exit-codes are those of check, which is missing")
        for word in self.lists():
            if "\n" in word or "\0" in word:
                raise ValueError(f"{word!r}: a word has no line break")
        for name in ("check", "warm", "capture", "client"):
            if any(one in word for word in getattr(self, name) for one in KNOWN_WHEN_HELD):
                raise ValueError(
                    f"{name}: {', '.join(KNOWN_WHEN_HELD)} are only known to enter, verify, leave and rescue"
                )

    def _check_session(self) -> None:
        if self.enter or self.leave or self.verify:
            raise ValueError("either client, or enter and leave")
        if not (self.enter_lines and self.held_word and self.leave_lines and self.left_word):
            raise ValueError("client: it needs enter-lines, held-word, leave-lines and left-word")
        if self.ends_with == "server" and not self.rescue:
            raise ValueError("rescue: what outlives the client must be ended by a program")
        if self.ends_with == "session" and self.rescue:
            raise ValueError("rescue: a hold that ends with its session is rescued by ending the client")

    def _check_programs(self) -> None:
        if not self.enter or not self.leave:
            raise ValueError("enter and leave, or client: how it is held is missing")
        if self.ends_with == "session":
            raise ValueError(
                "ends-with: without a client there is no session; a state of the server is ended by rescue"
            )
        if not self.not_held_exit_codes:
            raise ValueError(
                "not-held-exit-codes: how leave (or verify) says that it was not held; else nothing proves it"
            )
        if set(self.not_held_exit_codes) & set(self.was_held_exit_codes):
            raise ValueError("an exit code says either was-held or not-held")
        if not (self.foreign_exit_codes or self.enter_fails_when_taken):
            raise ValueError(
                "how somebody else's hold is noticed is missing: check with foreign-exit-codes, or enter-fails-when-taken"
            )

    def lists(self) -> tuple[str, ...]:
        """Everything the verbs need: for each list its key, its length and its words."""
        lists = {
            "ends": (self.ends_with,),
            "variable": (self.secret_variable,) if self.secret_variable else (),
            "check": self.check,
            "warm": self.warm,
            "enter": self.enter,
            "verify": self.verify,
            "leave": self.leave,
            "rescue": self.rescue,
            "capture": self.capture,
            "client": self.client,
            "ready": (self.ready_word,) if self.ready_word else (),
            "enter-lines": self.enter_lines,
            "held": (self.held_word,) if self.held_word else (),
            "leave-lines": self.leave_lines,
            "left": (self.left_word,) if self.left_word else (),
            "failed": self.failed_words,
            "held-codes": tuple(map(str, self.held_exit_codes)),
            "was-held-codes": tuple(map(str, self.was_held_exit_codes)),
            "not-held-codes": tuple(map(str, self.not_held_exit_codes)),
            "foreign-codes": tuple(map(str, self.foreign_exit_codes)),
        }
        return tuple(word for key, words in lists.items() if words for word in (key, str(len(words)), *words))
