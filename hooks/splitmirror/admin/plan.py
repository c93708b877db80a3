"""`splitmirror plan`: the exact commands of a run, host, deadline and undo of each, and what its copy would be."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from splitmirror import planning
from splitmirror.admin import check, frame
from splitmirror.phases import preflight
from splitmirror.planning import Step
from splitmirror.report import card

SUMMARY = "print what a run would do, and what its copy would be"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("policy", help="which policy")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """0 when the run could be planned; asks hosts, applications and arrays, changes nothing."""
    with frame.office(arguments) as office:
        job = office.job(arguments.policy)
        try:
            preflight.connect_all(job)
            found = preflight.survey(job, office.journal, may_copy_all=True)
        finally:
            preflight.disconnect_all(job)
        steps = planning.plan(job, found)
    paths = [placed.presentation.path for placed in job.presented]
    local = [placed.presentation.path for placed in job.presented if placed.presentation.host.is_local]
    put_into_list = [*paths, *(str(card.folder_beside(path)) for path in local)]
    if arguments.json:
        data = {"steps": [asdict(step) for step in steps], "product_file_list": put_into_list}
        frame.write_json({"version": 1, "policy": job.name, **check.told(found), **data})
        return 0
    sys.stdout.write(f"{job.name}: its copy can be called: {found.best.value}\n")
    sys.stdout.writelines(f"    {reason}\n" for reason in found.reasons)
    sys.stdout.writelines(as_line(step) for step in steps)
    sys.stdout.write(f"put into the product's file list: {' '.join(put_into_list) or 'nothing is presented'}\n")
    return 0


def as_line(step: Step) -> str:
    """One step for people."""
    undo = f"\n{'':12}undo: {step.undo}" if step.undo else ""
    return f"{step.phase:<10}  {step.host}: {step.what}  (up to {step.deadline_seconds:g} s){undo}\n"
