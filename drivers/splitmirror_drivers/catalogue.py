"""Every driver by name, one function each: imports happen inside, so that nothing unused is loaded.

A driver module has ``Options`` (a msgspec Struct of its policy table, without ``driver``/``transport`` and ``host``)
and a class built from it. Third parties add drivers through the entry-point groups ``splitmirror.arrays``,
``splitmirror.applications``, ``splitmirror.hosts``, ``splitmirror.products``: each entry point is a function like
those below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from splitmirror_drivers.kit.errors import PolicyFault

if TYPE_CHECKING:
    from splitmirror_drivers.contracts.application import Application
    from splitmirror_drivers.contracts.array import Array
    from splitmirror_drivers.contracts.host import Host
    from splitmirror_drivers.contracts.presentation import Presentation
    from splitmirror_drivers.contracts.product import Product
    from splitmirror_drivers.kit.secret import Secret
    from splitmirror_drivers.kit.units import SecretReference

T = TypeVar("T")
L = TypeVar("L")


def no_host(name: str) -> Host:
    """What a driver gets where no other host can be named. Raises PolicyFault."""
    raise PolicyFault(f"the host {name} cannot be named here")


@dataclass(frozen=True, slots=True)
class Context:
    """What a driver is built with beside its options: how secrets are read, where this installation keeps state.

    `host`: another host of the policy file by its name, for a driver that works on several. Raises PolicyFault.
    """

    secret: Callable[[SecretReference], Secret]
    state_folder: str
    host: Callable[[str], Host] = no_host


@dataclass(frozen=True, slots=True)
class Driver(Generic[T]):
    """A driver's option type and its constructor: ``make(name, options, host, context)``; hosts get None for `host`."""

    options: type[Any]
    make: Callable[[str, Any, Any, Context], T]


Loader = Callable[[], "Driver[T]"]


def _local() -> Driver[Host]:
    from splitmirror_drivers.hosts.local import LocalHost, Options

    return Driver(Options, LocalHost.from_options)


def _ssh() -> Driver[Host]:
    from splitmirror_drivers.hosts.ssh import Options, SshHost

    return Driver(Options, SshHost.from_options)


def _diskshadow() -> Driver[Array]:
    from splitmirror_drivers.arrays.diskshadow import DiskShadow, Options

    return Driver(Options, DiskShadow.from_options)


def _btrfs() -> Driver[Array]:
    from splitmirror_drivers.arrays.btrfs import Btrfs, Options

    return Driver(Options, Btrfs.from_options)


def _directory_array() -> Driver[Array]:
    from splitmirror_drivers.arrays.directory import DirectoryMirror, Options

    return Driver(Options, DirectoryMirror.from_options)


def _command_array() -> Driver[Array]:
    from splitmirror_drivers.arrays.command import CommandArray, Options

    return Driver(Options, CommandArray.from_options)


def _hsg80() -> Driver[Array]:
    from splitmirror_drivers.arrays.hsg80 import Hsg80, Options

    return Driver(Options, Hsg80.from_options)


def _rbd() -> Driver[Array]:
    from splitmirror_drivers.arrays.rbd import Options, Rbd

    return Driver(Options, Rbd.from_options)


def _lvm() -> Driver[Array]:
    from splitmirror_drivers.arrays.lvm import Options, from_options

    return Driver(Options, from_options)


def _md() -> Driver[Array]:
    from splitmirror_drivers.arrays.md import Md, Options

    return Driver(Options, Md.from_options)


def _shadowimage() -> Driver[Array]:
    from splitmirror_drivers.arrays.shadowimage import Options, ShadowImage

    return Driver(Options, ShadowImage.from_options)


def _simulator() -> Driver[Array]:
    from splitmirror_drivers.arrays.simulator import Options, Simulator

    return Driver(Options, Simulator.from_options)


def _timefinder() -> Driver[Array]:
    from splitmirror_drivers.arrays.timefinder import Options, from_options

    return Driver(Options, from_options)


def _vxvm() -> Driver[Array]:
    from splitmirror_drivers.arrays.vxvm import VxvmArray
    from splitmirror_drivers.arrays.vxvm_options import Options

    return Driver(Options, VxvmArray.from_options)


def _zfs() -> Driver[Array]:
    from splitmirror_drivers.arrays.zfs import Options, from_options

    return Driver(Options, from_options)


def _postgresql() -> Driver[Application]:
    from splitmirror_drivers.applications.postgresql import Options, PostgreSQL

    return Driver(Options, PostgreSQL.from_options)


def _oracle() -> Driver[Application]:
    from splitmirror_drivers.applications.oracle import Options, Oracle

    return Driver(Options, Oracle.from_options)


def _informix() -> Driver[Application]:
    from splitmirror_drivers.applications.informix import Informix, Options

    return Driver(Options, Informix.from_options)


def _mysql() -> Driver[Application]:
    from splitmirror_drivers.applications.mysql import MySQL, Options

    return Driver(Options, MySQL.from_options)


def _sqlite() -> Driver[Application]:
    from splitmirror_drivers.applications.sqlite import Options, SQLite

    return Driver(Options, SQLite.from_options)


def _filesystem() -> Driver[Application]:
    from splitmirror_drivers.applications.filesystem import Filesystem, Options

    return Driver(Options, Filesystem.from_options)


def _command_application() -> Driver[Application]:
    from splitmirror_drivers.applications.command import CommandApplication, Options

    return Driver(Options, CommandApplication.from_options)


def _mount() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.mount import Mount, Options

    return Driver(Options, Mount.from_options)


def _directory_presentation() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.directory import Directory, Options

    return Driver(Options, Directory.from_options)


def _lvm_presentation() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.lvm import Lvm, Options

    return Driver(Options, Lvm.from_options)


def _windows() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.windows import Options, Windows

    return Driver(Options, Windows.from_options)


def _raw() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.raw import Options, Raw

    return Driver(Options, Raw.from_options)


def _vxvm_presentation() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.vxvm import Options, Vxvm

    return Driver(Options, Vxvm.from_options)


def _zfs_presentation() -> Driver[Presentation]:
    from splitmirror_drivers.presentation.zfs import Options, Zfs

    return Driver(Options, Zfs.from_options)


def _generic() -> Product:
    from splitmirror_drivers.products.generic import Generic

    return Generic()


def _bacula() -> Product:
    from splitmirror_drivers.products.bacula import Bacula

    return Bacula()


def _netbackup() -> Product:
    from splitmirror_drivers.products.netbackup import NetBackup

    return NetBackup()


def _netbackup_strict() -> Product:
    from splitmirror_drivers.products.netbackup import NetBackup

    return NetBackup("netbackup-strict", tells_post=True)


def freezer(name: str, host: Host, mounts: Sequence[str], kept: str = "") -> Application:
    """The filesystem application that freezes `mounts` of `host`, for ``freeze-filesystems``; `kept` stays writable."""
    from splitmirror_drivers.applications.filesystem import Filesystem

    return Filesystem.for_mounts(name, host, mounts, kept)


def find(table: Mapping[str, L], group: str, name: str) -> L | None:
    """The loader called `name`: from `table`; else, and only then, from the entry points ``splitmirror.GROUP``.

    None: nobody has it. Raises PolicyFault when a third party's loader cannot be loaded.
    """
    if name in table:
        return table[name]
    from importlib.metadata import entry_points

    for point in entry_points(group=f"splitmirror.{group}", name=name):
        try:
            loader: L = point.load()
        except Exception as exc:  # a stranger's module can fail in any way
            raise PolicyFault(
                f"the driver {name} ({point.value}) cannot be loaded: {exc!r}",
                hint="install it again, or remove it",
            ) from exc
        return loader
    return None


def names(table: Mapping[str, object], group: str) -> list[str]:
    """Every name that `find` finds, sorted."""
    from importlib.metadata import entry_points

    return sorted({*table, *entry_points(group=f"splitmirror.{group}").names})


HOSTS: Mapping[str, Loader[Host]] = {"local": _local, "ssh": _ssh}
ARRAYS: Mapping[str, Loader[Array]] = {
    "btrfs": _btrfs,
    "command": _command_array,
    "directory": _directory_array,
    "diskshadow": _diskshadow,
    "hsg80": _hsg80,
    "lvm": _lvm,
    "md": _md,
    "rbd": _rbd,
    "shadowimage": _shadowimage,
    "simulator": _simulator,
    "timefinder": _timefinder,
    "vxvm": _vxvm,
    "zfs": _zfs,
}
APPLICATIONS: Mapping[str, Loader[Application]] = {
    "command": _command_application,
    "filesystem": _filesystem,
    "informix": _informix,
    "mysql": _mysql,
    "oracle": _oracle,
    "postgresql": _postgresql,
    "sqlite": _sqlite,
}
PRESENTATIONS: Mapping[str, Loader[Presentation]] = {
    "directory": _directory_presentation,
    "lvm": _lvm_presentation,
    "mount": _mount,
    "raw": _raw,
    "zfs": _zfs_presentation,
    "vxvm": _vxvm_presentation,
    "windows": _windows,
}
PRODUCTS: Mapping[str, Callable[[], Product]] = {
    "bacula": _bacula,
    "generic": _generic,
    "netbackup": _netbackup,
    "netbackup-strict": _netbackup_strict,
}
