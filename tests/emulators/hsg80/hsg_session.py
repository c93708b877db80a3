"""A terminal session: what is typed comes in byte by byte, what the terminal shows goes out."""

import os
import sys

import parts
from hsg_language import VERBS, keyword, names_of, words_of
from hsg_machine import Stop
from hsg_moves import MOVES, do_reduce
from hsg_show import show

ATTENTION = (3, 25)
"""^C and ^Y."""
SCRAMBLED = str.maketrans("NORMALECI", "N\x7fRM\x0cL\xeeC\x11")
OTHERS_LINE = "show units"
COMPLAINTS = {
    "fail": "the command could not be carried out",
    "busy": "the other controller is changing the configuration",
}


class Lost(Exception):
    """The session ends here."""


class Session:
    """`keys`: a file descriptor that is read for what is typed."""

    def __init__(self, controller, program, keys, is_bare=False):
        self.controller, self.program, self.keys, self.is_bare = controller, program, keys, is_bare
        self.settings, self.faults = controller.settings(), controller.faults
        self.prompt = self.settings["prompt"]
        self.waiting = bytearray()

    # ---- out ----

    def put(self, text):
        end = "\n" if self.settings["lf"] else "\r\n"
        sys.stdout.buffer.write(text.replace("\n", end).encode("latin-1", "replace"))
        sys.stdout.buffer.flush()

    def ask(self):
        if not self.is_bare:
            self.put(f"{self.prompt} ")

    def say(self, lines):
        for number, line in enumerate(lines, 1):
            self.put(line + "\n")
            if self.settings["page"] and number % self.settings["page"] == 0 and number < len(lines):
                self.put(" -- more -- ")
                if self.key() is None:
                    raise Lost
                self.put("\n")

    # ---- in ----

    def key(self):
        """The next byte that was typed; None when the line is closed."""
        if not self.waiting:
            self.waiting += os.read(self.keys, 65536)
        return self.waiting.pop(0) if self.waiting else None

    def lines(self, typed=b""):
        """Each line as it was typed, echoed. `typed`: what stood there already."""
        typed, before = bytearray(typed), 0
        while (byte := self.key()) is not None:
            if byte == 10 and before == 13 and not typed:
                pass
            elif byte in (10, 13):
                line = typed.decode("latin-1")
                typed.clear()
                if not self.settings["no_echo"] and not self.is_bare:
                    self.put(line + "\n")
                yield line
            elif byte in ATTENTION:
                typed.clear()
                self.put("^" + chr(byte + 64) + "\n")
                self.ask()
            else:
                typed.append(byte)
            before = byte

    # ---- a session ----

    def run(self):
        """Until nobody types any more. Its exit code says nothing."""
        try:
            kind, text = self.faults.take("console", "half-line", "taken", "silent")
            if kind == "taken":
                return self.put("Connection to the port is in use\n")
            self.faults.before("console")
            if kind != "silent":
                self.say([*self.settings["banner"].split("\\n"), ""] if self.settings["banner"] else [])
                self.ask()
            for line in self.lines(text.encode() if kind == "half-line" else b""):
                if line.strip():
                    self.one(line)
                self.ask()
        except (Lost, BrokenPipeError):
            pass

    def one(self, line):
        """Carry out one line and show what comes of it."""
        self.controller.store.note([self.program, *line.split()])
        name = self.fault_name(line)
        if self.faults.take(name, "lost-before")[0]:
            raise Lost
        if self.faults.take(name, "foreign")[0]:
            self.put(OTHERS_LINE + "\n")
            self.say(reply(self.controller, OTHERS_LINE))
            self.ask()
        said = self.suffer(name)
        if said is None:
            said = reply(self.controller, line)
        self.tell(name, said)
        kind, text = self.faults.take(name, "noise")
        self.say([text] if kind else [])
        if self.faults.take(name, "hang-after")[0]:
            parts.hang()
        kind, text = self.faults.take(name, "prompt")
        self.prompt = text if kind else self.settings["prompt"]

    def fault_name(self, line):
        """What a fault calls this line: the name that somebody uses."""
        used = set()
        if os.path.exists(self.faults.path):
            with open(self.faults.path) as file:
                used = {text.split()[0] for text in file if text.strip()}
        return next((name for name in names_of(line) if name in used), names_of(line)[-1])

    def suffer(self, name):
        """What is said in place of doing anything; None when it is to be done."""
        if name != "reduce":
            self.faults.half_way(name)
        word = self.faults.before(name)
        if word is None:
            return None
        if word == "lie" or self.settings["mute"]:
            return []
        return [self.settings["error"] + COMPLAINTS[word]]

    def tell(self, name, said):
        if self.faults.take(name, "garbage")[0]:
            said = [text.translate(SCRAMBLED) for text in said] or ["\x11\xee{"]
        half = len(said) // 2
        if self.faults.take(name, "lost")[0]:
            self.say([*said[:half], *(text[: len(text) // 2] for text in said[half : half + 1])])
            raise Lost
        if self.settings["events"]:
            self.say(said[:half])
            self.say(event(self.prompt))
            self.put(f"{self.prompt} ")
            said = said[half:]
        self.say(said)


def event(prompt):
    """A spontaneous event report, as the maintenance terminal shows it."""
    return [
        "",
        f"%EVL--{prompt} --13-JAN-1999 04:32:47 (time not set)-- Instance Code: 0102030A",
        " Template: 1.(01)",
        " Power On Time: 0.Years, 14.Days, 19.Hours, 58.Minutes, 43.Seconds",
        " Controller Model: HSG80",
        " Informational Report",
        "",
    ]


def reply(controller, line):
    """What the controller answers to a line, as lines; the line is carried out."""
    settings = controller.settings()
    try:
        verb, *words = words_of(line)
        verb = keyword(verb, VERBS)
        if verb == "EXIT":
            raise Lost
        said = carry_out(controller, verb, words)
    except Stop as stop:
        return [] if settings["mute"] else [f"{settings['error']}{stop}"]
    if said is None:
        return ["The command has been carried out"] if settings["chatty"] else []
    return said


def carry_out(controller, verb, words):
    """Lines, or None for a command that is done in silence. Raises Stop."""
    faults = controller.faults
    if verb == "SHOW":
        twist = {}
        kind, word = faults.take("show", "word")
        if kind:
            twist["word"] = word
        if faults.take("show", "drop")[0]:
            twist["drop"] = True
        with controller.open() as state:
            return show(state, words, twist)
    if verb not in MOVES and verb != "REDUCE":
        raise Stop(f"{verb} is not available")
    with controller.open() as state:
        if verb == "REDUCE":
            is_half = bool(faults.take("reduce", "half")[0])
            said = do_reduce(state, words, lambda: faults.half_way("reduce"), is_half)
            return [controller.settings()["error"] + text for text in said] if said else None
        return MOVES[verb](state, words)
