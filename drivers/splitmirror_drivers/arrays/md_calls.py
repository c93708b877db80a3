"""The commands of md on one host, and what is asked by them: kernel, superblocks, notes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from splitmirror_drivers.arrays import md_report as report
from splitmirror_drivers.arrays.md_options import Options, PairOptions
from splitmirror_drivers.arrays.md_report import Md
from splitmirror_drivers.arrays.mirror_proof import BOOT_ID, Note, parse
from splitmirror_drivers.contracts.host import Host
from splitmirror_drivers.kit.command import Command, Completed
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import UnknownAnswer
from splitmirror_drivers.presentation import seen as look_at

COMMAND_SECONDS = 60.0
_KERNEL_NAME = re.compile(r"md(\d+|_[A-Za-z0-9_.-]+)")
ANSWERS: Mapping[str, str] = {}
"""No flag is passed that answers a question: these commands ask none. --fail is not one that overrides a refusal: it is
how a leg is taken out of an array, after the others were seen to be in sync; mdadm's --force and --run are never passed."""


class Calls:
    """md on one host. `name` is the array's in the policy file."""

    def __init__(self, name: str, options: Options, host: Host) -> None:
        self.name, self.options, self.host = name, options, host
        host.families((look_at.FAMILY,))

    def run(self, argv: Sequence[str], deadline: Deadline, stdin: str = "") -> Completed:
        """One command, whatever its exit code."""
        command = Command(tuple(argv), stdin, {"LC_ALL": "C"})
        return self.host.run(command, deadline.sooner(COMMAND_SECONDS))

    def require(self, argv: Sequence[str], deadline: Deadline, what: str, hint: str = "", stdin: str = "") -> Completed:
        """One command that must succeed. Raises CommandFailed."""
        return self.run(argv, deadline, stdin).require(f"{self.name}: {what} on {self.host.name}", hint)

    # -- kernel --

    def kernel_names(self, paths: Sequence[str], deadline: Deadline) -> dict[str, str]:
        """The kernel's names of arrays: mdN is one already, /dev/md/erp leads to one."""
        names = {path: PurePosixPath(path).name for path in paths}
        links = [path for path, name in names.items() if not _KERNEL_NAME.fullmatch(name)]
        return {**names, **self._ends_of(links, deadline)}

    def look(self, pairs: Sequence[PairOptions], deadline: Deadline) -> tuple[Md, ...]:
        """Every array as the kernel has it now."""
        names = self.kernel_names([pair.array for pair in pairs], deadline)
        ends = self._ends_of([pair.leg for pair in pairs], deadline)
        entries = report.parse_mdstat(self._cat(deadline, self._mdstat).stdout)
        running = [names[pair.array] for pair in pairs if names[pair.array] in entries]
        files = self._files(running, deadline)
        found = []
        for pair in pairs:
            entry = entries.get(names[pair.array])
            mine = PurePosixPath(pair.leg).name
            leg = ends[pair.leg] if entry is not None and ends[pair.leg] in entry.members else mine
            found.append(Md(entry, leg, files.get(names[pair.array], {})))
        return tuple(found)

    def are_whole(self, pairs: Sequence[PairOptions], deadline: Deadline) -> bool:
        """Whether every array has all its legs, in sync and at rest: one look, for inside the freeze."""
        names = self.kernel_names([pair.array for pair in pairs], deadline)
        ordered = [names[pair.array] for pair in pairs]
        done = self.run(("cat", self._mdstat, *self._paths(ordered)), deadline)
        lines = done.stdout.splitlines()
        count = len(ordered) * len(report.FILES)
        if done.exit_code != 0 or len(lines) <= count:
            return False
        entries = report.parse_mdstat("\n".join(lines[:-count]))
        files = report.parse_files("\n".join(lines[-count:]), ordered)
        if any(name not in entries for name in ordered):
            return False
        return all(Md(entries[name], next(iter(entries[name].members), ""), files[name]).is_whole for name in ordered)

    def _files(self, names: Sequence[str], deadline: Deadline) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        return report.parse_files(self._cat(deadline, *self._paths(names)).stdout, names)

    def _paths(self, names: Sequence[str]) -> list[str]:
        return [f"{self.options.sys}/block/{name}/md/{file}" for name in names for file in report.FILES]

    @property
    def _mdstat(self) -> str:
        return f"{self.options.proc}/mdstat"

    def _cat(self, deadline: Deadline, *paths: str) -> Completed:
        return self.require(("cat", *paths), deadline, "asking the kernel for its arrays")

    def _ends_of(self, paths: Sequence[str], deadline: Deadline) -> dict[str, str]:
        if not paths:
            return {}
        lines = self.require(("readlink", "-f", *paths), deadline, "following links").stdout.splitlines()
        if len(lines) != len(paths):
            raise UnknownAnswer(
                f"{self.name}: readlink does not say where {', '.join(paths)} lead", detail="\n".join(lines)
            )
        return {path: PurePosixPath(line).name for path, line in zip(paths, lines, strict=True)}

    # -- superblocks --

    def array(self, path: str, deadline: Deadline) -> dict[str, str]:
        """``mdadm --detail --export`` of a running array."""
        return report.parse_export(
            self.require(("mdadm", "--detail", "--export", path), deadline, f"asking for {path}").stdout
        )

    def leg(self, path: str, deadline: Deadline) -> dict[str, str]:
        """``mdadm --examine --export`` of a leg; empty where there is no superblock."""
        done = self.run(("mdadm", "--examine", "--export", path), deadline)
        return report.parse_export(done.stdout) if done.exit_code == 0 else {}

    def offset(self, path: str, deadline: Deadline) -> int:
        """Where the data begins on a leg, in sectors."""
        done = self.require(("mdadm", "--examine", path), deadline, f"asking for the superblock of {path}")
        return report.parse_offset(done.stdout)

    # -- notes --

    def boot(self, deadline: Deadline) -> str:
        """What names this start of the machine."""
        return self.require(("cat", BOOT_ID), deadline, "asking for the boot id").stdout.strip()

    def note(self, uuid: str, deadline: Deadline) -> Note:
        """What is noted about an array; none when there is no such file."""
        done = self.run(("cat", f"{self.options.notes}/{uuid}"), deadline)
        return parse(done.stdout) if done.exit_code == 0 else Note()

    def write_note(self, uuid: str, note: Note, deadline: Deadline) -> None:
        """Note it durably, in place of what was noted."""
        folder = self.options.notes
        self.require(("mkdir", "-p", "-m", "0700", folder), deadline, f"making {folder}")
        argv = ("dd", f"of={folder}/{uuid}", "conv=fsync", "status=none")
        self.require(argv, deadline, f"noting {note}", stdin=f"{note}\n")

    # -- devices --

    def protect(self, device: str, deadline: Deadline) -> None:
        """Write-protect a block device, and see that it is. Raises UnknownAnswer."""
        self.require(("blockdev", "--setro", device), deadline, f"write-protecting {device}")
        asked = self.require(("blockdev", "--getro", device), deadline, f"asking whether {device} is protected")
        if asked.stdout.strip() != "1":
            raise UnknownAnswer(f"{self.name}: {device} on {self.host.name} is not protected", detail=asked.tail())

    def refuse_users(self, device: str, deadline: Deadline) -> None:
        """Raises InUse naming who has a device open, mounted or built into something."""
        look_at.refuse_users(f"{self.name}: the copy on {device}", look_at.users(self.host, deadline, device))
