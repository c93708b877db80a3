"""horcmN.conf: written by control, read when an instance starts. Codes and texts that all tools share."""

import os

CODES = {
    "EX_ENOCTG": (217, "Not enough CT groups in the RAID"),
    "EX_INVMUN": (220, "Invalid mirror unit number"),
    "EX_CMDRJE": (221, "An order to the control/command device was rejected"),
    "EX_INVVOL": (222, "Invalid volume status"),
    "EX_EWSTOT": (233, "Timeout waited for specified status"),
    "EX_EWSUSE": (234, "Pair suspended at WAIT state"),
    "EX_ENQVOL": (236, "Unmatched volume status within the group"),
    "EX_ENQSIZ": (212, "Unmatched volume size for pairing"),
    "EX_CMDIOE": (237, "Control command I/O error"),
    "EX_ENOGRP": (239, "No such group"),
    "EX_ENORMT": (242, "No remote host alive for remote commands or Remote Raid Manager might be blocked"),
    "EX_ERANGE": (244, "Result too large"),
    "EX_ENODEV": (246, "No such device"),
    "EX_ATTHOR": (251, "Can't be attached to HORC manager"),
    "EX_UNWOPT": (252, "Unknown option"),
    "EX_INVARG": (253, "Invalid argument"),
    "EX_REQARG": (254, "Required argument list"),
}
NAMES = {code: name for name, (code, _) in CODES.items()}


class Stop(Exception):
    """A tool ends with an error."""

    def __init__(self, name, more=""):
        super().__init__(name)
        self.code, self.text = CODES[name]
        self.name, self.more = name, more


def folder(store):
    return os.environ.get("RAIDMANAGER_EMULATOR_CONF") or store.path + ".etc"


def path_of(store, number):
    return os.path.join(folder(store), f"horcm{number}.conf")


def service_of(number):
    return str(31200 + int(number))


def write(store, number, lines, remotes, serial):
    """`lines`: (group, device, serial, ldev, mu); `remotes`: group → number of the partner instance."""
    os.makedirs(folder(store), exist_ok=True)
    text = ["HORCM_MON", "#ip_address service poll(10ms) timeout(10ms)", f"127.0.0.1 {service_of(number)} 1000 3000"]
    text += ["", "HORCM_CMD", f"\\\\.\\CMD-{serial}:/dev/sd", "", "HORCM_LDEV"]
    text += ["#dev_group dev_name Serial# CU:LDEV(LDEV#) MU#"]
    text += [
        f"{group} {name} {serial} {ldev >> 8:02x}:{ldev & 255:02x} {mu}" for group, name, serial, ldev, mu in lines
    ]
    text += ["", "HORCM_INST", "#dev_group ip_address service"]
    text += [f"{group} 127.0.0.1 {service_of(remote)}" for group, remote in remotes.items()]
    with open(path_of(store, number), "w") as file:
        file.write("\n".join(text) + "\n")


def read(store, number):
    """What an instance knows: its service, its devices by group, its partners. None: there is no such file."""
    try:
        with open(path_of(store, number)) as file:
            lines = [line.split("#", 1)[0].split() for line in file]
    except FileNotFoundError:
        return None
    section, found = "", {"service": "", "groups": {}, "remotes": {}}
    for words in filter(None, lines):
        if words[0].startswith("HORCM_"):
            section = words[0]
        elif section == "HORCM_MON":
            found["service"] = words[1]
        elif section == "HORCM_LDEV":
            group, name, serial, ldev, *mu = words
            device = {"name": name, "serial": serial, "ldev": ldev_number(ldev), "mu": int(mu[0]) if mu else 0}
            found["groups"].setdefault(group, []).append(device)
        elif section == "HORCM_INST":
            found["remotes"][words[0]] = words[2]
    return found


def ldev_number(text):
    """LDEV number of CU:LDEV (hexadecimal) or a plain decimal one."""
    if ":" in text:
        high, low = text.split(":")[-2:]
        return int(high, 16) * 256 + int(low, 16)
    return int(text)
