"""EMC Symmetrix, VMAX and PowerMax by SYMCLI: TimeFinder/Mirror, TimeFinder/Clone, SnapVX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitmirror_drivers.arrays.timefinder_calls import NO_PROMPT, Symcli
from splitmirror_drivers.arrays.timefinder_clone import Clone
from splitmirror_drivers.arrays.timefinder_mirror import Mirror
from splitmirror_drivers.arrays.timefinder_options import Group, Options
from splitmirror_drivers.arrays.timefinder_snapvx import SnapVX
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array
from splitmirror_drivers.contracts.host import Host

__all__ = ["ANSWERS", "Group", "Options", "from_options"]

ANSWERS: Mapping[str, str] = {
    NO_PROMPT: "answers yes to the (y/[n]) that every move asks; it overrides nothing that the array refuses",
}
"""Every flag that only answers a prompt."""

PRODUCTS: Mapping[str, type[Mirror] | type[Clone] | type[SnapVX]] = {"mirror": Mirror, "clone": Clone, "snapvx": SnapVX}


def build(name: str, options: Options, host: Host) -> Array:
    """The array of the product that the policy names."""
    return PRODUCTS[options.product](Symcli(name, options, host))


def from_options(name: str, options: Options, host: Any, context: Context) -> Array:
    """The catalogue's constructor. Raises PolicyFault for a host that does not exist."""
    if options.copy_host:
        context.host(options.copy_host)
    return build(name, options, host)
