"""The whole story with one array driver against its emulated array: pre → backup → post, twice, by the real hooks.

The primaries and copies are loop devices, the application is a pretend one whose data are the devices themselves, and the
copy is presented raw: so every byte of a backup can be compared with the primary at the moment of its split.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.contracts.array import COPIES, Wrong
from tests.emulators.emulated import BLOCK_BYTES, IMAGE_BYTES, EmulatedStage
from tests.lab.desk import Desk
from tests.lab.disks import devices_of, run
from tests.lab.need import need

from splitmirror.journal.contract import Status
from splitmirror_drivers.contracts.array import Family, Move
from splitmirror_drivers.kit.deadline import Deadline

QUIESCER = str(Path(__file__).parents[1] / "emulators" / "quiescer")
MAX_FREEZE = "4s"
FAILING = (Wrong.SPLIT_IS_REFUSED, Wrong.SPLIT_HANGS, Wrong.SPLIT_HANGS_AFTER, Wrong.UNKNOWN_WORD, Wrong.QUERY_HANGS)


class Ground:
    """One array, one application, one policy: everything on this machine."""

    def __init__(self, folder: Path, stage_class: type[EmulatedStage], options: dict[str, Any]) -> None:
        self.folder, self.state = folder, folder / "application"
        self.devices: list[tuple[str, str]] = []
        for number in range(1, stage_class.primaries + 1):
            self.devices.append((self.attach(f"p{number}"), self.attach(f"c{number}")))
        devices = self.devices

        class OnDevices(stage_class):  # type: ignore[valid-type, misc]
            def images(self) -> list[tuple[str, str]]:
                return devices

        self.stage: EmulatedStage = OnDevices(folder)
        self.desk = Surrounded(folder, self.stage.environment)
        self.desk.add("arrays.images", **{"host": "local"} | self.stage.table())
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
        """A loop device over a new image file."""
        image = self.folder / name
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        return run("losetup", "--find", "--show", str(image))

    def detach(self) -> None:
        for image in self.folder.glob("[pc][0-9]*"):
            for device in devices_of(image):
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
        links = {os.path.realpath(link): link for link in self.raw.iterdir()}
        return [digest(links[os.path.realpath(path)]) for path in self.copy_order(list(links))]

    def copy_order(self, shown: Sequence[str]) -> Sequence[str]:
        """The copies' paths in the order of the primaries; a snapshot's own devices come in the order of their names."""
        copies = [os.path.realpath(copy) for _, copy in self.devices]
        return copies if set(copies) == set(shown) else sorted(shown)

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
        need("losetup", "blockdev", loop=True)
        ground = Ground(tmp_path, self.stage_class, self.options)
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
        ground.policy(**self.options | {"keep": 2})
        for number in (1, 2, 3):
            ground.pre(f"night-{number}")
            ground.post(f"night-{number}")
            ground.change()
        standing = {pair.copy for pair in array.query(ground.stage.group, soon()) if pair.state in COPIES}
        runs = [record.run_id for record in ground.desk.journal().runs("erp", limit=2)]
        assert standing == set(runs), "the newest two, and no other"

    @pytest.mark.parametrize("wrong", FAILING, ids=lambda wrong: wrong.name.lower())
    def test_a_fault_is_told_and_the_application_runs_on(self, wrong: Wrong, ground: Ground) -> None:
        if wrong not in ground.stage.faults:
            pytest.skip(f"does not apply: this array cannot have it that {wrong.value}")
        self.synchronised(ground)
        self.fails_clearly(ground, ground.stage.faults[wrong])
        ground.stage.mend()
        self.next_night_is_good(ground)

    def test_every_other_fault_is_told_and_the_application_runs_on(self, ground: Ground) -> None:
        if not ground.stage.more_faults:
            pytest.skip("does not apply: this array has no other faults")
        for what, line in ground.stage.more_faults.items():
            self.synchronised(ground)
            said = self.fails_clearly(ground, line)
            assert "Traceback" not in said, what
            ground.stage.mend()

    def test_a_refused_move_never_reaches_the_array(self, ground: Ground) -> None:
        """Before the first full copy, and with a state word that nobody knows: only what a plan asks too is asked."""
        if ground.stage.array().traits.needs_sync:
            asked = self.calls_of(ground, lambda: ground.desk.run("check", "erp", code=None))
            assert self.calls_of(ground, lambda: ground.pre("too early", code=None)) <= asked
        self.synchronised(ground)
        ground.stage.control("fault", ground.stage.faults[Wrong.UNKNOWN_WORD])
        asked = self.calls_of(ground, lambda: ground.desk.run("check", "erp", code=None))
        assert self.calls_of(ground, lambda: ground.pre("bad night", code=None)) <= asked

    def calls_of(self, ground: Ground, act: Callable[[], object]) -> set[str]:
        """What the array's tools are called with meanwhile."""
        before = len(ground.stage.calls())
        act()
        return {shlex.join(call) for call in ground.stage.calls()[before:]}

    def fails_clearly(self, ground: Ground, line: str) -> str:
        """Pre with that fault: an error, nothing held, nothing presented."""
        ground.stage.control("fault", line)
        said = ground.pre("bad night", code=None)
        assert not ground.is_held(), said
        assert not ground.raw.exists(), said
        assert ground.desk.last_run("erp").status not in (Status.READY, Status.GOOD), said
        assert "Traceback" not in said
        return said

    def next_night_is_good(self, ground: Ground) -> None:
        """After the fault is gone: recover if need be, bring into sync, and a normal run succeeds."""
        ground.desk.run("recover", code=None)
        array = ground.stage.array()
        if array.traits.family is Family.MIRROR:
            full = ("--full",) if not array.traits.tracks_changes else ()
            ground.desk.run("establish", *full, "erp")
        wanted = ground.primaries()
        ground.pre("good night")
        assert ground.backup() == wanted
        ground.post("good night")
