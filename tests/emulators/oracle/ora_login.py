"""Logging in: who may, what it prints, and the audit file that a privileged login writes first."""

import os
import re

import ora_machine as m
import parts
from ora_statements import Session
from ora_words import OraError

LOGON = re.compile(
    r"(?is)(?P<user>[^/@\s]*)(?:/(?P<password>\"[^\"]*\"|[^@\s]*))?(?:@(?P<alias>\S+))?(?:\s+as\s+(?P<role>sys\w+))?\s*"
)
DBA = {"sysdba", "sysoper", "sysbackup"}


def login(store, text):
    """(session, warning). Raises OraError."""
    fault, value = parts.Faults(store).take("connect", "hang", "slow", "error", "fail")
    if fault == "hang":
        parts.hang()
    elif fault == "slow":
        m.time.sleep(float(value))
    elif fault:
        raise OraError(int(value) if fault == "error" else 600)
    if text.strip().lower() == "internal":
        return _internal(store)
    found = LOGON.fullmatch(text.strip())
    if not found:
        raise OraError(1017)
    if found["alias"] and found["alias"].lower() != store.read()["name"].lower():
        raise OraError(12154)
    role = (found["role"] or "").lower()
    if not os.environ.get("ORACLE_SID") and not found["alias"]:
        raise OraError(12162)
    sid = os.environ.get("ORACLE_SID") or next(iter(store.read()["instances"]))
    if not found["user"]:
        return _by_system(store, sid, role)
    return _by_password(store, sid, found, role)


def _internal(store):
    if m.major(store.read()) > 8:
        raise OraError(9275)
    return _by_system(store, os.environ.get("ORACLE_SID", ""), "sysdba")


def _by_system(store, sid, role):
    state = store.read()
    if role not in DBA or (role == "sysbackup" and m.major(state) < 12):
        raise OraError(1017)
    if state["switches"]["osdba"] == "off":
        raise OraError(1031)
    return _privileged(store, sid, role), ""


def _privileged(store, sid, role):
    """The audit file comes first: on a frozen filesystem the login waits."""
    state = m.wait_for(store, lambda state: state["switches"]["adump"] == "thawed")
    folder, number = os.path.join(state["root"], "adump"), 1
    while os.path.exists(path := os.path.join(folder, f"ora_{os.getpid()}_{number}.aud")):
        number += 1
    with open(path, "w") as file:
        file.write(f"ACTION : 'CONNECT'\nDATABASE USER: '/'\nPRIVILEGE : {role.upper()}\n")
    privileges = {
        "sysdba": {"sysdba"},
        "sysbackup": {"alter database", "alter system", "alter tablespace", "select any dictionary"},
        "sysoper": {"alter database"},
    }[role]
    return Session(store, sid, {"sysdba": "sys", "sysoper": "public", "sysbackup": "sysbackup"}[role], privileges)


def _by_password(store, sid, found, role):
    state = store.read()
    if not found["password"]:
        raise OraError(1005)
    instance = state["instances"].get(sid, {"state": "down"})
    user = state["users"].get(found["user"].lower())
    if instance["state"] == "down" and not role:
        raise OraError(1034)
    if not user or user["password"] != found["password"].strip('"'):
        raise OraError(1017)
    warning = OraError(28002).render() if state["switches"]["grace"] == "on" else ""
    if role:
        if "sysdba" not in user["privileges"]:
            raise OraError(1031)
        return _privileged(store, sid, role), warning
    if instance["state"] != "open":
        raise OraError(1033)
    return Session(store, sid, found["user"], set(user["privileges"]) - {"sysdba"}), warning
