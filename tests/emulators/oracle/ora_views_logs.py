"""Views of redo, archived logs, control files and recovery."""

import os

import ora_machine as m
from ora_views import view


@view(
    "v$log",
    "group# thread# sequence# bytes members archived:3 status:16 first_change# first_time:d next_change#@11 next_time:d@11 con_id@12",
)
def _log(session, state):
    return [
        {
            "group#": one["group"],
            "thread#": one["thread"],
            "sequence#": one["sequence"],
            "bytes": 52428800,
            "members": len(one["members"]),
            "archived": "YES" if one["archived"] else "NO",
            "status": one["status"],
            "first_change#": one["first"],
            "first_time": one["first_time"],
            "next_change#": 281474976710655 if one["status"] == "CURRENT" else one["next"],
            "con_id": 0,
        }
        for one in state["logs"]
    ]


@view("v$logfile", "group# status:7 type:7@9 member:513 is_recovery_dest_file:3@10 con_id@12")
def _logfile(session, state):
    row = {"status": None, "type": "ONLINE", "is_recovery_dest_file": "NO", "con_id": 0}
    return [row | {"group#": one["group"], "member": path} for one in state["logs"] for path in one["members"]]


@view("v$log_history", "recid thread# sequence# first_change# first_time:d next_change# con_id@12")
def _history(session, state):
    return [row | {"recid": number} for number, row in enumerate(_archived(session, state), 1)]


@view(
    "v$archived_log",
    "recid name:513 dest_id@9 thread# sequence# resetlogs_change# first_change# first_time:d next_change# next_time:d blocks block_size"
    " creator:7 registrar:7@9 standby_dest:3@9 archived:3 deleted:3@9 status:1@9 applied:9@9 completion_time:d con_id@12",
)
def _archived(session, state):
    fixed = {
        "dest_id": 1,
        "resetlogs_change#": 1,
        "blocks": 100,
        "block_size": 512,
        "creator": "ARCH",
        "registrar": "ARCH",
        "con_id": 0,
    }
    fixed |= {"standby_dest": "NO", "archived": "YES", "deleted": "NO", "status": "A", "applied": "NO"}
    return [
        fixed
        | {
            "recid": number,
            "name": one["path"],
            "thread#": one["thread"],
            "sequence#": one["sequence"],
            "first_change#": one["first"],
            "first_time": one["first_time"],
            "next_change#": one["next"],
            "next_time": one["due"],
            "completion_time": one["completed"],
        }
        for number, one in enumerate((one for one in state["archived"] if one["done"]), 1)
    ]


@view(
    "v$archive_dest",
    "dest_id dest_name:30 status:9 binding:9 target:16 archiver:10 destination:256 error:256 con_id@12",
)
def _dest(session, state):
    stuck = state["switches"]["archiver"] == "stuck"
    row = {
        "dest_id": 1,
        "dest_name": "LOG_ARCHIVE_DEST_1",
        "status": "ERROR" if stuck else "VALID",
        "binding": "OPTIONAL",
        "con_id": 0,
    }
    row |= {"target": "PRIMARY", "archiver": "ARCH", "destination": os.path.join(state["root"], "arch")}
    row |= {"error": "ORA-19504: failed to create file" if stuck else None}
    none = {"binding": "OPTIONAL", "target": "PRIMARY", "archiver": "ARCH", "status": "INACTIVE", "con_id": 0}
    return [row, none | {"dest_id": 2, "dest_name": "LOG_ARCHIVE_DEST_2"}]


@view("v$thread", "thread# status:6 enabled:8 groups instance:80 sequence# con_id@12")
def _thread(session, state):
    found = []
    for sid, one in state["instances"].items():
        logs = [log for log in state["logs"] if log["thread"] == one["thread"]]
        row = {
            "thread#": one["thread"],
            "status": "OPEN" if one["state"] == "open" else "CLOSED",
            "enabled": "PUBLIC",
            "con_id": 0,
        }
        found.append(
            row | {"groups": len(logs), "instance": sid, "sequence#": m.current_log(state, one["thread"])["sequence"]}
        )
    return found


@view("v$controlfile", "status:7 name:513 is_recovery_dest_file:3@10 con_id@12")
def _controlfile(session, state):
    return [{"name": path, "is_recovery_dest_file": "NO", "con_id": 0} for path in state["controlfiles"]]


@view("v$recover_file", "file# online:7 online_status:7 error:18 change# time:d con_id@12")
def _recover(session, state):
    return [
        {
            "file#": one["number"],
            "online": "ONLINE" if one["online"] else "OFFLINE",
            "online_status": "ONLINE" if one["online"] else "OFFLINE",
            "error": "FILE NOT FOUND" if one["missing"] else None,
            "change#": one["change"],
            "time": one["time"],
            "con_id": 0,
        }
        for one in state["files"]
        if one["recover"] or one["missing"] or (not one["online"])
    ]
