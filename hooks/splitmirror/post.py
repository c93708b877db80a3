"""`splitmirror-post`: the post-backup command. Withdraw, reattach, record; see ``story.finish``."""

from __future__ import annotations

import sys

from splitmirror import streams

TYPE_CHECKING = False  # checkers know the name; typing and collections.abc would take longer than all the rest
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the hook; the exit code is what the backup product's contract demands."""
    streams.ensure()
    arguments = list(sys.argv if argv is None else argv)
    if arguments[1:] == ["--version"]:
        from splitmirror import __version__

        sys.stdout.write(f"splitmirror-post {__version__}\n")
        return 0
    from splitmirror import hook

    return hook.run_post(arguments)


if __name__ == "__main__":
    sys.exit(main())
