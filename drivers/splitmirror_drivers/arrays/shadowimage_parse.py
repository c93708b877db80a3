"""What ``pairdisplay -CLI`` prints: a line for each volume; and what the words of both volumes of a pair mean together.

The heading ``LU-M`` stands over two columns (LU and MU#). Remote copy has ``LU`` alone there: that is how a command that
reached TrueCopy instead of ShadowImage is known. Words decide; the percentage is only shown (PAIR at 99 is in sync).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitmirror_drivers.arrays.shadowimage_options import ldev
from splitmirror_drivers.contracts.array import PairState
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

NEEDED = ("Group", "PairVol", "L/R", "Seq#", "LDEV#", "P/S", "Status", "P-LDEV#")
UNPAIRED = "SMPL"
_HEX = re.compile(r"[0-9A-Fa-f]{1,6}")

S = PairState
STATES: Mapping[tuple[str, str], PairState] = {
    (UNPAIRED, UNPAIRED): S.UNPAIRED,
    ("COPY", "COPY"): S.ATTACHING,
    ("COPY", "PAIR"): S.ATTACHING,
    ("PAIR", "COPY"): S.ATTACHING,
    ("PAIR", "PAIR"): S.SYNCED,
    ("PSUS", "COPY"): S.SPLITTING,
    ("PSUS", "PAIR"): S.SPLITTING,
    ("COPY", "SSUS"): S.SPLITTING,
    ("PSUS", "SSUS"): S.SPLIT,
}
"""Of the words of P-VOL and S-VOL. COPY on both sides is the first copy, a resync or a split that drains: not told apart."""
FULL_POOL: Mapping[str, str] = {"PFUL": "PAIR", "PFUS": "PSUS"}
"""Thin Image only: the pool is above its threshold, and else the state is this one."""
BROKEN = frozenset({"PSUE", "SSUE", "PDUB"})
RESTORING = "RCPY"


@dataclass(frozen=True, slots=True)
class Row:
    """One volume. `role` and `status`: ``SMPL`` for one that is in no pair. `group_id`: its consistency group, "" for none."""

    pair: str
    is_local: bool
    serial: str
    ldev: str
    role: str
    status: str
    partner: str
    percent: int | None = None
    group_id: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One pair with both of its volumes."""

    name: str
    primary: Row
    copy: Row
    state: PairState

    @property
    def word(self) -> str:
        """Both words, as they are."""
        return f"{self.primary.status}/{self.copy.status}"


def parse_display(text: str, group: str) -> tuple[Row, ...]:
    """Every volume of `group`. Raises UnknownAnswer for a line that cannot be read, Refused for remote copy's layout."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines:
        return ()
    header = lines[0]
    if "LU" in header and "LU-M" not in header:
        raise Refused(
            f"{group}: RAID Manager answered for remote copy, not for local copy",
            detail=text,
            hint="HORCC_MRCF does not reach the command: see that the account's sudoers line or shell lets it through",
        )
    if "LU-M" not in header or any(name not in header for name in NEEDED):
        raise UnknownAnswer(f"pairdisplay of {group} has a heading that is not known", detail=text)
    at = header.index("LU-M")
    columns = [*header[:at], "LU", "MU", *header[at + 1 :]]
    return tuple(_row(columns, line, group, text) for line in lines[1:])


def _row(columns: Sequence[str], line: Sequence[str], group: str, text: str) -> Row:
    if len(line) != len(columns):
        raise UnknownAnswer(f"pairdisplay of {group} has a line that is not known: {' '.join(line)}", detail=text)
    # Seq# may stand there twice, the partner's second
    fields = dict(reversed(list(zip(columns, line, strict=True))))
    if fields["Group"] != group or fields["L/R"] not in ("L", "R") or not _HEX.fullmatch(fields["LDEV#"]):
        raise UnknownAnswer(f"pairdisplay of {group} has a line that is not known: {' '.join(line)}", detail=text)
    role, status = fields["P/S"], fields["Status"]
    if {role, status} <= {UNPAIRED, "-"}:
        role = status = UNPAIRED
    percent = fields.get("%", "-")
    group_id = fields.get("CTG", "-")
    return Row(
        pair=fields["PairVol"],
        is_local=fields["L/R"] == "L",
        serial=fields["Seq#"],
        ldev=fields["LDEV#"],
        role=role,
        status=status,
        partner=fields["P-LDEV#"],
        percent=int(percent) if percent.isdigit() else None,
        group_id=group_id if group_id.isdigit() else "",
    )


def pair_up(rows: Sequence[Row], what: str, *, sees_primary: bool, is_thin: bool) -> tuple[Seen, ...]:
    """Both volumes of each pair, in the order of the display.

    Raises UnknownAnswer when a side is missing or the two do not belong together, Refused when the sides are not those
    that the policy says.
    """
    return tuple(
        _seen(name, [row for row in rows if row.pair == name], what, sees_primary=sees_primary, is_thin=is_thin)
        for name in dict.fromkeys(row.pair for row in rows)
    )


def _seen(name: str, rows: Sequence[Row], what: str, *, sees_primary: bool, is_thin: bool) -> Seen:
    local = [row for row in rows if row.is_local]
    remote = [row for row in rows if not row.is_local]
    if len(local) != 1 or len(remote) != 1:
        raise UnknownAnswer(
            f"{what}: {name} has {len(local)} local and {len(remote)} remote volumes",
            hint="compare the horcm files of both instances, and start both anew after a change",
        )
    primary, copy = (local[0], remote[0]) if sees_primary else (remote[0], local[0])
    if primary.role == "S-VOL" or copy.role == "P-VOL":
        raise Refused(
            f"{what}: the instance sees the {local[0].role} of {name}, and the policy says "
            f"{'p-vol' if sees_primary else 's-vol'}",
            hint="mend `sees`: with the sides exchanged a first copy would overwrite production",
        )
    if primary.role == "P-VOL" and copy.role == "S-VOL" and not _belong(primary, copy):
        raise UnknownAnswer(
            f"{what}: {name} is P-VOL {primary.ldev} with S-VOL {primary.partner} there, and the partner instance has "
            f"{copy.ldev}",
            hint="compare the horcm files of both instances",
        )
    return Seen(name, primary, copy, _state(primary, copy, is_thin=is_thin))


def _belong(primary: Row, copy: Row) -> bool:
    return all(
        _HEX.fullmatch(partner) is not None and ldev(partner) == ldev(number)
        for partner, number in ((primary.partner, copy.ldev), (copy.partner, primary.ldev))
    )


def _state(primary: Row, copy: Row, *, is_thin: bool) -> PairState:
    words = primary.status, copy.status
    if BROKEN & set(words):
        return S.BROKEN
    if RESTORING in words:
        return S.RESTORING
    if is_thin:
        words = FULL_POOL.get(words[0], words[0]), words[1]
    if (primary.role, copy.role) not in ((UNPAIRED, UNPAIRED), ("P-VOL", "S-VOL")):
        return S.UNKNOWN
    return STATES.get(words, S.UNKNOWN)
