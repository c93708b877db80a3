"""How hosts know the standards: by the policy's table, or by the WWNs that the array has for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from splitmirror_drivers.arrays.timefinder_calls import XML, Symcli
from splitmirror_drivers.arrays.timefinder_options import Group
from splitmirror_drivers.arrays.timefinder_parse import elements, number_of
from splitmirror_drivers.contracts.array import Source
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Refused, UnknownAnswer

_WWN = re.compile(r"[0-9a-f]{32}")


def policy_ids(of: Group, standards: Sequence[str]) -> tuple[Source, ...]:
    """What the policy says; a standard that it does not name keeps the array's number, which no host knows."""
    known = {number_of(device): id_ for device, id_ in of.devices.items()}
    found = [known.get(number_of(standard), standard) for standard in standards]
    return tuple(Source("device", id_, of.source_host if id_.startswith("/") else "") for id_ in found)


def array_ids(symcli: Symcli, standards: Sequence[str], deadline: Deadline) -> tuple[Source, ...]:
    """The WWN of each standard. Raises Refused for one that shows hosts an identity that is not its own."""
    listed = list_devices(symcli, standards, deadline)
    found = []
    for standard in standards:
        fields = listed[number_of(standard)]
        wwn = fields.get("Product/wwn", "").lower()
        if not _WWN.fullmatch(wwn):
            raise UnknownAnswer(f"{symcli.name}: symdev does not say the WWN of {standard}", detail=f"{fields}")
        shown = fields.get("Device_External_Identity/wwn", "").lower()
        if _WWN.fullmatch(shown) and shown != wwn:
            raise Refused(
                f"{symcli.name}: hosts see {standard} as {shown}, which is not its own WWN {wwn}",
                hint='map it by hand: device-ids = "policy" and devices in the group',
            )
        found.append(Source("device", f"wwn:{wwn}", ""))
    return tuple(found)


def list_devices(symcli: Symcli, devices: Sequence[str], deadline: Deadline) -> dict[str, dict[str, str]]:
    """``symdev list -v`` of some devices: its fields by device number. Raises UnknownAnswer unless it lists all of them."""
    words = ("-sid", symcli.options.sid, "list", "-v", "-devs", ",".join(devices), *XML)
    done = symcli.look("symdev", *words, deadline=deadline).require(f"{symcli.name}: listing {', '.join(devices)}")
    listed = elements(done.stdout, "Symmetrix/Device", "symdev list")
    found = {number_of(fields["Dev_Info/dev_name"]): fields for fields in listed if "Dev_Info/dev_name" in fields}
    missing = [device for device in devices if number_of(device) not in found]
    if missing:
        raise UnknownAnswer(f"{symcli.name}: symdev does not list {', '.join(missing)}", detail=done.stdout)
    return found
