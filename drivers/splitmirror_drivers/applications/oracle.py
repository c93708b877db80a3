"""Oracle 8i and later: in backup mode, with I/O suspended as well where an array asks for it, or split as it is (12.1).

Backup mode belongs to the data files: it blocks nothing, outlives clients, instances and machines, and files copied at
different moments are recovered with the archived logs from its begin to its end. ``alter database begin backup`` from
10g on, one statement for each tablespace before; files are ended by their change numbers, so that what somebody else
began is left alone. ``suspend`` is a second hold on top: the I/O of all instances waits. ``mode = "snapshot"`` holds
nothing and asks for one moment over all files. Sources: see ``oracle_instance``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from splitmirror_drivers.applications import oracle_steps as steps
from splitmirror_drivers.applications.oracle_instance import (
    Instance,
    beside,
    parse_instance,
    refuse,
    refuse_unasked,
    warnings,
)
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.application import Captured, Facts, Verdict
from splitmirror_drivers.contracts.host import Answer, Blocks, EndsWith, Hold, Host, Verb
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, CommandFault, Fault, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import Duration, SecretReference, Size

CHECK_SECONDS = 60.0
ASK_SECONDS = 30.0
COPY_SECONDS = 60.0
LOOK_SECONDS = 10.0
LAST_RANK = 100
_COVERS_FIELDS = 4
_DOWN = ("ORA-01034", "ORA-27101", "ORA-01033", "ORA-01012")
_NO_RIGHTS = ("ORA-01017", "ORA-01031", "ORA-28000", "ORA-28001", "ORA-01045")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One Oracle instance as a policy names it; of a cluster any one of them."""

    sid: str
    oracle_home: str = ""
    """Exactly as the instance was started with it; empty: from oratab."""
    os_user: str = "oracle"
    """The account the client runs as, in the dba group; empty: the login's own."""
    user: str = ""
    """A database account; empty: ``/ as sysdba``."""
    password: SecretReference | None = None
    client: Literal["", "sqlplus", "svrmgrl"] = ""
    """Empty: svrmgrl where it exists (up to 8i), else sqlplus."""
    mode: Literal["backup", "snapshot"] = "backup"
    """``snapshot``: no backup mode; one atomic split, recovered with SNAPSHOT TIME (12.1 and later)."""
    suspend: bool = False
    """Hold I/O as well while the array splits: for arrays that cannot split while anything is written."""
    begin_wait: Duration = Duration(120)
    """How long the begin of backup mode may wait for its checkpoint."""
    archive_wait: Duration = Duration(120)
    """How long capture waits for the archiver, for the switch and for the logs alike."""
    archived_logs: Literal["elsewhere", "mirrored"] = "elsewhere"
    """``mirrored``: their folders must lie on the mirror or on a log mirror."""
    copy_folder: str = ""
    """Where the server writes control file and parameters for the card; empty: ORACLE_HOME/dbs."""
    copy_limit: Size = Size(64 * 2**20)
    """The largest control file that is put on the card."""
    may_lie_beside_data: bool = False
    """Audit files, traces and Oracle home may lie on a filesystem with data files: where none of them is ever frozen."""


class Oracle:
    """One Oracle instance."""

    driver = "oracle"
    families: tuple[str, ...] = ("oracle",)

    def __init__(self, name: str, options: Options, host: Host, password: Secret | None = None) -> None:
        self.name, self.options, self.host, self._password = name, options, host, password

    @classmethod
    def from_options(cls, name: str, options: Options, host: Any, context: Context) -> Oracle:
        """The catalogue's constructor. Raises PolicyFault for what would end in a statement or a path."""
        _require_sound(name, options)
        return cls(name, options, host, context.secret(options.password) if options.password else None)

    @property
    def _where(self) -> tuple[str, ...]:
        o = self.options
        return (o.oracle_home, o.sid, o.user, o.client)

    def _call(self, action: str, deadline: Deadline, *arguments: str) -> Answer:
        verb = Verb(f"oracle.{action}", (*self._where, *arguments), self.options.os_user, self._password)
        return self.host.call(verb, deadline)

    def check(self, deadline: Deadline) -> Facts:
        """Ask the instance what it is, what its files are, and whether anything is in the way."""
        at = self._ask(deadline)
        o = self.options
        refuse(self.name, at, o.mode, o.user)
        self._refuse_beside(at, deadline)
        is_held = o.mode == "backup"
        return Facts(
            files=at.data if is_held else tuple(sorted({*at.data, *at.redo, *at.control})),
            log_files=at.archive_folders if o.archived_logs == "mirrored" else (),
            version=f"Oracle {at.version_text}",
            warnings=warnings(at, o.mode, suspends=o.suspend),
            needs_atomic="" if is_held else "it is not in backup mode, so its files must be of one moment",
            values={
                "way": at.way,
                "home": at.home,
                "client": at.client,
                "database": at.database.get("name", ""),
                "dbid": at.database.get("dbid", ""),
            },
        )

    def _ask(self, deadline: Deadline) -> Instance:
        answer = self._call("check", deadline.sooner(CHECK_SECONDS))
        if answer.exit_code != 0:
            raise _login_fault(self, answer)
        refuse_unasked(self.name, answer)
        return parse_instance(answer)

    def _refuse_beside(self, at: Instance, deadline: Deadline) -> None:
        """A login as sysdba writes its audit file: on what is frozen it would wait, and with it what ends a hold."""
        if self.options.may_lie_beside_data:
            return
        paths = tuple(path for path in (*at.data, *at.kept_writable.values()) if path.startswith("/"))
        answer = self.host.call(Verb("host.coverage", paths), deadline.sooner(ASK_SECONDS))
        rows = [line.split("\t") for line in answer.lines("covers")]
        missing = set(answer.lines("missing"))
        asked = [path for path in paths if path not in missing]
        if answer.exit_code != 0 or len(rows) != len(asked) or any(len(row) != _COVERS_FIELDS for row in rows):
            raise UnknownAnswer(f"{self.host.name} could not say where files of {self.name} lie", detail=answer.said)
        mounts = {path: f"{row[2]} {row[1]}" for path, row in zip(asked, rows, strict=True) if row[3] != "raw"}
        if found := beside(at, mounts):
            raise Refused(
                f"{self.name}: {found[0]} lies on a filesystem with data files, which may be frozen",
                detail="\n".join(found),
                hint="move it to another filesystem (audit_file_dest, diagnostic_dest); or say may-lie-beside-data = true "
                'in a policy that freezes none of them (freeze-filesystems = "none")',
            )

    def holds(self, facts: Facts) -> tuple[Hold, ...]:
        """Backup mode, and on top of it suspended I/O; nothing at all in snapshot mode."""
        o = self.options
        found = []
        if o.mode == "backup":
            found.append(self._hold("", "backup", facts.values["way"], Blocks.NOTHING, float(o.begin_wait), 120.0))
        if o.suspend:
            found.append(self._hold(".suspend", "suspend", "-", Blocks.WRITES, 20.0, 15.0))
        return tuple(found)

    def _hold(self, suffix: str, kind: str, way: str, blocks: Blocks, enter: float, leave: float) -> Hold:
        o, is_backup = self.options, kind == "backup"
        return Hold(
            name=f"{self.name}{suffix}",
            family="oracle",
            arguments=(*self._where, kind, way),
            blocks=blocks,
            ends_with=EndsWith.SERVER,
            enter_seconds=enter,
            leave_seconds=leave,
            rank=0 if is_backup else LAST_RANK,
            user=o.os_user,
            secret=self._password,
            claim=f"oracle-{o.sid}{suffix}",
            tolerates_spread=is_backup,
            survives_restart=is_backup,
        )

    def capture(self, facts: Mapping[str, str], verdict: Verdict, deadline: Deadline) -> Captured:  # noqa: ARG002
        """Log switch, control file, the logs that recovery takes. What cannot be had is said; the copy stands by itself."""
        if self.options.mode == "snapshot":
            return self._captured_snapshot(facts, deadline)
        spans = steps.spans_of(facts.get("begin-log", ""), facts.get("end-log", ""))
        files: dict[str, bytes] = {}
        if spans:
            names, state = self._logs(spans, deadline)
            needs = f"archived logs of {'; '.join(map(str, spans))} ({state})"
            if names:
                files[steps.ARCHIVED_LOGS] = _listed(names)
        else:
            needs = "archived logs whose numbers are not known: backup mode was not ended by us"
        try:
            at = self._ask(deadline)
            copies, taken = self._copies(at, deadline)
        except (CommandFault, Refused) as fault:  # the copy was decided by the holds, and stands by itself
            return Captured(steps.blind_steps(self.name, spans, str(fault)), files, dict(facts), needs)
        files |= {steps.DATA_FILES: _listed(at.data), **copies}
        kept = {**facts, "end-time": taken, "dbid": at.database.get("dbid", "")}
        return Captured(steps.backup_steps(self._recovery(at, spans, files)), files, kept, needs)

    def _captured_snapshot(self, facts: Mapping[str, str], deadline: Deadline) -> Captured:
        """Recovery needs a moment by the database's own clock that is not before the split: now."""
        at = self._ask(deadline)
        copies, taken = self._copies(at, deadline)
        files = {steps.DATA_FILES: _listed(at.data), **copies}
        kept = {**facts, "snapshot-time": taken, "dbid": at.database.get("dbid", "")}
        needs = f"archived logs from before {taken} on, to recover to a later moment"
        return Captured(steps.snapshot_steps(self._recovery(at, (), files), taken), files, kept, needs)

    def _recovery(self, at: Instance, spans: tuple[steps.Span, ...], files: Mapping[str, bytes]) -> steps.Recovery:
        o = self.options
        return steps.Recovery(
            self.name, o.sid, at.home, o.os_user, at.control, spans, files, f"{self._folder(at)}/{self._copy_name}.ctl"
        )

    def _folder(self, at: Instance) -> str:
        return self.options.copy_folder.rstrip("/") or f"{at.home}/dbs"

    @property
    def _copy_name(self) -> str:
        return f"splitmirror_{self.options.sid}"

    def _logs(self, spans: tuple[steps.Span, ...], deadline: Deadline) -> tuple[tuple[str, ...], str]:
        """Names of the archived logs, and in words whether these are all. The archiver may be stuck: the wait ends."""
        waiting, why = deadline.sooner(float(self.options.archive_wait)), ""
        try:
            answer = self._call("switch", waiting)
            if answer.exit_code != 0 or answer.facts.get("failed"):
                why = f"the log switch failed: {answer.facts.get('failed') or answer.said.strip()}"
            waiting = deadline.sooner(max(LOOK_SECONDS, waiting.left()))
            answer = self._call("archived", waiting, *(span.argument for span in spans))
        except CommandFault as fault:
            return (), f"not seen to be archived: {fault}"
        names = tuple(dict.fromkeys(answer.lines("log")))
        if answer.facts.get("archived") == "yes":
            return names, "all archived"
        return names, why or f"not archived within {self.options.archive_wait}"

    def _copies(self, at: Instance, deadline: Deadline) -> tuple[Mapping[str, bytes], str]:
        """Control file and parameters as the server writes them, and its own time by then, which is after the split."""
        folder = self._folder(at)
        wanted = {"control": (steps.CONTROL, f"{folder}/{self._copy_name}.ctl")}
        if at.parameters.get("spfile"):
            wanted["parameters"] = (steps.PARAMETERS, f"{folder}/{self._copy_name}.ora")
        path = wanted.get("parameters", ("", ""))[1]
        answer = self._call("copy", deadline.sooner(COPY_SECONDS), wanted["control"][1], path)
        if answer.exit_code != 0 or not answer.facts.get("time"):
            raise CommandFailed(f"{self.name} could not be asked after the split", detail=answer.said)
        found = {}
        for what in answer.lines("copied"):
            name, there = wanted[what]
            try:
                found[name] = self.host.fetch(there, int(self.options.copy_limit), deadline)
            except Fault:  # where it lies is on the card
                continue
        return found, answer.facts["time"]


def _listed(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _require_sound(name: str, options: Options) -> None:
    """Names that end in statements, and paths. Raises PolicyFault."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", options.sid):
        raise PolicyFault(f"{name}: {options.sid!r} is not the name of an instance (sid)")
    if options.user and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_$#]*", options.user):
        raise PolicyFault(f"{name}: {options.user!r} is not the name of a database account")
    if bool(options.user) != bool(options.password):
        raise PolicyFault(f"{name}: user and password go together", hint="leave both out for / as sysdba")
    if options.suspend and options.mode == "snapshot":
        raise PolicyFault(
            f"{name}: suspended I/O is no substitute for backup mode", hint='mode = "backup", or no suspend'
        )
    for key, path in (("oracle-home", options.oracle_home), ("copy-folder", options.copy_folder)):
        if path and (not path.startswith("/") or "'" in path):
            raise PolicyFault(f"{name}: {key} must be an absolute path without quotes, not {path}")


def _login_fault(app: Oracle, answer: Answer) -> Fault:
    codes, o = answer.facts.get("refused", ""), app.options
    who = o.user or "/ as sysdba"
    if any(code in codes for code in _DOWN):
        return Refused(
            f"{app.name}: instance {o.sid} on {app.host.name} does not run ({codes.strip()})",
            detail=answer.said,
            hint="see sid and oracle-home, which must be written exactly as the instance was started with",
        )
    if any(code in codes for code in _NO_RIGHTS):
        return CommandFailed(
            f"{app.name}: {who} cannot log in to {o.sid} on {app.host.name} ({codes.strip()})",
            detail=answer.said,
            hint="see user, password and os-user of the application; os-user must be in the dba group",
        )
    return CommandFailed(
        f"{app.name}: {o.sid} on {app.host.name} could not be asked (exit code {answer.exit_code})",
        detail=answer.said,
        hint="see oracle-home, client and os-user of the application",
    )
