"""`splitmirror recover`: bring to rest what an ended run left; with --close, close a run whose post never came.

What somebody is alive to take care of is not touched: a run at work, a copy that waits for its post, a pinned copy.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from splitmirror import acts, enter, log
from splitmirror import recover as engine
from splitmirror.acts import Act
from splitmirror.admin import frame, naming, orphans, status
from splitmirror.admin.who import who_is_asking
from splitmirror.giveup import GiveUp, listening
from splitmirror.journal.contract import Event, Kind, RunRecord, Status
from splitmirror.locks import RunLock
from splitmirror.office import Office
from splitmirror.phases import withdraw
from splitmirror.report import account
from splitmirror.run import Run, take_back
from splitmirror.state import boot_id
from splitmirror_drivers.contracts.presentation import Presented
from splitmirror_drivers.contracts.product import Manners
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import Fault, InUse, UsageFault

SUMMARY = "bring to rest what an ended run left"
ASK_SECONDS = 60.0
NEEDS_A_PERSON = 2
RUN_NAME = re.compile(r".+-\d{8}-\d{6}-\d+")
"""The whole name of a run: POLICY-DATE-TIME-NUMBER."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", default="", metavar="POLICY|RUN", help="default: every run of every policy")
    parser.add_argument(
        "--close", action="store_true", help="close the named RUN, whose copy still waits for a post that will not come"
    )
    parser.add_argument(
        "--lost-host",
        action="append",
        default=[],
        metavar="HOST",
        help="with one RUN: you have made sure that this data server holds nothing any more, since it is gone for good",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be taken back")


@dataclass
class Report:
    """What was done for one run, and what is left of it."""

    run_id: str
    what: str
    undone: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> int:
    """0: everything is at rest, or somebody alive takes care of it. 2: something is left for a person."""
    give_up = GiveUp()
    with listening(give_up), frame.office(arguments) as office:
        return recover(office, arguments, give_up)


def recover(office: Office, arguments: argparse.Namespace, give_up: GiveUp) -> int:
    """Run after run, oldest first; what is left of one keeps no other from being tried."""
    teller = log.Teller(Manners())
    reports = []
    for record in wanted(office, arguments.name, must_be_one=arguments.close or bool(arguments.lost_host)):
        give_up.check()
        if isinstance(record, str) or not enter.is_open(record):
            reports.append(orphan(office, record, is_dry=arguments.dry_run))
        elif arguments.dry_run:
            reports.append(planned(office, record, close=arguments.close))
        else:
            lost = arguments.lost_host
            reports.append(one(office, record, teller, give_up, close=arguments.close, lost=lost))
    teller.close()
    sys.stdout.write(as_text(reports, is_dry=arguments.dry_run))
    return NEEDS_A_PERSON if any(report.faults for report in reports) else 0


def wanted(office: Office, name: str, *, must_be_one: bool) -> Sequence[RunRecord | str]:
    """The runs that are meant, oldest first; a whole name that the journal does not know stays a name.

    Raises UsageFault when --close does not name exactly one run, or the name can mean nothing.
    """
    if name and not naming.is_policy(office.loaded.configuration, name):
        if not must_be_one and RUN_NAME.fullmatch(name) and not naming.matching_runs(office.journal, name):
            return [name]
        return [naming.find_run(office.journal, name)]
    records = sorted(office.journal.open_runs(name), key=lambda record: record.number)
    if must_be_one:
        open_now = ", ".join(record.run_id for record in records) or "none"
        raise UsageFault("--close and --lost-host need the one run that is meant", hint=f"open runs: {open_now}")
    return records


def orphan(office: Office, record: RunRecord | str, *, is_dry: bool) -> Report:
    """A run that is closed, or that the journal does not know: only a data server's own record may still name it."""
    run_id = record if isinstance(record, str) else record.run_id
    said = "is not in the journal" if isinstance(record, str) else f"is closed ({record.status.value})"
    if RunLock(office.state.path, run_id).is_alive():
        return Report(run_id, "is at work; left alone")
    if is_dry:
        return Report(run_id, f"{said}; what data servers say that it still holds would be ended")
    jobs, broken = status.wired(office, list(office.loaded.configuration.policies))
    ended, faults = orphans.rescue(list(jobs.values()), run_id)
    faults += broken.values()
    if faults:
        return Report(run_id, f"{said}; NOT SURE TO BE AT REST", ended, faults)
    return Report(run_id, f"{said}; " + ("at rest" if ended else "no data server holds anything of it"), ended)


def planned(office: Office, record: RunRecord, *, close: bool) -> Report:
    """What would be done, from the journal alone; nothing is asked."""
    told = account.of(office.journal, record)
    if RunLock(office.state.path, record.run_id).is_alive():
        return Report(record.run_id, "is at work; it would be left alone")
    if waits_for_post(told) and not close:
        return Report(record.run_id, "waits for its post; it would be left alone")
    names = [named(act) for act in reversed(told.standing()) if act.name != "split" or not close]
    return Report(record.run_id, "would be brought to rest", names)


def one(
    office: Office,
    record: RunRecord,
    teller: log.Teller,
    give_up: GiveUp,
    *,
    close: bool,
    lost: Sequence[str] = (),
) -> Report:
    """Bring one run to rest, holding its lock, so that no hook and no second recover is at it meanwhile."""
    lock = RunLock(office.state.path, record.run_id)
    if lock.is_alive():
        return Report(record.run_id, "is at work; left alone")
    try:
        job = office.job(record.policy)
        lock.acquire()
    except Fault as fault:
        return Report(record.run_id, "cannot be looked at", faults=[fault])
    try:
        made = office.run(job, office.journal.run(record.run_id), teller, give_up)
        take_word(made, lost)
        return bring_to_rest(made, close=close)
    except Fault as fault:
        return Report(record.run_id, "cannot be brought to rest", faults=[fault])
    finally:
        lock.release()


def take_word(made: Run, lost: Sequence[str]) -> None:
    """A person says that these data servers are gone for good: what they held is struck off, with who said so."""
    held = [act for act in acts.standing(made.journal.events(made.run_id)) if act.name == "hold"]
    if unknown := sorted(set(lost) - {act.key for act in held}):
        raise UsageFault(
            f"run {made.run_id} holds nothing on {unknown[0]}",
            hint=f"it may hold something on: {', '.join(act.key for act in held) or 'no data server'}",
        )
    if lost:
        made.append(*(act.event(Kind.UNDONE, lost=who_is_asking()) for act in held if act.key in lost))


def bring_to_rest(made: Run, *, close: bool) -> Report:
    """What somebody may still be waiting for first: holds. Then everything else, as the engine's own recover does."""
    told = account.of(made.journal, made.record)
    is_copy_good = made.record.status is Status.READY
    if waits_for_post(told) and not close:
        return Report(
            made.run_id, f"waits for its post; when that backup has ended: splitmirror recover {made.run_id} --close"
        )
    report = Report(made.run_id, "at rest")
    before = told.standing()
    take_back(made, [act for act in before if act.name == "hold"])
    report.faults = close_ready(made) if is_copy_good else engine.bring_to_rest(made, made.record, reason=by_whom())
    after = {(act.name, act.key) for act in acts.standing(made.journal.events(made.run_id))}
    report.undone = [named(act) for act in reversed(before) if (act.name, act.key) not in after]
    if report.faults:
        report.what = "NOT AT REST"
    elif is_copy_good:
        report.what = "closed; its copy stays on the mirror"
    return report


def by_whom() -> str:
    """Who asked, for the history."""
    return f"recovered by {who_is_asking()}"


def close_ready(made: Run) -> list[Fault]:
    """What post would have done but for the reattach: nobody may have the copy open; then it is withdrawn and kept."""
    if users := users_of(made):
        return users
    left = withdraw.withdraw(made)
    if left:
        made.status(Status.STUCK, error=str(left[0]), hint=left[0].hint, left=[str(fault) for fault in left])
        return left
    line = f"{made.job.name}: closed by {who_is_asking()} without its post, copy withdrawn"
    made.append(Event(Kind.NOTE, "close", "", {"by": who_is_asking()}))
    made.status(Status.GOOD, backup="not told", line=line)
    made.journal.unclaim(made.run_id)
    return []


def users_of(made: Run) -> list[Fault]:
    """Whoever has a copy of this run open, asked on every host before anything is withdrawn."""
    faults: list[Fault] = []
    for act in acts.standing(made.journal.events(made.run_id)):
        if act.name != "present":
            continue
        intent = act.value("intent", Presented)
        presentation = acts.find_presentation(made.job, intent)
        deadline = Deadline.after(ASK_SECONDS)
        presentation.host.connect(deadline)
        if users := presentation.users(intent, deadline):
            detail = "\n".join(str(user) for user in users)
            hint = "end those programs, then close it again; nothing was changed"
            faults.append(InUse(f"the copy at {act.key} is in use: {users[0]}", detail=detail, hint=hint))
    return faults


def waits_for_post(told: account.Account) -> bool:
    """Whether a copy is there for a backup that may still be reading it.

    After a restart of this server none can be, nor when every stream that came has ended.
    """
    is_from_now = not told.boot or told.boot == boot_id()
    return told.record.status is Status.READY and is_from_now and not enter.all_ended_in(told.events)


def named(act: Act) -> str:
    """An act for people."""
    return f"{act.name} {act.key}"


def as_text(reports: Sequence[Report], *, is_dry: bool) -> str:
    """What was done for each run, and what is left with the command to look and the command to act."""
    lines: list[str] = []
    for report in reports:
        lines.append(f"{report.run_id}: {report.what}")
        if report.undone:
            lines.append(f"    {'would take back' if is_dry else 'taken back'}: {', '.join(report.undone)}")
        for fault in report.faults:
            lines += [
                f"    left: {line}" if n == 0 else f"    {line}" for n, line in enumerate(fault.full().splitlines())
            ]
        if report.faults:
            lines.append(f"    to look: splitmirror show {report.run_id}; splitmirror status")
            lines.append(f"    to act:  splitmirror recover {report.run_id}")
    return "\n".join(lines or ["nothing is open: every run is closed"]) + "\n"
