"""A client that speaks as the sqlite3 shell does with ``-batch -bail``: a statement a line in, rows out, the first error ends it.

It waits for a lock better than the shell: SQLite's own waiting looks again after up to 100 ms, and never gets in where
writers leave less between two transactions; this looks every half millisecond. Its text is sent to the data server as it
stands, for any Python 3, so it imports nothing of ours.
"""

import sqlite3
import sys
import time

POLL_SECONDS = 0.0005
BUSY_TIMEOUT = "pragma busy_timeout = "


def main(arguments):  # type: ignore[no-untyped-def]
    """Speak for the database whose URI is the last argument, until the end of input. 1 after an error."""
    patience = 0.0
    try:
        connection = sqlite3.connect(arguments[-1], timeout=0, isolation_level=None, uri=True)
        for line in iter(sys.stdin.readline, ""):
            if line.startswith(BUSY_TIMEOUT):
                patience = int(line[len(BUSY_TIMEOUT) :].strip().rstrip(";")) / 1000.0
                rows = [(round(patience * 1000),)]
            else:
                rows = patiently(connection, line, patience)  # type: ignore[no-untyped-call]
            for row in rows:
                sys.stdout.write("|".join("" if value is None else str(value) for value in row) + "\n")
            sys.stdout.flush()
    except sqlite3.Error as exc:
        sys.stderr.write("Error: %s\n" % exc)  # noqa: UP031
        return 1
    return 0


def patiently(connection, statement, patience):  # type: ignore[no-untyped-def]
    """The rows of one statement; one that finds the database locked is tried again for `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > until:
                raise
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv))  # type: ignore[no-untyped-call]
