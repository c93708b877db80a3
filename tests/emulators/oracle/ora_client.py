"""SQL*Plus's own commands."""

import os
import re

from ora_dialogue import Dialogue, Leave
from ora_login import login
from ora_statements import run
from ora_words import VERSIONS, OraError, said

SET_WORDS = (
    "appinfo arraysize autocommit autoprint autotrace cmdsep colsep concat copycommit define describe echo editfile embedded errorlogging escape"
    " exitcommit feedback flush heading headsep instance linesize lobprefetch loboffset logsource long longchunksize markup newpage null numformat"
    " numwidth pagesize pause recsep recsepchar rowprefetch serveroutput shiftinout showmode sqlblanklines sqlcase sqlcontinue sqlnumber sqlprefix"
    " sqlprompt sqlterminator statementcache suffix tab termout time timing trimout trimspool underline verify wrap xquery"
)
SETTINGS = SET_WORDS.split()


class Client(Dialogue):
    """A whole client."""

    def connect(self, rest):
        self.session = None
        try:
            self.session, warning = login(self.store, rest)
            if warning:
                self.tell(f"{said('ERROR:', self.language)}\n{warning}\n\n")
        except OraError as exc:
            self.tell(f"{said('ERROR:', self.language)}\n{exc.render(self.language)}\n\n")
            self.code = exc.code
            if VERSIONS[self.store.read()["version"]][0] >= 11:
                self.error(exc)
            return
        if not self.silent:
            state = self.store.read()
            idle = self.session.instance(state)["state"] == "down"
            self.tell("Connected to an idle instance." if idle else "Connected.")

    def disconnect(self, rest):
        self.session = None

    def exit(self, rest):
        raise Leave(self.exit_code(rest))

    def say(self, rest):
        self.tell(self.substituted(rest))

    def whenever(self, rest):
        found = re.fullmatch(r"(?i)(sqlerror|oserror)\s+(exit|continue)\b\s*(.*)", rest)
        if not found:
            self.tell(
                "SP2-0601: Usage: WHENEVER SQLERROR { CONTINUE [ COMMIT | ROLLBACK | NONE ] | EXIT [ SUCCESS | FAILURE | WARNING | n ] }"
            )
            return
        value = found[3] if found[2].lower() == "exit" else None
        if found[1].lower() == "sqlerror":
            self.on_error = value
        else:
            self.on_os_error = value

    def set(self, rest):
        words = rest.split()
        while words:
            word = words.pop(0).lower()
            names = [one for one in SETTINGS if one.startswith(word) and len(word) >= 3]
            if not names:
                self.tell(f'SP2-0158: unknown SET option "{word}"')
                return
            value = words.pop(0).lower() if words else ""
            if names[0] == "markup":
                words.clear()
            self._keep(names[0], value.strip("\"'") if names[0] != "sqlprompt" else value)

    def _keep(self, name, value):
        if name in ("pagesize", "linesize", "numwidth"):
            if not value.isdigit():
                self.tell(f"SP2-0268: {name} option not a valid number")
                return
            self.settings[name] = int(value)
        elif name == "feedback":
            self.settings[name] = {"on": 1, "off": 0, "": 6}.get(value, int(value) if value.isdigit() else 6)
        elif name == "colsep":
            self.settings[name] = value or " "
        elif name in self.settings:
            self.settings[name] = value not in ("off", "none")

    def column(self, rest):
        if found := re.search(r"(?i)^(\S+)\s.*\bfor(?:mat|ma|m)?\s+(?:a(\d+)|(9+))", rest):
            self.settings.columns[found[1].lower()] = int(found[2]) if found[2] else len(found[3]) + 1

    def define(self, rest):
        if found := re.fullmatch(r"(\w+)\s*=\s*'?(.*?)'?", rest):
            self.variables[found[1].lower()] = found[2]

    def startup(self, rest):
        self.statement(f"startup {rest}".strip())

    def shutdown(self, rest):
        self.statement(f"shutdown {rest}".strip())

    def archive(self, rest):
        if self.session is None:
            self.tell("ORA-01034: ORACLE not available")
            return
        try:
            self.tell(run(self.session, f"archive {rest}"))
        except OraError as exc:
            self.tell(exc.render(self.language))
            self.error(exc)

    def execute(self, rest):
        self.statement(f"begin {rest.rstrip(';')}; end")

    def show(self, rest):
        user = self.session.user.upper() if self.session else ""
        self.tell(f'USER is "{user}"' if rest.lower() == "user" else f'SP2-0158: unknown SHOW option "{rest}"')

    def restricted(self, rest):
        self.tell('SP2-0738: Restricted command "host" not available')

    def nothing(self, rest):
        """Takes effect on nothing that is modelled."""

    def script(self, rest):
        path = rest.split()[0] if rest.split() else ""
        path = path if "." in os.path.basename(path) else path + ".sql"
        try:
            with open(path) as file:
                lines = file.readlines()
        except OSError:
            self.tell(f'SP2-0310: unable to open file "{path}"')
            return
        outer, self.lines = self.lines, iter(lines)
        while (line := self.next_line()) is not None:
            self.take(line)
        self.lines = outer


Client.commands = [
    ("connect", 4, Client.connect),
    ("disconnect", 4, Client.disconnect),
    ("exit", 4, Client.exit),
    ("quit", 4, Client.exit),
    ("prompt", 3, Client.say),
    ("whenever", 8, Client.whenever),
    ("set", 3, Client.set),
    ("column", 3, Client.column),
    ("define", 3, Client.define),
    ("undefine", 5, Client.nothing),
    ("startup", 7, Client.startup),
    ("shutdown", 8, Client.shutdown),
    ("archive", 7, Client.archive),
    ("execute", 4, Client.execute),
    ("show", 3, Client.show),
    ("host", 2, Client.restricted),
    ("spool", 3, Client.nothing),
    ("remark", 3, Client.nothing),
    ("clear", 2, Client.nothing),
    ("start", 3, Client.script),
]
