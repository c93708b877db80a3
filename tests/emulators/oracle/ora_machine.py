"""The database: its files, its instances, and what each statement does to them."""

import contextlib
import os
import re
import time

import parts
from ora_words import TEN, VERSIONS, OraError

POLL_SECONDS = 0.02
HEADER_BYTES = 64


class Store(parts.Store):
    @contextlib.contextmanager
    def locked(self):
        """The state to be changed; left alone when something is raised inside."""
        with super().locked() as state:
            if not state:
                raise SystemExit("there is no database: control create")
            yield state


def the_store():
    return Store(os.environ["ORACLE_EMULATOR_STATE"])


def major(state):
    return VERSIONS[state["version"]][0]


def running(state):
    return [one for one in state["instances"].values() if one["state"] != "down"]


def is_open(state):
    return any(one["state"] == "open" for one in state["instances"].values())


def scn(state):
    """The SCN now: it grows with time, and with what is written."""
    return state["scn"] + int((parts.now(state) - state["created"]) * 3)


def tablespace(state, name):
    for one in state["tablespaces"]:
        if one["name"] == name.strip('"').upper():
            return one
    raise OraError(959, name.strip('"').upper())


def files_of(state, name):
    return [one for one in state["files"] if one["tablespace"] == name]


def on_file(code, file):
    return OraError(code, file["number"], below=[(1110, file["number"], file["path"])])


def is_ended_by_itself(state, file):
    """Read-only or offline: nothing that backup mode is for."""
    return tablespace(state, file["tablespace"])["status"] != "ONLINE" or not file["online"]


# ---- bytes ----


def write_header(state, file):
    """The file's first line: its checkpoint. In backup mode it does not move."""
    if not file["path"].startswith("+") and os.path.exists(file["path"]):
        text = f"ORACLE DATA FILE {file['number']} CHECKPOINT {file['change']:016d}".ljust(HEADER_BYTES - 1) + "\n"
        with open(file["path"], "r+b") as data:
            data.write(text.encode())


def checkpoint(state):
    for file in state["files"]:
        if not file["active"] and not is_ended_by_itself(state, file):
            file.update(change=scn(state), time=parts.now(state))
            write_header(state, file)


def append(path, text):
    if not path.startswith("+"):
        with open(path, "a") as data:
            data.write(text + "\n")


def current_log(state, thread):
    return next(one for one in state["logs"] if one["thread"] == thread and one["status"] == "CURRENT")


def write_row(state, text):
    """One committed row: redo and data."""
    state["scn"] += 1
    number = scn(state)
    append(current_log(state, 1)["members"][0], f"{number} {text}")
    append(files_of(state, "USERS")[0]["path"], f"{number} {text}")
    return number


def switch_log(state, thread):
    """The next group of this thread becomes current; the old one is due to be archived."""
    old = current_log(state, thread)
    group = [one for one in state["logs"] if one["thread"] == thread]
    new = group[(group.index(old) + 1) % len(group)]
    number = scn(state)
    old.update(status="ACTIVE", archived=False, next=number)
    if state["archivelog"]:
        name = f"{thread}_{old['sequence']}_{state['resetlogs']}.dbf"
        path = os.path.join(state["root"], "arch", name)
        row = {key: old[key] for key in ("thread", "sequence", "first", "first_time")}
        row |= {"path": path, "next": number, "due": parts.now(state), "done": False, "source": old["members"][0]}
        state["archived"].append(row)
    top = max(one["sequence"] for one in group)
    new.update(sequence=top + 1, status="CURRENT", archived=False, first=number, first_time=parts.now(state))
    archive(state)


def archive(state):
    """What the archiver has done by now."""
    speed = state["switches"]["archiver"]
    for row in state["archived"]:
        if row["done"] or speed == "stuck" or parts.now(state) < row["due"] + float(speed):
            continue
        with open(row["source"], "rb") as source, open(row["path"], "wb") as target:
            target.write(source.read())
        row.update(done=True, completed=parts.now(state))
        for log in state["logs"]:
            if (log["thread"], log["sequence"]) == (row["thread"], row["sequence"]):
                log.update(archived=True, status="INACTIVE")


def wait_for(store, ready):
    """Poll the state until `ready(state)`; the server's own waiting has no end."""
    while True:
        state = store.read()
        if ready(state):
            return state
        time.sleep(POLL_SECONDS)


def may_write(state):
    return state["switches"]["data"] == "thawed" and not any(one["suspended"] for one in running(state))


# ---- statements on the files ----


def begin_files(state, files):
    """Every one, or none."""
    for file in files:
        if file["active"]:
            raise on_file(1146, file)
        if file["rman"]:
            raise on_file(1253, file)
        if not file["online"]:
            raise on_file(1128, file)
        if file["missing"]:
            raise on_file(1157, file)


def take_files(state, files, half_way):
    state["scn"] += 1  # the checkpoint of a begin has a number of its own, however soon it comes after another
    for file in files:
        file.update(active=True, change=scn(state), time=parts.now(state))
        file.update(began=file["change"], began_time=file["time"])
        write_header(state, file)
        half_way(state)


def end_files(state, files, half_way):
    if all(is_ended_by_itself(state, file) and not file["active"] for file in files):
        raise OraError(1140)
    for file in files:
        if file["rman"]:
            raise on_file(1254, file)
    active = [file for file in files if file["active"]]
    useful = [file for file in files if not is_ended_by_itself(state, file)]
    if not active or (len(active) < len(useful) and state["switches"]["mixed-end"] == "refused"):
        raise OraError(1142)
    for file in active:
        file.update(active=False, change=scn(state), time=parts.now(state))
        write_header(state, file)
        half_way(state)


def find_file(state, word):
    name = word.strip().strip("'")
    for file in state["files"]:
        if name in (file["path"], str(file["number"])):
            return file
    raise OraError(1516, name)


def need_archivelog(state):
    if not state["archivelog"]:
        raise OraError(1123)


def open_database(state, instance):
    """The data files are looked at by the first instance that opens."""
    if instance["state"] == "open":
        raise OraError(1531)
    if not is_open(state):
        for file in state["files"]:
            if file["active"]:
                raise _still_in_backup(state, file)
            if file["missing"]:
                raise on_file(1157, file)
    instance["state"] = "open"
    checkpoint(state)


def _still_in_backup(state, file):
    below = [(1110, file["number"], file["path"])]
    if major(state) < 11:
        return OraError(1113, file["number"], below=below)
    which = state["switches"]["ten-text"]
    which = which if which in TEN else "new" if major(state) >= 12.2 else "old"
    return OraError(10873, file["number"], below=below, text=TEN[which].format(file["number"]))


def start(state, instance):
    """A boot: mounted, and open where that is allowed."""
    instance.update(state="mounted", suspended=False, started=parts.now(state))
    instance["generation"] += 1


def shut(state, instance, clean):
    if clean and not any(one["state"] == "open" for one in running(state) if one is not instance):
        for file in state["files"]:
            if file["active"]:
                raise on_file(1149, file)
        checkpoint(state)
    instance.update(state="down", suspended=False)
    instance["generation"] += 1


def backup_controlfile(state, path, reuse, text):
    if os.path.exists(path) and not reuse:
        raise OraError(1580, path, below=[(27038,)])
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as exc:
        raise OraError(1580, path, below=[(27040,)]) from exc


def controlfile_text(state):
    names = "".join(f"DATAFILE {file['number']} {file['path']}\n" for file in state["files"])
    return f"ORACLE CONTROL FILE BACKUP\nDBNAME {state['name']}\nDBID {state['dbid']}\nSCN {scn(state)}\n{names}"


def trace_text(state):
    names = ",\n".join(f"  '{file['path']}'" for file in state["files"])
    mode = "ARCHIVELOG" if state["archivelog"] else "NOARCHIVELOG"
    return f'CREATE CONTROLFILE REUSE DATABASE "{state["name"]}" NORESETLOGS {mode}\nDATAFILE\n{names}\n;\n'


def names_in(text):
    """A list of file names or numbers, commas between."""
    return re.findall(r"'[^']*'|\d+", text)
