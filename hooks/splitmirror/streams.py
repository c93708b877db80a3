"""Standard input, output and error, which whoever starts us may have closed: daemons and some schedulers do.

The next file that is opened then gets the number of a standard stream, and what is printed goes into that file. So it is
the first thing that every executable does. It imports nothing that is not loaded already.
"""

import os
import sys


def ensure() -> None:
    """Open the null device for each stream that is closed, lowest number first: each gets the number that is its own."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - stays open; pathlib costs
