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
    """One line a run to syslog."""
    server: str = ""
    """This backup server's name in claims and records; empty: its host name."""


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Groups of one array that take turns (rotation): the oldest that is free and not pinned is used."""

    array: str
    groups: tuple[str, ...]
    """The array's names of them."""


class Present(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Where and how the copy becomes readable; exactly one of mount, directory, raw, drive."""

    mount: str = ""
    """Mount point. It exists only while the copy is presented, and so does the folder ``….card`` beside it."""
    directory: str = ""
    """For arrays whose copy is a directory already: the path at which it is shown."""
    raw: str = ""
    """The copy's devices, without mounting anything."""
    drive: str = ""
    """A Windows host's drive letter (``P:``) or folder."""
    host: str = "local"
    """The machine on which the copy appears."""
    mirror: str = ""
    """Which mirror, as ``array`` or ``array/group``, when a policy has several."""
    options: tuple[str, ...] = ()
    """Mount options beside read-only."""
    filesystem: str = ""
    """What must be on the device; empty: any that is known."""
    fsck: bool = False
    """Check the copy's filesystem before it is mounted."""
    device: str = ""
    """Which of the copy's devices is mounted, by its path or the last part of it, when there are several."""
    volume_group: str = ""
    """The LVM volume group on the copy's devices."""
    disk_group: str = ""
    """The VxVM disk group on the copy's devices."""
    pool: str = ""
    """The ZFS pool on the copy's devices."""
    volume: str = ""
    """Which volume (dataset) of that group or pool is mounted, when it has several."""
    rescan: tuple[str, ...] = ()
    """A command for its host, as a list of words, that makes it look for new devices."""

    @property
    def path(self) -> str:
        """Where the copy appears."""
        return self.mount or self.directory or self.raw or self.drive

    @property
    def driver(self) -> str:
        """Which presentation it is, by its name in the catalogue."""
        if self.mount:
            managers = {"lvm": self.volume_group, "vxvm": self.disk_group, "zfs": self.pool}
            return next((name for name, group in managers.items() if group), "mount")
        return "directory" if self.directory else "raw" if self.raw else "windows"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What belongs together in one run."""

    applications: tuple[str, ...] = ()
    """What is quiesced together; none: the copy can be crash-consistent at best."""
    mirrors: tuple[Mirror, ...]
    """What is split; several entries are split together."""
    log_mirrors: tuple[Mirror, ...] = ()
    """The same, split after the applications have been resumed: for logs that recovery needs."""
    present: tuple[Present, ...] = ()
    """Where the copy becomes readable."""
    freeze_filesystems: Literal["auto", "none"] | tuple[str, ...] = "auto"
    """``auto``: every mounted filesystem on the mirrored volumes; ``none``; or a list of mount points."""
    max_freeze: Duration = Duration(30)
    """How long writes may wait."""
    max_outage: Duration = Duration(1800)
    """How long services may be down, for applications that are stopped."""
    product_limit: Duration = Duration(0)
    """How long the backup product waits for pre; 0: the product's own default."""
    max_establish: Duration = Duration(6 * 3600)
    """How long pre waits for the mirror to be in sync."""
    longest_backup: Duration = Duration(24 * 3600)
    """After this long ``status`` asks whether the backup has ended."""
    wait_for_claim: Duration = Duration(0)
    """How long a run waits for a mirror or application that another run has."""
    max_archive_wait: Duration = Duration(60)
    """How long the capture waits for logs to be archived."""
    reattach: Literal["after-backup", "before-next", "manual"] = "before-next"
    """When the mirror is attached again."""
    on_backup_failure: Literal["keep", "reattach"] = "keep"
    """What becomes of the copy when the product called the backup failed."""
    on_quiesce_failure: Literal["fail", "crash-consistent"] = "fail"
    """``crash-consistent``: go on without the hold where one atomic split carries everything."""
    full_copy: Literal["never", "first", "always"] = "first"
    """When ``establish --full`` may copy everything; ``first``: a pair that has never been in sync."""
    retries: int = 0
    """How often pre tries again after a failure that may pass and left nothing behind."""
    streams: int = 1
    """How many jobs of the product share one run, where the product does not say."""
    keep: int = 1
    """Copies kept of a group whose array keeps several."""
    devices_below: dict[str, tuple[str, ...]] = {}
    """What a device or disk group stands on, where its host cannot say: ``"+DATA" = ["/dev/mapper/asm1"]``.

    A name that several data servers have is written ``HOST:NAME``.
    """

    def said_below(self, host: str) -> dict[str, tuple[str, ...]]:
        """``devices-below`` as it counts for one host."""
        found = {}
        for name, devices in self.devices_below.items():
            of, colon, its_name = name.partition(":")
            if name.startswith(("/", "+")) or not colon:
                found[name] = devices
            elif of == host:
                found[its_name] = devices
        return found


Options = dict[str, Any]
"""A driver's own table, decoded by the driver's Options type in ``wiring``."""


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A whole policy file. Driver tables stay mappings here; ``policy.load`` has checked them against their driver."""

    settings: Settings = Settings()
    hosts: dict[str, Options] = {}
    arrays: dict[str, Options] = {}
    applications: dict[str, Options] = {}
    policies: dict[str, Policy] = {}
