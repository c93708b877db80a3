"""Command lines of lvm2: options, prompts, and how a command ends."""

import os
import sys

COMMON = {
    "-y": 0, "--yes": 0, "-q": 0, "--quiet": 0, "-v": 0, "--verbose": 0, "-d": 0, "--debug": 0, "-A": 1, "--autobackup": 1,
    "--config": 1, "--devices": 1, "--devicesfile": 1, "--nohints": 0, "--nolocking": 0, "--lockopt": 1, "--profile": 1,
    "--commandprofile": 1, "--journal": 1, "--driverloaded": 1, "--noudevsync": 0, "--ignoremonitoring": 0, "-f": 0,
    "--force": 0, "-t": 0, "--test": 0, "--ignorelockingfailure": 0, "--readonly": 0, "-P": 0, "--partial": 0, "--monitor": 1, "--poll": 1,
}  # fmt: skip
SAME = {"--yes": "-y", "--name": "-n", "--size": "-L", "--extents": "-l", "--snapshot": "-s", "--activate": "-a", "--permission": "-p",
        "--mirrors": "-m", "--all": "-a!", "--options": "-o", "--select": "-S", "--ignoreactivationskip": "-K",
        "--setactivationskip": "-k", "--sort": "-O", "--basevgname": "-n", "--import": "-i", "--mergemirrors": "--merge",
        "--thin": "-T", "--force": "-f", "--quiet": "-q", "--test": "-t"}  # fmt: skip


class Stop(Exception):
    """A command ends here: lines for standard error, exit code."""

    def __init__(self, code, *lines):
        super().__init__(code)
        self.code, self.lines = code, lines


class Hang(Exception):
    """A command gives no answer."""


def not_modelled(what):
    return Stop(99, f"EMULATOR: {what} is not modelled")


def parse(tool, argv, known):
    """Options by their short name (those that may be repeated: a list), and the other words."""
    known = {**COMMON, **known}
    found, words, rest = {}, list(argv), []
    while words:
        word = words.pop(0)
        if word == "--":
            return found, rest + words
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        for name, value in _split(tool, word, words, known):
            name = SAME.get(name, name)
            found.setdefault(name, [])
            if value is not None:
                found[name].append(value)
    if "-t" in found:
        raise not_modelled("--test")
    return found, rest


def _split(tool, word, words, known):
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name not in known:
            raise Stop(3, f"{tool}: unrecognized option '{word}'", "  Error during parsing of command line.")
        if not known[name]:
            return [(name, None)]
        if not equals and not words:
            raise Stop(3, f"{tool}: option '{name}' requires an argument", "  Error during parsing of command line.")
        return [(name, value if equals else words.pop(0))]
    found, letters = [], word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        if name not in known:
            raise Stop(3, f"{tool}: invalid option -- '{name[1]}'", "  Error during parsing of command line.")
        if not known[name]:
            found.append((name, None))
            continue
        if not letters and not words:
            raise Stop(
                3, f"{tool}: option requires an argument -- '{name[1]}'", "  Error during parsing of command line."
            )
        found.append((name, letters or words.pop(0)))
        letters = ""
    return found


def one(options, name, default=None):
    """The last value of an option."""
    return options[name][-1] if options.get(name) else default


def no_syntax(tool):
    return Stop(3, f"  No command with matching syntax recognised.  Run '{tool} --help' for more information.")


def agreed(options, question):
    """What is answered to a question: yes with -y, else what standard input says; its end is no."""
    if "-y" in options:
        return True
    print(f"{question} [y/n]: ", end="", file=sys.stderr, flush=True)
    while True:
        answer = _line()
        if answer is None:
            print("[n]", file=sys.stderr)
            return False
        if answer.strip().lower() in ("y", "yes"):
            return True
        if answer.strip().lower() in ("n", "no"):
            return False
        print(f"  WARNING: Invalid input '{answer.strip()}'.\n{question} [y/n]: ", end="", file=sys.stderr, flush=True)


def _line():
    """A line of standard input, read a byte at a time so that nothing else is eaten."""
    line = b""
    while True:
        byte = os.read(0, 1)
        if not byte:
            return line.decode() or None
        if byte == b"\n":
            return line.decode()
        line += byte


def size(text):
    """Bytes of ``8M``, ``1.5g``, ``2048b``, ``4`` (MiB)."""
    units = {"b": 1, "s": 512, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    number, unit = (text[:-1], text[-1].lower()) if text[-1].isalpha() else (text, "m")
    try:
        return int(float(number) * units[unit])
    except (KeyError, ValueError):
        raise Stop(3, f"  Invalid argument for --size: {text}", "  Error during parsing of command line.") from None
