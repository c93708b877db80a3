"""``create``: who takes part, freeze, the moment, thaw; and what goes wrong meanwhile."""

import os
import signal
import time

import parts
import vss_machine
from vss_machine import FAILED_AT_FREEZE, FAILED_AT_POST, NONRETRYABLE, OK, STABLE, TIMEOUT, WAITING

PROVIDER_VETO = ("80042306", "VSS_E_PROVIDER_VETO")
IN_PROGRESS = ("80042316", "VSS_E_SNAPSHOT_SET_IN_PROGRESS")
NOT_SUPPORTED = ("8004230E", "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER")
WRITER_FAULTS = ("writer-fail", "writer-timeout", "writer-fail-late", "writer-quiet")


class Failure(Exception):
    """A command that fails with these lines. `is_syntax`: it was not understood."""

    def __init__(self, *lines, is_syntax=False):
        super().__init__(*lines)
        self.lines, self.is_syntax = lines, is_syntax


class Creation:
    """One ``create`` of a session."""

    def __init__(self, session):
        self.session, self.tell = session, session.tell
        self.volumes = [letter for letter, _ in session.volumes]
        self.included = []

    def run(self):
        """The shadow copies that were made. Raises Failure."""
        session = self.session
        if not self.volumes:
            raise Failure(session.text("no volumes"))
        kind, value = session.faults.take("create", *WRITER_FAULTS)
        with session.store.locked() as state:
            machine = vss_machine.Machine(state)
            self._gather(machine)
            self._verify(machine)
            self._prepare(machine)
        failed = self._freeze(kind, value)
        if failed:
            self._abort(failed)
        half = session.faults.take("create", "half")[0]
        with session.store.locked() as state:
            machine = vss_machine.Machine(state)
            made = self._commit(machine, kind, value)
            kept = made[:1] if half else made
            machine.shadows.extend(kept)
        if session.faults.take("create", "orphan")[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "writer-fail-late":
            self._say_failed(value)
        return kept

    # -- writers --

    def _gather(self, machine):
        """Which writers take part with which components: those whose volumes are all in the set."""
        if self.session.context & vss_machine.NO_WRITERS:
            return
        included = {}
        for writer in machine.state["writers"]:
            if writer["missing"] or writer["name"] in self.session.excluded:
                continue
            if not writer["components"]:
                self._loud("excluding", writer=writer["name"])
            elif names := self._components(writer):
                included[writer["name"]] = names
        for name, components in included.items():
            self._loud("including", writer=name)
            for component in components:
                self._loud("adding", component=component)
        self.included = list(included)

    def _components(self, writer):
        """The names of a writer's components that can be in it; none when one that has to be is not."""
        names, is_whole = [], True
        for component in writer["components"]:
            lacking = [volume for volume in component["volumes"] if volume not in self.volumes]
            if not lacking:
                names.append(component["name"])
                continue
            values = {"component": component["name"], "writer": writer["name"]}
            self._loud("component excluded", volume=lacking[0], **values)
            if not component["selectable"]:
                self._loud("now excluded", **values)
                is_whole = False
        return names if is_whole else []

    def _verify(self, machine):
        for name in self.session.verified:
            writer = machine.writer(name)
            if writer is None or writer["name"] not in self.included:
                raise Failure(self.session.text("verify failed", writer=name))

    def _prepare(self, machine):
        provider = machine.settings["hardware"]
        if self.session.options["transportable"] and not provider:
            raise Failure(self.session.text("failed", code=NOT_SUPPORTED[0], text=NOT_SUPPORTED[1]))

    def _freeze(self, kind, value):
        """Freeze one writer after the other; the writers that failed, with their failure code."""
        failed = {}
        with self.session.store.locked() as state:
            machine = vss_machine.Machine(state)
            began = parts.now(state)
            for name in self.included:
                writer = machine.writer(name)
                if kind == "writer-fail" and value in ("", name):
                    failed[name] = NONRETRYABLE
                    break
                machine.event("freeze", name)
                parts.tick(state, writer["freeze"])
                real = min(writer["freeze"], machine.settings["real"])
                if real:
                    time.sleep(real)
            late = parts.now(state) - began > machine.settings["limit"]
            if self.included and (late or kind == "writer-timeout"):
                failed = dict.fromkeys([value] if kind and value else self.included, TIMEOUT)
            for name in self.included:
                machine.event("abort" if failed else "frozen", name)
        return failed

    def _abort(self, failed):
        with self.session.store.locked() as state:
            machine = vss_machine.Machine(state)
            for name in self.included:
                writer = machine.writer(name)
                writer["status"], writer["failure"] = (
                    (FAILED_AT_FREEZE, failed[name]) if name in failed else (STABLE, OK)
                )
        lines = [self.session.text("writer failed", writer=name, word="VSS_WS_FAILED_AT_FREEZE") for name in failed]
        raise Failure(*lines, self.session.text("failed", code=PROVIDER_VETO[0], text=PROVIDER_VETO[1]))

    # -- the moment --

    def _commit(self, machine, kind, value):
        session, attributes = self.session, self.session.attributes()
        provider = vss_machine.HARDWARE_PROVIDER if machine.settings["hardware"] else vss_machine.PROVIDER
        pid = 0 if attributes & vss_machine.PERSISTENT else os.getpid()
        made = machine.make(self.volumes, attributes, provider, pid, lambda: session.faults.half_way("create"))
        for name in self.included:
            writer = machine.writer(name)
            machine.event("thaw", name)
            has_failed = kind in ("writer-fail-late", "writer-quiet") and value in ("", name)
            writer["status"], writer["failure"] = (FAILED_AT_POST, NONRETRYABLE) if has_failed else (WAITING, OK)
        session.waiting = list(self.included)
        return made

    def _say_failed(self, value):
        """The writer failed after the moment: the shadow copies stand, and the command fails."""
        name = value or (self.included[0] if self.included else "")
        if name in self.included:
            raise Failure(
                self.session.text("writer failed", writer=name, word="VSS_WS_FAILED_AT_POST_SNAPSHOT"),
                self.session.text("failed", code="800423F4", text="VSS_E_WRITERERROR_NONRETRYABLE"),
            )

    def _loud(self, key, **values):
        if self.session.verbose:
            self.tell(self.session.text(key, **values))
