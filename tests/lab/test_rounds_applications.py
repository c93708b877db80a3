"""Applications by their stand-ins, through the whole story: real SSH, the real hooks, a real snapshot.

A stand-in keeps its state beside its data files, so the copy of that file says what state the database was in at the very
moment of the split.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.guard.stage import eventually
from tests.lab.need import need
from tests.lab.site import Site, policy, site
from tests.unit.applications.test_informix import InformixStage
from tests.unit.applications.test_oracle_contract import OracleStage

from splitmirror.journal.contract import Kind

pytestmark = pytest.mark.lab


@pytest.fixture
def here() -> Iterator[Site]:
    need("sshd", "mkfs.btrfs", loop=True)
    with site() as made:
        yield made


@dataclass
class Placed:
    """An application on a subvolume of its own, and where its stand-in keeps its state below that."""

    name: str
    stage: OracleStage | InformixStage
    state: Path

    def at_the_split(self, site: Site) -> Any:
        """What the presented copy says of its state."""
        copy = site.folder / "backup" / self.name / self.state.relative_to(self.stage.folder)
        return json.loads(copy.read_text(encoding="utf-8"))


def oracle(site: Site, host: str) -> Placed:
    stage = OracleStage(site.subvolume("ora", host))
    options: dict[str, object] = {"sid": "ERP", "oracle_home": str(stage.home), "os_user": ""}
    site.add("applications.ora", driver="oracle", host=host, archive_wait="15s", may_lie_beside_data=True, **options)
    return Placed("ora", stage, stage.folder / "ora")


def informix(site: Site, host: str) -> Placed:
    stage = InformixStage(site.subvolume("ifx", host))
    site.add("applications.ifx", driver="informix", host=host, **stage.options)
    return Placed("ifx", stage, stage.state)


def is_in_backup_mode(state: Any) -> bool:
    return all(file["active"] for file in state["files"] if file["online"])


def is_blocked(state: Any) -> bool:
    return bool(state["servers"]["ol_erp"]["blocks"])


HELD = {"ora": is_in_backup_mode, "ifx": is_blocked}
TAKES = {"ora": "begin", "ifx": "block"}
MAKE = {"ora": oracle, "ifx": informix}
NIGHT = ("--policy", "erp", "--job")
NO_FREEZE: dict[str, Any] = {"freeze_filesystems": []}  # the stand-ins' state lies on the same filesystem


def verdict(site: Site) -> str:
    note = next(event for event in site.events("erp") if event.act == "verdict")
    return str(note.data["verdict"])


@pytest.mark.parametrize("name", list(MAKE))
def test_two_nights_of_one_application(here: Site, name: str) -> None:
    here.data_server("db1")
    placed = MAKE[name](here, "db1")
    policy(here, "erp", [name], **NO_FREEZE)
    assert "application" in here.run("check")
    for night in ("1", "2"):
        here.run("pre", *NIGHT, night)
        assert HELD[name](placed.at_the_split(here)), "the copy is of a moment in which it was held"
        assert not placed.stage.is_held(), "it was resumed before pre ended"
        assert (here.folder / "backup" / f"{name}.card").exists()
        here.run("post", *NIGHT, night, "--status", "good")
    placed.stage.close()


def test_oracle_and_informix_on_two_data_servers_are_one_split(here: Site) -> None:
    here.data_server("db1")
    here.data_server("db2")
    placed = [oracle(here, "db1"), informix(here, "db2")]
    policy(here, "erp", ["ora", "ifx"], **NO_FREEZE)
    here.run("pre", *NIGHT, "1")
    for one in placed:
        assert HELD[one.name](one.at_the_split(here))
        assert not one.stage.is_held()
    here.run("post", *NIGHT, "1", "--status", "good")
    for one in placed:
        one.stage.close()


@pytest.mark.parametrize("fault", ["block fail", "block hang"])
def test_what_one_application_cannot_do_resumes_all_and_spoils_the_run(here: Site, fault: str) -> None:
    here.data_server("db1")
    here.data_server("db2")
    ora, ifx = oracle(here, "db1"), informix(here, "db2")
    policy(here, "erp", ["ora", "ifx"], **NO_FREEZE)
    ifx.stage.control("fault", fault)
    said = here.run("pre", *NIGHT, "1", code=None)
    assert "ifx" in said
    assert not any(event.act == "split" and event.kind is Kind.STARTED for event in here.events("erp"))
    assert not (here.folder / "backup" / "ora").exists()
    ifx.stage.control("mend")
    eventually("Informix goes on", lambda: not ifx.stage.is_held())
    eventually("Oracle left its backup mode", lambda: not ora.stage.is_held())
    here.run("pre", *NIGHT, "2")
    assert HELD["ifx"](ifx.at_the_split(here))
    here.run("post", *NIGHT, "2", "--status", "good")
    for one in (ora, ifx):
        one.stage.close()


@pytest.mark.parametrize("name", list(MAKE))
def test_a_hook_killed_within_the_hold_leaves_the_application_running(here: Site, name: str) -> None:
    here.data_server("db1")
    placed = MAKE[name](here, "db1")
    policy(here, "erp", [name], **NO_FREEZE)
    placed.stage.control("fault", f"{TAKES[name]} hang-after")
    pre = here.start("pre", *NIGHT, "1")
    eventually("it is held", placed.stage.is_held)
    pre.send_signal(signal.SIGKILL)
    pre.communicate()
    placed.stage.control("mend")
    eventually("it was let go", lambda: not placed.stage.is_held())
    here.run("recover", code=None)
    here.run("pre", *NIGHT, "2")
    assert HELD[name](placed.at_the_split(here))
    here.run("post", *NIGHT, "2", "--status", "good")
    placed.stage.close()
