"""The Windows machine: volumes, drives, writers and shadow copies, in the state file."""

import contextlib
import os
import re
import shutil
import uuid

import parts

PROVIDER = "{b5946137-7b9f-4925-af80-51abd60b20d5}"
HARDWARE_PROVIDER = "{77c4ed5b-9f1e-4b3a-8d3a-2a4d7c1b9e10}"
DEVICE = "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy"
STABLE, WAITING, FAILED_AT_FREEZE, FAILED_AT_POST = 1, 5, 9, 11
STATUS = {
    STABLE: "VSS_WS_STABLE",
    WAITING: "VSS_WS_WAITING_FOR_BACKUP_COMPLETE",
    FAILED_AT_FREEZE: "VSS_WS_FAILED_AT_FREEZE",
    FAILED_AT_POST: "VSS_WS_FAILED_AT_POST_SNAPSHOT",
}
OK, TIMEOUT, NONRETRYABLE = (
    "0x00000000 (S_OK)",
    "0x800423f2 (VSS_E_WRITERERROR_TIMEOUT)",
    "0x800423f4 (VSS_E_WRITERERROR_NONRETRYABLE)",
)

# attributes of a shadow copy and the words that stand for them, in the order in which they are printed
TRANSPORTABLE, NO_AUTO_RELEASE, PERSISTENT, CLIENT = 0x20, 0x08, 0x01, 0x04
HARDWARE, NO_AUTO_RECOVERY, NO_WRITERS, IMPORTED, PLEX, DIFFERENTIAL = 0x10000, 0x02, 0x10, 0x80000, 0x40000, 0x20000
EXPOSED = 0x100000
NAMES = (
    (TRANSPORTABLE, "Transportable"),
    (NO_AUTO_RELEASE, "No_Auto_Release"),
    (PERSISTENT, "Persistent"),
    (CLIENT, "Client_accessible"),
    (HARDWARE, "Hardware_assisted"),
    (NO_AUTO_RECOVERY, "No_Auto_Recovery"),
    (NO_WRITERS, "No_Writers"),
    (IMPORTED, "Imported"),
    (PLEX, "Plex"),
    (DIFFERENTIAL, "Differential"),
)
CONTEXTS = {
    ("volatile",): 0,
    ("volatile", "nowriters"): NO_WRITERS,
    ("persistent",): PERSISTENT | NO_AUTO_RELEASE,
    ("persistent", "nowriters"): PERSISTENT | NO_AUTO_RELEASE | NO_WRITERS,
    ("clientaccessible",): PERSISTENT | NO_AUTO_RELEASE | CLIENT | NO_WRITERS,
}
KNOWN_WRITERS = {
    "SqlServerWriter": "{a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}",
    "Microsoft Exchange Writer": "{76fe1ac4-15f7-4bcd-987e-8e1acb462fb7}",
    "System Writer": "{e8132975-6f93-4464-a53e-1050253ae220}",
    "Registry Writer": "{afbab4a2-367d-4d15-a586-71dbb18f8485}",
    "Shadow Copy Optimization Writer": "{4dc3bdd4-ab48-4d07-adb0-3bee2926fd7f}",
}


def guid():
    return "{" + str(uuid.uuid4()) + "}"


class Machine:
    """One view of the state; what changes it is between ``with store.locked()``."""

    def __init__(self, state):
        self.state = state

    @property
    def settings(self):
        return self.state["settings"]

    # -- paths --

    def local(self, path):
        """Where a Windows path lies here. A path of this machine is taken as it is."""
        path = path.strip('"')
        if path.startswith(DEVICE):
            found = self.shadow_where("device", path.rstrip("\\"))
            return found["file"] if found else ""
        drive = re.match(r"([A-Za-z]):", path)
        if not drive:
            return path.replace("\\", "/")
        rest = path[2:].replace("\\", "/").strip("/")
        return os.path.join(self.state["drives"], drive[1].upper(), rest).rstrip("/")

    def volume(self, name):
        """The volume of that name (``D:``, ``D:\\``, its GUID path, any path on it); None when there is none."""
        for letter, volume in self.state["volumes"].items():
            if name.rstrip("\\").lower() == volume["guid"].rstrip("\\").lower() or name[:2].upper() == letter:
                return letter
        return None

    # -- shadow copies --

    @property
    def shadows(self):
        return self.state["shadows"]

    def shadow_where(self, key, value):
        return next((one for one in self.shadows if str(one[key]).lower() == value.lower()), None)

    def visible(self):
        """A transportable one that was not imported is only in its .cab file."""
        return [one for one in self.shadows if not one["attributes"] & TRANSPORTABLE or one["attributes"] & IMPORTED]

    def release_volatile(self, own=0):
        """Those of processes that are gone, and of this one when it says so."""
        for one in [*self.shadows]:
            pid = one["pid"]
            if pid and (pid == own or not os.path.exists(f"/proc/{pid}")):
                self.delete(one)

    def delete(self, shadow):
        self.unexpose(shadow)
        self.shadows.remove(shadow)
        shutil.rmtree(shadow["file"], ignore_errors=True)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            os.unlink(shadow["file"])

    def expose(self, shadow, place):
        """Whether the place was free: a drive letter that nobody has, or an empty folder."""
        path = self.local(place)
        if re.fullmatch(r"[A-Za-z]:", place.rstrip("\\")):
            if os.path.lexists(path):
                return False
        elif not os.path.isdir(path) or os.path.islink(path) or os.listdir(path):
            return False
        else:
            os.rmdir(path)
        os.symlink(shadow["file"], path)
        shadow["exposed"] = place.rstrip("\\")
        shadow["attributes"] |= EXPOSED
        return True

    def unexpose(self, shadow):
        if not shadow["exposed"]:
            return
        path = self.local(shadow["exposed"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        if not re.fullmatch(r"[A-Za-z]:", shadow["exposed"]):
            os.mkdir(path)
        shadow["exposed"] = ""
        shadow["attributes"] &= ~EXPOSED

    def make(self, volumes, attributes, provider, pid, half_way):
        """One set over these volumes, all of one moment; its shadows. Whoever asks has the lock."""
        number, set_id, when = self.state["next"], guid(), parts.now(self.state)
        made, pairs = [], []
        for letter in volumes:
            volume = self.state["volumes"][letter]
            file = f"{self.state['folder']}/shadow-{number}"
            shadow = {"id": guid(), "set": set_id, "count": len(volumes), "volume": letter, "guid": volume["guid"]}
            shadow |= {
                "created": when,
                "device": f"{DEVICE}{number}",
                "file": file,
                "exposed": "",
                "provider": provider,
            }
            made.append(shadow | {"attributes": attributes, "pid": pid})
            pairs.append({"primary": volume["path"], "copy": file})
            number += 1
        os.makedirs(self.state["folder"], exist_ok=True)
        take(pairs, half_way)
        self.state["next"] = number
        return made

    def display(self, shadow):
        return " ".join(name for bit, name in NAMES if shadow["attributes"] & bit)

    # -- writers --

    def writer(self, name):
        """By its name or id."""
        found = (w for w in self.state["writers"] if name.lower() in (w["name"].lower(), w["id"].lower()))
        return next(found, None)

    def event(self, *words):
        self.state["events"].append(" ".join(words))


def take(pairs, half_way):
    """Images are taken by parts; a folder is copied as it is."""
    images = [pair for pair in pairs if not os.path.isdir(pair["primary"])]
    if len(images) == len(pairs):
        parts.take(images, half_way)
        return
    for number, pair in enumerate(pairs):
        if os.path.isdir(pair["primary"]):
            shutil.copytree(pair["primary"], pair["copy"], symlinks=True)
        else:
            parts.take([pair])
        if number == 0:
            half_way()
