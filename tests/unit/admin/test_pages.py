"""History, show, help, and how a run is named: what people and programs read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.admin.stage import Stage, arguments, said

from splitmirror import admin, story
from splitmirror.admin import help as pages
from splitmirror.admin import history, naming, show
from splitmirror.journal.contract import Event, Kind, RunRecord, Status
from splitmirror.report import text, timeline
from splitmirror.report.account import Account
from splitmirror.run import Ended
from splitmirror_drivers.contracts.product import BackupStatus
from splitmirror_drivers.kit.errors import UsageFault

RECORD = RunRecord("erp-1", 1, "erp", "", "", "generic", "", 1, 1000.0, Status.GOOD)


def backed_up(stage: Stage) -> str:
    run = stage.prepared()
    story.finish(run, BackupStatus.GOOD)
    return run.run_id


def failed(stage: Stage) -> str:
    stage.world.script = {"leave:app1": "not-held"}
    run = stage.run()
    with pytest.raises(Ended):
        story.prepare(run)
    stage.world.script = {}
    return run.run_id


def test_history_is_a_plain_table_newest_first_when_nobody_sits_at_a_terminal(stage: Stage) -> None:
    good, bad = backed_up(stage), failed(stage)
    code, table = said(history.tell, stage.office, arguments("history"))
    head, first, second = table.splitlines()
    assert code == 0
    assert head.split()[:4] == ["run", "began", "result", "verdict"]
    assert first.startswith(bad)
    assert "failed" in first
    assert second.startswith(good)
    assert "application" in second
    assert "\x1b" not in table


def test_history_for_programs_has_a_version_and_numbers(stage: Stage) -> None:
    backed_up(stage)
    data = json.loads(said(history.tell, stage.office, arguments("history", "--json"))[1])
    (run,) = data["runs"]
    assert data["version"] == 1
    assert run["verdict"] == "application"
    assert run["freeze_window_ms"] > 0
    assert run["took_seconds"] > 0
    assert run["mirrors"] == ["array/a"]


def test_a_run_whose_process_is_gone_is_said_to_have_died(stage: Stage) -> None:
    stage.run()
    assert "died" in said(history.tell, stage.office, arguments("history"))[1]


def test_the_history_of_a_policy_that_is_no_more_can_still_be_read(stage: Stage) -> None:
    backed_up(stage)
    del stage.office._jobs["erp"]
    assert "good" in said(history.tell, stage.office, arguments("history", "erp"))[1]
    with pytest.raises(UsageFault):
        said(history.tell, stage.office, arguments("history", "crm"))


def test_a_limit_that_shows_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageFault, match="--limit 0"):
        history.run(arguments("history", "--limit", "0"))


def test_show_names_phases_windows_card_and_what_stands(stage: Stage) -> None:
    run_id = backed_up(stage)
    page = said(show.tell, stage.office, arguments("show", "1"))[1]
    assert f"{run_id}: GOOD, application" in page
    for phase in ("quiesce", "split", "resume", "withdraw"):
        assert f"{phase}" in page
    assert "until post" in page
    assert "freeze window of db1:" in page
    assert f"cards/{run_id}/RECOVERY.md" in page
    assert "stands: split array/a" in page


def test_show_of_a_failed_run_has_reason_hint_and_doubts(stage: Stage) -> None:
    failed(stage)
    page = said(show.tell, stage.office, arguments("show", "1"))[1]
    assert "FAILED" in page
    assert "what to do:" in page
    assert "doubt: db1: app1 was not in force" in page
    data = json.loads(said(show.tell, stage.office, arguments("show", "1", "--json"))[1])
    assert data["version"] == 1
    assert data["doubts"]
    prove = next(phase for phase in data["phases"] if phase["name"] == "prove")
    assert prove["result"] == "failed"
    assert prove["error"]


def test_a_run_is_named_by_its_whole_name_its_number_or_a_prefix_that_is_its_own(stage: Stage) -> None:
    first, second = backed_up(stage), backed_up(stage)
    assert naming.find_run(stage.journal, first).run_id == first
    assert naming.find_run(stage.journal, "2").run_id == second
    assert naming.find_run(stage.journal, second[:-1] + second[-1]).run_id == second
    with pytest.raises(UsageFault, match="can mean 2 runs"):
        naming.find_run(stage.journal, "erp")
    with pytest.raises(UsageFault, match="there is no run") as caught:
        naming.find_run(stage.journal, second + "0")
    assert second in caught.value.hint


def test_a_failure_is_remembered_over_what_a_later_recover_met() -> None:
    def status(word: Status, **data: object) -> Event:
        return Event(Kind.STATUS, "run", "", {"status": word.value, **data}, 1.0)

    events = (
        status(Status.WORKING),
        status(Status.FAILED, error="the first try"),
        status(Status.WORKING),
        status(Status.STUCK, error="db2 lost its link"),
        status(Status.STUCK, error="the mount is in use"),
    )
    told = Account(RECORD, events)
    assert told.error == "db2 lost its link"
    assert Account(RECORD, (*events, status(Status.GOOD))).error == ""


def test_a_phase_that_did_not_end_is_drawn_as_running_and_none_is_invisible() -> None:
    began = Event(Kind.STARTED, "establish", "", {}, 1000.0)
    events = [
        began,
        Event(Kind.DONE, "establish", "", {"took_ms": 1_000_000}, 2000.0),
        Event(Kind.STARTED, "split", "", {}, 2000.0),
        Event(Kind.FAILED, "split", "", {"took_ms": 1, "error": "refused"}, 2000.001),
        Event(Kind.STARTED, "resume", "", {}, 2000.001),
    ]
    spans = timeline.spans(events, 1000.0)
    assert [span.result for span in spans] == ["done", "failed", "running"]
    lines = timeline.draw(spans, until=1001.0)
    assert all("#" in line for line in lines)
    assert "FAILED" in lines[1]
    assert "running" in lines[2]
    assert len({line.index("|", 12) for line in lines}) == 1


def test_pre_and_post_are_drawn_on_scales_of_their_own() -> None:
    spans = [timeline.Span("split", 0.0, 1.0, "done"), timeline.Span("withdraw", 36001.0, 2.0, "done")]
    first, gap, last = timeline.draw_both(spans, 1.0)
    assert first.count("#") == timeline.BAR_WIDTH
    assert "10 h until post" in gap
    assert last.count("#") == timeline.BAR_WIDTH


@pytest.mark.parametrize(
    ("seconds", "said_as"),
    [(0.412, "412 ms"), (3.14, "3.1 s"), (60, "1 min"), (725, "12 min 5 s"), (11220, "3 h 7 min"), (187200, "2 d 4 h")],
)
def test_lengths_of_time_are_said_with_two_units_at_most(seconds: float, said_as: str) -> None:
    assert text.span(seconds) == said_as


def test_what_a_driver_said_cannot_steer_the_terminal() -> None:
    assert text.one_line("bad\x1b[2J\nnews") == "bad [2J news"


def test_help_lists_its_pages_and_shows_each_of_them() -> None:
    code, listed = said(pages.run, arguments("help"))
    assert code == 0
    for topic in pages.TOPICS:
        assert topic in listed
        assert said(pages.run, arguments("help", topic))[1].strip()


def test_help_of_a_command_is_that_commands_help() -> None:
    assert "--offline" in said(pages.run, arguments("help", "status"))[1]
    with pytest.raises(UsageFault, match="no page"):
        pages.run(arguments("help", "cooking"))


@pytest.mark.parametrize("command", ["status", "recover", "pin", "unpin", "history", "show", "help", "install-guard"])
def test_the_module_of_each_command_says_what_the_overview_says(command: str) -> None:
    module = admin.load_command(command)
    assert admin.COMMANDS[command] == module.SUMMARY  # type: ignore[attr-defined]


def test_the_night_page_names_only_commands_that_exist() -> None:
    import re

    for name in re.findall(r"splitmirror ([a-z-]+)", pages.NIGHT):
        assert name in admin.COMMANDS


def test_a_policy_name_beats_a_run_prefix(stage: Stage, tmp_path: Path) -> None:
    run_id = backed_up(stage)
    assert run_id.startswith("erp")
    assert naming.is_policy(stage.office.loaded.configuration, "erp")
    renamed = replace(RECORD, run_id="crm-1")
    assert not naming.is_policy(stage.office.loaded.configuration, renamed.run_id)
