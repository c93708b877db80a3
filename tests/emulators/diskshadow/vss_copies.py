"""A session's commands on shadow copies that stand: expose, exec, list, delete, load, import."""

import json
import os
import subprocess

import vss_lists
import vss_machine
import vss_words
from vss_create import Failure
from vss_machine import Machine

EXEC = "exec"


class Copies:
    """A part of ``Session``."""

    # -- expose, exec --

    def do_expose(self, *words):
        if len(words) != 2:
            raise self.usage("expose")
        with self.store.locked() as state:
            machine = Machine(state)
            shadow = self.shadow(machine, words[0])
            if not shadow["attributes"] & vss_machine.PERSISTENT or shadow["attributes"] & vss_machine.CLIENT:
                raise Failure(self.text("not persistent"))
            if shadow["exposed"] or not machine.expose(shadow, words[1]):
                raise Failure(self.text("place taken", place=words[1]))
        self.say("was exposed", place=words[1].rstrip("\\"))

    def do_unexpose(self, *words):
        if len(words) != 1:
            raise self.usage("unexpose")
        with self.store.locked() as state:
            machine = Machine(state)
            shadow = machine.shadow_where("id", words[0]) or machine.shadow_where("exposed", words[0].rstrip("\\"))
            if shadow is None or not shadow["exposed"]:
                raise Failure(self.text("no such shadow", id=words[0]))
            machine.unexpose(shadow)
        self.say("was unexposed", id=shadow["id"])

    def shadow(self, machine, identity):
        found = next((one for one in machine.visible() if one["id"].lower() == identity.lower()), None)
        if found is None:
            raise Failure(self.text("no such shadow", id=identity))
        return found

    def do_exec(self, *words):
        if not words:
            raise self.usage("exec")
        path = self.here(words[0])
        if '"' in words[0] or not os.access(path, os.X_OK) or os.path.isdir(path):
            raise Failure(self.text("no such script") + vss_words.USAGE["exec"], is_syntax=True)
        done = subprocess.run(
            [path, *words[1:]], env={**os.environ, **self.aliases}, stdout=subprocess.PIPE, cwd=self.cwd
        )
        self.output.write(done.stdout)
        self.output.flush()
        if done.returncode:
            self.say("exec failed", file=words[0], code=done.returncode)
            return EXEC
        return None

    # -- list, delete --

    def do_list_writers(self, *words):
        how = words[0].lower() if words else "metadata"
        if how not in ("metadata", "detailed", "status") or len(words) > 1:
            raise self.usage("list")
        vss_lists.writers(self, how)

    def do_list_providers(self):
        vss_lists.providers(self)

    def do_list_shadows(self, *words):
        machine = Machine(self.store.read())
        found = machine.visible()
        kind = words[0].lower() if words else ""
        if kind == "all" and len(words) == 1:
            if not found:
                self.say("none")
                return
            self.say("querying all")
        elif kind in ("set", "id") and len(words) == 2:
            found = [one for one in found if one[kind].lower() == words[1].lower()]
            if not found:
                raise Failure(self.text("no such shadow", id=words[1]))
            self.say(f"querying {kind}", id=words[1])
        else:
            raise self.usage("list")
        vss_lists.shadows(self, machine, found)

    def do_delete_shadows(self, *words):
        kind = words[0].lower() if words else ""
        if (kind, len(words)) not in {("all", 1), *((one, 2) for one in ("volume", "oldest", "set", "id", "exposed"))}:
            raise self.usage("delete")
        with self.store.locked() as state:
            machine = Machine(state)
            found = self.chosen(machine, kind, *words[1:])
            if not found and kind == "all":
                self.say("none")
                return
            if not found:
                raise Failure(self.text("no such shadow", id=words[1]))
            for number, one in enumerate(found):
                self.say_deleting(one, kind)
                machine.delete(one)
                if number == 0:
                    self.faults.half_way("delete-shadows")
        self.say("deleted id") if kind == "id" else self.say("deleted", count=len(found))

    def chosen(self, machine, kind, value=""):
        """Those that would be deleted. A shadow copy's id in place of a volume stands for its volume."""
        found = machine.visible()
        if kind in ("volume", "oldest"):
            by_id = machine.shadow_where("id", value)
            letter = by_id["volume"] if by_id else machine.volume(value)
            found = sorted((one for one in found if one["volume"] == letter), key=lambda one: one["created"])
            return found[:1] if kind == "oldest" else found
        if kind == "all":
            return [*found]
        return [one for one in found if one[kind].lower() == value.rstrip("\\").lower()]

    def say_deleting(self, one, kind):
        if kind == "id":
            self.say("deleting id", id=one["id"])
            return
        values = {"id": one["id"], "guid": one["guid"], "provider": one["provider"]}
        self.say("deleting", attributes=f"0x{one['attributes']:08x}", **values)

    # -- metadata, import, the rest --

    def do_load_metadata(self, *words):
        if len(words) != 1:
            raise self.usage("load")
        try:
            with open(self.here(words[0])) as file:
                self.loaded = json.load(file)
        except (OSError, ValueError):
            raise Failure(self.text("no such file", file=words[0])) from None
        self.aliases |= self.loaded["aliases"]

    def do_import(self):
        if self.loaded is None:
            raise Failure(self.text("no metadata"))
        with self.store.locked() as state:
            machine = Machine(state)
            found = [one for one in machine.shadows if one["set"] == self.loaded["set"]]
            found = [one for one in found if one["attributes"] & vss_machine.TRANSPORTABLE]
            if not found:
                raise Failure(self.text("not transportable"))
            for one in found:
                one["attributes"] |= vss_machine.IMPORTED
        self.say("querying set", id=self.loaded["set"])
        vss_lists.shadows(self, machine, found)

    def do_simulate_restore(self):
        raise Failure(self.text("not modelled", what="SIMULATE RESTORE"))

    def do_revert(self, *words):
        """Overwrites the volume, as it is told."""
        with self.store.locked() as state:
            machine = Machine(state)
            shadow = self.shadow(machine, words[0] if words else "")
            path = state["volumes"][shadow["volume"]]["path"]
            vss_machine.take([{"primary": shadow["file"], "copy": path}], lambda: None)
