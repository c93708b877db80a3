"""What both hooks share: recognise the product, enter, run the story, answer as the product's contract demands.

Catches everything once, here: a hook never ends by an unhandled exception, and says one line on the way out.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from splitmirror import enter, exits, log, story, wiring
from splitmirror.enter import Entered
from splitmirror.giveup import GiveUp, listening
from splitmirror.job import Job
from splitmirror.journal.contract import Status
from splitmirror.locks import RunLock
from splitmirror.office import Office
from splitmirror.run import Ended
from splitmirror.story import Outcome
from splitmirror_drivers.contracts.product import Hook, Invocation, Product, Result
from splitmirror_drivers.kit.errors import Fault, UsageFault
from splitmirror_drivers.products.arguments import explicit_product
from splitmirror_drivers.products.recognise import recognise

HELP = (["--help"], ["-h"])

Work = Callable[[Office, Invocation, log.Teller, GiveUp], Outcome]


def run_pre(argv: Sequence[str]) -> int:
    """`splitmirror-pre`."""
    if list(argv[1:]) in HELP:
        return tell_usage()
    return answer(Hook.PRE, argv, pre)


def run_post(argv: Sequence[str]) -> int:
    """`splitmirror-post`."""
    if list(argv[1:]) in HELP:
        return tell_usage()
    return answer(Hook.POST, argv, post)


def tell_usage() -> int:
    """A person asks; no product does."""
    sys.stdout.write(wiring.usage())
    return 0


def answer(hook: Hook, argv: Sequence[str], work: Work) -> int:
    """Do `work` for one call and tell the product how it ended: exit code, result file, one line."""
    product = recognise(hook, argv, os.environ, wiring.products(explicit_product(argv)))
    teller = log.Teller(product.manners)
    give_up = GiveUp()
    call: Invocation | None = None
    office: Office | None = None
    try:
        with listening(give_up):
            call = product.invocation(hook, argv, os.environ)
            write_result(call, product.exit_code(hook, Result.FAILED))
            office = Office(call.config, os.environ)
            outcome = work(office, call, teller, give_up)
    except Fault as fault:
        result = exits.result_of(fault)
        teller.error(fault)
        line = f"{call.policy if call else 'splitmirror'} FAILED: {fault.message}"
    except Exception as exc:  # noqa: BLE001 - the top of a command
        result = Result.NEEDS_A_PERSON
        teller.error(Fault(f"internal error: {exc!r}", detail=traceback.format_exc(), hint="please report this"))
        line = f"splitmirror-{hook.value} FAILED: internal error {exc!r}"
    else:
        result, line = outcome.result, outcome.line
        for warning in outcome.warnings:
            teller.line(f"warning: {warning}")
        teller.line(line)
    close(office, line, result)
    code = finish(product, hook, call, result, teller)
    teller.close()
    return code


def close(office: Office | None, line: str, result: Result) -> None:
    """The one line to syslog, and the journal given back."""
    if office is None:
        return
    try:
        if "loaded" in office.__dict__ and office.loaded.configuration.settings.syslog:
            log.result_line(line, failed=result is not Result.DONE)
    finally:
        office.close()


def finish(product: Product, hook: Hook, call: Invocation | None, result: Result, teller: log.Teller) -> int:
    """The exit code, also into the product's result file."""
    code = product.exit_code(hook, result)
    if call is not None:
        try:
            write_result(call, code)
        except (
            UsageFault
        ) as fault:  # it could be written when we began: the product reads failure there, and is told so
            teller.error(fault)
            return product.exit_code(hook, Result.NEEDS_A_PERSON)
    return code


def write_result(call: Invocation, code: int) -> None:
    """A product that reads a file reads failure from it until we have ended well."""
    if call.result_file:
        try:
            Path(call.result_file).write_text(f"{code}\n", encoding="ascii")
        except OSError as exc:
            raise UsageFault(f"the result file {call.result_file} cannot be written: {exc.strerror}") from exc


def policy_of(office: Office, call: Invocation) -> Job:
    """The policy that a call names, or the only one there is."""
    name = call.policy or office.only_policy()
    if not name:
        raise UsageFault(
            "no policy is named and the policy file has several",
            hint="add --policy NAME; they are: " + ", ".join(sorted(office.loaded.configuration.policies)),
        )
    return office.job(name)


def pre(office: Office, call: Invocation, teller: log.Teller, give_up: GiveUp) -> Outcome:
    """Begin a run and tell its story, or follow the stream that leads it."""
    job = policy_of(office, call)
    office.journal.check()
    entered = enter.begin_or_join(job, office.journal, call, time.time())
    if not entered.leads:
        return followed(office, job, call, entered, give_up)
    try:
        return lead(office, job, call, entered, teller, give_up)
    finally:
        if entered.lock:
            entered.lock.release()


def lead(office: Office, job: Job, call: Invocation, entered: Entered, teller: log.Teller, give_up: GiveUp) -> Outcome:
    """Tell the story; try it again as often as the policy allows when it failed early, at rest, and may succeed later."""
    run = office.run(job, entered.record, teller, give_up, office.limit(job, call))
    for tries_left in range(job.policy.retries, -1, -1):
        try:
            return story.prepare(run)
        except Ended as ended:
            if not (tries_left and ended.retryable) or give_up.is_asked:
                raise
            teller.line(f"trying again: {ended.message}")
            run.status(Status.WORKING)
    raise AssertionError("unreachable")


def followed(office: Office, job: Job, call: Invocation, entered: Entered, give_up: GiveUp) -> Outcome:
    """The leader's result is this stream's result. One that gives up will read nothing: it is no longer waited for."""
    try:
        status = enter.follow(job, office.journal, entered.record, give_up)
    except Fault:
        enter.strike_off(job, office.journal, entered.record, call, time.time())
        raise
    if status is Status.READY:
        return Outcome(Result.DONE, None, f"{job.name}: stream joined the copy of run {entered.record.run_id}")
    raise Fault(
        f"the stream that leads run {entered.record.run_id} failed",
        hint=f"`splitmirror show {entered.record.run_id}` says why",
    )


def post(office: Office, call: Invocation, teller: log.Teller, give_up: GiveUp) -> Outcome:
    """Close the run this call belongs to, if that is clear; else touch nothing and leave."""
    job = policy_of(office, call)
    record = enter.find_own(job, office.journal, call)
    if record is None:
        return Outcome(
            Result.DONE, None, f"{job.name}: no run that is clearly this backup's own is open; nothing touched"
        )
    lock = RunLock(job.state_folder, record.run_id)
    if lock.is_alive():
        return Outcome(Result.DONE, None, f"{job.name}: run {record.run_id} is still at work; nothing touched")
    if not enter.strike_off(job, office.journal, record, call, time.time()):
        return Outcome(Result.DONE, None, f"{job.name}: stream struck off run {record.run_id}; its copy stays")
    lock.acquire()
    try:
        if not enter.is_open(office.journal.run(record.run_id)):  # the next pre, or `recover`, was here before us
            return Outcome(Result.DONE, None, f"{job.name}: run {record.run_id} is closed already; nothing touched")
        return story.finish(office.run(job, record, teller, give_up), call.status)
    finally:
        lock.release()
