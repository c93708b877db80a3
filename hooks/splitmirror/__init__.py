"""splitmirror: pre- and post-backup commands for split-mirror backups. Importing this costs nothing."""

__version__ = "0.1.0"
