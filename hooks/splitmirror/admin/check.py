"""`splitmirror check`: touch every host, application and array for real, and change nothing."""

from __future__ import annotations

import argparse
import sys
import time

from splitmirror.admin import frame
from splitmirror.office import Office
from splitmirror.phases import preflight
from splitmirror.phases.survey import Survey
from splitmirror_drivers.kit.errors import Fault

SUMMARY = "touch every host, application and array of a policy for real; change nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("policy", nargs="*", help="which policies (default: all)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """0: every policy could run now. 1: at least one could not."""
    with frame.office(arguments) as office:
        office.journal.check()
        results = [one(office, name) for name in arguments.policy or office.loaded.configuration.policies]
    if arguments.json:
        frame.write_json({"version": 1, "policies": results})
    else:
        for result in results:
            sys.stdout.write(as_text(result))
    return 0 if all(result["ok"] for result in results) else 1


def one(office: Office, name: str) -> dict[str, object]:
    """What was found for one policy."""
    job = office.job(name)
    began = time.monotonic()
    try:
        preflight.connect_all(job)
        found = preflight.survey(job, office.journal, may_copy_all=True)
    except Fault as fault:
        return {"policy": name, "ok": False, "fault": fault.message, "detail": fault.detail, "hint": fault.hint}
    finally:
        preflight.disconnect_all(job)
    return {"policy": name, "ok": True, "took_ms": round((time.monotonic() - began) * 1000), **told(found)}


def told(found: Survey) -> dict[str, object]:
    """A survey as JSON data."""
    return {
        "best": found.best.value,
        "reasons": list(found.reasons),
        "applications": {
            name: {"version": facts.version, "files": list(facts.files), "warnings": list(facts.warnings)}
            for name, facts in found.facts.items()
        },
        "mirrors": {
            target.key: {"state": target.state.value, "establish": target.mode.value if target.mode else ""}
            for target in found.targets
        },
        "holds": [
            {"host": one.host.name, "name": one.hold.name, "blocks": one.hold.blocks.value} for one in found.held
        ],
    }


def as_text(result: dict[str, object]) -> str:
    """The same for people."""
    name = result["policy"]
    if not result["ok"]:
        lines = [f"{name}: FAILED: {result['fault']}"]
        lines += [f"    {line}" for line in str(result["detail"]).splitlines()]
        return "\n".join([*lines, *([f"    what to do: {result['hint']}"] if result["hint"] else [])]) + "\n"
    lines = [f"{name}: ok; its copy can be called: {result['best']}"]
    lines += [f"    {reason}" for reason in frame.texts(result["reasons"])]
    for app, facts in frame.table(result["applications"]).items():
        found = frame.table(facts)
        lines.append(f"    {app}: {found['version']}".rstrip(": "))
        lines += [f"        {path}" for path in frame.texts(found["files"])]
        lines += [f"        warning: {warning}" for warning in frame.texts(found["warnings"])]
    for key, mirror in frame.table(result["mirrors"]).items():
        found = frame.table(mirror)
        copying = f"; establish will be {found['establish']}" if found["establish"] else ""
        lines.append(f"    mirror {key}: {found['state']}{copying}")
    return "\n".join(lines) + "\n"
