"""Server Manager of 8i: the same statements, another client."""

import re
import sys

import ora_format
from ora_login import login
from ora_machine import major, the_store
from ora_statements import run
from ora_words import VERSIONS, OraError


class Manager:
    def __init__(self, store):
        self.store, self.session, self.text = store, None, ""

    def tell(self, text):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def take(self, line):
        """One line; False at ``exit``."""
        if not self.text and (not line.strip() or re.match(r"(?i)rem(ark)?\b|--|#|set\b|spool\b", line.strip())):
            return True
        self.text = f"{self.text}\n{line}".strip()
        first = self.text.split(None, 1)[0].lower()
        is_command = first in ("connect", "exit", "quit", "startup", "shutdown", "archive", "disconnect", "host")
        if not (self.text.endswith((";", "\n/")) or is_command):
            return True
        text, self.text = re.sub(r"(;|\n/)$", "", self.text).strip(), ""
        if first in ("exit", "quit"):
            return False
        try:
            self.run(first, text)
        except OraError as exc:
            if exc.loses_session:
                self.session = None
            self.tell(exc.render())
        return True

    def run(self, first, text):
        if first == "connect":
            self.session = None
            self.session, warning = login(self.store, text.partition(" ")[2])
            self.tell(f"{warning}\nConnected." if warning else "Connected.")
        elif first == "disconnect":
            self.session = None
            self.tell("Disconnected.")
        elif first == "host":
            self.tell("")
        elif self.session is None:
            raise OraError(3114)
        else:
            self.answer(run(self.session, text))

    def answer(self, answer):
        if isinstance(answer, str):
            one = answer.endswith(("altered.", "complete.", "created.", "completed."))
            self.tell("Statement processed." if one and "\n" not in answer else answer)
            return
        settings = ora_format.Settings()
        settings.update(pagesize=0, feedback=0, linesize=1000)
        widths = [ora_format._width(answer, number, settings) for number in range(len(answer.headings))]
        for line in [*ora_format._head(answer, widths, settings), *ora_format.table(answer, settings)]:
            self.tell(line)
        self.tell(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'} selected.")


def main(argv):
    store = the_store()
    store.note(["svrmgrl", *argv])
    if major(store.read()) > 8:
        print("svrmgrl: not found", file=sys.stderr)
        return 127
    release = VERSIONS[store.read()["version"]][1]
    manager = Manager(store)
    manager.tell(
        "\nOracle Server Manager Release 3.1.7.0.0 - Production\n\nCopyright (c) 1997, 1999, Oracle Corporation.  All Rights Reserved.\n"
    )
    manager.tell(
        f"Oracle8i Enterprise Edition Release {release} - Production\nJServer Release {release} - Production\n"
    )
    lines = [word.partition("=")[2] for word in argv if word.lower().startswith("command=")]
    for source in (lines, sys.stdin):
        for line in source:
            sys.stdout.write("SVRMGR> ")
            if not manager.take(line.rstrip("\n")):
                manager.tell("Server Manager complete.")
                return 0
    manager.tell("Server Manager complete.")
    return 0
