"""``list``: writers, shadow copies, providers."""

import vss_machine
from vss_machine import STATUS, Machine

SOFTWARE = (
    vss_machine.PROVIDER,
    "[1] VSS_PROV_SYSTEM",
    "Microsoft Software Shadow Copy provider 1.0",
    "1.0.0.7",
    "{65ee1dba-8ff4-4a58-ac1c-3470ee2f376a}",
)
HARDWARE = (
    vss_machine.HARDWARE_PROVIDER,
    "[3] VSS_PROV_HARDWARE",
    "Sample Hardware provider",
    "1.0.0.0",
    "{0f6a2c1e-5a8b-4f43-93a5-1a1d2f6f7b55}",
)


def shadows(session, machine, found):
    """The rows of shadow copies, with a session's own aliases."""
    word = session.faults.take("list-shadows", "word")
    if session.faults.take("list-shadows", "drop")[0]:
        found = found[1:]
    say = session.say
    for number, one in enumerate(found):
        say("shadow", id=one["id"], alias=alias(session, one["id"]))
        say("set", id=one["set"], alias=alias(session, one["set"]))
        say("count", count=one["count"])
        say("volume", guid=one["guid"], volume=one["volume"])
        say("time", time=session.when(one["created"]))
        say("device", device=one["device"])
        say("originating", machine=machine.settings["fqdn"])
        say("service", machine=machine.settings["fqdn"])
        if one["exposed"]:
            say("exposed", place=one["exposed"])
        else:
            say("not exposed")
        say("provider", id=one["provider"])
        say("attributes", attributes=word[1] if word[0] and number == 0 else machine.display(one))
        if number < len(found) - 1:
            session.tell("")
    say("listed", count=len(found))


def alias(session, value):
    return next((f"%{name}%" for name, one in session.aliases.items() if one == value), "")


def writers(session, how):
    machine = Machine(session.store.read())
    present = [one for one in machine.state["writers"] if not one["missing"]]
    word = session.faults.take("list-writers", "word")
    if session.faults.take("list-writers", "drop")[0]:
        present = present[1:]
    if how == "status":
        session.tell("\nListing writer status ...\n")
        for number, one in enumerate(present):
            status = f"{one['status']} ({STATUS[one['status']]})"
            if word[0] and number == 0:
                status = f"99 ({word[1]})"
            session.tell(f"* WRITER {one['name']}\n\t- Status: {status}\n\t- Writer Failure code: {one['failure']}")
            session.tell(f"\t- Writer ID: {one['id']}\n\t- Instance ID: {one['instance']}\n")
    else:
        session.tell("\nListing writer metadata ...")
        for one in present:
            metadata(session, machine, one, how == "detailed")
    session.tell(f"{chr(10) if how != 'status' else ''}{len(present)} writers listed.")


def metadata(session, machine, writer, is_detailed):
    tell = session.tell
    tell(
        f'\n* WRITER "{writer["name"]}"\n\t- Writer ID   = {writer["id"]}\n\t- Writer instance ID = {writer["instance"]}'
    )
    tell("\t- Supports restore events = TRUE\n\t- Writer restore conditions = VSS_WRE_ALWAYS")
    tell(
        "\t- Restore method = VSS_RME_RESTORE_IF_CAN_REPLACE\n\t- Requires reboot after restore = FALSE\n\t- Excluded files:"
    )
    for component in writer["components"]:
        path, name = component["name"].rsplit("\\", 1)
        tell(
            f'\t+ Component "{writer["name"]}:{component["name"]}"\n\t\t- Name: {name}\n\t\t- Logical path: {path[1:]}'
        )
        tell(f"\t\t- Full path: {component['name']}\n\t\t- Caption: \n\t\t- Type: VSS_CT_FILEGROUP [2]")
        tell(f"\t\t- Is selectable: {str(component['selectable']).upper()}\n\t\t- Is top level: TRUE")
        tell("\t\t- Notify on backup complete: FALSE")
        if is_detailed:
            tell("\t\t- Components:")
            for volume in component["volumes"]:
                tell(f"\t\t\t- File List: Path = {volume}\\data, Filespec = {name}.*")
        tell("\t\t- Paths affected by this component:")
        for volume in component["volumes"]:
            tell(f"\t\t\t- {volume}\\data")
        tell("\t\t- Volumes affected by this component:")
        for volume in component["volumes"]:
            known = machine.state["volumes"].get(
                volume, {"guid": "\\\\?\\Volume{00000000-0000-0000-0000-000000000000}\\"}
            )
            tell(f"\t\t\t- {known['guid']} [{volume}\\]")
        tell("\t\t- Component Dependencies:")


def providers(session):
    rows = [SOFTWARE, *([HARDWARE] if Machine(session.store.read()).settings["hardware"] else [])]
    session.tell("")
    for identity, kind, name, version, clsid in rows:
        session.tell(
            f"* ProviderID: {identity}\n\tType: {kind}\n\tName: {name}\n\tVersion: {version}\n\tCLSID: {clsid}"
        )
    session.tell(f"{len(rows)} provider{'s' if len(rows) > 1 else ''} registered.")
