"""The whole story with one array driver against its emulated array: pre → backup → post, twice, by the real hooks.

The primaries and copies are loop devices, the application is a pretend one whose data are the devices themselves, and the
copy is presented raw: so every byte of a backup can be compared with the primary at the moment of its split.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.contracts.array import COPIES, Wrong
from tests.emulators.emulated import BLOCK_BYTES, IMAGE_BYTES, EmulatedStage
from tests.lab.desk import Desk
from tests.lab.disks import run
from tests.lab.need import need

from splitmirror.journal.contract import Status
from splitmirror_drivers.contracts.array import Family, Move
from splitmirror_drivers.kit.deadline import Deadline

QUIESCER = str(Path(__file__).parents[1] / "emulators" / "quiescer")
MAX_FREEZE = "4s"
FAILING = (Wrong.SPLIT_IS_REFUSED, Wrong.SPLIT_HANGS, Wrong.SPLIT_HANGS_AFTER, Wrong.UNKNOWN_WORD)


class Ground:
    """One array, one application, one policy: everything on this machine."""

    def __init__(self, folder: Path, stage_class: type[EmulatedStage], options: dict[str, Any]) -> None:
        self.folder, self.state = folder, folder / "application"
        self.devices: list[tuple[str, str]] = []
        for number in range(1, stage_class.primaries + 1):
            self.devices.append((self.attach(f"p{number}"), self.attach(f"c{number}")))
        Path(f"{self.state}.data").symlink_to(self.devices[0][0])  # the file that the application itself names
        self.stage = stage_class(folder)
        (folder / "desk").mkdir()
        self.desk = Surrounded(folder / "desk", self.stage.environment)
        self.desk.add("hosts.local", transport="local", guard_dir=str(folder / "guard"))
        self.desk.add("arrays.images", **{"host": "local"} | here(self.stage.table()))
        self.desk.add("applications.app", **self.application())
        self.policy(**options)

    def policy(self, **options: Any) -> None:
        """The policy, with what it has beside the usual."""
        mirrors = [{"array": "images", "groups": [self.stage.group]}]
        present = [{"raw": str(self.raw)}]
        usual = {"applications": ["app"], "mirrors": mirrors, "present": present, "max-freeze": MAX_FREEZE}
        self.desk.add("policies.erp", **usual | options)

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    def application(self) -> dict[str, Any]:
        state = str(self.state)
        return {
            "driver": "command",
            "host": "local",
            "files": [primary for primary, _ in self.devices],
            "blocks": "writes",
            "ends-with": "server",
            "tolerates-spread": True,
            "check": [QUIESCER, state, "status"],
            "enter": [QUIESCER, state, "quiesce", "splitmirror"],
            "leave": [QUIESCER, state, "resume", "{verdict}"],
            "rescue": [QUIESCER, state, "resume", "rescue"],
            "not-held-exit-codes": [3],
            "foreign-exit-codes": [4],
        }

    def attach(self, name: str) -> str:
        """A loop device over a new image file; the stage's own name for that image leads to it."""
        image = self.folder / f"{name}.img"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        link = self.folder / name
        link.symlink_to(run("losetup", "--find", "--show", str(image)))
        return str(link)

    def detach(self) -> None:
        """Every loop device over a file of this folder."""
        for line in run("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").splitlines():
            device, _, image = line.partition(" ")
            if image.startswith(f"{self.folder}/"):
                run("blockdev", "--setrw", device)
                run("losetup", "--detach", device)

    def change(self, blocks: int = 1) -> None:
        """Write new data to every primary: `blocks` of its blocks."""
        for primary, _ in self.devices:
            with Path(primary).open("r+b") as file:
                for number in range(blocks):
                    file.seek(number * 3 * BLOCK_BYTES)
                    file.write(os.urandom(BLOCK_BYTES))

    def primaries(self) -> list[str]:
        return [digest(Path(primary)) for primary, _ in self.devices]

    def backup(self) -> list[str]:
        """What a backup product reads under the presented path, in the order of the devices."""
        if not self.raw.is_dir():
            return [digest(self.raw)]
        links = sorted(self.raw.iterdir())
        shown = {os.path.realpath(link): link for link in links}
        copies = [os.path.realpath(copy) for _, copy in self.devices]
        # a snapshot's own devices come in the order of their names, whatever numbers their loop devices were given
        return [digest(link) for link in ([shown[copy] for copy in copies] if set(copies) == set(shown) else links)]

    def is_held(self) -> bool:
        return self.state.exists()

    def held_so_often(self) -> int:
        """How many times the application was quiesced and resumed."""
        log = Path(f"{self.state}.log")
        words = [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        return min(words.count("quiesce"), words.count("resume"))

    def pre(self, job: str, code: int | None = 0) -> str:
        return self.desk.run("pre", "--policy", "erp", "--job", job, code=code)

    def post(self, job: str) -> str:
        return self.desk.run("post", "--policy", "erp", "--job", job, "--status", "good")


def here(table: dict[str, Any]) -> dict[str, Any]:
    """An array's table with every host that it names being this machine, and nothing that says nothing."""
    named = {"source-host": "local", "copy-host": "local"}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in named and value:
            found[key] = named[key]
        elif isinstance(value, dict):
            found[key] = here(value)
        elif value is not None:
            found[key] = value
    return found


class Surrounded(Desk):
    """A desk whose hooks have the emulated tools' environment."""

    def __init__(self, folder: Path, more: dict[str, str]) -> None:
        super().__init__(folder)
        self.more = more

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.more}


def soon() -> Deadline:
    return Deadline.after(20)


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


class ArrayRounds:
    """Subclass it with the stage of a driver; what one policy needs beside the usual goes into `options`."""

    stage_class: type[EmulatedStage]
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def ground(self, tmp_path: Path) -> Iterator[Ground]:
        with self.made(tmp_path) as ground:
            yield ground

    @contextmanager
    def made(self, folder: Path) -> Iterator[Ground]:
        """The ground in `folder`; nothing of it is left."""
        need("losetup", "blockdev", loop=True)
        ground = Ground(folder, self.stage_class, self.options)
        try:
            yield ground
        finally:
            ground.stage.close()
            ground.detach()

    def synchronised(self, ground: Ground) -> None:
        """What an administrator does before the first night."""
        ground.change(blocks=8)
        ground.desk.run("establish", "--full", "erp")

    def test_two_rounds_each_back_up_the_primary_at_its_split_byte_for_byte(self, ground: Ground) -> None:
        self.synchronised(ground)
        traits = ground.stage.array().traits
        for number in (1, 2):
            if number == 2 and traits.needs_sync and not traits.tracks_changes:
                ground.desk.run("establish", "--full", "erp")
            wanted = ground.primaries()
            ground.pre(f"night-{number}")
            assert ground.backup() == wanted
            ground.change()
            assert ground.primaries() != wanted
            assert ground.backup() == wanted, "what is written after the split is not in the copy"
            assert ground.held_so_often() == number
            ground.post(f"night-{number}")
            assert not ground.raw.exists() and not ground.raw.is_symlink()
            if number == 2 and traits.needs_sync and traits.tracks_changes:
                assert 0 < ground.stage.copied_bytes() <= ground.stage.size_bytes() / 4
        assert not ground.is_held()

    def test_the_plan_shows_the_arrays_own_commands_and_changes_nothing(self, ground: Ground) -> None:
        self.synchronised(ground)
        before = ground.stage.array().query(ground.stage.group, soon())
        said = ground.desk.run("plan", "erp")
        assert "its copy can be called: application" in said
        (split,) = {action.what for action in ground.stage.array().actions(Move.SPLIT, ground.stage.group, "RUN")[:1]}
        assert split.split()[0] in said
        assert ground.stage.array().query(ground.stage.group, soon()) == before

    def test_as_many_copies_stand_as_the_policy_keeps(self, ground: Ground) -> None:
        array = ground.stage.array()
        if not array.traits.keeps_copies:
            pytest.skip("does not apply: this array keeps one copy")
        ground.policy(**self.options | {"keep": 2, "reattach": "after-backup"})
        for number in (1, 2, 3):
            ground.pre(f"night-{number}")
            ground.post(f"night-{number}")
            ground.change()
        standing = {pair.copy for pair in array.query(ground.stage.group, soon()) if pair.state in COPIES}
        runs = [record.run_id for record in ground.desk.journal().runs("erp", limit=2)]
        assert standing == set(runs), "the newest two, and no other"

    def test_every_fault_is_told_and_the_application_runs_on(self, ground: Ground) -> None:
        self.synchronised(ground)
        for wrong in FAILING:
            if wrong in ground.stage.faults:
                ground.stage.wrong(wrong)
                self.fails_clearly(ground, wrong.value)
                ground.stage.mend()
                self.at_rest(ground)
        wanted = ground.primaries()
        ground.pre("good night")
        assert ground.backup() == wanted
        ground.post("good night")
        for what, line in ground.stage.more_faults.items():
            ground.stage.control("fault", line)
            self.fails_clearly(ground, what)
            ground.stage.mend()

    def test_a_refused_move_never_reaches_the_array(self, ground: Ground) -> None:
        """Before the first full copy, and with a state word that nobody knows: only what a plan asks too is asked."""
        if ground.stage.array().traits.needs_sync:
            asked = self.calls_of(ground, lambda: ground.desk.run("check", "erp", code=None))
            assert self.calls_of(ground, lambda: ground.pre("too early", code=None)) <= asked
        self.synchronised(ground)
        ground.stage.wrong(Wrong.UNKNOWN_WORD)
        asked = self.calls_of(ground, lambda: ground.desk.run("check", "erp", code=None))
        assert self.calls_of(ground, lambda: ground.pre("bad night", code=None)) <= asked

    def calls_of(self, ground: Ground, act: Callable[[], object]) -> set[str]:
        """What the array's tools are called with meanwhile."""
        before = len(ground.stage.calls())
        act()
        return {shlex.join(call) for call in ground.stage.calls()[before:]}

    def fails_clearly(self, ground: Ground, what: str) -> None:
        """Pre, when something is wrong: an error, nothing held, nothing presented."""
        said = f"{what}: {ground.pre('bad night', code=None)}"
        assert not ground.is_held(), said
        assert not ground.raw.exists(), said
        assert ground.desk.last_run("erp").status not in (Status.READY, Status.GOOD), said
        assert "Traceback" not in said

    def at_rest(self, ground: Ground) -> None:
        """What an administrator does after a bad night; most faults need none of it."""
        if ground.desk.journal().open_runs():
            ground.desk.run("recover")
        array = ground.stage.array()
        if array.traits.family is Family.MIRROR:
            full = ("--full",) if not array.traits.tracks_changes else ()
            ground.desk.run("establish", *full, "erp")
