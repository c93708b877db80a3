"""`splitmirror schema`: the JSON Schema of policy files, so that an editor completes keys and underlines mistakes."""

from __future__ import annotations

import argparse
import sys

from splitmirror.admin import frame

SUMMARY = "print the JSON Schema of policy files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Put `#:schema FILE` into the first line of a policy file: editors with TOML support read it there."


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - it has none
    """0; the schema is on standard output."""
    from splitmirror.policy.schema import schema

    frame.write_json(schema())
    sys.stdout.flush()
    return 0
