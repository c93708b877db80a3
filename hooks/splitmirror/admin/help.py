"""`splitmirror help`: short pages that are there when no manual is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from splitmirror.admin import frame
from splitmirror_drivers.kit.errors import UsageFault

SUMMARY = "exit codes and other pages"

WORDS = """\
primary        the production volumes
mirror, copy   what is split off
group          the array's unit that is established and split as one
establish      attach the mirror and copy what changed
split          break the mirror off: from here on it is a copy
reattach       establish again, incrementally
quiesce        bring an application to a state that a split is good for; resume is the way back
hold           one such state being held; a blocking hold is one during which writes wait
freeze window  from the first blocking hold to the end of the last one
outage         from the stop of a service to its return
lease          how long a hold may last before the data server itself ends it
present        make the copy readable on a host; withdraw is the reverse
run            one passage from pre to post
stream         one of several jobs of the backup product that share a run
claim          who may touch a mirror or an application
pin            keep a copy: nobody may establish over it
journal        the durable record of runs
verdict        what was proven of a copy: application, crash, or unproven
"""

NIGHT = """\
somebody says that a database hangs     splitmirror status            (it asks every data server)
status says STILL HELD by a run         splitmirror recover RUN
status says CANNOT BE ASKED             look at that server; its guard lets go by itself: blocking holds within
                                        seconds of a lost link, every hold at its lease
status says STUCK                       splitmirror show RUN, mend what it names, splitmirror recover RUN
status says DIED                        splitmirror recover RUN       (the next run would do the same)
the copy is still presented,            when that backup has really ended:
and no post has come                    splitmirror recover RUN --close
a mirror is QUARANTINED                 look at it with the array's own tools; no command is sent to it meanwhile
the backup failed, status says FAILED   nothing has to be done before the next run; splitmirror show RUN says why
a copy is needed for a restore          splitmirror pin RUN --reason TEXT, then read its card: splitmirror show RUN
"""

FILES = """\
policy file    --config, else $SPLITMIRROR_CONFIG, else /etc/splitmirror/splitmirror.toml
state folder   [settings] state; as root /var/lib/splitmirror
  journal      runs, claims, pins; back it up with the server, never copy it to another one
  locks/       which run and which mirror is being worked on
  cards/RUN/   the recovery card of each copy: RECOVERY.md, card.json, files for each application
  log/         one log a run; [settings] log puts them elsewhere
data server    /var/lib/splitmirror (or ~/.splitmirror): the guard program and its record of what was held
"""


def exit_codes() -> str:
    """The table of exit codes, as the hooks and every subcommand use it."""
    from splitmirror import exits

    return str(exits.table()).rstrip("\n") + "\n"


TOPICS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "exit-codes": ("what the commands tell by their exit code", exit_codes),
    "night": ("from symptom to command", lambda: NIGHT),
    "words": ("the words of this field, as they are used here", lambda: WORDS),
    "files": ("what lies where", lambda: FILES),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("topic", nargs="?", default="", metavar="TOPIC", help=", ".join(TOPICS))


def run(arguments: argparse.Namespace) -> int:
    """0 when there is such a page; the name of a command shows that command's own help."""
    from splitmirror import admin

    topic = arguments.topic
    if not topic:
        sys.stdout.write(topics())
    elif topic in TOPICS:
        sys.stdout.write(TOPICS[topic][1]())
    elif topic in admin.COMMANDS:
        sys.stdout.write(frame.parser(topic).format_help())
    else:
        raise UsageFault(f"there is no page {topic!r}", hint=f"the pages are: {', '.join(TOPICS)}; or name a command")
    return 0


def topics() -> str:
    """What there is to read."""
    width = max(len(name) for name in TOPICS)
    return "".join(f"{name:<{width}}  {summary}\n" for name, (summary, _) in TOPICS.items())
