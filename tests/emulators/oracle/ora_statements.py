"""Statements: which there are, what they wait for, and how faults come between."""

import os
import re
import signal
import time

import ora_machine as m
import parts
from ora_actions import FEEDBACK, STATEMENTS
from ora_query import select
from ora_words import OraError

PRIVILEGE = {
    "begin": "alter database",
    "end": "alter database",
    "controlfile": "alter database",
    "open": "alter database",
    "mount": "alter database",
    "suspend": "alter system",
    "resume": "alter system",
    "switch": "alter system",
    "archive": "alter system",
    "checkpoint": "alter system",
}
WAITS = ("begin", "end", "controlfile", "switch", "archive", "checkpoint")
KINDS = ("hang", "slow", "fail", "lie", "error", "after", "lost", "lost-after", "late", "garbage", "die-after")


class Session:
    """One login: who, where, and which start of the instance it belongs to."""

    def __init__(self, store, sid, user, privileges):
        self.store, self.sid, self.user, self.privileges = store, sid, user, privileges
        self.generation = self.instance(store.read())["generation"]

    def instance(self, state):
        return state["instances"].get(self.sid) or {"state": "down", "generation": 0, "suspended": False}

    def is_dba(self):
        return "sysdba" in self.privileges

    def may(self, privilege):
        return self.is_dba() or privilege in self.privileges

    def follow(self):
        """After the session itself started or stopped its instance."""
        self.generation = self.instance(self.store.read())["generation"]


def run(session, sql):
    """Feedback text, or a ``Rows``. Raises OraError."""
    word, function, found = _find(sql)
    store = session.store
    if session.generation != session.instance(store.read())["generation"]:
        raise OraError(3113, loses_session=True)
    faults = parts.Faults(store)
    kind, value = faults.take(word, *KINDS)
    if kind == "hang":
        parts.hang()
    elif kind == "slow":
        time.sleep(float(value))
    elif kind == "fail":
        raise OraError(600)
    elif kind == "error":
        raise OraError(int(value))
    elif kind == "lost":
        raise OraError(3113, loses_session=True)
    elif kind == "lie":
        return FEEDBACK.get(word, "Database altered.")
    _wait(session, word)
    if kind == "late":
        return _late(float(value), lambda: _do(session, word, function, found))
    answer = _do(session, word, function, found)
    if kind == "after":
        raise OraError(int(value))
    if kind == "lost-after":
        raise OraError(3113, loses_session=True)
    if kind == "die-after":
        os.kill(os.getpid(), signal.SIGKILL)
    if faults.take(word, "hang-after")[0]:
        parts.hang()
    noise = faults.take(word, "noise")[1]
    if kind == "garbage":
        return value
    if isinstance(answer, str):
        return f"{answer}\n{noise}" if noise else answer
    answer.noise = noise
    return answer


def _wait(session, word):
    if word in WAITS and m.is_open(session.store.read()):
        m.wait_for(session.store, m.may_write)


def _do(session, word, function, found):
    state = session.store.read()
    if session.instance(state)["state"] == "down" and word not in ("startup", "session"):
        raise OraError(1034)
    if word in PRIVILEGE and not session.may(PRIVILEGE[word]) and not _by_tablespace(session, word, found):
        raise OraError(1031)
    return function(session, found)


def _by_tablespace(session, word, found):
    return word in ("begin", "end") and "tablespace" in found.re.pattern and session.may("alter tablespace")


def _late(seconds, do):
    """The server goes on by itself, whatever becomes of its client."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        time.sleep(seconds)
        try:
            answer = str(do())
        except OraError as exc:
            answer = f"error {exc.code}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    if answer.startswith("error "):
        raise OraError(int(answer.split()[1]))
    return answer


def _find(sql):
    text = re.sub(r"'[^']*'|\s+", lambda found: found[0] if found[0].startswith("'") else " ", sql.strip())
    if re.match(r"(?is)\(?\s*select\b", text):
        return "select", lambda session, found: select(session, sql), None
    for word, pattern, function in STATEMENTS:
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            return word, function, found
    return "other", _unknown, text


def _unknown(session, text):
    if re.match(r"(?i)(begin|declare)\b", text):
        raise OraError(6550)
    if re.match(r"(?i)alter database\b", text):
        raise OraError(2231)
    if re.match(r"(?i)(alter|create|drop)\b", text):
        raise OraError(922)
    raise OraError(900)
