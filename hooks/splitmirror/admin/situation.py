"""How one policy stands: from what the journal says and what hosts and arrays answered to a level and what to do now.

Pure: everything that was asked comes in as a `View`.
"""

from __future__ import annotations

from splitmirror.admin.asking import Held, HostSaid
from splitmirror.admin.copies import good_copy, mirror_line
from splitmirror.admin.view import Level, Line, Situation, View
from splitmirror.journal.contract import Status
from splitmirror.report import text
from splitmirror.report.account import Account
from splitmirror_drivers.kit.errors import Fault


def judge(view: View) -> Situation:
    """How the policy stands."""
    shown = last_run(view)
    head = run_line(view, shown) if shown else Line("NEVER RUN", "no run of this policy is in the journal")
    older = [run_line(view, a) for a in view.accounts if a.is_open and a is not shown]
    return Situation(
        policy=view.policy,
        result=head.what,
        at=shown.ended_at if shown else 0.0,
        reason=text.one_line(head.says),
        run_id=shown.run_id if shown else "",
        runs=(head, *older),
        held=tuple(held_lines(view)),
        mirrors=tuple(mirror_line(view, key) for key in view.mirror_keys),
        copy=good_copy(view),
        hint=shown.hint if shown and head.level is not Level.WELL else "",
    )


# -- runs ---------------------------------------------------------------------------------------------------------


def last_run(view: View) -> Account | None:
    """The newest run that was to make a copy; a newer establish only when it is at work or did not end well."""
    for account in view.accounts:
        if account.is_backup or account.record.status is not Status.GOOD:
            return account
    return None


def run_line(view: View, account: Account) -> Line:
    """What became of a run: ``what`` is its result in capitals."""
    status, run = account.record.status, account.run_id
    if status in (Status.WORKING, Status.CLOSING):
        if run in view.living:
            return Line("AT WORK", f"run {run}, phase {account.phase or 'enter'}")
        left = ", ".join(f"{act.name} {act.key}" for act in account.standing()) or "nothing"
        says = f"run {run} died in phase {account.phase or 'enter'}; it may have left: {left}"
        return Line("DIED", says, Level.WARNING, f"splitmirror recover {run}")
    if status is Status.STUCK:
        says = f"{account.error}; left: {'; '.join(account.left) or 'something'}"
        return Line("STUCK", says, Level.FROZEN, f"splitmirror recover {run}")
    if status is Status.READY:
        return ready_line(view, account)
    if status is Status.FAILED:
        what = "" if account.is_backup else "establish: "
        return Line("FAILED", what + (account.error or "no reason was written down"), Level.WARNING)
    return Line("GOOD", account.line or f"run {run} ended well")


def ready_line(view: View, account: Account) -> Line:
    """A copy that waits for its post: well, until the server restarted or the backup takes too long."""
    run, waits = account.run_id, view.now - (account.ready_at or account.record.began_at)
    if account.boot and account.boot != view.boot:
        says = f"run {run}: this server restarted since, so its post cannot come"
        return Line("READY", says, Level.WARNING, f"splitmirror recover {run}")
    if waits > view.longest_backup:
        limit = text.span(view.longest_backup)
        says = f"run {run}: its post has not come for {text.span(waits)}, longer than longest-backup ({limit})"
        do = f"when that backup has ended: splitmirror recover {run} --close"
        return Line("READY", says, Level.WARNING, do)
    return Line("READY", account.line or f"run {run}: its copy waits for the backup's end")


# -- what is held -------------------------------------------------------------------------------------------------


def held_lines(view: View) -> list[Line]:
    """One line for each data server that was asked; what the journal alone knows comes after them."""
    lines = []
    if view.hosts is not None:
        for name in view.host_names:
            lines += host_lines(view, name, view.hosts[name])
    for account in view.accounts:
        if account.is_open and account.run_id not in view.living:
            lines += [_unasked(view, account, host) for host in account.standing_holds() if _is_unasked(view, host)]
    return lines


def _is_unasked(view: View, host: str) -> bool:
    return view.hosts is None or host not in view.host_names


def _unasked(view: View, account: Account, host: str) -> Line:
    why = "not asked" if view.hosts is None else "the policy no longer names that host"
    says = f"run {account.run_id} may hold something there ({why})"
    return Line(host, says, Level.FROZEN, f"look at {host}; then: splitmirror recover {account.run_id}")


def host_lines(view: View, name: str, said: HostSaid | Fault) -> list[Line]:
    """What one data server answered."""
    if isinstance(said, Fault):
        says = f"CANNOT BE ASKED: {said.message}; something may be held there"
        return [Line(name, says, Level.FROZEN, f"look at {name} itself, then again: splitmirror status {view.policy}")]
    standing = said.standing()
    return [held_line(view, held, said.boot) for held in standing] or [Line(name, "nothing is held")]


def held_line(view: View, held: Held, boot: str) -> Line:
    """A hold that stands: rightly, somebody else's, or left behind."""
    what = f"{held.name} ({held.family})"
    if held.owner != view.server:
        says = f"{what} is held by run {held.run} of backup server {held.owner}"
        return Line(held.host, says, Level.WARNING, f"on {held.owner}: splitmirror status")
    if held.run in view.living:
        return Line(held.host, f"{what} is held by run {held.run}, which is at work")
    says = f"{what} IS STILL HELD by run {held.run}, which has ended"
    if boot and held.boot != boot:
        says += "; the server restarted since, so only what outlives a restart can stand"
    return Line(held.host, says, Level.FROZEN, f"splitmirror recover {held.run}")
