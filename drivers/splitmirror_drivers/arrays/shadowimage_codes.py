"""RAID Manager's exit codes by name, and the classes of them that are treated alike.

Up to 127 a code is an answer (``pairvolchk`` and ``pairevtwait -nowait`` give states that way, of a whole group, which is why
neither is asked here); above, it is an error with a name (hicciexceptions 1.0.1; MK-90RD011-25).
"""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[int, str] = {
    199: "EX_CTXCHK",
    200: "EX_EACCES",
    202: "EX_ENAUTH",
    203: "EX_EPPERM",
    204: "EX_ENQCLP",
    205: "EX_ENOOBJ",
    206: "EX_ENOPOL",
    207: "EX_ESPERM",
    208: "EX_EPRORT",
    209: "EX_ESVOLD",
    210: "EX_ENOSUP",
    211: "EX_ERPERM",
    212: "EX_ENQSIZ",
    213: "EX_ENPERM",
    214: "EX_ENQCTG",
    215: "EX_ENXCTG",
    216: "EX_EXTCTG",
    217: "EX_ENOCTG",
    218: "EX_ENQSER",
    219: "EX_ENOUNT",
    220: "EX_INVMUN",
    221: "EX_CMDRJE",
    222: "EX_INVVOL",
    223: "EX_VOLCRE",
    224: "EX_VOLCUE",
    225: "EX_VOLCUR",
    226: "EX_INVRCD",
    227: "EX_ENLDEV",
    228: "EX_INVSTP",
    229: "EX_INCSTG",
    230: "EX_UNWCMD",
    231: "EX_ESTMON",
    232: "EX_EWSLTO",
    233: "EX_EWSTOT",
    234: "EX_EWSUSE",
    235: "EX_EVOLCE",
    236: "EX_ENQVOL",
    237: "EX_CMDIOE",
    238: "EX_UNWCOD",
    239: "EX_ENOGRP",
    240: "EX_INVCMD",
    241: "EX_INVMOD",
    242: "EX_ENORMT",
    243: "EX_ENAMLG",
    244: "EX_ERANGE",
    245: "EX_ENOMEM",
    246: "EX_ENODEV",
    247: "EX_ENOENT",
    248: "EX_OPTINV",
    249: "EX_INVNAM",
    250: "EX_ATTDBG",
    251: "EX_ATTHOR",
    252: "EX_UNWOPT",
    253: "EX_INVARG",
    254: "EX_REQARG",
    255: "EX_COMERR",
}
CODES: Mapping[str, int] = {name: code for code, name in NAMES.items()}
BUSY = frozenset(CODES[name] for name in ("EX_CMDRJE", "EX_CMDIOE", "EX_INVCMD", "EX_INVMOD", "EX_OPTINV"))
"""The array was busy, or a resource of it locked: tried again for ``busy-limit``."""
DAEMON = frozenset(CODES[name] for name in ("EX_ENORMT", "EX_ATTDBG", "EX_ATTHOR", "EX_COMERR"))
"""An instance, the own one or the partner, does not run or does not answer."""
USAGE = range(128, 199)
SIGNALS = frozenset({129, 130, 134, 137, 139, 141, 143})
"""What a shell that stands between says of a command that a signal ended; none of them is known as a code of the tools."""


def is_signal(code: int) -> bool:
    """Whether a command did not end by itself: nobody knows what was done by then."""
    return code < 0 or code in SIGNALS


def name_of(code: int) -> str:
    """An exit code as its name and number."""
    if code in NAMES:
        return f"{NAMES[code]} ({code})"
    return f"usage error {code}" if code in USAGE else f"exit code {code}"
