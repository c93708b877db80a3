"""What the tools say when a move is under way and done."""

import sys


def tell(call, operation, end="executed"):
    """Progress, on standard error as the tools have it."""
    print(
        f"\n'{operation}' operation execution is in progress for\n{call.target}. Please wait...\n\n"
        f"'{operation}' operation successfully {end} for {call.target}.\n",
        file=sys.stderr,
    )
