"""Views of parameters, options, sessions and storage."""

import os

import ora_machine as m
from ora_views import BLOCK_BYTES, view
from ora_words import VERSIONS


@view(
    "v$parameter", "num name:80 type value:512 display_value:512@10 isdefault:9 ismodified:10 description:255 con_id@12"
)
def _parameter(session, state):
    root, release = state["root"], m.major(state)
    values = {
        "db_name": state["name"],
        "instance_name": session.sid,
        "control_files": ", ".join(state["controlfiles"]),
        "audit_file_dest": os.path.join(root, "adump"),
        "audit_trail": "NONE" if release < 11 else "DB",
        "background_dump_dest": os.path.join(root, "trace"),
        "user_dump_dest": os.path.join(root, "trace"),
        "log_archive_dest_1": f"LOCATION={root}/arch",
        "log_archive_dest": None,
        "log_archive_format": "%t_%s_%r.dbf",
        "log_archive_start": "TRUE",
        "compatible": VERSIONS[state["version"]][1],
        "remote_login_passwordfile": "EXCLUSIVE",
        "db_block_size": str(BLOCK_BYTES),
        "processes": "300",
        "parallel_server" if release < 9 else "cluster_database": "TRUE" if state["rac"] else "FALSE",
    }
    if release >= 9:
        values |= {
            "spfile": os.path.join(root, f"spfile{state['name']}.ora"),
            "audit_sys_operations": "FALSE",
            "undo_management": "AUTO",
        }
        values |= {"undo_tablespace": "UNDOTBS1", "db_create_file_dest": None}
    if release >= 10:
        values |= {"db_unique_name": state["name"], "db_recovery_file_dest": None}
    if release >= 11:
        values["diagnostic_dest"] = root
    return [
        {
            "num": number,
            "name": name,
            "type": 2,
            "value": value,
            "display_value": value,
            "isdefault": "FALSE",
            "ismodified": "FALSE",
            "con_id": 0,
        }
        for number, (name, value) in enumerate(sorted(values.items()), 1)
    ]


@view("v$version", "banner:80 con_id@12")
def _version(session, state):
    name = {
        8: "Oracle8i",
        9: "Oracle9i",
        10: "Oracle Database 10g",
        11: "Oracle Database 11g",
        12: "Oracle Database 12c",
    }
    release = VERSIONS[state["version"]][1]
    title = name.get(int(m.major(state)), f"Oracle Database {state['version']}")
    return [{"banner": f"{title} Enterprise Edition Release {release} - 64bit Production", "con_id": 0}]


@view("v$option", "parameter:64 value:64 con_id@12")
def _option(session, state):
    name = "Parallel Server" if m.major(state) < 9 else "Real Application Clusters"
    return [{"parameter": name, "value": "TRUE" if state["rac"] else "FALSE", "con_id": 0}]


@view("v$asm_diskgroup", "group_number name:30 state:11 type:6 total_mb con_id@12", since=10)
def _diskgroup(session, state):
    row = {"state": "CONNECTED", "type": "EXTERN", "total_mb": 1000, "con_id": 0}
    return [row | {"group_number": number, "name": name} for number, name in enumerate(state["asm"], 1)]


@view(
    "v$asm_disk",
    "group_number disk_number mount_status:7 header_status:12 state:8 name:30 path:256 con_id@12",
    since=10,
)
def _disk(session, state):
    row = {"mount_status": "OPENED", "header_status": "MEMBER", "state": "NORMAL", "con_id": 0}
    return [
        row | {"group_number": number, "disk_number": disk, "name": f"{name}_{disk:04d}", "path": path}
        for number, (name, paths) in enumerate(state["asm"].items(), 1)
        for disk, path in enumerate(paths)
    ]


@view("v$block_change_tracking", "status:10 filename:513 bytes con_id@12", since=10)
def _tracking(session, state):
    return [{"status": "DISABLED", "con_id": 0}]


@view("v$pdbs", "con_id dbid name:128 open_mode:10 restricted:3", since=12)
def _pdbs(session, state):
    return []


@view("v$session", "sid serial# username:30 status:8 program:48 type:10 con_id@12")
def _session(session, state):
    row = {
        "sid": os.getpid() % 1000,
        "serial#": 7,
        "username": session.user.upper(),
        "status": "ACTIVE",
        "program": "sqlplus",
    }
    return [row | {"type": "USER", "con_id": 0}]


@view("global_name", "global_name:4000")
def _global_name(session, state):
    return [{"global_name": state["name"]}]


@view("session_privs", "privilege:40")
def _privileges(session, state):
    names = ("sysdba", "alter database", "alter system", "alter tablespace", "select any dictionary")
    return [{"privilege": one.upper()} for one in names if one in session.privileges or session.is_dba()]


@view("nls_database_parameters", "parameter:30 value:64")
def _nls(session, state):
    return [{"parameter": "NLS_CHARACTERSET", "value": "AL32UTF8"}, {"parameter": "NLS_LANGUAGE", "value": "AMERICAN"}]
