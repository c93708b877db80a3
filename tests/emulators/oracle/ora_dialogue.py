"""SQL*Plus's dialogue: lines in, statements, answers and exit codes out."""

import os
import re
import sys

import ora_format
from ora_statements import run
from ora_words import OraError, said

FAILURE, WARNING = 1, 2
SQL = re.compile(
    r"(?i)(select|alter|create|drop|insert|update|delete|commit|rollback|begin|declare|with|grant|revoke|analyze|merge|truncate|lock|audit|\()\b|\("
)


class Leave(Exception):
    """The client ends with this code."""


class Dialogue:
    def __init__(self, store, lines, silent):
        self.store, self.lines, self.silent = store, lines, silent
        self.session, self.code = None, 0
        self.on_error = self.on_os_error = None
        self.settings, self.variables, self.buffer = ora_format.Settings(), {}, []
        nls = os.environ.get("NLS_LANG", "")
        language = nls.split("_")[0].lower() if nls else store.read()["switches"]["language"]
        self.language = "german" if language == "german" else "american"

    def tell(self, text=""):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def prompt(self):
        if not self.silent:
            sys.stdout.write("SQL> ")
            sys.stdout.flush()

    def next_line(self):
        line = next(self.lines, None)
        return None if line is None else line.rstrip("\n")

    # -- the dialogue --

    def serve(self):
        """Until the end of input, or Leave."""
        self.prompt()
        while (line := self.next_line()) is not None:
            self.take(line)
            self.prompt()

    def take(self, line):
        text = line.strip()
        if self.buffer and self.is_open_buffer:
            return self.go_on(line)
        if not text or text.startswith("--"):
            return None
        if text == "/":
            return self.run_buffer() if self.buffer else self.tell("SP2-0103: Nothing in SQL buffer to run.")
        if SQL.match(text):
            self.buffer, self.is_open_buffer = [], True
            return self.go_on(line)
        while text.endswith("-"):
            text = text[:-1].rstrip() + " " + (self.next_line() or "").strip()
        return self.command(text)

    is_open_buffer = False
    commands = ()

    def go_on(self, line):
        text = line.strip()
        is_block = re.match(r"(?i)(begin|declare)\b", (self.buffer or [text])[0].strip())
        if text == "/" or (text == "." and self.buffer):
            self.is_open_buffer = False
            return self.run_buffer() if text == "/" else None
        if not text and not is_block and not self.settings["sqlblanklines"]:
            self.is_open_buffer = False
            return None
        self.buffer.append(self.substituted(line))
        if text.endswith(";") and not is_block:
            self.buffer[-1] = self.buffer[-1].rstrip()[:-1]
            self.is_open_buffer = False
            return self.run_buffer()
        return None

    def substituted(self, line):
        """``&name`` asks for a value, which is the next line of input."""
        if not self.settings["define"]:
            return line
        for name in re.findall(r"&&?(\w+)\.?", line):
            if name.lower() not in self.variables:
                sys.stdout.write(f"Enter value for {name}: ")
                self.variables[name.lower()] = self.next_line() or ""
        changed = re.sub(r"&&?(\w+)\.?", lambda found: self.variables[found[1].lower()], line)
        if changed != line and self.settings["verify"]:
            self.tell(f"old   1: {line}\nnew   1: {changed}")
        return changed

    def run_buffer(self):
        self.statement("\n".join(self.buffer).strip().rstrip(";") if self.buffer else "")

    def statement(self, sql):
        try:
            if self.session is None:
                self.tell("SP2-0640: Not connected")
                return
            answer = run(self.session, sql)
        except OraError as exc:
            self.failed(exc, sql)
            return
        self.code = 0
        if isinstance(answer, str):
            self.feedback(answer)
            return
        for line in ora_format.table(answer, self.settings):
            self.tell(line)

    def feedback(self, answer):
        if (
            "\n" in answer
            or self.settings["feedback"]
            or not answer.endswith(("altered.", "complete.", "created.", "completed."))
        ):
            self.tell("\n".join(["", *(said(line, self.language) for line in answer.split("\n")), ""]))

    def failed(self, exc, sql):
        first = sql.split("\n")[0]
        self.tell(f"{first}\n*\n{said('ERROR at line 1:', self.language)}\n{exc.render(self.language)}\n\n")
        self.error(exc)

    def error(self, exc):
        if exc.loses_session:
            self.session = None
        self.code = exc.code
        if self.on_error is not None:
            raise Leave(self.exit_code(self.on_error))

    def exit_code(self, words):
        """``[success|failure|warning|N|sql.sqlcode] [commit|rollback]``, as the eight bits that Unix has."""
        word = words.split()[0].lower() if words.split() else "success"
        known = {
            "success": 0,
            "commit": 0,
            "rollback": 0,
            "failure": FAILURE,
            "warning": WARNING,
            "sql.sqlcode": self.code,
        }
        if word in known:
            return known[word] % 256
        if word.lstrip("-").isdigit():
            return int(word) % 256
        value = self.variables.get(word.lstrip(":&"), "0")
        return int(value) % 256 if value.isdigit() else 0

    # -- commands --

    def command(self, text):
        text = text if re.match(r"(?i)pro", text) else text.rstrip(";").rstrip()
        word, _, rest = text.partition(" ")
        for name, shortest, function in self.commands:
            if len(word) >= shortest and name.startswith(word.lower()):
                function(self, rest.strip())
                return
        if text[0] == "!":
            self.restricted(text)
        elif text[0] == "@":
            self.script(text[1:].strip())
        else:
            self.tell(f'SP2-0734: unknown command beginning "{text[:10]}..." - rest of line ignored.')
