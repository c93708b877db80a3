"""The views: their columns (``name:kind``, ``@RELEASE`` for a later one) and their rows.

A kind is ``n`` (number), ``d`` (date) or a width.
"""

import os

import ora_machine as m
from ora_words import VERSIONS

VIEWS = {}
BLOCK_BYTES = 8192


def columns_of(view, release):
    found = []
    for word in VIEWS[view][1].split():
        name, _, since = word.partition("@")
        name, _, kind = name.partition(":")
        if release >= float(since or 0):
            found.append((name, kind or "n"))
    return found


def rows_of(view, session, state):
    return VIEWS[view][2](session, state)


def view(name, columns, since=8):
    def keep(function):
        VIEWS[name] = (since, columns, function)
        return function

    return keep


@view("dual", "dummy:1")
def _dual(session, state):
    return [{"dummy": "X"}]


@view(
    "v$database",
    "dbid name:9 created:d resetlogs_change# resetlogs_time:d log_mode:12 checkpoint_change# archive_change# controlfile_type:7"
    " controlfile_change# open_resetlogs:11 open_mode:20 database_role:16@9 force_logging:3@9 current_scn@10 flashback_on:18@10"
    " db_unique_name:30@10 platform_name:101@10 platform_id@10 supplemental_log_data_min:8@9 cdb:3@12 con_id@12",
)
def _database(session, state):
    mode = {"open": "READ WRITE", "mounted": "MOUNTED"}[session.instance(state)["state"]]
    if state["standby"] and mode != "MOUNTED":
        mode = "READ ONLY"
    return [
        {
            "dbid": state["dbid"],
            "name": state["name"],
            "created": state["created"],
            "resetlogs_change#": 1,
            "resetlogs_time": state["created"],
            "log_mode": "ARCHIVELOG" if state["archivelog"] else "NOARCHIVELOG",
            "checkpoint_change#": min(one["change"] for one in state["files"]),
            "archive_change#": m.current_log(state, 1)["first"],
            "controlfile_type": "STANDBY" if state["standby"] else "CURRENT",
            "controlfile_change#": m.scn(state),
            "open_resetlogs": "NOT ALLOWED",
            "open_mode": mode,
            "database_role": "PHYSICAL STANDBY" if state["standby"] else "PRIMARY",
            "force_logging": "NO",
            "current_scn": m.scn(state) if mode != "MOUNTED" else 0,
            "flashback_on": "NO",
            "db_unique_name": state["name"],
            "platform_name": "Linux x86 64-bit",
            "platform_id": 13,
            "supplemental_log_data_min": "NO",
            "cdb": "NO",
            "con_id": 0,
        }
    ]


INSTANCE = (
    "instance_number instance_name:16 host_name:64 version:17 version_full:17@18 startup_time:d status:12 parallel:3 thread#"
    " archiver:7 log_switch_wait:15 logins:10 shutdown_pending:3 database_status:17 instance_role:18 active_state:9@9 blocked:3@9 con_id@12"
)


def _instances(state, chosen):
    for sid, one in state["instances"].items():
        if one["state"] == "down" or chosen not in ("", sid):
            continue
        yield {
            "inst_id": one["thread"],
            "instance_number": one["thread"],
            "instance_name": sid,
            "host_name": one["host"],
            "version": VERSIONS[state["version"]][1],
            "version_full": VERSIONS[state["version"]][1],
            "startup_time": one["started"],
            "status": "OPEN" if one["state"] == "open" else "MOUNTED",
            "parallel": "YES" if state["rac"] else "NO",
            "thread#": one["thread"],
            "archiver": "FAILED"
            if state["switches"]["archiver"] == "stuck"
            else "STARTED"
            if state["archivelog"]
            else "STOPPED",
            "logins": "ALLOWED",
            "shutdown_pending": "NO",
            "database_status": "SUSPENDED" if one["suspended"] else "ACTIVE",
            "instance_role": "PRIMARY_INSTANCE",
            "active_state": "NORMAL",
            "blocked": "NO",
            "con_id": 0,
        }


@view("v$instance", INSTANCE)
def _instance(session, state):
    return list(_instances(state, session.sid))


@view("gv$instance", f"inst_id {INSTANCE}")
def _all_instances(session, state):
    return list(_instances(state, ""))


@view("v$backup", "file# status:18 change# time:d con_id@12")
def _backup(session, state):
    return [
        {
            "file#": one["number"],
            "status": "FILE NOT FOUND"
            if one["missing"]
            else "ACTIVE"
            if one["active"]
            else "OFFLINE NORMAL"
            if m.tablespace(state, one["tablespace"])["status"] == "OFFLINE"
            else "NOT ACTIVE",
            "change#": one["began"],
            "time": one["began_time"],
            "con_id": 0,
        }
        for one in state["files"]
    ]


def _numbers(state):
    return {one["name"]: number for number, one in enumerate(state["tablespaces"])}


@view(
    "v$datafile",
    "file# creation_change# ts# rfile# status:7 enabled:10 checkpoint_change# checkpoint_time:d unrecoverable_change# last_change#"
    " bytes blocks block_size name:513 con_id@12",
)
def _datafile(session, state):
    found = []
    for one in state["files"]:
        space = m.tablespace(state, one["tablespace"])
        online = "SYSTEM" if space["name"] == "SYSTEM" else "ONLINE"
        size = os.path.getsize(one["path"]) if os.path.exists(one["path"]) else 100 * BLOCK_BYTES
        row = {
            "file#": one["number"],
            "creation_change#": 7,
            "ts#": _numbers(state)[space["name"]],
            "rfile#": one["number"],
        }
        row |= {
            "status": "RECOVER"
            if one["recover"]
            else online
            if one["online"] and space["status"] != "OFFLINE"
            else "OFFLINE",
            "enabled": {"ONLINE": "READ WRITE", "READ ONLY": "READ ONLY", "OFFLINE": "DISABLED"}[space["status"]],
            "checkpoint_change#": one["change"],
            "checkpoint_time": one["time"],
            "unrecoverable_change#": 0,
            "bytes": size,
            "blocks": size // BLOCK_BYTES,
            "block_size": BLOCK_BYTES,
            "name": one["path"],
            "con_id": 0,
        }
        found.append(row)
    return found


@view(
    "v$datafile_header",
    "file# status:7 error:18 recover:3 fuzzy:3 checkpoint_change# checkpoint_time:d tablespace_name:30 name:513 con_id@12",
)
def _header(session, state):
    return [
        {
            "file#": one["number"],
            "status": "ONLINE" if one["online"] else "OFFLINE",
            "error": "FILE NOT FOUND" if one["missing"] else None,
            "recover": "YES" if one["recover"] else "NO",
            "fuzzy": "YES" if session.instance(state)["state"] == "open" else "NO",
            "checkpoint_change#": one["change"],
            "checkpoint_time": one["time"],
            "tablespace_name": one["tablespace"],
            "name": one["path"],
            "con_id": 0,
        }
        for one in state["files"]
    ]


@view("v$tablespace", "ts# name:30 included_in_database_backup:3@9 bigfile:3@10 flashback_on:3@10 con_id@12")
def _tablespace(session, state):
    return [
        {
            "ts#": number,
            "name": name,
            "included_in_database_backup": "YES",
            "bigfile": "NO",
            "flashback_on": "YES",
            "con_id": 0,
        }
        for name, number in _numbers(state).items()
    ]


@view("v$tempfile", "file# ts# status:7 enabled:10 bytes name:513 con_id@12")
def _tempfile(session, state):
    row = {
        "file#": 1,
        "ts#": _numbers(state)["TEMP"],
        "status": "ONLINE",
        "enabled": "READ WRITE",
        "bytes": 20971520,
        "con_id": 0,
    }
    return [row | {"name": state["temp"]}]


@view(
    "dba_tablespaces", "tablespace_name:30 block_size status:9 contents:9 logging:9 extent_management:10 bigfile:3@10"
)
def _tablespaces(session, state):
    row = {"block_size": BLOCK_BYTES, "logging": "LOGGING", "extent_management": "LOCAL", "bigfile": "NO"}
    return [
        row | {"tablespace_name": one["name"], "status": one["status"], "contents": one["contents"]}
        for one in state["tablespaces"]
    ]


@view(
    "dba_data_files",
    "file_name:513 file_id tablespace_name:30 bytes blocks status:9 relative_fno autoextensible:3 online_status:7@10",
)
def _data_files(session, state):
    return [
        {
            "file_name": row["name"],
            "file_id": row["file#"],
            "relative_fno": row["file#"],
            "tablespace_name": one["tablespace"],
            "bytes": row["bytes"],
            "blocks": row["blocks"],
            "status": "AVAILABLE",
            "autoextensible": "YES",
            "online_status": row["status"],
        }
        for row, one in zip(_datafile(session, state), state["files"], strict=True)
    ]


@view("dba_temp_files", "file_name:513 file_id tablespace_name:30 bytes status:9")
def _temp_files(session, state):
    return [
        {"file_name": state["temp"], "file_id": 1, "tablespace_name": "TEMP", "bytes": 20971520, "status": "AVAILABLE"}
    ]
