"""A copy's name as a SnapVX snapshot's, and back: a snapshot's name is at most 32 letters, digits, ``-`` and ``_``.

``sm-`` marks ours. A run's own name (``erp-20261124-223658-7``) that would be too long has its moment written shorter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from splitmirror_drivers.kit.errors import Refused

LONGEST = 32
MARK = "sm-"
_ESCAPES = {"_": "__", ".": "_d"}
_COPY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RUN = re.compile(r"(?P<policy>.+)-(?P<moment>\d{8}-\d{6})-(?P<number>[1-9]\d*)")
_SHORT = re.compile(r"(?P<policy>.*)_t(?P<moment>[0-9a-z]{6})(?P<number>[0-9a-z]+)")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9-]|__|_d)+")
_MOMENT = "%Y%m%d-%H%M%S"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOMENT_DIGITS = 6


def snapshot_name(copy: str) -> str:
    """The snapshot's name of a copy. Raises Refused for one that no snapshot can be named after."""
    if not _COPY.fullmatch(copy):
        raise Refused(f"{copy!r} is not the name of a copy")
    for name in (_escape(copy), _shorter(copy)):
        if name and len(MARK + name) <= LONGEST:
            return MARK + name
    raise Refused(
        f"no snapshot can be named after {copy}: a name has at most {LONGEST} characters",
        hint="give the policy a name of at most 17 characters, of which . and _ count twice",
    )


def copy_name(snapshot: str) -> str:
    """The copy of a snapshot's name; "" for one that is not ours."""
    if not snapshot.startswith(MARK):
        return ""
    text = snapshot.removeprefix(MARK)
    short = _SHORT.fullmatch(text)
    copy = _unescape(text) if _ESCAPED.fullmatch(text) else _longer(short) if short else ""
    try:
        return copy if copy and snapshot_name(copy) == snapshot else ""
    except Refused:
        return ""


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _unescape(text: str) -> str:
    return re.sub("__|_d", lambda found: "_" if found[0] == "__" else ".", text)


def _shorter(copy: str) -> str:
    """A run's name with its moment and number to the base of 36; "" when it is no run's name."""
    run = _RUN.fullmatch(copy)
    if run is None:
        return ""
    try:
        moment = datetime.strptime(run["moment"], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return ""
    seconds = _digits(int((moment - _EPOCH).total_seconds()))
    if moment < _EPOCH or len(seconds) > _MOMENT_DIGITS:
        return ""
    return f"{_escape(run['policy'])}_t{seconds.rjust(_MOMENT_DIGITS, '0')}{_digits(int(run['number']))}"


def _longer(short: re.Match[str]) -> str:
    if short["policy"] and not _ESCAPED.fullmatch(short["policy"]):
        return ""
    moment = datetime.fromtimestamp(_EPOCH.timestamp() + int(short["moment"], 36), tz=UTC)
    return f"{_unescape(short['policy'])}-{moment.strftime(_MOMENT)}-{int(short['number'], 36)}"


def _digits(number: int) -> str:
    """`number` to the base of 36."""
    found = ""
    while number or not found:
        number, digit = divmod(number, 36)
        found = _DIGITS[digit] + found
    return found
