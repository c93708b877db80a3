"""A driver of host-based mirrors alone, over SSH, on a real kernel: split, read elsewhere, write on, come back, compare.

What the whole story makes of it, with a database, is in test_uml_lvm.py and test_uml_md.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from tests.contracts.array import until_done
from tests.lab.uml import Disk, Hosts

from splitmirror_drivers import catalogue
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Array, Exposed, Mode, PairState, Progress, Receipt
from splitmirror_drivers.hosts.ssh import SshHost
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse
from splitmirror_drivers.kit.secret import Secret
from splitmirror_drivers.kit.units import decode_hook

DATA, BACK = "data", "back"
MIB = 2**20
MIRROR_MIB, CHANGED_MIB = 32, 2
GROUP = "erp"
VALUE_BYTES = 16


@dataclass
class Lab:
    """Two hosts of which `back` sees a leg of the mirror of `data`."""

    hosts: Hosts
    boot: str
    """What `data` does when it starts, so that the mirror is there."""
    logins: dict[str, SshHost] = field(default_factory=dict)

    def login(self, name: str) -> SshHost:
        """One login a host, as in a hook; a new one when the host has been started again."""
        if name not in self.logins:
            self.logins[name] = self.hosts.host(name)
            self.logins[name].connect(soon())
        return self.logins[name]

    def array(self, name: str, **table: object) -> Array:
        driver = catalogue.ARRAYS[name]()
        options = msgspec.convert(table, driver.options, dec_hook=decode_hook)
        context = Context(secret=lambda reference: Secret(""), state_folder="/", host=self.login)
        return driver.make(name, options, self.login(DATA), context)

    def crash(self) -> None:
        """Power failure; afterwards the mirror is there again, as after every start."""
        self.logins.pop(DATA).disconnect()
        self.hosts.crash(DATA)
        self.hosts.up(DATA)
        self.hosts.ssh(DATA, self.boot)


@dataclass
class Mirror:
    """One group of one mirror, whose data are on `device`."""

    lab: Lab
    device: str
    leg: Disk
    make: Callable[[], Array]
    compare: str
    """Compares the legs, and prints how many sectors differ."""

    def ssh(self, host: str, script: str) -> str:
        return self.lab.hosts.ssh(host, script)

    def state(self) -> PairState:
        (pair,) = self.make().query(GROUP, soon())
        return pair.state

    def write(self, value: str) -> None:
        """A value at the beginning, and new data behind it."""
        change = f"dd if=/dev/urandom of={self.device} bs=1M seek=4 count={CHANGED_MIB} conv=fsync,notrunc status=none"
        padded = value.ljust(VALUE_BYTES)
        self.ssh(DATA, f"printf '{padded}' | dd of={self.device} conv=fsync,notrunc status=none; {change}")

    def read(self, exposed: Exposed) -> str:
        (path,) = exposed.paths
        return self.ssh(BACK, f"dd if={path} bs={VALUE_BYTES} count=1 status=none").strip()

    def split(self, value: str) -> Exposed:
        """Write, split, write on, expose; what is exposed is of the moment of the split."""
        self.write(value)
        array = self.make()
        (receipt,) = array.split((GROUP,), f"copy-{value}", soon())
        self.write("later")
        until_done(lambda: array.settle(receipt, soon()), "settle")
        exposed = array.expose(receipt, soon())
        assert exposed.host == BACK
        assert self.read(exposed) == value
        return exposed

    def unexpose(self, value: str) -> None:
        """As another process would that has nothing but the journal."""
        array = self.make()
        array.unexpose(Receipt(array.name, GROUP, f"copy-{value}"), soon())

    def come_back(self) -> None:
        """Establish, and wait until the driver says that it is in sync. Raises CommandFailed."""
        array = self.make()
        array.establish(GROUP, Mode.INCREMENTAL, soon())
        until_done(lambda: progress_of(array), "establish")

    def mismatches(self) -> int:
        return int(self.ssh(DATA, self.compare))

    def times_compared(self) -> int:
        return int(self.ssh(DATA, "dmesg | grep -c 'md: data-check of RAID array' || true"))


def progress_of(array: Array) -> Progress:
    return array.progress(GROUP, soon())


def soon() -> Deadline:
    return Deadline.after(120)


def a_round(mirror: Mirror) -> None:
    """Coming back costs what changed, and the legs are equal."""
    (path,) = mirror.split("first").paths
    nobody_writes(mirror, path)
    its_reader_keeps_it(mirror, path)
    mirror.unexpose("first")
    before = mirror.lab.hosts.written(DATA, mirror.leg)
    mirror.come_back()
    copied = mirror.lab.hosts.written(DATA, mirror.leg) - before
    assert CHANGED_MIB * MIB <= copied <= MIRROR_MIB * MIB / 2
    assert mirror.mismatches() == 0


def nobody_writes(mirror: Mirror, path: str) -> None:
    done = mirror.lab.hosts.try_ssh(BACK, f"dd if=/dev/zero of={path} bs=4096 count=1 conv=notrunc")
    assert done.exit_code != 0 and "Operation not permitted" in done.output


def its_reader_keeps_it(mirror: Mirror, path: str) -> None:
    mirror.ssh(BACK, f"(exec 5<{path}; echo $BASHPID >/run/reader; exec sleep 600) >/dev/null 2>&1 & sleep 0.5")
    with pytest.raises(InUse, match="in use"):
        mirror.come_back()
    assert mirror.state() is PairState.SPLIT
    mirror.ssh(BACK, "kill $(cat /run/reader); while kill -0 $(cat /run/reader) 2>/dev/null; do sleep 0.1; done")


def a_round_with_a_power_failure(mirror: Mirror) -> None:
    """What is called in sync afterwards was compared, since the kernel may have lost what it knew of the changes.

    It says "in sync" all the same: seen with LVM's raid1.
    """
    mirror.split("second")
    mirror.write("just before")
    mirror.lab.crash()
    mirror.unexpose("second")
    try:
        mirror.come_back()
    except CommandFailed as fault:
        assert "differ" in str(fault) + fault.detail
        assert mirror.state() is PairState.BROKEN
        assert mirror.mismatches() > 0
    else:
        assert mirror.times_compared() == 1
        assert mirror.mismatches() == 0
