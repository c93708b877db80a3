"""``control``: makes the database, and is everybody else: users, operators, power failures."""

import argparse
import os
import sys

import ora_machine as m
import parts
from ora_words import VERSIONS, OraError

SWITCHES = {
    "adump": "thawed",
    "data": "thawed",
    "archiver": "0",
    "osdba": "on",
    "suspended-views": "wait",
    "mixed-end": "ends",
    "grace": "off",
    "language": "american",
    "ten-text": "auto",
}
HERE = os.path.dirname(os.path.realpath(__file__))


def create(store, words):
    parser = argparse.ArgumentParser("control create")
    parser.add_argument("--sid", default="ERP")
    parser.add_argument("--version", default="19c", choices=VERSIONS)
    parser.add_argument("--root", default=f"{store.path}.root")
    parser.add_argument("--state", default="open", choices=("open", "mounted", "down"))
    parser.add_argument("--tablespace", action="append", default=[])
    parser.add_argument("--asm", default="")
    parser.add_argument("--user", action="append", default=[])
    for flag in ("--noarchivelog", "--rac", "--standby"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args(words)
    state = new(given)
    with parts.Store.locked(store) as kept:
        kept.clear()
        kept.update(state)
    for file in state["files"]:
        m.write_header(state, file)
    show(state)


def new(given):
    root, now = os.path.abspath(given.root), parts.time.time()
    for folder in ("oradata", "arch", "adump", "trace"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    disks = given.asm.partition("=")
    oradata = f"+{disks[0]}/{given.sid}" if given.asm else os.path.join(root, "oradata")
    state = {
        "name": given.sid,
        "dbid": 1234567890,
        "version": given.version,
        "root": root,
        "created": now,
        "scn": 1000000,
        "clock": 0.0,
    }
    state |= {"archivelog": not given.noarchivelog, "rac": given.rac, "standby": given.standby, "resetlogs": 900000001}
    state |= {"switches": dict(SWITCHES), "archived": [], "asm": {disks[0]: disks[2].split(",")} if given.asm else {}}
    state |= {"tablespaces": [], "files": [], "users": dict(account(text) for text in given.user)}
    state["temp"] = f"{oradata}/temp01.dbf"
    state["controlfiles"] = [touched(f"{oradata}/control0{number}.ctl") for number in (1, 2)]
    release = VERSIONS[given.version][0]
    for name in ("SYSTEM", *(["SYSAUX"] if release >= 10 else []), "RBS" if release < 9 else "UNDOTBS1", "USERS"):
        add(state, name, [f"{oradata}/{name.lower()}01.dbf"])
    state["tablespaces"].append({"name": "TEMP", "contents": "TEMPORARY", "status": "ONLINE"})
    for text in given.tablespace:
        name, _, paths = text.partition("=")
        add(state, name.upper(), paths.split(","))
    sids = [f"{given.sid}1", f"{given.sid}2"] if given.rac else [given.sid]
    state["instances"], state["logs"] = {}, []
    for thread, sid in enumerate(sids, 1):
        one = {
            "state": given.state,
            "suspended": False,
            "generation": 1,
            "thread": thread,
            "started": now,
            "host": f"db{thread}",
        }
        state["instances"][sid] = one
        state["logs"] += [log(oradata, thread, number, now) for number in (1, 2, 3)]
    return state


def log(oradata, thread, number, now):
    row = {
        "group": 3 * (thread - 1) + number,
        "thread": thread,
        "sequence": 40 + number,
        "first": 900000 + number,
        "next": 900001 + number,
    }
    row |= {"first_time": now, "archived": number < 3, "status": "CURRENT" if number == 3 else "INACTIVE"}
    return row | {"members": [touched(f"{oradata}/redo{row['group']:02d}.log")]}


def account(text):
    name, _, rest = text.partition("/")
    password, _, privileges = rest.partition(":")
    return name.lower(), {"password": password, "privileges": [one for one in privileges.split(",") if one]}


def touched(path):
    if not path.startswith("+"):
        with open(path, "a") as file:
            file.write("")
    return path


def add(state, name, paths):
    contents = "UNDO" if name.startswith("UNDO") else "PERMANENT"
    state["tablespaces"].append({"name": name, "contents": contents, "status": "ONLINE"})
    for path in paths:
        file = {
            "number": len(state["files"]) + 1,
            "tablespace": name,
            "path": touched(path),
            "online": True,
            "active": False,
        }
        file |= {"rman": False, "missing": False, "recover": False, "change": state["scn"], "time": state["created"]}
        state["files"].append(file | {"began": 0, "began_time": None})


def show(state):
    root = state["root"]
    print(f"root={root}\noradata={root}/oradata\narch={root}/arch\nadump={root}/adump")
    for name, paths in (
        ("datafile", [one["path"] for one in state["files"]]),
        ("controlfile", state["controlfiles"]),
        ("redo", [path for one in state["logs"] for path in one["members"]]),
    ):
        for number, path in enumerate(paths, 1):
            print(f"{name}.{number}={path}")


# ---- what others do ----


def write(store, text="a row"):
    m.wait_for(store, lambda state: not m.is_open(state) or m.may_write(state))
    with store.locked() as state:
        if not m.is_open(state):
            raise OraError(1034)
        print(m.write_row(state, text))


def begin(store, *names):
    with store.locked() as state:
        wanted = [name.upper() for name in names]
        m.take_files(
            state, [one for one in state["files"] if not wanted or one["tablespace"] in wanted], lambda state: None
        )


def end(store):
    with store.locked() as state:
        for file in state["files"]:
            file["active"] = False


def suspend(store, value=True):
    with store.locked() as state:
        for one in m.running(state):
            one["suspended"] = value


def resume(store):
    suspend(store, False)


def chosen(state, sid):
    return [state["instances"][sid]] if sid else list(state["instances"].values())


def crash(store, sid=""):
    with store.locked() as state:
        for one in chosen(state, sid):
            m.shut(state, one, clean=False)


def shut(store, sid=""):
    crash(store, sid)


def start(store, sid=""):
    refused = None
    with store.locked() as state:
        for one in chosen(state, sid):
            if one["state"] != "down":
                continue
            m.start(state, one)
            try:
                m.open_database(state, one)
            except OraError as exc:
                refused = exc
    if refused:
        raise refused


def tablespace(store, name, status):
    with store.locked() as state:
        words = {"readonly": "READ ONLY", "readwrite": "ONLINE", "online": "ONLINE", "offline": "OFFLINE"}
        m.tablespace(state, name)["status"] = words[status]


def file(store, number, word):
    changes = {
        "online": {"online": True},
        "offline": {"online": False},
        "rman": {"rman": True},
        "norman": {"rman": False},
        "missing": {"missing": True},
        "recover": {"recover": True},
        "good": {"missing": False, "recover": False, "online": True, "rman": False},
    }[word]
    with store.locked() as state:
        m.find_file(state, number).update(changes)


def active(store):
    for one in store.read()["files"]:
        if one["active"]:
            print(one["number"])


def is_suspended(store):
    return 0 if any(one["suspended"] for one in m.running(store.read())) else 1


def switch(store, key, value):
    with store.locked() as state:
        if key not in state["switches"]:
            raise SystemExit(f"no switch {key}")
        state["switches"][key] = value


def wrap(store, folder):
    os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
    for name in ("sqlplus", *(["svrmgrl"] if m.major(store.read()) < 9 else [])):
        path = os.path.join(folder, "bin", name)
        with open(path, "w") as file:
            file.write(f'#!/bin/sh\nORACLE_EMULATOR_STATE="{store.path}" exec "{HERE}/{name}" "$@"\n')
        os.chmod(path, 0o755)


WORDS = {
    "write": write,
    "begin": begin,
    "end": end,
    "suspend": suspend,
    "resume": resume,
    "crash": crash,
    "start": start,
    "shut": shut,
    "tablespace": tablespace,
    "file": file,
    "active": active,
    "is-suspended": is_suspended,
    "set": switch,
    "wrap": wrap,
}


def main(argv):
    store = m.Store(os.path.abspath(os.environ["ORACLE_EMULATOR_STATE"]))
    if argv and argv[0] in WORDS:
        try:
            return WORDS[argv[0]](store, *argv[1:]) or 0
        except OraError as exc:
            print(exc.render(), file=sys.stderr)
            return 1
    usage = "control create | wrap | fault | mend | tick | log | state | " + " | ".join(WORDS)
    return parts.control(store, argv, create, usage, lambda state, name: [])
