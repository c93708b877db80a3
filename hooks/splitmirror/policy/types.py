"""A policy file as typed values. Keys are written with dashes in the file (``max-freeze``); see docs/policy.md."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from splitmirror_drivers.kit.units import Duration


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where this installation keeps its state and speaks."""

    state: str = ""
    """Folder of journal, locks, cards and logs; empty: /var/lib/splitmirror as root, else the user's state folder."""
    log: str = ""
    """Log folder; empty: ``log`` in the state folder."""
    syslog: bool = True
    server: str = ""
    """This backup server's name in claims and records; empty: its host name."""


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups of one array that take turns (rotation): the oldest that is free and not pinned is used."""

    array: str
    groups: tuple[str, ...]


class Present(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where and how the copy becomes readable; exactly one of mount, directory, raw."""

    mount: str = ""
    directory: str = ""
    raw: str = ""
    host: str = "local"
    mirror: str = ""
    """Which mirror, as ``array`` or ``array/group``, when a policy has several."""
    options: tuple[str, ...] = ()
    filesystem: str = ""
    fsck: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What belongs together in one run."""

    applications: tuple[str, ...] = ()
    mirrors: tuple[Mirror, ...]
    log_mirrors: tuple[Mirror, ...] = ()
    present: tuple[Present, ...] = ()
    freeze_filesystems: Literal["auto", "none"] | tuple[str, ...] = "auto"
    max_freeze: Duration = Duration(30)
    max_outage: Duration = Duration(1800)
    product_limit: Duration = Duration(0)
    """0: the product's own default."""
    max_establish: Duration = Duration(6 * 3600)
    longest_backup: Duration = Duration(24 * 3600)
    wait_for_claim: Duration = Duration(0)
    max_archive_wait: Duration = Duration(60)
    reattach: Literal["after-backup", "before-next", "manual"] = "before-next"
    on_backup_failure: Literal["keep", "reattach"] = "keep"
    on_quiesce_failure: Literal["fail", "crash-consistent"] = "fail"
    full_copy: Literal["never", "first", "always"] = "first"
    retries: int = 0
    streams: int = 1
    keep: int = 1
    """Copies kept of a group whose array keeps several."""


Options = dict[str, Any]
"""A driver's own table, decoded by the driver's Options type in ``wiring``."""


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A whole policy file. Driver tables stay mappings here; ``policy.load`` has checked them against their driver."""

    settings: Settings = Settings()
    hosts: dict[str, Options] = {}
    arrays: dict[str, Options] = {}
    applications: dict[str, Options] = {}
    policies: dict[str, Policy] = {}
