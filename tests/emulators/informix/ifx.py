"""The server behind onmode, onstat, ontape and onbar: shared memory in the state file, rows in chunk images."""

import json
import os
import signal
import sys
import time

import parts

STATE = "INFORMIX_EMULATOR_STATE"
MODES = {
    "on-line": ("On-Line", 5),
    "read-only": ("Read-Only (Sec)", 5),
    "quiescent": ("Quiescent", 1),
    "recovery": ("Fast Recovery", 2),
    "backup": ("Archive Backup", 3),
    "shutdown": ("Shutting Down", 4),
    "abort": ("Abort", 6),
    "administration": ("Single-User", 7),
    "initialization": ("Initialization", 0),
}
OFFLINE = 255
PAGE = 2048
LOG_AT = 16 * PAGE
ROWS_AT = 64 * PAGE
ROW = 128
MOST_ROWS = (ROWS_AT - LOG_AT) // ROW
IMAGE = 128 * PAGE
LOG_FILES = 6
NAP = 0.01


class Refused(Exception):
    """A tool's refusal: text and exit code."""

    def __init__(self, text, code=1, on_output=False):
        super().__init__(text)
        self.code, self.on_output = code, on_output


def the_store():
    return parts.Store(os.path.abspath(os.environ[STATE]))


# ---- which server ----


def config_path():
    return os.path.join(os.environ.get("INFORMIXDIR", ""), "etc", os.environ.get("ONCONFIG") or "onconfig")


def parameters(path):
    """``{NAME: VALUE}`` of an onconfig file; None: there is none."""
    try:
        with open(path) as file:
            lines = [line.partition("#")[0].split(None, 1) for line in file]
    except OSError:
        return None
    return {words[0]: words[1].strip() for words in lines if len(words) == 2}


def the_name(state):
    """Name of the server that the environment leads to, whatever its mode. Raises Refused: off-line."""
    asked = os.environ.get("INFORMIXSERVER")
    found = parameters(config_path()) if os.environ.get("INFORMIXDIR") and asked else None
    if found is not None:
        for name, server in state.get("servers", {}).items():
            names = [found.get("DBSERVERNAME"), *found.get("DBSERVERALIASES", "").split(",")]
            is_named = server["loose"] or asked in names
            if str(server["number"]) == found.get("SERVERNUM") and is_named and server["mode"] != "off-line":
                return name
    text = f"shared memory not initialized for INFORMIXSERVER '{asked or '<NULL>'}'"
    raise Refused(text, OFFLINE, on_output=True)


# ---- what it is doing ----


def advance(state, server):
    """The checkpoint of a block that is due has come to its end: the server is blocked now."""
    if server["request"] and parts.now(state) >= server["request"]:
        checkpoint(server)
        server["request"], server["blocks"] = 0, server["blocks"] + 1


def reasons(server):
    """What stands after ``Blocked:``; empty when it is not blocked."""
    own = [server["words"]] if server["blocks"] else []
    return " ".join([*own, *(["CKPT"] if server["request"] else []), *([server["other"]] if server["other"] else [])])


def checkpoint(server):
    """Every row is in the data chunk, and the root chunk says so."""
    for number, text in enumerate(server["rows"]):
        put(server["data"], ROWS_AT + number * ROW, text)
    server["checkpoint"] += 1
    flushed = {"checkpoint": server["checkpoint"], "flushed": len(server["rows"])}
    put(server["root"], 0, json.dumps(flushed), PAGE)


def put(path, at, text, size=ROW):
    with open(path, "r+b", buffering=0) as file:
        file.seek(at)
        file.write(text.encode()[:size].ljust(size, b"\0"))


def texts(path, at):
    """Rows of one place of an image, up to the first that is not written."""
    found = []
    with open(path, "rb") as file:
        file.seek(at)
        while len(found) < MOST_ROWS and (row := file.read(ROW).rstrip(b"\0")):
            found.append(row.decode(errors="replace"))
    return found


def header(path):
    with open(path, "rb") as file:
        page = file.read(PAGE).rstrip(b"\0")
    return json.loads(page) if page.startswith(b"{") else {"checkpoint": 0, "flushed": 0}


def insert(server, text):
    """One committed row: in the logical log and in memory, not yet in the data chunk."""
    if len(server["rows"]) >= MOST_ROWS:
        raise Refused("the chunks of this stand-in are full")
    if not server["nolog"]:
        put(server["root"], LOG_AT + len(server["rows"]) * ROW, text)
    server["rows"].append(text)
    server["log"]["used"] += 1
    return len(server["rows"])


def fast_recovery(server):
    """What a start makes of the chunks: rows of the last checkpoint, and those of the log."""
    flushed = header(server["root"])["flushed"]
    server["rows"] = texts(server["data"], ROWS_AT)[:flushed]
    if not server["nolog"]:
        server["rows"] += texts(server["root"], LOG_AT)[flushed:]
    checkpoint(server)


def switch(server):
    server["log"].update(current=server["log"]["current"] + 1, used=0)


# ---- a tool's life ----


class Tool:
    """One invocation: its server, its faults. ``act`` changes the server under the lock."""

    def __init__(self, argv):
        self.store = the_store()
        self.faults = parts.Faults(self.store)
        self.store.note([os.path.basename(argv[0]), *argv[1:]])
        self.words = argv[1:]
        self.name = ""

    def find(self):
        self.name = the_name(self.store.read())

    def look(self):
        """The server as it is now."""
        with self.store.locked() as state:
            self.name = the_name(state)
            server = state["servers"][self.name]
            advance(state, server)
            return {**server, "up": parts.now(state) - server["started"]}

    def act(self, change):
        """``change(state, server)`` under the lock; what it returns."""
        with self.store.locked() as state:
            self.name = the_name(state)
            server = state["servers"][self.name]
            advance(state, server)
            return change(state, server)

    def wait(self, is_done):
        """Waits for the server to come to that, or to go away."""
        while not is_done(self.look()):
            time.sleep(NAP)

    def may_administer(self):
        if self.look()["denied"]:
            raise Refused("Must be a DBSA to run this program")

    def before(self, command):
        """Faults that come before the work. True: do it; False: pretend to have done it."""
        kind, value = self.faults.take(command, "code")
        if kind:
            sys.stdout.flush()
            os._exit(int(value))
        word = self.faults.before(command)
        if word in ("fail", "busy"):
            raise Refused(f"{command}: operation failed")
        return word != "lie"


def main(argv, run):
    """Runs `run(tool)`, which returns an exit code, with the refusals of the tools."""
    try:
        code = run(Tool(argv))
    except Refused as refused:
        print(refused, file=sys.stdout if refused.on_output else sys.stderr)
        code = refused.code
    sys.stdout.flush()
    sys.exit(code)


def killed():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
