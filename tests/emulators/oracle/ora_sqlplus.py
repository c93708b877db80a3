"""``sqlplus``: its arguments, its first login."""

import os
import sys

from ora_client import Client
from ora_dialogue import FAILURE, Leave
from ora_login import login
from ora_machine import the_store
from ora_words import VERSIONS, OraError, said

USAGE = "Usage: SQLPLUS [ [<option>] [<logon>] [<start>] ]\n"


def main(argv):
    store = the_store()
    store.note(["sqlplus", *argv])
    if not os.environ.get("ORACLE_HOME"):
        print("Error 6 initializing SQL*Plus\nSP2-0667: Message file sp1<lang>.msb not found", file=sys.stderr)
        print("SP2-0750: You may need to set ORACLE_HOME to your Oracle software directory", file=sys.stderr)
        return FAILURE
    release = VERSIONS[store.read()["version"]]
    words, flags = list(argv), set()
    while words and words[0].startswith("-"):
        flag = words.pop(0).lstrip("-")[:1].upper()
        flags.add(flag)
        if flag not in "SLRMVHCF" or (flag == "L" and release[0] < 9):
            print(USAGE)
            return FAILURE
        if flag in ("R", "M", "C"):
            words = words[1:]
    if flags & {"V", "H"}:
        print(f"\nSQL*Plus: Release {release[1]} - Production\n" if "V" in flags else USAGE)
        return 0
    at = next((number for number, word in enumerate(words) if word.startswith("@")), len(words))
    client = Client(store, sys.stdin, "S" in flags)
    try:
        _begin(client, " ".join(words[:at]), "L" in flags, release[1])
        if words[at:]:
            client.script(words[at][1:])
        client.serve()
    except Leave as leave:
        return leave.args[0]
    return 0


def _begin(client, logon, once, release):
    """The banner and the first login. Without -L a refused one reads names from standard input."""
    if not client.silent:
        client.tell(
            f"\nSQL*Plus: Release {release} - Production\n\nCopyright (c) 1982, 2019, Oracle.  All rights reserved.\n"
        )
    if logon.lower() == "/nolog":
        return
    for attempt in range(3):
        if attempt or not logon:
            sys.stdout.write("Enter user-name: ")
            user = client.next_line() or ""
            sys.stdout.write("Enter password: ")
            logon = f"{user}/{client.next_line() or ''}"
        try:
            client.session, warning = login(client.store, logon)
        except OraError as exc:
            client.tell(f"{said('ERROR:', client.language)}\n{exc.render(client.language)}\n\n")
            if once:
                client.tell("SP2-0751: Unable to connect to Oracle.  Exiting SQL*Plus")
                raise Leave(FAILURE) from exc
            continue
        if warning:
            client.tell(f"{said('ERROR:', client.language)}\n{warning}\n\n")
        if not client.silent:
            idle = client.session.instance(client.store.read())["state"] == "down"
            client.tell(
                "Connected to an idle instance."
                if idle
                else f"\nConnected to:\nOracle Database Enterprise Edition Release {release}\n"
            )
        return
    client.tell("SP2-0157: unable to CONNECT to ORACLE after 3 attempts, exiting SQL*Plus")
    raise Leave(FAILURE)
