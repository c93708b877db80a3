"""One invocation of a tool: written down, parsed, made to go wrong as the faults say, carried out."""

import os
import sys
import time

import parts
import sym_base
import sym_clone
import sym_groups
import sym_mirror
import sym_snapvx
from sym_base import Array, Stop
from sym_words import Call

MOVES = {
    ("symmir", "establish"), ("symmir", "split"), ("symmir", "cancel"), ("symmir", "restore"), ("symbcv", "establish"),
    ("symbcv", "split"), ("symclone", "create"), ("symclone", "activate"), ("symclone", "recreate"), ("symclone", "establish"),
    ("symclone", "restore"), ("symclone", "terminate"), ("symsnapvx", "establish"), ("symsnapvx", "link"),
    ("symsnapvx", "relink"), ("symsnapvx", "unlink"), ("symsnapvx", "terminate"), ("symsnapvx", "restore"),
}  # fmt: skip
"""What asks first."""
OLD_MOVES = ("establish", "verify", "split", "query")
LOOK_AGAIN_SECONDS = 0.05


def main(tool):
    array = Array(os.path.abspath(os.environ["SYMCLI_EMULATOR_STATE"]))
    array.store.note([tool, *sys.argv[1:]])
    try:
        code = invoke(array, tool, sys.argv[1:])
    except Stop as stop:
        print(f"\n{stop}\n", file=sys.stderr)
        code = stop.code
    sys.stdout.flush()
    return code


def invoke(array, tool, argv):
    settings = array.store.read().get("settings", sym_base.DEFAULTS)
    if tool == "symmir" and settings["historic"]:
        raise Stop(sym_base.NO_PROGRAM, "symmir: command not found")
    call = Call(tool, argv, settings["historic"])
    if tool == "symbcv" and (call.action in OLD_MOVES) != settings["historic"] and call.action in OLD_MOVES:
        raise Stop(sym_base.FAILED, f"Unknown action: {call.action}")
    require_array(call, settings)
    if (tool, call.action) in MOVES and not call.is_silent and not is_confirmed(call):
        return sym_base.OK
    wrong = array.faults.before(call.action)
    if wrong == "lie":
        return sym_base.OK
    if wrong == "busy":
        raise Stop(sym_base.LOCKED, "The configuration database file is locked")
    if wrong == "fail":
        raise Stop(sym_base.FAILED, "The operation failed")
    if (code := array.faults.take(call.action, "code"))[0]:
        raise Stop(int(code[1]), "The operation failed")
    wait_for_lock(array)
    result = carry_out(array, call)
    array.faults.after(call.action)
    return result


def carry_out(array, call):
    if call.tool == "symclone":
        return sym_clone.run(array, call)
    if call.tool == "symsnapvx":
        return sym_snapvx.run(array, call)
    if call.tool == "symmir" or (call.tool == "symbcv" and call.action in OLD_MOVES):
        return sym_mirror.run(array, call)
    return sym_groups.run(array, call)


def require_array(call, settings):
    sid = call.values.get("-sid") or os.environ.get("SYMCLI_SID", "")
    if sid and not settings["sid"].endswith(sid):
        raise Stop(sym_base.FAILED, f"The Symmetrix ID {sid} is not known to this host")


def is_confirmed(call):
    full = "Full " if "-full" in call.flags else ""
    sys.stdout.write(f"\nExecute '{full}{call.action.capitalize()}' operation for {call.target} (y/[n]) ? ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def wait_for_lock(array):
    """Another host's lock: an error at once, or waited for."""
    while (state := array.store.read()).get("lock", 0.0) > parts.now(state):
        if os.environ.get("SYMCLI_WAIT_ON_DB") != "1":
            raise Stop(sym_base.LOCKED, "The configuration database file is locked by another host")
        time.sleep(LOOK_AGAIN_SECONDS)
