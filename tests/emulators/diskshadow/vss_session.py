"""One run of diskshadow: a script or what is typed, line by line. Nothing of it but shadow copies outlives it."""

import json
import os
import re
import time

import parts
import vss_create
import vss_lists
import vss_machine
import vss_words
from vss_copies import Copies
from vss_create import Failure
from vss_machine import Machine

TWO_WORDS = ("set", "add", "begin", "end", "list", "delete", "load", "writer", "simulate")
UNEXPECTED = ("80042302", "VSS_E_UNEXPECTED")
OPTIONS = ("differential", "plex", "transportable", "rollbackrecover", "txfrecover", "noautorecover")
DONE, SYNTAX, FAILED, QUIT = "done", "syntax", "failed", "quit"


class Session(Copies):
    """``tell`` prints a line as the machine's console would."""

    def __init__(self, store, output, cwd):
        self.store, self.faults, self.output, self.cwd = store, parts.Faults(store), output, cwd
        self.settings = store.read()["settings"]
        self.language = self.settings["language"]
        self.aliases, self.own_aliases = {}, {}
        self.reset()

    def reset(self):
        self.context, self.verbose, self.metadata = 0, False, ""
        self.options = dict.fromkeys(OPTIONS, False)
        self.volumes, self.verified, self.excluded, self.waiting = [], [], [], []
        self.has_begun, self.loaded = False, None

    # -- printing --

    def tell(self, line):
        for one in line.split("\n"):
            self.output.write(one.encode(self.settings["codepage"], "replace") + b"\r\n")
        self.output.flush()

    def text(self, key, **values):
        return vss_words.text(self.language, key, **values)

    def say(self, key, **values):
        self.tell(self.text(key, **values))

    def when(self, seconds):
        return vss_words.when(self.language, seconds)

    # -- lines --

    def line(self, raw):
        """Do one line; how it ended."""
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            return DONE
        words = self.expand(stripped.split())
        name = words[0].lower()
        if name in TWO_WORDS and len(words) > 1:
            name = f"{name}-{words[1].lower()}"
        try:
            return self.command(name, words)
        except Failure as failure:
            for one in failure.lines:
                self.tell(one)
            return SYNTAX if failure.is_syntax else FAILED

    def expand(self, words):
        """Aliases and environment variables, each of which is shown with its value."""
        found = []
        for word in words:
            name = re.fullmatch(r"%(\w+)%", word)
            known = {key.lower(): value for key, value in {**os.environ, **self.aliases}.items()}
            if name and name[1].lower() in known:
                self.tell(f"-> %{name[1]}% = {known[name[1].lower()]}")
                word = known[name[1].lower()]
            found.append(word)
        return found

    def command(self, name, words):
        method = getattr(self, "do_" + name.replace("-", "_"), None)
        if method is None:
            usage = vss_words.USAGE.get(name.split("-")[0])
            raise Failure(usage or self.text("unknown command", line=" ".join(words)), is_syntax=True)
        trouble = self.faults.before(name)
        if trouble == "fail":
            code = vss_create.PROVIDER_VETO if name == "create" else UNEXPECTED
            raise Failure(self.text("failed", code=code[0], text=code[1]))
        if trouble == "busy":
            raise Failure(self.text("failed", code=vss_create.IN_PROGRESS[0], text=vss_create.IN_PROGRESS[1]))
        if trouble == "lie":
            return DONE
        ended = method(*words[2 if name.split("-")[0] in TWO_WORDS and "-" in name else 1 :]) or DONE
        self.faults.after(name)
        return ended

    def usage(self, key):
        return Failure(vss_words.USAGE[key], is_syntax=True)

    # -- set --

    def do_set_context(self, *words):
        key = tuple(word.lower() for word in words)
        if key not in vss_machine.CONTEXTS:
            raise self.usage("set context")
        self.context = vss_machine.CONTEXTS[key]

    def do_set_option(self, *words):
        names = [word.lower() for word in words]
        clash = {"noautorecover"} & set(names) and {"txfrecover", "rollbackrecover"} & set(names)
        if not names or not set(names) <= set(OPTIONS) or clash or {"differential", "plex"} <= set(names):
            raise self.usage("set option")
        self.options = {name: name in names for name in OPTIONS}

    def do_set_verbose(self, *words):
        if [word.lower() for word in words] not in (["on"], ["off"]):
            raise self.usage("set verbose")
        self.verbose = words[0].lower() == "on"

    def do_set_metadata(self, *words):
        if len(words) != 1:
            raise self.usage("set metadata")
        self.metadata = words[0]
        if os.path.exists(self.here(self.metadata)):
            self.say("overwritten")

    def do_set(self):
        self.tell(f"\nContext: {self.context:#010x}\nVerbose: {self.verbose}\nMetadata: {self.metadata}")

    def here(self, path):
        return os.path.join(self.cwd, Machine(self.store.read()).local(path))

    # -- add, begin, end, writer --

    def do_add(self):
        state = self.store.read()
        for letter, alias in self.volumes:
            self.tell(f"Volume {letter} alias {alias} GUID {state['volumes'][letter]['guid']}")
        self.say("volumes", count=len(self.volumes))
        if not self.aliases:
            self.say("no aliases")

    def do_add_volume(self, *words):
        given = [word.lower() for word in words]
        if len(words) not in (1, 3, 5) or not set(given[1::2]) <= {"alias", "provider"}:
            raise self.usage("add volume")
        if not self.settings["admin"]:
            raise Failure(self.text("com", call="(*vssObject)->InitializeForBackup"))
        letter = Machine(self.store.read()).volume(words[0])
        if letter is None:
            raise Failure(self.text("no such volume", volume=words[0]))
        named = dict(zip(given[1::2], words[2::2], strict=True))
        self.volumes = [one for one in self.volumes if one[0] != letter]
        self.volumes.append((letter, named.get("alias", "")))

    def do_add_alias(self, *words):
        if len(words) != 2:
            raise self.usage("add alias")
        self.aliases[words[0]] = self.own_aliases[words[0]] = words[1]

    def do_begin_backup(self):
        self.has_begun = True

    def do_end_backup(self):
        if not self.has_begun and not self.waiting:
            raise Failure(self.text("no backup"))
        with self.store.locked() as state:
            machine = Machine(state)
            for name in self.waiting:
                writer = machine.writer(name)
                kind = "full" if self.has_begun else "copy"
                if writer["status"] == vss_machine.WAITING:
                    writer["status"] = vss_machine.STABLE
                    machine.event("complete", kind, name)
        self.has_begun, self.waiting = False, []

    def do_writer_verify(self, *words):
        if not words:
            raise self.usage("writer")
        self.verified.append(" ".join(words).strip('"'))

    def do_writer_exclude(self, *words):
        if not words:
            raise self.usage("writer")
        writer = Machine(self.store.read()).writer(" ".join(words).strip('"'))
        self.excluded.append(writer["name"] if writer else "")

    # -- create --

    def attributes(self):
        chosen = self.options
        bits = self.context | (vss_machine.PLEX if chosen["plex"] else vss_machine.DIFFERENTIAL)
        bits |= vss_machine.TRANSPORTABLE if chosen["transportable"] else 0
        bits |= vss_machine.NO_AUTO_RECOVERY if chosen["noautorecover"] else 0
        return bits | (vss_machine.HARDWARE if self.settings["hardware"] else 0)

    def do_create(self):
        made = vss_create.Creation(self).run()
        if self.verbose:
            self.tell("")
        named = dict(self.volumes)
        for number, one in enumerate(made, 1):
            alias = named[one["volume"]] or f"VSS_SHADOW_{number}"
            self.aliases[alias] = one["id"]
            self.say("alias", alias=alias, id=one["id"])
        self.aliases["VSS_SHADOW_SET"] = made[0]["set"]
        self.say("alias set", id=made[0]["set"])
        self.save_metadata(made)
        self.volumes = []
        if not self.options["transportable"]:
            self.say("querying set", id=made[0]["set"])
            vss_lists.shadows(self, Machine(self.store.read()), made)

    def save_metadata(self, made):
        default = time.strftime("%Y-%m-%d_%-H-%M-%S_") + self.settings["computer"] + ".cab"
        path = self.here(self.metadata or default)
        with open(path, "w") as file:
            json.dump({"set": made[0]["set"], "aliases": self.aliases, "writers": self.waiting}, file)
        if self.verbose:
            documents = [f"WM{n}.xml" for n in range(len(self.waiting))]
            for name in ("Manifest.xml", *(["BCDocument.xml", *documents] if documents else []), "Dis75AC.tmp"):
                self.say("inserted", file=name, cab=os.path.basename(path))

    def do_reset(self):
        self.release()
        self.reset()
        self.aliases = dict(self.own_aliases)

    def release(self):
        """What ends with this process or a reset: volatile shadow copies, and what writers wait for."""
        with self.store.locked() as state:
            machine = Machine(state)
            machine.release_volatile(os.getpid())
            for name in self.waiting:
                writer = machine.writer(name)
                if writer["status"] == vss_machine.WAITING:
                    writer["status"] = vss_machine.STABLE
                    machine.event("shutdown", name)

    def do_exit(self):
        return QUIT
