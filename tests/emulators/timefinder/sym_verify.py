"""``verify``: a condition, asked once or again and again; the answer is the exit code."""

import time

import sym_base
from sym_base import Stop

DEFAULT_INTERVAL = 30.0


def seen(array, members, command="query"):
    """Each member's word as the tools show it: the fault ``query word W`` is the first one's."""
    words = [member.pair["word"] for member in members]
    kind, value = array.faults.take(command, "word")
    if kind and words:
        words[0] = value
    return words


def wait(call, look, name, codes):
    """Ask `look` (a truth for each pair) until all are true, as ``-i`` and ``-c`` say; prints, and gives the exit code."""
    interval = number(call, "-i", DEFAULT_INTERVAL)
    left = number(call, "-c", float("inf") if "-i" in call.values else 1)
    while True:
        truths = look()
        if not truths:
            raise Stop(sym_base.FAILED, f"There are no pairs in {call.target}")
        if all(truths):
            print(f"\nAll devices in {call.target} are in '{name}' state.")
            return sym_base.OK
        left -= 1
        if left <= 0:
            break
        time.sleep(interval)
    if any(truths):
        print(f"\nNot all devices in {call.target} are in '{name}' state.")
        return codes[0]
    print(f"\nNone of the devices in {call.target} are in '{name}' state.")
    return codes[1]


def number(call, option, default):
    text = call.values.get(option)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise Stop(sym_base.FAILED, f"The value of {option} is not a number: {text}") from None
