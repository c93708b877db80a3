"""Answers to questions: from flags, from a person at a terminal, or from their defaults."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec

from splitmirror.policy.problem import nearest
from splitmirror_drivers.kit.errors import GivenUp, UsageFault
from splitmirror_drivers.kit.units import Duration, SecretReference, Size

Check = Callable[[str], str]
"""What is wrong with an answer, "" when nothing is."""


class Asker:
    """Asks on standard input. `given`: answers by flag; `takes_defaults`: nobody is asked (``--yes``)."""

    def __init__(self, given: Mapping[str, str], *, takes_defaults: bool) -> None:
        self.given = given
        self.takes_defaults = takes_defaults

    def ask(self, flag: str, question: str, default: str | None, check: Check = lambda _: "") -> str:
        """One answer. Raises UsageFault for a flag's answer that is wrong, GivenUp when the questions are left."""
        if given := self.given.get(flag):
            return self._checked(flag, given, check)
        if self.takes_defaults:
            if default is None:
                raise UsageFault(f"--{flag} is needed: {question}", hint="give it, or leave --yes out to be asked")
            return self._checked(flag, default, check)
        while True:
            answer = self._read(question, default)
            wrong = check(answer) if answer else "an answer is needed" if default is None else ""
            if not wrong:
                return answer
            sys.stdout.write(f"  {wrong}\n")

    def choose(self, flag: str, question: str, words: Sequence[str], default: str | None) -> str:
        """One of `words`."""
        return self.ask(flag, f"{question} ({', '.join(words)})", default, lambda said: one_of(said, words))

    def agrees(self, question: str) -> bool:
        """Yes or no; yes when nobody is asked."""
        if self.takes_defaults:
            return True
        return self._read(f"{question} (yes, no)", "yes").lower() in ("y", "yes")

    def _checked(self, flag: str, answer: str, check: Check) -> str:
        if wrong := check(answer):
            raise UsageFault(f"--{flag} {answer!r}: {wrong}")
        return answer

    def _read(self, question: str, default: str | None) -> str:
        shown = f" [{default}]" if default else ""
        try:
            said = input(f"{question}{shown}: ").strip()
        except (EOFError, KeyboardInterrupt) as exc:
            sys.stdout.write("\n")
            raise GivenUp("given up: nothing was written") from exc
        return said or default or ""


def one_of(said: str, words: Collection[str]) -> str:
    """Why `said` is wrong: which of `words` was meant; "" when it is one of them."""
    return "" if said in words else f"not known; {nearest(said, words, 'words')}"


def settings(given: Sequence[str], sections: Collection[str]) -> dict[str, Any]:
    """``--set SECTION.KEY=VALUE`` as nested tables. A VALUE is TOML; a bare word is a text. Raises UsageFault."""
    found: dict[str, Any] = {section: {} for section in sections}
    for one in given:
        path, equals, value = one.partition("=")
        keys = path.strip().split(".")
        if not equals or len(keys) < 2 or not all(keys) or keys[0] not in found:
            raise UsageFault(
                f"--set {one!r} is not understood",
                hint=f"write SECTION.KEY=VALUE, for example application.port=5433; sections: {', '.join(sections)}",
            )
        table = found
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise UsageFault(f"--set {one!r}: {key} has a value already")
        table[keys[-1]] = _toml_value(value.strip())
    return found


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def required(kind: type[Any]) -> dict[str, Any]:
    """The keys that a table cannot be without, with their types."""
    return {one.encode_name: one.type for one in msgspec.structs.fields(kind) if one.required}


def decoded(kind: Any, text: str) -> object:
    """A typed answer as the value a file has. Raises UsageFault for a type that no line of text can be."""
    if get_origin(kind) in (tuple, list) and get_args(kind)[0] is str:
        return [word.strip() for word in text.split(",") if word.strip()]
    if kind is SecretReference:
        return {"file": text}
    if kind is int:
        return int(text)
    if kind is bool:
        return text in ("yes", "true")
    return text


def can_ask(kind: Any) -> bool:
    """Whether a line of text can be a value of this type."""
    if get_origin(kind) in (tuple, list):
        return get_args(kind)[0] is str
    return get_origin(kind) is Literal or kind in (str, int, bool, Duration, Size, SecretReference)


def wrong_value(kind: Any, text: str) -> str:
    """Why `text` cannot be a value of this type; "" when it can."""
    from splitmirror.policy.explain import explain

    try:
        value = decoded(kind, text)
    except ValueError:
        return "a whole number is needed"
    return "; ".join(problem.what for problem in explain(kind, value, ()))
