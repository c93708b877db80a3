"""`splitmirror establish`: bring a policy's mirrors into sync ahead of the backup; the only way to a first full copy."""

from __future__ import annotations

import argparse
import sys
import time

from splitmirror import enter, log, story
from splitmirror.admin import frame
from splitmirror.giveup import GiveUp, listening
from splitmirror.journal.contract import ESTABLISH
from splitmirror_drivers.contracts.product import Hook, Invocation, Manners

SUMMARY = "bring a policy's mirrors into sync ahead of the backup"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("policy", help="which policy")
    parser.add_argument("--full", action="store_true", help="allow the full copy that a first establish is")


def run(arguments: argparse.Namespace) -> int:
    """0 when every mirror is in sync. Giving up waiting never stops the copying."""
    give_up, teller = GiveUp(), log.Teller(Manners())
    with listening(give_up), frame.office(arguments) as office:
        job = office.job(arguments.policy)
        office.journal.check()
        entered = enter.begin(job, office.journal, Invocation(ESTABLISH, Hook.PRE), time.time())
        try:
            line = story.establish_ahead(office.run(job, entered.record, teller, give_up), may_copy_all=arguments.full)
        finally:
            if entered.lock:
                entered.lock.release()
            teller.close()
    sys.stdout.write(line + "\n")
    return 0
