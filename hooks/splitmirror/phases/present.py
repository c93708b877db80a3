"""Present: settle, expose, import and mount; the card folder beside it. All of it stays until post."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from splitmirror import acts
from splitmirror.acts import Act
from splitmirror.job import Placed, mirror_key
from splitmirror.phases import limits
from splitmirror.phases.survey import Survey, Target
from splitmirror.report import card
from splitmirror.run import Run
from splitmirror_drivers.contracts.array import Exposed, Receipt
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import DeadlinePassed

SETTLE_SECONDS = 4 * 3600.0
ACT_SECONDS = 120.0
POLL_SECONDS = 1.0


def settle(run: Run, receipts: Sequence[Receipt]) -> None:
    """Wait until every copy may be read."""
    limits.require_awaited(run)
    deadline = run.deadline(SETTLE_SECONDS)
    for receipt in receipts:
        array = run.job.arrays[receipt.array]
        while not (progress := array.settle(receipt, Deadline.after(ACT_SECONDS))).is_done:
            run.teller.progress(progress.fraction, f"settling {receipt.array}/{receipt.group}")
            if deadline.is_passed:
                raise DeadlinePassed(f"{receipt.array}/{receipt.group} may not be read yet after the time there was")
            run.give_up.wait(POLL_SECONDS)


def present(run: Run, survey: Survey, receipts: Sequence[Receipt], contents: card.Card) -> None:
    """Make every copy readable where the policy says, and write the recovery card beside it."""
    by_key = {mirror_key(receipt.array, receipt.group): receipt for receipt in receipts}
    targets = {target.mirror: target for target in survey.targets}
    for placed in run.job.presented:
        run.give_up.check()
        limits.require_awaited(run)
        target = targets[placed.mirror]
        if target.key not in by_key:  # the log mirror whose split failed: its path stays absent, and a person is told
            continue
        exposed = expose(run, target, by_key[target.key])
        host = placed.presentation.host.name
        if exposed.host != host and survey.machines.get(exposed.host, "?") == survey.machines.get(host, "!"):
            exposed = replace(exposed, host=host)  # another name of the same machine
        one(run, placed, exposed, target, is_frozen=target.key in survey.frozen)
        if placed.presentation.host.is_local:
            put_card(run, contents, card.folder_beside(placed.presentation.path))
    run.give_up.check()
    limits.require_awaited(run)


def put_card(run: Run, contents: card.Card, folder: Path) -> None:
    """The card beside the mount point; it exists as long as the copy is presented."""
    run.keep(Act("card", str(folder), {"path": str(folder)}), lambda: card.write(contents, folder))


def expose(run: Run, target: Target, receipt: Receipt) -> Exposed:
    """The array makes the copy visible; journalled before and after."""
    exposed: list[Exposed] = []
    act = Act("expose", target.key, {"receipt": acts.plain(receipt)})
    run.keep(act, lambda: exposed.append(target.array.expose(receipt, run.deadline(ACT_SECONDS))))
    return exposed[0]


def one(run: Run, placed: Placed, exposed: Exposed, target: Target, *, is_frozen: bool) -> None:
    """Present one copy at one path and assert that it is the one."""
    presentation = placed.presentation
    may_write = target.array.traits.tracks_copy_writes
    intent = presentation.intend(exposed, run.run_id, is_frozen=is_frozen, may_write=may_write)
    data = {"intent": acts.plain(intent), "host": presentation.host.name, "mirror": target.key}
    act = Act("present", intent.path, data)
    if placed.rescan:
        rescan(presentation.host, placed.rescan, run.deadline(ACT_SECONDS))
    run.keep(act, lambda: presentation.present(intent, run.deadline(ACT_SECONDS)))
    presentation.verify(intent, run.deadline(ACT_SECONDS))


def rescan(host: Host, command: Sequence[str], deadline: Deadline) -> None:
    """Have a host look for new devices, as the policy says."""
    host.connect(deadline)
    host.run(Command(tuple(command)), deadline).require(f"looking for new devices on {host.name}")
