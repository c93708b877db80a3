"""Every recorded call of a product is read as written beside it; wrong calls say what is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from splitmirror import post, pre
from splitmirror_drivers import catalogue
from splitmirror_drivers.contracts.product import BackupStatus, Hook, Invocation, Product, Result
from splitmirror_drivers.kit.errors import UsageFault
from splitmirror_drivers.products.recognise import recognise

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "products").glob("*.json"))


def products() -> Mapping[str, Product]:
    return {name: make() for name, make in catalogue.PRODUCTS.items()}


def call(*argv: str, hook: Hook = Hook.PRE, environment: Mapping[str, str] | None = None) -> Invocation:
    environment = environment or {}
    return recognise(hook, argv, environment, products()).invocation(hook, argv, environment)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_recorded_call_is_recognised_and_read(path: Path) -> None:
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    hook = Hook(case["hook"])
    product = recognise(hook, case["argv"], case["environment"], products())
    assert product.name == case["product"]
    read = as_data(product.invocation(hook, case["argv"], case["environment"]))
    assert read["product"] == product.name
    assert read["hook"] == case["hook"]
    assert {key: read[key] for key in case["result"]} == case["result"]


def as_data(invocation: Invocation) -> dict[str, Any]:
    return {
        key: value.value if isinstance(value, Enum) else value
        for key, value in dataclasses.asdict(invocation).items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("pre", "--polcy", "erp"), "there is no option --polcy"),
        (("pre", "--stauts=good"), "there is no option --stauts"),
        (("pre", "--policy"), "--policy wants a value"),
        (("pre", "--policy", "--client", "x"), "--policy wants a value"),
        (("pre", "erp"), "'erp' belongs to no option"),
        (("pre", "--stream", "two"), "--stream 'two' is not a whole number"),
        (("pre", "--stream", "-1"), "--stream '-1' is not a whole number"),
        (("pre", "--stream", "3", "--streams", "2"), "--stream 3 is more than --streams 2"),
        (("pre", "--limit", "soon"), "--limit: 'soon' is not a duration"),
        (("pre", "--product", "norton"), "there is no product 'norton'"),
        (("pre", "--product", "netbackup", "db1", "erp"), "bpstart_notify was called with 2 arguments"),
        (("pre", "--help"), "how hooks are called"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(argv: Sequence[str], message: str) -> None:
    with pytest.raises(UsageFault, match=message) as fault:
        call(*argv)
    assert fault.value.hint or fault.value.detail or "duration" in message


def test_a_status_word_that_nobody_knows_is_refused_in_a_generic_call() -> None:
    with pytest.raises(UsageFault, match="--status 'gut' is not known"):
        call("post", "--status", "gut", hook=Hook.POST)


def test_an_unknown_product_is_recognised_without_failing_and_lists_what_there_is() -> None:
    product = recognise(Hook.PRE, ["pre", "--product=norton"], {}, products())
    with pytest.raises(UsageFault) as fault:
        product.invocation(Hook.PRE, ["pre", "--product=norton"], {})
    assert "bacula" in fault.value.hint
    assert product.exit_code(Hook.PRE, Result.WRONG) == 3


@pytest.mark.parametrize("argv", [(), ("",), ("pre", "--product"), ("pre", "--product="), ("pre", "a", "b", "c", "d")])
def test_recognising_never_fails(argv: Sequence[str]) -> None:
    assert recognise(Hook.PRE, argv, {}, products()).name == "generic"


def test_a_product_option_beats_the_signs_of_another_product() -> None:
    argv = ["bpstart_notify", "--product", "generic", "--policy", "erp"]
    assert recognise(Hook.PRE, argv, {}, products()).name == "generic"


def test_signs_of_the_other_hook_are_none() -> None:
    assert recognise(Hook.POST, ["splitmirror-post", "db1", "erp", "nightly", "FULL"], {}, products()).name == "generic"


@pytest.mark.parametrize("name", sorted(catalogue.PRODUCTS))
@pytest.mark.parametrize("hook", list(Hook))
def test_every_product_is_told_failure_of_pre_and_never_75(name: str, hook: Hook) -> None:
    product = products()[name]
    codes = {result: product.exit_code(hook, result) for result in Result}
    assert codes[Result.DONE] == 0
    assert 75 not in codes.values()
    assert all(0 <= code <= 125 for code in codes.values())
    if hook is Hook.PRE:
        assert all(code != 0 for result, code in codes.items() if result is not Result.DONE)


def test_netbackup_is_not_told_that_post_failed_unless_asked() -> None:
    # a non-zero bpend_notify makes NetBackup throw a good backup away
    assert {products()["netbackup"].exit_code(Hook.POST, result) for result in Result} == {0}
    assert products()["netbackup-strict"].exit_code(Hook.POST, Result.FAILED) == 1


def test_netbackup_is_spoken_to_in_no_way() -> None:
    manners = products()["netbackup"].manners
    assert not manners.progress_to_stdout
    assert not manners.error_to_stderr


def test_netbackup_identity_never_is_the_backup_id() -> None:
    # each stream has another one, so runs joined by it would each split the mirror anew
    argv = ("bpstart_notify", "db1", "erp", "nightly", "FULL")
    calls = [call(*argv, environment={"BACKUPID": f"db1_{number}", "STREAM_NUMBER": "1"}) for number in (1, 2)]
    assert [(one.policy, one.client, one.schedule, one.job) for one in calls] == [("erp", "db1", "nightly", "")] * 2


@pytest.mark.parametrize("number", ["-1", "", "x", "²"])
def test_netbackup_variables_that_are_no_number_say_nothing(number: str) -> None:
    environment = {"STREAM_NUMBER": number, "STREAM_COUNT": number, "RESTARTED": "yes"}
    found = call("bpstart_notify", "c", "p", "s", "FULL", environment=environment)
    assert (found.stream, found.streams, found.is_restarted) == (0, 0, False)


def test_pre_is_never_told_a_status() -> None:
    assert call("pre", "--status", "failed").status is BackupStatus.NOT_TOLD
    assert call("pre", "--product", "bacula", "--status", "Error").status is BackupStatus.NOT_TOLD


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_a_person_who_asks_for_help_gets_it_and_nothing_else(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for main in (pre.main, post.main):
        assert main(["splitmirror", word]) == 0
        told = capsys.readouterr()
        assert "--policy NAME" in told.out
        assert told.err == ""
