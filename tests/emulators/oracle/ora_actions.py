"""What each statement does."""

import os
import signal
import time

import ora_machine as m
import parts
from ora_words import OraError


def _half_way(session, word):
    """Ends the client after the first file, with that file's change kept: the server had done it."""
    kind = parts.Faults(session.store).take(word, "die")[0]

    def step(state):
        if kind:
            parts.json.dump(state, open(session.store.path, "w"))
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _open_only(state, session):
    if session.instance(state)["state"] != "open":
        raise OraError(1109)


# ---- what each does ----


def begin_all(session, found):
    with session.store.locked() as state:
        if m.major(state) < 10:
            raise OraError(2231)
        m.need_archivelog(state)
        _open_only(state, session)
        files = [one for one in state["files"] if m.tablespace(state, one["tablespace"])["status"] == "ONLINE"]
        m.begin_files(state, files)
        m.checkpoint(state)
        m.take_files(state, files, _half_way(session, "begin"))
    return "Database altered."


def end_all(session, found):
    with session.store.locked() as state:
        if m.major(state) < 9:
            raise OraError(2231)
        if m.major(state) < 10 and m.is_open(state):
            raise OraError(1126)
        m.end_files(state, state["files"], _half_way(session, "end"))
    return "Database altered."


def begin_tablespace(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        space = m.tablespace(state, found[1])
        if space["contents"] == "TEMPORARY":
            raise OraError(3217)
        m.need_archivelog(state)
        if space["status"] == "READ ONLY":
            raise OraError(1642, space["name"])
        files = m.files_of(state, space["name"])
        if space["status"] == "OFFLINE":
            raise m.on_file(1128, files[0])
        m.begin_files(state, files)
        m.take_files(state, files, _half_way(session, "begin"))
    return "Tablespace altered."


def end_tablespace(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        space = m.tablespace(state, found[1])
        if space["contents"] == "TEMPORARY":
            raise OraError(3217)
        m.end_files(state, m.files_of(state, space["name"]), _half_way(session, "end"))
    return "Tablespace altered."


def end_datafile(session, found):
    with session.store.locked() as state:
        files = [m.find_file(state, name) for name in m.names_in(found[1])]
        m.end_files(state, files, _half_way(session, "end"))
    return "Database altered."


def suspend(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        for one in m.running(state):
            one["suspended"] = True
    return "System altered."


def resume(session, found):
    with session.store.locked() as state:
        for one in m.running(state):
            one["suspended"] = False
    return "System altered."


def switch(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        m.switch_log(state, session.instance(state)["thread"])
    return "System altered."


def archive(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        m.need_archivelog(state)
        if found[1].lower() == "current":
            for thread in sorted({one["thread"] for one in state["logs"]}):
                m.switch_log(state, thread)
        due = [(one["thread"], one["sequence"]) for one in state["archived"] if not one["done"]]

    def is_archived(state):
        done = [(one["thread"], one["sequence"]) for one in state["archived"] if one["done"]]
        return set(due) <= set(done)

    while not is_archived(session.store.read()):
        with session.store.locked() as state:
            m.archive(state)
        time.sleep(m.POLL_SECONDS)
    return "System altered."


def checkpoint(session, found):
    with session.store.locked() as state:
        _open_only(state, session)
        m.checkpoint(state)
    return "System altered."


def controlfile(session, found):
    with session.store.locked() as state:
        m.backup_controlfile(state, found[1], bool(found[2]), m.controlfile_text(state))
    return "Database altered."


def trace(session, found):
    with session.store.locked() as state:
        path = found[1] or os.path.join(state["root"], "trace.trc")
        m.backup_controlfile(state, path, bool(found[2]) or not found[1], m.trace_text(state))
    return "Database altered."


def pfile(session, found):
    with session.store.locked() as state:
        if m.major(state) < 9:
            raise OraError(900)
        m.backup_controlfile(state, found[1], True, f"*.db_name='{state['name']}'\n")
    return "File created."


def open_it(session, found):
    with session.store.locked() as state:
        m.open_database(state, session.instance(state))
    return "Database altered."


def mount(session, found):
    raise OraError(1100)


def startup(session, found):
    with session.store.locked() as state:
        instance = session.instance(state)
        if not session.is_dba():
            raise OraError(1031)
        if instance["state"] != "down":
            raise OraError(1081)
        m.start(state, instance)
    session.follow()
    lines = "ORACLE instance started.\n\nTotal System Global Area  629145600 bytes\nDatabase mounted."
    if found[1] and found[1].strip().lower() in ("mount", "nomount"):
        return lines
    try:
        open_it(session, found)
    except OraError as exc:
        return f"{lines}\n{exc.render()}"
    return f"{lines}\nDatabase opened."


def shutdown(session, found):
    with session.store.locked() as state:
        if not session.is_dba():
            raise OraError(1031)
        m.shut(state, session.instance(state), (found[1] or "").strip().lower() != "abort")
    session.follow()
    return "Database closed.\nDatabase dismounted.\nORACLE instance shut down."


def archive_list(session, found):
    state = session.store.read()
    log = m.current_log(state, session.instance(state)["thread"])
    oldest = min(one["sequence"] for one in state["logs"] if one["thread"] == log["thread"])
    mode = "Archive Mode" if state["archivelog"] else "No Archive Mode"
    rows = [
        ("Database log mode", mode),
        ("Automatic archival", "Enabled" if state["archivelog"] else "Disabled"),
        ("Archive destination", os.path.join(state["root"], "arch")),
        ("Oldest online log sequence", oldest),
        ("Next log sequence to archive", log["sequence"]),
        ("Current log sequence", log["sequence"]),
    ]
    return "\n".join(f"{name:<30} {value}" for name, value in rows if state["archivelog"] or "Next" not in name)


STATEMENTS = [
    ("begin", r"alter database begin backup", begin_all),
    ("end", r"alter database end backup", end_all),
    ("begin", r'alter tablespace (\w+|"[^"]+") begin backup', begin_tablespace),
    ("end", r'alter tablespace (\w+|"[^"]+") end backup', end_tablespace),
    ("end", r"alter database datafile (.+) end backup", end_datafile),
    ("suspend", r"alter system suspend", suspend),
    ("resume", r"alter system resume", resume),
    ("switch", r"alter system switch log ?file", switch),
    ("archive", r"alter system archive log (current|all)(?: noswitch)?", archive),
    ("checkpoint", r"alter system checkpoint(?: global| local)?", checkpoint),
    ("controlfile", r"alter database backup controlfile to '([^']+)'( reuse)?", controlfile),
    (
        "controlfile",
        r"alter database backup controlfile to trace(?: as '([^']+)'( reuse)?)?(?: (?:no)?resetlogs)?",
        trace,
    ),
    ("controlfile", r"create pfile ?= ?'([^']+)' from (?:spfile|memory)", pfile),
    ("open", r"alter database open(?: read write)?", open_it),
    ("mount", r"alter database mount", mount),
    ("startup", r"startup( mount| nomount| open)?(?: quiet)?", startup),
    ("shutdown", r"shutdown( normal| immediate| transactional| abort)?", shutdown),
    ("other", r"archive log list", archive_list),
    ("session", r"alter session set .+", lambda session, found: "Session altered."),
    ("session", r"commit(?: work)?", lambda session, found: "Commit complete."),
    ("session", r"rollback(?: work)?", lambda session, found: "Rollback complete."),
    ("other", r"begin null ?; ?end", lambda session, found: "PL/SQL procedure successfully completed."),
]
FEEDBACK = {
    "suspend": "System altered.",
    "resume": "System altered.",
    "switch": "System altered.",
    "archive": "System altered.",
}
